//! Sign-in and sign-out asserted by the application (product.md section 3), and what becomes of its other headers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sessile::Access;
use sessile_core::Subject;
use sessile_server::gateway::DrainPolicy;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use crate::gateway_world::{
    ACCESS, Browser, Client, SESSION, World, read_request, request, route, settings, until, upstream,
};

/// An application whose answers are what the request asks for in `X-Say` lines, separated by `|`.
async fn puppet() -> (std::net::SocketAddr, tokio::task::JoinHandle<()>) {
    upstream(|connection, mut io| async move {
        while let Some(seen) = read_request(&mut io, connection).await {
            let status = seen.field("x-status").unwrap_or("200").to_owned();
            let said: String = seen
                .field("x-say")
                .unwrap_or_default()
                .split('|')
                .filter(|line| !line.is_empty())
                .map(|line| format!("{line}\r\n"))
                .collect();
            let who = seen.field("sessile-subject").unwrap_or("nobody").to_owned();
            io.send(format!("HTTP/1.1 {status} Said\r\n{said}Content-Length: {}\r\n\r\n{who}", who.len()).as_bytes())
                .await;
        }
    })
    .await
}

async fn world() -> (World, tokio::task::JoinHandle<()>) {
    let (address, task) = puppet().await;
    let mut settings = settings(vec![route("/", address, Access::Public), route("/private", address, Access::Session)]);
    settings.sign_in_routes = vec!["POST /login".into(), "POST /logout".into(), "POST /private/switch".into()];
    (World::start(settings).await, task)
}

async fn say(
    world: &World,
    method: &str,
    path: &str,
    said: &str,
    more: &[(&str, &str)],
) -> crate::gateway_world::Answer {
    let mut fields = vec![("X-Say", said), ("Sec-Fetch-Site", "same-origin")];
    fields.extend_from_slice(more);
    world.request(method, path, &fields, b"").await
}

async fn sessions_of(world: &World, subject: &str) -> usize {
    let subject: Subject = subject.parse().expect("a subject");
    world.engine.sessions_of(&subject).await.expect("a list").len()
}

fn browser(answer: &crate::gateway_world::Answer) -> Browser {
    let mut browser = Browser { session: sessile_core::SessionId::from_bytes([0; 16]), jar: Default::default() };
    for cookie in answer.all("set-cookie") {
        browser.take(cookie);
    }
    browser
}

/// The application says who signed in; the gateway begins a session, and the header goes no further.
#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_begins_a_session() {
    let (world, _task) = world().await;
    let said = r#"Sessile-Sign-In: {"sub":"42","claims":{"role":"editor"},"amr":["pwd"],"remember":false}|Set-Cookie: theme=dark"#;
    let answer = say(&world, "POST", "/login", said, &[]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.field("sessile-sign-in"), None);
    let mut names = answer.cookies();
    names.sort();
    assert_eq!(names, [SESSION, ACCESS, "theme"], "ours, and the application's own");
    assert_eq!(answer.field("cache-control"), Some("no-store"), "E17");
    let browser = browser(&answer);
    let cookie = browser.cookie();
    assert_eq!(world.get("/private/x", &[("Cookie", &cookie)]).await.text(), "42");
    let token = world.engine.verify_token(&browser.jar[ACCESS]).expect("ours");
    assert_eq!(token.claims().facts.claims.get("role"), Some(&serde_json::Value::from("editor")));

    // A second sign-in replaces the session presented with it (R-021).
    let answer = say(&world, "POST", "/login", r#"Sessile-Sign-In: {"sub":"42"}"#, &[("Cookie", &cookie)]).await;
    let again = self::browser(&answer);
    assert_ne!(again.jar[SESSION], browser.jar[SESSION]);
    assert_eq!(world.get("/private/x", &[("Cookie", &cookie)]).await.status, 401, "the old one is over");
    assert_eq!(world.get("/private/x", &[("Cookie", &again.cookie())]).await.status, 200);
    assert_eq!(sessions_of(&world, "42").await, 1);
    world.stop().await;
}

