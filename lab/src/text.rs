//! Small things about text: encodings, random names, secrets shown shortened, dates.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// A name that nobody guesses and that needs no escaping anywhere.
pub(crate) fn random() -> String {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system gives randomness to every process");
    base64url(bytes)
}

/// A secret as it may be shown: at most its first twelve characters, never more than half, and how long it is.
pub(crate) fn shortened(secret: &str) -> String {
    let length = secret.chars().count();
    let start: String = secret.chars().take((length / 2).min(12)).collect();
    format!("{start}… ({length} characters)")
}

pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

/// Seconds since 1970 as RFC 3339 writes them.
pub(crate) fn rfc3339(seconds: u64) -> String {
    let (mut day, second) = (seconds / 86_400, seconds % 86_400);
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{:02}Z", day + 1, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Negative control: the second before is another date.
    #[test]
    fn dates_are_right() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(rfc3339(4_107_542_400), "2100-03-01T00:00:00Z");
        assert_eq!(rfc3339(4_107_542_399), "2100-02-28T23:59:59Z");
    }

    /// Negative control: of a short secret, twelve characters would be all.
    #[test]
    fn a_secret_is_never_shown_whole() {
        assert_eq!(shortened("eyJhbGciOiJIUzI1NiJ9.e30.sig"), "eyJhbGciOiJI… (28 characters)");
        assert_eq!(shortened("twelve chars"), "twelve… (12 characters)");
        assert_eq!(shortened(""), "… (0 characters)");
    }
}
