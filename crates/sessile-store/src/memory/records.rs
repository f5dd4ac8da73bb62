//! Keys, accounts, throttles and events in memory.

use async_trait::async_trait;
use sessile_core::Timestamp;
use sessile_core::event::Event;
use sessile_core::revocation::FeedItem;
use sessile_core::token::KeyId;

use super::MemoryStore;
use crate::contract::{
    AccountChange, AccountCreation, Accounts, EventQuery, Events, EventsFrom, KeyAddition, KeyRevocation, Keys,
    Throttles,
};
use crate::error::StoreError;
use crate::record::{AccountName, FailureCount, SealedAccount, SealedBlob, SealedKey, StoredEvent, ThrottleKey};

#[async_trait]
impl Keys for MemoryStore {
    async fn load_keys(&self) -> Result<Vec<SealedKey>, StoreError> {
        Ok(self.lock()?.keys.clone())
    }

    async fn add_key(&self, key: SealedKey, expected_newest: Option<&KeyId>) -> Result<KeyAddition, StoreError> {
        self.change(|state| {
            let newest = state.keys.last().map(|newest| &newest.id);
            if newest != expected_newest || state.keys.iter().any(|other| other.id == key.id) {
                return KeyAddition::Lost;
            }
            state.append(FeedItem::KeysChanged, key.created_at);
            state.keys.push(key);
            KeyAddition::Added
        })
    }

    async fn revoke_key(&self, id: &KeyId, now: Timestamp) -> Result<KeyRevocation, StoreError> {
        self.change(|state| {
            let Some(key) = state.keys.iter_mut().find(|key| key.id == *id) else {
                return KeyRevocation::NoSuchKey;
            };
            if key.revoked_at.is_some() {
                return KeyRevocation::AlreadyRevoked;
            }
            key.revoked_at = Some(now);
            state.append(FeedItem::KeysChanged, now);
            KeyRevocation::Revoked
        })
    }

    async fn forget_keys(&self, ids: &[KeyId], now: Timestamp) -> Result<u32, StoreError> {
        self.change(|state| {
            let before = state.keys.len();
            let newest = state.keys.last().map(|key| key.id.clone());
            state.keys.retain(|key| Some(&key.id) == newest.as_ref() || !ids.contains(&key.id));
            let forgotten = before - state.keys.len();
            if forgotten > 0 {
                state.append(FeedItem::KeysChanged, now);
            }
            u32::try_from(forgotten).unwrap_or(u32::MAX)
        })
    }
}

#[async_trait]
impl Accounts for MemoryStore {
    async fn create_account(&self, account: SealedAccount) -> Result<AccountCreation, StoreError> {
        let mut state = self.writing()?;
        if state.accounts.contains_key(&account.name) {
            return Ok(AccountCreation::NameTaken);
        }
        if state.accounts.values().any(|other| other.subject == account.subject) {
            return Ok(AccountCreation::SubjectTaken);
        }
        state.accounts.insert(account.name.clone(), account);
        Ok(AccountCreation::Created)
    }

    async fn find_account(&self, name: &AccountName) -> Result<Option<SealedAccount>, StoreError> {
        Ok(self.lock()?.accounts.get(name).cloned())
    }

    async fn set_password(
        &self,
        name: &AccountName,
        sealed: SealedBlob,
        seen: Timestamp,
        now: Timestamp,
    ) -> Result<AccountChange, StoreError> {
        let mut state = self.writing()?;
        Ok(match state.accounts.get_mut(name) {
            Some(account) if account.password_set_at == seen => {
                account.sealed = sealed;
                account.password_set_at = now;
                AccountChange::Changed
            }
            Some(_) => AccountChange::SetMeanwhile,
            None => AccountChange::NoSuchAccount,
        })
    }

    async fn set_disabled(&self, name: &AccountName, since: Option<Timestamp>) -> Result<AccountChange, StoreError> {
        self.alter(name, |account| account.disabled_at = since)
    }

