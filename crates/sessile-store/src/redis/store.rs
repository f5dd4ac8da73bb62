//! Sessions, tokens and the feed, verb by verb.

use std::sync::PoisonError;

use async_trait::async_trait;
use sessile_core::id::TokenId;
use sessile_core::revocation::{FeedPage, Reason, Scope, Seq};
use sessile_core::rotation::Generation;
use sessile_core::{SessionId, Subject, Timestamp};

use super::RedisStore;
use super::reply::{exactly, hex, list, number, octets, optional, parts, text, unknown};
use super::row::{self, millis};
use super::script::verb;
use crate::contract::{
    Backend, Confirmation, Continuity, Durability, FEED_KEEP_FOR, Feed, Insertion, Revoked, RotateOutcome, Sessions,
    TOKENS_PER_SESSION, TokenAddition, Tokens, fresh_epoch,
};
use crate::error::StoreError;
use crate::record::{SealedBlob, SealedSession, TokenRow, Use};

#[async_trait]
impl Backend for RedisStore {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn durability(&self) -> Durability {
        self.link.server().map_or(Durability::Memory, |server| server.durability)
    }

    async fn master_witness(&self, witness: SealedBlob) -> Result<SealedBlob, StoreError> {
        row::blob(self.link.write(&verb::master_witness, self.link.call().with(witness.as_bytes())).await?)
    }
}

#[async_trait]
impl Sessions for RedisStore {
    async fn insert(&self, session: SealedSession, cap: u32) -> Result<Insertion, StoreError> {
        let call = row::with_session(self.link.call(), &session)?.with(cap.max(1));
        let mut answer = parts(self.link.write(&verb::insert, call).await?)?.into_iter();
        match text(answer.next().unwrap_or(redis::Value::Nil))?.as_str() {
            "inserted" => {
                let evicted = answer.map(|id| octets(id).map(SessionId::from_bytes)).collect::<Result<_, _>>()?;
                Ok(Insertion::Inserted { evicted })
            }
            "taken" => Ok(Insertion::IdTaken),
            word => Err(unknown("insert", word)),
        }
    }

    async fn load(&self, id: SessionId) -> Result<Option<SealedSession>, StoreError> {
        optional(self.link.read(&verb::load, self.link.call().with(hex(id.as_bytes()))).await?, row::session)
    }

    async fn rotate(&self, id: SessionId, expected: Generation, now: Timestamp) -> Result<RotateOutcome, StoreError> {
        let call = self.link.call().with(hex(id.as_bytes())).with(expected).with(millis(now));
        let mut answer = parts(self.link.write(&verb::rotate, call).await?)?.into_iter();
        let mut next = || answer.next().unwrap_or(redis::Value::Nil);
        match text(next())?.as_str() {
            "rotated" => row::session(next()).map(RotateOutcome::Rotated),
            "superseded" => row::session(next()).map(RotateOutcome::Superseded),
            "gone" => Ok(RotateOutcome::Gone),
            word => Err(unknown("rotate", word)),
        }
    }

    async fn confirm(&self, id: SessionId, generation: Generation, now: Timestamp) -> Result<Confirmation, StoreError> {
        let call = self.link.call().with(hex(id.as_bytes())).with(generation).with(millis(now));
        let found = optional(self.link.write(&verb::confirm, call).await?, row::session)?;
        Ok(found.map_or(Confirmation::Gone, Confirmation::Live))
    }

    async fn revoke(&self, scope: &Scope, reason: Reason, now: Timestamp) -> Result<Revoked, StoreError> {
        let (kind, whose, kept) = match scope {
            Scope::Session(id) => ("session", hex(id.as_bytes()), String::new()),
            Scope::Subject(subject) => ("subject", subject.as_str().to_owned(), String::new()),
            Scope::SubjectExcept(subject, kept) => ("subject", subject.as_str().to_owned(), hex(kept.as_bytes())),
            Scope::All => ("all", String::new(), String::new()),
        };
        let call = self.link.call().with(kind).with(whose).with(kept).with(reason.name()).with(millis(now));
        let call = self.with_known(call);
        let answer = match scope {
            Scope::All => self.link.write_all(&verb::revoke, call).await?,
            Scope::Session(_) | Scope::Subject(_) | Scope::SubjectExcept(..) => {
                self.link.write(&verb::revoke, call).await?
            }
        };
        let [ended, epoch, head, mark] = exactly(answer)?;
        let seq = self.learn([epoch, head, mark])?.1;
        Ok(Revoked { ended: list(ended, |id| octets(id).map(SessionId::from_bytes))?, seq })
    }

