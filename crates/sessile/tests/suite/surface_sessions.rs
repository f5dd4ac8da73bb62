//! The user's own sessions: `session`, `csrf`, `refresh`, `sessions`.

use std::sync::Arc;
use std::time::Duration;

use sessile_core::Storage;
use sessile_store::memory::MemoryStore;

use crate::flaky::{Fault, Flaky};
use crate::surface_client::{
    Answer, Ask, ask, events, opens, quick_config, session_id, sign_in, site, site_on, site_with, stores,
};
use crate::world::{ACCESS, Browser, SESSION, World};

const MINUTE: Duration = Duration::from_secs(60);

async fn session(browser: &Browser, world: &World) -> Answer {
    ask("GET", "/auth/session").script().with_jar_of(browser).send(&world.engine).await
}

/// Who am I, when does it end; 401 with a stable code for nobody.
#[tokio::test]
async fn session_says_who_and_until_when() {
    for (store, _directory) in stores() {
        let world = site_on(quick_config(), store).await;
        let nobody = session(&Browser::default(), &world).await;
        assert_eq!(
            (nobody.status.as_u16(), nobody.code().as_str(), nobody.header("www-authenticate")),
            (401, "no_session", "Bearer")
        );
        let ada = sign_in(&world.engine, "ada").await;
        let answer = session(&ada, &world).await;
        let body = answer.json();
        assert_eq!(answer.status, 200);
        assert_eq!(
            (body["session"]["subject"].as_str(), body["session"]["id"].as_str()),
            (Some("ada"), Some(session_id(&ada).as_str()))
        );
        assert!(body.get("csrf_token").is_none() && answer.cookies().is_empty());
        for secret in ada.jar.values() {
            assert!(!answer.text().contains(secret), "R-065");
        }
        let with = ask("GET", "/auth/session?csrf=1").script().with_jar_of(&ada).send(&world.engine).await;
        assert!(with.json()["csrf_token"].is_string());
    }
}

/// asking extends nothing, however often; negative control: use does, up to the absolute end.
#[tokio::test]
async fn asking_extends_nothing() {
    let world = site().await;
    let asked = sign_in(&world.engine, "ada").await;
    let mut used = sign_in(&world.engine, "ada").await;
    let expires = session(&asked, &world).await.json()["session"]["expires_at"].clone();
    for minute in (10..60).step_by(10) {
        world.pass_time(10 * MINUTE);
        used.get(&world.engine).await;
        for path in ["/auth/session", "/auth/csrf", "/auth/sessions"] {
            let answer = ask("GET", path).script().with_jar_of(&asked).send(&world.engine).await;
            assert_eq!(answer.status, 200, "{path} after {minute} minutes, with the session token alone");
            assert!(answer.cookies().is_empty(), "{path}");
        }
        assert_eq!(session(&asked, &world).await.json()["session"]["expires_at"], expires);
    }
    world.pass_time(10 * MINUTE);
    assert_eq!(session(&asked, &world).await.status, 401, "idle for an hour");
    assert!(opens(&used, &world.engine).await, "negative control");
    for _ in 0..200 {
        world.pass_time(10 * MINUTE);
        used.get(&world.engine).await;
    }
    assert_eq!(session(&used, &world).await.status, 401, "past the absolute end");
}

/// S2, P3: without the store the question is answered 503, not 401, and no cookie is touched.
#[tokio::test]
async fn without_the_store_it_is_unavailable() {
    let store = Flaky::over(Arc::new(MemoryStore::new()));
    let world = site_on(quick_config(), store.clone()).await;
    let ada = sign_in(&world.engine, "ada").await;
    store.set(Fault::Away);
    for (method, path) in [
        ("GET", "/auth/session"),
        ("GET", "/auth/sessions"),
        ("POST", "/auth/refresh"),
        ("DELETE", "/auth/sessions/AAAAAAAAAAAAAAAAAAAAAA"),
    ] {
        let answer = ask(method, path).script().with_jar_of(&ada).send(&world.engine).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "unavailable"), "{method} {path}");
        assert!(answer.cookies().is_empty() && !answer.header("retry-after").is_empty());
    }
    store.set(Fault::None);
    assert_eq!(session(&ada, &world).await.status, 200, "negative control");
}

