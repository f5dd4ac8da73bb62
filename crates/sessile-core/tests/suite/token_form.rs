//! Attacks on the form of a token: algorithm, key selection, header, encoding (JA-01 to JA-57).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::token_world::{Case, Control, DAY, NOW, Rule, SCHEDULE, case, check, hmac, secrets_of, world, world_with};
use sessile_aws_lc::AwsLc;
use sessile_core::crypto::{Algorithm, Crypto, CryptoFault, KeyRefused, PublicKey, SigningKey, VerifyingKey};
use sessile_core::encoding::base64url;
use sessile_core::token::{KeyRing, TokenRefused, jws};
use sessile_core::{Secret, SecretBytes};

/// JA-01 to JA-03, JA-06 to JA-08, R-036: whatever `alg` says, it is the key's or the token is refused. The
/// tokens are signed by the right key, except for those of `none`.
#[test]
fn the_algorithm_is_the_keys() {
    let mut cases = Vec::new();
    let ours = world(Algorithm::Es256);
    for none in ["none", "None", "NONE", "nOnE", " none", "none\0"] {
        let header = json!({"alg": none, "typ": "at+jwt", "kid": ours.key().id.as_str()}).to_string();
        let payload = Value::Object(ours.claims()).to_string();
        let unsigned = format!("{}.{}", base64url(header.as_bytes()), base64url(payload.as_bytes()));
        // With an empty third segment it is not even compact; with any other the algorithm is refused.
        let empty = format!("{unsigned}.");
        cases.push(Case {
            what: format!("JA-01 {none:?} unsigned"),
            token: empty,
            code: "token_not_compact",
            control: Control::Repaired(ours.good()),
        });
        cases.push(case(
            format!("JA-01, JA-02 {none:?}"),
            format!("{unsigned}.AAAA"),
            "token_algorithm",
            Rule::Algorithm,
        ));
    }
    for (what, alg) in [
        ("missing", None),
        ("null", Some(Value::Null)),
        ("number", Some(json!(256))),
        ("array", Some(json!(["ES256"]))),
        ("object", Some(json!({"ES256": true}))),
        ("empty", Some(json!(""))),
        ("lower case", Some(json!("es256"))),
        ("with a blank", Some(json!("ES256 "))),
    ] {
        cases.push(case(format!("JA-03 alg {what}"), ours.with_member("alg", alg), "token_algorithm", Rule::Algorithm));
    }
    for name in [
        "ES384", "ES512", "ES256K", "ES521", "EdDSA", "Ed25519", "Ed448", "PS256", "RS256", "HS1", "RS1", "RSA1_5",
        "ECDH-ES", "dir",
    ] {
        cases.push(case(
            format!("JA-07, JA-08 {name}"),
            ours.with_member("alg", Some(json!(name))),
            "token_algorithm",
            Rule::Algorithm,
        ));
    }
    check(&ours, cases);

    let other_keys = [
        (Algorithm::Es384, &["ES256", "ES512"][..]),
        (Algorithm::EdDsa, &["Ed25519", "Ed448", "ES256"][..]),
        (Algorithm::Ps256, &["RS256", "RS512", "PS384", "PS512"][..]),
        (Algorithm::Hs256, &["HS384", "HS512", "ES256"][..]),
    ];
    for (algorithm, others) in other_keys {
        let ours = world(algorithm);
        let swapped = |name: &&str| {
            case(
                format!("JA-06, JA-07 {name}"),
                ours.with_member("alg", Some(json!(name))),
                "token_algorithm",
                Rule::Algorithm,
            )
        };
        check(&ours, others.iter().map(swapped));
    }
}

