//! What reaches the upstream: part D of the requirements (P1, P2, P13 to P16, P20, P23) and the attacks A1 to A16.

use std::time::{SystemTime, UNIX_EPOCH};

use sessile::Access;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::gateway_world::{
    ACCESS, Client, Dice, Echo, SESSION, World, fold, read_request, request, settings, upstream, usual_routes,
};

/// Names an application might read its caller, the client's address, or another URL from.
const SPOKEN_FOR: &[&str] = &[
    "Authorization",
    "Sessile-Subject",
    "Sessile-Session",
    "Sessile-Claims",
    "Sessile-Anything",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Uri",
    "X-Forwarded-Method",
    "X-Forwarded-User",
    "X-Forwarded-Email",
    "X-Forwarded-Groups",
    "X-Forwarded-Preferred-Username",
    "X-Forwarded-Access-Token",
    "X-Forwarded-Client-Cert",
    "X-Forwarded-Ssl",
    "Forwarded",
    "X-Real-IP",
    "X-Client-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "X-Cluster-Client-IP",
    "X-User",
    "X-User-Id",
    "X-User-Email",
    "X-Auth-Request-User",
    "X-Auth-Request-Email",
    "X-Auth-User",
    "X-Remote-User",
    "X-Remote-Group",
    "Remote-User",
    "Remote-Email",
    "X-Original-URL",
    "X-Original-Host",
    "X-Original-Method",
    "X-Rewrite-URL",
    "X-HTTP-Method",
    "X-HTTP-Method-Override",
    "X-Method-Override",
    "Front-End-Https",
    "X-Url-Scheme",
    "X-Client-Cert",
    "X-SSL-Client-Cert",
    "X-SSL-Client-Verify",
    "Client-Cert",
    "X-Middleware-Subrequest",
    "X-Middleware-Prefetch",
    "X-Guard-User",
    "X-WebAuth-User",
    "X-Amzn-Oidc-Identity",
    "X-Goog-Authenticated-User-Email",
    "Cf-Access-Authenticated-User-Email",
    "Tailscale-User-Login",
    "X-Accel-Mapping",
    "X-Sendfile-Type",
    "X-Request-Id",
    "Proxy",
];

/// What the gateway itself adds.
const OURS: &[&str] = &[
    "Authorization",
    "Sessile-Subject",
    "Sessile-Session",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Request-Id",
    "Host",
    "Via",
];

/// A random spelling that CGI folds to the same name. The gate refuses blanks; every other byte of a token is tried.
fn respell(dice: &mut Dice, name: &str) -> String {
    const SEPARATORS: &[char] = &['-', '-', '_', '.', '!', '#', '$', '%', '&', '\'', '*', '+', '^', '`', '|', '~'];
    name.chars()
        .map(|c| match c {
            '-' => *dice.pick(SEPARATORS),
            c if dice.roll(2) == 0 => c.to_ascii_uppercase(),
            c => c.to_ascii_lowercase(),
        })
        .collect()
}

fn seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |d| d.as_nanos());
    let seed = std::env::var("SESSILE_SEED").ok().and_then(|text| text.parse().ok());
    seed.unwrap_or(u64::try_from(now % u128::from(u64::MAX)).unwrap_or(1))
}

