//! Throttles and events through the vault: nothing in them is secret, so they pass, counted.

use sessile_core::Timestamp;
use sessile_core::event::Event;

use super::{Op, Vault};
use crate::contract::EventQuery;
use crate::error::StoreError;
use crate::record::{FailureCount, StoredEvent, ThrottleKey};

impl Vault {
    /// The key under which failures are counted for `text`, a name or a network; `kind` keeps kinds apart.
    pub fn throttle_key(&self, kind: &str, text: &str) -> ThrottleKey {
        ThrottleKey::from_bytes(self.sealer.digest(&format!("throttle {kind}"), text))
    }

    /// Counts one failure; see [`Throttles`](crate::Throttles) for the order that is free of races.
    pub async fn note_failure(&self, key: &ThrottleKey, now: Timestamp) -> Result<FailureCount, StoreError> {
        self.counters.note(Op::NoteFailure);
        self.backend()?.note_failure(key, now).await
    }

    /// The count; zero if there is none.
    pub async fn failures(&self, key: &ThrottleKey) -> Result<FailureCount, StoreError> {
        self.counters.note(Op::Failures);
        self.backend()?.failures(key).await
    }

    /// Forgets a counter.
    pub async fn clear_failures(&self, key: &ThrottleKey) -> Result<(), StoreError> {
        self.counters.note(Op::ClearFailures);
        self.backend()?.clear_failures(key).await
    }

    /// Drops old counters; see [`Throttles::sweep_failures`](crate::Throttles::sweep_failures).
    pub async fn sweep_failures(&self, before: Timestamp, keep: u64) -> Result<u64, StoreError> {
        self.counters.note(Op::SweepFailures);
        self.backend()?.sweep_failures(before, keep).await
    }

    /// Appends security events, all or none.
    pub async fn append_events(&self, events: &[Event]) -> Result<(), StoreError> {
        self.counters.note(Op::AppendEvents);
        self.backend()?.append_events(events).await
    }

    /// Events that match, oldest first.
    pub async fn events(&self, query: &EventQuery) -> Result<Vec<StoredEvent>, StoreError> {
        self.counters.note(Op::Events);
        self.backend()?.events(query).await
    }

    /// Drops old events; see [`Events::sweep_events`](crate::Events::sweep_events).
    pub async fn sweep_events(&self, before: Timestamp, keep: u64) -> Result<u64, StoreError> {
        self.counters.note(Op::SweepEvents);
        self.backend()?.sweep_events(before, keep).await
    }
}
