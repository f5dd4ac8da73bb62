//! One node's knowledge of revocations, and up to when it is complete.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use super::{Epoch, FeedItem, FeedPage, Reason, Seq};
use crate::{Moment, Monotonic, SessionId, Timestamp};

/// Numbers the stretches in which a view heard everything. What was verified under one lineage proves
/// nothing under the next: the session's record must be seen again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lineage(u64);

impl Lineage {
    /// From its number.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// Its number; zero before the first page.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// What a node knows of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its record was seen, and nothing has ended it since.
    Live,
    /// It has ended.
    Ended,
    /// The node cannot tell: the record was never seen in this lineage, or the view is stale.
    Unknown,
}

/// What applying a page did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The view went on without a hole.
    Continued {
        /// Sessions that ended, for closing their streams.
        ended: Vec<(SessionId, Reason)>,
        /// The signing keys must be loaded again.
        keys_changed: bool,
        /// The page reached the head; the view is complete as of the moment the page was asked for.
        complete: bool,
    },
    /// The view had to begin a new lineage: every verified token is unproven again and every stream must
    /// have its session looked up.
    Restarted(Restart),
}

/// Why a view began anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// It is the first page.
    FirstPage,
    /// Entries were dropped before this node read them.
    Gap,
    /// Every session was ended.
    AllEnded(Reason),
    /// The store has another history, or fewer entries than before: it lost writes.
    HistoryLost,
}

impl Restart {
    /// The names of all of them, as in metrics.
    pub const NAMES: [&str; 4] = ["first_page", "gap", "all_ended", "history_lost"];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FirstPage => Self::NAMES[0],
            Self::Gap => Self::NAMES[1],
            Self::AllEnded(_) => Self::NAMES[2],
            Self::HistoryLost => Self::NAMES[3],
        }
    }
}

/// A node's view: sessions known to have ended, and how fresh that knowledge is.
///
/// A missing entry here can only let a dead session live for as long as its verified token is cached; that
/// is why entries are kept longer than any access token lives, by monotonic time, whatever the wall clock
/// does. A view that has not heard from the store for T answers [`Standing::Unknown`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct View {
    lineage: Lineage,
    epoch: Option<Epoch>,
    applied: Seq,
    fresh_as_of: Option<Monotonic>,
    listening_since: Timestamp,
    ended: BTreeMap<SessionId, Monotonic>,
    forget: VecDeque<(Monotonic, SessionId)>,
}

impl View {
    /// A view that knows nothing and says so.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where to continue reading the feed.
    pub fn position(&self) -> Seq {
        self.applied
    }

    /// The history being followed; `None` before the first page.
    pub fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    /// The current lineage.
    pub fn lineage(&self) -> Lineage {
        self.lineage
    }

    /// How many ended sessions it remembers.
    pub fn len(&self) -> usize {
        self.ended.len()
    }

    /// Whether it remembers none.
    pub fn is_empty(&self) -> bool {
        self.ended.is_empty()
    }

    /// How long ago it was known to be complete; `None` if it never was.
    pub fn age(&self, now: Monotonic) -> Option<Duration> {
        self.fresh_as_of.map(|at| now.since(at))
    }

    /// Whether it may be trusted: complete within the last `staleness`.
    pub fn is_fresh(&self, staleness: Duration, now: Monotonic) -> bool {
        self.age(now).is_some_and(|age| age <= staleness)
    }

    /// What it knows of a session whose record was seen in lineage `seen`.
    pub fn standing(&self, id: SessionId, seen: Option<Lineage>, staleness: Duration, now: Monotonic) -> Standing {
        if self.ended.contains_key(&id) {
            Standing::Ended
        } else if seen == Some(self.lineage) && self.is_fresh(staleness, now) {
            Standing::Live
        } else {
            Standing::Unknown
        }
    }

    /// Whether it can speak, without a record having been seen, for a token issued at `issued_at`: it is fresh and
    /// has listened since before that moment, by a margin that covers clock skew between nodes.
    pub fn covers(&self, issued_at: Timestamp, skew: Duration, staleness: Duration, now: Monotonic) -> bool {
        self.is_fresh(staleness, now) && self.listening_since.plus(skew) <= issued_at
    }

    /// Whether it knows that a session has ended.
    pub fn has_ended(&self, id: SessionId) -> bool {
        self.ended.contains_key(&id)
    }

    /// Begins a new lineage at once: for the node that ended every session itself.
    pub fn forget_everything(&mut self) {
        self.lineage = Lineage(self.lineage.0.saturating_add(1));
    }

    /// Forgets the history it followed; the next page begins a new one. For a store that has none to tell yet.
    pub fn begin_again(&mut self) {
        self.forget_everything();
        *self = Self { lineage: self.lineage, ..Self::default() };
    }

    /// Notes that a session has ended, without waiting for the feed: for the node that ended it.
    pub fn end(&mut self, id: SessionId, keep: Duration, now: Monotonic) {
        let until = now.plus(keep);
        if self.ended.insert(id, until).is_none() {
            self.forget.push_back((until, id));
        }
    }

    /// Takes in a page that was asked for at `asked`. `keep` is longer than any access token lives.
    pub fn apply(&mut self, page: &FeedPage, keep: Duration, asked: Moment) -> Applied {
        let restart = match self.epoch {
            None => Some(Restart::FirstPage),
            Some(epoch) if epoch != page.epoch || page.head < self.applied => Some(Restart::HistoryLost),
            Some(_) if page.oldest.0 > self.applied.0.saturating_add(1) => Some(Restart::Gap),
            Some(_) => None,
        };
        if let Some(why) = restart {
            return self.restart(why, page, asked);
        }

        let mut ended = Vec::new();
        let mut keys_changed = false;
        let already = self.applied;
        for entry in page.entries.iter().filter(|entry| entry.seq > already) {
            match &entry.item {
                FeedItem::Ended(id, reason) => {
                    self.end(*id, keep, asked.mono);
                    ended.push((*id, *reason));
                }
                FeedItem::AllEnded(reason) => return self.restart(Restart::AllEnded(*reason), page, asked),
                FeedItem::KeysChanged => keys_changed = true,
            }
        }
        self.applied = page.entries.last().map_or(self.applied, |entry| entry.seq.max(self.applied));
        let complete = self.applied >= page.head;
        if complete {
            self.fresh_as_of = self.fresh_as_of.max(Some(asked.mono));
        }
        self.prune(asked.mono);
        Applied::Continued { ended, keys_changed, complete }
    }

    // Nothing known before is needed any more: every record is seen anew in the new lineage, after this page
    // was asked for, so entries up to its head add nothing.
    fn restart(&mut self, why: Restart, page: &FeedPage, asked: Moment) -> Applied {
        self.lineage = Lineage(self.lineage.0.saturating_add(1));
        self.epoch = Some(page.epoch);
        self.applied = page.head;
        self.fresh_as_of = Some(asked.mono);
        self.listening_since = asked.wall;
        self.ended.clear();
        self.forget.clear();
        Applied::Restarted(why)
    }

    fn prune(&mut self, now: Monotonic) {
        while let Some((until, id)) = self.forget.front().copied()
            && until <= now
        {
            self.forget.pop_front();
            self.ended.remove(&id);
        }
    }
}
