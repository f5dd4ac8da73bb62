//! Signing keys on this node: loading, planned rotation, emergency revocation, the published set.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sessile_core::Timestamp;
use sessile_core::crypto::Crypto;
use sessile_core::event::{Event, EventName};
use sessile_core::policy::Limits;
use sessile_core::revocation::Phase;
use sessile_core::session::Session;
use sessile_core::storage::Renewal;
use sessile_core::token::{
    KeyId, KeyRing, KeySchedule, KeyState, KeyStatus, MintFailure, NewAccessToken, RotationDue, VerifiedToken,
};
use sessile_store::{KeyAddition, KeyRevocation, StoreError, WriteOutcome};

use super::{Engine, EngineError, StartError};
use crate::config::EngineConfig;

/// A ring and its number on this node.
pub(crate) struct Ring {
    pub(crate) ring: Arc<KeyRing>,
    pub(crate) version: u64,
    /// The newest key of the records it was made from: what a further key is added after.
    newest: Option<KeyId>,
    made_of: Vec<RecordMark>,
}

/// What tells one state of a key's record from another.
type RecordMark = (KeyId, Timestamp, Option<Timestamp>);

impl Ring {
    pub(crate) fn empty(crypto: &dyn Crypto, config: &EngineConfig) -> Result<Self, StartError> {
        let ring = KeyRing::load(crypto, Vec::new(), schedule(config)).map_err(|e| StartError::Keys(e.to_string()))?;
        Ok(Self { ring: Arc::new(ring), version: 0, newest: None, made_of: Vec::new() })
    }

    pub(crate) fn can_sign(&self) -> bool {
        self.newest.is_some()
    }
}

/// The published key set, ready to send.
#[derive(Clone, Debug)]
pub struct JwksDocument {
    /// The JSON document (RFC 7517 section 5).
    pub body: Bytes,
    /// How long it may be cached: never longer than a new key is published before its first use.
    pub max_age: Duration,
}

/// What a change of keys did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyChange {
    /// A key was added and will sign from its `active_from`.
    Added(KeyId),
    /// Another node had already changed the keys.
    AlreadyChanged,
}

/// How late a node may publish a new key: it learns of it within T, and the key's turn is reckoned from before it was
/// stored. A set may be cached that much less than keys are published ahead.
pub(crate) fn published_late(limits: &Limits) -> Duration {
    limits.staleness + Duration::from_secs(1)
}

fn schedule(config: &EngineConfig) -> KeySchedule {
    KeySchedule {
        rotate_every: config.keys.rotate_every,
        publish_ahead: config.keys.publish_ahead,
        longest_token: config.longest_token(),
    }
}

impl Engine {
    /// Loads the keys anew from the store.
    pub async fn reload_keys(&self) -> Result<(), EngineError> {
        // One at a time: an older reading must not replace a newer one.
        let _turn = self.0.key_turn.lock().await;
        let records = self.0.vault.keys().await?;
        let newest = records.last().map(|record| record.id.clone());
        let made_of: Vec<RecordMark> = records.iter().map(|r| (r.id.clone(), r.active_from, r.revoked_at)).collect();
        let current = self.0.ring.load_full();
        if current.can_sign() && current.made_of == made_of {
            // A new ring would make every verified token cold.
            return Ok(());
        }
        let ring = KeyRing::load(&*self.0.crypto, records, schedule(&self.0.config))
            .map_err(|e| EngineError::Keys(e.to_string()))?;
        let version = current.version + 1;
        self.0.ring.store(Arc::new(Ring { ring: Arc::new(ring), version, newest, made_of }));
        Ok(())
    }

    /// Makes the first key, and the next one when it is due. Of several nodes doing this at once one succeeds.
    pub async fn ensure_keys(&self) -> Result<(), EngineError> {
        self.reload_keys().await?;
        match self.0.vault.phase() {
            Phase::Serving => {}
            // Whoever serves next sees to them.
            Phase::Filling | Phase::Moving | Phase::Moved => return Ok(()),
        }
        let now = self.now().wall;
        match self.ring().due(now) {
            RotationDue::Now => self.add_key().await.map(drop),
            RotationDue::NotYet(_) => self.forget_retired_keys().await,
        }
    }

    // Whatever a retired key signed is dead; the ring knew it only to say so.
    async fn forget_retired_keys(&self) -> Result<(), EngineError> {
        let retired = |status: KeyStatus| (status.state == KeyState::Retired).then_some(status.id);
        let retired: Vec<KeyId> = self.key_status().into_iter().filter_map(retired).collect();
        if !retired.is_empty() {
            self.0.vault.forget_keys(&retired, self.now().wall).await?;
            self.reload_keys().await?;
        }
        Ok(())
    }

