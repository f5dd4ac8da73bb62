//! The statements that end sessions. Records are locked in the order of their ids, the head of the feed last.

use sessile_core::revocation::{Reason, Scope};
use sessile_core::{SessionId, Timestamp};
use tokio_postgres::Row;

use super::feed::{self, append};
use super::flight::statement;
use super::lanes::Lanes;
use super::row::{millis, octets};
use super::server::miscounted;
use crate::contract::Revoked;
use crate::error::StoreError;

/// Ends the records that `$locked` selects, in order, for the reason `$1` at the moment `$2`.
macro_rules! end {
    ($locked:literal) => {
        concat!(
            "WITH locked AS (",
            $locked,
            " ORDER BY id FOR UPDATE),
             ended AS (DELETE FROM sessions WHERE id IN (SELECT id FROM locked) RETURNING id),
             items AS (SELECT row_number() OVER (ORDER BY id) AS place, 1 AS kind, id AS session, $1::text AS reason
                 FROM ended), ",
            append!("$2"),
            " SELECT session FROM items ORDER BY place"
        )
    };
}

// Waits until nobody is writing a session, and lets nobody begin. Readers go on, and so does a backup.
const ALONE: &str = "LOCK TABLE sessions IN EXCLUSIVE MODE";
// Beforehand and at once: the constraint would delete them one by one.
const DROP_TOKENS: &str = "DELETE FROM tokens";
const APPEND_ALL_ENDED: &str = concat!(
    "WITH items AS (SELECT 1::bigint AS place, 2 AS kind, NULL::bytea AS session, $1::text AS reason), ",
    append!("$2"),
    " SELECT FROM items"
);

pub(super) async fn revoke(
    lanes: &Lanes,
    scope: &Scope,
    reason: Reason,
    now: Timestamp,
) -> Result<Revoked, StoreError> {
    const SESSION: &str = end!("SELECT id FROM sessions WHERE id = $3");
    const SUBJECT: &str = end!("SELECT id FROM sessions WHERE subject = $3");
    const OTHERS: &str = end!("SELECT id FROM sessions WHERE subject = $3 AND id <> $4");
    const ALL: &str = "WITH ended AS (DELETE FROM sessions RETURNING id) SELECT id FROM ended ORDER BY id";
    let (reason, now) = (reason.name(), millis(now));
    let head = statement!(feed::HEAD);
    let (answers, ended) = match scope {
        Scope::Session(id) => {
            let id: &[u8] = id.as_bytes();
            (lanes.end(&[statement!(SESSION, reason, now, id), head]).await?, 0)
        }
        Scope::Subject(subject) => {
            let subject = subject.as_str();
            (lanes.end(&[statement!(SUBJECT, reason, now, subject), head]).await?, 0)
        }
        Scope::SubjectExcept(subject, kept) => {
            let (subject, kept): (&str, &[u8]) = (subject.as_str(), kept.as_bytes());
            (lanes.end(&[statement!(OTHERS, reason, now, subject, kept), head]).await?, 0)
        }
        Scope::All => {
            let append = statement!(APPEND_ALL_ENDED, reason, now);
            let whole = [statement!(ALONE), statement!(DROP_TOKENS), statement!(ALL), append, head];
            (lanes.end_all(&whole).await?, 2)
        }
    };
    let ended = answers.get(ended).ok_or_else(miscounted)?;
    let head = answers.last().and_then(|answer| answer.rows.first());
    Ok(Revoked { ended: ended.rows.iter().map(id).collect::<Result<_, _>>()?, seq: feed::head(head)? })
}

/// Ends everything and begins a new history, on the cluster this is.
pub(super) async fn restart(lanes: &Lanes, reason: Reason, now: Timestamp) -> Result<(), StoreError> {
    const RENEW: &str = "UPDATE feed_head SET epoch = uuid_send(gen_random_uuid()),
        cluster = (SELECT system_identifier FROM pg_control_system())";
    let (reason, now) = (reason.name(), millis(now));
    let append = statement!(APPEND_ALL_ENDED, reason, now);
    let drop_sessions = statement!("DELETE FROM sessions");
    lanes
        .change_all(&[statement!(ALONE), statement!(DROP_TOKENS), drop_sessions, statement!(RENEW), append])
        .await
        .map(drop)
}

fn id(row: &Row) -> Result<SessionId, StoreError> {
    octets(row, 0).map(SessionId::from_bytes)
}
