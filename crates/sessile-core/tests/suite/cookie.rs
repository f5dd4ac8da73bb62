//! Reading, writing, clearing and guarding the two cookies.

use std::time::Duration;

use proptest::prelude::*;
use sessile_core::client::Client;
use sessile_core::cookie::{
    CookieConfig, CookieProblem, Load, MAX_LIFETIME, MAX_OCTETS, MAX_PAIRS, Presented, SameSite, SetCookie, clear,
    is_reserved, issue_access, issue_session, own_names, parse, screen, strip, upstream_may_set, weigh,
};
use sessile_core::crypto::Algorithm;
use sessile_core::fault::Weight;
use sessile_core::policy::Limits;
use sessile_core::rotation::{SessionKey, SessionToken, Stored};
use sessile_core::session::{Claims, Method, VerifiedIdentity, mint};
use sessile_core::token::{KeyRing, KeySchedule, NewAccessToken, VerifiedToken};
use sessile_core::{Secret, SessionId, Storage, Timestamp};

const SESSION: &str = "__Host-Http-sessile";
const ACCESS: &str = "__Host-Http-sessile-at";

fn config() -> CookieConfig {
    CookieConfig::default()
}

fn session_token(generation: u64) -> SessionToken {
    let key = SessionKey::new(Secret::new([7; 32]));
    key.token(&*sessile_aws_lc::provider(), SessionId::from_bytes([3; 16]), generation)
}

fn token_text() -> String {
    session_token(4).to_text().expose().to_owned()
}

/// A genuine access token that carries `padding` characters of an application claim.
fn access_token(padding: usize) -> VerifiedToken {
    let (crypto, entropy) = (sessile_aws_lc::provider(), sessile_aws_lc::entropy());
    let now = Timestamp::from_secs(1_700_000_000);
    let schedule = KeySchedule {
        rotate_every: Duration::from_secs(86_400 * 30),
        publish_ahead: Duration::from_secs(600),
        longest_token: Duration::from_secs(3600),
    };
    let key = KeyRing::new_key(&*crypto, Algorithm::Hs256, now, now).expect("a key");
    let ring = KeyRing::load(&*crypto, vec![key], schedule).expect("a ring");
    let claims = [("pad".to_owned(), serde_json::Value::from("x".repeat(padding)))].into_iter().collect();
    let identity = VerifiedIdentity::vouched(Method::Password, "ada".parse().expect("a subject"), now)
        .with_claims(Claims::new(claims).expect("claims"));
    let limits = Limits::default();
    let made = mint(identity, Client::default(), Storage::Hybrid, &limits, &*entropy, now).expect("entropy");
    let new = NewAccessToken {
        session: &made.session,
        issuer: "https://app.example",
        audience: &["app".to_owned()],
        client_id: "sessile",
        lifetime: limits.access,
        not_after: made.session.end(&limits),
    };
    ring.mint(&*entropy, &new, now).expect("a token")
}

fn read<'a>(fields: &[&'a [u8]]) -> Presented<'a> {
    parse(&config(), fields.iter().copied())
}

fn read_one(field: &str) -> Presented<'_> {
    read(&[field.as_bytes()])
}

// ---------------------------------------------------------------------------------------------------------
// Reading

/// A parser such as frameworks have: decodes, trims, folds case, and lets the first value win.
fn naive_first_wins(fields: &[&[u8]]) -> Option<String> {
    fields.iter().flat_map(|field| field.split(|&b| b == b';')).find_map(|pair| {
        let text = String::from_utf8_lossy(pair).trim_start_matches('=').to_owned();
        let (name, value) = text.split_once('=')?;
        let name = name.trim().replace("%48", "H");
        name.eq_ignore_ascii_case(SESSION).then(|| value.trim_matches('"').to_owned())
    })
}

