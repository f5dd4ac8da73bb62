//! The seven storages: where a token counts, what a request costs, how each session ends, and what becomes of running
//! sessions when a deployment is switched from one storage to another.

use std::sync::Arc;
use std::time::Duration;

use sessile::{Access, Actor, Admission, Arrival, Engine, EngineConfig, Guarded, Proof, RoutePolicy, SignInError};
use sessile_core::revocation::{Reason, Scope};
use sessile_core::session::{Claims, Method, VerifiedIdentity};
use sessile_core::storage::{AccessTokenPlace, Liveness, Renewal};
use sessile_core::{SessionId, Storage};
use sessile_store::memory::MemoryStore;
use sessile_store::{Op, StoreError};

use crate::flaky::{Fault, Flaky};
use crate::world::{ACCESS, Browser, ENDED, Outcome, RENEWED, SESSION, WARM, World, config, peer};

const ACCESS_LIFE: Duration = Duration::from_secs(300);
const MINUTE: Duration = Duration::from_secs(60);
const WRONG_PLACE: Outcome = Outcome::Anonymous("wrong_place");
const NOBODY: Outcome = Outcome::Anonymous("no_credentials");
const EXPIRED: Outcome = Outcome::Anonymous("expired");

fn keeping(storage: Storage) -> EngineConfig {
    EngineConfig { storage, ..config() }
}

async fn world(storage: Storage) -> World {
    World::with(keeping(storage), Arc::new(MemoryStore::new())).await
}

fn all() -> impl Iterator<Item = Storage> {
    Storage::ALL.into_iter()
}

impl Browser {
    /// The session that one of its credentials names.
    fn session(&self, engine: &Engine) -> SessionId {
        if let Some(token) = self.jar.get(SESSION) {
            return token.split('.').next().expect("an id").parse().expect("a session id");
        }
        let access = self.jar.get(ACCESS).or(self.bearer.as_ref()).expect("a credential");
        engine.verify_token(access).expect("verifies").claims().session
    }

    /// Gets a fresh bearer token by its session token, as a page's script would.
    async fn refresh(&mut self, engine: &Engine) -> (u16, serde_json::Value) {
        let parts = self.request("POST", "/auth/refresh");
        let answer = sessile::surface::handle(engine, &parts, &peer(), String::new()).await;
        for cookie in crate::world::cookies_of(&answer) {
            self.take(&cookie);
        }
        let body: serde_json::Value = serde_json::from_slice(answer.body()).expect("JSON");
        if let Some(token) = body["access_token"].as_str() {
            self.bearer = Some(token.to_owned());
        }
        (answer.status().as_u16(), body)
    }
}

/// Product section 2: what the browser holds, by storage, and nothing else.
#[tokio::test]
async fn the_browser_holds_what_the_storage_says() {
    for storage in all() {
        let world = world(storage).await;
        let browser = world.sign_in("ada").await;
        let shape = storage.shape();
        assert_eq!(browser.jar.contains_key(SESSION), shape.session_token, "{storage}: session token");
        let in_cookie = shape.access_token == AccessTokenPlace::Cookie;
        assert_eq!(browser.jar.contains_key(ACCESS), in_cookie, "{storage}: access token in a cookie");
        assert_eq!(browser.bearer.is_some(), shape.access_token == AccessTokenPlace::Body, "{storage}: in the body");
    }
}

/// Product section 2, the cost of a request: none but the first sight; storage `database` reads its row each time.
#[tokio::test]
async fn store_operations_per_request() {
    for storage in all() {
        let world = world(storage).await;
        let mut browser = world.sign_in("ada").await;
        let before = world.store_ops();
        assert_eq!(browser.get(&world.engine).await, WARM, "{storage}");
        assert_eq!(world.store_ops() - before, 1, "{storage}: first sight");
        let before = (world.store_ops(), world.engine.vault().ops());
        for _ in 0..100 {
            assert_eq!(browser.get(&world.engine).await, WARM, "{storage}");
        }
        let rows = world.engine.vault().ops().of(Op::FindToken) - before.1.of(Op::FindToken);
        let cost = if storage.shape().liveness == Liveness::TokenRow { 100 } else { 0 };
        assert_eq!((world.store_ops() - before.0, rows), (cost, cost), "{storage}");
    }
}

