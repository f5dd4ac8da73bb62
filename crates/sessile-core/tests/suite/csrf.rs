//! Which requests may be another site's doing.

use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;
use sessile_core::client::{Client, Traces};
use sessile_core::crypto::{Entropy, EntropyFailure};
use sessile_core::csrf::{
    CsrfBinding, CsrfConfig, CsrfFacts, CsrfMode, CsrfRefusal, CsrfVerdict, Field, PassReason, SIGN_IN_WINDOW,
    TOKEN_CHARS, check, forces_preflight, is_script_header, issue_token,
};
use sessile_core::fault::Weight;
use sessile_core::origin::Origin;
use sessile_core::{Secret, SessionId, Timestamp};

use CsrfRefusal as R;
use CsrfVerdict::{Pass, Refuse};
use PassReason as P;

const OWN: &str = "https://app.example";
const TRUSTED: &str = "https://admin.app.example";
const EVIL: &str = "https://evil.test";

fn origins(list: &[&str]) -> Vec<Origin> {
    list.iter().map(|text| Origin::parse(text).expect("an origin")).collect()
}

fn config() -> CsrfConfig {
    CsrfConfig { mode: CsrfMode::Enforce, own_origins: origins(&[OWN]), trusted_origins: origins(&[TRUSTED]) }
}

fn one(text: &str) -> Field<'_> {
    Field::One(text.as_bytes())
}

fn client() -> Client {
    Client {
        browser: "Firefox".into(),
        platform: "Windows".into(),
        language: "en-GB".into(),
        network: "192.0.2.7".into(),
    }
}

fn now() -> Timestamp {
    Timestamp::from_secs(1_700_000_000)
}

fn key() -> Secret<32> {
    Secret::new([9; 32])
}

fn judge(facts: CsrfFacts<'_>) -> CsrfVerdict {
    check(&config(), &facts, None, &*sessile_aws_lc::provider())
}

/// A change that carries our cookies.
fn post<'a>() -> CsrfFacts<'a> {
    CsrfFacts { our_cookies: true, content_type: one("application/x-www-form-urlencoded"), ..CsrfFacts::of("POST") }
}

