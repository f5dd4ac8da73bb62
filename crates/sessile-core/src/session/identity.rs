//! The one door into a session.

use alloc::{string::String, vec, vec::Vec};

use super::{Claims, Facts};
use crate::{Subject, Timestamp};

/// How an identity was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// A password account of Sessile's own.
    Password,
    /// The application asserted it on a route configured for that.
    AppAsserted,
}

impl Method {
    /// The name in events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::AppAsserted => "app_asserted",
        }
    }
}

/// A user whose identity a sign-in source has verified.
///
/// Only sign-in sources call [`vouched`](Self::vouched) (the architecture check counts the callers), and
/// [`mint`](super::mint) takes nothing else: there is no other way to a session. A further source, such as
/// OpenID Connect, is a further caller.
#[derive(Clone, Debug)]
pub struct VerifiedIdentity {
    pub(super) subject: Subject,
    pub(super) facts: Facts,
    pub(super) authenticated_at: Timestamp,
    pub(super) remember: bool,
    method: Method,
}

impl VerifiedIdentity {
    /// States that `subject` was verified by `method` at `authenticated_at`.
    pub fn vouched(method: Method, subject: Subject, authenticated_at: Timestamp) -> Self {
        let amr = match method {
            Method::Password => vec![String::from("pwd")],
            Method::AppAsserted => Vec::new(),
        };
        Self { subject, facts: Facts { amr, ..Facts::default() }, authenticated_at, remember: false, method }
    }

    /// With the authentication methods the source reports (RFC 8176).
    #[must_use]
    pub fn with_amr(mut self, amr: Vec<String>) -> Self {
        self.facts.amr = amr;
        self
    }

    /// With an authentication context class.
    #[must_use]
    pub fn with_acr(mut self, acr: Option<String>) -> Self {
        self.facts.acr = acr;
        self
    }

    /// With the application's claims.
    #[must_use]
    pub fn with_claims(mut self, claims: Claims) -> Self {
        self.facts.claims = claims;
        self
    }

    /// With the user's wish to be remembered.
    #[must_use]
    pub fn remembered(mut self, remember: bool) -> Self {
        self.remember = remember;
        self
    }

    /// Whose identity it is.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// How it was verified.
    pub fn method(&self) -> Method {
        self.method
    }
}
