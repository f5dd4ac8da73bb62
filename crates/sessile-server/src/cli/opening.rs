//! Opening the store: its master key first, then the files or the connection, then the vault around both.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sessile::{Clock, Engine, SystemClock};
use sessile_core::Timestamp;
use sessile_core::revocation::Phase;
use sessile_store::memory::MemoryStore;
use sessile_store::postgres::PostgresStore;
use sessile_store::redis::RedisStore;
use sessile_store::sqlite::{Location, SqliteOptions, SqliteStore};
use sessile_store::{Backend, MasterKey, SealError, StoreError, Vault};

use super::failure::Failure;
use crate::config::Loaded;
use crate::config::secret_file;
use crate::config::store::{MasterKeySource, SharedStore, StorePlace, StoreSettings};

/// The master key's file in the data directory.
const MASTER_KEY: &str = "master.key";

/// Whether this process serves, or looks in beside a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It serves.
    Server,
    /// It is a command.
    Visitor,
}

/// A vault, and the shared store it still waits for.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) vault: Arc<Vault>,
    shared: Option<SharedStore>,
    role: Role,
    /// The file of a master key that was made for this opening, and may turn out not to be the store's.
    made: Option<PathBuf>,
}

impl Opening {
    /// Opens what is on this machine. A shared store is left to [`connect`](Self::connect).
    pub(super) async fn begin(settings: &StoreSettings, role: Role, clock: &dyn Clock) -> Result<Self, Failure> {
        let on_disk = |location: Location| -> Result<_, Failure> {
            let key = key_of(settings, Some(&location))?;
            Ok((key, Some(sqlite(&location, role)?), None))
        };
        let (key, backend, shared): (Key, Option<Arc<dyn Backend>>, Option<SharedStore>) = match &settings.place {
            StorePlace::Memory => {
                let key = match &settings.master_key {
                    MasterKeySource::DataDirectory => fresh_key()?,
                    given => existing_key(given)?,
                };
                (Key::found(key), Some(Arc::new(MemoryStore::new())), None)
            }
            StorePlace::Directory => on_disk(Location::directory(&settings.data))?,
            StorePlace::File(path) => on_disk(Location::file(path))?,
            StorePlace::Shared(shared) => (key_of(settings, None)?, None, Some(shared.clone())),
        };
        let vault = Arc::new(Vault::awaiting(key.key, sessile_aws_lc::provider(), sessile_aws_lc::entropy()));
        if let Some(backend) = backend {
            vault.adopt(backend, clock.now().wall).await?;
        }
        let opening = Self { vault, shared, role, made: key.made };
        opening.refuse_a_store_that_was_left()?;
        Ok(opening)
    }

    /// Whether its store is one that may be out of reach.
    pub(super) fn waits_for_a_store(&self) -> bool {
        self.shared.is_some()
    }

    /// Reaches for the shared store, if there is one; `now` is for what must be ended if it lost writes.
    pub(super) async fn connect(&self, now: Timestamp) -> Result<(), Failure> {
        let Some(shared) = &self.shared else { return Ok(()) };
        let backend: Arc<dyn Backend> = match shared {
            SharedStore::Postgres(url, options) => Arc::new(PostgresStore::connect(url, (**options).clone()).await?),
            SharedStore::Redis(address, options) => {
                Arc::new(RedisStore::connect(address, (**options).clone()).await.map_err(StoreError::from)?)
            }
        };
        self.vault.adopt(backend, now).await.map_err(|error| match error {
            StoreError::Sealed(SealError::WrongMasterKey { given, sealed }) => self.another_key(&given, &sealed),
            other => Failure::from(other),
        })?;
        self.refuse_a_store_that_was_left()
    }

    // A server on it could admit nobody, and would look as if it had only to wait.
    fn refuse_a_store_that_was_left(&self) -> Result<(), Failure> {
        match (self.role, self.vault.phase()) {
            (Role::Server, Phase::Moved) => Err(StoreError::NotServing(Phase::Moved).into()),
            (Role::Server | Role::Visitor, _) => Ok(()),
        }
    }

    // Each node needs the key of the first; one made here a moment ago is of no use to anybody.
    fn another_key(&self, given: &str, sealed: &str) -> Failure {
        let made = match &self.made {
            Some(path) => {
                // Left behind, it would be taken for the key the next time.
                let _ = std::fs::remove_file(path);
                format!("; {} was made for it and is removed again", path.display())
            }
            None => String::new(),
        };
        Failure::MasterKey(format!(
            "the store is sealed under master key {sealed}, and this node has {given}{made}. Every node of a store needs the same \
             key: give the one of the first node, in SESSILE_MASTER_KEY or by keys.master_key_file. If it is lost, begin anew under \
             another store.name: everybody signs in again and accounts must be made anew"
        ))
    }
}

/// Opens the vault the settings name, or fails.
pub async fn vault(settings: &StoreSettings, role: Role, clock: &dyn Clock) -> Result<Arc<Vault>, Failure> {
    let opening = Opening::begin(settings, role, clock).await?;
    opening.connect(clock.now().wall).await?;
    Ok(opening.vault)
}

/// An engine for one command, beside a server or alone.
pub(super) async fn engine_for_command(loaded: &Loaded) -> Result<Engine, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let vault = vault(&loaded.runtime.store, Role::Visitor, &*clock).await?;
    Ok(Engine::start(vault, loaded.runtime.engine.clone(), clock).await?)
}