/// product.md section 5: each branch by name, in its order.
#[test]
fn every_branch() {
    let native = CsrfFacts { our_cookies: false, content_type: one("application/json"), ..post() };
    let handshake = CsrfFacts { method: "GET", upgrade: true, content_type: Field::Absent, ..post() };
    let table: &[(CsrfFacts<'_>, CsrfVerdict)] = &[
        (CsrfFacts { method: "GET", sec_fetch_site: one("cross-site"), ..post() }, Pass(P::SafeMethod)),
        (CsrfFacts { method: "HEAD", ..post() }, Pass(P::SafeMethod)),
        (CsrfFacts { method: "OPTIONS", ..post() }, Pass(P::SafeMethod)),
        // Methods are case-sensitive, and what is unknown may change something.
        (CsrfFacts { method: "get", ..post() }, Refuse(R::NoProof)),
        (CsrfFacts { method: "PROPFIND", ..post() }, Refuse(R::NoProof)),
        (CsrfFacts { method: "", ..post() }, Refuse(R::NoProof)),
        (CsrfFacts { bearer: true, sec_fetch_site: one("cross-site"), ..post() }, Pass(P::Bearer)),
        // Fetch Metadata.
        (CsrfFacts { sec_fetch_site: one("same-origin"), ..post() }, Pass(P::SameOrigin)),
        // A page under `Referrer-Policy: no-referrer` posts to its own origin like this.
        (CsrfFacts { sec_fetch_site: one("same-origin"), origin: one("null"), ..post() }, Pass(P::SameOrigin)),
        (CsrfFacts { sec_fetch_site: one("cross-site"), ..post() }, Refuse(R::CrossSite)),
        (CsrfFacts { sec_fetch_site: one("cross-site"), origin: one(TRUSTED), ..post() }, Refuse(R::CrossSite)),
        (
            CsrfFacts { sec_fetch_site: one("cross-site"), origin: one(OWN), token: Some("x"), ..post() },
            Refuse(R::CrossSite),
        ),
        (CsrfFacts { sec_fetch_site: one("same-site"), origin: one(TRUSTED), ..post() }, Pass(P::TrustedSameSite)),
        (
            CsrfFacts { sec_fetch_site: one("same-site"), origin: one("https://blog.app.example"), ..post() },
            Refuse(R::SameSiteUntrusted),
        ),
        (CsrfFacts { sec_fetch_site: one("same-site"), ..post() }, Refuse(R::SameSiteUntrusted)),
        (CsrfFacts { sec_fetch_site: one("same-site"), origin: one("null"), ..post() }, Refuse(R::SameSiteUntrusted)),
        (
            CsrfFacts { sec_fetch_site: one("same-site"), referer: one("https://admin.app.example/"), ..post() },
            Refuse(R::SameSiteUntrusted),
        ),
        // `none` and unknown values fall through to Origin.
        (CsrfFacts { sec_fetch_site: one("none"), ..post() }, Refuse(R::NoProof)),
        (CsrfFacts { sec_fetch_site: one("none"), origin: one(OWN), ..post() }, Pass(P::OwnOrigin)),
        (CsrfFacts { sec_fetch_site: one("none"), origin: one(EVIL), ..post() }, Refuse(R::ForeignOrigin)),
        (CsrfFacts { sec_fetch_site: one("Same-Origin"), ..post() }, Refuse(R::NoProof)),
        (CsrfFacts { sec_fetch_site: one("same-origin "), origin: one(EVIL), ..post() }, Refuse(R::ForeignOrigin)),
        (CsrfFacts { sec_fetch_site: one("future"), origin: one(OWN), ..post() }, Pass(P::OwnOrigin)),
        (CsrfFacts { sec_fetch_site: one(""), ..post() }, Refuse(R::NoProof)),
        // Origin.
        (CsrfFacts { origin: one(OWN), ..post() }, Pass(P::OwnOrigin)),
        (CsrfFacts { origin: one(TRUSTED), ..post() }, Pass(P::TrustedOrigin)),
        (CsrfFacts { origin: one("null"), ..post() }, Refuse(R::NullOrigin)),
        (CsrfFacts { origin: one(EVIL), referer: one("https://app.example/"), ..post() }, Refuse(R::ForeignOrigin)),
        (CsrfFacts { origin: one(""), ..post() }, Refuse(R::ForeignOrigin)),
        // Referer, only where Origin is missing.
        (CsrfFacts { referer: one("https://app.example/notes?x=1"), ..post() }, Pass(P::Referer)),
        (CsrfFacts { referer: one(OWN), ..post() }, Pass(P::Referer)),
        (CsrfFacts { referer: one("https://app.example.evil.test/"), ..post() }, Refuse(R::ForeignReferer)),
        (CsrfFacts { referer: one("https://evil.test/?https://app.example/"), ..post() }, Refuse(R::ForeignReferer)),
        (CsrfFacts { referer: one("https://app.example@evil.test/"), ..post() }, Refuse(R::ForeignReferer)),
        (CsrfFacts { referer: one("http://app.example/"), ..post() }, Refuse(R::ForeignReferer)),
        (CsrfFacts { referer: one("/relative"), ..post() }, Refuse(R::ForeignReferer)),
        // Repeated fields.
        (CsrfFacts { sec_fetch_site: Field::Several, ..post() }, Refuse(R::DuplicateField)),
        (CsrfFacts { sec_fetch_site: one("same-origin"), origin: Field::Several, ..post() }, Refuse(R::DuplicateField)),
        (CsrfFacts { origin: one(OWN), referer: Field::Several, ..post() }, Refuse(R::DuplicateField)),
        // Nothing at all.
        (post(), Refuse(R::NoProof)),
        (CsrfFacts { our_cookies: false, ..post() }, Refuse(R::NoProof)),
        (CsrfFacts { token: Some("x"), ..post() }, Refuse(R::BadToken)),
        // A native client.
        (native, Pass(P::NativeClient)),
        (CsrfFacts { content_type: Field::Absent, has_preflight_header: true, ..native }, Pass(P::NativeClient)),
        (CsrfFacts { our_cookies: true, ..native }, Refuse(R::NoProof)),
        (CsrfFacts { our_cookies: true, has_preflight_header: true, ..native }, Refuse(R::NoProof)),
        (CsrfFacts { content_type: one("text/plain; a=application/json"), ..native }, Refuse(R::NoProof)),
        (CsrfFacts { content_type: Field::Absent, ..native }, Refuse(R::NoProof)),
        (CsrfFacts { sec_fetch_site: one("none"), ..native }, Refuse(R::NoProof)),
        (CsrfFacts { origin: one(EVIL), ..native }, Refuse(R::ForeignOrigin)),
        (CsrfFacts { method: "DELETE", content_type: Field::Absent, ..native }, Refuse(R::NoProof)),
        // WebSocket handshakes: no token, no Referer.
        (CsrfFacts { sec_fetch_site: one("same-origin"), ..handshake }, Pass(P::SameOrigin)),
        (CsrfFacts { origin: one(OWN), ..handshake }, Pass(P::OwnOrigin)),
        (CsrfFacts { origin: one(TRUSTED), ..handshake }, Pass(P::TrustedOrigin)),
        (CsrfFacts { origin: one(EVIL), ..handshake }, Refuse(R::ForeignOrigin)),
        (CsrfFacts { origin: one("null"), ..handshake }, Refuse(R::NullOrigin)),
        (CsrfFacts { sec_fetch_site: one("cross-site"), origin: one(OWN), ..handshake }, Refuse(R::CrossSite)),
        (handshake, Refuse(R::UpgradeUnproven)),
        (CsrfFacts { sec_fetch_site: one("none"), ..handshake }, Refuse(R::UpgradeUnproven)),
        (CsrfFacts { referer: one("https://app.example/"), token: Some("x"), ..handshake }, Refuse(R::UpgradeUnproven)),
        (CsrfFacts { our_cookies: false, ..handshake }, Pass(P::NativeClient)),
        (CsrfFacts { our_cookies: false, sec_fetch_site: one("none"), ..handshake }, Refuse(R::UpgradeUnproven)),
        (CsrfFacts { bearer: true, ..handshake }, Pass(P::Bearer)),
    ];
    for (facts, expected) in table {
        assert_eq!(judge(*facts), *expected, "{facts:?}");
    }
    let reached: std::collections::BTreeSet<_> = table.iter().map(|(facts, _)| judge(*facts).code()).collect();
    // Two passes are not in this table: a good token and the switch that turns checking off.
    assert_eq!(reached.len(), 8 + 9, "every reason code has a row: {reached:?}");
}

/// One value of each kind for every fact.
fn cells() -> Vec<CsrfFacts<'static>> {
    let sites =
        [Field::Absent, Field::Several, one("same-origin"), one("same-site"), one("cross-site"), one("none"), one("x")];
    let origins = [
        Field::Absent,
        Field::Several,
        one(OWN),
        one(TRUSTED),
        one(EVIL),
        one("null"),
        one("https://app.example.evil.test"),
    ];
    let referers =
        [Field::Absent, Field::Several, one("https://app.example/a"), one("https://evil.test/https://app.example/")];
    let types = [Field::Absent, Field::Several, one("text/plain"), one("application/json")];
    let mut all = Vec::new();
    for method in ["GET", "POST", "DELETE"] {
        for upgrade in [false, true] {
            for sec_fetch_site in sites {
                for origin in origins {
                    for referer in referers {
                        for content_type in types {
                            for bits in 0..16_u8 {
                                let bit = |n: u8| bits & (1 << n) != 0;
                                all.push(CsrfFacts {
                                    method,
                                    upgrade,
                                    sec_fetch_site,
                                    origin,
                                    referer,
                                    content_type,
                                    has_preflight_header: bit(0),
                                    bearer: bit(1),
                                    our_cookies: bit(2),
                                    token: bit(3).then_some("not.a-token"),
                                });
                            }
                        }
                    }
                }
            }
        }
    }
    all
}

