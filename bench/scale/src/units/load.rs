//! Operations through the vault: how many a second, and what each takes of processors and wire.

use std::future::Future;
use std::io::{Seek, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use sessile_core::event::{Event, EventName};
use sessile_core::revocation::{Reason, Scope, Seq};
use sessile_core::{SessionId, Timestamp};
use sessile_store::{InsertOutcome, Kept, MasterKey, Vault};
use tokio::time::{sleep, timeout};

use super::proxy::Proxy;
use super::server::{Part, Server};
use super::{START, process};

/// Operations under way at any time.
pub(crate) const AT_ONCE: usize = 64;
/// How many sessions each operation is tried on.
const EACH: usize = 40_000;
/// As `PAGE` in `crates/sessile/src/node.rs`.
const PAGE: u32 = 1024;
/// As `EVENT_BATCH` there.
const EVENT_BATCH: usize = 256;
/// As `poll_floor` there, with the default T of 5 s.
const POLL_FLOOR: Duration = Duration::from_secs(1);
const FOLLOWERS: usize = 20;

/// What one store came to.
#[derive(Debug, Serialize)]
pub struct StoreUnits {
    /// Which store, and how it was set.
    pub name: String,
    /// The server's version.
    pub version: String,
    /// What an acknowledged write survives.
    pub durability: &'static str,
    /// Bytes for one session, by part.
    pub session_bytes: Vec<Part>,
    /// Bytes for one entry of the feed.
    pub feed_entry_bytes: f64,
    /// Bytes for one security event.
    pub event_bytes: f64,
    /// The operations.
    pub operations: Vec<Cost>,
    /// Nodes that follow the feed.
    pub follow: Follow,
    /// Ending every session there is.
    pub everybody: Everybody,
}

/// What it takes to end every session at once.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Everybody {
    /// How many there were.
    pub sessions: u64,
    /// How long the caller waited.
    pub seconds: f64,
    /// How long a caller waits at most, by default, before it is told that the outcome is unknown.
    pub patience_seconds: f64,
}

/// What one operation costs.
#[derive(Clone, Debug, Serialize)]
pub struct Cost {
    /// Which.
    pub operation: String,
    /// How many a second, with everything on the same processors.
    pub per_second: f64,
    /// Microseconds of a processor at the server. SQLite's is within the node.
    pub server_micros: f64,
    /// Microseconds of a processor at the node, driver and sealing included.
    pub node_micros: f64,
    /// Bytes to the server.
    pub bytes_up: f64,
    /// Bytes from the server.
    pub bytes_down: f64,
}

/// What nodes cost that follow the feed.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Follow {
    /// How many there were.
    pub nodes: usize,
    /// Microseconds of the server's processor for one node in one second in which nothing happens.
    pub idle_micros: f64,
    /// Bytes to the server and back for one node in one second in which nothing happens.
    pub idle_bytes: f64,
    /// Microseconds of the server's processor until one node knows of one ending: notice, look and page.
    pub delivery_micros: f64,
    /// Bytes to the server and back for one node and one ending.
    pub delivery_bytes: f64,
    /// Bytes of one entry in a full page.
    pub entry_bytes: f64,
}

pub(super) async fn measure(name: &str, server: Server, sessions: u32, tell: &impl Fn(&str)) -> StoreUnits {
    let master = MasterKey::generate(&*sessile_aws_lc::entropy()).expect("entropy");
    let backend = server.open(None).await;
    let durability = backend.durability().name();
    let vault = super::vault(backend, &master).await;
    let mut bench = Bench { server, master, vault, ids: Vec::new(), operations: Vec::new() };
    let empty = bench.server.parts().await;
    tell(&format!("{name}: {sessions} sign-ins"));
    bench.fill(sessions).await;
    let full = bench.server.parts().await;
    let session_bytes = grown(&empty, &full, f64::from(sessions));
    tell(&format!("{name}: operations"));
    bench.sessions().await;
    let event_bytes = bench.events().await;
    let feed_entry_bytes = bench.endings().await;
    tell(&format!("{name}: followers"));
    let follow = bench.followers().await;
    tell(&format!("{name}: everybody"));
    let everybody = bench.everybody().await;
    let version = bench.server.version();
    let operations = bench.operations;
    StoreUnits {
        name: name.to_owned(),
        version,
        durability,
        session_bytes,
        feed_entry_bytes,
        event_bytes,
        operations,
        follow,
        everybody,
    }
}

