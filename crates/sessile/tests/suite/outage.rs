//! The store away, half away, slow to admit what it did (faults.md 3.0, 3.2).

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use sessile::{Access, Actor, Engine, Which};
use sessile_core::revocation::{Reason, Scope};
use sessile_store::memory::MemoryStore;

use crate::flaky::{Fault, Flaky};
use crate::world::{ACCESS, Browser, ENDED, Outcome, RENEWED, SESSION, WARM, World, config, cookies_of, guard};

async fn world() -> (World, Arc<Flaky>) {
    let store = Flaky::over(Arc::new(MemoryStore::new()));
    (World::with(config(), store.clone()).await, store)
}

/// P3, P4, R-174: with the store away, warm sessions go on within T; past T, and for whatever needs the store, the
/// answer is 503 with Retry-After: never 401, never a deleted cookie. It heals without a restart.
#[tokio::test]
async fn away() {
    let (world, store) = world().await;
    let mut warm = world.sign_in("ada").await;
    assert_eq!(warm.get(&world.engine).await, WARM);
    let mut expired = world.sign_in("bob").await;
    expired.forget_access_token();
    let jar = expired.jar.clone();

    store.set(Fault::Away);
    assert_eq!(warm.get(&world.engine).await, WARM, "within T");
    assert_eq!(expired.get(&world.engine).await, Outcome::Unavailable, "a renewal needs the store");
    let answer = guard(&world.engine, &expired.request("GET", "/api/notes"), Access::Session).await.expect("answered");
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key("retry-after"));
    assert!(cookies_of(&answer).is_empty());
    assert_eq!(expired.jar, jar);

    world.pass_time(world.engine.limits().staleness + Duration::from_millis(1));
    assert_eq!(warm.get(&world.engine).await, Outcome::Unavailable, "past T nobody guesses");

    store.set(Fault::None);
    assert_eq!(warm.get(&world.engine).await, WARM);
    assert_eq!(expired.get(&world.engine).await, RENEWED, "L2: healed, nobody was signed out");
}

/// A token this node has never seen is admitted without the store only if the view has listened since before it was
/// issued; a node that has just started says 503.
#[tokio::test]
async fn a_cold_token_while_the_store_is_away() {
    let (world, store) = world().await;
    let other = world.second_node().await;
    world.pass_time(Duration::from_secs(120));
    world.engine.catch_up().await.expect("feed");
    other.catch_up().await.expect("feed");
    let mut browser = world.sign_in("ada").await;
    let young = world.second_node().await;
    store.set(Fault::Away);
    assert_eq!(browser.get(&other).await, WARM, "it would know of a revocation");
    assert_eq!(browser.get(&young).await, Outcome::Unavailable, "it would not");
}

/// A renewal that is due but not needed yet does not fail a request.
#[tokio::test]
async fn a_token_that_still_opens_outlives_a_failed_renewal() {
    let (world, store) = world().await;
    let mut browser = world.sign_in("ada").await;
    assert_eq!(browser.get(&world.engine).await, WARM);
    world.pass_time(Duration::from_secs(290));
    world.engine.catch_up().await.expect("feed");
    store.set(Fault::Away);
    assert_eq!(browser.get(&world.engine).await, WARM);
}

/// N2: cut off from the feed alone, the node looks sessions up; a revocation elsewhere is seen.
#[tokio::test]
async fn the_feed_away() {
    let (world, store) = world().await;
    let other = world.second_node().await;
    let mut browser = world.sign_in("ada").await;
    assert_eq!(browser.get(&other).await, WARM);
    store.set(Fault::FeedAway);
    world.pass_time(other.limits().staleness + Duration::from_millis(1));
    let before = other.vault().ops().foreground();
    assert_eq!(browser.get(&other).await, WARM);
    assert_eq!(other.vault().ops().foreground() - before, 1, "one look-up");
    let pass = browser.pass(&world.engine).await;
    world.engine.sign_out(&pass, Which::This).await.expect("signed out");
    assert_eq!(browser.get(&other).await, ENDED);
}

/// S3, P6: a rotation whose acknowledgement was lost is answered again with the same successor.
#[tokio::test]
async fn lost_acknowledgements() {
    let (world, store) = world().await;
    let mut browser = world.sign_in("ada").await;
    world.pass_time(Duration::from_secs(300));
    store.set(Fault::AnswersLost);
    assert_eq!(browser.get(&world.engine).await, Outcome::Unavailable);
    store.set(Fault::None);
    assert_eq!(browser.get(&world.engine).await, RENEWED);
    assert!(browser.generation() <= 1);
    assert_eq!(browser.get(&world.engine).await, WARM);
}

/// F5: a revocation is acknowledged only when the store has; an unacknowledged one may be repeated.
#[tokio::test]
async fn revocation_is_never_acknowledged_without_the_store() {
    let (world, store) = world().await;
    let mut browser = world.sign_in("ada").await;
    let pass = browser.pass(&world.engine).await;
    for fault in [Fault::Away, Fault::AnswersLost] {
        store.set(fault);
        assert!(world.engine.sign_out(&pass, Which::This).await.is_err(), "{fault:?}");
    }
    store.set(Fault::None);
    world.engine.sign_out(&pass, Which::This).await.expect("repeated");
    assert_eq!(browser.get(&world.engine).await, ENDED);
}

