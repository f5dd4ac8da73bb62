//! `POST /auth/sign-out`.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use sessile_store::memory::MemoryStore;

use crate::flaky::{Fault, Flaky};
use crate::surface_client::{Ask, ask, events, opens, quick_config, session_id, sign_in, site, site_on, stores};
use crate::world::{ACCESS, Browser, SESSION};

fn sign_out(scope: &str) -> Ask {
    ask("POST", "/auth/sign-out").script().json(&json!({ "scope": scope }))
}

/// R-026, E8, P29: the record dies, then the cookies are expired with the attributes they were set with, then the
/// browser is asked to clear; afterwards nothing that was issued opens anything.
#[tokio::test]
async fn nothing_survives_sign_out() {
    for (store, _directory) in stores() {
        let world = site_on(quick_config(), store).await;
        let mut browser = Browser::default();
        let credentials = crate::surface_client::credentials("ada");
        let signed_in = ask("POST", "/auth/sign-in").script().json(&credentials).by(&mut browser, &world.engine).await;
        let held = browser.clone();
        let csrf = ask("GET", "/auth/csrf").script().with_jar_of(&held).send(&world.engine).await.json();
        let csrf = csrf["csrf_token"].as_str().expect("a token").to_owned();
        assert!(opens(&held, &world.engine).await, "negative control");

        let answer = sign_out("this").by(&mut browser, &world.engine).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["ended"], json!([session_id(&held)]));
        assert_eq!(answer.json()["durability"], world.engine.vault().durability().name(), "P2");
        assert_eq!(answer.header("clear-site-data"), "\"cache\", \"storage\"");
        assert!(browser.jar.is_empty(), "R-015");
        let attributes = |cookie: &String| {
            cookie.split_once(';').map(|(pair, rest)| (pair.split('=').next().map(str::to_owned), rest.to_owned()))
        };
        let mut set: Vec<_> = signed_in.cookies().iter().map(attributes).collect();
        let mut cleared: Vec<_> = answer.cookies().iter().map(|c| attributes(&c.replace("; Max-Age=0", ""))).collect();
        set.sort();
        cleared.sort();
        assert_eq!(set, cleared, "identical attributes");
        assert_eq!(ask("GET", "/auth/session").script().with_jar_of(&held).send(&world.engine).await.status, 401);

        for kept in [vec![SESSION, ACCESS], vec![SESSION], vec![ACCESS]] {
            let mut thief = held.clone();
            thief.jar.retain(|name, _| kept.contains(&name.as_str()));
            assert!(!opens(&thief, &world.engine).await, "{kept:?}");
            for (method, path) in [
                ("GET", "/auth/session"),
                ("GET", "/auth/sessions"),
                ("GET", "/auth/verify"),
                ("POST", "/auth/refresh"),
            ] {
                let replay = ask(method, path).script().with_jar_of(&thief).send(&world.engine).await;
                assert_eq!(replay.status, 401, "{method} {path} {kept:?}");
                assert!(replay.cookies().is_empty());
            }
            let node = world.second_node().await;
            assert!(!opens(&thief, &node).await, "{kept:?} on another node");
        }
        // The CSRF token died with its session.
        let replay = ask("POST", "/auth/refresh")
            .old_browser()
            .set("x-csrf-token", &csrf)
            .with_jar_of(&held)
            .send(&world.engine)
            .await;
        assert_eq!(replay.status, 403);
    }
}