/// R-011, J4: two values under one of our names are no session at all, wherever they stand.
#[test]
fn duplicates_leave_no_token() {
    let (good, evil) = (token_text(), "tossed");
    let one_line = format!("{SESSION}={evil}; {SESSION}={good}");
    let crumbs = [format!("{SESSION}={good}"), "theme=dark".to_owned(), format!("{SESSION}={evil}")];
    let same_twice = format!("{SESSION}={good}; {SESSION}={good}");
    let access_twice = format!("{ACCESS}=a.b.c; {SESSION}={good}; {ACCESS}=d.e.f");
    let cases: [Vec<&[u8]>; 4] = [
        vec![one_line.as_bytes()],
        crumbs.iter().map(|c| c.as_bytes()).collect(),
        vec![same_twice.as_bytes()],
        vec![access_twice.as_bytes()],
    ];
    for fields in cases {
        let seen = read(&fields);
        assert_eq!(seen.problem, Some(CookieProblem::Duplicate), "{fields:?}");
        assert!(seen.session_token.is_none() && seen.access_token.is_none() && seen.any);
    }
    // Negative control: the usual parser takes the tossed value.
    assert_eq!(naive_first_wins(&[one_line.as_bytes()]).as_deref(), Some(evil));
    // And the honest single value is read.
    assert_eq!(read_one(&format!("{SESSION}={good}")).session_token.expect("read").generation(), 4);
}

/// R-011, J1, J2, J3: only our name, byte for byte. None of these is ours; a lenient parser takes them.
#[test]
fn only_the_exact_name_is_read() {
    let value = token_text();
    let lookalikes = [
        format!("__HOST-HTTP-SESSILE={value}"),
        format!("__host-http-sessile={value}"),
        format!("__%48ost-Http-sessile={value}"),
        format!("__Host-Http-sessile%3D={value}"),
        format!("={SESSION}={value}"),
        format!("=={SESSION}={value}"),
        format!("\u{2000}{SESSION}={value}"),
        format!("\u{a0}{SESSION}={value}"),
        format!("\u{85}{SESSION}={value}"),
        format!("\u{b}{SESSION}={value}"),
        format!("\"{SESSION}\"={value}"),
        format!("{SESSION} ={value}"),
        format!("{SESSION}\t={value}"),
        format!("{SESSION}.0={value}"),
        format!("{SESSION}[]={value}"),
        format!("x{SESSION}={value}"),
        format!("__Secure-sessile={value}"),
        format!("__Host-sessile={value}"),
        format!("sessile={value}"),
        SESSION.to_owned(),
        format!("a={SESSION}={value}"),
        format!("{SESSION}_chunks=99999999"),
    ];
    for cookie in &lookalikes {
        let seen = read_one(cookie);
        assert!(!seen.any && seen.session_token.is_none() && seen.problem.is_none(), "{cookie:?}");
    }
    let fooled = lookalikes.iter().filter(|c| naive_first_wins(&[c.as_bytes()]).is_some()).count();
    assert!(fooled >= 6, "negative control: a lenient parser accepts some of these, got {fooled}");
}

/// R-011, J3: no quoting, no `$Version`, no decoding of values; what we cannot have written is malformed.
#[test]
fn values_are_taken_as_they_are() {
    let value = token_text();
    let malformed = [
        format!("$Version=1; {SESSION}=\"{value}\"; $Path=/"),
        format!("{SESSION}=\"{value}\""),
        format!("{SESSION}="),
        format!("{SESSION}= {value}"),
        format!("{SESSION}={value}="),
        format!("{SESSION}={}", value.replace('.', "%2E")),
        format!("{SESSION}={value},x=1"),
        format!("{ACCESS}="),
        format!("{ACCESS}=a b"),
        format!("{ACCESS}=ü"),
        format!("{ACCESS}={}", "a".repeat(MAX_OCTETS + 1)),
    ];
    for cookie in malformed {
        let seen = read_one(&cookie);
        assert_eq!(seen.problem, Some(CookieProblem::Malformed), "{cookie:?}");
        assert!(seen.any && seen.session_token.is_none() && seen.access_token.is_none());
    }
    // A damaged access token does not take the session token with it.
    let field = format!("{ACCESS}=; {SESSION}={value}");
    let seen = read_one(&field);
    assert_eq!(seen.problem, Some(CookieProblem::Malformed));
    assert!(seen.session_token.is_some());
    // Around a pair, blanks mean nothing.
    for cookie in
        [format!(" {SESSION}={value} "), format!("a=1;{SESSION}={value}"), format!("a=1;\t {SESSION}={value}\t;b=2")]
    {
        assert!(read_one(&cookie).session_token.is_some(), "{cookie:?}");
    }
}

