//! The status code and body of every outcome: the only place that knows them.
//!
//! What a client is told is generic and stable ([`Problem::code`]); why, with names and numbers, is in the log
//! and the events under the same request id.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde_json::{Map, Value, json};
use sessile_core::event::RequestId;
use sessile_core::headers::{self, HeaderContext, SessionUse};
use sessile_core::return_to::{self, ReturnTo};

use crate::engine::Engine;
use crate::guard::append_cookies;
use crate::pages::{self, ErrorPage, Page};

/// Everything that can be wrong with a request, as its client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Nobody is signed in.
    NoSession,
    /// Somebody is, but too long ago for this (RFC 9470).
    FreshAuthRequired {
        /// How recent the sign-in must be.
        max_age: Duration,
    },
    /// Perhaps another site's doing.
    CsrfRefused,
    /// No such account, wrong password or disabled account: it is not said which.
    SignInFailed,
    /// Too many failures.
    TooManyAttempts {
        /// When another try is taken.
        retry_after: Duration,
    },
    /// The session cannot be judged, or the order not be carried out, now (P3).
    Unavailable {
        /// When to ask again.
        retry_after: Duration,
    },
    /// Too many passwords are being checked.
    Busy {
        /// When to ask again.
        retry_after: Duration,
    },
    /// The app describes its user in more than fits a cookie.
    ClaimsTooLarge,
    /// The request means nothing here.
    BadRequest {
        /// Stable code of what is wrong.
        code: &'static str,
        /// What is wrong, for the client's developer.
        detail: &'static str,
    },
    /// A resource server did not prove who it is (RFC 7662 section 2.1, RFC 7009 section 2.1).
    InvalidClient,
    /// There is nothing here.
    NotFound,
    /// Not by this method.
    MethodNotAllowed {
        /// The methods there are, as `Allow` lists them.
        allow: &'static str,
    },
    /// The request is for a host that is not served here.
    UnknownHost,
    /// The body is too large.
    PayloadTooLarge,
    /// The body did not come (H10).
    BodyTimeout,
    /// The body is of a kind that is not read here.
    UnsupportedMediaType,
    /// The head of the request is too large, usually for its cookies (H11, H12).
    HeadersTooLarge {
        /// Names of the largest cookies, so that their owner can be found.
        cookies: Vec<String>,
    },
    /// The app does not answer (H1).
    UpstreamUnreachable,
    /// The app's answer is not one that can be passed on (H8).
    UpstreamInvalid,
    /// The app takes too long (H2).
    UpstreamTimeout,
    /// Something failed that should not.
    Internal,
}

/// When to ask again, where nobody can say how long a trouble lasts.
pub(crate) const SOON: Duration = Duration::from_secs(2);

impl Problem {
    /// [`Unavailable`](Self::Unavailable), to be asked again soon.
    pub const fn unavailable() -> Self {
        Self::Unavailable { retry_after: SOON }
    }

