//! What is wrong with a configuration, said so that a person can mend it.

use alloc::string::String;
use core::fmt;

/// One mistake in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFault {
    /// The key, as written in `sessile.toml`.
    pub key: &'static str,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: &'static str,
    /// Whether the start is stopped.
    pub weight: Weight,
}

/// What a mistake does to the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// The process does not start.
    Stop,
    /// The process starts and says it loudly.
    Warn,
}

impl ConfigFault {
    pub(crate) fn stop(key: &'static str, problem: impl Into<String>, remedy: &'static str) -> Self {
        Self { key, problem: problem.into(), remedy, weight: Weight::Stop }
    }

    pub(crate) fn warn(key: &'static str, problem: impl Into<String>, remedy: &'static str) -> Self {
        Self { key, problem: problem.into(), remedy, weight: Weight::Warn }
    }
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.key, self.problem, self.remedy)
    }
}
