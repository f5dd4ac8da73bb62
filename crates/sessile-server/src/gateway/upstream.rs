//! Connections to upstreams: pooled, per thread, to fixed addresses.
//!
//! What goes over them was decided before; nothing here follows a redirect, looks at a proxy variable or adds a header.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use http::uri::{PathAndQuery, Scheme, Uri};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use sessile_core::scan;
use tokio::time::{Instant, timeout_at};

use super::body::{BodyFault, Progress, RequestBody};
use super::gate::parse_length;
use super::limits::Limits;
use super::routes::Upstream;
use super::tls::{self, TlsError};

type Pool = Client<HttpsConnector<HttpConnector>, RequestBody>;

/// One thread's connections to all upstreams.
#[derive(Debug)]
pub struct Upstreams {
    http1: Pool,
    /// HTTP/2 or HTTP/1.1 by ALPN.
    negotiated: Pool,
    /// HTTP/2 without TLS.
    http2: Pool,
    head: Duration,
}

/// What https upstreams are checked with, loaded once and shared by the threads.
#[derive(Clone, Debug)]
pub struct UpstreamTrust(rustls::ClientConfig);

impl UpstreamTrust {
    /// Loads the authorities. `None` if no upstream needs them.
    pub fn load(ca: Option<&Path>) -> Result<Self, TlsError> {
        tls::client_config(ca).map(Self)
    }

    /// No authorities: nothing can be checked, so every https upstream fails. For gateways without any.
    pub fn nobody() -> Result<Self, TlsError> {
        tls::empty_client_config().map(Self)
    }
}

/// A request, ready to go.
#[derive(Debug)]
pub struct Outgoing {
    /// Its method.
    pub method: Method,
    /// Path and query, byte for byte what the decision was about.
    pub target: PathAndQuery,
    /// What [`super::headers::to_upstream`] made.
    pub headers: HeaderMap,
    /// Its body.
    pub body: RequestBody,
}

/// Why there is no answer to pass on.
#[derive(Debug)]
pub enum UpstreamFault {
    /// No connection.
    Unreachable(legacy::Error),
    /// The connection broke, or what came back is not HTTP.
    Broken(legacy::Error),
    /// Nothing came back in time.
    Silent,
    /// The answer is ambiguous, or one that nobody asked for.
    Hostile(&'static str),
    /// The request's own body failed.
    Body(BodyKind),
}

/// What was wrong with a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// It did not come.
    Stalled,
    /// Larger than the route allows.
    TooLarge,
    /// Its framing broke a rule of the wire gate.
    Malformed,
    /// The client went away.
    Gone,
}

impl fmt::Display for UpstreamFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) => write!(f, "no connection: {}", Causes(error)),
            Self::Broken(error) => write!(f, "the connection broke: {}", Causes(error)),
            Self::Silent => f.write_str("no answer in time"),
            Self::Hostile(what) => write!(f, "an answer that cannot be passed on: {what}"),
            Self::Body(kind) => write!(f, "the request body failed: {kind:?}"),
        }
    }
}

/// An error with what it came from; the client library's own text names only the outermost.
struct Causes<'a>(&'a (dyn Error + 'static));

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(error) = next {
            write!(f, ": {error}")?;
            next = error.source();
        }
        Ok(())
    }
}

