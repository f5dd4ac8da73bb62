//! `GET` and `POST /auth/sign-in`.

use std::sync::Arc;
use std::time::Duration;

use sessile::{Access, EngineConfig, Peer};
use sessile_core::{SecretText, Storage};
use sessile_store::memory::MemoryStore;

use crate::flaky::{Fault, Flaky};
use crate::surface_client::{
    Answer, PASSWORD, add_account, ask, credentials, events, opens, quick_config, session_id, sign_in, site, site_on,
    site_with, stores,
};
use crate::world::{ACCESS, Browser, SESSION, World, guard};

/// JSON is answered with the session and two cookies, on both stores; the cookies open, and nothing else did before.
#[tokio::test]
async fn json_is_answered_with_the_session() {
    for (store, _directory) in stores() {
        let world = site_on(quick_config(), store).await;
        let mut browser = Browser::default();
        assert!(!opens(&browser, &world.engine).await, "negative control");
        let answer =
            ask("POST", "/auth/sign-in").script().json(&credentials("ada")).by(&mut browser, &world.engine).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json"));
        let body = answer.json();
        let session = &body["session"];
        assert_eq!(session["subject"], "ada");
        assert_eq!(session["id"], session_id(&browser));
        assert_eq!(session["storage"], "hybrid");
        assert_eq!(session["created_at"], "2096-10-02T07:06:40Z");
        assert_eq!(session["expires_at"], "2096-10-02T08:06:40Z", "the idle timeout comes first");
        assert_eq!(session["absolute_end"], "2096-10-03T07:06:40Z");
        assert_eq!(
            body.as_object().expect("an object").keys().collect::<Vec<_>>(),
            ["session"],
            "R-065: no token in the body"
        );
        for cookie in answer.cookies() {
            let value = cookie.split(['=', ';']).nth(1).expect("a value");
            assert!(!answer.text().contains(value), "{cookie}");
            for attribute in ["; Path=/", "; Secure", "; HttpOnly", "; SameSite=Strict"] {
                assert!(cookie.contains(attribute), "{cookie}");
            }
            assert!(!cookie.contains("Max-Age") && !cookie.contains("Domain"), "{cookie}");
        }
        assert_eq!(browser.jar.keys().collect::<Vec<_>>(), [SESSION, ACCESS]);
        assert!(opens(&browser, &world.engine).await);
    }
}

/// a form is answered with 303 to where the user wanted to go.
#[tokio::test]
async fn a_form_is_answered_with_see_other() {
    let world = site().await;
    let mut browser = Browser::default();
    let fields = [("username", "ada"), ("password", PASSWORD), ("return_to", "/notes?tab=1")];
    let answer = ask("POST", "/auth/sign-in").page().form(&fields).by(&mut browser, &world.engine).await;
    assert_eq!((answer.status.as_u16(), answer.location()), (303, "/notes?tab=1"));
    assert!(answer.body.is_empty());
    assert!(opens(&browser, &world.engine).await);
    let without = ask("POST", "/auth/sign-in").page().form(&fields[..2]).send(&world.engine).await;
    assert_eq!((without.status.as_u16(), without.location()), (303, "/"));
}

