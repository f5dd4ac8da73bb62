//! What resource servers ask: keys, metadata, introspection, revocation. And reports of policy violations.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sessile::{ApiClient, EngineConfig};
use sessile_store::memory::MemoryStore;

use crate::flaky::{Fault, Flaky};
use crate::surface_client::{Ask, ask, events, opens, quick_config, sign_in, site, site_on, site_with, stores};
use crate::world::{ACCESS, SESSION};

const SECRET: &str = "kX9+p/0=very:long secret%";

/// `orders:` and the secret, form-encoded and base64, as RFC 6749 section 2.3.1 has it.
const BASIC: &str = "Basic b3JkZXJzOmtYOSUyQnAlMkYwJTNEdmVyeSUzQWxvbmcrc2VjcmV0JTI1";

fn with_client() -> EngineConfig {
    let mut config = quick_config();
    let digest = sessile_aws_lc::provider().sha256(SECRET.as_bytes());
    config.clients = vec![
        ApiClient { id: "billing".to_owned(), secret_digest: [7; 32] },
        ApiClient { id: "orders".to_owned(), secret_digest: digest },
    ];
    config
}

fn question(path: &str, token: &str) -> Ask {
    ask("POST", path).form(&[("token", token), ("token_type_hint", "refresh_token")]).set("authorization", BASIC)
}

/// R-073, RFC 7662: a live token is described; every other is inactive and nothing more.
#[tokio::test]
async fn introspection_describes_the_living_alone() {
    for (store, _directory) in stores() {
        let world = site_on(with_client(), store).await;
        let ada = sign_in(&world.engine, "ada").await;
        let now = world.engine.now().wall.as_secs();
        let answer = question("/auth/introspect", &ada.jar[ACCESS]).send(&world.engine).await;
        assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (200, "no-store"));
        let body = answer.json();
        assert_eq!(
            body,
            json!({
                "active": true, "token_type": "Bearer", "iss": "https://app.test", "aud": ["https://app.test"], "sub": "ada",
                "client_id": "sessile", "iat": now, "exp": now + 300, "auth_time": now,
                "jti": body["jti"], "sid": crate::surface_client::session_id(&ada),
            })
        );
        assert!(body["jti"].is_string());
        let of_session = question("/auth/introspect", &ada.jar[SESSION]).send(&world.engine).await.json();
        assert_eq!((of_session["active"].as_bool(), of_session["sub"].as_str()), (Some(true), Some("ada")));

        let inactive = json!({ "active": false });
        let token = ada.jar[ACCESS].clone();
        // Well inside the signature, so that the spelling stays canonical.
        let (start, rest) = token.split_at(token.len() - 5);
        let damaged = format!("{start}{}{}", if rest.starts_with('A') { 'B' } else { 'A' }, &rest[1..]);
        for dead in ["", "x", "a.b.c", &damaged, &token[..token.len() - 1], &format!("{token} "), &token.to_uppercase()]
        {
            assert_eq!(question("/auth/introspect", dead).send(&world.engine).await.json(), inactive, "{dead}");
        }
        world.pass_time(Duration::from_secs(300));
        assert_eq!(question("/auth/introspect", &token).send(&world.engine).await.json(), inactive, "expired");
        let again = sign_in(&world.engine, "ada").await;
        ask("POST", "/auth/sign-out").script().with_jar_of(&again).send(&world.engine).await;
        for dead in [&again.jar[ACCESS], &again.jar[SESSION]] {
            assert_eq!(question("/auth/introspect", dead).send(&world.engine).await.json(), inactive, "ended");
        }
    }
}

/// R-071, RFC 7009, F14: revoking either token ends the session, at once and everywhere; an unknown one is 200 too.
#[tokio::test]
async fn revocation_kills_the_session() {
    for (store, _directory) in stores() {
        let world = site_on(with_client(), store).await;
        for which in [ACCESS, SESSION] {
            let ada = sign_in(&world.engine, "ada").await;
            let other = sign_in(&world.engine, "ada").await;
            assert!(opens(&ada, &world.engine).await, "negative control");
            let answer = question("/auth/revoke", &ada.jar[which]).send(&world.engine).await;
            assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({})));
            assert!(!opens(&ada, &world.engine).await, "{which}");
            let mut without_access = ada.clone();
            without_access.jar.remove(ACCESS);
            assert!(!opens(&without_access, &world.engine).await, "{which}: nor does its session token");
            assert!(opens(&other, &world.engine).await, "the user's other session lives");
            for token in [ada.jar[which].as_str(), "unknown", ""] {
                assert_eq!(question("/auth/revoke", token).send(&world.engine).await.status, 200);
            }
            let forged = other.jar[SESSION].replace(".0.", ".1.");
            assert_eq!(question("/auth/revoke", &forged).send(&world.engine).await.status, 200);
            assert!(opens(&other, &world.engine).await, "a forged token ends nothing");
        }
    }
}