/// in every storage, sign-out and revocation end the session on this node at once and on another one
/// once it has heard of it; nothing that was captured works afterwards.
#[tokio::test]
async fn ended_is_ended_in_every_storage() {
    for storage in all() {
        let world = world(storage).await;
        let other = world.second_node().await;
        let mut browser = world.sign_in("ada").await;
        assert_eq!(browser.get(&world.engine).await, WARM, "{storage}");
        let stolen = browser.clone();
        let elsewhere = stolen.clone().get(&other).await;
        assert!(matches!(elsewhere, Outcome::Admitted { .. }), "{storage}: negative control, it works while it lives");

        let scope = Scope::Session(browser.session(&world.engine));
        world.engine.revoke(&scope, Reason::SignOut, &Actor::App).await.expect("revoked");
        assert_eq!(browser.get(&world.engine).await, ENDED, "{storage}");
        other.catch_up().await.expect("feed");
        assert_eq!(stolen.clone().get(&other).await, ENDED, "{storage}: on another node");
        let mut again = stolen.clone();
        assert_eq!(again.refresh(&other).await.0, 401, "{storage}: refresh");
        // Piece by piece.
        for part in [SESSION, ACCESS] {
            let mut piece = stolen.clone();
            piece.jar.remove(part);
            assert!(matches!(piece.get(&other).await, Outcome::Anonymous(_)), "{storage} without {part}");
        }
    }
}

/// Product section 3: a token counts only where its storage puts it. Each access token, in each place, at each route.
#[tokio::test]
async fn a_token_counts_only_where_its_storage_puts_it() {
    for storage in all() {
        let world = world(storage).await;
        let browser = world.sign_in("ada").await;
        let pass = browser.pass(&world.engine).await;
        let token = pass.admitted.access_token().expose().to_owned();
        let as_bearer = Browser { bearer: Some(token.clone()), ..Browser::default() };
        let as_cookie = Browser { jar: [(ACCESS.to_owned(), token)].into(), ..Browser::default() };
        let place = storage.shape().access_token;
        let outcomes = (as_bearer.clone().get(&world.engine).await, as_cookie.clone().get(&world.engine).await);
        match place {
            AccessTokenPlace::Body => assert_eq!(outcomes, (WARM, WRONG_PLACE), "{storage}"),
            AccessTokenPlace::Cookie => assert_eq!(outcomes, (WRONG_PLACE, WARM), "{storage}"),
            // The token the app sees opens nothing from outside.
            AccessTokenPlace::Server => assert_eq!(outcomes, (WRONG_PLACE, WRONG_PLACE), "{storage}"),
        }
        assert_eq!(pass.by(), if place == AccessTokenPlace::Server { Proof::SessionToken } else { pass.by() });
    }
}

/// A cookie that any site can make the browser send opens no route whose storage delivers bearer tokens; it is good for
/// renewal alone, behind the cross-site check.
#[tokio::test]
async fn the_session_cookie_of_a_body_storage_opens_no_route() {
    for storage in [Storage::LocalStorage, Storage::SessionStorage, Storage::Memory] {
        let world = world(storage).await;
        let mut browser = world.sign_in("ada").await;
        let bearer = browser.bearer.take();
        let before = world.store_ops();
        assert_eq!(browser.get(&world.engine).await, NOBODY, "{storage}");
        assert_eq!(world.store_ops() - before, 0, "nothing needs to be looked up for that");
        let mut forged = browser.request("POST", "/auth/refresh");
        forged.headers.insert("sec-fetch-site", "cross-site".parse().expect("a value"));
        let answer = sessile::surface::handle(&world.engine, &forged, &peer(), String::new()).await;
        assert_eq!(answer.status(), 403, "{storage}: a forged refresh");
        assert_eq!(browser.refresh(&world.engine).await.0, 200, "{storage}");
        assert_ne!(browser.bearer, bearer);
        assert_eq!(browser.get(&world.engine).await, WARM, "negative control: with the bearer token");
    }
}

/// Product section 5: a bearer token needs no proof that the page sent it; the cookie of the same storage does.
#[tokio::test]
async fn only_a_bearer_token_is_free_of_the_cross_site_check() {
    let world = world(Storage::Memory).await;
    let browser = world.sign_in("ada").await;
    let cross_site = async |browser: &Browser| {
        let mut parts = browser.request("POST", "/auth/sign-out");
        parts.headers.insert("sec-fetch-site", "cross-site".parse().expect("a value"));
        sessile::surface::handle(&world.engine, &parts, &peer(), String::new()).await.status().as_u16()
    };
    assert_eq!(cross_site(&Browser { bearer: None, ..browser.clone() }).await, 403, "the cookie alone");
    assert_eq!(browser.pass(&world.engine).await.by(), Proof::Bearer, "nothing has ended");
    assert_eq!(cross_site(&browser).await, 200, "with the bearer token");
}

