//! Names that may be shown and logged.

use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::crypto::{Entropy, EntropyFailure, random};
use crate::encoding::{base64url, from_base64url_exact};

/// Makes a name of 128 random bits, printed as 22 base64url characters.
macro_rules! random_id {
    ($(#[doc = $doc:literal])+ $name:ident, $refused:literal) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// Draws a new one.
            pub fn generate(entropy: &dyn Entropy) -> Result<Self, EntropyFailure> {
                random(entropy).map(Self)
            }

            /// From its octets.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// Its octets.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&base64url(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                from_base64url_exact(text).map(Self).ok_or(InvalidId($refused))
            }
        }
    };
}

random_id! {
    /// The public handle of a session: 128 random bits, printed as 22 base64url characters. Not a secret.
    SessionId, "a session id is 22 base64url characters"
}

random_id! {
    /// The `jti` of an access token: 128 random bits, printed as 22 base64url characters. Not a secret.
    TokenId, "a token id is 22 base64url characters"
}

impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The user a session belongs to: the `sub` of its tokens. 1 to 255 bytes, no control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Subject(String);

impl Subject {
    /// Longest subject accepted, in bytes (OpenID Connect Core section 2 has the same limit).
    pub const MAX_BYTES: usize = 255;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Subject {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text.is_empty() || text.len() > Self::MAX_BYTES {
            return Err(InvalidId("a subject has 1 to 255 bytes"));
        }
        // Control and bidirectional characters would forge log lines and header values (C16).
        let forges = |c: char| {
            c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        if text.chars().any(forges) {
            return Err(InvalidId("a subject has no control or direction characters"));
        }
        Ok(Self(text.to_string()))
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A text is not an id; says what one looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidId(pub(crate) &'static str);

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
impl core::error::Error for InvalidId {}
