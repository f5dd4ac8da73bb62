//! The statements for security events.

use sessile_core::event::Event;
use sessile_core::{SessionId, Timestamp};
use tokio_postgres::Row;

use super::flight::statement;
use super::lanes::Lanes;
use super::row::{column, get, json, millis, moment, number, octets, parsed, to_json};
use crate::contract::{EventQuery, EventsFrom};
use crate::error::StoreError;
use crate::record::StoredEvent;

pub(super) async fn append(lanes: &Lanes, events: &[Event]) -> Result<(), StoreError> {
    // Writers take turns, so that places become visible in their order: whoever follows the log misses none.
    const TURN: &str = "SELECT pg_advisory_xact_lock(hashtextextended('sessile events ' || $1, 0))";
    const APPEND: &str = "INSERT INTO events (at, name, reason, subject, session, client, request)
        SELECT at, name, reason, subject, session, client, request
        FROM unnest($1, $2, $3, $4, $5, $6, $7)
            WITH ORDINALITY AS new (at, name, reason, subject, session, client, request, place) ORDER BY place";
    if events.is_empty() {
        return Ok(());
    }
    let schema = lanes.schema().to_string();
    let at: Vec<i64> = events.iter().map(|event| millis(event.at)).collect();
    let names: Vec<&str> = events.iter().map(|event| event.name.name()).collect();
    let reasons: Vec<&str> = events.iter().map(|event| event.reason).collect();
    let subjects: Vec<Option<&str>> = events.iter().map(|event| event.subject.as_ref().map(|s| s.as_str())).collect();
    let sessions: Vec<Option<&[u8]>> =
        events.iter().map(|event| event.session.as_ref().map(|id| &id.as_bytes()[..])).collect();
    let clients: Vec<Option<String>> =
        events.iter().map(|event| event.client.as_ref().map(to_json).transpose()).collect::<Result<_, _>>()?;
    let requests: Vec<Option<&str>> =
        events.iter().map(|event| event.request.as_ref().map(|id| id.0.as_str())).collect();
    let append = statement!(APPEND, at, names, reasons, subjects, sessions, clients, requests);
    lanes.write_always(&[statement!(TURN, schema), append]).await.map(drop)
}

pub(super) async fn read(lanes: &Lanes, query: &EventQuery) -> Result<Vec<StoredEvent>, StoreError> {
    macro_rules! read {
        ($order:literal) => {
            concat!(
                "SELECT seq, at, name, reason, subject, session, client, request FROM events
                 WHERE seq > $1 AND seq < $2 AND ($3::text IS NULL OR subject = $3)
                     AND ($4::bytea IS NULL OR session = $4) AND ($5::text IS NULL OR name = $5)
                 ORDER BY seq ",
                $order,
                " LIMIT $6"
            )
        };
    }
    const FORWARD: &str = read!("ASC");
    const BACKWARD: &str = read!("DESC");
    let (first, before, sql) = match query.from {
        EventsFrom::Newest => (0, i64::MAX, BACKWARD),
        EventsFrom::Before(seq) => (0, column(seq), BACKWARD),
        EventsFrom::After(seq) => (column(seq), i64::MAX, FORWARD),
    };
    let subject = query.subject.as_ref().map(|subject| subject.as_str());
    let session = query.session.as_ref().map(|id| &id.as_bytes()[..]);
    let name = query.name.as_deref();
    let limit = i64::from(query.limit);
    let answers = lanes.read(&[statement!(sql, first, before, subject, session, name, limit)]).await?;
    let mut found: Vec<StoredEvent> =
        answers.iter().flat_map(|answer| &answer.rows).map(event).collect::<Result<_, _>>()?;
    found.sort_by_key(|event| event.seq);
    Ok(found)
}

pub(super) async fn sweep(lanes: &Lanes, before: Timestamp, keep: u64) -> Result<u64, StoreError> {
    const OLD: &str = "DELETE FROM events WHERE seq IN
        (SELECT seq FROM events WHERE at < $1 ORDER BY seq FOR UPDATE SKIP LOCKED)";
    const BEYOND: &str = "DELETE FROM events WHERE seq IN (SELECT seq FROM events
        WHERE seq <= (SELECT seq FROM events ORDER BY seq DESC LIMIT 1 OFFSET $1) ORDER BY seq FOR UPDATE SKIP LOCKED)";
    let (before, keep) = (millis(before), column(keep));
    let answers = lanes.write_always(&[statement!(OLD, before), statement!(BEYOND, keep)]).await?;
    Ok(answers.iter().map(|answer| answer.affected).sum())
}

fn event(row: &Row) -> Result<StoredEvent, StoreError> {
    let subject: Option<String> = get(row, 4)?;
    let session: Option<Vec<u8>> = get(row, 5)?;
    let client: Option<String> = get(row, 6)?;
    Ok(StoredEvent {
        seq: number(row, 0)?,
        at: moment(row, 1)?,
        name: get(row, 2)?,
        reason: get(row, 3)?,
        subject: subject.map(|_| parsed(row, 4)).transpose()?,
        session: session.map(|_| octets(row, 5).map(SessionId::from_bytes)).transpose()?,
        client: client.map(|_| json(row, 6)).transpose()?,
        request: get(row, 7)?,
    })
}