/// What a hostile page can bring about in a browser of today: it says where it comes from.
fn could_come_from_a_foreign_page(facts: &CsrfFacts<'_>) -> bool {
    let tells =
        [Field::Absent, one("cross-site"), one("same-site"), one("none"), one("x")].contains(&facts.sec_fetch_site);
    let origin = [Field::Absent, one(EVIL), one("null"), one("https://app.example.evil.test")].contains(&facts.origin);
    let referer = [Field::Absent, one("https://evil.test/https://app.example/")].contains(&facts.referer);
    // Without asking first it sends no header of its own, no bearer token, no foreign content type.
    let simple =
        !facts.has_preflight_header && !facts.bearer && facts.token.is_none() && !forces_preflight(facts.content_type);
    let method = facts.method == "POST" || facts.upgrade && facts.method == "GET";
    // Browsers send Origin with every handshake.
    let shaped = !facts.upgrade || facts.origin != Field::Absent;
    tells && origin && referer && simple && method && shaped
}

/// I21: over every cell, no request that a foreign page can cause passes, and every pass of
/// a request with our cookies rests on a proof. Weaker rules, some of them in wide use, fail this.
#[test]
fn no_foreign_page_gets_through() {
    let cells = cells();
    assert!(cells.len() > 70_000);
    let hostile: Vec<_> = cells.iter().copied().filter(could_come_from_a_foreign_page).collect();
    assert!(hostile.len() > 200);
    for facts in &hostile {
        assert!(matches!(judge(*facts), Refuse(_)), "{facts:?}");
    }
    for facts in &cells {
        let verdict = judge(*facts);
        match verdict {
            Pass(P::SafeMethod) => assert!(facts.method == "GET" && !facts.upgrade),
            Pass(P::Bearer) => assert!(facts.bearer),
            Pass(P::SameOrigin) => assert_eq!(facts.sec_fetch_site, one("same-origin")),
            Pass(P::TrustedSameSite) | Pass(P::OwnOrigin) | Pass(P::TrustedOrigin) => {
                assert!([one(OWN), one(TRUSTED)].contains(&facts.origin));
                assert_ne!(facts.sec_fetch_site, one("cross-site"));
            }
            Pass(P::Referer) => assert!(facts.origin == Field::Absent && facts.referer == one("https://app.example/a")),
            Pass(P::NativeClient) => {
                assert!(!facts.our_cookies && facts.origin == Field::Absent && facts.sec_fetch_site == Field::Absent)
            }
            Pass(P::Token | P::DangerOff) => panic!("{facts:?}"),
            Refuse(_) => {}
        }
    }

    // Negative controls.
    let safe = |f: &CsrfFacts<'_>| f.method == "GET";
    let neither = |f: &CsrfFacts<'_>| f.sec_fetch_site == Field::Absent && f.origin == Field::Absent;
    type Rule<'a> = Box<dyn Fn(&CsrfFacts<'_>) -> bool + 'a>;
    let weaker: [(&str, Rule<'_>); 6] = [
        ("GET is safe, upgrade or not", Box::new(|f| safe(f) || f.origin == one(OWN))),
        ("neither header passes", Box::new(|f| neither(f) || f.origin == one(OWN))),
        ("none passes", Box::new(|f| f.sec_fetch_site == one("none"))),
        ("same-site passes", Box::new(|f| f.sec_fetch_site == one("same-site"))),
        (
            "unknown passes",
            Box::new(|f| {
                !matches!(f.sec_fetch_site, Field::One(b"cross-site" | b"same-site")) && f.origin == Field::Absent
            }),
        ),
        ("prefix of Origin", Box::new(|f| f.origin.one().is_some_and(|o| o.starts_with(OWN.as_bytes())))),
    ];
    for (name, rule) in weaker {
        assert!(hostile.iter().any(&*rule), "the rule {name:?} must let something through");
    }
}