/// My devices: all of mine, none of anybody else's, the present one marked.
#[tokio::test]
async fn the_list_is_my_own() {
    for (store, _directory) in stores() {
        let world = site_on(quick_config(), store).await;
        let first = sign_in(&world.engine, "ada").await;
        world.pass_time(MINUTE);
        let second = sign_in(&world.engine, "ada").await;
        let grace = sign_in(&world.engine, "grace").await;
        let list = ask("GET", "/auth/sessions").script().with_jar_of(&first).send(&world.engine).await.json();
        let list = list["sessions"].as_array().expect("a list").clone();
        let shown: Vec<_> =
            list.iter().map(|s| (s["id"].as_str().expect("an id").to_owned(), s["current"] == true)).collect();
        assert_eq!(shown, [(session_id(&second), false), (session_id(&first), true)], "the most recently used first");
        assert!(list.iter().all(|s| s["subject"] == "ada" && s["id"] != session_id(&grace)));
        assert_eq!(list[0]["client"]["network"], "127.0.0.1");
        assert_eq!(ask("GET", "/auth/sessions").script().send(&world.engine).await.status, 401);
    }
}

fn end(id: &str) -> Ask {
    ask("DELETE", &format!("/auth/sessions/{id}")).script()
}

/// R-028, E21: who may end whose session. Somebody else's looks like one that does not exist, and lives on.
#[tokio::test]
async fn sessions_are_ended_by_their_owner() {
    for (store, _directory) in stores() {
        let world = site_on(quick_config(), store).await;
        let here = sign_in(&world.engine, "ada").await;
        let there = sign_in(&world.engine, "ada").await;
        let grace = sign_in(&world.engine, "grace").await;

        let of_another = end(&session_id(&grace)).with_jar_of(&here).send(&world.engine).await;
        let of_nobody = end(&"A".repeat(22)).with_jar_of(&here).send(&world.engine).await;
        assert_eq!(of_another.status, 404);
        assert_eq!(of_another, of_nobody, "not even its existence is told");
        assert!(opens(&grace, &world.engine).await);
        assert_eq!(end(&session_id(&there)).send(&world.engine).await.status, 401, "nobody may");
        assert!(opens(&there, &world.engine).await);
        for odd in ["x", "%2e%2e", &"A".repeat(23), "null", "*", "0"] {
            assert_eq!(end(odd).with_jar_of(&here).send(&world.engine).await.status, 404, "{odd}");
        }
        let body = serde_json::json!({ "subject": "grace", "userId": "grace", "id": session_id(&grace) });
        assert_eq!(end(&session_id(&grace)).json(&body).with_jar_of(&here).send(&world.engine).await.status, 404, "K1");
        assert!(opens(&grace, &world.engine).await);

        let forged = end(&session_id(&there)).cross_site().with_jar_of(&here).send(&world.engine).await;
        assert_eq!(forged.status, 403);
        assert!(opens(&there, &world.engine).await);

        // Negative control: my own.
        let mine = end(&session_id(&there)).with_jar_of(&here).send(&world.engine).await;
        assert_eq!(
            (mine.status.as_u16(), mine.json()["ended"].clone()),
            (200, serde_json::json!([session_id(&there)]))
        );
        assert!(mine.cookies().is_empty());
        assert!(!opens(&there, &world.engine).await && opens(&here, &world.engine).await);
        assert_eq!(end(&session_id(&there)).with_jar_of(&here).send(&world.engine).await.status, 404, "it is gone");
    }
}

