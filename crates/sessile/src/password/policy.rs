//! Which passwords may be chosen (R-127, R-128; NIST SP 800-63B-4 section 3.1.1).

use std::fmt;

use sessile_core::SecretText;

use super::blocklist::{Blocklist, effective_length};
use super::hash::Argon2Cost;

/// The settings of password accounts.
#[derive(Clone, Debug)]
pub struct PasswordPolicy {
    /// Whether the surface takes passwords at all.
    pub enabled: bool,
    /// Fewest characters (Unicode code points). 15, because a password is the only factor here; 800-63B-4
    /// allows 8 beside a second one.
    pub min_chars: usize,
    /// Longest password in bytes. Longer ones are refused, never cut short.
    pub max_bytes: usize,
    /// What hashing one password costs.
    pub argon2: Argon2Cost,
    /// How many passwords are hashed at once; `None`: one for every two cores, at least one. Bounds the memory
    /// that sign-ins can claim to this times [`Argon2Cost::memory_kib`].
    pub parallel_hashes: Option<usize>,
    /// How many more may wait their turn. Whoever comes after them is told to come back (503).
    pub queue: usize,
    /// Passwords refused beyond the built-in list.
    pub blocklist: Blocklist,
    /// Words an attacker would try here first: the service's and the organisation's names.
    pub context: Vec<String>,
}

impl Default for PasswordPolicy {
    fn default() -> Self {
        Self {
            enabled: true,
            min_chars: 15,
            max_bytes: 1024,
            argon2: Argon2Cost::default(),
            parallel_hashes: None,
            queue: 32,
            blocklist: Blocklist::default(),
            context: Vec::new(),
        }
    }
}

impl PasswordPolicy {
    /// Judges a password somebody wants to set for the account `name`. It is judged, and later hashed, byte for
    /// byte as it came: nothing is trimmed, folded or normalised (ASVS 6.2.8).
    ///
    /// # Errors
    ///
    /// What to change about it.
    pub fn check(&self, name: &str, password: &SecretText) -> Result<(), PasswordRefused> {
        let text = password.expose();
        if text.len() > self.max_bytes {
            return Err(PasswordRefused::TooLong { max_bytes: self.max_bytes });
        }
        if text.chars().count() < self.min_chars {
            return Err(PasswordRefused::TooShort { min_chars: self.min_chars });
        }
        if self.blocklist.contains(text) {
            return Err(PasswordRefused::Common);
        }
        // Whatever can be put together from common passwords, the user's name and keyboard runs is a guess an
        // attacker makes early, however long it is. Half the length must be something else.
        let context = self.context.iter().map(String::as_str).chain([name]);
        if effective_length(text, context) < self.min_chars.div_ceil(2) {
            return Err(PasswordRefused::Predictable);
        }
        Ok(())
    }
}

/// What is wrong with a password that somebody wants to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordRefused {
    /// Too few characters.
    TooShort {
        /// The fewest there must be.
        min_chars: usize,
    },
    /// Too many bytes.
    TooLong {
        /// The most there may be.
        max_bytes: usize,
    },
    /// On the list of common and breached passwords.
    Common,
    /// Put together from common passwords, names and runs.
    Predictable,
}

impl PasswordRefused {
    /// Stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooShort { .. } => "password_too_short",
            Self::TooLong { .. } => "password_too_long",
            Self::Common => "password_common",
            Self::Predictable => "password_predictable",
        }
    }
}

impl fmt::Display for PasswordRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { min_chars } => write!(f, "the password is too short: use at least {min_chars} characters, a few words for example"),
            Self::TooLong { max_bytes } => write!(f, "the password is too long: use at most {max_bytes} bytes"),
            Self::Common => f.write_str("the password is one that attackers try first: choose another"),
            Self::Predictable => {
                f.write_str("the password is put together from common passwords, names or runs such as 12345: choose words that have nothing to do with you")
            }
        }
    }
}

impl std::error::Error for PasswordRefused {}
