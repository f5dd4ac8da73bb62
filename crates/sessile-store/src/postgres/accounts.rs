//! The statements for accounts.

use sessile_core::Timestamp;
use tokio_postgres::Row;

use super::flight::{Answer, statement};
use super::lanes::Lanes;
use super::row::{get, millis, moment, optional_moment, parsed, sealed};
use super::server::miscounted;
use crate::contract::{AccountChange, AccountCreation};
use crate::error::StoreError;
use crate::record::{AccountName, SealedAccount, SealedBlob};

macro_rules! account_columns {
    () => {
        "name, subject, created_at, password_set_at, disabled_at, sealed"
    };
}
pub(super) use account_columns;

pub(super) async fn create(lanes: &Lanes, new: &SealedAccount) -> Result<AccountCreation, StoreError> {
    const CREATE: &str = concat!(
        "INSERT INTO accounts (",
        account_columns!(),
        ") VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING"
    );
    const TAKEN: &str =
        "SELECT EXISTS (SELECT FROM accounts WHERE name = $1), EXISTS (SELECT FROM accounts WHERE subject = $2)";
    let (name, subject, sealed) = (new.name.as_str(), new.subject.as_str(), new.sealed.as_bytes());
    let (created_at, password_set_at) = (millis(new.created_at), millis(new.password_set_at));
    let disabled_at = new.disabled_at.map(millis);
    let create = statement!(CREATE, name, subject, created_at, password_set_at, disabled_at, sealed);
    let answers = lanes.write(&[create, statement!(TAKEN, name, subject)]).await?;
    let [created, taken] = &answers[..] else { return Err(miscounted()) };
    let taken = taken.rows.first().ok_or_else(miscounted)?;
    match (created.affected, get(taken, 0)?, get(taken, 1)?) {
        (1.., _, _) => Ok(AccountCreation::Created),
        (0, true, _) => Ok(AccountCreation::NameTaken),
        (0, false, true) => Ok(AccountCreation::SubjectTaken),
        // Accounts are never deleted by this program; by hand, perhaps, in this very moment.
        (0, false, false) => Err(StoreError::not_done("the account that was in the way has gone; try again")),
    }
}

pub(super) async fn find(lanes: &Lanes, name: &AccountName) -> Result<Option<SealedAccount>, StoreError> {
    const FIND: &str = concat!("SELECT ", account_columns!(), " FROM accounts WHERE name = $1");
    let name = name.as_str();
    let answers = lanes.read(&[statement!(FIND, name)]).await?;
    answers.first().and_then(|answer| answer.rows.first()).map(account).transpose()
}

pub(super) async fn set_password(
    lanes: &Lanes,
    name: &AccountName,
    sealed: &SealedBlob,
    seen: Timestamp,
    now: Timestamp,
) -> Result<AccountChange, StoreError> {
    const SET: &str = "UPDATE accounts SET sealed = $2, password_set_at = $4 WHERE name = $1 AND password_set_at = $3";
    const KNOWN: &str = "SELECT FROM accounts WHERE name = $1";
    let (name, sealed) = (name.as_str(), sealed.as_bytes());
    let (seen, now) = (millis(seen), millis(now));
    let answers = lanes.write(&[statement!(SET, name, sealed, seen, now), statement!(KNOWN, name)]).await?;
    let [set, known] = &answers[..] else { return Err(miscounted()) };
    Ok(match (set.affected, known.rows.len()) {
        (1.., _) => AccountChange::Changed,
        (0, 1..) => AccountChange::SetMeanwhile,
        (0, 0) => AccountChange::NoSuchAccount,
    })
}

pub(super) async fn set_disabled(
    lanes: &Lanes,
    name: &AccountName,
    since: Option<Timestamp>,
) -> Result<AccountChange, StoreError> {
    let (name, since) = (name.as_str(), since.map(millis));
    // Over the reserve: it comes before the sessions of an account are ended, and must get through like that.
    let answers = lanes.end(&[statement!("UPDATE accounts SET disabled_at = $2 WHERE name = $1", name, since)]).await?;
    Ok(if affected(answers.first())? > 0 { AccountChange::Changed } else { AccountChange::NoSuchAccount })
}

pub(super) async fn list(
    lanes: &Lanes,
    after: Option<&AccountName>,
    limit: u32,
) -> Result<Vec<SealedAccount>, StoreError> {
    const LIST: &str = concat!("SELECT ", account_columns!(), " FROM accounts WHERE name > $1 ORDER BY name LIMIT $2");
    // No name is empty.
    let (after, limit) = (after.map_or("", AccountName::as_str), i64::from(limit));
    let answers = lanes.read(&[statement!(LIST, after, limit)]).await?;
    answers.iter().flat_map(|answer| &answer.rows).map(account).collect()
}

fn affected(answer: Option<&Answer>) -> Result<u64, StoreError> {
    answer.map(|answer| answer.affected).ok_or_else(miscounted)
}

fn account(row: &Row) -> Result<SealedAccount, StoreError> {
    Ok(SealedAccount {
        name: parsed(row, 0)?,
        subject: parsed(row, 1)?,
        created_at: moment(row, 2)?,
        password_set_at: moment(row, 3)?,
        disabled_at: optional_moment(row, 4)?,
        sealed: sealed(row, 5)?,
    })
}
