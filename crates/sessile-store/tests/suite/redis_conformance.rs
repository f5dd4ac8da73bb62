//! The store in Redis keeps the contract (R-173, H11): on one server, and on a cluster.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sessile_instruments::servers::Redis;
use sessile_store::{Backend, conformance};

use crate::redis_world::store;

/// On a server that syncs each write, as one is run that must not lose a revocation.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_server() {
    let server = Redis::start(Redis::SYNCED);
    conformance::run(|| async { Arc::new(store(&server).await) as Arc<dyn Backend> }).await.assert_passed();
}

/// The suite can fail here too: the same store on a server that loses everything beside each check.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_forgets() {
    let server = Redis::start(Redis::FORGETFUL);
    let stop = Arc::new(AtomicBool::new(false));
    let forgetting = std::thread::spawn({
        let (port, stop) = (server.port(), stop.clone());
        move || {
            let mut connection = redis::Client::open(("127.0.0.1", port)).unwrap().get_connection().unwrap();
            while !stop.load(Ordering::Relaxed) {
                redis::cmd("FLUSHALL").exec(&mut connection).unwrap();
            }
        }
    });
    let checks: Vec<_> =
        conformance::checks().into_iter().filter(|check| check.name.starts_with("sessions::")).collect();
    let mut failed = 0;
    for check in &checks {
        failed += usize::from(check.run(Arc::new(store(&server).await)).await.is_err());
    }
    stop.store(true, Ordering::Relaxed);
    forgetting.join().unwrap();
    assert!(failed > checks.len() / 2, "a store without memory fails only {failed} of {} checks", checks.len());
}
