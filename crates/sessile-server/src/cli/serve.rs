//! `sessile serve`: from checked settings to a gateway at work, and back to nothing.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use sessile::{Clock, Engine, SystemClock};
use sessile_core::event::{Event, EventName};
use sessile_store::StoreError;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::opening::Opening;
use super::{Failure, Role, warning_text};
use crate::config::Loaded;
use crate::config::runtime::Runtime;
use crate::gateway::drain::Drain;
use crate::gateway::{self, DrainPolicy, Gateway, GatewayError, Serving, Sockets, TargetSettings};
use crate::log::{self, Destination, Style};
use crate::ops::{self, Listening, Ops};

pub(super) fn run(loaded: Loaded) -> Result<ExitCode, Failure> {
    let style = Style::choose(loaded.runtime.log_format, Destination::Stdout);
    let _written_at_the_end = log::start(loaded.runtime.log_level, style, Destination::Stdout)?;
    // The control thread: feed, sweeps, keys, operations. Requests are answered on threads of their own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = runtime.block_on(serve(loaded));
    // Said on standard error in any case; programs that read the log find it there.
    if let (Err(failure), Style::Json) = (&served, style) {
        tracing::error!(exit = failure.exit() as u64, "{failure}");
    }
    served
}

async fn serve(loaded: Loaded) -> Result<ExitCode, Failure> {
    // Before anything that takes time, so that no signal meets its default.
    let mut signals = Signals::listen()?;
    let Runtime { engine: engine_config, gateway: settings, ops: ops_settings, store, .. } = loaded.runtime.clone();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    // The store first: of two servers on one directory, the second must learn that, and not that a port is taken.
    let opening = Opening::begin(&store, Role::Server, &*clock).await?;
    let engine = Engine::start(opening.vault.clone(), engine_config, clock).await?;
    let reached = reach(&opening, &engine, store.required).await?;
    let listening = Listening::open(ops_settings.listen).await.map_err(|e| cannot_listen(ops_settings.listen, &e))?;
    let gateway = Gateway::new(settings.clone(), engine.clone())?;
    let sockets = Sockets::open(&settings)?;

    let drain = Drain::new();
    let ops = Ops::new(engine.clone(), gateway.metrics().clone(), drain.clone(), &ops_settings);
    let ops_address = listening.local_addr();
    let (stop, stopped) = watch::channel(false);
    let node = tokio::spawn({
        let (engine, stopped) = (engine.clone(), stopped.clone());
        async move { engine.run(is_true(stopped)).await }
    });
    let operations = tokio::spawn(ops::serve(listening, ops::router(ops), is_true(stopped)));

    let serving = gateway::serve(&gateway, sockets, &drain)?;
    announce(&loaded, &engine, serving.local_addr(), ops_address);
    engine.record(Event::new(EventName::Startup, "serve", engine.now().wall));

    let refused = async {
        match reached {
            Reached::Yes => std::future::pending().await,
            Reached::NotYet => wait_for_store(&opening, &engine).await,
        }
    };
    let ended = until_stopped(&mut signals, serving, &gateway, &drain, settings.drain, refused).await;
    engine.record(Event::new(EventName::Shutdown, ended.reason(), engine.now().wall));
    // Last, so that what happened while draining is still written: the node keeps the events.
    let _ = stop.send(true);
    for task in [node, operations] {
        if let Err(error) = task.await {
            tracing::error!(%error, "a task of the control thread did not end in order");
        }
    }
    match ended {
        Ended::Asked => Ok(ExitCode::SUCCESS),
        Ended::ByItself => Err(Failure::Other("every gateway thread stopped, and nobody had asked for it".into())),
        Ended::Refused(failure) => Err(failure),
    }
}

enum Reached {
    Yes,
    NotYet,
}

/// The first try, before anything listens. A server that must have its store says within five seconds that it has not
/// (S1); one that waits for it does not let its health checks wait.
async fn reach(opening: &Opening, engine: &Engine, required: bool) -> Result<Reached, Failure> {
    let patience = Duration::from_millis(if required { 4500 } else { 1500 });
    let tried = tokio::time::timeout(patience, open(opening, engine))
        .await
        .unwrap_or_else(|_| Err(StoreError::not_done(format!("no answer within {patience:?}")).into()));
    match tried {
        Ok(()) => Ok(Reached::Yes),
        Err(failure) if failure.is_retryable() && !required => {
            tracing::warn!("{failure}; not ready until it can be reached, trying again and again");
            Ok(Reached::NotYet)
        }
        Err(failure) => Err(failure),
    }
}

/// Each step is taken up where an earlier try was cut off. A store on this machine was taken up when the engine started.
async fn open(opening: &Opening, engine: &Engine) -> Result<(), Failure> {
    if !opening.waits_for_a_store() {
        return Ok(());
    }
    if !opening.vault.is_open() {
        opening.connect(engine.now().wall).await?;
    }
    Ok(engine.take_up_store().await?)
}