/// the names of one prefix are not read under the other, and are still ours to strip.
#[test]
fn the_other_prefix_is_stripped_but_not_read() {
    let value = token_text();
    let shared = CookieConfig { domain: Some("app.example".into()), ..config() };
    assert_eq!((shared.session_name(), shared.access_name()), ("__Secure-sessile", "__Secure-sessile-at"));
    let both = format!("__Secure-sessile={value}; a=1; {SESSION}={value}");
    for config in [config(), shared] {
        let seen = parse(&config, [both.as_bytes()].into_iter());
        assert!(seen.session_token.is_some() && seen.problem.is_none());
    }
    assert_eq!(strip([both.as_bytes()].into_iter()).as_deref(), Some(&b"a=1"[..]));
}

/// too many or too large is said at once.
#[test]
fn weight() {
    let sixty_large = vec![b'x'; 4096];
    let fields = |n: usize| std::iter::repeat_n(sixty_large.as_slice(), n);
    assert_eq!(weigh(fields(4)), Load::Fine);
    assert_eq!(weigh(fields(60)), Load::TooMuch);
    let many = vec!["a=1"; MAX_PAIRS].join("; ");
    assert_eq!(weigh([many.as_bytes()].into_iter()), Load::Fine);
    let more = format!("{many}; b=2");
    assert_eq!(weigh([more.as_bytes()].into_iter()), Load::TooMuch);
    let crumbs = vec![&b"a=1"[..]; MAX_PAIRS + 1];
    assert_eq!(weigh(crumbs.into_iter()), Load::TooMuch);
}

proptest! {
    /// one line, several lines and HTTP/2 crumbs mean the same.
    #[test]
    fn however_it_is_split_it_reads_the_same(
        cookies in proptest::collection::vec("[a-z]{1,4}=[a-z0-9]{0,4}|__Host-Http-sessile=x|__Host-Http-sessile-at=a\\.b\\.c", 0..6),
        cuts in proptest::collection::vec(any::<bool>(), 6),
    ) {
        let line = cookies.join("; ");
        let mut fields: Vec<String> = vec![String::new()];
        for (cookie, cut) in cookies.iter().zip(&cuts) {
            let last = fields.last_mut().expect("never empty");
            if *cut && !last.is_empty() { fields.push(cookie.clone()) }
            else if last.is_empty() { last.push_str(cookie) }
            else { last.push_str("; "); last.push_str(cookie) }
        }
        let whole = parse(&config(), [line.as_bytes()].into_iter());
        let split = parse(&config(), fields.iter().map(|f| f.as_bytes()));
        prop_assert_eq!(whole.problem, split.problem);
        prop_assert_eq!(whole.any, split.any);
        prop_assert_eq!(whole.access_token.is_some(), split.access_token.is_some());
        prop_assert_eq!(strip([line.as_bytes()].into_iter()), strip(fields.iter().map(|f| f.as_bytes())));
    }

    /// J6: any bytes: no panic; of what comes out, nothing is ours and nothing is new.
    #[test]
    fn strip_takes_only_ours(fields in proptest::collection::vec(cookie_like_bytes(), 0..4)) {
        let parts = |fields: &[Vec<u8>]| -> Vec<Vec<u8>> {
            fields.iter().flat_map(|f| f.split(|&b| b == b';').map(|p| trim(p).to_vec()).collect::<Vec<_>>()).filter(|p| !p.is_empty()).collect()
        };
        let out = strip(fields.iter().map(Vec::as_slice));
        let kept = parts(&out.clone().into_iter().collect::<Vec<_>>());
        let given = parts(&fields);
        // What is gone is ours, by a rule written here a second time; what is not ours is there, in order.
        let expected: Vec<Vec<u8>> = given.into_iter().filter(|p| !ours_by_a_second_opinion(p)).collect();
        prop_assert_eq!(&kept, &expected);
        prop_assert_eq!(out.is_none(), expected.is_empty());
        // And what goes to the upstream reads as carrying nothing of ours, also to a lenient reader.
        let fields: Vec<&[u8]> = out.iter().map(Vec::as_slice).collect();
        prop_assert!(!read(&fields).any);
        prop_assert!(naive_first_wins(&fields).is_none());
    }
}

fn trim(mut bytes: &[u8]) -> &[u8] {
    while let Some(rest) = bytes.strip_prefix(b" ").or(bytes.strip_prefix(b"\t")) {
        bytes = rest;
    }
    while let Some(rest) = bytes.strip_suffix(b" ").or(bytes.strip_suffix(b"\t")) {
        bytes = rest;
    }
    bytes
}

