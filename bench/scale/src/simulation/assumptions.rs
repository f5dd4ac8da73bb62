//! What is taken for granted: how people use an app, and what the network does. Everything else is the program's own rule.

use std::time::Duration;

use serde::Serialize;
use sessile::EngineConfig;
use sessile_core::origin::Origin;
use sessile_core::policy::Limits;
use sessile_store::{FEED_KEEP_ENTRIES, FEED_KEEP_FOR};

/// How people use the app. Durations are means of exponential distributions, unless told otherwise.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Traffic {
    /// Seconds that somebody stays.
    pub visit_secs: f64,
    /// Seconds until they come again. Who comes later than the idle timeout finds the session over and signs in.
    pub between_visits_secs: f64,
    /// Seconds between two requests of a visit.
    pub between_requests_secs: f64,
    /// Part of the visits that end with a sign-out.
    pub sign_out: f64,
    /// Part of the requests that the load balancer brings to the session's own node; the others go to any node.
    pub affinity: f64,
    /// Seconds that somebody takes to sign in again after everybody was signed out.
    pub sign_in_secs: f64,
}

impl Traffic {
    /// A load balancer that knows sessions.
    pub const STICKY: Self = Self {
        visit_secs: 600.0,
        between_visits_secs: 1800.0,
        between_requests_secs: 10.0,
        sign_out: 0.02,
        affinity: 0.99,
        sign_in_secs: 30.0,
    };
    /// A load balancer that brings each request anywhere.
    pub const SCATTERED: Self = Self { affinity: 0.0, ..Self::STICKY };
}

/// What the network between nodes and store does.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Network {
    /// Microseconds that a packet travels, and is served at its end, on the average: half to one and a half of it.
    pub hop_micros: u64,
    /// One packet in so many is lost and sent again.
    pub one_lost_in: u64,
    /// Microseconds until it is sent again: the shortest time-out of Linux.
    pub resend_micros: u64,
}

impl Network {
    /// One data centre.
    pub const LOCAL: Self = Self { hop_micros: 500, one_lost_in: 10_000, resend_micros: 200_000 };
}

/// The program's rules that the simulation obeys, and that a weakened twin breaks.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The limits of sessions.
    pub limits: Limits,
    /// How long a view remembers that a session ended.
    pub remember: Duration,
    /// How many entries the feed keeps at least.
    pub keep_entries: u64,
    /// How long the feed keeps entries at least.
    pub keep_for: Duration,
    /// How long a node trusts its view. The limits' T, but for a twin.
    pub trust: Duration,
    /// How long a record outlives its session at least. As `SWEEP_BEHIND` in `crates/sessile/src/node.rs`.
    pub swept_after: Duration,
    /// How often nodes sweep. As `SWEEP_EVERY` there.
    pub sweep_every: Duration,
    /// How far apart two pages of a feed that is up to date are at least. As `BETWEEN_PAGES` there.
    pub between_pages: Duration,
    /// How far apart two looks of a listener are at least. As `BETWEEN_LOOKS` in `crates/sessile-store/src/postgres/listener.rs`.
    pub between_looks: Duration,
}

impl Rules {
    /// As the program has them, with this life of an access token.
    ///
    /// # Panics
    ///
    /// Never: the origin is one.
    pub fn of_program(access: Duration) -> Self {
        let mut config = EngineConfig::for_origin(Origin::parse("https://app.example").expect("an origin"));
        config.limits.access = access;
        Self {
            limits: config.limits,
            remember: config.longest_trust(),
            keep_entries: FEED_KEEP_ENTRIES,
            keep_for: FEED_KEEP_FOR,
            trust: config.limits.staleness,
            swept_after: Duration::from_secs(300),
            sweep_every: Duration::from_secs(60),
            between_pages: Duration::from_millis(30),
            between_looks: Duration::from_millis(30),
        }
    }

    /// How long a node waits for news before it asks. As `poll_floor` in `crates/sessile/src/node.rs`.
    pub fn poll_floor(&self) -> Duration {
        (self.limits.staleness / 5).clamp(Duration::from_millis(50), Duration::from_secs(1))
    }
}

/// One deployment to look at.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Case {
    /// How many nodes.
    pub nodes: u32,
    /// How many sessions are live at any time.
    pub sessions: u64,
    /// Life of an access token, in seconds.
    pub access_secs: u64,
    /// How many sessions are simulated one by one; each stands for `sessions / sample`.
    pub sample: u32,
    /// The use of the app.
    pub traffic: Traffic,
    /// The network.
    pub network: Network,
    /// Where the random numbers begin.
    pub seed: u64,
}

impl Case {
    /// Nodes that are simulated, each with a view of its own. All read the same feed, so the others are like the first.
    pub fn watched(&self) -> u32 {
        self.nodes.min(4)
    }

    /// How many sessions one of the sample stands for.
    pub fn weight(&self) -> f64 {
        self.sessions as f64 / f64::from(self.sample)
    }
}

/// When things happen, in seconds from the start.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Plan {
    /// The first sessions begin spread over this long.
    pub begin: u64,
    /// From here on endings are counted, to know what the sessions outside of the sample do.
    pub count_endings: u64,
    /// From here on the feed is written at its full rate.
    pub full_feed: u64,
    /// Undisturbed life is measured from here...
    pub steady: u64,
    /// ...to here.
    pub disturb: u64,
    /// How long the process of one node is away.
    pub restart: u64,
    /// How long another node is cut off from the store, within the feed's keeping.
    pub short_cut: u64,
    /// How long a third is cut off, beyond the feed's keeping.
    pub long_cut: u64,
    /// Part of all sessions that an administrator ends.
    pub burst: f64,
    /// How many of them a second.
    pub burst_rate: f64,
}

impl Plan {
    /// The plan of the page.
    pub const FULL: Self = Self {
        begin: 1800,
        count_endings: 3600,
        full_feed: 7200,
        steady: 9000,
        disturb: 10_800,
        restart: 5,
        short_cut: 20,
        long_cut: 700,
        burst: 0.01,
        burst_rate: 5000.0,
    };
    /// As short as it can be and still show everything: for the tests.
    pub const SHORT: Self = Self { count_endings: 2400, full_feed: 3600, steady: 4600, disturb: 5200, ..Self::FULL };

    /// When a node is cut off for long.
    pub(super) fn long_cut_at(&self) -> u64 {
        self.disturb + 120
    }

    /// When an administrator ends many sessions. The node that was cut off for long is back.
    pub(super) fn burst_at(&self) -> u64 {
        self.long_cut_at() + self.long_cut + 60
    }

    /// When everybody is signed out.
    pub(super) fn everybody_at(&self, sessions: u64) -> u64 {
        self.burst_at() + (sessions as f64 * self.burst / self.burst_rate) as u64 + 60
    }

    /// When the simulation ends.
    pub(super) fn end(&self, sessions: u64) -> u64 {
        self.everybody_at(sessions) + 300
    }
}
