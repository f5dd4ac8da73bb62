//! Two lists in the order of their keys, side by side.

use std::collections::VecDeque;
use std::fmt::Display;
use std::marker::PhantomData;

use async_trait::async_trait;
use sessile_core::SessionId;

use super::MigrationError;
use crate::contract::{Backend, SessionCopy, Taken};
use crate::error::StoreError;
use crate::record::{AccountName, SealedAccount};

/// What a store lists, page by page.
#[async_trait]
pub(super) trait Listing {
    /// What one of them is called in a message.
    const WHAT: &'static str;
    type Item: PartialEq + Send + Sync;
    type Key: Ord + Send + Sync + Display;

    fn key(item: &Self::Item) -> Self::Key;
    fn rows(item: &Self::Item) -> usize;
    async fn page(store: &dyn Backend, after: Option<Self::Key>, limit: u32) -> Result<Vec<Self::Item>, StoreError>;
    fn wanted(item: Self::Item) -> Taken;
    fn unwanted(key: Self::Key) -> Taken;
}

/// Sessions with their tokens' rows, by id.
pub(super) struct Sessions;

#[async_trait]
impl Listing for Sessions {
    const WHAT: &'static str = "session";
    type Item = SessionCopy;
    type Key = SessionId;

    fn key(item: &SessionCopy) -> SessionId {
        item.session.id
    }

    fn rows(item: &SessionCopy) -> usize {
        item.tokens.len()
    }

    async fn page(store: &dyn Backend, after: Option<SessionId>, limit: u32) -> Result<Vec<SessionCopy>, StoreError> {
        store.copies(after, limit).await
    }

    fn wanted(item: SessionCopy) -> Taken {
        Taken::Session(item)
    }

    fn unwanted(key: SessionId) -> Taken {
        Taken::NoSession(key)
    }
}

/// Accounts, by name.
pub(super) struct Accounts;

#[async_trait]
impl Listing for Accounts {
    const WHAT: &'static str = "account";
    type Item = SealedAccount;
    type Key = AccountName;

    fn key(item: &SealedAccount) -> AccountName {
        item.name.clone()
    }

    fn rows(_: &SealedAccount) -> usize {
        0
    }

    async fn page(
        store: &dyn Backend,
        after: Option<AccountName>,
        limit: u32,
    ) -> Result<Vec<SealedAccount>, StoreError> {
        store.list_accounts(after.as_ref(), limit).await
    }

    fn wanted(item: SealedAccount) -> Taken {
        Taken::Account(item)
    }

    fn unwanted(key: AccountName) -> Taken {
        Taken::NoAccount(key)
    }
}

/// What a cursor has passed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) records: u64,
    pub(super) rows: u64,
}

/// A place in a store's list.
pub(super) struct Cursor<'a, L: Listing> {
    store: &'a dyn Backend,
    limit: u32,
    ahead: VecDeque<L::Item>,
    at_end: bool,
    seen: Seen,
    listing: PhantomData<L>,
}

impl<'a, L: Listing> Cursor<'a, L> {
    pub(super) fn new(store: &'a dyn Backend, limit: u32) -> Self {
        Self { store, limit, ahead: VecDeque::new(), at_end: false, seen: Seen::default(), listing: PhantomData }
    }

    pub(super) fn seen(&self) -> Seen {
        self.seen
    }

    // The next page is read once this one has a single record left, after which it begins.
    async fn head(&mut self) -> Result<Option<L::Key>, StoreError> {
        if self.ahead.len() <= 1 && !self.at_end {
            let page = L::page(self.store, self.ahead.back().map(L::key), self.limit).await?;
            self.at_end = (page.len() as u64) < u64::from(self.limit);
            self.ahead.extend(page);
        }
        Ok(self.ahead.front().map(L::key))
    }

    /// Passes everything that is left.
    pub(super) async fn pass_all(mut self) -> Result<Seen, StoreError> {
        while self.head().await?.is_some() {
            self.pass();
        }
        Ok(self.seen)
    }

    fn pass(&mut self) -> Option<L::Item> {
        let item = self.ahead.pop_front()?;
        self.seen.records += 1;
        self.seen.rows += L::rows(&item) as u64;
        Some(item)
    }
}

/// How the two lists compare at their next key.
pub(super) enum Next<I, K> {
    Same,
    /// The source has this; the target has not, or has something else.
    Wanted(I),
    /// Only the target has it.
    Unwanted(K),
}

impl<I, K: Display> Next<I, K> {
    pub(super) fn taken<L: Listing<Item = I, Key = K>>(self) -> Option<Taken> {
        match self {
            Self::Same => None,
            Self::Wanted(item) => Some(L::wanted(item)),
            Self::Unwanted(key) => Some(L::unwanted(key)),
        }
    }

    pub(super) fn key<L: Listing<Item = I, Key = K>>(self) -> Option<String> {
        match self {
            Self::Same => None,
            Self::Wanted(item) => Some(L::key(&item).to_string()),
            Self::Unwanted(key) => Some(key.to_string()),
        }
    }
}

/// Passes the next key of both; `None` at their end.
pub(super) async fn next<L: Listing>(
    source: &mut Cursor<'_, L>,
    target: &mut Cursor<'_, L>,
) -> Result<Option<Next<L::Item, L::Key>>, MigrationError> {
    let here = source.head().await.map_err(MigrationError::Source)?;
    let there = target.head().await.map_err(MigrationError::Target)?;
    Ok(match (here, there) {
        (None, None) => None,
        (Some(here), Some(there)) if here == there => match (source.pass(), target.pass()) {
            (Some(item), Some(copy)) if item != copy => Some(Next::Wanted(item)),
            _ => Some(Next::Same),
        },
        (Some(here), there) if there.as_ref().is_none_or(|there| here < *there) => source.pass().map(Next::Wanted),
        (_, there) => {
            target.pass();
            there.map(Next::Unwanted)
        }
    })
}
