//! Signing keys, shared by all nodes.

use async_trait::async_trait;
use sessile_core::Timestamp;
use sessile_core::token::KeyId;

use crate::error::StoreError;
use crate::record::SealedKey;

/// Signing keys. Every change appends [`KeysChanged`](sessile_core::revocation::FeedItem::KeysChanged) in the same
/// transaction.
#[async_trait]
pub trait Keys {
    /// All keys, in the order they were added.
    async fn load_keys(&self) -> Result<Vec<SealedKey>, StoreError>;

    /// Adds a key if the newest one is `expected_newest` (`None`: if there are none). Of nodes that rotate at
    /// once, one wins and the others load what it made.
    async fn add_key(&self, key: SealedKey, expected_newest: Option<&KeyId>) -> Result<KeyAddition, StoreError>;

    /// Marks a key as revoked at `now`. A key stays revoked; the first moment is kept.
    async fn revoke_key(&self, id: &KeyId, now: Timestamp) -> Result<KeyRevocation, StoreError>;

    /// Drops keys whose tokens are all dead; the ring knows which. Answers how many were there. The newest key is
    /// never dropped, so that [`add_key`](Self::add_key) always has something to compare with.
    async fn forget_keys(&self, ids: &[KeyId], now: Timestamp) -> Result<u32, StoreError>;
}

/// What became of a key to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyAddition {
    /// It is stored.
    Added,
    /// Another key was added first, or the id is in use; nothing was changed.
    Lost,
}

/// What became of a key's revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRevocation {
    /// It is revoked now.
    Revoked,
    /// It was already.
    AlreadyRevoked,
    /// There is no such key.
    NoSuchKey,
}
