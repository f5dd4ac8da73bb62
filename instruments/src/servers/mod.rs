//! Real servers on the loopback, each with its files in a directory of its own.
//!
//! Dropping one stops it and removes its directory; if this process dies without a word, a watchdog does both.
//! Starting takes seconds and blocks: from asynchronous code call it in a thread that may wait.

mod place;
mod postgres;
mod redis;
mod redis_cluster;

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

pub use self::postgres::Postgres;
pub use self::redis::{Redis, SENTINEL_MASTER};
pub use self::redis_cluster::RedisCluster;

/// A port of the loopback that nobody listens on, and nobody is given by the system: below the ephemeral ones, with
/// ten thousand above it free too, which is where a node of a Redis Cluster has its bus.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let place = (std::process::id().wrapping_mul(31) + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        let port = u16::try_from(12_000 + place).expect("22000 is a port");
        let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if is_free(port) && is_free(port + 10_000) {
            return port;
        }
    }
}

/// Runs `attempt` with one free port after the other: another process may take one before the server does.
fn on_a_free_port<T>(what: &str, mut attempt: impl FnMut(u16) -> Result<T, String>) -> T {
    let mut why = String::new();
    for _ in 0..4 {
        match attempt(free_port()) {
            Ok(server) => return server,
            Err(fault) => why = fault,
        }
    }
    panic!("{what} did not start: {why}");
}
