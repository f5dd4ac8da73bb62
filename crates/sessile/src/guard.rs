//! The path of a request, in one place: admission, cross-site check, fresh authentication, and afterwards
//! cookies and security headers. The tower layer and the gateway both walk it.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, SET_COOKIE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response};
use sessile_core::Storage;
use sessile_core::cookie::{self, SetCookie};
use sessile_core::csrf::CsrfVerdict;
use sessile_core::event::EventName;
use sessile_core::headers::{HeaderContext, SessionUse};
use sessile_store::StoreError;

use crate::arrival::{Arrival, Peer};
use crate::engine::{Admission, Anonymous, Engine, Pass, WhyAnonymous};
use crate::fields::FieldPolicy;
use crate::metrics::Metrics;
use crate::respond::{self, Problem};

/// Who may use a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Everybody, and the app is told of nobody.
    Public,
    /// Everybody, and the app is told who is signed in.
    Optional,
    /// Signed-in users.
    #[default]
    Session,
}

/// What happens on a route when a session must be looked up and the store has not answered for longer than T.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PastStaleness {
    /// 503: nobody is let through whose session may have ended (P4).
    #[default]
    Deny,
    /// A verified access token is good until it expires, although its session may have been ended: by its user, an
    /// administrator, or because it was stolen. For what must go on, and can bear that.
    DangerServeUntilTokenExpiry,
}

/// What a route asks of a request.
#[derive(Clone, Debug)]
pub struct RoutePolicy {
    /// Who may use it.
    pub access: Access,
    /// Where its JWT lives.
    pub storage: Storage,
    /// How recent the user's sign-in must be, if that matters.
    pub max_auth_age: Option<Duration>,
    /// Whether answers of this route may begin a session, so that login CSRF is checked on it.
    pub begins_sessions: bool,
    /// Security headers of the answers.
    pub headers: FieldPolicy,
    /// What happens when nobody can tell whether a session lives.
    pub past_staleness: PastStaleness,
}

impl RoutePolicy {
    /// A route of `access` with the engine's storage and headers.
    pub fn new(engine: &Engine, access: Access) -> Self {
        let config = engine.config();
        Self {
            access,
            storage: config.storage,
            max_auth_age: None,
            begins_sessions: false,
            headers: config.app_headers.clone().into(),
            past_staleness: PastStaleness::default(),
        }
    }
}

/// What is to happen with a request.
#[derive(Debug)]
pub enum Guarded {
    /// Hand it on.
    Forward(Forward),
    /// Answer it with this.
    Answer(Response<Bytes>),
}

/// Leave to hand a request on.
#[derive(Debug)]
pub struct Forward {
    pass: Option<Pass>,
    clear_cookies: bool,
}

impl Forward {
    /// The session behind it. A route with [`Access::Session`] always has one.
    pub fn pass(&self) -> Option<&Pass> {
        self.pass.as_ref()
    }
}

impl Engine {
    /// Decides what happens with a request to a route.
    pub async fn guard(&self, parts: &Parts, peer: &Peer, policy: &RoutePolicy) -> Guarded {
        let arrival = Arrival::new(parts, peer, self.config()).arrived(self.now());
        let (pass, why) = match policy.access {
            Access::Public => (None, None),
            Access::Optional | Access::Session => match self.admit(&arrival, self.config().offer(policy.storage)).await
            {
                Admission::Admitted(pass) => (Some(pass), None),
                Admission::Anonymous(anonymous) => (None, Some(anonymous)),
                Admission::Unavailable(error) => match self.without_the_store(&arrival, policy, &error) {
                    Some(pass) => (Some(pass), None),
                    None => return Guarded::Answer(self.unavailable(&arrival, &error)),
                },
            },
        };
        if (pass.is_some() || policy.begins_sessions)
            && let CsrfVerdict::Refuse(_) = self.check_csrf(&arrival, pass.as_ref(), None)
        {
            return Guarded::Answer(self.problem(&arrival, &Problem::CsrfRefused));
        }
        if let (Some(pass), Some(max_age)) = (&pass, policy.max_auth_age)
            && !pass.admitted.is_fresh(max_age, self.now().wall)
        {
            self.note(EventName::AuthzFail, "stale_authentication", &arrival, None);
            return Guarded::Answer(self.problem(&arrival, &Problem::FreshAuthRequired { max_age }));
        }
        if policy.access == Access::Session && pass.is_none() {
            return Guarded::Answer(self.turn_away(&arrival, why));
        }
        let clear_cookies = why.is_some_and(|anonymous| anonymous.why.clears_cookies());
        Guarded::Forward(Forward { pass, clear_cookies })
    }