    async fn list(
        &self,
        subject: Option<&Subject>,
        after: Option<SessionId>,
        limit: u32,
    ) -> Result<Vec<SealedSession>, StoreError> {
        let subject = subject.map_or("", |subject| subject.as_str());
        let after = after.map_or_else(String::new, |id| hex(id.as_bytes()));
        let call = self.link.call().with(subject).with(after).with(limit);
        list(self.link.read(&verb::list, call).await?, row::session)
    }

    async fn sweep(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        let call = self.link.call().with(millis(now)).with(limit).with(millis(now.minus(FEED_KEEP_FOR)));
        let dropped = number(self.link.write(&verb::sweep, call).await?)?;
        for _ in 0..CLEARINGS {
            if number(self.link.write(&verb::clear, self.link.call().with(CLEARED_AT_ONCE)).await?)? == 0 {
                break;
            }
        }
        Ok(u32::try_from(dropped).unwrap_or(u32::MAX))
    }

    async fn count(&self) -> Result<u64, StoreError> {
        number(self.link.read(&verb::count, self.link.call()).await?)
    }
}

// What is left of sessions that all ended at once is cleared in steps of some milliseconds, between which the server does
// other things, and so much of it with each sweep.
const CLEARED_AT_ONCE: u32 = 250;
const CLEARINGS: u32 = 400;

#[async_trait]
impl Tokens for RedisStore {
    async fn add_token(&self, row: TokenRow) -> Result<TokenAddition, StoreError> {
        let call = row::with_token(self.link.call(), &row).with(TOKENS_PER_SESSION);
        match text(self.link.write(&verb::add_token, call).await?)?.as_str() {
            "added" => Ok(TokenAddition::Added),
            "gone" => Ok(TokenAddition::Gone),
            "taken" => Ok(TokenAddition::IdTaken),
            word => Err(unknown("add_token", word)),
        }
    }

    async fn find_token(&self, id: TokenId) -> Result<Option<(TokenRow, SealedSession)>, StoreError> {
        let call = self.link.call().with(hex(id.as_bytes()));
        optional(self.link.read(&verb::find_token, call).await?, |found| {
            let [row, record] = exactly(found)?;
            Ok((row::token(row)?, row::session(record)?))
        })
    }

    async fn list_tokens(&self, session: SessionId) -> Result<Vec<TokenRow>, StoreError> {
        list(self.link.read(&verb::list_tokens, self.link.call().with(hex(session.as_bytes()))).await?, row::token)
    }

    async fn remove_token(&self, id: TokenId) -> Result<bool, StoreError> {
        let call = self.link.call().with(hex(id.as_bytes()));
        Ok(number(self.link.write(&verb::remove_token, call).await?)? == 1)
    }

    async fn note_uses(&self, uses: &[Use]) -> Result<(), StoreError> {
        let call = uses.iter().fold(self.link.call(), |call, one| {
            let token = one.token.map_or_else(String::new, |token| hex(token.as_bytes()));
            call.with(hex(one.session.as_bytes())).with(token).with(millis(one.at))
        });
        self.link.write(&verb::note_uses, call).await.map(drop)
    }
}

#[async_trait]
impl Feed for RedisStore {
    async fn feed(&self, after: Seq, limit: u32) -> Result<FeedPage, StoreError> {
        let call = self.with_known(self.link.call().with(after.0).with(limit));
        let [oldest, entries, phase, epoch, head, mark] = exactly(self.link.read(&verb::feed, call).await?)?;
        let (epoch, head) = self.learn([epoch, head, mark])?;
        let (oldest, phase) = (Seq(row::place(oldest)?), row::phase(phase)?);
        Ok(FeedPage { epoch, oldest, head, entries: row::feed_entries(entries)?, phase })
    }

    async fn changed(&self, after: Seq) {
        crate::contract::wait_for_change(&self.position, after).await;
    }

    async fn continuity(&self) -> Result<Continuity, StoreError> {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(lost.map_or(Continuity::Unbroken, |what| Continuity::Lost { what }))
    }

    async fn restart_history(&self, reason: Reason, now: Timestamp) -> Result<(), StoreError> {
        let call = self.link.call().with(hex(&fresh_epoch().0)).with(reason.name()).with(millis(now));
        self.learn(exactly(self.link.write_all(&verb::restart, call).await?)?)?;
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }
}
