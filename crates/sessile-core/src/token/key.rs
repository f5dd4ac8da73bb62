//! Signing keys as records, and their names.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use crate::crypto::{Algorithm, Crypto, CryptoFault, PublicKey, SigningKey};
use crate::encoding::base64url;
use crate::id::InvalidId;
use crate::secret::SecretBytes;
use crate::time::Timestamp;

/// The name of a signing key: the `kid` of its tokens.
///
/// For a key pair this is its thumbprint (RFC 7638), for an HMAC key an HMAC of a fixed text under it; so a
/// record whose name and key do not belong together is noticed. Never more than a map key: 1 to 64 letters,
/// digits, `-` and `_` (JA-14, JA-15), safe to log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct KeyId(String);

impl KeyId {
    /// Longest name read from a token.
    pub const MAX_BYTES: usize = 64;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KeyId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if text.is_empty() || text.len() > Self::MAX_BYTES || !text.bytes().all(allowed) {
            return Err(InvalidId("a key id is 1 to 64 letters, digits, '-' and '_'"));
        }
        Ok(Self(text.to_string()))
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A signing key as the store keeps it, opened.
///
/// There is no "retired" field: a key signs until the next one begins, and verifies until every token it
/// can have signed by then is dead. See [`KeyRing`](super::KeyRing).
#[derive(Clone, Debug)]
pub struct KeyRecord {
    /// Its name.
    pub id: KeyId,
    /// The one algorithm it is for (R-161).
    pub algorithm: Algorithm,
    /// When it was made; published from then on.
    pub created_at: Timestamp,
    /// When it may first sign: `created_at` plus the publish-ahead time, or at once for the first key.
    pub active_from: Timestamp,
    /// When it was revoked. Any value, past or future, means revoked now: clocks differ, and a compromised
    /// key must not live on because of that.
    pub revoked_at: Option<Timestamp>,
    /// PKCS #8, or 32 octets for HMAC.
    pub private: SecretBytes,
}

/// Not a possible JWS signing input (it has no dot), so it never collides with a token's MAC.
const HMAC_KEY_ID: &[u8] = b"sessile key id 1";

pub(super) fn id_of(crypto: &dyn Crypto, key: &dyn SigningKey) -> Result<KeyId, CryptoFault> {
    let digest = match key.public() {
        Some(public) => base64url(&thumbprint(crypto, &public)),
        None => base64url(&key.sign(HMAC_KEY_ID)?),
    };
    Ok(KeyId(digest))
}

/// The SHA-256 thumbprint of a public key (RFC 7638; for Ed25519 RFC 8037 appendix A.3).
pub fn thumbprint(crypto: &dyn Crypto, key: &PublicKey) -> [u8; 32] {
    // The required members in lexicographic order, without white space.
    let canonical = match key {
        PublicKey::P256 { x, y } => ec_members("P-256", x, y),
        PublicKey::P384 { x, y } => ec_members("P-384", x, y),
        PublicKey::Ed25519 { x } => {
            format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, base64url(x))
        }
        PublicKey::Rsa { n, e } => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, base64url(e), base64url(n)),
    };
    crypto.sha256(canonical.as_bytes())
}

fn ec_members(curve: &str, x: &[u8], y: &[u8]) -> String {
    format!(r#"{{"crv":"{curve}","kty":"EC","x":"{}","y":"{}"}}"#, base64url(x), base64url(y))
}

/// The key as JWK (RFC 7517, RFC 7518 section 6, RFC 8037 section 2). [`PublicKey`] has no private or
/// symmetric form, so no private member can appear (R-164).
pub(super) fn jwk(id: &KeyId, algorithm: Algorithm, key: &PublicKey) -> Value {
    let mut jwk = match key {
        PublicKey::P256 { x, y } => {
            json!({"kty": "EC", "crv": "P-256", "x": base64url(x), "y": base64url(y)})
        }
        PublicKey::P384 { x, y } => {
            json!({"kty": "EC", "crv": "P-384", "x": base64url(x), "y": base64url(y)})
        }
        PublicKey::Ed25519 { x } => json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(x)}),
        PublicKey::Rsa { n, e } => json!({"kty": "RSA", "n": base64url(n), "e": base64url(e)}),
    };
    jwk["kid"] = id.as_str().into();
    jwk["alg"] = algorithm.name().into();
    jwk["use"] = "sig".into();
    jwk
}
