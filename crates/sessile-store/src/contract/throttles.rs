//! Counting sign-in failures.

use async_trait::async_trait;
use sessile_core::Timestamp;

use crate::error::StoreError;
use crate::record::{FailureCount, ThrottleKey};

/// Failure counters.
///
/// To be race free a caller counts the attempt *before* it checks the password and clears the counter after a
/// success: of a hundred parallel tries at the limit, each sees its own number (K6).
#[async_trait]
pub trait Throttles {
    /// Counts one failure and answers the count with it.
    async fn note_failure(&self, key: &ThrottleKey, now: Timestamp) -> Result<FailureCount, StoreError>;

    /// The count; zero if there is none.
    async fn failures(&self, key: &ThrottleKey) -> Result<FailureCount, StoreError>;

    /// Forgets a counter, after a success.
    async fn clear_failures(&self, key: &ThrottleKey) -> Result<(), StoreError>;

    /// Drops counters whose last failure was before `before`; if more than `keep` are left, the lowest counts go
    /// first, then the oldest, so that a flood of single failures does not wash a lock away. Answers how
    /// many were dropped.
    async fn sweep_failures(&self, before: Timestamp, keep: u64) -> Result<u64, StoreError>;
}