/// Sends spoofed headers one way and another; what an application that folds sees of them, by path.
async fn campaign(address: std::net::SocketAddr, cookie: &str, echo: &Echo, seed: u64, rounds: usize) -> Vec<String> {
    let mut dice = Dice::new(seed);
    let mut violations = Vec::new();
    let paths: [(&str, &str); 4] =
        [("/private/x", cookie), ("/maybe/x", cookie), ("/maybe/x", ""), ("/open/x", cookie)];
    for (path, cookie) in paths {
        let who = if cookie.is_empty() || path.starts_with("/open") { "nobody" } else { "ada" };
        let mut baseline = Vec::new();
        if !cookie.is_empty() {
            baseline.push(("Cookie", cookie));
        }
        send(address, &request("GET", path, &baseline, b"")).await;
        let clean = echo.last().folded();
        for round in 0..rounds {
            let mut fields = baseline.clone();
            let mut spoofed: Vec<(String, &str)> = Vec::new();
            if round < SPOKEN_FOR.len() * 3 {
                // Every name once in each plain alias, so that no seed leaves one out.
                let name = SPOKEN_FOR[round / 3];
                let alias = [name.to_owned(), name.replace('-', "_"), name.replace('-', ".")][round % 3].clone();
                spoofed.push((alias, "canary"));
            } else {
                for _ in 0..=dice.roll(4) {
                    let name = *dice.pick(SPOKEN_FOR);
                    spoofed.push((respell(&mut dice, name), "canary"));
                }
            }
            let list = (dice.roll(3) == 0).then(|| {
                let names: Vec<String> =
                    (0..=dice.roll(4)).map(|_| respell(&mut dice, OURS[round % OURS.len()])).collect();
                names.join(if round % 2 == 0 { ", " } else { "," })
            });
            fields.extend(spoofed.iter().map(|(name, value)| (name.as_str(), *value)));
            if let Some(list) = &list {
                fields.push(("Connection", list));
            }
            let before = echo.count();
            send(address, &request("GET", path, &fields, b"")).await;
            if echo.count() == before {
                // Refused outright is fine too, but only for a reason: two Authorization fields are one.
                let twice = fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("authorization")).count() > 1;
                if !twice {
                    violations.push(format!("{who} {path} {fields:?}: not forwarded"));
                }
                continue;
            }
            let now = echo.last().folded();
            for (name, value) in &now {
                if value.contains("canary") {
                    violations.push(format!("{who} {path}: {name} carries the client's value, sent as {spoofed:?}"));
                }
                if !clean.contains_key(name) {
                    violations.push(format!("{who} {path}: {name} appeared, sent as {spoofed:?}"));
                }
            }
            for (name, value) in &clean {
                let changes = ["X_REQUEST_ID"].contains(&name.as_str());
                match now.get(name) {
                    None => violations.push(format!("{who} {path}: {name} was removed by {list:?}")),
                    Some(other) if other != value && !changes => {
                        violations.push(format!("{who} {path}: {name} changed to {other}"));
                    }
                    Some(_) => {}
                }
            }
        }
    }
    violations
}

async fn send(address: std::net::SocketAddr, bytes: &[u8]) {
    let mut client = Client::connect(address).await;
    client.send(bytes).await;
    client.answer(false).await;
}

/// P1, P2, P13, P14, P15, R-106 to R-109, A1 to A7, A10, A13, A15: whatever a client sends, an application that folds header names
/// sees our values and nothing else; on session, optional and public routes alike.
#[tokio::test(flavor = "multi_thread")]
async fn the_upstreams_view_is_a_function_of_the_session_alone() {
    let echo = Echo::start().await;
    let world = World::usual(echo.address).await;
    let browser = world.sign_in("ada").await;
    let seed = seed();
    let violations = campaign(world.address, &browser.cookie(), &echo, seed, SPOKEN_FOR.len() * 3 + 60).await;
    assert!(violations.is_empty(), "seed {seed}: {violations:#?}");
    assert!(echo.count() > 600, "the campaign reached the upstream {} times", echo.count());
    world.stop().await;
}

