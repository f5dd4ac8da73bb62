//! Between columns and values. What does not read back as what was written is damage, not a default.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use sessile_core::rotation::RotationState;
use sessile_core::{SessionId, Timestamp};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSqlOwned, ToSql, Type};

pub(super) use crate::column::{column, count, millis};
use crate::error::StoreError;
use crate::record::{SealedBlob, SealedSession};

/// The columns [`session`] reads, in its order, as a literal to build statements from.
macro_rules! session_columns {
    () => {
        "id, subject, storage, remember, created_at, authenticated_at, last_seen_at, absolute_end, idle, generation, \
         rotated_at, confirmed_at, client, sealed"
    };
}
pub(super) use session_columns;

/// How many there are.
pub(super) const SESSION_WIDTH: usize = 14;

/// The session whose columns begin at `first`.
pub(super) fn session(row: &Row, first: usize) -> Result<SealedSession, StoreError> {
    Ok(SealedSession {
        id: SessionId::from_bytes(octets(row, first)?),
        subject: parsed(row, first + 1)?,
        storage: parsed(row, first + 2)?,
        remember: get(row, first + 3)?,
        created_at: moment(row, first + 4)?,
        authenticated_at: moment(row, first + 5)?,
        last_seen_at: moment(row, first + 6)?,
        absolute_end: moment(row, first + 7)?,
        idle: Duration::from_millis(number(row, first + 8)?),
        rotation: RotationState {
            generation: number(row, first + 9)?,
            rotated_at: moment(row, first + 10)?,
            confirmed_at: optional_moment(row, first + 11)?,
        },
        client: json(row, first + 12)?,
        sealed: sealed(row, first + 13)?,
    })
}

/// A value as a parameter. Its type is sent along: statements have no names, so that a pooler may run each
/// transaction on whichever connection it likes.
pub(super) trait Parameter: ToSql + Sync {
    const TYPE: Type;
}

macro_rules! parameters {
    ($($value:ty => $one:ident, $array:ident;)+) => {$(
        impl Parameter for $value { const TYPE: Type = Type::$one; }
        impl Parameter for Option<$value> { const TYPE: Type = Type::$one; }
        impl Parameter for Vec<$value> { const TYPE: Type = Type::$array; }
        impl Parameter for Vec<Option<$value>> { const TYPE: Type = Type::$array; }
    )+};
}

parameters! {
    bool => BOOL, BOOL_ARRAY;
    i64 => INT8, INT8_ARRAY;
    &str => TEXT, TEXT_ARRAY;
    String => TEXT, TEXT_ARRAY;
    &[u8] => BYTEA, BYTEA_ARRAY;
}

pub(super) fn get<T: FromSqlOwned>(row: &Row, index: usize) -> Result<T, StoreError> {
    row.try_get(index).map_err(|fault| unreadable(row, index, fault))
}

pub(super) fn number(row: &Row, index: usize) -> Result<u64, StoreError> {
    get(row, index).map(count)
}

pub(super) fn moment(row: &Row, index: usize) -> Result<Timestamp, StoreError> {
    number(row, index).map(Timestamp::from_millis)
}

pub(super) fn optional_moment(row: &Row, index: usize) -> Result<Option<Timestamp>, StoreError> {
    let millis: Option<i64> = get(row, index)?;
    Ok(millis.map(|millis| Timestamp::from_millis(count(millis))))
}

pub(super) fn octets<const N: usize>(row: &Row, index: usize) -> Result<[u8; N], StoreError> {
    let bytes: Vec<u8> = get(row, index)?;
    bytes.try_into().map_err(|_| unreadable(row, index, format_args!("not {N} octets")))
}

pub(super) fn sealed(row: &Row, index: usize) -> Result<SealedBlob, StoreError> {
    get(row, index).map(SealedBlob::from_bytes)
}

pub(super) fn parsed<T: FromStr<Err: Display>>(row: &Row, index: usize) -> Result<T, StoreError> {
    let text: String = get(row, index)?;
    text.parse().map_err(|fault: T::Err| unreadable(row, index, fault))
}

pub(super) fn json<T: serde::de::DeserializeOwned>(row: &Row, index: usize) -> Result<T, StoreError> {
    let text: String = get(row, index)?;
    serde_json::from_str(&text).map_err(|fault| unreadable(row, index, fault))
}

pub(super) fn to_json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|fault| StoreError::Internal(fault.to_string()))
}

pub(super) fn unreadable(row: &Row, index: usize, fault: impl Display) -> StoreError {
    let name = row.columns().get(index).map_or("?", |column| column.name());
    StoreError::Corrupt(format!("a value in the column {name} is not one of ours: {fault}"))
}