    /// The status code.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::NoSession | Self::FreshAuthRequired { .. } | Self::SignInFailed | Self::InvalidClient => {
                StatusCode::UNAUTHORIZED
            }
            Self::CsrfRefused => StatusCode::FORBIDDEN,
            Self::TooManyAttempts { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable { .. } | Self::Busy { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::BadRequest { .. } => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::UnknownHost => StatusCode::MISDIRECTED_REQUEST,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::HeadersTooLarge { .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::ClaimsTooLarge | Self::UpstreamUnreachable | Self::UpstreamInvalid => StatusCode::BAD_GATEWAY,
            Self::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The stable code that clients may branch on.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoSession => "no_session",
            Self::FreshAuthRequired { .. } => "fresh_authentication_required",
            Self::CsrfRefused => "csrf_refused",
            Self::SignInFailed => "sign_in_failed",
            Self::TooManyAttempts { .. } => "too_many_attempts",
            Self::Unavailable { .. } => "unavailable",
            Self::Busy { .. } => "busy",
            Self::ClaimsTooLarge => "claims_too_large",
            Self::BadRequest { code, .. } => code,
            Self::InvalidClient => "invalid_client",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed { .. } => "method_not_allowed",
            Self::UnknownHost => "unknown_host",
            Self::PayloadTooLarge => "payload_too_large",
            Self::BodyTimeout => "request_timeout",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::HeadersTooLarge { .. } => "headers_too_large",
            Self::UpstreamUnreachable => "upstream_unreachable",
            Self::UpstreamInvalid => "upstream_invalid",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::Internal => "internal",
        }
    }

    /// A few words, for a heading.
    pub const fn title(&self) -> &'static str {
        match self {
            Self::NoSession => "You are not signed in",
            Self::FreshAuthRequired { .. } => "Please sign in again",
            Self::CsrfRefused => "This request was not taken",
            Self::SignInFailed => "Sign-in failed",
            Self::TooManyAttempts { .. } => "Too many attempts",
            Self::Unavailable { .. } | Self::Busy { .. } => "Please try again in a moment",
            Self::ClaimsTooLarge => "Sign-in is not possible",
            Self::BadRequest { .. } => "The request makes no sense here",
            Self::InvalidClient => "Unknown client",
            Self::NotFound => "Nothing here",
            Self::MethodNotAllowed { .. } => "Not in this way",
            Self::UnknownHost => "Unknown host",
            Self::PayloadTooLarge => "Too much was sent",
            Self::BodyTimeout => "The request did not arrive",
            Self::UnsupportedMediaType => "Not in this format",
            Self::HeadersTooLarge { .. } => "Too many cookies",
            Self::UpstreamUnreachable | Self::UpstreamInvalid => "The application does not answer properly",
            Self::UpstreamTimeout => "The application takes too long",
            Self::Internal => "Something went wrong",
        }
    }

    /// A sentence or two, for people.
    pub const fn detail(&self) -> &'static str {
        match self {
            Self::NoSession => "Sign in to go on.",
            Self::FreshAuthRequired { .. } => "For this step, sign in once more to show that it is you.",
            Self::CsrfRefused => {
                "It may have been made by another site, so nothing was changed. Go back to the application, reload it and try again."
            }
            Self::SignInFailed => "The user name or the password is not right.",
            Self::TooManyAttempts { .. } => "There were too many failed attempts. Wait a while, then try again.",
            Self::Unavailable { .. } => {
                "Your session cannot be checked right now. You stay signed in; try again in a moment."
            }
            Self::Busy { .. } => "Many people are signing in right now. Try again in a moment.",
            Self::ClaimsTooLarge => {
                "The application describes its user in more than fits into a cookie. Its operator finds the sizes in the log."
            }
            Self::BadRequest { detail, .. } => detail,
            Self::InvalidClient => "Authenticate with the client id and secret by HTTP Basic.",
            Self::NotFound => "There is nothing at this address.",
            Self::MethodNotAllowed { .. } => "This address does not take requests of this method.",
            Self::UnknownHost => "The request is for a host that is not served here.",
            Self::PayloadTooLarge => "The request body is larger than what is read here.",
            Self::BodyTimeout => "The rest of the request did not come in time. Try again.",
            Self::UnsupportedMediaType => "Send JSON (application/json) or a form (application/x-www-form-urlencoded).",
            Self::HeadersTooLarge { .. } => {
                "Your browser sent more cookies than fit into a request. Those of this sign-in service were removed; remove the ones listed here in your browser's settings if this page comes back."
            }
            Self::UpstreamUnreachable => {
                "The application behind this address cannot be reached. Try again in a moment."
            }
            Self::UpstreamInvalid => "The application's answer could not be passed on.",
            Self::UpstreamTimeout => "The application did not answer in time. Try again in a moment.",
            Self::Internal => {
                "This is not your fault. Try again; if it stays, tell the operator the request number below."
            }
        }
    }

    fn extra(&self) -> Map<String, Value> {
        let mut extra = Map::new();
        match self {
            Self::FreshAuthRequired { max_age } => {
                extra.insert("max_age".into(), max_age.as_secs().into());
            }
            // RFC 6749 section 5.2, which RFC 7009 refers to.
            Self::InvalidClient => {
                extra.insert("error".into(), "invalid_client".into());
            }
            Self::HeadersTooLarge { cookies } => {
                extra.insert("cookies".into(), cookies.clone().into());
            }
            Self::NoSession
            | Self::CsrfRefused
            | Self::SignInFailed
            | Self::TooManyAttempts { .. }
            | Self::Unavailable { .. }
            | Self::Busy { .. }
            | Self::ClaimsTooLarge
            | Self::BadRequest { .. }
            | Self::NotFound
            | Self::MethodNotAllowed { .. }
            | Self::UnknownHost
            | Self::PayloadTooLarge
            | Self::BodyTimeout
            | Self::UnsupportedMediaType
            | Self::UpstreamUnreachable
            | Self::UpstreamInvalid
            | Self::UpstreamTimeout
            | Self::Internal => {}
        }
        extra
    }

    fn challenge(&self) -> Option<String> {
        match self {
            Self::NoSession | Self::SignInFailed => Some("Bearer".to_owned()),
            Self::FreshAuthRequired { max_age } => Some(format!(
                "Bearer error=\"insufficient_user_authentication\", error_description=\"A more recent sign-in is required\", max_age=\"{}\"",
                max_age.as_secs()
            )),
            Self::InvalidClient => Some("Basic realm=\"sessile\", charset=\"UTF-8\"".to_owned()),
            Self::CsrfRefused
            | Self::TooManyAttempts { .. }
            | Self::Unavailable { .. }
            | Self::Busy { .. }
            | Self::ClaimsTooLarge
            | Self::BadRequest { .. }
            | Self::NotFound
            | Self::MethodNotAllowed { .. }
            | Self::UnknownHost
            | Self::PayloadTooLarge
            | Self::BodyTimeout
            | Self::UnsupportedMediaType
            | Self::HeadersTooLarge { .. }
            | Self::UpstreamUnreachable
            | Self::UpstreamInvalid
            | Self::UpstreamTimeout
            | Self::Internal => None,
        }
    }

    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooManyAttempts { retry_after } | Self::Unavailable { retry_after } | Self::Busy { retry_after } => {
                // Rounded up: whoever comes back exactly then is not turned away again.
                Some(retry_after.as_millis().div_ceil(1000).max(1).try_into().unwrap_or(u64::MAX))
            }
            _ => None,
        }
    }
}

