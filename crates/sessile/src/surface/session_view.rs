//! A session as its owner is shown it. Nothing in it is secret.

use serde_json::{Value, json};
use sessile_core::Timestamp;
use sessile_core::session::Session;

use crate::config::EngineConfig;

/// The session object of sign-in, refresh, session and listing.
pub fn session(session: &Session, config: &EngineConfig) -> Value {
    let (client, limits) = (&session.client, &config.limits);
    // A session that began elsewhere is where this deployment keeps it.
    let storage = config.surface_offer().place_of(session.storage).unwrap_or(session.storage);
    json!({
        "id": session.id,
        "subject": session.subject,
        "storage": storage,
        "remember": session.remember,
        "created_at": rfc3339(session.created_at),
        "authenticated_at": rfc3339(session.authenticated_at),
        "last_seen_at": rfc3339(session.last_seen_at),
        // If nothing happens; activity moves it up to the absolute end and no further.
        "expires_at": rfc3339(session.end(limits)),
        "absolute_end": rfc3339(session.absolute_end(limits)),
        "client": {
            "browser": client.browser,
            "platform": client.platform,
            "language": client.language,
            "network": client.network,
        },
    })
}

/// Date and time in UTC to the second (RFC 3339), rounded down: what it says is over is over.
pub fn rfc3339(at: Timestamp) -> String {
    // Days to civil date in the proleptic Gregorian calendar, with years that begin in March. The year is held to
    // four digits, as the format asks.
    let seconds = at.as_secs().min(253_402_300_799);
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The dates around every rule of the calendar. Negative control: neighbours differ.
    #[test]
    fn dates_are_right() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (1_735_689_600, "2025-01-01T00:00:00Z"),
            (2_147_483_648, "2038-01-19T03:14:08Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
            (u64::MAX / 1000, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(Timestamp::from_secs(seconds)), text);
        }
        assert_ne!(rfc3339(Timestamp::from_secs(59)), rfc3339(Timestamp::from_secs(60)));
    }
}
