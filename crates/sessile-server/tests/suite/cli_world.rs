//! A home directory, commands run in it, and a server beside them. Everything is gone when the home is.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::gateway_world::{Answer, Browser, Client, request};

/// A password the policy takes.
pub(crate) const PASSWORD: &str = "violet anchor sundial 47";

/// Longer than any command takes; one that serves where it should refuse would wait for ever.
const COMMAND_WITHIN: Duration = Duration::from_secs(60);

pub(crate) struct Home {
    dir: tempfile::TempDir,
}

pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Done {
    /// The output as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {:?} {:?}", self.stdout, self.stderr))
    }

    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{} {}", self.stdout, self.stderr);
        self
    }
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a directory") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// A command in this home, on its data, without anything of the caller's environment that is ours.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sessile"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SESSILE_")) {
            command.env_remove(name);
        }
        command.args(arguments).args(["--data", &self.data().display().to_string()]).current_dir(self.dir.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Done {
        self.run_with(arguments, "", &[])
    }

    pub(crate) fn run_with(&self, arguments: &[&str], input: &str, environment: &[(&str, &str)]) -> Done {
        let mut child = self.command(arguments).envs(environment.iter().copied()).spawn().expect("the binary runs");
        let mut stdin = child.stdin.take().expect("piped");
        // A command that refuses before it reads closes its end.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let (stdout, stderr) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let (stdout, stderr) = (read_aside(stdout), read_aside(stderr));
        let end = Instant::now() + COMMAND_WITHIN;
        let status = loop {
            if let Some(status) = child.try_wait().expect("a child") {
                break status;
            }
            if Instant::now() > end {
                let _ = child.kill();
                let _ = child.wait();
                panic!("{arguments:?} does not end: {}", stderr.join().expect("read"));
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        Done {
            code: status.code().expect("no signal"),
            stdout: stdout.join().expect("read"),
            stderr: stderr.join().expect("read"),
        }
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let mut all = arguments.to_vec();
        all.push("--json");
        self.run(&all).ok().json()
    }

    pub(crate) fn add_user(&self, name: &str) {
        self.run_with(&["user", "add", name, "--password-stdin"], &format!("{PASSWORD}\n"), &[]).ok();
    }

    /// A server on free ports, ready.
    pub(crate) fn serve(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Server {
        let mut server = self.serve_unready(arguments, environment);
        server.until("ready", |server| server.health(false));
        // The log is written aside, so what was said at the start may not be there yet.
        server.until("started", |server| server.log().contains("sys_startup") && server.log().ends_with('\n'));
        server
    }

    pub(crate) fn serve_unready(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Server {
        let (public, ops) = (free_address(), free_address());
        let (listen, ops_listen) = (public.to_string(), ops.to_string());
        let mut all = vec!["serve", "--listen", &listen, "--ops-listen", &ops_listen];
        all.extend_from_slice(arguments);
        // Files, because nobody reads a pipe while the test waits.
        let log = self.path(&format!("log-{}", public.port()));
        let file = || File::options().create(true).append(true).open(&log).expect("a log");
        let child = self
            .command(&all)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(file())
            .stderr(file())
            .spawn()
            .expect("the binary runs");
        Server { child, public, ops, log }
    }
}

fn read_aside(mut pipe: impl std::io::Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).expect("UTF-8");
        text
    })
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

pub(crate) struct Server {
    child: Child,
    pub(crate) public: SocketAddr,
    pub(crate) ops: SocketAddr,
    log: PathBuf,
}

impl Server {
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn log_path(&self) -> &Path {
        &self.log
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks `/readyz` or `/livez` through the binary's own command.
    pub(crate) fn health(&self, live: bool) -> bool {
        let ops = self.ops.to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sessile"));
        command.args(["health", "--ops-listen", &ops]).current_dir(self.log.parent().expect("a directory"));
        if live {
            command.arg("--live");
        }
        command.output().expect("the binary runs").status.success()
    }

    /// Waits for a condition; fails at once if the server ends.
    pub(crate) fn until(&mut self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !condition(self) {
            if let Some(status) = self.child.try_wait().expect("a child") {
                panic!("the server ended ({status}) before it was {what}:\n{}", self.log());
            }
            assert!(Instant::now() < end, "the server was not {what} in time:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status().expect("kill");
        assert!(status.success());
    }

    pub(crate) fn ended(&mut self, within: Duration) -> ExitStatus {
        let end = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(Instant::now() < end, "the server did not end in time:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// One request to the public listener.
    pub(crate) async fn ask(&self, method: &str, path: &str, fields: &[(&str, &str)], body: &[u8]) -> Answer {
        ask(self.public, method, path, fields, body).await
    }

    /// One request to the operations listener.
    pub(crate) async fn ask_ops(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        ask(self.ops, method, path, fields, b"").await
    }

    pub(crate) async fn sign_in(&self, name: &str) -> Browser {
        let body = serde_json::json!({ "username": name, "password": PASSWORD }).to_string();
        let fields = [
            ("Content-Type", "application/json"),
            ("Sec-Fetch-Site", "same-origin"),
            ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        ];
        let answer = self.ask("POST", "/auth/sign-in", &fields, body.as_bytes()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let json: Value = serde_json::from_slice(&answer.body).expect("JSON");
        let session = json["session"]["id"].as_str().expect("an id").parse().expect("a session id");
        let mut browser = Browser { session, jar: BTreeMap::new() };
        for cookie in answer.all("set-cookie") {
            browser.take(cookie);
        }
        browser
    }

    /// The status of a page that needs a session.
    pub(crate) async fn visit(&self, browser: &Browser) -> u16 {
        self.ask("GET", "/", &[("Cookie", &browser.cookie()), ("Sec-Fetch-Site", "same-origin")], b"").await.status
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already, if the test ended it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn ask(address: SocketAddr, method: &str, path: &str, fields: &[(&str, &str)], body: &[u8]) -> Answer {
    let host = format!("localhost:{}", address.port());
    let mut all = vec![("Connection", "close")];
    if !fields.iter().any(|(name, _)| *name == "Host") {
        all.push(("Host", &host));
    }
    all.extend_from_slice(fields);
    let mut client = Client::connect(address).await;
    client.send(&request(method, path, &all, body)).await;
    client.answer(method == "HEAD").await
}