/// every near miss of our origin is foreign, in `Origin` and in `Referer`.
#[test]
fn near_misses_are_foreign() {
    for near in super::origin::NEAR_MISSES {
        let verdict = judge(CsrfFacts { origin: one(near), ..post() });
        assert!(matches!(verdict, Refuse(R::ForeignOrigin | R::NullOrigin)), "{near:?}: {verdict:?}");
        let referer = format!("{}/page", near.trim_end_matches('/'));
        if near != "https://app.example/" {
            assert_eq!(judge(CsrfFacts { referer: one(&referer), ..post() }), Refuse(R::ForeignReferer), "{referer:?}");
        }
    }
}

/// own origins are the configured ones; nothing in the facts can add one.
#[test]
fn without_an_own_origin_nothing_is_ours() {
    let config = CsrfConfig { own_origins: vec![], trusted_origins: vec![], ..config() };
    let verdict = check(&config, &CsrfFacts { origin: one(OWN), ..post() }, None, &*sessile_aws_lc::provider());
    assert_eq!(verdict, Refuse(R::ForeignOrigin));
    assert!(config.validate().iter().any(|f| f.key == "server.public_url" && f.weight == Weight::Stop));
}

/// signing in needs a proof too; no cookie is no excuse.
#[test]
fn login_csrf() {
    let bare = CsrfFacts::of("POST");
    let form = CsrfFacts { content_type: one("application/x-www-form-urlencoded"), ..bare };
    let json = CsrfFacts { content_type: one("application/json"), ..bare };
    for facts in [bare, form, json] {
        assert_eq!(judge(facts.sign_in()), Refuse(R::NoProof));
        assert_eq!(judge(CsrfFacts { sec_fetch_site: one("cross-site"), ..facts }.sign_in()), Refuse(R::CrossSite));
        assert_eq!(judge(CsrfFacts { origin: one(EVIL), ..facts }.sign_in()), Refuse(R::ForeignOrigin));
        assert_eq!(judge(CsrfFacts { origin: one(OWN), ..facts }.sign_in()), Pass(P::OwnOrigin));
        assert_eq!(
            judge(CsrfFacts { sec_fetch_site: one("same-origin"), origin: one("null"), ..facts }.sign_in()),
            Pass(P::SameOrigin)
        );
    }
    // Negative control: judged as an ordinary request, a JSON sign-in without cookies passes as a native client.
    assert_eq!(judge(json), Pass(P::NativeClient));
}

