//! Stores to measure: a directory, or a server that is started here and stopped when it is dropped.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use sessile_store::Backend;
use sessile_store::postgres::{PostgresOptions, PostgresStore};
use sessile_store::redis::{RedisOptions, RedisStore};
use sessile_store::sqlite::{Location, SqliteOptions, SqliteStore};
use tempfile::TempDir;

use super::process;

/// A busy machine is no fault of the store.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) enum Server {
    Sqlite(TempDir),
    Postgres { child: Child, watchdog: Watchdog, _directory: TempDir, port: u16 },
    Redis { child: Child, watchdog: Watchdog, _directory: TempDir, port: u16 },
}

/// A part of what the store holds for one session.
#[derive(Clone, Debug, Serialize)]
pub struct Part {
    /// Which.
    pub what: String,
    /// Bytes for one session.
    pub bytes: f64,
}

impl Server {
    pub(crate) fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().expect("a directory"))
    }

    pub(crate) fn postgres() -> Self {
        let (directory, port) = (tempfile::tempdir().expect("a directory"), free_port());
        if let Some((user, group)) = other_user() {
            chown(directory.path(), Some(user), Some(group)).expect("the directory can be given away");
        }
        let data = directory.path().join("data");
        let made = postgres("initdb")
            .args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "-D"])
            .arg(&data)
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let child = postgres("postgres")
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(directory.path())
            .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"])
            .args(POSTGRES.iter().flat_map(|setting| ["-c", setting]))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("postgres runs");
        let watchdog = Watchdog::of(&child);
        let server = Self::Postgres { child, watchdog, _directory: directory, port };
        wait_until(|| {
            let asked = postgres("pg_isready").args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]).status();
            asked.is_ok_and(|status| status.success())
        });
        server
    }

    pub(crate) fn redis(settings: &[&str]) -> Self {
        let (directory, port) = (tempfile::tempdir().expect("a directory"), free_port());
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"])
            .args(settings)
            .arg("--dir")
            .arg(directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server runs: see scripts/setup-tests");
        wait_until(|| TcpStream::connect(("127.0.0.1", port)).is_ok());
        let watchdog = Watchdog::of(&child);
        Self::Redis { child, watchdog, _directory: directory, port }
    }

    pub(crate) fn port(&self) -> Option<u16> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres { port, .. } | Self::Redis { port, .. } => Some(*port),
        }
    }

    /// A node's store, over this port of the loopback.
    pub(crate) async fn open(&self, port: Option<u16>) -> Arc<dyn Backend> {
        let port = port.or(self.port()).unwrap_or(0);
        match self {
            Self::Sqlite(directory) => {
                let options =
                    SqliteOptions { write_deadline: PATIENCE, read_deadline: PATIENCE, ..SqliteOptions::SERVER };
                Arc::new(SqliteStore::open(&Location::directory(directory.path()), options).expect("SQLite opens"))
            }
            Self::Postgres { .. } => {
                let url = format!("postgres://postgres@127.0.0.1:{port}/postgres?sslmode=disable");
                let options =
                    PostgresOptions { write_deadline: PATIENCE, read_deadline: PATIENCE, ..PostgresOptions::default() };
                let url = url.parse().expect("an address");
                Arc::new(PostgresStore::connect(&url, options).await.expect("PostgreSQL opens"))
            }
            Self::Redis { .. } => {
                let options = RedisOptions {
                    write_deadline: PATIENCE,
                    read_deadline: PATIENCE,
                    connect_deadline: PATIENCE,
                    ..RedisOptions::default()
                };
                let address = format!("redis://127.0.0.1:{port}").parse().expect("an address");
                Arc::new(RedisStore::connect(&address, options).await.expect("Redis opens"))
            }
        }
    }

    /// How long ending everybody may take, by default.
    pub(crate) fn patience_for_all(&self) -> Duration {
        // As `PATIENCE_FOR_ALL` in `crates/sessile-store/src/contract/mod.rs`.
        const FACTOR: u32 = 30;
        FACTOR
            * match self {
                Self::Sqlite(_) => SqliteOptions::SERVER.write_deadline,
                Self::Postgres { .. } => PostgresOptions::default().write_deadline,
                Self::Redis { .. } => RedisOptions::default().write_deadline,
            }
    }

    /// Processor time that the server has taken; of this process, if the store is in it.
    pub(crate) fn cpu(&self) -> Duration {
        match self {
            Self::Sqlite(_) => process::own_cpu(),
            Self::Postgres { child, .. } | Self::Redis { child, .. } => process::cpu_of_tree(child.id()),
        }
    }

    /// What the store is, for the page.
    pub(crate) fn version(&self) -> String {
        let of = |program: Command| {
            let mut program = program;
            let said = program.arg("--version").output().map(|output| output.stdout).unwrap_or_default();
            String::from_utf8_lossy(&said).into_owned()
        };
        match self {
            Self::Sqlite(_) => format!("SQLite {}", rusqlite::version()),
            Self::Postgres { .. } => {
                let said = of(postgres("postgres"));
                format!("PostgreSQL {}", said.split_whitespace().nth(2).unwrap_or_default())
            }
            Self::Redis { .. } => {
                let said = of(Command::new("redis-server"));
                let version = said.split_whitespace().find_map(|word| word.strip_prefix("v="));
                format!("Redis {}", version.unwrap_or_default())
            }
        }
    }

    /// Bytes that the store holds, by part. Differences of two answers say what was added.
    pub(crate) async fn parts(&self) -> Vec<Part> {
        match self {
            Self::Sqlite(directory) => sqlite_parts(&directory.path().join("sessile.db")),
            Self::Postgres { port, .. } => postgres_parts(*port).await,
            Self::Redis { port, .. } => redis_parts(*port).await,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        match self {
            Self::Sqlite(_) => {}
            Self::Postgres { child, watchdog, .. } | Self::Redis { child, watchdog, .. } => {
                watchdog.bark();
                // Stopped either way; its directory goes next.
                let _ = child.wait();
            }
        }
    }
}

