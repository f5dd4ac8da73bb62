//! Three masters as one cluster: the same contract, wherever the slot of the store lies (S5).

use std::sync::Arc;
use std::time::{Duration, Instant};

use sessile_core::revocation::{Reason, Scope};
use sessile_store::redis::{Address, RedisStore};
use sessile_store::{Backend, Sessions, StoreError, conformance};

use crate::redis_world::{Server, options};
use crate::world::{after, sign_in, vault};

struct Cluster(Vec<Server>);

impl Cluster {
    fn start() -> Self {
        let settings = ["--cluster-enabled", "yes", "--appendonly", "yes", "--cluster-node-timeout", "5000"];
        let masters: Vec<Server> = (0..3).map(|_| Server::start(&settings)).collect();
        let ranges = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];
        for (master, (from, to)) in masters.iter().zip(ranges) {
            master.ask(&["CLUSTER", "ADDSLOTSRANGE", from, to]).unwrap();
            master.ask(&["CLUSTER", "MEET", "127.0.0.1", &masters[0].port.to_string()]).unwrap();
        }
        let begun = Instant::now();
        let agreed = |master: &Server| {
            let info: String = redis::from_redis_value(master.ask(&["CLUSTER", "INFO"]).unwrap()).unwrap();
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
        };
        while !masters.iter().all(agreed) {
            assert!(begun.elapsed() < Duration::from_secs(60), "the masters do not come together");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self(masters)
    }

    fn address(&self) -> Address {
        let nodes: Vec<String> = self.0.iter().map(|master| format!("127.0.0.1:{}", master.port)).collect();
        format!("redis+cluster://{}", nodes.join(",")).parse().unwrap()
    }

    async fn store(&self) -> RedisStore {
        RedisStore::connect(&self.address(), options()).await.unwrap()
    }

    /// How many of the masters hold a key at all.
    fn holding(&self) -> usize {
        self.0.iter().filter(|master| master.ask(&["DBSIZE"]).unwrap() != redis::Value::Int(0)).count()
    }
}

/// R-173, H11: the suite, each check under a prefix of its own, so that the stores lie on all three masters.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn three_masters() {
    let cluster = Cluster::start();
    conformance::run(|| async { Arc::new(cluster.store().await) as Arc<dyn Backend> }).await.assert_passed();
    assert_eq!(cluster.holding(), 3, "the stores did not spread over the masters: nothing was redirected");
}

/// S5: while the slot is moving, and after it has moved, no live session is reported gone, and a revocation is either
/// acknowledged and held, or refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_slot_that_moves() {
    let cluster = Cluster::start();
    let store = Arc::new(cluster.store().await);
    let vault = vault(store.clone()).await;
    let (kept, _) = sign_in(&vault, "anna", after(0)).await;
    let (ended, _) = sign_in(&vault, "boris", after(0)).await;

    let from = cluster.0.iter().find(|master| master.ask(&["DBSIZE"]).unwrap() != redis::Value::Int(0)).unwrap();
    let to = cluster.0.iter().find(|master| master.port != from.port).unwrap();
    let text =
        |server: &Server, command: &[&str]| redis::from_redis_value::<String>(server.ask(command).unwrap()).unwrap();
    let keys: Vec<String> = redis::from_redis_value(from.ask(&["KEYS", "*"]).unwrap()).unwrap();
    let slot: u64 = redis::from_redis_value(from.ask(&["CLUSTER", "KEYSLOT", &keys[0]]).unwrap()).unwrap();
    let (slot, port) = (slot.to_string(), to.port.to_string());
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
