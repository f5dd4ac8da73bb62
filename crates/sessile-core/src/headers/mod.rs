//! Security headers: what Sessile's own pages send, and what it adds to the application's.
//!
//! [`Policy::apply`] reads the upstream's fields and answers with edits; it changes nothing itself. An upstream
//! content security policy is never weakened or removed: ours becomes a second one, and browsers
//! enforce both.

mod cache;
mod csp;
mod rules;

use alloc::{borrow::Cow, format, string::String, vec::Vec};
use core::time::Duration;

pub use cache::{SessionUse, merge_vary};
pub use csp::Csp;
pub use rules::{VERSION_REVEALING, is_decisive};

use crate::crypto::{Entropy, EntropyFailure, random};
use crate::encoding::base64url;
use crate::fault::ConfigFault;

/// A request field that must come at most once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Field<'a> {
    /// It did not come.
    #[default]
    Absent,
    /// It came once, with this value.
    One(&'a [u8]),
    /// It came more than once.
    Several,
}

impl<'a> Field<'a> {
    /// From all values of the field.
    pub fn of(mut values: impl Iterator<Item = &'a [u8]>) -> Self {
        match (values.next(), values.next()) {
            (None, _) => Self::Absent,
            (Some(value), None) => Self::One(value),
            (Some(_), Some(_)) => Self::Several,
        }
    }

    /// The value, if it came once.
    pub fn one(self) -> Option<&'a [u8]> {
        match self {
            Self::One(value) => Some(value),
            Self::Absent | Self::Several => None,
        }
    }

    pub(crate) fn at_most_one(self) -> Result<Option<&'a [u8]>, Repeated> {
        match self {
            Self::Absent => Ok(None),
            Self::One(value) => Ok(Some(value)),
            Self::Several => Err(Repeated),
        }
    }
}

/// A field that must come at most once came more often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repeated;

/// What to do with one response header. Names are lower-case; values are the policy's own where they can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderEdit<'p> {
    /// Replace every field of this name by one.
    Set(&'static str, Cow<'p, str>),
    /// Add a field beside those already there.
    Append(&'static str, Cow<'p, str>),
    /// Remove every field of this name.
    Remove(&'static str),
}

impl HeaderEdit<'_> {
    /// The header's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Set(name, _) | Self::Append(name, _) | Self::Remove(name) => name,
        }
    }
}

/// How our value of a header and the upstream's meet (C11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Ours replaces the upstream's. For a content security policy: ours is added, the upstream's stays.
    Override,
    /// Ours is added where the upstream is silent. For a content security policy this holds for each directive.
    AddIfMissing,
    /// The stricter of the two; where they cannot be compared, ours. For a content security policy: both.
    KeepStricter,
    /// The upstream's stays as it is, or absent.
    Off,
}

/// One header: its value and its rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Managed {
    /// How it meets the upstream's.
    pub rule: Rule,
    /// The value we would send.
    pub value: String,
}

impl Managed {
    /// `value` under `rule`.
    pub fn new(rule: Rule, value: impl Into<String>) -> Self {
        Self { rule, value: value.into() }
    }

    /// Not ours to send.
    pub fn off() -> Self {
        Self { rule: Rule::Off, value: String::new() }
    }
}

/// `Strict-Transport-Security` (RFC 6797; R-086).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hsts {
    /// How it meets the upstream's.
    pub rule: Rule,
    /// How long browsers remember; at least a year.
    pub max_age: Duration,
    /// Whether every host below this one is meant too. On by default; switch it off if some are plain http (C20).
    pub include_sub_domains: bool,
    /// Whether the domain asks to be built into browsers. Hard to undo.
    pub preload: bool,
}

impl Hsts {
    const YEAR: Duration = Duration::from_secs(31_536_000);

    /// The field's value.
    pub fn value(&self) -> String {
        let sub_domains = if self.include_sub_domains { "; includeSubDomains" } else { "" };
        let preload = if self.preload { "; preload" } else { "" };
        format!("max-age={}{sub_domains}{preload}", self.max_age.as_secs())
    }
}

/// To which responses the headers go that only a document gives a meaning to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To every response: our own pages, and our own JSON beside them.
    Everything,
    /// To documents: what the application serves beside them is left alone.
    Documents,
}

/// The security headers of a kind of response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Where document headers go.
    pub reach: Reach,
    /// `Content-Security-Policy`.
    pub content_security_policy: Csp,
    /// How the content security policy meets the upstream's.
    pub content_security_policy_rule: Rule,
    /// `Strict-Transport-Security`; sent over https only.
    pub strict_transport_security: Hsts,
    /// `X-Frame-Options`; documents.
    pub x_frame_options: Managed,
    /// `X-Content-Type-Options`; every response.
    pub x_content_type_options: Managed,
    /// `Referrer-Policy`; every response.
    pub referrer_policy: Managed,
    /// `Cross-Origin-Opener-Policy`; documents.
    pub cross_origin_opener_policy: Managed,
    /// `Cross-Origin-Resource-Policy`; every response.
    pub cross_origin_resource_policy: Managed,
    /// `Cross-Origin-Embedder-Policy`; documents.
    pub cross_origin_embedder_policy: Managed,
    /// `Permissions-Policy`; documents.
    pub permissions_policy: Managed,
    /// `X-XSS-Protection`; every response. `0`: the filter it controlled is gone from current browsers, and in
    /// old ones `1; mode=block` let an attacker switch off chosen scripts of the page and read across origins
    ///
    pub x_xss_protection: Managed,
    /// Whether fields that reveal products and versions are removed from upstream answers.
    pub hide_versions: bool,
}