/// Renewal of body storages is the client's, and rotates like any other: a superseded session token that
/// comes back late ends the session.
#[tokio::test]
async fn body_storages_renew_by_refresh() {
    let world = world(Storage::Memory).await;
    let mut browser = world.sign_in("ada").await;
    world.pass_time(ACCESS_LIFE);
    world.engine.catch_up().await.expect("feed");
    assert_eq!(browser.get(&world.engine).await, EXPIRED, "no route renews it");
    let thief = browser.clone();
    let (status, body) = browser.refresh(&world.engine).await;
    assert_eq!((status, body["expires_in"].as_u64(), browser.generation()), (200, Some(300), 1));
    assert_eq!(browser.get(&world.engine).await, WARM);
    world.pass_time(MINUTE);
    world.engine.catch_up().await.expect("feed");
    assert_eq!(thief.clone().refresh(&world.engine).await.0, 401);
    assert_eq!(browser.get(&world.engine).await, ENDED, "reuse ends the session");
}

/// A hybrid session gets no token in a body, whoever asks.
#[tokio::test]
async fn a_cookie_storage_never_answers_with_a_token() {
    for storage in all().filter(|storage| !storage.is_body_delivered()) {
        let mut config = keeping(storage);
        config.client_storages = vec![Storage::Memory, Storage::LocalStorage];
        let world = World::with(config, Arc::new(MemoryStore::new())).await;
        let mut browser = world.sign_in("ada").await;
        let (_, body) = browser.refresh(&world.engine).await;
        assert!(body.get("access_token").is_none(), "{storage}: {body}");
        assert!(browser.bearer.is_none());
    }
}

/// `server-session`: the token rotates when its access token would have ended, parallel requests in between get the same
/// successor, and a superseded token that comes back late is theft.
#[tokio::test]
async fn a_server_session_rotates_once_a_life() {
    let world = world(Storage::ServerSession).await;
    let mut browser = world.sign_in("ada").await;
    assert_eq!(browser.get(&world.engine).await, WARM);
    world.pass_time(Duration::from_secs(200));
    world.engine.catch_up().await.expect("feed");
    assert_eq!((browser.get(&world.engine).await, browser.generation()), (WARM, 0));
    world.pass_time(Duration::from_secs(100));
    world.engine.catch_up().await.expect("feed");
    let late = browser.clone();
    assert_eq!((browser.get(&world.engine).await, browser.generation()), (RENEWED, 1));
    let mut parallel = late.clone();
    assert_eq!((parallel.get(&world.engine).await, parallel.jar.get(SESSION)), (RENEWED, browser.jar.get(SESSION)));
    assert_eq!(browser.get(&world.engine).await, WARM, "the answer arrived");
    world.pass_time(Duration::from_secs(11));
    world.engine.catch_up().await.expect("feed");
    assert_eq!(late.clone().get(&world.engine).await, ENDED, "outside the grace");
    assert_eq!(browser.get(&world.engine).await, ENDED, "theft ends the session");
}

/// `server-session` on a second node: one lookup, no rotation out of turn, and then nothing.
#[tokio::test]
async fn a_server_session_moves_between_nodes() {
    let world = world(Storage::ServerSession).await;
    let mut browser = world.sign_in("ada").await;
    assert_eq!(browser.get(&world.engine).await, WARM);
    world.pass_time(MINUTE);
    let other = world.second_node().await;
    assert_eq!(browser.get(&other).await, RENEWED, "a new access token on that node");
    assert_eq!(browser.generation(), 0, "and no rotation");
    let before = other.vault().ops().foreground();
    for _ in 0..10 {
        assert_eq!(browser.get(&other).await, WARM);
    }
    assert_eq!(other.vault().ops().foreground() - before, 0);
}

/// Two routes of one site with storages of their own share a session. A token that was superseded on one of them is not
/// taken from this node's memory on the other: it is looked up, and seen to be theft.
#[tokio::test]
async fn a_superseded_token_is_not_remembered() {
    let world = world(Storage::Hybrid).await;
    let mut browser = world.sign_in("ada").await;
    let at_admin = async |browser: &Browser| {
        let mut only_session = browser.clone();
        only_session.forget_access_token();
        match only_session.admit_at(&world.engine, Storage::ServerSession).await {
            Admission::Admitted(_) => true,
            Admission::Anonymous(_) => false,
            Admission::Unavailable(error) => panic!("{error}"),
        }
    };
    world.pass_time(4 * MINUTE);
    world.engine.catch_up().await.expect("feed");
    let stolen = browser.clone();
    assert!(at_admin(&stolen).await, "this node now knows an access token of its own for it");
    world.pass_time(MINUTE);
    world.engine.catch_up().await.expect("feed");
    assert_eq!((browser.get(&world.engine).await, browser.generation()), (RENEWED, 1));
    assert_eq!(browser.get(&world.engine).await, WARM, "the successor arrived");
    world.pass_time(Duration::from_secs(11));
    world.engine.catch_up().await.expect("feed");
    assert!(at_admin(&browser).await, "negative control: the successor is good there too");
    assert!(!at_admin(&stolen).await);
    assert_eq!(browser.get(&world.engine).await, ENDED, "theft ends the session");
}