/// Checks the master key without making one: for `sessile check`.
pub(super) fn check_master_key(settings: &StoreSettings) -> Result<(), Failure> {
    let path = settings.data.join(MASTER_KEY);
    let location = match (&settings.place, &settings.master_key) {
        (_, given @ (MasterKeySource::Given(_) | MasterKeySource::File(_))) => return existing_key(given).map(drop),
        (StorePlace::Memory, MasterKeySource::DataDirectory) => return Ok(()),
        (StorePlace::Shared(_), MasterKeySource::DataDirectory) => {
            return if path.exists() { read_key(&path).map(drop) } else { Ok(()) };
        }
        (StorePlace::File(path), MasterKeySource::DataDirectory) => Location::file(path),
        (StorePlace::Directory, MasterKeySource::DataDirectory) => Location::directory(&settings.data),
    };
    if path.exists() || location.database().exists() {
        key_beside(&path, Some(location.database())).map(drop)
    } else {
        Ok(())
    }
}

/// Refuses to go on where opening the store would make a master key: for `sessile migrate`. Records come sealed from a store
/// that has one, and a new key opens none of them.
pub(super) fn require_master_key(settings: &StoreSettings) -> Result<(), Failure> {
    let path = settings.data.join(MASTER_KEY);
    match &settings.master_key {
        MasterKeySource::DataDirectory if !path.exists() => Err(Failure::MasterKey(format!(
            "{} is missing, and a move makes none. Give the key of the store to move from, in SESSILE_MASTER_KEY or by \
             keys.master_key_file",
            path.display()
        ))),
        MasterKeySource::DataDirectory | MasterKeySource::Given(_) | MasterKeySource::File(_) => Ok(()),
    }
}

fn sqlite(location: &Location, role: Role) -> Result<Arc<dyn Backend>, Failure> {
    let options = match role {
        Role::Server => SqliteOptions::SERVER,
        Role::Visitor => SqliteOptions::VISITOR,
    };
    Ok(Arc::new(SqliteStore::open(location, options)?))
}

/// A master key, and its file if it was made just now.
struct Key {
    key: MasterKey,
    made: Option<PathBuf>,
}

impl Key {
    fn found(key: MasterKey) -> Self {
        Self { key, made: None }
    }
}

fn key_of(settings: &StoreSettings, location: Option<&Location>) -> Result<Key, Failure> {
    match &settings.master_key {
        MasterKeySource::DataDirectory => key_beside(&settings.data.join(MASTER_KEY), location.map(Location::database)),
        given => existing_key(given).map(Key::found),
    }
}

fn existing_key(source: &MasterKeySource) -> Result<MasterKey, Failure> {
    match source {
        MasterKeySource::Given(text) => Ok(MasterKey::parse(text.expose())?),
        MasterKeySource::File(path) => read_key(path),
        MasterKeySource::DataDirectory => {
            Err(Failure::Other("the data directory's key is opened with its database".into()))
        }
    }
}

fn fresh_key() -> Result<MasterKey, Failure> {
    MasterKey::generate(&*sessile_aws_lc::entropy()).map_err(|e| Failure::Other(e.to_string()))
}

fn read_key(path: &Path) -> Result<MasterKey, Failure> {
    let text =
        secret_file::read(path).map_err(|fault| Failure::MasterKey(format!("{}; {}", fault.problem, fault.remedy)))?;
    MasterKey::parse(text.expose()).map_err(|refused| Failure::MasterKey(format!("{}: {refused}", path.display())))
}

/// The key in the data directory. Made once, when there is neither key nor database; never made anew for a database that
/// exists: what is sealed in it would be lost, and with it every account (X5).
fn key_beside(path: &Path, database: Option<&Path>) -> Result<Key, Failure> {
    if path.exists() {
        return read_key(path).map(Key::found);
    }
    if let Some(database) = database.filter(|database| database.exists()) {
        return Err(Failure::MasterKey(format!(
            "{} is missing, but {} exists and is sealed under it. Put the key back, from a backup, or give it in SESSILE_MASTER_KEY or \
             keys.master_key_file. If it is lost, move the data directory away and start with an empty one: everybody signs in again and \
             accounts must be made anew",
            path.display(),
            database.display(),
        )));
    }
    make_key(path)
}

/// Writes a new key so that it is there whole or not at all, also when two processes begin at once.
fn make_key(path: &Path) -> Result<Key, Failure> {
    let cannot = |at: &Path, e: std::io::Error| {
        Failure::MasterKey(format!("{}: {e}; the master key is made there", at.display()))
    };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|e| cannot(directory, e))?;
    let key = fresh_key()?;
    let unfinished = Unfinished(directory.join(format!("{MASTER_KEY}.{}", std::process::id())));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished.0)
        .map_err(|e| cannot(&unfinished.0, e))?;
    let mut text = zeroize::Zeroizing::new(key.to_text().expose().to_owned());
    text.push('\n');
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|e| cannot(&unfinished.0, e))?;
    match std::fs::hard_link(&unfinished.0, path) {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::AlreadyExists => return read_key(path).map(Key::found),
        Err(e) => return Err(cannot(path, e)),
    }
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(|e| cannot(directory, e))?;
    Ok(Key { key, made: Some(path.to_owned()) })
}

/// A file that is gone when this is.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Left behind, it holds a key nobody uses.
        let _ = std::fs::remove_file(&self.0);
    }
}
