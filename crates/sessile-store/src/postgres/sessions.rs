//! The statements of the session verbs.

use sessile_core::revocation::Reason;
use sessile_core::rotation::Generation;
use sessile_core::{SessionId, Subject, Timestamp};

use super::feed::{self, append};
use super::flight::{Answer, statement};
use super::lanes::Lanes;
use super::row::{column, get, millis, number, octets, session, session_columns, to_json};
use super::server::miscounted;
use crate::contract::{Confirmation, Insertion, RotateOutcome};
use crate::error::StoreError;
use crate::record::SealedSession;

// The index for sweeping holds the end in steps of ten minutes: activity moves it, and an index entry that moved
// with each renewal would cost more than the renewal.
pub(super) const BUCKET_MILLIS: i64 = 10 * 60 * 1000;
const _: () = assert!(BUCKET_MILLIS == 600_000);

// `now - last_seen_at` cannot overflow; `last_seen_at + idle` could.
macro_rules! not_over {
    ($now:literal) => {
        concat!("(absolute_end > ", $now, " AND ", $now, " - last_seen_at < idle)")
    };
}
pub(super) use not_over;

macro_rules! over {
    ($now:literal) => {
        concat!("(absolute_end <= ", $now, " OR ", $now, " - last_seen_at >= idle)")
    };
}

// Activity moves when a session was last seen, and with it the bucket of its end. idle and last_seen_at may lie at the
// ends of what a column holds: the bucket is capped by absolute_end first.
macro_rules! seen {
    ($now:literal) => {
        concat!(
            "last_seen_at = greatest(last_seen_at, ",
            $now,
            "), over_bucket = CASE WHEN absolute_end - idle <= greatest(last_seen_at, ",
            $now,
            ") THEN absolute_end ELSE greatest(last_seen_at, ",
            $now,
            ") + idle END / 600000"
        )
    };
}
pub(super) use seen;

/// Makes the verbs that count a subject's sessions take turns. Its statement comes first, so that the next one sees what
/// was committed before the turn came.
const TURN: &str = "SELECT pg_advisory_xact_lock(hashtextextended('sessile subject ' || $1 || '.' || $2, 0))";

const LOAD: &str = concat!("SELECT ", session_columns!(), " FROM sessions WHERE id = $1");

pub(super) async fn insert(lanes: &Lanes, new: &SealedSession, cap: u32) -> Result<Insertion, StoreError> {
    // A conflict with the new id leaves `new` empty, and then nothing below it happens.
    const INSERT: &str = concat!(
        "WITH new AS (INSERT INTO sessions (",
        session_columns!(),
        ", over_bucket) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
             ON CONFLICT (id) DO NOTHING RETURNING id),
         others AS (SELECT id, created_at, ",
        over!("$5"),
        " AS over FROM sessions WHERE subject = $2 AND EXISTS (SELECT FROM new) ORDER BY id FOR UPDATE),
         too_many AS (SELECT id, created_at FROM others WHERE NOT over ORDER BY created_at DESC, id DESC OFFSET $16),
         dropped AS (DELETE FROM sessions WHERE id IN (SELECT id FROM others WHERE over UNION ALL SELECT id FROM too_many)),
         items AS (SELECT row_number() OVER (ORDER BY created_at, id) AS place, 1 AS kind, id AS session,
             $17::text AS reason FROM too_many), ",
        append!("$5"),
        " SELECT (SELECT count(*) FROM new), session FROM (SELECT) AS once LEFT JOIN items ON true ORDER BY place"
    );
    let (schema, subject) = (lanes.schema().to_string(), new.subject.as_str());
    let id: &[u8] = new.id.as_bytes();
    let (storage, client, sealed) = (new.storage.name(), to_json(&new.client)?, new.sealed.as_bytes());
    let created_at = millis(new.created_at);
    let others = i64::from(cap.max(1) - 1);
    let reason = Reason::Evicted.name();
    let [authenticated_at, last_seen_at, absolute_end] =
        [new.authenticated_at, new.last_seen_at, new.absolute_end].map(millis);
    let idle = i64::try_from(new.idle.as_millis()).unwrap_or(i64::MAX);
    let (generation, rotated_at) = (column(new.rotation.generation), millis(new.rotation.rotated_at));
    let confirmed_at = new.rotation.confirmed_at.map(millis);
    let bucket = millis(new.over_at()) / BUCKET_MILLIS;
    let answers = lanes
        .write(&[
            statement!(TURN, schema, subject),
            statement!(
                INSERT,
                id,
                subject,
                storage,
                new.remember,
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
                bucket,
                others,
                reason
            ),
        ])
        .await?;
    let rows = answers.last().map(|answer| &answer.rows[..]).unwrap_or_default();
    let first = rows.first().ok_or_else(miscounted)?;
    if number(first, 0)? == 0 {
        return Ok(Insertion::IdTaken);
    }
    let mut evicted = Vec::new();
    for row in rows {
        let id: Option<Vec<u8>> = get(row, 1)?;
        if id.is_some() {
            evicted.push(SessionId::from_bytes(octets(row, 1)?));
        }
    }
    Ok(Insertion::Inserted { evicted })
}

