//! Points of Ed25519 that no honest signer produces (JA-23).
//!
//! aws-lc checks that S is below the group order and that R is spelled canonically; it accepts points of
//! small order, under which one signature can hold for many messages.

use sessile_core::crypto::KeyRefused;

/// y of every point of order 1, 2, 4 or 8, little-endian, the sign of x cleared; the last two are the
/// non-canonical spellings of 0 and 1. Their orders are checked in the tests of this crate.
pub(crate) const SMALL_ORDER: [[u8; 32]; 7] = [
    [0; 32],
    with_first(1, 0),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, //
        0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, //
        0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    with_first(0xec, 0xff),
    with_first(0xed, 0xff),
    with_first(0xee, 0xff),
];

/// `first`, then `fill`, the top bit clear.
const fn with_first(first: u8, fill: u8) -> [u8; 32] {
    let mut y = [fill; 32];
    y[0] = first;
    y[31] = fill & 0x7f;
    y
}

/// Refuses a public key of small order or spelled non-canonically. That it is a point at all is not known
/// before the first signature: one that is not verifies nothing.
pub(crate) fn check(key: &[u8; 32]) -> Result<(), KeyRefused> {
    if small_order(key) {
        return Err(KeyRefused("an Ed25519 point of small order"));
    }
    // The field prime is 2^255 - 19: little-endian ed ff .. ff 7f.
    let beyond_prime = key[0] >= 0xed && key[1..31].iter().all(|b| *b == 0xff) && key[31] & 0x7f == 0x7f;
    if beyond_prime {
        return Err(KeyRefused("an Ed25519 point spelled non-canonically"));
    }
    Ok(())
}

/// Whether a signature may be looked at: 64 octets, R not of small order.
pub(crate) fn sound(signature: &[u8]) -> bool {
    signature.len() == 64 && signature.first_chunk().is_some_and(|r| !small_order(r))
}

fn small_order(point: &[u8; 32]) -> bool {
    let mut y = *point;
    y[31] &= 0x7f;
    SMALL_ORDER.contains(&y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

    /// For A of order 8 or less, (R = identity, S = 0) is a signature of every message whose hash is a
    /// multiple of the order, at least one in eight. For any other point it is one of none.
    fn forgeable(point: &[u8; 32]) -> bool {
        let mut signature = [0; 64];
        signature[0] = 1;
        let key = UnparsedPublicKey::new(&ED25519, point);
        (0..200u8).any(|message| key.verify(&[message], &signature).is_ok())
    }

    /// JA-23: each listed point is one under which a signature can be made up, and is refused.
    #[test]
    fn the_table_holds_points_of_small_order() {
        for (index, point) in SMALL_ORDER.into_iter().enumerate() {
            // Of the last two aws-lc decodes none; another build of it may.
            assert!(index >= 5 || forgeable(&point), "{point:02x?}");
            assert!(check(&point).is_err());
            let mut mirrored = point;
            mirrored[31] |= 0x80;
            assert!(check(&mirrored).is_err());
        }
        // Negative control: the base point's order is large.
        let base = with_first(0x58, 0x66);
        assert!(!forgeable(&base));
        assert!(check(&base).is_ok());
    }

    /// JA-23: y of the prime and above has a shorter spelling.
    #[test]
    fn a_key_has_one_spelling() {
        for first in 0xed..=0xff {
            assert!(check(&with_first(first, 0xff)).is_err(), "{first:02x}");
        }
        // Negative control: two below the prime is a spelling like any other.
        assert!(check(&with_first(0xeb, 0xff)).is_ok());
    }
}
