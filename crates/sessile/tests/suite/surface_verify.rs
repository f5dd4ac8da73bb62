//! `GET /auth/verify`: forward-auth.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use sessile::Peer;
use sessile::arrival::Forwarded;
use sessile_store::memory::MemoryStore;

use crate::flaky::{Fault, Flaky};
use crate::surface_client::{Ask, ask, quick_config, session_id, sign_in, site, site_on, stores};
use crate::world::{ACCESS, RENEWED, SESSION, peer};

fn verify() -> Ask {
    ask("GET", "/auth/verify")
}

/// As a trusted proxy asks about a request it holds.
fn about(method: &str, uri: &str) -> Peer {
    let forwarded = Forwarded { method: Some(method.parse::<Method>().expect("a method")), uri: Some(uri.to_owned()) };
    Peer { forwarded: Some(forwarded), ..peer() }
}

/// 200 with the identity; 401 for nobody; a renewal's cookies come along.
#[tokio::test]
async fn it_tells_the_proxy_who_asks() {
    for (store, _directory) in stores() {
        let world = site_on(quick_config(), store).await;
        let mut ada = sign_in(&world.engine, "ada").await;
        let answer = verify().with_jar_of(&ada).send(&world.engine).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
        assert_eq!(
            (answer.header("sessile-subject"), answer.header("sessile-session")),
            ("ada", session_id(&ada).as_str())
        );
        assert_eq!(answer.header("authorization"), format!("Bearer {}", ada.jar[ACCESS]));
        assert!(answer.headers["authorization"].is_sensitive());
        assert_eq!(answer.header("cache-control"), "no-store");
        assert!(answer.cookies().is_empty());

        let nobody = verify().send(&world.engine).await;
        assert_eq!((nobody.status.as_u16(), nobody.code().as_str()), (401, "no_session"));
        for name in ["authorization", "sessile-subject", "sessile-session", "location"] {
            assert_eq!(nobody.header(name), "", "{name}");
        }
        let person = verify().page().send(&world.engine).await;
        assert_eq!((person.status.as_u16(), person.header("location")), (401, ""), "never a redirect");

        world.pass_time(Duration::from_secs(400));
        let renewed = verify().by(&mut ada, &world.engine).await;
        assert_eq!((renewed.status.as_u16(), renewed.cookies().len(), ada.generation()), (200, 2, 1));
        assert_eq!(renewed.header("authorization"), format!("Bearer {}", ada.jar[ACCESS]), "the fresh one");
    }
}

/// what changes state needs the same proof as through the gateway, judged by the method of the request
/// that the proxy holds.
#[tokio::test]
async fn the_original_method_counts() {
    let world = site().await;
    let ada = sign_in(&world.engine, "ada").await;
    let asked = |request: Ask, peer: Peer| request.peer(peer).with_jar_of(&ada).send(&world.engine);
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let forged = asked(verify().cross_site(), about(method, "/api/notes")).await;
        assert_eq!((forged.status.as_u16(), forged.code().as_str()), (403, "csrf_refused"), "{method}");
        assert_eq!((forged.header("authorization"), forged.header("sessile-subject")), ("", ""));
        assert_eq!(asked(verify(), about(method, "/api/notes")).await.status, 403, "{method} without any proof");
        assert_eq!(
            asked(verify().script(), about(method, "/api/notes")).await.status,
            200,
            "{method}: negative control"
        );
    }
    for method in ["GET", "HEAD", "OPTIONS"] {
        let linked = verify().set("sec-fetch-site", "cross-site").set("sec-fetch-mode", "navigate");
        assert_eq!(asked(linked, about(method, "/notes")).await.status, 200, "{method} changes nothing");
    }
    // A WebSocket handshake is a GET that changes state.
    let socket = verify().set("upgrade", "websocket").set("connection", "upgrade").set("origin", "https://evil.test");
    assert_eq!(asked(socket.clone(), about("GET", "/live")).await.status, 403, "R-084");
    assert_eq!(asked(socket.set("origin", "https://app.test"), about("GET", "/live")).await.status, 200);
}

/// A proxy that does not say the method: whatever looks like more than a plain GET needs proof.
#[tokio::test]
async fn a_method_that_is_not_told_is_not_trusted() {
    let world = site().await;
    let ada = sign_in(&world.engine, "ada").await;
    for (what, request, status) in [
        ("a form of another site", verify().set("origin", "https://evil.test").set("content-type", "text/plain"), 403),
        ("a form in an old browser", verify().set("content-type", "application/x-www-form-urlencoded"), 403),
        ("a body", verify().set("content-length", "5"), 403),
        ("a chunked body", verify().set("transfer-encoding", "chunked"), 403),
        ("fetch from elsewhere", verify().cross_site(), 403),
        ("our own form", verify().set("origin", "https://app.test").set("content-type", "text/plain"), 200),
        ("a link", verify().set("sec-fetch-site", "cross-site").set("sec-fetch-mode", "navigate"), 200),
        ("no body", verify().set("content-length", "0"), 200),
        ("a plain GET", verify(), 200),
    ] {
        for forwarded in [None, Some(Forwarded::default())] {
            let peer = Peer { forwarded, ..peer() };
            let answer = request.clone().peer(peer).with_jar_of(&ada).send(&world.engine).await;
            assert_eq!(answer.status, status, "{what}");
        }
    }
}

