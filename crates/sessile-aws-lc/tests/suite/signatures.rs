//! Signatures at the edge of what a standard allows.

use crate::{exact, hex, pair, public};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use sessile_aws_lc::AwsLc;
use sessile_core::SecretBytes;
use sessile_core::crypto::{Algorithm, Crypto, PublicKey};

const MESSAGE: &[u8] = b"message";

/// The order of P-256 (FIPS 186-5, SP 800-186 section 3.2.1.3).
const P256_ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
/// The order of the base point of Ed25519, little-endian (RFC 8032 section 5.1).
const ED25519_ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

/// a - b of big-endian numbers, modulo 2^256.
fn minus(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut borrow = 0;
    let mut out: Vec<u8> = a
        .iter()
        .zip(b)
        .rev()
        .map(|(a, b)| {
            let digit = i16::from(*a) - i16::from(*b) - borrow;
            borrow = i16::from(digit < 0);
            (digit + 256 * borrow) as u8
        })
        .collect();
    out.reverse();
    out
}

/// a + b of little-endian numbers, modulo 2^256.
fn plus(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut carry = 0;
    a.iter()
        .zip(b)
        .map(|(a, b)| {
            let digit = u16::from(*a) + u16::from(*b) + carry;
            carry = digit >> 8;
            digit as u8
        })
        .collect()
}

/// Every algorithm: a signature holds for its message and key, and in no other length or spelling (JA-25).
#[test]
fn only_the_whole_signature_of_this_message() {
    for algorithm in Algorithm::ALL {
        let (ours, stranger) = (pair(algorithm), pair(algorithm));
        let signature = ours.signing.sign(MESSAGE).unwrap();
        assert!(ours.verifying.verifies(MESSAGE, &signature), "{algorithm:?}");
        assert!(!ours.verifying.verifies(b"massage", &signature));
        assert!(!ours.verifying.verifies(b"", &signature));
        assert!(!stranger.verifying.verifies(MESSAGE, &signature));
        for length in 0..signature.len() {
            assert!(!ours.verifying.verifies(MESSAGE, &signature[..length]), "{algorithm:?} cut to {length}");
        }
        for tail in [0, 1, 0xff] {
            assert!(!ours.verifying.verifies(MESSAGE, &[signature.as_slice(), &[tail]].concat()));
            assert!(!ours.verifying.verifies(MESSAGE, &[&[tail], signature.as_slice()].concat()));
        }
        for bit in 0..signature.len() * 8 {
            let mut changed = signature.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!ours.verifying.verifies(MESSAGE, &changed), "{algorithm:?} bit {bit}");
        }
    }
}

/// JA-20: r or s of 0, the order, or beyond. CVE-2022-21449 took the first for any message.
#[test]
fn ecdsa_numbers_out_of_range() {
    let ours = pair(Algorithm::Es256);
    let signature = ours.signing.sign(MESSAGE).unwrap();
    let (r, s) = signature.split_at(32);
    assert!(ours.verifying.verifies(MESSAGE, &[r, s].concat()));
    let order = hex(P256_ORDER);
    let mut one = vec![0; 32];
    one[31] = 1;
    let edges = [vec![0; 32], one.clone(), minus(&order, &one), order, vec![0xff; 32]];
    for edge in &edges {
        assert!(!ours.verifying.verifies(MESSAGE, &[edge, s].concat()), "r = {edge:02x?}");
        assert!(!ours.verifying.verifies(MESSAGE, &[r, edge].concat()), "s = {edge:02x?}");
        for other in &edges {
            assert!(!ours.verifying.verifies(MESSAGE, &[edge.as_slice(), other].concat()), "{edge:02x?} {other:02x?}");
        }
    }
}