fn grown(before: &[Part], after: &[Part], count: f64) -> Vec<Part> {
    let was = |what: &str| before.iter().find(|part| part.what == what).map_or(0.0, |part| part.bytes);
    let grown =
        after.iter().map(|part| Part { what: part.what.clone(), bytes: (part.bytes - was(&part.what)) / count });
    grown.filter(|part| part.bytes >= 1.0).collect()
}

fn one(before: &[Part], after: &[Part], what: &[&str], count: f64) -> f64 {
    grown(before, after, count).iter().filter(|part| what.contains(&part.what.as_str())).map(|part| part.bytes).sum()
}

struct Bench {
    server: Server,
    master: MasterKey,
    vault: Arc<Vault>,
    ids: Vec<SessionId>,
    operations: Vec<Cost>,
}

fn at(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

impl Bench {
    async fn fill(&mut self, sessions: u32) {
        let ids = Arc::new(std::sync::Mutex::new(Vec::new()));
        let vaults = [self.vault.clone()];
        let kept = ids.clone();
        let cost = self
            .many("insert", &vaults, sessions as usize, move |vault, number| {
                let kept = kept.clone();
                async move {
                    let new = super::new_session(number as u32, START);
                    match vault.insert(new, 50).await.expect("it is stored") {
                        InsertOutcome::Inserted { session, .. } => {
                            kept.lock().expect("no panic").push(session.id);
                        }
                        InsertOutcome::IdTaken => unreachable!("128 random bits"),
                    }
                }
            })
            .await;
        self.operations.push(cost);
        self.ids = std::mem::take(&mut *ids.lock().expect("no panic"));
        let mut random = fastrand::Rng::with_seed(1);
        random.shuffle(&mut self.ids);
    }

    async fn sessions(&mut self) {
        let vaults = [self.vault.clone()];
        let ids = Arc::new(self.ids.clone());
        for (name, moment) in [("confirm, first", 60), ("confirm, again", 61)] {
            let ids = ids.clone();
            let cost = self.many(name, &vaults, EACH, move |vault, number| {
                let id = ids[number];
                async move { drop(vault.confirm(id, 0, at(moment)).await.expect("it answers").expect("it is live")) }
            });
            let cost = cost.await;
            self.operations.push(cost);
        }
        let loading = ids.clone();
        let cost = self
            .many("load", &vaults, EACH, move |vault, number| {
                let id = loading[number];
                async move { drop(vault.load(id).await.expect("it answers").expect("it is there")) }
            })
            .await;
        self.operations.push(cost);
        let mut kept: Vec<Kept> = Vec::new();
        for id in &ids[..EACH] {
            kept.push(self.vault.load(*id).await.expect("it answers").expect("it is there"));
        }
        let kept = Arc::new(kept);
        let cost = self
            .many("rotate", &vaults, EACH, move |vault, number| {
                let kept = kept.clone();
                async move { drop(vault.rotate(&kept[number], at(300)).await.expect("it answers")) }
            })
            .await;
        self.operations.push(cost);
    }

    // Bytes that an event takes in the store.
    async fn events(&mut self) -> f64 {
        let vaults = [self.vault.clone()];
        let before = self.server.parts().await;
        let ids = Arc::new(self.ids.clone());
        let batches = 200;
        let mut cost = self
            .many("append event", &vaults, batches, move |vault, number| {
                let ids = ids.clone();
                async move {
                    let event = |place: usize| {
                        Event::new(EventName::SessionRenewed, "rotated", START)
                            .session(ids[place])
                            .subject(super::subject(place as u32))
                    };
                    let batch: Vec<_> =
                        (0..EVENT_BATCH).map(|place| event((number * EVENT_BATCH + place) % ids.len())).collect();
                    vault.append_events(&batch).await.expect("they are stored");
                }
            })
            .await;
        let after = self.server.parts().await;
        let each = EVENT_BATCH as f64;
        cost.per_second *= each;
        for part in [&mut cost.server_micros, &mut cost.node_micros, &mut cost.bytes_up, &mut cost.bytes_down] {
            *part /= each;
        }
        self.operations.push(cost);
        one(&before, &after, &["events", "events_pkey", "events_by_time"], (batches * EVENT_BATCH) as f64)
    }

    // Bytes that an entry takes in the store.
    async fn endings(&mut self) -> f64 {
        let before = self.server.parts().await;
        let ids = Arc::new(self.ids.split_off(self.ids.len() / 2));
        let of_one = ids.clone();
        let revoke = move |vault: Arc<Vault>, id: SessionId| async move {
            drop(vault.revoke(&Scope::Session(id), Reason::SignOut, at(400)).await.expect("it is stored"));
        };
        let vaults = [self.vault.clone()];
        let cost = self.many("revoke", &vaults, EACH / 4, move |vault, number| revoke(vault, of_one[number])).await;
        self.operations.push(cost);
        if self.server.port().is_some() {
            let mut vaults = vec![self.vault.clone()];
            for _ in 0..7 {
                vaults.push(super::vault(self.server.open(None).await, &self.master).await);
            }
            let cost = self
                .many("revoke, from eight nodes", &vaults, EACH / 4, move |vault, number| {
                    revoke(vault, ids[EACH / 4 + number])
                })
                .await;
            self.operations.push(cost);
        }
        let after = self.server.parts().await;
        let head = self.vault.feed(Seq(0), 0).await.expect("it answers").head;
        let vaults = [self.vault.clone()];
        let full = Seq(head.0 - u64::from(PAGE));
        for (name, after, times) in [("feed, nothing new", head, EACH), ("feed, a full page", full, EACH / 20)] {
            let cost = self
                .many(name, &vaults, times, move |vault, _| async move {
                    drop(vault.feed(after, PAGE).await.expect("it answers"));
                })
                .await;
            self.operations.push(cost);
        }
        one(&before, &after, &["feed", "feed_pkey"], head.0 as f64)
    }

    async fn followers(&self) -> Follow {
        let proxy = match self.server.port() {
            Some(port) => Some(Proxy::to(port).await),
            None => None,
        };
        let nodes = if proxy.is_some() { FOLLOWERS } else { 1 };
        let mut following = Vec::new();
        for _ in 0..nodes {
            let vault = match &proxy {
                Some(proxy) => super::vault(self.server.open(Some(proxy.port)).await, &self.master).await,
                None => self.vault.clone(),
            };
            following.push(tokio::spawn(follow(vault)));
        }
        sleep(Duration::from_secs(3)).await;
        let sum = |proxy: &Option<Proxy>| proxy.as_ref().map_or(0, |proxy| proxy.bytes().iter().sum::<u64>()) as f64;
        let (idle_for, ending_for) = (Duration::from_secs(15), Duration::from_secs(15));
        let (cpu, bytes) = (self.server.cpu(), sum(&proxy));
        sleep(idle_for).await;
        let idle_micros = micros(self.server.cpu() - cpu) / idle_for.as_secs_f64();
        let idle_bytes = (sum(&proxy) - bytes) / idle_for.as_secs_f64();

        let (cpu, bytes, begun) = (self.server.cpu(), sum(&proxy), Instant::now());
        let mut endings = 0;
        while begun.elapsed() < ending_for {
            let id = self.ids[self.ids.len() - 1 - endings];
            drop(self.vault.revoke(&Scope::Session(id), Reason::SignOut, at(500)).await.expect("it is stored"));
            endings += 1;
            sleep(Duration::from_millis(100)).await;
        }
        // What ends them is not what tells of it.
        let revoking =
            self.operations.iter().find(|cost| cost.operation == "revoke").map_or(0.0, |cost| cost.server_micros);
        let told = endings as f64 * nodes as f64;
        let spent = micros(self.server.cpu() - cpu) - revoking * endings as f64;
        let carried = sum(&proxy) - bytes;
        following.iter().for_each(tokio::task::JoinHandle::abort);
        let page = |name: &str| {
            let found = self.operations.iter().find(|cost| cost.operation == name);
            found.map_or(0.0, |cost| cost.bytes_down)
        };
        Follow {
            nodes,
            idle_micros: idle_micros / nodes as f64,
            idle_bytes: idle_bytes / nodes as f64,
            delivery_micros: spent / told,
            delivery_bytes: carried / told,
            entry_bytes: (page("feed, a full page") - page("feed, nothing new")) / f64::from(PAGE),
        }
    }

    async fn everybody(&self) -> Everybody {
        let sessions = self.vault.count().await.expect("it answers");
        let begun = Instant::now();
        let ended = self.vault.revoke(&Scope::All, Reason::EndedByAdministrator, at(600)).await.expect("it is stored");
        assert_eq!(ended.ended.len() as u64, sessions, "everybody was ended");
        let patience_seconds = self.server.patience_for_all().as_secs_f64();
        Everybody { sessions, seconds: begun.elapsed().as_secs_f64(), patience_seconds }
    }

    // `count` times, from all of the nodes in turn; then a few times more, counted on the wire.
    async fn many<F, W>(&self, name: &str, vaults: &[Arc<Vault>], count: usize, work: F) -> Cost
    where
        F: Fn(Arc<Vault>, usize) -> W + Clone + Send + 'static,
        W: Future<Output = ()> + Send,
    {
        let counted = if self.server.port().is_some() { count.min(100) } else { 0 };
        let (count, next) = (count - counted, Arc::new(AtomicUsize::new(0)));
        let (server, node, begun) = (self.server.cpu(), process::own_cpu(), Instant::now());
        let mut workers = tokio::task::JoinSet::new();
        for worker in 0..AT_ONCE {
            let (vault, next, work) = (vaults[worker % vaults.len()].clone(), next.clone(), work.clone());
            workers.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    work(vault.clone(), number).await;
                }
            });
        }
        while let Some(ended) = workers.join_next().await {
            ended.expect("no panic");
        }
        let took = begun.elapsed().as_secs_f64();
        let [server, node] =
            [self.server.cpu() - server, process::own_cpu() - node].map(|spent| micros(spent) / count as f64);
        let [bytes_up, bytes_down] = self.on_the_wire(count, counted, work).await;
        let node_micros = if self.server.port().is_some() { node } else { 0.0 };
        Cost {
            operation: name.to_owned(),
            per_second: count as f64 / took,
            server_micros: server,
            node_micros,
            bytes_up,
            bytes_down,
        }
    }

    async fn on_the_wire<F, W>(&self, from: usize, counted: usize, work: F) -> [f64; 2]
    where
        F: Fn(Arc<Vault>, usize) -> W,
        W: Future<Output = ()>,
    {
        let Some(port) = self.server.port() else { return [0.0; 2] };
        let proxy = Proxy::to(port).await;
        let vault = super::vault(self.server.open(Some(proxy.port)).await, &self.master).await;
        // The first opens connections, and brings scripts along.
        work(vault.clone(), from).await;
        let before = proxy.bytes();
        for number in from + 1..from + counted {
            work(vault.clone(), number).await;
        }
        // The listener's looks are among them: at most one in 900 ms.
        let after = proxy.bytes();
        [0, 1].map(|way| (after[way] - before[way]) as f64 / (counted - 1) as f64)
    }
}

// As `follow_feed` in `crates/sessile/src/node.rs`; endings here are too far apart to meet its pause.
async fn follow(vault: Arc<Vault>) {
    let mut after = vault.feed(Seq(0), 0).await.expect("it answers").head;
    loop {
        let page = vault.feed(after, PAGE).await.expect("it answers");
        after = page.entries.last().map_or(after, |entry| entry.seq);
        if after >= page.head {
            // Either end of the wait is an invitation to read.
            let _ = timeout(POLL_FLOOR, vault.changed(after)).await;
        }
    }
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// Milliseconds of a small write and its sync, where the stores keep their files. The file is there already, as logs are that
/// are written over.
///
/// # Panics
///
/// If there can be no file.
pub fn sync_ms() -> f64 {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(&[0; 1 << 20]).and_then(|()| file.sync_all()).and_then(|()| file.rewind()).expect("it is written");
    let mut took: Vec<f64> = (0..200)
        .map(|_| {
            let begun = Instant::now();
            file.write_all(&[1; 4096]).and_then(|()| file.sync_data()).expect("it is written");
            begun.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    took.sort_by(f64::total_cmp);
    took[took.len() / 2]
}
