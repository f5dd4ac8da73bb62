//! The tower layer and the axum extractors in front of a real axum app.

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderValue, Request, Response, StatusCode};
use sessile::extract::FreshSession;
use sessile::{SessileLayer, Session};
use tower::ServiceExt;

use crate::world::{ACCESS, Browser, SESSION, World};

fn app(world: &World) -> Router {
    let open = Router::new().route("/who", get(|session: Option<Session>| async move { name(session) }));
    let guarded = Router::new()
        .route("/me", get(|session: Session| async move { session.subject().to_string() }))
        .route("/change", post(|_: Session| async { "changed" }))
        .route("/fresh", get(|_: FreshSession<5>| async { "fresh" }))
        .route(
            "/shadow",
            get(|| async { ([(SET_COOKIE, HeaderValue::from_static("__Host-Http-sessile=planted; Path=/"))], "") }),
        );
    Router::new()
        .merge(open.layer(SessileLayer::optional(world.engine.clone())))
        .merge(guarded.layer(SessileLayer::required(world.engine.clone())))
}

fn name(session: Option<Session>) -> String {
    session.map_or_else(|| "nobody".to_owned(), |session| session.subject().to_string())
}

async fn send(app: &Router, browser: &Browser, method: &str, path: &str, headers: &[(&str, &str)]) -> Response<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if !browser.jar.is_empty() {
        let pairs: Vec<String> = browser.jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        request = request.header(COOKIE, pairs.join("; "));
    }
    app.clone().oneshot(request.body(Body::empty()).expect("a request")).await.expect("infallible")
}

async fn text(response: Response<Body>) -> String {
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.expect("a body");
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// The extractor tells a handler who is signed in; without a session the layer answers 401.
#[tokio::test]
async fn extractors() {
    let world = World::new().await;
    let (app, browser, nobody) = (app(&world), world.sign_in("ada").await, Browser::default());
    assert_eq!(text(send(&app, &browser, "GET", "/me", &[]).await).await, "ada");
    assert_eq!(text(send(&app, &browser, "GET", "/who", &[]).await).await, "ada");
    assert_eq!(text(send(&app, &nobody, "GET", "/who", &[]).await).await, "nobody");
    let refused = send(&app, &nobody, "GET", "/me", &[]).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    assert!(text(refused).await.contains("\"no_session\""));
}

/// An extension a client cannot set: without the layer's own insertion there is no session, whatever was there.
#[tokio::test]
async fn renewal_and_headers() {
    let world = World::new().await;
    let (app, browser) = (app(&world), world.sign_in("ada").await);
    world.pass_time(std::time::Duration::from_secs(300));
    let response = send(&app, &browser, "GET", "/me", &[]).await;
    let cookies: Vec<&str> = response.headers().get_all(SET_COOKIE).iter().filter_map(|v| v.to_str().ok()).collect();
    assert_eq!(cookies.len(), 2);
    assert!(cookies.iter().any(|c| c.starts_with(SESSION)) && cookies.iter().any(|c| c.starts_with(ACCESS)));
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    assert!(
        response
            .headers()
            .get_all("vary")
            .iter()
            .any(|v| v.to_str().is_ok_and(|v| v.to_lowercase().contains("cookie")))
    );
}

/// a cross-site change is refused, a same-origin one passes.
#[tokio::test]
async fn cross_site_changes_are_refused() {
    let world = World::new().await;
    let (app, browser) = (app(&world), world.sign_in("ada").await);
    let status = |response: Response<Body>| response.status();
    assert_eq!(
        status(send(&app, &browser, "POST", "/change", &[("sec-fetch-site", "cross-site")]).await),
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        status(send(&app, &browser, "POST", "/change", &[("origin", "https://evil.test")]).await),
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        status(send(&app, &browser, "POST", "/change", &[("sec-fetch-site", "same-origin")]).await),
        StatusCode::OK
    );
    assert_eq!(
        status(send(&app, &browser, "POST", "/change", &[("origin", "https://app.test")]).await),
        StatusCode::OK
    );
}

/// a handler can demand a recent sign-in; renewal does not count as one.
#[tokio::test]
async fn fresh_authentication() {
    let world = World::new().await;
    let (app, mut browser) = (app(&world), world.sign_in("ada").await);
    assert_eq!(send(&app, &browser, "GET", "/fresh", &[]).await.status(), StatusCode::OK);
    world.pass_time(std::time::Duration::from_secs(301));
    browser.get(&world.engine).await;
    let response = send(&app, &browser, "GET", "/fresh", &[]).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let challenge = response.headers()["www-authenticate"].to_str().expect("ASCII");
    assert!(
        challenge.contains("insufficient_user_authentication") && challenge.contains("max_age=\"300\""),
        "{challenge}"
    );
}

/// the app cannot set a cookie under our names.
#[tokio::test]
async fn the_app_cannot_plant_our_cookies() {
    let world = World::new().await;
    let (app, browser) = (app(&world), world.sign_in("ada").await);
    let response = send(&app, &browser, "GET", "/shadow", &[]).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers().get_all(SET_COOKIE).iter().count(), 0);
}

/// A link from another site, without our Strict cookies, gets the bounce once; the bounced request does not.
#[tokio::test]
async fn links_from_elsewhere_bounce_once() {
    let world = World::new().await;
    let (app, nobody) = (app(&world), Browser::default());
    let link = [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
        ("accept", "text/html"),
    ];
    let bounced = send(&app, &nobody, "GET", "/me?x=1", &link).await;
    assert_eq!(bounced.status(), StatusCode::OK);
    let page = text(bounced).await;
    assert!(page.contains("/me?x&#61;1"), "{page}");
    let again = [
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
        ("accept", "text/html"),
    ];
    let page = send(&app, &nobody, "GET", "/me?x=1", &again).await;
    assert_eq!(page.status(), StatusCode::SEE_OTHER);
    let target = page.headers()["location"].to_str().expect("ASCII").to_owned();
    assert!(target.starts_with("/auth/sign-in?return_to="), "{target}");
    for away in ["//evil.test/me", "/\\evil.test/me"] {
        let response = sessile::respond::bounce(&world.engine, away);
        assert_eq!(response.status(), StatusCode::SEE_OTHER, "no page leads to {away}");
    }
    let script =
        send(&app, &nobody, "GET", "/me", &[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors")]).await;
    assert_eq!(script.status(), StatusCode::UNAUTHORIZED, "a script's request never gets a redirect");
}
