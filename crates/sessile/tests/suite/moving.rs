//! Nodes beside a move of all sessions to another store (I8, I15, I17, I18, P3).

use std::sync::Arc;
use std::time::Duration;

use sessile::{Actor, EngineError};
use sessile_core::revocation::{Phase, Reason, Scope};
use sessile_store::memory::MemoryStore;
use sessile_store::{Backend, Migration, MoveId, Stage, StageChange, StoreError};

use crate::flaky::{Fault, Flaky};
use crate::world::{Browser, ENDED, Outcome, RENEWED, WARM, World, config};

const MOVE: MoveId = MoveId::from_bytes([9; 16]);

async fn go(world: &World, from: Stage, to: Stage) {
    assert_eq!(world.backend.set_stage(from, to).await.expect("a stage"), StageChange::Changed);
}

/// A store that is being left: what is warm passes, a renewal that is only due is put off, everything else is told to come
/// back; and nothing was changed when it serves again.
#[tokio::test]
async fn a_store_that_is_being_left() {
    let world = World::new().await;
    let (mut early, mut late) = (world.sign_in("ada").await, world.sign_in("ada").await);
    assert_eq!(early.get(&world.engine).await, WARM);
    let (plain, moving) = (Stage::default(), Stage::of(Phase::Moving, MOVE));
    go(&world, plain, moving).await;
    // This node has not heard of it: the store refuses all the same.
    assert_eq!(world.engine.vault().phase(), Phase::Serving);
    for heard in [false, true] {
        assert_eq!(early.get(&world.engine).await, WARM);
        let session = early.pass(&world.engine).await.session();
        let refused = world.engine.revoke(&Scope::Session(session), Reason::SignOut, &Actor::Rules).await;
        let refused = matches!(refused, Err(EngineError::Store(StoreError::NotServing(Phase::Moving))));
        assert!(refused, "an end was acknowledged");
        let mut without = late.clone();
        without.forget_access_token();
        if heard {
            // Rotated long ago enough, so that this would be a rotation.
            world.pass_time(world.engine.limits().grace * 2);
            world.engine.catch_up().await.expect("the feed");
            assert_eq!(without.get(&world.engine).await, Outcome::Unavailable);
        }
        world.engine.catch_up().await.expect("the feed");
        assert!(world.engine.ready().is_ready(), "a node that can answer is ready");
    }
    let life = world.engine.limits().access;
    world.pass_time(life - world.engine.limits().renew_ahead() - world.engine.limits().grace);
    world.engine.catch_up().await.expect("the feed");
    assert_eq!(early.get(&world.engine).await, WARM, "a renewal that is only due");
    world.pass_time(life);
    world.engine.catch_up().await.expect("the feed");
    assert_eq!(early.get(&world.engine).await, Outcome::Unavailable, "a renewal that is needed");
    go(&world, moving, plain).await;
    world.engine.catch_up().await.expect("the feed");
    assert_eq!(early.get(&world.engine).await, RENEWED);
    assert_eq!(late.get(&world.engine).await, RENEWED);
}

/// A move from one node's store to another's. The old node answers for nobody afterwards, however warm; the new one for
/// those who live, once it is over, without a restart.
#[tokio::test]
async fn from_one_store_to_another() {
    for started_before in [false, true] {
        let world = World::new().await;
        let target: Arc<dyn Backend> = Arc::new(MemoryStore::new());
        let (source_vault, target_vault) =
            (world.vault_on(world.backend.clone()).await, world.vault_on(target.clone()).await);
        let (mut ada, mut alan) = (world.sign_in("ada").await, world.sign_in("alan").await);
        let ended = alan.pass(&world.engine).await.session();
        world.engine.revoke(&Scope::Session(ended), Reason::SignOut, &Actor::Rules).await.expect("ended");
        let migration = Migration::new(&source_vault, &target_vault, &|_| {}).expect("one master key");

        // The node may have made itself a key in an empty store.
        let early = if started_before { Some(world.node_on(target.clone()).await) } else { None };
        migration.prepare().await.expect("prepared");
        let node = match early {
            Some(node) => node,
            None => world.node_on(target.clone()).await,
        };
        node.catch_up().await.expect("the feed");
        assert!(!node.ready().is_ready(), "a store that is being filled");
        assert_eq!(ada.get(&node).await, Outcome::Unavailable);
        let nobody = Browser::default().get(&node).await;
        assert_eq!(nobody, Outcome::Anonymous("no_credentials"), "who presents nothing is nobody anywhere");

        migration.run().await.expect("moved");
        assert_eq!(ada.get(&world.engine).await, WARM, "within the staleness bound");
        world.engine.catch_up().await.expect("the feed");
        assert!(!world.engine.ready().is_ready());
        assert_eq!(ada.get(&world.engine).await, Outcome::Unavailable, "a store that was left");
        node.catch_up().await.expect("the feed");
        assert!(node.ready().is_ready());
        assert_eq!(ada.get(&node).await, WARM, "the keys were moved with the sessions");
        assert_eq!(alan.get(&node).await, ENDED);
    }
}

/// What a node heard of the new store before it was filled vouches for nobody: ends at the old store are in no feed here.
#[tokio::test]
async fn a_view_of_before_vouches_for_nobody() {
    let world = World::with(config(), Arc::new(MemoryStore::new())).await;
    let target = Flaky::over(Arc::new(MemoryStore::new()));
    let node = world.node_on(target.clone()).await;
    world.pass_time(Duration::from_secs(120));
    node.catch_up().await.expect("the feed");
    let mut ada = world.sign_in("ada").await;
    let session = ada.pass(&world.engine).await.session();
    world.engine.revoke(&Scope::Session(session), Reason::SignOut, &Actor::Rules).await.expect("ended");
    let (source_vault, target_vault) =
        (world.vault_on(world.backend.clone()).await, world.vault_on(target.clone()).await);
    Migration::new(&source_vault, &target_vault, &|_| {}).expect("one master key").run().await.expect("moved");
    node.catch_up().await.expect("the feed");
    // As a node does every now and then: it must not be for want of a key that it cannot tell.
    node.reload_keys().await.expect("the keys");
    target.set(Fault::Away);
    assert_eq!(ada.get(&node).await, Outcome::Unavailable, "the node cannot know that it ended, nor that it lives");
    target.set(Fault::None);
    assert_eq!(ada.get(&node).await, ENDED);
}