/// the modes, and what validation says of each.
#[test]
fn modes() {
    let forged = CsrfFacts { sec_fetch_site: one("cross-site"), ..post() };
    let under = |mode| check(&CsrfConfig { mode, ..config() }, &forged, None, &*sessile_aws_lc::provider());
    assert_eq!(under(CsrfMode::Enforce), Refuse(R::CrossSite));
    assert_eq!(under(CsrfMode::Report), Refuse(R::CrossSite), "the caller lets it pass and writes the event");
    assert_eq!(under(CsrfMode::DangerOff), Pass(P::DangerOff));
    let said = |mode| CsrfConfig { mode, ..config() }.validate().iter().map(|f| (f.key, f.weight)).collect::<Vec<_>>();
    assert_eq!(said(CsrfMode::Enforce), []);
    assert_eq!(said(CsrfMode::Report), [("csrf.mode", Weight::Warn)]);
    assert_eq!(said(CsrfMode::DangerOff), [("csrf.mode", Weight::Warn)]);
}

/// I1 in faults.md: the plain twin of a trusted origin stops the start; a developer's own machine does not.
#[test]
fn plain_http_is_not_trusted() {
    let with = |trusted: &str| CsrfConfig { trusted_origins: origins(&[trusted]), ..config() }.validate();
    assert_eq!(with("http://admin.app.example").iter().map(|f| f.weight).collect::<Vec<_>>(), [Weight::Stop]);
    assert_eq!(with(TRUSTED), []);
    assert_eq!(with("http://localhost:5173"), []);
    let verdict = judge(CsrfFacts { origin: one("http://admin.app.example"), ..post() });
    assert_eq!(verdict, Refuse(R::ForeignOrigin));
}

