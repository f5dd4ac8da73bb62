//! Moving every session from one store to another.
//!
//! The store itself refuses what its [`Phase`] rules out, in the step that would have done it. So nobody waits until
//! all nodes have heard: once a phase is set, no node writes against it any more, not one that was suspended either.

use async_trait::async_trait;
use sessile_core::SessionId;
use sessile_core::revocation::Phase;

use crate::error::StoreError;
use crate::record::{AccountName, SealedAccount, SealedKey, SealedSession, TokenRow};

/// What a move of sessions asks of both of its ends. [`Migration`](crate::Migration) is the one that asks.
///
/// Unless the store is [`Serving`](Phase::Serving), every verb that changes sessions, tokens, keys, accounts or counters
/// answers [`StoreError::NotServing`] and changes nothing; security events and
/// [`restart_history`](crate::Feed::restart_history) go on. A backend that lets one such write through loses it: it is acknowledged
/// here, and the other store, which serves next, has never heard of it.
///
/// While its phase does not [answer](Phase::answers), [`load`](crate::Sessions::load) and
/// [`find_token`](crate::Tokens::find_token) answer [`StoreError::NotServing`] as well: what is not there yet may live, and what is
/// still there may have ended. Listings go on; nobody is admitted by them.
///
/// `set_stage` and every write take turns: a write that was acknowledged before a stage was set is seen by whoever reads
/// afterwards.
#[async_trait]
pub trait Moves {
    /// Where the store stands.
    async fn stage(&self) -> Result<Stage, StoreError>;

    /// Goes from one stage to another, if it is at `expected`. In the same step,
    ///
    /// - a store that begins to be [`Filling`](Phase::Filling) must be without sessions and accounts, and loses its keys,
    ///   which have signed for nobody;
    /// - a store that ends being filled begins a new epoch, because what it was given is in no feed: every node reads
    ///   everything anew. If `next` names no move, all that was taken in is dropped.
    async fn set_stage(&self, expected: Stage, next: Stage) -> Result<StageChange, StoreError>;

    /// Records in order of id with their tokens' rows, oldest first, all of one instant: those after `after`, at most
    /// `limit`.
    async fn copies(&self, after: Option<SessionId>, limit: u32) -> Result<Vec<SessionCopy>, StoreError>;

    /// Makes this store's records those of another one, all of `items` or none, if it is being filled by this move. What is
    /// there is replaced, and nothing is judged or told to the feed.
    ///
    /// The one verb that both creates and updates. It brings nothing dead back, because nobody has ever been answered from
    /// a store that is being filled.
    async fn take_in(&self, of: MoveId, items: &[Taken]) -> Result<TakingIn, StoreError>;
}

/// Names one move, at both of its ends: what is filled is filled from one store alone, and what was left was left for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MoveId([u8; 16]);

impl MoveId {
    /// From its octets.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its octets.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Where a store stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stage {
    /// Whether it serves.
    pub phase: Phase,
    /// The last move it took part in; `None`: in none, or the move was given up.
    pub of: Option<MoveId>,
}

impl Stage {
    /// A stage of a move.
    pub const fn of(phase: Phase, of: MoveId) -> Self {
        Self { phase, of: Some(of) }
    }
}

/// What became of a change of stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageChange {
    /// It was made.
    Changed,
    /// The store stands elsewhere; nothing was changed.
    Otherwise(Stage),
    /// It holds sessions or accounts of its own; nothing was changed.
    NotEmpty,
}

/// A session with its tokens' rows.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionCopy {
    /// The record.
    pub session: SealedSession,
    /// The rows, oldest first.
    pub tokens: Vec<TokenRow>,
}

/// One thing to be made as it is at the other store.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // Most of them are the large one.
pub enum Taken {
    /// A session's record and rows, in place of those of its id.
    Session(SessionCopy),
    /// No session of this id.
    NoSession(SessionId),
    /// An account, in place of the one of its name.
    Account(SealedAccount),
    /// No account of this name.
    NoAccount(AccountName),
    /// All signing keys, in their order.
    Keys(Vec<SealedKey>),
}

/// What became of something to be taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakingIn {
    /// It is stored.
    Taken,
    /// The store is not being filled by this move; nothing was changed.
    Refused,
}