/// claims that overflow a cookie are refused at sign-in, before any session exists; `server-session` and the
/// body storages take them.
#[tokio::test]
async fn claims_that_overflow_a_cookie() {
    for storage in all() {
        let world = world(storage).await;
        let browser = Browser::default();
        let parts = browser.request("POST", "/api/login");
        let peer = peer();
        let arrival = Arrival::new(&parts, &peer, world.engine.config());
        let sign_in = async |octets: usize| {
            let claims = [("roles".to_owned(), "x".repeat(octets).into())].into_iter().collect();
            let identity = VerifiedIdentity::vouched(
                Method::AppAsserted,
                "ada".parse().expect("a subject"),
                world.engine.now().wall,
            )
            .with_claims(Claims::new(claims).expect("claims"));
            world.engine.sign_in(identity, &arrival, storage).await
        };
        assert!(sign_in(1000).await.is_ok(), "{storage}: negative control");
        let sessions = world.backend.count().await.expect("counted");
        let overflowing = sign_in(3500).await;
        if storage.shape().access_token == AccessTokenPlace::Cookie {
            let Err(SignInError::ClaimsTooLarge(error)) = overflowing else { panic!("{storage}: {overflowing:?}") };
            assert!(error.to_string().contains("server-session"), "the way out is named: {error}");
            assert_eq!(world.backend.count().await.expect("counted"), sessions, "{storage}: no session was made");
        } else {
            assert!(overflowing.is_ok(), "{storage}: {overflowing:?}");
        }
    }
}

/// Storages without renewal: the token lives as long as the session, activity is recorded all the same, and the idle
/// timeout ends what is not used.
#[tokio::test]
async fn sessions_without_renewal_have_an_idle_timeout() {
    for storage in [Storage::Cookie, Storage::Database] {
        let mut config = keeping(storage);
        config.limits.idle = Duration::from_secs(3600);
        let world = World::with(config, Arc::new(MemoryStore::new())).await;
        let (mut used, mut left) = (world.sign_in("ada").await, world.sign_in("bob").await);
        let token = used.jar[ACCESS].clone();
        // Used every twenty minutes for five hours.
        for _ in 0..15 {
            world.pass_time(20 * MINUTE);
            world.engine.catch_up().await.expect("feed");
            assert_eq!(used.get(&world.engine).await, WARM, "{storage}");
            world.engine.write_uses().await.expect("written");
        }
        assert_eq!(used.jar[ACCESS], token, "{storage}: it is never renewed");
        assert_eq!(left.get(&world.engine).await, EXPIRED, "{storage}: idle for too long");
        // The absolute end is not moved by any of it.
        for _ in 0..60 {
            world.pass_time(20 * MINUTE);
            world.engine.catch_up().await.expect("feed");
            used.get(&world.engine).await;
            world.engine.write_uses().await.expect("written");
        }
        assert!(matches!(used.get(&world.engine).await, Outcome::Anonymous(_)), "{storage}: past its absolute end");
    }
}

/// I8: a request that is refused because its session was idle for too long does not bring the session back, also when the
/// limit was lowered after it began and the store still counts by the old one.
#[tokio::test]
async fn a_refused_request_is_no_activity() {
    for storage in [Storage::Cookie, Storage::Database] {
        let mut config = keeping(storage);
        config.limits.idle = Duration::from_secs(8 * 3600);
        let world = World::with(config, Arc::new(MemoryStore::new())).await;
        let (mut left, mut used) = (world.sign_in("ada").await, world.sign_in("bob").await);
        world.pass_time(100 * MINUTE);
        world.engine.catch_up().await.expect("feed");
        assert_eq!(used.get(&world.engine).await, WARM, "{storage}");
        world.engine.write_uses().await.expect("written");
        world.pass_time(20 * MINUTE);
        let mut config = keeping(storage);
        config.limits.idle = Duration::from_secs(1800);
        let stricter = world.second_node_with(config).await;
        for _ in 0..2 {
            assert_eq!(left.get(&stricter).await, EXPIRED, "{storage}");
            stricter.write_uses().await.expect("written");
        }
        assert_eq!(used.get(&stricter).await, WARM, "{storage}: negative control, used within the new limit");
    }
}

