//! Opening connections, and judging what is found.

use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use sessile_core::revocation::{Epoch, Seq};

use super::files::{Files, Found, file_fault};
use super::row::count;
use super::schema::{APPLICATION_ID, STEPS, migrate};
use super::witness::{self, Witness};
use super::{Position, Role, fault};
use crate::error::{StoreError, WriteOutcome};

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Write,
    Read,
}

/// A store that is fit to be used.
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) position: Position,
    /// What was noticed, if acknowledged writes are missing.
    pub(super) lost: Option<String>,
}

/// Opens the database for the first time in this process: checks it, migrates it, compares it with its witness.
pub(super) fn open_store(files: &Files, role: Role) -> Result<Opened, StoreError> {
    let lock_fault = file_fault(files.location.lock());
    let guard = files.exclusively()?;
    let acknowledged = witness::read(&files.lock).map_err(&lock_fault)?;
    let found = files.prepare_database()?;
    if found == Found::EmptyFile && acknowledged != Witness::None {
        return Err(StoreError::Corrupt(format!(
            "{} is empty, but held a store before. Restore it from a backup; or, to begin anew, remove it together with {}",
            files.location.database().display(),
            files.location.lock().display(),
        )));
    }
    let mut connection = connect(files, Use::Write)?;
    if found == Found::Database {
        identify(files, &connection)?;
        match role {
            Role::Server => check(files, &connection)?,
            Role::Visitor => {}
        }
    }
    migrate(&mut connection, STEPS)?;
    let position =
        position(&connection).map_err(|error| fault::fault(&error, WriteOutcome::NotDone))?;
    let begun_here = found != Found::Database && acknowledged == Witness::None;
    let lost = match found {
        _ if begun_here => None,
        Found::Nothing => Some("the database is gone; an empty one took its place".to_owned()),
        Found::EmptyFile | Found::Database => witness::compare(acknowledged, position),
    };
    if begun_here {
        witness::write(&files.lock, position).map_err(&lock_fault)?;
    }
    drop(guard);
    Ok(Opened {
        connection,
        position,
        lost,
    })
}

/// Opens the database again after a fault; it must pass the same check (S16).
pub(super) fn reopen(files: &Files) -> Result<Connection, StoreError> {
    let connection = connect(files, Use::Write)?;
    identify(files, &connection)?;
    check(files, &connection)?;
    Ok(connection)
}

/// A connection with our settings. Never creates the file.
pub(super) fn connect(files: &Files, purpose: Use) -> Result<Connection, StoreError> {
    let path = files.location.database();
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    configure(path, flags, purpose).map_err(|error| {
        match fault::fault(&error, WriteOutcome::NotDone) {
            StoreError::Corrupt(why) => damaged(files, &why),
            other => other,
        }
    })
}

fn configure(
    path: &std::path::Path,
    flags: OpenFlags,
    purpose: Use,
) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags)?;
    // Below the write deadline: whoever waits hears why.
    let patience = match purpose {
        Use::Write => Duration::from_millis(1500),
        Use::Read => Duration::from_millis(250),
    };
    connection.busy_timeout(patience)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    match purpose {
        Use::Write => {
            let mode: String =
                connection
                    .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
            if mode != "wal" {
                tracing::warn!(mode, "the file system does not support SQLite's WAL mode");
            }
            // FULL syncs the log at each commit; NORMAL would acknowledge revocations a power cut takes back.
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.pragma_update(None, "journal_size_limit", 16 * 1024 * 1024)?;
        }
        Use::Read => connection.pragma_update(None, "query_only", true)?,
    }
    Ok(connection)
}

fn identify(files: &Files, connection: &Connection) -> Result<(), StoreError> {
    let sql = |error: rusqlite::Error| match fault::fault(&error, WriteOutcome::NotDone) {
        StoreError::Corrupt(why) => damaged(files, &why),
        other => other,
    };
    let id: i64 = connection
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(sql)?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(sql)?;
    // Nothing in it: a first start that was interrupted before its only transaction.
    if id == APPLICATION_ID || tables == 0 {
        Ok(())
    } else {
        Err(damaged(files, "it belongs to another program"))
    }
}

fn check(files: &Files, connection: &Connection) -> Result<(), StoreError> {
    let verdict: rusqlite::Result<String> =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0));
    match verdict {
        Ok(verdict) if verdict == "ok" => Ok(()),
        Ok(verdict) => Err(damaged(files, &verdict)),
        Err(error) => Err(match fault::fault(&error, WriteOutcome::NotDone) {
            StoreError::Corrupt(why) => damaged(files, &why),
            other => other,
        }),
    }
}

fn damaged(files: &Files, why: &str) -> StoreError {
    StoreError::Corrupt(format!(
        "{} does not pass the check ({why}). Restore it from a backup; or, to begin anew, move it and its -wal and -shm files away: everybody signs in again and accounts must be made anew",
        files.location.database().display(),
    ))
}

/// Where the feed stands.
pub(super) fn position(connection: &Connection) -> rusqlite::Result<Position> {
    let mut statement = connection.prepare_cached(
        "SELECT epoch, (SELECT seq FROM sqlite_sequence WHERE name = 'feed') FROM store",
    )?;
    statement.query_row([], |row| {
        let head: Option<i64> = row.get(1)?;
        Ok((Epoch(row.get(0)?), Seq(count(head.unwrap_or(0)))))
    })
}
