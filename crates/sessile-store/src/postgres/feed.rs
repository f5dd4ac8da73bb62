//! The statements of the feed. Its numbers come from one row that is locked until the commit, so they become visible in
//! their order (see the module).

use sessile_core::revocation::{Epoch, FeedEntry, FeedItem, FeedPage, Reason, Seq};
use sessile_core::{SessionId, Timestamp};
use tokio_postgres::Row;

use super::flight::{Statement, statement};
use super::lanes::Lanes;
use super::moves;
use super::row::{column, get, millis, number, octets, unreadable};
use super::server::{headless, miscounted};
use crate::contract::{Continuity, FEED_KEEP_ENTRIES, FEED_KEEP_FOR};
use crate::error::StoreError;

pub(super) const ENDED: i64 = 1;
const ALL_ENDED: i64 = 2;
const KEYS_CHANGED: i64 = 3;
// As the statements below and elsewhere write them.
const _: () = assert!(ENDED == 1 && ALL_ENDED == 2 && KEYS_CHANGED == 3);

/// The end of a statement that appends `items`, a common table expression with the columns place (from 1), kind, session
/// and reason, as entries of the moment `$at`. It comes last: from here to the commit nobody else appends. Without items
/// it locks nothing.
macro_rules! append {
    ($at:literal) => {
        concat!(
            "counted AS (SELECT count(*) AS many FROM items),
             head AS (UPDATE feed_head SET seq = seq + many FROM counted WHERE many > 0 RETURNING seq - many AS before),
             appended AS (INSERT INTO feed (seq, at, kind, session, reason)
                 SELECT before + place, ",
            $at,
            ", kind, session, reason FROM head, items)"
        )
    };
}
pub(super) use append;

/// The head, read by a statement of its own: it sees what was committed while the one before it waited for locks.
pub(super) const HEAD: &str = "SELECT seq FROM feed_head";

pub(super) fn head(row: Option<&Row>) -> Result<Seq, StoreError> {
    row.map_or_else(|| Err(headless()), |row| number(row, 0).map(Seq))
}

pub(super) async fn page(lanes: &Lanes, after: Seq, limit: u32) -> Result<FeedPage, StoreError> {
    let (after, limit) = (column(after.0), i64::from(limit));
    let answers = lanes
        .read(&[
            statement!("SELECT epoch, seq, (SELECT min(seq) FROM feed) FROM feed_head"),
            statement!(moves::STAGE),
            statement!(
                "SELECT seq, kind, session, reason FROM feed WHERE seq > $1 ORDER BY seq LIMIT $2",
                after,
                limit
            ),
        ])
        .await?;
    let [standing, stage, entries] = &answers[..] else { return Err(miscounted()) };
    let row = standing.rows.first().ok_or_else(headless)?;
    let head = Seq(number(row, 1)?);
    let oldest: Option<i64> = get(row, 2)?;
    Ok(FeedPage {
        epoch: Epoch(octets(row, 0)?),
        oldest: oldest.map_or(Seq(head.0.saturating_add(1)), |seq| Seq(super::row::count(seq))),
        head,
        entries: entries.rows.iter().map(entry).collect::<Result<_, _>>()?,
        phase: moves::stage_of(Some(stage))?.phase,
    })
}

/// Drops what need not be kept, from the oldest on. Of many nodes one does so at a time: two could otherwise leave a
/// hole for a moment.
pub(super) fn forget<'a>(schema: &'a String, cutoff: &'a i64, keep: &'a i64) -> [Statement<'a>; 2] {
    [
        statement!("SELECT pg_advisory_xact_lock(hashtextextended('sessile forgetting ' || $1, 0))", *schema),
        statement!(
            "DELETE FROM feed WHERE seq < greatest(
                 coalesce((SELECT seq FROM feed WHERE at >= $1 ORDER BY seq LIMIT 1), (SELECT max(seq) + 1 FROM feed)),
                 (SELECT max(seq) - $2 FROM feed))",
            *cutoff,
            *keep
        ),
    ]
}

/// Entries of before this are past their keeping.
pub(super) fn cutoff(now: Timestamp) -> i64 {
    millis(now.minus(FEED_KEEP_FOR))
}

pub(super) fn most() -> i64 {
    column(FEED_KEEP_ENTRIES)
}

pub(super) async fn continuity(lanes: &Lanes) -> Result<Continuity, StoreError> {
    let sql = "SELECT cluster = (SELECT system_identifier FROM pg_control_system()) FROM feed_head";
    let answers = lanes.read(&[statement!(sql)]).await?;
    let row = answers.first().and_then(|answer| answer.rows.first()).ok_or_else(headless)?;
    Ok(if get(row, 0)? {
        Continuity::Unbroken
    } else {
        let what =
            "the tables were carried here from another PostgreSQL cluster: what was revoked there since is not in them";
        Continuity::Lost { what: what.to_owned() }
    })
}

fn entry(row: &Row) -> Result<FeedEntry, StoreError> {
    let item = match get(row, 1)? {
        ENDED => FeedItem::Ended(SessionId::from_bytes(octets(row, 2)?), reason(row)?),
        ALL_ENDED => FeedItem::AllEnded(reason(row)?),
        KEYS_CHANGED => FeedItem::KeysChanged,
        // A newer program wrote it. Skipping it could hide a revocation, so it is a fault (N5).
        kind => return Err(unreadable(row, 1, format_args!("a feed entry of kind {kind}"))),
    };
    Ok(FeedEntry { seq: Seq(number(row, 0)?), item })
}

fn reason(row: &Row) -> Result<Reason, StoreError> {
    let name: String = get(row, 3)?;
    Reason::from_name(&name).ok_or_else(|| unreadable(row, 3, format_args!("a feed entry with reason {name:?}")))
}