/// The header counts on the configured routes alone, and is taken out of every answer, in every spelling.
#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_elsewhere_is_dropped() {
    let (world, _task) = world().await;
    let said = r#"Sessile-Sign-In: {"sub":"42"}"#;
    for (method, path) in
        [("GET", "/login"), ("POST", "/login/"), ("POST", "/login2"), ("POST", "/other"), ("PUT", "/login")]
    {
        let answer = say(&world, method, path, said, &[]).await;
        assert_eq!(
            (answer.status, answer.cookies().len(), answer.field("sessile-sign-in")),
            (200, 0, None),
            "{method} {path}"
        );
    }
    for spelling in ["Sessile_Sign_In", "SESSILE.SIGN-IN", "sessile~sign~in", "X-Sessile-Sign-In"] {
        let answer = say(&world, "POST", "/login", &format!(r#"{spelling}: {{"sub":"42"}}"#), &[]).await;
        assert_eq!((answer.status, answer.cookies().len()), (200, 0), "{spelling} means nothing");
        assert!(!answer.fields.iter().any(|(name, _)| name.contains("sessile")), "{spelling} is taken out");
    }
    assert_eq!(sessions_of(&world, "42").await, 0);
    assert_eq!(say(&world, "POST", "/login", said, &[]).await.cookies().len(), 2, "negative control");
    world.stop().await;
}

/// What is not exactly an assertion is refused whole: 502, an event, no session.
#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_assertion_is_502() {
    let (world, _task) = world().await;
    for said in [
        "Sessile-Sign-In: 42",
        r#"Sessile-Sign-In: {"sub":"42","admin":true}"#,
        r#"Sessile-Sign-In: {"sub":"42","sub":"1"}"#,
        r#"Sessile-Sign-In: {"sub":"42","claims":{"sub":"1"}}"#,
        r#"Sessile-Sign-In: {"sub":"42"}|Sessile-Sign-In: {"sub":"43"}"#,
        r#"Sessile-Sign-In: {"sub":"42"}|Sessile-Sign-Out: this"#,
        "Sessile-Sign-Out: yes",
    ] {
        let answer = say(&world, "POST", "/login", said, &[]).await;
        assert_eq!(
            (answer.status, answer.code().as_str(), answer.cookies().len()),
            (502, "upstream_invalid", 0),
            "{said}"
        );
    }
    let answer = say(&world, "POST", "/login", r#"Sessile-Sign-In: {"sub":"42"}"#, &[("X-Status", "401")]).await;
    assert_eq!((answer.status, answer.cookies().len()), (502, 0), "a failure that signs in contradicts itself");
    let claims = format!(r#"Sessile-Sign-In: {{"sub":"42","claims":{{"a":"{}"}}}}"#, "x".repeat(5000));
    let answer = say(&world, "POST", "/login", &claims, &[]).await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "claims_too_large"), "R-007");
    assert_eq!(sessions_of(&world, "42").await, 0);
    world.stop().await;
}

/// R-083: login CSRF. A forged sign-in is refused before the application sees it.
#[tokio::test(flavor = "multi_thread")]
async fn r083_a_cross_site_sign_in_is_refused() {
    let (world, _task) = world().await;
    let said = r#"Sessile-Sign-In: {"sub":"mallory"}"#;
    for fields in [
        vec![("Sec-Fetch-Site", "cross-site"), ("Origin", "https://evil.example")],
        vec![("Origin", "https://evil.example")],
        vec![("Origin", "null"), ("Content-Type", "application/x-www-form-urlencoded")],
    ] {
        let mut fields = fields;
        fields.push(("X-Say", said));
        let answer = world.request("POST", "/login", &fields, b"").await;
        assert_eq!((answer.status, answer.cookies().len()), (403, 0), "{fields:?}");
    }
    assert_eq!(sessions_of(&world, "mallory").await, 0);
    let same = world.request("POST", "/login", &[("Origin", "http://localhost"), ("X-Say", said)], b"").await;
    assert_eq!(same.cookies().len(), 2, "negative control");
    world.stop().await;
}

