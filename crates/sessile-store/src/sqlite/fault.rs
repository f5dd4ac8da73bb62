//! What an error of SQLite means for the connection it came from.

use rusqlite::{Error, ErrorCode};

use crate::error::{StoreError, WriteOutcome};

/// Errors by what must follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// No space left.
    Full,
    /// Another process holds the database.
    Busy,
    /// The connection cannot be trusted any more: close it, check the database, open another (S16).
    Broken,
    /// Only the one operation failed.
    Operation,
}

pub(super) fn class(error: &Error) -> Class {
    let Error::SqliteFailure(failure, _) = error else {
        return Class::Operation;
    };
    match failure.code {
        ErrorCode::DiskFull => Class::Full,
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Class::Busy,
        ErrorCode::ConstraintViolation
        | ErrorCode::TypeMismatch
        | ErrorCode::TooBig
        | ErrorCode::ParameterOutOfRange => Class::Operation,
        _ => Class::Broken,
    }
}

/// The fault to report for an error; `outcome` is what is known of the write it belongs to.
pub(super) fn fault(error: &Error, outcome: WriteOutcome) -> StoreError {
    match error {
        Error::SqliteFailure(failure, _) => match failure.code {
            ErrorCode::DiskFull => StoreError::Full("SQLite found no space".to_owned()),
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => StoreError::Corrupt(error.to_string()),
            ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::ApiMisuse => {
                StoreError::Internal(error.to_string())
            }
            _ => StoreError::Unavailable { why: error.to_string(), outcome },
        },
        // A column that does not read back as what was written there.
        Error::FromSqlConversionFailure(..) | Error::InvalidColumnType(..) | Error::IntegralValueOutOfRange(..) => {
            StoreError::Corrupt(error.to_string())
        }
        _ => StoreError::Internal(error.to_string()),
    }
}