/// Negative control of the campaign: a proxy that strips exact names only, and obeys the client's `Connection` list after adding its
/// own headers, is found out.
#[tokio::test(flavor = "multi_thread")]
async fn the_campaign_finds_what_is_wrong_with_a_careless_proxy() {
    let echo = Echo::start().await;
    let behind = echo.address;
    let (address, task) = upstream(move |connection, mut io| async move {
        while let Some(seen) = read_request(&mut io, connection).await {
            let mut fields: Vec<(String, String)> = seen
                .fields
                .iter()
                .filter(|(name, _)| {
                    !["sessile-subject", "authorization", "x-forwarded-for", "cookie"]
                        .contains(&name.to_ascii_lowercase().as_str())
                })
                .cloned()
                .collect();
            fields.insert(0, ("Sessile-Subject".to_owned(), "ada".to_owned()));
            let named = seen.field("connection").unwrap_or_default().to_ascii_lowercase();
            fields.retain(|(name, _)| !named.split(',').any(|each| each.trim() == name.to_ascii_lowercase()));
            let fields: Vec<(&str, &str)> =
                fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let mut onward = TcpStream::connect(behind).await.expect("connected");
            onward.write_all(&request("GET", seen.target(), &fields, b"")).await.expect("sent");
            Client::over(onward).answer(false).await;
            io.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        }
    })
    .await;
    let violations = campaign(address, "a=b", &echo, 7, SPOKEN_FOR.len() * 3 + 60).await;
    let found = |text: &str| violations.iter().any(|violation| violation.contains(text));
    assert!(found("SESSILE_SUBJECT carries the client's value, sent as [(\"Sessile_Subject\""), "{violations:#?}");
    assert!(found("SESSILE_SUBJECT carries the client's value, sent as [(\"Sessile.Subject\""));
    assert!(found("SESSILE_SUBJECT was removed by"));
    assert!(found("X_USER_EMAIL appeared"));
    assert!(
        !found("SESSILE_SUBJECT carries the client's value, sent as [(\"Sessile-Subject\""),
        "and it does not cry wolf"
    );
    task.abort();
}

