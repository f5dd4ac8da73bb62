//! The statements of the session verbs.

use rusqlite::{Connection, OptionalExtension, Result, named_params, params};
use sessile_core::revocation::{FeedItem, Reason, Scope};
use sessile_core::rotation::Generation;
use sessile_core::{SessionId, Subject, Timestamp};

use super::feed;
use super::row::{SESSION, column, count, millis, session, to_json};
use crate::contract::{Confirmation, Insertion, Revoked, RotateOutcome};
use crate::record::SealedSession;

// The index for sweeping holds the end in steps of ten minutes: activity moves it, and an index entry that moved
// with each renewal would cost more than the renewal.
const BUCKET_MILLIS: i64 = 10 * 60 * 1000;

// `now - last_seen_at` cannot overflow; `last_seen_at + idle` could.
pub(super) const NOT_OVER: &str = "absolute_end > :now AND :now - last_seen_at < idle";
const OVER: &str = "(absolute_end <= :now OR :now - last_seen_at >= idle)";

// Activity moves when a session was last seen, and with it the bucket of its end. idle and last_seen_at may lie at the
// ends of what a column holds: the bucket is capped by absolute_end first.
pub(super) const SEEN: &str = "last_seen_at = max(last_seen_at, :now),
     over_bucket = CASE WHEN absolute_end - idle <= max(last_seen_at, :now) THEN absolute_end
                        ELSE max(last_seen_at, :now) + idle END / 600000";
const _: () = assert!(BUCKET_MILLIS == 600_000);

pub(super) fn insert(connection: &Connection, new: &SealedSession, cap: u32) -> Result<Insertion> {
    let taken = connection.prepare_cached("SELECT 1 FROM sessions WHERE id = ?")?.exists([new.id.as_bytes()])?;
    if taken {
        return Ok(Insertion::IdTaken);
    }
    connection
        .prepare_cached(&format!("DELETE FROM sessions WHERE subject = :subject AND {OVER}"))?
        .execute(named_params! { ":subject": new.subject.as_str(), ":now": millis(new.created_at) })?;
    let evicted = oldest_beyond(connection, &new.subject, cap.max(1) - 1)?;
    for id in &evicted {
        delete(connection, *id)?;
        feed::append(connection, FeedItem::Ended(*id, Reason::Evicted), new.created_at)?;
    }
    put(connection, new)?;
    Ok(Insertion::Inserted { evicted })
}

