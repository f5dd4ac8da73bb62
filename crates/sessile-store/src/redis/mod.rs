//! The store in Redis or Valkey, shared by all nodes: one server, a master with Sentinels, or a cluster.
//!
//! Each verb is one Lua script, and a script is one atomic step of the server. `scripts/` holds them, named by verb.
//!
//! # Keys
//!
//! All begin with `{prefix}:`, the braces included: one hash tag, so that in a cluster they lie in one slot.
//!
//! | Key | What it is |
//! |---|---|
//! | `store` | epoch, house, head of the feed, master witness, schema, phase, move |
//! | `HOUSE:session:ID` | a record |
//! | `HOUSE:sessions`, `HOUSE:over`, `HOUSE:subject:SUBJECT` | identifiers of all records in order, by their end, by subject |
//! | `HOUSE:token:ID`, `HOUSE:tokens:SESSION` | rows of storage `database` |
//! | `houses` | those moved out of, to be cleared |
//! | `feed`, `events` | streams; an entry's identifier is its number |
//! | `keys`, `key:ID`; `accounts`, `account:NAME`, `account_of:SUBJECT`; `failure:KEY`, `failures`, `failures_age` | the rest |
//!
//! The house is a name that `store` holds, used once. Ending everybody's sessions moves the store into a new one: one step,
//! however many there are. Sweeping clears the old.
//!
//! One slot is one server's memory and one server's thread. A cluster therefore adds failover, not room: sessions of one
//! prefix do not spread over its masters. What it would take to lift that is an order of writes over several slots in
//! which a record can vanish only after its end was announced, and an intent that repeats it; the contract asks for both
//! to be seen at one instant, and one slot is what makes that so. While a cluster moves the slot from one master to another,
//! which takes longer the more sessions there are, every call is refused (TRYAGAIN) and may be repeated.
//!
//! # What it survives
//!
//! What the server is configured for, and [`durability`](crate::Backend::durability) says it:
//! `appendonly yes` with `appendfsync always` is synced before it is acknowledged; with `everysec` a loss of power costs the
//! last second or two, and a server that is killed while a sync is late may lose as much; without an append-only file
//! a restart of the server loses what its last snapshot does not hold. With [`RedisOptions::replicas`] a write is
//! acknowledged once so many replicas have it in memory. That narrows what a failover can lose and does not
//! rule it out: Redis elects without asking which replica has seen most.
//!
//! # What it notices
//!
//! - A server that evicts is refused, at the start, at each reconnect, and when it begins to while in use.
//! - A store that lost everything has no epoch: reading the feed begins a new one, and every node begins a new lineage.
//!   The records are gone, so their sessions are.
//! - A store that lost its last writes and goes on has the same epoch, and a feed that differs from what a node knows of
//!   it: each node remembers the newest entry it heard of, and reads and revokes with it. Then every session ends and a new
//!   epoch begins, within the call that noticed. A node that starts afterwards remembers nothing and cannot tell.
//! - A store that lost some of its keys, its epoch or its feed, is [`Continuity::Lost`](crate::Continuity::Lost) at the
//!   next start.
//!
//! A replica is never asked: it refuses the scripts, since none of them is declared to be free of writes.
//!
//! At its memory limit the server refuses what needs room, sign-ins above all. Rotation, confirmation and revocation
//! go on: their scripts are declared `allow-oom`.
//!
//! Connections are tasks of the runtime that [`RedisStore::connect`] is called on; it must outlive the store.

mod address;
mod fault;
mod follower;
mod inspect;
mod link;
mod moves;
mod records;
mod reply;
mod row;
mod script;
mod store;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::Value;
use sessile_core::revocation::{Epoch, Seq};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use address::{Address, InvalidAddress};
pub use inspect::Unfit;

use crate::contract::{Durability, fresh_epoch};
use crate::error::StoreError;
use link::{Link, NoConnection};
use script::{Call, verb};

/// How to use a server.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// What the names of all keys begin with; two stores on one server differ in it. Letters, digits, `-`, `_`, `.`.
    pub prefix: String,
    /// How long a read may take, waiting for a connection included.
    pub read_deadline: Duration,
    /// How long a write may take before its caller is told that the outcome is unknown.
    pub write_deadline: Duration,
    /// How long making a connection may take.
    pub connect_deadline: Duration,
    /// How many replicas must have a write before it is acknowledged; zero waits for none. Fewer is answered with
    /// [`StoreError::Unavailable`], outcome unknown: the master has it.
    pub replicas: u32,
    /// The authority to verify servers' certificates by, PEM, in place of the system's.
    pub root_certificate: Option<Vec<u8>>,
    /// Take a server that evicts data when its memory is full. Sessions then end without notice, and a revocation
    /// may be evicted from the feed before nodes have read it.
    pub danger_allow_eviction: bool,
    /// Take the word of whoever runs it that a server which does not tell its configuration does not evict.
    pub danger_assume_noeviction: bool,
    /// What the acknowledgements of such a server survive.
    pub assume_durability: Option<Durability>,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            prefix: "sessile".to_owned(),
            read_deadline: Duration::from_millis(500),
            write_deadline: Duration::from_secs(2),
            connect_deadline: Duration::from_secs(1),
            replicas: 0,
            root_certificate: None,
            danger_allow_eviction: false,
            danger_assume_noeviction: false,
            assume_durability: None,
        }
    }
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address cannot be dialled.
    #[error("{0}")]
    Address(String),
    /// The prefix cannot begin a key.
    #[error("the prefix {0:?} must be 1 to 64 letters, digits, `-`, `_` or `.`")]
    Prefix(String),
    /// The server must not hold sessions.
    #[error("{address}: {unfit}")]
    Unfit {
        /// Which server.
        address: Address,
        /// Why not.
        unfit: Unfit,
    },
    /// There is no answer, or not the right one.
    #[error("{address}: {fault}")]
    Store {
        /// Which server.
        address: Address,
        /// What happened.
        #[source]
        fault: StoreError,
    },
}