/// Tries until the store is there, and then never ends; ends if the store must not be used.
async fn wait_for_store(opening: &Opening, engine: &Engine) -> Failure {
    const SHORTEST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(1);
    let mut wait = SHORTEST;
    let mut said = String::new();
    loop {
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST);
        match open(opening, engine).await {
            Ok(()) => {
                tracing::info!(
                    store = opening.vault.name(),
                    durability = opening.vault.durability().name(),
                    "the store is reached"
                );
                return std::future::pending().await;
            }
            Err(failure) if failure.is_retryable() => {
                let told = failure.to_string();
                if told != said {
                    tracing::warn!("{told}; trying again");
                    said = told;
                }
            }
            Err(failure) => return failure,
        }
    }
}

/// Why serving ended.
enum Ended {
    Asked,
    ByItself,
    /// The store was reached at last, and must not be used.
    Refused(Failure),
}

impl Ended {
    const fn reason(&self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::ByItself => "threads_stopped",
            Self::Refused(_) => "store_refused",
        }
    }
}

/// Serves until a signal ends it, the first one in good order, the second one at once; or `refused` tells that the store
/// must not be used.
async fn until_stopped(
    signals: &mut Signals,
    serving: Serving,
    gateway: &Gateway,
    drain: &Drain,
    policy: DrainPolicy,
    refused: impl Future<Output = Failure>,
) -> Ended {
    let mut asked = false;
    let mut finished = std::pin::pin!(serving.finished());
    let mut refused = std::pin::pin!(refused);
    loop {
        let signal = tokio::select! {
            () = &mut finished => return if asked { Ended::Asked } else { Ended::ByItself },
            // Nothing was ever served: there is nothing to finish.
            failure = &mut refused => {
                drain.now();
                finished.await;
                return Ended::Refused(failure);
            }
            signal = signals.next() => signal,
        };
        match signal {
            Signalled::Reload => match gateway.reload_certificate() {
                Ok(()) => tracing::info!("certificate and key were read again"),
                Err(error) => tracing::error!(%error, "certificate and key cannot be used; the old ones stay in use"),
            },
            Signalled::Stop if asked => {
                tracing::warn!("asked to stop again: stopping at once");
                drain.now();
            }
            Signalled::Stop => {
                asked = true;
                tracing::info!("asked to stop: no new connections, requests under way are finished");
                let drain = drain.clone();
                tokio::spawn(async move { drain.begin(policy).await });
            }
        }
    }
}

async fn is_true(mut flag: watch::Receiver<bool>) {
    // A vanished sender means that the process is on its way out as well.
    let _ = flag.wait_for(|flag| *flag).await;
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

enum Signalled {
    Stop,
    Reload,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signalled {
        tokio::select! {
            _ = self.terminate.recv() => Signalled::Stop,
            _ = self.interrupt.recv() => Signalled::Stop,
            _ = self.hang_up.recv() => Signalled::Reload,
        }
    }
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> Failure {
    Failure::Other(match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("ops.listen: {address} is in use by another process: stop that, or listen elsewhere")
        }
        _ => format!("ops.listen: cannot listen on {address}: {error}"),
    })
}

impl From<GatewayError> for Failure {
    fn from(error: GatewayError) -> Self {
        Self::Other(error.to_string())
    }
}

/// Says what was started: once for people who watch, and in the log.
fn announce(loaded: &Loaded, engine: &Engine, listen: SocketAddr, ops: SocketAddr) {
    let runtime = &loaded.runtime;
    let config = engine.config();
    let store = &runtime.store;
    let durability = if engine.vault().is_open() { engine.vault().durability().name() } else { "not known yet" };
    let admin = if runtime.ops.admin_token.is_some() { "on" } else { "off, no admin token" };
    let file = loaded.file.as_ref().map_or_else(|| "none, defaults".to_owned(), |file| file.display().to_string());
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        public_url = config.public_origin.as_str(),
        %listen,
        %ops,
        admin,
        storage = config.storage.name(),
        %store,
        durability,
        configuration = file,
        "serving",
    );
    for route in &runtime.gateway.routes {
        let to = match &route.target {
            TargetSettings::Upstream(upstream) => upstream.url.clone(),
            TargetSettings::Static(files) => files.root.display().to_string(),
        };
        tracing::info!(prefix = route.prefix, to, access = access_name(route.access), "route");
    }
    for warning in &loaded.warnings {
        engine.record(Event::new(EventName::DangerousSetting, warning.key, engine.now().wall));
        tracing::warn!("{}", warning_text(warning));
    }
    if let Some(differences) = local_differences(engine) {
        tracing::warn!("{differences}");
    }
}

const fn access_name(access: sessile::Access) -> &'static str {
    match access {
        sessile::Access::Public => "public",
        sessile::Access::Optional => "optional",
        sessile::Access::Session => "session",
    }
}

/// What is different when people reach this process over plain http on their own machine.
fn local_differences(engine: &Engine) -> Option<String> {
    let origin = &engine.config().public_origin;
    (!origin.is_https()).then(|| {
        format!(
            "{origin} is for this machine only. The cookies keep their names and flags, which Chromium and Firefox take from a loopback \
             address and Safari does not; Strict-Transport-Security is not sent; nothing is encrypted"
        )
    })
}
