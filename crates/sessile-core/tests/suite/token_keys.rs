//! The key ring: rotation without a refused token, revocation at once, publication of public parts only.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;

use crate::token_world::{DAY, LIFE, NOW, SCHEDULE, World, object, world, world_with};
use sessile_aws_lc::{AwsLc, SystemEntropy};
use sessile_core::crypto::{Algorithm, Crypto, KeyRefused};
use sessile_core::token::{
    CLOCK_SKEW, KeyId, KeyRecord, KeyRing, KeyRingRefused, KeySchedule, KeyState, MintFailure, NewAccessToken,
    RotationDue, VerifiedToken,
};
use sessile_core::{SecretBytes, Timestamp};

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn key(active_from: Timestamp, created_at: Timestamp) -> KeyRecord {
    KeyRing::new_key(&AwsLc, Algorithm::EdDsa, active_from, created_at).unwrap()
}

fn ring(records: &[KeyRecord]) -> KeyRing {
    KeyRing::load(&AwsLc, records.to_vec(), SCHEDULE).unwrap()
}

fn states(ring: &KeyRing, now: Timestamp) -> Vec<KeyState> {
    ring.status(now).into_iter().map(|status| status.state).collect()
}

fn code(result: Result<VerifiedToken, sessile_core::token::TokenRefused>) -> &'static str {
    result.map_or_else(|why| why.code(), |_| "accepted")
}

/// R-162, X3: the life of a key, moment by moment.
#[test]
fn the_life_of_a_key() {
    let first = key(NOW, NOW);
    let mut records = vec![first.clone()];
    let alone = ring(&records);
    assert_eq!(states(&alone, NOW), [KeyState::Active]);
    let rotation = NOW.plus(SCHEDULE.rotate_every).minus(SCHEDULE.publish_ahead);
    assert_eq!(alone.due(rotation.minus(secs(1))), RotationDue::NotYet(rotation));
    assert_eq!(alone.due(rotation), RotationDue::Now);

    let starts = alone.next_active_from(rotation);
    assert_eq!(starts, NOW.plus(SCHEDULE.rotate_every), "published for as long as a set may be cached");
    records.push(key(starts, rotation));
    let both = ring(&records);
    let later = starts.plus(SCHEDULE.rotate_every).minus(SCHEDULE.publish_ahead);
    assert_eq!(both.due(rotation), RotationDue::NotYet(later), "a rotation under way is not begun again");
    assert_eq!(states(&both, starts.minus(secs(1))), [KeyState::Active, KeyState::Next]);
    assert_eq!(both.jwks(rotation)["keys"].as_array().unwrap().len(), 2);

    let ours = World { ring: both, records, ..world_with(vec![]) };
    let open = |now: Timestamp| sessile_core::session::Session {
        absolute_end: now.plus(DAY),
        ..crate::token_world::session(now)
    };
    let mint = |now: Timestamp| ours.mint_for(&open(now), LIFE, now).unwrap();
    let last = mint(starts.minus(Duration::from_millis(1)));
    assert_eq!(last.key_id(), &first.id);
    assert_eq!(mint(starts).key_id(), &ours.records[1].id);
    assert_eq!(states(&ours.ring, starts), [KeyState::Retiring, KeyState::Active]);

    let retired = starts.plus(SCHEDULE.longest_token).plus(CLOCK_SKEW);
    let before = retired.minus(Duration::from_millis(1));
    assert!(ours.ring.still_verifies(&first.id, before));
    assert!(!ours.ring.still_verifies(&first.id, retired));
    assert_eq!(states(&ours.ring, before), [KeyState::Retiring, KeyState::Active]);
    assert_eq!(states(&ours.ring, retired), [KeyState::Retired, KeyState::Active]);
    assert_eq!(ours.ring.status(retired)[0].retires_at, Some(retired));
    assert_eq!(ours.ring.jwks(before)["keys"].as_array().unwrap().len(), 2);
    assert_eq!(ours.ring.jwks(retired)["keys"].as_array().unwrap().len(), 1);

    // JA-19: a token that would still be alive, under a retired key.
    let long = sessile_core::token::Expected { longest_token: DAY, ..ours.expected.clone() };
    let mut claims = ours.claims();
    claims.insert("iat".into(), retired.as_secs().into());
    claims.insert("exp".into(), (retired.as_secs() + 300).into());
    let forged = ours.with_payload(Value::Object(claims).to_string().as_bytes());
    assert_eq!(code(ours.ring.verify(&forged, &long, retired)), "token_key_retired");
    assert_eq!(
        code(ours.ring.verify(&forged, &long, before)),
        "accepted",
        "the negative control: a moment earlier it passes"
    );
    // The algorithm is judged before the key's standing.
    let other = ours.with_member("alg", Some("ES256".into()));
    assert_eq!(code(ours.ring.verify(&other, &long, retired)), "token_algorithm");
}

