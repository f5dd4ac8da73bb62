//! Whether the process lives, and whether it should be sent requests.

use std::sync::Arc;

use axum::response::Response;
use http::StatusCode;
use sessile_core::revocation::Phase;

use super::answer::{self, Problem};
use super::{Call, Ops};

const TEXT: &str = "text/plain; charset=utf-8";

/// The process answers, so it lives. Says nothing of the store: restarting would not mend that.
pub(super) async fn live(_: Arc<Ops>, _: Call) -> Result<Response, Problem> {
    Ok(answer::text(StatusCode::OK, TEXT, "ok\n".to_owned()))
}

/// Whether requests can be answered now: the store was heard from within the staleness bound, there is a key to
/// sign with, its sessions are in this store, and the process is not on its way out.
pub(super) async fn ready(ops: Arc<Ops>, call: Call) -> Result<Response, Problem> {
    let readiness = ops.engine.ready();
    let age = readiness.feed_age.map_or_else(|| "never".to_owned(), |age| format!("{} ms ago", age.as_millis()));
    let checks = [
        ("store", readiness.feed_fresh, format!("heard from {age}")),
        ("sessions", readiness.phase.answers(), sessions_are(readiness.phase).to_owned()),
        ("keys", readiness.keys, if readiness.keys { "loaded" } else { "none loaded" }.to_owned()),
        ("serving", !ops.drain.is_stopping(), if ops.drain.is_stopping() { "stopping" } else { "yes" }.to_owned()),
    ];
    let good = checks.iter().all(|(_, good, _)| *good);
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut body = String::new();
    if call.query.get("verbose").is_some() {
        for (name, good, detail) in &checks {
            let sign = if *good { '+' } else { '-' };
            body.push_str(&format!("[{sign}] {name}: {detail}\n"));
        }
    }
    body.push_str(if good { "ready\n" } else { "not ready\n" });
    Ok(answer::text(status, TEXT, body))
}

const fn sessions_are(phase: Phase) -> &'static str {
    match phase {
        Phase::Serving => "here",
        Phase::Filling => "still being moved into this store",
        Phase::Moving => "being moved to another store; nothing changes meanwhile",
        Phase::Moved => "moved to another store",
    }
}