/// R-122, D3, D5, D6, D8, D10, P30: whatever is asked for, the redirect stays on this origin, and sign-in is never
/// stuck on a bad address.
#[tokio::test]
async fn return_to_stays_here() {
    let world = site().await;
    let hostile = [
        "https://evil.test/",
        "//evil.test",
        "///evil.test",
        "/\\evil.test",
        "\\\\evil.test",
        "/\t/evil.test",
        "/\n/evil.test",
        "/ /evil.test",
        "/%2f/evil.test",
        "/%5cevil.test",
        "/.//evil.test",
        "/..//evil.test",
        "/x/../..//evil.test",
        "https:evil.test",
        "javascript:alert(1)",
        "data:text/html,x",
        "/@evil.test",
        "@evil.test",
        "app.test@evil.test",
        "/x\r\nSet-Cookie: a=b",
        "/x%0d%0aSet-Cookie:a=b",
        "/\u{2028}evil",
        "/\u{ff0f}evil.test",
        "notes",
        "",
        "?x",
        "#x",
    ];
    for target in hostile {
        let fields = [("username", "ada"), ("password", PASSWORD), ("return_to", target)];
        let answer = ask("POST", "/auth/sign-in").page().form(&fields).send(&world.engine).await;
        assert_eq!((answer.status.as_u16(), answer.location()), (303, "/"), "{target:?}");
        let query: String = target.bytes().map(|b| format!("%{b:02X}")).collect();
        let page = ask("GET", &format!("/auth/sign-in?return_to={query}")).page().send(&world.engine).await;
        assert_eq!(page.status, 200, "{target:?}");
        assert!(page.text().contains("name=\"return_to\" value=\"/\""), "{target:?}");
    }
    let long = format!("/{}", "x".repeat(5000));
    let fields = [("username", "ada"), ("password", PASSWORD), ("return_to", long.as_str())];
    assert_eq!(ask("POST", "/auth/sign-in").page().form(&fields).send(&world.engine).await.location(), "/");
    // Given twice, it is nobody's (mod_auth_openidc 2026-08-07: last wins).
    let twice = ask("GET", "/auth/sign-in?return_to=/a&return_to=/b").page().send(&world.engine).await;
    assert!(twice.text().contains("name=\"return_to\" value=\"/\""));
    // Negative control: plain paths of ours are kept.
    for target in ["/", "/notes", "/notes/5?tab=a%20b&x=1", "/a.b~c/d"] {
        let fields = [("username", "ada"), ("password", PASSWORD), ("return_to", target)];
        let answer = ask("POST", "/auth/sign-in").page().form(&fields).send(&world.engine).await;
        assert_eq!(answer.location(), target);
    }
}

fn field_of<'a>(page: &'a str, name: &str) -> &'a str {
    let at = page.split(&format!("name=\"{name}\" value=\"")).nth(1).unwrap_or_else(|| panic!("no field {name}"));
    at.split('"').next().expect("a value")
}

/// The page works without scripts, in a browser that sends neither Fetch Metadata nor Origin: its hidden token stands
/// for them. R-083: without the token, with another browser's, or after its time, the form is refused.
#[tokio::test]
async fn the_form_works_in_an_old_browser() {
    let world = site().await;
    let page = ask("GET", "/auth/sign-in?return_to=%2Fnotes").old_browser().send(&world.engine).await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, "text/html; charset=utf-8"));
    let html = page.text();
    let token = field_of(&html, "csrf_token").to_owned();
    let send = |token: String| {
        ask("POST", "/auth/sign-in").old_browser().form(&[
            ("username", "ada"),
            ("password", PASSWORD),
            ("return_to", "/notes"),
            ("csrf_token", &token),
        ])
    };
    let answer = send(token.clone()).send(&world.engine).await;
    assert_eq!((answer.status.as_u16(), answer.location()), (303, "/notes"), "negative control for all that follows");

    let refused = |answer: Answer| {
        assert_eq!(answer.status, 403, "{}", answer.text());
        assert!(answer.text().contains("csrf_refused") && answer.cookies().is_empty());
    };
    refused(send(String::new()).send(&world.engine).await);
    refused(send(token.replace(|c: char| c.is_ascii_lowercase(), "A")).send(&world.engine).await);
    refused(send(token.clone()).set("user-agent", "Mozilla/5.0 (X11; Linux) Chrome/99.0").send(&world.engine).await);
    refused(send(token.clone()).from("203.0.113.9").send(&world.engine).await);
    refused(send(token.clone()).set("sec-fetch-site", "cross-site").send(&world.engine).await);
    refused(send(token.clone()).set("origin", "https://evil.test").send(&world.engine).await);
    world.pass_time(Duration::from_secs(31 * 60));
    refused(send(token).send(&world.engine).await);
}

