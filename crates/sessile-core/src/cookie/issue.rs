//! Writing `Set-Cookie`, in the strict server grammar (RFC 6265bis section 4.1.1; R-009).

use alloc::{format, string::String, vec::Vec};
use core::fmt;
use core::time::Duration;

use super::CookieConfig;
use crate::SecretText;
use crate::rotation::{SessionToken, Stored};
use crate::storage::{AccessTokenPlace, Storage};
use crate::token::VerifiedToken;

/// Longest lifetime browsers honour: 400 days (RFC 6265bis section 5.5; R-008).
pub const MAX_LIFETIME: Duration = Duration::from_secs(34_560_000);
/// Most octets of name and value together; browsers drop a larger cookie without a word.
pub const MAX_OCTETS: usize = 4096;

/// The value of one `Set-Cookie` field. Holds a secret: `Debug` shows the cookie's name alone.
#[derive(Clone)]
pub struct SetCookie {
    name: &'static str,
    field: SecretText,
}

impl SetCookie {
    /// The field's value.
    pub fn as_str(&self) -> &str {
        self.field.expose()
    }

    /// The cookie's name.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

impl fmt::Debug for SetCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SetCookie({}=..)", self.name)
    }
}

/// The cookie would be larger than browsers keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge {
    /// Octets of name and value.
    pub octets: usize,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the access token's cookie would take {} octets and browsers drop more than {MAX_OCTETS}; \
             put fewer or shorter claims into the token, or use storage = \"server-session\"",
            self.octets
        )
    }
}
impl core::error::Error for TooLarge {}

/// The session token's cookie. `lifetime` is what is left of the session if the user asked to be remembered
/// (never past its absolute end: the caller knows it), else `None`: the cookie ends with the browser.
pub fn issue_session(config: &CookieConfig, token: &Stored<SessionToken>, lifetime: Option<Duration>) -> SetCookie {
    // 22 + 19 + 43 characters and two dots: always far below the cap.
    write(config, config.session_name(), token.get().to_text().expose(), lifetime)
}

/// The access token's cookie. A [`VerifiedToken`] is only ever made by minting or verifying, never from a
/// request's text alone.
pub fn issue_access(
    config: &CookieConfig,
    token: &VerifiedToken,
    lifetime: Option<Duration>,
) -> Result<SetCookie, TooLarge> {
    let name = config.access_name();
    let value = token.compact().expose();
    let octets = name.len() + value.len();
    if octets > MAX_OCTETS {
        return Err(TooLarge { octets });
    }
    Ok(write(config, name, value, lifetime))
}

/// Expires both cookies, with the attributes they were set with.
pub fn clear(config: &CookieConfig) -> Vec<SetCookie> {
    [config.session_name(), config.access_name()].into_iter().map(|name| expire(config, name)).collect()
}

/// Expires the cookies that `storage` does not use: beside a new session's, one of another storage would be a second
/// session in one request.
pub fn clear_unused(config: &CookieConfig, storage: Storage) -> Vec<SetCookie> {
    let shape = storage.shape();
    let unused = [
        (config.session_name(), !shape.session_token),
        (config.access_name(), shape.access_token != AccessTokenPlace::Cookie),
    ];
    unused.into_iter().filter(|(_, unused)| *unused).map(|(name, _)| expire(config, name)).collect()
}

fn expire(config: &CookieConfig, name: &'static str) -> SetCookie {
    write(config, name, "", Some(Duration::ZERO))
}

fn write(config: &CookieConfig, name: &'static str, value: &str, lifetime: Option<Duration>) -> SetCookie {
    let domain = config.domain.as_ref().map(|domain| format!("; Domain={domain}")).unwrap_or_default();
    let max_age = lifetime.map(|left| format!("; Max-Age={}", left.min(MAX_LIFETIME).as_secs())).unwrap_or_default();
    let partitioned = if config.embed { "; Partitioned" } else { "" };
    let mut field = String::with_capacity(name.len() + value.len() + 128);
    for part in [
        name,
        "=",
        value,
        "; Path=",
        &config.path,
        &domain,
        "; Secure; HttpOnly; SameSite=",
        config.same_site.name(),
        &max_age,
        partitioned,
    ] {
        field.push_str(part);
    }
    SetCookie { name, field: SecretText::new(field) }
}