/// I19, R-162: revoking the active key takes effect at once, wherever the clock stands, and the published
/// successor takes over; never an older key.
#[test]
fn emergency_revocation() {
    let mut records = vec![
        key(NOW.minus(DAY), NOW.minus(DAY)),
        key(NOW.minus(secs(100)), NOW.minus(secs(3700))),
        key(NOW.plus(secs(1800)), NOW.minus(secs(1800))),
    ];
    let before = World { ring: ring(&records), records: records.clone(), ..world_with(vec![]) };
    let token = before.mint();
    assert_eq!(token.key_id(), &records[1].id);
    assert_eq!(before.code(token.compact().expose()), "accepted");
    assert_eq!(states(&before.ring, NOW), [KeyState::Retiring, KeyState::Active, KeyState::Next]);

    for revoked_at in [NOW.minus(secs(5)), NOW, NOW.plus(secs(5)), Timestamp::from_millis(u64::MAX)] {
        records[1].revoked_at = Some(revoked_at);
        let after = World { ring: ring(&records), records: records.clone(), ..world_with(vec![]) };
        assert_eq!(after.code(token.compact().expose()), "token_key_revoked", "{revoked_at:?}");
        assert!(!after.ring.still_verifies(&records[1].id, NOW), "a cached verdict ends too (R-058)");
        assert!(!after.ring.jwks(NOW).to_string().contains(records[1].id.as_str()));
        assert_eq!(states(&after.ring, NOW), [KeyState::Retiring, KeyState::Revoked, KeyState::Active]);
    }

    // The successor revoked as well: nobody signs, and a new key is due at once, active at once.
    records[1].revoked_at = Some(NOW);
    records[2].revoked_at = Some(NOW);
    let none = World { ring: ring(&records), records: records.clone(), ..world_with(vec![]) };
    assert_eq!(none.mint_at(NOW).map(drop), Err(MintFailure::NoActiveKey));
    assert_eq!(none.ring.due(NOW), RotationDue::Now);
    assert_eq!(none.ring.next_active_from(NOW), NOW);
    records.push(key(NOW, NOW));
    let renewed = World { ring: ring(&records), records: records.clone(), ..world_with(vec![]) };
    assert_eq!(renewed.mint().key_id(), &records[3].id);
    assert_eq!(renewed.ring.status(NOW).iter().filter(|k| k.state == KeyState::Revoked).count(), 2);
}

/// T1, JA-19: a key from the future by more than clocks may differ is not used yet.
#[test]
fn keys_from_the_future() {
    for (ahead, expected) in
        [(0, "accepted"), (60, "accepted"), (61, "token_key_not_published"), (86_400, "token_key_not_published")]
    {
        let created = NOW.plus(secs(ahead));
        let ours = world_with(vec![key(created, created)]);
        assert_eq!(ours.code(&ours.good()), expected, "{ahead} s");
    }
}

/// A node whose clock is behind the first key's birth signs with it rather than make another.
#[test]
fn the_first_key_signs_whatever_the_clock_says() {
    let created = NOW.plus(secs(30));
    let ours = world_with(vec![key(created, created)]);
    assert_eq!(ours.mint().key_id(), &ours.key().id);
    assert!(matches!(ours.ring.due(NOW), RotationDue::NotYet(_)));
}

/// A key made by a clock that was a year ahead does not stop rotation for a year.
#[test]
fn a_stray_key_does_not_stop_rotation() {
    let year = secs(365 * 86_400);
    let records = [key(NOW, NOW), key(NOW.plus(year), NOW.plus(year))];
    let due = NOW.plus(SCHEDULE.rotate_every).minus(SCHEDULE.publish_ahead);
    assert_eq!(ring(&records).due(NOW), RotationDue::NotYet(due));
    assert_eq!(ring(&records).due(due), RotationDue::Now);
}

