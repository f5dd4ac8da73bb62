//! Acknowledged is durable: a server that syncs each write is killed in the middle of its work (I17, X8).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sessile_core::SessionId;
use sessile_core::revocation::{Reason, Scope};
use sessile_instruments::servers::Redis;
use sessile_store::{InsertOutcome, Rotation, Sessions, StoreError, Vault};

use crate::redis_world::{connect, options};
use crate::world::{after, new_session, vault};

/// What somebody outside was told.
#[derive(Default)]
struct Told {
    lives: BTreeMap<SessionId, u64>,
    ending: BTreeSet<SessionId>,
    ended: BTreeSet<SessionId>,
}

async fn work(vault: &Vault, told: &Mutex<Told>, worker: u64) -> Result<(), StoreError> {
    for round in 0_u64.. {
        let new = new_session(&format!("subject-{worker}"), after(round));
        // Room for all: an eviction would look like a loss.
        let InsertOutcome::Inserted { session, .. } = vault.insert(new, u32::MAX).await? else {
            panic!("128 random bits were taken");
        };
        told.lock().unwrap().lives.insert(session.id, 0);
        for generation in 1..3 {
            let Some(kept) = vault.load(session.id).await? else { panic!("a live session is gone") };
            let Rotation::Rotated { .. } = vault.rotate(&kept, after(round + generation)).await? else {
                panic!("nobody else rotates this session");
            };
            told.lock().unwrap().lives.insert(session.id, generation);
        }
        if round % 2 == 0 {
            told.lock().unwrap().ending.insert(session.id);
            vault.revoke(&Scope::Session(session.id), Reason::SignOut, after(round)).await?;
            told.lock().unwrap().ended.insert(session.id);
        }
    }
    Ok(())
}

/// Kills the server at a moment of its work, starts it again, and counts what was acknowledged and is not so.
async fn broken_promises(settings: &[&str], moments: impl Iterator<Item = u64>) -> (usize, Told) {
    let server = Redis::start(settings);
    let told = Arc::new(Mutex::new(Told::default()));
    let mut broken = 0;
    for moment in moments {
        let store = Arc::new(connect(&server, options_of_one_store()).await.unwrap());
        let vault = Arc::new(vault(store.clone()).await);
        let workers: Vec<_> = (0..8)
            .map(|worker| {
                let (vault, told) = (vault.clone(), told.clone());
                tokio::spawn(async move { work(&vault, &told, worker).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(150 + moment)).await;
        server.kill();
        for worker in workers {
            let stopped = worker.await.unwrap();
            assert!(matches!(stopped, Err(StoreError::Unavailable { .. })), "{stopped:?}");
        }
        server.restart();
        while store.count().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let lives = told.lock().unwrap().lives.clone();
        for (id, generation) in lives {
            let found = store.load(id).await.unwrap();
            let told = told.lock().unwrap();
            broken += match found {
                Some(record) => {
                    let now = record.rotation.generation;
                    assert!(now <= generation + 1, "generation {now} where {generation} was acknowledged");
                    usize::from(told.ended.contains(&id)) + usize::from(now < generation)
                }
                None => usize::from(!told.ending.contains(&id)),
            };
        }
    }
    let told = std::mem::take(&mut *told.lock().unwrap());
    (broken, told)
}

fn options_of_one_store() -> sessile_store::redis::RedisOptions {
    sessile_store::redis::RedisOptions { prefix: "crash".to_owned(), ..options() }
}

/// X8, I17, I8: after each of many kills of one server, every acknowledged sign-in, rotation and revocation holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_acknowledged_survives_a_kill_of_the_server() {
    let (broken, told) = broken_promises(Redis::SYNCED, (0..8).map(|round| round * 37 % 120)).await;
    assert_eq!(broken, 0);
    assert!(told.ended.len() > 50 && told.lives.len() > 100, "{} ended of {}", told.ended.len(), told.lives.len());
}

/// The control: a server without a log breaks its promises, and the same reading finds them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_without_a_log_does_not_keep_them() {
    let (broken, _) = broken_promises(Redis::FORGETFUL, 0..1).await;
    assert!(broken > 10, "{broken} broken promises: the check cannot fail");
}
