//! The statements for accounts.

use rusqlite::{Connection, OptionalExtension, Result, Row, params};
use sessile_core::Timestamp;

use super::row::{millis, moment, optional_moment, parsed};
use crate::contract::{AccountChange, AccountCreation};
use crate::record::{AccountName, SealedAccount, SealedBlob};

const ACCOUNT: &str = "name, subject, created_at, password_set_at, disabled_at, sealed";

pub(super) fn create(connection: &Connection, new: &SealedAccount) -> Result<AccountCreation> {
    if connection.prepare_cached("SELECT 1 FROM accounts WHERE name = ?")?.exists([new.name.as_str()])? {
        return Ok(AccountCreation::NameTaken);
    }
    if connection.prepare_cached("SELECT 1 FROM accounts WHERE subject = ?")?.exists([new.subject.as_str()])? {
        return Ok(AccountCreation::SubjectTaken);
    }
    put(connection, new)?;
    Ok(AccountCreation::Created)
}

/// Writes an account whose name and subject are free.
pub(super) fn put(connection: &Connection, new: &SealedAccount) -> Result<()> {
    connection.prepare_cached(&format!("INSERT INTO accounts ({ACCOUNT}) VALUES (?, ?, ?, ?, ?, ?)"))?.execute(
        params![
            new.name.as_str(),
            new.subject.as_str(),
            millis(new.created_at),
            millis(new.password_set_at),
            new.disabled_at.map(millis),
            new.sealed.as_bytes(),
        ],
    )?;
    Ok(())
}

pub(super) fn find(connection: &Connection, name: &AccountName) -> Result<Option<SealedAccount>> {
    connection
        .prepare_cached(&format!("SELECT {ACCOUNT} FROM accounts WHERE name = ?"))?
        .query_row([name.as_str()], account)
        .optional()
}

pub(super) fn set_password(
    connection: &Connection,
    name: &AccountName,
    sealed: &SealedBlob,
    seen: Timestamp,
    now: Timestamp,
) -> Result<AccountChange> {
    let changed = connection
        .prepare_cached("UPDATE accounts SET sealed = ?, password_set_at = ? WHERE name = ? AND password_set_at = ?")?
        .execute(params![sealed.as_bytes(), millis(now), name.as_str(), millis(seen)])?;
    Ok(match (changed, find(connection, name)?) {
        (1.., _) => AccountChange::Changed,
        (0, Some(_)) => AccountChange::SetMeanwhile,
        (0, None) => AccountChange::NoSuchAccount,
    })
}

pub(super) fn set_disabled(
    connection: &Connection,
    name: &AccountName,
    since: Option<Timestamp>,
) -> Result<AccountChange> {
    connection
        .prepare_cached("UPDATE accounts SET disabled_at = ? WHERE name = ?")?
        .execute(params![since.map(millis), name.as_str()])
        .map(change)
}

pub(super) fn list(connection: &Connection, after: Option<&AccountName>, limit: u32) -> Result<Vec<SealedAccount>> {
    // No name is empty.
    let after = after.map_or("", AccountName::as_str);
    connection
        .prepare_cached(&format!("SELECT {ACCOUNT} FROM accounts WHERE name > ? ORDER BY name LIMIT ?"))?
        .query_map(params![after, limit], account)?
        .collect()
}

fn change(rows: usize) -> AccountChange {
    if rows > 0 { AccountChange::Changed } else { AccountChange::NoSuchAccount }
}

fn account(row: &Row<'_>) -> Result<SealedAccount> {
    Ok(SealedAccount {
        name: parsed(row, 0)?,
        subject: parsed(row, 1)?,
        created_at: moment(row, 2)?,
        password_set_at: moment(row, 3)?,
        disabled_at: optional_moment(row, 4)?,
        sealed: SealedBlob::from_bytes(row.get(5)?),
    })
}