/// The rule of `is_reserved` as a search over the lower-cased text instead of a trim of bytes.
fn ours_by_a_second_opinion(pair: &[u8]) -> bool {
    let text: String = pair.iter().map(|&b| char::from(b)).collect::<String>().to_lowercase();
    let text = text.trim_start_matches(['=', ' ', '\t']);
    let name = text.split('=').next().unwrap_or_default();
    let name = name.trim_start_matches(|c: char| !c.is_ascii_graphic() || "\"'=,;".contains(c));
    ["__host-http-sessile", "__secure-sessile"].iter().any(|own| {
        name.strip_prefix(own).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))
    })
}

fn cookie_like_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(SESSION.as_bytes().to_vec()),
        Just(ACCESS.as_bytes().to_vec()),
        Just(b"__Secure-sessile".to_vec()),
        Just(b"__HOST-http-SESSILE".to_vec()),
        Just(b"sid".to_vec()),
        Just(b"=".to_vec()),
        Just(b"; ".to_vec()),
        Just(b";".to_vec()),
        Just(b"\"".to_vec()),
        Just(b" ".to_vec()),
        Just(b"\t".to_vec()),
        Just("\u{2000}".as_bytes().to_vec()),
        proptest::collection::vec(any::<u8>(), 0..4),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

// ---------------------------------------------------------------------------------------------------------
// Stripping and the upstream

/// R-013, P20: nothing of ours goes up; the rest goes up byte for byte and in order.
#[test]
fn strip_keeps_the_rest() {
    let line = |text: &str| strip([text.as_bytes()].into_iter()).map(|v| String::from_utf8(v).expect("text"));
    assert_eq!(line(&format!("a=1; {SESSION}=s; b=\"2\"; {ACCESS}=t; c==;d")), Some("a=1; b=\"2\"; c==; d".into()));
    assert_eq!(line(&format!("{SESSION}=s; {ACCESS}=t")), None);
    assert_eq!(line("a=%48; b=ü; a=2"), Some("a=%48; b=ü; a=2".into()), "nothing decoded, nothing deduplicated");
    assert_eq!(line("__%48ost-Http-sessile=s"), Some("__%48ost-Http-sessile=s".into()), "another name (J1)");
    for own in own_names() {
        assert_eq!(line(&format!("{own}=s; {}=s; a=1", own.to_uppercase())), Some("a=1".into()));
    }
    // Application cookies that only look related.
    for name in [
        "sessile",
        "__Host-sessile",
        "__Host-Http-sessiles",
        "__Host-Http-sessile_old",
        "my__Host-Http-sessile",
        "__Host-Http-",
    ] {
        assert!(!is_reserved(name.as_bytes()), "{name}");
        assert!(line(&format!("{name}=1")).is_some());
    }
}

/// the upstream cannot set, shadow or expire our names.
#[test]
fn the_upstream_cannot_touch_our_names() {
    let refused = [
        format!("{SESSION}=x"),
        format!("{SESSION}=; Max-Age=0; Path=/; Secure"),
        format!("{SESSION}=x; Domain=app.example; Path=/deep"),
        format!("{ACCESS}=x"),
        "__HOST-HTTP-SESSILE=x".to_owned(),
        "__host-http-sessile-AT=x; Secure".to_owned(),
        "__Secure-sessile=x; Secure".to_owned(),
        "__secure-SESSILE-at=x; Secure; Domain=example".to_owned(),
        format!("={SESSION}=x"),
        format!(" = {SESSION}=x"),
        format!("=={SESSION}=x"),
        SESSION.to_owned(),
        format!("  {SESSION}=x"),
        format!("\t{SESSION}=x"),
        format!("{SESSION} =x"),
        format!("{SESSION}\t =x"),
        format!("\"{SESSION}\"=x"),
        format!("{SESSION}[0]=x"),
        format!("{SESSION}-anything=x"),
        format!("\u{2000}{SESSION}=x"),
        format!("\u{a0}{SESSION}=x"),
        format!("{SESSION}\u{85}=x"),
        format!("{SESSION}\0=x"),
        format!("a=1\r\nSet-Cookie: {SESSION}=x"),
        format!("\u{1}{SESSION}=x"),
        "a=1;\u{0} b".to_owned(),
    ];
    for field in &refused {
        assert!(!upstream_may_set(field.as_bytes()), "{field:?}");
    }
    // Negative control: comparing the text before `=` lets most of them through.
    let naive = |field: &str| field.split('=').next() != Some(SESSION) && field.split('=').next() != Some(ACCESS);
    assert!(refused.iter().filter(|f| naive(f)).count() >= 15);

    let allowed = [
        "sid=1",
        "__Host-sid=1; Secure; Path=/",
        "sessile=1",
        "a=\"__Host-Http-sessile\"",
        "__%48ost-Http-sessile=x",
        "__Host-Http-app=1",
        "=anonymous",
        "",
    ];
    for field in allowed {
        assert!(upstream_may_set(field.as_bytes()), "{field:?}");
    }
}