/// JA-17: sets that cannot be right do not load, and the refusal says what to do.
#[test]
fn bad_rings_do_not_load() {
    let [a, b] = [key(NOW, NOW), key(NOW.plus(DAY), NOW)];
    let load = |records: &[KeyRecord]| KeyRing::load(&AwsLc, records.to_vec(), SCHEDULE).map(drop);
    assert_eq!(load(&[]), Ok(()));
    assert_eq!(load(&[a.clone(), b.clone()]), Ok(()));
    assert_eq!(load(&[b.clone(), a.clone()]), Ok(()), "in any order");

    assert_eq!(load(&[a.clone(), a.clone()]), Err(KeyRingRefused::DuplicateId(a.id.clone())));
    let renamed = KeyRecord { id: b.id.clone(), ..a.clone() };
    assert_eq!(load(&[renamed]), Err(KeyRingRefused::NotItsName(b.id.clone())));
    let relabelled = KeyRecord { algorithm: Algorithm::Es256, ..a.clone() };
    assert!(
        matches!(load(std::slice::from_ref(&relabelled)), Err(KeyRingRefused::Key(id, KeyRefused(_))) if id == a.id)
    );
    let damaged = KeyRecord { private: SecretBytes::new(vec![0; 48]), ..a.clone() };
    assert!(matches!(load(std::slice::from_ref(&damaged)), Err(KeyRingRefused::Key(..))));
    // A damaged key is got rid of by revoking it.
    assert_eq!(load(&[KeyRecord { revoked_at: Some(NOW), ..damaged }, b.clone()]), Ok(()));

    let shared = KeyRing::new_key(&AwsLc, Algorithm::Hs256, NOW, NOW).unwrap();
    assert_eq!(load(&[a.clone(), shared.clone()]), Err(KeyRingRefused::MixedFamilies));
    assert_eq!(ring(std::slice::from_ref(&a)).admits(Algorithm::Hs256), Err(KeyRingRefused::MixedFamilies));
    assert_eq!(ring(std::slice::from_ref(&a)).admits(Algorithm::Es256), Ok(()), "pairs of different algorithms do mix");
    let left = KeyRecord { revoked_at: Some(NOW), ..a.clone() };
    assert_eq!(load(&[left.clone(), shared.clone()]), Ok(()));
    assert_eq!(ring(&[left]).admits(Algorithm::Hs256), Ok(()));
    // A key pair's octets relabelled as a shared secret are not what the name says.
    let as_secret = KeyRecord { algorithm: Algorithm::Hs256, ..a.clone() };
    assert_eq!(load(&[as_secret]), Err(KeyRingRefused::NotItsName(a.id.clone())));

    let schedule = |schedule| KeyRing::load(&AwsLc, vec![a.clone()], schedule).map(drop);
    assert_eq!(
        schedule(KeySchedule { rotate_every: secs(60), publish_ahead: secs(60), ..SCHEDULE }),
        Err(KeyRingRefused::RotatesBeforePublished)
    );
    assert_eq!(
        schedule(KeySchedule { longest_token: Duration::from_millis(999), ..SCHEDULE }),
        Err(KeyRingRefused::TokenTooShort)
    );
    for refusal in
        [KeyRingRefused::MixedFamilies, KeyRingRefused::DuplicateId(a.id.clone()), KeyRingRefused::NotItsName(a.id)]
    {
        assert!(refusal.to_string().contains("revoke"), "{refusal}");
    }
}

/// names are bounded and plain.
#[test]
fn key_ids() {
    for good in ["a", "A-z_0", &"k".repeat(64), world(Algorithm::EdDsa).key().id.as_str()] {
        assert_eq!(good.parse::<KeyId>().unwrap().as_str(), good);
    }
    for bad in ["", &"k".repeat(65), "a b", "a.b", "a/b", "a\n", "é", "a="] {
        assert!(bad.parse::<KeyId>().is_err(), "{bad:?}");
    }
    // RFC 7638: the same key always has the same name; another has another.
    let record = key(NOW, NOW);
    assert_eq!(record.id.as_str().len(), 43);
    assert_ne!(key(NOW, NOW).id, record.id);
}

