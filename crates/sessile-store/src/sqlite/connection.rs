//! Opening connections, and judging what is found.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, Error, OpenFlags, Result as SqlResult};
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
    let mut connection = connect(files, Use::Write)?;
    let content = identify(files, &connection)?;
    match (found, content) {
        (Found::File, Content::Nothing) if acknowledged != Witness::None => {
            return Err(emptied(files));
        }
        (Found::File, Content::Store) if role == Role::Server => check(files, &connection)?,
        (Found::File | Found::Nothing, Content::Nothing | Content::Store) => {}
    }
    make_durable(files, &connection)?;
    migrate(&mut connection, STEPS)?;
    let position = position(&connection).map_err(|error| fault::fault(&error, WriteOutcome::NotDone))?;
    let lost = match (found, content) {
        (_, Content::Nothing) if acknowledged == Witness::None => None,
        (Found::Nothing, _) => Some("the database is gone; an empty one took its place".to_owned()),
        (Found::File, _) => witness::compare(acknowledged, position),
    };
    match lost {
        Some(_) => witness::condemn(&files.lock, position.0).map_err(&lock_fault)?,
        None => witness::write(&files.lock, position).map_err(&lock_fault)?,
    }
    drop(guard);
    Ok(Opened { connection, position, lost })
}

/// Opens the database again after a fault. It must pass the same check (S16), and not be older than what was
/// acknowledged: ending every session is for a start.
pub(super) fn reopen(files: &Files) -> Result<Connection, StoreError> {
    let connection = connect(files, Use::Write)?;
    match identify(files, &connection)? {
        Content::Nothing => return Err(emptied(files)),
        Content::Store => check(files, &connection)?,
    }
    let position = position(&connection).map_err(|error| judged(files, &error))?;
    let acknowledged = witness::read(&files.lock).map_err(file_fault(files.location.lock()))?;
    match witness::compare(acknowledged, position) {
        Some(what) => {
            return Err(StoreError::Corrupt(format!("{what}. Restart: every session will be ended")));
        }
        None => make_durable(files, &connection)?,
    }
    Ok(connection)
}

/// A connection with our settings. Never creates the file, and changes nothing in it.
pub(super) fn connect(files: &Files, purpose: Use) -> Result<Connection, StoreError> {
    configure(files.location.database(), purpose).map_err(|error| judged(files, &error))
}

fn configure(path: &Path, purpose: Use) -> SqlResult<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // Below the deadlines: whoever waits hears why.
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
        Use::Write => {}
        Use::Read => connection.pragma_update(None, "query_only", true)?,
    }
    Ok(connection)
}

// Only once it is known to be ours: the mode is written into the file.
fn make_durable(files: &Files, connection: &Connection) -> Result<(), StoreError> {
    let sql = |error| judged(files, &error);
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).map_err(sql)?;
    if mode != "wal" {
        return Err(StoreError::not_done(format!(
            "{} could not be put into WAL mode; it needs a local file system with shared memory maps",
            files.location.database().display()
        )));
    }
    // FULL syncs the log at each commit; NORMAL would acknowledge revocations that a power cut takes back.
    connection.pragma_update(None, "synchronous", "FULL").map_err(sql)?;
    connection.pragma_update(None, "journal_size_limit", 16 * 1024 * 1024).map_err(sql)
}

// What is in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// Nothing: it is new, or its first start was interrupted before its only transaction.
    Nothing,
    /// A store of ours.
    Store,
}

fn identify(files: &Files, connection: &Connection) -> Result<Content, StoreError> {
    let sql = |error| judged(files, &error);
    let id: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(sql)?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(sql)?;
    match (id, tables) {
        (_, 0) => Ok(Content::Nothing),
        (APPLICATION_ID, _) => Ok(Content::Store),
        _ => Err(damaged(files, "it belongs to another program")),
    }
}

fn check(files: &Files, connection: &Connection) -> Result<(), StoreError> {
    let verdict: SqlResult<String> = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0));
    match verdict {
        Ok(verdict) if verdict == "ok" => Ok(()),
        Ok(verdict) => Err(damaged(files, &verdict)),
        Err(error) => Err(judged(files, &error)),
    }
}

fn judged(files: &Files, error: &Error) -> StoreError {
    match fault::fault(error, WriteOutcome::NotDone) {
        StoreError::Corrupt(why) => damaged(files, &why),
        other => other,
    }
}

fn emptied(files: &Files) -> StoreError {
    StoreError::Corrupt(format!(
        "{} is empty, but held a store before. Restore it from a backup; or, to begin anew, remove it together with {}",
        files.location.database().display(),
        files.location.lock().display(),
    ))
}

fn damaged(files: &Files, why: &str) -> StoreError {
    StoreError::Corrupt(format!(
        "{} does not pass the check ({why}). Restore it from a backup; or, to begin anew, move it and its -wal and -shm files away: everybody signs in again and accounts must be made anew",
        files.location.database().display(),
    ))
}

/// Where the feed stands.
pub(super) fn position(connection: &Connection) -> SqlResult<Position> {
    let mut statement =
        connection.prepare_cached("SELECT epoch, (SELECT seq FROM sqlite_sequence WHERE name = 'feed') FROM store")?;
    statement.query_row([], |row| {
        let head: Option<i64> = row.get(1)?;
        Ok((Epoch(row.get(0)?), Seq(count(head.unwrap_or(0)))))
    })
}