/// Asking who is signed in is no activity; and it does not keep the requests after it from being some.
#[tokio::test]
async fn questions_are_no_activity() {
    for storage in [Storage::Cookie, Storage::Database] {
        let world = world(storage).await;
        let mut browser = world.sign_in("ada").await;
        let session = browser.session(&world.engine);
        let seen = async || world.backend.load(session).await.expect("loaded").expect("there").last_seen_at;
        let began = seen().await;
        let ask = async |browser: &Browser| {
            let parts = browser.request("GET", "/auth/session");
            sessile::surface::handle(&world.engine, &parts, &peer(), String::new()).await.status().as_u16()
        };
        world.pass_time(10 * MINUTE);
        world.engine.catch_up().await.expect("feed");
        assert_eq!(ask(&browser).await, 200, "{storage}");
        world.engine.write_uses().await.expect("written");
        assert_eq!(seen().await, began, "{storage}: a question");
        assert_eq!(browser.get(&world.engine).await, WARM);
        world.engine.write_uses().await.expect("written");
        assert_eq!(seen().await, world.engine.now().wall, "{storage}: negative control, a request after it");
    }
}

/// A session that is converted into a storage without renewal is in use at that moment.
#[tokio::test]
async fn a_conversion_is_activity() {
    for after in [Storage::Cookie, Storage::Database] {
        let mut config = keeping(Storage::Hybrid);
        config.limits.idle = Duration::from_secs(3600);
        let world = World::with(config.clone(), Arc::new(MemoryStore::new())).await;
        let mut browser = world.sign_in("ada").await;
        world.pass_time(57 * MINUTE);
        let switched = world.second_node_with(EngineConfig { storage: after, ..config }).await;
        assert!(matches!(browser.get(&switched).await, Outcome::Admitted { .. }), "{after}");
        switched.write_uses().await.expect("written");
        assert!(!browser.jar.contains_key(SESSION), "{after}: no cookie of the old storage stays behind");
        world.pass_time(8 * MINUTE);
        switched.catch_up().await.expect("feed");
        assert_eq!(browser.get(&switched).await, WARM, "{after}: 65 minutes after it began, 8 after it was used");
    }
}

/// `database`: a token revoked by an administrator takes its session along, so that nothing else the browser holds of it
/// brings it back.
#[tokio::test]
async fn a_revoked_token_does_not_come_back() {
    let world = world(Storage::Hybrid).await;
    let mut browser = world.sign_in("ada").await;
    let before = browser.clone();
    let switched = world.second_node_with(keeping(Storage::Database)).await;
    assert!(matches!(browser.get(&switched).await, Outcome::Admitted { .. }));
    let token = world.backend.list_tokens(browser.session(&switched)).await.expect("listed")[0].id;
    assert!(switched.delete_token(token).await.expect("revoked"));
    assert!(!switched.delete_token(token).await.expect("looked for"), "there is no such row any more");
    for mut holder in [browser, before] {
        assert!(matches!(holder.get(&switched).await, Outcome::Anonymous(_)));
    }
}

/// a dead session cookie beside a live access token does not hide it from a sign-out.
#[tokio::test]
async fn a_sign_out_finds_what_lives() {
    let world = world(Storage::Cookie).await;
    let mut browser = world.sign_in("ada").await;
    let captured = browser.clone();
    browser.jar.insert(SESSION.to_owned(), format!("{}.0.{}", "A".repeat(22), "A".repeat(43)));
    let parts = browser.request("POST", "/auth/sign-out");
    let answer = sessile::surface::handle(&world.engine, &parts, &peer(), String::new()).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(captured.clone().get(&world.engine).await, ENDED);
}

/// A limit that was shortened ends running sessions by their record; their tokens are not called forged for it.
#[tokio::test]
async fn a_shortened_limit_calls_no_token_forged() {
    for storage in [Storage::Cookie, Storage::Database] {
        let world = world(storage).await;
        let mut browser = world.sign_in("ada").await;
        let mut config = keeping(storage);
        config.limits.absolute = Duration::from_secs(12 * 3600);
        let shortened = world.second_node_with(config).await;
        assert_eq!(browser.get(&shortened).await, WARM, "{storage}: within the new limit");
        for _ in 0..13 {
            world.pass_time(59 * MINUTE);
            shortened.catch_up().await.expect("feed");
            browser.get(&shortened).await;
            shortened.write_uses().await.expect("written");
        }
        assert_eq!(browser.get(&shortened).await, EXPIRED, "{storage}: past it");
    }
}