/// one cookie is set once per response; different cookies of one name are left apart.
#[test]
fn the_upstreams_fields_are_screened_together() {
    let fields: [&[u8]; 8] = [
        b"a=1; Path=/",
        b"__Host-Http-sessile=x",
        b"b=1",
        b"a=2; path=/; HttpOnly",
        b"a=3; Path=/deep",
        b"a=4; Path=/; Domain=.App.example",
        b"a=5; Path=/; domain=app.example",
        b"a",
    ];
    let screened = screen(fields.into_iter());
    assert_eq!(screened.refused, 1);
    let expected: [&[u8]; 5] =
        [b"b=1", b"a=2; path=/; HttpOnly", b"a=3; Path=/deep", b"a=5; Path=/; domain=app.example", b"a"];
    assert_eq!(screened.kept, expected);
}

// ---------------------------------------------------------------------------------------------------------
// Writing

type Attributes = Vec<(String, Option<String>)>;

/// A second reader of `Set-Cookie`, from the server grammar of RFC 6265bis section 4.1.1. It knows nothing of
/// the writer. One spelling goes beyond the grammar: `Max-Age=0`, which has no other form there and which
/// section 5.6 defines, and only for an empty value.
fn server_grammar(field: &str) -> Result<(String, String, Attributes), String> {
    let token =
        |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
    let octet = |b: u8| matches!(b, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e);
    let mut parts = field.split("; ");
    let (name, value) = parts.next().and_then(|pair| pair.split_once('=')).ok_or("no pair")?;
    if !token(name) || !value.bytes().all(octet) {
        return Err(format!("pair {name:?}"));
    }
    let mut attributes = Attributes::new();
    for part in parts {
        let (attribute, av) = part.split_once('=').map_or((part, None), |(a, v)| (a, Some(v)));
        let fine = match (attribute, av) {
            ("Secure" | "HttpOnly" | "Partitioned", None) => true,
            ("SameSite", Some(v)) => ["Strict", "Lax", "None"].contains(&v),
            ("Path", Some(v)) => v.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b';'),
            ("Domain", Some(v)) => v.split('.').all(|l| {
                !l.is_empty() && !l.starts_with('-') && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            }),
            ("Max-Age", Some("0")) => value.is_empty(),
            ("Max-Age", Some(v)) => {
                v.starts_with(|c: char| ('1'..='9').contains(&c)) && v.bytes().all(|b| b.is_ascii_digit())
            }
            _ => false,
        };
        if !fine || attributes.iter().any(|(known, _)| known == attribute) {
            return Err(format!("attribute {part:?}"));
        }
        attributes.push((attribute.to_owned(), av.map(str::to_owned)));
    }
    Ok((name.to_owned(), value.to_owned(), attributes))
}

fn every_profile() -> Vec<CookieConfig> {
    let mut all = Vec::new();
    for path in ["/", "/api"] {
        for domain in [None, Some("app.example".to_owned())] {
            for (same_site, embed) in [(SameSite::Strict, false), (SameSite::Lax, false), (SameSite::None, true)] {
                all.push(CookieConfig { path: path.into(), domain: domain.clone(), same_site, embed });
            }
        }
    }
    all
}

fn written(config: &CookieConfig, lifetime: Option<Duration>) -> [SetCookie; 2] {
    let token = Stored::after_acknowledged_write(session_token(0));
    [issue_session(config, &token, lifetime), issue_access(config, &access_token(10), lifetime).expect("fits")]
}

