//! The statements for failure counters.

use rusqlite::{Connection, OptionalExtension, Result, Row, params};
use sessile_core::Timestamp;

use super::row::{column, count, millis, moment};
use crate::record::{FailureCount, ThrottleKey};

// A counter is nothing but a number of failures: adding to one that is not there and to one that is are the same
// step, so this is the one statement here that may do either.
pub(super) fn note(connection: &Connection, key: &ThrottleKey, now: Timestamp) -> Result<FailureCount> {
    connection
        .prepare_cached(
            "INSERT INTO failures (key, count, first_at, last_at) VALUES (?1, 1, ?2, ?2)
             ON CONFLICT (key) DO UPDATE SET
                 count = min(count + 1, 4294967295), last_at = max(last_at, excluded.last_at)
             RETURNING count, first_at, last_at",
        )?
        .query_row(params![key.as_bytes(), millis(now)], failures)
}

pub(super) fn read(connection: &Connection, key: &ThrottleKey) -> Result<FailureCount> {
    connection
        .prepare_cached("SELECT count, first_at, last_at FROM failures WHERE key = ?")?
        .query_row([key.as_bytes()], failures)
        .optional()
        .map(Option::unwrap_or_default)
}

pub(super) fn clear(connection: &Connection, key: &ThrottleKey) -> Result<()> {
    connection.prepare_cached("DELETE FROM failures WHERE key = ?")?.execute([key.as_bytes()])?;
    Ok(())
}

pub(super) fn sweep(connection: &Connection, before: Timestamp, keep: u64) -> Result<u64> {
    let old = connection.execute("DELETE FROM failures WHERE last_at < ?", [millis(before)])?;
    let beyond = connection.execute(
        "DELETE FROM failures WHERE key IN (SELECT key FROM failures ORDER BY count, last_at, key
             LIMIT max(0, (SELECT count(*) FROM failures) - ?))",
        [column(keep)],
    )?;
    Ok((old + beyond) as u64)
}

fn failures(row: &Row<'_>) -> Result<FailureCount> {
    let failures = count(row.get(0)?);
    Ok(FailureCount {
        count: u32::try_from(failures).unwrap_or(u32::MAX),
        first: moment(row, 1)?,
        last: moment(row, 2)?,
    })
}