/// A node that forgot a revocation after it could matter to warm tokens must not vouch for an old token of a storage
/// without renewal while the store is away; for a young one it may.
#[tokio::test]
async fn an_old_token_needs_the_store() {
    let store = Flaky::over(Arc::new(MemoryStore::new()));
    let world = World::with(keeping(Storage::Cookie), store.clone()).await;
    world.pass_time(10 * MINUTE);
    world.engine.catch_up().await.expect("feed");
    let mut revoked = world.sign_in("ada").await;
    assert_eq!(revoked.get(&world.engine).await, WARM);
    let scope = Scope::Session(revoked.session(&world.engine));
    world.engine.revoke(&scope, Reason::SignOut, &Actor::App).await.expect("revoked");
    for _ in 0..30 {
        world.pass_time(MINUTE);
        world.engine.catch_up().await.expect("feed");
    }
    let mut young = world.sign_in("bob").await;
    store.set(Fault::Away);
    assert_eq!(revoked.get(&world.engine).await, Outcome::Unavailable, "the view may have forgotten its end");
    assert_eq!(young.get(&world.engine).await, WARM, "negative control: it would know of this one's");
    store.set(Fault::None);
    assert_eq!(revoked.get(&world.engine).await, ENDED);
}

/// `database`: deleting the row is the revocation, at once and on every node; without the store nobody passes.
#[tokio::test]
async fn deleting_the_row_is_the_revocation() {
    let store = Flaky::over(Arc::new(MemoryStore::new()));
    let world = World::with(keeping(Storage::Database), store.clone()).await;
    let other = world.second_node().await;
    let (mut browser, mut neighbour) = (world.sign_in("ada").await, world.sign_in("ada").await);
    assert_eq!((browser.get(&world.engine).await, browser.get(&other).await), (WARM, WARM));
    let session = browser.session(&world.engine);
    let rows = world.backend.list_tokens(session).await.expect("listed");
    assert_eq!(rows.len(), 1, "one row for one token");

    store.set(Fault::Away);
    assert_eq!(browser.get(&world.engine).await, Outcome::Unavailable, "a view is not enough here");
    store.set(Fault::None);

    assert!(world.backend.remove_token(rows[0].id).await.expect("removed"));
    assert_eq!((browser.get(&world.engine).await, browser.get(&other).await), (ENDED, ENDED));
    assert_eq!(neighbour.get(&world.engine).await, WARM, "negative control: another token of the same user");
}

/// `database`: each token's last use is recorded, in batches, and none is lost when the node stops in order.
#[tokio::test(start_paused = true)]
async fn the_last_use_survives_the_drain() {
    let store = Flaky::over(Arc::new(MemoryStore::new()));
    let world = World::with(keeping(Storage::Database), store.clone()).await;
    let mut browser = world.sign_in("ada").await;
    let session = browser.session(&world.engine);
    let last_use = async || world.backend.list_tokens(session).await.expect("listed")[0].last_used_at;
    assert_eq!(last_use().await, None);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let node = tokio::spawn({
        let engine = world.engine.clone();
        async move { engine.run(async { drop(stopped.await) }).await }
    });
    world.pass_time(MINUTE);
    world.engine.catch_up().await.expect("feed");
    assert_eq!(browser.get(&world.engine).await, WARM);
    let first = world.engine.now().wall;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(last_use().await, Some(first), "within a second or so, while running");

    world.pass_time(MINUTE);
    world.engine.catch_up().await.expect("feed");
    assert_eq!(browser.get(&world.engine).await, WARM);
    let last = world.engine.now().wall;
    // The store is away for a moment just then.
    store.set(Fault::Away);
    stop.send(()).expect("running");
    tokio::time::sleep(Duration::from_millis(200)).await;
    store.set(Fault::None);
    node.await.expect("ended in order");
    assert_eq!(last_use().await, Some(last), "the very last one");
}

