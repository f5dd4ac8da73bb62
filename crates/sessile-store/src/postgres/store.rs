//! The contract, verb by verb.

use async_trait::async_trait;
use sessile_core::event::Event;
use sessile_core::id::TokenId;
use sessile_core::revocation::{FeedPage, Reason, Scope, Seq};
use sessile_core::rotation::Generation;
use sessile_core::token::KeyId;
use sessile_core::{SessionId, Subject, Timestamp};

use super::flight::statement;
use super::server::miscounted;
use super::{PostgresStore, accounts, ending, events, feed, keys, moves, row, sessions, throttles, tokens};
use crate::contract::{
    AccountChange, AccountCreation, Accounts, Backend, Confirmation, Continuity, Durability, EventQuery, Events, Feed,
    Insertion, KeyAddition, KeyRevocation, Keys, MoveId, Moves, Revoked, RotateOutcome, SessionCopy, Sessions, Stage,
    StageChange, Taken, TakingIn, Throttles, TokenAddition, Tokens,
};
use crate::error::StoreError;
use crate::record::{
    AccountName, FailureCount, SealedAccount, SealedBlob, SealedKey, SealedSession, StoredEvent, ThrottleKey, TokenRow,
    Use,
};

#[async_trait]
impl Backend for PostgresStore {
    fn name(&self) -> &'static str {
        "postgres"
    }

    // As the server's settings were last seen, at most a second ago while it can be reached (S14).
    fn durability(&self) -> Durability {
        self.news.durability()
    }

    async fn master_witness(&self, witness: SealedBlob) -> Result<SealedBlob, StoreError> {
        let bytes = witness.as_bytes();
        let keep = statement!("UPDATE store SET witness = $1 WHERE witness IS NULL", bytes);
        let answers = self.lanes.write_always(&[keep, statement!("SELECT witness FROM store")]).await?;
        let missing = || StoreError::Corrupt("the table store has lost its row".to_owned());
        row::sealed(answers.last().ok_or_else(miscounted)?.rows.first().ok_or_else(missing)?, 0)
    }
}

#[async_trait]
impl Sessions for PostgresStore {
    async fn insert(&self, session: SealedSession, cap: u32) -> Result<Insertion, StoreError> {
        sessions::insert(&self.lanes, &session, cap).await
    }

    async fn load(&self, id: SessionId) -> Result<Option<SealedSession>, StoreError> {
        sessions::load(&self.lanes, id).await
    }

    async fn rotate(&self, id: SessionId, expected: Generation, now: Timestamp) -> Result<RotateOutcome, StoreError> {
        sessions::rotate(&self.lanes, id, expected, now).await
    }

    async fn confirm(&self, id: SessionId, generation: Generation, now: Timestamp) -> Result<Confirmation, StoreError> {
        sessions::confirm(&self.lanes, id, generation, now).await
    }

    async fn revoke(&self, scope: &Scope, reason: Reason, now: Timestamp) -> Result<Revoked, StoreError> {
        ending::revoke(&self.lanes, scope, reason, now).await
    }

    async fn list(
        &self,
        subject: Option<&Subject>,
        after: Option<SessionId>,
        limit: u32,
    ) -> Result<Vec<SealedSession>, StoreError> {
        sessions::list(&self.lanes, subject, after, limit).await
    }

    async fn sweep(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        sessions::sweep(&self.lanes, now, limit).await
    }

    async fn count(&self) -> Result<u64, StoreError> {
        sessions::total(&self.lanes).await
    }
}

#[async_trait]
impl Tokens for PostgresStore {
    async fn add_token(&self, row: TokenRow) -> Result<TokenAddition, StoreError> {
        tokens::add(&self.lanes, &row).await
    }

    async fn find_token(&self, id: TokenId) -> Result<Option<(TokenRow, SealedSession)>, StoreError> {
        tokens::find(&self.lanes, id).await
    }

    async fn list_tokens(&self, session: SessionId) -> Result<Vec<TokenRow>, StoreError> {
        tokens::list(&self.lanes, session).await
    }

    async fn remove_token(&self, id: TokenId) -> Result<bool, StoreError> {
        tokens::remove(&self.lanes, id).await
    }

    async fn note_uses(&self, uses: &[Use]) -> Result<(), StoreError> {
        tokens::note_uses(&self.lanes, uses).await
    }
}

