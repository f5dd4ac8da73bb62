//! The store in memory: for development and tests, and the plainest reading of the contract.
//!
//! Everything is gone when the process ends. The epoch is drawn at each start, so a node that survives its store
//! notices, and tokens of the last run meet no record (S21).

mod moves;
mod records;
mod state;
mod tokens;

use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use sessile_core::revocation::{Epoch, FeedItem, FeedPage, Phase, Reason, Scope, Seq};
use sessile_core::rotation::Generation;
use sessile_core::{SessionId, Subject, Timestamp};
use tokio::sync::watch;

use crate::contract::{
    Backend, Confirmation, Continuity, Durability, Feed, Insertion, Revoked, RotateOutcome, Sessions, fresh_epoch,
};
use crate::error::StoreError;
use crate::record::{SealedBlob, SealedSession};
use state::State;

/// A store in this process's memory. Share it as `Arc<dyn Backend>`.
#[derive(Debug)]
pub struct MemoryStore {
    state: Mutex<State>,
    position: watch::Sender<(Epoch, Seq)>,
}

impl MemoryStore {
    /// An empty store with an epoch of its own.
    pub fn new() -> Self {
        let state = State::new(fresh_epoch());
        let position = watch::Sender::new(state.position());
        Self { state: Mutex::new(state), position }
    }

    // A verb runs under one lock: it is atomic. A panic under it leaves the store unusable rather than half-changed.
    fn lock(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        self.state
            .lock()
            .map_err(|_| StoreError::Internal("a defect left the memory store unusable; restart".to_owned()))
    }

    // For what only a store that serves may change.
    fn writing(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.lock()?;
        match state.stage.phase {
            Phase::Serving => Ok(state),
            phase => Err(StoreError::NotServing(phase)),
        }
    }

    // For what says who is signed in.
    fn answering(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.lock()?;
        if state.stage.phase.answers() { Ok(state) } else { Err(StoreError::NotServing(state.stage.phase)) }
    }

    fn change<T>(&self, verb: impl FnOnce(&mut State) -> T) -> Result<T, StoreError> {
        self.under(self.writing()?, verb)
    }

    fn under<T>(&self, mut state: MutexGuard<'_, State>, verb: impl FnOnce(&mut State) -> T) -> Result<T, StoreError> {
        let outcome = verb(&mut state);
        let position = state.position();
        self.position.send_if_modified(|seen| std::mem::replace(seen, position) != position);
        Ok(outcome)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Backend for MemoryStore {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn durability(&self) -> Durability {
        Durability::Memory
    }

    async fn master_witness(&self, witness: SealedBlob) -> Result<SealedBlob, StoreError> {
        Ok(self.lock()?.witness.get_or_insert(witness).clone())
    }
}

#[async_trait]
impl Sessions for MemoryStore {
    async fn insert(&self, session: SealedSession, cap: u32) -> Result<Insertion, StoreError> {
        self.change(|state| {
            if state.sessions.contains_key(&session.id) {
                return Insertion::IdTaken;
            }
            let now = session.created_at;
            let room = usize::try_from(cap.max(1)).unwrap_or(usize::MAX) - 1;
            let mut others = state.of_subject(&session.subject);
            others.sort_by_key(|other| (other.created_at, other.id));
            let (over, live): (Vec<_>, Vec<_>) = others.into_iter().partition(|other| other.is_over(now));
            for record in over {
                state.remove(record.id);
            }
            let too_many = live.len().saturating_sub(room);
            let evicted: Vec<SessionId> = live.iter().take(too_many).map(|record| record.id).collect();
            for id in &evicted {
                state.remove(*id);
                state.append(FeedItem::Ended(*id, Reason::Evicted), now);
            }
            state.put(session);
            Insertion::Inserted { evicted }
        })
    }

    async fn load(&self, id: SessionId) -> Result<Option<SealedSession>, StoreError> {
        Ok(self.answering()?.sessions.get(&id).cloned())
    }

    async fn rotate(&self, id: SessionId, expected: Generation, now: Timestamp) -> Result<RotateOutcome, StoreError> {
        self.change(|state| {
            let Some(mut record) = state.sessions.get(&id).cloned() else {
                return RotateOutcome::Gone;
            };
            if record.rotation.generation != expected || record.is_over(now) {
                return RotateOutcome::Superseded(record);
            }
            record.rotation = record.rotation.next(now);
            record.last_seen_at = record.last_seen_at.max(now);
            state.put(record.clone());
            RotateOutcome::Rotated(record)
        })
    }

    async fn confirm(&self, id: SessionId, generation: Generation, now: Timestamp) -> Result<Confirmation, StoreError> {
        let mut state = self.writing()?;
        Ok(match state.sessions.get_mut(&id) {
            Some(record) if !record.is_over(now) => {
                record.rotation = record.rotation.confirmed(generation, now);
                Confirmation::Live(record.clone())
            }
            Some(_) | None => Confirmation::Gone,
        })
    }

    async fn revoke(&self, scope: &Scope, reason: Reason, now: Timestamp) -> Result<Revoked, StoreError> {
        self.change(|state| {
            let ended = state.in_scope(scope);
            for id in &ended {
                state.remove(*id);
            }
            match scope {
                Scope::All => state.append(FeedItem::AllEnded(reason), now),
                Scope::Session(_) | Scope::Subject(_) | Scope::SubjectExcept(..) => {
                    for id in &ended {
                        state.append(FeedItem::Ended(*id, reason), now);
                    }
                }
            }
            Revoked { ended, seq: state.head }
        })
    }

    async fn list(
        &self,
        subject: Option<&Subject>,
        after: Option<SessionId>,
        limit: u32,
    ) -> Result<Vec<SealedSession>, StoreError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(self.lock()?.after(subject, after).take(limit).cloned().collect())
    }

    async fn sweep(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        let mut state = self.writing()?;
        let over = state.over(now, limit);
        for id in &over {
            state.remove(*id);
        }
        state.forget_feed(now);
        Ok(u32::try_from(over.len()).unwrap_or(u32::MAX))
    }

    async fn count(&self) -> Result<u64, StoreError> {
        Ok(self.lock()?.sessions.len() as u64)
    }
}

#[async_trait]
impl Feed for MemoryStore {
    async fn feed(&self, after: Seq, limit: u32) -> Result<FeedPage, StoreError> {
        Ok(self.lock()?.page(after, limit))
    }

    async fn changed(&self, after: Seq) {
        crate::contract::wait_for_change(&self.position, after).await;
    }

    async fn continuity(&self) -> Result<Continuity, StoreError> {
        Ok(Continuity::Unbroken)
    }

    async fn restart_history(&self, reason: Reason, now: Timestamp) -> Result<(), StoreError> {
        self.under(self.lock()?, |state| {
            state.clear_sessions();
            state.epoch = fresh_epoch();
            state.append(FeedItem::AllEnded(reason), now);
        })
    }
}