/// Which sessions each scope ends.
#[tokio::test]
async fn scopes_end_what_they_say() {
    for (scope, survivors) in
        [("this", [false, true, true]), ("others", [true, false, true]), ("everywhere", [false, false, true])]
    {
        let world = site().await;
        let here = sign_in(&world.engine, "ada").await;
        let there = sign_in(&world.engine, "ada").await;
        let grace = sign_in(&world.engine, "grace").await;
        let answer = sign_out(scope).with_jar_of(&here).send(&world.engine).await;
        assert_eq!(answer.status, 200, "{scope}");
        let alive =
            [opens(&here, &world.engine).await, opens(&there, &world.engine).await, opens(&grace, &world.engine).await];
        assert_eq!(alive, survivors, "{scope}");
        assert_eq!(answer.cookies().is_empty(), survivors[0], "{scope}: cookies are expired only with their session");
        assert_eq!(answer.header("clear-site-data").is_empty(), survivors[0], "{scope}");
    }
    let world = site().await;
    let here = sign_in(&world.engine, "ada").await;
    for bad in ["all", "", "THIS", "this,others"] {
        assert_eq!(sign_out(bad).with_jar_of(&here).send(&world.engine).await.code(), "unknown_scope");
    }
    assert!(opens(&here, &world.engine).await);
    // Without a body it is this session.
    assert_eq!(ask("POST", "/auth/sign-out").script().with_jar_of(&here).send(&world.engine).await.status, 200);
    assert!(!opens(&here, &world.engine).await);
}

/// putting the others out needs a recent sign-in; leaving everywhere, oneself included, does not.
#[tokio::test]
async fn ending_others_needs_a_fresh_sign_in() {
    let world = site().await;
    let mut here = sign_in(&world.engine, "ada").await;
    let there = sign_in(&world.engine, "ada").await;
    world.pass_time(Duration::from_secs(601));
    here.get(&world.engine).await;
    let answer = sign_out("others").with_jar_of(&here).send(&world.engine).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (401, "fresh_authentication_required"));
    assert_eq!(
        answer.header("www-authenticate"),
        "Bearer error=\"insufficient_user_authentication\", error_description=\"A more recent sign-in is required\", max_age=\"600\""
    );
    assert!(opens(&there, &world.engine).await && opens(&here, &world.engine).await);
    let answer = sign_out("everywhere").with_jar_of(&here).send(&world.engine).await;
    assert_eq!(answer.status, 200);
    assert!(!opens(&there, &world.engine).await && !opens(&here, &world.engine).await);
}

/// R-025, I8: only by an unsafe method with proof that the user's own page asked.
#[tokio::test]
async fn sign_out_cannot_be_forged() {
    let world = site().await;
    let ada = sign_in(&world.engine, "ada").await;
    let csrf = ask("GET", "/auth/csrf").old_browser().with_jar_of(&ada).send(&world.engine).await.json();
    let csrf = csrf["csrf_token"].as_str().expect("a token").to_owned();
    let grace = sign_in(&world.engine, "grace").await;
    let of_grace = ask("GET", "/auth/csrf").old_browser().with_jar_of(&grace).send(&world.engine).await.json();
    let of_grace = of_grace["csrf_token"].as_str().expect("a token").to_owned();
    let request = || ask("POST", "/auth/sign-out");
    for (what, asked) in [
        ("another site", request().cross_site()),
        ("another site's form", request().cross_site().form(&[("scope", "everywhere")])),
        ("nowhere", request()),
        ("a sandbox", request().set("origin", "null")),
        ("somebody else's token", request().old_browser().set("x-csrf-token", &of_grace)),
        ("a token in a cookie", request().old_browser().set("cookie", "x")),
        ("a token cut short", request().old_browser().set("x-csrf-token", &csrf[1..])),
    ] {
        let asked = if what == "a token in a cookie" {
            let jar = crate::surface_client::cookie_header(&ada);
            asked.set("cookie", &format!("{jar}; x-csrf-token={csrf}; csrf_token={csrf}"))
        } else {
            asked.with_jar_of(&ada)
        };
        let answer = asked.send(&world.engine).await;
        assert_eq!(answer.status, 403, "{what}");
        assert!(answer.cookies().is_empty() && answer.header("clear-site-data").is_empty(), "{what}");
        assert!(opens(&ada, &world.engine).await, "{what}");
    }
    for method in ["GET", "HEAD"] {
        assert_eq!(ask(method, "/auth/sign-out").page().with_jar_of(&ada).send(&world.engine).await.status, 405);
        assert!(opens(&ada, &world.engine).await);
    }
    // Negative control: the token of this session stands for what an old browser does not send.
    let answer = request().old_browser().set("x-csrf-token", &csrf).with_jar_of(&ada).send(&world.engine).await;
    assert_eq!(answer.status, 303);
    assert!(!opens(&ada, &world.engine).await);
}

