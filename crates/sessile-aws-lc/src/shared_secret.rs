//! HMAC keys: what is refused of them (JA-26).

use aws_lc_rs::hmac;
use sessile_core::crypto::KeyRefused;

/// RFC 7518 section 3.2: a key of at least the digest's size.
const LEAST_BYTES: usize = 32;

/// Fewer distinct octets than this in 32 random ones happens less than once in 2^50 keys.
const LEAST_DISTINCT: usize = 16;

/// Keys printed in RFCs, which people copy into configurations and scanners try first: RFC 7515 appendix
/// A.1, RFC 7520 section 3.5.
const PUBLISHED: [&[u8]; 2] = [
    &[
        0x03, 0x23, 0x35, 0x4b, 0x2b, 0x0f, 0xa5, 0xbc, 0x83, 0x7e, 0x06, 0x65, 0x77, 0x7b, 0xa6, 0x8f, //
        0x5a, 0xb3, 0x28, 0xe6, 0xf0, 0x54, 0xc9, 0x28, 0xa9, 0x0f, 0x84, 0xb2, 0xd2, 0x50, 0x2e, 0xbf, //
        0xd3, 0xfb, 0x5a, 0x92, 0xd2, 0x06, 0x47, 0xef, 0x96, 0x8a, 0xb4, 0xc3, 0x77, 0x62, 0x3d, 0x22, //
        0x3d, 0x2e, 0x21, 0x72, 0x05, 0x2e, 0x4f, 0x08, 0xc0, 0xcd, 0x9a, 0xf5, 0x67, 0xd0, 0x80, 0xa3,
    ],
    &[
        0x84, 0x9b, 0x57, 0x21, 0x9d, 0xae, 0x48, 0xde, 0x64, 0x6d, 0x07, 0xdb, 0xb5, 0x33, 0x56, 0x6e, //
        0x97, 0x66, 0x86, 0x45, 0x7c, 0x14, 0x91, 0xbe, 0x3a, 0x76, 0xdc, 0xea, 0x6c, 0x42, 0x71, 0x88,
    ],
];

/// Loads a key of at least 32 octets that look random.
pub(crate) fn load(key: &[u8]) -> Result<hmac::Key, KeyRefused> {
    if key.len() < LEAST_BYTES {
        return Err(KeyRefused("an HMAC key under 32 octets"));
    }
    if PUBLISHED.contains(&key) {
        return Err(KeyRefused("an HMAC key printed in an RFC"));
    }
    // A passphrase, whatever its length, is guessed from lists; octets drawn at random are never all
    // printable (less than once in 2^40 keys).
    if key.iter().all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace()) {
        return Err(KeyRefused("an HMAC key that is text; use random octets"));
    }
    let mut seen = [false; 256];
    key.iter().for_each(|b| seen[usize::from(*b)] = true);
    if seen.iter().filter(|seen| **seen).count() < LEAST_DISTINCT {
        return Err(KeyRefused("an HMAC key of few distinct octets"));
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, key))
}
