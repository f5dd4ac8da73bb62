//! Making an access token for a live session.

use alloc::string::String;
use core::fmt;
use core::time::Duration;

use super::claims::AccessClaims;
use super::jws::{self, MAX_TOKEN};
use super::{ACCESS_TOKEN_TYPE, KeyRing, TokenRefused, VerifiedToken};
use crate::crypto::{CryptoFault, Entropy, EntropyFailure};
use crate::id::TokenId;
use crate::session::Session;
use crate::time::Timestamp;

/// What a new access token is to say.
#[derive(Clone, Copy, Debug)]
pub struct NewAccessToken<'a> {
    /// The session it is for.
    pub session: &'a Session,
    /// `iss`.
    pub issuer: &'a str,
    /// `aud`; at least one.
    pub audience: &'a [String],
    /// `client_id`.
    pub client_id: &'a str,
    /// How long it lives, if the session lives that long; cut to the schedule's longest token.
    pub lifetime: Duration,
    /// The end of the session under the limits in force.
    pub not_after: Timestamp,
}

impl KeyRing {
    /// Mints an access token with the key active now.
    ///
    /// `iat` and `exp` are whole seconds. `exp` is rounded down, so that no token outlives its lifetime or its session
    /// (I10); only where that would leave less than half of a lifetime of a second or two is it rounded up, so that no
    /// token is dead on arrival. If less than a second of the session is left, there is none. What was minted is read
    /// back as any verifier reads it, so no claim that a verifier would refuse gets signed.
    pub fn mint(
        &self,
        entropy: &dyn Entropy,
        new: &NewAccessToken<'_>,
        now: Timestamp,
    ) -> Result<VerifiedToken, MintFailure> {
        let (key_id, key) = self.signer(now).ok_or(MintFailure::NoActiveKey)?;
        let session_end = new.not_after.min(new.session.absolute_end).as_secs();
        let issued_at = now.as_secs();
        let lifetime = new.lifetime.min(self.longest_token());
        let rounded_down = now.plus(lifetime).as_secs();
        let enough = Timestamp::from_secs(rounded_down).since(now) >= lifetime / 2 && rounded_down > issued_at;
        let expires_at = (rounded_down + u64::from(!enough)).min(session_end);
        if expires_at <= issued_at {
            return Err(MintFailure::SessionOver);
        }
        let payload = AccessClaims {
            issuer: new.issuer.into(),
            subject: new.session.subject.clone(),
            audience: new.audience.to_vec(),
            client_id: new.client_id.into(),
            issued_at: Timestamp::from_secs(issued_at),
            expires_at: Timestamp::from_secs(expires_at),
            authenticated_at: new.session.authenticated_at,
            token_id: TokenId::generate(entropy)?,
            session: new.session.id,
            generation: new.session.rotation.generation,
            storage: new.session.storage,
            facts: new.session.facts.clone(),
        }
        .to_json();
        let compact = jws::sign(ACCESS_TOKEN_TYPE, key_id, key, payload.as_bytes())?;
        let bytes = compact.expose().len();
        if bytes > MAX_TOKEN {
            return Err(MintFailure::TooLarge { bytes });
        }
        let (claims, _) = AccessClaims::from_json(payload.as_bytes()).map_err(MintFailure::Unreadable)?;
        Ok(VerifiedToken::of(compact, claims, key_id.clone()))
    }
}

/// Why no token was minted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MintFailure {
    /// The session is over, or ends within the current second.
    SessionOver,
    /// No key may sign now: add one.
    NoActiveKey,
    /// The token would be longer than [`MAX_TOKEN`]: the application's claims are too many.
    TooLarge {
        /// How long it would be.
        bytes: usize,
    },
    /// A verifier would refuse the token for this reason: an application claim holds a number beyond
    /// 2^53 - 1, the subject is named like the client, there is no audience.
    Unreadable(TokenRefused),
    /// The system gave no random bytes.
    Entropy(EntropyFailure),
    /// Signing failed.
    Crypto(CryptoFault),
}

impl MintFailure {
    /// A stable name for events.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::SessionOver => "session_over",
            Self::NoActiveKey => "no_active_key",
            Self::TooLarge { .. } => "token_too_large",
            Self::Unreadable(_) => "token_unreadable",
            Self::Entropy(_) => "entropy",
            Self::Crypto(_) => "crypto",
        }
    }
}

impl fmt::Display for MintFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SessionOver => f.write_str("the session is over"),
            Self::NoActiveKey => f.write_str("no signing key is active; make one"),
            Self::TooLarge { bytes } => {
                write!(f, "the access token would take {bytes} bytes, more than {MAX_TOKEN}; put fewer claims in it")
            }
            Self::Unreadable(why) => write!(f, "verifiers would refuse the access token: {why}"),
            Self::Entropy(fault) => fault.fmt(f),
            Self::Crypto(fault) => fault.fmt(f),
        }
    }
}
impl core::error::Error for MintFailure {}

impl From<EntropyFailure> for MintFailure {
    fn from(fault: EntropyFailure) -> Self {
        Self::Entropy(fault)
    }
}

impl From<CryptoFault> for MintFailure {
    fn from(fault: CryptoFault) -> Self {
        Self::Crypto(fault)
    }
}
