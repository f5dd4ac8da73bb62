//! PostgreSQL servers of the tests' own: their files in a directory that goes away, no port, nobody else's data.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread::sleep;
use std::time::{Duration, Instant};

use sessile_store::StoreError;
use sessile_store::postgres::{PostgresOptions, PostgresStore, PostgresUrl, SchemaName};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

/// The server most tests share, each in a schema of its own. It stops when this process ends.
pub(crate) fn shared() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(|| Server::start(&["max_connections=300"]))
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
    shared().open(patient(&fresh_schema())).await.unwrap()
}

const WATCHDOG: &str = r#"read _; kill -QUIT "$1"; while kill -0 "$1" 2>/dev/null; do sleep 0.1; done; rm -rf "$2""#;

/// A running server. Dropping it stops it.
pub(crate) struct Server {
    directory: TempDir,
    settings: Vec<String>,
    pub(crate) port: u16,
    running: Mutex<Option<Running>>,
}

struct Running {
    postmaster: Child,
    // Stops the server if this process ends without a word.
    watchdog: Child,
    _alive: ChildStdin,
}

impl Server {
    /// Makes a cluster and starts it with `settings`, each `name=value`. It listens on a unix socket.
    pub(crate) fn start(settings: &[&str]) -> Self {
        Self::start_at(5432, settings)
    }

    /// The same, and on a port of the loopback.
    pub(crate) fn start_on_loopback(settings: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut all = vec!["listen_addresses=127.0.0.1"];
        all.extend(settings);
        Self::start_at(port, &all)
    }

    // The port is part of a unix socket's name too.
    fn start_at(port: u16, settings: &[&str]) -> Self {
        let directory = own_directory();
        let data = directory.path().join("data");
        let made = program("initdb")
            .args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "-D"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let settings = settings.iter().map(ToString::to_string).collect();
        let server = Self { directory, settings, port, running: Mutex::new(None) };
        server.begin();
        server
    }

    /// A standby that follows this server, without being waited for.
    pub(crate) fn start_standby(&self) -> Self {
        let directory = own_directory();
        let copied = program("pg_basebackup")
            .args(["-U", "postgres", "-p", &self.port.to_string(), "--write-recovery-conf", "--checkpoint=fast", "-h"])
            .arg(self.directory())
            .arg("-D")
            .arg(directory.path().join("data"))
            .output()
            .unwrap();
        assert!(copied.status.success(), "pg_basebackup: {}", String::from_utf8_lossy(&copied.stderr));
        let standby = Self { directory, settings: self.settings.clone(), port: self.port, running: Mutex::new(None) };
        standby.begin();
        standby
    }

    /// Where its files are.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Starts it again, after [`kill`](Self::kill).
    pub(crate) fn begin(&self) {
        let begun = Instant::now();
        let log = self.directory().join("log");
        while begun.elapsed() < Duration::from_secs(60) {
            let mut postmaster = program("postgres")
                .arg("-D")
                .arg(self.directory().join("data"))
                .arg("-k")
                .arg(self.directory())
                .args(["-p", &self.port.to_string(), "-c", "listen_addresses=", "-c", "shared_buffers=16MB"])
                .args(self.settings.iter().flat_map(|setting| ["-c", setting]))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(fs::File::options().create(true).append(true).open(&log).unwrap())
                .spawn()
                .unwrap();
            if self.answers(&mut postmaster) {
                let mut watchdog = Command::new("sh")
                    .args(["-c", WATCHDOG, "watchdog"])
                    .arg(postmaster.id().to_string())
                    .arg(self.directory())
                    .stdin(Stdio::piped())
                    .spawn()
                    .unwrap();
                let alive = watchdog.stdin.take().unwrap();
                *self.running.lock().unwrap() = Some(Running { postmaster, watchdog, _alive: alive });
                return;
            }
            // What was killed may still be letting go of its memory.
            sleep(Duration::from_millis(100));
        }
        panic!("PostgreSQL did not start: {}", fs::read_to_string(&log).unwrap_or_default());
    }

