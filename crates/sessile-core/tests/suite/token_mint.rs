//! What is minted: complete, within the session, and readable by any verifier.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::token_world::{AUDIENCE, CLIENT, ISSUER, LIFE, NOW, SCHEDULE, World, session, world, world_with};
use sessile_aws_lc::{AwsLc, SystemEntropy};
use sessile_core::Timestamp;
use sessile_core::crypto::{Algorithm, Crypto, Entropy, EntropyFailure};
use sessile_core::encoding::from_base64url;
use sessile_core::session::{Claims, Facts, Session};
use sessile_core::token::{KeyRing, MintFailure, NewAccessToken, TokenRefused, VerifiedToken, jws};

fn segments(token: &VerifiedToken) -> (Value, Value) {
    let mut segments = token.compact().expose().split('.').map(|segment| from_base64url(segment).unwrap());
    let mut next = || serde_json::from_slice(&segments.next().unwrap()).unwrap();
    (next(), next())
}

/// R-057, RFC 9068 section 2: header and claims are exactly these.
#[test]
fn what_a_token_says() {
    let ours = world(Algorithm::Es256);
    let token = ours.mint();
    let (header, claims) = segments(&token);
    assert_eq!(header, json!({"alg": "ES256", "typ": "at+jwt", "kid": ours.key().id.as_str()}));
    assert_eq!(
        claims,
        json!({
            "iss": ISSUER, "sub": "user-42", "aud": AUDIENCE, "client_id": CLIENT,
            "iat": 1_800_000_000, "exp": 1_800_000_300, "auth_time": 1_800_000_000,
            "jti": token.claims().token_id.to_string(), "sid": ours.session.id.to_string(), "gen": 0, "storage": "hybrid",
            "amr": ["pwd"], "acr": "urn:example:low", "role": "editor", "admin": false,
        })
    );
    let again = ours.verify(token.compact().expose()).unwrap();
    assert_eq!(again.claims(), token.claims(), "what mint returns is what a verifier reads");
    assert_eq!(again.key_id(), token.key_id());
    assert_eq!(again.claims().facts, ours.session.facts);

    // One audience is a string; no methods, no class: no claims.
    let plain = Session { facts: Facts::default(), ..session(NOW) };
    let audience = [AUDIENCE[0].to_owned()];
    let new = NewAccessToken {
        session: &plain,
        issuer: ISSUER,
        audience: &audience,
        client_id: CLIENT,
        lifetime: LIFE,
        not_after: NOW.plus(LIFE),
    };
    let (_, claims) = segments(&ours.ring.mint(&SystemEntropy, &new, NOW).unwrap());
    assert_eq!(claims["aud"], AUDIENCE[0]);
    assert!(claims.get("amr").is_none() && claims.get("acr").is_none());
}

/// every algorithm we offer mints and verifies; none other has a name.
#[test]
fn every_algorithm() {
    for algorithm in Algorithm::ALL {
        let ours = world(algorithm);
        let token = ours.mint();
        assert_eq!(ours.code(token.compact().expose()), "accepted", "{algorithm:?}");
        assert_eq!(segments(&token).0["alg"], algorithm.name());
        // Negative control: another key of the same kind.
        assert_eq!(world(algorithm).code(token.compact().expose()), "token_key_unknown");
    }
    assert_eq!(Algorithm::from_name("RS256"), None);
    assert_eq!(Algorithm::from_name("none"), None);
}

/// JA-84: each token has an id of its own, each time.
#[test]
fn token_ids_differ() {
    let ours = world(Algorithm::Hs256);
    let ids: std::collections::BTreeSet<_> = (0..1000).map(|_| ours.mint().claims().token_id).collect();
    assert_eq!(ids.len(), 1000);
}

