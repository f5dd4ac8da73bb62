//! Who may read an answer from another origin.

use std::time::Duration;

use sessile_core::cors::{
    AllowedOrigins, CorsConfig, MAX_REQUEST_HEADERS_OCTETS, PreflightRefusal, PreflightRequest, PreflightVerdict,
    preflight, response_headers,
};
use sessile_core::fault::Weight;
use sessile_core::headers::{Field, HeaderEdit};
use sessile_core::origin::Origin;

const FRIEND: &str = "https://app.example";

fn config() -> CorsConfig {
    CorsConfig {
        origins: AllowedOrigins::parse(&[FRIEND, "http://localhost:5173"]).expect("origins"),
        methods: vec!["GET".into(), "PUT".into()],
        headers: vec!["content-type".into(), "x-csrf-token".into()],
        expose: vec!["x-total".into()],
        max_age: Duration::from_secs(600),
        credentials: true,
    }
}

fn one(text: &str) -> Field<'_> {
    Field::One(text.as_bytes())
}

fn ask<'a>(origin: Field<'a>, method: &'a str, headers: Field<'a>) -> PreflightRequest<'a> {
    PreflightRequest { method: "OPTIONS", origin, request_method: one(method), request_headers: headers }
}

fn value<'a>(edits: &'a [HeaderEdit<'a>], wanted: &str) -> Option<&'a str> {
    edits.iter().rev().find_map(|edit| match edit {
        HeaderEdit::Set(name, value) | HeaderEdit::Append(name, value) => (*name == wanted).then_some(value.as_ref()),
        HeaderEdit::Remove(_) => None,
    })
}

fn allows_nothing(edits: &[HeaderEdit<'_>]) -> bool {
    edits.iter().all(|edit| matches!(edit, HeaderEdit::Remove(_)) || !edit.name().starts_with("access-control-"))
}

/// what is listed is allowed, from the configuration and not from the question.
#[test]
fn a_listed_preflight_is_allowed() {
    let PreflightVerdict::Allow(edits) =
        preflight(&config(), &ask(one(FRIEND), "PUT", one("Content-Type, x-csrf-token")))
    else {
        panic!("must be allowed");
    };
    for (name, expected) in [
        ("access-control-allow-origin", FRIEND),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-methods", "GET, PUT"),
        ("access-control-allow-headers", "content-type, x-csrf-token"),
        ("access-control-max-age", "600"),
        ("vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
    ] {
        assert_eq!(value(&edits, name), Some(expected));
    }
    for headers in [Field::Absent, one(""), one(","), one("X-CSRF-Token"), one(" content-type ,")] {
        assert!(
            matches!(preflight(&config(), &ask(one(FRIEND), "GET", headers)), PreflightVerdict::Allow(_)),
            "{headers:?}"
        );
    }
}

/// I3 in faults.md: anything else gets an answer that allows nothing.
#[test]
fn anything_else_is_refused() {
    use PreflightRefusal as R;
    let long = "content-type,".repeat(MAX_REQUEST_HEADERS_OCTETS / 13 + 1);
    let mut cases = vec![
        (ask(one("https://evil.test"), "GET", Field::Absent), R::Origin),
        (ask(one("null"), "GET", Field::Absent), R::Origin),
        (ask(Field::Several, "GET", Field::Absent), R::Origin),
        (ask(one(FRIEND), "DELETE", Field::Absent), R::Method),
        (ask(one(FRIEND), "get", Field::Absent), R::Method),
        (ask(one(FRIEND), "GET, PUT", Field::Absent), R::Method),
        (ask(one(FRIEND), "*", Field::Absent), R::Method),
        (ask(one(FRIEND), "POST", Field::Absent), R::Method),
        (PreflightRequest { request_method: Field::Several, ..ask(one(FRIEND), "GET", Field::Absent) }, R::Method),
        (ask(one(FRIEND), "GET", one("x-other")), R::Headers),
        (ask(one(FRIEND), "GET", one("*")), R::Headers),
        (ask(one(FRIEND), "GET", one("content-type;x")), R::Headers),
        (ask(one(FRIEND), "GET", Field::Several), R::Headers),
        (ask(one(FRIEND), "GET", one(&long)), R::Headers),
    ];
    cases.extend(super::origin::NEAR_MISSES.into_iter().map(|near| (ask(one(near), "GET", Field::Absent), R::Origin)));
    for (request, expected) in cases {
        match preflight(&config(), &request) {
            PreflightVerdict::Refuse(why, edits) => {
                assert_eq!(why, expected, "{request:?}");
                assert!(allows_nothing(&edits), "{request:?}");
                assert!(value(&edits, "vary").is_some_and(|vary| vary.starts_with("Origin")), "R-102");
            }
            other => panic!("{request:?}: {other:?}"),
        }
    }
    // Negative control: the length is what refuses the long list; each of its names is allowed.
    assert!(matches!(preflight(&config(), &ask(one(FRIEND), "GET", one(&long[..1300]))), PreflightVerdict::Allow(_)));
}

/// I4 in faults.md: a megabyte of header names is refused for its length, before any name is looked at: here
/// each of them is listed.
#[test]
fn a_megabyte_of_names() {
    let names = "content-type,".repeat((1 << 20) / 13);
    let verdict = preflight(&config(), &ask(one(FRIEND), "GET", one(&names)));
    assert!(matches!(verdict, PreflightVerdict::Refuse(PreflightRefusal::Headers, _)));
    let at_the_limit = one(&names[..MAX_REQUEST_HEADERS_OCTETS / 13 * 13]);
    assert!(matches!(preflight(&config(), &ask(one(FRIEND), "GET", at_the_limit)), PreflightVerdict::Allow(_)));
}

/// only a preflight is answered here.
#[test]
fn other_requests_go_on() {
    let full = ask(one(FRIEND), "GET", Field::Absent);
    for request in [
        PreflightRequest { method: "GET", ..full },
        PreflightRequest { method: "options", ..full },
        PreflightRequest { origin: Field::Absent, ..full },
        PreflightRequest { request_method: Field::Absent, ..full },
    ] {
        assert_eq!(preflight(&config(), &request), PreflightVerdict::NotAPreflight);
    }
}

/// our answer replaces the upstream's, on every response, and `Vary` names `Origin` with
/// or without one.
#[test]
fn one_owner_and_always_vary() {
    let upstream: [(&str, &[u8]); 6] = [
        ("access-control-allow-origin", b"*"),
        ("access-control-allow-credentials", b"true"),
        ("access-control-expose-headers", b"*"),
        ("access-control-allow-private-network", b"true"),
        ("vary", b"Accept-Encoding"),
        ("content-type", b"text/html"),
    ];
    for (origin, allowed) in [
        (one(FRIEND), true),
        (one("https://evil.test"), false),
        (one("null"), false),
        (Field::Several, false),
        (Field::Absent, false),
    ] {
        let edits = response_headers(&config(), origin, &upstream);
        let after = super::headers::carry_out(&upstream, &edits);
        let of =
            |wanted: &str| after.iter().filter(|(name, _)| name == wanted).map(|(_, v)| v.as_str()).collect::<Vec<_>>();
        assert_eq!(of("vary"), ["Accept-Encoding, Origin"]);
        assert_eq!(of("content-type"), ["text/html"]);
        if allowed {
            assert_eq!(of("access-control-allow-origin"), [FRIEND]);
            assert_eq!(of("access-control-allow-credentials"), ["true"]);
            assert_eq!(of("access-control-expose-headers"), ["x-total"]);
        } else {
            assert!(after.iter().all(|(name, _)| !name.starts_with("access-control-")), "{after:?}");
        }
        assert!(of("access-control-allow-private-network").is_empty());
    }
    let bare = response_headers(&config(), Field::Absent, &[]);
    assert_eq!(bare, [HeaderEdit::Set("vary", "Origin".into())]);
    // Negative control: an echo of the origin, as CVE-2018-20744 did, would serve the stranger.
    assert_ne!(
        value(&response_headers(&config(), one("https://evil.test"), &upstream), "access-control-allow-origin"),
        Some("https://evil.test")
    );
}

/// Without credentials, every origin may be allowed, and then none is named.
#[test]
fn every_origin_without_credentials() {
    let open = CorsConfig { origins: AllowedOrigins::Any, credentials: false, ..config() };
    assert_eq!(open.validate(true), []);
    let edits = response_headers(&open, one("https://evil.test"), &[]);
    assert_eq!(value(&edits, "access-control-allow-origin"), Some("*"));
    assert_eq!(value(&edits, "access-control-allow-credentials"), None);
}

/// what the configuration may say.
#[test]
fn configuration_faults() {
    let weights = |config: CorsConfig| config.validate(true).iter().map(|f| (f.key, f.weight)).collect::<Vec<_>>();
    assert_eq!(weights(config()), []);
    assert_eq!(weights(CorsConfig { origins: AllowedOrigins::Any, ..config() }), [("cors.origins", Weight::Stop)]);
    let http = AllowedOrigins::Listed(vec![Origin::parse("http://app.example").expect("an origin")]);
    assert_eq!(weights(CorsConfig { origins: http.clone(), ..config() }), [("cors.origins", Weight::Warn)]);
    assert_eq!(CorsConfig { origins: http, ..config() }.validate(false), []);
    for bad in ["*", "", "a b", "a\r\nb", "a,b"] {
        assert_eq!(
            weights(CorsConfig { methods: vec![bad.into()], ..config() }),
            [("cors.methods", Weight::Stop)],
            "{bad:?}"
        );
        assert_eq!(
            weights(CorsConfig { headers: vec![bad.into()], ..config() }),
            [("cors.headers", Weight::Stop)],
            "{bad:?}"
        );
        assert_eq!(
            weights(CorsConfig { expose: vec![bad.into()], ..config() }),
            [("cors.expose", Weight::Stop)],
            "{bad:?}"
        );
    }
    assert_eq!(weights(CorsConfig { headers: vec!["X-A".into()], ..config() }), [("cors.headers", Weight::Stop)]);

    assert_eq!(AllowedOrigins::parse(&["*"]), Ok(AllowedOrigins::Any));
    assert_eq!(AllowedOrigins::parse(&[]), Ok(AllowedOrigins::Listed(vec![])));
    for list in [&["null"][..], &["*", FRIEND], &[FRIEND, "*"], &["https://*.app.example"], &["https://app.example/"]] {
        assert!(AllowedOrigins::parse(list).is_err(), "{list:?}");
    }
}
