//! The node's memory of tokens whose signature it has checked, and of those that it keeps for a session token.
//!
//! A memo of a pure function, keyed by the digest of the exact bytes presented: it saves the signature check, never
//! the judgement. Another spelling of the same token is merely verified again. Whether the session
//! lives, and whether its record was seen in the view's present lineage, is asked on every request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use quick_cache::sync::Cache;
use sessile_core::revocation::Lineage;
use sessile_core::storage::Renewal;
use sessile_core::token::VerifiedToken;
use sessile_core::{Moment, Monotonic};

pub(crate) struct WarmTokens {
    tokens: Cache<[u8; 32], Arc<Warm>>,
    /// The longest a token is remembered that its storage never renews: after that its session's record is seen anew, well
    /// before an idle timeout as short as an access token's life. It bounds how long a view must remember that a session
    /// has ended, however long tokens live.
    trust: Duration,
}

/// A verified token and what this node knows about it.
pub(crate) struct Warm {
    pub(crate) token: Arc<VerifiedToken>,
    /// The ring it was verified with: a revoked key makes it cold again.
    pub(crate) ring: u64,
    /// When it is over, or must be proved anew, by the monotonic clock, so that setting the wall clock back does not revive it (JA-67).
    deadline: Monotonic,
    seen: AtomicU64,
    confirmed: AtomicBool,
    used: AtomicBool,
}

const NEVER_SEEN: u64 = 0;

impl WarmTokens {
    pub(crate) fn new(capacity: usize, trust: Duration) -> Self {
        Self { tokens: Cache::new(capacity.max(16)), trust }
    }

    pub(crate) fn get(&self, digest: &[u8; 32], ring: u64, now: Monotonic) -> Option<Arc<Warm>> {
        self.tokens.get(digest).filter(|warm| warm.ring == ring && now < warm.deadline)
    }

    pub(crate) fn insert(&self, digest: [u8; 32], token: Arc<VerifiedToken>, ring: u64, now: Moment) -> Arc<Warm> {
        let left = token.claims().expires_at.since(now.wall);
        let left = match token.claims().storage.shape().renewal {
            Renewal::Transparent | Renewal::ByClient => left,
            Renewal::Never => left.min(self.trust),
        };
        let warm = Arc::new(Warm {
            token,
            ring,
            deadline: now.mono.plus(left),
            seen: AtomicU64::new(NEVER_SEEN),
            confirmed: AtomicBool::new(false),
            used: AtomicBool::new(false),
        });
        self.tokens.insert(digest, warm.clone());
        warm
    }

    pub(crate) fn remove(&self, digest: &[u8; 32]) {
        self.tokens.remove(digest);
    }
}

impl Warm {
    /// The lineage in which the session's record was last seen.
    pub(crate) fn seen(&self) -> Option<Lineage> {
        match self.seen.load(Ordering::Acquire) {
            NEVER_SEEN => None,
            number => Some(Lineage::from_number(number)),
        }
    }

    /// Notes that the record was there in a read begun in `lineage`.
    pub(crate) fn saw_record(&self, lineage: Lineage) {
        self.seen.fetch_max(lineage.number(), Ordering::AcqRel);
    }

    /// Whether the store knows that this token's generation has arrived.
    pub(crate) fn is_confirmed(&self) -> bool {
        self.confirmed.load(Ordering::Acquire)
    }

    /// Whether no request has passed with it before, since it is remembered.
    pub(crate) fn is_first_use(&self) -> bool {
        !self.used.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn set_confirmed(&self) {
        self.confirmed.store(true, Ordering::Release);
    }
}

impl std::fmt::Debug for WarmTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WarmTokens({})", self.tokens.len())
    }
}
