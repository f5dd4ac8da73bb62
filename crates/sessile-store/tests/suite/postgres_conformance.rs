//! PostgreSQL keeps the contract (R-173, H11).

use std::sync::Arc;

use sessile_store::{Backend, conformance};

use crate::postgres_world::store;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn postgres() {
    conformance::run(|| async { Arc::new(store().await) as Arc<dyn Backend> }).await.assert_passed();
}
