//! Services to measure Sessile beside. Each answers `GET /data` with the same small JSON, on one thread.
//!
//! `axum` and `hyper` answer it to anybody. `app` answers it to who is signed in, by Sessile's layer, or to anybody
//! without it. `tower-sessions` answers it to who has signed in with `POST /sign-in`. `sink` is no peer: it stands behind
//! the proxies and takes uploads.

mod app;
mod constant;
mod tower;

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;

use axum::Json;
use axum::serve::ListenerExt;
use clap::{Parser, Subcommand, ValueEnum};
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[derive(Parser)]
struct Command {
    /// Where to listen.
    #[arg(long, global = true, default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    #[command(subcommand)]
    peer: Peer,
}

#[derive(Subcommand)]
enum Peer {
    /// Bare axum.
    Axum,
    /// Bare hyper.
    Hyper,
    /// Reads whatever is sent and answers how many bytes it was.
    Sink,
    /// An axum app; the user is read from Sessile's session.
    App {
        #[arg(long, value_enum)]
        guard: Guard,
        /// Where sessions are kept: `memory:`, `sqlite:DIRECTORY` or `redis://HOST:PORT`.
        #[arg(long, default_value = "memory:")]
        store: Store,
        /// A file with the password of the account `ada`.
        #[arg(long)]
        password_file: Option<PathBuf>,
    },
    /// An axum app; the user is read from the session of tower-sessions.
    TowerSessions {
        /// Where sessions are kept: `memory:` or `redis://HOST:PORT`.
        #[arg(long, default_value = "memory:")]
        store: Store,
    },
}

/// What stands before the app.
#[derive(Clone, Copy, ValueEnum)]
enum Guard {
    /// Nothing: everybody is `ada`.
    None,
    Hybrid,
    Database,
}

#[derive(Clone)]
enum Store {
    Memory,
    Sqlite(PathBuf),
    Redis(String),
}

impl std::str::FromStr for Store {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("sqlite", directory)) => Ok(Self::Sqlite(directory.into())),
            Some(("redis", _)) => Ok(Self::Redis(text.to_owned())),
            _ => Err("this is neither memory:, sqlite:DIRECTORY nor redis://HOST:PORT".to_owned()),
        }
    }
}

// One thread: every peer is measured on one core.
fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(Command::parse()))
}

async fn serve(command: Command) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(command.listen).await?;
    let router = match command.peer {
        Peer::Hyper => return Ok(constant::hyper(listener).await?),
        Peer::Axum => constant::axum(),
        Peer::Sink => constant::sink(),
        Peer::App { guard, store, password_file } => {
            app::router(command.listen, guard, store, password_file.as_deref()).await?
        }
        Peer::TowerSessions { store } => tower::router(store).await?,
    };
    let listener = listener.tap_io(|socket| {
        // A socket that is gone already is noticed when it is read.
        let _ = socket.set_nodelay(true);
    });
    Ok(axum::serve(listener, router).await?)
}

/// What `GET /data` answers.
fn data(user: &str) -> Json<Value> {
    Json(json!({ "user": user }))
}
