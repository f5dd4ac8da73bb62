//! One `sessile serve` for each storage, and the command line beside it. Everything an operator would do is done as an
//! operator does it: a configuration file, `user add`, `session revoke`, `audit export`.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::accounts::{ATTACKER, Accounts, VICTIM};
use crate::net;
use crate::places::Places;
use crate::storage::{Site, Storage, Target};

/// How long a gateway may take to be ready.
const READY_IN: Duration = Duration::from_secs(20);
/// How long a command may take.
const COMMAND_IN: Duration = Duration::from_secs(20);

/// Times short enough for a lab. Everything else is as by default, because the defaults are what is judged.
pub(crate) const ACCESS: Duration = Duration::from_secs(4);
/// G: how long a superseded session token is still answered.
pub(crate) const GRACE: Duration = Duration::from_secs(1);
/// T: the longest the gateway trusts what it knows of revocations.
pub(crate) const STALENESS: Duration = Duration::from_secs(1);

/// A running gateway.
#[derive(Debug)]
pub(crate) struct Gateway {
    program: PathBuf,
    folder: PathBuf,
    port: u16,
    // Ends with the lab.
    _child: Child,
}

/// Why a gateway is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotStarted {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("`sessile {command}` ended with {status}: {output}")]
    Command { command: String, status: String, output: String },
    #[error("`sessile {command}` took longer than {} s", COMMAND_IN.as_secs())]
    CommandSlow { command: String },
    #[error("it was not ready within {} s; its last words: {log}", READY_IN.as_secs())]
    NotReady { log: String },
}

impl Gateway {
    /// Writes its configuration into `folder`, adds the accounts and starts it.
    pub(crate) async fn start(
        program: &Path,
        folder: PathBuf,
        storage: Storage,
        places: &Places,
        upstream: u16,
        accounts: &Accounts,
    ) -> Result<Self, NotStarted> {
        std::fs::create_dir_all(&folder)?;
        let (port, ops) = (free_port()?, free_port()?);
        let settings = configuration(storage, places, upstream, port, ops);
        std::fs::write(folder.join("sessile.toml"), settings)?;
        for name in [VICTIM, ATTACKER] {
            let password = format!("{}\n", accounts.password(name));
            command(program, &folder, &["user", "add", name, "--password-stdin"], &password).await?;
        }
        let log = std::fs::File::create(folder.join("serve.log"))?;
        let mut serve = sessile(program, &folder);
        let mut child = serve.arg("serve").stdout(log.try_clone()?).stderr(log).stdin(Stdio::null()).spawn()?;
        let ready = async {
            while !is_ready(ops).await {
                if child.try_wait()?.is_some() {
                    return Ok(false);
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ok::<bool, io::Error>(true)
        };
        match tokio::time::timeout(READY_IN, ready).await {
            Ok(Ok(true)) => Ok(Self { program: program.to_owned(), folder, port, _child: child }),
            Ok(Err(error)) => Err(error.into()),
            Ok(Ok(false)) | Err(_) => Err(NotStarted::NotReady { log: last_lines(&folder.join("serve.log")) }),
        }
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Ends a session as an operator does.
    pub(crate) async fn revoke(&self, session: &str) -> Result<(), NotStarted> {
        command(&self.program, &self.folder, &["session", "revoke", session], "").await.map(drop)
    }

    /// The security events so far.
    pub(crate) async fn events(&self) -> Result<Vec<Value>, NotStarted> {
        let text = command(&self.program, &self.folder, &["audit", "export", "--json"], "").await?;
        if let Ok(Value::Array(events)) = serde_json::from_str(text.trim()) {
            return Ok(events);
        }
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }
}

/// The configuration of a gateway.
fn configuration(storage: Storage, places: &Places, upstream: u16, port: u16, ops: u16) -> String {
    let site = Site { storage, target: Target::Sessile };
    let name = storage.name();
    let (public_url, second) = (places.site(site), places.second_host(site));
    let (access, grace, staleness) = (ACCESS.as_secs(), GRACE.as_secs(), STALENESS.as_secs());
    let danger = if storage.facts().danger { "danger_script_readable_token = true\n" } else { "" };
    // Scripts hold the token, so the pages themselves cannot ask for one.
    let pages = if storage.facts().bearer { "public" } else { "session" };
    let mut text = format!(
        r#"[server]
listen = "127.0.0.1:{port}"
public_url = "{public_url}"
hosts = ["{second}"]

[ops]
listen = "127.0.0.1:{ops}"

[store]
data = "data"

[session]
storage = "{name}"
access = "{access}s"
grace = "{grace}s"
staleness = "{staleness}s"
remember = "on"
{danger}
"#
    );
    let routes = [("/", pages), ("/api", "session"), ("/assets", "public"), ("/welcome", "public"), ("/strict", pages)];
    for (prefix, access) in routes {
        text.push_str(&format!(
            r#"[[route]]
prefix = "{prefix}"
upstream = "http://127.0.0.1:{upstream}"
access = "{access}"
storage = "{name}"

"#
        ));
    }
    let control = places.control();
    text.push_str(&format!(
        r#"[route.headers]
content_security_policy = "override: default-src 'self'; connect-src 'self' {control}; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
"#
    ));
    text
}

/// A `sessile` that listens to its configuration file alone.
fn sessile(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SESSILE_")) {
        command.env_remove(name);
    }
    command.current_dir(folder).arg("--config").arg(folder.join("sessile.toml")).kill_on_drop(true);
    command
}

async fn command(program: &Path, folder: &Path, args: &[&str], input: &str) -> Result<String, NotStarted> {
    let mut command = sessile(program, folder);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let run = async {
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A command that does not read its input has said why on its output.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    let said = args.join(" ");
    let output = match tokio::time::timeout(COMMAND_IN, run).await {
        Ok(output) => output?,
        Err(_) => return Err(NotStarted::CommandSlow { command: said }),
    };
    if !output.status.success() {
        let output_text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(NotStarted::Command { command: said, status: output.status.to_string(), output: output_text });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

async fn is_ready(ops: u16) -> bool {
    let Ok(request) = Request::get("/readyz").header("host", format!("127.0.0.1:{ops}")).body(Bytes::new()) else {
        return false;
    };
    net::send(ops, request).await.is_ok_and(|response| response.status().is_success())
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn last_lines(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}
