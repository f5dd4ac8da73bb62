//! Where sessions are kept, as the parts of the program are told.

use std::fmt;
use std::path::PathBuf;

use sessile_core::SecretText;
use sessile_store::postgres::{PostgresOptions, PostgresUrl};
use sessile_store::redis::{Address, RedisOptions};

use super::keys::Store;
use super::kinds::StoreUrl;
use super::mistake::Mistakes;
use super::{Settings, secret_file};

/// Where the store is, and where its master key comes from.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// The store.
    pub place: StorePlace,
    /// The data directory.
    pub data: PathBuf,
    /// The master key.
    pub master_key: MasterKeySource,
    /// Whether a shared store must be there at the start.
    pub required: bool,
}

/// Where sessions are kept.
#[derive(Clone, Debug)]
pub enum StorePlace {
    /// In this process.
    Memory,
    /// In the database of the data directory.
    Directory,
    /// In a database file of its own.
    File(PathBuf),
    /// On a server, shared by all nodes.
    Shared(SharedStore),
}

/// A store on a server.
#[derive(Clone, Debug)]
pub enum SharedStore {
    /// PostgreSQL.
    Postgres(Box<PostgresUrl>, Box<PostgresOptions>),
    /// Redis or Valkey.
    Redis(Address, Box<RedisOptions>),
}

/// For the log: where, and never with whose password.
impl fmt::Display for StoreSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            StorePlace::Memory => f.write_str("memory, gone with this process"),
            StorePlace::Directory => write!(f, "sqlite in {}", self.data.display()),
            StorePlace::File(path) => write!(f, "sqlite {}", path.display()),
            StorePlace::Shared(SharedStore::Postgres(url, options)) => {
                write!(f, "postgres {url}, schema {}", options.schema)
            }
            StorePlace::Shared(SharedStore::Redis(address, options)) => {
                write!(f, "redis {address}, prefix {}", options.prefix)
            }
        }
    }
}

/// Where the master key comes from.
#[derive(Clone, Debug)]
pub enum MasterKeySource {
    /// From the environment.
    Given(SecretText),
    /// From a file the operator manages; it is never made.
    File(PathBuf),
    /// From `master.key` in the data directory, made once with the store.
    DataDirectory,
}

/// Translates the section, with the files it names.
pub(super) fn settings(settings: &Settings, mistakes: &mut Mistakes) -> StoreSettings {
    let store = &settings.store;
    let master_key = match (&*settings.keys.master_key, &*settings.keys.master_key_file) {
        (Some(key), _) => MasterKeySource::Given(key.clone()),
        (None, Some(path)) => MasterKeySource::File(path.clone()),
        (None, None) => MasterKeySource::DataDirectory,
    };
    let place = match &*store.url {
        None => StorePlace::Directory,
        Some(StoreUrl::Memory) => StorePlace::Memory,
        Some(StoreUrl::Sqlite(path)) => StorePlace::File(path.clone()),
        Some(StoreUrl::Postgres(url)) => StorePlace::Shared(postgres(store, url.clone(), mistakes)),
        Some(StoreUrl::Redis(address)) => StorePlace::Shared(redis(store, address.clone(), mistakes)),
    };
    StoreSettings { place, data: store.data.value.clone(), master_key, required: *store.required }
}

fn postgres(store: &Store, url: Box<PostgresUrl>, mistakes: &mut Mistakes) -> SharedStore {
    if let Some(path) = &*store.password_file
        && let Err(fault) = secret_file::check(path)
    {
        store.password_file.refuse(mistakes, fault.problem, fault.remedy);
    }
    let url = match &*store.ca {
        None => url,
        Some(ca) => url.clone().trusting(ca.clone()).map(Box::new).unwrap_or_else(|refused| {
            store.ca.refuse(mistakes, refused.to_string(), "remove this, or name the host");
            url
        }),
    };
    let options = PostgresOptions {
        schema: store.name.0.clone(),
        password_file: store.password_file.value.clone().filter(|_| !url.has_password()),
        connections: *store.connections,
        write_deadline: *store.write_deadline,
        read_deadline: *store.read_deadline,
    };
    SharedStore::Postgres(url, Box::new(options))
}

fn redis(store: &Store, address: Address, mistakes: &mut Mistakes) -> SharedStore {
    let address = match store.password_file.as_deref().map(secret_file::read).transpose() {
        Ok(Some(password)) if !address.has_password() => address.with_password(&password),
        Ok(_) => address,
        Err(fault) => {
            store.password_file.refuse(mistakes, fault.problem, fault.remedy);
            address
        }
    };
    let root_certificate =
        store.ca.as_deref().filter(|_| address.is_tls()).map(std::fs::read).transpose().unwrap_or_else(|error| {
            store.ca.refuse(mistakes, error.to_string(), "name a PEM file of certificate authorities");
            None
        });
    let options = RedisOptions {
        prefix: store.name.0.to_string(),
        read_deadline: *store.read_deadline,
        write_deadline: *store.write_deadline,
        replicas: *store.replicas,
        root_certificate,
        danger_allow_eviction: *store.danger_allow_eviction,
        danger_assume_noeviction: *store.danger_assume_noeviction,
        assume_durability: store.assume_durability.map(Into::into),
        ..RedisOptions::default()
    };
    SharedStore::Redis(address, Box::new(options))
}
