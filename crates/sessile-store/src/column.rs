//! Numbers in the signed columns of SQL databases.

use sessile_core::Timestamp;

/// A moment as a column holds it; later than a column can hold is the latest it can.
pub(crate) fn millis(moment: Timestamp) -> i64 {
    column(moment.as_millis())
}

/// A number as a column holds it.
pub(crate) fn column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number read back; none of ours is ever negative.
pub(crate) fn count(column: i64) -> u64 {
    u64::try_from(column).unwrap_or(0)
}