/// where a sign-in may come from. A victim must not be signed in by another site's page.
#[tokio::test]
async fn sign_in_is_protected_against_login_csrf() {
    let world = site().await;
    let form = [("username", "ada"), ("password", PASSWORD)];
    let json = credentials("ada");
    let request = || ask("POST", "/auth/sign-in");
    for (what, asked, status) in [
        ("another site's form", request().cross_site().form(&form), 403),
        ("another site's form, old browser", request().set("origin", "https://evil.test").form(&form), 403),
        ("a sandboxed frame", request().set("origin", "null").form(&form), 403),
        (
            "a sibling host",
            request().set("sec-fetch-site", "same-site").set("origin", "https://b.app.test").form(&form),
            403,
        ),
        ("the plain twin", request().set("origin", "http://app.test").form(&form), 403),
        ("a form from nowhere", request().form(&form), 403),
        ("JSON as text from nowhere", request().body("text/plain", json.to_string()), 415),
        ("another site's JSON", request().cross_site().json(&json), 403),
        // Negative controls.
        ("our own form", request().page().form(&form), 303),
        ("our own form, old browser", request().set("origin", "https://app.test").form(&form), 303),
        ("our own script", request().script().json(&json), 200),
        ("a native client", request().json(&json), 200),
    ] {
        let answer = asked.send(&world.engine).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        assert_eq!(answer.cookies().is_empty(), status >= 400, "{what}");
    }
}

/// A page without what is fresh in each, and without the name that was typed.
fn without_nonces(mut page: Answer, name: &str) -> Answer {
    page.headers.remove("content-security-policy");
    let text = page.text().replace(&format!("value=\"{name}\""), "");
    let lines: Vec<&str> =
        text.lines().filter(|line| !line.contains("nonce=") && !line.contains("csrf_token")).collect();
    page.body = lines.join("\n").into();
    page
}

/// R-125, K7: unknown user, wrong password and disabled account look the same, to scripts and to people, and ask the
/// same of the store.
#[tokio::test]
async fn failures_are_indistinguishable() {
    let attempts = [
        ("ada", "wrong-wrong-wrong"),
        ("ada", ""),
        ("nobody-here", "wrong-wrong-wrong"),
        ("nobody-here", PASSWORD),
        ("disabled", PASSWORD),
    ];
    let mut answers = Vec::new();
    for (name, password) in attempts {
        let world = site().await;
        add_account(&world.engine, "disabled").await;
        world.engine.accounts().disable("disabled", world.engine.now().wall).await.expect("disabled");
        let before = world.engine.vault().ops();
        let json = serde_json::json!({ "username": name, "password": password });
        let answer = ask("POST", "/auth/sign-in").script().json(&json).send(&world.engine).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (401, "sign_in_failed"), "{name}");
        let after = world.engine.vault().ops();
        let operations: Vec<u64> =
            before.iter().zip(after.iter()).map(|((_, before), (_, after))| after - before).collect();
        let form = ask("POST", "/auth/sign-in").page().form(&[("username", name), ("password", password)]);
        let page = form.send(&world.engine).await;
        assert_eq!(page.status, 401);
        assert!(page.text().contains("role=\"alert\""));
        let page = without_nonces(page, name);
        // What is not even a name looks the same as well; it needs no look at the accounts.
        let odd = serde_json::json!({ "username": "\u{202e}", "password": password });
        let odd = ask("POST", "/auth/sign-in").script().json(&odd).send(&world.engine).await;
        assert_eq!(odd, answer);
        let right = ask("POST", "/auth/sign-in").script().json(&credentials("ada")).send(&world.engine).await;
        assert_eq!(right.status, 200, "negative control");
        assert_ne!(right.body, answer.body);
        answers.push((answer, page, operations));
    }
    for answer in &answers {
        assert_eq!(answer, &answers[0]);
    }
}

