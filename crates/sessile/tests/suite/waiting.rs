//! A node whose store is out of reach: at its start (S1), and for longer than the staleness bound where a route goes on
//! without it.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use sessile::{Access, Engine, Guarded, PastStaleness, RoutePolicy, Which};
use sessile_core::Storage;
use sessile_core::token::KeyState;
use sessile_store::memory::MemoryStore;
use sessile_store::{MasterKey, Vault};

use crate::flaky::{Fault, Flaky};
use crate::surface_client::ask;
use crate::world::{Browser, ENDED, Outcome, RENEWED, WARM, World, config, cookies_of, peer};

async fn keys_published(engine: &Engine) -> StatusCode {
    ask("GET", "/.well-known/jwks.json").send(engine).await.status
}

/// S1, P3, I18: until the store is there nobody is turned away and nothing is called forged; afterwards the same
/// credentials count, without a restart.
#[tokio::test]
async fn a_store_that_comes_late() {
    for storage in [Storage::Hybrid, Storage::Memory, Storage::ServerSession] {
        let mut config = config();
        config.storage = storage;
        let world = World::with(config, Arc::new(MemoryStore::new())).await;
        let mut browser = world.sign_in("ada").await;
        let node = world.node_without_store().await;
        assert!(!node.ready().is_ready());
        assert_eq!(browser.get(&node).await, Outcome::Unavailable, "{storage}");
        assert_eq!(keys_published(&node).await, StatusCode::SERVICE_UNAVAILABLE);

        node.vault().adopt(world.backend.clone(), node.now().wall).await.expect("adopted");
        node.take_up_store().await.expect("taken up");
        node.catch_up().await.expect("feed");
        assert!(node.ready().is_ready());
        assert!(matches!(browser.get(&node).await, Outcome::Admitted { .. }), "{storage}");
        assert_eq!(keys_published(&node).await, StatusCode::OK);
        let forged = node.metrics().family(sessile::metrics::Family::TokenRefused);
        assert!(forged.is_empty(), "an honest token was counted as refused: {forged:?}");
    }
}

/// X5: a store sealed under another master key is not adopted, whenever it comes.
#[tokio::test]
async fn a_late_store_of_somebody_else() {
    let world = World::new().await;
    let theirs: Arc<dyn sessile_store::Backend> = Arc::new(MemoryStore::new());
    let key = MasterKey::generate(&*sessile_aws_lc::entropy()).expect("entropy");
    let theirs_is_opened = Vault::open(
        theirs.clone(),
        key,
        sessile_aws_lc::provider(),
        sessile_aws_lc::entropy(),
        world.engine.now().wall,
    );
    theirs_is_opened.await.expect("opened");
    let node = world.node_without_store().await;
    assert!(node.vault().adopt(theirs, node.now().wall).await.is_err());
    assert!(!node.vault().is_open());
    node.vault().adopt(world.backend.clone(), node.now().wall).await.expect("the right one, afterwards");
}

/// F14, I18: a node that may not know a token's key does not say that there is nothing to revoke, nor that the token is
/// inactive. With a view that is fresh it does: the key is nobody's.
#[tokio::test]
async fn a_key_this_node_may_not_know() {
    let world = World::new().await;
    let signed_in = Browser::default().sign_in(&world.engine, "ada").await;
    let token = signed_in.access_token().compact().expose().to_owned();
    let node = world.node_without_store().await;
    assert!(node.revoke_token(&token).await.is_err());
    assert!(node.introspect(&token).await.is_err());
    let other = World::new().await;
    assert_eq!(other.engine.revoke_token(&token).await.expect("answered"), None);
}

/// X3: a key that another node began to sign with a moment ago, in an emergency, is looked for at once; tokens of keys that are
/// nobody's ask the store no more than once a second.
#[tokio::test]
async fn a_key_of_a_moment_ago() {
    let mut config = config();
    config.storage = Storage::Memory;
    let world = World::with(config.clone(), Arc::new(MemoryStore::new())).await;
    let other = world.second_node().await;
    let active = world.engine.key_status().into_iter().find(|key| key.state == KeyState::Active).expect("a key");
    assert!(world.engine.revoke_key(&active.id).await.expect("revoked"));
    let mut browser = world.sign_in("ada").await;
    assert!(
        matches!(browser.get(&other).await, Outcome::Admitted { .. }),
        "before any page of the feed told of the key"
    );

    let strangers = World::with(config, Arc::new(MemoryStore::new())).await;
    let mut stranger = strangers.sign_in("eve").await;
    world.pass_time(Duration::from_secs(2));
    other.catch_up().await.expect("feed");
    let before = other.vault().ops().foreground();
    for _ in 0..20 {
        assert_eq!(stranger.get(&other).await, Outcome::Anonymous("forged"));
    }
    let asked = other.vault().ops().foreground() - before;
    assert_eq!(asked, 1, "the keys were read once");
}

