//! The statements of the token registry and of the record of use.

use std::collections::HashMap;

use sessile_core::SessionId;
use sessile_core::id::TokenId;
use tokio_postgres::Row;

use super::flight::statement;
use super::lanes::Lanes;
use super::row::{SESSION_WIDTH, get, millis, moment, octets, optional_moment, parsed, session};
use super::server::miscounted;
use super::sessions::{not_over, seen};
use crate::contract::{TOKENS_PER_SESSION, TokenAddition};
use crate::error::StoreError;
use crate::record::{SealedSession, TokenRow, Use};

macro_rules! token_columns {
    () => {
        "id, session, subject, issued_at, expires_at, last_used_at"
    };
}
pub(super) use token_columns;

pub(super) async fn add(lanes: &Lanes, new: &TokenRow) -> Result<TokenAddition, StoreError> {
    // The record is locked: it stays until the row is there, and additions to it take turns.
    const ADD: &str = concat!(
        "WITH live AS (SELECT id FROM sessions WHERE id = $2 AND ",
        not_over!("$4"),
        " FOR NO KEY UPDATE)
         INSERT INTO tokens (",
        token_columns!(),
        ") SELECT $1, $2, $3, $4, $5, $6 FROM live ON CONFLICT (id) DO NOTHING"
    );
    const TRIM: &str = "DELETE FROM tokens WHERE id IN (SELECT id FROM tokens WHERE session = $1
        ORDER BY issued_at DESC, id DESC OFFSET $2)";
    let (id, session): (&[u8], &[u8]) = (new.id.as_bytes(), new.session.as_bytes());
    let subject = new.subject.as_str();
    let (issued_at, expires_at) = (millis(new.issued_at), millis(new.expires_at));
    let last_used_at = new.last_used_at.map(millis);
    let most = i64::from(TOKENS_PER_SESSION);
    let answers = lanes
        .write(&[
            statement!(ADD, id, session, subject, issued_at, expires_at, last_used_at),
            statement!("SELECT EXISTS (SELECT FROM tokens WHERE id = $1)", id),
            statement!(TRIM, session, most),
        ])
        .await?;
    let [added, there, _] = &answers[..] else { return Err(miscounted()) };
    let there: bool = get(there.rows.first().ok_or_else(miscounted)?, 0)?;
    Ok(match (added.affected, there) {
        (1.., _) => TokenAddition::Added,
        (0, true) => TokenAddition::IdTaken,
        (0, false) => TokenAddition::Gone,
    })
}

pub(super) async fn find(lanes: &Lanes, id: TokenId) -> Result<Option<(TokenRow, SealedSession)>, StoreError> {
    const FIND: &str =
        "SELECT s.id, s.subject, s.storage, s.remember, s.created_at, s.authenticated_at, s.last_seen_at,
            s.absolute_end, s.idle, s.generation, s.rotated_at, s.confirmed_at, s.client, s.sealed,
            t.id, t.session, t.subject, t.issued_at, t.expires_at, t.last_used_at
        FROM tokens t JOIN sessions s ON s.id = t.session WHERE t.id = $1";
    let id: &[u8] = id.as_bytes();
    let answers = lanes.answer(&[statement!(FIND, id)]).await?;
    let row = answers.first().and_then(|answer| answer.rows.first());
    row.map(|row| Ok((token(row, SESSION_WIDTH)?, session(row, 0)?))).transpose()
}

pub(super) async fn list(lanes: &Lanes, session: SessionId) -> Result<Vec<TokenRow>, StoreError> {
    const LIST: &str = concat!("SELECT ", token_columns!(), " FROM tokens WHERE session = $1 ORDER BY issued_at, id");
    let session: &[u8] = session.as_bytes();
    let answers = lanes.read(&[statement!(LIST, session)]).await?;
    answers.iter().flat_map(|answer| &answer.rows).map(|row| token(row, 0)).collect()
}

pub(super) async fn remove(lanes: &Lanes, id: TokenId) -> Result<bool, StoreError> {
    let id: &[u8] = id.as_bytes();
    let answers = lanes.end(&[statement!("DELETE FROM tokens WHERE id = $1", id)]).await?;
    Ok(answers.first().ok_or_else(miscounted)?.affected > 0)
}

pub(super) async fn note_uses(lanes: &Lanes, uses: &[Use]) -> Result<(), StoreError> {
    const LOCK: &str = "SELECT FROM sessions WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE";
    const NOTE: &str = concat!(
        "WITH seen AS (UPDATE sessions SET ",
        seen!("used.at"),
        " FROM unnest($1, $2, $3) AS used (session, token, at)
             WHERE sessions.id = used.session AND ",
        not_over!("used.at"),
        " RETURNING used.token, used.at)
         UPDATE tokens SET last_used_at = greatest(coalesce(last_used_at, 0), seen.at)
             FROM seen WHERE tokens.id = seen.token AND expires_at > seen.at"
    );
    if uses.is_empty() {
        return Ok(());
    }
    let rounds = rounds(uses);
    let columns: Vec<_> = rounds.iter().map(|round| columns(round)).collect();
    let all: Vec<&[u8]> = uses.iter().map(|one| &one.session.as_bytes()[..]).collect();
    let mut statements = vec![statement!(LOCK, all)];
    statements.extend(columns.iter().map(|(sessions, tokens, moments)| statement!(NOTE, *sessions, *tokens, *moments)));
    lanes.write(&statements).await.map(drop)
}

/// The uses one after another as far as they are of one session, and together as far as they are not: an UPDATE changes
/// a row once. Most batches have a round or two.
fn rounds(uses: &[Use]) -> Vec<Vec<Use>> {
    let mut rounds: Vec<Vec<Use>> = Vec::new();
    let mut of_session: HashMap<SessionId, usize> = HashMap::new();
    for one in uses {
        let round = of_session.entry(one.session).or_insert(0);
        if rounds.len() == *round {
            rounds.push(Vec::new());
        }
        rounds[*round].push(*one);
        *round += 1;
    }
    rounds
}

type Columns<'a> = (Vec<&'a [u8]>, Vec<Option<&'a [u8]>>, Vec<i64>);

fn columns(uses: &[Use]) -> Columns<'_> {
    let sessions = uses.iter().map(|one| &one.session.as_bytes()[..]).collect();
    let tokens = uses.iter().map(|one| one.token.as_ref().map(|token| &token.as_bytes()[..])).collect();
    let moments = uses.iter().map(|one| millis(one.at)).collect();
    (sessions, tokens, moments)
}

pub(super) fn token(row: &Row, first: usize) -> Result<TokenRow, StoreError> {
    Ok(TokenRow {
        id: TokenId::from_bytes(octets(row, first)?),
        session: SessionId::from_bytes(octets(row, first + 1)?),
        subject: parsed(row, first + 2)?,
        issued_at: moment(row, first + 3)?,
        expires_at: moment(row, first + 4)?,
        last_used_at: optional_moment(row, first + 5)?,
    })
}
