//! The statements for signing keys.

use sessile_core::Timestamp;
use sessile_core::crypto::Algorithm;
use sessile_core::token::KeyId;
use tokio_postgres::Row;

use super::feed::append;
use super::flight::{Answer, statement};
use super::lanes::Lanes;
use super::row::{get, millis, moment, number, optional_moment, parsed, sealed, unreadable};
use super::server::miscounted;
use crate::contract::{KeyAddition, KeyRevocation};
use crate::error::StoreError;
use crate::record::SealedKey;

// Changes of keys take turns; readers go on. Its statement comes first, so that the next one sees what was committed
// before the turn came.
const TURN: &str = "LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE";

/// The end of a statement that tells of a change: `changed` is a common table expression with a row if there was one.
macro_rules! tell {
    ($at:literal) => {
        concat!(
            "items AS (SELECT 1::bigint AS place, 3 AS kind, NULL::bytea AS session, NULL::text AS reason
                 WHERE EXISTS (SELECT FROM changed)), ",
            append!($at),
            " SELECT count(*) FROM changed"
        )
    };
}

pub(super) async fn load(lanes: &Lanes) -> Result<Vec<SealedKey>, StoreError> {
    let sql = "SELECT id, algorithm, created_at, active_from, revoked_at, sealed FROM signing_keys ORDER BY place";
    let answers = lanes.read(&[statement!(sql)]).await?;
    answers.iter().flat_map(|answer| &answer.rows).map(key).collect()
}

pub(super) async fn add(
    lanes: &Lanes,
    new: &SealedKey,
    expected_newest: Option<&KeyId>,
) -> Result<KeyAddition, StoreError> {
    const ADD: &str = concat!(
        "WITH changed AS (INSERT INTO signing_keys (id, algorithm, created_at, active_from, revoked_at, sealed)
             SELECT $1, $2, $3, $4, $5, $6
             WHERE (SELECT id FROM signing_keys ORDER BY place DESC LIMIT 1) IS NOT DISTINCT FROM $7
                 AND NOT EXISTS (SELECT FROM signing_keys WHERE id = $1)
             RETURNING id), ",
        tell!("$3")
    );
    let (id, algorithm, sealed) = (new.id.as_str(), new.algorithm.name(), new.sealed.as_bytes());
    let (created_at, active_from) = (millis(new.created_at), millis(new.active_from));
    let revoked_at = new.revoked_at.map(millis);
    let newest = expected_newest.map(KeyId::as_str);
    let add = statement!(ADD, id, algorithm, created_at, active_from, revoked_at, sealed, newest);
    let answers = lanes.write(&[statement!(TURN), add]).await?;
    Ok(if changed(answers.last())? > 0 { KeyAddition::Added } else { KeyAddition::Lost })
}

pub(super) async fn revoke(lanes: &Lanes, id: &KeyId, now: Timestamp) -> Result<KeyRevocation, StoreError> {
    const REVOKE: &str = concat!(
        "WITH changed AS (UPDATE signing_keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL RETURNING id), ",
        tell!("$2")
    );
    const KNOWN: &str = "SELECT count(*) FROM signing_keys WHERE id = $1";
    let (id, now) = (id.as_str(), millis(now));
    let answers = lanes.end(&[statement!(TURN), statement!(REVOKE, id, now), statement!(KNOWN, id)]).await?;
    let [_, revoked, known] = &answers[..] else { return Err(miscounted()) };
    Ok(match (changed(Some(revoked))?, changed(Some(known))?) {
        (1.., _) => KeyRevocation::Revoked,
        (0, 1..) => KeyRevocation::AlreadyRevoked,
        (0, 0) => KeyRevocation::NoSuchKey,
    })
}

pub(super) async fn forget(lanes: &Lanes, ids: &[KeyId], now: Timestamp) -> Result<u32, StoreError> {
    const FORGET: &str = concat!(
        "WITH changed AS (DELETE FROM signing_keys WHERE id = ANY ($1)
             AND place < (SELECT max(place) FROM signing_keys) RETURNING id), ",
        tell!("$2")
    );
    let ids: Vec<&str> = ids.iter().map(KeyId::as_str).collect();
    let now = millis(now);
    let answers = lanes.write(&[statement!(TURN), statement!(FORGET, ids, now)]).await?;
    Ok(u32::try_from(changed(answers.last())?).unwrap_or(u32::MAX))
}

fn changed(answer: Option<&Answer>) -> Result<u64, StoreError> {
    number(answer.and_then(|answer| answer.rows.first()).ok_or_else(miscounted)?, 0)
}

fn key(row: &Row) -> Result<SealedKey, StoreError> {
    let algorithm: String = get(row, 1)?;
    let unknown = || unreadable(row, 1, format_args!("an algorithm this program does not know, {algorithm:?}"));
    Ok(SealedKey {
        id: parsed(row, 0)?,
        algorithm: Algorithm::from_name(&algorithm).ok_or_else(unknown)?,
        created_at: moment(row, 2)?,
        active_from: moment(row, 3)?,
        revoked_at: optional_moment(row, 4)?,
        sealed: sealed(row, 5)?,
    })
}
