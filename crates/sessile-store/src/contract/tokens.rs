//! The token registry of storage `database`, and the record of use.

use async_trait::async_trait;
use sessile_core::SessionId;
use sessile_core::id::TokenId;

use crate::error::StoreError;
use crate::record::{SealedSession, TokenRow, Use};

/// One row for each access token issued under storage `database`. Deleting the row is the token's revocation.
///
/// A row lives no longer than its session's record: whatever drops a record ([`Sessions`](crate::Sessions), a new
/// history) drops its rows in the same transaction. A backend that leaves one behind may let an ended session live.
#[async_trait]
pub trait Tokens {
    /// Adds the row, if its session's record is there and not over at `issued_at`, and the id is free. With more than
    /// [`TOKENS_PER_SESSION`] rows of the session, the oldest (by `issued_at`, then id) go.
    async fn add_token(&self, row: TokenRow) -> Result<TokenAddition, StoreError>;

    /// The row and its session's record, of one instant; `None` unless both are there.
    async fn find_token(&self, id: TokenId) -> Result<Option<(TokenRow, SealedSession)>, StoreError>;

    /// The rows of a session, oldest first.
    async fn list_tokens(&self, session: SessionId) -> Result<Vec<TokenRow>, StoreError>;

    /// Deletes a row; whether there was one.
    async fn remove_token(&self, id: TokenId) -> Result<bool, StoreError>;

    /// Notes uses: `last_used_at` of the rows and `last_seen_at` of the sessions' records move up to them, never back.
    /// Creates nothing, changes no record that is over at the use, and passes over what is not there. All of them in
    /// one transaction.
    async fn note_uses(&self, uses: &[Use]) -> Result<(), StoreError>;
}

/// Rows a session may have. One is in use; more stem from lost answers, and from the parallel requests of a page that is
/// the first to come after a switch to storage `database`: each of those gets a token, and any may be the one kept.
pub const TOKENS_PER_SESSION: u32 = 64;

/// What became of a row to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenAddition {
    /// It is stored.
    Added,
    /// The session has ended, or is over.
    Gone,
    /// The id is in use; nothing was changed.
    IdTaken,
}
