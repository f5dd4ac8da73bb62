//! The two cookies: their names and attributes, reading, writing, clearing, and keeping them from the upstream.
//!
//! `__Host-Http-sessile` holds the session token, `__Host-Http-sessile-at` the access token. The prefix makes
//! browsers refuse the name from anything but a `Set-Cookie` of this very host. With a `Path` or a
//! `Domain` the strongest prefix browsers allow is `__Secure-`, and the names change with it, so that a cookie
//! of one configuration is never read under another.
//!
//! Reading is byte-exact and never decodes ([`parse`]); removing is generous, because an upstream may fold
//! case or trim where we do not ([`strip`], [`upstream_may_set`]).

mod config;
mod guard;
mod issue;
mod parse;

pub use config::{CookieConfig, SameSite};
pub use guard::{Screened, is_reserved, screen, strip, upstream_may_set};
pub use issue::{MAX_LIFETIME, MAX_OCTETS, SetCookie, TooLarge, clear, clear_unused, issue_access, issue_session};
pub use parse::{CookieProblem, Load, MAX_HEADER_OCTETS, MAX_PAIRS, Presented, parse, weigh};

/// Every name we may ever own, whatever the configuration.
///
/// What is reserved is more than these (see [`is_reserved`]).
pub const fn own_names() -> [&'static str; 4] {
    [config::HOST.session, config::HOST.access, config::SECURE.session, config::SECURE.access]
}
