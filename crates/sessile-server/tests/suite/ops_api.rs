//! What the operations listener answers: health, metrics, and administration (R-027, R-028, K2, K4, X9).

use std::collections::BTreeSet;

use serde_json::Value;
use sessile_core::event::EventName;

use crate::ops_world::World;

/// The metrics others rely on, by name.
const METRICS: &[&str] = &[
    "sessile_store_ops_total{op=\"insert\"}",
    "sessile_session_rotations_total ",
    "sessile_sessions_created_total ",
    "sessile_refresh_reuse_detected_total ",
    "sessile_revocation_view_age_seconds ",
    "sessile_ready ",
    "sessile_streams_open ",
    "sessile_connections_open ",
    "sessile_upstream_response_seconds_bucket{le=\"+Inf\"}",
    "process_resident_memory_bytes ",
    "process_open_fds ",
    "sessile_build_info{version=\"",
];

fn value(page: &str, name: &str) -> f64 {
    let line =
        page.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} is missing in\n{page}"));
    line.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{line}"))
}

/// `/metrics` is an OpenMetrics text with the promised names, and counts.
#[tokio::test]
async fn metrics_have_their_names_and_count() {
    let world = World::new().await;
    let before = world.send("GET", "/metrics", &[]).await;
    assert!(before.headers["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    for name in METRICS {
        value(&before.body, name);
    }
    for name in EventName::ALL {
        value(&before.body, &format!("sessile_events_total{{event=\"{}\"}}", name.name()));
    }
    for name in
        ["sessile_sessions_ended", "sessile_csrf_rejected", "sessile_jwt_verify_failures", "sessile_http_requests"]
    {
        assert!(before.body.contains(&format!("# TYPE {name} counter")), "{name}");
    }
    assert!(before.body.ends_with("# EOF\n"));
    let families: Vec<&str> = before
        .body
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(families.iter().collect::<BTreeSet<_>>().len(), families.len(), "each family once");

    world.sign_in("ada").await;
    world.as_admin("DELETE", "/admin/v1/subjects/ada/sessions").await;
    let after = world.send("GET", "/metrics", &[]).await.body;
    assert_eq!(value(&before.body, "sessile_sessions_created_total "), 0.0);
    assert_eq!(value(&after, "sessile_sessions_created_total "), 1.0);
    assert_eq!(value(&after, "sessile_sessions_ended_total{reason=\"ended_by_administrator\"}"), 1.0);
    assert!(
        value(&after, "sessile_store_ops_total{op=\"insert\"}")
            > value(&before.body, "sessile_store_ops_total{op=\"insert\"}")
    );
    assert!(value(&after, "process_resident_memory_bytes ") > 1e6);
}

/// X9: readiness says no from the first moment of a stop; liveness does not change. The verbose form says why.
#[tokio::test]
async fn readiness_says_no_while_stopping() {
    let world = World::new().await;
    let verbose = world.send("GET", "/readyz?verbose", &[]).await;
    assert_eq!(verbose.status, 200, "{}", verbose.body);
    for check in ["[+] store: heard from", "[+] keys: loaded", "[+] serving: yes"] {
        assert!(verbose.body.contains(check), "{}", verbose.body);
    }
    assert_eq!(world.send("GET", "/readyz", &[]).await.body, "ready\n");
    world.drain.now();
    let stopping = world.send("GET", "/readyz?verbose", &[]).await;
    assert_eq!(stopping.status, 503);
    assert!(stopping.body.contains("[-] serving: stopping") && stopping.body.contains("[+] keys"), "{}", stopping.body);
    assert_eq!(world.send("GET", "/livez", &[]).await.status, 200);
}

/// A node that has not heard from its store for longer than T is not ready, and is again once it has.
#[tokio::test]
async fn readiness_needs_a_fresh_view() {
    let world = World::with(Some(crate::ops_world::TOKEN), "127.0.0.1:9901", &[], |config| {
        config.limits.staleness = std::time::Duration::from_millis(200);
    })
    .await;
    assert_eq!(world.send("GET", "/readyz", &[]).await.status, 200);
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    let stale = world.send("GET", "/readyz?verbose", &[]).await;
    assert_eq!(stale.status, 503);
    assert!(stale.body.contains("[-] store"), "{}", stale.body);
    world.engine.catch_up().await.unwrap();
    assert_eq!(world.send("GET", "/readyz", &[]).await.status, 200);
}

async fn walk(world: &World, path: &str, list: &str, key: &str) -> Vec<String> {
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let separator = if path.contains('?') { '&' } else { '?' };
        let page = world.get(&format!("{path}{separator}limit=7{cursor}")).await;
        let items = page[list].as_array().unwrap();
        assert!(items.len() <= 7);
        seen.extend(items.iter().map(|item| item[key].to_string()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return seen,
        }
    }
}

/// K2: a listing is walked by sealed cursors, each session exactly once; a cursor that was changed, made up,
/// or belongs to another listing is refused.
#[tokio::test]
async fn listings_go_on_by_sealed_cursors() {
    let world = World::with(Some(crate::ops_world::TOKEN), "127.0.0.1:9901", &[], |config| {
        config.limits.sessions_per_subject = 100
    })
    .await;
    let mut made = BTreeSet::new();
    for n in 0..30 {
        let user = world.sign_in(if n % 3 == 0 { "grace" } else { "ada" }).await;
        made.insert(format!("\"{}\"", user.session));
    }
    let all = walk(&world, "/admin/v1/sessions", "sessions", "id").await;
    assert_eq!(all.len(), 30, "each once");
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), made);
    assert_eq!(walk(&world, "/admin/v1/sessions?subject=grace", "sessions", "id").await.len(), 10);
    assert!(walk(&world, "/admin/v1/sessions?subject=nobody", "sessions", "id").await.is_empty());

    let first = world.get("/admin/v1/sessions?limit=7").await;
    let cursor = first["next"].as_str().unwrap();
    assert!(!cursor.contains(first["sessions"][6]["id"].as_str().unwrap()), "a client reads nothing from it");
    let refused = |cursor: String| {
        let world = &world;
        async move {
            let answer = world.as_admin("GET", &format!("/admin/v1/sessions?cursor={cursor}")).await;
            assert_eq!(
                (answer.status.as_u16(), answer.code().as_str()),
                (400, "bad_parameter"),
                "{cursor}: {}",
                answer.body
            );
        }
    };
    for at in 0..cursor.len() {
        let mut changed = cursor.to_owned();
        let other = if &cursor[at..=at] == "A" { "B" } else { "A" };
        changed.replace_range(at..=at, other);
        refused(changed).await;
    }
    for made_up in [
        "",
        "AAAA",
        "1%20OR%201%3D1",
        "%27%3B%20DROP%20TABLE%20session%3B--",
        "..%2F..%2Fetc%2Fpasswd",
        first["sessions"][6]["id"].as_str().unwrap(),
    ] {
        refused(made_up.to_owned()).await;
    }
    let of_ada = world.get("/admin/v1/sessions?subject=ada&limit=7").await["next"].as_str().unwrap().to_owned();
    refused(of_ada.clone()).await;
    let own = world.as_admin("GET", &format!("/admin/v1/sessions?subject=ada&cursor={of_ada}")).await;
    assert_eq!(own.status, 200, "the control: in its own listing it is good");
    for limit in ["0", "1001", "-1", "x", "99999999999999999999"] {
        assert_eq!(
            world.as_admin("GET", &format!("/admin/v1/sessions?limit={limit}")).await.code(),
            "bad_parameter",
            "{limit}"
        );
    }
}

