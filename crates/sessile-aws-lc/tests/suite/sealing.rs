//! What is sealed opens under the same key, nonce and associated data, and not otherwise.

use sessile_aws_lc::{AwsLc, SystemEntropy};
use sessile_core::Secret;
use sessile_core::crypto::{Crypto, Entropy, random};

/// every bit of the sealed value, the associated data and the nonce counts.
#[test]
fn any_difference_keeps_it_shut() {
    let key = Secret::new([7; 32]);
    let sealed = AwsLc.seal(&key, &[1; 12], b"purpose", b"plaintext").unwrap();
    assert_eq!(sealed.len(), b"plaintext".len() + 16);
    assert_eq!(AwsLc.open(&key, &[1; 12], b"purpose", &sealed).unwrap().expose(), b"plaintext");

    for bit in 0..sealed.len() * 8 {
        let mut changed = sealed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(AwsLc.open(&key, &[1; 12], b"purpose", &changed).is_none(), "bit {bit}");
    }
    for length in 0..sealed.len() {
        assert!(AwsLc.open(&key, &[1; 12], b"purpose", &sealed[..length]).is_none(), "length {length}");
    }
    assert!(AwsLc.open(&key, &[2; 12], b"purpose", &sealed).is_none());
    assert!(AwsLc.open(&key, &[1; 12], b"another purpose", &sealed).is_none());
    assert!(AwsLc.open(&Secret::new([8; 32]), &[1; 12], b"purpose", &sealed).is_none());
}

/// the system's generator gives different bytes each time, all of them.
#[test]
fn entropy_fills_everything() {
    let draws: Vec<[u8; 32]> = (0..1000).map(|_| random(&SystemEntropy).unwrap()).collect();
    let distinct: std::collections::BTreeSet<_> = draws.iter().collect();
    assert_eq!(distinct.len(), draws.len());
    let mut ones = [0u32; 256];
    for draw in &draws {
        (0..256).for_each(|bit| ones[bit] += u32::from(draw[bit / 8] >> (bit % 8) & 1));
    }
    // 500 expected for each bit, standard deviation 16: a stuck or biased bit is far outside.
    let fair = |count: &u32| (400..=600).contains(count);
    assert!(ones.iter().all(fair), "{ones:?}");

    // Negative control: a generator that leaves the last byte alone is seen.
    struct Short;
    impl Entropy for Short {
        fn fill(&self, out: &mut [u8]) -> Result<(), sessile_core::crypto::EntropyFailure> {
            let end = out.len() - 1;
            SystemEntropy.fill(&mut out[..end])
        }
    }
    let last: u32 = (0..1000).map(|_| u32::from(random::<32>(&Short).unwrap()[31] & 1)).sum();
    assert!(!fair(&last));
}
