//! The token registry in memory.

use async_trait::async_trait;
use sessile_core::SessionId;
use sessile_core::id::TokenId;

use super::MemoryStore;
use crate::contract::{TOKENS_PER_SESSION, TokenAddition, Tokens};
use crate::error::StoreError;
use crate::record::{SealedSession, TokenRow, Use};

#[async_trait]
impl Tokens for MemoryStore {
    async fn add_token(&self, row: TokenRow) -> Result<TokenAddition, StoreError> {
        let mut state = self.writing()?;
        if state.tokens.contains_key(&row.id) {
            return Ok(TokenAddition::IdTaken);
        }
        if state.sessions.get(&row.session).is_none_or(|record| record.is_over(row.issued_at)) {
            return Ok(TokenAddition::Gone);
        }
        let session = row.session;
        state.put_token(row);
        let all = state.tokens_of(session);
        for old in &all[..all.len().saturating_sub(TOKENS_PER_SESSION as usize)] {
            state.remove_token(*old);
        }
        Ok(TokenAddition::Added)
    }

    async fn find_token(&self, id: TokenId) -> Result<Option<(TokenRow, SealedSession)>, StoreError> {
        let state = self.answering()?;
        let Some(row) = state.tokens.get(&id) else { return Ok(None) };
        Ok(state.sessions.get(&row.session).map(|record| (row.clone(), record.clone())))
    }

    async fn list_tokens(&self, session: SessionId) -> Result<Vec<TokenRow>, StoreError> {
        let state = self.lock()?;
        Ok(state.tokens_of(session).iter().filter_map(|id| state.tokens.get(id)).cloned().collect())
    }

    async fn remove_token(&self, id: TokenId) -> Result<bool, StoreError> {
        Ok(self.writing()?.remove_token(id))
    }

    async fn note_uses(&self, uses: &[Use]) -> Result<(), StoreError> {
        let mut state = self.writing()?;
        for one in uses {
            let Some(mut record) = state.sessions.get(&one.session).filter(|record| !record.is_over(one.at)).cloned()
            else {
                continue;
            };
            record.last_seen_at = record.last_seen_at.max(one.at);
            state.put(record);
            let row = one.token.and_then(|token| state.tokens.get_mut(&token));
            if let Some(row) = row.filter(|row| one.at < row.expires_at) {
                row.last_used_at = row.last_used_at.max(Some(one.at));
            }
        }
        Ok(())
    }
}
