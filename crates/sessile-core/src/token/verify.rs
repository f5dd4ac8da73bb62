//! Verifying one of our own access tokens.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::{ACCESS_TOKEN_TYPE, AccessClaims, CLOCK_SKEW, KeyId, KeyRing, jws};
use crate::secret::SecretText;
use crate::storage::Renewal;
use crate::time::Timestamp;
use crate::{SessionId, Subject};

/// An access token whose signature holds and whose claims are in order.
///
/// That says nothing of its session: [`evaluate`](crate::session::evaluate) does. Made by
/// [`KeyRing::verify`] and [`KeyRing::mint`] alone.
#[derive(Clone, Debug)]
pub struct VerifiedToken {
    compact: SecretText,
    claims: AccessClaims,
    key_id: KeyId,
}

impl VerifiedToken {
    pub(super) fn of(compact: SecretText, claims: AccessClaims, key_id: KeyId) -> Self {
        Self { compact, claims, key_id }
    }

    /// The token itself.
    pub fn compact(&self) -> &SecretText {
        &self.compact
    }

    /// What it says.
    pub fn claims(&self) -> &AccessClaims {
        &self.claims
    }

    /// The key that signed it.
    pub fn key_id(&self) -> &KeyId {
        &self.key_id
    }
}

/// What a token must say to be accepted here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The one issuer, compared as an exact string.
    pub issuer: String,
    /// The audiences our tokens may name, compared as exact strings. A token naming any other is refused: it
    /// was made for somebody else too, who could replay it here (JA-70).
    pub audience: Vec<String>,
    /// How long after its expiry a token still counts; more than 60 s counts as 60 s. Zero for our own
    /// tokens: `exp` never exceeds the session's end, and no leeway may (T1).
    pub leeway: Duration,
    /// The longest life a token may claim, `exp` minus `iat`, in whole seconds rounded up.
    pub longest_token: Duration,
    /// The same for tokens of storages without renewal, which live as long as their session.
    pub longest_unrenewed: Duration,
}

impl KeyRing {
    /// Verifies a token in the order the [module](super) gives. Does not ask whether the session lives.
    ///
    /// Accepting a token that should be refused lets a stranger in; refusing a good one costs its holder a
    /// renewal. So whatever is odd is refused.
    pub fn verify(&self, compact: &str, expected: &Expected, now: Timestamp) -> Result<VerifiedToken, TokenRefused> {
        let unverified = jws::parse(compact, ACCESS_TOKEN_TYPE)?;
        let key_id = unverified.key_id().clone();
        let key = self.verifier(&key_id, unverified.algorithm(), now)?;
        let payload = unverified.verify(key)?;
        let (claims, not_before) = AccessClaims::from_json(&payload)?;
        expected.check(&claims, not_before, now)?;
        Ok(VerifiedToken::of(SecretText::new(compact.to_string()), claims, key_id))
    }
}

impl Expected {
    fn check(&self, claims: &AccessClaims, not_before: Option<Timestamp>, now: Timestamp) -> Result<(), TokenRefused> {
        if claims.issuer != self.issuer {
            return Err(TokenRefused::Issuer);
        }
        if !claims.audience.iter().all(|name| self.audience.contains(name)) {
            return Err(TokenRefused::Audience);
        }
        let latest = now.plus(CLOCK_SKEW);
        if claims.issued_at > latest || claims.authenticated_at > latest || not_before.is_some_and(|at| at > latest) {
            return Err(TokenRefused::Future);
        }
        let longest = match claims.storage.shape().renewal {
            Renewal::Transparent | Renewal::ByClient => self.longest_token,
            Renewal::Never => self.longest_unrenewed,
        };
        // The cap is rounded up because both ends are rounded down: 2.5 s may span three whole seconds.
        let longest = Duration::from_secs(longest.as_secs().saturating_add((longest.subsec_nanos() > 0).into()));
        if claims.expires_at <= claims.issued_at || claims.expires_at.since(claims.issued_at) > longest {
            return Err(TokenRefused::Lifetime);
        }
        if now >= claims.expires_at.plus(self.leeway.min(CLOCK_SKEW)) {
            return Err(TokenRefused::Expired {
                session: claims.session,
                subject: claims.subject.clone(),
                expires_at: claims.expires_at,
            });
        }
        Ok(())
    }
}

/// Why a token was refused, for the log. The client is told nothing of it.
///
/// Only [`Expired`](Self::Expired) carries anything of the token: it alone is decided when everything else
/// about the token holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenRefused {
    /// Longer than 8 KiB.
    TooLarge,
    /// Not three non-empty segments of the base64url alphabet.
    NotCompact,
    /// A segment has a spelling no encoder produces.
    Encoding,
    /// The header segment is longer than 4 KiB.
    HeaderTooLarge,
    /// The header is not a strict JSON object.
    Header,
    /// The header has a member other than `alg`, `typ` and `kid`.
    HeaderMember,
    /// `typ` does not say it is an access token.
    Type,
    /// `alg` is missing, unknown, or not the key's.
    Algorithm,
    /// `kid` is missing or not a key id.
    KeyId,
    /// No key has that name.
    KeyUnknown,
    /// The key is from the future.
    KeyNotPublished,
    /// The key was revoked.
    KeyRevoked,
    /// Whatever the key signed is dead.
    KeyRetired,
    /// The signature does not hold.
    Signature,
    /// The claims set is not a strict JSON object.
    Payload,
    /// This claim is missing, mistyped, or not allowed.
    Claim(&'static str),
    /// Another issuer.
    Issuer,
    /// Made for somebody else.
    Audience,
    /// `iat`, `nbf` or `auth_time` lies in the future by more than [`CLOCK_SKEW`].
    Future,
    /// `exp` is not after `iat`, or longer after it than allowed.
    Lifetime,
    /// Its life is over; all else holds.
    Expired {
        /// The session it belonged to.
        session: SessionId,
        /// Whose it was.
        subject: Subject,
        /// When it ended.
        expires_at: Timestamp,
    },
}

impl TokenRefused {
    /// A stable name for events.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "token_too_large",
            Self::NotCompact => "token_not_compact",
            Self::Encoding => "token_encoding",
            Self::HeaderTooLarge => "token_header_too_large",
            Self::Header => "token_header",
            Self::HeaderMember => "token_header_member",
            Self::Type => "token_type",
            Self::Algorithm => "token_algorithm",
            Self::KeyId => "token_key_id",
            Self::KeyUnknown => "token_key_unknown",
            Self::KeyNotPublished => "token_key_not_published",
            Self::KeyRevoked => "token_key_revoked",
            Self::KeyRetired => "token_key_retired",
            Self::Signature => "token_signature",
            Self::Payload => "token_payload",
            Self::Claim(_) => "token_claim",
            Self::Issuer => "token_issuer",
            Self::Audience => "token_audience",
            Self::Future => "token_future",
            Self::Lifetime => "token_lifetime",
            Self::Expired { .. } => "token_expired",
        }
    }
}

impl fmt::Display for TokenRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claim(name) => write!(f, "{} {name}", self.code()),
            other => f.write_str(other.code()),
        }
    }
}
impl core::error::Error for TokenRefused {}