/// R-081, I5 in faults.md: what a form or a silent script can send is not taken for a program's.
#[test]
fn content_types_that_browsers_send_unasked() {
    for simple in [
        "text/plain",
        "TEXT/PLAIN",
        " text/plain ",
        "text/plain;charset=utf-8",
        "text/plain; x=\"application/json\"",
        "application/x-www-form-urlencoded",
        "Application/X-WWW-Form-Urlencoded",
        "multipart/form-data; boundary=x",
        "",
        " ",
        "garbage",
        "/",
        "text/",
        "/plain",
        "text /plain",
        "application/json, text/plain",
        "te\u{fc}xt/plain",
    ] {
        assert!(!forces_preflight(one(simple)), "{simple:?}");
    }
    for asking in [
        "application/json",
        "application/json; charset=utf-8",
        "application/vnd.api+json",
        "text/xml",
        "text/plainx",
        "image/png",
    ] {
        assert!(forces_preflight(one(asking)), "{asking:?}");
    }
    assert!(!forces_preflight(Field::Absent) && !forces_preflight(Field::Several));
    // Negative control: searching for "json" is how frameworks were fooled.
    assert!("text/plain; x=\"application/json\"".contains("json"));

    for (name, value, expected) in [
        ("authorization", "Bearer abc", true),
        ("authorization", "bearer abc", true),
        ("authorization", "DPoP abc", true),
        // Browsers attach these by themselves, to forged requests as well.
        ("authorization", "Basic abc", false),
        ("authorization", "Negotiate abc", false),
        ("authorization", "", false),
        ("x-requested-with", "XMLHttpRequest", true),
        ("x-csrf-token", "t", true),
        ("x-forwarded-for", "192.0.2.1", false),
        ("x-amzn-trace-id", "1", false),
        ("accept", "application/json", false),
    ] {
        assert_eq!(is_script_header(name, value.as_bytes()), expected, "{name}: {value}");
    }
}

// ---------------------------------------------------------------------------------------------------------
// The token

fn with_token(token: &str, binding: &CsrfBinding<'_>) -> CsrfVerdict {
    check(&config(), &CsrfFacts { token: Some(token), ..post() }, Some(binding), &*sessile_aws_lc::provider())
}

fn issue(binding: &CsrfBinding<'_>) -> String {
    issue_token(&*sessile_aws_lc::provider(), &*sessile_aws_lc::entropy(), binding).expect("entropy")
}

const ALICE: SessionId = SessionId::from_bytes([1; 16]);
const BOB: SessionId = SessionId::from_bytes([2; 16]);

