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
    let guard = moved.then(|| files.exclusively()).transpose().map_err(|fault| {
        roll_back(connection);
        GroupFault { class: Class::Operation, fault }
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
    GroupFault { class: class(error), fault: fault(error, outcome) }
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use tokio::sync::oneshot;

    use super::super::writer::{Job, Need, Write};
    use super::super::{Location, Role, connection};
    use super::*;

    type Answer = oneshot::Receiver<Result<usize, StoreError>>;

    fn job(sql: &'static str) -> (Box<dyn Job>, Answer) {
        let (reply, answer) = oneshot::channel();
        let work = move |connection: &Connection| connection.execute(sql, []);
        let deadline = Instant::now() + Duration::from_secs(9);
        (Box::new(Write { need: Need::Room, deadline, work, outcome: None, reply }), answer)
    }

    /// an operation that fails within a group fails alone, wholly, and the rest is committed.
    #[test]
    fn one_fault_does_not_spoil_a_group() {
        let directory = tempfile::tempdir().unwrap();
        let files = Files::claim(&Location::directory(directory.path()), Role::Server).unwrap();
        let opened = connection::open_store(&files, Role::Server).unwrap();
        let seen = watch::Sender::new(opened.position);
        let insert = "INSERT INTO failures VALUES (x'01', 1, 1, 1)";
        let (jobs, answers): (Jobs, Vec<Answer>) = [
            job(insert),
            // Two rows, of which the second is taken: neither stays.
            job("INSERT INTO failures VALUES (x'02', 1, 1, 1), (x'01', 1, 1, 1)"),
            job("INSERT INTO feed (at, kind) VALUES (1, 3)"),
        ]
        .into_iter()
        .unzip();
        let mut jobs = jobs;
        let verdicts = commit(&opened.connection, &files, &seen, &mut jobs).map_err(|group| group.fault).unwrap();
        for (job, verdict) in jobs.into_iter().zip(verdicts) {
            job.answer(verdict);
        }
        let answers: Vec<_> = answers.into_iter().map(|mut answer| answer.try_recv().unwrap()).collect();
        assert!(matches!(answers[..], [Ok(1), Err(StoreError::Internal(_)), Ok(1)]), "{answers:?}");
        let rows = |sql| -> i64 { opened.connection.query_row(sql, [], |row| row.get(0)).unwrap() };
        assert_eq!((rows("SELECT count(*) FROM failures"), rows("SELECT count(*) FROM feed")), (1, 1));
        // What was appended is told, and witnessed before anybody was answered.
        assert_eq!(seen.borrow().1.0, 1);
        assert_eq!(witness::read(&files.lock).unwrap(), witness::Witness::At(*seen.borrow()));
    }
}
