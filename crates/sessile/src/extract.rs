//! Extractors: who is signed in.

use std::fmt;
use std::time::Duration;

use sessile_core::session::Admitted;
use sessile_core::token::AccessClaims;
use sessile_core::{SessionId, Subject};

use crate::engine::Engine;

/// The signed-in user's session, put among the request's extensions by [`crate::SessileLayer`].
///
/// As an axum extractor it refuses with 401 where nobody is signed in; use `Option<Session>` on routes that
/// serve both.
#[derive(Clone)]
pub struct Session {
    admitted: Admitted,
    engine: Engine,
}

impl Session {
    pub(crate) fn new(admitted: Admitted, engine: &Engine) -> Self {
        Self { admitted, engine: engine.clone() }
    }

    /// The user.
    pub fn subject(&self) -> &Subject {
        self.admitted.subject()
    }

    /// The public handle of the session.
    pub fn id(&self) -> SessionId {
        self.admitted.session()
    }

    /// Everything the access token says.
    pub fn claims(&self) -> &AccessClaims {
        self.admitted.claims()
    }

    /// The admission itself, for building a request on the user's behalf.
    pub fn admitted(&self) -> &Admitted {
        &self.admitted
    }

    /// The engine that admitted it, for sign-out and the like.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Whether the user proved who they are within the last `max_age`.
    pub fn is_fresh(&self, max_age: Duration) -> bool {
        self.admitted.is_fresh(max_age, self.engine.now().wall)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("id", &self.id()).field("subject", self.subject()).finish()
    }
}

#[cfg(feature = "axum")]
mod axum_extractors {
    use std::convert::Infallible;

    use axum::extract::{FromRequestParts, OptionalFromRequestParts};
    use axum::response::{IntoResponse, Response};
    use http::StatusCode;
    use http::request::Parts;

    use super::Session;
    use crate::respond::{self, Problem};

    /// Nobody is signed in, or not recently enough.
    #[derive(Debug)]
    pub struct Rejection(Option<(crate::Engine, Problem)>);

    impl IntoResponse for Rejection {
        fn into_response(self) -> Response {
            match self.0 {
                Some((engine, problem)) => respond::problem(&engine, &problem, false, None).map(axum::body::Body::from),
                // Without the layer there is no engine to phrase it with.
                None => StatusCode::UNAUTHORIZED.into_response(),
            }
        }
    }

    impl<S: Send + Sync> FromRequestParts<S> for Session {
        type Rejection = Rejection;

        async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Rejection> {
            parts.extensions.get::<Self>().cloned().ok_or(Rejection(None))
        }
    }

    impl<S: Send + Sync> OptionalFromRequestParts<S> for Session {
        type Rejection = Infallible;

        async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Infallible> {
            Ok(parts.extensions.get::<Self>().cloned())
        }
    }

    /// A session whose user proved who they are within the last `MINUTES` minutes; refuses with 401 and
    /// `insufficient_user_authentication` (RFC 9470) otherwise.
    #[derive(Clone, Debug)]
    pub struct FreshSession<const MINUTES: u64>(
        /// The session.
        pub Session,
    );

    impl<S: Send + Sync, const MINUTES: u64> FromRequestParts<S> for FreshSession<MINUTES> {
        type Rejection = Rejection;

        async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
            let session = <Session as FromRequestParts<S>>::from_request_parts(parts, state).await?;
            let max_age = std::time::Duration::from_secs(MINUTES * 60);
            if session.is_fresh(max_age) {
                Ok(Self(session))
            } else {
                Err(Rejection(Some((session.engine().clone(), Problem::FreshAuthRequired { max_age }))))
            }
        }
    }
}

#[cfg(feature = "axum")]
pub use axum_extractors::{FreshSession, Rejection};
