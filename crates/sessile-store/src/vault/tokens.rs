//! The token registry through the vault. Rows hold nothing secret; the record beside one is opened.

use sessile_core::SessionId;
use sessile_core::id::TokenId;
use sessile_core::token::AccessClaims;

use super::{Kept, Op, Vault};
use crate::contract::TokenAddition;
use crate::error::StoreError;
use crate::record::{TokenRow, Use};

impl Vault {
    /// Registers an access token, if its session is there.
    pub async fn add_token(&self, claims: &AccessClaims) -> Result<TokenAddition, StoreError> {
        self.counters.note(Op::AddToken);
        let row = TokenRow {
            id: claims.token_id,
            session: claims.session,
            subject: claims.subject.clone(),
            issued_at: claims.issued_at,
            expires_at: claims.expires_at,
            last_used_at: None,
        };
        self.backend()?.add_token(row).await
    }

    /// A token's row and its session; `None` unless both are there.
    pub async fn find_token(&self, id: TokenId) -> Result<Option<(TokenRow, Kept)>, StoreError> {
        self.counters.note(Op::FindToken);
        match self.backend()?.find_token(id).await? {
            Some((row, sealed)) => Ok(Some((row, self.open_session(sealed)?))),
            None => Ok(None),
        }
    }

    /// The rows of a session, oldest first.
    pub async fn list_tokens(&self, session: SessionId) -> Result<Vec<TokenRow>, StoreError> {
        self.counters.note(Op::ListTokens);
        self.backend()?.list_tokens(session).await
    }

    /// Deletes a row: from now on its token opens nothing. Whether there was one.
    pub async fn remove_token(&self, id: TokenId) -> Result<bool, StoreError> {
        self.counters.note(Op::RemoveToken);
        self.backend()?.remove_token(id).await
    }

    /// Notes uses; see [`Tokens::note_uses`](crate::Tokens::note_uses).
    pub async fn note_uses(&self, uses: &[Use]) -> Result<(), StoreError> {
        self.counters.note(Op::NoteUses);
        self.backend()?.note_uses(uses).await
    }
}