/// nothing private is published or printed.
#[test]
fn only_public_parts() {
    let public_members = |algorithm: Algorithm| -> &[&str] {
        match algorithm {
            Algorithm::Es256 | Algorithm::Es384 => &["alg", "crv", "kid", "kty", "use", "x", "y"],
            Algorithm::EdDsa => &["alg", "crv", "kid", "kty", "use", "x"],
            Algorithm::Ps256 => &["alg", "e", "kid", "kty", "n", "use"],
            Algorithm::Hs256 => &[],
        }
    };
    let private = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
    for algorithm in Algorithm::ALL {
        let ours = world(algorithm);
        let set = ours.ring.jwks(NOW);
        let keys = set["keys"].as_array().unwrap();
        assert_eq!(keys.len(), usize::from(algorithm != Algorithm::Hs256), "no shared secret is published");
        for jwk in keys {
            let mut members: Vec<String> = object(jwk.clone()).keys().cloned().collect();
            members.sort();
            assert_eq!(members, public_members(algorithm));
            assert!(private.iter().all(|name| jwk.get(name).is_none()));
            // Negative control: the check sees a private member when there is one.
            let mut leaking = jwk.clone();
            leaking["d"] = "x".into();
            assert!(!private.iter().all(|name| leaking.get(name).is_none()));
        }
        let printed = format!("{:?} {:?}", ours.ring, ours.records);
        assert!(printed.contains("SecretBytes(..)"));
        let secret = ours.key().private.expose();
        assert!(!printed.contains(&format!("{:?}", &secret[..8])), "{printed}");
    }
}

/// What is done wrong in a world that rotates; the properties below must notice each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// A new key signs at once, before caches know it.
    NotPublishedAhead,
    /// The old key is dropped as soon as the new one signs.
    NoOverlap,
    /// A key is dropped as soon as its last token expires, without regard to verifiers that allow leeway.
    NoAllowance,
}

/// What went wrong.
#[derive(Debug, Default, PartialEq, Eq)]
struct Harm {
    refused: usize,
    unpublished: usize,
}

/// Lives through twenty planned rotations with two nodes: one that rotates, and one whose clock differs by
/// `skew` seconds and whose ring lags by up to `lag` seconds. Both mint and verify all the time; a stranger
/// caches the published set for as long as it may.
fn twenty_rotations(steps: &[u64], skew: i64, lag: u64, flaw: Flaw) -> Harm {
    let schedule = KeySchedule { rotate_every: secs(3000), publish_ahead: secs(600), longest_token: LIFE };
    let mut harm = Harm::default();
    let mut records: Vec<KeyRecord> = Vec::new();
    let mut now = NOW;
    let mut tokens: Vec<VerifiedToken> = Vec::new();
    let mut caches: Vec<(Timestamp, String)> = Vec::new();
    let mut made = 0;
    let mut steps = steps.iter().cycle();
    let world = world_with(vec![]);
    let audience = world.expected.audience.clone();
    // A verifier elsewhere may allow for as much; ours does not.
    let expected = sessile_core::token::Expected { leeway: CLOCK_SKEW, ..world.expected };

    let load = |records: &[KeyRecord]| KeyRing::load(&AwsLc, records.to_vec(), schedule).unwrap();
    let mut here = load(&records);
    let mut there = load(&records);
    let mut there_from = now;

    while made < 21 {
        now = now.plus(secs(*steps.next().unwrap()));
        let theirs = Timestamp::from_millis(now.as_millis().saturating_add_signed(skew * 1000));
        let before: Vec<KeyId> = records.iter().map(|record| record.id.clone()).collect();
        if here.due(now) == RotationDue::Now {
            let active_from = if flaw == Flaw::NotPublishedAhead { now } else { here.next_active_from(now) };
            records.push(key(active_from, now));
            made += 1;
        }
        for status in here.status(now) {
            let gone = match flaw {
                Flaw::None | Flaw::NotPublishedAhead => status.state == KeyState::Retired,
                Flaw::NoOverlap => matches!(status.state, KeyState::Retiring | KeyState::Retired),
                Flaw::NoAllowance => status.retires_at.is_some_and(|at| now >= at.minus(CLOCK_SKEW)),
            };
            if gone {
                records.retain(|record| record.id != status.id);
            }
        }
        if !records.iter().map(|record| &record.id).eq(&before) {
            here = load(&records);
        }
        // The other node keeps an old snapshot for a while, as a feed may be slow.
        if now >= there_from.plus(secs(lag)) || made == 1 {
            there = load(&records);
            there_from = now;
        }

        for (ring, clock) in [(&here, now), (&there, theirs)] {
            let session =
                sessile_core::session::Session { absolute_end: clock.plus(DAY), ..crate::token_world::session(clock) };
            let new = NewAccessToken {
                session: &session,
                issuer: crate::token_world::ISSUER,
                audience: &audience,
                client_id: "c",
                lifetime: LIFE,
                not_after: clock.plus(DAY),
            };
            let token = ring.mint(&SystemEntropy, &new, clock).unwrap();
            // A stranger who fetched the set within its max-age must know the key.
            for (fetched, set) in &caches {
                if now.since(*fetched) < here.jwks_max_age() && !set.contains(token.key_id().as_str()) {
                    harm.unpublished += 1;
                }
            }
            tokens.push(token);
        }
        caches.retain(|(fetched, _)| now.since(*fetched) < here.jwks_max_age());
        caches.push((now, here.jwks(now).to_string()));

        tokens.retain(|token| token.claims().expires_at.plus(CLOCK_SKEW) > now.max(theirs));
        for token in &tokens {
            for (ring, clock) in [(&here, now), (&there, theirs)] {
                if ring.verify(token.compact().expose(), &expected, clock).is_err() {
                    harm.refused += 1;
                }
            }
        }
    }
    harm
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    /// R-162, X3: over twenty planned rotations no token is refused before its end, on either node, and no
    /// stranger with a fresh cache meets an unknown key.
    #[test]
    fn planned_rotation_harms_nobody(steps in prop::collection::vec(20u64..240, 16..48), skew in -55i64..=55, lag in 0u64..300) {
        prop_assert_eq!(twenty_rotations(&steps, skew, lag, Flaw::None), Harm::default());
    }
}

