//! Beginning and ending sessions.

use std::sync::Arc;

use sessile_core::cookie::{self, SetCookie};
use sessile_core::crypto::EntropyFailure;
use sessile_core::event::{Event, EventName};
use sessile_core::revocation::{Reason, Scope};
use sessile_core::rotation::{SessionToken, Stored};
use sessile_core::session::{self, Session, VerifiedIdentity};
use sessile_core::storage::AccessTokenPlace;
use sessile_core::token::{MintFailure, VerifiedToken};
use sessile_core::{SessionId, Storage};
use sessile_store::{InsertOutcome, StoreError};
use thiserror::Error;

use super::{Actor, Engine, EngineError, Pass};
use crate::arrival::Arrival;
use crate::metrics::Metrics;

/// A session that has just begun.
#[derive(Debug)]
pub struct SignedIn {
    /// The session.
    pub session: Session,
    token: Stored<SessionToken>,
    access: Arc<VerifiedToken>,
}

impl SignedIn {
    /// Its first access token.
    pub fn access_token(&self) -> &VerifiedToken {
        &self.access
    }
}

/// Which sessions a sign-out ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one it is made from.
    This,
    /// All of the user's but that one.
    Others,
    /// All of the user's.
    Everywhere,
}

/// No session began.
#[derive(Debug, Error)]
pub enum SignInError {
    /// The claims would not fit a cookie; browsers drop such cookies without a word.
    #[error(transparent)]
    ClaimsTooLarge(#[from] cookie::TooLarge),
    /// The claims make no token that a verifier would take.
    #[error("the access token cannot be made: {0}; give the user fewer or simpler claims")]
    Token(#[from] MintFailure),
    /// The store failed; whether the session exists is unknown, and nobody holds its token.
    #[error("the store cannot be used: {0}")]
    Store(#[from] StoreError),
    /// The session was ended while it began: everybody's were, or the account was shut.
    #[error("the session was ended while it began; sign in again")]
    EndedMeanwhile,
    /// The system gave no random bytes.
    #[error(transparent)]
    Entropy(#[from] EntropyFailure),
}

impl Engine {
    /// Begins a session for a verified identity and ends the one the request presents, if any.
    pub async fn sign_in(
        &self,
        identity: VerifiedIdentity,
        arrival: &Arrival<'_>,
        storage: Storage,
    ) -> Result<SignedIn, SignInError> {
        let method = identity.method();
        let lineage = self.view().lineage();
        let now = self.now().wall;
        let new = session::mint(identity, arrival.client().clone(), storage, self.limits(), self.entropy(), now)?;
        let access = self.mint(&new.session)?;
        if storage.shape().access_token == AccessTokenPlace::Cookie {
            cookie::issue_access(&self.0.config.cookie, &access, None)?;
        }
        let (session, token, evicted) = match self.0.vault.insert(new, self.limits().sessions_per_subject).await? {
            InsertOutcome::Inserted { session, token, evicted } => (session, token, evicted),
            // 128 random bits met an existing id: the generator is broken. Never overwrite (E6, I12).
            InsertOutcome::IdTaken => return Err(EntropyFailure.into()),
        };
        self.note_ended(&evicted, Reason::Evicted);
        for id in evicted {
            self.record(
                Event::new(EventName::SessionEnded, Reason::Evicted.name(), now)
                    .session(id)
                    .subject(session.subject.clone()),
            );
        }
        Metrics::add(&self.metrics().sessions_created);
        if self.register(&access).await?.is_some() {
            return Err(SignInError::EndedMeanwhile);
        }
        match storage.shape().access_token {
            AccessTokenPlace::Server => self.remember_for(token.get(), access.clone(), lineage),
            AccessTokenPlace::Cookie | AccessTokenPlace::Body => self.remember(access.clone(), lineage),
        };
        self.note_session(EventName::LoginSuccess, method.name(), &session, arrival);
        self.note_session(EventName::SessionCreated, method.name(), &session, arrival);
        if let Ok(Some(old)) = self.presented_session(arrival).await
            && old != session.id
        {
            // The new session stands; an old one that cannot be ended now ends by its own timeout.
            if let Err(error) = self.end_by_rule(old, Reason::Replaced).await {
                tracing::warn!(session = %old, %error, "the session replaced by a sign-in could not be ended");
            }
        }
        Ok(SignedIn { session, token, access })
    }

    /// The cookies that hand a new session to the browser, and take from it what an earlier one of another storage
    /// may have left.
    pub fn sign_in_cookies(&self, signed_in: &SignedIn) -> Vec<SetCookie> {
        let shape = signed_in.session.storage.shape();
        let mut cookies = cookie::clear_unused(&self.0.config.cookie, signed_in.session.storage);
        if shape.session_token {
            cookies.push(self.session_cookie(&signed_in.session, &signed_in.token));
        }
        if shape.access_token == AccessTokenPlace::Cookie
            && let Ok(cookie) = self.access_cookie(&signed_in.session, &signed_in.access, &signed_in.token)
        {
            cookies.push(cookie);
        }
        cookies
    }

    /// The cookies that make the browser forget a session.
    pub fn clearing_cookies(&self) -> Vec<SetCookie> {
        cookie::clear(&self.0.config.cookie)
    }

    /// Ends sessions of the signed-in user: the records first, then the caller expires the cookies.
    pub async fn sign_out(&self, pass: &Pass, which: Which) -> Result<Vec<SessionId>, EngineError> {
        let subject = pass.admitted.subject().clone();
        let (scope, reason) = match which {
            Which::This => (Scope::Session(pass.session()), Reason::SignOut),
            Which::Others => (Scope::SubjectExcept(subject.clone(), pass.session()), Reason::EndedByUser),
            Which::Everywhere => (Scope::Subject(subject.clone()), Reason::SignOut),
        };
        self.revoke(&scope, reason, &Actor::User(subject)).await
    }

    /// Ends the session whose genuine token the request carries, whatever storage it is of: for a sign-out that no
    /// admission covers, since nothing captured may work afterwards.
    pub async fn end_presented(&self, arrival: &Arrival<'_>) -> Result<Vec<SessionId>, EngineError> {
        match self.presented_session(arrival).await? {
            Some(id) => self.revoke(&Scope::Session(id), Reason::SignOut, &Actor::Rules).await,
            None => Ok(Vec::new()),
        }
    }

    // The session whose genuine session token, or whose valid access token, the request carries.
    async fn presented_session(&self, arrival: &Arrival<'_>) -> Result<Option<SessionId>, StoreError> {
        let presented = arrival.presented();
        if let Some(token) = &presented.session_token
            && let Some(kept) = self.0.vault.load(token.id()).await?
            && self.0.vault.is_genuine(&kept, token)
        {
            return Ok(Some(kept.session().id));
        }
        // A dead session token beside it must not hide a live access token.
        let verified = presented.access_token.as_ref().and_then(|access| self.verify_token(access.expose()).ok());
        Ok(verified.map(|token| token.claims().session))
    }
}
