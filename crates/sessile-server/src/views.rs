//! What the admin API and the command line show of sessions, keys and events: one shape for both.

use serde_json::{Value, json};
/// A session as its owner is shown it, and a moment in UTC to the second.
pub use sessile::surface::session_view::{rfc3339, session};
use sessile_core::event::EventName;
use sessile_core::token::KeyStatus;
use sessile_store::{StoredEvent, TokenRow};

use crate::log::timestamp;

/// A row of storage `database`. It holds nothing that could be presented.
pub fn token(row: &TokenRow) -> Value {
    json!({
        "id": row.id.to_string(),
        "session": row.session,
        "subject": row.subject,
        "issued_at": rfc3339(row.issued_at),
        "expires_at": rfc3339(row.expires_at),
        "last_used_at": row.last_used_at.map(rfc3339),
    })
}

/// A signing key. Its private half is not even reachable from here.
pub fn key(key: &KeyStatus) -> Value {
    json!({
        "id": key.id,
        "algorithm": key.algorithm.name(),
        "state": key.state.name(),
        "created_at": rfc3339(key.created_at),
        "active_from": rfc3339(key.active_from),
        "retires_at": key.retires_at.map(rfc3339),
        "revoked_at": key.revoked_at.map(rfc3339),
    })
}

/// A security event, with the names the log uses.
pub fn event(event: &StoredEvent) -> Value {
    let level = EventName::ALL.iter().find(|name| name.name() == event.name).map(|name| name.level().name());
    json!({
        "seq": event.seq,
        "time": timestamp(event.at.as_millis()),
        "level": level,
        "event": event.name,
        "reason": event.reason,
        "subject": event.subject,
        "session": event.session,
        "request": event.request,
        "client": event.client,
    })
}
