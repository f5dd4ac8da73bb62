//! `POST /auth/csp-report`: what browsers say about violated content security policies.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::Response;
use http::header::CONTENT_TYPE;
use serde_json::Value;
use sessile_core::Monotonic;
use sessile_core::event::{Event, EventName};
use sessile_core::json::{self, Caps};

use super::input;
use crate::arrival::Arrival;
use crate::engine::Engine;
use crate::respond::{self, Problem};

/// Lets so many reports through and one more each second: anybody can send them.
#[derive(Debug)]
pub(crate) struct ReportGate(Mutex<Bucket>);

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: u64,
    filled_at: Monotonic,
}

const AT_ONCE: u64 = 20;
const MAX_REPORT: usize = 16 * 1024;

impl Default for ReportGate {
    fn default() -> Self {
        Self(Mutex::new(Bucket { left: AT_ONCE, filled_at: Monotonic::default() }))
    }
}

impl ReportGate {
    fn admits(&self, now: Monotonic) -> bool {
        let mut bucket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = now.since(bucket.filled_at).as_secs();
        if seconds > 0 {
            bucket.left = bucket.left.saturating_add(seconds).min(AT_ONCE);
            bucket.filled_at = now;
        }
        let admitted = bucket.left > 0;
        bucket.left = bucket.left.saturating_sub(1);
        admitted
    }
}

/// Takes a report. The answer is the same whether it was kept or not.
pub(super) fn csp(engine: &Engine, arrival: &Arrival<'_>, body: &[u8]) -> Response<Bytes> {
    let kind = arrival.parts().headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).and_then(input::essence);
    let readable =
        matches!(kind.as_deref(), Some("application/csp-report" | "application/reports+json" | "application/json"));
    if !readable {
        return engine.problem(arrival, &Problem::UnsupportedMediaType);
    }
    if body.len() > MAX_REPORT {
        return engine.problem(arrival, &Problem::PayloadTooLarge);
    }
    if engine.0.report_gate.admits(engine.now().mono) {
        let report = json::parse(body, Caps { bytes: MAX_REPORT, depth: 8 }).unwrap_or(Value::Null);
        for directive in directives(&report) {
            engine.record(
                Event::new(EventName::CspReport, directive, engine.now().wall)
                    .client(arrival.client().clone())
                    .request(arrival.request_id()),
            );
        }
    }
    respond::no_content(engine)
}

/// The violated directives of a report, or of the first few in a batch, in either of the two formats.
fn directives(report: &Value) -> Vec<&'static str> {
    const MOST: usize = 10;
    let of = |report: &Value, keys: [&str; 2]| {
        let text = keys.iter().find_map(|key| report.get(*key).and_then(Value::as_str))?;
        Some(known_directive(text.split(' ').next().unwrap_or(text)))
    };
    match report {
        Value::Array(batch) => batch
            .iter()
            .filter(|entry| entry.get("type").and_then(Value::as_str) == Some("csp-violation"))
            .filter_map(|entry| of(entry.get("body")?, ["effectiveDirective", "violatedDirective"]))
            .take(MOST)
            .collect(),
        Value::Object(_) => {
            let one = report.get("csp-report").and_then(|body| of(body, ["effective-directive", "violated-directive"]));
            one.into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// The directive by a name of our own: what a client writes does not reach the log.
fn known_directive(name: &str) -> &'static str {
    const KNOWN: [&str; 23] = [
        "base-uri",
        "child-src",
        "connect-src",
        "default-src",
        "font-src",
        "form-action",
        "frame-ancestors",
        "frame-src",
        "img-src",
        "manifest-src",
        "media-src",
        "object-src",
        "require-trusted-types-for",
        "sandbox",
        "script-src",
        "script-src-attr",
        "script-src-elem",
        "style-src",
        "style-src-attr",
        "style-src-elem",
        "trusted-types",
        "upgrade-insecure-requests",
        "worker-src",
    ];
    KNOWN.into_iter().find(|known| *known == name).unwrap_or("other_directive")
}
