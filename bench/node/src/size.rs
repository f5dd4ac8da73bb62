//! How much is measured.

use std::time::Duration;

/// The numbers of a run.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Rounds of everything that is compared.
    pub rounds: usize,
    /// Seconds of one load.
    pub seconds: u64,
    /// Connections of a load.
    pub connections: usize,
    /// A pause before each request, where the gateway is not to be measured at its full speed.
    pub pause: Option<Duration>,
    /// Sessions in the store that is nearly empty, all of them in use.
    pub few: usize,
    /// Sessions in use, of a store that holds more.
    pub many: usize,
    /// Sessions in the full store.
    pub live: usize,
    /// Sessions used on the node whose memory is looked at.
    pub active: usize,
    /// Sessions for one load in which each is seen for the first time.
    pub fresh: usize,
    /// Renewals of one round within this process.
    pub renewals: usize,
    /// Revocations of one round.
    pub revocations: usize,
    /// Access tokens of one round, each seen for the first time.
    pub tokens: usize,
    /// How long a gateway is left alone before its memory is looked at.
    pub settle: Duration,
}

impl Size {
    /// What is published.
    pub const FULL: Self = Self {
        rounds: 5,
        seconds: 3,
        connections: 64,
        pause: None,
        few: 1000,
        many: 50_000,
        live: 1_000_000,
        active: 100_000,
        fresh: 18_000,
        renewals: 10_000,
        revocations: 40,
        tokens: 4000,
        settle: Duration::from_secs(3),
    };

    /// To see whether something changed.
    pub const QUICK: Self = Self {
        rounds: 3,
        seconds: 1,
        many: 10_000,
        live: 100_000,
        active: 20_000,
        fresh: 15_000,
        renewals: 4000,
        revocations: 15,
        tokens: 1000,
        settle: Duration::from_secs(1),
        ..Self::FULL
    };

    /// To see whether it works.
    pub const TINY: Self = Self {
        rounds: 1,
        seconds: 1,
        connections: 4,
        pause: Some(Duration::from_millis(20)),
        few: 20,
        many: 60,
        live: 2000,
        active: 100,
        fresh: 600,
        renewals: 40,
        revocations: 2,
        tokens: 40,
        settle: Duration::from_millis(100),
    };
}