/// Writes a record whose id is free.
pub(super) fn put(connection: &Connection, new: &SealedSession) -> Result<()> {
    connection
        .prepare_cached(&format!(
            "INSERT INTO sessions ({SESSION}, over_bucket) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        ))?
        .execute(params![
            new.id.as_bytes(),
            new.subject.as_str(),
            new.storage.name(),
            new.remember,
            millis(new.created_at),
            millis(new.authenticated_at),
            millis(new.last_seen_at),
            millis(new.absolute_end),
            idle_millis(new),
            column(new.rotation.generation),
            millis(new.rotation.rotated_at),
            new.rotation.confirmed_at.map(millis),
            to_json(&new.client)?,
            new.sealed.as_bytes(),
            millis(new.over_at()) / BUCKET_MILLIS,
        ])?;
    Ok(())
}

fn oldest_beyond(connection: &Connection, subject: &Subject, room: u32) -> Result<Vec<SessionId>> {
    let mut statement = connection.prepare_cached(
        "SELECT id FROM sessions WHERE subject = ? ORDER BY created_at DESC, id DESC LIMIT -1 OFFSET ?",
    )?;
    let mut ids: Vec<SessionId> = statement.query_map(params![subject.as_str(), room], id)?.collect::<Result<_>>()?;
    ids.reverse();
    Ok(ids)
}

pub(super) fn load(connection: &Connection, id: SessionId) -> Result<Option<SealedSession>> {
    connection
        .prepare_cached(&format!("SELECT {SESSION} FROM sessions WHERE id = ?"))?
        .query_row([id.as_bytes()], session)
        .optional()
}

pub(super) fn rotate(
    connection: &Connection,
    id: SessionId,
    expected: Generation,
    now: Timestamp,
) -> Result<RotateOutcome> {
    let rotated = connection
        .prepare_cached(&format!(
            "UPDATE sessions SET
                 generation = generation + 1,
                 rotated_at = max(rotated_at, :now),
                 confirmed_at = NULL,
                 {SEEN}
             WHERE id = :id AND generation = :expected AND {NOT_OVER}
             RETURNING {SESSION}"
        ))?
        .query_row(named_params! { ":id": id.as_bytes(), ":expected": column(expected), ":now": millis(now) }, session)
        .optional()?;
    Ok(match rotated {
        Some(record) => RotateOutcome::Rotated(record),
        None => load(connection, id)?.map_or(RotateOutcome::Gone, RotateOutcome::Superseded),
    })
}

/// What a confirmation comes to without a write; `None` if one is needed.
pub(super) fn confirmed_already(
    connection: &Connection,
    id: SessionId,
    generation: Generation,
    now: Timestamp,
) -> Result<Option<Confirmation>> {
    Ok(match load(connection, id)? {
        None => Some(Confirmation::Gone),
        Some(record) if record.is_over(now) => Some(Confirmation::Gone),
        Some(record) if record.rotation.confirmed(generation, now) == record.rotation => {
            Some(Confirmation::Live(record))
        }
        Some(_) => None,
    })
}

pub(super) fn confirm(
    connection: &Connection,
    id: SessionId,
    generation: Generation,
    now: Timestamp,
) -> Result<Confirmation> {
    connection
        .prepare_cached(&format!(
            "UPDATE sessions SET confirmed_at = :now
             WHERE id = :id AND generation = :generation AND confirmed_at IS NULL AND {NOT_OVER}"
        ))?
        .execute(named_params! { ":id": id.as_bytes(), ":generation": column(generation), ":now": millis(now) })?;
    Ok(match load(connection, id)? {
        Some(record) if !record.is_over(now) => Confirmation::Live(record),
        Some(_) | None => Confirmation::Gone,
    })
}

pub(super) fn revoke(connection: &Connection, scope: &Scope, reason: Reason, now: Timestamp) -> Result<Revoked> {
    let ended = match scope {
        Scope::Session(session) => {
            ids(connection, "SELECT id FROM sessions WHERE id = ?", params![session.as_bytes()])?
        }
        Scope::Subject(subject) => {
            ids(connection, "SELECT id FROM sessions WHERE subject = ? ORDER BY id", params![subject.as_str()])?
        }
        Scope::SubjectExcept(subject, kept) => ids(
            connection,
            "SELECT id FROM sessions WHERE subject = ? AND id <> ? ORDER BY id",
            params![subject.as_str(), kept.as_bytes()],
        )?,
        Scope::All => ids(connection, "SELECT id FROM sessions ORDER BY id", params![])?,
    };
    match scope {
        Scope::All => {
            connection.execute("DELETE FROM sessions", [])?;
            feed::append(connection, FeedItem::AllEnded(reason), now)?;
        }
        Scope::Session(_) | Scope::Subject(_) | Scope::SubjectExcept(..) => {
            for id in &ended {
                delete(connection, *id)?;
                feed::append(connection, FeedItem::Ended(*id, reason), now)?;
            }
        }
    }
    Ok(Revoked { ended, seq: feed::head(connection)? })
}

pub(super) fn list(
    connection: &Connection,
    subject: Option<&Subject>,
    after: Option<SessionId>,
    limit: u32,
) -> Result<Vec<SealedSession>> {
    // The empty blob sorts before every id.
    let after = after.map_or_else(Vec::new, |id| id.as_bytes().to_vec());
    match subject {
        Some(subject) => connection
            .prepare_cached(&format!(
                "SELECT {SESSION} FROM sessions WHERE subject = ? AND id > ? ORDER BY id LIMIT ?"
            ))?
            .query_map(params![subject.as_str(), after, limit], session)?
            .collect(),
        None => connection
            .prepare_cached(&format!("SELECT {SESSION} FROM sessions WHERE id > ? ORDER BY id LIMIT ?"))?
            .query_map(params![after, limit], session)?
            .collect(),
    }
}

/// Sessions that are over, for [`sweep`]; looked up where it holds up nobody.
pub(super) fn over(connection: &Connection, now: Timestamp, limit: u32) -> Result<Vec<SessionId>> {
    let bucket = millis(now) / BUCKET_MILLIS;
    connection
        .prepare_cached(&format!("SELECT id FROM sessions WHERE over_bucket <= :bucket AND {OVER} LIMIT :limit"))?
        .query_map(named_params! { ":bucket": bucket, ":now": millis(now), ":limit": limit }, id)?
        .collect()
}

/// Drops those of `candidates` that are still over: one may have been renewed since it was looked up.
pub(super) fn sweep(connection: &Connection, candidates: &[SessionId], now: Timestamp) -> Result<u32> {
    let mut dropped = 0;
    for id in candidates {
        dropped += connection
            .prepare_cached(&format!("DELETE FROM sessions WHERE id = :id AND {OVER}"))?
            .execute(named_params! { ":id": id.as_bytes(), ":now": millis(now) })?;
    }
    feed::forget(connection, now)?;
    Ok(u32::try_from(dropped).unwrap_or(u32::MAX))
}

pub(super) fn total(connection: &Connection) -> Result<u64> {
    connection.query_row("SELECT count(*) FROM sessions", [], |row| row.get(0)).map(count)
}

pub(super) fn delete(connection: &Connection, id: SessionId) -> Result<usize> {
    connection.prepare_cached("DELETE FROM sessions WHERE id = ?")?.execute([id.as_bytes()])
}

fn ids(connection: &Connection, sql: &str, params: &[&dyn rusqlite::ToSql]) -> Result<Vec<SessionId>> {
    connection.prepare_cached(sql)?.query_map(params, id)?.collect()
}

fn id(row: &rusqlite::Row<'_>) -> Result<SessionId> {
    row.get(0).map(SessionId::from_bytes)
}

fn idle_millis(session: &SealedSession) -> i64 {
    i64::try_from(session.idle.as_millis()).unwrap_or(i64::MAX)
}
