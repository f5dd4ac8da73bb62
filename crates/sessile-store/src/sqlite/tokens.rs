//! The statements of the token registry and of the record of use.

use rusqlite::{Connection, OptionalExtension, Result, Row, named_params, params};
use sessile_core::SessionId;
use sessile_core::id::TokenId;

use super::row::{millis, moment, optional_moment, parsed};
use super::sessions::{self, NOT_OVER, SEEN};
use crate::contract::{TOKENS_PER_SESSION, TokenAddition};
use crate::record::{SealedSession, TokenRow, Use};

const TOKEN: &str = "id, session, subject, issued_at, expires_at, last_used_at";

pub(super) fn add(connection: &Connection, new: &TokenRow) -> Result<TokenAddition> {
    if connection.prepare_cached("SELECT 1 FROM tokens WHERE id = ?")?.exists([new.id.as_bytes()])? {
        return Ok(TokenAddition::IdTaken);
    }
    let live = connection
        .prepare_cached(&format!("SELECT 1 FROM sessions WHERE id = :id AND {NOT_OVER}"))?
        .exists(named_params! { ":id": new.session.as_bytes(), ":now": millis(new.issued_at) })?;
    if !live {
        return Ok(TokenAddition::Gone);
    }
    put(connection, new)?;
    connection
        .prepare_cached(
            "DELETE FROM tokens WHERE id IN (SELECT id FROM tokens WHERE session = ?
                 ORDER BY issued_at DESC, id DESC LIMIT -1 OFFSET ?)",
        )?
        .execute(params![new.session.as_bytes(), TOKENS_PER_SESSION])?;
    Ok(TokenAddition::Added)
}

/// Writes a row whose id is free.
pub(super) fn put(connection: &Connection, new: &TokenRow) -> Result<()> {
    connection.prepare_cached(&format!("INSERT INTO tokens ({TOKEN}) VALUES (?, ?, ?, ?, ?, ?)"))?.execute(params![
        new.id.as_bytes(),
        new.session.as_bytes(),
        new.subject.as_str(),
        millis(new.issued_at),
        millis(new.expires_at),
        new.last_used_at.map(millis),
    ])?;
    Ok(())
}

// Two reads make one instant here: a record that is there now was there when its row was read, since none comes back.
pub(super) fn find(connection: &Connection, id: TokenId) -> Result<Option<(TokenRow, SealedSession)>> {
    let row = connection
        .prepare_cached(&format!("SELECT {TOKEN} FROM tokens WHERE id = ?"))?
        .query_row([id.as_bytes()], token)
        .optional()?;
    let Some(row) = row else { return Ok(None) };
    Ok(sessions::load(connection, row.session)?.map(|session| (row, session)))
}

pub(super) fn list(connection: &Connection, session: SessionId) -> Result<Vec<TokenRow>> {
    connection
        .prepare_cached(&format!("SELECT {TOKEN} FROM tokens WHERE session = ? ORDER BY issued_at, id"))?
        .query_map([session.as_bytes()], token)?
        .collect()
}

pub(super) fn remove(connection: &Connection, id: TokenId) -> Result<bool> {
    let removed = connection.prepare_cached("DELETE FROM tokens WHERE id = ?")?.execute([id.as_bytes()])?;
    Ok(removed > 0)
}

pub(super) fn note_uses(connection: &Connection, uses: &[Use]) -> Result<()> {
    let mut seen = connection.prepare_cached(&format!("UPDATE sessions SET {SEEN} WHERE id = :id AND {NOT_OVER}"))?;
    let mut used = connection.prepare_cached(
        "UPDATE tokens SET last_used_at = max(coalesce(last_used_at, 0), :at) WHERE id = :id AND expires_at > :at",
    )?;
    for one in uses {
        let live = seen.execute(named_params! { ":id": one.session.as_bytes(), ":now": millis(one.at) })? > 0;
        if let Some(token) = one.token.filter(|_| live) {
            used.execute(named_params! { ":id": token.as_bytes(), ":at": millis(one.at) })?;
        }
    }
    Ok(())
}

fn token(row: &Row<'_>) -> Result<TokenRow> {
    Ok(TokenRow {
        id: TokenId::from_bytes(row.get(0)?),
        session: SessionId::from_bytes(row.get(1)?),
        subject: parsed(row, 2)?,
        issued_at: moment(row, 3)?,
        expires_at: moment(row, 4)?,
        last_used_at: optional_moment(row, 5)?,
    })
}
