//! Sessions: one sign-in on one browser, and when it counts as valid.
//!
//! A session begins in [`mint`], which takes a [`VerifiedIdentity`]; it is judged by [`Session::life`]; a
//! request is let through by [`evaluate`], the only maker of [`Admitted`].

mod claims;
mod evaluate;
mod identity;

use alloc::{string::String, vec::Vec};
use core::time::Duration;
use serde::{Deserialize, Serialize};

pub use claims::{ClaimRefused, Claims};
pub use evaluate::{Admitted, Decision, Refusal, evaluate};
pub use identity::{Method, VerifiedIdentity};

use crate::client::Client;
use crate::crypto::{Entropy, EntropyFailure, random};
use crate::policy::Limits;
use crate::rotation::{RotationState, SessionKey};
use crate::secret::Secret;
use crate::{SessionId, Storage, Subject, Timestamp};

/// A live session's record, opened. A session is valid because this record exists, never because no list
/// names it as revoked.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// Public handle.
    pub id: SessionId,
    /// Whose session it is; never rewritten (I13).
    pub subject: Subject,
    /// Where its JWT lives.
    pub storage: Storage,
    /// Whether the user asked to be remembered: the cookies get a lifetime.
    pub remember: bool,
    /// Sign-in.
    pub created_at: Timestamp,
    /// When the user last proved who they are; renewal never moves it.
    pub authenticated_at: Timestamp,
    /// Last recorded activity: sign-in, a renewal, or a use where the storage never renews.
    pub last_seen_at: Timestamp,
    /// The absolute end agreed at sign-in. Nothing moves it (I10).
    pub absolute_end: Timestamp,
    /// The idle timeout agreed at sign-in.
    pub idle: Duration,
    /// How far the session token was rotated.
    pub rotation: RotationState,
    /// The browser it was made on, as the user is shown it.
    pub client: Client,
    /// What the record keeps sealed beside the key.
    pub facts: Facts,
}

/// What an access token says of the user beyond the subject.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Authentication methods (RFC 8176).
    pub amr: Vec<String>,
    /// Authentication context class, if the source knows one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub acr: Option<String>,
    /// The application's own claims.
    #[serde(default)]
    pub claims: Claims,
}

/// A session that no store has yet accepted.
#[derive(Debug)]
pub struct NewSession {
    /// The record to insert.
    pub session: Session,
    /// Its secret, to be sealed into the record.
    pub key: SessionKey,
}

/// Makes a session of a verified identity. A fresh id and key each time: nothing a client sent is adopted
///
pub fn mint(
    identity: VerifiedIdentity,
    client: Client,
    storage: Storage,
    limits: &Limits,
    entropy: &dyn Entropy,
    now: Timestamp,
) -> Result<NewSession, EntropyFailure> {
    let remember = identity.remember && !limits.remember.is_zero();
    let session = Session {
        id: SessionId::generate(entropy)?,
        subject: identity.subject,
        storage,
        remember,
        created_at: now,
        authenticated_at: identity.authenticated_at.min(now),
        last_seen_at: now,
        absolute_end: now.plus(limits.absolute_for(remember)),
        idle: limits.idle,
        rotation: RotationState::first(now),
        client,
        facts: identity.facts,
    };
    Ok(NewSession { session, key: SessionKey::new(Secret::new(random(entropy)?)) })
}

/// Whether a session that exists may still be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Yes, until this moment if nothing happens before it.
    LiveUntil(Timestamp),
    /// No: too long without activity.
    IdleTimeout,
    /// No: its absolute end has come.
    AbsoluteTimeout,
}

impl Session {
    /// The absolute end under the limits in force: never later than agreed at sign-in.
    pub fn absolute_end(&self, limits: &Limits) -> Timestamp {
        self.absolute_end.min(self.created_at.plus(limits.absolute_for(self.remember)))
    }

    /// The end if no further activity is recorded: the idle timeout or the absolute end, whichever is first.
    pub fn end(&self, limits: &Limits) -> Timestamp {
        let idle_end = self.last_seen_at.plus(self.idle.min(limits.idle));
        idle_end.min(self.absolute_end(limits))
    }

    /// Judges the session at `now`. It is over *at* its end, not after it.
    pub fn life(&self, limits: &Limits, now: Timestamp) -> Life {
        let end = self.end(limits);
        if now >= self.absolute_end(limits) {
            Life::AbsoluteTimeout
        } else if now >= end {
            Life::IdleTimeout
        } else {
            Life::LiveUntil(end)
        }
    }
}
