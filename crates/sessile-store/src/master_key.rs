//! The master key: 256 bits that live outside the store and open what is sealed in it.

use std::fmt;

use sessile_core::crypto::{Entropy, EntropyFailure, random};
use sessile_core::encoding::{base64url, from_base64url_exact};
use sessile_core::{Secret, SecretText};

/// The key everything in a store is sealed under.
#[derive(Clone)]
pub struct MasterKey(Secret<32>);

impl MasterKey {
    /// Fewest different byte values accepted. 32 random bytes have about 30; fewer than 16 in less than one
    /// case in 10^15.
    const FEWEST_DISTINCT: usize = 16;

    /// Draws a new one.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, EntropyFailure> {
        random(entropy).map(|bytes| Self(Secret::new(bytes)))
    }

    /// Reads 32 bytes written as base64, base64url (padding optional) or 64 hexadecimal digits; white space around
    /// it is ignored. Refuses what no random generator makes: placeholders, passphrases, counting (X5).
    pub fn parse(text: &str) -> Result<Self, MasterKeyRefused> {
        let text = text.trim();
        if text.is_empty() {
            return Err(MasterKeyRefused::Empty);
        }
        let bytes = from_hex(text).or_else(|| from_base64(text)).ok_or(MasterKeyRefused::NotAKey)?;
        let key = Secret::new(bytes);
        match weakness(key.expose()) {
            Some(why) => Err(MasterKeyRefused::Weak(why)),
            None => Ok(Self(key)),
        }
    }

    /// The form to write into a key file: 43 characters of base64url.
    pub fn to_text(&self) -> SecretText {
        SecretText::new(base64url(self.0.expose()))
    }

    pub(crate) fn secret(&self) -> &Secret<32> {
        &self.0
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    if digits.len() == 64 { bytes.try_into().ok() } else { None }
}

fn from_base64(text: &str) -> Option<[u8; 32]> {
    let unpadded = text.strip_suffix('=').unwrap_or(text);
    from_base64url_exact(&unpadded.replace('+', "-").replace('/', "_"))
}

fn weakness(key: &[u8; 32]) -> Option<&'static str> {
    let distinct = key.iter().collect::<std::collections::BTreeSet<_>>().len();
    let step = key[1].wrapping_sub(key[0]);
    if key.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == step) {
        Some("it repeats one byte or counts")
    } else if key.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        Some("it is text, not random bytes")
    } else if distinct < MasterKey::FEWEST_DISTINCT {
        Some("it has too few different bytes")
    } else {
        None
    }
}

/// Why a text is not taken as a master key. Never tells the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MasterKeyRefused {
    /// Nothing was given.
    #[error("the master key is empty; make one with `openssl rand -base64 32`")]
    Empty,
    /// It is not 32 bytes in a known spelling.
    #[error(
        "the master key is not 32 bytes as base64, base64url or hexadecimal; make one with `openssl rand -base64 32`"
    )]
    NotAKey,
    /// It is 32 bytes, but nobody drew them at random.
    #[error("the master key is a placeholder: {0}; make one with `openssl rand -base64 32`")]
    Weak(&'static str),
}