/// one session, a subject's, everybody's. What was not named lives on; ending again is no error.
#[tokio::test]
async fn sessions_are_shown_and_ended() {
    let world = World::new().await;
    let (first, second, other) = (world.sign_in("ada").await, world.sign_in("ada").await, world.sign_in("grace").await);
    let shown = world.get(&format!("/admin/v1/sessions/{}", first.session)).await;
    assert_eq!((shown["subject"].as_str(), shown["storage"].as_str()), (Some("ada"), Some("hybrid")));
    let lives = async |user: &crate::ops_world::User| {
        world.engine.session(user.session.parse().unwrap()).await.unwrap().is_some()
    };

    let ended = world.as_admin("DELETE", &format!("/admin/v1/sessions/{}", first.session)).await.json();
    assert_eq!(ended["ended"], serde_json::json!([first.session]));
    assert_eq!(ended["durability"], "memory");
    assert_eq!((lives(&first).await, lives(&second).await, lives(&other).await), (false, true, true));
    assert_eq!(
        world.as_admin("DELETE", &format!("/admin/v1/sessions/{}", first.session)).await.json()["ended"],
        serde_json::json!([])
    );
    assert_eq!(world.as_admin("GET", &format!("/admin/v1/sessions/{}", first.session)).await.status, 404);

    world.as_admin("DELETE", "/admin/v1/subjects/ada/sessions").await;
    assert_eq!((lives(&second).await, lives(&other).await), (false, true));
    for all in ["", "?all=false", "?all=", "?all=yes"] {
        assert_eq!(
            world.as_admin("DELETE", &format!("/admin/v1/sessions{all}")).await.code(),
            "bad_parameter",
            "{all:?} ends nothing"
        );
    }
    assert!(lives(&other).await);
    assert_eq!(world.as_admin("DELETE", "/admin/v1/sessions?all=true").await.status, 200);
    assert!(!lives(&other).await);
    for path in [
        "/admin/v1/sessions/short",
        "/admin/v1/sessions/..%2Fkeys",
        "/admin/v1/subjects/a%0Ab",
        "/admin/v1/subjects/a%00",
    ] {
        assert!(matches!(world.as_admin("GET", path).await.status.as_u16(), 400 | 404), "{path}");
    }
}

