//! How long things last: the numbers of a session's life, with their reasons.

use core::time::Duration;

/// The limits of sessions and tokens. Defaults are product.md section 11.
///
/// A running session is judged by the shorter of what was agreed at sign-in and what is configured now, so
/// a shortened limit applies to live sessions too (E22) and a lengthened one never stretches them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Life of an access token. Short enough to matter.
    pub access: Duration,
    /// Part of `access`, in percent, by which each token's life is randomly shortened, so that sessions that
    /// began together do not renew together.
    pub access_jitter_percent: u8,
    /// A session without activity for this long ends.
    pub idle: Duration,
    /// A session ends this long after sign-in, whatever happens.
    pub absolute: Duration,
    /// `absolute` for sessions with "remember me". Zero: not offered.
    pub remember: Duration,
    /// G: how long the preceding session token is still answered after its successor's receipt was confirmed,
    /// and the least time between two rotations.
    pub grace: Duration,
    /// T: the longest a node trusts its view without hearing from the store.
    pub staleness: Duration,
    /// Live sessions a subject may have; a further sign-in ends the oldest.
    pub sessions_per_subject: u32,
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

impl Limits {
    /// NIST SP 800-63B-4 AAL1: 30 days, no idle limit shorter than that.
    pub const AAL1: Self =
        Self { idle: Duration::from_secs(30 * DAY), absolute: Duration::from_secs(30 * DAY), ..Self::AAL2 };

    /// NIST SP 800-63B-4 AAL2: 24 hours, 1 hour idle. The default.
    pub const AAL2: Self = Self {
        access: Duration::from_secs(5 * MINUTE),
        access_jitter_percent: 5,
        idle: Duration::from_secs(HOUR),
        absolute: Duration::from_secs(DAY),
        remember: Duration::ZERO,
        grace: Duration::from_secs(10),
        staleness: Duration::from_secs(5),
        sessions_per_subject: 50,
    };

    /// NIST SP 800-63B-4 AAL3: 12 hours, 15 minutes idle.
    pub const AAL3: Self =
        Self { idle: Duration::from_secs(15 * MINUTE), absolute: Duration::from_secs(12 * HOUR), ..Self::AAL2 };

    /// What `remember` is when it is switched on without a number.
    pub const REMEMBER: Duration = Duration::from_secs(30 * DAY);

    /// The life of the access token that jitter shortens most.
    pub fn shortest_access(&self) -> Duration {
        self.access.saturating_sub(self.access / 100 * u32::from(self.access_jitter_percent))
    }

    /// The longest a session may last, remembered or not.
    pub fn longest_session(&self) -> Duration {
        self.absolute.max(self.remember)
    }

    /// A token is renewed when this little of its life is left: a tenth, at most 30 s.
    pub fn renew_ahead(&self) -> Duration {
        (self.access / 10).min(Duration::from_secs(30))
    }

    /// The absolute timeout of a session signed in with or without "remember me".
    pub fn absolute_for(&self, remember: bool) -> Duration {
        if remember { self.absolute.max(self.remember) } else { self.absolute }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::AAL2
    }
}
