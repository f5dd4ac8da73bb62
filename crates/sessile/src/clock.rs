//! The node's clock: time that never runs backwards for a session.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use sessile_core::{Moment, Monotonic, Timestamp};

/// Where the engine takes its time from.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Now. Neither part is ever earlier than in a previous answer minus a corrected forward step.
    fn now(&self) -> Moment;
}

/// The system's clocks, combined so that setting the wall clock back lengthens nothing (fault row T3).
///
/// Wall time is the time at start plus what has passed since by the boot-time clock (which also counts while
/// the machine sleeps), plus how far the system's wall clock is *ahead* of that. A step forward is followed,
/// a step back from it too, but never to before start plus elapsed time.
#[derive(Debug)]
pub struct SystemClock {
    started_wall: Timestamp,
    started_mono: Monotonic,
}

impl SystemClock {
    /// A clock anchored at this moment.
    pub fn new() -> Self {
        Self { started_wall: system_wall(), started_mono: boot_time() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        let mono = boot_time();
        Moment { wall: floor_wall(self.started_wall, mono.since(self.started_mono), system_wall()), mono }
    }
}

fn floor_wall(started: Timestamp, elapsed: Duration, system: Timestamp) -> Timestamp {
    started.plus(elapsed).max(system)
}

fn system_wall() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

fn boot_time() -> Monotonic {
    let t = clock_gettime(ClockId::Boottime);
    let secs = u64::try_from(t.tv_sec).unwrap_or(0);
    let millis = u64::try_from(t.tv_nsec / 1_000_000).unwrap_or(0);
    Monotonic::from_millis(secs.saturating_mul(1000).saturating_add(millis))
}

/// A clock that a test moves. Follows the same rule as [`SystemClock`] when its wall is stepped.
#[derive(Debug)]
pub struct ManualClock {
    started: Timestamp,
    elapsed: AtomicU64,
    step: AtomicI64,
}

impl ManualClock {
    /// Starts at `wall`.
    pub fn new(wall: Timestamp) -> Self {
        Self { started: wall, elapsed: AtomicU64::new(0), step: AtomicI64::new(0) }
    }

    /// Lets time pass on both clocks.
    pub fn advance(&self, by: Duration) {
        self.elapsed.fetch_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// Sets the system's wall clock forward (positive) or back (negative) by so many milliseconds.
    pub fn step_wall(&self, millis: i64) {
        self.step.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Moment {
        let elapsed = self.elapsed.load(Ordering::SeqCst);
        let system =
            self.started.as_millis().saturating_add(elapsed).saturating_add_signed(self.step.load(Ordering::SeqCst));
        Moment {
            wall: floor_wall(self.started, Duration::from_millis(elapsed), Timestamp::from_millis(system)),
            mono: Monotonic::from_millis(elapsed),
        }
    }
}
