//! Which key signs when, and until when the others verify, from the records alone.

use core::time::Duration;

use super::CLOCK_SKEW;
use crate::time::Timestamp;

/// What of a key decides its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Term {
    pub(super) active_from: Timestamp,
    pub(super) revoked: Option<Timestamp>,
}

/// When a key signs and verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// It signs from here on; `None`: revoked before its turn came.
    pub(super) begins: Option<Timestamp>,
    /// It verifies up to here; `None`: no end is known yet.
    pub(super) retires: Option<Timestamp>,
}

/// Judges `terms`, which are in order of `active_from`.
///
/// A key begins at its `active_from`, or at once when nobody else can sign: it is the first of the ring, or
/// the one before it was revoked. An older key never gets its turn back, so revoking the active key moves
/// signing forward to a published successor and not back to a key that may be retired already.
/// A key retires when the last token it can have signed is dead, also for verifiers that allow leeway.
pub(super) fn turns(terms: &[Term], longest_token: Duration) -> impl Iterator<Item = Turn> {
    let mut turns = alloc::vec![Turn { begins: None, retires: None }; terms.len()];
    let mut current: Option<usize> = None;
    for (index, term) in terms.iter().enumerate() {
        let nobody_signs = current.is_none_or(|before| terms[before].revoked.is_some());
        let begins = if nobody_signs { Timestamp::default() } else { term.active_from };
        if term.revoked.is_some_and(|at| at <= begins) {
            continue;
        }
        turns[index].begins = Some(begins);
        if let Some(before) = current {
            turns[before].retires = Some(begins.plus(longest_token).plus(CLOCK_SKEW));
        }
        current = Some(index);
    }
    turns.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn judged(terms: &[(u64, Option<u64>)]) -> Vec<(Option<u64>, Option<u64>)> {
        let terms: Vec<Term> =
            terms.iter().map(|&(from, revoked)| Term { active_from: at(from), revoked: revoked.map(at) }).collect();
        let secs = |t: Option<Timestamp>| t.map(Timestamp::as_secs);
        turns(&terms, Duration::from_secs(300)).map(|t| (secs(t.begins), secs(t.retires))).collect()
    }

    #[test]
    fn each_key_retires_after_its_successor_began() {
        assert_eq!(
            judged(&[(100, None), (1000, None), (2000, None)]),
            [(Some(0), Some(1360)), (Some(1000), Some(2360)), (Some(2000), None)]
        );
    }

    #[test]
    fn a_revoked_signer_hands_over_at_once() {
        assert_eq!(judged(&[(100, Some(500)), (1000, None)])[1], (Some(0), None));
        // Negative control: without the revocation the successor waits for its time.
        assert_eq!(judged(&[(100, None), (1000, None)])[1], (Some(1000), None));
    }

    #[test]
    fn a_key_revoked_before_its_turn_never_signs_and_retires_nobody() {
        assert_eq!(
            judged(&[(100, None), (1000, Some(900)), (2000, None)]),
            [(Some(0), Some(2360)), (None, None), (Some(2000), None)]
        );
    }

    #[test]
    fn an_older_key_is_not_brought_back() {
        // The second signed from 1000 and was revoked at 1500: the first stays retired at 1360.
        assert_eq!(judged(&[(100, None), (1000, Some(1500))])[0], (Some(0), Some(1360)));
    }
}