/// I11: who is signed in is told, by a token the application can verify; and nobody is told of on a public route.
#[tokio::test(flavor = "multi_thread")]
async fn the_application_is_told_who_it_is() {
    let echo = Echo::start().await;
    let world = World::usual(echo.address).await;
    let browser = world.sign_in("ada").await;
    let cookie = browser.cookie();
    assert_eq!(world.get("/private/x?y=1", &[("Cookie", &cookie)]).await.status, 200);
    let seen = echo.last();
    let session = browser.session.to_string();
    assert_eq!(seen.line, "GET /private/x?y=1 HTTP/1.1");
    assert_eq!(seen.field("sessile-subject"), Some("ada"));
    assert_eq!(seen.field("sessile-session"), Some(session.as_str()));
    let bearer =
        seen.field("authorization").and_then(|value| value.strip_prefix("Bearer ")).expect("a token").to_owned();
    let token = world.engine.verify_token(&bearer).expect("our token");
    assert_eq!(token.claims().subject.as_str(), "ada");
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.field("x-forwarded-host"), Some("localhost"));
    assert_eq!(seen.field("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.field("host"), Some(echo.address.to_string().as_str()));
    assert!(seen.field("via").is_some_and(|via| via.starts_with("1.1 sessile-")));

    for path in ["/open/x", "/maybe/x"] {
        let cookies: &[(&str, &str)] = if path == "/open/x" { &[("Cookie", &cookie)] } else { &[] };
        assert_eq!(world.get(path, cookies).await.status, 200);
        for name in ["authorization", "sessile-subject", "sessile-session"] {
            assert_eq!(echo.last().field(name), None, "{path} {name}");
        }
    }
    assert_eq!(world.get("/maybe/x", &[("Cookie", &cookie)]).await.status, 200);
    assert_eq!(
        echo.last().field("sessile-subject"),
        Some("ada"),
        "negative control: an optional route tells of who is there"
    );
    world.stop().await;
}

/// P20, R-013, A16, J1: our cookies and a client's bearer never reach the upstream; the application's own cookies do.
#[tokio::test(flavor = "multi_thread")]
async fn p20_our_cookies_stay_here_and_the_apps_pass() {
    let echo = Echo::start().await;
    let world = World::usual(echo.address).await;
    let browser = world.sign_in("ada").await;
    let cookie = format!("theme=dark; {}; lang=en", browser.cookie());
    for path in ["/private/x", "/maybe/x", "/open/x"] {
        world.get(path, &[("Cookie", &cookie), ("Authorization", "Basic c2VjcmV0")]).await;
        let seen = echo.last();
        assert_eq!((seen.field("cookie"), seen.count("cookie")), (Some("theme=dark; lang=en"), 1), "{path}");
        assert_ne!(seen.field("authorization"), Some("Basic c2VjcmV0"), "{path}");
    }
    world.get("/private/x", &[("Cookie", &browser.cookie())]).await;
    assert_eq!(echo.last().field("cookie"), None, "nothing left of them, no empty field");
    let secrets = [&browser.jar[SESSION], &browser.jar[ACCESS]];
    for seen in echo.seen() {
        let text: String = seen
            .fields
            .iter()
            .filter(|(name, _)| !name.eq_ignore_ascii_case("authorization"))
            .map(|(_, v)| v.as_str())
            .collect();
        assert!(!secrets.iter().any(|secret| text.contains(secret.as_str())), "{}", seen.line);
    }
    world.get("/open/x", &[("Cookie", "sessilex=1; __Host-other=2")]).await;
    assert_eq!(
        echo.last().field("cookie"),
        Some("sessilex=1; __Host-other=2"),
        "negative control: like-sounding names are not ours"
    );
    world.stop().await;
}

/// P1, P6, H6, P23: nothing of the client's connection passes, trailers least of all; what is left passes as it came.
#[tokio::test(flavor = "multi_thread")]
async fn p1_the_clients_connection_ends_here() {
    let echo = Echo::start().await;
    let world = World::usual(echo.address).await;
    let fields = [
        ("Connection", "keep-alive, X-Drop-Me, close"),
        ("X-Drop-Me", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("Proxy-Authorization", "Basic eA=="),
        ("TE", "trailers"),
        ("Trailer", "Sessile-Subject"),
        ("Upgrade", "h2c"),
        ("HTTP2-Settings", "AAMAAABkAAQAAP__"),
        ("Accept", "text/plain"),
        ("X-Keep-Me", "1"),
        ("Transfer-Encoding", "chunked"),
    ];
    let body = b"3\r\nabc\r\n0\r\nSessile-Subject: mallory\r\nX-Other: 1\r\n\r\n";
    let answer = world.request("POST", "/open/x", &fields, body).await;
    assert_eq!(answer.status, 200);
    let seen = echo.last();
    for name in [
        "connection",
        "x-drop-me",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "trailer",
        "upgrade",
        "http2-settings",
        "sessile-subject",
        "x-other",
    ] {
        assert_eq!(seen.field(name), None, "{name}");
    }
    assert_eq!(
        (seen.field("accept"), seen.field("x-keep-me")),
        (Some("text/plain"), Some("1")),
        "negative control: the rest passes"
    );
    assert_eq!(seen.body, b"abc");
    world.stop().await;
}

/// P23: a request that comes back is not sent round again.
#[tokio::test(flavor = "multi_thread")]
async fn p23_a_loop_ends_after_one_round() {
    // A port for the upstream that is to be the gateway itself.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("an address");
    drop(free);
    let mut settings = settings(vec![crate::gateway_world::route("/", address, Access::Public)]);
    settings.listen = address;
    settings.hosts = vec![address.to_string()];
    let world = World::start(settings).await;
    let answer = world.get("/x", &[]).await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_invalid"));
    let requests: u64 = world.gateway.metrics().snapshot().requests.iter().map(|request| request.count).sum();
    assert_eq!(requests, 2, "once from the client, once from itself");
    world.stop().await;

    let echo = Echo::start().await;
    let world = World::usual(echo.address).await;
    let answer = world.get("/open/x", &[("Via", "1.1 sessile-AAAAAAAAAAA, 1.0 other")]).await;
    assert_eq!(answer.status, 200, "negative control: another gateway on the way is no loop");
    assert_eq!(echo.last().count("via"), 2);
    world.stop().await;
}

/// RFC 9110 section 7.6.2: an `OPTIONS` with no hops left is answered here, one with some counts down.
#[tokio::test(flavor = "multi_thread")]
async fn max_forwards_is_honoured_for_options() {
    let echo = Echo::start().await;
    let world = World::usual(echo.address).await;
    let answer = world.request("OPTIONS", "/open/x", &[("Max-Forwards", "0")], b"").await;
    assert_eq!((answer.status, echo.count()), (204, 0));
    assert!(answer.field("allow").is_some());
    assert_eq!(world.request("OPTIONS", "/open/x", &[("Max-Forwards", "2")], b"").await.status, 200);
    assert_eq!(echo.last().field("max-forwards"), Some("1"));
    world.stop().await;
}

/// A9, A12, P16, R-110: what a peer says about the client counts only if the peer is trusted, and then only the part it vouches for.
#[tokio::test(flavor = "multi_thread")]
async fn p16_only_trusted_proxies_say_who_the_client_is() {
    let echo = Echo::start().await;
    let says = [
        ("X-Forwarded-For", "6.6.6.6, 203.0.113.9"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "evil.example"),
        ("Forwarded", "for=6.6.6.6;proto=https;host=evil.example"),
        ("X-Real-IP", "6.6.6.6"),
    ];
    let world = World::usual(echo.address).await;
    world.get("/open/x", &says).await;
    let seen = echo.last();
    assert_eq!((seen.field("x-forwarded-for"), seen.count("x-forwarded-for")), (Some("127.0.0.1"), 1));
    assert_eq!((seen.field("x-forwarded-host"), seen.field("x-forwarded-proto")), (Some("localhost"), Some("http")));
    world.stop().await;

    let mut trusting = settings(usual_routes(echo.address));
    trusting.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    let world = World::start(trusting).await;
    world.get("/open/x", &says).await;
    let seen = echo.last();
    assert_eq!(
        (seen.field("x-forwarded-for"), seen.count("x-forwarded-for")),
        (Some("203.0.113.9"), 1),
        "replaced, not appended to"
    );
    assert_eq!(
        (seen.field("x-forwarded-host"), seen.field("x-forwarded-proto")),
        (Some("localhost"), Some("http")),
        "the public URL's, whoever asks"
    );
    world.stop().await;
}

/// A8, A14, P18, R-115: no header and no method opens a route.
#[tokio::test(flavor = "multi_thread")]
async fn a8_nothing_but_a_session_opens_a_session_route() {
    let echo = Echo::start().await;
    let world = World::usual(echo.address).await;
    for (name, value) in [
        ("X-Forwarded-Uri", "/open/x"),
        ("X-Original-URL", "/open/x"),
        ("X-Rewrite-URL", "/open/x"),
        ("X-Forwarded-Prefix", "/open"),
        ("User-Agent", "GoogleHC/1.0"),
        ("User-Agent", "kube-probe/1.30"),
        ("X-HTTP-Method-Override", "OPTIONS"),
        ("X-Middleware-Subrequest", "middleware:middleware:middleware"),
        ("Authorization", "Bearer x"),
        ("Sessile-Subject", "ada"),
        ("Cookie", "__Host-Http-sessile=x; __Host-Http-sessile-at=y"),
    ] {
        for method in ["GET", "HEAD", "OPTIONS", "POST", "PROPFIND"] {
            let answer =
                world.request(method, "/private/x", &[(name, value), ("Sec-Fetch-Site", "same-origin")], b"").await;
            assert_eq!(answer.status, 401, "{method} with {name}: {value}");
        }
    }
    assert_eq!(echo.count(), 0);
    let browser = world.sign_in("ada").await;
    assert_eq!(
        world.get("/private/x", &[("Cookie", &browser.cookie())]).await.status,
        200,
        "negative control: a session does"
    );
    world.stop().await;
}

/// Folding as the tests see it is what CGI does.
#[test]
fn folding() {
    assert_eq!(fold("x-User.id"), "X_USER_ID");
}
