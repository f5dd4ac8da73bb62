//! The contract, verb by verb: which thread does it, and which statements.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Result as SqlResult};
use sessile_core::event::Event;
use sessile_core::id::TokenId;
use sessile_core::revocation::{FeedPage, Phase, Reason, Scope, Seq};
use sessile_core::rotation::Generation;
use sessile_core::token::KeyId;
use sessile_core::{SessionId, Subject, Timestamp};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::queue::Refused;
use super::reader::Health;
use super::writer::{Need, Write};
use super::{SqliteStore, accounts, events, feed, keys, moves, sessions, throttles, tokens};
use crate::contract::{
    AccountChange, AccountCreation, Accounts, Backend, Confirmation, Continuity, Durability, EventQuery, Events, Feed,
    Insertion, KeyAddition, KeyRevocation, Keys, MoveId, Moves, PATIENCE_FOR_ALL, Revoked, RotateOutcome, SessionCopy,
    Sessions, Stage, StageChange, Taken, TakingIn, Throttles, TokenAddition, Tokens,
};
use crate::error::{StoreError, WriteOutcome};
use crate::record::{
    AccountName, FailureCount, SealedAccount, SealedBlob, SealedKey, SealedSession, StoredEvent, ThrottleKey, TokenRow,
    Use,
};

impl SqliteStore {
    /// Writes, if the store serves.
    async fn write<T: Send + 'static>(
        &self,
        need: Need,
        work: impl Fn(&Connection) -> SqlResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.write_always(need, if_serving(work)).await?.map_err(StoreError::NotServing)
    }

    /// Reads what says who is signed in, if the store's phase lets it say so.
    async fn answer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> SqlResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let if_answering = move |connection: &Connection| {
            let found = work(connection)?;
            // Afterwards: what was read was there in a store that had not been left.
            let phase = moves::stage(connection)?.phase;
            Ok(if phase.answers() { Ok(found) } else { Err(phase) })
        };
        self.read(if_answering).await?.map_err(StoreError::NotServing)
    }

    async fn write_always<T: Send + 'static>(
        &self,
        need: Need,
        work: impl Fn(&Connection) -> SqlResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.write_within(self.options.write_deadline, need, work).await
    }

    async fn write_within<T: Send + 'static>(
        &self,
        patience: Duration,
        need: Need,
        work: impl Fn(&Connection) -> SqlResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = Write { need, deadline: Instant::now() + patience, work, outcome: None, reply };
        self.writer.push(Box::new(job)).map_err(refusal)?;
        match timeout(patience, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(StoreError::Internal("the thread that writes has stopped; restart".to_owned())),
            Err(_) => Err(StoreError::Unavailable {
                why: format!("no answer to a write within {patience:?}"),
                outcome: WriteOutcome::Unknown,
            }),
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> SqlResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let patience = self.options.read_deadline;
        let (reply, answer) = oneshot::channel::<Result<T, StoreError>>();
        let read = move |connection: Result<&Connection, StoreError>| {
            if reply.is_closed() {
                return Health::Sound;
            }
            let (answer, health) = match connection.map(work) {
                Ok(Ok(found)) => (Ok(found), Health::Sound),
                Ok(Err(error)) => (Err(super::fault::fault(&error, WriteOutcome::NotDone)), Health::after(&error)),
                Err(fault) => (Err(fault), Health::Broken),
            };
            // The caller may have stopped waiting.
            let _ = reply.send(answer);
            health
        };
        self.readers.push(Box::new(read)).map_err(refusal)?;
        match timeout(patience, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(StoreError::Internal("a thread that reads has stopped; restart".to_owned())),
            Err(_) => Err(StoreError::not_done(format!("no answer to a read within {patience:?}"))),
        }
    }
}

/// The work, done only if the store serves; else its phase. One step: the phase is looked at where the work is done.
fn if_serving<T>(
    work: impl Fn(&Connection) -> SqlResult<T> + Send + 'static,
) -> impl Fn(&Connection) -> SqlResult<Result<T, Phase>> + Send + 'static {
    move |connection| match moves::stage(connection)?.phase {
        Phase::Serving => work(connection).map(Ok),
        phase => Ok(Err(phase)),
    }
}

fn refusal(refused: Refused) -> StoreError {
    match refused {
        Refused::Overloaded => StoreError::not_done("too many operations are waiting"),
        Refused::Closed => StoreError::not_done("the store is closed"),
    }
}

#[async_trait]
impl Backend for SqliteStore {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn durability(&self) -> Durability {
        Durability::HostCrashSafe
    }

