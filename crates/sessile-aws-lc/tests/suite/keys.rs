//! Which keys load.

use crate::{bytes, pair, public};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, RsaKeyPair};
use sessile_aws_lc::AwsLc;
use sessile_core::SecretBytes;
use sessile_core::crypto::{Algorithm, Crypto, KeyRefused, PublicKey};

fn loads_private(algorithm: Algorithm, private: &[u8]) -> Result<(), KeyRefused> {
    let private = SecretBytes::new(private.to_vec());
    let verifying = AwsLc.verifying_key(algorithm, &private).map(drop);
    let signing = AwsLc.signing_key(algorithm, &private).map(drop);
    assert_eq!(signing, verifying, "both halves judge alike");
    signing
}

fn loads_public(algorithm: Algorithm, key: &PublicKey) -> Result<(), KeyRefused> {
    AwsLc.public_key(algorithm, key).map(drop)
}

/// a key serves the algorithm it was made for and no other.
#[test]
fn one_key_one_algorithm() {
    let pairs: Vec<_> = Algorithm::ALL.iter().map(|&algorithm| (algorithm, pair(algorithm))).collect();
    for (made_for, pair) in &pairs {
        assert_eq!(pair.signing.algorithm(), *made_for);
        assert_eq!(pair.verifying.algorithm(), *made_for);
        assert_eq!(pair.signing.public().is_none(), *made_for == Algorithm::Hs256);
        for algorithm in Algorithm::ALL {
            let fits = algorithm == *made_for;
            // A private key's octets look random enough to serve as an HMAC secret. Nothing in the ring can
            // ask for that: the algorithm is stored with the key, and the key's name depends on both.
            if algorithm != Algorithm::Hs256 {
                assert_eq!(
                    loads_private(algorithm, pair.private.expose()).is_ok(),
                    fits,
                    "{made_for:?} as {algorithm:?}"
                );
            }
            if let Some(key) = pair.signing.public() {
                assert_eq!(loads_public(algorithm, &key).is_ok(), fits, "public {made_for:?} as {algorithm:?}");
            }
        }
    }
}

/// what is not a key, or half of one, is refused.
#[test]
fn damaged_private_keys_are_refused() {
    for algorithm in [Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa] {
        let key = pair(algorithm).private.expose().to_vec();
        assert!(loads_private(algorithm, &key).is_ok());
        assert!(loads_private(algorithm, &[]).is_err());
        for length in 1..key.len() {
            assert!(loads_private(algorithm, &key[..length]).is_err(), "{algorithm:?} cut to {length}");
        }
        assert!(
            loads_private(algorithm, &[key.as_slice(), &[0]].concat()).is_err(),
            "{algorithm:?} with a trailing octet"
        );
    }
}

/// a private key beside another's public key is refused.
#[test]
fn mismatched_halves_are_refused() {
    let [mine, other] = [pair(Algorithm::Es256), pair(Algorithm::Es256)].map(|p| p.private.expose().to_vec());
    // The uncompressed point ends the document.
    let point = mine.len() - 65;
    let mixed = [&mine[..point], &other[point..]].concat();
    assert!(loads_private(Algorithm::Es256, &mixed).is_err());
    assert!(loads_private(Algorithm::Es256, &[&mine[..point], &mine[point..]].concat()).is_ok());

    let version2 = || Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap().as_ref().to_vec();
    let [mine, other] = [version2(), version2()];
    let public_key = mine.len() - 32;
    assert!(loads_private(Algorithm::EdDsa, &[&mine[..public_key], &other[public_key..]].concat()).is_err());
    assert!(loads_private(Algorithm::EdDsa, &mine).is_ok());
}

