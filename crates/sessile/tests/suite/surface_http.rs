//! The surface as HTTP: methods, paths, bodies, headers.

use bytes::Bytes;
use http_body::Frame;
use http_body_util::StreamBody;
use serde_json::json;

use crate::surface_client::{Ask, PASSWORD, ask, credentials, opens, sign_in, site};
use crate::world::{ACCESS, Browser, SESSION};

const ENDPOINTS: [(&str, &str); 14] = [
    ("/auth/sign-in", "GET, HEAD, POST, OPTIONS"),
    ("/auth/sign-out", "POST, OPTIONS"),
    ("/auth/signed-out", "GET, HEAD, OPTIONS"),
    ("/auth/refresh", "POST, OPTIONS"),
    ("/auth/session", "GET, HEAD, OPTIONS"),
    ("/auth/csrf", "GET, HEAD, OPTIONS"),
    ("/auth/sessions", "GET, HEAD, OPTIONS"),
    ("/auth/sessions/AAAAAAAAAAAAAAAAAAAAAA", "DELETE, OPTIONS"),
    ("/auth/verify", "GET, HEAD, OPTIONS"),
    ("/auth/introspect", "POST, OPTIONS"),
    ("/auth/revoke", "POST, OPTIONS"),
    ("/auth/csp-report", "POST, OPTIONS"),
    ("/.well-known/jwks.json", "GET, HEAD, OPTIONS"),
    ("/.well-known/oauth-authorization-server", "GET, HEAD, OPTIONS"),
];

/// R-025, R-065, R-082: each endpoint takes its own methods; any other gets 405 with `Allow` and changes nothing.
#[tokio::test]
async fn methods_are_the_ones_of_the_table() {
    let world = site().await;
    let browser = sign_in(&world.engine, "ada").await;
    for (path, allow) in ENDPOINTS {
        let options = ask("OPTIONS", path).send(&world.engine).await;
        assert_eq!((options.status.as_u16(), options.header("allow"), options.body.len()), (204, allow, 0), "{path}");
        for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH", "POST", "PROPFIND", "get"] {
            if allow.split(", ").any(|known| known == method) {
                continue;
            }
            let answer = ask(method, path).script().with_jar_of(&browser).send(&world.engine).await;
            assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, allow), "{method} {path}");
            assert_eq!(answer.code(), "method_not_allowed");
            assert!(answer.cookies().is_empty());
            assert!(opens(&browser, &world.engine).await, "{method} {path} ended the session");
        }
    }
    // Negative control: the allowed ones are taken.
    for (path, allow) in ENDPOINTS {
        for method in ["GET", "POST", "DELETE"] {
            let answer = ask(method, path).script().send(&world.engine).await;
            assert_eq!(answer.status == 405, !allow.split(", ").any(|known| known == method), "{method} {path}");
        }
    }
}

/// Method-override headers and fields do nothing (R-082).
#[tokio::test]
async fn methods_are_not_overridden() {
    let world = site().await;
    let browser = sign_in(&world.engine, "ada").await;
    for name in ["x-http-method-override", "x-http-method", "x-method-override"] {
        let answer = ask("GET", "/auth/sign-out?_method=POST")
            .script()
            .set(name, "POST")
            .with_jar_of(&browser)
            .send(&world.engine)
            .await;
        assert_eq!(answer.status, 405);
    }
    assert!(opens(&browser, &world.engine).await);
    let answer = ask("POST", "/auth/sign-out").script().with_jar_of(&browser).send(&world.engine).await;
    assert_eq!(answer.status, 200, "negative control");
    assert!(!opens(&browser, &world.engine).await);
}

/// HEAD answers what GET answers, without the body.
#[tokio::test]
async fn head_is_get_without_a_body() {
    let world = site().await;
    let browser = sign_in(&world.engine, "ada").await;
    for (path, allow) in ENDPOINTS {
        if !allow.contains("HEAD") {
            continue;
        }
        let get = ask("GET", path).script().with_jar_of(&browser).send(&world.engine).await;
        let head = ask("HEAD", path).script().with_jar_of(&browser).send(&world.engine).await;
        assert_eq!(head.status, get.status, "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"));
        assert_eq!(head.header("content-length"), get.body.len().to_string());
        assert!(head.body.is_empty());
    }
}