fn lived(ours: &World, session: &Session, lifetime: Duration, now: Timestamp) -> Result<(u64, u64), MintFailure> {
    let token = ours.mint_for(session, lifetime, now)?;
    let claims = token.claims();
    assert!(claims.issued_at <= now && now < claims.expires_at);
    Ok((claims.issued_at.as_millis(), claims.expires_at.as_millis()))
}

/// I10, R-023: whole seconds, rounded so that no token outlives its session, and none is dead on arrival.
#[test]
fn ends_with_the_session() {
    let ours = world(Algorithm::Hs256);
    let base = NOW.as_millis();
    let at = |ms: u64| Timestamp::from_millis(base + ms);
    let ending = |ms: u64| Session { absolute_end: at(ms), ..session(NOW) };
    let open = ending(1_000_000);
    assert_eq!(lived(&ours, &open, LIFE, at(999)), Ok((base, base + 300_000)));
    assert_eq!(lived(&ours, &open, LIFE, at(1000)), Ok((base + 1000, base + 301_000)));
    // Short lives, as tests use them.
    assert_eq!(lived(&ours, &open, Duration::from_secs(2), at(900)), Ok((base, base + 2000)));
    assert_eq!(lived(&ours, &open, Duration::from_secs(1), at(400)), Ok((base, base + 1000)));
    assert_eq!(lived(&ours, &open, Duration::from_secs(1), at(999)), Ok((base, base + 2000)), "not dead on arrival");
    assert_eq!(lived(&ours, &open, Duration::from_millis(500), at(200)), Ok((base, base + 1000)));
    assert_eq!(
        lived(&ours, &open, Duration::from_millis(500), at(900)),
        Ok((base, base + 2000)),
        "not dead on arrival"
    );
    assert_eq!(lived(&ours, &open, Duration::ZERO, at(0)), Ok((base, base + 1000)));
    assert_eq!(lived(&ours, &open, Duration::MAX, at(0)), Ok((base, base + 300_000)), "cut to the longest");
    // The session ends first.
    assert_eq!(lived(&ours, &ending(5_700), LIFE, at(0)), Ok((base, base + 5_000)));
    assert_eq!(lived(&ours, &ending(1_000), LIFE, at(999)), Ok((base, base + 1_000)));
    for (end, now) in [(999, 0), (1_000, 1_000), (1_000, 5_000), (0, 0), (5_700, 5_000)] {
        assert_eq!(lived(&ours, &ending(end), LIFE, at(now)), Err(MintFailure::SessionOver), "end {end}, now {now}");
    }
    // Whichever of the two ends is first.
    let audience = AUDIENCE.map(String::from);
    let new = NewAccessToken {
        session: &open,
        issuer: ISSUER,
        audience: &audience,
        client_id: CLIENT,
        lifetime: LIFE,
        not_after: at(10_500),
    };
    let token = ours.ring.mint(&SystemEntropy, &new, at(0)).unwrap();
    assert_eq!(token.claims().expires_at, at(10_000));
    let soon = ending(4_000);
    let careless = NewAccessToken { session: &soon, not_after: at(1_000_000), ..new };
    let token = ours.ring.mint(&SystemEntropy, &careless, at(0)).unwrap();
    assert_eq!(token.claims().expires_at, at(4_000));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// I10, R-057: whatever the times, a token verifies at once, lives for half of what it was meant to at least and
    /// not longer (from two seconds up), outlives neither its session nor its key's promise, and is minted unless the session is in its last
    /// second.
    #[test]
    fn minted_tokens_verify(now_ms in 0u64..10_000, end_ms in 0u64..20_000, life_ms in 0u64..400_000) {
        let ours = hmac_world();
        let now = Timestamp::from_millis(NOW.as_millis() + now_ms);
        let end = Timestamp::from_millis(NOW.as_millis() + end_ms);
        let session = Session { absolute_end: end, ..ours.session.clone() };
        match ours.mint_for(&session, Duration::from_millis(life_ms), now) {
            Ok(token) => {
                let claims = token.claims();
                prop_assert!(claims.expires_at <= end);
                let life = Duration::from_millis(life_ms.max(1)).min(LIFE);
                let lives = claims.expires_at.since(now);
                prop_assert!(lives <= life || life < Duration::from_secs(2) && lives <= life + Duration::from_secs(1));
                let cut = claims.expires_at.plus(Duration::from_secs(1)) > end;
                prop_assert!(cut || lives >= life / 2, "no token is dead on arrival");
                let read = ours.ring.verify(token.compact().expose(), &ours.expected, now).unwrap();
                prop_assert_eq!(read.claims(), claims);
                prop_assert_eq!(ours.ring.verify(token.compact().expose(), &ours.expected, claims.expires_at).unwrap_err().code(), "token_expired");
            }
            Err(why) => {
                prop_assert_eq!(why, MintFailure::SessionOver);
                prop_assert!(end.as_secs() <= now.as_secs());
            }
        }
    }

    /// R-057, JA-46: whatever the application says, either the token reads back the same or none is signed.
    #[test]
    fn application_claims_survive_or_are_refused(claims in app_claims()) {
        let ours = hmac_world();
        let Ok(claims) = Claims::new(claims) else { return Ok(()) };
        let session = Session { facts: Facts { claims, ..Facts::default() }, ..ours.session.clone() };
        match ours.mint_for(&session, LIFE, NOW) {
            Ok(token) => {
                let read = ours.verify(token.compact().expose()).unwrap();
                prop_assert_eq!(&read.claims().facts, &session.facts);
            }
            Err(why) => prop_assert!(matches!(why, MintFailure::TooLarge { .. } | MintFailure::Unreadable(TokenRefused::Payload)), "{why}"),
        }
    }
}

