//! What the provider promises: published vectors hold, weak keys are refused, edge signatures fail.

mod keys;
mod sealing;
mod signatures;
mod vectors;

use sessile_aws_lc::AwsLc;
use sessile_core::SecretBytes;
use sessile_core::crypto::{Algorithm, Crypto, PublicKey, SigningKey, VerifyingKey};
use sessile_core::encoding::{from_base64url, from_base64url_exact};

/// A fresh key pair, parsed.
struct Pair {
    private: SecretBytes,
    signing: Box<dyn SigningKey>,
    verifying: Box<dyn VerifyingKey>,
}

fn pair(algorithm: Algorithm) -> Pair {
    let private = AwsLc.generate_key(algorithm).unwrap();
    let signing = AwsLc.signing_key(algorithm, &private).unwrap();
    let verifying = AwsLc.verifying_key(algorithm, &private).unwrap();
    Pair { private, signing, verifying }
}

fn bytes(base64url: &str) -> Vec<u8> {
    from_base64url(base64url).unwrap()
}

fn exact<const N: usize>(base64url: &str) -> [u8; N] {
    from_base64url_exact(base64url).unwrap()
}

fn hex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2));
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

fn public(algorithm: Algorithm, key: &PublicKey) -> Box<dyn VerifyingKey> {
    AwsLc.public_key(algorithm, key).unwrap()
}
