//! Three masters as one cluster: the same contract, wherever the slot of the store lies (S5).

use std::sync::Arc;

use sessile_core::revocation::{Reason, Scope};
use sessile_instruments::servers::{Redis, RedisCluster};
use sessile_store::redis::{Address, RedisStore};
use sessile_store::{Backend, Sessions, StoreError, conformance};

use crate::redis_world::options;
use crate::world::{after, sign_in, vault};

async fn store(cluster: &RedisCluster) -> RedisStore {
    let address: Address = format!("redis+cluster://{}", cluster.addresses()).parse().unwrap();
    RedisStore::connect(&address, options()).await.unwrap()
}

fn holds_a_key(node: &Redis) -> bool {
    node.ask(&["DBSIZE"]).unwrap() != redis::Value::Int(0)
}

/// R-173, H11: the suite, each check under a prefix of its own, so that the stores lie on all three masters.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn three_masters() {
    let cluster = RedisCluster::start();
    conformance::run(|| async { Arc::new(store(&cluster).await) as Arc<dyn Backend> }).await.assert_passed();
    assert!(
        cluster.masters().iter().all(holds_a_key),
        "the stores did not spread over the masters: nothing was redirected"
    );
}

/// S5: while the slot is moving, and after it has moved, no live session is reported gone, and a revocation is either
/// acknowledged and held, or refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_slot_that_moves() {
    let cluster = RedisCluster::start();
    let store = Arc::new(store(&cluster).await);
    let vault = vault(store.clone()).await;
    let (kept, _) = sign_in(&vault, "anna", after(0)).await;
    let (ended, _) = sign_in(&vault, "boris", after(0)).await;

    let from = cluster.masters().iter().find(|master| holds_a_key(master)).unwrap();
    let to = cluster.masters().iter().find(|master| master.port() != from.port()).unwrap();
    let text =
        |server: &Redis, command: &[&str]| redis::from_redis_value::<String>(server.ask(command).unwrap()).unwrap();
    let keys: Vec<String> = redis::from_redis_value(from.ask(&["KEYS", "*"]).unwrap()).unwrap();
    let slot: u64 = redis::from_redis_value(from.ask(&["CLUSTER", "KEYSLOT", &keys[0]]).unwrap()).unwrap();
    let (slot, port) = (slot.to_string(), to.port().to_string());
    let (from_id, to_id) = (text(from, &["CLUSTER", "MYID"]), text(to, &["CLUSTER", "MYID"]));
    to.ask(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]).unwrap();
    from.ask(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]).unwrap();
    let (mut acknowledged, mut refused) = (false, 0);
    for (number, key) in keys.iter().enumerate() {
        from.ask(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]).unwrap();
        match store.load(kept.id).await {
            Ok(found) => {
                assert!(found.is_some(), "reported gone after {} of {} keys moved", number + 1, keys.len());
            }
            Err(StoreError::Unavailable { .. }) => refused += 1,
            Err(other) => panic!("{other}"),
        }
        acknowledged |= store.revoke(&Scope::Session(ended.id), Reason::SignOut, after(5)).await.is_ok();
        if acknowledged && let Ok(found) = store.load(ended.id).await {
            assert!(found.is_none(), "an ended session was there");
        }
    }
    assert!(refused > 0, "nothing was asked while the keys lay on two masters");
    // What was made meanwhile is on the way too.
    let left: Vec<String> = redis::from_redis_value(from.ask(&["KEYS", "*"]).unwrap()).unwrap();
    for key in left {
        from.ask(&["MIGRATE", "127.0.0.1", &port, &key, "0", "5000"]).unwrap();
    }
    for master in [to, from] {
        master.ask(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]).unwrap();
    }
    assert!(store.load(kept.id).await.unwrap().is_some(), "a session is gone after its slot has moved");
    store.revoke(&Scope::Session(ended.id), Reason::SignOut, after(6)).await.unwrap();
    assert!(store.load(ended.id).await.unwrap().is_none());
    let told = vault.feed(sessile_core::revocation::Seq(0), 100).await.unwrap().entries;
    assert!(!told.is_empty(), "the end is not in the feed");
}