/// A problem as the client wants to see it: an accessible page for people, `application/problem+json` (RFC 9457)
/// for programs.
pub fn problem(
    engine: &Engine,
    problem: &Problem,
    wants_page: bool,
    request_id: Option<&RequestId>,
) -> Response<Bytes> {
    let request_id = request_id.map(|id| id.0.as_str());
    let mut response = if wants_page {
        let sign_in = sign_in_address(engine, None);
        let action = match problem {
            Problem::NoSession | Problem::FreshAuthRequired { .. } | Problem::SignInFailed => {
                sign_in.as_deref().map(|address| (address, "Sign in"))
            }
            Problem::HeadersTooLarge { .. } => Some(("/", "Try again")),
            Problem::NotFound | Problem::MethodNotAllowed { .. } | Problem::CsrfRefused => {
                Some(("/", "Go to the start page"))
            }
            _ => None,
        };
        let items = match problem {
            Problem::HeadersTooLarge { cookies } => cookies.as_slice(),
            _ => &[],
        };
        let error = ErrorPage {
            status: problem.status().as_u16(),
            code: problem.code(),
            title: problem.title(),
            detail: problem.detail(),
            items,
            action,
            request_id,
        };
        page(engine, problem.status(), &Page::Error(error))
    } else {
        let mut body = problem.extra();
        body.insert("status".into(), problem.status().as_u16().into());
        body.insert("code".into(), problem.code().into());
        body.insert("title".into(), problem.title().into());
        body.insert("detail".into(), problem.detail().into());
        if let Some(id) = request_id {
            body.insert("request_id".into(), id.into());
        }
        own(engine, problem.status(), "application/problem+json", Value::Object(body).to_string().into())
    };
    add_fields(problem, response.headers_mut());
    if let Problem::HeadersTooLarge { .. } = problem {
        // The way out: less comes back next time.
        append_cookies(response.headers_mut(), &engine.clearing_cookies());
    }
    response
}