/// JA-27: RSA under 3072 bits never signs for us; under 2048 it verifies nothing either.
#[test]
fn short_rsa_keys_are_refused() {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    assert_eq!(loads_private(Algorithm::Ps256, der.as_ref()), Err(KeyRefused("an RSA modulus that is too short")));
    let ours = crate::pair(Algorithm::Ps256);
    assert!(loads_private(Algorithm::Ps256, ours.private.expose()).is_ok());
    let Some(PublicKey::Rsa { n, .. }) = ours.signing.public() else { panic!("an RSA key") };
    assert_eq!(n.len() * 8, 3072);

    let modulus = |bits: usize| odd_modulus(bits);
    assert!(loads_public(Algorithm::Ps256, &modulus(1024)).is_err());
    assert!(loads_public(Algorithm::Ps256, &modulus(2047)).is_err());
    assert!(loads_public(Algorithm::Ps256, &modulus(2048)).is_ok());
    assert!(loads_public(Algorithm::Ps256, &modulus(8192)).is_ok());
    assert!(loads_public(Algorithm::Ps256, &modulus(8200)).is_err());
}

/// An odd number of exactly this many bits without small-prime structure.
fn odd_modulus(bits: usize) -> PublicKey {
    let mut n: Vec<u8> = (0..bits.div_ceil(8)).map(|i| (i * 167 + 13) as u8).collect();
    let top = (bits - 1) % 8;
    n[0] = 1 << top;
    *n.last_mut().unwrap() |= 1;
    PublicKey::Rsa { n, e: vec![1, 0, 1] }
}

/// JA-27: exponents 1, 3, even, oversized; even moduli; numbers with leading zeros.
#[test]
fn odd_rsa_numbers_are_refused() {
    let PublicKey::Rsa { n, e } = odd_modulus(2048) else { unreachable!() };
    let verdict = |n: &[u8], e: &[u8]| loads_public(Algorithm::Ps256, &PublicKey::Rsa { n: n.to_vec(), e: e.to_vec() });
    assert_eq!(verdict(&n, &e), Ok(()));
    for bad in
        [&[][..], &[0], &[1], &[3], &[17], &[0xff, 0xff], &[1, 0, 0], &[1, 0, 2], &[1, 0, 0, 0, 1], &[0, 1, 0, 1]]
    {
        assert!(verdict(&n, bad).is_err(), "e = {bad:?}");
    }
    let mut even = n.clone();
    *even.last_mut().unwrap() &= 0xfe;
    assert!(verdict(&even, &e).is_err());
    assert!(verdict(&[&[0], n.as_slice()].concat(), &e).is_err());
    assert!(verdict(&[], &e).is_err());
}

/// JA-27: moduli with the structure of CVE-2017-15361. This one is a power of 65537 modulo every prime up
/// to 167, as all of that generator's are.
#[test]
fn roca_moduli_are_refused() {
    let tail = crate::hex("01b8f2d28cb7816b76e26ee557d60bab572c3d1354620cc82ab402614377");
    let mut n = vec![0; 256];
    n[0] = 0x80;
    n[256 - tail.len()..].copy_from_slice(&tail);
    let verdict = |n: &[u8]| loads_public(Algorithm::Ps256, &PublicKey::Rsa { n: n.to_vec(), e: vec![1, 0, 1] });
    assert_eq!(verdict(&n), Err(KeyRefused("an RSA modulus made by the defective generator of CVE-2017-15361")));
    n[255] += 2;
    assert_eq!(verdict(&n), Ok(()), "two further on the structure is gone");
}

/// JA-28: points off the curve, among them the zero point.
#[test]
fn points_off_the_curve_are_refused() {
    let Some(PublicKey::P256 { x, y }) = pair(Algorithm::Es256).signing.public() else { panic!("a P-256 key") };
    assert!(loads_public(Algorithm::Es256, &PublicKey::P256 { x, y }).is_ok());
    for (bad_x, bad_y) in [(x, x), (y, x), ([0; 32], [0; 32]), ([0xff; 32], y), (x, flipped(y))] {
        assert!(loads_public(Algorithm::Es256, &PublicKey::P256 { x: bad_x, y: bad_y }).is_err());
    }
    let Some(PublicKey::P384 { x, y }) = pair(Algorithm::Es384).signing.public() else { panic!("a P-384 key") };
    assert!(loads_public(Algorithm::Es384, &PublicKey::P384 { x, y }).is_ok());
    assert!(loads_public(Algorithm::Es384, &PublicKey::P384 { x, y: flipped(y) }).is_err());
    assert!(loads_public(Algorithm::Es384, &PublicKey::P384 { x: [0; 48], y: [0; 48] }).is_err());
}

