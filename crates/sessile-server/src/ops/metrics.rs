//! `/metrics`: what engine, store and gateway count, in the OpenMetrics text format.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use axum::response::Response;
use http::StatusCode;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::Registry;
use sessile::metrics::Family;
use sessile_core::event::EventName;
use sessile_core::revocation::Restart;

use super::answer::{self, Problem};
use super::{Call, Ops};
use crate::gateway::metrics::UPSTREAM_BOUNDS;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) async fn page(ops: Arc<Ops>, _: Call) -> Result<Response, Problem> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Numbers(ops)));
    let mut body = String::with_capacity(16 * 1024);
    encode(&mut body, &registry).map_err(|_| Problem::Internal)?;
    Ok(answer::text(StatusCode::OK, OPENMETRICS, body))
}

#[derive(Debug)]
struct Numbers(Arc<Ops>);

impl Collector for Numbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(&mut encoder);
        self.engine(&mut page)?;
        self.store(&mut page)?;
        self.gateway(&mut page)?;
        process(&mut page)
    }
}

impl Numbers {
    fn engine(&self, page: &mut Page<'_, '_>) -> fmt::Result {
        let engine = &self.0.engine;
        let metrics = engine.metrics();
        for (name, help, value) in metrics.counters() {
            page.counter(name, help, value)?;
        }
        for family in Family::ALL {
            let (name, label, help) = family.describe();
            let counted = metrics.family(family);
            // A metric that appears only when it first counts cannot be alerted on.
            let known: Vec<&'static str> = match family {
                Family::Events => EventName::ALL.iter().map(|name| name.name()).collect(),
                Family::FeedRestarts => Restart::NAMES.to_vec(),
                Family::SessionsEnded | Family::CsrfRejected | Family::TokenRefused => Vec::new(),
            };
            let is_silent = |name: &&'static str| counted.iter().all(|(counted, _)| counted != name);
            let silent: Vec<_> = known.into_iter().filter(is_silent).map(|name| (name, 0)).collect();
            let all = counted.into_iter().chain(silent);
            page.counters(name, help, all.map(|(value, count)| ([(label, value)], count)))?;
        }
        let readiness = engine.ready();
        let age = readiness.feed_age.map_or(f64::INFINITY, |age| age.as_secs_f64());
        page.gauge(
            "sessile_revocation_view_age_seconds",
            "How long ago this node's view of revocations was complete.",
            age,
        )?;
        page.gauge(
            "sessile_revocation_staleness_bound_seconds",
            "T: past this age of its view the node asks the store about each session.",
            engine.limits().staleness.as_secs_f64(),
        )?;
        page.gauge(
            "sessile_feed_lag_entries",
            "Entries of the revocation feed known of and not yet read, as of the last page.",
            whole(metrics.feed_lag()),
        )?;
        page.gauge(
            "sessile_ready",
            "Whether this node may be sent requests.",
            f64::from(u8::from(readiness.is_ready())),
        )?;
        page.gauge(
            "sessile_streams_open",
            "WebSockets and event streams tied to a session.",
            whole(engine.streams().count()),
        )
    }

    fn store(&self, page: &mut Page<'_, '_>) -> fmt::Result {
        let ops = self.0.engine.vault().ops();
        page.counters(
            "sessile_store_ops_total",
            "Operations asked of the store.",
            ops.iter().map(|(op, count)| ([("op", op)], count)),
        )
    }

    fn gateway(&self, page: &mut Page<'_, '_>) -> fmt::Result {
        let snapshot = self.0.gateway.snapshot();
        for (name, help, value) in &snapshot.counters {
            page.counter(name, help, *value)?;
        }
        for (name, help, value) in &snapshot.gauges {
            page.gauge(name, help, whole(*value))?;
        }
        let requests = snapshot.requests.iter();
        page.counters(
            "sessile_http_requests_total",
            "Requests answered, by the prefix of their route.",
            requests.map(|r| ([("route", r.route.as_str()), ("method", r.method), ("status", r.status)], r.count)),
        )?;
        page.counters(
            "sessile_request_gate_refusals_total",
            "Requests refused as malformed or ambiguous.",
            snapshot.violations.iter().map(|(code, count)| ([("reason", *code)], *count)),
        )?;
        let bounds = UPSTREAM_BOUNDS.into_iter().chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(snapshot.upstream_buckets).collect();
        page.histogram(
            "sessile_upstream_response_seconds",
            "Time to an upstream's response head.",
            snapshot.upstream_seconds,
            &buckets,
        )
    }
}

fn process(page: &mut Page<'_, '_>) -> fmt::Result {
    if let Some(bytes) = resident_memory() {
        page.gauge("process_resident_memory_bytes", "Resident memory.", whole(bytes))?;
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        page.gauge("process_open_fds", "Open file descriptors.", whole(open.count() as u64))?;
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    page.gauge(
        "sessile_clock_seconds",
        "This node's wall clock, to compare nodes with each other.",
        now.as_secs_f64(),
    )?;
    page.info("sessile_build", "What is running.", &[("version", env!("CARGO_PKG_VERSION"))])
}

/// From `/proc/self/status`, which needs no page size; `None` where there is no such file.
fn resident_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

// Counts of what one process holds are far below 2^52.
#[allow(clippy::cast_precision_loss)]
fn whole(number: u64) -> f64 {
    number as f64
}

struct Page<'a, 'b>(&'a mut DescriptorEncoder<'b>);

impl Page<'_, '_> {
    /// Our names carry the suffix that the format adds to counters by itself.
    fn open_counter<'s>(&'s mut self, name: &'s str, help: &'s str) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name.strip_suffix("_total").unwrap_or(name), help.trim(), None, MetricType::Counter)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        ConstCounter::new(value).encode(self.open_counter(name, help)?)
    }

    fn counters<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = ([(&'l str, &'l str); N], u64)>,
    ) -> fmt::Result {
        let mut encoder = self.open_counter(name, help)?;
        for (labels, value) in values {
            ConstCounter::new(value).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let gauge = ConstGauge::new(value);
        gauge.encode(self.0.encode_descriptor(name, help, None, ConstGauge::<f64>::TYPE)?)
    }

    fn histogram(&mut self, name: &str, help: &str, sum: f64, buckets: &[(f64, u64)]) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        let count = buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(sum, count, buckets, None)
    }

    fn info(&mut self, name: &str, help: &str, labels: &[(&'static str, &'static str)]) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Info)?.encode_info(&labels.to_vec())
    }
}