pub(super) async fn load(lanes: &Lanes, id: SessionId) -> Result<Option<SealedSession>, StoreError> {
    let id: &[u8] = id.as_bytes();
    let answers = lanes.answer(&[statement!(LOAD, id)]).await?;
    one(answers.first())
}

pub(super) async fn rotate(
    lanes: &Lanes,
    id: SessionId,
    expected: Generation,
    now: Timestamp,
) -> Result<RotateOutcome, StoreError> {
    const ROTATE: &str = concat!(
        "UPDATE sessions SET generation = generation + 1, rotated_at = greatest(rotated_at, $3), confirmed_at = NULL, ",
        seen!("$3"),
        " WHERE id = $1 AND generation = $2 AND ",
        not_over!("$3"),
        " RETURNING ",
        session_columns!()
    );
    let id: &[u8] = id.as_bytes();
    let (expected, now) = (column(expected), millis(now));
    let answers = lanes.write(&[statement!(ROTATE, id, expected, now), statement!(LOAD, id)]).await?;
    let [rotated, found] = &answers[..] else { return Err(miscounted()) };
    Ok(match one(Some(rotated))? {
        Some(record) => RotateOutcome::Rotated(record),
        None => one(Some(found))?.map_or(RotateOutcome::Gone, RotateOutcome::Superseded),
    })
}

pub(super) async fn confirm(
    lanes: &Lanes,
    id: SessionId,
    generation: Generation,
    now: Timestamp,
) -> Result<Confirmation, StoreError> {
    // Of a generation that was confirmed before, it finds nothing to write, and the commit costs nothing.
    const CONFIRM: &str = concat!(
        "UPDATE sessions SET confirmed_at = $3 WHERE id = $1 AND generation = $2 AND confirmed_at IS NULL AND ",
        not_over!("$3")
    );
    let key: &[u8] = id.as_bytes();
    let (generation, at) = (column(generation), millis(now));
    let answers = lanes.write(&[statement!(CONFIRM, key, generation, at), statement!(LOAD, key)]).await?;
    Ok(match one(answers.last())? {
        Some(record) if !record.is_over(now) => Confirmation::Live(record),
        Some(_) | None => Confirmation::Gone,
    })
}

pub(super) async fn list(
    lanes: &Lanes,
    subject: Option<&Subject>,
    after: Option<SessionId>,
    limit: u32,
) -> Result<Vec<SealedSession>, StoreError> {
    const OF_SUBJECT: &str =
        concat!("SELECT ", session_columns!(), " FROM sessions WHERE subject = $3 AND id > $1 ORDER BY id LIMIT $2");
    const OF_ALL: &str = concat!("SELECT ", session_columns!(), " FROM sessions WHERE id > $1 ORDER BY id LIMIT $2");
    // The empty octet string sorts before every id.
    let after: &[u8] = after.as_ref().map_or(&[], |id| id.as_bytes());
    let limit = i64::from(limit);
    let answers = match subject.map(Subject::as_str) {
        Some(subject) => lanes.read(&[statement!(OF_SUBJECT, after, limit, subject)]).await?,
        None => lanes.read(&[statement!(OF_ALL, after, limit)]).await?,
    };
    answers.iter().flat_map(|answer| &answer.rows).map(|row| session(row, 0)).collect()
}

pub(super) async fn sweep(lanes: &Lanes, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
    // What somebody else has locked is in use, or being swept. Whoever waited for it would look once more; so does the
    // lock that is got at once: a record renewed meanwhile is not over any longer, and is passed over.
    const SWEEP: &str = concat!(
        "WITH due AS (SELECT id FROM sessions WHERE over_bucket <= $1 / 600000 AND ",
        over!("$1"),
        " LIMIT $2 FOR UPDATE SKIP LOCKED) DELETE FROM sessions WHERE id IN (SELECT id FROM due)"
    );
    let (schema, at, limit) = (lanes.schema().to_string(), millis(now), i64::from(limit));
    let (cutoff, most) = (feed::cutoff(now), feed::most());
    let [turn, forget] = feed::forget(&schema, &cutoff, &most);
    let answers = lanes.write(&[statement!(SWEEP, at, limit), turn, forget]).await?;
    let swept = answers.first().ok_or_else(miscounted)?.affected;
    Ok(u32::try_from(swept).unwrap_or(u32::MAX))
}

pub(super) async fn total(lanes: &Lanes) -> Result<u64, StoreError> {
    let answers = lanes.read(&[statement!("SELECT count(*) FROM sessions")]).await?;
    number(answers.first().and_then(|answer| answer.rows.first()).ok_or_else(miscounted)?, 0)
}

fn one(answer: Option<&Answer>) -> Result<Option<SealedSession>, StoreError> {
    answer.and_then(|answer| answer.rows.first()).map(|row| session(row, 0)).transpose()
}