/// What a response is, as far as its headers depend on it.
#[derive(Clone, Copy, Debug)]
pub struct HeaderContext<'a> {
    /// Whether the browser sees https, on a host that is not loopback: there, `Strict-Transport-Security` would
    /// lock the developer out of every plain http service on the machine.
    pub https: bool,
    /// The nonce of this response, if Sessile writes its HTML.
    pub nonce: Option<&'a str>,
    /// Whether it is a document: HTML, or something a browser shows as a page. When in doubt, yes.
    pub document: bool,
    /// Whether the answer depends on who is asking.
    pub session: SessionUse,
    /// Request fields the answer depends on, for `Vary`.
    pub vary: &'a [&'static str],
}

/// Features a sign-in page has no use for.
const NO_FEATURES: &str = "accelerometer=(), autoplay=(), camera=(), display-capture=(), encrypted-media=(), fullscreen=(), \
     geolocation=(), gyroscope=(), magnetometer=(), microphone=(), midi=(), payment=(), usb=()";
/// Features that frames of other sites get only if the application says so.
const OWN_FEATURES: &str = "camera=(self), display-capture=(self), geolocation=(self), microphone=(self), midi=(self), payment=(self), usb=(self)";

impl Policy {
    /// Sessile's own pages and answers: A+ in the MDN Observatory.
    pub fn own_pages() -> Self {
        let ours = |value: &str| Managed::new(Rule::Override, value);
        Self {
            reach: Reach::Everything,
            content_security_policy: Csp::own_pages(),
            content_security_policy_rule: Rule::Override,
            strict_transport_security: Hsts {
                rule: Rule::Override,
                max_age: Hsts::YEAR,
                include_sub_domains: true,
                preload: false,
            },
            x_frame_options: ours("DENY"),
            x_content_type_options: ours("nosniff"),
            referrer_policy: ours("no-referrer"),
            cross_origin_opener_policy: ours("same-origin"),
            cross_origin_resource_policy: ours("same-origin"),
            cross_origin_embedder_policy: ours("require-corp"),
            permissions_policy: ours(NO_FEATURES),
            x_xss_protection: ours("0"),
            hide_versions: true,
        }
    }

    /// The application's pages: adds what is missing and breaks nothing an application commonly does. No
    /// `Cross-Origin-Embedder-Policy`, which breaks images of other sites (C10).
    pub fn proxied_default() -> Self {
        let missing = |value: &str| Managed::new(Rule::AddIfMissing, value);
        Self {
            reach: Reach::Documents,
            content_security_policy: Csp::proxied_default(),
            content_security_policy_rule: Rule::AddIfMissing,
            strict_transport_security: Hsts {
                rule: Rule::KeepStricter,
                max_age: Hsts::YEAR,
                include_sub_domains: true,
                preload: false,
            },
            x_frame_options: missing("SAMEORIGIN"),
            x_content_type_options: Managed::new(Rule::Override, "nosniff"),
            referrer_policy: missing("strict-origin-when-cross-origin"),
            cross_origin_opener_policy: missing("same-origin-allow-popups"),
            cross_origin_resource_policy: missing("same-origin"),
            cross_origin_embedder_policy: Managed::off(),
            permissions_policy: missing(OWN_FEATURES),
            x_xss_protection: Managed::new(Rule::Override, "0"),
            hide_versions: true,
        }
    }

    /// Everything wrong with the policy, at once.
    pub fn validate(&self) -> Vec<ConfigFault> {
        rules::validate(self)
    }

    /// The edits that bring a response under this policy. `upstream` are its fields as they are now, names in
    /// lower case: carry out the edits of one module before asking another, or the second `Set` of a list such
    /// as `Vary` loses what the first one merged.
    pub fn apply<'p>(&'p self, context: &HeaderContext<'_>, upstream: &[(&str, &[u8])]) -> Vec<HeaderEdit<'p>> {
        rules::apply(self, context, upstream)
    }
}

/// A fresh nonce for one response: 128 random bits.
pub fn nonce(entropy: &dyn Entropy) -> Result<String, EntropyFailure> {
    random::<16>(entropy).map(|bytes| base64url(&bytes))
}

/// The value of `Clear-Site-Data` on sign-out. Not `"cookies"`: browsers apply that to the whole registrable
/// domain, other hosts included (R-097, C9).
pub const fn clear_site_data() -> &'static str {
    "\"cache\", \"storage\""
}
