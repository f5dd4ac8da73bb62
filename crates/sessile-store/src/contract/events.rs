//! Security events, kept for a bounded time.

use async_trait::async_trait;
use sessile_core::event::Event;
use sessile_core::{SessionId, Subject, Timestamp};

use crate::error::StoreError;
use crate::record::StoredEvent;

/// Events in the store; the log has them too.
#[async_trait]
pub trait Events {
    /// Appends all of `events`, in order, or none.
    async fn append_events(&self, events: &[Event]) -> Result<(), StoreError>;

    /// Events that match, oldest first.
    async fn events(&self, query: &EventQuery) -> Result<Vec<StoredEvent>, StoreError>;

    /// Drops events that happened before `before`, and the oldest beyond the newest `keep`; answers how many.
    async fn sweep_events(&self, before: Timestamp, keep: u64) -> Result<u64, StoreError>;
}

/// Which events to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// Where to begin.
    pub from: EventsFrom,
    /// Only about this subject.
    pub subject: Option<Subject>,
    /// Only about this session.
    pub session: Option<SessionId>,
    /// Only with this name.
    pub name: Option<String>,
    /// At most this many.
    pub limit: u32,
}

/// Where to begin reading events. Whichever it is, they come oldest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventsFrom {
    /// The newest ones.
    #[default]
    Newest,
    /// The first ones after this place: to follow the log.
    After(u64),
    /// The last ones before this place: to page back.
    Before(u64),
}
