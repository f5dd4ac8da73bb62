//! Sessions: every transition is one atomic conditional write (P5).

use async_trait::async_trait;
use sessile_core::revocation::{Reason, Scope, Seq};
use sessile_core::rotation::Generation;
use sessile_core::{SessionId, Subject, Timestamp};

use crate::error::StoreError;
use crate::record::SealedSession;

/// Session records.
///
/// Only [`insert`](Self::insert) creates one, and no verb both creates and updates: what is dead stays dead (I8).
/// A backend that gets this wrong lets ended sessions live; one that answers `Gone` too often signs people out.
///
/// `now` is the caller's clock. A record that is over at `now` by its own limits is not changed any more.
#[async_trait]
pub trait Sessions {
    /// Adds a session, if its id is free. In the same transaction the subject's records that are over are
    /// dropped, and the oldest of the rest (by `created_at`, then id) are ended with
    /// [`Reason::Evicted`] until `cap` are left, this one included. The new one always stays; a `cap`
    /// of zero counts as one.
    async fn insert(&self, session: SealedSession, cap: u32) -> Result<Insertion, StoreError>;

    /// The record, over or not; `None` if there is none.
    async fn load(&self, id: SessionId) -> Result<Option<SealedSession>, StoreError>;

    /// Advances the generation by one if it is `expected` and the session is not over at `now`; `rotated_at` and
    /// `last_seen_at` become `now` unless they are later already, `confirmed_at` becomes `None`. Nothing else
    /// moves (I10). Of any number of concurrent calls with one `expected`, one gets [`RotateOutcome::Rotated`].
    async fn rotate(&self, id: SessionId, expected: Generation, now: Timestamp) -> Result<RotateOutcome, StoreError>;

    /// Proves that the record is there and not over, and notes that something of `generation` was presented:
    /// `confirmed_at` becomes `now` if `generation` is the current one and it was `None`. Writes at most once
    /// per generation. The answer tells the record as it is then, which may be of another generation.
    async fn confirm(&self, id: SessionId, generation: Generation, now: Timestamp) -> Result<Confirmation, StoreError>;

    /// Ends sessions: deletes their records and appends one [`Ended`] for each to the feed (one [`AllEnded`] for
    /// [`Scope::All`]), in one transaction. Ending what is not there succeeds, changes nothing and appends
    /// nothing, except for [`Scope::All`], which always appends. When this returns, no session of the scope
    /// whose insertion or rotation was acknowledged before the call is left (I9).
    ///
    /// [`Ended`]: sessile_core::revocation::FeedItem::Ended
    /// [`AllEnded`]: sessile_core::revocation::FeedItem::AllEnded
    async fn revoke(&self, scope: &Scope, reason: Reason, now: Timestamp) -> Result<Revoked, StoreError>;

    /// Records in order of id, over or not: those of `subject`, or of everybody, after `after`, at most `limit`.
    /// Each record that is there from the first page to the last appears exactly once.
    async fn list(
        &self,
        subject: Option<&Subject>,
        after: Option<SessionId>,
        limit: u32,
    ) -> Result<Vec<SealedSession>, StoreError>;

    /// Drops at most `limit` records that are over at `now`, and feed entries past their keeping; answers how
    /// many records. Never a live record, whatever runs beside it (S23). Nothing is appended to the feed: an
    /// over session is refused by its own limits on every node, and its streams close by their own timer.
    ///
    /// Pass a `now` that trails the clock by more than nodes may differ: a record dropped early by a clock that
    /// jumped ahead cannot be revoked any more (T2).
    async fn sweep(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError>;

    /// How many records there are, over or not.
    async fn count(&self) -> Result<u64, StoreError>;
}

/// What became of an insertion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Insertion {
    /// The session is stored.
    Inserted {
        /// Sessions that had to make room; their ends are in the feed.
        evicted: Vec<SessionId>,
    },
    /// The id is in use; nothing was changed (I12, E6). Draw another.
    IdTaken,
}

/// What became of a rotation.
#[derive(Clone, Debug, PartialEq)]
pub enum RotateOutcome {
    /// It happened; the record after it.
    Rotated(SealedSession),
    /// The record is of another generation, or over; nothing was changed.
    Superseded(SealedSession),
    /// There is no such session any more.
    Gone,
}

/// Whether a session's record was there.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // Taken apart where it is made; a box would buy nothing.
pub enum Confirmation {
    /// Yes; the record as it is now.
    Live(SealedSession),
    /// No, or it is over.
    Gone,
}

/// An acknowledged revocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// The sessions this call ended, in order of id.
    pub ended: Vec<SessionId>,
    /// The newest feed entry after it: a view that has reached it knows.
    pub seq: Seq,
}
