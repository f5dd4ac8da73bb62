//! Group commit: one transaction for many operations, a savepoint for each of them.

use rusqlite::{Connection, Error, Result as SqlResult};
use tokio::sync::watch;

use super::connection::position;
use super::fault::{Class, class, fault};
use super::files::Files;
use super::poller::publish;
use super::writer::Jobs;
use super::{Position, witness};
use crate::error::{StoreError, WriteOutcome};

/// Why a whole group was not committed.
pub(super) struct GroupFault {
    pub(super) class: Class,
    pub(super) fault: StoreError,
}

/// Runs and commits a group. An operation that fails alone is undone alone; its verdict stands at its place. On a
/// fault of the whole, nothing of it is in the database, or nothing is known.
pub(super) fn commit(
    connection: &Connection,
    files: &Files,
    seen: &watch::Sender<Position>,
    jobs: &mut Jobs,
) -> Result<Vec<Result<(), StoreError>>, GroupFault> {
    let undone = |error| failed(connection, &error, WriteOutcome::NotDone);

    run(connection, "BEGIN IMMEDIATE").map_err(undone)?;
    let mut verdicts = Vec::with_capacity(jobs.len());
    for job in jobs {
        run(connection, "SAVEPOINT operation").map_err(undone)?;
        let verdict = match job.run(connection) {
            Ok(()) => Ok(()),
            Err(error) if class(&error) == Class::Operation && !connection.is_autocommit() => {
                run(connection, "ROLLBACK TO operation").map_err(undone)?;
                Err(fault(&error, WriteOutcome::NotDone))
            }
            Err(error) => return Err(undone(error)),
        };
        run(connection, "RELEASE operation").map_err(undone)?;
        verdicts.push(verdict);
    }
    let position = position(connection).map_err(undone)?;
    let moved = *seen.borrow() != position;
    // Held from before the commit until the witness has it: no other process judges or writes in between.
    let guard = moved
        .then(|| files.exclusively())
        .transpose()
        .map_err(|fault| {
            roll_back(connection);
            GroupFault {
                class: Class::Operation,
                fault,
            }
        })?;
    run(connection, "COMMIT").map_err(|error| {
        let outcome = match class(&error) {
            // SQLite has undone it.
            Class::Full | Class::Busy | Class::Operation => WriteOutcome::NotDone,
            // The log may hold it, synced or not.
            Class::Broken => WriteOutcome::Unknown,
        };
        failed(connection, &error, outcome)
    })?;
    if guard.is_some() {
        if let Err(fault) = witness::write(&files.lock, position) {
            // What was written is safe; only a later loss of it might go unnoticed.
            tracing::error!(path = %files.location.lock().display(), %fault, "the witness could not be written");
        }
        drop(guard);
        publish(seen, position);
    }
    Ok(verdicts)
}

fn failed(connection: &Connection, error: &Error, outcome: WriteOutcome) -> GroupFault {
    roll_back(connection);
    GroupFault {
        class: class(error),
        fault: fault(error, outcome),
    }
}

fn roll_back(connection: &Connection) {
    if !connection.is_autocommit() {
        // Were this to fail, so would the next BEGIN, and the connection be replaced.
        let _ = connection.execute_batch("ROLLBACK");
    }
}

fn run(connection: &Connection, sql: &str) -> SqlResult<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}