/// every profile writes the strict grammar, each attribute once, with the name
/// that its attributes deserve.
#[test]
fn every_profile_is_written_in_the_server_grammar() {
    for config in every_profile() {
        assert!(config.validate().iter().all(|fault| fault.weight == Weight::Warn), "{config:?}");
        let host_only = config.path == "/" && config.domain.is_none();
        for (cookie, base) in written(&config, Some(Duration::from_secs(60))).iter().zip(["sessile", "sessile-at"]) {
            let (name, value, attributes) = server_grammar(cookie.as_str()).expect("the grammar");
            let get = |wanted: &str| attributes.iter().find(|(a, _)| a == wanted).map(|(_, v)| v.as_deref());
            assert_eq!(name, format!("{}{base}", if host_only { "__Host-Http-" } else { "__Secure-" }));
            assert_eq!(name, cookie.name());
            assert!(!value.is_empty());
            assert_eq!(get("Secure"), Some(None), "R-001");
            assert_eq!(get("HttpOnly"), Some(None), "R-002");
            assert_eq!(get("Path"), Some(Some(config.path.as_str())), "R-004");
            assert_eq!(get("Domain").flatten(), config.domain.as_deref(), "R-004");
            assert_eq!(get("SameSite"), Some(Some(config.same_site.name())), "R-005");
            assert_eq!(get("Partitioned").is_some(), config.embed, "R-006");
            assert_eq!(get("Max-Age"), Some(Some("60")));
        }
    }
    // Negative control: the checker refuses what the grammar refuses.
    for bad in [
        "a=1; Secure; Secure",
        "a=1,2",
        "a=\"1\"",
        "=1",
        "a=1;Secure",
        "a=1; Max-Age=0",
        "a=1; Max-Age=-1",
        "a=1; Path=/\u{7f}",
        "a b=1",
        "a=1; Domain=.x",
        "a=1; Foo=1",
    ] {
        assert!(server_grammar(bad).is_err(), "{bad:?}");
    }
}

/// what must stop the start, and what must only be said.
#[test]
fn configuration_faults() {
    let weights = |config: CookieConfig| config.validate().iter().map(|f| (f.key, f.weight)).collect::<Vec<_>>();
    assert_eq!(weights(config()), []);
    assert_eq!(weights(CookieConfig { path: "/api".into(), ..config() }), [("cookie.path", Weight::Warn)]);
    assert_eq!(
        weights(CookieConfig { domain: Some("app.example".into()), ..config() }),
        [("cookie.domain", Weight::Warn)]
    );
    assert_eq!(weights(CookieConfig { same_site: SameSite::None, ..config() }), [("cookie.same_site", Weight::Stop)]);
    assert_eq!(weights(CookieConfig { embed: true, ..config() }), [("cookie.embed", Weight::Stop)]);
    assert_eq!(weights(CookieConfig { embed: true, same_site: SameSite::None, ..config() }), []);
    for path in ["", "api", "/a;b", "/a\r\nSet-Cookie: x=1", "/a b", "/ü", &format!("/{}", "x".repeat(1024))] {
        assert_eq!(
            weights(CookieConfig { path: path.into(), ..config() }),
            [("cookie.path", Weight::Stop)],
            "{path:?}"
        );
    }
    for domain in [
        "",
        ".app.example",
        "app.example.",
        "App.example",
        "localhost",
        "com",
        "127.0.0.1",
        "app..example",
        "a;b.c",
        "-a.example",
        "app.example:80",
    ] {
        assert_eq!(
            weights(CookieConfig { domain: Some(domain.into()), ..config() }),
            [("cookie.domain", Weight::Stop)],
            "{domain:?}"
        );
    }
    let all_at_once =
        CookieConfig { path: "x".into(), domain: Some("x".into()), same_site: SameSite::None, embed: false };
    assert_eq!(all_at_once.validate().len(), 3);
}

/// an endpoint that the cookies would not reach can be found out before the start. D1: a suffix is not
/// a sub-domain.
#[test]
fn reach() {
    let api = CookieConfig { path: "/api".into(), domain: Some("app.example".into()), ..config() };
    for (host, path, expected) in [
        ("app.example", "/api", true),
        ("www.app.example", "/api/x", true),
        ("app.example", "/apix", false),
        ("app.example", "/", false),
        ("evilapp.example", "/api", false),
        ("example", "/api", false),
    ] {
        assert_eq!(api.reaches(host, path), expected, "{host}{path}");
    }
    assert!(config().reaches("anything", "/auth/session"));
}