    /// Publishes the next key now; it signs once everybody who caches the set can have it.
    pub async fn rotate_keys(&self) -> Result<KeyChange, EngineError> {
        self.reload_keys().await?;
        self.add_key().await
    }

    /// Revokes a key at once: everything it signed is refused on every node within T. If it was the one that
    /// signs, a new one takes its place immediately. `Ok(false)`: there is no such key.
    pub async fn revoke_key(&self, id: &KeyId) -> Result<bool, EngineError> {
        let now = self.now().wall;
        match self.0.vault.revoke_key(id, now).await? {
            KeyRevocation::NoSuchKey => return Ok(false),
            KeyRevocation::AlreadyRevoked => {}
            KeyRevocation::Revoked => self.record(Event::new(EventName::KeyChange, "revoked", now)),
        }
        self.ensure_keys().await?;
        Ok(true)
    }

    async fn add_key(&self) -> Result<KeyChange, EngineError> {
        let now = self.now().wall;
        let current = self.0.ring.load_full();
        let ring = &current.ring;
        let active_from = ring.next_active_from(now);
        ring.admits(self.0.config.keys.algorithm).map_err(|e| EngineError::Keys(e.to_string()))?;
        let record = KeyRing::new_key(&*self.0.crypto, self.0.config.keys.algorithm, active_from, now)
            .map_err(|e| EngineError::Keys(e.to_string()))?;
        let id = record.id.clone();
        let added = self.0.vault.add_key(&record, current.newest.as_ref()).await?;
        self.reload_keys().await?;
        match added {
            KeyAddition::Added => {}
            KeyAddition::Lost => return Ok(KeyChange::AlreadyChanged),
        }
        self.record(Event::new(EventName::KeyChange, "added", now));
        Ok(KeyChange::Added(id))
    }

    /// The state of every key.
    pub fn key_status(&self) -> Vec<KeyStatus> {
        self.ring().status(self.now().wall)
    }

    /// The set to publish.
    pub fn jwks(&self) -> JwksDocument {
        let ring = self.ring();
        let max_age = ring.jwks_max_age().saturating_sub(published_late(&self.0.config.limits));
        JwksDocument { body: Bytes::from(ring.jwks(self.now().wall).to_string()), max_age }
    }

    /// Signs an access token for a session. Its life is a little shorter than configured, by chance, so that
    /// sessions begun together do not renew together, and never passes the session's end (I10). A storage without
    /// renewal gets one for the whole session.
    pub(crate) fn mint(&self, session: &Session) -> Result<Arc<VerifiedToken>, MintFailure> {
        let config = &self.0.config;
        let (lifetime, not_after) = match session.storage.shape().renewal {
            Renewal::Transparent | Renewal::ByClient => {
                (self.jittered(config.limits.access), session.end(&config.limits))
            }
            // Nothing comes after it, so it lives as long as its session may; the idle timeout is judged by the record.
            Renewal::Never => (config.longest_token(), session.absolute_end(&config.limits)),
        };
        let new = NewAccessToken {
            session,
            issuer: &config.issuer,
            audience: &config.audience,
            client_id: &config.client_id,
            lifetime,
            not_after,
        };
        self.ring().mint(&*self.0.entropy, &new, self.now().wall).map(Arc::new)
    }

    /// As [`mint`](Self::mint), for a session that has had a token before. `None`: less than a second of it is left,
    /// and no token fits.
    pub(crate) fn mint_again(&self, session: &Session) -> Result<Option<Arc<VerifiedToken>>, StoreError> {
        match self.mint(session) {
            Ok(token) => Ok(Some(token)),
            Err(MintFailure::SessionOver) => Ok(None),
            Err(MintFailure::Entropy(failure)) => Err(StoreError::Entropy(failure)),
            Err(failure) => Err(StoreError::Unavailable { why: failure.to_string(), outcome: WriteOutcome::NotDone }),
        }
    }

    fn jittered(&self, life: Duration) -> Duration {
        let mut byte = [0_u8; 1];
        if self.0.entropy.fill(&mut byte).is_err() {
            return life;
        }
        let share = life / 100 * u32::from(self.limits().access_jitter_percent);
        life.saturating_sub(share * u32::from(byte[0]) / 255)
    }
}
