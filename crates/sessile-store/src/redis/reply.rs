//! Between the server's replies and values. What does not read back as what was written is damage, not a default.

use std::error::Error;
use std::str::FromStr;

use redis::Value;
use sessile_core::Timestamp;

use crate::error::StoreError;

/// The parts of a reply that is a list; an absent one is an empty list.
pub(super) fn parts(value: Value) -> Result<Vec<Value>, StoreError> {
    match value {
        Value::Array(values) | Value::Set(values) => Ok(values),
        Value::Nil => Ok(Vec::new()),
        other => Err(unexpected("a list", &other)),
    }
}

/// A list of so many parts.
pub(super) fn exactly<const N: usize>(value: Value) -> Result<[Value; N], StoreError> {
    parts(value)?
        .try_into()
        .map_err(|values: Vec<Value>| StoreError::Internal(format!("{} parts where {N} belong", values.len())))
}

/// Something, or nothing.
pub(super) fn optional<T>(
    value: Value,
    read: impl FnOnce(Value) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    if value == Value::Nil { Ok(None) } else { read(value).map(Some) }
}

pub(super) fn list<T>(value: Value, read: impl Fn(Value) -> Result<T, StoreError>) -> Result<Vec<T>, StoreError> {
    parts(value)?.into_iter().map(read).collect()
}

pub(super) fn bytes(value: Value) -> Result<Vec<u8>, StoreError> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        Value::SimpleString(text) => Ok(text.into_bytes()),
        Value::Int(number) => Ok(number.to_string().into_bytes()),
        Value::Okay => Ok(b"OK".to_vec()),
        other => Err(unexpected("text", &other)),
    }
}

pub(super) fn text(value: Value) -> Result<String, StoreError> {
    String::from_utf8(bytes(value)?).map_err(|_| StoreError::Corrupt("text that is not UTF-8".to_owned()))
}

pub(super) fn number(value: Value) -> Result<u64, StoreError> {
    parsed(value)
}

pub(super) fn moment(value: Value) -> Result<Timestamp, StoreError> {
    number(value).map(Timestamp::from_millis)
}

pub(super) fn optional_moment(value: Value) -> Result<Option<Timestamp>, StoreError> {
    let bytes = bytes(value)?;
    if bytes.is_empty() { Ok(None) } else { moment(Value::BulkString(bytes)).map(Some) }
}

pub(super) fn parsed<T: FromStr<Err: Error>>(value: Value) -> Result<T, StoreError> {
    let text = text(value)?;
    text.parse().map_err(|fault| StoreError::Corrupt(format!("{text:?} does not read back: {fault}")))
}

pub(super) fn json<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, StoreError> {
    serde_json::from_slice(&bytes(value)?)
        .map_err(|fault| StoreError::Corrupt(format!("JSON that does not read back: {fault}")))
}

pub(super) fn to_json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|fault| StoreError::Internal(format!("no JSON: {fault}")))
}

/// Octets as the keys and fields hold them: their order as text is their order as octets.
pub(super) fn hex(octets: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    octets
        .iter()
        .flat_map(|octet| [octet >> 4, octet & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

pub(super) fn octets(value: Value) -> Result<[u8; 16], StoreError> {
    let text = text(value)?;
    let damaged = || StoreError::Corrupt(format!("{text:?} is no identifier"));
    if text.len() != 32 || !text.is_ascii() {
        return Err(damaged());
    }
    let mut octets = [0; 16];
    for (place, octet) in octets.iter_mut().enumerate() {
        *octet = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).map_err(|_| damaged())?;
    }
    Ok(octets)
}

/// A script answered in a way that none of ours does.
pub(super) fn unknown(verb: &str, word: &str) -> StoreError {
    StoreError::Internal(format!("the script `{verb}` answered {word:?}"))
}

fn unexpected(what: &str, found: &Value) -> StoreError {
    // Not the value: it may be a sealed one.
    let kind = match found {
        Value::Nil => "nothing",
        Value::Array(_) => "a list",
        _ => "something else",
    };
    StoreError::Corrupt(format!("{kind} where {what} belongs"))
}