/// JA-04, JA-05, R-037: an HMAC under any spelling of the public key, or under a real HMAC key.
#[test]
fn a_public_key_is_no_shared_secret() {
    let ours = world(Algorithm::Es256);
    let header = json!({"alg": "HS256", "typ": "at+jwt", "kid": ours.key().id.as_str()}).to_string();
    let input =
        format!("{}.{}", base64url(header.as_bytes()), base64url(Value::Object(ours.claims()).to_string().as_bytes()));
    let key = AwsLc.signing_key(Algorithm::Es256, &ours.key().private).unwrap().public().unwrap();
    let confused = secrets_of(&key).into_iter().map(|secret| {
        let token = format!("{input}.{}", base64url(&hmac(&secret, input.as_bytes())));
        case(format!("JA-04 secret of {} octets", secret.len()), token, "token_algorithm", Rule::Algorithm)
    });
    check(&ours, confused);

    let shared = world(Algorithm::Hs256);
    let key = AwsLc.signing_key(Algorithm::Hs256, &shared.key().private).unwrap();
    let token = format!("{input}.{}", base64url(&key.sign(input.as_bytes()).unwrap()));
    assert_eq!(ours.code(&token), "token_algorithm", "JA-05");
}

/// JA-09, JA-55, JA-56, R-038: three segments, no more, no fewer, none empty, no other serialisation.
#[test]
fn only_compact_jws() {
    let ours = world(Algorithm::Es256);
    let good = ours.good();
    let [header, payload, signature]: [&str; 3] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let mut cases = vec![
        case("JA-55 four segments", format!("{good}.AAAA"), "token_not_compact", Rule::Segments),
        case("JA-55 a trailing dot", format!("{good}."), "token_not_compact", Rule::Segments),
        case("JA-09 five segments", format!("{good}.AAAA.AAAA"), "token_not_compact", Rule::Segments),
        case("JA-55 six segments", format!("{good}.AAAA.AAAA.AAAA"), "token_not_compact", Rule::Segments),
    ];
    let jwe_header = base64url(br#"{"alg":"ECDH-ES","enc":"A256GCM","typ":"at+jwt"}"#);
    let flattened = json!({"protected": header, "payload": payload, "signature": signature}).to_string();
    let general =
        json!({"payload": payload, "signatures": [{"protected": header, "signature": signature}]}).to_string();
    for (what, token) in [
        ("JA-09 JWE", format!("{jwe_header}..AAAA.AAAA.AAAA")),
        ("JA-56 flattened", flattened),
        ("JA-56 general", general),
        ("JA-55 empty", String::new()),
        ("JA-55 one dot", ".".into()),
        ("JA-55 two dots", "..".into()),
        ("JA-55 dots", ".".repeat(8192)),
        ("JA-55 two segments", format!("{header}.{payload}")),
        ("JA-55 no header", format!(".{payload}.{signature}")),
        ("JA-55 no payload", format!("{header}..{signature}")),
        ("JA-25 no signature", format!("{header}.{payload}.")),
        ("JA-58 percent-encoded", good.replace('.', "%2E")),
        ("JA-58 full stop look-alike", good.replace('.', "\u{2024}")),
        ("JA-58 Cyrillic", good.replace('a', "\u{430}")),
        ("JA-59 scheme left on", format!("Bearer {good}")),
        ("JA-59 two tokens", format!("{good},{good}")),
    ] {
        cases.push(Case {
            what: what.into(),
            token,
            code: "token_not_compact",
            control: Control::Repaired(good.clone()),
        });
    }
    check(&ours, cases);
}

/// JA-50 to JA-54, R-047: one spelling per segment. The tokens of the first group are signed as they are
/// spelled, so the signature is not what refuses them.
#[test]
fn one_spelling_per_segment() {
    let ours = world(Algorithm::Es256);
    let header = base64url(Value::Object(ours.header()).to_string().as_bytes());
    // The length leaves two stray bits in the last character.
    let claims = (0..3)
        .map(|blanks| format!("{}{}", Value::Object(ours.claims()), " ".repeat(blanks)))
        .find(|text| text.len() % 3 == 2)
        .unwrap();
    let payload = base64url(claims.as_bytes());
    let respelled = |text: &str| {
        let (rest, last) = text.split_at(text.len() - 1);
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let next = alphabet.find(last).unwrap() + 1;
        format!("{rest}{}", &alphabet[next..=next])
    };
    let mut cases = vec![case(
        "JA-53 stray bits in the payload",
        ours.sign(&header, &respelled(&payload)),
        "token_encoding",
        Rule::Encoding,
    )];
    for (what, mark) in [
        ("JA-50 padding", "="),
        ("JA-50 padding", "=="),
        ("JA-52 a blank", " "),
        ("JA-52 a tab", "\t"),
        ("JA-52 CR LF", "\r\n"),
    ] {
        for (place, token) in [
            ("after the header", ours.sign(&format!("{header}{mark}"), &payload)),
            ("within the header", ours.sign(&format!("{}{mark}{}", &header[..4], &header[4..]), &payload)),
            ("after the payload", ours.sign(&header, &format!("{payload}{mark}"))),
            ("after the signature", format!("{}{mark}", ours.good())),
            ("before everything", format!("{mark}{}", ours.sign(&header, &payload))),
        ] {
            // The last of these is not signed with the mark, the twin without the rule drops it everywhere.
            let control = if place == "before everything" {
                Control::Repaired(ours.good())
            } else {
                Control::Without(Rule::Encoding)
            };
            cases.push(Case { what: format!("{what} {place}"), token, code: "token_not_compact", control });
        }
    }
    // JA-51: a claim whose encoding has `-` and `_`, respelled in the other alphabet.
    let mut wide = ours.claims();
    wide.insert("note".into(), json!("~~~???>>>~~~"));
    let wide = base64url(Value::Object(wide).to_string().as_bytes());
    let standard = wide.replace('-', "+").replace('_', "/");
    assert_ne!(wide, standard);
    cases.push(case("JA-51 the other alphabet", ours.sign(&header, &standard), "token_not_compact", Rule::Encoding));
    // JA-54: a length that no number of octets has.
    let even = (0..3)
        .map(|blanks| format!("{}{}", Value::Object(ours.claims()), " ".repeat(blanks)))
        .find(|text| text.len() % 3 == 0)
        .unwrap();
    let one_over = format!("{}A", base64url(even.as_bytes()));
    assert_eq!(one_over.len() % 4, 1);
    cases.push(case("JA-54 length", ours.sign(&header, &one_over), "token_encoding", Rule::Encoding));
    check(&ours, cases);

    // JA-53 on the signature: 64 octets leave four stray bits.
    let good = ours.good();
    assert_eq!(ours.code(&respelled(&good)), "token_encoding");
}

/// JA-38, JA-57, R-050: size is judged before anything else is looked at.
#[test]
fn sizes() {
    let ours = world(Algorithm::Es256);
    let padded = |length: usize| {
        let mut claims = ours.claims();
        claims.insert("pad".into(), json!("x".repeat(length)));
        ours.with_payload(Value::Object(claims).to_string().as_bytes())
    };
    let spare = jws::MAX_TOKEN - padded(0).len();
    let longest = (0..spare).rev().map(padded).find(|token| token.len() <= jws::MAX_TOKEN).unwrap();
    assert_eq!(ours.code(&longest), "accepted");
    let longer = (spare / 2..spare).map(padded).find(|token| token.len() > jws::MAX_TOKEN).unwrap();
    assert!(longer.len() - longest.len() <= 2);

    let mut header = Value::Object(ours.header()).to_string();
    header.push_str(&" ".repeat(jws::MAX_HEADER));
    let payload = Value::Object(ours.claims()).to_string();
    check(
        &ours,
        [
            case("JA-57", longer, "token_too_large", Rule::Size),
            case(
                "JA-38",
                ours.forge(header.as_bytes(), payload.as_bytes()),
                "token_header_too_large",
                Rule::HeaderSize,
            ),
        ],
    );

    // Size comes first: what else is wrong with a long text is not found out.
    for mark in [".", "=", "\u{e9}", "A"] {
        assert_eq!(ours.code(&mark.repeat(1 << 20)), "token_too_large");
        assert_eq!(ours.code(&mark.repeat(100)), "token_not_compact", "the negative control");
    }
}

/// JA-10 to JA-13, JA-30, JA-31, JA-33, JA-34, JA-36, R-039, R-044, R-045: a header says `alg`, `typ`, `kid`.
#[test]
fn nothing_else_in_a_header() {
    let ours = world(Algorithm::Es256);
    let stranger = world(Algorithm::Es256);
    let stranger_key = AwsLc.signing_key(Algorithm::Es256, &stranger.key().private).unwrap();
    let Some(PublicKey::P256 { x, y }) = stranger_key.public() else { panic!("a P-256 key") };
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": base64url(&x), "y": base64url(&y)});

    // JA-11 (CVE-2018-0114): signed by the key it brings along.
    let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": ours.key().id.as_str(), "jwk": jwk}).to_string();
    let embedded = stranger.forge(header.as_bytes(), Value::Object(ours.claims()).to_string().as_bytes());
    let mut cases = vec![case("JA-11 embedded key", embedded, "token_header_member", Rule::Members)];

    for (what, name, value) in [
        ("JA-10", "enc", json!("A256GCM")),
        ("JA-10", "zip", json!("DEF")),
        ("JA-12", "jku", json!("https://evil.example/jwks.json")),
        ("JA-12", "jku", json!("http://169.254.169.254/")),
        ("JA-12", "x5u", json!("https://app.example@evil.example/")),
        ("JA-13", "x5c", json!(["MIIB"])),
        ("JA-13", "x5t", json!("AAAA")),
        ("JA-13", "x5t#S256", json!("AAAA")),
        ("JA-30", "crit", json!(["urn:example:unknown"])),
        ("JA-31", "crit", json!([])),
        ("JA-31", "crit", json!("alg")),
        ("JA-31", "crit", json!(["alg", "alg"])),
        ("JA-31", "crit", json!(["absent"])),
        ("JA-31", "crit", Value::Null),
        ("JA-33", "__proto__", json!({"alg": "none"})),
        ("JA-33", "constructor", json!("x")),
        ("JA-34", "b64", json!(false)),
        ("JA-34", "b64", json!(true)),
        ("JA-36", "cty", json!("JWT")),
        ("R-039", "url", json!("https://app.example")),
        ("R-039", "something-new", json!(1)),
        ("case", "ALG", json!("none")),
    ] {
        cases.push(case(
            format!("{what} {name}"),
            ours.with_member(name, Some(value)),
            "token_header_member",
            Rule::Members,
        ));
    }
    check(&ours, cases);
}

/// JA-35, JA-75, R-046: only an access token is an access token.
#[test]
fn typ_tells_the_kinds_apart() {
    let ours = world(Algorithm::Es256);
    let others = [
        "JWT",
        "jwt",
        "logout+jwt",
        "dbsc+jwt",
        "dpop+jwt",
        "secevent+jwt",
        "statuslist+jwt",
        "id+jwt",
        "application/jwt",
        "text/at+jwt",
        "application/at+jwt; charset=utf-8",
        "at+jwt ",
        "at jwt",
        "atjwt",
        "application/application/at+jwt",
        "application/",
        "",
        "at+jwt\0",
        "\u{212a}at+jwt",
        "applicatio\u{e9}/at+jwt",
    ];
    let refused =
        |typ: Option<Value>| case(format!("JA-35 {typ:?}"), ours.with_member("typ", typ), "token_type", Rule::Type);
    check(&ours, others.into_iter().map(|typ| refused(Some(json!(typ)))));
    check(&ours, [None, Some(Value::Null), Some(json!(1)), Some(json!(["at+jwt"]))].map(refused));
    // Media types are compared without case, and without "application/" it is understood (RFC 7515, 4.1.9).
    for same in ["at+jwt", "AT+JWT", "At+Jwt", "application/at+jwt", "APPLICATION/at+JWT"] {
        assert_eq!(ours.code(&ours.with_member("typ", Some(json!(same)))), "accepted", "{same}");
    }
}

/// JA-14 to JA-18, R-040: `kid` is a name in our map, or nothing.
#[test]
fn kid_is_only_a_map_key() {
    let ours = world(Algorithm::Es256);
    let id = ours.key().id.as_str();
    let texts = [
        "../../dev/null".into(),
        "/proc/self/environ".into(),
        "file:///dev/null".into(),
        "https://evil.example/key".into(),
        "' OR 1=1 --".into(),
        "*)(uid=*".into(),
        "$(id)".into(),
        "{{7*7}}".into(),
        "key\r\nlevel=info forged".into(),
        "key\0".into(),
        String::new(),
        format!("{id}\0"),
        format!(" {id}"),
        format!("{id}="),
        "k".repeat(65),
        "\u{0130}d".into(),
    ];
    let malformed = |kid: Option<Value>| {
        case(format!("JA-14, JA-15 {kid:?}"), ours.with_member("kid", kid), "token_key_id", Rule::KeyId)
    };
    check(&ours, texts.map(|text: String| malformed(Some(json!(text)))));
    // JA-17: ours always name their key, so a token that does not is not ours, even with one key to try.
    check(&ours, [None, Some(Value::Null), Some(json!(0)), Some(json!([id])), Some(json!({"kid": id}))].map(malformed));

    let other_case = id
        .chars()
        .map(|c| if c.is_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() })
        .collect::<String>();
    let unknown = [&id[1..], "k", &"k".repeat(64), &other_case, "__proto__", "constructor"];
    check(
        &ours,
        unknown.map(|kid| {
            case(format!("JA-16 {kid}"), ours.with_member("kid", Some(json!(kid))), "token_key_unknown", Rule::KeyId)
        }),
    );

    // JA-16: another deployment's token, good there.
    let elsewhere = world(Algorithm::Es256);
    let token = elsewhere.mint();
    assert_eq!(elsewhere.code(token.compact().expose()), "accepted");
    assert_eq!(ours.code(token.compact().expose()), "token_key_unknown");
    // The same under our key's name is a bad signature.
    let header = Value::Object(ours.header()).to_string();
    let renamed = elsewhere.forge(header.as_bytes(), Value::Object(ours.claims()).to_string().as_bytes());
    check(&ours, [case("JA-16 renamed", renamed, "token_signature", Rule::Signature)]);
}