/// R-008, J7: without "remember me" no lifetime; with it never more than browsers honour, whole seconds,
/// rounded down so that the cookie never outlives the session.
#[test]
fn lifetimes() {
    let max_age = |lifetime| {
        let [session, access] = written(&config(), lifetime);
        let of = |cookie: &SetCookie| {
            let (_, _, attributes) = server_grammar(cookie.as_str()).expect("the grammar");
            attributes.into_iter().find(|(a, _)| a == "Max-Age").and_then(|(_, v)| v)
        };
        assert_eq!(of(&session), of(&access));
        of(&session)
    };
    assert_eq!(max_age(None), None);
    for (lifetime, expected) in [
        (Duration::from_millis(1999), "1"),
        (MAX_LIFETIME - Duration::from_secs(1), "34559999"),
        (MAX_LIFETIME, "34560000"),
        (MAX_LIFETIME + Duration::from_secs(1), "34560000"),
        (Duration::MAX, "34560000"),
    ] {
        assert_eq!(max_age(Some(lifetime)).as_deref(), Some(expected));
    }
}

/// at 4096 octets of name and value the cookie is written, at 4097 it is an error that says what to do.
#[test]
fn the_size_cap_is_exact() {
    let config = config();
    let (mut at_most, mut refused, mut largest) = (0, 0, 0);
    for padding in 2690..2730 {
        let token = access_token(padding);
        let octets = ACCESS.len() + token.compact().expose().len();
        match issue_access(&config, &token, None) {
            Ok(cookie) => {
                let (name, value, _) = server_grammar(cookie.as_str()).expect("the grammar");
                assert_eq!(name.len() + value.len(), octets);
                assert!(octets <= MAX_OCTETS);
                largest = largest.max(octets);
                at_most += 1;
            }
            Err(too_large) => {
                assert!(octets > MAX_OCTETS);
                assert_eq!(too_large.octets, octets);
                assert!(too_large.to_string().contains("fewer or shorter claims"));
                refused += 1;
            }
        }
    }
    assert!(at_most > 0 && refused > 0, "the range must straddle the cap: {at_most} / {refused}");
    assert!(largest >= MAX_OCTETS - 1, "some token must come within an octet of the cap, got {largest}");
}

/// Section 4: the two cookies of a default configuration stay under 1.5 KB.
#[test]
fn the_default_cookies_are_small() {
    let total: usize = written(&config(), Some(MAX_LIFETIME)).iter().map(|c| c.as_str().len()).sum();
    assert!(total < 1536, "{total}");
}

/// clearing repeats path, domain and flags exactly, with an empty value and no time left.
#[test]
fn clearing_is_the_exact_twin() {
    for config in every_profile() {
        let identity = |cookie: &SetCookie| {
            let (name, _, mut attributes) = server_grammar(cookie.as_str()).expect("the grammar");
            attributes.retain(|(a, _)| a != "Max-Age");
            (name, attributes)
        };
        let set = written(&config, Some(Duration::from_secs(60)));
        let gone = clear(&config);
        assert_eq!(set.iter().map(identity).collect::<Vec<_>>(), gone.iter().map(identity).collect::<Vec<_>>());
        for cookie in &gone {
            let (_, value, attributes) = server_grammar(cookie.as_str()).expect("the grammar");
            assert_eq!(
                (value.as_str(), attributes.iter().any(|a| *a == ("Max-Age".into(), Some("0".into())))),
                ("", true)
            );
        }
    }
    // Negative control: cleared under another profile, a cookie would stay in the jar.
    let [default, api] = [config(), CookieConfig { path: "/api".into(), ..config() }];
    assert_ne!(clear(&default)[0].as_str(), clear(&api)[0].as_str());
}

/// What is written is what is read, and neither prints its secret.
#[test]
fn round_trip_without_a_trace() {
    let [session, access] = written(&config(), None);
    let pair = |cookie: &SetCookie| cookie.as_str().split(';').next().expect("a pair").to_owned();
    let field = format!("{}; {}", pair(&session), pair(&access));
    let seen = read_one(&field);
    assert_eq!(seen.problem, None);
    assert_eq!(seen.session_token.as_ref().expect("read").to_text().expose(), session_token(0).to_text().expose());
    assert!(access.as_str().contains(seen.access_token.as_ref().expect("read").expose()));
    let secret = session_token(0).to_text().expose()[26..].to_owned();
    assert!(session.as_str().contains(&secret));
    assert!(!format!("{session:?} {seen:?}").contains(&secret));
}
