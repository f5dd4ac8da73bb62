//! What PostgreSQL acknowledged is there after every process of it was killed (I17, S17, X8).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sessile_core::SessionId;
use sessile_core::revocation::{Reason, Scope};
use sessile_instruments::servers::Postgres;
use sessile_store::{InsertOutcome, Rotation, StoreError, Vault};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::postgres_world::{fresh_schema, open, own_server, patient};
use crate::world::{after, new_session, vault};

/// When the load says that a revocation is done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Noted {
    Acknowledged,
    /// The flaw: when it was asked for.
    Asked,
}

/// What was acknowledged of one session.
#[derive(Clone, Copy, Default)]
struct Seen {
    generation: u64,
    ending: bool,
    ended: bool,
}

type Journal = Arc<Mutex<BTreeMap<SessionId, Seen>>>;

async fn one_session(
    vault: &Vault,
    journal: &Journal,
    worker: u64,
    round: u64,
    noted: Noted,
) -> Result<(), StoreError> {
    let note = |id, change: fn(&mut Seen)| change(journal.lock().unwrap().entry(id).or_default());
    // Room for all: an eviction would look like a loss.
    let new = new_session(&format!("subject-{worker}"), after(round));
    let InsertOutcome::Inserted { session, .. } = vault.insert(new, u32::MAX).await? else {
        panic!("128 random bits were taken");
    };
    note(session.id, |_| {});
    for generation in 1..3 {
        let Some(kept) = vault.load(session.id).await? else { panic!("a session nobody ended is gone") };
        let Rotation::Rotated { .. } = vault.rotate(&kept, after(round + generation)).await? else {
            panic!("nobody else rotates this session");
        };
        note(session.id, |seen| seen.generation += 1);
    }
    if round.is_multiple_of(2) {
        note(session.id, |seen| seen.ending = true);
        if noted == Noted::Asked {
            note(session.id, |seen| seen.ended = true);
        }
        vault.revoke(&Scope::Session(session.id), Reason::SignOut, after(round)).await?;
        note(session.id, |seen| seen.ended = true);
    }
    Ok(())
}

/// Loads the store until the server is killed after `moment`, starts it again, and counts broken promises.
async fn kill_and_look(server: &Arc<Postgres>, vault: &Arc<Vault>, moment: Duration, noted: Noted) -> (usize, usize) {
    let journal = Journal::default();
    let mut load = JoinSet::new();
    for worker in 0..8 {
        let (vault, journal) = (vault.clone(), journal.clone());
        load.spawn(async move {
            for round in 0.. {
                if one_session(&vault, &journal, worker, round, noted).await.is_err() {
                    return;
                }
            }
        });
    }
    let begun = Instant::now();
    while journal.lock().unwrap().values().filter(|seen| seen.ended).count() < 8 {
        assert!(begun.elapsed() < Duration::from_secs(30), "the load did nothing");
        sleep(Duration::from_millis(5)).await;
    }
    sleep(moment).await;
    let killed = server.clone();
    tokio::task::spawn_blocking(move || {
        killed.kill();
        killed.restart();
    })
    .await
    .unwrap();
    while let Some(ended) = load.join_next().await {
        ended.unwrap();
    }
    let journal = journal.lock().unwrap().clone();
    let mut broken = 0;
    for (id, seen) in &journal {
        match found(vault, *id).await {
            Some(generation) => {
                // One rotation may have been under way, no more.
                assert!(generation <= seen.generation + 1, "{generation} where {} was acknowledged", seen.generation);
                broken += usize::from(seen.ended) + usize::from(generation < seen.generation);
            }
            None => broken += usize::from(!seen.ending),
        }
    }
    (broken, journal.values().filter(|seen| seen.ended).count())
}

// The same store goes on: it finds its server again by itself.
async fn found(vault: &Vault, id: SessionId) -> Option<u64> {
    let begun = Instant::now();
    loop {
        match vault.load(id).await {
            Ok(kept) => return kept.map(|kept| kept.session().rotation.generation),
            Err(fault) => assert!(begun.elapsed() < Duration::from_secs(30) && fault.is_retryable(), "{fault}"),
        }
        sleep(Duration::from_millis(20)).await;
    }
}

async fn opened() -> (Arc<Postgres>, Arc<Vault>) {
    let server = Arc::new(own_server(&["fsync=on"]).await);
    let store = open(&server, patient(&fresh_schema())).await.unwrap();
    (server, Arc::new(vault(Arc::new(store)).await))
}

/// After each of several kills under load, every acknowledged sign-in, rotation and revocation holds, and the store
/// needs no restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_acknowledged_survives() {
    let (server, vault) = opened().await;
    let mut all_ended = 0;
    for round in 0..4 {
        let moment = Duration::from_millis(round * 43);
        let (broken, ended) = kill_and_look(&server, &vault, moment, Noted::Acknowledged).await;
        assert_eq!(broken, 0, "broken promises in round {round}");
        all_ended += ended;
    }
    assert!(all_ended > 30, "{all_ended} sessions were ended");
}

/// Negative control: one that says "done" before the store does is found out by the same kills.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_only_promised_does_not() {
    let (server, vault) = opened().await;
    for round in 0..20 {
        let moment = Duration::from_millis(round * 7 % 50);
        if kill_and_look(&server, &vault, moment, Noted::Asked).await.0 > 0 {
            return;
        }
    }
    panic!("twenty kills found no broken promise: the check cannot fail");
}
