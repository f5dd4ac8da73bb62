//! Gateways: the binary under measurement, one process each, on its core.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use sessile_instruments::servers::free_port;
use tokio::task::JoinSet;

use crate::app::{App, NOTES};
use crate::client::{Client, Credentials};
use crate::machine::{self, Memory};
use crate::store::{ACCESS, HOST, ORIGIN};

const PATIENCE: Duration = Duration::from_secs(60);
/// Connections by which every visitor is let in once.
const DOORS: usize = 32;

/// What a gateway is told.
#[derive(Clone, Debug)]
pub struct Settings<'a> {
    /// The binary.
    pub program: &'a Path,
    /// Its core.
    pub core: usize,
    /// Its data directory.
    pub data: &'a Path,
    /// The master key, as text.
    pub master: &'a str,
    /// The app behind it. Without one it answers other proxies' questions.
    pub app: Option<&'a App>,
    /// Further settings, by their variables.
    pub further: Vec<(&'static str, String)>,
}

/// A gateway at work. Dropping it stops it.
#[derive(Debug)]
pub struct Gateway {
    process: Child,
    log: PathBuf,
    admin_token: String,
    /// Where it serves.
    pub address: SocketAddr,
    /// Where it is operated.
    pub ops: SocketAddr,
}

impl Gateway {
    /// Starts one and waits until it is ready.
    ///
    /// # Panics
    ///
    /// If it does not come to that.
    pub fn start(settings: &Settings<'_>) -> Self {
        let [address, ops] = [free_port(), free_port()].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let log = settings.data.join("gateway.log");
        let output = File::create(&log).expect("a directory of ours");
        let admin_token: String = std::iter::repeat_with(fastrand::alphanumeric).take(48).collect();
        let mut command: Command = machine::program_on_core(settings.core, settings.program);
        command
            .arg("serve")
            .arg("--data")
            .arg(settings.data)
            .args(["--listen", &address.to_string(), "--ops-listen", &ops.to_string(), "--public-url", ORIGIN])
            .env("SESSILE_MASTER_KEY", settings.master)
            .env("SESSILE_OPS_ADMIN_TOKEN", &admin_token)
            .env("SESSILE_SESSION_ACCESS", format!("{}s", ACCESS.as_secs()))
            .envs(settings.further.iter().map(|(name, value)| (name, value)))
            .current_dir(settings.data)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a file of ours"))
            .stderr(output);
        match settings.app {
            Some(app) => command.args(["--upstream", &format!("http://{}", app.address)]),
            None => command.env("SESSILE_SERVER_FORWARD_AUTH", "true"),
        };
        let process = command.spawn().expect("taskset runs");
        let mut gateway = Self { process, log, admin_token, address, ops };
        gateway.wait_until_ready();
        gateway
    }

    fn wait_until_ready(&mut self) {
        let begun = Instant::now();
        let ready = async |ops: SocketAddr| match Client::try_connect(ops, &ops.to_string()).await {
            Some(mut client) => client.ask(Method::GET, "/readyz", Credentials::None).await.0 == StatusCode::OK,
            None => false,
        };
        while !block_on(ready(self.ops)) {
            let ended = self.process.try_wait().expect("our own child");
            assert!(ended.is_none() && begun.elapsed() < PATIENCE, "no gateway ({ended:?}): {}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What it has written.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its memory.
    pub fn memory(&self) -> Memory {
        // `taskset` has become the gateway.
        machine::memory_of(self.process.id())
    }

    /// Ends a session by an order of its administrator, over this connection to [`ops`](Self::ops).
    ///
    /// # Panics
    ///
    /// If it is not obeyed.
    pub async fn revoke(&self, ops: &mut Client, session: &str) {
        let path = format!("/admin/v1/sessions/{session}");
        let (status, body) = ops.ask(Method::DELETE, &path, Credentials::Bearer(&self.admin_token)).await;
        assert_eq!(status, StatusCode::OK, "{body:?}");
        assert!(body.windows(session.len()).any(|part| part == session.as_bytes()), "it ended another one: {body:?}");
    }

    /// Connects to [`ops`](Self::ops).
    pub async fn connect_to_ops(&self) -> Client {
        Client::connect(self.ops, &self.ops.to_string()).await
    }

    /// A counter or gauge of it, over all of its labels.
    ///
    /// # Panics
    ///
    /// If it has no such counter.
    pub fn counter(&self, name: &str) -> u64 {
        let page = block_on(async {
            let (status, page) = self.connect_to_ops().await.ask(Method::GET, "/metrics", Credentials::None).await;
            assert_eq!(status, StatusCode::OK);
            String::from_utf8(page.to_vec()).expect("text")
        });
        let rows = page.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
        let value = |row: &str| row.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()).expect("a number");
        let values: Vec<f64> = rows.map(value).collect();
        assert!(!values.is_empty(), "there is no counter {name}");
        values.iter().sum::<f64>() as u64
    }

    /// Waits until no request is under way.
    ///
    /// # Panics
    ///
    /// If some go on for long.
    pub fn wait_until_idle(&self) {
        let begun = Instant::now();
        while self.counter("sessile_requests_open") > 0 {
            assert!(begun.elapsed() < PATIENCE, "requests go on: {}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Lets everybody in once.
    ///
    /// # Panics
    ///
    /// If anybody is kept out.
    pub fn admit_all(&self, cookies: &[String]) {
        block_on(async {
            let mut doors = JoinSet::new();
            for part in cookies.chunks(cookies.len().div_ceil(DOORS).max(1)) {
                let (address, part) = (self.address, part.to_vec());
                doors.spawn(async move {
                    let mut client = Client::connect(address, HOST).await;
                    for cookies in part {
                        let (status, body) =
                            client.ask(Method::GET, "/api/notes", Credentials::Cookies(&cookies)).await;
                        assert!(status == StatusCode::OK && body == NOTES, "{status}: {body:?}");
                    }
                });
            }
            while let Some(ended) = doors.join_next().await {
                ended.expect("no panic");
            }
        });
    }

    fn stop(&mut self) {
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        if let (Some(pid), Ok(None)) = (pid, self.process.try_wait()) {
            // It may be gone by now, which is what is wanted.
            let _ = kill_process(pid, Signal::TERM);
        }
        let begun = Instant::now();
        while matches!(self.process.try_wait(), Ok(None)) {
            if begun.elapsed() > PATIENCE {
                let _ = self.process.kill();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop();
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}
