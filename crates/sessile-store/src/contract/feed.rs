//! The revocation feed: what every node's view follows.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use async_trait::async_trait;
use sessile_core::Timestamp;
use sessile_core::revocation::{Epoch, FeedPage, Reason, Seq};
#[cfg(any(feature = "memory", feature = "postgres", feature = "redis", feature = "sqlite"))]
use tokio::sync::watch;

use crate::error::StoreError;

/// A backend may forget an entry once this many newer ones exist. A node that missed it begins a new lineage, so
/// a short feed costs lookups, never a missed revocation.
pub const FEED_KEEP_ENTRIES: u64 = 100_000;

/// A backend may forget an entry once it is older than this.
pub const FEED_KEEP_FOR: Duration = Duration::from_secs(600);

/// The feed. Entries become visible in the order of their numbers, without holes: a reader that saw number n has
/// seen all that will ever be before it.
#[async_trait]
pub trait Feed {
    /// At most `limit` entries after `after`, and where the feed stands, all of one instant. A page whose
    /// `oldest` is more than one past `after` tells the reader that entries were forgotten before it came.
    async fn feed(&self, after: Seq, limit: u32) -> Result<FeedPage, StoreError>;

    /// Resolves once the feed has moved past `after` or changed its history, whoever wrote it, and at the latest
    /// after one second. A hint: the truth is in [`feed`](Self::feed).
    async fn changed(&self, after: Seq);

    /// Whether the history has gone on unbroken since it was last written, as far as the store can tell (S7).
    async fn continuity(&self) -> Result<Continuity, StoreError>;

    /// Ends every session and begins a new history under a new epoch, in one transaction; appends
    /// [`AllEnded`](sessile_core::revocation::FeedItem::AllEnded). Afterwards [`continuity`](Self::continuity) is
    /// unbroken again.
    async fn restart_history(&self, reason: Reason, now: Timestamp) -> Result<(), StoreError>;
}

/// Whether acknowledged writes may be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Continuity {
    /// None are, as far as the store can tell.
    Unbroken,
    /// Some are: the store is older than what was acknowledged. Revocations may be lost, so every session must
    /// end before anything is served.
    Lost {
        /// What was noticed, for the log.
        what: String,
    },
}

/// An epoch for a new history, or the name of a move. It must differ from any other, and need not be secret: the seed that std draws from the
/// system for each hash map will do, and keeps entropy out of a constructor that cannot fail.
pub(crate) fn fresh_epoch() -> Epoch {
    let halves = [RandomState::new().hash_one(0_u8), RandomState::new().hash_one(1_u8)];
    let mut bytes = [0; 16];
    for (place, half) in bytes.chunks_exact_mut(8).zip(halves) {
        place.copy_from_slice(&half.to_be_bytes());
    }
    Epoch(bytes)
}

/// Waits until the position has passed `after` or belongs to another history, at most a second.
#[cfg(any(feature = "memory", feature = "postgres", feature = "redis", feature = "sqlite"))]
pub(crate) async fn wait_for_change(position: &watch::Sender<(Epoch, Seq)>, after: Seq) {
    const LONGEST: Duration = Duration::from_secs(1);
    let mut receiver = position.subscribe();
    let (epoch, _) = *receiver.borrow_and_update();
    let moved = receiver.wait_for(|(now, head)| *now != epoch || *head != after);
    // Either end of the wait is an invitation to read the feed.
    let _ = tokio::time::timeout(LONGEST, moved).await;
}