fn hmac_world() -> &'static World {
    static WORLD: std::sync::OnceLock<World> = std::sync::OnceLock::new();
    WORLD.get_or_init(|| world(Algorithm::Hs256))
}

fn app_claims() -> impl Strategy<Value = Map<String, Value>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // Sums of two powers read back exactly with or without correctly rounded parsing.
        (-1000i32..1000).prop_map(|n| Value::from(f64::from(n) / 8.0)),
        any::<String>().prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(10, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..5)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    });
    prop::collection::btree_map("[a-z_\"\\\\é]{0,12}", value, 0..6).prop_map(|m| m.into_iter().collect())
}

/// MintFailure: what cannot be read is not signed, and the failure says why.
#[test]
fn unreadable_tokens_are_not_minted() {
    let ours = world(Algorithm::Hs256);
    let with = |claims: Value| {
        let claims = Claims::new(serde_json::from_value(claims).unwrap()).unwrap();
        let session = Session { facts: Facts { claims, ..Facts::default() }, ..session(NOW) };
        ours.mint_for(&session, LIFE, NOW).map(drop)
    };
    assert_eq!(with(json!({"id": (1u64 << 53) - 1})), Ok(()));
    assert_eq!(with(json!({"id": 1u64 << 53})), Err(MintFailure::Unreadable(TokenRefused::Payload)));
    assert_eq!(with(json!({"id": (1u64 << 53).to_string()})), Ok(()), "as a string it is fine");

    let large = |n: usize| with(json!({"x": "y".repeat(n)}));
    assert_eq!(large(5000), Ok(()));
    let Err(MintFailure::TooLarge { bytes }) = large(8000) else { panic!("too large") };
    assert!(bytes > jws::MAX_TOKEN);

    // JA-73: a user named like the client.
    let namesake = Session { subject: CLIENT.parse().unwrap(), ..session(NOW) };
    assert_eq!(ours.mint_for(&namesake, LIFE, NOW).map(drop), Err(MintFailure::Unreadable(TokenRefused::Claim("sub"))));

    // Nobody it would be for.
    let session = session(NOW);
    let new = NewAccessToken {
        session: &session,
        issuer: ISSUER,
        audience: &[],
        client_id: CLIENT,
        lifetime: LIFE,
        not_after: NOW.plus(LIFE),
    };
    assert_eq!(
        ours.ring.mint(&SystemEntropy, &new, NOW).map(drop),
        Err(MintFailure::Unreadable(TokenRefused::Claim("aud")))
    );
}

