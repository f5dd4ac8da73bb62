//! Stores in Redis for the tests.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sessile_instruments::servers::Redis;
use sessile_store::redis::{ConnectError, RedisOptions, RedisStore};

/// Options with patience: a busy machine is no fault of the store.
pub(crate) fn options() -> RedisOptions {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let patience = Duration::from_secs(20);
    RedisOptions {
        prefix: format!("test-{}", NUMBER.fetch_add(1, Ordering::Relaxed)),
        read_deadline: patience,
        write_deadline: patience,
        connect_deadline: patience,
        ..RedisOptions::default()
    }
}

pub(crate) async fn store(server: &Redis) -> RedisStore {
    connect(server, options()).await.unwrap()
}

pub(crate) async fn connect(server: &Redis, options: RedisOptions) -> Result<RedisStore, ConnectError> {
    RedisStore::connect(&server.url().parse().unwrap(), options).await
}
