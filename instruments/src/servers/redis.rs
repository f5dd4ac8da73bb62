use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use redis::{RedisResult, Value};
use rustix::process::Signal;

use super::on_a_free_port;
use super::place::Place;

const PATIENCE: Duration = Duration::from_secs(60);

/// The name by which a [Sentinel](Redis::start_sentinel) knows its master.
pub const SENTINEL_MASTER: &str = "main";

/// A Redis server, or a Sentinel, on a port of the loopback. It takes no snapshots by itself.
#[derive(Debug)]
pub struct Redis {
    place: Place,
    program: &'static str,
    settings: Vec<String>,
    port: u16,
}

impl Redis {
    /// Acknowledged is synced.
    pub const SYNCED: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];
    /// Nothing outlives the server.
    pub const FORGETFUL: &[&str] = &["--appendonly", "no"];

    /// Starts a server with `settings`, arguments of its program.
    pub fn start(settings: &[&str]) -> Self {
        Self::start_program("redis-server", settings, "")
    }

    /// Starts a replica of this server, with settings beside that.
    ///
    /// It has the master's data when this returns: a write that waits for it need not wait long.
    pub fn start_replica(&self, settings: &[&str]) -> Self {
        // A master puts off a synchronisation in case more replicas come.
        self.ask(&["CONFIG", "SET", "repl-diskless-sync-delay", "0"]).expect("a setting of every Redis");
        let master = format!("127.0.0.1 {}", self.port);
        let mut all = vec!["--replicaof", &master];
        all.extend(settings);
        let replica = Self::start(&all);
        self.wait_until(&["INFO", "replication"], "state=online");
        replica
    }

    /// Starts a Sentinel that watches this server by the name [`SENTINEL_MASTER`] and decides alone: half a second
    /// without an answer is a failure.
    pub fn start_sentinel(&self) -> Self {
        let watched = format!(
            "sentinel monitor {SENTINEL_MASTER} 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds {SENTINEL_MASTER} 500\n\
             sentinel failover-timeout {SENTINEL_MASTER} 2000\n",
            self.port
        );
        Self::start_program("redis-sentinel", &[], &watched)
    }

    fn start_program(program: &'static str, settings: &[&str], configuration: &str) -> Self {
        on_a_free_port(program, |port| {
            let place = Place::new("redis", Signal::KILL);
            fs::write(place.directory().join("redis.conf"), configuration).expect("a directory of ours");
            let settings = settings.iter().map(ToString::to_string).collect();
            let server = Self { place, program, settings, port };
            server.try_restart().map(|()| server)
        })
    }

    /// Its port on the loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The number of its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.place.pid()
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        self.place.directory()
    }

    /// Its URL, by the loopback.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Kills it at once.
    pub fn kill(&self) {
        self.place.kill();
    }

    /// Starts it again on what it left.
    pub fn restart(&self) {
        self.try_restart().unwrap_or_else(|fault| panic!("{} did not start: {fault}", self.program));
    }

    /// Stops its process where it is: connections stay, and nothing answers.
    pub fn freeze(&self) {
        self.place.freeze();
    }

    /// Lets it go on after [`freeze`](Self::freeze).
    pub fn thaw(&self) {
        self.place.thaw();
    }

    /// Sends one command over a connection of its own.
    pub fn ask(&self, command: &[&str]) -> RedisResult<Value> {
        let mut connection = redis::Client::open(("127.0.0.1", self.port))?.get_connection()?;
        redis::cmd(command[0]).arg(&command[1..]).query(&mut connection)
    }

    /// Waits until what this server says to `command` contains `wanted`.
    pub fn wait_until(&self, command: &[&str], wanted: &str) {
        let begun = Instant::now();
        loop {
            let said = self.ask(command).map(|value| format!("{value:?}"));
            if said.as_ref().is_ok_and(|said| said.contains(wanted)) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{command:?} does not come to {wanted}: {said:?}");
            sleep(Duration::from_millis(50));
        }
    }

    fn try_restart(&self) -> Result<(), String> {
        let log = self.directory().join("log");
        let mut command = Command::new(self.program);
        command.arg(self.directory().join("redis.conf"));
        if self.program == "redis-server" {
            command.args(["--save", ""]);
        }
        command
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .arg("--dir")
            .arg(self.directory())
            .args(&self.settings)
            .stdin(Stdio::null())
            .stdout(fs::File::create(&log).expect("a directory of ours"))
            .stderr(Stdio::null());
        let begun = Instant::now();
        self.place.run(&mut command).map_err(|fault| format!("{fault}; run scripts/setup-tests"))?;
        while !self.place.has_ended() {
            if self.answers() {
                return Ok(());
            }
            assert!(begun.elapsed() < PATIENCE, "{} does not answer", self.program);
            sleep(Duration::from_millis(20));
        }
        Err(fs::read_to_string(&log).unwrap_or_default())
    }

    // A port that is taken is answered on too, by its owner; so it must be this process that answers.
    fn answers(&self) -> bool {
        let ours = self.pid().map(|pid| format!("process_id:{pid}\r"));
        TcpStream::connect(("127.0.0.1", self.port)).is_ok()
            && self.ask(&["INFO", "server"]).is_ok_and(|info| {
                let info: String = redis::from_redis_value(info).unwrap_or_default();
                ours.is_some_and(|ours| info.contains(&ours))
            })
    }
}