/// F5, P2, P3: when the store does not acknowledge, the answer is 503, the cookies stay, and the session lives.
#[tokio::test]
async fn an_unacknowledged_sign_out_is_no_sign_out() {
    let store = Flaky::over(Arc::new(MemoryStore::new()));
    let world = site_on(quick_config(), store.clone()).await;
    let ada = sign_in(&world.engine, "ada").await;
    assert!(opens(&ada, &world.engine).await);
    for fault in [Fault::Away, Fault::AnswersLost] {
        for scope in ["this", "everywhere", "others"] {
            let ada = sign_in_while(&world, &store, &ada).await;
            store.set(fault);
            let answer = sign_out(scope).with_jar_of(&ada).send(&world.engine).await;
            assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "2"), "{fault:?} {scope}");
            assert!(answer.cookies().is_empty() && answer.header("clear-site-data").is_empty());
            store.set(Fault::None);
            if fault == Fault::Away {
                assert!(opens(&ada, &world.engine).await, "negative control: nothing had happened");
            }
            // Given again, it holds, whether or not the first order had been carried out (P6).
            let again = sign_out("everywhere").with_jar_of(&ada).send(&world.engine).await;
            assert_eq!(again.status, 200);
            assert!(!opens(&ada, &world.engine).await);
        }
    }
}

async fn sign_in_while(world: &crate::world::World, store: &Flaky, before: &Browser) -> Browser {
    store.set(Fault::None);
    let ada = sign_in(&world.engine, "ada").await;
    assert_ne!(session_id(&ada), session_id(before));
    assert!(opens(&ada, &world.engine).await);
    ada
}

/// Signing out without a session is what was asked for; it clears what is left in the browser.
#[tokio::test]
async fn signing_out_twice_is_fine() {
    let world = site().await;
    let ada = sign_in(&world.engine, "ada").await;
    assert_eq!(sign_out("this").with_jar_of(&ada).send(&world.engine).await.status, 200);
    let again = sign_out("this").with_jar_of(&ada).send(&world.engine).await;
    assert_eq!((again.status.as_u16(), again.json()["ended"].clone()), (200, json!([])));
    assert_eq!(again.cookies().len(), 2);
    assert_eq!(sign_out("others").with_jar_of(&ada).send(&world.engine).await.code(), "no_session");
    let names: Vec<String> = events(&world.engine).await.into_iter().map(|event| event.name).collect();
    assert_eq!(names.iter().filter(|name| *name == "session_ended").count(), 1, "one session ended once");
}

/// A form is answered with 303: to the page that says so, or to a safe address.
#[tokio::test]
async fn a_form_is_sent_on() {
    let world = site().await;
    for (target, location) in
        [(None, "/auth/signed-out"), (Some("/bye"), "/bye"), (Some("//evil.test"), "/auth/signed-out")]
    {
        let mut ada = sign_in(&world.engine, "ada").await;
        let fields: Vec<(&str, &str)> = target.map(|target| ("return_to", target)).into_iter().collect();
        let answer = ask("POST", "/auth/sign-out").page().form(&fields).by(&mut ada, &world.engine).await;
        assert_eq!((answer.status.as_u16(), answer.location()), (303, location));
        assert_eq!(answer.header("clear-site-data"), "\"cache\", \"storage\"");
        assert!(ada.jar.is_empty());
    }
    let page = ask("GET", "/auth/signed-out").page().send(&world.engine).await;
    assert!(page.status == 200 && page.text().contains("href=\"/auth/sign-in\""));
    let ada = sign_in(&world.engine, "ada").await;
    let signed_in = ask("GET", "/auth/signed-out").page().with_jar_of(&ada).send(&world.engine).await;
    assert_eq!((signed_in.status.as_u16(), signed_in.location()), (303, "/"), "the page does not lie");
}
