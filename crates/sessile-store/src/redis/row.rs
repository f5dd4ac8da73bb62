//! Between records and the fields of the scripts' lists, in their order.

use std::time::Duration;

use redis::Value;
use sessile_core::crypto::Algorithm;
use sessile_core::event::Event;
use sessile_core::id::TokenId;
use sessile_core::revocation::{FeedEntry, FeedItem, Phase, Reason, Seq};
use sessile_core::rotation::RotationState;
use sessile_core::{SessionId, Timestamp};

use super::reply::{
    bytes, exactly, hex, json, list, moment, number, octets, optional_moment, parsed, parts, text, to_json,
};
use super::script::Call;
use crate::error::StoreError;
use crate::record::{FailureCount, SealedAccount, SealedBlob, SealedKey, SealedSession, StoredEvent, TokenRow};

pub(super) fn millis(moment: Timestamp) -> u64 {
    moment.as_millis()
}

/// A moment that may not have come, as text: empty if it has not.
pub(super) fn optional_millis(moment: Option<Timestamp>) -> String {
    moment.map_or_else(String::new, |moment| moment.as_millis().to_string())
}

pub(super) fn with_session(call: Call, session: &SealedSession) -> Result<Call, StoreError> {
    Ok(call
        .with(hex(session.id.as_bytes()))
        .with(session.subject.as_str())
        .with(session.storage.name())
        .with(u8::from(session.remember))
        .with(millis(session.created_at))
        .with(millis(session.authenticated_at))
        .with(millis(session.last_seen_at))
        .with(millis(session.absolute_end))
        .with(u64::try_from(session.idle.as_millis()).unwrap_or(u64::MAX))
        .with(session.rotation.generation)
        .with(millis(session.rotation.rotated_at))
        .with(optional_millis(session.rotation.confirmed_at))
        .with(to_json(&session.client)?)
        .with(session.sealed.as_bytes()))
}

pub(super) fn session(value: Value) -> Result<SealedSession, StoreError> {
    let [
        id,
        subject,
        storage,
        remember,
        created_at,
        authenticated_at,
        last_seen_at,
        absolute_end,
        idle,
        generation,
        rotated_at,
        confirmed_at,
        client,
        sealed,
    ] = exactly(value)?;
    Ok(SealedSession {
        id: SessionId::from_bytes(octets(id)?),
        subject: parsed(subject)?,
        storage: parsed(storage)?,
        remember: number(remember)? == 1,
        created_at: moment(created_at)?,
        authenticated_at: moment(authenticated_at)?,
        last_seen_at: moment(last_seen_at)?,
        absolute_end: moment(absolute_end)?,
        idle: Duration::from_millis(number(idle)?),
        rotation: RotationState {
            generation: number(generation)?,
            rotated_at: moment(rotated_at)?,
            confirmed_at: optional_moment(confirmed_at)?,
        },
        client: json(client)?,
        sealed: blob(sealed)?,
    })
}

pub(super) fn with_token(call: Call, row: &TokenRow) -> Call {
    call.with(hex(row.id.as_bytes()))
        .with(hex(row.session.as_bytes()))
        .with(row.subject.as_str())
        .with(millis(row.issued_at))
        .with(millis(row.expires_at))
        .with(optional_millis(row.last_used_at))
}

pub(super) fn token(value: Value) -> Result<TokenRow, StoreError> {
    let [id, session, subject, issued_at, expires_at, last_used_at] = exactly(value)?;
    Ok(TokenRow {
        id: TokenId::from_bytes(octets(id)?),
        session: SessionId::from_bytes(octets(session)?),
        subject: parsed(subject)?,
        issued_at: moment(issued_at)?,
        expires_at: moment(expires_at)?,
        last_used_at: optional_moment(last_used_at)?,
    })
}

pub(super) fn with_key(call: Call, key: &SealedKey) -> Call {
    call.with(key.id.as_str())
        .with(key.algorithm.name())
        .with(millis(key.created_at))
        .with(millis(key.active_from))
        .with(optional_millis(key.revoked_at))
        .with(key.sealed.as_bytes())
}

pub(super) fn key(value: Value) -> Result<SealedKey, StoreError> {
    let [id, algorithm, created_at, active_from, revoked_at, sealed] = exactly(value)?;
    let algorithm = text(algorithm)?;
    Ok(SealedKey {
        id: parsed(id)?,
        algorithm: Algorithm::from_name(&algorithm).ok_or_else(|| {
            StoreError::Corrupt(format!(
                "a stored signing key is for the algorithm {algorithm:?}, which this program does not know"
            ))
        })?,
        created_at: moment(created_at)?,
        active_from: moment(active_from)?,
        revoked_at: optional_moment(revoked_at)?,
        sealed: blob(sealed)?,
    })
}

