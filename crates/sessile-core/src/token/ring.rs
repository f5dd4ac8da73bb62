//! The keys of a deployment at one moment: which signs, which verify, which are published.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use serde_json::{Value, json};

use super::key::{self, KeyId, KeyRecord};
use super::timeline::{Term, Turn, turns};
use super::{CLOCK_SKEW, TokenRefused};
use crate::crypto::{Algorithm, Crypto, CryptoFault, KeyRefused, PublicKey, SigningKey, VerifyingKey};
use crate::time::Timestamp;

/// When keys change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySchedule {
    /// How long a key signs. Longer than `publish_ahead`.
    pub rotate_every: Duration,
    /// How long a key is published before it signs. The JWKS may be cached this long, so that no verifier
    /// with a fresh cache meets a key it does not know.
    pub publish_ahead: Duration,
    /// The longest life of any token minted; at least one second. A key verifies this long after its last
    /// signature.
    pub longest_token: Duration,
}

/// The keys of a deployment: an immutable snapshot, replaced as a whole when the store's keys change.
///
/// A key signs from its `active_from` until the next one does, and verifies until all it signed is dead.
/// Revoking a key ends both at once. Private keys are parsed once; the ring keeps no other copy.
pub struct KeyRing {
    entries: Vec<Entry>,
    schedule: KeySchedule,
}

struct Entry {
    id: KeyId,
    algorithm: Algorithm,
    created_at: Timestamp,
    active_from: Timestamp,
    revoked_at: Option<Timestamp>,
    turn: Turn,
    /// `None` for a revoked key: it is not even loaded.
    keys: Option<Keys>,
}

struct Keys {
    signing: Box<dyn SigningKey>,
    verifying: Box<dyn VerifyingKey>,
    public: Option<PublicKey>,
}

/// Where a key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Published, not signing yet.
    Next,
    /// Signing.
    Active,
    /// Verifying what it signed; still published.
    Retiring,
    /// All it signed is dead; the record may be forgotten.
    Retired,
    /// Revoked: neither signs nor verifies.
    Revoked,
}

impl KeyState {
    /// The name in listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Retired => "retired",
            Self::Revoked => "revoked",
        }
    }
}

/// A key as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyStatus {
    /// Its name.
    pub id: KeyId,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// Where it is in its life.
    pub state: KeyState,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it may first sign.
    pub active_from: Timestamp,
    /// When its last token is dead; `None` while it has no successor.
    pub retires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// Whether a new key is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotationDue {
    /// Not before this moment.
    NotYet(Timestamp),
    /// Now. [`KeyRing::next_active_from`] says from when the new key should sign.
    Now,
}

impl KeyRing {
    /// Loads the keys. An empty ring is fine: it verifies nothing, and a key is [due](Self::due) at once.
    pub fn load(
        crypto: &dyn Crypto,
        mut records: Vec<KeyRecord>,
        schedule: KeySchedule,
    ) -> Result<Self, KeyRingRefused> {
        if schedule.rotate_every <= schedule.publish_ahead {
            return Err(KeyRingRefused::RotatesBeforePublished);
        }
        if schedule.longest_token < Duration::from_secs(1) {
            return Err(KeyRingRefused::TokenTooShort);
        }
        records.sort_by(|a, b| (a.active_from, a.created_at, &a.id).cmp(&(b.active_from, b.created_at, &b.id)));
        refuse_twins(&records)?;
        refuse_mixture(records.iter().filter(|r| r.revoked_at.is_none()).map(|r| r.algorithm))?;
        let terms: Vec<Term> =
            records.iter().map(|r| Term { active_from: r.active_from, revoked: r.revoked_at }).collect();
        let entries = records
            .into_iter()
            .zip(turns(&terms, schedule.longest_token))
            .map(|(record, turn)| Entry::load(crypto, record, turn))
            .collect::<Result<_, _>>()?;
        Ok(Self { entries, schedule })
    }

    /// Makes a key. Store it sealed, then load a new ring.
    pub fn new_key(
        crypto: &dyn Crypto,
        algorithm: Algorithm,
        active_from: Timestamp,
        now: Timestamp,
    ) -> Result<KeyRecord, CryptoFault> {
        let private = crypto.generate_key(algorithm)?;
        let signing = crypto.signing_key(algorithm, &private).map_err(|_| CryptoFault)?;
        let id = key::id_of(crypto, signing.as_ref())?;
        Ok(KeyRecord { id, algorithm, created_at: now, active_from, revoked_at: None, private })
    }

