//! Keys, accounts, throttles and events, verb by verb.

use async_trait::async_trait;
use sessile_core::Timestamp;
use sessile_core::event::Event;
use sessile_core::token::KeyId;

use super::RedisStore;
use super::reply::{hex, list, number, optional, text, unknown};
use super::row::{self, millis, optional_millis};
use super::script::verb;
use crate::contract::{
    AccountChange, AccountCreation, Accounts, EventQuery, Events, EventsFrom, KeyAddition, KeyRevocation, Keys,
    Throttles,
};
use crate::error::StoreError;
use crate::record::{AccountName, FailureCount, SealedAccount, SealedBlob, SealedKey, StoredEvent, ThrottleKey};

#[async_trait]
impl Keys for RedisStore {
    async fn load_keys(&self) -> Result<Vec<SealedKey>, StoreError> {
        list(self.link.read(&verb::load_keys, self.link.call()).await?, row::key)
    }

    async fn add_key(&self, key: SealedKey, expected_newest: Option<&KeyId>) -> Result<KeyAddition, StoreError> {
        let newest = expected_newest.map_or("", KeyId::as_str);
        let added = self.link.write(&verb::add_key, row::with_key(self.link.call(), &key).with(newest)).await?;
        Ok(if number(added)? == 1 { KeyAddition::Added } else { KeyAddition::Lost })
    }

    async fn revoke_key(&self, id: &KeyId, now: Timestamp) -> Result<KeyRevocation, StoreError> {
        let call = self.link.call().with(id.as_str()).with(millis(now));
        match text(self.link.write(&verb::revoke_key, call).await?)?.as_str() {
            "revoked" => Ok(KeyRevocation::Revoked),
            "already" => Ok(KeyRevocation::AlreadyRevoked),
            "none" => Ok(KeyRevocation::NoSuchKey),
            word => Err(unknown("revoke_key", word)),
        }
    }

    async fn forget_keys(&self, ids: &[KeyId], now: Timestamp) -> Result<u32, StoreError> {
        let call = ids.iter().fold(self.link.call().with(millis(now)), |call, id| call.with(id.as_str()));
        let forgotten = number(self.link.write(&verb::forget_keys, call).await?)?;
        Ok(u32::try_from(forgotten).unwrap_or(u32::MAX))
    }
}

#[async_trait]
impl Accounts for RedisStore {
    async fn create_account(&self, account: SealedAccount) -> Result<AccountCreation, StoreError> {
        let call = row::with_account(self.link.call(), &account);
        match text(self.link.write(&verb::create_account, call).await?)?.as_str() {
            "created" => Ok(AccountCreation::Created),
            "name" => Ok(AccountCreation::NameTaken),
            "subject" => Ok(AccountCreation::SubjectTaken),
            word => Err(unknown("create_account", word)),
        }
    }

    async fn find_account(&self, name: &AccountName) -> Result<Option<SealedAccount>, StoreError> {
        optional(self.link.read(&verb::find_account, self.link.call().with(name.as_str())).await?, row::account)
    }

    async fn set_password(
        &self,
        name: &AccountName,
        sealed: SealedBlob,
        seen: Timestamp,
        now: Timestamp,
    ) -> Result<AccountChange, StoreError> {
        let call = self.link.call().with(name.as_str()).with(sealed.as_bytes()).with(millis(seen)).with(millis(now));
        change("set_password", self.link.write(&verb::set_password, call).await?)
    }

    async fn set_disabled(&self, name: &AccountName, since: Option<Timestamp>) -> Result<AccountChange, StoreError> {
        let call = self.link.call().with(name.as_str()).with(optional_millis(since));
        change("set_disabled", self.link.write(&verb::set_disabled, call).await?)
    }

    async fn list_accounts(&self, after: Option<&AccountName>, limit: u32) -> Result<Vec<SealedAccount>, StoreError> {
        let call = self.link.call().with(after.map_or("", AccountName::as_str)).with(limit);
        list(self.link.read(&verb::list_accounts, call).await?, row::account)
    }
}

fn change(verb: &str, answer: redis::Value) -> Result<AccountChange, StoreError> {
    match text(answer)?.as_str() {
        "changed" => Ok(AccountChange::Changed),
        "meanwhile" => Ok(AccountChange::SetMeanwhile),
        "none" => Ok(AccountChange::NoSuchAccount),
        word => Err(unknown(verb, word)),
    }
}

#[async_trait]
impl Throttles for RedisStore {
    async fn note_failure(&self, key: &ThrottleKey, now: Timestamp) -> Result<FailureCount, StoreError> {
        let call = self.link.call().with(hex(key.as_bytes())).with(millis(now));
        row::failures(self.link.write(&verb::note_failure, call).await?)
    }

    async fn failures(&self, key: &ThrottleKey) -> Result<FailureCount, StoreError> {
        let call = self.link.call().with(hex(key.as_bytes()));
        Ok(optional(self.link.read(&verb::failures, call).await?, row::failures)?.unwrap_or_default())
    }

    async fn clear_failures(&self, key: &ThrottleKey) -> Result<(), StoreError> {
        self.link.write(&verb::clear_failures, self.link.call().with(hex(key.as_bytes()))).await.map(drop)
    }

    async fn sweep_failures(&self, before: Timestamp, keep: u64) -> Result<u64, StoreError> {
        number(self.link.write(&verb::sweep_failures, self.link.call().with(millis(before)).with(keep)).await?)
    }
}

#[async_trait]
impl Events for RedisStore {
    async fn append_events(&self, events: &[Event]) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        let call = events.iter().try_fold(self.link.call(), row::with_event)?;
        self.link.write(&verb::append_events, call).await.map(drop)
    }

    // A query that matches little reads much. It is read in pages, so that the server does other things in between;
    // nothing is inserted into what was read.
    async fn events(&self, query: &EventQuery) -> Result<Vec<StoredEvent>, StoreError> {
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let (direction, mut at) = match query.from {
            EventsFrom::Newest => ("before", u64::MAX),
            EventsFrom::Before(seq) => ("before", seq),
            EventsFrom::After(seq) => ("after", seq),
        };
        let mut found = Vec::new();
        while found.len() < limit && !(direction == "before" && at == 0) {
            let call = self.link.call().with(direction).with(at).with(PAGE);
            let page = list(self.link.read(&verb::events, call).await?, row::event)?;
            let Some(last) = page.last() else { break };
            at = last.seq;
            let wanted = page.into_iter().filter(|event| matches(query, event));
            found.extend(wanted.take(limit - found.len()));
        }
        found.sort_by_key(|event| event.seq);
        Ok(found)
    }

    async fn sweep_events(&self, before: Timestamp, keep: u64) -> Result<u64, StoreError> {
        number(self.link.write(&verb::sweep_events, self.link.call().with(millis(before)).with(keep)).await?)
    }
}

// Events that one reply holds.
const PAGE: u32 = 500;

fn matches(query: &EventQuery, event: &StoredEvent) -> bool {
    query.subject.as_ref().is_none_or(|subject| event.subject.as_ref() == Some(subject))
        && query.session.is_none_or(|session| event.session == Some(session))
        && query.name.as_ref().is_none_or(|name| event.name == *name)
}
