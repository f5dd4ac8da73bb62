//! Answers of the operations listener: JSON, or a problem with a stable code.

use axum::body::Body;
use axum::response::Response;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use sessile::EngineError;
use sessile::password::AccountError;
use sessile_store::StoreError;

/// Why a request is not answered as asked. The reason's details go to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The host is not this listener's.
    WrongHost,
    /// A page of another site caused the request.
    CrossSite,
    /// No admin token is configured.
    AdminOff,
    /// The admin token is missing or wrong.
    Unauthorized,
    /// A parameter is unknown, repeated or ill-formed; names it.
    BadParameter(&'static str),
    /// The path holds something that is no id, subject or key.
    BadPath,
    /// There is nothing at this path, or what it names does not exist.
    NotFound,
    /// Not this method.
    MethodNotAllowed,
    /// The store cannot be asked.
    Unavailable,
    /// A defect.
    Internal,
}

impl Problem {
    const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::WrongHost => (StatusCode::MISDIRECTED_REQUEST, "wrong_host", "This host is not served here"),
            Self::CrossSite => (StatusCode::FORBIDDEN, "cross_site", "Pages of other sites may not ask here"),
            Self::AdminOff => {
                (StatusCode::FORBIDDEN, "admin_off", "Administration is off: no admin token is configured")
            }
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized", "The admin token is missing or wrong"),
            Self::BadParameter(_) => {
                (StatusCode::BAD_REQUEST, "bad_parameter", "A query parameter is unknown, repeated or ill-formed")
            }
            Self::BadPath => (StatusCode::BAD_REQUEST, "bad_path", "The path does not name what it should"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", "Nothing is here"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Not with this method"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", "The store cannot be asked"),
            Self::Internal => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something went wrong; the log says what")
            }
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "an administrator's request met a fault of the store");
        let elsewhere = matches!(error, StoreError::NotServing(_));
        if error.is_retryable() || elsewhere { Self::Unavailable } else { Self::Internal }
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Store(error) => error.into(),
            EngineError::Keys(_) => {
                tracing::error!(%error, "an administrator's request met a fault of the signing keys");
                Self::Internal
            }
        }
    }
}

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Store(error) => error.into(),
            AccountError::NoSuchAccount(_) => Self::NotFound,
            AccountError::Name(_)
            | AccountError::Subject(_)
            | AccountError::Password(_)
            | AccountError::NameTaken(_)
            | AccountError::SubjectTaken(_)
            | AccountError::SetMeanwhile(_)
            | AccountError::Hash(_) => Self::Internal,
        }
    }
}

/// An answer in JSON.
pub(super) fn json(value: &Value) -> Response {
    with_type(StatusCode::OK, "application/json", value.to_string())
}

/// An answer in text.
pub(super) fn text(status: StatusCode, content_type: &'static str, body: String) -> Response {
    with_type(status, content_type, body)
}

fn with_type(status: StatusCode, content_type: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// The response to whatever an endpoint, or the gate before it, came to.
pub(super) fn finish(answer: Result<Response, Problem>) -> Response {
    let mut response = answer.unwrap_or_else(problem);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Nothing here is a page; if a browser shows it as one, nothing in it may run (K8).
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    response
}

fn problem(problem: Problem) -> Response {
    let (status, code, title) = problem.parts();
    let mut body = json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "code": code });
    if let Problem::BadParameter(name) = problem {
        body["parameter"] = name.into();
    }
    let mut response = with_type(status, "application/problem+json", body.to_string());
    let field = match problem {
        Problem::Unauthorized => Some((WWW_AUTHENTICATE, "Bearer realm=\"sessile admin\"")),
        Problem::MethodNotAllowed => Some((ALLOW, "GET, POST, DELETE")),
        Problem::Unavailable => Some((RETRY_AFTER, "2")),
        Problem::WrongHost
        | Problem::CrossSite
        | Problem::AdminOff
        | Problem::BadParameter(_)
        | Problem::BadPath
        | Problem::NotFound
        | Problem::Internal => None,
    };
    if let Some((name, value)) = field {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