/// R-079, I2 in faults.md: good for its session, client and key alone.
#[test]
fn the_token_is_bound() {
    let (key, client) = (key(), client());
    let mine = CsrfBinding { key: &key, session: Some(ALICE), client: &client, now: now() };
    let token = issue(&mine);
    assert_eq!(token.len(), TOKEN_CHARS);
    assert_eq!(with_token(&token, &mine), Pass(P::Token));

    let other_key = Secret::new([8; 32]);
    let other = |change: fn(&mut Client)| {
        let mut other = client.clone();
        change(&mut other);
        other
    };
    let clients = [
        other(|c| c.browser = "Chrome".into()),
        other(|c| c.platform = "Linux".into()),
        other(|c| c.language = "de".into()),
        // The same text, cut elsewhere: only length framing tells them apart.
        other(|c| (c.browser, c.platform) = ("FirefoxW".into(), "indows".into())),
        other(|c| (c.browser, c.platform) = ("FirefoxWindows".into(), "".into())),
    ];
    let mut strangers = vec![
        CsrfBinding { session: Some(BOB), ..mine },
        CsrfBinding { session: None, ..mine },
        CsrfBinding { key: &other_key, ..mine },
    ];
    strangers.extend(clients.iter().map(|client| CsrfBinding { client, ..mine }));
    for stranger in &strangers {
        assert_eq!(with_token(&token, stranger), Refuse(R::BadToken), "{stranger:?}");
    }
    // Negative control: joined without lengths, two of these clients are one.
    let joined = |c: &Client| format!("{}{}{}", c.browser, c.platform, c.language);
    assert_eq!(joined(&clients[3]), joined(&client));

    // Good as long as the session, wherever the user goes.
    let roaming = other(|c| c.network = "2001:db8::/64".into());
    let later = CsrfBinding { now: now().plus(Duration::from_secs(86_400 * 30)), client: &roaming, ..mine };
    assert_eq!(with_token(&token, &later), Pass(P::Token));
    // Without a binding no token counts.
    let verdict = check(&config(), &CsrfFacts { token: Some(&token), ..post() }, None, &*sessile_aws_lc::provider());
    assert_eq!(verdict, Refuse(R::BadToken));
    // And a token never outweighs what came before it.
    for facts in [
        CsrfFacts { sec_fetch_site: one("cross-site"), ..post() },
        CsrfFacts { origin: one(EVIL), ..post() },
        CsrfFacts { origin: one("null"), ..post() },
        CsrfFacts { referer: one("https://evil.test/"), ..post() },
        CsrfFacts { method: "GET", upgrade: true, ..post() },
    ] {
        let verdict =
            check(&config(), &CsrfFacts { token: Some(&token), ..facts }, Some(&mine), &*sessile_aws_lc::provider());
        assert!(matches!(verdict, Refuse(_)), "{facts:?}");
    }
}

/// truncated, extended, swapped and re-spelled tokens.
#[test]
fn damaged_tokens() {
    let (key, client) = (key(), client());
    let mine = CsrfBinding { key: &key, session: Some(ALICE), client: &client, now: now() };
    let (token, another) = (issue(&mine), issue(&mine));
    let (random, mac) = token.split_once('.').expect("two parts");
    let (other_random, other_mac) = another.split_once('.').expect("two parts");
    for damaged in [
        String::new(),
        ".".into(),
        random.into(),
        format!("{random}."),
        format!(".{mac}"),
        format!("{mac}.{random}"),
        format!("{other_random}.{mac}"),
        format!("{random}.{other_mac}"),
        format!("{random}.{}", &mac[..42]),
        format!("{random}.{mac}A"),
        format!("{random}.{mac}="),
        format!(" {token}"),
        format!("{token} "),
        format!("{random}..{mac}"),
        format!("{token}.{mac}"),
        token.to_uppercase(),
        "A".repeat(1 << 16),
    ] {
        assert_eq!(with_token(&damaged, &mine), Refuse(R::BadToken), "{damaged:?}");
    }
    assert_eq!(with_token(&another, &mine), Pass(P::Token), "negative control: undamaged");
}

/// I6 in faults.md: two tokens of one session share nothing that compression could find.
#[test]
fn no_two_tokens_are_alike() {
    let (key, client) = (key(), client());
    let mine = CsrfBinding { key: &key, session: Some(ALICE), client: &client, now: now() };
    let tokens: std::collections::BTreeSet<String> = (0..100).map(|_| issue(&mine)).collect();
    assert_eq!(tokens.len(), 100);
    let shared_prefix = |a: &str, b: &str| a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
    let list: Vec<_> = tokens.iter().collect();
    assert!(list.windows(2).all(|pair| shared_prefix(pair[0], pair[1]) < 8));
}

