//! The primitives of Sessile on aws-lc-rs: signatures, MAC, AEAD, digest, system entropy.
//!
//! A crate of its own because it brings C code and the operating system's entropy; `sessile-core` knows
//! only the traits [`Crypto`] and [`Entropy`]. No primitive is implemented here. What is, are the refusals
//! aws-lc leaves to its caller: weak keys at load, small-order points of Ed25519.

mod der;
mod ed25519;
mod rsa;
mod shared_secret;
mod signing;
mod verifying;

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair,
};
use aws_lc_rs::{digest, error::Unspecified, hmac, rand};

use sessile_core::crypto::{
    Algorithm, Crypto, CryptoFault, Entropy, EntropyFailure, KeyRefused, PublicKey, SigningKey, VerifyingKey,
};
use sessile_core::{Secret, SecretBytes};

use signing::Signer;
use verifying::Verifier;

/// The primitives, from aws-lc.
#[derive(Clone, Copy, Debug, Default)]
pub struct AwsLc;

/// The operating system's random number generator, through aws-lc.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

/// [`AwsLc`] as the engine takes it.
pub fn provider() -> Arc<dyn Crypto> {
    Arc::new(AwsLc)
}

/// [`SystemEntropy`] as the engine takes it.
pub fn entropy() -> Arc<dyn Entropy> {
    Arc::new(SystemEntropy)
}

impl Entropy for SystemEntropy {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyFailure> {
        rand::fill(out).map_err(|Unspecified| EntropyFailure)
    }
}

const TAG_BYTES: usize = 16;

impl Crypto for AwsLc {
    fn sha256(&self, data: &[u8]) -> [u8; 32] {
        let mut out = [0; 32];
        out.copy_from_slice(digest::digest(&digest::SHA256, data).as_ref());
        out
    }

    fn mac(&self, key: &Secret<32>, parts: &[&[u8]]) -> Secret<32> {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.expose()));
        for part in parts {
            context.update(part);
        }
        let mut out = [0; 32];
        out.copy_from_slice(context.sign().as_ref());
        Secret::new(out)
    }

    fn seal(&self, key: &Secret<32>, nonce: &[u8; 12], aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, CryptoFault> {
        // Room for the tag first: growing would leave an unwiped copy of the plaintext behind.
        let mut sealed = Vec::with_capacity(plaintext.len() + TAG_BYTES);
        sealed.extend_from_slice(plaintext);
        aes(key)
            .and_then(|aes| {
                aes.seal_in_place_append_tag(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), &mut sealed)
            })
            .map_err(|Unspecified| CryptoFault)?;
        Ok(sealed)
    }

    fn open(&self, key: &Secret<32>, nonce: &[u8; 12], aad: &[u8], sealed: &[u8]) -> Option<SecretBytes> {
        let mut opened = sealed.to_vec();
        let aes = aes(key).ok()?;
        let length = aes.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), &mut opened).ok()?.len();
        opened.truncate(length);
        Some(SecretBytes::new(opened))
    }

    fn generate_key(&self, algorithm: Algorithm) -> Result<SecretBytes, CryptoFault> {
        generate(algorithm).map(SecretBytes::new).map_err(|Unspecified| CryptoFault)
    }

    fn signing_key(&self, algorithm: Algorithm, private: &SecretBytes) -> Result<Box<dyn SigningKey>, KeyRefused> {
        Ok(Box::new(Signer::load(algorithm, private)?))
    }

    fn verifying_key(&self, algorithm: Algorithm, private: &SecretBytes) -> Result<Box<dyn VerifyingKey>, KeyRefused> {
        let verifier = match Signer::load(algorithm, private)?.public() {
            Some(public) => Verifier::public(algorithm, &public)?,
            None => Verifier::shared(private)?,
        };
        Ok(Box::new(verifier))
    }

    fn public_key(&self, algorithm: Algorithm, public: &PublicKey) -> Result<Box<dyn VerifyingKey>, KeyRefused> {
        Ok(Box::new(Verifier::public(algorithm, public)?))
    }
}

fn aes(key: &Secret<32>) -> Result<LessSafeKey, Unspecified> {
    UnboundKey::new(&AES_256_GCM, key.expose()).map(LessSafeKey::new)
}

fn generate(algorithm: Algorithm) -> Result<Vec<u8>, Unspecified> {
    let system = SystemRandom::new();
    let ecdsa = |curve| EcdsaKeyPair::generate_pkcs8(curve, &system).map(|key| key.as_ref().to_vec());
    match algorithm {
        Algorithm::Es256 => ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING),
        Algorithm::Es384 => ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING),
        Algorithm::EdDsa => Ok(Ed25519KeyPair::generate_pkcs8v1(&system)?.as_ref().to_vec()),
        Algorithm::Ps256 => {
            let key: Pkcs8V1Der<'_> = RsaKeyPair::generate(KeySize::Rsa3072)?.as_der()?;
            Ok(key.as_ref().to_vec())
        }
        Algorithm::Hs256 => {
            let mut key = vec![0; 32];
            rand::fill(&mut key)?;
            Ok(key)
        }
    }
}
