//! The tables, and the way from any older version to them.

use rusqlite::{Connection, TransactionBehavior};

use super::fault::fault;
use crate::error::{StoreError, WriteOutcome};

/// `SESL`, so that a database of another program is never mistaken for ours.
pub(super) const APPLICATION_ID: i64 = 0x5345_534c;

/// Step n leads from schema version n to n + 1. A step that was ever released is never edited.
pub(super) const STEPS: &[&str] = &[V1];

const V1: &str = "
CREATE TABLE store (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    epoch BLOB NOT NULL,
    witness BLOB
) STRICT;
INSERT INTO store (one, epoch) VALUES (1, randomblob(16));

CREATE TABLE sessions (
    id BLOB PRIMARY KEY NOT NULL,
    subject TEXT NOT NULL,
    storage TEXT NOT NULL,
    remember INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    authenticated_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    absolute_end INTEGER NOT NULL,
    idle INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    rotated_at INTEGER NOT NULL,
    confirmed_at INTEGER,
    client TEXT NOT NULL,
    sealed BLOB NOT NULL,
    over_bucket INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_subject ON sessions (subject);
CREATE INDEX sessions_by_end ON sessions (over_bucket);

CREATE TABLE feed (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    session BLOB,
    reason TEXT
) STRICT;

CREATE TABLE signing_keys (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    algorithm TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    active_from INTEGER NOT NULL,
    revoked_at INTEGER,
    sealed BLOB NOT NULL
) STRICT;

CREATE TABLE accounts (
    name TEXT PRIMARY KEY NOT NULL,
    subject TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    password_set_at INTEGER NOT NULL,
    disabled_at INTEGER,
    sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE failures (
    key BLOB PRIMARY KEY NOT NULL,
    count INTEGER NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    name TEXT NOT NULL,
    reason TEXT NOT NULL,
    subject TEXT,
    session BLOB,
    client TEXT,
    request TEXT
) STRICT;
";

/// Brings the database to the version that `steps` lead to, in one transaction: killed at any point, it is either
/// as it was or done. Of several processes at once, one does it and the others find it done (S22).
pub(super) fn migrate(connection: &mut Connection, steps: &[&str]) -> Result<(), StoreError> {
    let known = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    if version(connection)? == known {
        return Ok(());
    }
    let sql = |error: rusqlite::Error| fault(&error, WriteOutcome::NotDone);
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(sql)?;
    let found = version(&transaction)?;
    if found > known {
        return Err(StoreError::NewerSchema { found, known });
    }
    let done = usize::try_from(found)
        .map_err(|_| StoreError::Corrupt(format!("schema version {found}")))?;
    for step in &steps[done..] {
        transaction.execute_batch(step).map_err(sql)?;
    }
    transaction
        .pragma_update(None, "application_id", APPLICATION_ID)
        .map_err(sql)?;
    transaction
        .pragma_update(None, "user_version", known)
        .map_err(sql)?;
    transaction.commit().map_err(sql)
}

fn version(connection: &Connection) -> Result<i64, StoreError> {
    connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|error| fault(&error, WriteOutcome::NotDone))
}
