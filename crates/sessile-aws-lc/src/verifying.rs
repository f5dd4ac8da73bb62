//! Public keys, and HMAC keys in their verifying role.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PSS_2048_8192_SHA256,
    RsaPublicKeyComponents,
};

use sessile_core::SecretBytes;
use sessile_core::crypto::{Algorithm, KeyRefused, PublicKey, VerifyingKey};

use crate::rsa::{self, FOREIGN_BITS};
use crate::{ed25519, shared_secret};

/// A parsed key that verifies.
pub(crate) enum Verifier {
    P256(ParsedPublicKey),
    P384(ParsedPublicKey),
    Ed25519(ParsedPublicKey),
    Rsa(ParsedPublicKey),
    Shared(Box<hmac::Key>),
}

impl Verifier {
    /// The algorithm must be the one the key's family is for: no key serves two.
    pub(crate) fn public(algorithm: Algorithm, key: &PublicKey) -> Result<Self, KeyRefused> {
        const OFF_CURVE: KeyRefused = KeyRefused("the point is not on the curve");
        match (algorithm, key) {
            (Algorithm::Es256, PublicKey::P256 { x, y }) => {
                ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, uncompressed(x, y))
                    .map(Self::P256)
                    .map_err(|_| OFF_CURVE)
            }
            (Algorithm::Es384, PublicKey::P384 { x, y }) => {
                ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, uncompressed(x, y))
                    .map(Self::P384)
                    .map_err(|_| OFF_CURVE)
            }
            (Algorithm::EdDsa, PublicKey::Ed25519 { x }) => {
                ed25519::check(x)?;
                ParsedPublicKey::new(&ED25519, x).map(Self::Ed25519).map_err(|_| OFF_CURVE)
            }
            (Algorithm::Ps256, PublicKey::Rsa { n, e }) => {
                rsa::check(n, e, FOREIGN_BITS)?;
                RsaPublicKeyComponents { n, e }
                    .to_parsed_public_key(&RSA_PSS_2048_8192_SHA256)
                    .map(Self::Rsa)
                    .map_err(|_| KeyRefused("not an RSA public key"))
            }
            (
                Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa | Algorithm::Ps256 | Algorithm::Hs256,
                PublicKey::P256 { .. } | PublicKey::P384 { .. } | PublicKey::Ed25519 { .. } | PublicKey::Rsa { .. },
            ) => Err(KeyRefused("a key of another family than the algorithm's")),
        }
    }

    pub(crate) fn shared(private: &SecretBytes) -> Result<Self, KeyRefused> {
        shared_secret::load(private.expose()).map(|key| Self::Shared(Box::new(key)))
    }
}

fn uncompressed(x: &[u8], y: &[u8]) -> Vec<u8> {
    [&[4], x, y].concat()
}

impl VerifyingKey for Verifier {
    fn algorithm(&self) -> Algorithm {
        match self {
            Self::P256(_) => Algorithm::Es256,
            Self::P384(_) => Algorithm::Es384,
            Self::Ed25519(_) => Algorithm::EdDsa,
            Self::Rsa(_) => Algorithm::Ps256,
            Self::Shared(_) => Algorithm::Hs256,
        }
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::P256(key) | Self::P384(key) | Self::Rsa(key) => key.verify_sig(message, signature).is_ok(),
            Self::Ed25519(key) => ed25519::sound(signature) && key.verify_sig(message, signature).is_ok(),
            Self::Shared(key) => hmac::verify(key, message, signature).is_ok(),
        }
    }
}
