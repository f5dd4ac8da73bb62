use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::on_a_free_port;
use super::place::Place;

const PATIENCE: Duration = Duration::from_secs(60);

/// A PostgreSQL server on a port of the loopback and on a unix socket in its directory. Its superuser is `postgres`, and
/// everybody is trusted.
#[derive(Debug)]
pub struct Postgres {
    place: Place,
    settings: Vec<String>,
    port: u16,
}

impl Postgres {
    /// Makes a database cluster and starts it with `settings`, each `name=value`.
    pub fn start(settings: &[&str]) -> Self {
        let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        on_a_free_port("PostgreSQL", |port| {
            let server = Self { place: new_place(), settings: settings.clone(), port };
            let mut made = program("initdb");
            made.args([
                "--auth=trust",
                "--username=postgres",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
                "-D",
            ]);
            run(made.arg(server.data()));
            server.try_restart().map(|()| server)
        })
    }

    /// A standby that follows this server, without being waited for.
    pub fn start_standby(&self) -> Self {
        on_a_free_port("a standby of PostgreSQL", |port| {
            let standby = Self { place: new_place(), settings: self.settings.clone(), port };
            let mut copied = program("pg_basebackup");
            copied.args(["-U", "postgres", "-p", &self.port.to_string(), "--write-recovery-conf", "--checkpoint=fast"]);
            run(copied.arg("-h").arg(self.directory()).arg("-D").arg(standby.data()));
            standby.try_restart().map(|()| standby)
        })
    }

    /// Its port on the loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The number of its postmaster, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.place.pid()
    }

    /// Where its files and its socket are.
    pub fn directory(&self) -> &Path {
        self.place.directory()
    }

    /// Where its data are.
    pub fn data(&self) -> PathBuf {
        self.directory().join("data")
    }

    /// Its superuser's URL, by the loopback.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Its unix socket as the host and port of a URL.
    pub fn socket(&self) -> String {
        let directory = self.directory().to_str().expect("a path in ASCII").replace('/', "%2F");
        format!("{directory}:{}", self.port)
    }

    /// Kills it and every process of it, as a crash of the machine would, but for what the system still has to write.
    pub fn kill(&self) {
        self.place.kill();
    }

    /// Starts it again on what it left.
    pub fn restart(&self) {
        self.try_restart().unwrap_or_else(|fault| panic!("PostgreSQL did not start: {fault}"));
    }

    /// Stops it and every process of it where they are: connections stay, and nothing answers.
    pub fn freeze(&self) {
        self.place.freeze();
    }

    /// Lets it go on after [`freeze`](Self::freeze).
    pub fn thaw(&self) {
        self.place.thaw();
    }

    /// Changes a setting, and has it read again; that takes effect a moment later.
    pub async fn set(&self, setting: &str) {
        self.sql(&format!("ALTER SYSTEM SET {setting}")).await;
        self.sql("SELECT pg_reload_conf()").await;
    }

    /// Gives a file that a test put there to the server's user.
    pub fn own(&self, file: &Path) {
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("a file of ours");
        give(file);
    }

    /// A connection of its superuser.
    pub async fn client(&self) -> Client {
        self.try_client().await.expect("the server answers")
    }

    /// The same, of a server that may be away.
    pub async fn try_client(&self) -> Result<Client, tokio_postgres::Error> {
        self.client_of("postgres", "postgres").await
    }

    /// A connection of somebody else, to another database.
    pub async fn client_of(&self, user: &str, database: &str) -> Result<Client, tokio_postgres::Error> {
        let place = format!("host={} port={} user={user} dbname={database}", self.directory().display(), self.port);
        let (client, connection) = tokio_postgres::connect(&place, NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Runs statements as the superuser.
    pub async fn sql(&self, sql: &str) {
        self.client().await.batch_execute(sql).await.unwrap_or_else(|fault| panic!("{sql}: {fault:?}"));
    }

    /// Runs statements as the superuser, and gives each row of the answers, its values as text.
    pub async fn rows(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, tokio_postgres::Error> {
        let answers = self.try_client().await?.simple_query(sql).await?;
        let row = |answer| match answer {
            SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect()),
            _ => None,
        };
        Ok(answers.into_iter().filter_map(row).collect())
    }

    fn try_restart(&self) -> Result<(), String> {
        let begun = Instant::now();
        let log = self.directory().join("log");
        loop {
            let file = fs::File::options().create(true).append(true).open(&log).expect("a directory of ours");
            let mut postmaster = program("postgres");
            postmaster
                .arg("-D")
                .arg(self.data())
                .arg("-k")
                .arg(self.directory())
                .args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "shared_buffers=16MB"])
                .args(self.settings.iter().flat_map(|setting| ["-c", setting]))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(file);
            self.place.run(&mut postmaster).map_err(|fault| fault.to_string())?;
            if self.comes_up() {
                return Ok(());
            }
            let said = fs::read_to_string(&log).unwrap_or_default();
            // What was killed may still be letting go of its memory and its port. Somebody else's port stays taken.
            let patience = if said.contains("could not bind") { PATIENCE / 10 } else { PATIENCE };
            if begun.elapsed() > patience {
                return Err(said);
            }
            sleep(Duration::from_millis(100));
        }
    }

    fn comes_up(&self) -> bool {
        let begun = Instant::now();
        while !self.place.has_ended() {
            let mut asked = program("pg_isready");
            asked.arg("-q").arg("-h").arg(self.directory()).args(["-p", &self.port.to_string()]);
            if asked.status().expect("pg_isready").success() {
                return true;
            }
            assert!(begun.elapsed() < PATIENCE, "PostgreSQL started and does not answer");
            sleep(Duration::from_millis(20));
        }
        false
    }
}

fn new_place() -> Place {
    // At once, and its shared memory is given back.
    let place = Place::new("postgres", Signal::QUIT);
    give(place.directory());
    place
}

fn run(command: &mut Command) {
    let output = command.output().expect("a program of PostgreSQL");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn give(path: &Path) {
    if let Some((user, group)) = other_user() {
        chown(path, Some(user), Some(group)).expect("root may");
    }
}

/// A program of the newest PostgreSQL there is, run as a user it does not refuse.
fn program(name: &str) -> Command {
    let newest = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .max()
        .unwrap_or_else(|| panic!("PostgreSQL is not installed: run scripts/setup-tests"));
    let mut command = Command::new(format!("/usr/lib/postgresql/{newest}/bin/{name}"));
    if let Some((user, group)) = other_user() {
        command.uid(user).gid(group).current_dir("/");
    }
    command
}

// PostgreSQL refuses to run as root; its package brings a user.
fn other_user() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").expect("a system with /proc").uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("a system with users");
    let line = users.lines().find(|line| line.starts_with("postgres:"));
    let fields: Vec<&str> = line.expect("no user postgres: run scripts/setup-tests").split(':').collect();
    Some((fields[2].parse().expect("a number"), fields[3].parse().expect("a number")))
}
