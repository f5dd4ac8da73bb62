//! Hearing that the feed has moved: a connection of its own listens, and asks each second in case it heard nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::lanes::Lanes;
use super::server::{State, state};
use super::{Position, SchemaName};
use crate::contract::Durability;
use crate::error::{StoreError, WriteOutcome};

/// How long nothing need be heard before it asks.
const EVERY: Duration = Duration::from_millis(900);
/// Two looks are at least so far apart: notices that come meanwhile are answered together. After a quiet moment at once.
const BETWEEN_LOOKS: Duration = Duration::from_millis(30);
/// Past this the connection counts as dead.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// What was last heard from the server.
#[derive(Debug)]
pub(super) struct News {
    position: watch::Sender<Position>,
    durability: Mutex<Durability>,
}

impl News {
    pub(super) fn new(state: State) -> Self {
        Self { position: watch::Sender::new(state.position), durability: Mutex::new(state.durability) }
    }

    pub(super) fn position(&self) -> &watch::Sender<Position> {
        &self.position
    }

    pub(super) fn durability(&self) -> Durability {
        *self.durability.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // A head that went back is news too: whoever reads the feed then finds out.
    fn publish(&self, state: State) {
        self.position.send_if_modified(|known| std::mem::replace(known, state.position) != state.position);
        let mut durability = self.durability.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *durability, state.durability) > state.durability {
            let now = state.durability.name();
            tracing::warn!(
                now,
                "the settings of PostgreSQL were changed: what it acknowledges survives less than before"
            );
        }
    }
}

/// Runs as long as the store.
pub(super) async fn follow(lanes: Lanes, news: Arc<News>, schema: SchemaName) {
    let mut retry = RETRY_MIN;
    let mut was_away = false;
    loop {
        let ended = listen(&lanes, &news, &schema, |_| {
            retry = RETRY_MIN;
            if std::mem::take(&mut was_away) {
                tracing::info!("PostgreSQL is heard from again");
            }
        });
        let Err(fault) = ended.await;
        if !was_away {
            tracing::warn!(%fault, "PostgreSQL cannot be listened to; trying again");
            was_away = true;
        }
        sleep(retry).await;
        retry = (retry * 2).min(RETRY_MAX);
    }
}

// Ends with the fault that ended it. Its first look, after each connecting, wakes everybody whom news passed by.
async fn listen(
    lanes: &Lanes,
    news: &News,
    schema: &SchemaName,
    mut heard: impl FnMut(&State),
) -> Result<std::convert::Infallible, StoreError> {
    let connection = lanes.opener().open().await?;
    let begin = lanes.begin_read(ANSWER_WITHIN);
    let listening = connection.client.batch_execute(&format!("LISTEN {}", schema.channel())).await;
    listening.map_err(|e| super::fault::fault(&e, WriteOutcome::NotDone))?;
    loop {
        let looked = Instant::now();
        let now = timeout(ANSWER_WITHIN, state(&begin, &connection)).await;
        let now = now.map_err(|_| StoreError::not_done("no answer on the connection that listens"))??;
        heard(&now);
        news.publish(now);
        lanes.reserve().keep_warm().await;
        // Either end of the wait is an invitation to look.
        let _ = timeout(EVERY, connection.notified.notified()).await;
        sleep_until(looked + BETWEEN_LOOKS).await;
    }
}