#[async_trait]
impl Feed for PostgresStore {
    async fn feed(&self, after: Seq, limit: u32) -> Result<FeedPage, StoreError> {
        feed::page(&self.lanes, after, limit).await
    }

    async fn changed(&self, after: Seq) {
        crate::contract::wait_for_change(self.news.position(), after).await;
    }

    async fn continuity(&self) -> Result<Continuity, StoreError> {
        feed::continuity(&self.lanes).await
    }

    async fn restart_history(&self, reason: Reason, now: Timestamp) -> Result<(), StoreError> {
        ending::restart(&self.lanes, reason, now).await
    }
}

#[async_trait]
impl Keys for PostgresStore {
    async fn load_keys(&self) -> Result<Vec<SealedKey>, StoreError> {
        keys::load(&self.lanes).await
    }

    async fn add_key(&self, key: SealedKey, expected_newest: Option<&KeyId>) -> Result<KeyAddition, StoreError> {
        keys::add(&self.lanes, &key, expected_newest).await
    }

    async fn revoke_key(&self, id: &KeyId, now: Timestamp) -> Result<KeyRevocation, StoreError> {
        keys::revoke(&self.lanes, id, now).await
    }

    async fn forget_keys(&self, ids: &[KeyId], now: Timestamp) -> Result<u32, StoreError> {
        keys::forget(&self.lanes, ids, now).await
    }
}

#[async_trait]
impl Accounts for PostgresStore {
    async fn create_account(&self, account: SealedAccount) -> Result<AccountCreation, StoreError> {
        accounts::create(&self.lanes, &account).await
    }

    async fn find_account(&self, name: &AccountName) -> Result<Option<SealedAccount>, StoreError> {
        accounts::find(&self.lanes, name).await
    }

    async fn set_password(
        &self,
        name: &AccountName,
        sealed: SealedBlob,
        seen: Timestamp,
        now: Timestamp,
    ) -> Result<AccountChange, StoreError> {
        accounts::set_password(&self.lanes, name, &sealed, seen, now).await
    }

    async fn set_disabled(&self, name: &AccountName, since: Option<Timestamp>) -> Result<AccountChange, StoreError> {
        accounts::set_disabled(&self.lanes, name, since).await
    }

    async fn list_accounts(&self, after: Option<&AccountName>, limit: u32) -> Result<Vec<SealedAccount>, StoreError> {
        accounts::list(&self.lanes, after, limit).await
    }
}

#[async_trait]
impl Throttles for PostgresStore {
    async fn note_failure(&self, key: &ThrottleKey, now: Timestamp) -> Result<FailureCount, StoreError> {
        throttles::note(&self.lanes, key, now).await
    }

    async fn failures(&self, key: &ThrottleKey) -> Result<FailureCount, StoreError> {
        throttles::read(&self.lanes, key).await
    }

    async fn clear_failures(&self, key: &ThrottleKey) -> Result<(), StoreError> {
        throttles::clear(&self.lanes, key).await
    }

    async fn sweep_failures(&self, before: Timestamp, keep: u64) -> Result<u64, StoreError> {
        throttles::sweep(&self.lanes, before, keep).await
    }
}

#[async_trait]
impl Events for PostgresStore {
    async fn append_events(&self, events: &[Event]) -> Result<(), StoreError> {
        events::append(&self.lanes, events).await
    }

    async fn events(&self, query: &EventQuery) -> Result<Vec<StoredEvent>, StoreError> {
        events::read(&self.lanes, query).await
    }

    async fn sweep_events(&self, before: Timestamp, keep: u64) -> Result<u64, StoreError> {
        events::sweep(&self.lanes, before, keep).await
    }
}

#[async_trait]
impl Moves for PostgresStore {
    async fn stage(&self) -> Result<Stage, StoreError> {
        moves::stage(&self.lanes).await
    }

    async fn set_stage(&self, expected: Stage, next: Stage) -> Result<StageChange, StoreError> {
        moves::set_stage(&self.lanes, expected, next).await
    }

    async fn copies(&self, after: Option<SessionId>, limit: u32) -> Result<Vec<SessionCopy>, StoreError> {
        moves::copies(&self.lanes, after, limit).await
    }

    async fn take_in(&self, of: MoveId, items: &[Taken]) -> Result<TakingIn, StoreError> {
        moves::take_in(&self.lanes, of, items).await
    }
}
