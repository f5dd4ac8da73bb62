//! Rotation of the session token: derived successors, confirmed receipt, reuse.
//!
//! `token(n) = id . n . MAC(K, id, n)`. The successor is a pure function of the session's key, so every
//! retry, tab and node computes the same bytes (I1), and rotation is one conditional write of a number.
//! [`present`] decides what a presented token means; it is the function the model checker drives.

use alloc::format;
use core::time::Duration;

use crate::crypto::Crypto;
use crate::encoding::{base64url, from_base64url_exact};
use crate::policy::Limits;
use crate::secret::{Secret, SecretText};
use crate::{SessionId, Timestamp};

/// How often a session token was rotated. Orders tokens; time never does (I3, F3).
pub type Generation = u64;

/// K: the secret a session's tokens are derived from. Stored sealed, never sent.
#[derive(Clone, Debug)]
pub struct SessionKey(Secret<32>);

impl SessionKey {
    /// Takes custody of 256 random bits.
    pub fn new(key: Secret<32>) -> Self {
        Self(key)
    }

    /// For sealing into the record.
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// The session token of a generation.
    pub fn token(&self, crypto: &dyn Crypto, id: SessionId, generation: Generation) -> SessionToken {
        SessionToken { id, generation, mac: self.mac(crypto, id, generation) }
    }

    /// Whether `token` was derived from this key.
    pub fn made(&self, crypto: &dyn Crypto, token: &SessionToken) -> bool {
        self.mac(crypto, token.id, token.generation).matches(token.mac.expose())
    }

    fn mac(&self, crypto: &dyn Crypto, id: SessionId, generation: Generation) -> Secret<32> {
        // Fixed-width parts: no two (id, generation) pairs share a message.
        crypto.mac(&self.0, &[b"sessile session token 1", id.as_bytes(), &generation.to_be_bytes()])
    }
}

/// The secret that proves a session; also its refresh token. Travels in an HttpOnly cookie and nowhere else.
#[derive(Clone, Debug)]
pub struct SessionToken {
    id: SessionId,
    generation: Generation,
    mac: Secret<32>,
}

impl SessionToken {
    /// Reads the cookie's value; `None` unless it is spelled exactly as we write it. Asks nobody.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '.');
        let (id, generation, mac) = (parts.next()?, parts.next()?, parts.next()?);
        let canonical = generation == "0" || !generation.starts_with('0');
        if generation.is_empty()
            || generation.len() > 19
            || !canonical
            || !generation.bytes().all(|b| b.is_ascii_digit())
        {
            return None;
        }
        Some(Self {
            id: id.parse().ok()?,
            generation: generation.parse().ok()?,
            mac: Secret::new(from_base64url_exact(mac)?),
        })
    }

    /// The cookie's value.
    pub fn to_text(&self) -> SecretText {
        SecretText::new(format!("{}.{}.{}", self.id, self.generation, base64url(self.mac.expose())))
    }

    /// The session it claims to prove.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The generation it claims to be.
    pub fn generation(&self) -> Generation {
        self.generation
    }
}

/// A value the store has durably accepted. Cookies are issued from this alone, so that no browser ever
/// holds a token the store does not know.
#[derive(Clone, Debug)]
pub struct Stored<T>(T);

impl<T> Stored<T> {
    /// States that the store has acknowledged the write this value depends on. Called in one place, the
    /// store crate's vault; the architecture check counts the callers.
    pub fn after_acknowledged_write(value: T) -> Self {
        Self(value)
    }

    /// The value.
    pub fn get(&self) -> &T {
        &self.0
    }
}

/// Where a session's rotation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RotationState {
    /// n: the current generation.
    pub generation: Generation,
    /// When it became current.
    pub rotated_at: Timestamp,
    /// When something of this generation was first presented; `None`: the browser may not have it yet.
    pub confirmed_at: Option<Timestamp>,
}

impl RotationState {
    /// Generation 0, at sign-in.
    pub fn first(now: Timestamp) -> Self {
        Self { generation: 0, rotated_at: now, confirmed_at: None }
    }

    /// The state after one rotation.
    #[must_use]
    pub fn next(self, now: Timestamp) -> Self {
        Self { generation: self.generation.saturating_add(1), rotated_at: now.max(self.rotated_at), confirmed_at: None }
    }

    /// The state after something of `generation` was presented. Only the first time counts, and only of the
    /// current generation.
    #[must_use]
    pub fn confirmed(self, generation: Generation, now: Timestamp) -> Self {
        if generation == self.generation && self.confirmed_at.is_none() {
            Self { confirmed_at: Some(now), ..self }
        } else {
            self
        }
    }

    /// Until when no newer generation than this can exist anywhere: at most one rotation happens per G.
    pub fn alone_until(&self, limits: &Limits) -> Timestamp {
        self.rotated_at.plus(limits.grace)
    }
}

/// What a genuine session token means for a live session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presentation {
    /// The current token, and it may advance: rotate, answer the successor.
    Rotate,
    /// The current token, too young to rotate: answer the same token again.
    Keep,
    /// The preceding token within its grace: answer the current token.
    Grace,
    /// A superseded token outside its grace: theft. End the session.
    Reuse,
    /// A generation the record has never reached: the store went back in time. End the session.
    FromTheFuture,
}

/// Decides what presenting the token of generation `presented` means (product.md section 3, rules 1 to 4).
///
/// The caller has checked that the token is genuine ([`SessionKey::made`]) and the session live. A wrong
/// `Grace` lets a thief share a session; a wrong `Reuse` signs an honest user out. The bound between them is
/// generation arithmetic plus one duration measured from the store's own times.
pub fn present(state: &RotationState, presented: Generation, grace: Duration, now: Timestamp) -> Presentation {
    use core::cmp::Ordering;
    match presented.cmp(&state.generation) {
        Ordering::Greater => Presentation::FromTheFuture,
        Ordering::Equal if now < state.rotated_at.plus(grace) => Presentation::Keep,
        Ordering::Equal => Presentation::Rotate,
        Ordering::Less if presented.saturating_add(1) < state.generation => Presentation::Reuse,
        Ordering::Less => match state.confirmed_at {
            None => Presentation::Grace,
            Some(at) if now < at.plus(grace) => Presentation::Grace,
            Some(_) => Presentation::Reuse,
        },
    }
}