impl From<ConnectError> for StoreError {
    fn from(error: ConnectError) -> Self {
        let told = error.to_string();
        match error {
            ConnectError::Address(_) | ConnectError::Prefix(_) | ConnectError::Unfit { .. } => Self::Unfit(told),
            ConnectError::Store { address, fault: Self::Unavailable { why, outcome } } => {
                Self::Unavailable { why: format!("{address}: {why}"), outcome }
            }
            ConnectError::Store { fault, .. } => fault,
        }
    }
}

type Position = (Epoch, Seq);

/// Where the feed stood when this node last heard of it. The mark is of the newest entry; empty if that is forgotten.
#[derive(Clone, Debug)]
struct Standing {
    epoch: Epoch,
    head: Seq,
    mark: String,
}

// What a newer program may raise.
const SCHEMA: u64 = 2;

/// A store in Redis or Valkey. Share it as `Arc<dyn Backend>`; dropping it ends its connections.
#[derive(Debug)]
pub struct RedisStore {
    link: Arc<Link>,
    position: Arc<watch::Sender<Position>>,
    known: Mutex<Option<Standing>>,
    lost: Mutex<Option<String>>,
    follower: JoinHandle<()>,
}

impl RedisStore {
    /// Connects, looks at the server, and opens or begins the store.
    pub async fn connect(address: &Address, options: RedisOptions) -> Result<Self, ConnectError> {
        check_prefix(&options.prefix)?;
        let dialler = address
            .dialler(options.root_certificate.as_deref())
            .map_err(|error| ConnectError::Address(format!("{address}: {error}")))?;
        let link = Arc::new(Link::new(dialler, options));
        let failed = |fault| ConnectError::Store { address: address.clone(), fault };
        match link.connection().await {
            Ok(_) => {}
            Err(NoConnection::Unfit(unfit)) => return Err(ConnectError::Unfit { address: address.clone(), unfit }),
            Err(NoConnection::Unavailable(why)) => return Err(failed(StoreError::not_done(why))),
        }
        let opened = open(&link).await.map_err(failed)?;
        let position = Arc::new(watch::Sender::new(opened.position));
        let follower = tokio::spawn(follower::follow(link.clone(), position.clone()));
        Ok(Self { link, position, known: Mutex::new(None), lost: Mutex::new(opened.odd), follower })
    }
}

impl RedisStore {
    /// With what this node knows of the feed, so that the server can tell whether it is still so.
    fn with_known(&self, call: Call) -> Call {
        let call = call.with(reply::hex(&fresh_epoch().0));
        match &*self.known.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(known) => call.with(reply::hex(&known.epoch.0)).with(known.head.0).with(&known.mark),
            None => call.with("").with(0).with(""),
        }
    }

    /// Remembers where the feed stands, as one reply told it. Replies may overtake each other.
    fn learn(&self, [epoch, head, mark]: [Value; 3]) -> Result<(Epoch, Seq), StoreError> {
        let new = Standing { epoch: epoch_of(epoch)?, head: Seq(reply::number(head)?), mark: reply::text(mark)? };
        let position = (new.epoch, new.head);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref().is_some_and(|known| known.epoch != new.epoch) {
            tracing::warn!("the store in Redis has begun a new history: it lost writes, or every session was ended");
        }
        if known.as_ref().is_none_or(|known| known.epoch != new.epoch || known.head <= new.head) {
            *known = Some(new);
        }
        drop(known);
        self.position.send_if_modified(|seen| std::mem::replace(seen, position) != position);
        Ok(position)
    }
}

impl Drop for RedisStore {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

struct Opened {
    position: Position,
    odd: Option<String>,
}

async fn open(link: &Link) -> Result<Opened, StoreError> {
    let call = link.call().with(SCHEMA).with(reply::hex(&fresh_epoch().0));
    let [schema, epoch, head, odd] = reply::exactly::<4>(link.write(&verb::open, call).await?)?;
    let schema = reply::number(schema)?;
    if schema > SCHEMA {
        let (found, known) = (i64::try_from(schema).unwrap_or(i64::MAX), i64::try_from(SCHEMA).unwrap_or(i64::MAX));
        return Err(StoreError::NewerSchema { found, known });
    }
    let position = (epoch_of(epoch)?, Seq(reply::number(head)?));
    let odd = reply::text(odd)?;
    Ok(Opened { position, odd: (!odd.is_empty()).then_some(odd) })
}

fn epoch_of(value: Value) -> Result<Epoch, StoreError> {
    reply::octets(value).map(Epoch)
}

fn check_prefix(prefix: &str) -> Result<(), ConnectError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if (1..=64).contains(&prefix.len()) && prefix.bytes().all(plain) {
        Ok(())
    } else {
        Err(ConnectError::Prefix(prefix.to_owned()))
    }
}
