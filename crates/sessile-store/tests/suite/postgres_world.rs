//! Stores in PostgreSQL for the tests.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sessile_instruments::servers::Postgres;
use sessile_store::StoreError;
use sessile_store::postgres::{PostgresOptions, PostgresStore, PostgresUrl, SchemaName};

/// The server most tests share, each in a schema of its own. It stops when this process ends.
pub(crate) fn shared() -> &'static Postgres {
    static SHARED: OnceLock<Postgres> = OnceLock::new();
    SHARED.get_or_init(|| Postgres::start(&["max_connections=300"]))
}

/// A server of the test's own.
pub(crate) async fn own_server(settings: &'static [&str]) -> Postgres {
    tokio::task::spawn_blocking(|| Postgres::start(settings)).await.unwrap()
}

/// A schema nobody has used.
pub(crate) fn fresh_schema() -> SchemaName {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed)).parse().unwrap()
}

/// Options that wait long: a busy machine is no fault of the store.
pub(crate) fn patient(schema: &SchemaName) -> PostgresOptions {
    let patience = Duration::from_secs(20);
    PostgresOptions {
        schema: schema.clone(),
        write_deadline: patience,
        read_deadline: patience,
        ..PostgresOptions::default()
    }
}

/// A store on the shared server, with tables of its own.
pub(crate) async fn store() -> PostgresStore {
    open(shared(), patient(&fresh_schema())).await.unwrap()
}

/// How a store reaches a server: by its unix socket.
pub(crate) fn url(server: &Postgres) -> PostgresUrl {
    format!("postgres://postgres@{}/postgres", server.socket()).parse().unwrap()
}

pub(crate) async fn open(server: &Postgres, options: PostgresOptions) -> Result<PostgresStore, StoreError> {
    PostgresStore::connect(&url(server), options).await
}
