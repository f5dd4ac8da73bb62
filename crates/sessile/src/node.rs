//! What a node does beside requests: follow the feed, close streams, rotate keys, sweep, keep uses and events.

use std::future::Future;
use std::time::Duration;

use sessile_core::event::{Event, EventName};
use sessile_core::policy::Limits;
use sessile_core::revocation::{Applied, FeedItem, Phase, Reason, Restart, Seq};
use sessile_core::session::{Life, Session};
use sessile_core::storage::Liveness;
use sessile_core::{Moment, SessionId, Timestamp};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use sessile_store::StoreError;

use crate::engine::Engine;
use crate::metrics::{Family, Metrics};
use crate::streams::StreamEnd;

const PAGE: u32 = 1024;
/// The last page of the feed and the next are at least so far apart: what ends meanwhile is read together. A quiet feed is
/// read at once.
const BETWEEN_PAGES: Duration = Duration::from_millis(30);
/// Bounds of how long a node waits for news before it reads all the same; see [`poll_floor`].
const POLL_MIN: Duration = Duration::from_millis(50);
const POLL_MAX: Duration = Duration::from_secs(1);
// So the pause never makes a node's knowledge older than its polling does, whatever T is.
const _: () = assert!(BETWEEN_PAGES.as_millis() < POLL_MIN.as_millis());
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Counters of failed sign-ins and known networks kept at most, so that a flood of names cannot fill the store.
const COUNTERS_TO_KEEP: u64 = 200_000;
/// How far sweeps trail the clock: more than clocks of nodes may differ.
const SWEEP_BEHIND: Duration = Duration::from_secs(300);
const SWEEP_BATCH: u32 = 1000;
/// Batches of one turn at most. Each is short, and live traffic goes between them (S23).
const SWEEP_BATCHES: u32 = 50;
const BETWEEN_BATCHES: Duration = Duration::from_millis(100);
const KEYS_EVERY: Duration = Duration::from_secs(20);
const EVENTS_TO_KEEP: u64 = 1_000_000;
const EVENT_BATCH: usize = 256;
const USES_EVERY: Duration = Duration::from_secs(1);
const USE_BATCH: usize = 1000;
/// The process is on its way out, and the store may be away for good.
const LAST_TRIES: usize = 40;
/// A wall clock this far ahead of the monotonic one was set, not lived through.
const SUSPICIOUS_STEP: Duration = Duration::from_secs(60);
const SWEEPS_TO_SKIP: u32 = 30;

impl Engine {
    /// Runs until `stop` resolves. One per process; a second call returns at once.
    pub async fn run(&self, stop: impl Future<Output = ()>) {
        let queue = self.0.event_queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let Some(mut queue) = queue else { return };
        let work = async {
            futures_util::join!(
                self.follow_feed(),
                self.watch_streams(),
                self.keep_keys(),
                self.sweep(),
                self.keep_uses(),
                self.keep_events(&mut queue)
            )
        };
        let stopped = std::pin::pin!(stop);
        futures_util::future::select(stopped, std::pin::pin!(work)).await;
        queue.close();
        let mut rest = Vec::new();
        while let Ok(event) = queue.try_recv() {
            rest.push(event);
        }
        self.write_events(rest).await;
        for _ in 0..LAST_TRIES {
            if self.0.vault.phase() != Phase::Serving {
                let dropped = self.0.uses.count();
                if dropped > 0 {
                    tracing::warn!(dropped, "uses of sessions were not written: the store is being moved, or was left");
                }
                return;
            }
            if self.write_uses().await.is_ok() {
                return;
            }
            sleep(RETRY_MIN).await;
        }
        tracing::error!(
            "the last uses of some sessions could not be written; their idle timeouts count from earlier ones"
        );
    }

    /// Reads the feed until the view is complete, for a node that must not serve before it knows.
    pub async fn catch_up(&self) -> Result<(), StoreError> {
        while !self.read_feed().await? {}
        Ok(())
    }

