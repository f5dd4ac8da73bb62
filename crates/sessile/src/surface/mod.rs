//! The HTTP surface: sign-in, sign-out, refresh, sessions, forward-auth, and what resource servers ask.
//!
//! [`handle`] reads a request's body, finds the endpoint in one table, and answers. No endpoint reads an identity
//! from anywhere but a session (K1); every state change is an unsafe method behind the cross-site check (R-025,
//!

mod input;
mod reports;
pub mod session_view;
mod sessions;
mod sign_in;
mod sign_out;
mod tokens;
mod verify;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_LENGTH, HeaderValue};
use http::request::Parts;
use http::{Method, Response};
use http_body::Body;
use sessile_core::cors::PreflightVerdict;
use zeroize::Zeroizing;

pub(crate) use reports::ReportGate;

use crate::arrival::{Arrival, Peer};
use crate::config::EngineConfig;
use crate::engine::Engine;
use crate::fields::carry_out;
use crate::respond::{self, Problem};
use crate::sharing;

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endpoint {
    SignIn,
    SignOut,
    SignedOut,
    Refresh,
    Session,
    Csrf,
    Sessions,
    OneSession,
    Verify,
    Introspect,
    Revoke,
    CspReport,
    Jwks,
    Metadata,
}

const JWKS_PATH: &str = "/.well-known/jwks.json";
const METADATA_PATH: &str = "/.well-known/oauth-authorization-server";

impl Endpoint {
    /// The endpoint at `path`, compared byte for byte: another spelling is another address.
    fn at(config: &EngineConfig, path: &str) -> Option<Self> {
        match path {
            JWKS_PATH => return Some(Self::Jwks),
            METADATA_PATH => return Some(Self::Metadata),
            _ => {}
        }
        match path.strip_prefix(config.prefix.as_str())? {
            "/sign-in" => Some(Self::SignIn),
            "/sign-out" => Some(Self::SignOut),
            "/signed-out" => Some(Self::SignedOut),
            "/refresh" => Some(Self::Refresh),
            "/session" => Some(Self::Session),
            "/csrf" => Some(Self::Csrf),
            "/sessions" => Some(Self::Sessions),
            "/verify" => Some(Self::Verify),
            "/introspect" => Some(Self::Introspect),
            "/revoke" => Some(Self::Revoke),
            "/csp-report" => Some(Self::CspReport),
            rest => {
                let id = rest.strip_prefix("/sessions/")?;
                (!id.is_empty() && !id.contains('/')).then_some(Self::OneSession)
            }
        }
    }

    const fn allow(self) -> &'static str {
        match self {
            Self::SignIn => "GET, HEAD, POST, OPTIONS",
            Self::SignedOut
            | Self::Session
            | Self::Csrf
            | Self::Sessions
            | Self::Verify
            | Self::Jwks
            | Self::Metadata => "GET, HEAD, OPTIONS",
            Self::SignOut | Self::Refresh | Self::Introspect | Self::Revoke | Self::CspReport => "POST, OPTIONS",
            Self::OneSession => "DELETE, OPTIONS",
        }
    }
}