/// Only exact spellings are endpoints; the rest under the prefix is 404, and what lies outside is not ours.
#[tokio::test]
async fn paths_have_one_spelling() {
    let world = site().await;
    let ours = |path: &str| sessile::surface::is_ours(&world.engine, path);
    for path in [
        "/auth",
        "/auth/",
        "/auth/nothing",
        "/auth/Session",
        "/auth/session/",
        "/auth//session",
        "/auth/session;x",
        "/auth/sess%69on",
        "/auth/sessions/",
        "/auth/sessions/a/b",
    ] {
        assert!(ours(path), "{path}");
        let answer = ask("GET", path).script().send(&world.engine).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (404, "not_found"), "{path}");
    }
    for path in [
        "/",
        "/authority",
        "/Auth/session",
        "/x/auth/session",
        "/.well-known/",
        "/.well-known/jwks.json/",
        "/auth%2Fsession",
    ] {
        assert!(!ours(path), "{path}");
    }
    assert!(ours("/auth/session") && ours("/.well-known/jwks.json"), "negative control");
}

/// A prefix of another name moves the whole surface.
#[tokio::test]
async fn the_prefix_is_configurable() {
    let mut config = crate::surface_client::quick_config();
    config.prefix = "/_sessile".to_owned();
    let world = crate::surface_client::site_with(config).await;
    assert!(!sessile::surface::is_ours(&world.engine, "/auth/session"));
    let answer = ask("POST", "/_sessile/sign-in").script().json(&credentials("ada")).send(&world.engine).await;
    assert_eq!(answer.status, 200);
    let page = ask("GET", "/_sessile/sign-in").page().send(&world.engine).await.text();
    assert!(page.contains("action=\"/_sessile/sign-in\""));
}

fn sign_in_body(kind: &str, body: impl Into<Vec<u8>>) -> Ask {
    ask("POST", "/auth/sign-in").script().body(kind, body)
}