/// Sign-out by the application: this session or all of the user's; the records first, then the cookies, then the cache.
#[tokio::test(flavor = "multi_thread")]
async fn the_application_ends_sessions() {
    let (world, _task) = world().await;
    let (one, two) = (world.sign_in("ada").await, world.sign_in("ada").await);
    let answer = say(&world, "POST", "/logout", "Sessile-Sign-Out: this", &[("Cookie", &one.cookie())]).await;
    assert_eq!(answer.status, 200);
    assert!(answer.all("set-cookie").iter().any(|cookie| cookie.starts_with(&format!("{SESSION}=;"))));
    assert_eq!(answer.field("clear-site-data"), Some("\"cache\", \"storage\""));
    assert_eq!(world.get("/private/x", &[("Cookie", &one.cookie())]).await.status, 401);
    assert_eq!(
        world.get("/private/x", &[("Cookie", &two.cookie())]).await.status,
        200,
        "negative control: the other session lives"
    );
    let three = world.sign_in("ada").await;
    say(&world, "POST", "/logout", "Sessile-Sign-Out: everywhere", &[("Cookie", &two.cookie())]).await;
    for browser in [&two, &three] {
        assert_eq!(world.get("/private/x", &[("Cookie", &browser.cookie())]).await.status, 401);
    }
    assert_eq!(sessions_of(&world, "ada").await, 0);
    let nobody = say(&world, "POST", "/logout", "Sessile-Sign-Out: this", &[]).await;
    assert_eq!(nobody.status, 200, "nobody is signed in, and nobody is signed out");
    world.stop().await;
}

/// On a session route the answer that switches users carries the new session's cookies alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_overrules_a_renewal() {
    let (world, _task) = world().await;
    let mut browser = world.sign_in("ada").await;
    browser.jar.remove(ACCESS);
    let cookie = browser.cookie();
    let answer =
        say(&world, "POST", "/private/switch", r#"Sessile-Sign-In: {"sub":"grace"}"#, &[("Cookie", &cookie)]).await;
    let mut names = answer.cookies();
    names.sort();
    assert_eq!(names, [SESSION, ACCESS], "one of each");
    assert_eq!(world.get("/private/x", &[("Cookie", &self::browser(&answer).cookie())]).await.text(), "grace");
    world.stop().await;
}

/// P20, R-013: the application cannot set, shadow or expire our cookies; its own it can.
#[tokio::test(flavor = "multi_thread")]
async fn p20_the_application_sets_no_cookie_of_ours() {
    let (world, _task) = world().await;
    for cookie in [
        format!("{SESSION}=x"),
        format!("{}=x; Path=/", SESSION.to_ascii_lowercase()),
        format!("{ACCESS}=; Max-Age=0"),
        "__Secure-sessile=x; Domain=localhost".to_owned(),
        format!("={SESSION}=x"),
        format!(" {SESSION} =x"),
    ] {
        let answer = say(&world, "GET", "/x", &format!("Set-Cookie: {cookie}|Set-Cookie: mine=1"), &[]).await;
        assert_eq!(answer.all("set-cookie"), ["mine=1"], "{cookie}");
    }
    world.stop().await;
}

/// P21, R-095, E17: what depends on a session is not for caches; what does not is the application's affair.
#[tokio::test(flavor = "multi_thread")]
async fn p21_answers_of_a_session_stay_out_of_caches() {
    let (world, _task) = world().await;
    let browser = world.sign_in("ada").await;
    let cookie = browser.cookie();
    let answer =
        say(&world, "GET", "/private/x.css", "Content-Type: text/css|Vary: Accept", &[("Cookie", &cookie)]).await;
    assert!(answer.field("cache-control").is_some_and(|value| value.contains("no-store")), "{:?}", answer.fields);
    let vary = answer.all("vary").join(", ").to_ascii_lowercase();
    assert!(vary.contains("accept") && vary.contains("cookie"), "{vary}");
    let refused = world.get("/private/x.css", &[]).await;
    assert_eq!((refused.status, refused.field("cache-control")), (401, Some("no-store")));
    let answer = say(&world, "GET", "/x.css", "Cache-Control: public, max-age=60", &[]).await;
    assert_eq!(answer.field("cache-control"), Some("public, max-age=60"), "negative control");
    world.stop().await;
}