/// Whether `path` is the surface's to answer: everything under the prefix, and the two well-known documents.
pub fn is_ours(engine: &Engine, path: &str) -> bool {
    let under_prefix =
        path.strip_prefix(engine.config().prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    under_prefix || path == JWKS_PATH || path == METADATA_PATH
}

/// Answers a request to the surface. For a path that is not the surface's ([`is_ours`]) the answer is 404.
/// Pages of trusted origins may read the answers.
pub async fn handle<B>(engine: &Engine, parts: &Parts, peer: &Peer, body: B) -> Response<Bytes>
where
    B: Body,
{
    let Some(cors) = &engine.0.surface_cors else { return answer(engine, parts, peer, body).await };
    match sharing::preflight(cors, parts) {
        PreflightVerdict::NotAPreflight => {
            let mut response = answer(engine, parts, peer, body).await;
            sharing::share(cors, &parts.headers, response.headers_mut());
            response
        }
        PreflightVerdict::Allow(edits) | PreflightVerdict::Refuse(_, edits) => {
            let mut response = respond::no_content(engine);
            carry_out(edits, response.headers_mut());
            response
        }
    }
}

async fn answer<B>(engine: &Engine, parts: &Parts, peer: &Peer, body: B) -> Response<Bytes>
where
    B: Body,
{
    let arrival = Arrival::new(parts, peer, engine.config()).arrived(engine.now());
    let Some(endpoint) = Endpoint::at(engine.config(), parts.uri.path()) else {
        return engine.problem(&arrival, &Problem::NotFound);
    };
    let allow = endpoint.allow();
    let method = &parts.method;
    if *method == Method::OPTIONS {
        let mut response = respond::no_content(engine);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
        return response;
    }
    if !allow.split(", ").any(|known| known == method.as_str()) {
        return engine.problem(&arrival, &Problem::MethodNotAllowed { allow });
    }
    if *method == Method::GET || *method == Method::HEAD {
        let mut response = get(engine, &arrival, endpoint).await;
        if *method == Method::HEAD {
            // What GET would have sent, without sending it.
            let length = response.body().len();
            response.headers_mut().insert(CONTENT_LENGTH, length.into());
            *response.body_mut() = Bytes::new();
        }
        return response;
    }
    match input::read(&parts.headers, body).await {
        Ok(body) => change(engine, &arrival, endpoint, body).await,
        Err(problem) => engine.problem(&arrival, &problem),
    }
}

async fn get(engine: &Engine, arrival: &Arrival<'_>, endpoint: Endpoint) -> Response<Bytes> {
    match endpoint {
        Endpoint::SignIn => sign_in::page(engine, arrival).await,
        Endpoint::SignedOut => sign_out::page(engine, arrival).await,
        Endpoint::Session => sessions::current(engine, arrival).await,
        Endpoint::Csrf => sessions::csrf(engine, arrival).await,
        Endpoint::Sessions => sessions::list(engine, arrival).await,
        Endpoint::Verify => verify::verify(engine, arrival).await,
        Endpoint::Jwks => tokens::jwks(engine),
        Endpoint::Metadata => tokens::metadata(engine),
        Endpoint::SignOut
        | Endpoint::Refresh
        | Endpoint::OneSession
        | Endpoint::Introspect
        | Endpoint::Revoke
        | Endpoint::CspReport => engine.problem(arrival, &Problem::MethodNotAllowed { allow: endpoint.allow() }),
    }
}

async fn change(
    engine: &Engine,
    arrival: &Arrival<'_>,
    endpoint: Endpoint,
    body: Zeroizing<Vec<u8>>,
) -> Response<Bytes> {
    // Reports have content types of their own.
    if endpoint == Endpoint::CspReport {
        return reports::csp(engine, arrival, &body);
    }
    let input = match input::parse(&arrival.parts().headers, &body) {
        Ok(input) => input,
        Err(problem) => return engine.problem(arrival, &problem),
    };
    drop(body);
    match endpoint {
        Endpoint::SignIn => sign_in::submit(engine, arrival, input).await,
        Endpoint::SignOut => sign_out::submit(engine, arrival, input).await,
        Endpoint::Refresh => sessions::refresh(engine, arrival, input).await,
        Endpoint::OneSession => sessions::end(engine, arrival, input).await,
        Endpoint::Introspect => tokens::introspect(engine, arrival, input).await,
        Endpoint::Revoke => tokens::revoke(engine, arrival, input).await,
        Endpoint::SignedOut
        | Endpoint::Session
        | Endpoint::Csrf
        | Endpoint::Sessions
        | Endpoint::Verify
        | Endpoint::CspReport
        | Endpoint::Jwks
        | Endpoint::Metadata => engine.problem(arrival, &Problem::MethodNotAllowed { allow: endpoint.allow() }),
    }
}