impl Upstreams {
    /// Pools without connections.
    pub fn new(limits: &Limits, trust: &UpstreamTrust) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(limits.upstream_connect));
        let connector = || HttpsConnectorBuilder::new().with_tls_config(trust.0.clone()).https_or_http();
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(limits.upstream_keep_alive)
            .pool_max_idle_per_host(limits.upstream_idle_connections)
            .http1_max_buf_size(limits.upstream_head_bytes.max(8 * 1024))
            .http2_max_header_list_size(u32::try_from(limits.upstream_head_bytes).unwrap_or(u32::MAX))
            .http2_keep_alive_interval(Some(Duration::from_secs(20)))
            .set_host(false);
        Self {
            http1: builder.build(connector().enable_http1().wrap_connector(tcp.clone())),
            negotiated: builder.build(connector().enable_all_versions().wrap_connector(tcp.clone())),
            http2: builder.clone().http2_only(true).build(connector().enable_http2().wrap_connector(tcp)),
            head: limits.upstream_head,
        }
    }

    /// Sends a request and waits for the head of its answer, which is checked.
    ///
    /// A request that may be repeated (idempotent, without a body) is sent once more if the connection turns out to be closed: an
    /// idle one may close at the moment it is used again (fault row H3). One with a body, or a POST, is never sent twice.
    /// `headers` makes the headers again for that.
    ///
    /// # Errors
    ///
    /// Why there is nothing to pass on.
    pub async fn send(
        &self,
        to: &Upstream,
        request: Outgoing,
        headers: impl FnOnce() -> Option<HeaderMap>,
        is_upgrade: bool,
    ) -> Result<Response<Incoming>, UpstreamFault> {
        let pool = match (is_upgrade || !to.http2, to.scheme == Scheme::HTTPS) {
            (true, _) => &self.http1,
            (false, true) => &self.negotiated,
            (false, false) => &self.http2,
        };
        let again = may_repeat(&request).then(|| (request.method.clone(), request.target.clone()));
        let is_head = request.method == Method::HEAD;
        let mut answer = self.try_send(pool, to, request).await;
        if let (Err(UpstreamFault::Broken(error)), Some((method, target))) = (&answer, again)
            && is_lost_connection(error)
            && let Some(headers) = headers()
        {
            let request = Outgoing { method, target, headers, body: RequestBody::empty() };
            answer = self.try_send(pool, to, request).await;
        }
        let answer = answer?;
        check(&answer, is_upgrade, is_head)?;
        Ok(answer)
    }

    async fn try_send(
        &self,
        pool: &Pool,
        to: &Upstream,
        outgoing: Outgoing,
    ) -> Result<Response<Incoming>, UpstreamFault> {
        let Outgoing { method, target, headers, body } = outgoing;
        let uri =
            Uri::builder().scheme(to.scheme.clone()).authority(to.authority.clone()).path_and_query(target).build();
        let Ok(uri) = uri else { return Err(UpstreamFault::Hostile("the target is not a URI")) };
        let progress = body.progress();
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = headers;
        let answer = std::pin::pin!(pool.request(request));
        match self.in_time(answer, progress).await {
            None => Err(UpstreamFault::Silent),
            Some(Ok(answer)) => Ok(answer),
            Some(Err(error)) => Err(blame(error)),
        }
    }

    /// Waits for the answer's head. The time runs from the last moment the upstream took something of the body, and not at all while
    /// the client has more to send and does not: that is for the body to find fault with.
    async fn in_time<T>(&self, mut answer: impl Future<Output = T> + Unpin, progress: Option<Progress>) -> Option<T> {
        let mut since = Instant::now();
        loop {
            if let Ok(answer) = timeout_at(since + self.head, &mut answer).await {
                return Some(answer);
            }
            since = match &progress {
                Some(progress) if progress.waits_for_source() => Instant::now(),
                Some(progress) if progress.last() > since => progress.last(),
                Some(_) | None => return None,
            };
        }
    }
}

fn may_repeat(request: &Outgoing) -> bool {
    request.body.progress().is_none() && request.method.is_idempotent()
}

fn is_lost_connection(error: &legacy::Error) -> bool {
    let mut next: Option<&(dyn Error + 'static)> = error.source();
    while let Some(error) = next {
        if error
            .downcast_ref::<hyper::Error>()
            .is_some_and(|error| error.is_incomplete_message() || error.is_canceled())
        {
            return true;
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted
            );
        }
        next = error.source();
    }
    false
}

fn blame(error: legacy::Error) -> UpstreamFault {
    match BodyFault::in_error(&error) {
        Some(BodyFault::UploadStalled) => UpstreamFault::Body(BodyKind::Stalled),
        Some(BodyFault::TooLarge) => UpstreamFault::Body(BodyKind::TooLarge),
        Some(fault) if fault.violation().is_some() => UpstreamFault::Body(BodyKind::Malformed),
        Some(_) => UpstreamFault::Body(BodyKind::Gone),
        None if error.is_connect() => UpstreamFault::Unreachable(error),
        None => UpstreamFault::Broken(error),
    }
}

/// Refuses answers that two readers could take differently, or that answer something else (P26, P27, H8).
fn check(answer: &Response<Incoming>, is_upgrade: bool, is_head: bool) -> Result<(), UpstreamFault> {
    let status = answer.status();
    let headers = answer.headers();
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return if is_upgrade {
            Ok(())
        } else {
            Err(UpstreamFault::Hostile("101 to a request that asked for no upgrade"))
        };
    }
    if status.is_informational() || status.as_u16() > 599 {
        return Err(UpstreamFault::Hostile("a status that ends no exchange"));
    }
    let codings: Vec<_> = headers.get_all(header::TRANSFER_ENCODING).iter().collect();
    if !codings.is_empty() {
        if headers.contains_key(header::CONTENT_LENGTH) && !is_head {
            return Err(UpstreamFault::Hostile("Content-Length beside Transfer-Encoding"));
        }
        if codings.len() > 1 || !codings[0].as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err(UpstreamFault::Hostile("a transfer coding other than chunked"));
        }
    }
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    match (lengths.next(), lengths.next()) {
        (Some(length), None) if parse_length(length.as_bytes()).is_none() => {
            return Err(UpstreamFault::Hostile("a Content-Length that is not a plain number"));
        }
        (Some(_), Some(_)) => return Err(UpstreamFault::Hostile("more than one Content-Length")),
        (Some(_), None) | (None, _) => {}
    }
    if !headers.values().all(|value| scan::all(value.as_bytes(), |b| !scan::is_control(b))) {
        return Err(UpstreamFault::Hostile("a control byte in a header"));
    }
    Ok(())
}
