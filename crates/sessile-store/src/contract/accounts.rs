//! Built-in accounts: names, subjects and sealed password hashes.

use async_trait::async_trait;
use sessile_core::Timestamp;

use crate::error::StoreError;
use crate::record::{AccountName, SealedAccount, SealedBlob};

/// Accounts.
///
/// To shut a user out: [`set_disabled`](Self::set_disabled) first, then revoke the subject. A sign-in inserts its
/// session first and looks at the account once more afterwards. In whichever order the two meet, one of them
/// sees the other (H10, F8).
#[async_trait]
pub trait Accounts {
    /// Adds an account if name and subject are free.
    async fn create_account(&self, account: SealedAccount) -> Result<AccountCreation, StoreError>;

    /// The account of this name.
    async fn find_account(&self, name: &AccountName) -> Result<Option<SealedAccount>, StoreError>;

    /// Replaces the password hash, if the password is still the one set at `seen`; it then counts as set at `now`. A
    /// hash brought up to date beside a change of password must not bring the old password back.
    async fn set_password(
        &self,
        name: &AccountName,
        sealed: SealedBlob,
        seen: Timestamp,
        now: Timestamp,
    ) -> Result<AccountChange, StoreError>;

    /// Disables the account as of a moment, or enables it.
    async fn set_disabled(&self, name: &AccountName, since: Option<Timestamp>) -> Result<AccountChange, StoreError>;

    /// Accounts in order of name after `after`, at most `limit`.
    async fn list_accounts(&self, after: Option<&AccountName>, limit: u32) -> Result<Vec<SealedAccount>, StoreError>;
}

/// What became of an account to be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountCreation {
    /// It is stored.
    Created,
    /// The name is in use; nothing was changed.
    NameTaken,
    /// The subject is in use; nothing was changed.
    SubjectTaken,
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountChange {
    /// It is stored.
    Changed,
    /// The password was set again in between; nothing was changed.
    SetMeanwhile,
    /// There is no such account.
    NoSuchAccount,
}