/// every refusal hashed a password, whoever it was for: with the one place of the pool taken, all of them
/// wait for it and none is answered.
#[tokio::test]
async fn every_failure_costs_a_hash() {
    let mut config = quick_config();
    config.passwords.parallel_hashes = Some(1);
    config.passwords.queue = 0;
    let world = World::with(config, Arc::new(MemoryStore::new())).await;
    add_account(&world.engine, "ada").await;
    add_account(&world.engine, "disabled").await;
    world.engine.accounts().disable("disabled", world.engine.now().wall).await.expect("disabled");
    let engine = world.engine.clone();
    let occupied =
        tokio::spawn(
            async move { engine.hashing().verify(SecretText::new("x".to_owned()), Some(costly_hash())).await },
        );
    tokio::time::sleep(Duration::from_millis(20)).await;
    for name in ["ada", "nobody-here", "disabled", "\u{202e}"] {
        let answer = ask("POST", "/auth/sign-in").script().json(&credentials(name)).send(&world.engine).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str(), answer.header("retry-after")),
            (503, "busy", "2"),
            "{name}"
        );
        assert!(answer.cookies().is_empty());
    }
    assert!(!occupied.is_finished(), "the place was taken all the while");
    occupied.await.expect("joined").expect("hashed");
    let answer = ask("POST", "/auth/sign-in").script().json(&credentials("ada")).send(&world.engine).await;
    assert_eq!(answer.status, 200, "negative control: with a place free it is answered");
}

/// R-125, K7: unknown and known accounts take the same time. The fastest of several interleaved tries are compared,
/// because noise only lengthens, and once more if they differ, because a real difference stays. Negative control: an
/// answer that skips the hash stands out.
#[tokio::test]
async fn failures_take_the_same_time() {
    let mut config = crate::world::config();
    config.throttle.free = 1000;
    config.throttle.hard_stop = 1000;
    config.throttle.free_per_network = 1000;
    let world = World::with(config, Arc::new(MemoryStore::new())).await;
    add_account(&world.engine, "ada").await;
    let once = async |body: serde_json::Value, status: u16| {
        let begun = std::time::Instant::now();
        let answer = ask("POST", "/auth/sign-in").script().json(&body).send(&world.engine).await;
        assert_eq!(answer.status, status);
        begun.elapsed()
    };
    let mut measured = Vec::new();
    for _ in 0..4 {
        let (mut wrong, mut unknown, mut skipped) = (Duration::MAX, Duration::MAX, Duration::MAX);
        for _ in 0..9 {
            wrong =
                wrong.min(once(serde_json::json!({ "username": "ada", "password": "wrong-wrong-wrong" }), 401).await);
            unknown = unknown
                .min(once(serde_json::json!({ "username": "nobody", "password": "wrong-wrong-wrong" }), 401).await);
            skipped = skipped.min(once(serde_json::json!({ "username": "ada" }), 400).await);
        }
        assert!(skipped * 3 < wrong.min(unknown), "without a hash {skipped:?}, with one {wrong:?} and {unknown:?}");
        let ratio = wrong.as_secs_f64() / unknown.as_secs_f64();
        if (0.75..1.33).contains(&ratio) {
            return;
        }
        measured.push((wrong, unknown));
    }
    panic!("wrong password and unknown account differ each time: {measured:?}");
}

/// R-021, E2, E24: a sign-in makes a new session and ends the one presented; nothing the client sent is adopted.
#[tokio::test]
async fn the_session_before_is_ended() {
    let world = site().await;
    let before = sign_in(&world.engine, "ada").await;
    let mut after = before.clone();
    let answer = ask("POST", "/auth/sign-in").script().json(&credentials("grace")).by(&mut after, &world.engine).await;
    assert_eq!(answer.status, 200);
    assert_ne!(session_id(&before), session_id(&after));
    assert_ne!(before.jar[ACCESS], after.jar[ACCESS]);
    assert!(opens(&after, &world.engine).await);
    assert!(!opens(&before, &world.engine).await);
    // E3: an id of the right form that was never issued is not adopted.
    let mut planted = Browser::default();
    planted.jar.insert(SESSION.to_owned(), format!("{}.0.{}", "A".repeat(22), "A".repeat(43)));
    let answer = ask("POST", "/auth/sign-in").script().json(&credentials("ada")).by(&mut planted, &world.engine).await;
    assert_eq!(answer.status, 200);
    assert_ne!(session_id(&planted), "A".repeat(22));
    // Negative control: a failed sign-in ends nothing.
    let wrong = serde_json::json!({ "username": "ada", "password": "wrong-wrong-wrong" });
    assert_eq!(
        ask("POST", "/auth/sign-in").script().json(&wrong).with_jar_of(&after).send(&world.engine).await.status,
        401
    );
    assert!(opens(&after, &world.engine).await);
}