pub(super) fn with_account(call: Call, account: &SealedAccount) -> Call {
    call.with(account.name.as_str())
        .with(account.subject.as_str())
        .with(millis(account.created_at))
        .with(millis(account.password_set_at))
        .with(optional_millis(account.disabled_at))
        .with(account.sealed.as_bytes())
}

pub(super) fn account(value: Value) -> Result<SealedAccount, StoreError> {
    let [name, subject, created_at, password_set_at, disabled_at, sealed] = exactly(value)?;
    Ok(SealedAccount {
        name: parsed(name)?,
        subject: parsed(subject)?,
        created_at: moment(created_at)?,
        password_set_at: moment(password_set_at)?,
        disabled_at: optional_moment(disabled_at)?,
        sealed: blob(sealed)?,
    })
}

pub(super) fn failures(value: Value) -> Result<FailureCount, StoreError> {
    let [count, first, last] = exactly(value)?;
    Ok(FailureCount { count: parsed(count)?, first: moment(first)?, last: moment(last)? })
}

pub(super) fn with_event(call: Call, event: &Event) -> Result<Call, StoreError> {
    let client = event.client.as_ref().map(to_json).transpose()?.unwrap_or_default();
    Ok(call
        .with(millis(event.at))
        .with(event.name.name())
        .with(event.reason)
        .with(event.subject.as_ref().map_or("", |subject| subject.as_str()))
        .with(event.session.map_or_else(String::new, |id| hex(id.as_bytes())))
        .with(client)
        .with(event.request.as_ref().map_or("", |id| id.0.as_str())))
}

pub(super) fn event(value: Value) -> Result<StoredEvent, StoreError> {
    let (seq, fields) = stream_entry(value)?;
    let [at, name, reason, subject, session, client, request] =
        fields.try_into().map_err(|_| StoreError::Corrupt("an event has too few fields".to_owned()))?;
    Ok(StoredEvent {
        seq,
        at: moment(at)?,
        name: text(name)?,
        reason: text(reason)?,
        subject: unless_empty(subject, parsed)?,
        session: unless_empty(session, octets)?.map(SessionId::from_bytes),
        client: unless_empty(client, json)?,
        request: unless_empty(request, text)?,
    })
}

pub(super) fn feed_entries(value: Value) -> Result<Vec<FeedEntry>, StoreError> {
    list(value, feed_entry)
}

fn feed_entry(value: Value) -> Result<FeedEntry, StoreError> {
    let (seq, fields) = stream_entry(value)?;
    let [_at, kind, session, reason, _mark] =
        fields.try_into().map_err(|_| StoreError::Corrupt("a feed entry has too few fields".to_owned()))?;
    let item = match text(kind)?.as_str() {
        "ended" => FeedItem::Ended(SessionId::from_bytes(octets(session)?), reason_of(reason)?),
        "all_ended" => FeedItem::AllEnded(reason_of(reason)?),
        "keys_changed" => FeedItem::KeysChanged,
        kind => return Err(unknown_entry("kind", kind)),
    };
    Ok(FeedEntry { seq: Seq(seq), item })
}

fn reason_of(value: Value) -> Result<Reason, StoreError> {
    let name = text(value)?;
    Reason::from_name(&name).ok_or_else(|| unknown_entry("reason", &name))
}

// A newer program wrote it. Skipping it could hide a revocation, so it is a fault (N5).
fn unknown_entry(what: &str, found: &str) -> StoreError {
    StoreError::Corrupt(format!("a feed entry of the {what} {found:?}, which this program does not know"))
}

/// The number a stream's entry has, and the values of its fields.
fn stream_entry(value: Value) -> Result<(u64, Vec<Value>), StoreError> {
    let [id, fields] = exactly(value)?;
    Ok((place(id)?, parts(fields)?.into_iter().skip(1).step_by(2).collect()))
}

/// The number before the dash of a stream's identifier; ours have nothing behind it.
pub(super) fn place(value: Value) -> Result<u64, StoreError> {
    let id = text(value)?;
    let number = id.split('-').next().unwrap_or_default();
    number.parse().map_err(|_| StoreError::Corrupt(format!("{id:?} is no place in a stream")))
}

fn unless_empty<T>(value: Value, read: impl FnOnce(Value) -> Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    let bytes = bytes(value)?;
    if bytes.is_empty() { Ok(None) } else { read(Value::BulkString(bytes)).map(Some) }
}

pub(super) fn phase(value: Value) -> Result<Phase, StoreError> {
    let name = text(value)?;
    let unknown = || StoreError::Corrupt(format!("the store is in a phase {name:?}, which this program does not know"));
    Phase::from_name(&name).ok_or_else(unknown)
}

pub(super) fn blob(value: Value) -> Result<SealedBlob, StoreError> {
    bytes(value).map(SealedBlob::from_bytes)
}
