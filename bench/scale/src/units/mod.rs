//! What one session costs, measured: on servers started here, through the vault that a node uses.

mod load;
mod process;
mod proxy;
pub mod resident;
mod server;

use std::sync::Arc;

use serde::Serialize;
use sessile_core::client::Client;
use sessile_core::policy::Limits;
use sessile_core::session::{Method, NewSession, VerifiedIdentity, mint};
use sessile_core::{Storage, Subject, Timestamp};
use sessile_store::{Backend, MasterKey, Vault};

pub use load::{Cost, Everybody, Follow, StoreUnits, sync_ms};
pub use process::load as load_average;
pub use server::Part;

/// What `units` prints.
#[derive(Debug, Serialize)]
pub struct Units {
    /// Processors that the programs and the servers shared.
    pub processors: usize,
    /// Load average of the minute before: what else ran there.
    pub load: f64,
    /// How many sessions each store held.
    pub sessions: u32,
    /// How many operations were under way at any time.
    pub at_once: usize,
    /// Milliseconds that writing 4 kB over and syncing them took at most, half of the time.
    pub sync_ms: f64,
    /// Resident bytes of one entry in a view.
    pub view_entry: Vec<Resident>,
    /// Resident bytes of one warm access token.
    pub warm_token: Vec<Resident>,
    /// The stores.
    pub stores: Vec<StoreUnits>,
}

/// Bytes for one, when there are `count`.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Resident {
    /// How many there were.
    pub count: u32,
    /// Bytes for one.
    pub bytes: f64,
}

const START: Timestamp = Timestamp::from_secs(1_800_000_000);

/// Measures everything; tells what it is at.
pub async fn measure(sessions: u32, tell: impl Fn(&str)) -> Units {
    let load = process::load();
    let resident = |what: &'static str, counts: &[u32]| {
        let one = |&count: &u32| {
            tell(&format!("{what}: {count}"));
            Resident { count, bytes: resident::of(what, count) }
        };
        counts.iter().map(one).collect::<Vec<_>>()
    };
    let view_entry = resident("view", &[100_000, 1_000_000]);
    let warm_token = resident("tokens", &[50_000, 100_000]);
    let mut stores = Vec::new();
    for (name, server) in [
        ("sqlite", server::Server::sqlite as fn() -> server::Server),
        ("postgres", server::Server::postgres),
        ("redis, appendfsync always", || server::Server::redis(&["--appendfsync", "always"])),
        ("redis, appendfsync everysec", || server::Server::redis(&["--appendfsync", "everysec"])),
        ("redis, hash-max-listpack-value 512", || {
            server::Server::redis(&["--appendfsync", "always", "--hash-max-listpack-value", "512"])
        }),
    ] {
        tell(name);
        stores.push(load::measure(name, server(), sessions, &tell).await);
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Units { processors, load, sessions, at_once: load::AT_ONCE, sync_ms: sync_ms(), view_entry, warm_token, stores }
}

/// The subject of this number.
///
/// # Panics
///
/// Never: the text is short.
pub fn subject(number: u32) -> Subject {
    format!("user-{number:08}").parse().expect("a subject")
}

/// A session as a browser's, begun at `at`: with what is kept of it for the list of one's devices.
///
/// # Panics
///
/// If the system gives no random bytes.
pub fn new_session(number: u32, at: Timestamp) -> NewSession {
    let client = Client {
        browser: "Firefox".to_owned(),
        platform: "Windows".to_owned(),
        language: "en-GB".to_owned(),
        network: "203.0.113.77".to_owned(),
    };
    let identity = VerifiedIdentity::vouched(Method::Password, subject(number), at);
    let minted = mint(identity, client, Storage::Hybrid, &Limits::default(), &*sessile_aws_lc::entropy(), at);
    minted.expect("entropy")
}

async fn vault(backend: Arc<dyn Backend>, master: &MasterKey) -> Arc<Vault> {
    let master = MasterKey::parse(master.to_text().expose()).expect("our own key");
    let vault = Vault::open(backend, master, sessile_aws_lc::provider(), sessile_aws_lc::entropy(), START).await;
    Arc::new(vault.expect("the store opens"))
}