/// Bodies are read one way only: what could be read in two is refused.
#[tokio::test]
async fn bodies_are_read_strictly() {
    let world = site().await;
    let good = credentials("ada").to_string();
    let json = "application/json";
    let form = "application/x-www-form-urlencoded";
    let field = format!("username=ada&password={PASSWORD}");
    let cases: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        (json, b"{".to_vec(), 400, "malformed_json"),
        (json, b"[]".to_vec(), 400, "malformed_json"),
        (json, b"null".to_vec(), 400, "malformed_json"),
        (json, b"".to_vec(), 400, "malformed_json"),
        (json, format!("{good} x").into(), 400, "malformed_json"),
        (json, format!("\u{feff}{good}").into(), 400, "malformed_json"),
        (
            json,
            format!(r#"{{"username":"ada","password":"{PASSWORD}","username":"grace"}}"#).into(),
            400,
            "malformed_json",
        ),
        (
            json,
            format!(r#"{{"username":"ada","password":"{PASSWORD}","\u0075sername":"grace"}}"#).into(),
            400,
            "malformed_json",
        ),
        (
            json,
            [br#"{"username":"ada","password":""#.to_vec(), vec![0xff], br#""}"#.to_vec()].concat(),
            400,
            "malformed_json",
        ),
        (json, format!(r#"{{"username":["ada"],"password":"{PASSWORD}"}}"#).into(), 400, "wrong_type"),
        (json, format!(r#"{{"username":"ada","password":"{PASSWORD}","remember":"yes"}}"#).into(), 400, "wrong_type"),
        (json, br#"{"username":"ada"}"#.to_vec(), 400, "missing_field"),
        (json, br#"{"username":"ada","password":null}"#.to_vec(), 400, "wrong_type"),
        (form, format!("{field}&username=grace").into(), 400, "malformed_form"),
        (form, format!("{field}&user%6eame=grace").into(), 400, "malformed_form"),
        (form, format!("{field}&x=%zz").into(), 400, "malformed_form"),
        (form, format!("{field}&x=%4").into(), 400, "malformed_form"),
        (form, format!("{field}&x=%ff").into(), 400, "malformed_form"),
        (form, format!("{field}&").into(), 400, "malformed_form"),
        (form, format!("{field}&novalue").into(), 400, "malformed_form"),
        (form, format!("{field}&remember=perhaps").into(), 400, "wrong_type"),
        (form, b"username=ada".to_vec(), 400, "missing_field"),
        ("text/plain", good.clone().into(), 415, "unsupported_media_type"),
        ("multipart/form-data; boundary=x", good.clone().into(), 415, "unsupported_media_type"),
        ("application/json; charset=utf-16", good.clone().into(), 415, "unsupported_media_type"),
        ("", good.clone().into(), 415, "unsupported_media_type"),
    ];
    for (kind, body, status, code) in cases {
        let shown = String::from_utf8_lossy(&body).into_owned();
        let answer = sign_in_body(kind, body).send(&world.engine).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{kind} {shown}");
        assert!(answer.cookies().is_empty());
    }
    let twice = sign_in_body(json, good.clone()).add("content-type", form).send(&world.engine).await;
    assert_eq!(twice.status, 415);
    let bodiless = ask("POST", "/auth/sign-in").script().send(&world.engine).await;
    assert_eq!(bodiless.code(), "missing_field");
    // Negative controls: well-formed twins sign in.
    for (kind, body, status) in [
        (json, good.clone(), 200),
        ("Application/JSON ; charset=\"UTF-8\"", good.clone(), 200),
        (form, field.clone(), 303),
        (form, format!("user%6eame=ada&password={PASSWORD}&x=a+b%20c"), 303),
    ] {
        let answer = sign_in_body(kind, body.clone()).send(&world.engine).await;
        assert_eq!(answer.status, status, "{kind} {body}");
    }
}

/// 64 KiB are read and not a byte more, whether the length was announced or not.
#[tokio::test]
async fn bodies_are_bounded() {
    let world = site().await;
    let padded = |length: usize| {
        let start = format!(r#"{{"username":"ada","password":"{PASSWORD}","pad":""#);
        let body = format!("{start}{}\"}}", "x".repeat(length - start.len() - 2));
        assert_eq!(body.len(), length);
        body
    };
    for announce in [true, false] {
        let send = |length: usize| {
            let request = sign_in_body("application/json", padded(length));
            if announce { request.set("content-length", &length.to_string()) } else { request }
        };
        let largest = send(64 * 1024).send(&world.engine).await;
        assert_eq!(largest.status, 200, "negative control");
        let larger = send(64 * 1024 + 1).send(&world.engine).await;
        assert_eq!((larger.status.as_u16(), larger.code().as_str()), (413, "payload_too_large"));
    }
    let boasting =
        sign_in_body("application/json", "{}").set("content-length", "99999999999").send(&world.engine).await;
    assert_eq!(boasting.status, 413);
}

/// A body that breaks off is no request, whatever had arrived of it (H14).
#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    let world = site().await;
    let whole = credentials("ada").to_string();
    for broken in [true, false] {
        let mut frames = vec![Ok(Frame::data(Bytes::from(whole.clone())))];
        if broken {
            frames.push(Err(std::io::Error::other("reset")));
        }
        let body = StreamBody::new(futures_util::stream::iter(frames));
        let mut parts = Browser::default().request("POST", "/auth/sign-in");
        parts.headers.insert("content-type", "application/json".parse().expect("a type"));
        let answer = sessile::surface::handle(&world.engine, &parts, &crate::world::peer(), body).await;
        assert_eq!(answer.status(), if broken { 400 } else { 200 }, "negative control: the same, complete");
        assert_eq!(answer.headers().contains_key("set-cookie"), !broken);
    }
}

/// R-095, R-098, R-172, P33: the full header set and no-store on every answer, whatever its status; the two public
/// documents may be cached.
#[tokio::test]
async fn every_answer_is_armoured() {
    let world = site().await;
    let ada = sign_in(&world.engine, "ada").await;
    let nobody = Browser::default();
    let mut seen = std::collections::BTreeSet::new();
    for (path, _) in ENDPOINTS.into_iter().chain([("/auth/nothing", "")]) {
        for method in ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT"] {
            for browser in [&nobody, &ada] {
                for page in [false, true] {
                    let request = ask(method, path);
                    let request = if page { request.page() } else { request.script() };
                    let request =
                        if path == "/auth/sign-out" { request.set("sec-fetch-site", "cross-site") } else { request };
                    let answer = request.with_jar_of(browser).send(&world.engine).await;
                    let what = format!("{method} {path} {}", answer.status);
                    for (name, value) in [
                        ("strict-transport-security", "max-age=31536000; includeSubDomains"),
                        ("x-frame-options", "DENY"),
                        ("x-content-type-options", "nosniff"),
                        ("referrer-policy", "no-referrer"),
                        ("cross-origin-opener-policy", "same-origin"),
                        ("cross-origin-resource-policy", "same-origin"),
                        ("x-xss-protection", "0"),
                    ] {
                        assert_eq!(answer.header(name), value, "{what} {name}");
                    }
                    let csp = answer.header("content-security-policy");
                    for directive in
                        ["default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "form-action 'self'"]
                    {
                        assert!(csp.contains(directive), "{what} {csp}");
                    }
                    assert!(!csp.contains("unsafe"), "{what} {csp}");
                    let public = path.starts_with("/.well-known/") && answer.status == 200;
                    assert_eq!(answer.header("cache-control").contains("no-store"), !public, "{what}");
                    assert!(answer.headers.get("server").is_none());
                    if page && answer.status.is_client_error() && method != "HEAD" {
                        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8", "{what}");
                    }
                    seen.insert(answer.status.as_u16());
                }
            }
        }
    }
    assert_eq!(
        seen.into_iter().collect::<Vec<_>>(),
        [200, 204, 303, 400, 401, 403, 404, 405, 415],
        "the matrix reached these"
    );
}

/// R-087: a nonce is used once, and the page carries the one its policy names.
#[tokio::test]
async fn nonces_are_fresh_and_match() {
    let world = site().await;
    let mut nonces = std::collections::HashSet::new();
    for _ in 0..50 {
        let answer = ask("GET", "/auth/sign-in").page().send(&world.engine).await;
        let csp = answer.header("content-security-policy").to_owned();
        let nonce = csp.split("'nonce-").nth(1).and_then(|rest| rest.split('\'').next()).expect("a nonce").to_owned();
        assert!(nonce.len() >= 22);
        assert!(answer.text().contains(&format!("<style nonce=\"{nonce}\">")));
        assert!(nonces.insert(nonce), "used twice");
    }
    let json = ask("GET", "/auth/session").script().send(&world.engine).await;
    assert!(
        !json.header("content-security-policy").contains("nonce"),
        "negative control: where there is no page there is none"
    );
}

/// HSTS and secure addresses depend on the public origin, not on how the request came in (K9).
#[tokio::test]
async fn hsts_follows_the_public_origin() {
    let mut config = crate::surface_client::quick_config();
    let origin = sessile_core::origin::Origin::parse("http://localhost:8080").expect("an origin");
    config = sessile::EngineConfig { passwords: config.passwords, ..sessile::EngineConfig::for_origin(origin) };
    let world = crate::surface_client::site_with(config).await;
    let answer = ask("GET", "/auth/sign-in").page().send(&world.engine).await;
    assert_eq!(answer.header("strict-transport-security"), "", "negative control: plain http on this machine");
    let world = site().await;
    let plain = sessile::Peer { secure: false, ..crate::world::peer() };
    let answer = ask("GET", "/auth/sign-in").page().peer(plain).send(&world.engine).await;
    assert_ne!(answer.header("strict-transport-security"), "", "behind something that ends TLS");
}

/// K1, R-019: identities in headers, bodies and queries are nobody's.
#[tokio::test]
async fn identity_comes_from_the_session_alone() {
    let world = site().await;
    let ada = sign_in(&world.engine, "ada").await;
    let token = ada.jar[SESSION].clone();
    let access = ada.jar[ACCESS].clone();
    for (path, method) in
        [("/auth/session", "GET"), ("/auth/sessions", "GET"), ("/auth/verify", "GET"), ("/auth/refresh", "POST")]
    {
        let spoofed = format!("{path}?sub=ada&userId=ada&session={token}&access_token={access}");
        let mut request = ask(method, &spoofed).script();
        for name in ["sessile-subject", "x-forwarded-user", "x-user-id", "x-auth-request-user", "remote-user"] {
            request = request.set(name, "ada");
        }
        request = request.set("sessile-session", &token).set("authorization", &format!("Bearer {access}"));
        let anonymous = request.clone().send(&world.engine).await;
        assert_eq!(anonymous.status, 401, "{method} {path}");
        let body = json!({ "sub": "ada", "userId": "ada", "session": token, "access_token": access });
        if method == "POST" {
            assert_eq!(request.clone().json(&body).send(&world.engine).await.status, 401);
        }
        // Negative control: the cookies open.
        let opened = ask(method, path).script().with_jar_of(&ada).send(&world.engine).await;
        assert_eq!(opened.status, 200, "{method} {path}");
        // Another's identity beside a session changes nothing either.
        let grace = sign_in(&world.engine, "grace").await;
        let beside = ask(method, &format!("{path}?sub=ada"))
            .script()
            .set("sessile-subject", "ada")
            .with_jar_of(&grace)
            .send(&world.engine)
            .await;
        assert_eq!(beside.status, 200);
        assert!(!beside.text().contains("\"ada\"") && beside.header("sessile-subject") != "ada", "{method} {path}");
    }
}