/// A8 (CVE-2026-40575), A9, A10, R-108: headers that claim to say what the request was are nobody's word. They open
/// nothing to the anonymous, and excuse nothing.
#[tokio::test]
async fn forwarding_headers_of_strangers_decide_nothing() {
    let world = site().await;
    let ada = sign_in(&world.engine, "ada").await;
    let names = [
        "x-forwarded-uri",
        "x-forwarded-method",
        "x-original-uri",
        "x-original-url",
        "x-original-method",
        "x-rewrite-url",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-forwarded-prefix",
        "forwarded",
        "x-forwarded-for",
    ];
    for value in ["/health", "/auth/sign-in", "/", "GET", "for=127.0.0.1", "/public?x=/admin"] {
        let spoof = |mut request: Ask| {
            for name in names {
                request = request.set(name, value);
            }
            request
        };
        let anonymous = spoof(verify()).send(&world.engine).await;
        assert_eq!(anonymous.status, 401, "{value}");
        assert_eq!(anonymous, verify().send(&world.engine).await, "{value}: the same in every byte");
        let forged = spoof(verify().cross_site()).with_jar_of(&ada).send(&world.engine).await;
        assert_eq!(forged.status, 403, "{value}");
        let plain = spoof(verify()).with_jar_of(&ada).send(&world.engine).await;
        assert_eq!(plain, verify().with_jar_of(&ada).send(&world.engine).await, "{value}");
        // Also with a proxy that is trusted: its word on the path opens nothing.
        let trusted = verify().peer(about("GET", value)).send(&world.engine).await;
        assert_eq!(trusted.status, 401, "{value}");
    }
    let told = verify().cross_site().peer(about("GET", "/x")).with_jar_of(&ada).send(&world.engine).await;
    assert_eq!(told.status, 200, "negative control: a trusted proxy's word on the method counts");
}

/// R-143, K4: a script of the page can read headers, so it is not told the access token here, directly or through a
/// proxy that passes its request on; the proxy itself is.
#[tokio::test]
async fn scripts_do_not_get_the_token() {
    let world = site().await;
    let ada = sign_in(&world.engine, "ada").await;
    let asked = |request: Ask, peer: Peer| request.peer(peer).with_jar_of(&ada).send(&world.engine);
    let through = |uri: &str| about("GET", uri);
    for (what, request, peer) in [
        ("fetch", verify().script(), peer()),
        ("fetch, with forged headers", verify().script().set("x-forwarded-uri", "/notes"), peer()),
        ("a navigation", verify().page(), peer()),
        ("passed on by the proxy", verify().script(), through("/auth/verify")),
        ("passed on with a query", verify().script(), through("/auth/verify?x=/notes")),
        ("passed on without Fetch Metadata", verify(), through("/auth/verify")),
    ] {
        let answer = asked(request, peer).await;
        assert_eq!((answer.status.as_u16(), answer.header("authorization")), (200, ""), "{what}");
        assert_eq!(answer.header("sessile-subject"), "ada", "{what}");
        let whole = format!("{:?}{:?}", answer.headers, answer.body);
        assert!(!whole.contains(&ada.jar[ACCESS]) && !whole.contains(&ada.jar[SESSION]), "{what}");
    }
    for (what, request, peer) in [
        ("the proxy, about a script's request", verify().script(), through("/api/notes")),
        ("the proxy, about a page", verify().page(), through("/notes?x=/auth/verify")),
        ("a caller that is no browser", verify(), peer()),
    ] {
        let answer = asked(request, peer).await;
        assert_eq!(answer.header("authorization"), format!("Bearer {}", ada.jar[ACCESS]), "negative control: {what}");
    }
}

/// P3: without the store, a request that needs it is 503; one that this node can judge goes on.
#[tokio::test]
async fn without_the_store_it_says_so() {
    let store = Flaky::over(Arc::new(MemoryStore::new()));
    let world = site_on(quick_config(), store.clone()).await;
    let mut warm = sign_in(&world.engine, "ada").await;
    world.pass_time(Duration::from_secs(400));
    assert_eq!(warm.get(&world.engine).await, RENEWED);
    world.engine.catch_up().await.expect("the feed");
    assert_eq!(verify().with_jar_of(&warm).send(&world.engine).await.status, 200);
    let mut cold = warm.clone();
    cold.jar.remove(ACCESS);
    store.set(Fault::Away);
    let answer = verify().with_jar_of(&cold).send(&world.engine).await;
    assert_eq!((answer.status.as_u16(), answer.cookies().len()), (503, 0));
    assert_eq!(verify().with_jar_of(&warm).send(&world.engine).await.status, 200, "negative control");
}

/// A name beyond ASCII is percent-encoded, as the gateway does it, and two names never look alike.
#[tokio::test]
async fn names_beyond_ascii_pass() {
    let world = site().await;
    crate::surface_client::add_account(&world.engine, "żółw").await;
    let browser = sign_in(&world.engine, "żółw").await;
    let answer = verify().with_jar_of(&browser).send(&world.engine).await;
    assert_eq!(answer.headers["sessile-subject"], "%C5%BC%C3%B3%C5%82w");
}