    fn answers(&self, postmaster: &mut Child) -> bool {
        let begun = Instant::now();
        loop {
            if postmaster.try_wait().unwrap().is_some() {
                return false;
            }
            let mut asked = program("pg_isready");
            asked.arg("-q").arg("-h").arg(self.directory()).args(["-p", &self.port.to_string()]);
            if asked.status().unwrap().success() {
                return true;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "PostgreSQL started and does not answer");
            sleep(Duration::from_millis(20));
        }
    }

    /// Kills it and every process of it, as a crash of the machine would, but for what the system still has to write.
    pub(crate) fn kill(&self) {
        let Some(mut running) = self.running.lock().unwrap().take() else { return };
        let children = children_of(running.postmaster.id());
        running.postmaster.kill().unwrap();
        for child in children {
            // It may have gone with its parent.
            let _ = signal("KILL", child);
        }
        running.postmaster.wait().unwrap();
        let _ = running.watchdog.kill();
        let _ = running.watchdog.wait();
    }

    /// Has it read its settings again.
    pub(crate) async fn set(&self, setting: &str) {
        self.sql(&format!("ALTER SYSTEM SET {setting}")).await;
        self.sql("SELECT pg_reload_conf()").await;
    }

    pub(crate) fn url(&self) -> PostgresUrl {
        let socket = self.directory().to_str().unwrap().replace('/', "%2F");
        format!("postgres://postgres@{socket}:{}/postgres", self.port).parse().unwrap()
    }

    pub(crate) async fn open(&self, options: PostgresOptions) -> Result<PostgresStore, StoreError> {
        PostgresStore::connect(&self.url(), options).await
    }

    /// Gives a file that a test put there to the server's user.
    pub(crate) fn own(&self, file: &Path) {
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
        if let Some((user, group)) = other_user() {
            chown(file, Some(user), Some(group)).unwrap();
        }
    }

    /// A connection past the store.
    pub(crate) async fn client(&self) -> Client {
        self.try_client().await.unwrap()
    }

    pub(crate) async fn try_client(&self) -> Result<Client, tokio_postgres::Error> {
        let config = format!("host={} port={} user=postgres dbname=postgres", self.directory().display(), self.port);
        let (client, connection) = tokio_postgres::connect(&config, NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    pub(crate) async fn sql(&self, sql: &str) {
        self.client().await.batch_execute(sql).await.unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(mut running) = self.running.lock().unwrap().take() else { return };
        let _ = signal("QUIT", running.postmaster.id());
        let _ = running.postmaster.wait();
        let _ = running.watchdog.kill();
        let _ = running.watchdog.wait();
    }
}

pub(crate) fn signal(name: &str, process: u32) -> std::io::Result<()> {
    Command::new("kill").args([&format!("-{name}"), &process.to_string()]).stderr(Stdio::null()).status().map(drop)
}

fn own_directory() -> TempDir {
    let directory = tempfile::Builder::new().prefix("sessile-postgres-").tempdir().unwrap();
    if let Some((user, group)) = other_user() {
        chown(directory.path(), Some(user), Some(group)).unwrap();
    }
    directory
}

fn children_of(process: u32) -> Vec<u32> {
    let path = format!("/proc/{process}/task/{process}/children");
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().filter_map(|number| number.parse().ok()).collect()
}

/// A program of the newest PostgreSQL there is, run as a user it does not refuse.
fn program(name: &str) -> Command {
    let newest = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some((entry.ok()?.file_name().to_str()?.parse::<u32>().ok()?, name)))
        .max()
        .unwrap_or_else(|| panic!("PostgreSQL is not installed: run scripts/setup-tests"));
    let path: PathBuf = ["/usr/lib/postgresql", &newest.0.to_string(), "bin", name].iter().collect();
    let mut command = Command::new(path);
    if let Some((user, group)) = other_user() {
        command.uid(user).gid(group).current_dir("/");
    }
    command
}

// PostgreSQL refuses to run as root; its package brings a user.
fn other_user() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.starts_with("postgres:"));
    let fields: Vec<&str> = line.expect("no user postgres: run scripts/setup-tests").split(':').collect();
    Some((fields[2].parse().unwrap(), fields[3].parse().unwrap()))
}
