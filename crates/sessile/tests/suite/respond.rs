//! The status code and body of every outcome.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sessile::Access;
use sessile::respond::{self, Problem};
use sessile_core::event::RequestId;

use crate::surface_client::{Answer, ask, sign_in, site};
use crate::world::{Browser, guard};

fn every_problem() -> Vec<Problem> {
    let soon = Duration::from_millis(1500);
    vec![
        Problem::NoSession,
        Problem::FreshAuthRequired { max_age: Duration::from_secs(600) },
        Problem::CsrfRefused,
        Problem::SignInFailed,
        Problem::TooManyAttempts { retry_after: soon },
        Problem::Unavailable { retry_after: soon },
        Problem::Busy { retry_after: soon },
        Problem::ClaimsTooLarge,
        Problem::BadRequest { code: "malformed_json", detail: "Not JSON." },
        Problem::InvalidClient,
        Problem::NotFound,
        Problem::MethodNotAllowed { allow: "GET, HEAD" },
        Problem::UnknownHost,
        Problem::PayloadTooLarge,
        Problem::BodyTimeout,
        Problem::UnsupportedMediaType,
        Problem::HeadersTooLarge { cookies: vec!["theme".to_owned(), "<b>tracker</b>".to_owned()] },
        Problem::UpstreamUnreachable,
        Problem::UpstreamInvalid,
        Problem::UpstreamTimeout,
        Problem::Internal,
    ]
}

async fn answer(problem: &Problem, wants_page: bool, request_id: Option<&RequestId>) -> Answer {
    let world = site().await;
    let (head, body) = respond::problem(&world.engine, problem, wants_page, request_id).into_parts();
    Answer { status: head.status, headers: head.headers, body }
}

/// Programs get `application/problem+json` with a stable code, people a page that says the same; both with the request
/// id, neither cacheable.
#[tokio::test]
async fn problems_have_two_faces() {
    let id = RequestId("01JDX-request".to_owned());
    let mut statuses = BTreeMap::new();
    for problem in every_problem() {
        let json = answer(&problem, false, Some(&id)).await;
        let page = answer(&problem, true, Some(&id)).await;
        assert_eq!((json.status, json.code().as_str()), (problem.status(), problem.code()));
        assert_eq!(json.json()["request_id"], "01JDX-request");
        assert_eq!(json.json()["title"], problem.title());
        assert_eq!((page.status, page.header("content-type")), (problem.status(), "text/html; charset=utf-8"));
        let text = page.text();
        assert!(
            text.contains(problem.code()) && text.contains("01JDX-request") && text.contains("<h1>"),
            "{}",
            problem.code()
        );
        for answer in [&json, &page] {
            assert_eq!(answer.header("cache-control"), "no-store");
            assert_eq!(answer.status == 401, !answer.header("www-authenticate").is_empty(), "RFC 9110 section 15.5.2");
            let says_when =
                matches!(problem, Problem::TooManyAttempts { .. } | Problem::Unavailable { .. } | Problem::Busy { .. });
            assert_eq!(answer.header("retry-after"), if says_when { "2" } else { "" }, "rounded up");
        }
        assert!(statuses.insert(problem.code(), problem.status().as_u16()).is_none(), "{} twice", problem.code());
    }
    let expected = [
        ("busy", 503),
        ("claims_too_large", 502),
        ("csrf_refused", 403),
        ("fresh_authentication_required", 401),
        ("headers_too_large", 431),
        ("internal", 500),
        ("invalid_client", 401),
        ("malformed_json", 400),
        ("method_not_allowed", 405),
        ("no_session", 401),
        ("not_found", 404),
        ("payload_too_large", 413),
        ("request_timeout", 408),
        ("sign_in_failed", 401),
        ("too_many_attempts", 429),
        ("unavailable", 503),
        ("unknown_host", 421),
        ("unsupported_media_type", 415),
        ("upstream_invalid", 502),
        ("upstream_timeout", 504),
        ("upstream_unreachable", 502),
    ];
    assert_eq!(statuses, BTreeMap::from(expected), "clients rely on these");
    let without = answer(&Problem::Internal, false, None).await;
    assert!(without.json().get("request_id").is_none(), "negative control");
}

/// H12, R-016: a browser with too many cookies is told which they are, and ours are cleared, so that nobody is locked
/// out for good.
#[tokio::test]
async fn too_many_cookies_have_a_way_out() {
    let problem = Problem::HeadersTooLarge { cookies: vec!["theme".to_owned(), "<b>tracker</b>".to_owned()] };
    let page = answer(&problem, true, None).await;
    assert_eq!((page.status.as_u16(), page.cookies().len()), (431, 2));
    assert!(page.cookies().iter().all(|cookie| cookie.contains("Max-Age=0")));
    assert!(
        page.text().contains("<code>theme</code>")
            && page.text().contains("&lt;b&gt;tracker")
            && !page.text().contains("<b>")
    );
    let json = answer(&problem, false, None).await;
    assert_eq!(json.json()["cookies"][0], "theme");
    assert!(answer(&Problem::NotFound, true, None).await.cookies().is_empty(), "negative control");
}

fn navigation(path: &str, site: &str) -> http::request::Parts {
    let mut parts = Browser::default().request("GET", path);
    for (name, value) in [
        ("sec-fetch-site", site),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
        ("accept", "text/html"),
    ] {
        parts.headers.insert(name, value.parse().expect("a value"));
    }
    parts
}