/// The header fields that belong to a problem.
pub(crate) fn add_fields(problem: &Problem, headers: &mut HeaderMap) {
    if let Some(challenge) = problem.challenge().and_then(|challenge| HeaderValue::try_from(challenge).ok()) {
        headers.insert(WWW_AUTHENTICATE, challenge);
    }
    if let Some(seconds) = problem.retry_after() {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    if let Problem::MethodNotAllowed { allow } = problem {
        headers.insert(ALLOW, HeaderValue::from_static(allow));
    }
}

/// Sends a navigation to the sign-in page, and afterwards back to `target` if that is a safe path of this origin. A site
/// without such a page says that a session is needed.
///
/// 303, so that the browser asks by GET whatever it asked before. The address is a path: no request header
/// has a say in it (A11, D7, D8).
pub fn redirect_to_sign_in(engine: &Engine, target: &str) -> Response<Bytes> {
    match sign_in_address(engine, return_to::safe(target).as_ref()) {
        Some(address) => see_other(engine, &address),
        None => problem(engine, &Problem::NoSession, true, None),
    }
}

/// A page that asks for `target`, the path and query of the present request, once more, now from within the site, so
/// that `SameSite=Strict` cookies come along. That request is `same-origin`, so it is not answered with this page again.
pub fn bounce(engine: &Engine, target: &str) -> Response<Bytes> {
    // `//host` and `/\host` lead to another site (D3).
    let leads_away = matches!(target.as_bytes(), [b'/', b'/' | b'\\', ..]);
    if leads_away || !target.starts_with('/') {
        return redirect_to_sign_in(engine, "/");
    }
    page(engine, StatusCode::OK, &Page::Bounce { target })
}

/// Where people sign in, if this site has a page for it.
pub(crate) fn sign_in_address(engine: &Engine, return_to: Option<&ReturnTo>) -> Option<String> {
    let mut address = engine.config().sign_in_path()?;
    if let Some(target) = return_to {
        address.push_str("?return_to=");
        for byte in target.as_str().bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
                address.push(char::from(byte));
            } else {
                address.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    Some(address)
}

/// 303 to a path of this origin. The callers pass fixed paths and [`ReturnTo`]s alone.
pub(crate) fn see_other(engine: &Engine, path: &str) -> Response<Bytes> {
    let mut response = own(engine, StatusCode::SEE_OTHER, "text/plain; charset=utf-8", Bytes::new());
    // A safe path is visible ASCII; anything else would be a mistake of ours, and the start page is a safe answer.
    let location = HeaderValue::try_from(path).unwrap_or(HeaderValue::from_static("/"));
    response.headers_mut().insert(LOCATION, location);
    response
}

/// 200 with JSON.
pub(crate) fn json(engine: &Engine, body: &Value) -> Response<Bytes> {
    own(engine, StatusCode::OK, "application/json", body.to_string().into())
}

/// 200 with nothing to read.
pub(crate) fn plain_ok(engine: &Engine) -> Response<Bytes> {
    own(engine, StatusCode::OK, "text/plain; charset=utf-8", Bytes::new())
}

/// 204.
pub(crate) fn no_content(engine: &Engine) -> Response<Bytes> {
    let mut response = own(engine, StatusCode::NO_CONTENT, "", Bytes::new());
    response.headers_mut().remove(CONTENT_TYPE);
    response
}

/// 200 with a JSON document that is the same for everybody and may be cached.
pub(crate) fn public_json(engine: &Engine, body: Bytes, max_age: Duration) -> Response<Bytes> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(value) = HeaderValue::try_from(format!("public, max-age={}", max_age.as_secs())) {
        headers.insert(CACHE_CONTROL, value);
    }
    // Public keys are for everybody; a verifier in another site's page may read them.
    headers.insert(http::header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    secure(engine, &mut response, None, SessionUse::None);
    response
}

/// A page of ours.
pub(crate) fn page(engine: &Engine, status: StatusCode, page: &Page<'_>) -> Response<Bytes> {
    // Without entropy the page comes without its style: plain, but right.
    let nonce = headers::nonce(engine.entropy()).ok();
    let html = pages::render(page, nonce.as_deref().unwrap_or(""));
    let mut response = Response::new(Bytes::from(html.into_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    secure(engine, &mut response, nonce.as_deref(), SessionUse::Carries);
    response
}

fn own(engine: &Engine, status: StatusCode, kind: &'static str, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    secure(engine, &mut response, None, SessionUse::Carries);
    response
}

/// What our own answers are decided from.
const VARY: &[&str] = &["Cookie", "Authorization", "Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Accept"];

fn secure(engine: &Engine, response: &mut Response<Bytes>, nonce: Option<&str>, session: SessionUse) {
    let context = HeaderContext {
        // What the browser sees, also behind something that ends TLS (K9).
        https: engine.config().insists_on_https(),
        nonce,
        document: true,
        session,
        vary: if session == SessionUse::None { &[] } else { VARY },
    };
    engine.0.own_headers.apply(&context, response.headers_mut());
}

/// The body of a 200 that says who is signed in and what else belongs to it.
pub(crate) fn session_body(session: Value) -> Map<String, Value> {
    let Value::Object(body) = json!({ "session": session }) else { return Map::new() };
    body
}
