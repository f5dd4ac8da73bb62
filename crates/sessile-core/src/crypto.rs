//! The primitives core needs, as traits: implemented by `sessile-aws-lc`, replaceable in tests.

use alloc::{boxed::Box, vec::Vec};
use core::fmt;

use crate::secret::{Secret, SecretBytes};

/// Signature algorithms of access tokens (RFC 7518, RFC 8037). RS256 is absent: it is never issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256; the default.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
    /// RSASSA-PSS with SHA-256, 3072-bit keys.
    Ps256,
    /// HMAC with SHA-256; only by explicit choice, since every verifier could also sign.
    Hs256,
}

impl Algorithm {
    /// Every algorithm, the default first.
    pub const ALL: [Self; 5] = [Self::Es256, Self::EdDsa, Self::Es384, Self::Ps256, Self::Hs256];

    /// The value of the JOSE `alg` header.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
            Self::Ps256 => "PS256",
            Self::Hs256 => "HS256",
        }
    }

    /// The algorithm with exactly this JOSE name (case-sensitive, JA-02).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.name() == name)
    }
}

/// The public half of a signing key, typed by family so that it cannot serve another algorithm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// P-256 point, affine coordinates.
    P256 {
        /// Big-endian x.
        x: [u8; 32],
        /// Big-endian y.
        y: [u8; 32],
    },
    /// P-384 point, affine coordinates.
    P384 {
        /// Big-endian x.
        x: [u8; 48],
        /// Big-endian y.
        y: [u8; 48],
    },
    /// Ed25519 public key.
    Ed25519 {
        /// The 32 octets of RFC 8032.
        x: [u8; 32],
    },
    /// RSA public key.
    Rsa {
        /// Modulus, big-endian, no leading zero.
        n: Vec<u8>,
        /// Exponent, big-endian, no leading zero.
        e: Vec<u8>,
    },
}

/// A private key ready to sign. Implementations keep it parsed and wipe it on drop.
pub trait SigningKey: Send + Sync {
    /// The one algorithm this key is for.
    fn algorithm(&self) -> Algorithm;
    /// The public half; `None` for HMAC.
    fn public(&self) -> Option<PublicKey>;
    /// The signature in JOSE form (for ECDSA: R then S, fixed width).
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CryptoFault>;
}

/// A public (or HMAC) key ready to verify.
pub trait VerifyingKey: Send + Sync {
    /// The one algorithm this key is for.
    fn algorithm(&self) -> Algorithm;
    /// Whether `signature` is this key's over `message`. ECDSA: exact length, R and S in range; Ed25519:
    /// canonical S, small-order points refused.
    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool;
}

/// The provider of primitives.
///
/// A wrong `true` from a verifier or a wrong `Some` from [`open`](Crypto::open) lets a forger in; a wrong
/// `false` signs people out. Implementations must prefer the second.
pub trait Crypto: Send + Sync + fmt::Debug {
    /// SHA-256.
    fn sha256(&self, data: &[u8]) -> [u8; 32];
    /// HMAC-SHA-256 over the concatenation of `parts`. Callers frame the parts.
    fn mac(&self, key: &Secret<32>, parts: &[&[u8]]) -> Secret<32>;
    /// AES-256-GCM; returns ciphertext and tag. The caller never uses a (key, nonce) pair twice.
    fn seal(&self, key: &Secret<32>, nonce: &[u8; 12], aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, CryptoFault>;
    /// Opens what [`seal`](Crypto::seal) made; `None` if anything differs.
    fn open(&self, key: &Secret<32>, nonce: &[u8; 12], aad: &[u8], sealed: &[u8]) -> Option<SecretBytes>;
    /// A new private key as PKCS #8 (for HMAC: 32 random octets).
    fn generate_key(&self, algorithm: Algorithm) -> Result<SecretBytes, CryptoFault>;
    /// Loads a private key; refuses weak or mismatched ones.
    fn signing_key(&self, algorithm: Algorithm, private: &SecretBytes) -> Result<Box<dyn SigningKey>, KeyRefused>;
    /// The verifying half of a private key, for our own tokens.
    fn verifying_key(&self, algorithm: Algorithm, private: &SecretBytes) -> Result<Box<dyn VerifyingKey>, KeyRefused>;
    /// Loads a public key that came from outside; refuses weak ones, points off the curve (R-160, JA-28).
    fn public_key(&self, algorithm: Algorithm, public: &PublicKey) -> Result<Box<dyn VerifyingKey>, KeyRefused>;
}

/// A source of unpredictable bytes: the operating system's in production.
pub trait Entropy: Send + Sync {
    /// Fills `out`, or fails: there is no weaker fallback.
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyFailure>;
}

/// Draws a fixed number of bytes.
pub fn random<const N: usize>(entropy: &dyn Entropy) -> Result<[u8; N], EntropyFailure> {
    let mut out = [0; N];
    entropy.fill(&mut out)?;
    Ok(out)
}

/// The system gave no random bytes. Nothing may be issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntropyFailure;

/// A primitive failed for a reason that is not the input's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CryptoFault;

/// A key was refused when loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRefused(
    /// Why, for the operator; never contains key material.
    pub &'static str,
);

impl fmt::Display for EntropyFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the system's random number generator failed")
    }
}
impl fmt::Display for CryptoFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a cryptographic primitive failed")
    }
}
impl fmt::Display for KeyRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key refused: {}", self.0)
    }
}
impl core::error::Error for EntropyFailure {}
impl core::error::Error for CryptoFault {}
impl core::error::Error for KeyRefused {}
