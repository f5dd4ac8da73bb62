//! Accounts through the vault.

use sessile_core::{SecretText, Subject, Timestamp};

use super::{Op, Vault};
use crate::contract::{AccountChange, AccountCreation};
use crate::error::StoreError;
use crate::record::{AccountName, SealedAccount, SealedBlob};
use crate::seal::Purpose;

/// An account, without its password hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// What its owner signs in with.
    pub name: AccountName,
    /// The `sub` of its sessions.
    pub subject: Subject,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its password was last set.
    pub password_set_at: Timestamp,
    /// Since when it is disabled, if it is.
    pub disabled_at: Option<Timestamp>,
}

impl Vault {
    /// Adds an account with the hash of its password.
    pub async fn create_account(&self, account: Account, hash: &SecretText) -> Result<AccountCreation, StoreError> {
        let sealed = self.seal_password(&account.name, &account.subject, hash)?;
        let Account { name, subject, created_at, password_set_at, disabled_at } = account;
        self.counters.note(Op::CreateAccount);
        let record = SealedAccount { name, subject, created_at, password_set_at, disabled_at, sealed };
        self.backend()?.create_account(record).await
    }

    /// The account of this name and the hash of its password.
    pub async fn find_account(&self, name: &AccountName) -> Result<Option<(Account, SecretText)>, StoreError> {
        self.counters.note(Op::FindAccount);
        let Some(record) = self.backend()?.find_account(name).await? else {
            return Ok(None);
        };
        let context = context(&record.name, &record.subject);
        let hash = self.sealer.open(Purpose::Password, &context, &record.sealed)?;
        let hash = std::str::from_utf8(hash.expose())
            .map_err(|_| StoreError::Corrupt(format!("the password hash of account {name} is not text")))?;
        let hash = SecretText::new(hash.to_owned());
        Ok(Some((account(record), hash)))
    }

    /// Replaces the password hash of an account as it was read. The caller ends the subject's sessions.
    pub async fn set_password(
        &self,
        account: &Account,
        hash: &SecretText,
        now: Timestamp,
    ) -> Result<AccountChange, StoreError> {
        let sealed = self.seal_password(&account.name, &account.subject, hash)?;
        self.counters.note(Op::SetPassword);
        self.backend()?.set_password(&account.name, sealed, account.password_set_at, now).await
    }

    /// Disables an account as of a moment, or enables it. The caller ends the subject's sessions afterwards.
    pub async fn set_disabled(
        &self,
        name: &AccountName,
        since: Option<Timestamp>,
    ) -> Result<AccountChange, StoreError> {
        self.counters.note(Op::SetDisabled);
        self.backend()?.set_disabled(name, since).await
    }

    /// Accounts in order of name after `after`, at most `limit`.
    pub async fn list_accounts(&self, after: Option<&AccountName>, limit: u32) -> Result<Vec<Account>, StoreError> {
        self.counters.note(Op::ListAccounts);
        Ok(self.backend()?.list_accounts(after, limit).await?.into_iter().map(account).collect())
    }

    fn seal_password(
        &self,
        name: &AccountName,
        subject: &Subject,
        hash: &SecretText,
    ) -> Result<SealedBlob, StoreError> {
        self.sealer.seal(Purpose::Password, &context(name, subject), hash.expose().as_bytes())
    }
}

// A hash opens only in its own account: nobody signs in as another with a password they know.
fn context<'a>(name: &'a AccountName, subject: &'a Subject) -> [&'a [u8]; 2] {
    [name.as_str().as_bytes(), subject.as_str().as_bytes()]
}

fn account(record: SealedAccount) -> Account {
    Account {
        name: record.name,
        subject: record.subject,
        created_at: record.created_at,
        password_set_at: record.password_set_at,
        disabled_at: record.disabled_at,
    }
}
