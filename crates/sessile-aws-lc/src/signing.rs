//! Private keys.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PSS_SHA256, RsaKeyPair,
};

use sessile_core::SecretBytes;
use sessile_core::crypto::{Algorithm, CryptoFault, KeyRefused, PublicKey, SigningKey};

use crate::der;
use crate::rsa::{self, OWN_BITS};
use crate::shared_secret;

/// A parsed private key. aws-lc wipes it when it is freed.
pub(crate) enum Signer {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
    Shared(Box<hmac::Key>),
}

const NOT_THIS_KIND: KeyRefused = KeyRefused("not a valid PKCS #8 key of this algorithm");

impl Signer {
    pub(crate) fn load(algorithm: Algorithm, private: &SecretBytes) -> Result<Self, KeyRefused> {
        let der = private.expose();
        // aws-lc reads the first element and ignores what follows.
        if algorithm != Algorithm::Hs256 && !matches!(der::element(0x30, der), Some((_, []))) {
            return Err(NOT_THIS_KIND);
        }
        Ok(match algorithm {
            Algorithm::Es256 => {
                Self::P256(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).map_err(|_| NOT_THIS_KIND)?)
            }
            Algorithm::Es384 => {
                Self::P384(EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, der).map_err(|_| NOT_THIS_KIND)?)
            }
            Algorithm::EdDsa => Self::Ed25519(Ed25519KeyPair::from_pkcs8(der).map_err(|_| NOT_THIS_KIND)?),
            Algorithm::Ps256 => {
                let pair = RsaKeyPair::from_pkcs8(der).map_err(|_| NOT_THIS_KIND)?;
                let (n, e) = rsa::components(pair.public_key().as_ref()).ok_or(NOT_THIS_KIND)?;
                rsa::check(n, e, OWN_BITS)?;
                Self::Rsa(pair)
            }
            Algorithm::Hs256 => Self::Shared(Box::new(shared_secret::load(der)?)),
        })
    }
}

impl SigningKey for Signer {
    fn algorithm(&self) -> Algorithm {
        match self {
            Self::P256(_) => Algorithm::Es256,
            Self::P384(_) => Algorithm::Es384,
            Self::Ed25519(_) => Algorithm::EdDsa,
            Self::Rsa(_) => Algorithm::Ps256,
            Self::Shared(_) => Algorithm::Hs256,
        }
    }

    fn public(&self) -> Option<PublicKey> {
        match self {
            Self::P256(pair) => affine(pair).map(|(x, y)| PublicKey::P256 { x, y }),
            Self::P384(pair) => affine(pair).map(|(x, y)| PublicKey::P384 { x, y }),
            Self::Ed25519(pair) => pair.public_key().as_ref().try_into().ok().map(|x| PublicKey::Ed25519 { x }),
            Self::Rsa(pair) => rsa::components(pair.public_key().as_ref())
                .map(|(n, e)| PublicKey::Rsa { n: n.to_vec(), e: e.to_vec() }),
            Self::Shared(_) => None,
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CryptoFault> {
        let signature = match self {
            Self::P256(pair) | Self::P384(pair) => {
                pair.sign(&SystemRandom::new(), message).map(|s| s.as_ref().to_vec())
            }
            Self::Ed25519(pair) => pair.try_sign(message).map(|s| s.as_ref().to_vec()),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PSS_SHA256, &SystemRandom::new(), message, &mut signature).map(|()| signature)
            }
            Self::Shared(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
        };
        signature.map_err(|_| CryptoFault)
    }
}

/// The coordinates out of the uncompressed point (SEC 1 section 2.3.3: 04, x, y).
fn affine<const N: usize>(pair: &EcdsaKeyPair) -> Option<([u8; N], [u8; N])> {
    let (tag, point) = pair.public_key().as_ref().split_first()?;
    let (x, y) = point.split_at_checked(N)?;
    (*tag == 4).then_some((x.try_into().ok()?, y.try_into().ok()?))
}
