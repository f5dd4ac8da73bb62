//! Durable renewals on the embedded store, beside single commits on the same disk.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http::request::Parts;
use rusqlite::Connection;
use sessile::{Admission, Arrival, Clock, Engine, Peer, SystemClock};
use sessile_core::Storage;
use sessile_store::{Kept, Rotation};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::{Bench, in_turn};
use crate::load::Load;
use crate::machine::on_core;
use crate::report::{Outcome, Rounds, Target, Unit, count};
use crate::store::{self, Filling, Store, Visitor};

/// Renewals under way at any time.
const AT_ONCE: usize = 256;
/// Longer ago than an access token lives by default: a browser that comes back then renews.
const AGE: Duration = Duration::from_secs(600);
/// Rows of the table that is written beside, each as large as a session's.
const ROWS: u32 = 100_000;

pub(super) fn measure(bench: &Bench) -> Outcome {
    let size = bench.size;
    let filled = |visitors| Store::filled(Filling { visitors, others: 0, age: AGE });
    let within = filled(2 * size.renewals * size.rounds);
    let over_http = filled(size.fresh * size.rounds);
    let rounds = on_core(bench.cores.gateway, || all_rounds(bench, &within, &over_http));
    let method = format!(
        "The embedded store as it is shipped: WAL, synchronous=FULL, what waits is committed together. Every renewal is of a \
         session that began ten minutes ago and was not renewed before, and each is acknowledged after its commit. Within the \
         library, {AT_ONCE} at a time: the store's write alone, and a whole renewal (session cookie to new cookies, with a new \
         access token signed). Over HTTP: wrk on the other core with {} connections, for a second, through the gateway to an app. \
         Beside them, in turns, on the same disk: SQLite alone, WAL and synchronous=FULL, one prepared UPDATE of one row out of \
         {} in each transaction, one after the other. Everything but wrk and the app has one core.",
        connections(bench),
        count(ROWS as usize)
    );
    let figures = vec![
        rounds.figure("single", "Single commits of SQLite", Unit::PerSecond),
        rounds.figure("write", "Renewals: the store's write alone", Unit::PerSecond),
        rounds.figure("library", "Renewals within the library", Unit::PerSecond),
        rounds.figure("gateway", "Renewals over HTTP", Unit::PerSecond),
    ];
    let target = Some(Target::Least(5.0));
    let comparisons = vec![
        rounds.compare("write", "single", "Renewals, the store's write alone, beside single commits", None),
        rounds.compare("library", "single", "Renewals within the library beside single commits", target),
        rounds.compare("gateway", "single", "Renewals over HTTP beside single commits", target),
    ];
    Outcome::of(method, figures, comparisons)
}

fn connections(bench: &Bench) -> usize {
    if bench.size.pause.is_some() { bench.size.connections } else { AT_ONCE }
}

#[derive(Clone, Copy)]
enum Way {
    Single,
    Write,
    Library,
    Gateway,
}