/// another session is ended only soon after a sign-in; this one always.
#[tokio::test]
async fn ending_another_needs_a_fresh_sign_in() {
    let world = site().await;
    let mut here = sign_in(&world.engine, "ada").await;
    let there = sign_in(&world.engine, "ada").await;
    world.pass_time(Duration::from_secs(600));
    here.get(&world.engine).await;
    let at_the_limit = end(&"A".repeat(22)).with_jar_of(&here).send(&world.engine).await;
    assert_eq!(at_the_limit.status, 404, "negative control: ten minutes are fresh");
    world.pass_time(Duration::from_secs(1));
    for id in [session_id(&there), "A".repeat(22)] {
        let stale = end(&id).with_jar_of(&here).send(&world.engine).await;
        assert_eq!(
            (stale.status.as_u16(), stale.code().as_str()),
            (401, "fresh_authentication_required"),
            "whatever the id"
        );
        assert_eq!(stale.json()["max_age"], 600);
        assert!(stale.header("www-authenticate").contains("insufficient_user_authentication"));
    }
    assert!(opens(&there, &world.engine).await);
    // Renewal does not make a sign-in fresh.
    world.pass_time(6 * MINUTE);
    assert_eq!(here.get(&world.engine).await, crate::world::RENEWED);
    assert_eq!(end(&session_id(&there)).with_jar_of(&here).send(&world.engine).await.status, 401);
    let this = end(&session_id(&here)).by(&mut here, &world.engine).await;
    assert_eq!((this.status.as_u16(), this.header("clear-site-data")), (200, "\"cache\", \"storage\""));
    assert!(here.jar.is_empty());
    let again = sign_in(&world.engine, "ada").await;
    assert_eq!(
        end(&session_id(&there)).with_jar_of(&again).send(&world.engine).await.status,
        200,
        "negative control: after signing in again"
    );
    let events = events(&world.engine).await;
    assert!(events.iter().any(|event| event.name == "authz_fail" && event.reason == "stale_authentication"));
}

fn refresh() -> Ask {
    ask("POST", "/auth/refresh").script()
}

/// renewal on request rotates, answers the session and sets cookies; no token is in the body.
#[tokio::test]
async fn refresh_rotates_and_keeps_tokens_out_of_the_body() {
    for (store, _directory) in stores() {
        let world = site_on(quick_config(), store).await;
        let mut ada = sign_in(&world.engine, "ada").await;
        world.pass_time(Duration::from_secs(5));
        let young = refresh().by(&mut ada, &world.engine).await;
        assert_eq!((young.status.as_u16(), ada.generation()), (200, 0), "at most one rotation per grace");
        assert_eq!(young.cookies().len(), 1, "a fresh access token all the same");
        world.pass_time(MINUTE);
        let before = ada.clone();
        let answer = refresh().by(&mut ada, &world.engine).await;
        assert_eq!((answer.status.as_u16(), ada.generation()), (200, 1));
        assert_eq!(answer.cookies().len(), 2);
        assert_ne!(before.jar[ACCESS], ada.jar[ACCESS]);
        assert_eq!(answer.json().as_object().expect("an object").keys().collect::<Vec<_>>(), ["session"]);
        for secret in ada.jar.values().chain(before.jar.values()) {
            assert!(!answer.text().contains(secret.as_str()));
        }
        assert_eq!(answer.json()["session"]["expires_at"], "2096-10-02T08:07:45Z", "negative control: this extends");
        assert!(opens(&ada, &world.engine).await);
    }
}

/// who gets nothing from refresh: other sites, an access token alone, the ended, thieves.
#[tokio::test]
async fn refresh_is_for_the_holder_of_the_session_token() {
    let world = site().await;
    let mut ada = sign_in(&world.engine, "ada").await;
    let stolen = ada.clone();
    world.pass_time(MINUTE);
    let forged = refresh().cross_site().with_jar_of(&ada).send(&world.engine).await;
    assert_eq!(forged.status, 403);
    assert!(forged.cookies().is_empty());
    let mut access_only = ada.clone();
    access_only.jar.remove(SESSION);
    assert!(opens(&access_only, &world.engine).await);
    let answer = refresh().with_jar_of(&access_only).send(&world.engine).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (401, "no_session"), "an access token renews nothing");
    assert_eq!(refresh().by(&mut ada, &world.engine).await.status, 200, "negative control");
    assert_eq!(ada.generation(), 1);
    assert!(opens(&ada, &world.engine).await);
    world.pass_time(MINUTE);
    let theft = refresh().with_jar_of(&stolen).send(&world.engine).await;
    assert_eq!(theft.status, 401);
    assert!(!opens(&ada, &world.engine).await, "a superseded token ends the session");
    assert_eq!(refresh().with_jar_of(&ada).send(&world.engine).await.status, 401);
    assert!(events(&world.engine).await.iter().any(|event| event.name == "authn_token_reuse"));
}