    /// From when a key made now should sign: after every cached JWKS has been renewed; or at once, if there
    /// is no key to sign with until then.
    pub fn next_active_from(&self, now: Timestamp) -> Timestamp {
        match self.active(now) {
            Some(_) => now.plus(self.schedule.publish_ahead),
            None => now,
        }
    }

    /// Whether a key of `algorithm` may join: HMAC keys and key pairs do not mix in one ring (JA-17). Ask
    /// before storing a key, since a store that holds both loads nowhere.
    pub fn admits(&self, algorithm: Algorithm) -> Result<(), KeyRingRefused> {
        let live = self.entries.iter().filter(|e| e.revoked_at.is_none()).map(|e| e.algorithm);
        refuse_mixture(live.chain([algorithm]))
    }

    /// Whether it is time for [a new key](Self::new_key).
    pub fn due(&self, now: Timestamp) -> RotationDue {
        let Some((active, _)) = self.active(now) else {
            return RotationDue::Now;
        };
        let KeySchedule { rotate_every, publish_ahead, .. } = self.schedule;
        // A key made while some clock was years ahead must not stop rotation until then.
        let horizon = now.plus(rotate_every).plus(publish_ahead);
        let newest = self
            .entries
            .iter()
            .filter(|e| e.revoked_at.is_none() && e.active_from <= horizon)
            .map(|e| e.active_from)
            .fold(active.active_from, Timestamp::max);
        let due = newest.plus(rotate_every).minus(publish_ahead);
        if now >= due { RotationDue::Now } else { RotationDue::NotYet(due) }
    }

    /// The published keys as JWK set: those that sign or verify now, and the next. No HMAC key, no private
    /// part.
    pub fn jwks(&self, now: Timestamp) -> Value {
        let keys: Vec<Value> = self
            .entries
            .iter()
            .filter(|entry| !entry.retired(now))
            .filter_map(|entry| Some(key::jwk(&entry.id, entry.algorithm, entry.keys.as_ref()?.public.as_ref()?)))
            .collect();
        json!({ "keys": keys })
    }

    /// How long [`jwks`](Self::jwks) may be cached: less than keys are published ahead, because a node whose clock is
    /// ahead signs with a new key that much earlier. The allowance is [`CLOCK_SKEW`], or a fifth where that is less.
    pub fn jwks_max_age(&self) -> Duration {
        let ahead = self.schedule.publish_ahead;
        ahead.saturating_sub(CLOCK_SKEW.min(ahead / 5))
    }

    /// Every key and where it is in its life, in the order of their turns.
    pub fn status(&self, now: Timestamp) -> Vec<KeyStatus> {
        let active = self.active(now).map(|(entry, _)| &entry.id);
        let state = |entry: &Entry| match entry.turn.begins {
            _ if entry.revoked_at.is_some() => KeyState::Revoked,
            _ if entry.retired(now) => KeyState::Retired,
            _ if active == Some(&entry.id) => KeyState::Active,
            Some(begins) if begins <= now => KeyState::Retiring,
            _ => KeyState::Next,
        };
        self.entries
            .iter()
            .map(|entry| KeyStatus {
                id: entry.id.clone(),
                algorithm: entry.algorithm,
                state: state(entry),
                created_at: entry.created_at,
                active_from: entry.active_from,
                retires_at: entry.turn.retires,
                revoked_at: entry.revoked_at,
            })
            .collect()
    }

    /// Whether a token verified earlier under this key would still be: not revoked, not retired since. A
    /// cache of verified tokens asks this each time.
    pub fn still_verifies(&self, id: &KeyId, now: Timestamp) -> bool {
        self.entries.iter().any(|entry| entry.id == *id && entry.verifier(entry.algorithm, now).is_ok())
    }

    /// The key that verifies tokens naming `id` and `algorithm`, if it may now.
    pub(super) fn verifier(
        &self,
        id: &KeyId,
        algorithm: Algorithm,
        now: Timestamp,
    ) -> Result<&dyn VerifyingKey, TokenRefused> {
        let entry = self.entries.iter().find(|entry| entry.id == *id).ok_or(TokenRefused::KeyUnknown)?;
        entry.verifier(algorithm, now)
    }

    /// The key that signs now, with its name.
    pub(super) fn signer(&self, now: Timestamp) -> Option<(&KeyId, &dyn SigningKey)> {
        self.active(now).map(|(entry, keys)| (&entry.id, keys.signing.as_ref()))
    }