    async fn master_witness(&self, witness: SealedBlob) -> Result<SealedBlob, StoreError> {
        let kept = |connection: &Connection| {
            connection
                .query_row("SELECT witness FROM store WHERE witness IS NOT NULL", [], |row| row.get(0))
                .optional()
                .map(|found| found.map(SealedBlob::from_bytes))
        };
        if let Some(found) = self.read(kept).await? {
            return Ok(found);
        }
        let keep = move |connection: &Connection| {
            connection.execute("UPDATE store SET witness = ? WHERE witness IS NULL", [witness.as_bytes()])?;
            kept(connection)
        };
        let missing = || StoreError::Corrupt("the table `store` has lost its row".to_owned());
        self.write_always(Need::Reserve, keep).await?.ok_or_else(missing)
    }
}

#[async_trait]
impl Sessions for SqliteStore {
    async fn insert(&self, session: SealedSession, cap: u32) -> Result<Insertion, StoreError> {
        self.write(Need::Room, move |connection| sessions::insert(connection, &session, cap)).await
    }

    async fn load(&self, id: SessionId) -> Result<Option<SealedSession>, StoreError> {
        self.answer(move |connection| sessions::load(connection, id)).await
    }

    async fn rotate(&self, id: SessionId, expected: Generation, now: Timestamp) -> Result<RotateOutcome, StoreError> {
        self.write(Need::Reserve, move |connection| sessions::rotate(connection, id, expected, now)).await
    }

    async fn confirm(&self, id: SessionId, generation: Generation, now: Timestamp) -> Result<Confirmation, StoreError> {
        let already = move |connection: &Connection| {
            let found = sessions::confirmed_already(connection, id, generation, now)?;
            // A store that does not serve refuses by the write.
            Ok(found.filter(|_| moves::stage(connection).is_ok_and(|stage| stage.phase == Phase::Serving)))
        };
        match self.read(already).await? {
            Some(confirmation) => Ok(confirmation),
            None => {
                self.write(Need::Reserve, move |connection| sessions::confirm(connection, id, generation, now)).await
            }
        }
    }

    async fn revoke(&self, scope: &Scope, reason: Reason, now: Timestamp) -> Result<Revoked, StoreError> {
        let scope = scope.clone();
        let patience = self.options.write_deadline * if scope == Scope::All { PATIENCE_FOR_ALL } else { 1 };
        let work = if_serving(move |connection| sessions::revoke(connection, &scope, reason, now));
        self.write_within(patience, Need::Reserve, work).await?.map_err(StoreError::NotServing)
    }

    async fn list(
        &self,
        subject: Option<&Subject>,
        after: Option<SessionId>,
        limit: u32,
    ) -> Result<Vec<SealedSession>, StoreError> {
        let subject = subject.cloned();
        self.read(move |connection| sessions::list(connection, subject.as_ref(), after, limit)).await
    }

    async fn sweep(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        let look = move |connection: &Connection| {
            Ok((sessions::over(connection, now, limit)?, feed::has_old(connection, now)?))
        };
        let (over, feed_has_old) = self.read(look).await?;
        if over.is_empty() && !feed_has_old {
            return Ok(0);
        }
        self.write(Need::Reserve, move |connection| sessions::sweep(connection, &over, now)).await
    }

    async fn count(&self) -> Result<u64, StoreError> {
        self.read(sessions::total).await
    }
}

#[async_trait]
impl Tokens for SqliteStore {
    async fn add_token(&self, row: TokenRow) -> Result<TokenAddition, StoreError> {
        self.write(Need::Room, move |connection| tokens::add(connection, &row)).await
    }

    async fn find_token(&self, id: TokenId) -> Result<Option<(TokenRow, SealedSession)>, StoreError> {
        self.answer(move |connection| tokens::find(connection, id)).await
    }

    async fn list_tokens(&self, session: SessionId) -> Result<Vec<TokenRow>, StoreError> {
        self.read(move |connection| tokens::list(connection, session)).await
    }

    async fn remove_token(&self, id: TokenId) -> Result<bool, StoreError> {
        self.write(Need::Reserve, move |connection| tokens::remove(connection, id)).await
    }

    async fn note_uses(&self, uses: &[Use]) -> Result<(), StoreError> {
        let uses = uses.to_vec();
        self.write(Need::Reserve, move |connection| tokens::note_uses(connection, &uses)).await
    }
}

#[async_trait]
impl Feed for SqliteStore {
    async fn feed(&self, after: Seq, limit: u32) -> Result<FeedPage, StoreError> {
        self.read(move |connection| {
            let transaction = connection.unchecked_transaction()?;
            let page = feed::page(&transaction, after, limit)?;
            transaction.commit()?;
            Ok(page)
        })
        .await
    }

    async fn changed(&self, after: Seq) {
        crate::contract::wait_for_change(&self.position, after).await;
    }

    async fn continuity(&self) -> Result<Continuity, StoreError> {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(lost.map_or(Continuity::Unbroken, |what| Continuity::Lost { what }))
    }

    async fn restart_history(&self, reason: Reason, now: Timestamp) -> Result<(), StoreError> {
        let patience = self.options.write_deadline * PATIENCE_FOR_ALL;
        self.write_within(patience, Need::Reserve, move |connection| feed::restart(connection, reason, now)).await?;
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }
}

