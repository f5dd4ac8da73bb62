//! What the gateway is told when it starts. Configuration fills these structures; nothing here reads a file but [`super::tls`].

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use sessile::{Access, PastStaleness};
use sessile_core::Storage;
use sessile_core::cors::CorsConfig;
use sessile_core::headers::Policy;

use super::limits::Limits;

/// Everything about the gateway that is not the engine's.
#[derive(Clone, Debug)]
pub struct GatewaySettings {
    /// Where to listen. Port 0 takes a free one; [`super::Sockets::local_addr`] tells which.
    pub listen: SocketAddr,
    /// Certificate and key; without them the listener speaks plain HTTP/1.1.
    pub tls: Option<TlsFiles>,
    /// Threads, each with a runtime, a listening socket and upstream connections of its own. One per core by default.
    pub workers: Option<NonZeroUsize>,
    /// Hosts accepted beside the one of the public URL, as `name` or `name:port`.
    pub hosts: Vec<String>,
    /// Networks whose statements about the client are believed. None by default: no trust-all exists (P13).
    pub trusted_proxies: Vec<IpNet>,
    /// Which field those proxies write.
    pub forwarded_field: ForwardedField,
    /// Where requests go.
    pub routes: Vec<RouteSettings>,
    /// Routes whose answers may sign a user in or out, as `METHOD /exact/path`.
    pub sign_in_routes: Vec<String>,
    /// PEM file of certificate authorities for https upstreams; the system's by default.
    pub upstream_ca: Option<PathBuf>,
    /// Time and size limits.
    pub limits: Limits,
    /// How the process stops.
    pub drain: DrainPolicy,
}

impl GatewaySettings {
    /// Safe defaults for one set of routes.
    pub fn new(listen: SocketAddr, routes: Vec<RouteSettings>) -> Self {
        Self {
            listen,
            tls: None,
            workers: None,
            hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            forwarded_field: ForwardedField::default(),
            routes,
            sign_in_routes: Vec::new(),
            upstream_ca: None,
            limits: Limits::default(),
            drain: DrainPolicy::default(),
        }
    }

    /// Whether a peer's statements about the client are believed.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(&peer.to_canonical()))
    }
}

/// The listener's certificate chain and private key, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, then its issuers.
    pub cert: PathBuf,
    /// The key of the first certificate.
    pub key: PathBuf,
}

/// The one field trusted proxies speak through. Only one is read: a proxy that writes one passes the other on as the client sent it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedField {
    /// `X-Forwarded-For` and `X-Forwarded-Proto`.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// One route.
#[derive(Clone, Debug)]
pub struct RouteSettings {
    /// Path prefix: `/` or segments of unreserved characters. `/api` covers `/api` and `/api/...`, never `/apix`.
    pub prefix: String,
    /// Where its requests go.
    pub target: TargetSettings,
    /// Who may pass.
    pub access: Access,
    /// Where its JWT lives.
    pub storage: Storage,
    /// How recently the user must have proved who they are.
    pub max_auth_age: Option<Duration>,
    /// What happens when nobody can tell whether a session lives.
    pub past_staleness: PastStaleness,
    /// Security headers of the answers.
    pub headers: Policy,
    /// Which other origins may read the answers; none by default.
    pub cors: Option<CorsConfig>,
    /// Whether WebSocket handshakes pass. By default on routes that need a session, and on no others: there a connection has
    /// a session to end with.
    pub upgrade: Option<bool>,
    /// The largest request body, in bytes. Unlimited by default: bodies stream, and the application knows its own limits.
    pub max_body: Option<u64>,
}

impl RouteSettings {
    /// A route with the defaults.
    pub fn new(prefix: impl Into<String>, target: TargetSettings, access: Access) -> Self {
        Self {
            prefix: prefix.into(),
            target,
            access,
            storage: Storage::default(),
            max_auth_age: None,
            past_staleness: PastStaleness::default(),
            headers: Policy::proxied_default(),
            cors: None,
            upgrade: None,
            max_body: None,
        }
    }
}

/// Where a route's requests go.
#[derive(Clone, Debug)]
pub enum TargetSettings {
    /// To an application.
    Upstream(UpstreamSettings),
    /// To files.
    Static(StaticSettings),
}

impl TargetSettings {
    /// An application at `url`, with the defaults.
    pub fn upstream(url: impl Into<String>) -> Self {
        Self::Upstream(UpstreamSettings { url: url.into(), http2: false, host: HostField::default() })
    }
}

/// An application.
#[derive(Clone, Debug)]
pub struct UpstreamSettings {
    /// `http://host:port` or `https://host[:port]`, without a path: paths are forwarded as they are.
    pub url: String,
    /// Whether to speak HTTP/2: by ALPN to https upstreams, with prior knowledge to http ones. WebSockets use HTTP/1.1 all the same.
    pub http2: bool,
    /// What the application sees as `Host`.
    pub host: HostField,
}

/// What an application sees as `Host`. The public host is in `X-Forwarded-Host` either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostField {
    /// Its own address, as in its URL: nothing a client sends reaches it.
    #[default]
    Upstream,
    /// The public URL's host: for applications that build links from it or compare it with `Origin`.
    Public,
}

/// A folder.
#[derive(Clone, Debug)]
pub struct StaticSettings {
    /// The folder. The route's prefix stays part of the path: `/docs/a.css` of prefix `/docs` is `ROOT/docs/a.css`.
    pub root: PathBuf,
    /// Whether a page that is not there is answered with `index.html` of the root, for single-page applications.
    pub spa: bool,
}

/// How the process stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainPolicy {
    /// How long readiness says no while connections are still accepted, so that a load balancer looks elsewhere first.
    pub announce: Duration,
    /// How long requests in flight may take from then on.
    pub finish: Duration,
}

impl Default for DrainPolicy {
    fn default() -> Self {
        Self { announce: Duration::ZERO, finish: Duration::from_secs(20) }
    }
}