/// R-086, R-088, R-090, R-094: security headers are added by rule, and version-revealing ones removed.
#[tokio::test(flavor = "multi_thread")]
async fn r090_the_applications_answers_get_their_headers() {
    let (world, _task) = world().await;
    let answer = say(
        &world,
        "GET",
        "/x",
        "Content-Type: text/html|X-Powered-By: Express|Server: Werkzeug/3.0|X-AspNet-Version: 4",
        &[],
    )
    .await;
    assert_eq!(answer.field("x-content-type-options"), Some("nosniff"));
    for name in ["x-powered-by", "x-aspnet-version"] {
        assert_eq!(answer.field(name), None, "{name}");
    }
    assert!(
        answer.field("x-frame-options").is_some() && answer.field("referrer-policy").is_some(),
        "{:?}",
        answer.fields
    );
    let own = say(
        &world,
        "GET",
        "/x",
        "Content-Type: text/html|Content-Security-Policy: default-src 'self'|X-Frame-Options: DENY",
        &[],
    )
    .await;
    assert!(
        own.all("content-security-policy").contains(&"default-src 'self'"),
        "R-088: never weakened: {:?}",
        own.fields
    );
    assert_eq!(own.all("x-frame-options").len(), 1);
    world.stop().await;
}

/// A page navigation gets a page or a redirect, a script JSON (product.md section 7), and a link from elsewhere one bounce.
#[tokio::test(flavor = "multi_thread")]
async fn people_and_programs_are_answered_differently() {
    let (world, _task) = world().await;
    let navigation = [("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document"), ("Accept", "text/html")];
    let with = |site: &'static str| [&navigation[..], &[("Sec-Fetch-Site", site)]].concat();
    let page = world.get("/private/x?y=1", &with("none")).await;
    assert_eq!((page.status, page.field("location")), (303, Some("/auth/sign-in?return_to=/private/x%3Fy%3D1")));
    let bounce = world.get("/private/x?y=1", &with("cross-site")).await;
    assert_eq!(bounce.status, 200);
    assert!(
        bounce.field("location").is_none() && bounce.text().contains("href=\"/private/x?y&#61;1\""),
        "{}",
        bounce.text()
    );
    let after = world.get("/private/x?y=1", &with("same-origin")).await;
    assert_eq!(after.status, 303, "once: the bounced request is not bounced again");
    let script = world
        .get("/private/x", &[("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Site", "same-origin"), ("Accept", "text/html")])
        .await;
    assert_eq!((script.status, script.code().as_str()), (401, "no_session"));
    world.stop().await;
}

/// The engine's own endpoints stand in front of every route, on connections that are kept.
#[tokio::test(flavor = "multi_thread")]
async fn the_surface_is_served_through_the_gateway() {
    let (world, _task) = world().await;
    let jwks = world.get("/.well-known/jwks.json", &[]).await;
    assert_eq!((jwks.status, jwks.field("content-type")), (200, Some("application/json")));
    let session = world.get("/auth/session", &[]).await;
    assert_eq!((session.status, session.code().as_str()), (401, "no_session"));
    let browser = world.sign_in("ada").await;
    let mut client = Client::connect(world.address).await;
    let cookie = browser.cookie();
    for _ in 0..3 {
        client.send(&request("GET", "/auth/session", &[("Cookie", &cookie)], b"")).await;
        assert_eq!(client.answer(false).await.status, 200);
    }
    assert_eq!(world.get("/auth/nothing", &[]).await.status, 404);
    let snapshot = world.gateway.metrics().snapshot();
    assert!(
        snapshot.requests.iter().any(|count| count.route == "surface" && count.status == "4xx" && count.count == 2)
    );
    assert!(!client.closes(Duration::from_millis(50)).await);
    world.stop().await;
}

