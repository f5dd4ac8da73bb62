//! RSA public keys: the parts, and what is refused of them (JA-27).

use sessile_core::crypto::KeyRefused;

use crate::der::element;

/// Least modulus length of keys that sign for us.
pub(crate) const OWN_BITS: usize = 3072;
/// Least modulus length of keys of others (NIST SP 800-131A).
pub(crate) const FOREIGN_BITS: usize = 2048;
/// Longer ones cost a verifier more than they are worth.
const MOST_BITS: usize = 8192;

/// Refuses weak keys. `n` and `e` are big-endian without leading zeros.
pub(crate) fn check(n: &[u8], e: &[u8], least_bits: usize) -> Result<(), KeyRefused> {
    let (Some(first), Some(last)) = (n.first(), n.last()) else {
        return Err(KeyRefused("an RSA key without modulus"));
    };
    if *first == 0 || e.first().is_none_or(|b| *b == 0) {
        return Err(KeyRefused("an RSA number with leading zeros"));
    }
    let bits = n.len() * 8 - first.leading_zeros() as usize;
    if bits < least_bits {
        return Err(KeyRefused("an RSA modulus that is too short"));
    }
    if bits > MOST_BITS {
        return Err(KeyRefused("an RSA modulus that is too long"));
    }
    if last % 2 == 0 {
        return Err(KeyRefused("an RSA modulus that is even"));
    }
    // At least 2^16 + 1 (FIPS 186-5 section 5.1), odd, and of a length every verifier takes.
    let exponent = e.iter().fold(0u64, |value, b| (value << 8) | u64::from(*b));
    if e.len() > 4 || exponent < 65537 || exponent % 2 == 0 {
        return Err(KeyRefused("an RSA exponent outside 65537..2^32 or even"));
    }
    if has_roca_structure(n) {
        return Err(KeyRefused("an RSA modulus made by the defective generator of CVE-2017-15361"));
    }
    Ok(())
}

/// Primes modulo which 65537 generates a proper subgroup; the moduli of CVE-2017-15361 lie in it for each.
const SUBGROUP_PRIMES: [u32; 17] = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];

/// An honest modulus shows this structure with a probability below 2^-25.
fn has_roca_structure(n: &[u8]) -> bool {
    SUBGROUP_PRIMES.iter().all(|&prime| {
        let residue = n.iter().fold(0, |value, b| (value * 256 + u32::from(*b)) % prime);
        let mut power = 1;
        for _ in 0..prime {
            if power == residue {
                return true;
            }
            power = power * 65537 % prime;
        }
        false
    })
}

/// n and e out of an RSAPublicKey (RFC 8017 appendix A.1.1), without leading zeros.
pub(crate) fn components(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (sequence, []) = element(0x30, der)? else {
        return None;
    };
    let (n, rest) = element(0x02, sequence)?;
    let (e, []) = element(0x02, rest)? else {
        return None;
    };
    Some((unsigned(n), unsigned(e)))
}

fn unsigned(integer: &[u8]) -> &[u8] {
    match integer {
        [0, rest @ ..] => rest,
        _ => integer,
    }
}
