//! Security headers: ours, the upstream's, and how they meet.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use sessile_core::crypto::{Entropy, EntropyFailure};
use sessile_core::fault::Weight;
use sessile_core::headers::{
    Csp, HeaderContext, HeaderEdit, Hsts, Managed, Policy, Rule, SessionUse, VERSION_REVEALING, clear_site_data,
    is_decisive, merge_vary, nonce,
};

type Fields<'a> = [(&'a str, &'a [u8])];

/// Carries out edits as a gateway does.
pub(crate) fn carry_out(upstream: &Fields<'_>, edits: &[HeaderEdit<'_>]) -> Vec<(String, String)> {
    let text = |v: &[u8]| String::from_utf8_lossy(v).into_owned();
    let mut fields: Vec<(String, String)> =
        upstream.iter().map(|(name, value)| ((*name).to_owned(), text(value))).collect();
    for edit in edits {
        match edit {
            HeaderEdit::Set(name, value) => {
                fields.retain(|(given, _)| given != name);
                fields.push(((*name).to_owned(), value.to_string()));
            }
            HeaderEdit::Append(name, value) => fields.push(((*name).to_owned(), value.to_string())),
            HeaderEdit::Remove(name) => fields.retain(|(given, _)| given != name),
        }
    }
    fields
}

fn document<'a>() -> HeaderContext<'a> {
    HeaderContext { https: true, nonce: None, document: true, session: SessionUse::None, vary: &[] }
}

fn after(policy: &Policy, context: &HeaderContext<'_>, upstream: &Fields<'_>) -> Vec<(String, String)> {
    carry_out(upstream, &policy.apply(context, upstream))
}

fn of<'a>(fields: &'a [(String, String)], wanted: &str) -> Vec<&'a str> {
    fields.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value.as_str()).collect()
}

/// What a proxied document has under `name` when the upstream sends `values` of it.
fn proxied(policy: &Policy, name: &str, values: &[&str]) -> Vec<String> {
    let upstream: Vec<(&str, &[u8])> = values.iter().map(|v| (name, v.as_bytes())).collect();
    of(&after(policy, &document(), &upstream), name).into_iter().map(String::from).collect()
}

// ---------------------------------------------------------------------------------------------------------
// Own pages

/// section 6: our own pages, directive by directive.
#[test]
fn own_pages_policy() {
    let context = HeaderContext { nonce: Some("bm9uY2U"), ..document() };
    let fields = after(&Policy::own_pages(), &context, &[]);
    let [field] = of(&fields, "content-security-policy")[..] else { panic!("one policy") };
    let csp = Csp::parse(field);
    for (directive, expected) in [
        ("default-src", "'none'"),
        ("script-src", "'nonce-bm9uY2U'"),
        ("style-src", "'nonce-bm9uY2U'"),
        ("img-src", "'self'"),
        ("object-src", "'none'"),
        ("base-uri", "'none'"),
        ("form-action", "'self'"),
        ("frame-ancestors", "'none'"),
    ] {
        assert_eq!(csp.get(directive), Some(expected), "{directive}");
    }
    for weak in ["unsafe-inline", "unsafe-eval", "*", "data:", "http:", "https:"] {
        assert!(!field.contains(weak), "{weak}");
    }
    // Without a nonce, scripts and styles are allowed to nobody rather than to everybody.
    let bare = after(&Policy::own_pages(), &document(), &[]);
    assert_eq!(Csp::parse(of(&bare, "content-security-policy")[0]).get("script-src"), Some("'none'"));
}

