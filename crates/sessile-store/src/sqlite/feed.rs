//! The statements of the feed. One writer at a time commits, so numbers become visible in their order.

use rusqlite::{Connection, Result, Row, params};
use sessile_core::revocation::{FeedEntry, FeedItem, FeedPage, Reason, Seq};
use sessile_core::{SessionId, Timestamp};

use super::connection::position;
use super::moves;
use super::row::{column, count, millis, unreadable};
use crate::contract::{FEED_KEEP_ENTRIES, FEED_KEEP_FOR};

const ENDED: i64 = 1;
const ALL_ENDED: i64 = 2;
const KEYS_CHANGED: i64 = 3;

pub(super) fn append(connection: &Connection, item: FeedItem, at: Timestamp) -> Result<()> {
    let (kind, session, reason) = match item {
        FeedItem::Ended(id, reason) => (ENDED, Some(id), Some(reason)),
        FeedItem::AllEnded(reason) => (ALL_ENDED, None, Some(reason)),
        FeedItem::KeysChanged => (KEYS_CHANGED, None, None),
    };
    connection.prepare_cached("INSERT INTO feed (at, kind, session, reason) VALUES (?, ?, ?, ?)")?.execute(params![
        millis(at),
        kind,
        session.map(|id| *id.as_bytes()),
        reason.map(Reason::name)
    ])?;
    let oldest_kept = connection.last_insert_rowid().saturating_sub(column(FEED_KEEP_ENTRIES));
    connection.prepare_cached("DELETE FROM feed WHERE seq <= ?")?.execute([oldest_kept])?;
    Ok(())
}

pub(super) fn head(connection: &Connection) -> Result<Seq> {
    position(connection).map(|(_, head)| head)
}

/// One page, all of one instant: call within a transaction.
pub(super) fn page(connection: &Connection, after: Seq, limit: u32) -> Result<FeedPage> {
    let (epoch, head) = position(connection)?;
    let oldest: Option<i64> =
        connection.prepare_cached("SELECT min(seq) FROM feed")?.query_row([], |row| row.get(0))?;
    let entries = connection
        .prepare_cached("SELECT seq, kind, session, reason FROM feed WHERE seq > ? ORDER BY seq LIMIT ?")?
        .query_map(params![column(after.0), limit], entry)?
        .collect::<Result<_>>()?;
    Ok(FeedPage {
        epoch,
        oldest: oldest.map_or(Seq(head.0.saturating_add(1)), |seq| Seq(count(seq))),
        head,
        entries,
        phase: moves::stage(connection)?.phase,
    })
}

/// Whether there are entries past their keeping.
pub(super) fn has_old(connection: &Connection, now: Timestamp) -> Result<bool> {
    let first = "SELECT 1 FROM (SELECT at FROM feed ORDER BY seq LIMIT 1) WHERE at < ?";
    connection.prepare_cached(first)?.exists([millis(now.minus(FEED_KEEP_FOR))])
}

/// Drops the entries before the first that is to be kept.
pub(super) fn forget(connection: &Connection, now: Timestamp) -> Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM feed WHERE seq < coalesce(
                 (SELECT seq FROM feed WHERE at >= ? ORDER BY seq LIMIT 1), (SELECT max(seq) + 1 FROM feed))",
        )?
        .execute([millis(now.minus(FEED_KEEP_FOR))])?;
    Ok(())
}

pub(super) fn restart(connection: &Connection, reason: Reason, now: Timestamp) -> Result<()> {
    connection.execute("DELETE FROM sessions", [])?;
    connection.execute("UPDATE store SET epoch = randomblob(16)", [])?;
    append(connection, FeedItem::AllEnded(reason), now)
}

fn entry(row: &Row<'_>) -> Result<FeedEntry> {
    let item = match row.get(1)? {
        ENDED => FeedItem::Ended(SessionId::from_bytes(row.get(2)?), reason(row)?),
        ALL_ENDED => FeedItem::AllEnded(reason(row)?),
        KEYS_CHANGED => FeedItem::KeysChanged,
        kind => {
            return Err(unreadable(1, UnknownEntry(format!("feed entry of kind {kind}"))));
        }
    };
    Ok(FeedEntry { seq: Seq(count(row.get(0)?)), item })
}

fn reason(row: &Row<'_>) -> Result<Reason> {
    let name: String = row.get(3)?;
    Reason::from_name(&name).ok_or_else(|| unreadable(3, UnknownEntry(format!("feed entry with reason {name:?}"))))
}

// A newer program wrote it. Skipping it could hide a revocation, so it is a fault (N5).
#[derive(Debug, thiserror::Error)]
#[error("a {0}, which this program does not know")]
struct UnknownEntry(String);
