//! Faults of a store. What a healthy store may answer is never here: that is an outcome enum of the verb.

use std::path::PathBuf;

use sessile_core::crypto::{CryptoFault, EntropyFailure};
use sessile_core::revocation::Phase;

/// Why a store could not do what it was asked.
///
/// None of these says anything about a session. A caller that meets one answers 503 and keeps the cookies
/// (P3); it never reads a fault as "signed out".
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store did not answer in time, or is being reopened. Unless `outcome` says otherwise the operation may
    /// or may not have happened (P6): repeat it, every verb bears that.
    #[error("the store is unavailable: {why} ({outcome})")]
    Unavailable {
        /// What was observed, for the log.
        why: String,
        /// Whether the operation may have happened all the same.
        outcome: WriteOutcome,
    },
    /// The store's sessions are being moved, or were. Nothing was written.
    #[error("{}", of_phase(*.0))]
    NotServing(Phase),
    /// The disk is full. Revocations still work on the space held back for them; new sessions are refused.
    #[error("the store's disk is full: {0}. Free space on it; new sessions are taken again without a restart")]
    Full(String),
    /// The stored data is damaged. It is never replaced by an empty store.
    #[error("the store is damaged: {0}")]
    Corrupt(String),
    /// The data was written by a newer version of this program.
    #[error(
        "the store has schema version {found}, this program knows versions up to {known}. Run the newer program, or restore a backup made before the upgrade"
    )]
    NewerSchema {
        /// The version found.
        found: i64,
        /// The newest version known here.
        known: i64,
    },
    /// Another process serves from these files.
    #[error("{path} is held by another server{holder}. One SQLite directory serves one process: stop the other one, give this one a directory of its own, or point both at a shared store", path = path.display())]
    InUse {
        /// The lock file.
        path: PathBuf,
        /// ` (process N)` if the other process left its number, else empty.
        holder: String,
    },
    /// The server, as it is or as it was named, must not hold sessions.
    #[error("this store cannot be used: {0}")]
    Unfit(String),
    /// A sealed value does not open: wrong master key, or the record was altered or moved.
    #[error("{0}")]
    Sealed(#[from] SealError),
    /// The system gave no random bytes, so nothing was issued.
    #[error("nothing was written: {0}")]
    Entropy(EntropyFailure),
    /// A cryptographic primitive failed.
    #[error("nothing was written: {0}")]
    Crypto(CryptoFault),
    /// A file or directory could not be used.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A defect: the backend answered what its contract rules out.
    #[error("internal fault of the store: {0}")]
    Internal(String),
}

/// What is known of an operation that got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// It did not happen.
    NotDone,
    /// It may have happened.
    Unknown,
}

impl std::fmt::Display for WriteOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotDone => "nothing was written",
            Self::Unknown => "outcome unknown; the operation can be repeated",
        })
    }
}

/// Why a sealed value does not open. Never tells the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It was sealed under another master key.
    #[error(
        "the master key is not the one this store was sealed with (key {given} given, {sealed} needed). Supply the old key; if it is lost, move the data directory away and start with an empty one: everybody signs in again and accounts must be made anew"
    )]
    WrongMasterKey {
        /// Identifier of the key given.
        given: String,
        /// Identifier of the key that sealed the value.
        sealed: String,
    },
    /// It was altered, or belongs to another record.
    #[error("a sealed {0} does not open: it was altered, or moved from another record")]
    Altered(&'static str),
    /// Its format is of a newer version, or none at all.
    #[error("a sealed {0} has a format this program does not know")]
    UnknownFormat(&'static str),
}

impl StoreError {
    /// Unavailable, and certain that nothing was written.
    pub fn not_done(why: impl Into<String>) -> Self {
        Self::Unavailable { why: why.into(), outcome: WriteOutcome::NotDone }
    }

    /// Whether the same call may succeed later without anybody's help.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable { .. }
            | Self::Full(_)
            | Self::Entropy(_)
            | Self::NotServing(Phase::Serving | Phase::Filling | Phase::Moving) => true,
            Self::NotServing(Phase::Moved)
            | Self::Corrupt(_)
            | Self::NewerSchema { .. }
            | Self::InUse { .. }
            | Self::Unfit(_)
            | Self::Sealed(_)
            | Self::Crypto(_)
            | Self::File { .. }
            | Self::Internal(_) => false,
        }
    }
}

fn of_phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Serving => "the store had not begun to serve; try again",
        Phase::Filling => {
            "sessions are still being moved into this store; it serves once `sessile migrate` has verified them. If that was stopped, run it again"
        }
        Phase::Moving => {
            "the sessions of this store are being moved to another one, and nothing is changed meanwhile; try again in a moment. If `sessile migrate` was stopped, run it again, or with --abandon"
        }
        Phase::Moved => {
            "the sessions of this store were moved to another one: name that in store.url. What is left here is of no use any more"
        }
    }
}

impl From<EntropyFailure> for StoreError {
    fn from(failure: EntropyFailure) -> Self {
        Self::Entropy(failure)
    }
}

impl From<CryptoFault> for StoreError {
    fn from(fault: CryptoFault) -> Self {
        Self::Crypto(fault)
    }
}
