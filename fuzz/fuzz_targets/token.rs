//! Access tokens. The first byte says what the rest is: a whole token, a header, or a claims set; the last
//! two are signed with our key, so that what comes after the signature is reached.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use sessile_aws_lc::AwsLc;
use sessile_core::Timestamp;
use sessile_core::crypto::{Algorithm, Crypto, SigningKey};
use sessile_core::encoding::base64url;
use sessile_core::token::{Expected, KeyId, KeyRing, KeySchedule};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const LIFE: Duration = Duration::from_secs(300);
const CLAIMS: &str = r#"{"iss":"i","sub":"s","aud":"a","client_id":"c","iat":1800000000,"exp":1800000300,"auth_time":1800000000,"jti":"AQEBAQEBAQEBAQEBAQEBAQ","sid":"AgICAgICAgICAgICAgICAg","gen":0,"storage":"hybrid"}"#;

struct Ours {
    ring: KeyRing,
    id: KeyId,
    key: Box<dyn SigningKey>,
    expected: Expected,
}

static OURS: LazyLock<Ours> = LazyLock::new(|| {
    let record = KeyRing::new_key(&AwsLc, Algorithm::Hs256, NOW, NOW).expect("a key");
    let schedule = KeySchedule { rotate_every: LIFE * 100, publish_ahead: LIFE, longest_token: LIFE };
    let id = record.id.clone();
    let key = AwsLc.signing_key(Algorithm::Hs256, &record.private).expect("a key");
    let ring = KeyRing::load(&AwsLc, vec![record], schedule).expect("a ring");
    let expected =
        Expected { issuer: "i".into(), audience: vec!["a".into()], leeway: Duration::ZERO, longest_token: LIFE };
    Ours { ring, id, key, expected }
});

fn signed(header: &[u8], claims: &[u8]) -> String {
    let input = format!("{}.{}", base64url(header), base64url(claims));
    let signature = OURS.key.sign(input.as_bytes()).expect("a signature");
    format!("{input}.{}", base64url(&signature))
}

fn good() {
    let header = format!(r#"{{"alg":"HS256","typ":"at+jwt","kid":"{}"}}"#, OURS.id);
    let token = signed(header.as_bytes(), CLAIMS.as_bytes());
    assert!(OURS.ring.verify(&token, &OURS.expected, NOW).is_ok(), "the token everything else is compared with");
}

fuzz_target!(init: good(), |data: &[u8]| {
    let Some((mode, rest)) = data.split_first() else {
        return;
    };
    let header = format!(r#"{{"alg":"HS256","typ":"at+jwt","kid":"{}"}}"#, OURS.id);
    let verify = |token: &str| OURS.ring.verify(token, &OURS.expected, NOW);
    match mode % 3 {
        0 => {
            let Ok(token) = std::str::from_utf8(rest) else {
                return;
            };
            assert!(verify(token).is_err(), "nobody else has the key");
        }
        1 => {
            // `$` stands for the name of the key, which differs from run to run.
            let text = String::from_utf8_lossy(rest).replace('$', OURS.id.as_str());
            if verify(&signed(text.as_bytes(), CLAIMS.as_bytes())).is_ok() {
                let read: Value = serde_json::from_str(&text).expect("JSON");
                assert_eq!(read.as_object().expect("an object").len(), 3);
                assert_eq!(
                    (read["alg"].as_str(), read["kid"].as_str()),
                    (Some("HS256"), Some(OURS.id.as_str()))
                );
            }
        }
        _ => {
            let Ok(token) = verify(&signed(header.as_bytes(), rest)) else {
                return;
            };
            let read: Value = serde_json::from_slice(rest).expect("JSON");
            let claims = token.claims();
            assert_eq!(read["sub"], claims.subject.as_str());
            assert_eq!(read["iss"], "i");
            assert_eq!(claims.audience.iter().find(|name| *name != "a"), None);
            assert!(NOW < claims.expires_at && claims.expires_at.since(claims.issued_at) <= LIFE);
            assert!(["cnf", "act"].iter().all(|name| read.get(name).is_none()));
        }
    }
});