/// R-027, H10: disabling ends the sessions and shuts the account; a subject without an account has none to disable.
#[tokio::test]
async fn subjects_are_shown_disabled_and_enabled() {
    let world = World::new().await;
    let accounts = sessile::password::Accounts {
        vault: world.engine.vault(),
        policy: &world.engine.config().passwords,
        hashing: world.engine.hashing(),
        entropy: world.engine.entropy(),
    };
    let password = || sessile_core::SecretText::new("violet anchor sundial 47".to_owned());
    let now = world.engine.now().wall;
    accounts.create("ada", None, password(), now).await.unwrap();
    accounts.create("grace", Some("u-7".parse().unwrap()), password(), now).await.unwrap();
    let user = world.sign_in("u-7").await;
    let shown = world.get("/admin/v1/subjects/u-7").await;
    assert_eq!((shown["account"]["name"].as_str(), shown["sessions"].as_u64()), (Some("grace"), Some(1)));
    let ended = world.as_admin("POST", "/admin/v1/subjects/u-7/disable").await.json();
    assert_eq!(ended["ended"], serde_json::json!([user.session]));
    assert!(world.get("/admin/v1/subjects/u-7").await["account"]["disabled_at"].is_string());
    assert!(
        world.get("/admin/v1/subjects/ada").await["account"]["disabled_at"].is_null(),
        "the control: another account is not"
    );
    assert_eq!(world.as_admin("POST", "/admin/v1/subjects/u-7/enable").await.status, 200);
    assert!(world.get("/admin/v1/subjects/u-7").await["account"]["disabled_at"].is_null());
    // The name is not the subject: it names nobody.
    assert_eq!(world.as_admin("POST", "/admin/v1/subjects/grace/disable").await.status, 404);
    assert_eq!(world.as_admin("GET", "/admin/v1/subjects/nobody").await.status, 404);
    world.sign_in("app-user").await;
    assert!(world.get("/admin/v1/subjects/app-user").await["account"].is_null());
}

