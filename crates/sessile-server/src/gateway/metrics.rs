//! Counters of the gateway. Labels come from the configuration and from code, never from a request.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Method, StatusCode};

/// What the gateway has done so far.
#[derive(Debug)]
pub struct GatewayMetrics {
    /// By route, method and status class; the last two routes are the surface and "no route".
    requests: Vec<AtomicU64>,
    routes: Vec<String>,
    upstream: Histogram,
    /// Connections accepted.
    pub connections_accepted: AtomicU64,
    /// Connections turned away because their network had too many.
    pub connections_refused: AtomicU64,
    /// Connections open now.
    pub connections_open: Gauge,
    /// TLS handshakes that did not succeed.
    pub tls_failures: AtomicU64,
    /// Times accepting failed because the process or the system had no descriptors left.
    pub accept_exhausted: AtomicU64,
    /// Requests under way.
    pub requests_open: Gauge,
    /// WebSockets open now.
    pub tunnels_open: Gauge,
    /// Upstream requests that brought no answer to pass on.
    pub upstream_failures: AtomicU64,
    /// Requests whose handler panicked.
    pub panics: AtomicU64,
    violations: Mutex<BTreeMap<&'static str, u64>>,
}

/// A number that goes up and down.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicU64>);

/// Counts itself in a [`Gauge`] for as long as it lives.
#[derive(Debug)]
pub struct Counted(Arc<AtomicU64>);

impl Gauge {
    /// One more.
    pub fn count(&self) -> Counted {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(self.0.clone())
    }

    /// How many there are.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where a request went, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// To the route of this number.
    Route(usize),
    /// To the surface.
    Surface,
    /// Nowhere: it was refused before it had a route.
    Nowhere,
}

const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Upper bounds of the upstream histogram, in seconds.
pub const UPSTREAM_BOUNDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// A histogram with fixed bounds.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; UPSTREAM_BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Histogram {
    fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = UPSTREAM_BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(UPSTREAM_BOUNDS.len());
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// Numbers at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Answered requests. Combinations that never occurred are left out.
    pub requests: Vec<RequestCount>,
    /// Upstream answers per bucket of [`UPSTREAM_BOUNDS`] and beyond; not cumulative.
    pub upstream_buckets: [u64; UPSTREAM_BOUNDS.len() + 1],
    /// Seconds spent waiting for upstream response heads, in all.
    pub upstream_seconds: f64,
    /// Refusals of the request gate by code.
    pub violations: Vec<(&'static str, u64)>,
    /// Name, help and value of the plain counters.
    pub counters: Vec<(&'static str, &'static str, u64)>,
    /// Name, help and value of the plain gauges.
    pub gauges: Vec<(&'static str, &'static str, u64)>,
}

/// How many requests were answered so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestCount {
    /// Prefix of the route, `surface`, or `none`.
    pub route: String,
    /// Method, or `other`.
    pub method: &'static str,
    /// Class of the status, such as `2xx`.
    pub status: &'static str,
    /// How many.
    pub count: u64,
}

impl GatewayMetrics {
    /// Counters at zero, for routes with these prefixes.
    pub fn new(routes: Vec<String>) -> Self {
        let cells = (routes.len() + 2) * METHODS.len() * CLASSES.len();
        Self {
            requests: std::iter::repeat_with(AtomicU64::default).take(cells).collect(),
            routes,
            upstream: Histogram::default(),
            connections_accepted: AtomicU64::default(),
            connections_refused: AtomicU64::default(),
            connections_open: Gauge::default(),
            tls_failures: AtomicU64::default(),
            accept_exhausted: AtomicU64::default(),
            requests_open: Gauge::default(),
            tunnels_open: Gauge::default(),
            upstream_failures: AtomicU64::default(),
            panics: AtomicU64::default(),
            violations: Mutex::default(),
        }
    }

    pub(super) fn answered(&self, place: Place, method: &Method, status: StatusCode) {
        let route = match place {
            Place::Route(index) => index,
            Place::Surface => self.routes.len(),
            Place::Nowhere => self.routes.len() + 1,
        };
        let method = METHODS.iter().position(|known| *known == method.as_str()).unwrap_or(METHODS.len() - 1);
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        if let Some(cell) = self.requests.get((route * METHODS.len() + method) * CLASSES.len() + class) {
            cell.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn upstream_answered(&self, took: Duration) {
        self.upstream.observe(took);
    }

    pub(super) fn violation(&self, code: &'static str) {
        let mut violations = self.violations.lock().unwrap_or_else(PoisonError::into_inner);
        *violations.entry(code).or_default() += 1;
    }

    /// Everything, now.
    pub fn snapshot(&self) -> Snapshot {
        let mut requests = Vec::new();
        for (at, cell) in self.requests.iter().enumerate() {
            let count = cell.load(Ordering::Relaxed);
            if count == 0 {
                continue;
            }
            let (rest, class) = (at / CLASSES.len(), at % CLASSES.len());
            let (route, method) = (rest / METHODS.len(), rest % METHODS.len());
            let route = match self.routes.get(route) {
                Some(prefix) => prefix.clone(),
                None if route == self.routes.len() => "surface".to_owned(),
                None => "none".to_owned(),
            };
            requests.push(RequestCount { route, method: METHODS[method], status: CLASSES[class], count });
        }
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let violations = self.violations.lock().unwrap_or_else(PoisonError::into_inner);
        Snapshot {
            requests,
            upstream_buckets: std::array::from_fn(|at| value(&self.upstream.buckets[at])),
            upstream_seconds: Duration::from_micros(value(&self.upstream.micros)).as_secs_f64(),
            violations: violations.iter().map(|(code, count)| (*code, *count)).collect(),
            counters: vec![
                (
                    "sessile_connections_accepted_total",
                    "Client connections accepted.",
                    value(&self.connections_accepted),
                ),
                (
                    "sessile_connections_refused_total",
                    "Client connections turned away because their network had too many.",
                    value(&self.connections_refused),
                ),
                (
                    "sessile_tls_handshake_failures_total",
                    "TLS handshakes that did not succeed.",
                    value(&self.tls_failures),
                ),
                (
                    "sessile_accept_exhausted_total",
                    "Times accepting failed for want of file descriptors or memory.",
                    value(&self.accept_exhausted),
                ),
                (
                    "sessile_upstream_failures_total",
                    "Upstream requests that brought no answer to pass on.",
                    value(&self.upstream_failures),
                ),
                ("sessile_panics_total", "Requests whose handler panicked.", value(&self.panics)),
            ],
            gauges: vec![
                ("sessile_connections_open", "Client connections open.", self.connections_open.value()),
                ("sessile_requests_open", "Requests under way.", self.requests_open.value()),
                ("sessile_tunnels_open", "WebSockets open.", self.tunnels_open.value()),
            ],
        }
    }
}