/// JA-37, JA-39, JA-45, R-048, R-049: the header is one strict JSON object.
#[test]
fn the_header_is_strict_json() {
    let ours = world(Algorithm::Es256);
    let payload = Value::Object(ours.claims()).to_string();
    let good = Value::Object(ours.header()).to_string();
    let inner = good.trim_start_matches('{').trim_end_matches('}');
    let token = |header: &[u8]| ours.forge(header, payload.as_bytes());
    let doubled = [
        ("JA-45 alg twice", format!(r#"{{"alg":"none",{inner}}}"#)),
        ("JA-39 alg escaped", format!(r#"{{"\u0061lg":"none",{inner}}}"#)),
        ("JA-39 alg escaped", format!(r#"{{"al\u0067":"HS256",{inner}}}"#)),
        ("JA-45 kid twice", format!(r#"{{"kid":"x",{inner}}}"#)),
        ("JA-45 typ twice, alike", format!(r#"{{"typ":"at+jwt",{inner}}}"#)),
        ("JA-37 trailing data", format!("{good}{{}}")),
        ("JA-37 trailing NUL", format!("{good}\0")),
        ("JA-37 byte order mark", format!("\u{feff}{good}")),
    ];
    check(&ours, doubled.map(|(what, header)| case(what, token(header.as_bytes()), "token_header", Rule::HeaderJson)));
    let deep = format!(r#"{{"a":{}{},{inner}}}"#, "[".repeat(9), "]".repeat(9));
    let utf16: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let others: [(&str, &[u8]); 9] = [
        ("JA-37 array", b"[]"),
        ("JA-37 string", br#""ES256""#),
        ("JA-37 number", b"1"),
        ("JA-37 null", b"null"),
        ("JA-37 not JSON", b"{alg:ES256}"),
        ("JA-37 UTF-16", &utf16),
        ("JA-37 invalid UTF-8", b"{\"alg\":\"ES256\xff\"}"),
        ("JA-37 truncated", &good.as_bytes()[..good.len() - 1]),
        ("JA-38 depth", deep.as_bytes()),
    ];
    check(
        &ours,
        others.map(|(what, header)| Case {
            what: what.into(),
            token: token(header),
            code: "token_header",
            control: Control::Repaired(token(good.as_bytes())),
        }),
    );
}

/// JA-20 to JA-25, R-042: signatures that are none.
#[test]
fn signatures_that_do_not_hold() {
    for algorithm in Algorithm::ALL {
        let ours = world(algorithm);
        let good = ours.good();
        let (input, signature) = good.rsplit_once('.').unwrap();
        let signature = sessile_core::encoding::from_base64url(signature).unwrap();
        let length = signature.len();
        let other = ours.with_claim("gen", Some(json!(1)));
        let mut flipped = signature.clone();
        flipped[length / 2] ^= 1;
        let candidates = [
            ("JA-20 zeros", vec![0; length]),
            ("JA-20 ones", vec![0xff; length]),
            ("JA-21 one short", signature[..length - 1].to_vec()),
            ("JA-21 one long", [signature.as_slice(), &[0]].concat()),
            ("JA-21 leading zero", [&[0], signature.as_slice()].concat()),
            ("JA-25 half", signature[..length / 2].to_vec()),
            ("JA-25 twice", [signature.as_slice(), &signature].concat()),
            ("JA-25 one bit", flipped),
            (
                "JA-25 of another token",
                sessile_core::encoding::from_base64url(other.rsplit_once('.').unwrap().1).unwrap(),
            ),
        ];
        check(
            &ours,
            candidates.map(|(what, bytes)| {
                case(
                    format!("{what} {algorithm:?}"),
                    format!("{input}.{}", base64url(&bytes)),
                    "token_signature",
                    Rule::Signature,
                )
            }),
        );
    }
}

/// JA-22, JA-81, R-043: the twin (r, n - s) is another string and the same token. Whatever keeps a list of
/// tokens must list what this shows as equal.
#[test]
fn a_token_is_not_its_bytes() {
    let ours = world(Algorithm::Es256);
    let token = ours.mint();
    let compact = token.compact().expose();
    let (input, signature) = compact.rsplit_once('.').unwrap();
    let signature = sessile_core::encoding::from_base64url(signature).unwrap();
    let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let order = (0..32).map(|i| u8::from_str_radix(&order[2 * i..2 * i + 2], 16).unwrap());
    let mut borrow = 0;
    let mut negated: Vec<u8> = order
        .zip(&signature[32..])
        .rev()
        .map(|(n, s)| {
            let digit = i16::from(n) - i16::from(*s) - borrow;
            borrow = i16::from(digit < 0);
            (digit + 256 * borrow) as u8
        })
        .collect();
    negated.reverse();
    let twin = format!("{input}.{}", base64url(&[&signature[..32], &negated].concat()));
    assert_ne!(twin, compact);
    let twin = ours.verify(&twin).unwrap();
    assert_ne!(
        AwsLc.sha256(twin.compact().expose().as_bytes()),
        AwsLc.sha256(compact.as_bytes()),
        "a digest tells them apart"
    );
    assert_eq!(twin.claims().token_id, token.claims().token_id);
    assert_eq!(twin.claims(), token.claims());
}

/// RFC 7515 appendix A: the published tokens are well-formed JWS and none of ours.
#[test]
fn published_tokens_of_other_profiles() {
    let ours = world(Algorithm::Es256);
    let payload = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    for (what, token) in [
        (
            "A.1 HS256",
            format!("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{payload}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
        ),
        (
            "A.3 ES256",
            format!(
                "eyJhbGciOiJFUzI1NiJ9.{payload}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
            ),
        ),
    ] {
        assert_eq!(ours.code(&token), "token_type", "{what}");
    }
    assert_eq!(ours.code(&format!("eyJhbGciOiJub25lIn0.{payload}.")), "token_not_compact", "A.5 unsecured");
}

/// A provider that counts verifications.
#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

struct CountedKey(Box<dyn VerifyingKey>, Arc<AtomicUsize>);

impl VerifyingKey for CountedKey {
    fn algorithm(&self) -> Algorithm {
        self.0.algorithm()
    }
    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.verifies(message, signature)
    }
}

impl Crypto for Counted {
    fn sha256(&self, data: &[u8]) -> [u8; 32] {
        AwsLc.sha256(data)
    }
    fn mac(&self, key: &Secret<32>, parts: &[&[u8]]) -> Secret<32> {
        AwsLc.mac(key, parts)
    }
    fn seal(&self, key: &Secret<32>, nonce: &[u8; 12], aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, CryptoFault> {
        AwsLc.seal(key, nonce, aad, plaintext)
    }
    fn open(&self, key: &Secret<32>, nonce: &[u8; 12], aad: &[u8], sealed: &[u8]) -> Option<SecretBytes> {
        AwsLc.open(key, nonce, aad, sealed)
    }
    fn generate_key(&self, algorithm: Algorithm) -> Result<SecretBytes, CryptoFault> {
        AwsLc.generate_key(algorithm)
    }
    fn signing_key(&self, algorithm: Algorithm, private: &SecretBytes) -> Result<Box<dyn SigningKey>, KeyRefused> {
        AwsLc.signing_key(algorithm, private)
    }
    fn verifying_key(&self, algorithm: Algorithm, private: &SecretBytes) -> Result<Box<dyn VerifyingKey>, KeyRefused> {
        Ok(Box::new(CountedKey(AwsLc.verifying_key(algorithm, private)?, self.0.clone())))
    }
    fn public_key(&self, algorithm: Algorithm, public: &PublicKey) -> Result<Box<dyn VerifyingKey>, KeyRefused> {
        AwsLc.public_key(algorithm, public)
    }
}

/// R-035, JA-18: a token that is wrong in form costs no signature check, however many come; and a wrong
/// signature is refused as such even when the claims are wrong too, so they were not read.
#[test]
fn the_order_of_checks() {
    let ours = world(Algorithm::EdDsa);
    let checks = Arc::new(AtomicUsize::new(0));
    let ring = KeyRing::load(&Counted(checks.clone()), ours.records.clone(), SCHEDULE).unwrap();
    let refusal = |token: &str| ring.verify(token, &ours.expected, NOW).map_err(|why| why.code());

    for flood in 0..10_000 {
        let kid = json!(format!("unknown-{flood}"));
        let header = json!({"alg": "EdDSA", "typ": "at+jwt", "kid": kid}).to_string();
        assert_eq!(refusal(&format!("{}.AAAA.AAAA", base64url(header.as_bytes()))).unwrap_err(), "token_key_unknown");
    }
    assert_eq!(refusal(&ours.with_member("typ", Some(json!("JWT")))).unwrap_err(), "token_type");
    assert_eq!(refusal(&ours.with_member("alg", Some(json!("ES256")))).unwrap_err(), "token_algorithm");
    assert_eq!(checks.load(Ordering::Relaxed), 0);

    let stranger = world(Algorithm::EdDsa);
    let header = Value::Object(ours.header()).to_string();
    for payload in [&b"not JSON"[..], br#"{"exp":"never"}"#, br#"{"exp":0,"exp":1}"#] {
        assert_eq!(refusal(&stranger.forge(header.as_bytes(), payload)).unwrap_err(), "token_signature");
        // Negative control: with our signature it is the payload that is refused.
        assert_ne!(refusal(&ours.forge(header.as_bytes(), payload)).unwrap_err(), "token_signature");
    }
    assert!(refusal(&ours.good()).is_ok());
    assert_eq!(checks.load(Ordering::Relaxed), 7);
}

/// R-035: the reason is for the log; none but expiry shows anything of the token.
#[test]
fn refusals_carry_nothing() {
    let ours = world(Algorithm::Es256);
    let canary = "canary-value";
    for token in [
        ours.with_claim("iss", Some(json!(canary))),
        ours.with_claim("aud", Some(json!(canary))),
        ours.with_claim("jti", Some(json!(canary))),
    ] {
        let why = ours.verify(&token).unwrap_err();
        assert!(!format!("{why} {why:?}").contains(canary));
    }
    let mut late = ours.claims();
    late.insert("sub".into(), json!(canary));
    late.insert("iat".into(), json!(NOW.as_secs() - 300));
    late.insert("exp".into(), json!(NOW.as_secs()));
    let why = ours.verify(&ours.with_payload(Value::Object(late).to_string().as_bytes())).unwrap_err();
    assert!(matches!(&why, TokenRefused::Expired { subject, .. } if subject.as_str() == canary));
    let text = format!("{:?}", ours.mint());
    assert!(!text.contains(ours.mint().compact().expose().split('.').next().unwrap()), "R-169: {text}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// R-047: no change of one character passes, at any place.
    #[test]
    fn no_single_change_passes(place in any::<prop::sample::Index>(), replacement in any::<char>()) {
        let ours = fixed();
        let good = ours.1.clone();
        let chars: Vec<char> = good.chars().collect();
        let place = place.index(chars.len());
        let changed: String = chars.iter().enumerate().map(|(i, c)| if i == place { replacement } else { *c }).collect();
        prop_assert_eq!(ours.0.verify(&changed).is_ok(), changed == good);
        let removed: String = chars.iter().enumerate().filter(|(i, _)| *i != place).map(|(_, c)| *c).collect();
        prop_assert!(ours.0.verify(&removed).is_err());
        let inserted: String = chars[..place].iter().chain([&replacement]).chain(&chars[place..]).collect();
        prop_assert!(ours.0.verify(&inserted).is_err());
    }

    /// Any text at all is refused, and none makes it panic.
    #[test]
    fn any_text_is_refused(text in any::<String>(), header in any::<Vec<u8>>(), payload in any::<Vec<u8>>()) {
        let ours = fixed();
        prop_assert!(ours.0.verify(&text).is_err());
        prop_assert!(ours.0.verify(&ours.0.forge(&header, &payload)).is_err());
        prop_assert!(ours.0.verify(&ours.0.with_payload(&payload)).is_err());
    }
}

/// One world for all cases of a property, with a good token.
fn fixed() -> &'static (crate::token_world::World, String) {
    static WORLD: std::sync::OnceLock<(crate::token_world::World, String)> = std::sync::OnceLock::new();
    WORLD.get_or_init(|| {
        let record = KeyRing::new_key(&AwsLc, Algorithm::EdDsa, NOW.minus(DAY), NOW.minus(DAY)).unwrap();
        let world = world_with(vec![record]);
        let good = world.good();
        assert!(world.verify(&good).is_ok());
        (world, good)
    })
}