/// An application that says `X-Say` only when it is let.
async fn slow_puppet() -> (std::net::SocketAddr, Arc<AtomicUsize>, Arc<Semaphore>, tokio::task::JoinHandle<()>) {
    let (asked, let_answer) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let (count, wait) = (asked.clone(), let_answer.clone());
    let (address, task) = upstream(move |connection, mut io| {
        let (count, wait) = (count.clone(), wait.clone());
        async move {
            while let Some(seen) = read_request(&mut io, connection).await {
                count.fetch_add(1, Ordering::SeqCst);
                wait.acquire().await.expect("never closed").forget();
                let said = seen.field("x-say").unwrap_or_default();
                io.send(format!("HTTP/1.1 200 Said\r\n{said}\r\nContent-Length: 0\r\n\r\n").as_bytes()).await;
            }
        }
    })
    .await;
    (address, asked, let_answer, task)
}

async fn comes_to(world: &World, subject: &str, sessions: usize, within: Duration) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < within {
        if sessions_of(world, subject).await == sessions {
            return true;
        }
        sleep(Duration::from_millis(10)).await;
    }
    false
}

/// What the application says counts although the client has hung up: on its side the user is signed out, or in.
#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_counts_without_its_client() {
    let (address, asked, let_answer, _task) = slow_puppet().await;
    let mut settings = settings(vec![route("/", address, Access::Public)]);
    settings.sign_in_routes = vec!["POST /login".into(), "POST /logout".into()];
    let world = World::start(settings).await;
    let cookie = world.sign_in("ada").await.cookie();
    let mut count = 0;
    let mut hang_up = async |path, said, cookie| {
        count += 1;
        let mut client = Client::connect(world.address).await;
        let fields = [("X-Say", said), ("Sec-Fetch-Site", "same-origin"), ("Cookie", cookie)];
        client.send(&request("POST", path, &fields, b"")).await;
        until("the application is asked", || asked.load(Ordering::SeqCst) == count).await;
        drop(client);
        until("the client is gone", || world.gateway.metrics().requests_open.value() == 0).await;
        let_answer.add_permits(1);
    };

    hang_up("/elsewhere", "Sessile-Sign-Out: this", &cookie).await;
    assert!(!comes_to(&world, "ada", 0, Duration::from_millis(200)).await, "negative control: not a listed route");
    hang_up("/logout", "Sessile-Sign-Out: this", &cookie).await;
    assert!(comes_to(&world, "ada", 0, Duration::from_secs(5)).await, "signed out");
    hang_up("/login", r#"Sessile-Sign-In: {"sub":"42"}"#, "a=b").await;
    assert!(comes_to(&world, "42", 1, Duration::from_secs(5)).await, "signed in");
    until("no place is kept", || world.gateway.metrics().connections_open.value() == 0).await;
    world.stop().await;
}

/// The same when the gateway is stopping: it waits for the application, within the time it has.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_an_assertion() {
    let (address, asked, let_answer, _task) = slow_puppet().await;
    let mut settings = settings(vec![route("/", address, Access::Public)]);
    settings.sign_in_routes = vec!["POST /logout".into()];
    let mut world = World::start(settings).await;
    let cookie = world.sign_in("ada").await.cookie();
    let mut client = Client::connect(world.address).await;
    let fields = [("X-Say", "Sessile-Sign-Out: this"), ("Sec-Fetch-Site", "same-origin"), ("Cookie", &cookie)];
    client.send(&request("POST", "/logout", &fields, b"")).await;
    until("the application is asked", || asked.load(Ordering::SeqCst) == 1).await;
    drop(client);
    until("the client is gone", || world.gateway.metrics().requests_open.value() == 0).await;
    let later = tokio::spawn(async move {
        sleep(Duration::from_millis(300)).await;
        let_answer.add_permits(1);
    });
    let drain = world.drain.clone();
    let policy = DrainPolicy { announce: Duration::ZERO, finish: Duration::from_secs(10) };
    let draining = tokio::spawn(async move { drain.begin(policy).await });
    world.join().await;
    draining.abort();
    later.await.expect("no panic");
    assert_eq!(sessions_of(&world, "ada").await, 0);
}