/// Clients choose among what the deployment offers: beside hybrid cookies, a token in memory for those who ask.
#[tokio::test]
async fn a_client_chooses_its_storage() {
    let mut config = keeping(Storage::Hybrid);
    config.client_storages = vec![Storage::Memory];
    let world = World::with(config, Arc::new(MemoryStore::new())).await;
    let mut by_cookie = world.sign_in("ada").await;
    let mut by_bearer = Browser::default();
    let parts = by_bearer.request("POST", "/auth/sign-in");
    let peer = peer();
    let arrival = Arrival::new(&parts, &peer, world.engine.config());
    let identity =
        VerifiedIdentity::vouched(Method::Password, "ada".parse().expect("a subject"), world.engine.now().wall);
    let signed_in = world.engine.sign_in(identity, &arrival, Storage::Memory).await.expect("signed in");
    for cookie in world.engine.sign_in_cookies(&signed_in) {
        by_bearer.take(cookie.as_str());
    }
    by_bearer.bearer = Some(signed_in.access_token().compact().expose().to_owned());
    for _ in 0..2 {
        assert_eq!((by_cookie.get(&world.engine).await, by_bearer.get(&world.engine).await), (WARM, WARM));
    }
    assert_eq!(by_bearer.pass(&world.engine).await.by(), Proof::Bearer);
    // Its session cookie alone opens no route, on a route that opens to session cookies too.
    assert_eq!(Browser { bearer: None, ..by_bearer.clone() }.get(&world.engine).await, NOBODY);
    // Somebody else's bearer token beside our cookies: the cookies decide, and the cross-site check with them.
    by_cookie.bearer = Some("bWluZQ.dG9v.bm90".to_owned());
    assert_eq!(by_cookie.pass(&world.engine).await.by(), Proof::AccessCookie);
    // Where the token ended, whoever attached it learns that, whatever cookies came along.
    world.pass_time(ACCESS_LIFE);
    world.engine.catch_up().await.expect("feed");
    assert_eq!(by_bearer.get(&world.engine).await, EXPIRED);
    assert_eq!(by_cookie.get(&world.engine).await, RENEWED);
    // Without the choice, its tokens open nothing.
    let strict = world.second_node_with(keeping(Storage::Hybrid)).await;
    by_bearer.refresh(&world.engine).await;
    let bare = Browser { jar: Default::default(), ..by_bearer };
    assert_eq!(bare.clone().get(&strict).await, WRONG_PLACE);
}

/// A sign-in leaves no cookie of another storage's session behind.
#[tokio::test]
async fn a_sign_in_replaces_cookies_of_other_storages() {
    for (before, after) in all().flat_map(|before| all().map(move |after| (before, after))) {
        let world = world(before).await;
        let mut browser = world.sign_in("ada").await;
        let switched = world.second_node_with(keeping(after)).await;
        browser.bearer = None;
        browser.sign_in(&switched, "ada").await;
        assert_eq!(browser.get(&switched).await, WARM, "from {before} to {after}");
        assert_eq!(world.backend.count().await.expect("counted"), 1, "the session before was ended (R-021)");
    }
}

/// N12 of peers.md: a deployment is switched to another storage, and running sessions go on where no script comes to
/// read a token it could not read before. Everybody else signs in again.
#[tokio::test]
async fn switching_converts_live_sessions() {
    for (before, after) in all().flat_map(|before| all().map(move |after| (before, after))) {
        let world = world(before).await;
        let mut browser = world.sign_in("ada").await;
        assert_eq!(browser.get(&world.engine).await, WARM);
        let session = browser.session(&world.engine);
        world.pass_time(MINUTE);
        let switched = world.second_node_with(keeping(after)).await;
        let named = format!("from {before} to {after}");

        let stale_bearer = browser.bearer.clone();
        let (status, body) = match after.is_body_delivered() && before != after {
            // The page's script asks for its token.
            true => browser.refresh(&switched).await,
            false => (0, serde_json::Value::Null),
        };
        let outcome = browser.get(&switched).await;
        if before.may_become(after) {
            assert!(matches!(outcome, Outcome::Admitted { .. }), "{named}: {outcome:?} after {status} {body}");
            assert_eq!(browser.session(&switched), session, "{named}: the same session");
            assert_eq!(browser.get(&switched).await, WARM, "{named}: and then it costs nothing");
            let pass = browser.pass(&switched).await;
            assert_eq!(pass.admitted.claims().storage, after, "{named}");
            // What the browser held before opens nothing by itself any more, unless it is the same place.
            if let Some(bearer) = stale_bearer.filter(|_| before != after) {
                let alone = Browser { bearer: Some(bearer), ..Browser::default() };
                assert_eq!(alone.clone().get(&switched).await, WRONG_PLACE, "{named}: the old bearer token");
            }
            // And the session can be ended.
            switched.revoke(&Scope::Session(session), Reason::SignOut, &Actor::App).await.expect("revoked");
            assert_eq!(browser.get(&switched).await, ENDED, "{named}");
        } else {
            assert!(matches!(outcome, Outcome::Anonymous(_)), "{named}: {outcome:?}");
            assert!(body.get("access_token").is_none(), "{named}: {body}");
            assert!(world.backend.load(session).await.expect("loaded").is_some(), "{named}: nothing was ended for it");
        }
    }
}