/// keys are listed without their private half, rotated, and revoked.
#[tokio::test]
async fn keys_are_listed_rotated_and_revoked() {
    let world = World::new().await;
    let keys = world.get("/admin/v1/keys").await;
    let first = keys["keys"][0]["id"].as_str().unwrap().to_owned();
    let members: BTreeSet<&str> = keys["keys"][0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        members,
        BTreeSet::from(["id", "algorithm", "state", "created_at", "active_from", "retires_at", "revoked_at"])
    );
    let added = world.as_admin("POST", "/admin/v1/keys").await.json()["added"].as_str().unwrap().to_owned();
    assert_eq!(world.get("/admin/v1/keys").await["keys"].as_array().unwrap().len(), 2);
    let user = world.sign_in("ada").await;
    assert!(world.engine.verify_token(&user.access_token).is_ok());
    assert_eq!(world.as_admin("DELETE", &format!("/admin/v1/keys/{first}")).await.status, 200);
    assert!(world.engine.verify_token(&user.access_token).is_err(), "what it signed is refused at once");
    assert_ne!(added, first);
    assert_eq!(world.as_admin("DELETE", "/admin/v1/keys/unknown").await.status, 404);
    assert_eq!(world.as_admin("DELETE", "/admin/v1/keys/a%20b").await.status, 400);
}

/// the audit log through the API: newest page first, back in time by cursor, each event once; filters.
#[tokio::test]
async fn the_audit_log_is_paged_and_filtered() {
    let world = World::new().await;
    for _ in 0..12 {
        world.sign_in("ada").await;
    }
    world.sign_in("grace").await;
    // Writes the queued events.
    world.engine.run(std::future::ready(())).await;
    let all = walk(&world, "/admin/v1/audit", "events", "seq").await;
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "each once");
    assert!(all.len() > 13, "{}", all.len());
    let grace = world.get("/admin/v1/audit?subject=grace").await;
    assert!(grace["events"].as_array().unwrap().iter().all(|event| event["subject"] == "grace"));
    assert!(!grace["events"].as_array().unwrap().is_empty());
    let created = world.get("/admin/v1/audit?event=session_created&limit=3").await;
    assert_eq!(created["events"].as_array().unwrap().len(), 3);
    assert_eq!(world.as_admin("GET", "/admin/v1/audit?event=no_such_event").await.code(), "bad_parameter");
    let sessions_cursor = world.get("/admin/v1/sessions?limit=2").await["next"].as_str().unwrap().to_owned();
    assert_eq!(
        world.as_admin("GET", &format!("/admin/v1/audit?cursor={sessions_cursor}")).await.code(),
        "bad_parameter"
    );
}

/// K4: no answer holds a token, a hash or a key. Negative control: the scanner finds one where there is one.
#[tokio::test]
async fn no_answer_holds_a_secret() {
    let world = World::new().await;
    let user = world.sign_in("ada").await;
    world.engine.run(std::future::ready(())).await;
    let secrets = [user.session_token.as_str(), user.access_token.as_str(), crate::ops_world::TOKEN];
    let parts: Vec<&str> = secrets.iter().flat_map(|secret| secret.split('.')).filter(|part| part.len() > 24).collect();
    let leaks = |body: &str| parts.iter().any(|part| body.contains(part));
    for path in [
        "/livez",
        "/readyz?verbose",
        "/metrics",
        "/admin/v1/sessions",
        "/admin/v1/subjects/ada",
        "/admin/v1/keys",
        "/admin/v1/audit",
        "/admin/v1/sessions/x",
    ] {
        let answer = world.as_admin("GET", path).await;
        assert!(!leaks(&answer.body), "{path}: {}", answer.body);
        assert!(!answer.body.contains("argon2") && !answer.body.contains("PRIVATE"));
    }
    assert!(leaks(&format!("{{\"token\":\"{}\"}}", user.access_token)));
    let _: Value = world.get("/admin/v1/sessions").await;
}