/// the rest of the set, on pages and on our JSON alike, and for any status.
#[test]
fn own_pages_set() {
    for document_or_not in [true, false] {
        let context = HeaderContext { document: document_or_not, session: SessionUse::Carries, ..document() };
        let fields = after(&Policy::own_pages(), &context, &[]);
        for (name, expected) in [
            ("strict-transport-security", "max-age=31536000; includeSubDomains"),
            ("x-frame-options", "DENY"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cross-origin-embedder-policy", "require-corp"),
            ("x-xss-protection", "0"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(of(&fields, name), [expected], "{name}");
        }
        assert!(of(&fields, "permissions-policy")[0].contains("camera=()"));
        assert_eq!(of(&fields, "content-security-policy").len(), 1);
        for retired in ["expect-ct", "public-key-pins", "feature-policy"] {
            assert_eq!(of(&fields, retired), [""; 0], "{retired}");
        }
    }
    assert_eq!(Policy::own_pages().validate(), []);
    assert_eq!(Policy::proxied_default().validate(), []);
}

/// a nonce is 128 fresh bits, and none without entropy.
#[test]
fn nonces() {
    let entropy = sessile_aws_lc::entropy();
    let drawn: BTreeSet<String> = (0..1000).map(|_| nonce(&*entropy).expect("entropy")).collect();
    assert_eq!(drawn.len(), 1000);
    assert!(
        drawn.iter().all(|n| n.len() == 22 && n.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'))
    );
    struct Broken;
    impl Entropy for Broken {
        fn fill(&self, _out: &mut [u8]) -> Result<(), EntropyFailure> {
            Err(EntropyFailure)
        }
    }
    assert_eq!(nonce(&Broken), Err(EntropyFailure));
}

/// R-097, C9: quoted, and without the cookies of the whole registrable domain.
#[test]
fn sign_out_clears_this_origin() {
    assert_eq!(clear_site_data(), "\"cache\", \"storage\"");
}

// ---------------------------------------------------------------------------------------------------------
// The upstream's content security policy

/// R-088, C11: whatever rule is set, every policy of the upstream's is still there, unchanged and first.
#[test]
fn an_upstream_policy_is_never_weakened() {
    let theirs = ["default-src 'self'; frame-ancestors https://partner.example", "script-src 'none'"];
    for rule in [Rule::Override, Rule::AddIfMissing, Rule::KeepStricter, Rule::Off] {
        let policy = Policy { content_security_policy_rule: rule, ..Policy::proxied_default() };
        let got = proxied(&policy, "content-security-policy", &theirs);
        assert_eq!(got[..2], theirs, "{rule:?}");
        let added = match rule {
            Rule::Override | Rule::KeepStricter => Some("object-src 'none'; base-uri 'self'; frame-ancestors 'self'"),
            Rule::AddIfMissing => Some("object-src 'none'; base-uri 'self'"),
            Rule::Off => None,
        };
        assert_eq!(got.get(2).map(String::as_str), added, "{rule:?}");
    }
}

/// added directive by directive, and nothing where nothing is missing.
#[test]
fn missing_directives_are_added() {
    let policy = Policy::proxied_default();
    let csp = |theirs: &[&str]| proxied(&policy, "content-security-policy", theirs);
    assert_eq!(csp(&[]), ["object-src 'none'; base-uri 'self'; frame-ancestors 'self'"]);
    assert_eq!(csp(&["OBJECT-SRC 'self';Base-Uri\t'none' ; frame-ancestors 'none'"]).len(), 1);
    assert_eq!(csp(&["object-src x, base-uri y"])[1], "frame-ancestors 'self'", "two policies in one field");
    assert_eq!(csp(&["default-src 'self'"])[1], "object-src 'none'; base-uri 'self'; frame-ancestors 'self'");
    // Reporting alone is not worth a policy.
    let reporting =
        Policy { content_security_policy: Csp::proxied_default().reporting_to("/auth/csp-report"), ..policy };
    let full = "object-src 'none'; base-uri 'self'; frame-ancestors 'self'";
    assert_eq!(proxied(&reporting, "content-security-policy", &[full]), [full]);
    assert!(proxied(&reporting, "content-security-policy", &[])[0].ends_with("report-uri /auth/csp-report"));
    // A report-only policy enforces nothing and replaces nothing.
    let upstream: [(&str, &[u8]); 1] = [("content-security-policy-report-only", b"frame-ancestors 'none'")];
    let fields = after(&Policy::proxied_default(), &document(), &upstream);
    assert!(of(&fields, "content-security-policy")[0].contains("frame-ancestors 'self'"));
}

/// browsers that read `frame-ancestors` ignore `X-Frame-Options`, so adding the first must not undo a
/// stricter second.
#[test]
fn deny_stays_deny() {
    let upstream: [(&str, &[u8]); 1] = [("x-frame-options", b"deny")];
    let fields = after(&Policy::proxied_default(), &document(), &upstream);
    assert!(of(&fields, "content-security-policy")[0].contains("frame-ancestors 'none'"));
    assert_eq!(of(&fields, "x-frame-options"), ["deny"]);
    // Negative control: for an upstream that is silent, framing by the same origin stays possible.
    let fields = after(&Policy::proxied_default(), &document(), &[]);
    assert!(of(&fields, "content-security-policy")[0].contains("frame-ancestors 'self'"));
    assert_eq!(of(&fields, "x-frame-options"), ["SAMEORIGIN"]);
}

/// Only documents get document headers from us; `nosniff` and the rest go everywhere.
#[test]
fn what_is_not_a_document_is_left_alone() {
    let context = HeaderContext { document: false, ..document() };
    let fields = after(&Policy::proxied_default(), &context, &[("content-type", b"image/png")]);
    for name in ["content-security-policy", "x-frame-options", "cross-origin-opener-policy", "permissions-policy"] {
        assert!(of(&fields, name).is_empty(), "{name}");
    }
    for name in [
        "x-content-type-options",
        "referrer-policy",
        "strict-transport-security",
        "cross-origin-resource-policy",
        "x-xss-protection",
    ] {
        assert_eq!(of(&fields, name).len(), 1, "{name}");
    }
}

// ---------------------------------------------------------------------------------------------------------
// Rules

/// C11: each rule against silence, a laxer, an equal, a stricter and a meaningless upstream value.
#[test]
fn rules_by_table() {
    /// The upstream's values, and what is sent under override, add-if-missing, keep-stricter and off.
    type Case = (&'static [&'static str], [&'static str; 4]);
    let table: &[(&str, &str, [Case; 5])] = &[
        (
            "referrer-policy",
            "same-origin",
            [
                (&[], ["same-origin", "same-origin", "same-origin", ""]),
                (&["unsafe-url"], ["same-origin", "unsafe-url", "same-origin", "unsafe-url"]),
                (&["same-origin"], ["same-origin", "same-origin", "same-origin", "same-origin"]),
                (&["no-referrer"], ["same-origin", "no-referrer", "no-referrer", "no-referrer"]),
                (&["nonsense"], ["same-origin", "nonsense", "same-origin", "nonsense"]),
            ],
        ),
        (
            "x-frame-options",
            "SAMEORIGIN",
            [
                (&[], ["SAMEORIGIN", "SAMEORIGIN", "SAMEORIGIN", ""]),
                (
                    &["ALLOW-FROM https://a.example"],
                    ["SAMEORIGIN", "ALLOW-FROM https://a.example", "SAMEORIGIN", "ALLOW-FROM https://a.example"],
                ),
                (&["sameorigin"], ["SAMEORIGIN", "sameorigin", "SAMEORIGIN", "sameorigin"]),
                (&["DENY"], ["SAMEORIGIN", "DENY", "DENY", "DENY"]),
                (&["ALLOWALL"], ["SAMEORIGIN", "ALLOWALL", "SAMEORIGIN", "ALLOWALL"]),
            ],
        ),
        (
            "cross-origin-resource-policy",
            "same-site",
            [
                (&[], ["same-site", "same-site", "same-site", ""]),
                (&["cross-origin"], ["same-site", "cross-origin", "same-site", "cross-origin"]),
                (&["same-site"], ["same-site", "same-site", "same-site", "same-site"]),
                (&["same-origin"], ["same-site", "same-origin", "same-origin", "same-origin"]),
                (&["x"], ["same-site", "x", "same-site", "x"]),
            ],
        ),
        (
            "x-xss-protection",
            "0",
            [
                (&[], ["0", "0", "0", ""]),
                (&["1; mode=block"], ["0", "1; mode=block", "0", "1; mode=block"]),
                (&["0"], ["0", "0", "0", "0"]),
                (&["1"], ["0", "1", "0", "1"]),
                (&["x"], ["0", "x", "0", "x"]),
            ],
        ),
    ];
    for (name, ours, cases) in table {
        for (i, rule) in [Rule::Override, Rule::AddIfMissing, Rule::KeepStricter, Rule::Off].into_iter().enumerate() {
            let mut policy = Policy::proxied_default();
            let slot = match *name {
                "referrer-policy" => &mut policy.referrer_policy,
                "x-frame-options" => &mut policy.x_frame_options,
                "cross-origin-resource-policy" => &mut policy.cross_origin_resource_policy,
                _ => &mut policy.x_xss_protection,
            };
            *slot = Managed::new(rule, *ours);
            for (theirs, expected) in cases {
                let got = proxied(&policy, name, theirs);
                let expected: Vec<&str> = Some(expected[i]).filter(|v| !v.is_empty()).into_iter().collect();
                assert_eq!(got, expected, "{name} {rule:?} against {theirs:?}");
            }
        }
    }
}

/// C11: several upstream values: the strictest is kept, in one field.
#[test]
fn several_values_become_the_strictest() {
    let policy = Policy {
        referrer_policy: Managed::new(Rule::KeepStricter, "origin"),
        x_frame_options: Managed::new(Rule::KeepStricter, "SAMEORIGIN"),
        permissions_policy: Managed::new(Rule::KeepStricter, "camera=()"),
        ..Policy::proxied_default()
    };
    assert_eq!(proxied(&policy, "referrer-policy", &["unsafe-url, same-origin", "nonsense"]), ["same-origin"]);
    assert_eq!(proxied(&policy, "x-frame-options", &["SAMEORIGIN", "DENY"]), ["DENY"]);
    assert_eq!(proxied(&policy, "permissions-policy", &["camera=*"]), ["camera=()"], "not comparable: ours");
}

/// R-086, P31: exactly one field, over https only.
#[test]
fn strict_transport_security() {
    let with = |rule| Policy {
        strict_transport_security: Hsts {
            rule,
            max_age: Duration::from_secs(31_536_000),
            include_sub_domains: true,
            preload: false,
        },
        ..Policy::proxied_default()
    };
    let ours = "max-age=31536000; includeSubDomains";
    let name = "strict-transport-security";
    for (rule, theirs, expected) in [
        (Rule::Override, &[][..], ours),
        (Rule::Override, &["max-age=63072000; includeSubDomains; preload"], ours),
        (Rule::KeepStricter, &["max-age=1"], ours),
        (Rule::KeepStricter, &["max-age=63072000"], "max-age=63072000; includeSubDomains"),
        (Rule::KeepStricter, &["MAX-AGE=\"63072000\" ; Preload"], "max-age=63072000; includeSubDomains; preload"),
        (Rule::KeepStricter, &["nonsense"], ours),
        (Rule::KeepStricter, &["max-age=1; max-age=63072000"], ours),
        (Rule::KeepStricter, &["includeSubDomains"], ours),
        (Rule::KeepStricter, &["max-age=99999999999999999999999"], ours),
        (Rule::AddIfMissing, &[], ours),
        (Rule::AddIfMissing, &["max-age=300"], "max-age=300"),
        // Browsers read the first of several; so must whoever collapses them.
        (Rule::AddIfMissing, &["max-age=300", "max-age=63072000"], "max-age=300"),
        (Rule::AddIfMissing, &["nonsense"], ours),
        (Rule::Override, &["max-age=1", "max-age=2"], ours),
    ] {
        assert_eq!(proxied(&with(rule), name, theirs), [expected], "{rule:?} {theirs:?}");
    }
    // Over http nobody may send it.
    for rule in [Rule::Override, Rule::KeepStricter, Rule::AddIfMissing] {
        let context = HeaderContext { https: false, ..document() };
        let fields = after(&with(rule), &context, &[(name, b"max-age=1")]);
        assert!(of(&fields, name).is_empty(), "{rule:?}");
    }
    // Negative control: switched off, both of the upstream's stay.
    assert_eq!(proxied(&with(Rule::Off), name, &["max-age=1", "max-age=2"]), ["max-age=1", "max-age=2"]);
    // The switch for sub-domains (C20).
    let alone = Hsts { include_sub_domains: false, ..with(Rule::Override).strict_transport_security };
    assert_eq!(alone.value(), "max-age=31536000");
}

// ---------------------------------------------------------------------------------------------------------
// Caches

/// A shared cache by RFC 9111 section 3, as far as it matters here: may it keep the answer and serve it to
/// somebody else? A CDN's own field, where it knows one, comes before `Cache-Control` (RFC 9213).
fn a_shared_cache_would_keep(fields: &[(String, String)], heuristic: bool) -> bool {
    if let [targeted] = of(fields, "cdn-cache-control")[..] {
        return !targeted.contains("no-store") && !targeted.contains("private");
    }
    let cache_control = of(fields, "cache-control").join(",").to_ascii_lowercase();
    let directives: Vec<&str> = cache_control.split(',').map(str::trim).filter(|d| !d.is_empty()).collect();
    if directives.iter().any(|d| matches!(*d, "no-store" | "private" | "no-cache")) {
        return false;
    }
    let explicit = directives.iter().any(|d| *d == "public" || d.starts_with("max-age=") || d.starts_with("s-maxage="))
        || !of(fields, "expires").is_empty();
    explicit || heuristic
}

/// P21: by table, and no shared cache may serve one user's answer to the next, whatever the path
/// looks like and whatever the upstream said.
#[test]
fn answers_of_a_session_stay_out_of_shared_caches() {
    type Said = &'static [(&'static str, &'static str)];
    let table: &[(Said, Option<&str>)] = &[
        (&[], Some("no-store")),
        (&[("cache-control", "")], Some("no-store")),
        (&[("pragma", "no-cache")], Some("no-store")),
        (&[("etag", "\"1\""), ("last-modified", "Tue, 01 Jan 2030 00:00:00 GMT")], Some("no-store")),
        (&[("cache-control", "private, max-age=60")], None),
        (&[("cache-control", "No-Store")], None),
        (&[("cache-control", "no-cache")], None),
        (&[("cache-control", "max-age=60"), ("cache-control", "private")], None),
        (&[("cache-control", "public, max-age=31536000, immutable")], Some("private, no-store")),
        (&[("cache-control", "max-age=60")], Some("private, no-store")),
        (&[("cache-control", "s-maxage=60")], Some("private, no-store")),
        (&[("cache-control", "must-revalidate")], Some("private, no-store")),
        (&[("cache-control", "nonsense")], Some("private, no-store")),
        (&[("cache-control", "private=\"set-cookie\", max-age=60")], Some("private, no-store")),
        (&[("cache-control", "no-cache=\"set-cookie\", public")], Some("private, no-store")),
        (&[("cache-control", "x=\"private\", public")], Some("private, no-store")),
        (&[("cache-control", "x=\"a, private, b\", public")], Some("private, no-store")),
        (&[("expires", "Thu, 01 Jan 2099 00:00:00 GMT")], Some("private, no-store")),
        (&[("cdn-cache-control", "public, max-age=60")], Some("no-store")),
        (
            &[("cache-control", "private"), ("surrogate-control", "max-age=60"), ("cdn-cache-control", "max-age=60")],
            None,
        ),
    ];
    let mut leaks_without_us = 0;
    for (upstream, expected) in table {
        let upstream: Vec<(&str, &[u8])> = upstream.iter().map(|(n, v)| (*n, v.as_bytes())).collect();
        let context = HeaderContext { session: SessionUse::Depends, ..document() };
        let policy = Policy::proxied_default();
        let edits = policy.apply(&context, &upstream);
        let set = edits.iter().find_map(|e| match e {
            HeaderEdit::Set("cache-control", value) => Some(value.as_ref()),
            _ => None,
        });
        assert_eq!(set, *expected, "{upstream:?}");
        let fields = carry_out(&upstream, &edits);
        for heuristic in [false, true] {
            assert!(!a_shared_cache_would_keep(&fields, heuristic), "{upstream:?}");
        }
        for targeted in ["cdn-cache-control", "surrogate-control", "x-accel-expires"] {
            assert!(of(&fields, targeted).is_empty());
        }
        leaks_without_us += usize::from(a_shared_cache_would_keep(&carry_out(&upstream, &[]), true));

        // What carries the session is never kept, not even by the browser.
        let context = HeaderContext { session: SessionUse::Carries, ..document() };
        assert_eq!(of(&after(&Policy::own_pages(), &context, &upstream), "cache-control"), ["no-store"]);
        // What does not depend on it is the upstream's business.
        let fields = after(&Policy::proxied_default(), &document(), &upstream);
        assert_eq!(of(&fields, "cache-control"), of(&carry_out(&upstream, &[]), "cache-control"));
    }
    assert!(
        leaks_without_us >= 12,
        "negative control: without the rule a shared cache keeps these, got {leaks_without_us}"
    );
}

/// R-096, P22: `Vary` gains what we read and loses nothing.
#[test]
fn vary_is_merged() {
    let merge = |theirs: &[&str], ours: &[&'static str]| merge_vary(theirs.iter().map(|v| v.as_bytes()), ours);
    for (theirs, ours, expected) in [
        (&[][..], &[][..], None),
        (&[], &["Cookie"], Some("Cookie")),
        (&["Accept-Encoding"], &["Cookie"], Some("Accept-Encoding, Cookie")),
        (&["Accept-Encoding,  accept"], &["Cookie", "Origin"], Some("Accept-Encoding, accept, Cookie, Origin")),
        (&["cookie"], &["Cookie"], Some("cookie")),
        (&["A", "B", "a"], &["Cookie"], Some("A, B, Cookie")),
        (&["*"], &["Cookie"], Some("*")),
        (&["A, *"], &["Cookie"], Some("*")),
        (&["", ",", " , "], &["Cookie"], Some("Cookie")),
        (&["A"], &[], Some("A")),
    ] {
        assert_eq!(merge(theirs, ours).as_deref(), expected, "{theirs:?} {ours:?}");
    }
    let context = HeaderContext { vary: &["Cookie"], ..document() };
    assert_eq!(
        of(&after(&Policy::proxied_default(), &context, &[("vary", b"A"), ("vary", b"B")]), "vary"),
        ["A, B, Cookie"]
    );
    assert_eq!(
        of(&after(&Policy::proxied_default(), &document(), &[("vary", b"A"), ("vary", b"B")]), "vary"),
        ["A", "B"]
    );
}

// ---------------------------------------------------------------------------------------------------------
// What is taken away

/// each by name, and nothing else.
#[test]
fn versions_are_hidden() {
    let mut upstream: Vec<(&str, &[u8])> = VERSION_REVEALING.iter().map(|name| (*name, &b"Acme/1.2.3"[..])).collect();
    upstream.extend([("content-type", &b"text/html"[..]), ("x-request-id", b"1"), ("x-powered", b"1")]);
    let fields = after(&Policy::proxied_default(), &document(), &upstream);
    for name in VERSION_REVEALING {
        assert!(of(&fields, name).is_empty(), "{name}");
    }
    for name in ["content-type", "x-request-id", "x-powered"] {
        assert_eq!(of(&fields, name).len(), 1, "{name}");
    }
    for name in ["server", "x-powered-by", "x-aspnet-version", "x-aspnetmvc-version", "x-generator"] {
        assert!(VERSION_REVEALING.contains(&name));
    }
    // Negative control.
    let open = Policy { hide_versions: false, ..Policy::proxied_default() };
    assert_eq!(of(&after(&open, &document(), &upstream), "server"), ["Acme/1.2.3"]);
}

/// an upstream may clear what it stored, not our cookies.
#[test]
fn clear_site_data_of_the_upstream() {
    for (theirs, expected) in [
        (&["\"cookies\""][..], &[][..]),
        (&["\"*\""], &["\"cache\", \"storage\", \"executionContexts\""]),
        (&["\"cache\", \"cookies\""], &["\"cache\""]),
        (&["\"cookies\",\"storage\"", "\"*\""], &["\"storage\", \"cache\", \"executionContexts\""]),
        (&["\"cache\", \"storage\""], &["\"cache\", \"storage\""]),
        (&["\"cache\"", "\"storage\""], &["\"cache\"", "\"storage\""]),
        (&["\"cookies\";x, \"Cookies\", \"storage\""], &["\"storage\""]),
        (&["\"cache\"\t,\t\"cookies\"\t"], &["\"cache\""]),
    ] {
        assert_eq!(proxied(&Policy::proxied_default(), "clear-site-data", theirs), expected, "{theirs:?}");
    }
    let not_text: [(&str, &[u8]); 1] = [("clear-site-data", b"\xff, \"cookies\"")];
    assert!(of(&after(&Policy::proxied_default(), &document(), &not_text), "clear-site-data").is_empty());
}

/// what a configured policy may not hold.
#[test]
fn configuration_faults() {
    let said = |policy: Policy| policy.validate().iter().map(|f| (f.key, f.weight)).collect::<Vec<_>>();
    let base = Policy::proxied_default;
    let key = "headers.strict_transport_security";
    for bad in ["", "a\r\nb", "ü", "a\0"] {
        assert_eq!(
            said(Policy { referrer_policy: Managed::new(Rule::Override, bad), ..base() }),
            [("headers.referrer_policy", Weight::Stop)]
        );
        assert_eq!(said(Policy { referrer_policy: Managed::new(Rule::Off, bad), ..base() }), []);
    }
    assert_eq!(
        said(Policy { x_xss_protection: Managed::new(Rule::Override, "1; mode=block"), ..base() }),
        [("headers.x_xss_protection", Weight::Warn)]
    );
    assert_eq!(
        said(Policy { content_security_policy: Csp::new(), ..base() }),
        [("headers.content_security_policy", Weight::Stop)]
    );
    let two_policies = Csp::new().with("script-src", "'self', default-src *");
    assert_eq!(
        said(Policy { content_security_policy: two_policies, ..base() }),
        [("headers.content_security_policy", Weight::Stop)]
    );
    let hsts = base().strict_transport_security;
    let short = Hsts { max_age: Duration::from_secs(300), ..hsts };
    assert_eq!(said(Policy { strict_transport_security: short, ..base() }), [(key, Weight::Warn)]);
    let preload = Hsts { preload: true, include_sub_domains: false, ..hsts };
    assert_eq!(said(Policy { strict_transport_security: preload, ..base() }), [(key, Weight::Stop)]);
}

proptest! {
    /// Any upstream fields: no panic; every value we write fits in a header; no policy of theirs is lost; one
    /// `Strict-Transport-Security` over https and none over http.
    #[test]
    fn any_upstream(
        values in proptest::collection::vec((0..12_usize, proptest::collection::vec(any::<u8>(), 0..24)), 0..8),
        https in any::<bool>(),
        depends in any::<bool>(),
    ) {
        const NAMES: [&str; 12] = [
            "content-security-policy", "strict-transport-security", "x-frame-options", "referrer-policy", "cache-control", "vary",
            "clear-site-data", "server", "expires", "permissions-policy", "cross-origin-opener-policy", "x-xss-protection",
        ];
        let upstream: Vec<(&str, &[u8])> = values.iter().map(|(n, v)| (NAMES[*n], v.as_slice())).collect();
        let session = if depends { SessionUse::Depends } else { SessionUse::None };
        let context = HeaderContext { https, session, vary: &["Cookie"], ..document() };
        let policy = Policy::proxied_default();
        let edits = policy.apply(&context, &upstream);
        for edit in &edits {
            if let HeaderEdit::Set(_, value) | HeaderEdit::Append(_, value) = edit {
                let from_upstream = edit.name() == "vary";
                prop_assert!(from_upstream || value.bytes().all(|b| b == b' ' || b.is_ascii_graphic()), "{edit:?}");
            }
        }
        let fields = carry_out(&upstream, &edits);
        let theirs = upstream.iter().filter(|(n, _)| *n == "content-security-policy").count();
        prop_assert!(of(&fields, "content-security-policy").len() >= theirs);
        prop_assert!(of(&fields, "strict-transport-security").len() == usize::from(https));
    }
}

/// What [`is_decisive`] denies of a name holds: a field of it changes no decision, beside being removed if it reveals a
/// version, and merged if it is `Vary`. Names are taken from everything the rules speak of, and from elsewhere.
#[test]
fn undecisive_fields_decide_nothing() {
    let spoken_of = [
        "content-security-policy",
        "x-frame-options",
        "cross-origin-opener-policy",
        "cross-origin-embedder-policy",
        "cross-origin-resource-policy",
        "permissions-policy",
        "strict-transport-security",
        "x-content-type-options",
        "referrer-policy",
        "x-xss-protection",
        "vary",
        "clear-site-data",
        "cache-control",
        "expires",
        "cdn-cache-control",
        "cloudflare-cdn-cache-control",
        "netlify-cdn-cache-control",
        "vercel-cdn-cache-control",
        "surrogate-control",
        "x-accel-expires",
        "content-type",
        "date",
        "etag",
        "pragma",
        "set-cookie",
        "x-app",
    ];
    let values: [&[u8]; 5] = [b"DENY", b"max-age=99999999", b"no-store", b"\"*\"", b"origin"];
    let mut decisive = 0;
    for policy in [Policy::proxied_default(), Policy::own_pages()] {
        for (document, session) in [(true, SessionUse::Carries), (false, SessionUse::Depends), (true, SessionUse::None)]
        {
            let context = HeaderContext { https: true, nonce: None, document, session, vary: &["cookie"] };
            let silent = policy.apply(&context, &[]);
            for name in spoken_of.iter().chain(&VERSION_REVEALING) {
                let changes = values.iter().any(|value| {
                    let mut edits = policy.apply(&context, &[(*name, *value)]);
                    edits.retain(|edit| {
                        !(VERSION_REVEALING.contains(name) && matches!(edit, HeaderEdit::Remove(gone) if gone == name))
                    });
                    if *name == "vary" {
                        let merged = merge_vary(core::iter::once(*value), context.vary).unwrap();
                        let own = |edit: &&mut HeaderEdit<'_>| edit.name() == "vary";
                        let edit = edits.iter_mut().find(own).expect("it is merged");
                        assert_eq!(*edit, HeaderEdit::Set("vary", merged.into()));
                        *edit = HeaderEdit::Set("vary", "cookie".into());
                    }
                    edits != silent
                });
                assert!(!changes || is_decisive(name), "{name}");
                decisive += usize::from(changes);
            }
        }
    }
    assert!(decisive > 20, "the fields that do decide are seen to");
}
