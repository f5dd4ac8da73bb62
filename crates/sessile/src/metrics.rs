//! Counters of what the engine decides. Labels are fixed words, never user data.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $field:ident = $name:literal;)+) => {
        /// Plain counters, one per line of the table.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $($(#[doc = $doc])+ pub $field: AtomicU64,)+
            labelled: Mutex<BTreeMap<(Family, &'static str), u64>>,
            feed_lag: AtomicU64,
        }

        impl Metrics {
            /// Name, help and value of each plain counter.
            pub fn counters(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$(($name, concat!($($doc,)+), self.$field.load(Ordering::Relaxed)),)+]
            }
        }
    };
}

counters! {
    /// Sessions begun.
    sessions_created = "sessile_sessions_created_total";
    /// Session tokens rotated.
    rotations = "sessile_session_rotations_total";
    /// Renewals answered with the current token: too young to rotate, or the preceding token in its grace.
    resends = "sessile_session_resends_total";
    /// Superseded session tokens presented outside their grace.
    reuse_detected = "sessile_refresh_reuse_detected_total";
    /// Requests admitted on a token this node had verified before, without a store operation.
    admitted_warm = "sessile_admitted_warm_total";
    /// Requests admitted after a signature verification.
    admitted_cold = "sessile_admitted_cold_total";
    /// Requests answered 503 because the node could not tell whether the session lives.
    unavailable = "sessile_unavailable_total";
    /// Requests let through past the staleness bound on their token alone, where a route allows that.
    admitted_unproven = "sessile_admitted_unproven_total";
    /// Pages of the revocation feed read.
    feed_pages = "sessile_feed_pages_total";
    /// Responses whose cookies were withheld because newer ones may be on their way.
    cookies_withheld = "sessile_cookies_withheld_total";
    /// Events that could not be written to the store and stand in the log alone.
    events_dropped = "sessile_events_dropped_total";
}

/// Counters with one label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// `sessile_events_total{event}`.
    Events,
    /// `sessile_sessions_ended_total{reason}`.
    SessionsEnded,
    /// `sessile_csrf_rejected_total{reason}`.
    CsrfRejected,
    /// `sessile_jwt_verify_failures_total{reason}`.
    TokenRefused,
    /// `sessile_feed_restarts_total{why}`.
    FeedRestarts,
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 5] =
        [Self::Events, Self::SessionsEnded, Self::CsrfRejected, Self::TokenRefused, Self::FeedRestarts];

    /// Metric name, label name and help.
    pub const fn describe(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Events => ("sessile_events_total", "event", "Security events."),
            Self::SessionsEnded => ("sessile_sessions_ended_total", "reason", "Sessions ended on this node's order."),
            Self::CsrfRejected => ("sessile_csrf_rejected_total", "reason", "Requests refused as cross-site."),
            Self::TokenRefused => ("sessile_jwt_verify_failures_total", "reason", "Access tokens refused."),
            Self::FeedRestarts => ("sessile_feed_restarts_total", "why", "Times the view had to begin anew."),
        }
    }
}

impl Metrics {
    pub(crate) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Entries of the feed that this node knew of and had not read, as of the last page.
    pub fn feed_lag(&self) -> u64 {
        self.feed_lag.load(Ordering::Relaxed)
    }

    pub(crate) fn note_feed_lag(&self, entries: u64) {
        self.feed_lag.store(entries, Ordering::Relaxed);
    }

    pub(crate) fn count(&self, family: Family, label: &'static str) {
        self.count_by(family, label, 1);
    }

    pub(crate) fn count_by(&self, family: Family, label: &'static str, by: u64) {
        let mut labelled = self.labelled.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *labelled.entry((family, label)).or_default() += by;
    }

    /// Label and value of every counter of a family that has counted.
    pub fn family(&self, family: Family) -> Vec<(&'static str, u64)> {
        let labelled = self.labelled.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        labelled.iter().filter(|((of, _), _)| *of == family).map(|((_, label), n)| (*label, *n)).collect()
    }
}