    pub(super) fn longest_token(&self) -> Duration {
        self.schedule.longest_token
    }

    /// The last key whose turn has begun; nobody if that one is revoked.
    fn active(&self, now: Timestamp) -> Option<(&Entry, &Keys)> {
        let entry = self.entries.iter().rev().find(|entry| entry.turn.begins.is_some_and(|begins| begins <= now))?;
        Some((entry, entry.keys.as_ref()?))
    }
}

impl Entry {
    fn load(crypto: &dyn Crypto, record: KeyRecord, turn: Turn) -> Result<Self, KeyRingRefused> {
        let KeyRecord { id, algorithm, created_at, active_from, revoked_at, private } = record;
        let keys = match revoked_at {
            Some(_) => None,
            None => {
                let refused = |why| KeyRingRefused::Key(id.clone(), why);
                let signing = crypto.signing_key(algorithm, &private).map_err(refused)?;
                let verifying = crypto.verifying_key(algorithm, &private).map_err(refused)?;
                if key::id_of(crypto, signing.as_ref()).as_ref() != Ok(&id) {
                    return Err(KeyRingRefused::NotItsName(id));
                }
                let public = signing.public();
                Some(Keys { signing, verifying, public })
            }
        };
        Ok(Self { id, algorithm, created_at, active_from, revoked_at, turn, keys })
    }

    fn retired(&self, now: Timestamp) -> bool {
        self.turn.retires.is_some_and(|at| now >= at)
    }

    fn verifier(&self, algorithm: Algorithm, now: Timestamp) -> Result<&dyn VerifyingKey, TokenRefused> {
        if algorithm != self.algorithm {
            return Err(TokenRefused::Algorithm);
        }
        let Some(keys) = &self.keys else {
            return Err(TokenRefused::KeyRevoked);
        };
        if now.plus(CLOCK_SKEW) < self.created_at {
            return Err(TokenRefused::KeyNotPublished);
        }
        if self.retired(now) {
            return Err(TokenRefused::KeyRetired);
        }
        Ok(keys.verifying.as_ref())
    }
}

fn refuse_twins(records: &[KeyRecord]) -> Result<(), KeyRingRefused> {
    for (index, record) in records.iter().enumerate() {
        if records[..index].iter().any(|before| before.id == record.id) {
            return Err(KeyRingRefused::DuplicateId(record.id.clone()));
        }
    }
    Ok(())
}

fn refuse_mixture(algorithms: impl Iterator<Item = Algorithm>) -> Result<(), KeyRingRefused> {
    let (mut shared, mut pairs) = (false, false);
    for algorithm in algorithms {
        match algorithm {
            Algorithm::Hs256 => shared = true,
            Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa | Algorithm::Ps256 => pairs = true,
        }
    }
    if shared && pairs { Err(KeyRingRefused::MixedFamilies) } else { Ok(()) }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries.iter().map(|entry| (&entry.id, entry.algorithm))).finish()
    }
}

/// Why a set of keys was not loaded. The node keeps the ring it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyRingRefused {
    /// `rotate_every` is not longer than `publish_ahead`.
    RotatesBeforePublished,
    /// `longest_token` is under a second.
    TokenTooShort,
    /// Two records have this name.
    DuplicateId(KeyId),
    /// HMAC keys and key pairs together.
    MixedFamilies,
    /// The key in this record is not the one its name says.
    NotItsName(KeyId),
    /// The provider refused the key.
    Key(KeyId, KeyRefused),
}

impl fmt::Display for KeyRingRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RotatesBeforePublished => {
                f.write_str("signing keys rotate faster than they are published; make the rotation interval longer than the JWKS max-age")
            }
            Self::TokenTooShort => f.write_str("access tokens live at least one second"),
            Self::DuplicateId(id) => write!(f, "two signing keys are named {id}; revoke that name and make a new key"),
            Self::MixedFamilies => f.write_str(
                "HS256 keys and public-key pairs cannot be in use together; revoke the keys of the algorithm you leave",
            ),
            Self::NotItsName(id) => {
                write!(f, "the record of signing key {id} holds another key; revoke {id} and make a new key")
            }
            Self::Key(id, why) => write!(f, "signing key {id}: {why}; revoke it and make a new key"),
        }
    }
}
impl core::error::Error for KeyRingRefused {}
