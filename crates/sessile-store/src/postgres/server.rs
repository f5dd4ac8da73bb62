//! What the server is and promises.

use sessile_core::revocation::{Epoch, Seq};
use tokio_postgres::{Client, Row};

use super::Position;
use super::connection::Connection;
use super::fault::{fault, outcome};
use super::flight::{Statement, fly, statement};
use super::row::{get, number, octets};
use crate::contract::Durability;
use crate::error::{StoreError, WriteOutcome};

const OLDEST: i32 = 140_000;

/// Refuses a server that is too old, or a database that cannot hold every text.
pub(super) async fn check(client: &Client, place: &str) -> Result<(), StoreError> {
    let sql = "SELECT current_setting('server_version_num')::int, current_setting('server_version'),
                      current_setting('server_encoding')";
    let rows = client.query_typed(sql, &[]).await.map_err(|e| fault(&e, WriteOutcome::NotDone))?;
    let row = rows.first().ok_or_else(|| StoreError::Internal("no answer about the server's version".to_owned()))?;
    let (number, version, encoding): (i32, String, String) = (get(row, 0)?, get(row, 1)?, get(row, 2)?);
    if number < OLDEST {
        let why = format!("{place} is PostgreSQL {version}; version 14 or newer is needed");
        return Err(StoreError::Unfit(why));
    }
    if encoding != "UTF8" {
        let why = format!("{place} is a database in {encoding}; make one with ENCODING 'UTF8'");
        return Err(StoreError::Unfit(why));
    }
    Ok(())
}

/// Where the feed stands, and what an acknowledgement survives as the server is set now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) position: Position,
    pub(super) durability: Durability,
}

pub(super) async fn state(begin: &str, connection: &Connection) -> Result<State, StoreError> {
    const STATE: &str = "SELECT epoch, seq, current_setting('fsync'), current_setting('synchronous_commit'),
        current_setting('synchronous_standby_names') FROM feed_head";
    let asked = [in_recovery(), statement!(STATE)];
    let answers = fly(&connection.client, begin, &asked).await.map_err(|e| fault(&e.error, outcome(&e)))?;
    let [recovery, state] = &answers[..] else { return Err(miscounted()) };
    refuse_standby(recovery.rows.first())?;
    let row = state.rows.first().ok_or_else(headless)?;
    let (fsync, commit, standbys): (String, String, String) = (get(row, 2)?, get(row, 3)?, get(row, 4)?);
    Ok(State {
        position: (Epoch(octets(row, 0)?), Seq(number(row, 1)?)),
        durability: durability(&fsync, &commit, &standbys),
    })
}

/// The statement that every read begins with: a standby knows only what it was told, and may be behind (S13).
pub(super) fn in_recovery() -> Statement<'static> {
    statement!("SELECT pg_is_in_recovery()")
}

/// Looks at its answer.
pub(super) fn refuse_standby(row: Option<&Row>) -> Result<(), StoreError> {
    match row.map(|row| get(row, 0)).transpose()? {
        Some(false) => Ok(()),
        Some(true) | None => Err(StoreError::not_done("the server is a standby; only the primary tells the truth")),
    }
}

pub(super) fn headless() -> StoreError {
    StoreError::Corrupt("the table feed_head has lost its row".to_owned())
}

pub(super) fn miscounted() -> StoreError {
    StoreError::Internal("a transaction gave another number of answers than it had statements".to_owned())
}

fn durability(fsync: &str, synchronous_commit: &str, standbys: &str) -> Durability {
    match (fsync, synchronous_commit) {
        ("on", "on" | "remote_apply" | "remote_write") if !standbys.trim().is_empty() => Durability::Replicated,
        ("on", "on" | "remote_apply" | "remote_write" | "local") => Durability::HostCrashSafe,
        // Whatever else: the server has it, its disk may not.
        _ => Durability::ProcessCrashSafe,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S14: what is advertised is what the settings give, and no more.
    #[test]
    fn durability_follows_the_settings() {
        use Durability::{HostCrashSafe, ProcessCrashSafe, Replicated};
        for (fsync, commit, standbys, right) in [
            ("on", "on", "", HostCrashSafe),
            ("on", "local", "", HostCrashSafe),
            ("on", "remote_write", "", HostCrashSafe),
            ("on", "off", "", ProcessCrashSafe),
            ("off", "on", "", ProcessCrashSafe),
            ("on", "on", "*", Replicated),
            ("on", "remote_write", "FIRST 1 (a)", Replicated),
            ("on", "remote_apply", "a", Replicated),
            ("on", "local", "a", HostCrashSafe),
            ("on", "off", "a", ProcessCrashSafe),
            ("off", "remote_apply", "a", ProcessCrashSafe),
            ("on", "something new", "a", ProcessCrashSafe),
        ] {
            assert_eq!(durability(fsync, commit, standbys), right, "{fsync} {commit} {standbys:?}");
        }
    }
}
