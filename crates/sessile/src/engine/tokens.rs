//! Questions and orders about tokens from resource servers (RFC 7662, RFC 7009).

use std::sync::PoisonError;
use std::time::Duration;

use sessile_core::id::TokenId;
use sessile_core::revocation::{Reason, Scope};
use sessile_core::rotation::{Presentation, SessionToken, present};
use sessile_core::session::{Life, Session};
use sessile_core::storage::Liveness;
use sessile_core::token::{AccessClaims, TokenRefused, VerifiedToken};
use sessile_core::{SessionId, Timestamp};
use sessile_store::StoreError;

use super::{Actor, Engine, EngineError};

/// What a resource server learns of a token.
#[derive(Clone, Debug)]
pub enum Introspection {
    /// A live access token.
    Access(Box<AccessClaims>),
    /// The current or preceding session token of a live session.
    Session {
        /// The session.
        session: Box<Session>,
        /// When it ends if nothing happens.
        expires_at: Timestamp,
    },
    /// Anything else; nothing more is said.
    Inactive,
}

impl Engine {
    /// Verifies an access token: signature, times, issuer, audience. Says nothing of whether its session lives.
    pub fn verify_token(&self, compact: &str) -> Result<VerifiedToken, TokenRefused> {
        self.ring().verify(compact, &self.0.expected, self.now().wall)
    }

    /// As [`verify_token`](Self::verify_token); `None` if it is not ours. An error if this node may not know its key, so
    /// that nobody is told of a token that lives that there is none (I18, F14).
    async fn recognise_token(&self, compact: &str) -> Result<Option<VerifiedToken>, StoreError> {
        match self.verify_token(compact) {
            Err(TokenRefused::KeyUnknown) => {
                self.look_for_keys().await?;
                Ok(self.verify_token(compact).ok())
            }
            verified => Ok(verified.ok()),
        }
    }

    /// Reads the keys once more, for a token of a key that this node does not know: another node may have begun to sign
    /// with it a moment ago (X3). At most once a second: forged tokens ask the store no more often.
    pub(super) async fn look_for_keys(&self) -> Result<(), StoreError> {
        let now = self.now().mono;
        let lately = {
            let mut asked = self.0.keys_asked.lock().unwrap_or_else(PoisonError::into_inner);
            let lately = asked.is_some_and(|at| now.since(at) < Duration::from_secs(1));
            if !lately {
                *asked = Some(now);
            }
            lately
        };
        match lately {
            true if self.knows_the_keys() => Ok(()),
            true => Err(StoreError::not_done("the signing keys may be older than this token's")),
            false => self.reload_keys().await.map_err(StoreError::from),
        }
    }

    // A node that has not heard from the store cannot tell a new key's token from a forged one.
    pub(super) fn knows_the_keys(&self) -> bool {
        let ready = self.ready();
        ready.keys && ready.feed_fresh
    }

    /// Whether a token is live, by the store's own word.
    pub async fn introspect(&self, token: &str) -> Result<Introspection, StoreError> {
        let now = self.now().wall;
        if let Some(session_token) = SessionToken::parse(token) {
            let Some(session) = self.genuine(&session_token).await? else { return Ok(Introspection::Inactive) };
            return Ok(
                match (
                    session.life(self.limits(), now),
                    present(&session.rotation, session_token.generation(), self.limits().grace, now),
                ) {
                    (Life::LiveUntil(expires_at), Presentation::Rotate | Presentation::Keep | Presentation::Grace) => {
                        Introspection::Session { session: Box::new(session), expires_at }
                    }
                    _ => Introspection::Inactive,
                },
            );
        }
        let Some(verified) = self.recognise_token(token).await? else { return Ok(Introspection::Inactive) };
        let claims = verified.claims();
        let kept = match claims.storage.shape().liveness {
            Liveness::View | Liveness::Record => self.0.vault.load(claims.session).await?,
            Liveness::TokenRow => self.0.vault.find_token(claims.token_id).await?.map(|(_, kept)| kept),
        };
        let live = kept.is_some_and(|kept| matches!(kept.session().life(self.limits(), now), Life::LiveUntil(_)));
        Ok(if live { Introspection::Access(Box::new(verified.claims().clone())) } else { Introspection::Inactive })
    }

    /// Ends the session a genuine token belongs to; an unknown token is nothing to do (RFC 7009 section 2.2).
    /// Revoking a session token also kills its access tokens, and the other way round: they are one session.
    pub async fn revoke_token(&self, token: &str) -> Result<Option<SessionId>, EngineError> {
        let id = match SessionToken::parse(token) {
            Some(session_token) => self.genuine(&session_token).await?.map(|session| session.id),
            None => self.recognise_token(token).await?.map(|verified| verified.claims().session),
        };
        if let Some(id) = id {
            self.revoke(&Scope::Session(id), Reason::TokenRevoked, &Actor::App).await?;
        }
        Ok(id)
    }

    /// Revokes a token of storage `database` by an administrator's order, with its session: whoever holds more of it
    /// than this token would come back with that. `Ok(false)`: there is no such row.
    pub async fn delete_token(&self, id: TokenId) -> Result<bool, EngineError> {
        let Some((row, _)) = self.0.vault.find_token(id).await? else { return Ok(false) };
        self.revoke(&Scope::Session(row.session), Reason::TokenRevoked, &Actor::Administrator).await?;
        Ok(true)
    }

    async fn genuine(&self, token: &SessionToken) -> Result<Option<Session>, StoreError> {
        let kept = self.0.vault.load(token.id()).await?;
        Ok(kept.filter(|kept| self.0.vault.is_genuine(kept, token)).map(|kept| kept.session().clone()))
    }
}