/// E5, R-082: looking at the sign-in page changes nothing, and says who is signed in.
#[tokio::test]
async fn looking_at_the_page_changes_nothing() {
    let world = site().await;
    let ada = sign_in(&world.engine, "ada").await;
    let page = ask("GET", "/auth/sign-in?return_to=/notes").page().with_jar_of(&ada).send(&world.engine).await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("signed in as <strong>ada</strong>") && page.text().contains("href=\"/notes\""));
    assert!(page.cookies().is_empty());
    assert!(opens(&ada, &world.engine).await);
    let stranger = ask("GET", "/auth/sign-in").page().send(&world.engine).await;
    assert!(!stranger.text().contains("signed in as"), "negative control");
}

/// K8: names full of markup are text on the page, the one just typed and the one signed in.
#[tokio::test]
async fn names_are_text() {
    let world = site().await;
    let name = "<img src=x onerror=alert(1)>";
    add_account(&world.engine, name).await;
    let fields = [("username", "\"><script>alert(1)</script>"), ("password", "wrong-wrong-wrong")];
    let page = ask("POST", "/auth/sign-in").page().form(&fields).send(&world.engine).await.text();
    assert!(page.contains("value=\"&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;\""), "what was typed is kept");
    assert!(!page.contains("<script>alert"));
    let eve = sign_in(&world.engine, name).await;
    let page = ask("GET", "/auth/sign-in").page().with_jar_of(&eve).send(&world.engine).await.text();
    assert!(page.contains("&lt;img src&#61;x") && !page.contains("<img"));
    assert!(!page.contains(PASSWORD) && !page.contains("wrong-wrong-wrong"), "a password is never sent back");
}

/// "remember me" is offered and heeded only where it is configured.
#[tokio::test]
async fn remember_me_is_opt_in() {
    let mut config = quick_config();
    config.limits.remember = sessile_core::policy::Limits::REMEMBER;
    let remembering = site_with(config).await;
    let plain = site().await;
    let body = serde_json::json!({ "username": "ada", "password": PASSWORD, "remember": true });
    for (world, expected) in [(&remembering, true), (&plain, false)] {
        let page = ask("GET", "/auth/sign-in").page().send(&world.engine).await.text();
        assert_eq!(page.contains("name=\"remember\""), expected);
        let answer = ask("POST", "/auth/sign-in").script().json(&body).send(&world.engine).await;
        assert_eq!(answer.json()["session"]["remember"], expected);
        assert!(
            answer.cookies().iter().all(|cookie| cookie.contains("; Max-Age=2592000") == expected),
            "{:?}",
            answer.cookies()
        );
        let form = [("username", "ada"), ("password", PASSWORD), ("remember", "true")];
        let answer = ask("POST", "/auth/sign-in").page().form(&form).send(&world.engine).await;
        assert!(answer.cookies().iter().all(|cookie| cookie.contains("; Max-Age=") == expected));
        let answer = ask("POST", "/auth/sign-in").script().json(&credentials("ada")).send(&world.engine).await;
        assert!(!answer.cookies().iter().any(|cookie| cookie.contains("Max-Age")), "not asked for");
    }
}