/// I5 under faults: reuse that cannot be written is not answered as if it had been.
#[tokio::test]
async fn reuse_with_the_store_away_is_503() {
    let (world, store) = world().await;
    let mut owner = world.sign_in("ada").await;
    let mut thief = owner.clone();
    world.pass_time(Duration::from_secs(300));
    owner.get(&world.engine).await;
    owner.get(&world.engine).await;
    world.pass_time(Duration::from_secs(10));
    store.set(Fault::Away);
    assert_eq!(thief.get(&world.engine).await, Outcome::Unavailable);
    store.set(Fault::None);
    assert_eq!(thief.get(&world.engine).await, ENDED);
    assert_eq!(owner.get(&world.engine).await, ENDED);
}

/// The N-th operation loop: whichever single store operation fails, before or after it took effect, an honest user
/// is never signed out, an acknowledged sign-out holds, and the next try succeeds.
#[tokio::test]
async fn whichever_operation_fails() {
    for fault in [Fault::Away, Fault::AnswersLost] {
        for failing in 0..6 {
            let (world, store) = world().await;
            let mut browser = world.sign_in("ada").await;
            let mut step = 0;
            let mut at = |store: &Flaky| {
                store.set(if step == failing { fault } else { Fault::None });
                step += 1;
            };
            at(&store);
            honest(&mut browser, &world.engine, &store).await;
            world.pass_time(Duration::from_secs(300));
            at(&store);
            honest(&mut browser, &world.engine, &store).await;
            at(&store);
            honest(&mut browser, &world.engine, &store).await;
            world.pass_time(Duration::from_secs(10));
            browser.forget_access_token();
            at(&store);
            honest(&mut browser, &world.engine, &store).await;
            store.set(Fault::None);
            let pass = browser.pass(&world.engine).await;
            at(&store);
            let acknowledged = world.engine.sign_out(&pass, Which::This).await.is_ok();
            store.set(Fault::None);
            let outcome = browser.get(&world.engine).await;
            assert!(!acknowledged || outcome == ENDED, "{fault:?} at {failing}");
        }
    }
}

// An honest browser tries again when it is told 503.
async fn honest(browser: &mut Browser, engine: &Engine, store: &Flaky) {
    let mut outcome = browser.get(engine).await;
    if outcome == Outcome::Unavailable {
        assert!(browser.jar.contains_key(SESSION), "cookies are kept");
        store.set(Fault::None);
        outcome = browser.get(engine).await;
    }
    assert!(matches!(outcome, Outcome::Admitted { .. }), "{outcome:?}");
    assert!(browser.jar.contains_key(ACCESS));
}

/// X4, I19: a change of keys that could not be loaded is not forgotten: the feed counts as unread until it was.
#[tokio::test]
async fn revoked_keys_are_not_forgotten() {
    let (world, store) = world().await;
    let other = world.second_node().await;
    let mut browser = world.sign_in("ada").await;
    assert_eq!(browser.get(&other).await, WARM);
    let signing = world.engine.key_status().into_iter().next().expect("a key").id;
    assert!(world.engine.revoke_key(&signing).await.expect("revoked"));
    store.set(Fault::KeysAway);
    assert!(other.catch_up().await.is_err(), "the page is not taken as read");
    store.set(Fault::None);
    other.catch_up().await.expect("feed");
    assert_eq!(browser.get(&other).await, RENEWED, "the old token is refused, the session renews under the new key");
}

/// S7, S10: a store that went back in time ends every session, on this node and the other, and says so.
#[tokio::test]
async fn all_sessions_end_when_history_is_lost() {
    let (world, _store) = world().await;
    let other = world.second_node().await;
    let mut browser = world.sign_in("ada").await;
    assert_eq!(browser.get(&other).await, WARM);
    world.backend.restart_history(Reason::StoreRegressed, world.engine.now().wall).await.expect("restarted");
    assert_eq!(browser.get(&other).await, WARM, "negative control: not yet known");
    world.engine.catch_up().await.expect("feed");
    other.catch_up().await.expect("feed");
    assert_eq!(browser.get(&world.engine).await, ENDED);
    assert_eq!(browser.get(&other).await, ENDED);
}

/// streams of a session close when it is revoked, here or elsewhere, and not before.
#[tokio::test]
async fn streams_close_with_their_session() {
    let (world, _store) = world().await;
    let other = world.second_node().await;
    let (browser, bystander) = (world.sign_in("ada").await, world.sign_in("bob").await);
    let mut here = world.engine.open_stream(&browser.pass(&world.engine).await);
    let mut there = other.open_stream(&browser.pass(&other).await);
    let mut unrelated = other.open_stream(&bystander.pass(&other).await);
    let soon = Duration::from_millis(50);
    assert!(tokio::time::timeout(soon, there.ended()).await.is_err(), "negative control: it stays open");
    let id = here.session();
    world
        .engine
        .revoke(&Scope::Session(id), Reason::EndedByAdministrator, &Actor::Administrator)
        .await
        .expect("revoked");
    assert!(tokio::time::timeout(soon, here.ended()).await.is_ok());
    other.catch_up().await.expect("feed");
    assert!(tokio::time::timeout(soon, there.ended()).await.is_ok());
    assert!(tokio::time::timeout(soon, unrelated.ended()).await.is_err());

    drop((here, there));
    assert_eq!((world.engine.streams().count(), other.streams().count()), (0, 1));
}