    async fn follow_feed(&self) {
        let mut retry = RETRY_MIN;
        let mut was_fresh = true;
        let mut said = String::new();
        loop {
            let asked = Instant::now();
            match timeout(self.limits().staleness, self.read_feed()).await {
                Ok(Ok(complete)) => {
                    retry = RETRY_MIN;
                    said.clear();
                    if !was_fresh {
                        was_fresh = true;
                        self.record(Event::new(EventName::FeedState, "recovered", self.now().wall));
                    }
                    if complete {
                        // Well within T even if no notification ever comes: polling is the floor.
                        let _ = timeout(poll_floor(self.limits()), self.0.vault.changed(self.view_position())).await;
                        sleep_until(asked + BETWEEN_PAGES).await;
                    }
                }
                failed => {
                    if was_fresh && !self.ready().feed_fresh {
                        was_fresh = false;
                        self.record(Event::new(EventName::FeedState, "stale", self.now().wall));
                    }
                    let told = match failed {
                        Ok(Err(error)) => error.to_string(),
                        _ => "no answer within the staleness bound".to_owned(),
                    };
                    // Once for each kind of trouble: this is tried every second for as long as it lasts.
                    if told != said {
                        tracing::warn!(
                            error = told,
                            "the revocation feed cannot be read; past the staleness bound the store is asked per request"
                        );
                        said = told;
                    }
                    sleep(retry).await;
                    retry = (retry * 2).min(RETRY_MAX);
                }
            }
        }
    }

    async fn read_feed(&self) -> Result<bool, StoreError> {
        let _turn = self.0.feed.lock().await;
        let asked = self.now();
        let (after, epoch_before) = {
            let view = self.view();
            (view.position(), view.epoch())
        };
        let phase_before = self.0.vault.phase();
        let page = self.0.vault.feed(after, PAGE).await?;
        Metrics::add(&self.metrics().feed_pages);
        if page.phase != phase_before {
            tracing::warn!(
                phase = page.phase.name(),
                "the sessions of this store are being moved, or the move came to an end"
            );
        }
        match page.phase {
            // What a store that is being filled tells of nobody knows yet. The view begins anew with the first page after it.
            Phase::Filling => {
                self.view_mut().begin_again();
                return Ok(true);
            }
            Phase::Serving | Phase::Moving | Phase::Moved => {}
        }
        // What a page demands is done before the page counts as read: a failure reads it again.
        if epoch_before == Some(page.epoch) && page.head < after {
            self.store_regressed().await?;
            return Ok(false);
        }
        let goes_on = epoch_before == Some(page.epoch) && page.oldest.0 <= after.0.saturating_add(1);
        if !goes_on || page.entries.iter().any(|entry| entry.item == FeedItem::KeysChanged) {
            self.reload_keys().await?;
        }
        let applied = self.view_mut().apply(&page, self.config().longest_trust(), asked);
        self.metrics().note_feed_lag(page.head.0.saturating_sub(self.view_position().0));
        match applied {
            Applied::Continued { ended, complete, .. } => {
                for (id, reason) in ended {
                    self.streams().end(id, StreamEnd::Ended(reason));
                }
                Ok(complete)
            }
            Applied::Restarted(why) => {
                self.metrics().count(Family::FeedRestarts, why.name());
                match why {
                    // After a gap `watch_streams` looks every session up within its period.
                    Restart::FirstPage | Restart::Gap => {}
                    Restart::AllEnded(reason) => self.streams().end_all(StreamEnd::Ended(reason)),
                    // Whichever node noticed first, each says so: an operator may watch any one of them.
                    Restart::HistoryLost => {
                        self.streams().end_all(StreamEnd::Ended(Reason::StoreRegressed));
                        let reason = Reason::StoreRegressed.name();
                        self.record(Event::new(EventName::StoreRegressed, reason, self.now().wall));
                    }
                }
                Ok(true)
            }
        }
    }

    fn view_position(&self) -> Seq {
        self.view().position()
    }

    /// Streams end at their session's end, and when the node cannot tell any more.
    async fn watch_streams(&self) {
        let period = poll_floor(self.limits());
        loop {
            sleep(period).await;
            // Looking each session up once per period costs little beside its stream and needs no timers.
            if self.streams().count() > 0 {
                self.recheck_streams().await;
            }
        }
    }

    async fn recheck_streams(&self) {
        for id in self.streams().sessions() {
            if let Some(end) = self.stream_end(id).await {
                self.streams().end(id, end);
            }
        }
    }

    async fn stream_end(&self, id: SessionId) -> Option<StreamEnd> {
        match self.0.vault.load(id).await {
            Ok(Some(kept)) => match kept.session().life(self.limits(), self.now().wall) {
                Life::LiveUntil(_) if self.has_lost_its_tokens(kept.session()).await => {
                    Some(StreamEnd::Ended(Reason::TokenRevoked))
                }
                Life::LiveUntil(_) => None,
                Life::IdleTimeout | Life::AbsoluteTimeout => Some(StreamEnd::Expired),
            },
            Ok(None) => Some(StreamEnd::Ended(Reason::SignOut)),
            // Whether it lives is known elsewhere.
            Err(StoreError::NotServing(Phase::Moved)) => Some(StreamEnd::Unknown),
            Err(_) if self.ready().feed_fresh => None,
            Err(_) => Some(StreamEnd::Unknown),
        }
    }

