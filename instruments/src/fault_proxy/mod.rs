//! A TCP proxy that does wrong as it is told, also to connections that run.
//!
//! It has one upstream and one [`Behaviour`] at a time. Bytes from the client are *requests*, those from the server are
//! *replies*. What is held back by a behaviour is delivered after it, as a network that heals would do; what is dropped
//! is gone.
//!
//! # Orders
//!
//! [`obey`] takes the same orders as the control port, one JSON object each: `{"set": BEHAVIOUR}`, `{"script": [STEP, ..]}`,
//! `{"counters": true}`. Each is answered by one: `{"behaviour": .., "steps_left": .., "counters": {..}}`, or
//! `{"error": ".."}`. An order is in force when it is answered.
//!
//! # Behaviours
//!
//! | JSON | What it does |
//! |---|---|
//! | `"pass"` | nothing wrong |
//! | `"refuse"` | closes each connection as it is made; those there are are closed |
//! | `"closed"` | does not listen: connecting is refused by the system; connections there are are closed |
//! | `"silence"` | takes connections, passes nothing on; those there are fall silent too |
//! | `"reset"` | resets (RST) each connection as it is made, and those there are |
//! | `{"delay": {"request_ms": 100, "reply_ms": 0}}` | passes each byte so much later; no limit to how much is on its way |
//! | `{"throttle": {"bytes_per_second": 1000}}` | passes so much in each direction of each connection |
//! | `{"cut": {"direction": "replies", "after": 10}}` | closes each connection after so many bytes in that direction |
//! | `{"half_close": {"direction": "requests"}}` | ends that direction alone: the server reads the end, but its replies pass |
//! | `{"drop_reply": {"matching": "DELETE", "until": "COMMIT", "then": "close"}}` | see below |
//! | `{"corrupt": {"after": 0, "bytes": 1}}` | inverts so many bytes of the replies after the first ones |
//! | `{"one_way": {"direction": "requests"}}` | only that direction passes |
//!
//! Bytes are counted for each connection from the moment the behaviour was set.
//!
//! `drop_reply` works once: on the next request, or the next whose bytes contain `matching`. The request is delivered, the
//! replies on its connection are not. When the first of them is there, or the one that contains `until`, the client's side
//! is closed; or, if `then` is `"silence"`, it hears nothing for as long as it likes to wait. The server is told nothing
//! before it has answered, so what it was asked happens.
//!
//! # Scripts
//!
//! A script is a JSON array of steps, each a behaviour and, but for the last, how long it lasts: for a time, or until so much
//! has happened since the step began. The event that completes a step still happens under it.
//!
//! ```json
//! [
//!   {"behaviour": "refuse", "until": {"connections": 3}},
//!   {"behaviour": {"drop_reply": {}}, "until": {"dropped_replies": 1}},
//!   {"behaviour": "silence", "until": {"ms": 500}},
//!   {"behaviour": "pass"}
//! ]
//! ```
//!
//! `until` names `ms` or one of `connections`, `request_bytes`, `reply_bytes`, `dropped_replies`.

mod behaviour;
mod connection;
mod orders;
mod state;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

pub use behaviour::{Behaviour, Direction, DropReply, Then};
pub use orders::{obey, serve_control};
pub use state::{Counters, Script, Step, Until};

use crate::servers::free_port;
use state::Shared;

/// A running proxy. Dropping it closes its port and its connections.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: JoinHandle<()>,
}

impl FaultProxy {
    /// Starts one on a free port of the loopback.
    pub async fn start(upstream: SocketAddr) -> io::Result<Self> {
        loop {
            // Not a port that the system gives away while the proxy is closed.
            match Self::start_at((Ipv4Addr::LOCALHOST, free_port()).into(), upstream).await {
                Err(taken) if taken.kind() == io::ErrorKind::AddrInUse => {}
                started => return started,
            }
        }
    }

    /// Starts one that listens at `address`.
    pub async fn start_at(address: SocketAddr, upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Shared::new();
        let listening = tokio::spawn(listen(listener, address, upstream, shared.clone()));
        Ok(Self { address, shared, listening })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Behaves like this from now on; a script that runs ends. When this returns the behaviour is in force.
    pub async fn set(&self, behaviour: Behaviour) {
        self.run(Script::from(behaviour)).await;
    }

    /// Begins a script. When this returns its first step is in force.
    pub async fn run(&self, script: Script) {
        let generation = self.shared.begin(script);
        self.shared.in_force(generation).await;
    }

    /// How it behaves now.
    pub fn behaviour(&self) -> Behaviour {
        self.shared.now().behaviour
    }

    /// What has passed so far.
    pub fn counters(&self) -> Counters {
        self.shared.counters()
    }

    /// How many steps of the script are still to come.
    pub fn steps_left(&self) -> usize {
        self.shared.steps_left()
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Listens while it may. The connections end with it.
async fn listen(listener: TcpListener, address: SocketAddr, upstream: SocketAddr, shared: Arc<Shared>) {
    let mut changes = shared.changes();
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    loop {
        changes.borrow_and_update();
        let now = shared.now();
        if now.behaviour == Behaviour::Closed {
            if let Some(open) = listener.take() {
                // Dropping it would not do while a process that is being started elsewhere still holds a copy.
                let _ = rustix::net::shutdown(&open, rustix::net::Shutdown::Both);
            }
        } else if listener.is_none() {
            listener = Some(bind_again(address).await);
        }
        shared.is_in_force(now.generation);
        tokio::select! {
            biased;
            _ = changes.changed() => {}
            client = accept(listener.as_ref()) => {
                let at_accept = shared.accepted();
                connections.spawn(connection::serve(client, upstream, shared.clone(), at_accept));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        match listener.accept().await {
            Ok((client, _)) => return client,
            // One that was gone before it was taken; or there are no descriptors left for the moment.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn bind_again(address: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}
