//! What a backend keeps: records whose secrets are sealed before they arrive.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use sessile_core::client::Client;
use sessile_core::crypto::Algorithm;
use sessile_core::id::TokenId;
use sessile_core::rotation::RotationState;
use sessile_core::token::KeyId;
use sessile_core::{SessionId, Storage, Subject, Timestamp};

/// The latest moment and the longest duration a record can hold, in milliseconds: what a signed 64-bit column
/// takes. [`Vault`](crate::Vault) clamps to it, so that what is read back equals what was written.
pub const MAX_MILLIS: u64 = i64::MAX as u64;

/// A secret sealed under the master key. Opaque to every backend.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedBlob(Vec<u8>);

impl SealedBlob {
    /// Longest blob a [`Sealer`](crate::Sealer) makes, in bytes: far below any driver's length limit (L1), and above
    /// the largest set of claims with its key. A backend takes every blob up to this.
    pub const MAX_BYTES: usize = 64 * 1024;

    /// From the bytes kept.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes to keep.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SealedBlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedBlob({} bytes)", self.0.len())
    }
}

/// A session as a backend sees it. Each field means what it means in [`sessile_core::session::Session`].
#[derive(Clone, Debug, PartialEq)]
pub struct SealedSession {
    /// Public handle; the primary key.
    pub id: SessionId,
    /// Whose session it is.
    pub subject: Subject,
    /// Where its JWT lives.
    pub storage: Storage,
    /// Whether the user asked to be remembered.
    pub remember: bool,
    /// Sign-in.
    pub created_at: Timestamp,
    /// When the user last proved who they are.
    pub authenticated_at: Timestamp,
    /// Last recorded activity.
    pub last_seen_at: Timestamp,
    /// The absolute end agreed at sign-in.
    pub absolute_end: Timestamp,
    /// The idle timeout agreed at sign-in, whole milliseconds.
    pub idle: Duration,
    /// How far the session token was rotated.
    pub rotation: RotationState,
    /// The browser it was made on.
    pub client: Client,
    /// Session key and facts, sealed.
    pub sealed: SealedBlob,
}

impl SealedSession {
    /// When it is over by the limits agreed at sign-in, if no further activity is recorded.
    pub fn over_at(&self) -> Timestamp {
        self.absolute_end.min(self.last_seen_at.plus(self.idle))
    }

    /// Whether it is over by the limits agreed at sign-in. A backend changes no record that is; stricter limits
    /// in force are the engine's to judge.
    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= self.over_at()
    }
}

/// An access token issued under storage `database`. It holds nothing that could be presented: a token is proved by
/// its signature, and lives because its row is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// Its `jti`; the primary key.
    pub id: TokenId,
    /// The session it belongs to.
    pub session: SessionId,
    /// Whose it is.
    pub subject: Subject,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it expires.
    pub expires_at: Timestamp,
    /// When it was last presented; `None`: not yet, as far as was written.
    pub last_used_at: Option<Timestamp>,
}

/// A request of a live session, to be noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// The session.
    pub session: SessionId,
    /// The access token, if it has a row.
    pub token: Option<TokenId>,
    /// When.
    pub at: Timestamp,
}

/// A signing key as a backend sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct SealedKey {
    /// Its `kid`.
    pub id: KeyId,
    /// The one algorithm it is for.
    pub algorithm: Algorithm,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when it signs.
    pub active_from: Timestamp,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
    /// The private half, sealed.
    pub sealed: SealedBlob,
}

/// The name somebody signs in with: 1 to 128 bytes after trimming and lower-casing, no control or direction
/// characters. `Alice` and `alice` are one account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountName(String);

impl AccountName {
    /// Longest name, in bytes.
    pub const MAX_BYTES: usize = 128;

    /// The name, folded.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccountName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let folded = text.trim().to_lowercase();
        // A name is shown and logged like a subject, so it obeys the same rules.
        let printable = folded.parse::<Subject>().is_ok();
        if printable && folded.len() <= Self::MAX_BYTES { Ok(Self(folded)) } else { Err(InvalidName) }
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not an account name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an account name has 1 to 128 bytes and no control or direction characters")]
pub struct InvalidName;

/// An account as a backend sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct SealedAccount {
    /// What its owner signs in with; unique.
    pub name: AccountName,
    /// The `sub` of its sessions; unique and never reused.
    pub subject: Subject,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its password was last set.
    pub password_set_at: Timestamp,
    /// Since when it is disabled, if it is.
    pub disabled_at: Option<Timestamp>,
    /// The password hash, sealed.
    pub sealed: SealedBlob,
}

/// What failures are counted under: a keyed digest of an account name or a network, made by
/// [`Vault::throttle_key`](crate::Vault::throttle_key). What people type into a name field, which at times is
/// a password, does not reach the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ThrottleKey([u8; 32]);

impl ThrottleKey {
    /// From its octets.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its octets.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Failures counted under one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FailureCount {
    /// How many since the last success.
    pub count: u32,
    /// The first of them.
    pub first: Timestamp,
    /// The last of them.
    pub last: Timestamp,
}

impl FailureCount {
    /// With one more failure at `now`. Both backends count through here, so they agree.
    #[must_use]
    pub fn one_more(self, now: Timestamp) -> Self {
        let first = if self.count == 0 { now } else { self.first };
        Self { count: self.count.saturating_add(1), first, last: self.last.max(now) }
    }
}

/// A security event as it is read back. Names and reasons are text: a newer program may have written some that
/// this one does not know.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEvent {
    /// Its place; grows with time.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// What, by the name of [`sessile_core::event::EventName`].
    pub name: String,
    /// Why.
    pub reason: String,
    /// About whom.
    pub subject: Option<Subject>,
    /// Which session.
    pub session: Option<SessionId>,
    /// From which browser.
    pub client: Option<Client>,
    /// The request it belongs to.
    pub request: Option<String>,
}