/// A short-lived access token alone never becomes a session token: only a token that lives as long as its session is
/// converted, which gives its holder nothing.
#[tokio::test]
async fn no_conversion_gives_more_than_was_held() {
    let world = world(Storage::Hybrid).await;
    let mut browser = world.sign_in("ada").await;
    assert_eq!(browser.get(&world.engine).await, WARM);
    let switched = world.second_node_with(keeping(Storage::ServerSession)).await;
    let access = browser.jar[ACCESS].clone();
    let mut thief = Browser { jar: [(ACCESS.to_owned(), access.clone())].into(), ..Browser::default() };
    assert_eq!(thief.get(&switched).await, WRONG_PLACE);
    assert!(!thief.jar.contains_key(SESSION));
    assert!(
        matches!(browser.get(&switched).await, Outcome::Admitted { .. }),
        "negative control: with the session token"
    );
    assert!(!browser.jar.contains_key(ACCESS), "no JWT stays in a browser that is to hold none");
    // Two sessions' cookies in one request are nobody's.
    let other = world.sign_in("bob").await;
    let mut mixed = other.clone();
    mixed.jar.insert(ACCESS.to_owned(), access);
    assert_eq!(mixed.get(&switched).await, Outcome::Anonymous("forged"));
}

/// P22: an answer that depends on a bearer token says so to caches.
#[tokio::test]
async fn answers_vary_by_what_proves_the_session() {
    for (storage, expected) in [(Storage::Memory, "authorization, cookie"), (Storage::Hybrid, "cookie")] {
        let world = world(storage).await;
        let browser = world.sign_in("ada").await;
        let policy = RoutePolicy::new(&world.engine, Access::Session);
        let parts = browser.request("GET", "/api/notes");
        let Guarded::Forward(forward) = world.engine.guard(&parts, &peer(), &policy).await else {
            panic!("{storage}: not forwarded")
        };
        let mut headers = http::HeaderMap::new();
        world.engine.finish(&forward, &policy, &mut headers).await;
        let vary = headers.get("vary").and_then(|value| value.to_str().ok()).unwrap_or_default().to_lowercase();
        assert_eq!(vary, expected, "{storage}");
    }
}

/// a storage that renews has no use for a token that lives as long as a session, and takes none.
#[tokio::test]
async fn long_tokens_are_for_storages_without_renewal() {
    for storage in all() {
        let world = world(storage).await;
        let browser = world.sign_in("ada").await;
        let pass = browser.pass(&world.engine).await;
        let claims = pass.admitted.claims();
        let life = claims.expires_at.since(claims.issued_at);
        match storage.shape().renewal {
            Renewal::Never => assert_eq!(life, world.engine.limits().absolute, "{storage}"),
            Renewal::Transparent | Renewal::ByClient => assert_eq!(life, ACCESS_LIFE, "{storage}"),
        }
    }
}

/// P3 for every storage: without the store, what the fresh view can answer goes on, and the rest is 503 with nothing lost.
#[tokio::test]
async fn the_store_away_in_every_storage() {
    for storage in all() {
        let store = Flaky::over(Arc::new(MemoryStore::new()));
        let world = World::with(keeping(storage), store.clone()).await;
        let mut browser = world.sign_in("ada").await;
        assert_eq!(browser.get(&world.engine).await, WARM, "{storage}");
        let jar = browser.jar.clone();
        store.set(Fault::Away);
        let within = if storage == Storage::Database { Outcome::Unavailable } else { WARM };
        assert_eq!(browser.get(&world.engine).await, within, "{storage}: within T");
        world.pass_time(world.engine.limits().staleness + Duration::from_millis(1));
        assert_eq!(browser.get(&world.engine).await, Outcome::Unavailable, "{storage}: past T");
        assert_eq!(browser.jar, jar, "{storage}");
        store.set(Fault::None);
        world.engine.catch_up().await.expect("feed");
        assert_eq!(browser.get(&world.engine).await, WARM, "{storage}: healed");
    }
}

/// A session's own row is all a token of storage `database` may use: a row of another session does not vouch for it.
#[tokio::test]
async fn introspection_asks_for_the_row() -> Result<(), StoreError> {
    let world = world(Storage::Database).await;
    let browser = world.sign_in("ada").await;
    let token = browser.jar[ACCESS].clone();
    assert!(matches!(world.engine.introspect(&token).await?, sessile::engine::Introspection::Access(_)));
    let row = &world.backend.list_tokens(browser.session(&world.engine)).await?[0];
    world.backend.remove_token(row.id).await?;
    assert!(matches!(world.engine.introspect(&token).await?, sessile::engine::Introspection::Inactive));
    let admission = browser.admit(&world.engine).await;
    assert!(matches!(admission, Admission::Anonymous(_)), "{admission:?}");
    Ok(())
}
