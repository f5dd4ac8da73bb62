//! Between columns and values. What does not read back as what was written is damage, not a default.

use std::error::Error;
use std::str::FromStr;
use std::time::Duration;

use rusqlite::types::Type;
use rusqlite::{Error as SqlError, Result, Row};
use sessile_core::rotation::RotationState;
use sessile_core::{SessionId, Timestamp};

pub(super) use crate::column::{column, count, millis};
use crate::record::{SealedBlob, SealedSession};

/// The columns [`session`] reads, in its order.
pub(super) const SESSION: &str = "id, subject, storage, remember, created_at, authenticated_at, last_seen_at, \
     absolute_end, idle, generation, rotated_at, confirmed_at, client, sealed";

pub(super) fn session(row: &Row<'_>) -> Result<SealedSession> {
    Ok(SealedSession {
        id: SessionId::from_bytes(row.get(0)?),
        subject: parsed(row, 1)?,
        storage: parsed(row, 2)?,
        remember: row.get(3)?,
        created_at: moment(row, 4)?,
        authenticated_at: moment(row, 5)?,
        last_seen_at: moment(row, 6)?,
        absolute_end: moment(row, 7)?,
        idle: Duration::from_millis(count(row.get(8)?)),
        rotation: RotationState {
            generation: count(row.get(9)?),
            rotated_at: moment(row, 10)?,
            confirmed_at: optional_moment(row, 11)?,
        },
        client: json(row, 12)?,
        sealed: SealedBlob::from_bytes(row.get(13)?),
    })
}

pub(super) fn moment(row: &Row<'_>, index: usize) -> Result<Timestamp> {
    Ok(Timestamp::from_millis(count(row.get(index)?)))
}

pub(super) fn optional_moment(row: &Row<'_>, index: usize) -> Result<Option<Timestamp>> {
    let millis: Option<i64> = row.get(index)?;
    Ok(millis.map(|millis| Timestamp::from_millis(count(millis))))
}

pub(super) fn parsed<T: FromStr<Err: Error + Send + Sync + 'static>>(row: &Row<'_>, index: usize) -> Result<T> {
    let text: String = row.get(index)?;
    text.parse().map_err(|fault: T::Err| unreadable(index, fault))
}

pub(super) fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, index: usize) -> Result<T> {
    let text: String = row.get(index)?;
    serde_json::from_str(&text).map_err(|fault| unreadable(index, fault))
}

pub(super) fn to_json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|fault| SqlError::ToSqlConversionFailure(Box::new(fault)))
}

pub(super) fn unreadable(index: usize, fault: impl Error + Send + Sync + 'static) -> SqlError {
    SqlError::FromSqlConversionFailure(index, Type::Text, Box::new(fault))
}