/// The negative controls of the property above: each shortcut is noticed.
#[test]
fn shortcuts_in_rotation_are_noticed() {
    let steps = [100, 130, 90, 55];
    assert_eq!(twenty_rotations(&steps, 20, 60, Flaw::None), Harm::default());
    // A clock ahead by less than is allowed for, and a stranger who fetched just before: this is how the property failed
    // when a set could be cached for as long as keys are published ahead.
    let found = [
        68, 168, 129, 95, 145, 23, 208, 58, 32, 132, 219, 172, 117, 26, 212, 33, 193, 187, 69, 77, 39, 38, 63, 62, 70,
        105,
    ];
    assert_eq!(twenty_rotations(&found, 36, 199, Flaw::None), Harm::default());
    assert!(
        twenty_rotations(&[97, 61, 13], 200, 0, Flaw::None).unpublished > 0,
        "negative control: a clock too far ahead"
    );
    assert!(twenty_rotations(&steps, 20, 0, Flaw::NotPublishedAhead).unpublished > 0);
    assert!(twenty_rotations(&steps, 20, 60, Flaw::NoOverlap).refused > 0);
    assert!(twenty_rotations(&[37], 0, 0, Flaw::NoAllowance).refused > 0);
}

/// The provider's own check that the ring depends on: a key verifies only under its algorithm.
#[test]
fn loaded_keys_have_one_algorithm() {
    let record = key(NOW, NOW);
    let verifying = AwsLc.verifying_key(Algorithm::EdDsa, &record.private).unwrap();
    assert_eq!(verifying.algorithm(), Algorithm::EdDsa);
    let token = world_with(vec![record]).mint();
    let unverified = sessile_core::token::jws::parse(token.compact().expose(), "at+jwt").unwrap();
    let other = AwsLc.verifying_key(Algorithm::Es256, &world(Algorithm::Es256).key().private).unwrap();
    assert_eq!(unverified.verify(other.as_ref()).unwrap_err().code(), "token_algorithm");
    let unverified = sessile_core::token::jws::parse(token.compact().expose(), "at+jwt").unwrap();
    assert!(unverified.verify(verifying.as_ref()).is_ok());
}
