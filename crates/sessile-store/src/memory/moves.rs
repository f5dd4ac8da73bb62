//! Moves of sessions, in memory.

use async_trait::async_trait;
use sessile_core::SessionId;
use sessile_core::revocation::Phase;

use super::MemoryStore;
use super::state::State;
use crate::contract::{MoveId, Moves, SessionCopy, Stage, StageChange, Taken, TakingIn, fresh_epoch};
use crate::error::StoreError;

#[async_trait]
impl Moves for MemoryStore {
    async fn stage(&self) -> Result<Stage, StoreError> {
        Ok(self.lock()?.stage)
    }

    async fn set_stage(&self, expected: Stage, next: Stage) -> Result<StageChange, StoreError> {
        self.under(self.lock()?, |state| {
            if state.stage != expected {
                return StageChange::Otherwise(state.stage);
            }
            match (expected.phase, next.phase) {
                (Phase::Serving, Phase::Filling) => {
                    if !state.sessions.is_empty() || !state.accounts.is_empty() {
                        return StageChange::NotEmpty;
                    }
                    state.keys.clear();
                }
                (Phase::Filling, _) => {
                    state.epoch = fresh_epoch();
                    if next.of.is_none() {
                        state.clear_sessions();
                        state.accounts.clear();
                        state.keys.clear();
                    }
                }
                (Phase::Serving | Phase::Moving | Phase::Moved, _) => {}
            }
            state.stage = next;
            StageChange::Changed
        })
    }

    async fn copies(&self, after: Option<SessionId>, limit: u32) -> Result<Vec<SessionCopy>, StoreError> {
        let state = self.lock()?;
        let copy = |session: &crate::record::SealedSession| SessionCopy {
            session: session.clone(),
            tokens: state.tokens_of(session.id).iter().filter_map(|id| state.tokens.get(id)).cloned().collect(),
        };
        Ok(state.after(None, after).take(usize::try_from(limit).unwrap_or(usize::MAX)).map(copy).collect())
    }

    async fn take_in(&self, of: MoveId, items: &[Taken]) -> Result<TakingIn, StoreError> {
        let mut state = self.lock()?;
        if state.stage != Stage::of(Phase::Filling, of) {
            return Ok(TakingIn::Refused);
        }
        for item in items {
            take(&mut state, item.clone());
        }
        Ok(TakingIn::Taken)
    }
}

fn take(state: &mut State, item: Taken) {
    match item {
        Taken::Session(SessionCopy { session, tokens }) => {
            state.remove(session.id);
            state.put(session);
            for row in tokens {
                state.put_token(row);
            }
        }
        Taken::NoSession(id) => state.remove(id),
        Taken::Account(account) => {
            state.accounts.insert(account.name.clone(), account);
        }
        Taken::NoAccount(name) => {
            state.accounts.remove(&name);
        }
        Taken::Keys(keys) => state.keys = keys,
    }
}
