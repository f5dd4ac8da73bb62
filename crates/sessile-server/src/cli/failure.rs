//! How commands fail: one message that says what, where and what to do, and one exit code.

use std::fmt;
use std::process::ExitCode;

use sessile::password::AccountError;
use sessile::{EngineError, StartError};
use sessile_store::{MasterKeyRefused, MigrationError, SealError, StoreError};

use crate::config::Mistakes;

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// The command line does not make sense.
    Usage(String),
    /// The configuration is wrong.
    Config(Mistakes),
    /// The master key is missing, unusable or readable by others.
    MasterKey(String),
    /// The store failed or refused.
    Store(StoreError),
    /// A move of sessions came to no end.
    Migration(MigrationError),
    /// Something else.
    Other(String),
}

/// The exit codes, those of BSD's `sysexits.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Something failed; the message says what.
    Failed = 1,
    /// `EX_USAGE`: the command line.
    Usage = 64,
    /// `EX_DATAERR`: the store's data.
    Data = 65,
    /// `EX_UNAVAILABLE`: the store cannot be reached or is held by another server.
    Unavailable = 69,
    /// `EX_CONFIG`: the configuration, the master key included.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Failure {
    /// Whether the same may succeed later without anybody's help.
    pub(super) fn is_retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retryable(),
            Self::Usage(_) | Self::Config(_) | Self::MasterKey(_) | Self::Migration(_) | Self::Other(_) => false,
        }
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::Config(_) | Self::MasterKey(_) => Exit::Config,
            Self::Store(error) => store_exit(error),
            Self::Migration(error) => migration_exit(error),
            Self::Other(_) => Exit::Failed,
        }
    }
}

fn migration_exit(error: &MigrationError) -> Exit {
    match error {
        MigrationError::Source(error)
        | MigrationError::Target(error)
        | MigrationError::NotHandedOver(error)
        | MigrationError::HandOverUnknown(error) => store_exit(error),
        MigrationError::MasterKeys => Exit::Config,
        MigrationError::SameStore | MigrationError::NotBegun | MigrationError::NeverUsed => Exit::Usage,
        MigrationError::TargetNotEmpty | MigrationError::Mismatch { .. } | MigrationError::HistoryRestarted => {
            Exit::Data
        }
        MigrationError::Elsewhere { .. } | MigrationError::Over => Exit::Unavailable,
    }
}

fn store_exit(error: &StoreError) -> Exit {
    match error {
        StoreError::Sealed(SealError::WrongMasterKey { .. }) | StoreError::Unfit(_) => Exit::Config,
        StoreError::Corrupt(_)
        | StoreError::NewerSchema { .. }
        | StoreError::Sealed(SealError::Altered(_) | SealError::UnknownFormat(_)) => Exit::Data,
        StoreError::Unavailable { .. }
        | StoreError::NotServing(_)
        | StoreError::Full(_)
        | StoreError::InUse { .. }
        | StoreError::File { .. } => Exit::Unavailable,
        StoreError::Entropy(_) | StoreError::Crypto(_) | StoreError::Internal(_) => Exit::Failed,
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::MasterKey(text) | Self::Other(text) => f.write_str(text),
            Self::Config(mistakes) => {
                let count = mistakes.len();
                let (noun, pronoun) = if count == 1 { ("mistake", "it is") } else { ("mistakes", "they are") };
                write!(
                    f,
                    "{count} {noun} in the configuration; nothing is started until {pronoun} mended\n\n{mistakes}"
                )
            }
            Self::Store(error) => error.fmt(f),
            Self::Migration(error) => error.fmt(f),
        }
    }
}

impl From<Mistakes> for Failure {
    fn from(mistakes: Mistakes) -> Self {
        Self::Config(mistakes)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<MigrationError> for Failure {
    fn from(error: MigrationError) -> Self {
        Self::Migration(error)
    }
}

impl From<MasterKeyRefused> for Failure {
    fn from(refused: MasterKeyRefused) -> Self {
        Self::MasterKey(refused.to_string())
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Store(error) => Self::Store(error),
            EngineError::Keys(_) => Self::Other(error.to_string()),
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Store(error) => Self::Store(error),
            StartError::Keys(_) | StartError::Config(_) => Self::Other(error.to_string()),
        }
    }
}

impl From<AccountError> for Failure {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Store(error) => Self::Store(error),
            AccountError::Name(_)
            | AccountError::Subject(_)
            | AccountError::Password(_)
            | AccountError::NameTaken(_)
            | AccountError::SubjectTaken(_)
            | AccountError::SetMeanwhile(_)
            | AccountError::NoSuchAccount(_)
            | AccountError::Hash(_) => Self::Other(error.to_string()),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Other(error.to_string())
    }
}