/// R-083, I2 in faults.md: the sign-in form's token is worth nothing to another network, after its time, or
/// inside a session; one that was fetched by somebody else cannot be planted.
#[test]
fn the_sign_in_token() {
    let (key, client) = (key(), client());
    let form = CsrfBinding { key: &key, session: None, client: &client, now: now() };
    let token = issue(&form);
    assert_eq!(with_token(&token, &form), Pass(P::Token));
    assert_eq!(with_token(&token, &CsrfBinding { session: Some(ALICE), ..form }), Refuse(R::BadToken));
    let attacker = Client { network: "198.51.100.1".into(), ..client.clone() };
    assert_eq!(with_token(&token, &CsrfBinding { client: &attacker, ..form }), Refuse(R::BadToken));
    let later = |d: Duration| with_token(&token, &CsrfBinding { now: now().plus(d), ..form });
    assert_eq!(later(SIGN_IN_WINDOW), Pass(P::Token));
    assert_eq!(later(SIGN_IN_WINDOW * 2), Refuse(R::BadToken));
    let before = CsrfBinding { now: now().minus(SIGN_IN_WINDOW * 2), ..form };
    assert_eq!(with_token(&token, &before), Refuse(R::BadToken));
}

/// Without entropy there is no token, rather than a predictable one.
#[test]
fn no_entropy_no_token() {
    struct Broken;
    impl Entropy for Broken {
        fn fill(&self, _out: &mut [u8]) -> Result<(), EntropyFailure> {
            Err(EntropyFailure)
        }
    }
    let (key, client) = (key(), client());
    let mine = CsrfBinding { key: &key, session: Some(ALICE), client: &client, now: now() };
    assert_eq!(issue_token(&*sessile_aws_lc::provider(), &Broken, &mine), Err(EntropyFailure));
}

/// the client half of the binding is what the server sees, and survives a browser's update.
#[test]
fn an_update_keeps_the_token() {
    let see = |agent: &str, peer: [u8; 4]| {
        Client::observe(&Traces {
            user_agent: Some(agent.as_bytes()),
            accept_language: Some(b"en-GB,en;q=0.5"),
            peer: Some(IpAddr::from(peer)),
            ..Traces::default()
        })
    };
    let key = key();
    let before = see("Mozilla/5.0 (Windows NT 10.0; rv:153.0) Gecko/20100101 Firefox/153.0", [192, 0, 2, 1]);
    let after = see("Mozilla/5.0 (Windows NT 10.0; rv:154.0) Gecko/20100101 Firefox/154.0", [198, 51, 100, 9]);
    let token = issue(&CsrfBinding { key: &key, session: Some(ALICE), client: &before, now: now() });
    assert_eq!(
        with_token(&token, &CsrfBinding { key: &key, session: Some(ALICE), client: &after, now: now() }),
        Pass(P::Token)
    );
}

proptest! {
    /// Any bytes anywhere: no panic, and no pass for a change that carries our cookies without a proof.
    #[test]
    fn no_noise_passes(
        site in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..16)),
        origin in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40)),
        referer in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..60)),
        token in proptest::option::of(".{0,80}"),
    ) {
        let (key, client) = (key(), client());
        let binding = CsrfBinding { key: &key, session: Some(ALICE), client: &client, now: now() };
        let field = |v: &'static str| -> Field<'static> { one(v) };
        let of = |v: &Option<Vec<u8>>| v.clone();
        let (site, origin, referer) = (of(&site), of(&origin), of(&referer));
        let facts = CsrfFacts {
            sec_fetch_site: site.as_deref().map_or(Field::Absent, Field::One),
            origin: origin.as_deref().map_or(Field::Absent, Field::One),
            referer: referer.as_deref().map_or(Field::Absent, Field::One),
            token: token.as_deref(),
            content_type: field("application/json"),
            ..post()
        };
        let verdict = check(&config(), &facts, Some(&binding), &*sessile_aws_lc::provider());
        prop_assert!(matches!(verdict, Refuse(_)), "{:?}", verdict);
    }
}
