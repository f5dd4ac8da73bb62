//! The statements for security events.

use rusqlite::{Connection, Result, Row, params};
use sessile_core::event::Event;
use sessile_core::{SessionId, Timestamp};

use super::row::{column, count, json, millis, moment, parsed, to_json};
use crate::contract::{EventQuery, EventsFrom};
use crate::record::StoredEvent;

pub(super) fn append(connection: &Connection, events: &[Event]) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO events (at, name, reason, subject, session, client, request) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )?;
    for event in events {
        statement.execute(params![
            millis(event.at),
            event.name.name(),
            event.reason,
            event.subject.as_ref().map(|subject| subject.as_str()),
            event.session.map(|id| *id.as_bytes()),
            event.client.as_ref().map(to_json).transpose()?,
            event.request.as_ref().map(|id| id.0.as_str()),
        ])?;
    }
    Ok(())
}

pub(super) fn read(connection: &Connection, query: &EventQuery) -> Result<Vec<StoredEvent>> {
    let (first, before, order) = match query.from {
        EventsFrom::Newest => (0, i64::MAX, "DESC"),
        EventsFrom::Before(seq) => (0, column(seq), "DESC"),
        EventsFrom::After(seq) => (column(seq), i64::MAX, "ASC"),
    };
    let mut found: Vec<StoredEvent> = connection
        .prepare_cached(&format!(
            "SELECT seq, at, name, reason, subject, session, client, request FROM events
             WHERE seq > ?1 AND seq < ?2 AND (?3 IS NULL OR subject = ?3) AND (?4 IS NULL OR session = ?4)
                 AND (?5 IS NULL OR name = ?5)
             ORDER BY seq {order} LIMIT ?6"
        ))?
        .query_map(
            params![
                first,
                before,
                query.subject.as_ref().map(|subject| subject.as_str()),
                query.session.map(|id| *id.as_bytes()),
                query.name,
                query.limit,
            ],
            event,
        )?
        .collect::<Result<_>>()?;
    found.sort_by_key(|event| event.seq);
    Ok(found)
}

pub(super) fn sweep(connection: &Connection, before: Timestamp, keep: u64) -> Result<u64> {
    let old = connection.execute("DELETE FROM events WHERE at < ?", [millis(before)])?;
    let beyond = connection.execute(
        "DELETE FROM events WHERE seq <= (SELECT seq FROM events ORDER BY seq DESC LIMIT 1 OFFSET ?)",
        [column(keep)],
    )?;
    Ok((old + beyond) as u64)
}

fn event(row: &Row<'_>) -> Result<StoredEvent> {
    let session: Option<[u8; 16]> = row.get(5)?;
    Ok(StoredEvent {
        seq: count(row.get(0)?),
        at: moment(row, 1)?,
        name: row.get(2)?,
        reason: row.get(3)?,
        subject: row.get::<_, Option<String>>(4)?.map(|_| parsed(row, 4)).transpose()?,
        session: session.map(SessionId::from_bytes),
        client: row.get::<_, Option<String>>(6)?.map(|_| json(row, 6)).transpose()?,
        request: row.get(7)?,
    })
}
