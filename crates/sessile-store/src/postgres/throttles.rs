//! The statements for failure counters.

use sessile_core::Timestamp;
use tokio_postgres::Row;

use super::flight::statement;
use super::lanes::Lanes;
use super::row::{column, millis, moment, number};
use super::server::miscounted;
use crate::error::StoreError;
use crate::record::{FailureCount, ThrottleKey};

// A counter is nothing but a number of failures: adding to one that is not there and to one that is are the same
// step, so this is the one statement here that may do either.
pub(super) async fn note(lanes: &Lanes, key: &ThrottleKey, now: Timestamp) -> Result<FailureCount, StoreError> {
    const NOTE: &str = "INSERT INTO failures (key, count, first_at, last_at) VALUES ($1, 1, $2, $2)
        ON CONFLICT (key) DO UPDATE SET count = least(failures.count + 1, 4294967295),
            last_at = greatest(failures.last_at, excluded.last_at)
        RETURNING count, first_at, last_at";
    let (key, now): (&[u8], i64) = (key.as_bytes(), millis(now));
    let answers = lanes.write(&[statement!(NOTE, key, now)]).await?;
    failures(answers.first().and_then(|answer| answer.rows.first()).ok_or_else(miscounted)?)
}

pub(super) async fn read(lanes: &Lanes, key: &ThrottleKey) -> Result<FailureCount, StoreError> {
    let key: &[u8] = key.as_bytes();
    let answers =
        lanes.read(&[statement!("SELECT count, first_at, last_at FROM failures WHERE key = $1", key)]).await?;
    answers.first().and_then(|answer| answer.rows.first()).map_or_else(|| Ok(FailureCount::default()), failures)
}

pub(super) async fn clear(lanes: &Lanes, key: &ThrottleKey) -> Result<(), StoreError> {
    let key: &[u8] = key.as_bytes();
    lanes.write(&[statement!("DELETE FROM failures WHERE key = $1", key)]).await.map(drop)
}

pub(super) async fn sweep(lanes: &Lanes, before: Timestamp, keep: u64) -> Result<u64, StoreError> {
    // What is locked is being counted on, so it is not old.
    const OLD: &str = "DELETE FROM failures WHERE key IN
        (SELECT key FROM failures WHERE last_at < $1 ORDER BY key FOR UPDATE SKIP LOCKED)";
    const BEYOND: &str = "WITH lowest AS (SELECT key FROM failures ORDER BY count, last_at, key
            LIMIT greatest(0, (SELECT count(*) FROM failures) - $1) FOR UPDATE SKIP LOCKED)
        DELETE FROM failures WHERE key IN (SELECT key FROM lowest)";
    let (before, keep) = (millis(before), column(keep));
    let answers = lanes.write(&[statement!(OLD, before), statement!(BEYOND, keep)]).await?;
    Ok(answers.iter().map(|answer| answer.affected).sum())
}

fn failures(row: &Row) -> Result<FailureCount, StoreError> {
    Ok(FailureCount {
        count: u32::try_from(number(row, 0)?).unwrap_or(u32::MAX),
        first: moment(row, 1)?,
        last: moment(row, 2)?,
    })
}
