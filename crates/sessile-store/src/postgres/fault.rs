//! What an error of PostgreSQL means: for the transaction, for the connection it came from, for the caller.

use std::error::Error as _;

use sessile_core::revocation::Phase;
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, Severity, SqlState};

use super::flight::Stopped;
use crate::error::{StoreError, WriteOutcome};

/// What must follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Two transactions were in each other's way and this one gave in: do it again (S11).
    Collided,
    /// The server does not take writes: it is no longer the primary, or was told to stand still. The connections to
    /// it are of no use (S13).
    ReadOnly,
    /// The connection is gone or is about to be.
    Lost,
    /// Only this one transaction failed.
    Transaction,
}

pub(super) fn class(error: &Error) -> Class {
    let Some(fault) = error.as_db_error() else {
        return Class::Lost;
    };
    match fault.code() {
        code if *code == SqlState::T_R_SERIALIZATION_FAILURE || *code == SqlState::T_R_DEADLOCK_DETECTED => {
            Class::Collided
        }
        code if *code == SqlState::READ_ONLY_SQL_TRANSACTION => Class::ReadOnly,
        _ if is_fatal(fault) || leaves_it_open(fault) => Class::Lost,
        _ => Class::Transaction,
    }
}

/// What is known of a write whose transaction stopped here.
pub(super) fn outcome(stopped: &Stopped) -> WriteOutcome {
    match stopped.error.as_db_error() {
        Some(fault) if leaves_it_open(fault) => WriteOutcome::Unknown,
        // Refused by a server that goes on: all of it was rolled back.
        Some(fault) if !stopped.at_commit || !is_fatal(fault) => WriteOutcome::NotDone,
        // COMMIT is sent along with the rest, so whatever cut the connection may have come after it.
        Some(_) | None => WriteOutcome::Unknown,
    }
}

/// What `require_stage` raises; the message is the phase's name.
const STAGE: &str = "SESTG";

fn not_serving(error: &Error) -> StoreError {
    let name = error.as_db_error().map_or("", DbError::message);
    let unknown = || StoreError::Corrupt(format!("the store is in a phase {name:?}, which this program does not know"));
    Phase::from_name(name).map_or_else(unknown, StoreError::NotServing)
}

/// The fault to report.
pub(super) fn fault(error: &Error, outcome: WriteOutcome) -> StoreError {
    let why = describe(error);
    let Some(code) = error.code() else {
        return StoreError::Unavailable { why, outcome };
    };
    let class = code.code().get(..2).unwrap_or_default();
    match class {
        _ if code.code() == STAGE => not_serving(error),
        _ if *code == SqlState::DISK_FULL => StoreError::Full(why),
        // Data corrupted; or the tables are not there: somebody dropped them.
        _ if *code == SqlState::DATA_CORRUPTED || *code == SqlState::INDEX_CORRUPTED => StoreError::Corrupt(why),
        _ if *code == SqlState::UNDEFINED_TABLE || *code == SqlState::UNDEFINED_COLUMN => StoreError::Corrupt(why),
        // Data exception, constraint violation, syntax: a statement of ours is wrong.
        "22" | "23" => StoreError::Internal(why),
        _ if *code == SqlState::SYNTAX_ERROR || *code == SqlState::DATATYPE_MISMATCH => StoreError::Internal(why),
        _ => StoreError::Unavailable { why, outcome },
    }
}

/// An error in words, with its cause. PostgreSQL's `detail` is left out: it may quote what was written.
pub(super) fn describe(error: &Error) -> String {
    match error.as_db_error() {
        Some(fault) => format!("PostgreSQL says: {} ({})", fault.message(), fault.code().code()),
        None => {
            let mut why = format!("PostgreSQL: {error}");
            let mut cause = error.source();
            while let Some(inner) = cause {
                why.push_str(": ");
                why.push_str(&inner.to_string());
                cause = inner.source();
            }
            why
        }
    }
}

// A pooler reports what became of its own connection to the server (class 08), fatal or not, at whichever statement it was
// waiting for; the COMMIT may have gone on before. And some servers say in so many words that they cannot tell.
fn leaves_it_open(fault: &DbError) -> bool {
    fault.code().code().starts_with("08") || *fault.code() == SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN
}

fn is_fatal(fault: &DbError) -> bool {
    matches!(fault.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
}