/// F5: no 200 without the store's word.
#[tokio::test]
async fn revocation_is_acknowledged_or_unavailable() {
    let store = Flaky::over(Arc::new(MemoryStore::new()));
    let world = site_on(with_client(), store.clone()).await;
    let ada = sign_in(&world.engine, "ada").await;
    store.set(Fault::Away);
    for (path, token) in [
        ("/auth/revoke", ACCESS),
        ("/auth/revoke", SESSION),
        ("/auth/introspect", ACCESS),
        ("/auth/introspect", SESSION),
    ] {
        let answer = question(path, &ada.jar[token]).send(&world.engine).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "unavailable"), "{path} {token}");
    }
    store.set(Fault::None);
    assert!(opens(&ada, &world.engine).await);
    assert_eq!(question("/auth/revoke", &ada.jar[SESSION]).send(&world.engine).await.status, 200, "negative control");
}

/// K3: only configured clients, by HTTP Basic. A user's session or token is no client.
#[tokio::test]
async fn callers_authenticate() {
    let world = site_with(with_client()).await;
    let ada = sign_in(&world.engine, "ada").await;
    let bearer = format!("Bearer {}", ada.jar[ACCESS]);
    let encoded_id_only = "Basic b3JkZXJzOg==";
    let cases: Vec<(&str, Ask)> = ["/auth/introspect", "/auth/revoke"]
        .into_iter()
        .flat_map(|path| {
            let plain = ask("POST", path).form(&[("token", &ada.jar[ACCESS])]);
            let fields = [("token", ada.jar[ACCESS].as_str()), ("client_id", "orders"), ("client_secret", SECRET)];
            vec![
                ("nothing", plain.clone()),
                ("a session", plain.clone().script().with_jar_of(&ada)),
                ("a bearer token", plain.clone().set("authorization", &bearer)),
                ("no secret", plain.clone().set("authorization", encoded_id_only)),
                ("another client's id", plain.clone().set("authorization", &BASIC.replace("b3JkZXJz", "YmlsbGlu"))),
                ("a secret cut short", plain.clone().set("authorization", &BASIC[..BASIC.len() - 4])),
                ("another scheme", plain.clone().set("authorization", &BASIC.replace("Basic", "Digest"))),
                ("not base64", plain.clone().set("authorization", "Basic ***")),
                ("base64url", plain.clone().set("authorization", "Basic b3JkZXJzOmtY-S__")),
                ("two fields", plain.clone().set("authorization", BASIC).add("authorization", BASIC)),
                ("in the body", ask("POST", path).form(&fields)),
            ]
        })
        .collect();
    for (what, asked) in cases {
        let answer = asked.send(&world.engine).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (401, "invalid_client"), "{what}");
        assert_eq!(answer.header("www-authenticate"), "Basic realm=\"sessile\", charset=\"UTF-8\"");
        assert_eq!(answer.json()["error"], "invalid_client");
    }
    assert!(opens(&ada, &world.engine).await);
    let no_token =
        ask("POST", "/auth/introspect").form(&[("x", "y")]).set("authorization", BASIC).send(&world.engine).await;
    assert_eq!(no_token.code(), "invalid_request");
    let twice = ask("POST", "/auth/revoke")
        .body("application/x-www-form-urlencoded", "token=a&token=b")
        .set("authorization", BASIC);
    assert_eq!(twice.send(&world.engine).await.code(), "malformed_form");
    let as_json = ask("POST", "/auth/revoke")
        .json(&json!({ "token": "x" }))
        .set("authorization", BASIC)
        .send(&world.engine)
        .await;
    assert_eq!(as_json.status, 415);
    assert_eq!(
        question("/auth/introspect", &ada.jar[ACCESS]).send(&world.engine).await.json()["active"],
        true,
        "negative control"
    );
    // Without configured clients nobody is one.
    let none = site().await;
    assert_eq!(question("/auth/introspect", "x").send(&none.engine).await.status, 401);
    assert!(events(&world.engine).await.iter().any(|event| event.reason == "invalid_client"));
}