/// JA-21: ASN.1 form, and r or s with a further octet.
#[test]
fn ecdsa_has_one_form() {
    let ours = pair(Algorithm::Es256);
    let signature = ours.signing.sign(MESSAGE).unwrap();
    assert_eq!(signature.len(), 64);
    let (r, s) = signature.split_at(32);
    let integer = |n: &[u8]| {
        let start = n.iter().position(|b| *b != 0).unwrap_or(n.len() - 1);
        let sign: &[u8] = if n[start] & 0x80 != 0 { &[0] } else { &[] };
        let content = [sign, &n[start..]].concat();
        [&[2, content.len() as u8], content.as_slice()].concat()
    };
    let content = [integer(r), integer(s)].concat();
    let der = [&[0x30, content.len() as u8], content.as_slice()].concat();
    assert!(!ours.verifying.verifies(MESSAGE, &der));
    // Negative control: it is the same signature, in the form a verifier of ASN.1 takes.
    let Some(PublicKey::P256 { x, y }) = ours.signing.public() else { panic!("a P-256 key") };
    let point = [&[4], x.as_slice(), &y].concat();
    let lax = UnparsedPublicKey::new(&aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1, point);
    assert!(lax.verify(MESSAGE, &der).is_ok());

    assert!(!ours.verifying.verifies(MESSAGE, &[&[0], r, s].concat()));
    assert!(!ours.verifying.verifies(MESSAGE, &[r, &[0], s].concat()));
    assert!(!ours.verifying.verifies(MESSAGE, &[&[0], r, &[0], s].concat()));
    assert_eq!(pair(Algorithm::Es384).signing.sign(MESSAGE).unwrap().len(), 96);
}

/// JA-22: (r, n - s) is as valid as (r, s): signatures are no identity. What follows from it is tested with
/// the tokens.
#[test]
fn ecdsa_signatures_have_a_twin() {
    let ours = pair(Algorithm::Es256);
    let signature = ours.signing.sign(MESSAGE).unwrap();
    let (r, s) = signature.split_at(32);
    let twin = [r, &minus(&hex(P256_ORDER), s)].concat();
    assert_ne!(twin, signature);
    assert!(ours.verifying.verifies(MESSAGE, &twin));
}

/// JA-23: S plus the order is the same number and another spelling.
#[test]
fn ed25519_scalar_is_canonical() {
    let ours = pair(Algorithm::EdDsa);
    let signature = ours.signing.sign(MESSAGE).unwrap();
    let (r, s) = signature.split_at(32);
    assert!(ours.verifying.verifies(MESSAGE, &[r, s].concat()));
    assert!(!ours.verifying.verifies(MESSAGE, &[r, &plus(s, &hex(ED25519_ORDER))].concat()));
    assert!(!ours.verifying.verifies(MESSAGE, &[r, &hex(ED25519_ORDER)].concat()));
}

/// JA-23: a signature whose R is the identity, made by the key's owner with the nonce 0 (its S is
/// H(R, A, M) times the private scalar modulo the order). aws-lc takes it; R-042 says no.
#[test]
fn ed25519_small_order_r() {
    let seed: Vec<u8> = (0..32).collect();
    let pkcs8 = SecretBytes::new([hex("302e020100300506032b657004220420"), seed].concat());
    let verifying = AwsLc.verifying_key(Algorithm::EdDsa, &pkcs8).unwrap();
    let message = b"one signature, chosen R";
    let r = hex("0100000000000000000000000000000000000000000000000000000000000000");
    let s = hex("4eedbf11f44ada3472fa414c551b3dc4f41b4e68678b42de06a2b0b5e7e56e0a");
    let signature = [r, s].concat();
    let raw = hex("03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8");
    // Negative control first: without our check it passes.
    assert!(UnparsedPublicKey::new(&ED25519, raw).verify(message, &signature).is_ok());
    assert!(!verifying.verifies(message, &signature));
}

/// An Ed25519 key that is no point at all verifies nothing.
#[test]
fn ed25519_undecodable_key() {
    // y = 2 has no x on the curve.
    let mut y = [0; 32];
    y[0] = 2;
    let none = AwsLc.public_key(Algorithm::EdDsa, &PublicKey::Ed25519 { x: y });
    let signature = pair(Algorithm::EdDsa).signing.sign(MESSAGE).unwrap();
    assert!(none.is_err() || !none.unwrap().verifies(MESSAGE, &signature));
    let good = PublicKey::Ed25519 { x: exact("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo") };
    assert!(!public(Algorithm::EdDsa, &good).verifies(MESSAGE, &signature));
}
