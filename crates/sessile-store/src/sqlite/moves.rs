//! The statements of a move of sessions.

use rusqlite::{Connection, Result, params};
use sessile_core::SessionId;
use sessile_core::revocation::Phase;

use super::row::unreadable;
use super::{accounts, keys, sessions, tokens};
use crate::contract::{MoveId, SessionCopy, Stage, StageChange, Taken, TakingIn};

pub(super) fn stage(connection: &Connection) -> Result<Stage> {
    connection.prepare_cached("SELECT phase, move FROM store")?.query_row([], |row| {
        let name: String = row.get(0)?;
        let of: Option<[u8; 16]> = row.get(1)?;
        let phase = Phase::from_name(&name).ok_or_else(|| unreadable(0, UnknownPhase(name)))?;
        Ok(Stage { phase, of: of.map(MoveId::from_bytes) })
    })
}

pub(super) fn set_stage(connection: &Connection, expected: Stage, next: Stage) -> Result<StageChange> {
    let current = stage(connection)?;
    if current != expected {
        return Ok(StageChange::Otherwise(current));
    }
    match (expected.phase, next.phase) {
        (Phase::Serving, Phase::Filling) => {
            let used = "SELECT 1 FROM sessions UNION ALL SELECT 1 FROM accounts LIMIT 1";
            if connection.prepare_cached(used)?.exists([])? {
                return Ok(StageChange::NotEmpty);
            }
            connection.execute("DELETE FROM signing_keys", [])?;
        }
        (Phase::Filling, _) => {
            connection.execute("UPDATE store SET epoch = randomblob(16)", [])?;
            if next.of.is_none() {
                connection.execute_batch("DELETE FROM sessions; DELETE FROM accounts; DELETE FROM signing_keys")?;
            }
        }
        (Phase::Serving | Phase::Moving | Phase::Moved, _) => {}
    }
    let of = next.of.map(|of| *of.as_bytes());
    connection.execute("UPDATE store SET phase = ?, move = ?", params![next.phase.name(), of])?;
    Ok(StageChange::Changed)
}

/// Call within a transaction.
pub(super) fn copies(connection: &Connection, after: Option<SessionId>, limit: u32) -> Result<Vec<SessionCopy>> {
    sessions::list(connection, None, after, limit)?
        .into_iter()
        .map(|session| Ok(SessionCopy { tokens: tokens::list(connection, session.id)?, session }))
        .collect()
}

pub(super) fn take_in(connection: &Connection, of: MoveId, items: &[Taken]) -> Result<TakingIn> {
    if stage(connection)? != Stage::of(Phase::Filling, of) {
        return Ok(TakingIn::Refused);
    }
    for item in items {
        take(connection, item)?;
    }
    Ok(TakingIn::Taken)
}

fn take(connection: &Connection, item: &Taken) -> Result<()> {
    let no_account = |name: &str| {
        connection.prepare_cached("DELETE FROM accounts WHERE name = ?")?.execute([name])?;
        Ok::<(), rusqlite::Error>(())
    };
    match item {
        Taken::Session(SessionCopy { session, tokens }) => {
            sessions::delete(connection, session.id)?;
            sessions::put(connection, session)?;
            tokens.iter().try_for_each(|row| tokens::put(connection, row))
        }
        Taken::NoSession(id) => sessions::delete(connection, *id).map(drop),
        Taken::Account(account) => {
            no_account(account.name.as_str())?;
            accounts::put(connection, account)
        }
        Taken::NoAccount(name) => no_account(name.as_str()),
        Taken::Keys(all) => {
            connection.execute("DELETE FROM signing_keys", [])?;
            all.iter().try_for_each(|key| keys::put(connection, key))
        }
    }
}

// A newer program wrote it.
#[derive(Debug, thiserror::Error)]
#[error("the store is in a phase {0:?}, which this program does not know")]
struct UnknownPhase(String);
