//! The operations listener: health, metrics, administration. Never on the public listener.
//!
//! [`ENDPOINTS`] is the table of everything it answers; the router is made from it, and so is the test that
//! tries every endpoint with every kind of caller. Before any endpoint a request passes the gate: its host must
//! be this listener's (DNS rebinding), it must not come from another site's page (I7), and, for
//! administration, it must carry the admin token.

mod admin;
mod answer;
mod gate;
mod health;
mod listener;
mod metrics;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::extract::{RawPathParams, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use http::request::Parts;
use sessile::Engine;

pub use answer::Problem;
pub use listener::{Listening, serve};

use crate::config::runtime::OpsSettings;
use crate::gateway::drain::Drain;
use crate::gateway::metrics::GatewayMetrics;
use gate::{Gate, Query};

/// What the endpoints act on.
pub struct Ops {
    pub(crate) engine: Engine,
    pub(crate) gateway: Arc<GatewayMetrics>,
    pub(crate) drain: Drain,
    gate: Gate,
}

impl fmt::Debug for Ops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ops").finish_non_exhaustive()
    }
}

impl Ops {
    /// For an engine and the gateway before it.
    pub fn new(engine: Engine, gateway: Arc<GatewayMetrics>, drain: Drain, settings: &OpsSettings) -> Arc<Self> {
        Arc::new(Self { engine, gateway, drain, gate: Gate::new(settings) })
    }
}

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Whoever reaches the listener.
    Anybody,
    /// Whoever has the admin token.
    Administrator,
}

/// One thing that can be asked for.
#[derive(Debug)]
pub struct Endpoint {
    /// `GET`, `POST` or `DELETE`.
    pub method: &'static str,
    /// The path, its parameters in braces.
    pub path: &'static str,
    /// Who may ask.
    pub caller: Caller,
    /// The query parameters it knows. Any other is refused, so that a misspelt filter never widens an order.
    pub query: &'static [&'static str],
    handle: fn(Arc<Ops>, Call) -> Answering,
}

type Answering = Pin<Box<dyn Future<Output = Result<Response, Problem>> + Send>>;

/// What an endpoint is asked with.
#[derive(Debug)]
struct Call {
    /// Parameters of the path, decoded.
    path: Vec<(String, String)>,
    query: Query,
}

impl Call {
    fn path(&self, name: &str) -> &str {
        self.path.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

macro_rules! endpoints {
    ($($method:literal $path:literal $caller:ident [$($query:literal),*] => $handle:path;)+) => {
        /// Everything the listener answers.
        pub const ENDPOINTS: &[Endpoint] = &[$(Endpoint {
            method: $method,
            path: $path,
            caller: Caller::$caller,
            query: &[$($query),*],
            handle: |ops, call| Box::pin($handle(ops, call)),
        },)+];
    };
}

endpoints! {
    "GET" "/livez" Anybody [] => health::live;
    "GET" "/readyz" Anybody ["verbose"] => health::ready;
    "GET" "/metrics" Anybody [] => metrics::page;
    "GET" "/admin/v1/sessions" Administrator ["subject", "limit", "cursor"] => admin::list_sessions;
    "DELETE" "/admin/v1/sessions" Administrator ["all"] => admin::end_all_sessions;
    "GET" "/admin/v1/sessions/{id}" Administrator [] => admin::one_session;
    "DELETE" "/admin/v1/sessions/{id}" Administrator [] => admin::end_session;
    "GET" "/admin/v1/subjects/{subject}" Administrator [] => admin::subject;
    "POST" "/admin/v1/subjects/{subject}/disable" Administrator [] => admin::disable_subject;
    "POST" "/admin/v1/subjects/{subject}/enable" Administrator [] => admin::enable_subject;
    "DELETE" "/admin/v1/subjects/{subject}/sessions" Administrator [] => admin::end_subject;
    "GET" "/admin/v1/keys" Administrator [] => admin::list_keys;
    "POST" "/admin/v1/keys" Administrator [] => admin::rotate_keys;
    "DELETE" "/admin/v1/keys/{id}" Administrator [] => admin::revoke_key;
    "GET" "/admin/v1/audit" Administrator ["subject", "session", "event", "limit", "cursor"] => admin::audit;
}

/// The router, made from [`ENDPOINTS`].
pub fn router(ops: Arc<Ops>) -> Router {
    let mut router = Router::new();
    for endpoint in ENDPOINTS {
        let filter = match endpoint.method {
            "GET" => MethodFilter::GET,
            "POST" => MethodFilter::POST,
            _ => MethodFilter::DELETE,
        };
        let handler = move |State(ops): State<Arc<Ops>>, params: RawPathParams, parts: Parts| async move {
            answer::finish(handle(endpoint, ops, &params, &parts).await)
        };
        router = router.route(endpoint.path, on(filter, handler));
    }
    router
        .fallback(|| async { answer::finish(Err(Problem::NotFound)) })
        .method_not_allowed_fallback(|| async { answer::finish(Err(Problem::MethodNotAllowed)) })
        // Outermost, so that it stands before unknown paths too.
        .layer(from_fn_with_state(ops.clone(), pass_gate))
        .with_state(ops)
}

async fn pass_gate(State(ops): State<Arc<Ops>>, request: Request, next: Next) -> Response {
    match ops.gate.check(request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => answer::finish(Err(problem)),
    }
}

async fn handle(
    endpoint: &'static Endpoint,
    ops: Arc<Ops>,
    params: &RawPathParams,
    parts: &Parts,
) -> Result<Response, Problem> {
    if endpoint.caller == Caller::Administrator {
        ops.gate.check_administrator(&parts.headers, &ops.engine)?;
    }
    let call = Call {
        path: params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        query: Query::read(&parts.uri, endpoint.query)?,
    };
    (endpoint.handle)(ops, call).await
}
