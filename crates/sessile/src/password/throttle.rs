//! Slowing down guessers without locking out their victims (R-124, K6; NIST SP 800-63B-4 section 3.2.2).
//!
//! Failures are counted in three places. *Account*: everybody who never signed in to it. *Pair*: an account and
//! a network from which it was signed in to before; its failures count here and not under the account, so
//! whoever hammers an account from elsewhere never slows its owner at home. *Network*: everything that fails from
//! one network, against guessing one password for many accounts; it does not hold for pairs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sessile_core::Timestamp;
use sessile_store::{FailureCount, ThrottleKey};

/// The settings of the sign-in throttle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThrottlePolicy {
    /// Failures for one account, or for one pair of account and network, before waiting begins.
    pub free: u32,
    /// Failures from one network before waiting begins. More than for an account: an office shares an address.
    pub free_per_network: u32,
    /// The first wait. Each further failure doubles it.
    pub first_wait: Duration,
    /// The longest wait for an account.
    pub longest_wait: Duration,
    /// The longest wait for a network.
    pub longest_wait_per_network: Duration,
    /// Failures after which an account (from unknown networks) or a pair takes no more tries, until an administrator
    /// clears it or [`forget_after`](Self::forget_after) has passed. 800-63B-4 allows at most 100.
    pub hard_stop: u32,
    /// Failures are forgotten when none was added for this long.
    pub forget_after: Duration,
    /// A network stays known to an account for this long after the last sign-in from it.
    pub know_network_for: Duration,
}

impl Default for ThrottlePolicy {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        Self {
            free: 5,
            free_per_network: 20,
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(15 * 60),
            longest_wait_per_network: Duration::from_secs(60),
            hard_stop: 100,
            forget_after: DAY,
            know_network_for: DAY * 90,
        }
    }
}

impl ThrottlePolicy {
    /// How long a counter means something after it last counted.
    pub(crate) fn keep_counters_for(&self) -> Duration {
        self.forget_after.max(self.know_network_for)
    }

    pub(super) fn account(&self) -> Lane {
        Lane {
            free: self.free,
            first_wait: self.first_wait,
            longest_wait: self.longest_wait,
            hard_stop: Some(self.hard_stop),
        }
    }

    pub(super) fn network(&self) -> Lane {
        Lane {
            free: self.free_per_network,
            first_wait: self.first_wait,
            longest_wait: self.longest_wait_per_network,
            hard_stop: None,
        }
    }
}

/// The rule for one counter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lane {
    free: u32,
    first_wait: Duration,
    longest_wait: Duration,
    hard_stop: Option<u32>,
}

/// Whether somebody may try a password now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Yes.
    Free,
    /// Yes, as the one try after a wait.
    AfterWait,
    /// Not before this long has passed.
    Wait(Duration),
    /// Not until the failures are forgotten or cleared.
    Stopped(Duration),
}

/// Decides on one counter. `under_way` tries were let through on this node and have no outcome yet; they count
/// as failures, so that a hundred tries at once are a hundred tries.
pub(super) fn turn(lane: Lane, failures: FailureCount, under_way: u32, forget_after: Duration, now: Timestamp) -> Turn {
    let forgotten = now >= failures.last.plus(forget_after);
    let count = if forgotten { 0 } else { failures.count };
    let expected = count.saturating_add(under_way);
    if lane.hard_stop.is_some_and(|stop| expected >= stop) {
        return Turn::Stopped(failures.last.plus(forget_after).since(now).clamp(lane.first_wait, forget_after));
    }
    if expected < lane.free {
        return Turn::Free;
    }
    if under_way > 0 {
        return Turn::Wait(lane.first_wait);
    }
    let doublings = (count - lane.free).min(20);
    let wait = lane.first_wait.saturating_mul(1 << doublings).min(lane.longest_wait);
    // Clamped: another node's clock that is ahead must not lengthen the wait.
    let left = failures.last.plus(wait).since(now).min(wait);
    if left.is_zero() { Turn::AfterWait } else { Turn::Wait(left) }
}

/// The tries of this node that have no outcome yet, by counter.
#[derive(Clone, Debug, Default)]
pub(super) struct UnderWay(Arc<Mutex<HashMap<ThrottleKey, u32>>>);

/// One try under way; over when dropped.
#[derive(Debug)]
pub(super) struct Try {
    under_way: UnderWay,
    keys: Vec<ThrottleKey>,
}

impl UnderWay {
    fn lock(&self) -> MutexGuard<'_, HashMap<ThrottleKey, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a try through if `decide` says so of the numbers under way, in the order of `keys`. Decision and
    /// count are one step.
    pub(super) fn begin<R>(
        &self,
        keys: Vec<ThrottleKey>,
        decide: impl FnOnce(&[u32]) -> Result<(), R>,
    ) -> Result<Try, R> {
        let mut open = self.lock();
        let numbers: Vec<u32> = keys.iter().map(|key| open.get(key).copied().unwrap_or(0)).collect();
        decide(&numbers)?;
        for key in &keys {
            *open.entry(*key).or_default() += 1;
        }
        drop(open);
        Ok(Try { under_way: self.clone(), keys })
    }
}

impl Drop for Try {
    fn drop(&mut self) {
        let mut open = self.under_way.lock();
        for key in &self.keys {
            if let Some(number) = open.get_mut(key) {
                *number -= 1;
                if *number == 0 {
                    open.remove(key);
                }
            }
        }
    }
}
