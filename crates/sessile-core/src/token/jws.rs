//! JWS in compact serialisation, read strictly (RFC 7515, RFC 8725; attacks JA-01 to JA-57).
//!
//! Nothing is decoded before the size is known, nothing of the payload can be read before the signature
//! holds: [`Unverified`] has no accessor for it. What we do not write we do not read: a header has exactly
//! `alg`, `typ` and `kid`, so `crit`, `b64`, `jwk`, `jku`, `x5c`, `x5u`, `zip`, `enc`, `cty` and every name
//! nobody has thought of yet are refused rather than ignored.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde_json::Value;

use super::{KeyId, TokenRefused};
use crate::crypto::{Algorithm, CryptoFault, SigningKey, VerifyingKey};
use crate::encoding::{base64url, from_base64url};
use crate::json::{self, Caps};
use crate::secret::SecretText;

/// Longest token read or written, in bytes (JA-57).
pub const MAX_TOKEN: usize = 8 * 1024;

/// Longest header segment, in bytes as transmitted (JA-38).
pub const MAX_HEADER: usize = 4 * 1024;

const HEADER_CAPS: Caps = Caps { bytes: MAX_HEADER, depth: 8 };

/// A token whose form is right and whose signature has not been checked.
#[derive(Debug)]
pub struct Unverified<'a> {
    algorithm: Algorithm,
    key_id: KeyId,
    signing_input: &'a str,
    payload: &'a str,
    signature: Vec<u8>,
}

/// Takes a compact JWS apart and reads its header. `kind` is the media type expected in `typ`.
pub fn parse<'a>(compact: &'a str, kind: &str) -> Result<Unverified<'a>, TokenRefused> {
    if compact.len() > MAX_TOKEN {
        return Err(TokenRefused::TooLarge);
    }
    if !compact.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
        return Err(TokenRefused::NotCompact);
    }
    let mut segments = compact.split('.');
    let (Some(header), Some(payload), Some(signature), None) =
        (segments.next(), segments.next(), segments.next(), segments.next())
    else {
        return Err(TokenRefused::NotCompact);
    };
    if header.is_empty() || payload.is_empty() || signature.is_empty() {
        return Err(TokenRefused::NotCompact);
    }
    if header.len() > MAX_HEADER {
        return Err(TokenRefused::HeaderTooLarge);
    }
    let (algorithm, key_id) = read_header(header, kind)?;
    Ok(Unverified {
        algorithm,
        key_id,
        signing_input: &compact[..header.len() + 1 + payload.len()],
        payload,
        signature: from_base64url(signature).ok_or(TokenRefused::Encoding)?,
    })
}

fn read_header(segment: &str, kind: &str) -> Result<(Algorithm, KeyId), TokenRefused> {
    let bytes = from_base64url(segment).ok_or(TokenRefused::Encoding)?;
    let Ok(Value::Object(mut header)) = json::parse(&bytes, HEADER_CAPS) else {
        return Err(TokenRefused::Header);
    };
    let (algorithm, typ, key_id) = (header.remove("alg"), header.remove("typ"), header.remove("kid"));
    if !header.is_empty() {
        return Err(TokenRefused::HeaderMember);
    }
    match typ {
        Some(Value::String(typ)) if is_media_type(&typ, kind) => {}
        _ => return Err(TokenRefused::Type),
    }
    let key_id = match key_id {
        Some(Value::String(id)) => id.parse().map_err(|_| TokenRefused::KeyId)?,
        _ => return Err(TokenRefused::KeyId),
    };
    match algorithm {
        Some(Value::String(name)) => match Algorithm::from_name(&name) {
            Some(algorithm) => Ok((algorithm, key_id)),
            None => Err(TokenRefused::Algorithm),
        },
        _ => Err(TokenRefused::Algorithm),
    }
}

/// RFC 7515 section 4.1.9: case-insensitive, and without a slash `application/` is understood (JA-35).
fn is_media_type(typ: &str, kind: &str) -> bool {
    const PREFIX: &str = "application/";
    let bare = match typ.get(..PREFIX.len()) {
        Some(prefix) if prefix.eq_ignore_ascii_case(PREFIX) => &typ[PREFIX.len()..],
        _ => typ,
    };
    bare.eq_ignore_ascii_case(kind)
}

impl Unverified<'_> {
    /// What the header claims to be signed with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key the header names.
    pub fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    /// Checks the signature; only then gives the payload. The algorithm is the key's; a header that says
    /// otherwise is refused (R-036).
    pub fn verify(self, key: &dyn VerifyingKey) -> Result<Vec<u8>, TokenRefused> {
        if key.algorithm() != self.algorithm {
            return Err(TokenRefused::Algorithm);
        }
        if !key.verifies(self.signing_input.as_bytes(), &self.signature) {
            return Err(TokenRefused::Signature);
        }
        from_base64url(self.payload).ok_or(TokenRefused::Encoding)
    }
}

/// Signs `payload` as a token of `kind`.
pub fn sign(kind: &str, key_id: &KeyId, key: &dyn SigningKey, payload: &[u8]) -> Result<SecretText, CryptoFault> {
    // Nothing here needs escaping: the three values come from sets without quotes and backslashes.
    let header = format!(r#"{{"alg":"{}","typ":"{kind}","kid":"{key_id}"}}"#, key.algorithm().name());
    let input = format!("{}.{}", base64url(header.as_bytes()), base64url(payload));
    let signature = SecretText::new(base64url(&key.sign(input.as_bytes())?));
    // Room for all of it first: growing would leave an unwiped copy behind.
    let mut compact = String::with_capacity(input.len() + 1 + signature.expose().len());
    for part in [&input, ".", signature.expose()] {
        compact.push_str(part);
    }
    Ok(SecretText::new(compact))
}
