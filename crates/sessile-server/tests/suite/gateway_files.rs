//! Static routes, and CORS.

use std::fs;
use std::time::Duration;

use sessile::Access;
use sessile_core::cors::{AllowedOrigins, CorsConfig};
use sessile_server::gateway::{Gateway, RouteSettings, StaticSettings, TargetSettings};

use crate::gateway_world::{Echo, World, route, settings};

/// Files are served under the same rules as applications: sessions, headers, caches.
#[tokio::test(flavor = "multi_thread")]
async fn files_are_served_under_the_same_rules() {
    let dir = tempfile::tempdir().expect("a folder");
    for (path, text) in [
        ("site/app.js", "code"),
        ("site/index.html", "<p>home"),
        ("private/report.txt", "secret"),
        ("site/.env", "KEY"),
    ] {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }
    let folder = |prefix: &str, access| {
        RouteSettings::new(
            prefix,
            TargetSettings::Static(StaticSettings { root: dir.path().to_owned(), spa: false }),
            access,
        )
    };
    let world =
        World::start(settings(vec![folder("/site", Access::Public), folder("/private", Access::Session)])).await;
    let answer = world.get("/site/app.js", &[]).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "code"));
    assert_eq!(answer.field("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(answer.field("cache-control"), Some("no-cache"));
    assert_eq!(answer.field("x-content-type-options"), Some("nosniff"));
    let tag = answer.field("etag").expect("a tag").to_owned();
    let again = world.get("/site/app.js", &[("If-None-Match", &tag)]).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    let head = world.request("HEAD", "/site/app.js", &[], b"").await;
    assert_eq!((head.status, head.field("content-length")), (200, Some("4")));
    let page = world.get("/site/", &[]).await;
    assert_eq!(page.text(), "<p>home");
    // What is said of a page goes out with its 304 as well: else a browser keeps what was said last time.
    let tag = page.field("etag").expect("a tag").to_owned();
    let again = world.get("/site/", &[("If-None-Match", &tag)]).await;
    assert_eq!((again.status, again.field("content-type")), (304, None));
    for name in ["content-security-policy", "x-frame-options", "permissions-policy"] {
        assert!(page.field(name).is_some(), "negative control: {name}");
        assert_eq!(again.field(name), page.field(name), "{name}");
    }
    let elsewhere = world.get("/site", &[]).await;
    assert_eq!((elsewhere.status, elsewhere.field("location")), (308, Some("/site/")));
    for (method, path, status) in [
        ("GET", "/site/nothing", 404),
        ("GET", "/site/.env", 404),
        ("PUT", "/site/app.js", 405),
        ("GET", "/site/../private/report.txt", 400),
    ] {
        assert_eq!(world.request(method, path, &[], b"").await.status, status, "{method} {path}");
    }

    assert_eq!(world.get("/private/report.txt", &[]).await.status, 401);
    let browser = world.sign_in("ada").await;
    let answer = world.get("/private/report.txt", &[("Cookie", &browser.cookie())]).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "secret"), "negative control");
    assert!(answer.field("cache-control").is_some_and(|value| value.contains("no-store")), "P21: {:?}", answer.fields);
    world.stop().await;

    let missing = TargetSettings::Static(StaticSettings { root: dir.path().join("nowhere"), spa: false });
    let bad = settings(vec![RouteSettings::new("/", missing, Access::Public)]);
    let public = sessile_core::origin::Origin::parse("http://localhost").expect("an origin");
    assert!(Gateway::check(&bad, &public).is_err_and(|faults| faults[0].problem.contains("nowhere")));
}

fn cors() -> CorsConfig {
    CorsConfig {
        origins: AllowedOrigins::parse(&["https://partner.example"]).expect("origins"),
        methods: vec!["GET".to_owned(), "PUT".to_owned()],
        headers: vec!["content-type".to_owned()],
        expose: Vec::new(),
        max_age: Duration::from_secs(600),
        credentials: true,
    }
}

/// preflights are answered before authentication and without asking the application; only listed origins read.
#[tokio::test(flavor = "multi_thread")]
async fn r101_preflights_are_answered_here() {
    let echo = Echo::answering("Access-Control-Allow-Origin: *\r\nVary: Accept\r\n").await;
    let mut api = route("/api", echo.address, Access::Session);
    api.cors = Some(cors());
    let world = World::start(settings(vec![api, route("/plain", echo.address, Access::Public)])).await;
    let preflight = [("Origin", "https://partner.example"), ("Access-Control-Request-Method", "PUT")];
    let answer = world.request("OPTIONS", "/api/x", &preflight, b"").await;
    assert_eq!((answer.status, answer.field("access-control-allow-origin")), (204, Some("https://partner.example")));
    assert_eq!(answer.field("access-control-allow-credentials"), Some("true"));
    for origin in ["https://evil.example", "null", "https://partner.example.evil.example", "http://partner.example"] {
        let answer = world
            .request("OPTIONS", "/api/x", &[("Origin", origin), ("Access-Control-Request-Method", "PUT")], b"")
            .await;
        assert_eq!((answer.status, answer.field("access-control-allow-origin")), (204, None), "{origin}");
        assert!(answer.field("vary").is_some_and(|vary| vary.contains("Origin")));
    }
    assert_eq!(echo.count(), 0, "the application was not asked");

    let refused = world.get("/api/x", &[("Origin", "https://partner.example")]).await;
    assert_eq!(
        (refused.status, refused.field("access-control-allow-origin")),
        (401, Some("https://partner.example")),
        "R-104"
    );
    let cookie = world.sign_in("ada").await.cookie();
    let answer = world.get("/api/x", &[("Origin", "https://partner.example"), ("Cookie", &cookie)]).await;
    assert_eq!(
        (answer.status, answer.all("access-control-allow-origin")),
        (200, vec!["https://partner.example"]),
        "R-103: one owner"
    );
    assert!(
        answer.all("vary").join(",").contains("Origin") && answer.all("vary").join(",").contains("Accept"),
        "R-102"
    );
    let answer = world.get("/api/x", &[("Origin", "https://evil.example"), ("Cookie", &cookie)]).await;
    assert_eq!(
        (answer.status, answer.field("access-control-allow-origin")),
        (200, None),
        "and who may not read is told nothing"
    );
    let answer = world.get("/plain/x", &[("Origin", "https://evil.example")]).await;
    assert_eq!(
        answer.field("access-control-allow-origin"),
        Some("*"),
        "negative control: without a section the application speaks for itself"
    );
    world.stop().await;
}
