//! The statements for signing keys.

use rusqlite::{Connection, OptionalExtension, Result, Row, params};
use sessile_core::Timestamp;
use sessile_core::crypto::{Algorithm, KeyRefused};
use sessile_core::revocation::FeedItem;
use sessile_core::token::KeyId;

use super::feed;
use super::row::{millis, moment, optional_moment, parsed, unreadable};
use crate::contract::{KeyAddition, KeyRevocation};
use crate::record::{SealedBlob, SealedKey};

pub(super) fn load(connection: &Connection) -> Result<Vec<SealedKey>> {
    connection
        .prepare_cached(
            "SELECT id, algorithm, created_at, active_from, revoked_at, sealed FROM signing_keys ORDER BY place",
        )?
        .query_map([], key)?
        .collect()
}

pub(super) fn add(connection: &Connection, new: &SealedKey, expected_newest: Option<&KeyId>) -> Result<KeyAddition> {
    let taken = connection.prepare_cached("SELECT 1 FROM signing_keys WHERE id = ?")?.exists([new.id.as_str()])?;
    if taken || newest(connection)?.as_deref() != expected_newest.map(KeyId::as_str) {
        return Ok(KeyAddition::Lost);
    }
    put(connection, new)?;
    feed::append(connection, FeedItem::KeysChanged, new.created_at)?;
    Ok(KeyAddition::Added)
}

/// Writes a key whose id is free, as the newest.
pub(super) fn put(connection: &Connection, new: &SealedKey) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO signing_keys (id, algorithm, created_at, active_from, revoked_at, sealed)
             VALUES (?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            new.id.as_str(),
            new.algorithm.name(),
            millis(new.created_at),
            millis(new.active_from),
            new.revoked_at.map(millis),
            new.sealed.as_bytes(),
        ])?;
    Ok(())
}

pub(super) fn revoke(connection: &Connection, id: &KeyId, now: Timestamp) -> Result<KeyRevocation> {
    let changed = connection
        .prepare_cached("UPDATE signing_keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL")?
        .execute(params![millis(now), id.as_str()])?;
    if changed > 0 {
        feed::append(connection, FeedItem::KeysChanged, now)?;
        return Ok(KeyRevocation::Revoked);
    }
    let known = connection.prepare_cached("SELECT 1 FROM signing_keys WHERE id = ?")?.exists([id.as_str()])?;
    Ok(if known { KeyRevocation::AlreadyRevoked } else { KeyRevocation::NoSuchKey })
}

pub(super) fn forget(connection: &Connection, ids: &[KeyId], now: Timestamp) -> Result<u32> {
    let mut forgotten = 0;
    for id in ids {
        forgotten += connection
            .prepare_cached("DELETE FROM signing_keys WHERE id = ? AND place < (SELECT max(place) FROM signing_keys)")?
            .execute([id.as_str()])?;
    }
    if forgotten > 0 {
        feed::append(connection, FeedItem::KeysChanged, now)?;
    }
    Ok(u32::try_from(forgotten).unwrap_or(u32::MAX))
}

fn newest(connection: &Connection) -> Result<Option<String>> {
    connection
        .prepare_cached("SELECT id FROM signing_keys ORDER BY place DESC LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()
}

fn key(row: &Row<'_>) -> Result<SealedKey> {
    let algorithm: String = row.get(1)?;
    Ok(SealedKey {
        id: parsed(row, 0)?,
        algorithm: Algorithm::from_name(&algorithm).ok_or_else(|| {
            unreadable(1, KeyRefused("a stored signing key is for an algorithm this program does not know"))
        })?,
        created_at: moment(row, 2)?,
        active_from: moment(row, 3)?,
        revoked_at: optional_moment(row, 4)?,
        sealed: SealedBlob::from_bytes(row.get(5)?),
    })
}
