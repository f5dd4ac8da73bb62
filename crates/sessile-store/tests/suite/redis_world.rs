//! Real servers, started and stopped by the tests.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use sessile_store::redis::{Address, ConnectError, RedisOptions, RedisStore};
use tempfile::TempDir;

/// Acknowledged is synced.
pub(crate) const SYNCED: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];
/// Nothing outlives the server.
pub(crate) const FORGETFUL: &[&str] = &["--appendonly", "no"];

/// A program that listens on a port of the loopback; it is killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    settings: Vec<String>,
    directory: TempDir,
}

impl Server {
    /// Starts a server on a free port, in a directory of its own.
    pub(crate) fn start(settings: &[&str]) -> Self {
        let (port, directory) = (free_port(), tempfile::tempdir().unwrap());
        let settings: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
        let child = run("redis-server", port, directory.path(), &settings);
        Self { child, port, settings, directory }
    }

    /// Starts a Sentinel that watches a master by the name `main`, and decides alone.
    pub(crate) fn sentinel(master: u16) -> Self {
        let (port, directory) = (free_port(), tempfile::tempdir().unwrap());
        let watched = format!(
            "sentinel monitor main 127.0.0.1 {master} 1\nsentinel down-after-milliseconds main 500\nsentinel failover-timeout main 2000\n"
        );
        std::fs::write(directory.path().join("sentinel.conf"), watched).unwrap();
        let child = run("redis-sentinel", port, directory.path(), &[]);
        Self { child, port, settings: Vec::new(), directory }
    }

    /// Kills it as a loss of the machine's attention would: at once.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on what it left.
    pub(crate) fn restart(&mut self) {
        self.child = run("redis-server", self.port, self.directory.path(), &self.settings);
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn address(&self) -> Address {
        format!("redis://127.0.0.1:{}", self.port).parse().unwrap()
    }

    /// A client to look and meddle with, beside the store.
    pub(crate) fn ask(&self, command: &[&str]) -> redis::RedisResult<redis::Value> {
        let mut connection = redis::Client::open(("127.0.0.1", self.port))?.get_connection()?;
        redis::cmd(command[0]).arg(&command[1..]).query(&mut connection)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be dead already; that is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program of the Redis package and waits until it answers.
fn run(program: &str, port: u16, directory: &Path, settings: &[String]) -> Child {
    let mut command = Command::new(program);
    if program == "redis-sentinel" {
        command.arg(directory.join("sentinel.conf"));
    } else {
        command.args(["--save", ""]);
    }
    let mut child = command
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .arg("--dir")
        .arg(directory)
        .args(settings)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|fault| panic!("{program}: {fault}; run scripts/setup-tests"));
    let begun = Instant::now();
    while !answers(port) {
        assert!(child.try_wait().unwrap().is_none(), "{program} ended at its start");
        assert!(begun.elapsed() < Duration::from_secs(30), "{program} does not answer");
        sleep(Duration::from_millis(20));
    }
    child
}

fn answers(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
        && redis::Client::open(("127.0.0.1", port))
            .and_then(|client| client.get_connection())
            .and_then(|mut connection| redis::cmd("PING").query::<String>(&mut connection))
            .is_ok()
}

pub(crate) fn free_port() -> u16 {
    // Below the ephemeral ports, and with room above for the bus of a cluster node, which adds ten thousand.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let place = (std::process::id().wrapping_mul(31) + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        let port = u16::try_from(12_000 + place).unwrap();
        let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if free(port) && free(port + 10_000) {
            return port;
        }
    }
}

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

pub(crate) async fn store(server: &Server) -> RedisStore {
    connect(server, options()).await.unwrap()
}

pub(crate) async fn connect(server: &Server, options: RedisOptions) -> Result<RedisStore, ConnectError> {
    RedisStore::connect(&server.address(), options).await
}
