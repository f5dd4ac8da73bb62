//! The lab: attacks every place a JWT can live, in the visitor's own browser, and shows what each attack got.
//!
//! For each of the seven storages there is a real Sessile gateway in front of a small app, and a *twin*: the same app as
//! it is commonly written, every protection left out. The visitor's browser is led from page to page in one tab and plays
//! the victim; the lab plays everybody else. The twin is the negative control: an attack counts as stopped only if the
//! twin fell to it in the same run, in the same browser ([`run::verdict`]).
//!
//! The crate shares no types with what it attacks. It starts the `sessile` program and speaks HTTP to it.
//!
//! To find something: the attacks, one file each, are in [`attacks`]; the words they are written in are
//! `run/stage.rs`; the order they come in is `run/course.rs`; what a browser is sent is in `pages`.

mod accounts;
mod app;
mod attacker;
pub mod attacks;
mod control;
mod forge;
mod gateway;
mod lab;
mod net;
mod pages;
mod places;
pub mod run;
pub mod storage;
mod text;
mod thief;
mod twin;
mod ui;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use storage::{Site, Storage, Target};

/// How a lab is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The `sessile` executable to start the gateways with.
    pub sessile: PathBuf,
    /// Where the page is. Default: port 7070 of the loopback, or a free one.
    pub listen: Option<SocketAddr>,
    /// End after the first run.
    pub once: bool,
    /// Which storages get a gateway.
    pub storages: Vec<Storage>,
    /// How long a page may say nothing before the lab goes on without it.
    pub deadline: Duration,
}

impl Options {
    /// A lab with all storages.
    pub fn new(sessile: PathBuf) -> Self {
        Self { sessile, listen: None, once: false, storages: Storage::ALL.to_vec(), deadline: Duration::from_secs(12) }
    }
}

/// Why a lab could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The program to attack is not there.
    #[error("there is no program at {0}; name the sessile executable to attack")]
    NoProgram(PathBuf),
    /// A port, or the folder for the gateways' data, could not be had.
    #[error("the lab cannot open its ports and folders: {0}")]
    Io(#[from] io::Error),
}

/// A running lab. Everything it started ends with it.
#[derive(Debug)]
pub struct Lab(Arc<lab::Lab>);

impl Lab {
    /// Opens the ports and starts the gateways.
    ///
    /// # Errors
    ///
    /// When the program is not there or a port cannot be had. A gateway that does not start is no error: its storage
    /// is not measured, and [`Lab::missing`] says why.
    pub async fn start(options: &Options) -> Result<Self, Error> {
        let Ok(sessile) = options.sessile.canonicalize() else { return Err(Error::NoProgram(options.sessile.clone())) };
        let plan = lab::Plan {
            sessile: &sessile,
            listen: options.listen,
            storages: &options.storages,
            deadline: options.deadline,
        };
        Ok(Self(lab::Lab::start(plan).await?))
    }

    /// The address to open.
    pub fn address(&self) -> String {
        format!("{}/", self.0.places.control())
    }

    /// The storages whose gateway did not start, and why.
    pub fn missing(&self) -> Vec<(Storage, String)> {
        let why = |storage: &Storage| self.0.why_not(Site { storage: *storage, target: Target::Sessile });
        Storage::ALL.iter().filter_map(|storage| Some((*storage, why(storage)?))).collect()
    }

    /// Waits for the end of the first run.
    pub async fn first_run(&self) {
        self.0.runs.an_end().await;
    }
}

/// Runs a lab until it is interrupted or, with [`Options::once`], until its first run has ended. Says on standard
/// output where it is.
///
/// # Errors
///
/// As [`Lab::start`].
pub async fn run(options: Options) -> Result<(), Error> {
    let lab = Lab::start(&options).await?;
    println!("Open {} in the browser to be tested.", lab.address());
    for (storage, why) in lab.missing() {
        println!("Without {}: {why}", storage.name());
    }
    tokio::select! {
        () = lab.first_run(), if options.once => println!("The run has ended."),
        interrupted = interrupted() => interrupted?,
    }
    Ok(())
}

async fn interrupted() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        asked = tokio::signal::ctrl_c() => asked,
        _ = terminated.recv() => Ok(()),
    }
}