#[async_trait]
impl Keys for SqliteStore {
    async fn load_keys(&self) -> Result<Vec<SealedKey>, StoreError> {
        self.read(keys::load).await
    }

    async fn add_key(&self, key: SealedKey, expected_newest: Option<&KeyId>) -> Result<KeyAddition, StoreError> {
        let newest = expected_newest.cloned();
        self.write(Need::Reserve, move |connection| keys::add(connection, &key, newest.as_ref())).await
    }

    async fn revoke_key(&self, id: &KeyId, now: Timestamp) -> Result<KeyRevocation, StoreError> {
        let id = id.clone();
        self.write(Need::Reserve, move |connection| keys::revoke(connection, &id, now)).await
    }

    async fn forget_keys(&self, ids: &[KeyId], now: Timestamp) -> Result<u32, StoreError> {
        let ids = ids.to_vec();
        self.write(Need::Reserve, move |connection| keys::forget(connection, &ids, now)).await
    }
}

#[async_trait]
impl Accounts for SqliteStore {
    async fn create_account(&self, account: SealedAccount) -> Result<AccountCreation, StoreError> {
        self.write(Need::Room, move |connection| accounts::create(connection, &account)).await
    }

    async fn find_account(&self, name: &AccountName) -> Result<Option<SealedAccount>, StoreError> {
        let name = name.clone();
        self.read(move |connection| accounts::find(connection, &name)).await
    }

    async fn set_password(
        &self,
        name: &AccountName,
        sealed: SealedBlob,
        seen: Timestamp,
        now: Timestamp,
    ) -> Result<AccountChange, StoreError> {
        let name = name.clone();
        self.write(Need::Reserve, move |connection| accounts::set_password(connection, &name, &sealed, seen, now)).await
    }

    async fn set_disabled(&self, name: &AccountName, since: Option<Timestamp>) -> Result<AccountChange, StoreError> {
        let name = name.clone();
        self.write(Need::Reserve, move |connection| accounts::set_disabled(connection, &name, since)).await
    }

    async fn list_accounts(&self, after: Option<&AccountName>, limit: u32) -> Result<Vec<SealedAccount>, StoreError> {
        let after = after.cloned();
        self.read(move |connection| accounts::list(connection, after.as_ref(), limit)).await
    }
}

#[async_trait]
impl Throttles for SqliteStore {
    async fn note_failure(&self, key: &ThrottleKey, now: Timestamp) -> Result<FailureCount, StoreError> {
        let key = *key;
        self.write(Need::Room, move |connection| throttles::note(connection, &key, now)).await
    }

    async fn failures(&self, key: &ThrottleKey) -> Result<FailureCount, StoreError> {
        let key = *key;
        self.read(move |connection| throttles::read(connection, &key)).await
    }

    async fn clear_failures(&self, key: &ThrottleKey) -> Result<(), StoreError> {
        let key = *key;
        self.write(Need::Reserve, move |connection| throttles::clear(connection, &key)).await
    }

    async fn sweep_failures(&self, before: Timestamp, keep: u64) -> Result<u64, StoreError> {
        self.write(Need::Reserve, move |connection| throttles::sweep(connection, before, keep)).await
    }
}

#[async_trait]
impl Events for SqliteStore {
    async fn append_events(&self, events: &[Event]) -> Result<(), StoreError> {
        let events = events.to_vec();
        self.write_always(Need::Room, move |connection| events::append(connection, &events)).await
    }

    async fn events(&self, query: &EventQuery) -> Result<Vec<StoredEvent>, StoreError> {
        let query = query.clone();
        self.read(move |connection| events::read(connection, &query)).await
    }

    async fn sweep_events(&self, before: Timestamp, keep: u64) -> Result<u64, StoreError> {
        self.write_always(Need::Reserve, move |connection| events::sweep(connection, before, keep)).await
    }
}

#[async_trait]
impl Moves for SqliteStore {
    async fn stage(&self) -> Result<Stage, StoreError> {
        self.read(moves::stage).await
    }

    async fn set_stage(&self, expected: Stage, next: Stage) -> Result<StageChange, StoreError> {
        self.write_always(Need::Reserve, move |connection| moves::set_stage(connection, expected, next)).await
    }

    async fn copies(&self, after: Option<SessionId>, limit: u32) -> Result<Vec<SessionCopy>, StoreError> {
        self.read(move |connection| {
            let transaction = connection.unchecked_transaction()?;
            let copies = moves::copies(&transaction, after, limit)?;
            transaction.commit()?;
            Ok(copies)
        })
        .await
    }

    async fn take_in(&self, of: MoveId, items: &[Taken]) -> Result<TakingIn, StoreError> {
        let items = items.to_vec();
        self.write_always(Need::Room, move |connection| moves::take_in(connection, of, &items)).await
    }
}
