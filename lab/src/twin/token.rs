//! JWTs as people hand-roll them: the header says how to verify.

use aws_lc_rs::hmac;
use serde_json::{Value, json};

use crate::text::{base64url, from_base64url, random, unix_seconds};

/// A day, and nothing ends it sooner.
const LIFE_SECONDS: u64 = 24 * 60 * 60;

/// Signs and verifies the twin's tokens.
#[derive(Debug)]
pub(crate) struct Tokens(hmac::Key);

impl Tokens {
    pub(crate) fn new() -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, random().as_bytes()))
    }

    pub(crate) fn mint(&self, subject: &str, kind: &str) -> String {
        let now = unix_seconds();
        let claims = json!({ "sub": subject, "kind": kind, "jti": random(), "iat": now, "exp": now + LIFE_SECONDS });
        let header = json!({ "alg": "HS256", "typ": "JWT" });
        let signed = format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()));
        let tag = hmac::sign(&self.0, signed.as_bytes());
        format!("{signed}.{}", base64url(tag))
    }

    /// The subject of a token that passes for valid. What is wrong with it: `alg` comes from the header, so `none` is
    /// an algorithm like another.
    pub(crate) fn subject(&self, token: &str) -> Option<String> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let read = |part: &str| serde_json::from_slice::<Value>(&from_base64url(part)?).ok();
        let genuine = match read(header)?.get("alg")?.as_str()?.to_ascii_lowercase().as_str() {
            "none" => true,
            "hs256" => hmac::verify(&self.0, signed.as_bytes(), &from_base64url(signature)?).is_ok(),
            _ => false,
        };
        genuine.then_some(())?;
        Some(read(claims)?.get("sub")?.as_str()?.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The twin must fall to what it is there to fall to, and to nothing simpler. Negative control: a changed claim
    /// under the old signature is refused.
    #[test]
    fn none_is_accepted_and_a_broken_signature_is_not() {
        let tokens = Tokens::new();
        let genuine = tokens.mint("mallory", "access");
        assert_eq!(tokens.subject(&genuine).as_deref(), Some("mallory"));

        let claims = base64url(json!({ "sub": "ada" }).to_string());
        let unsigned = format!("{}.{claims}.", base64url(r#"{"alg":"none"}"#));
        assert_eq!(tokens.subject(&unsigned).as_deref(), Some("ada"));

        let parts: Vec<&str> = genuine.split('.').collect();
        assert_eq!(tokens.subject(&format!("{}.{claims}.{}", parts[0], parts[2])), None);
        assert_eq!(tokens.subject("no token"), None);
    }
}
