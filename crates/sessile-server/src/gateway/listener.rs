//! Sockets, threads and connections.
//!
//! One thread per core, each with a current-thread runtime, its own listening socket on the same address (`SO_REUSEPORT`) and its own
//! upstream connections: nothing on the way of a request crosses threads but the shared engine.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener as StdListener};
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::connection::TimedIo;
use super::drain::{Drain, Watch};
use super::gate::MAX_HEAD_BYTES;
use super::metrics::Counted;
use super::service::{ClientSide, Worker};
use super::settings::GatewaySettings;
use super::upstream::Upstreams;
use super::wire::{Observer, StrictIo};
use super::{Gateway, GatewayError};

/// Listening sockets, one per thread, all at one address.
#[derive(Debug)]
pub struct Sockets {
    address: SocketAddr,
    listeners: Vec<StdListener>,
}

const BACKLOG: i32 = 1024;

impl Sockets {
    /// Opens them. They queue connections from now on, before anybody serves.
    ///
    /// # Errors
    ///
    /// If the address is taken or not ours.
    pub fn open(settings: &GatewaySettings) -> Result<Self, GatewayError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => GatewayError::AddressInUse(settings.listen),
            _ => GatewayError::Listen { address: settings.listen, source },
        };
        // Sockets that share a port do not notice a stranger on it, so it is taken plainly first.
        let plain = StdListener::bind(settings.listen).map_err(failed)?;
        let address = plain.local_addr().map_err(failed)?;
        drop(plain);
        let count = settings.workers.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
        let listeners = (0..count).map(|_| listen(address)).collect::<Result<_, _>>().map_err(failed)?;
        Ok(Self { address, listeners })
    }

    /// Where they listen.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

fn listen(address: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A gateway at work.
#[derive(Debug)]
pub struct Serving {
    address: SocketAddr,
    threads: Vec<thread::JoinHandle<()>>,
    alive: mpsc::Receiver<()>,
}

impl Serving {
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Waits until every thread has stopped.
    pub async fn finished(mut self) {
        // Nothing is ever sent; the channel closes when the last thread ends.
        let _ = self.alive.recv().await;
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a gateway thread panicked");
            }
        }
    }
}

/// Starts the threads.
///
/// # Errors
///
/// If the system refuses one; those already started stop again.
pub fn serve(gateway: &Arc<Gateway>, sockets: Sockets, drain: &Drain) -> Result<Serving, GatewayError> {
    let shared = Arc::new(Shared {
        connections: Arc::new(Semaphore::new(gateway.settings.limits.connections.min(Semaphore::MAX_PERMITS))),
        networks: Networks::default(),
    });
    // One for all threads: a client that comes back may meet another one.
    let tls = gateway.certificate.as_ref().map(|certificate| certificate.server_config()).transpose()?;
    let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
    let (alive, dead) = mpsc::channel(1);
    let mut threads = Vec::with_capacity(sockets.listeners.len());
    for (number, listener) in sockets.listeners.into_iter().enumerate() {
        let (gateway, shared, tls) = (gateway.clone(), shared.clone(), tls.clone());
        let (stop, alive) = (drain.watch(), alive.clone());
        let started = (|| {
            let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
            thread::Builder::new().name(format!("gateway-{number}")).spawn(move || {
                runtime.block_on(work(gateway, shared, listener, tls, stop));
                drop(alive);
            })
        })();
        match started {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                drain.now();
                return Err(GatewayError::Threads(error));
            }
        }
    }
    Ok(Serving { address: sockets.address, threads, alive: dead })
}

/// What the threads count together.
#[derive(Debug)]
struct Shared {
    connections: Arc<Semaphore>,
    networks: Networks,
}

/// Connections per IPv4 address or IPv6 /64.
#[derive(Clone, Debug, Default)]
struct Networks(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One connection's place in the count.
#[derive(Debug)]
struct Place {
    networks: Networks,
    network: IpAddr,
}

impl Networks {
    fn enter(&self, address: IpAddr, most: usize) -> Option<Place> {
        let network = match address.to_canonical() {
            v4 @ IpAddr::V4(_) => v4,
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6) & (u128::MAX << 64))),
        };
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(network).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Place { networks: self.clone(), network })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.networks.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = counts.entry(self.network) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

