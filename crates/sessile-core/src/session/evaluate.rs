//! May this access token open the door, now, on this node?

use alloc::sync::Arc;
use core::time::Duration;

use crate::revocation::Standing;
use crate::token::{AccessClaims, VerifiedToken};
use crate::{SecretText, SessionId, Subject, Timestamp};

/// A request that may pass: the session behind it is live and this is its token.
///
/// [`evaluate`] is its only maker. The upstream request builder takes it, so no request is forwarded as a
/// user's without it (I4 of ARCHITECTURE.md).
#[derive(Clone, Debug)]
pub struct Admitted {
    token: Arc<VerifiedToken>,
}

impl Admitted {
    /// Whose request it is.
    pub fn subject(&self) -> &Subject {
        &self.claims().subject
    }

    /// The session behind it.
    pub fn session(&self) -> SessionId {
        self.claims().session
    }

    /// What the access token says.
    pub fn claims(&self) -> &AccessClaims {
        self.token.claims()
    }

    /// The access token, verified.
    pub fn token(&self) -> &VerifiedToken {
        &self.token
    }

    /// The access token as text, for the upstream.
    pub fn access_token(&self) -> &SecretText {
        self.token.compact()
    }

    /// Whether the user proved who they are within the last `max_age`. A sign-in time in the future
    /// counts as no proof.
    pub fn is_fresh(&self, max_age: Duration, now: Timestamp) -> bool {
        let at = self.claims().authenticated_at;
        at <= now && now.since(at) <= max_age
    }
}

/// The verdict on an access token.
#[derive(Clone, Debug)]
pub enum Decision {
    /// Let it through.
    Admit(Admitted),
    /// Let it through, and renew: its end is near.
    AdmitAndRenew(Admitted),
    /// Not on this token. A session token, if there is one, may still renew.
    Refuse(Refusal),
    /// This node cannot tell; the store must be asked.
    AskStore,
}

/// Why an access token opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its life is over.
    Expired,
    /// Its session has ended.
    SessionEnded,
}

/// Judges a token whose signature holds. `standing` is what the node knows of the session right now.
pub fn evaluate(token: Arc<VerifiedToken>, standing: Standing, renew_ahead: Duration, now: Timestamp) -> Decision {
    let expires = token.claims().expires_at;
    match standing {
        Standing::Ended => Decision::Refuse(Refusal::SessionEnded),
        _ if now >= expires => Decision::Refuse(Refusal::Expired),
        Standing::Unknown => Decision::AskStore,
        Standing::Live if now.plus(renew_ahead) >= expires => Decision::AdmitAndRenew(Admitted { token }),
        Standing::Live => Decision::Admit(Admitted { token }),
    }
}
