//! Opening the store: its master key first, then the files, then the vault around both.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sessile::{Clock, Engine, SystemClock};
use sessile_store::memory::MemoryStore;
use sessile_store::sqlite::{Location, SqliteOptions, SqliteStore};
use sessile_store::{Backend, MasterKey, Vault};

use super::failure::Failure;
use crate::config::Loaded;
use crate::config::runtime::{MasterKeySource, StorePlace, StoreSettings};
use crate::config::secret_file;

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

/// Opens the vault the settings name.
pub async fn vault(settings: &StoreSettings, role: Role, clock: &dyn Clock) -> Result<Vault, Failure> {
    let (backend, master): (Arc<dyn Backend>, MasterKey) = match &settings.place {
        StorePlace::Memory => {
            let master = match &settings.master_key {
                MasterKeySource::DataDirectory => fresh_key()?,
                given => existing_key(given)?,
            };
            (Arc::new(MemoryStore::new()), master)
        }
        StorePlace::Directory => sqlite(settings, &Location::directory(&settings.data), role)?,
        StorePlace::File(path) => sqlite(settings, &Location::file(path), role)?,
    };
    let (crypto, entropy) = (sessile_aws_lc::provider(), sessile_aws_lc::entropy());
    Ok(Vault::open(backend, master, crypto, entropy, clock.now().wall).await?)
}

/// An engine for one command, beside a server or alone.
pub(super) async fn engine_for_command(loaded: &Loaded) -> Result<Engine, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let vault = vault(&loaded.runtime.store, Role::Visitor, &*clock).await?;
    Ok(Engine::start(Arc::new(vault), loaded.runtime.engine.clone(), clock).await?)
}

/// Checks the master key without making one: for `sessile check`.
pub(super) fn check_master_key(settings: &StoreSettings) -> Result<(), Failure> {
    match (&settings.place, &settings.master_key) {
        (_, given @ (MasterKeySource::Given(_) | MasterKeySource::File(_))) => existing_key(given).map(drop),
        (StorePlace::Memory, MasterKeySource::DataDirectory) => Ok(()),
        (place @ (StorePlace::Directory | StorePlace::File(_)), MasterKeySource::DataDirectory) => {
            let path = settings.data.join(MASTER_KEY);
            let location = match place {
                StorePlace::File(path) => Location::file(path),
                StorePlace::Directory | StorePlace::Memory => Location::directory(&settings.data),
            };
            if path.exists() || location.database().exists() {
                key_beside(&path, location.database()).map(drop)
            } else {
                Ok(())
            }
        }
    }
}

fn sqlite(settings: &StoreSettings, location: &Location, role: Role) -> Result<(Arc<dyn Backend>, MasterKey), Failure> {
    let master = match &settings.master_key {
        MasterKeySource::DataDirectory => key_beside(&settings.data.join(MASTER_KEY), location.database())?,
        given => existing_key(given)?,
    };
    let options = match role {
        Role::Server => SqliteOptions::SERVER,
        Role::Visitor => SqliteOptions::VISITOR,
    };
    Ok((Arc::new(SqliteStore::open(location, options)?), master))
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

/// The key beside the database. Made once, when there is neither; never made anew for a database that exists:
/// what is sealed in it would be lost, and with it every account (X5).
fn key_beside(path: &Path, database: &Path) -> Result<MasterKey, Failure> {
    if path.exists() {
        return read_key(path);
    }
    if database.exists() {
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
fn make_key(path: &Path) -> Result<MasterKey, Failure> {
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
        Err(e) if e.kind() == ErrorKind::AlreadyExists => return read_key(path),
        Err(e) => return Err(cannot(path, e)),
    }
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(|e| cannot(directory, e))?;
    Ok(key)
}

/// A file that is gone when this is.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Left behind, it holds a key nobody uses.
        let _ = std::fs::remove_file(&self.0);
    }
}