    async fn list_accounts(&self, after: Option<&AccountName>, limit: u32) -> Result<Vec<SealedAccount>, StoreError> {
        let state = self.lock()?;
        let later = state.accounts.values().filter(|account| after.is_none_or(|after| account.name > *after));
        Ok(later.take(usize::try_from(limit).unwrap_or(usize::MAX)).cloned().collect())
    }
}

impl MemoryStore {
    fn alter(&self, name: &AccountName, change: impl FnOnce(&mut SealedAccount)) -> Result<AccountChange, StoreError> {
        Ok(match self.writing()?.accounts.get_mut(name) {
            Some(account) => {
                change(account);
                AccountChange::Changed
            }
            None => AccountChange::NoSuchAccount,
        })
    }
}

#[async_trait]
impl Throttles for MemoryStore {
    async fn note_failure(&self, key: &ThrottleKey, now: Timestamp) -> Result<FailureCount, StoreError> {
        let mut state = self.writing()?;
        let count = state.failures.entry(*key).or_default();
        *count = count.one_more(now);
        Ok(*count)
    }

    async fn failures(&self, key: &ThrottleKey) -> Result<FailureCount, StoreError> {
        Ok(self.lock()?.failures.get(key).copied().unwrap_or_default())
    }

    async fn clear_failures(&self, key: &ThrottleKey) -> Result<(), StoreError> {
        self.writing()?.failures.remove(key);
        Ok(())
    }

    async fn sweep_failures(&self, before: Timestamp, keep: u64) -> Result<u64, StoreError> {
        let mut state = self.writing()?;
        let had = state.failures.len() as u64;
        state.failures.retain(|_, count| count.last >= before);
        let excess = (state.failures.len() as u64).saturating_sub(keep);
        let mut order: Vec<_> = state.failures.iter().map(|(key, count)| (count.count, count.last, *key)).collect();
        order.sort_unstable();
        for (.., key) in order.into_iter().take(usize::try_from(excess).unwrap_or(usize::MAX)) {
            state.failures.remove(&key);
        }
        Ok(had - state.failures.len() as u64)
    }
}

#[async_trait]
impl Events for MemoryStore {
    async fn append_events(&self, events: &[Event]) -> Result<(), StoreError> {
        let mut state = self.lock()?;
        for event in events {
            state.last_event += 1;
            let stored = StoredEvent {
                seq: state.last_event,
                at: event.at,
                name: event.name.name().to_owned(),
                reason: event.reason.to_owned(),
                subject: event.subject.clone(),
                session: event.session,
                client: event.client.clone(),
                request: event.request.as_ref().map(|id| id.0.clone()),
            };
            state.events.push_back(stored);
        }
        Ok(())
    }

    async fn events(&self, query: &EventQuery) -> Result<Vec<StoredEvent>, StoreError> {
        let state = self.lock()?;
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let matching = state.events.iter().filter(|event| {
            query.subject.as_ref().is_none_or(|subject| event.subject.as_ref() == Some(subject))
                && query.session.is_none_or(|session| event.session == Some(session))
                && query.name.as_ref().is_none_or(|name| event.name == *name)
        });
        let last_of = |before: u64| {
            let mut found: Vec<_> = matching.clone().rev().filter(|e| e.seq < before).take(limit).cloned().collect();
            found.reverse();
            found
        };
        Ok(match query.from {
            EventsFrom::Newest => last_of(u64::MAX),
            EventsFrom::Before(seq) => last_of(seq),
            EventsFrom::After(seq) => matching.filter(|event| event.seq > seq).take(limit).cloned().collect(),
        })
    }

    async fn sweep_events(&self, before: Timestamp, keep: u64) -> Result<u64, StoreError> {
        let mut state = self.lock()?;
        let had = state.events.len();
        state.events.retain(|event| event.at >= before);
        let excess = state.events.len().saturating_sub(usize::try_from(keep).unwrap_or(usize::MAX));
        state.events.drain(..excess);
        Ok((had - state.events.len()) as u64)
    }
}
