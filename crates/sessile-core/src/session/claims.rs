//! The application's own claims, kept apart from those that carry meaning for Sessile.

use alloc::string::{String, ToString};
use core::fmt;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// Claims the application adds to its users' access tokens.
///
/// Never holds a name that Sessile or RFC 7519 gives a meaning (JA-76): an application cannot, by mistake or
/// by passing on user input, change whose token it is or how long it lives.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Claims(Map<String, Value>);

const RESERVED: [&str; 16] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "sid",
    "gen",
    "auth_time",
    "amr",
    "acr",
    "client_id",
    "storage",
    "cnf",
    "act",
];
const MAX_DEPTH: usize = 8;
const MAX_BYTES: usize = 16 * 1024;

impl Claims {
    /// Takes `claims` if every name is free and the whole is of a sane size.
    pub fn new(claims: Map<String, Value>) -> Result<Self, ClaimRefused> {
        if let Some(name) = claims.keys().find(|name| RESERVED.contains(&name.as_str())) {
            return Err(ClaimRefused::Reserved(name.clone()));
        }
        if claims.values().any(|value| deeper_than(value, MAX_DEPTH)) {
            return Err(ClaimRefused::TooDeep);
        }
        let claims = Self(claims);
        if claims.to_json().len() > MAX_BYTES {
            return Err(ClaimRefused::TooLarge);
        }
        Ok(claims)
    }

    /// Name and value of each claim.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// One claim.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn to_json(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }
}

fn deeper_than(value: &Value, depth: usize) -> bool {
    let Some(below) = depth.checked_sub(1) else { return true };
    match value {
        Value::Array(items) => items.iter().any(|item| deeper_than(item, below)),
        Value::Object(members) => members.values().any(|member| deeper_than(member, below)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Map::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Why a set of claims was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimRefused {
    /// The name has a meaning of its own.
    Reserved(String),
    /// Nested deeper than 8 levels.
    TooDeep,
    /// More than 16 KiB as JSON.
    TooLarge,
}

impl fmt::Display for ClaimRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reserved(name) => write!(f, "the claim {name:?} is set by Sessile; choose another name"),
            Self::TooDeep => write!(f, "claims nest at most {MAX_DEPTH} levels"),
            Self::TooLarge => write!(f, "claims take at most {MAX_BYTES} bytes as JSON"),
        }
    }
}
impl core::error::Error for ClaimRefused {}
