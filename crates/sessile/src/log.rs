//! One log record for each security event, with the same fields everywhere.

use sessile_core::event::{Event, Level};

/// The tracing target of security events.
pub const TARGET: &str = "sessile::event";

pub(crate) fn event(event: &Event) {
    let subject = event.subject.as_ref().map(tracing::field::display);
    let session = event.session.as_ref().map(tracing::field::display);
    let request = event.request.as_ref().map(|id| tracing::field::display(&id.0));
    let browser = event.client.as_ref().map(|client| tracing::field::display(&client.browser));
    let network = event.client.as_ref().map(|client| tracing::field::display(&client.network));
    macro_rules! emit {
        ($level:ident) => {
            tracing::$level!(
                target: TARGET,
                event = event.name.name(),
                reason = event.reason,
                level = event.name.level().name(),
                at = event.at.as_millis(),
                subject, session, request, browser, network,
            )
        };
    }
    match event.name.level() {
        Level::Info => emit!(info),
        Level::Warn => emit!(warn),
        Level::Critical => emit!(error),
    }
}