/// Storages whose token travels in bodies get it there, and no access cookie.
#[tokio::test]
async fn body_storages_get_their_token_in_the_body() {
    let mut config = quick_config();
    config.storage = Storage::Memory;
    let world = site_with(config).await;
    let answer = ask("POST", "/auth/sign-in").script().json(&credentials("ada")).send(&world.engine).await;
    let body = answer.json();
    assert_eq!((body["token_type"].as_str(), body["expires_in"].as_u64()), (Some("Bearer"), Some(300)));
    let token = body["access_token"].as_str().expect("a token");
    assert_eq!(world.engine.verify_token(token).expect("verifies").claims().subject.as_str(), "ada");
    let (set, cleared): (Vec<_>, Vec<_>) = answer.cookies().into_iter().partition(|c| !c.contains("Max-Age=0"));
    assert!(set.len() == 1 && set[0].starts_with(&format!("{SESSION}=")), "the session token alone: {set:?}");
    assert!(cleared.len() == 1 && cleared[0].starts_with(&format!("{ACCESS}=;")), "no access token: {cleared:?}");
}

/// S2, P3, R-174: without the store a sign-in is 503 and nobody is signed in; right and wrong passwords are not
/// told apart.
#[tokio::test]
async fn without_the_store_nothing_is_decided() {
    let store = Flaky::over(Arc::new(MemoryStore::new()));
    let world = site_on(quick_config(), store.clone()).await;
    store.set(Fault::Away);
    for password in [PASSWORD, "wrong-wrong-wrong"] {
        let body = serde_json::json!({ "username": "ada", "password": password });
        let answer = ask("POST", "/auth/sign-in").script().json(&body).send(&world.engine).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str(), answer.header("retry-after")),
            (503, "unavailable", "2")
        );
        assert!(answer.cookies().is_empty());
    }
    let page = ask("GET", "/auth/sign-in").page().send(&world.engine).await;
    assert_eq!(page.status, 200, "the page itself needs no store");
    store.set(Fault::None);
    sign_in(&world.engine, "ada").await;
}

/// R-027, H10, F8: an account that is disabled, or whose password is changed, while its password is being checked
/// gets no session.
#[tokio::test]
async fn a_change_during_the_check_wins() {
    enum Change {
        Disable,
        NewPassword,
        Nothing,
    }
    for change in [Change::Disable, Change::NewPassword, Change::Nothing] {
        let mut config = quick_config();
        config.passwords.parallel_hashes = Some(1);
        let world = site_with(config).await;
        let engine = world.engine.clone();
        let before = world.engine.vault().ops();
        let found = |ops: &sessile_store::OpCounts| ops.of(sessile_store::Op::FindAccount);
        // Holds the one bench while the account changes.
        let held = {
            let engine = engine.clone();
            tokio::spawn(
                async move { engine.hashing().verify(SecretText::new("x".to_owned()), Some(costly_hash())).await },
            )
        };
        tokio::time::sleep(Duration::from_millis(10)).await;
        let attempt = {
            let engine = engine.clone();
            tokio::spawn(
                async move { ask("POST", "/auth/sign-in").script().json(&credentials("ada")).send(&engine).await },
            )
        };
        while found(&engine.vault().ops()) == found(&before) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let now = engine.now().wall.plus(Duration::from_secs(1));
        match change {
            Change::Disable => drop(engine.accounts().disable("ada", now).await.expect("disabled")),
            Change::NewPassword => {
                let account = engine.accounts().find("ada").await.expect("the account");
                let hash = SecretText::new(
                    "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaA".to_owned(),
                );
                engine.vault().set_password(&account, &hash, now).await.expect("changed");
            }
            Change::Nothing => {}
        }
        assert!(!held.is_finished() && !attempt.is_finished(), "the check had not begun");
        let answer = attempt.await.expect("answered");
        let left = engine.sessions_of(&"ada".parse().expect("a subject")).await.expect("listed");
        if matches!(change, Change::Nothing) {
            assert_eq!((answer.status.as_u16(), left.len()), (200, 1), "negative control");
        } else {
            assert_eq!((answer.status.as_u16(), answer.code().as_str(), left.len()), (401, "sign_in_failed", 0));
            assert!(answer.cookies().is_empty());
        }
    }
}

/// Where password accounts are switched off there is no sign-in here.
#[tokio::test]
async fn password_accounts_can_be_switched_off() {
    let mut config = quick_config();
    config.passwords.enabled = false;
    let world = site_with(config).await;
    assert_eq!(ask("GET", "/auth/sign-in").page().send(&world.engine).await.status, 404);
    let answer = ask("POST", "/auth/sign-in").script().json(&credentials("ada")).send(&world.engine).await;
    assert_eq!((answer.status.as_u16(), answer.cookies().len()), (404, 0));
    sign_in(&site().await.engine, "ada").await;
}

