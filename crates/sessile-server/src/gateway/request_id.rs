//! Ids of requests: 128 random bits each.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use sessile_core::crypto::{Entropy, EntropyFailure};
use sessile_core::encoding::base64url;
use sessile_core::event::RequestId;

const LEN: usize = 16;
const AT_A_TIME: usize = 64;

/// Gives out ids. Randomness is drawn for many at once: one draw costs as much as everything else about an id, and an id is no
/// secret that must not lie in memory beforehand.
pub(super) struct RequestIds(Mutex<Stock>);

struct Stock {
    bytes: [u8; LEN * AT_A_TIME],
    left: usize,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Stock { bytes: [0; LEN * AT_A_TIME], left: 0 }))
    }

    /// An id that was never given out before.
    ///
    /// # Errors
    ///
    /// When the system gives no random bytes.
    pub(super) fn next(&self, entropy: &dyn Entropy) -> Result<RequestId, EntropyFailure> {
        let mut stock = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if stock.left == 0 {
            entropy.fill(&mut stock.bytes)?;
            stock.left = AT_A_TIME;
        }
        stock.left -= 1;
        let at = stock.left * LEN;
        Ok(RequestId(base64url(&stock.bytes[at..at + LEN])))
    }
}

impl fmt::Debug for RequestIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestIds(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Counts up, and fails at its `fails_at`-th draw.
    struct Counting {
        draws: AtomicUsize,
        fails_at: usize,
    }

    impl Entropy for Counting {
        fn fill(&self, out: &mut [u8]) -> Result<(), EntropyFailure> {
            let draw = self.draws.fetch_add(1, Ordering::Relaxed);
            if draw == self.fails_at {
                return Err(EntropyFailure);
            }
            for (at, word) in out.chunks_mut(8).enumerate() {
                word.copy_from_slice(&((draw << 32) | at).to_le_bytes());
            }
            Ok(())
        }
    }

    /// No two requests have one id, also where one draw ends and the next begins; without randomness there is none.
    #[test]
    fn no_id_is_given_out_twice_and_none_without_randomness() {
        let entropy = Counting { draws: AtomicUsize::new(0), fails_at: 3 };
        let ids = RequestIds::new();
        let given: HashSet<String> = (0..3 * AT_A_TIME).map(|_| ids.next(&entropy).unwrap().0).collect();
        assert_eq!((given.len(), entropy.draws.load(Ordering::Relaxed)), (3 * AT_A_TIME, 3));
        assert!(ids.next(&entropy).is_err());
        assert!(ids.next(&entropy).is_ok(), "a failed draw gives out nothing of the last one, and is tried again");
    }
}