/// What a connection gives back when it ends. Whatever outlives the HTTP on it holds it too.
#[derive(Debug)]
pub struct Ticket {
    _permit: OwnedSemaphorePermit,
    _place: Option<Place>,
    _counted: Counted,
}

async fn work(
    gateway: Arc<Gateway>,
    shared: Arc<Shared>,
    listener: StdListener,
    tls: Option<TlsAcceptor>,
    mut stop: Watch,
) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "a listening socket cannot be used");
            return;
        }
    };
    let upstreams = Upstreams::new(&gateway.settings.limits, &gateway.trust);
    let worker = Arc::new(Worker::new(gateway, upstreams, stop.clone()));
    let mut connections = JoinSet::new();
    let mut pause = SHORTEST_PAUSE;
    loop {
        tokio::select! {
            biased;
            () = stop.draining() => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => note(ended),
            (socket, ticket) = accept(&worker, &shared, &listener, &mut pause) => {
                connections.spawn(connection(worker.clone(), socket, tls.clone(), ticket));
            }
        }
    }
    drop(listener);
    let rest = async {
        while let Some(ended) = connections.join_next().await {
            note(ended);
        }
    };
    tokio::select! {
        () = async { rest.await; worker.seen_through().await } => {}
        () = stop.closing() => {}
    }
}

fn note(ended: Result<(), tokio::task::JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        tracing::error!("a connection's task panicked; the connection is closed, the process goes on");
    }
}

/// How long accepting rests when there are no descriptors left; doubled from one to the other.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The next connection there is room for.
async fn accept(worker: &Worker, shared: &Shared, listener: &TcpListener, pause: &mut Duration) -> (Socketed, Ticket) {
    let gateway = worker.gateway();
    loop {
        // At the cap the kernel's queue holds the rest: nobody is told off for coming second.
        let Ok(permit) = shared.connections.clone().acquire_owned().await else { std::future::pending().await };
        let (socket, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if is_exhaustion(&error) => {
                gateway.metrics.accept_exhausted.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%error, "cannot accept connections: raise the limit of open files, or lower the connection limit");
                drop(permit);
                *pause = (*pause * 2).min(LONGEST_PAUSE);
                sleep(*pause).await;
                continue;
            }
            // The connection went away while it was queued: nothing to be done, and no reason to wait.
            Err(_) => continue,
        };
        *pause = SHORTEST_PAUSE;
        gateway.metrics.connections_accepted.fetch_add(1, Ordering::Relaxed);
        let is_local = peer.ip().to_canonical().is_loopback() && !gateway.engine.config().public_origin.is_loopback();
        let place = if is_local || gateway.settings.trusts(peer.ip()) {
            None
        } else {
            let Some(place) = shared.networks.enter(peer.ip(), gateway.settings.limits.connections_per_network) else {
                gateway.metrics.connections_refused.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            Some(place)
        };
        let ticket = Ticket { _permit: permit, _place: place, _counted: gateway.metrics.connections_open.count() };
        return (Socketed { socket, peer }, ticket);
    }
}

struct Socketed {
    socket: TcpStream,
    peer: SocketAddr,
}

/// EMFILE, ENFILE, ENOBUFS, ENOMEM: no connection can be taken until something is given back.
fn is_exhaustion(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(24 | 23 | 105 | 12))
}

async fn connection(worker: Arc<Worker>, accepted: Socketed, tls: Option<TlsAcceptor>, ticket: Ticket) {
    let Socketed { socket, peer } = accepted;
    // Small writes go out at once; the HTTP library gathers what belongs together.
    let _ = socket.set_nodelay(true);
    let limits = &worker.gateway().settings.limits;
    let first_head = Instant::now() + limits.head;
    let streams = limits.h2_streams;
    let client_side = |tls| ClientSide::new(peer.ip(), tls, streams, Arc::new(ticket));
    match tls {
        None => serve_http1(worker, socket, client_side(false), first_head).await,
        Some(acceptor) => match handshake(acceptor, socket, limits.tls_handshake, worker.stop()).await {
            Some(stream) => {
                let first_head = Instant::now() + limits.head;
                if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    serve_http2(worker, stream, client_side(true), first_head).await;
                } else {
                    serve_http1(worker, stream, client_side(true), first_head).await;
                }
            }
            None => {
                worker.gateway().metrics.tls_failures.fetch_add(1, Ordering::Relaxed);
            }
        },
    }
}