fn all_rounds(bench: &Bench, within: &Store, over_http: &Store) -> Rounds {
    let size = bench.size;
    let single = single_store(within.directory());
    let gateway = bench.gateway(over_http, &[]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let engine = runtime.block_on(store::engine(within.open(), &within.master, clock, store::config()));
    // As in a node: it keeps the events.
    let node = runtime.spawn({
        let engine = engine.clone();
        async move { engine.run(std::future::pending()).await }
    });
    let mut unused = within.visitors.chunks(size.renewals);
    let mut rounds = Rounds::default();
    for round in 0..size.rounds {
        for way in in_turn(round, vec![Way::Single, Way::Write, Way::Library, Way::Gateway]) {
            let mut some = || unused.next().expect("as many as were signed in");
            match way {
                Way::Single => rounds.note("single", single_commits(&single, Duration::from_secs(size.seconds))),
                Way::Write => rounds.note("write", writes(&runtime, &engine, some())),
                Way::Library => rounds.note("library", renewals(&runtime, &engine, some())),
                Way::Gateway => {
                    let users = &over_http.visitors[round * size.fresh..][..size.fresh];
                    let cookies =
                        over_http.write_cookies("renew.txt", users.iter().map(|one| one.session_cookie.clone()));
                    let connections = connections(bench);
                    let counted_as = "sessile_session_rotations_total";
                    let load = Load { cookies, connections, seconds: 1, pause: size.pause, counted_as };
                    rounds.note("gateway", bench.wrk.load(&gateway, &bench.app, &load).per_second());
                }
            }
        }
    }
    node.abort();
    rounds
}

fn single_store(beside: &Path) -> Connection {
    let mut connection = Connection::open(beside.join("single.db")).expect("SQLite opens");
    connection.pragma_update(None, "journal_mode", "WAL").expect("WAL");
    connection.pragma_update(None, "synchronous", "FULL").expect("FULL");
    connection
        .execute_batch("CREATE TABLE sessions (id INTEGER PRIMARY KEY, generation INTEGER NOT NULL, rotated_at INTEGER NOT NULL, rest BLOB NOT NULL)")
        .expect("a table");
    let filling = connection.transaction().expect("a transaction");
    for id in 0..ROWS {
        filling.execute("INSERT INTO sessions VALUES (?1, 0, 0, zeroblob(300))", [id]).expect("a row");
    }
    filling.commit().expect("a commit");
    connection
}

fn single_commits(connection: &Connection, duration: Duration) -> f64 {
    let mut update = connection
        .prepare("UPDATE sessions SET generation = generation + 1, rotated_at = ?2 WHERE id = ?1")
        .expect("a statement");
    let begun = Instant::now();
    let mut commits = 0_u32;
    while begun.elapsed() < duration {
        let changed = update.execute([fastrand::u32(..ROWS), commits]).expect("a commit");
        assert_eq!(changed, 1);
        commits += 1;
    }
    f64::from(commits) / begun.elapsed().as_secs_f64()
}

fn writes(runtime: &Runtime, engine: &Engine, visitors: &[Visitor]) -> f64 {
    let load =
        async |visitor: &Visitor| engine.vault().load(visitor.session).await.expect("it answers").expect("it is there");
    runtime.block_on(async {
        let mut all: Vec<Vec<Kept>> = Vec::new();
        for part in parts_of(visitors) {
            let mut kept = Vec::new();
            for visitor in part {
                kept.push(load(visitor).await);
            }
            all.push(kept);
        }
        let mut at_work = JoinSet::new();
        let begun = Instant::now();
        for part in all {
            let engine = engine.clone();
            at_work.spawn(async move {
                for kept in part {
                    let rotation = engine.vault().rotate(&kept, engine.now().wall).await.expect("it is stored");
                    assert!(matches!(rotation, Rotation::Rotated { .. }), "{rotation:?}");
                }
            });
        }
        finish(at_work).await;
        visitors.len() as f64 / begun.elapsed().as_secs_f64()
    })
}

fn renewals(runtime: &Runtime, engine: &Engine, visitors: &[Visitor]) -> f64 {
    let rotations = || engine.metrics().rotations.load(Ordering::Relaxed);
    let heads = |part: &[Visitor]| -> Vec<Parts> {
        part.iter().map(|visitor| store::request(Some(&visitor.session_cookie))).collect()
    };
    let all: Vec<Vec<Parts>> = parts_of(visitors).map(heads).collect();
    let before = rotations();
    let per_second = runtime.block_on(async {
        let mut at_work = JoinSet::new();
        let begun = Instant::now();
        for part in all {
            let engine = engine.clone();
            at_work.spawn(async move {
                let peer = Peer { secure: true, ..Peer::default() };
                for parts in part {
                    let arrival = Arrival::new(&parts, &peer, engine.config());
                    let admission = engine.admit(&arrival, engine.config().offer(Storage::Hybrid)).await;
                    let Admission::Admitted(pass) = admission else { panic!("{admission:?}") };
                    assert_eq!(engine.cookies_for_response(&pass).await.len(), 2, "both cookies are new");
                }
            });
        }
        finish(at_work).await;
        visitors.len() as f64 / begun.elapsed().as_secs_f64()
    });
    assert_eq!(rotations() - before, visitors.len() as u64, "each was renewed");
    per_second
}

fn parts_of(visitors: &[Visitor]) -> impl Iterator<Item = &[Visitor]> {
    visitors.chunks(visitors.len().div_ceil(AT_ONCE))
}

async fn finish(mut at_work: JoinSet<()>) {
    while let Some(ended) = at_work.join_next().await {
        ended.expect("no panic");
    }
}