/// JA-76: the application cannot speak for us, whatever it calls its claims.
#[test]
fn reserved_names_are_not_the_applications() {
    for name in [
        "iss",
        "sub",
        "aud",
        "exp",
        "nbf",
        "iat",
        "jti",
        "sid",
        "gen",
        "auth_time",
        "amr",
        "acr",
        "client_id",
        "cnf",
        "act",
        "storage",
    ] {
        let claims = Map::from_iter([(name.to_owned(), json!("x"))]);
        assert!(Claims::new(claims).is_err(), "{name}");
    }
    assert!(Claims::new(Map::from_iter([("issuer".to_owned(), json!("x"))])).is_ok());
}

/// without entropy there is no token.
#[test]
fn no_entropy_no_token() {
    struct Broken;
    impl Entropy for Broken {
        fn fill(&self, _: &mut [u8]) -> Result<(), EntropyFailure> {
            Err(EntropyFailure)
        }
    }
    let ours = world(Algorithm::Hs256);
    let audience = AUDIENCE.map(String::from);
    let new = NewAccessToken {
        session: &ours.session,
        issuer: ISSUER,
        audience: &audience,
        client_id: CLIENT,
        lifetime: LIFE,
        not_after: NOW.plus(LIFE),
    };
    assert_eq!(ours.ring.mint(&Broken, &new, NOW).map(drop), Err(MintFailure::Entropy(EntropyFailure)));
    assert!(ours.ring.mint(&SystemEntropy, &new, NOW).is_ok());
}

/// Without a key there is no token either, and a key is due at once.
#[test]
fn no_key_no_token() {
    let none = world_with(Vec::new());
    assert_eq!(none.mint_at(NOW).map(drop), Err(MintFailure::NoActiveKey));
    let key = KeyRing::new_key(&AwsLc, Algorithm::Es256, none.ring.next_active_from(NOW), NOW).unwrap();
    let one = KeyRing::load(&AwsLc, vec![key], SCHEDULE).unwrap();
    assert!(World { ring: one, ..none }.mint_at(NOW).is_ok());
}

/// a verifier that has nothing but the published set can check the token.
#[test]
fn the_published_key_verifies() {
    use sessile_core::crypto::PublicKey;
    for algorithm in [Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa, Algorithm::Ps256] {
        let ours = world(algorithm);
        let token = ours.mint();
        let set = ours.ring.jwks(NOW);
        let jwk = &set["keys"][0];
        let number = |name: &str| from_base64url(jwk[name].as_str().unwrap()).unwrap();
        let key = match algorithm {
            Algorithm::Es256 => {
                PublicKey::P256 { x: number("x").try_into().unwrap(), y: number("y").try_into().unwrap() }
            }
            Algorithm::Es384 => {
                PublicKey::P384 { x: number("x").try_into().unwrap(), y: number("y").try_into().unwrap() }
            }
            Algorithm::EdDsa => PublicKey::Ed25519 { x: number("x").try_into().unwrap() },
            _ => PublicKey::Rsa { n: number("n"), e: number("e") },
        };
        let (input, signature) = token.compact().expose().rsplit_once('.').unwrap();
        let verifier = AwsLc.public_key(algorithm, &key).unwrap();
        assert!(verifier.verifies(input.as_bytes(), &from_base64url(signature).unwrap()));
        assert!(!verifier.verifies(&input.as_bytes()[1..], &from_base64url(signature).unwrap()));
        assert_eq!(jwk["kid"], segments(&token).0["kid"]);
        assert_eq!(jwk["alg"], algorithm.name());
        assert_eq!(jwk["use"], "sig");
    }
}