fn flipped<const N: usize>(mut number: [u8; N]) -> [u8; N] {
    number[N - 1] ^= 1;
    number
}

/// JA-23: Ed25519 keys of small order and non-canonical spelling.
#[test]
fn small_order_keys_are_refused() {
    let key = |x| PublicKey::Ed25519 { x };
    let Some(good) = pair(Algorithm::EdDsa).signing.public() else { panic!("a key pair") };
    assert!(loads_public(Algorithm::EdDsa, &good).is_ok());
    let mut identity = [0; 32];
    identity[0] = 1;
    assert!(loads_public(Algorithm::EdDsa, &key(identity)).is_err());
    assert!(loads_public(Algorithm::EdDsa, &key([0; 32])).is_err());
    assert!(loads_public(Algorithm::EdDsa, &key([0xff; 32])).is_err());
}

/// JA-26: HMAC keys that are short, text, monotonous, or printed in an RFC.
#[test]
fn weak_shared_secrets_are_refused() {
    let verdict = |key: &[u8]| loads_private(Algorithm::Hs256, key);
    let random = pair(Algorithm::Hs256).private.expose().to_vec();
    assert_eq!(random.len(), 32);
    assert_eq!(verdict(&random), Ok(()));
    assert_eq!(verdict(&[random.as_slice(), &random].concat()), Ok(()), "longer is fine");
    assert!(verdict(&random[..31]).is_err());
    assert!(verdict(&[]).is_err());
    for text in [
        "secret",
        "your-256-bit-secret",
        "a-string-secret-at-least-256-bits-long",
        "a-valid-string-secret-that-is-at-least-512-bits-long-which-is-very-long",
        "correct horse battery staple, and some more of it",
        "6d7f1b2a9c3e5d4f8a0b7c6e1d2f3a4b5c6d7e8f9a0b1c2d3e4f5a6b7c8d9e0f",
    ] {
        assert!(verdict(text.as_bytes()).is_err(), "{text}");
    }
    assert!(verdict(&[0; 64]).is_err());
    assert!(verdict(&[1, 2, 3, 0x80].repeat(16)).is_err());
    for published in [
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
        "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg",
    ] {
        let mut key = bytes(published);
        assert_eq!(verdict(&key), Err(KeyRefused("an HMAC key printed in an RFC")));
        key[0] ^= 1;
        assert_eq!(verdict(&key), Ok(()), "the negative control: one bit away it is not in any list");
    }
}

/// nothing of a key shows in what can be printed.
#[test]
fn keys_do_not_print() {
    let ours = pair(Algorithm::Hs256);
    assert_eq!(format!("{:?}", ours.private), "SecretBytes(..)");
    let Err(why) = loads_private(Algorithm::Es256, ours.private.expose()) else { panic!("not a P-256 key") };
    let text = format!("{why} {why:?}");
    assert!(!ours.private.expose().windows(4).any(|part| text.contains(&format!("{part:?}"))), "{text}");
}

/// Every pair made here works with its published half, as other verifiers use it.
#[test]
fn the_public_half_verifies() {
    for algorithm in [Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa, Algorithm::Ps256] {
        let (ours, stranger) = (pair(algorithm), pair(algorithm));
        let signature = ours.signing.sign(b"message").unwrap();
        assert!(public(algorithm, &ours.signing.public().unwrap()).verifies(b"message", &signature));
        assert!(!public(algorithm, &stranger.signing.public().unwrap()).verifies(b"message", &signature));
    }
}
