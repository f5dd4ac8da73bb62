//! The embedded store: one SQLite file with its companions.
//!
//! | File | What it is |
//! |---|---|
//! | `sessile.db`, `-wal`, `-shm` | the database, in WAL mode with `synchronous=FULL`: synced before it is acknowledged |
//! | `sessile.lock` | held by the one server; and the *witness*, the last position of the feed that was acknowledged |
//! | `ballast` | space held back, so that sessions can still be ended on a full disk |
//!
//! One thread writes, many operations to a commit; a few threads read. Other processes (the command line) may open
//! the same files beside the server.
//!
//! # What it notices, and what it cannot
//!
//! A database that is missing, older than its witness, of another history, or without a witness has lost
//! acknowledged writes ([`Continuity::Lost`](crate::Continuity::Lost)); the vault then ends every session. A whole
//! directory put back from a backup brings its old witness along and looks unbroken: run
//! `sessile session revoke --all` after such a restore. After a loss of power the witness may trail the database,
//! never lead it.
//!
//! Waiting for an answer uses tokio's timer: call from a runtime that has one.

mod accounts;
mod ballast;
mod connection;
mod events;
mod fault;
mod feed;
mod files;
mod group;
mod keys;
mod moves;
mod poller;
mod queue;
mod reader;
mod row;
mod schema;
mod sessions;
mod store;
mod throttles;
mod tokens;
mod witness;
mod writer;

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use sessile_core::revocation::{Epoch, Seq};
use tokio::sync::watch;

pub use files::Location;

use crate::error::StoreError;
use reader::Readers;
use writer::Writer;

/// How to open a store.
#[derive(Clone, Copy, Debug)]
pub struct SqliteOptions {
    /// Whether this process serves requests: then it must be the only one that does, and the database is checked
    /// before use. The command line opens beside a server and passes [`Role::Visitor`].
    pub role: Role,
    /// Size of the ballast, in bytes. The server keeps it; a visitor may only give it up.
    pub ballast_bytes: u64,
    /// How long a write may take, waiting included, before its caller is told that the outcome is unknown.
    pub write_deadline: Duration,
    /// How long a read may take, waiting included.
    pub read_deadline: Duration,
}

/// What a process does with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It serves requests; there is one of these (S20).
    Server,
    /// It looks in beside a server.
    Visitor,
}

impl SqliteOptions {
    /// For the process that serves.
    pub const SERVER: Self = Self {
        role: Role::Server,
        ballast_bytes: 4 * 1024 * 1024,
        write_deadline: Duration::from_secs(2),
        read_deadline: Duration::from_millis(500),
    };

    /// For a process beside it, such as a command. More patient: a person waits for it.
    pub const VISITOR: Self = Self {
        role: Role::Visitor,
        write_deadline: Duration::from_secs(10),
        read_deadline: Duration::from_secs(10),
        ..Self::SERVER
    };
}

type Position = (Epoch, Seq);

/// The embedded store. Dropping it finishes what was begun, stops its threads and lets go of the lock.
#[derive(Debug)]
pub struct SqliteStore {
    writer: Writer,
    readers: Readers,
    position: Arc<watch::Sender<Position>>,
    lost: Mutex<Option<String>>,
    poller: Option<(Arc<poller::Stop>, JoinHandle<()>)>,
    options: SqliteOptions,
    // Last: the lock goes after the threads that write are gone.
    _files: Arc<files::Files>,
}

impl SqliteStore {
    /// Opens or creates the store. Blocks: call it before serving.
    ///
    /// Fails if another server holds it, if the database is damaged or of a newer schema, or if its files cannot
    /// be used. It never replaces a damaged database (S18).
    pub fn open(location: &Location, options: SqliteOptions) -> Result<Self, StoreError> {
        let files = Arc::new(files::Files::claim(location, options.role)?);
        let opened = connection::open_store(&files, options.role)?;
        let position = Arc::new(watch::Sender::new(opened.position));
        let readers = Readers::start(&files)?;
        let poller = poller::start(files.clone(), position.clone())?;
        let writer = Writer::start(files.clone(), opened.connection, options, position.clone())?;
        Ok(Self {
            writer,
            readers,
            position,
            lost: Mutex::new(opened.lost),
            poller: Some(poller),
            options,
            _files: files,
        })
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.poller.take() {
            stop.set();
            // Its panic, if any, was printed; there is nobody left to tell.
            let _ = thread.join();
        }
        self.readers.stop();
        self.writer.stop();
    }
}