/// Body-delivered storages get the new token in the body, for the session token alone.
#[tokio::test]
async fn refresh_delivers_where_the_storage_says() {
    let mut config = quick_config();
    config.storage = Storage::Memory;
    let world = site_with(config).await;
    let mut ada = sign_in(&world.engine, "ada").await;
    assert_eq!(ada.jar.keys().collect::<Vec<_>>(), [SESSION]);
    world.pass_time(10 * MINUTE);
    let answer = refresh().by(&mut ada, &world.engine).await;
    let body = answer.json();
    assert_eq!((answer.status.as_u16(), body["session"]["storage"].as_str()), (200, Some("memory")));
    assert!(world.engine.verify_token(body["access_token"].as_str().expect("a token")).is_ok());
    assert!(!answer.cookies().iter().any(|cookie| cookie.starts_with(ACCESS)));
    let mut config = quick_config();
    config.storage = Storage::Cookie;
    let world = site_with(config).await;
    let mut ada = sign_in(&world.engine, "ada").await;
    let answer = refresh().by(&mut ada, &world.engine).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "storage_without_renewal"));
    let answer = refresh().send(&world.engine).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (401, "no_session"), "negative control: nobody");
}

/// E18: `GET /auth/csrf` hands out a token that stands for what old browsers do not send, for this
/// session and this browser, and for nothing else.
#[tokio::test]
async fn csrf_tokens_are_bound() {
    let world = site().await;
    let ada = sign_in(&world.engine, "ada").await;
    let grace = sign_in(&world.engine, "grace").await;
    let token_for = async |browser: &Browser| {
        let answer = ask("GET", "/auth/csrf").old_browser().with_jar_of(browser).send(&world.engine).await;
        assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (200, "no-store"));
        answer.json()["csrf_token"].as_str().expect("a token").to_owned()
    };
    let use_it = async |browser: &Browser, token: &str| {
        ask("POST", "/auth/refresh")
            .old_browser()
            .set("x-csrf-token", token)
            .with_jar_of(browser)
            .send(&world.engine)
            .await
            .status
            .as_u16()
    };
    let (of_ada, of_grace, of_nobody) =
        (token_for(&ada).await, token_for(&grace).await, token_for(&Browser::default()).await);
    assert_ne!(of_ada, token_for(&ada).await, "I6: never the same twice");
    assert_eq!(use_it(&ada, &of_grace).await, 403);
    assert_eq!(use_it(&ada, &of_nobody).await, 403, "I2: a token from before sign-in");
    assert_eq!(use_it(&ada, "").await, 403);
    assert_eq!(use_it(&ada, &ada.jar[SESSION]).await, 403, "E18: other artefacts of ours are no CSRF token");
    assert_eq!(use_it(&ada, &ada.jar[ACCESS]).await, 403);
    assert_eq!(use_it(&ada, &of_ada).await, 200, "negative control");
    // And the token is no credential.
    let mut planted = Browser::default();
    planted.jar.insert(SESSION.to_owned(), of_ada.clone());
    planted.jar.insert(ACCESS.to_owned(), of_ada);
    assert!(!opens(&planted, &world.engine).await);
}

/// two cookies under one name are no session, and both are cleared so that nobody is locked out.
#[tokio::test]
async fn tossed_cookies_are_cleared() {
    let world = site().await;
    let ada = sign_in(&world.engine, "ada").await;
    let cookies = crate::surface_client::cookie_header(&ada);
    for path in ["/auth/session", "/auth/sessions", "/auth/verify"] {
        let twice =
            ask("GET", path).script().set("cookie", &format!("{cookies}; {SESSION}=x")).send(&world.engine).await;
        assert_eq!((twice.status.as_u16(), twice.cookies().len()), (401, 2), "{path}");
        let once = ask("GET", path).script().set("cookie", &cookies).send(&world.engine).await;
        assert_eq!((once.status.as_u16(), once.cookies().len()), (200, 0), "negative control");
    }
}
