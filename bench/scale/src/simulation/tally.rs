//! Counting: operations by kind, and how long endings take to be known.

use serde::Serialize;

use super::Micros;

/// What the sampled sessions ask of the store, and how often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Operations {
    /// Requests that came.
    pub requests: f64,
    /// `confirm` that notes the receipt of a generation.
    pub confirm_new: f64,
    /// `confirm` that finds it noted: another node's first sight, or one after a restart or a gap.
    pub confirm_again: f64,
    /// `load`, before each rotation and for the older session that a sign-in shows.
    pub load: f64,
    /// `rotate`.
    pub rotate: f64,
    /// `insert`: sign-ins.
    pub insert: f64,
    /// `revoke`: sign-outs, and sessions replaced by a sign-in.
    pub revoke: f64,
    /// Security events, appended in batches.
    pub events: f64,
    /// Requests answered 503, because their node could not tell.
    pub unavailable: f64,
}

impl Operations {
    pub(super) fn since(self, before: Self, scale: f64) -> Self {
        let of = |now: f64, before: f64| (now - before) * scale;
        Self {
            requests: of(self.requests, before.requests),
            confirm_new: of(self.confirm_new, before.confirm_new),
            confirm_again: of(self.confirm_again, before.confirm_again),
            load: of(self.load, before.load),
            rotate: of(self.rotate, before.rotate),
            insert: of(self.insert, before.insert),
            revoke: of(self.revoke, before.revoke),
            events: of(self.events, before.events),
            unavailable: of(self.unavailable, before.unavailable),
        }
    }
}

/// Durations in steps of a tenth of a millisecond, rounded up.
#[derive(Clone, Debug, Default)]
pub(super) struct Delays {
    steps: Vec<u64>,
    count: u64,
    longest: Micros,
}

impl Delays {
    pub(super) fn add(&mut self, delay: Micros) {
        let step = usize::try_from(delay.div_ceil(100)).unwrap_or(usize::MAX).min(1_000_000);
        if self.steps.len() <= step {
            self.steps.resize(step + 1, 0);
        }
        self.steps[step] += 1;
        self.count += 1;
        self.longest = self.longest.max(delay);
    }

    pub(super) fn distribution(&self) -> Distribution {
        let at = |part: f64| {
            let wanted = (self.count as f64 * part).ceil() as u64;
            let mut seen = 0;
            let step = self.steps.iter().position(|many| {
                seen += many;
                seen >= wanted
            });
            step.unwrap_or(0) as f64 / 10.0
        };
        Distribution {
            count: self.count,
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            longest_ms: (self.longest as f64 / 1000.0).ceil(),
        }
    }
}

/// How long it took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Distribution {
    /// How many were measured.
    pub count: u64,
    /// Half took no longer.
    pub p50_ms: f64,
    /// 99 of 100 took no longer.
    pub p99_ms: f64,
    /// 999 of 1000 took no longer.
    pub p999_ms: f64,
    /// None took longer.
    pub longest_ms: f64,
}

/// What happened at one node in each second.
#[derive(Clone, Debug, Default)]
pub(super) struct Seconds(Vec<u32>);

impl Seconds {
    pub(super) fn add(&mut self, now: Micros) {
        let second = (now / 1_000_000) as usize;
        if self.0.len() <= second {
            self.0.resize(second + 1, 0);
        }
        self.0[second] += 1;
    }

    /// The most in one second of this stretch.
    pub(super) fn busiest(&self, from: u64, to: u64) -> u32 {
        let range = from as usize..(to as usize).min(self.0.len());
        self.0.get(range).and_then(|seconds| seconds.iter().max().copied()).unwrap_or(0)
    }
}