/// a fresh start has no account, and no guess at a default one opens anything.
#[tokio::test]
async fn there_is_no_default_account() {
    let world = World::with(quick_config(), Arc::new(MemoryStore::new())).await;
    assert!(world.engine.vault().list_accounts(None, 10).await.expect("listed").is_empty());
    for (at, name) in ["admin", "root", "sessile", "user", "test"].into_iter().enumerate() {
        for password in ["", name, "password", "admin", "changeme", "sessile"] {
            let body = serde_json::json!({ "username": name, "password": password });
            let peer =
                Peer { address: Some([198, 51, 100, u8::try_from(at).expect("few")].into()), ..crate::world::peer() };
            let answer = ask("POST", "/auth/sign-in").script().peer(peer).json(&body).send(&world.engine).await;
            assert!(matches!(answer.status.as_u16(), 401 | 429) && answer.cookies().is_empty(), "{name} {password}");
        }
    }
    add_account(&world.engine, "ada").await;
    sign_in(&world.engine, "ada").await;
}

/// Events name an account only if it exists: what people type into the name field is at times a password.
#[tokio::test]
async fn events_name_accounts_and_nothing_else() {
    let world = site().await;
    let canary = "my-secret-password-typed-as-name";
    for name in ["ada", canary] {
        let body = serde_json::json!({ "username": name, "password": "wrong-wrong-wrong-CANARY" });
        ask("POST", "/auth/sign-in").script().json(&body).send(&world.engine).await;
    }
    let events = events(&world.engine).await;
    let fails: Vec<_> = events.iter().filter(|event| event.name == "authn_login_fail").collect();
    assert_eq!(fails.iter().map(|e| e.reason.as_str()).collect::<Vec<_>>(), ["wrong_password", "unknown_account"]);
    assert_eq!(fails[0].subject.as_ref().map(|s| s.as_str()), Some("ada"), "negative control");
    assert_eq!(fails[1].subject, None);
    let everything = format!("{events:?}");
    assert!(!everything.contains(canary) && !everything.contains("CANARY"));
}

/// A hash of no password that takes long to compare with.
fn costly_hash() -> SecretText {
    SecretText::new(
        "$argon2id$v=19$m=19456,t=32,p=1$c2FsdHNhbHQ$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaA".to_owned(),
    )
}

/// Whoever has no session is sent to the app's own sign-in page where it has one; a site without any says what is
/// missing, and sends nobody round in a circle.
#[tokio::test]
async fn people_are_sent_where_they_can_sign_in() {
    let visit = async |config: EngineConfig| {
        let world = site_with(config).await;
        let mut parts = Browser::default().request("GET", "/notes?page=2");
        for (name, value) in [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"), ("accept", "text/html")] {
            parts.headers.insert(name, value.parse().expect("a value"));
        }
        let answer = guard(&world.engine, &parts, Access::Session).await.expect("answered");
        let location = answer.headers().get("location").map(|value| value.to_str().expect("ASCII").to_owned());
        (answer.status().as_u16(), location, String::from_utf8_lossy(answer.body()).into_owned())
    };
    let mut config = quick_config();
    let (status, location, _) = visit(config.clone()).await;
    assert_eq!((status, location.as_deref()), (303, Some("/auth/sign-in?return_to=/notes%3Fpage%3D2")));
    config.sign_in_page = Some("/login".to_owned());
    config.passwords.enabled = false;
    let (status, location, _) = visit(config.clone()).await;
    assert_eq!((status, location.as_deref()), (303, Some("/login?return_to=/notes%3Fpage%3D2")));
    config.sign_in_page = None;
    let (status, location, page) = visit(config).await;
    assert_eq!((status, location), (401, None));
    assert!(!page.contains("sign-in"), "no link to a page that is not there: {page}");
}
