//! Where the files are, and who holds them.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::Role;
use super::witness::WITNESS_BYTES;
use crate::error::StoreError;

/// Paths of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    directory: PathBuf,
    database: PathBuf,
    lock: PathBuf,
    ballast: PathBuf,
}

impl Location {
    /// A data directory: `sessile.db`, `sessile.lock` and `ballast` within it. Created if it is not there.
    pub fn directory(directory: impl AsRef<Path>) -> Self {
        let directory = directory.as_ref();
        Self {
            directory: directory.to_owned(),
            database: directory.join("sessile.db"),
            lock: directory.join("sessile.lock"),
            ballast: directory.join("ballast"),
        }
    }

    /// A database file of any name; its companions are called after it.
    pub fn file(database: impl AsRef<Path>) -> Self {
        let database = database.as_ref();
        let beside = |suffix: &str| {
            let mut name = database.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        let directory = match database.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            Some(_) | None => PathBuf::from("."),
        };
        Self { directory, lock: beside("-lock"), ballast: beside("-ballast"), database: database.to_owned() }
    }

    /// The database file.
    pub fn database(&self) -> &Path {
        &self.database
    }

    /// The lock file, which holds the witness too.
    pub fn lock(&self) -> &Path {
        &self.lock
    }

    /// The ballast.
    pub fn ballast(&self) -> &Path {
        &self.ballast
    }
}

/// The files, claimed: a server holds the lock for as long as this lives.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) location: Location,
    pub(super) lock: File,
}

impl Files {
    pub(super) fn claim(location: &Location, role: Role) -> Result<Self, StoreError> {
        let at = |path: &Path| file_fault(path);
        DirBuilder::new().recursive(true).mode(0o700).create(&location.directory).map_err(at(&location.directory))?;
        let lock = private().create(true).truncate(false).open(&location.lock).map_err(at(&location.lock))?;
        match role {
            Role::Visitor => {}
            Role::Server => {
                match lock.try_lock() {
                    Ok(()) => {}
                    Err(TryLockError::WouldBlock) => return Err(in_use(location, &lock)),
                    Err(TryLockError::Error(source)) => return Err(at(&location.lock)(source)),
                }
                let note = format!("{:<20}", std::process::id());
                lock.write_all_at(note.as_bytes(), WITNESS_BYTES).map_err(at(&location.lock))?;
            }
        }
        Ok(Self { location: location.clone(), lock })
    }

    /// Makes the database file if it is not there, readable by its owner only; SQLite gives its companions the same
    /// mode.
    pub(super) fn prepare_database(&self) -> Result<Found, StoreError> {
        let path = &self.location.database;
        match private().create_new(true).open(path) {
            Ok(_) => Ok(Found::Nothing),
            Err(exists) if exists.kind() == ErrorKind::AlreadyExists => Ok(Found::File),
            Err(source) => Err(file_fault(path)(source)),
        }
    }

    /// Keeps every other process from committing to the feed or judging the witness until the guard is dropped. A
    /// lock on the directory, since the lock file itself is the server's for good. Does not wait for ever: the
    /// holder may have been suspended.
    pub(super) fn exclusively(&self) -> Result<File, StoreError> {
        const PATIENCE: Duration = Duration::from_millis(1500);
        let directory = &self.location.directory;
        let guard = File::open(directory).map_err(file_fault(directory))?;
        let begun = Instant::now();
        loop {
            match guard.try_lock() {
                Ok(()) => return Ok(guard),
                Err(TryLockError::WouldBlock) if begun.elapsed() < PATIENCE => sleep(Duration::from_millis(2)),
                Err(TryLockError::WouldBlock) => {
                    let held = format!("another process keeps {} locked", directory.display());
                    return Err(StoreError::not_done(held));
                }
                Err(TryLockError::Error(source)) => return Err(file_fault(directory)(source)),
            }
        }
    }
}

/// What was at the database's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    File,
}

pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

pub(super) fn file_fault(path: &Path) -> impl Fn(std::io::Error) -> StoreError + use<> {
    let path = path.to_owned();
    move |source| StoreError::File { path: path.clone(), source }
}

fn in_use(location: &Location, lock: &File) -> StoreError {
    let mut note = [0; 20];
    let number = match lock.read_exact_at(&mut note, WITNESS_BYTES) {
        Ok(()) => std::str::from_utf8(&note).ok().and_then(|text| text.trim().parse::<u32>().ok()),
        Err(_) => None,
    };
    let holder = number.map(|number| format!(" (process {number})")).unwrap_or_default();
    StoreError::InUse { path: location.lock.clone(), holder }
}