    // Storage `database`: the rows are the session's life, and one may be deleted without the record.
    async fn has_lost_its_tokens(&self, session: &Session) -> bool {
        match session.storage.shape().liveness {
            Liveness::View | Liveness::Record => false,
            Liveness::TokenRow => self.0.vault.list_tokens(session.id).await.is_ok_and(|rows| rows.is_empty()),
        }
    }

    async fn keep_keys(&self) {
        loop {
            sleep(KEYS_EVERY).await;
            if let Err(error) = self.ensure_keys().await {
                tracing::error!(%error, "the signing keys could not be looked after; trying again");
            }
        }
    }

    async fn sweep(&self) {
        let mut last = self.now();
        let mut skip = 0;
        loop {
            sleep(SWEEP_EVERY).await;
            let now = self.now();
            // A clock that leapt forward may leap back: what a sweep deletes does not come back (T2).
            if stepped_forward(last, now) {
                skip = SWEEPS_TO_SKIP;
                tracing::warn!("the system clock was set forward; expired records are kept for a while");
            }
            last = now;
            if skip > 0 {
                skip -= 1;
                continue;
            }
            if self.0.vault.phase() != Phase::Serving {
                continue;
            }
            match self.sweep_sessions(now.wall.minus(SWEEP_BEHIND)).await {
                Ok(swept) => tracing::debug!(swept, "expired records removed"),
                Err(error) => tracing::warn!(%error, "expired records could not be removed; trying again"),
            }
            let old = now.wall.minus(self.config().keep_events);
            if let Err(error) = self.0.vault.sweep_events(old, EVENTS_TO_KEEP).await {
                tracing::warn!(%error, "old events could not be removed; trying again");
            }
            let forgotten = now.wall.minus(self.config().throttle.keep_counters_for());
            if let Err(error) = self.0.vault.sweep_failures(forgotten, COUNTERS_TO_KEEP).await {
                tracing::warn!(%error, "old counters of failed sign-ins could not be removed; trying again");
            }
        }
    }

    // One turn: batch after batch while they come back full. Answers how many records were removed.
    async fn sweep_sessions(&self, over_at: Timestamp) -> Result<u32, StoreError> {
        let mut swept = 0;
        for _ in 0..SWEEP_BATCHES {
            let batch = self.0.vault.sweep(over_at, SWEEP_BATCH).await?;
            swept += batch;
            if batch < SWEEP_BATCH {
                break;
            }
            sleep(BETWEEN_BATCHES).await;
        }
        Ok(swept)
    }

    async fn keep_uses(&self) {
        loop {
            sleep(USES_EVERY).await;
            if self.0.vault.phase() != Phase::Serving {
                // Kept, in case the move is given up.
                continue;
            }
            if let Err(error) = self.write_uses().await {
                tracing::warn!(%error, "uses of sessions could not be written; trying again");
            }
        }
    }

    /// Writes the uses noted since the last time. [`run`](Self::run) does so every second and at its end; on an error
    /// they are kept for the next time.
    pub async fn write_uses(&self) -> Result<(), StoreError> {
        loop {
            let batch = self.0.uses.take(USE_BATCH);
            if batch.is_empty() {
                return Ok(());
            }
            self.0.vault.note_uses(batch.uses()).await?;
            batch.written();
        }
    }

    async fn keep_events(&self, queue: &mut tokio::sync::mpsc::Receiver<Event>) {
        let mut batch = Vec::with_capacity(EVENT_BATCH);
        while queue.recv_many(&mut batch, EVENT_BATCH).await > 0 {
            self.write_events(std::mem::take(&mut batch)).await;
        }
    }

    async fn write_events(&self, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        let lost = events.len() as u64;
        if let Err(error) = self.0.vault.append_events(&events).await {
            self.metrics().events_dropped.fetch_add(lost, std::sync::atomic::Ordering::Relaxed);
            tracing::warn!(%error, lost, "events could not be written to the store; they stand in the log");
        }
    }
}

fn poll_floor(limits: &Limits) -> Duration {
    (limits.staleness / 5).clamp(POLL_MIN, POLL_MAX)
}

fn stepped_forward(before: Moment, now: Moment) -> bool {
    now.wall.since(before.wall) > now.mono.since(before.mono) + SUSPICIOUS_STEP
}