/// Stops a server, at the latest when this process ends without a word.
pub(crate) struct Watchdog {
    process: Child,
    alive: Option<ChildStdin>,
}

impl Watchdog {
    // SIGQUIT: both servers stop at once, PostgreSQL with its children.
    fn of(server: &Child) -> Self {
        let mut process = Command::new("sh")
            .args(["-c", "read _; kill -QUIT \"$1\"", "watchdog", &server.id().to_string()])
            .stdin(Stdio::piped())
            .spawn()
            .expect("sh runs");
        Self { alive: process.stdin.take(), process }
    }

    fn bark(&mut self) {
        self.alive = None;
        // What it kills may be gone already.
        let _ = self.process.wait();
    }
}

/// Beside the defaults; commits are synced.
pub(crate) const POSTGRES: &[&str] = &["max_connections=400", "shared_buffers=512MB", "max_wal_size=4GB"];

fn sqlite_parts(database: &std::path::Path) -> Vec<Part> {
    let connection = rusqlite::Connection::open(database).expect("the database opens");
    let mut statement = connection
        .prepare("SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY name")
        .expect("dbstat is built in");
    let rows = statement.query_map([], |row| Ok(Part { what: row.get(0)?, bytes: row.get::<_, i64>(1)? as f64 }));
    rows.expect("dbstat answers").filter_map(Result::ok).filter(|part| !part.what.starts_with("sqlite_")).collect()
}

async fn postgres_parts(port: u16) -> Vec<Part> {
    let config = format!("host=127.0.0.1 port={port} user=postgres dbname=postgres");
    let (client, connection) = tokio_postgres::connect(&config, tokio_postgres::NoTls).await.expect("it connects");
    let driver = tokio::spawn(connection);
    let sql = "SELECT c.relname::text, (CASE c.relkind WHEN 'r' THEN pg_table_size(c.oid) ELSE pg_relation_size(c.oid) END)::float8
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'sessile' AND c.relkind IN ('r', 'i') ORDER BY 1";
    let rows = client.query(sql, &[]).await.expect("it answers");
    driver.abort();
    rows.iter().map(|row| Part { what: row.get(0), bytes: row.get(1) }).collect()
}

async fn redis_parts(port: u16) -> Vec<Part> {
    let client = redis::Client::open(("127.0.0.1", port)).expect("an address");
    let mut connection = client.get_multiplexed_async_connection().await.expect("it connects");
    let info: String = redis::cmd("INFO").arg("memory").query_async(&mut connection).await.expect("it answers");
    let used =
        info.lines().find_map(|line| line.strip_prefix("used_memory:")).and_then(|bytes| bytes.trim().parse().ok());
    let mut parts = vec![Part { what: "all of it".to_owned(), bytes: used.unwrap_or(0.0) }];
    let house: Option<String> =
        redis::cmd("HGET").arg("{sessile}:store").arg("house").query_async(&mut connection).await.expect("it answers");
    let house = house.unwrap_or_default();
    let keys = ["sessions", "over"].map(|name| (name, format!("{{sessile}}:{house}:{name}")));
    let others = ["feed", "events"].map(|name| (name, format!("{{sessile}}:{name}")));
    for (what, key) in keys.into_iter().chain(others) {
        let bytes: Option<f64> = redis::cmd("MEMORY")
            .arg("USAGE")
            .arg(key)
            .arg("SAMPLES")
            .arg(0)
            .query_async(&mut connection)
            .await
            .expect("it answers");
        parts.push(Part { what: what.to_owned(), bytes: bytes.unwrap_or(0.0) });
    }
    parts
}

fn wait_until(is_ready: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_ready() {
        assert!(begun.elapsed() < PATIENCE, "the server does not answer");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

// PostgreSQL refuses to run as root.
fn other_user() -> Option<(u32, u32)> {
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    is_root.then(|| {
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let user = users.lines().find_map(|line| line.strip_prefix("postgres:")).expect("the user postgres is there");
        let ids: Vec<u32> = user.split(':').filter_map(|field| field.parse().ok()).collect();
        (ids[0], ids[1])
    })
}

fn postgres(name: &str) -> Command {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed: run scripts/setup-tests");
    let newest = versions.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok()).max();
    let path: PathBuf = ["/usr/lib/postgresql", &newest.expect("a version").to_string(), "bin", name].iter().collect();
    let mut command = Command::new(path);
    if let Some((user, group)) = other_user() {
        command.uid(user).gid(group).current_dir("/");
    }
    command
}
