//! Administration of password accounts.

use sessile_core::crypto::Entropy;
use sessile_core::event::{Event, EventName};
use sessile_core::revocation::{Reason, Scope};
use sessile_core::{InvalidId, SecretText, SessionId, Subject, Timestamp};
use sessile_store::{Account, AccountChange, AccountCreation, AccountName, InvalidName, StoreError, Vault};

use super::hash::{HashFault, HashingPool};
use super::policy::{PasswordPolicy, PasswordRefused};
use super::sign_in::{account_key, unlock_key};
use crate::engine::Engine;

/// The accounts of a store. Needs no running engine: nodes learn of ended sessions from the store's feed.
#[derive(Clone, Copy)]
pub struct Accounts<'a> {
    /// The store, opened.
    pub vault: &'a Vault,
    /// Which passwords may be chosen.
    pub policy: &'a PasswordPolicy,
    /// Hashes them.
    pub hashing: &'a HashingPool,
    /// Salts them.
    pub entropy: &'a dyn Entropy,
}

impl std::fmt::Debug for Accounts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accounts").field("store", &self.vault.name()).finish_non_exhaustive()
    }
}

impl Engine {
    /// The accounts of this engine's store.
    pub fn accounts(&self) -> Accounts<'_> {
        Accounts {
            vault: self.vault(),
            policy: &self.config().passwords,
            hashing: self.hashing(),
            entropy: self.entropy(),
        }
    }
}

impl Accounts<'_> {
    /// Adds an account. Its subject is its name unless another is given. There is no default account and no
    /// default password.
    pub async fn create(
        &self,
        name: &str,
        subject: Option<Subject>,
        password: SecretText,
        now: Timestamp,
    ) -> Result<Account, AccountError> {
        let name: AccountName = name.parse()?;
        let subject = subject.map_or_else(|| name.as_str().parse(), Ok)?;
        self.policy.check(name.as_str(), &password)?;
        let hash = self.hashing.hash(self.entropy, password).await?;
        let account = Account { name, subject, created_at: now, password_set_at: now, disabled_at: None };
        match self.vault.create_account(account.clone(), &hash).await? {
            AccountCreation::Created => {}
            AccountCreation::NameTaken => return Err(AccountError::NameTaken(account.name)),
            AccountCreation::SubjectTaken => return Err(AccountError::SubjectTaken(account.subject)),
        }
        self.note(EventName::UserCreated, "created", &account, now).await?;
        Ok(account)
    }

    /// Sets a password, and then ends every session of the account: whoever signed in with the old one is out
    /// (E8). Answers the sessions ended. On an error the order can be given again.
    pub async fn set_password(
        &self,
        name: &str,
        password: SecretText,
        now: Timestamp,
    ) -> Result<Vec<SessionId>, AccountError> {
        let account = self.find(name).await?;
        self.policy.check(account.name.as_str(), &password)?;
        let hash = self.hashing.hash(self.entropy, password).await?;
        self.changed(self.vault.set_password(&account, &hash, now).await?, &account)?;
        let revoked = self.vault.revoke(&Scope::Subject(account.subject.clone()), Reason::PasswordChanged, now).await?;
        self.forget_failures(&account, now).await?;
        self.note(EventName::PasswordChange, "set_by_administrator", &account, now).await?;
        Ok(revoked.ended)
    }

    /// Disables an account, and then ends every session of it. Answers the sessions ended.
    pub async fn disable(&self, name: &str, now: Timestamp) -> Result<Vec<SessionId>, AccountError> {
        let account = self.find(name).await?;
        self.changed(self.vault.set_disabled(&account.name, Some(now)).await?, &account)?;
        let revoked = self.vault.revoke(&Scope::Subject(account.subject.clone()), Reason::AccountDisabled, now).await?;
        self.note(EventName::UserUpdated, "disabled", &account, now).await?;
        Ok(revoked.ended)
    }

    /// Enables an account again.
    pub async fn enable(&self, name: &str, now: Timestamp) -> Result<(), AccountError> {
        let account = self.find(name).await?;
        self.changed(self.vault.set_disabled(&account.name, None).await?, &account)?;
        self.note(EventName::UserUpdated, "enabled", &account, now).await
    }

    /// Forgets the failed sign-ins of an account, so that it takes tries again at once.
    pub async fn unlock(&self, name: &str, now: Timestamp) -> Result<(), AccountError> {
        let account = self.find(name).await?;
        self.forget_failures(&account, now).await?;
        self.note(EventName::UserUpdated, "unlocked", &account, now).await
    }

    // From everywhere, the networks known to the account included.
    async fn forget_failures(&self, account: &Account, now: Timestamp) -> Result<(), StoreError> {
        self.vault.clear_failures(&account_key(self.vault, account.name.as_str())).await?;
        self.vault.note_failure(&unlock_key(self.vault, account.name.as_str()), now).await.map(drop)
    }

    /// The account of this name.
    pub async fn find(&self, name: &str) -> Result<Account, AccountError> {
        let name: AccountName = name.parse()?;
        match self.vault.find_account(&name).await? {
            Some((account, _)) => Ok(account),
            None => Err(AccountError::NoSuchAccount(name)),
        }
    }

    fn changed(&self, change: AccountChange, account: &Account) -> Result<(), AccountError> {
        match change {
            AccountChange::Changed => Ok(()),
            AccountChange::SetMeanwhile => Err(AccountError::SetMeanwhile(account.name.clone())),
            AccountChange::NoSuchAccount => Err(AccountError::NoSuchAccount(account.name.clone())),
        }
    }

    async fn note(
        &self,
        name: EventName,
        reason: &'static str,
        account: &Account,
        now: Timestamp,
    ) -> Result<(), AccountError> {
        let event = Event::new(name, reason, now).subject(account.subject.clone());
        crate::log::event(&event);
        Ok(self.vault.append_events(&[event]).await?)
    }
}

/// An order about an account could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Not a name.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// Not a subject.
    #[error(transparent)]
    Subject(#[from] InvalidId),
    /// Not a password to choose.
    #[error(transparent)]
    Password(#[from] PasswordRefused),
    /// The name is in use.
    #[error("there is an account named {0} already; choose another name, or set its password")]
    NameTaken(AccountName),
    /// The subject is in use.
    #[error("there is an account with the subject {0} already; subjects are never used twice")]
    SubjectTaken(Subject),
    /// The password was set by somebody else in between; nothing was changed.
    #[error("the password of {0} was set by somebody else just now: look, then try again")]
    SetMeanwhile(AccountName),
    /// There is no such account.
    #[error("there is no account named {0}")]
    NoSuchAccount(AccountName),
    /// The password could not be hashed.
    #[error(transparent)]
    Hash(#[from] HashFault),
    /// The store failed. What was ordered may be half done; give the order again.
    #[error("the store cannot be used: {0}; give the order again once it can")]
    Store(#[from] StoreError),
}
