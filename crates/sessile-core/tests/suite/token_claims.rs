//! Attacks on what a token says: JSON, time, audience, issuer, subject (JA-45 to JA-84).

use std::time::Duration;

use serde_json::{Value, json};

use crate::token_world::{AUDIENCE, CLIENT, Case, Control, ISSUER, LIFE, NOW, Rule, World, case, check, world};
use sessile_core::Timestamp;
use sessile_core::crypto::Algorithm;
use sessile_core::token::TokenRefused;

fn ours() -> World {
    world(Algorithm::Es256)
}

fn without(ours: &World, names: &[&str]) -> String {
    let mut claims = ours.claims();
    names.iter().for_each(|name| drop(claims.remove(*name)));
    let text = Value::Object(claims).to_string();
    text[1..text.len() - 1].to_owned()
}

/// JA-45, JA-47, JA-49, R-048, R-049: the claims set is one strict JSON object.
#[test]
fn the_payload_is_strict_json() {
    let ours = ours();
    let good = Value::Object(ours.claims()).to_string();
    let inner = &good[1..good.len() - 1];
    let twice = [
        ("JA-45 sub twice", format!(r#"{{"sub":"root",{inner}}}"#)),
        ("JA-45 exp twice", format!(r#"{{"exp":9999999999,{inner}}}"#)),
        ("JA-45 sub escaped", format!(r#"{{"\u0073ub":"root",{inner}}}"#)),
        ("JA-45 an unknown name twice", format!(r#"{{"x":1,"x":1,{inner}}}"#)),
        ("JA-45 within a claim", format!(r#"{{"x":{{"y":1,"\u0079":2}},{inner}}}"#)),
        ("JA-37 trailing object", format!("{good}{{}}")),
        ("JA-37 trailing comma", format!("{good},")),
        ("JA-37 byte order mark", format!("\u{feff}{good}")),
    ];
    check(
        &ours,
        twice.map(|(what, text)| case(what, ours.with_payload(text.as_bytes()), "token_payload", Rule::PayloadJson)),
    );

    let odd = |json: &str| ours.with_payload(format!("{{{json},{inner}}}").as_bytes());
    let others = [
        ("JA-46 1e400", odd(r#""x":1e400"#), odd(r#""x":1e4"#)),
        ("JA-46 beyond 2^53", odd(r#""x":9007199254740992"#), odd(r#""x":9007199254740991"#)),
        ("JA-46 beyond i64", odd(r#""x":9223372036854775808"#), odd(r#""x":922337203685477"#)),
        ("JA-46 beyond u64", odd(r#""x":18446744073709551616"#), odd(r#""x":0"#)),
        ("JA-46 as a float", odd(r#""x":1e300"#), odd(r#""x":1e3"#)),
        ("JA-46 negative", odd(r#""x":-9007199254740992"#), odd(r#""x":-9007199254740991"#)),
        ("JA-47 NaN", odd(r#""x":NaN"#), odd(r#""x":null"#)),
        ("JA-47 Infinity", odd(r#""x":-Infinity"#), odd(r#""x":-1"#)),
        ("JA-47 comment", odd(r#""x":1/**/"#), odd(r#""x":1"#)),
        ("JA-47 single quotes", odd("'x':1"), odd(r#""x":1"#)),
        ("JA-47 leading zero", odd(r#""x":01"#), odd(r#""x":1"#)),
        ("JA-47 plus sign", odd(r#""x":+1"#), odd(r#""x":1"#)),
        ("JA-47 trailing comma", odd(r#""x":[1,]"#), odd(r#""x":[1]"#)),
        (
            "JA-48 depth",
            odd(&format!(r#""x":{}{}"#, "[".repeat(10), "]".repeat(10))),
            odd(&format!(r#""x":{}{}"#, "[".repeat(8), "]".repeat(8))),
        ),
        ("JA-49 lone surrogate", odd(r#""x":"\ud800""#), odd(r#""x":"\ud83d\ude00""#)),
        ("JA-49 raw control", odd("\"x\":\"\u{1}\""), odd(r#""x":"\u0001""#)),
        ("JA-37 array", ours.with_payload(b"[]"), ours.good()),
        ("JA-37 string", ours.with_payload(br#""x""#), ours.good()),
        ("JA-36 a token within", ours.with_payload(ours.good().as_bytes()), ours.good()),
    ];
    let repaired = |(what, token, harmless): (&str, String, String)| Case {
        what: what.into(),
        token,
        code: "token_payload",
        control: Control::Repaired(harmless),
    };
    check(&ours, others.map(repaired));
    let overlong = [&good.as_bytes()[..good.len() - 1], b",\"x\":\"\xc0\xaf\"}"].concat();
    check(&ours, [case("JA-49 overlong UTF-8", ours.with_payload(&overlong), "token_payload", Rule::PayloadJson)]);
}

/// JA-60, JA-61, JA-63, JA-65, R-051: times are numbers of seconds, and all of ours are there.
#[test]
fn times_are_numbers() {
    let ours = ours();
    let mut cases = Vec::new();
    for name in ["exp", "iat", "auth_time"] {
        cases.push(case(format!("JA-60 no {name}"), ours.with_claim(name, None), "token_claim", Rule::Times));
    }
    for name in ["exp", "iat", "auth_time", "nbf"] {
        for (what, value) in [
            ("JA-61 string", json!("9999999999")),
            ("JA-61 true", json!(true)),
            ("JA-61 null", Value::Null),
            ("JA-61 object", json!({"$date": 9_999_999_999u64})),
            ("JA-61 array", json!([9_999_999_999u64])),
            ("JA-63 negative", json!(-1)),
            ("JA-63 negative fraction", json!(-0.5)),
            ("JA-63 milliseconds", json!(NOW.as_millis())),
            ("JA-63 far away", json!(253_402_300_800u64)),
        ] {
            cases.push(case(format!("{what} {name}"), ours.with_claim(name, Some(value)), "token_claim", Rule::Times));
        }
    }
    check(&ours, cases);
    let minus_zero = format!(r#"{{"iat":-0,{}}}"#, without(&ours, &["iat"]));
    check(&ours, [case("JA-46 minus zero", ours.with_payload(minus_zero.as_bytes()), "token_claim", Rule::Times)]);
    let huge = format!(r#"{{"exp":1e308,{}}}"#, without(&ours, &["exp"]));
    assert_eq!(ours.code(&ours.with_payload(huge.as_bytes())), "token_payload", "JA-63 1e308");
}

fn at(ours: &World, iat: Value, exp: Value, now: Timestamp) -> Result<Timestamp, &'static str> {
    let mut claims = ours.claims();
    claims.insert("iat".into(), iat);
    claims.insert("exp".into(), exp);
    claims.insert("auth_time".into(), json!(NOW.as_secs() - 1000));
    let token = ours.with_payload(Value::Object(claims).to_string().as_bytes());
    ours.ring.verify(&token, &ours.expected, now).map(|t| t.claims().expires_at).map_err(|why| why.code())
}

/// JA-64, R-051, T1: over at the instant of `exp`; no leeway for our own, at most 60 s for anybody's.
#[test]
fn expiry_to_the_millisecond() {
    let mut ours = ours();
    let exp = NOW.as_secs() + 10;
    let end = Timestamp::from_secs(exp);
    let ms = |offset: i64| Timestamp::from_millis(end.as_millis().saturating_add_signed(offset));
    let verdict = |ours: &World, now| at(ours, json!(NOW.as_secs()), json!(exp), now).map(|_| ());
    assert_eq!(verdict(&ours, ms(-1)), Ok(()));
    assert_eq!(verdict(&ours, ms(0)), Err("token_expired"));
    assert_eq!(verdict(&ours, ms(1)), Err("token_expired"));
    for (leeway, end) in
        [(Duration::from_secs(5), 5_000), (Duration::from_secs(60), 60_000), (Duration::from_secs(3600), 60_000)]
    {
        ours.expected.leeway = leeway;
        assert_eq!(verdict(&ours, ms(end - 1)), Ok(()), "{leeway:?}");
        assert_eq!(verdict(&ours, ms(end)), Err("token_expired"), "{leeway:?}");
    }
}

/// JA-62: a fraction is legal and never rounded up.
#[test]
fn fractions_of_seconds() {
    let ours = ours();
    let start = NOW.as_secs();
    for (fraction, millis) in [(0.5, 500), (0.25, 250), (0.125, 125), (0.999_9, 999), (0.000_1, 0)] {
        let exp = json!(start as f64 + 10.0 + fraction);
        let end = Timestamp::from_millis(NOW.as_millis() + 10_000 + millis);
        let before = Timestamp::from_millis(end.as_millis() - 1);
        assert_eq!(at(&ours, json!(start), exp.clone(), before), Ok(end), "{exp}");
        assert_eq!(at(&ours, json!(start), exp.clone(), end), Err("token_expired"), "{exp}");
    }
    assert_eq!(at(&ours, json!(start), json!(start as f64 + 10.0), NOW), Ok(Timestamp::from_secs(start + 10)));
}

/// JA-63, JA-66, R-053: a life is positive and no longer than the policy says.
#[test]
fn lifetimes() {
    let ours = ours();
    let (now, life) = (NOW.as_secs(), LIFE.as_secs());
    let verdict = |iat: u64, exp: u64| at(&ours, json!(iat), json!(exp), NOW).map(|_| ());
    assert_eq!(verdict(now, now + life), Ok(()));
    assert_eq!(verdict(now, now + life + 1), Err("token_lifetime"));
    assert_eq!(verdict(now, now + 10 * 365 * 86_400), Err("token_lifetime"), "ten years");
    assert_eq!(verdict(now + 30, now + 30), Err("token_lifetime"), "JA-66 no life at all");
    assert_eq!(verdict(now + 30, now + 20), Err("token_lifetime"), "JA-66 iat after exp");
    assert_eq!(verdict(now - life, now), Err("token_expired"));
    assert_eq!(
        verdict(now - life - 1, now),
        Err("token_lifetime"),
        "expiry comes last: only a token in order is told apart"
    );
    assert_eq!(at(&ours, json!(0), json!(0), NOW), Err("token_lifetime"), "JA-63 zero");
    // T4: the ends of the scale.
    for now in [Timestamp::from_millis(0), Timestamp::from_millis(u64::MAX)] {
        assert!(at(&ours, json!(0), json!(253_402_300_799u64), now).is_err());
        assert!(at(&ours, json!(253_402_300_798u64), json!(253_402_300_799u64), now).is_err());
    }
    let mut unbounded = world(Algorithm::Es256);
    unbounded.expected.longest_token = Duration::MAX;
    assert_eq!(
        at(&unbounded, json!(now), json!(253_402_300_799u64), NOW).map(|_| ()),
        Ok(()),
        "the negative control: no cap"
    );
}

/// JA-65, JA-66, JA-69, R-052: not from the future, but for what clocks may differ.
#[test]
fn not_from_the_future() {
    let ours = ours();
    let now = NOW.as_secs();
    let mut cases = Vec::new();
    for name in ["iat", "auth_time", "nbf"] {
        for ahead in [0, 1, 59, 60] {
            assert_eq!(
                ours.code(&ours.with_claim(name, Some(json!(now + ahead)))),
                "accepted",
                "{name} {ahead} s ahead"
            );
        }
        for ahead in [61, 200, 1_000_000] {
            cases.push(case(
                format!("{name} {ahead} s ahead"),
                ours.with_claim(name, Some(json!(now + ahead))),
                "token_future",
                Rule::Times,
            ));
        }
    }
    check(&ours, cases);
}

/// JA-70, JA-71, R-054: for us, and for nobody else.
#[test]
fn audience_is_exact() {
    let ours = ours();
    for good in [
        json!(AUDIENCE[0]),
        json!([AUDIENCE[0]]),
        json!([AUDIENCE[1]]),
        json!(AUDIENCE),
        json!([AUDIENCE[1], AUDIENCE[0]]),
    ] {
        assert_eq!(ours.code(&ours.with_claim("aud", Some(good.clone()))), "accepted", "{good}");
    }
    let others = [
        json!("https://other.example"),
        json!("https://app.example/"),
        json!("https://APP.example"),
        json!("https://app.exampl"),
        json!("https://app.example.evil.example"),
        json!(" https://app.example"),
        json!("https://app.example https://api.example"),
        json!([AUDIENCE[0], "https://other.example"]),
        json!(["https://other.example", AUDIENCE[0]]),
        json!("*"),
    ];
    check(
        &ours,
        others.map(|aud| {
            case(format!("JA-70, JA-71 {aud}"), ours.with_claim("aud", Some(aud)), "token_audience", Rule::Audience)
        }),
    );
    let mistyped = [
        Some(json!("")),
        Some(json!([])),
        Some(Value::Null),
        Some(json!(1)),
        Some(json!([[AUDIENCE[0]]])),
        Some(json!([AUDIENCE[0], 1])),
        Some(json!([AUDIENCE[0], ""])),
        Some(json!({"aud": AUDIENCE[0]})),
        None,
    ];
    check(
        &ours,
        mistyped.map(|aud| case(format!("JA-71 {aud:?}"), ours.with_claim("aud", aud), "token_claim", Rule::Audience)),
    );
}

/// JA-72, JA-74, R-055: one issuer, one exact string.
#[test]
fn issuer_is_exact() {
    let ours = ours();
    let others = [
        "https://app.example/",
        "https://app.example.evil.example",
        "https://app.exampl",
        "HTTPS://app.example",
        "https://app.ex\u{430}mple",
        " https://app.example",
        "https://app.example\n",
        "app.example",
        "https://evil.example",
    ];
    check(
        &ours,
        others.map(|iss| {
            case(format!("JA-72 {iss:?}"), ours.with_claim("iss", Some(json!(iss))), "token_issuer", Rule::Issuer)
        }),
    );
    let mistyped = [
        Some(json!([ISSUER])),
        Some(json!([ISSUER, "https://evil.example"])),
        Some(Value::Null),
        Some(json!(1)),
        Some(json!("")),
        None,
    ];
    check(
        &ours,
        mistyped.map(|iss| case(format!("JA-72 {iss:?}"), ours.with_claim("iss", iss), "token_claim", Rule::Issuer)),
    );
}

/// JA-73, JA-77, JA-84, R-057: whose, which, of what session: present and of the right type.
#[test]
fn the_other_claims_are_typed() {
    let ours = ours();
    let mut cases = Vec::new();
    for name in ["sub", "client_id", "jti", "sid", "gen", "storage"] {
        for value in [
            None,
            Some(Value::Null),
            Some(json!(true)),
            Some(json!("")),
            Some(json!([])),
            Some(json!({})),
            Some(json!(-1)),
            Some(json!(1.5)),
        ] {
            cases.push(case(format!("{name} {value:?}"), ours.with_claim(name, value), "token_claim", Rule::Types));
        }
    }
    for (name, value) in [
        ("sub", json!("x".repeat(256))),
        ("sub", json!("two\nlines")),
        ("sub", json!("nul\u{0}")),
        ("sub", json!(CLIENT)),
        ("jti", json!("AQEBAQEBAQEBAQEBAQEBAR")),
        ("jti", json!("AQEBAQEBAQEBAQEBAQEBAQ==")),
        ("jti", json!("short")),
        ("sid", json!("AgICAgICAgICAgICAgICAh")),
        ("gen", json!("0")),
        ("storage", json!("Hybrid")),
        ("storage", json!("anywhere")),
        ("amr", json!("pwd")),
        ("amr", json!([1])),
        ("amr", json!([""])),
        ("acr", json!(1)),
        ("acr", json!("")),
        ("cnf", json!({"jkt": "AAAA"})),
        ("act", json!({"sub": "root"})),
    ] {
        cases.push(case(format!("{name} {value}"), ours.with_claim(name, Some(value)), "token_claim", Rule::Types));
    }
    check(&ours, cases);
    for name in ["amr", "acr", "role"] {
        assert_eq!(ours.code(&ours.with_claim(name, None)), "accepted", "{name} may be absent");
    }
}

/// The refusal names the claim, for the operator who wrote the token.
#[test]
fn the_claim_is_named() {
    let ours = ours();
    assert_eq!(ours.verify(&ours.with_claim("sid", None)).unwrap_err(), TokenRefused::Claim("sid"));
    assert_eq!(ours.verify(&ours.with_claim("nbf", Some(json!("x")))).unwrap_err().to_string(), "token_claim nbf");
}

/// JA-76: application claims arrive as they were signed, apart from those with a meaning.
#[test]
fn application_claims_are_kept_apart() {
    let ours = ours();
    let token = ours.verify(&ours.good()).unwrap();
    let names: Vec<&str> = token.claims().facts.claims.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["role"]);
    assert_eq!(token.claims().facts.amr, ["pwd"]);
}
