//! The gateway: from a client's bytes to a request for the application, and back.
//!
//! ```text
//! listener ─► wire (bytes) ─► HTTP library ─► gate (heads) ─► service: host, client, route
//!                                                                │
//!                                  sessile::surface ◄────────────┤   /auth/..., /.well-known/...
//!                                                                ▼
//!                                                        Engine::guard ─► headers ─► upstream ─► headers ─► sign_in ─► Engine::finish
//!                                                                                       └─ upgrade (WebSockets)
//! ```
//!
//! Each thread has a runtime, a listening socket and upstream connections of its own; they share the [`Gateway`], which never
//! changes. Time and size limits are in [`limits`], how it stops in [`drain`].

pub mod body;
pub mod connection;
pub mod drain;
pub mod forwarded;
pub mod gate;
pub mod headers;
pub mod hosts;
pub mod limits;
mod listener;
pub mod metrics;
mod request_id;
pub mod routes;
mod service;
pub mod settings;
pub mod sign_in;
pub mod static_files;
pub mod tls;
pub mod upgrade;
pub mod upstream;
pub mod wire;

use std::fmt;
use std::sync::Arc;

use http::uri::Scheme;
use http::{HeaderMap, HeaderValue};
use sessile::Engine;
use sessile::respond::{self, Problem};
use sessile_core::crypto;
use thiserror::Error;

pub use listener::{Serving, Sockets, serve};
pub use settings::{
    DrainPolicy, ForwardedField, GatewaySettings, HostField, RouteSettings, StaticSettings, TargetSettings, TlsFiles,
    UpstreamSettings,
};

use headers::Hop;
use hosts::Hosts;
use metrics::GatewayMetrics;
use routes::{RouteFault, RouteTable, Target};
use tls::{Certificate, TlsError};
use upstream::UpstreamTrust;
use wire::WireRules;

/// What all threads share.
pub struct Gateway {
    engine: Engine,
    settings: GatewaySettings,
    routes: RouteTable,
    hosts: Hosts,
    /// Host of the public URL, as a field value.
    public_host: HeaderValue,
    public_scheme: &'static str,
    /// This process in `Via`. Unlike every other one's, so that a chain of gateways is no loop.
    via: Hop,
    metrics: Arc<GatewayMetrics>,
    certificate: Option<Arc<Certificate>>,
    trust: UpstreamTrust,
    wire_rules: Arc<WireRules>,
}

/// The gateway cannot start: what, where, and what to do.
#[derive(Debug, Error)]
pub enum GatewayError {
    /// The routes are wrong. One line per fault.
    #[error("the routes cannot be used:{}", lines(.0))]
    Routes(Vec<RouteFault>),
    /// Certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address is taken.
    #[error("{0} is in use by another process: stop that, or listen elsewhere")]
    AddressInUse(std::net::SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The system refuses something a thread needs.
    #[error("the gateway's threads cannot start: {0}")]
    Threads(std::io::Error),
    /// The system gave no random bytes.
    #[error("the system gives no random bytes")]
    Entropy,
}

fn lines(faults: &[RouteFault]) -> String {
    faults.iter().map(|fault| format!("\n  {fault}")).collect()
}

impl Gateway {
    /// Checks the settings and loads what they name.
    ///
    /// # Errors
    ///
    /// What is wrong; for routes, everything at once.
    pub fn new(settings: GatewaySettings, engine: Engine) -> Result<Arc<Self>, GatewayError> {
        let public = engine.config().public_origin.clone();
        let public_host = host_value(&public);
        let routes = RouteTable::build(&settings, &public_host).map_err(GatewayError::Routes)?;
        let certificate = settings.tls.clone().map(Certificate::load).transpose()?;
        let needs_trust = routes
            .routes()
            .iter()
            .any(|route| matches!(&route.target, Target::Upstream(to) if to.scheme == Scheme::HTTPS));
        let trust =
            if needs_trust { UpstreamTrust::load(settings.upstream_ca.as_deref())? } else { UpstreamTrust::nobody()? };
        let instance: [u8; 8] = crypto::random(engine.entropy()).map_err(|_| GatewayError::Entropy)?;
        let prefixes = routes.routes().iter().map(|route| route.prefix.clone()).collect();
        let rules = WireRules { fields: own_fields(&engine), ..WireRules::default() };
        Ok(Arc::new(Self {
            hosts: Hosts::new(&public, &settings.hosts),
            public_scheme: if public.is_https() { "https" } else { "http" },
            via: Hop::new(instance),
            metrics: Arc::new(GatewayMetrics::new(prefixes)),
            wire_rules: Arc::new(rules),
            public_host,
            routes,
            certificate,
            trust,
            engine,
            settings,
        }))
    }

    /// Checks the settings without loading certificates or needing an engine, for `sessile check`.
    ///
    /// # Errors
    ///
    /// Every fault of the routes at once.
    pub fn check(settings: &GatewaySettings, public: &sessile_core::origin::Origin) -> Result<(), Vec<RouteFault>> {
        RouteTable::build(settings, &host_value(public)).map(drop)
    }

    /// What it has done so far.
    pub fn metrics(&self) -> &Arc<GatewayMetrics> {
        &self.metrics
    }

    /// The engine behind it.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Loads certificate and key again. On an error the old ones stay in use.
    ///
    /// # Errors
    ///
    /// Why the new files cannot be used.
    pub fn reload_certificate(&self) -> Result<(), TlsError> {
        self.certificate.as_ref().map_or(Ok(()), |certificate| certificate.reload())
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("settings", &self.settings).finish_non_exhaustive()
    }
}

fn host_value(public: &sessile_core::origin::Origin) -> HeaderValue {
    // An origin is ASCII without control characters, so this never falls back.
    HeaderValue::from_str(public.authority()).unwrap_or(HeaderValue::from_static("localhost"))
}

/// The header fields of our own error answers, for those that the wire gate writes itself (P33).
fn own_fields(engine: &Engine) -> HeaderMap {
    respond::problem(engine, &Problem::Internal, false, None).into_parts().0.headers
}
