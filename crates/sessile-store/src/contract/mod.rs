//! What a backend promises: small traits, [`Backend`] as their sum.

mod accounts;
mod events;
mod feed;
mod keys;
mod moves;
mod sessions;
mod throttles;
mod tokens;

use std::fmt;

use async_trait::async_trait;

pub use accounts::{AccountChange, AccountCreation, Accounts};
pub use events::{EventQuery, Events, EventsFrom};
pub(crate) use feed::fresh_epoch;
#[cfg(any(feature = "memory", feature = "postgres", feature = "redis", feature = "sqlite"))]
pub(crate) use feed::wait_for_change;
pub use feed::{Continuity, FEED_KEEP_ENTRIES, FEED_KEEP_FOR, Feed};
pub use keys::{KeyAddition, KeyRevocation, Keys};
pub use moves::{MoveId, Moves, SessionCopy, Stage, StageChange, Taken, TakingIn};
pub use sessions::{Confirmation, Insertion, Revoked, RotateOutcome, Sessions};
pub use throttles::Throttles;
pub use tokens::{TOKENS_PER_SESSION, TokenAddition, Tokens};

use crate::error::StoreError;
use crate::record::SealedBlob;

/// A store. Object safe; shared by every thread of a node.
#[async_trait]
pub trait Backend:
    Sessions + Tokens + Feed + Keys + Accounts + Throttles + Events + Moves + fmt::Debug + Send + Sync
{
    /// The name in logs and on the status page, such as `sqlite`.
    fn name(&self) -> &'static str;

    /// What an acknowledgement of this store survives (P2).
    fn durability(&self) -> Durability;

    /// Keeps `witness` if the store holds none yet, and answers the one it holds. One atomic step: of two nodes
    /// starting on an empty store, both learn the same witness.
    async fn master_witness(&self, witness: SealedBlob) -> Result<SealedBlob, StoreError>;
}

/// Ending everything takes longer than ending one session, by this factor of the patience with a write.
#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite"))]
pub(crate) const PATIENCE_FOR_ALL: u32 = 30;

/// What an acknowledged write survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// Nothing: it lives in this process.
    Memory,
    /// The death of this process, by SIGKILL too.
    ProcessCrashSafe,
    /// Loss of power: it was synced to the disk before it was acknowledged.
    HostCrashSafe,
    /// Loss of a machine.
    Replicated,
}

impl Durability {
    /// The name on the status page and in acknowledgements.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::ProcessCrashSafe => "process-crash-safe",
            Self::HostCrashSafe => "host-crash-safe",
            Self::Replicated => "replicated",
        }
    }
}