/// the published keys are public, and cached no longer than the next one is published ahead.
#[tokio::test]
async fn keys_are_published() {
    let world = site().await;
    let answer = ask("GET", "/.well-known/jwks.json").send(&world.engine).await;
    assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (200, "public, max-age=234"));
    assert_eq!(answer.header("content-type"), "application/json");
    let keys = answer.json();
    let keys = keys["keys"].as_array().expect("keys");
    assert!(!keys.is_empty());
    for key in keys {
        assert_eq!(
            (key["kty"].as_str(), key["alg"].as_str(), key["use"].as_str()),
            (Some("EC"), Some("ES256"), Some("sig"))
        );
        for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
            assert!(key.get(private).is_none(), "{private}");
        }
    }
    let ada = sign_in(&world.engine, "ada").await;
    let verified = world.engine.verify_token(&ada.jar[ACCESS]).expect("verifies");
    assert!(keys.iter().any(|key| key["kid"] == verified.key_id().as_str()), "the key in use is among them");
    assert!(
        ask("GET", "/auth/session").send(&world.engine).await.header("cache-control").contains("no-store"),
        "negative control"
    );
}

/// RFC 8414: resource servers find issuer and keys. No address depends on a request header (A11).
#[tokio::test]
async fn metadata_names_issuer_and_keys() {
    let world = site().await;
    let asked = || ask("GET", "/.well-known/oauth-authorization-server");
    let spoofed =
        asked().set("host", "evil.test").set("x-forwarded-host", "evil.test").set("forwarded", "host=evil.test");
    let answer = spoofed.send(&world.engine).await;
    assert_eq!(answer, asked().send(&world.engine).await);
    let document = answer.json();
    for (key, value) in [
        ("issuer", "https://app.test"),
        ("jwks_uri", "https://app.test/.well-known/jwks.json"),
        ("introspection_endpoint", "https://app.test/auth/introspect"),
        ("revocation_endpoint", "https://app.test/auth/revoke"),
    ] {
        assert_eq!(document[key], value);
    }
    assert_eq!(document["access_token_signing_alg_values_supported"], json!(["ES256"]));
    assert_eq!(document["response_types_supported"], json!([]), "required by RFC 8414, and there is none");
    let ada = sign_in(&world.engine, "ada").await;
    let verified = world.engine.verify_token(&ada.jar[ACCESS]).expect("verifies");
    assert_eq!(document["issuer"], verified.claims().issuer);
}

fn report(kind: &str, body: &Value) -> Ask {
    ask("POST", "/auth/csp-report").body(kind, body.to_string())
}

/// CSP reports of both formats become events that carry a directive's name and nothing the sender wrote.
#[tokio::test]
async fn reports_become_events() {
    let world = site().await;
    let legacy = |directive: &str| json!({ "csp-report": { "effective-directive": directive, "blocked-uri": "https://evil.test/CANARY" } });
    let batch = json!([
        { "type": "csp-violation", "body": { "effectiveDirective": "img-src", "blockedURL": "CANARY" } },
        { "type": "deprecation", "body": { "effectiveDirective": "font-src" } },
    ]);
    for (kind, body) in [
        ("application/csp-report", legacy("script-src-elem")),
        ("application/reports+json", batch),
        ("application/json", legacy("CANARY\r\nforged: line")),
        ("application/csp-report", json!("CANARY")),
        ("application/csp-report", json!({ "csp-report": 5 })),
    ] {
        let answer = report(kind, &body).send(&world.engine).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
    }
    assert_eq!(
        ask("POST", "/auth/csp-report").body("application/csp-report", "{").send(&world.engine).await.status,
        204
    );
    assert_eq!(report("text/plain", &legacy("img-src")).send(&world.engine).await.status, 415);
    let large = json!({ "pad": "x".repeat(17 * 1024) });
    assert_eq!(report("application/csp-report", &large).send(&world.engine).await.status, 413);
    let events = events(&world.engine).await;
    let reasons: Vec<_> =
        events.iter().filter(|event| event.name == "csp_report").map(|event| event.reason.as_str()).collect();
    assert_eq!(reasons, ["script-src-elem", "img-src", "other_directive"]);
    assert!(!format!("{events:?}").contains("CANARY"));
}

/// Anybody can send reports, so they are limited: a flood becomes a few events, and the gate opens again with time.
#[tokio::test]
async fn reports_are_limited() {
    let world = site().await;
    let body = json!({ "csp-report": { "effective-directive": "img-src" } });
    let count = |world: &crate::world::World| {
        let counted = world.engine.metrics().family(sessile::metrics::Family::Events);
        counted.iter().find(|(name, _)| *name == "csp_report").map_or(0, |(_, n)| *n)
    };
    for _ in 0..100 {
        assert_eq!(report("application/csp-report", &body).send(&world.engine).await.status, 204);
    }
    assert_eq!(count(&world), 20);
    world.pass_time(Duration::from_secs(5));
    for _ in 0..100 {
        report("application/csp-report", &body).send(&world.engine).await;
    }
    assert_eq!(count(&world), 25, "negative control: one more each second");
}