/// H13, product.md section 4: a deep link from another site is bounced once. The bounced request is `same-origin`,
/// whatever happened to the cookies, so there is no loop: it is sent to the sign-in page, which is 200.
#[tokio::test]
async fn links_from_elsewhere_are_bounced_once() {
    let world = site().await;
    let target = "/notes/5?tab=a%20b&x=%22%3E%3Cscript%3E'";
    for from in ["cross-site", "same-site"] {
        let bounce = guard(&world.engine, &navigation(target, from), Access::Session).await.expect("an answer");
        assert_eq!((bounce.status().as_u16(), bounce.headers()["cache-control"].as_bytes()), (200, &b"no-store"[..]));
        let page = String::from_utf8(bounce.body().to_vec()).expect("text");
        let escaped = target.replace('&', "&amp;").replace('=', "&#61;").replace('\'', "&#39;");
        assert!(
            page.contains(&format!("<noscript><meta http-equiv=\"refresh\" content=\"0; url={escaped}\"></noscript>")),
            "{page}"
        );
        assert!(page.contains(&format!("href=\"{escaped}\"")));
        let csp = bounce.headers()["content-security-policy"].to_str().expect("ASCII");
        let nonce = csp.split("'nonce-").nth(1).and_then(|rest| rest.split('\'').next()).expect("a nonce");
        assert!(page.contains(&format!("<script nonce=\"{nonce}\">")));
    }
    // Without cookies the second request goes to the sign-in page, and that is the end of it.
    let target = "/notes/5?tab=a%20b&x=1";
    let second = guard(&world.engine, &navigation(target, "same-origin"), Access::Session).await.expect("an answer");
    assert_eq!(second.status(), 303);
    let sign_in_page = second.headers()["location"].to_str().expect("ASCII").to_owned();
    assert!(sign_in_page.starts_with("/auth/sign-in?return_to=/notes/5"), "{sign_in_page}");
    let page = ask("GET", &sign_in_page).page().send(&world.engine).await;
    assert_eq!(page.status, 200);
    // With cookies it is let through; and what is no link is not bounced.
    let ada = sign_in(&world.engine, "ada").await;
    let mut with_cookies = navigation(target, "same-origin");
    with_cookies.headers.insert("cookie", crate::surface_client::cookie_header(&ada).parse().expect("a value"));
    assert!(guard(&world.engine, &with_cookies, Access::Session).await.is_none());
    for (what, name, value) in [
        ("a frame", "sec-fetch-dest", "iframe"),
        ("a script", "sec-fetch-mode", "cors"),
        ("typed", "sec-fetch-site", "none"),
    ] {
        let mut other = navigation(target, "cross-site");
        other.headers.insert(name, value.parse().expect("a value"));
        let answer = guard(&world.engine, &other, Access::Session).await.expect("an answer");
        assert_ne!(answer.status(), 200, "negative control: {what}");
    }
}

/// 401 or redirect: a script's request never gets a redirect, a navigation never gets raw JSON (product.md section 7).
#[tokio::test]
async fn scripts_get_json_and_people_get_pages() {
    let world = site().await;
    let cases: [(&[(&str, &str)], u16); 7] = [
        (&[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")], 303),
        (&[("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")], 401),
        (&[("sec-fetch-mode", "cors"), ("accept", "text/html")], 401),
        (&[("accept", "text/html,*/*")], 303),
        (&[("accept", "application/json")], 401),
        (&[("accept", "text/html"), ("x-requested-with", "XMLHttpRequest")], 401),
        (&[], 401),
    ];
    for (headers, status) in cases {
        let mut parts = Browser::default().request("GET", "/notes");
        for (name, value) in headers {
            parts.headers.insert(*name, value.parse().expect("a value"));
        }
        let answer = guard(&world.engine, &parts, Access::Session).await.expect("an answer");
        assert_eq!(answer.status(), status, "{headers:?}");
        let kind = answer.headers()["content-type"].to_str().expect("ASCII");
        assert_eq!(kind == "application/problem+json", status == 401, "{headers:?}");
        assert_eq!(answer.headers().contains_key("location"), status == 303);
    }
}

/// R-122, D7: the way to the sign-in page is a fixed path of this origin, whatever was asked for and by whatever host.
#[tokio::test]
async fn the_sign_in_address_is_ours() {
    let world = site().await;
    let mut seen = BTreeSet::new();
    for target in [
        "/notes?x=1&y=2",
        "//evil.test",
        "/\\evil.test",
        "/a\r\nb: c",
        "https://evil.test",
        "",
        "/ü",
        "/x?return_to=//evil.test",
    ] {
        let answer = respond::redirect_to_sign_in(&world.engine, target);
        let location = answer.headers()["location"].to_str().expect("ASCII").to_owned();
        assert_eq!(answer.status(), 303, "R-123");
        let back = location.strip_prefix("/auth/sign-in?return_to=");
        assert!(
            location == "/auth/sign-in" || back.is_some_and(|to| to.starts_with('/') && !to.starts_with("//")),
            "{location}"
        );
        seen.insert(location);
    }
    assert!(
        seen.contains("/auth/sign-in?return_to=/notes%3Fx%3D1%26y%3D2"),
        "negative control: a safe target is kept: {seen:?}"
    );
}
