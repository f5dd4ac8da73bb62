//! Signing keys through the vault.

use sessile_core::Timestamp;
use sessile_core::token::{KeyId, KeyRecord};

use super::{Op, Vault};
use crate::contract::{KeyAddition, KeyRevocation};
use crate::error::StoreError;
use crate::record::{SealedBlob, SealedKey};
use crate::seal::Purpose;

impl Vault {
    /// All signing keys, in the order they were added.
    pub async fn keys(&self) -> Result<Vec<KeyRecord>, StoreError> {
        self.counters.note(Op::LoadKeys);
        self.backend()?.load_keys().await?.into_iter().map(|sealed| self.open_key(sealed)).collect()
    }

    /// Adds a key if the newest is still `expected_newest`; see [`Keys::add_key`](crate::Keys::add_key).
    pub async fn add_key(&self, key: &KeyRecord, expected_newest: Option<&KeyId>) -> Result<KeyAddition, StoreError> {
        let mut record = SealedKey {
            id: key.id.clone(),
            algorithm: key.algorithm,
            created_at: key.created_at,
            active_from: key.active_from,
            revoked_at: key.revoked_at,
            sealed: SealedBlob::from_bytes(Vec::new()),
        };
        record.sealed =
            with_context(&record, |context| self.sealer.seal(Purpose::SigningKey, context, key.private.expose()))?;
        self.counters.note(Op::AddKey);
        self.backend()?.add_key(record, expected_newest).await
    }

    /// Revokes a key as of `now`.
    pub async fn revoke_key(&self, id: &KeyId, now: Timestamp) -> Result<KeyRevocation, StoreError> {
        self.counters.note(Op::RevokeKey);
        self.backend()?.revoke_key(id, now).await
    }

    /// Drops keys whose tokens are all dead; answers how many were there.
    pub async fn forget_keys(&self, ids: &[KeyId], now: Timestamp) -> Result<u32, StoreError> {
        self.counters.note(Op::ForgetKeys);
        self.backend()?.forget_keys(ids, now).await
    }

    fn open_key(&self, record: SealedKey) -> Result<KeyRecord, StoreError> {
        let private = with_context(&record, |context| self.sealer.open(Purpose::SigningKey, context, &record.sealed))?;
        Ok(KeyRecord {
            id: record.id,
            algorithm: record.algorithm,
            created_at: record.created_at,
            active_from: record.active_from,
            revoked_at: record.revoked_at,
            private,
        })
    }
}

fn with_context<T>(record: &SealedKey, use_it: impl FnOnce(&[&[u8]]) -> T) -> T {
    use_it(&[
        record.id.as_str().as_bytes(),
        record.algorithm.name().as_bytes(),
        &record.created_at.as_millis().to_be_bytes(),
        &record.active_from.as_millis().to_be_bytes(),
    ])
}