    // Only for want of an answer, and past T: a record that does not open, or sessions that are elsewhere, let nobody in.
    fn without_the_store(&self, arrival: &Arrival<'_>, policy: &RoutePolicy, error: &StoreError) -> Option<Pass> {
        let away = matches!(error, StoreError::Unavailable { .. }) && !self.ready().feed_fresh;
        match policy.past_staleness {
            PastStaleness::Deny => None,
            PastStaleness::DangerServeUntilTokenExpiry if !away => None,
            PastStaleness::DangerServeUntilTokenExpiry => {
                let pass = self.admit_unproven(arrival, self.config().offer(policy.storage))?;
                Metrics::add(&self.metrics().admitted_unproven);
                tracing::warn!(session = %pass.session(), "let through without proof that its session lives: the store cannot be asked");
                Some(pass)
            }
        }
    }

    /// Finishes a response to a forwarded request: our cookies, decided now; no cookie of the app's under our
    /// names; security headers by rule; nothing that depends on a session stays in a cache.
    pub async fn finish(&self, forward: &Forward, policy: &RoutePolicy, headers: &mut HeaderMap) {
        keep_our_names(headers);
        let cookies = match &forward.pass {
            Some(pass) => self.cookies_for_response(pass).await,
            None if forward.clear_cookies => self.clearing_cookies(),
            None => Vec::new(),
        };
        append_cookies(headers, &cookies);
        let context = HeaderContext {
            https: self.config().insists_on_https(),
            nonce: None,
            document: is_document(headers),
            session: match policy.access {
                _ if !cookies.is_empty() => SessionUse::Carries,
                Access::Public => SessionUse::None,
                Access::Optional | Access::Session => SessionUse::Depends,
            },
            vary: if self.config().offer(policy.storage).takes_bearers() {
                &["authorization", "cookie"]
            } else {
                &["cookie"]
            },
        };
        policy.headers.apply(&context, headers);
    }

    fn turn_away(&self, arrival: &Arrival<'_>, why: Option<Anonymous>) -> Response<Bytes> {
        let why = why.map_or(WhyAnonymous::NoCredentials, |anonymous| anonymous.why);
        let target = arrival.parts().uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let page = arrival.wants_page() && arrival.parts().method == Method::GET;
        let mut response = if page && why == WhyAnonymous::NoCredentials && arrival.is_link_from_elsewhere() {
            respond::bounce(self, target)
        } else if page {
            respond::redirect_to_sign_in(self, target)
        } else {
            self.problem(arrival, &Problem::NoSession)
        };
        if why.clears_cookies() {
            append_cookies(response.headers_mut(), &self.clearing_cookies());
        }
        response
    }

    /// The answer to a request that the store would have to decide and cannot: 503, cookies kept (P3).
    pub fn unavailable(&self, arrival: &Arrival<'_>, error: &StoreError) -> Response<Bytes> {
        tracing::warn!(%error, request = arrival.request_id().map(|id| id.0), "answered 503: the store cannot be asked");
        self.problem(arrival, &Problem::unavailable())
    }

    /// A problem as the client wants to see it: a page for people, JSON for programs.
    pub fn problem(&self, arrival: &Arrival<'_>, problem: &Problem) -> Response<Bytes> {
        respond::problem(self, problem, arrival.wants_page(), arrival.request_id().as_ref())
    }
}

/// Adds `Set-Cookie` fields, and `no-store` with them: a cookie in a cache would be handed to strangers (E17).
pub fn append_cookies(headers: &mut HeaderMap, cookies: &[SetCookie]) {
    for cookie in cookies {
        if let Ok(mut value) = HeaderValue::from_str(cookie.as_str()) {
            value.set_sensitive(true);
            headers.append(SET_COOKIE, value);
        }
    }
    if !cookies.is_empty() {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

// The app cannot set, shadow or expire our cookies, and of several under one name the last is sent.
fn keep_our_names(headers: &mut HeaderMap) {
    if !headers.contains_key(SET_COOKIE) {
        return;
    }
    let all: Vec<HeaderValue> = headers.get_all(SET_COOKIE).iter().cloned().collect();
    let screened = cookie::screen(all.iter().map(HeaderValue::as_bytes));
    if screened.refused > 0 {
        tracing::warn!(
            refused = screened.refused,
            "the app tried to set cookies under Sessile's names; they were dropped"
        );
    }
    if screened.kept.len() == all.len() {
        return;
    }
    headers.remove(SET_COOKIE);
    for value in screened.kept {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(SET_COOKIE, value);
        }
    }
}

fn is_document(headers: &HeaderMap) -> bool {
    headers
        .get(http::header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.starts_with("text/html") || kind.starts_with("application/xhtml+xml"))
}
