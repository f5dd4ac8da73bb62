//! The thread that writes: many operations to one commit, and no answer before it.

use std::fmt;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

use super::ballast::Ballast;
use super::connection::reopen;
use super::fault::Class;
use super::files::Files;
use super::queue::{Lane, Queue, Refused};
use super::{Position, SqliteOptions, group};
use crate::error::StoreError;

/// Operations to a commit, at most.
const GROUP: usize = 256;
/// The same while the ballast is released: what one commit logs must fit into that space.
const SMALL_GROUP: usize = 16;
const BETWEEN_REOPENINGS: Duration = Duration::from_secs(1);

/// What a write needs of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Room for something new. Refused while the disk is full.
    Room,
    /// What the ballast was held back for: ending, renewing, guarding.
    Reserve,
}

/// A write under way. It may run more than once: its group is tried again without its faulty members.
pub(super) struct Write<T, F> {
    pub(super) need: Need,
    pub(super) deadline: Instant,
    pub(super) work: F,
    pub(super) outcome: Option<T>,
    pub(super) reply: oneshot::Sender<Result<T, StoreError>>,
}

pub(super) trait Job: Send {
    fn need(&self) -> Need;
    /// Whether its caller has been told already that it did not hear in time.
    fn is_late(&self) -> bool;
    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()>;
    fn answer(self: Box<Self>, verdict: Result<(), StoreError>);
}

impl<T: Send, F: Fn(&Connection) -> rusqlite::Result<T> + Send> Job for Write<T, F> {
    fn need(&self) -> Need {
        self.need
    }

    fn is_late(&self) -> bool {
        Instant::now() >= self.deadline
    }

    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.outcome = Some((self.work)(connection)?);
        Ok(())
    }

    fn answer(self: Box<Self>, verdict: Result<(), StoreError>) {
        let Self { outcome, reply, .. } = *self;
        let answer = verdict.and_then(|()| {
            outcome.ok_or_else(|| StoreError::Internal("a write was committed without having run".to_owned()))
        });
        // The caller may have stopped waiting.
        let _ = reply.send(answer);
    }
}

pub(super) type Jobs = Vec<Box<dyn Job>>;

pub(super) struct Writer {
    queue: Arc<Queue<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(
        files: Arc<Files>,
        connection: Connection,
        options: SqliteOptions,
        seen: Arc<watch::Sender<Position>>,
    ) -> Result<Self, StoreError> {
        let queue = Arc::new(Queue::new());
        let work = queue.clone();
        let thread = Builder::new()
            .name("sessile-write".to_owned())
            .spawn(move || {
                let _attendance = work.attended();
                let ballast = Ballast::new(files.location.ballast().to_owned(), options.ballast_bytes, options.role);
                let connection = Ok(connection);
                let mut desk = Desk { files, connection, ballast, seen };
                while let Some(jobs) = work.take(GROUP) {
                    desk.serve(jobs);
                }
            })
            .map_err(|fault| StoreError::Internal(format!("a thread could not be started: {fault}")))?;
        Ok(Self { queue, thread: Some(thread) })
    }

    pub(super) fn push(&self, job: Box<dyn Job>) -> Result<(), Refused> {
        let lane = match job.need() {
            Need::Reserve => Lane::First,
            Need::Room => Lane::Second,
        };
        self.queue.push(lane, job)
    }

    pub(super) fn stop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take() {
            // Its panic, if any, was printed; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Writer")
    }
}

/// Why there is no connection, and when another try is due.
struct Down {
    why: StoreError,
    retry_at: Instant,
}

struct Desk {
    files: Arc<Files>,
    connection: Result<Connection, Down>,
    ballast: Ballast,
    seen: Arc<watch::Sender<Position>>,
}

impl Desk {
    fn serve(&mut self, mut jobs: Jobs) {
        // Nobody waits for these any more. What ends or renews a session is done all the same: its client may be
        // gone because it closed the page it signed out on.
        let late = jobs.extract_if(.., |job| job.need() == Need::Room && job.is_late());
        answer_all(late.collect(), || StoreError::not_done("the write waited too long"));
        self.ballast.restore();
        if !self.ballast.is_released() {
            jobs = match self.commit(jobs) {
                Ok(()) => return,
                Err(unserved) => unserved,
            };
        }
        let refused = jobs.extract_if(.., |job| job.need() == Need::Room);
        answer_all(refused.collect(), || self.full());
        if !jobs.is_empty() {
            self.shrink_log();
        }
        while !jobs.is_empty() {
            let rest = jobs.split_off(jobs.len().min(SMALL_GROUP));
            if let Err(unserved) = self.commit(jobs) {
                answer_all(unserved, || self.full());
            }
            self.shrink_log();
            jobs = rest;
        }
    }

    /// Commits a group and answers it. Gives it back, unanswered, if the disk is full; the ballast is released then.
    fn commit(&mut self, mut jobs: Jobs) -> Result<(), Jobs> {
        self.ensure_connection();
        let connection = match &self.connection {
            Ok(connection) => connection,
            Err(down) => {
                answer_all(jobs, || again(&down.why));
                return Ok(());
            }
        };
        match group::commit(connection, &self.files, &self.seen, &mut jobs) {
            Ok(verdicts) => {
                for (job, verdict) in jobs.into_iter().zip(verdicts) {
                    job.answer(verdict);
                }
                Ok(())
            }
            Err(group) => match group.class {
                Class::Full => {
                    if !self.ballast.is_released() {
                        tracing::error!(path = %self.files.location.database().display(), "the disk is full: new sessions are refused");
                    }
                    self.ballast.release();
                    Err(jobs)
                }
                Class::Busy | Class::Operation => {
                    answer_all(jobs, || again(&group.fault));
                    Ok(())
                }
                Class::Broken => {
                    tracing::error!(fault = %group.fault, "the database connection failed; it is opened again after a check");
                    answer_all(jobs, || again(&group.fault));
                    self.connection = Err(Down { why: group.fault, retry_at: Instant::now() });
                    Ok(())
                }
            },
        }
    }

    fn ensure_connection(&mut self) {
        if let Err(down) = &self.connection
            && Instant::now() >= down.retry_at
        {
            self.connection =
                reopen(&self.files).map_err(|why| Down { why, retry_at: Instant::now() + BETWEEN_REOPENINGS });
        }
    }

    fn full(&self) -> StoreError {
        StoreError::Full(self.files.location.database().display().to_string())
    }

    // On a full disk the log must not grow: what it holds moves into the database, and it starts over.
    fn shrink_log(&self) {
        if let Ok(connection) = &self.connection {
            // Best effort: a reader may hold the log, or the database find no room to grow.
            let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        }
    }
}

fn answer_all(jobs: Jobs, fault: impl Fn() -> StoreError) {
    for job in jobs {
        job.answer(Err(fault()));
    }
}

// The same fault for each member of a group.
fn again(fault: &StoreError) -> StoreError {
    match fault {
        StoreError::Unavailable { why, outcome } => StoreError::Unavailable { why: why.clone(), outcome: *outcome },
        StoreError::Full(what) => StoreError::Full(what.clone()),
        StoreError::Corrupt(what) => StoreError::Corrupt(what.clone()),
        other => StoreError::not_done(other.to_string()),
    }
}
