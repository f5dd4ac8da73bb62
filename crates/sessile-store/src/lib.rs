//! Where Sessile keeps sessions, accounts, signing keys and security events.
//!
//! A [`Backend`] keeps sealed records and makes each transition one atomic conditional write; it is the sum of
//! the small traits in this crate ([`Sessions`], [`Tokens`], [`Feed`], [`Keys`], [`Accounts`], [`Throttles`], [`Events`], [`Moves`]). A
//! [`Vault`] around it holds the master key, seals and opens, and is the only place where a session token becomes
//! [`Stored`](sessile_core::rotation::Stored). Whoever uses a store uses the vault.
//!
//! # Adding a backend
//!
//! Implement the traits; the contract is in their documentation. Three rules decide most questions:
//!
//! 1. *Truth is presence.* A session is valid because its record exists. Nothing but
//!    [`insert`](Sessions::insert) creates one; nothing brings one back.
//! 2. *An acknowledgement is a promise.* Return `Ok` from a write only when it survives what
//!    [`durability`](Backend::durability) says it survives.
//! 3. *An expected outcome is a value, a fault is an [`StoreError`].* Never answer `Gone` because the store could
//!    not be reached.
//!
//! Then run the `conformance` suite (feature `conformance`) against it: it is the definition of done, it needs no
//! access to the inside of a backend, and it is the same one the backends of this crate pass.
//!
//! Time is an argument everywhere. Nothing here reads a wall clock; timeouts use a monotonic one.

#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod column;
mod contract;
mod error;
mod master_key;
mod migration;
pub mod record;
mod seal;
mod vault;

#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "memory")]
pub mod memory;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "sqlite")]
pub mod sqlite;

pub use contract::{
    AccountChange, AccountCreation, Accounts, Backend, Confirmation, Continuity, Durability, EventQuery, Events,
    EventsFrom, FEED_KEEP_ENTRIES, FEED_KEEP_FOR, Feed, Insertion, KeyAddition, KeyRevocation, Keys, MoveId, Moves,
    Revoked, RotateOutcome, SessionCopy, Sessions, Stage, StageChange, TOKENS_PER_SESSION, Taken, TakingIn, Throttles,
    TokenAddition, Tokens,
};
pub use error::{SealError, StoreError, WriteOutcome};
pub use master_key::{MasterKey, MasterKeyRefused};
pub use migration::{Migration, MigrationError, Progress, Step, Summary};
pub use record::{AccountName, FailureCount, InvalidName, SealedBlob, StoredEvent, ThrottleKey, TokenRow, Use};
pub use seal::{Purpose, Sealer};
pub use vault::{Account, InsertOutcome, Kept, Op, OpCounts, Rotation, SessionPage, Vault};
