//! What an access token says (RFC 9068 section 2.2).

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::str::FromStr;

use serde_json::{Map, Value};

use super::TokenRefused;
use crate::id::TokenId;
use crate::json::{self, Caps};
use crate::rotation::Generation;
use crate::session::{Claims, Facts};
use crate::{SessionId, Storage, Subject, Timestamp};

/// What an access token says, read and typed.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessClaims {
    /// `iss`: who issued it.
    pub issuer: String,
    /// `sub`: whose it is.
    pub subject: Subject,
    /// `aud`: whom it is for; at least one.
    pub audience: Vec<String>,
    /// `client_id`: the client it was issued to.
    pub client_id: String,
    /// `iat`: whole seconds in tokens we mint.
    pub issued_at: Timestamp,
    /// `exp`: it opens nothing at this moment or later.
    pub expires_at: Timestamp,
    /// `auth_time`: when the user last proved who they are.
    pub authenticated_at: Timestamp,
    /// `jti`: which token it is. Never its bytes or their hash: one token may have several valid spellings
    ///
    pub token_id: TokenId,
    /// `sid`: the session behind it.
    pub session: SessionId,
    /// `gen`: the session token's generation when it was minted.
    pub generation: Generation,
    /// `storage`: where it may be presented.
    pub storage: Storage,
    /// `amr`, `acr` and the application's own claims.
    pub facts: Facts,
}

/// The size is capped by the token's; the depth is that of [`Claims`] plus the claims set itself.
const PAYLOAD_CAPS: Caps = Caps { bytes: super::jws::MAX_TOKEN, depth: 10 };

/// 9999-12-31T23:59:59Z. Later times are milliseconds taken for seconds, or an attack (JA-63).
const LATEST_SECOND: u64 = 253_402_300_799;

impl AccessClaims {
    /// The claims set as JSON. Ours are written last: no application claim can stand in for them.
    pub(super) fn to_json(&self) -> String {
        let mut set: Map<String, Value> =
            self.facts.claims.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
        let mut put = |name: &str, value: Value| set.insert(name.to_string(), value);
        put("iss", self.issuer.as_str().into());
        put("sub", self.subject.as_str().into());
        put(
            "aud",
            match self.audience.as_slice() {
                [one] => one.as_str().into(),
                several => several.into(),
            },
        );
        put("client_id", self.client_id.as_str().into());
        put("iat", self.issued_at.as_secs().into());
        put("exp", self.expires_at.as_secs().into());
        put("auth_time", self.authenticated_at.as_secs().into());
        put("jti", self.token_id.to_string().into());
        put("sid", self.session.to_string().into());
        put("gen", self.generation.into());
        put("storage", self.storage.name().into());
        if !self.facts.amr.is_empty() {
            put("amr", self.facts.amr.as_slice().into());
        }
        if let Some(acr) = &self.facts.acr {
            put("acr", acr.as_str().into());
        }
        Value::Object(set).to_string()
    }

    /// Reads a claims set whose signature holds. Checks types and presence, and nothing that depends on time
    /// or configuration; also gives `nbf`, which we never write but must honour.
    pub(super) fn from_json(payload: &[u8]) -> Result<(Self, Option<Timestamp>), TokenRefused> {
        let Ok(Value::Object(set)) = json::parse(payload, PAYLOAD_CAPS) else {
            return Err(TokenRefused::Payload);
        };
        let mut set = Set(set);
        let not_before = set.optional("nbf", seconds)?;
        let claims = Self {
            issuer: set.required("iss", text)?,
            subject: set.required("sub", parsed)?,
            audience: set.required("aud", audience)?,
            client_id: set.required("client_id", text)?,
            issued_at: set.required("iat", seconds)?,
            expires_at: set.required("exp", seconds)?,
            authenticated_at: set.required("auth_time", seconds)?,
            token_id: set.required("jti", parsed)?,
            session: set.required("sid", parsed)?,
            generation: set.required("gen", |value| value.as_u64())?,
            storage: set.required("storage", parsed)?,
            facts: Facts {
                amr: set.optional("amr", texts)?.unwrap_or_default(),
                acr: set.optional("acr", text)?,
                // Refuses what is left of the reserved names, such as `cnf`: we never bind tokens, so one
                // that says it is bound must not pass as an ordinary one.
                claims: Claims::new(set.left()).map_err(|_| TokenRefused::Claim("(application)"))?,
            },
        };
        // RFC 9068 section 5: a user must not be mistaken for the client (JA-73).
        if claims.subject.as_str() == claims.client_id {
            return Err(TokenRefused::Claim("sub"));
        }
        Ok((claims, not_before))
    }
}

/// The members not yet read.
struct Set(Map<String, Value>);

impl Set {
    fn optional<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, TokenRefused> {
        match self.0.remove(name) {
            Some(value) => read(&value).map(Some).ok_or(TokenRefused::Claim(name)),
            None => Ok(None),
        }
    }

    /// What is left. A map keeps its room when it is emptied, and this one is remembered for as long as its token.
    fn left(self) -> Map<String, Value> {
        self.0.into_iter().collect()
    }

    fn required<T>(&mut self, name: &'static str, read: impl FnOnce(&Value) -> Option<T>) -> Result<T, TokenRefused> {
        self.optional(name, read)?.ok_or(TokenRefused::Claim(name))
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(String::from)
}

fn texts(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(text).collect()
}

fn parsed<T: FromStr>(value: &Value) -> Option<T> {
    value.as_str()?.parse().ok()
}

/// RFC 7519 section 4.1.3: one string, or an array of them.
fn audience(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(_) => Some(Vec::from([text(value)?])),
        _ => texts(value).filter(|all| !all.is_empty()),
    }
}

/// NumericDate (RFC 7519 section 2): seconds, perhaps with a fraction, which is cut to milliseconds and so
/// never lengthens a life (JA-62).
fn seconds(value: &Value) -> Option<Timestamp> {
    if let Some(whole) = value.as_u64() {
        return (whole <= LATEST_SECOND).then(|| Timestamp::from_secs(whole));
    }
    let fraction = value.as_f64().filter(|n| n.is_sign_positive() && *n <= LATEST_SECOND as f64)?;
    Some(Timestamp::from_millis((fraction * 1000.0) as u64))
}
