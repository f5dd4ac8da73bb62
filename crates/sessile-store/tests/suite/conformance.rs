//! Both backends keep the contract (R-173, H11).

use std::sync::Arc;

use sessile_store::memory::MemoryStore;
use sessile_store::{Backend, conformance};

use crate::world::server;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory() {
    conformance::run(|| async { Arc::new(MemoryStore::new()) as Arc<dyn Backend> }).await.assert_passed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite() {
    let root = tempfile::tempdir().unwrap();
    let number = std::sync::atomic::AtomicU32::new(0);
    let make = || async {
        let name = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_string();
        Arc::new(server(&root.path().join(name)).unwrap()) as Arc<dyn Backend>
    };
    conformance::run(make).await.assert_passed();
}