async fn guarded(engine: &Engine, browser: &Browser, past_staleness: PastStaleness) -> Result<(), StatusCode> {
    let policy = RoutePolicy { past_staleness, ..RoutePolicy::new(engine, Access::Session) };
    match engine.guard(&browser.request("GET", "/api/notes"), &peer(), &policy).await {
        Guarded::Forward(forward) => forward.pass().map(drop).ok_or(StatusCode::OK),
        Guarded::Answer(answer) => {
            assert!(cookies_of(&answer).is_empty());
            Err(answer.status())
        }
    }
}

/// P4 and its exception: past T a route that says so goes on by the token alone, until that expires; every other route
/// answers 503. What the node knows to have ended stays ended, and so does what it learns when the store is back.
#[tokio::test]
async fn a_route_that_goes_on() {
    use PastStaleness::{DangerServeUntilTokenExpiry, Deny};
    for storage in [Storage::Hybrid, Storage::Memory, Storage::ServerSession] {
        let store = Flaky::over(Arc::new(MemoryStore::new()));
        let mut config = config();
        config.storage = storage;
        let world = World::with(config, store.clone()).await;
        let node = world.second_node().await;
        let mut ada = world.sign_in("ada").await;
        let mut bob = world.sign_in("bob").await;
        let mut eve = world.sign_in("eve").await;
        for browser in [&mut ada, &mut bob, &mut eve] {
            assert!(matches!(browser.get(&node).await, Outcome::Admitted { .. }), "{storage}");
        }
        let pass = eve.pass(&node).await;
        node.sign_out(&pass, Which::This).await.expect("signed out");

        let unavailable = Err(StatusCode::SERVICE_UNAVAILABLE);
        let young = world.second_node().await;
        store.set(Fault::Away);
        let within = guarded(&young, &ada, DangerServeUntilTokenExpiry).await;
        assert_eq!(within, unavailable, "{storage}: one answer that is missing, within T, is no outage");
        world.pass_time(node.limits().staleness + Duration::from_millis(1));
        assert_eq!(guarded(&node, &ada, Deny).await, unavailable, "{storage}: the default");
        assert_eq!(guarded(&node, &ada, DangerServeUntilTokenExpiry).await, Ok(()), "{storage}");
        assert!(guarded(&node, &eve, DangerServeUntilTokenExpiry).await.is_err(), "{storage}: known to have ended");
        let served = node.metrics().admitted_unproven.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(served, 1, "{storage}: counted");

        // The danger: bob is signed out elsewhere, and this node cannot know.
        store.set(Fault::None);
        let pass = bob.pass(&world.engine).await;
        world.engine.sign_out(&pass, Which::This).await.expect("signed out");
        store.set(Fault::Away);
        assert_eq!(guarded(&node, &bob, DangerServeUntilTokenExpiry).await, Ok(()), "{storage}: what is accepted");
        store.set(Fault::None);
        node.catch_up().await.expect("feed");
        assert_eq!(guarded(&node, &bob, DangerServeUntilTokenExpiry).await, Err(StatusCode::UNAUTHORIZED), "{storage}");

        store.set(Fault::Away);
        world.pass_time(node.limits().access);
        // A bearer token that has expired is over, whatever the store would say; its client renews, and hears 503.
        let expired = if storage == Storage::Memory { Err(StatusCode::UNAUTHORIZED) } else { unavailable };
        assert_eq!(guarded(&node, &ada, DangerServeUntilTokenExpiry).await, expired, "{storage}: expired");
        store.set(Fault::None);
        if storage == Storage::Hybrid {
            assert_eq!(ada.get(&node).await, RENEWED, "nobody was signed out by it");
            assert_eq!(ada.get(&node).await, WARM);
            assert_eq!(bob.get(&node).await, ENDED);
        }
    }
}

/// Tokens that live as long as their session, or are looked up with each request, are never taken unproven.
#[tokio::test]
async fn long_lived_tokens_do_not_go_on() {
    for storage in [Storage::Cookie, Storage::Database] {
        let store = Flaky::over(Arc::new(MemoryStore::new()));
        let mut config = config();
        config.storage = storage;
        let world = World::with(config, store.clone()).await;
        let mut ada = world.sign_in("ada").await;
        assert!(matches!(ada.get(&world.engine).await, Outcome::Admitted { .. }));
        store.set(Fault::Away);
        world.pass_time(world.engine.limits().staleness + Duration::from_millis(1));
        let seen = guarded(&world.engine, &ada, PastStaleness::DangerServeUntilTokenExpiry).await;
        assert_eq!(seen, Err(StatusCode::SERVICE_UNAVAILABLE), "{storage}");
    }
}