/// A TLS handshake, unless it fails, takes too long, or the process stops before it is done: nothing was asked for yet.
async fn handshake(
    acceptor: TlsAcceptor,
    socket: TcpStream,
    within: Duration,
    mut stop: Watch,
) -> Option<TlsStream<TcpStream>> {
    tokio::select! {
        accepted = timeout(within, acceptor.accept(socket)) => accepted.ok()?.ok(),
        () = stop.draining() => None,
    }
}

async fn serve_http1<IO>(worker: Arc<Worker>, io: IO, client: Arc<ClientSide>, first_head: Instant)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let gateway = worker.gateway().clone();
    let limits = &gateway.settings.limits;
    let io = TimedIo::new(io, client.activity.clone(), first_head, limits.head, limits.send_stall, false);
    let observer: Observer = {
        let (worker, peer) = (worker.clone(), client.peer);
        Arc::new(move |violation| worker.note_violation(violation.code(), peer, None))
    };
    let io = StrictIo::new(TokioIo::new(io), gateway.wire_rules.clone(), observer);
    let mut stop = worker.stop();
    let activity = client.activity.clone();
    let service = service_fn(move |request| {
        let (worker, client) = (worker.clone(), client.clone());
        async move { Ok::<_, std::convert::Infallible>(worker.answer(&client, request).await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            // Runs between requests too: this is the keep-alive timeout. A head that has begun has its own, in TimedIo.
            .header_read_timeout(limits.keep_alive)
            .max_buf_size(MAX_HEAD_BYTES * 2)
            .serve_connection(io, service)
            .with_upgrades()
    );
    tokio::select! {
        _ = connection.as_mut() => return,
        // The HTTP library would wait for a first request on a connection that has never carried one.
        () = stop.draining() => if !activity.has_heard() { return } else { connection.as_mut().graceful_shutdown() },
    }
    let _ = connection.await;
}

async fn serve_http2<IO>(worker: Arc<Worker>, io: IO, client: Arc<ClientSide>, first_head: Instant)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let gateway = worker.gateway().clone();
    let limits = &gateway.settings.limits;
    let activity = client.activity.clone();
    let io = TimedIo::new(io, activity.clone(), first_head, limits.head, limits.send_stall, true);
    let mut stop = worker.stop();
    let service = service_fn(move |request| {
        let (worker, client) = (worker.clone(), client.clone());
        async move { Ok::<_, std::convert::Infallible>(worker.answer(&client, request).await) }
    });
    let mut connection = pin!(
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.h2_streams)
            .max_pending_accept_reset_streams(limits.h2_pending_resets)
            .max_local_error_reset_streams(limits.h2_error_resets)
            // Counted with 32 bytes a field (RFC 9113 section 6.5.2); the gate's own limit is met first and answers 431.
            .max_header_list_size(u32::try_from(MAX_HEAD_BYTES * 2).unwrap_or(u32::MAX))
            .initial_stream_window_size(256 * 1024)
            .initial_connection_window_size(1024 * 1024)
            .max_send_buf_size(256 * 1024)
            .keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(20))
            .serve_connection(TokioIo::new(io), service)
    );
    let mut check = interval((limits.keep_alive.min(limits.send_stall) / 4).max(Duration::from_millis(20)));
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_leaving = false;
    loop {
        tokio::select! {
            _ = connection.as_mut() => return,
            () = stop.draining(), if !is_leaving => {
                if !activity.has_heard() {
                    return;
                }
                connection.as_mut().graceful_shutdown();
                is_leaving = true;
            }
            _ = check.tick() => {
                // A client that opens no window for what it asked for, or asks for nothing, is not kept.
                if activity.blocked_for() > limits.send_stall || activity.idle_for() > limits.keep_alive + Duration::from_secs(5) {
                    return;
                }
                if activity.idle_for() > limits.keep_alive && !is_leaving {
                    connection.as_mut().graceful_shutdown();
                    is_leaving = true;
                }
            }
        }
    }
}
