//! Is this request the user's own doing, or did another site's page cause it?
//!
//! [`check`] decides, in the order of product.md section 5: Fetch Metadata, else `Origin`, else `Referer`, else a
//! signed token, else the shape of a request that no page can send. `SameSite` is not relied on: a redirect
//! chain defeats it in Chromium. CORS plays no part either: a foreign page's simple request is stopped
//! here, whether or not its answer could be read.
//!
//! What this module does not see, and its caller must hold: safe methods change no state and method-override
//! headers or fields are removed; own origins come from the configuration, never from `Host`;
//! a token is taken from a header or a form field, never from a cookie.

mod token;

use alloc::{format, vec::Vec};

pub use crate::headers::Field;
pub use token::{CsrfBinding, SIGN_IN_WINDOW, TOKEN_CHARS, issue_token};

use crate::crypto::Crypto;
use crate::fault::ConfigFault;
use crate::origin::Origin;

/// What is done with a refusal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CsrfMode {
    /// The request is refused.
    #[default]
    Enforce,
    /// The request passes and the refusal is an event: for rolling the policy out. The caller does
    /// both; [`check`] answers as under `Enforce`.
    Report,
    /// Nothing is checked.
    DangerOff,
}

/// The `[csrf]` section, with the origins that are ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsrfConfig {
    /// What is done with a refusal.
    pub mode: CsrfMode,
    /// The origins the site is served under, from the configuration.
    pub own_origins: Vec<Origin>,
    /// Other origins whose pages may act for the user: those of the same site only, since `cross-site` fails
    /// before any list is read.
    pub trusted_origins: Vec<Origin>,
}

impl CsrfConfig {
    /// Everything wrong with this section, at once.
    pub fn validate(&self) -> Vec<ConfigFault> {
        let mut faults = Vec::new();
        match self.mode {
            CsrfMode::Enforce => {}
            CsrfMode::Report => faults.push(ConfigFault::warn(
                "csrf.mode",
                "\"report\" lets forged requests pass and only writes an event for each",
                "read the malicious_csrf events, then set csrf.mode = \"enforce\"",
            )),
            CsrfMode::DangerOff => faults.push(ConfigFault::warn(
                "csrf.mode",
                "nothing is checked: every site can act in the name of your signed-in users",
                "set csrf.mode = \"enforce\"",
            )),
        }
        if self.own_origins.is_empty() {
            faults.push(ConfigFault::stop(
                "server.public_url",
                "no origin is known as our own, so every change would be refused",
                "set server.public_url to the address users see",
            ));
        }
        // The plain twin of an https origin belongs to whoever sits on the network (I1 in faults.md).
        if self.own_origins.iter().any(Origin::is_https) {
            for origin in self.trusted_origins.iter().filter(|origin| !origin.is_https() && !origin.is_loopback()) {
                faults.push(ConfigFault::stop(
                    "csrf.trusted_origins",
                    format!("{origin} is plain http: anybody on the network can be that origin"),
                    "serve it over https, or take it out of the list",
                ));
            }
        }
        faults
    }

    fn standing(&self, origin: &[u8]) -> Standing {
        if self.own_origins.iter().any(|own| own.matches(origin)) {
            Standing::Own
        } else if self.trusted_origins.iter().any(|trusted| trusted.matches(origin)) {
            Standing::Trusted
        } else {
            Standing::Foreign
        }
    }
}

enum Standing {
    Own,
    Trusted,
    Foreign,
}

/// What the decision looks at.
#[derive(Clone, Copy, Debug)]
pub struct CsrfFacts<'a> {
    /// The request's method, as sent: methods are case-sensitive (RFC 9110 section 9.1).
    pub method: &'a str,
    /// Whether the request asks to leave HTTP (`Upgrade`), as WebSocket does.
    pub upgrade: bool,
    /// `Sec-Fetch-Site`.
    pub sec_fetch_site: Field<'a>,
    /// `Origin`.
    pub origin: Field<'a>,
    /// `Referer`.
    pub referer: Field<'a>,
    /// `Content-Type`.
    pub content_type: Field<'a>,
    /// Whether a field is there that makes a browser ask first (see [`is_script_header`]).
    pub has_preflight_header: bool,
    /// Whether a bearer token is the credential that authenticates this request. The caller then ignores the
    /// cookies; a request judged by its cookies is not a bearer request.
    pub bearer: bool,
    /// Whether anything came under one of our cookie names.
    pub our_cookies: bool,
    /// The CSRF token, from the header `x-csrf-token` or the form field of that purpose.
    pub token: Option<&'a str>,
}

impl<'a> CsrfFacts<'a> {
    /// A bare request by `method`; set the fields that are there.
    pub fn of(method: &'a str) -> Self {
        Self {
            method,
            upgrade: false,
            sec_fetch_site: Field::Absent,
            origin: Field::Absent,
            referer: Field::Absent,
            content_type: Field::Absent,
            has_preflight_header: false,
            bearer: false,
            our_cookies: false,
            token: None,
        }
    }

    /// The same request as an attempt to sign in: judged as if it carried our cookies.
    ///
    /// What is forged in login CSRF is the sign-in itself, so the absence of a session excuses nothing: every
    /// sign-in brings Fetch Metadata, an `Origin`, a `Referer` or a token, a native client's too.
    #[must_use]
    pub fn sign_in(self) -> Self {
        Self { our_cookies: true, ..self }
    }
}

/// The decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CsrfVerdict {
    /// Not a forgery.
    Pass(PassReason),
    /// Perhaps a forgery.
    Refuse(CsrfRefusal),
}

impl CsrfVerdict {
    /// Stable code of the branch that decided.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Pass(reason) => reason.code(),
            Self::Refuse(refusal) => refusal.code(),
        }
    }
}

/// Why a request is not a forgery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassReason {
    /// `GET`, `HEAD` or `OPTIONS` without an upgrade: changes nothing.
    SafeMethod,
    /// Authenticated by a bearer token, which no browser adds by itself.
    Bearer,
    /// `Sec-Fetch-Site: same-origin`.
    SameOrigin,
    /// `Sec-Fetch-Site: same-site` from an origin that is configured.
    TrustedSameSite,
    /// `Origin` is ours.
    OwnOrigin,
    /// `Origin` is one of the trusted ones.
    TrustedOrigin,
    /// No `Origin`, and `Referer` lies under an origin of ours or a trusted one.
    Referer,
    /// A token of this session and client.
    Token,
    /// No cookie of ours, no trace of a browser, and a shape no page can send unasked: a native client.
    NativeClient,
    /// Checking is switched off.
    DangerOff,
}

impl PassReason {
    /// Stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::SafeMethod => "csrf_safe_method",
            Self::Bearer => "csrf_bearer",
            Self::SameOrigin => "csrf_same_origin",
            Self::TrustedSameSite => "csrf_trusted_same_site",
            Self::OwnOrigin => "csrf_own_origin",
            Self::TrustedOrigin => "csrf_trusted_origin",
            Self::Referer => "csrf_referer",
            Self::Token => "csrf_token",
            Self::NativeClient => "csrf_native_client",
            Self::DangerOff => "csrf_danger_off",
        }
    }
}

/// Why a request may be a forgery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CsrfRefusal {
    /// `Sec-Fetch-Site`, `Origin` or `Referer` came more than once: no browser does that.
    DuplicateField,
    /// `Sec-Fetch-Site: cross-site`.
    CrossSite,
    /// `Sec-Fetch-Site: same-site` from an origin that is not configured.
    SameSiteUntrusted,
    /// `Origin: null`: a sandboxed frame, a redirect chain, a local file.
    NullOrigin,
    /// `Origin` is neither ours nor trusted.
    ForeignOrigin,
    /// No `Origin`, and `Referer` lies under no origin that is configured.
    ForeignReferer,
    /// An upgrade with our cookies that says nothing of where it comes from.
    UpgradeUnproven,
    /// The token is not of this session, client and key, or is over.
    BadToken,
    /// Nothing proves anything.
    NoProof,
}

impl CsrfRefusal {
    /// Stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::DuplicateField => "csrf_duplicate_field",
            Self::CrossSite => "csrf_cross_site",
            Self::SameSiteUntrusted => "csrf_same_site_untrusted",
            Self::NullOrigin => "csrf_null_origin",
            Self::ForeignOrigin => "csrf_foreign_origin",
            Self::ForeignReferer => "csrf_foreign_referer",
            Self::UpgradeUnproven => "csrf_upgrade_unproven",
            Self::BadToken => "csrf_bad_token",
            Self::NoProof => "csrf_no_proof",
        }
    }
}

/// What `Sec-Fetch-Site` says of the page that caused the request. A value that browsers do not send counts as
/// absent: then `Origin` decides, so that a future value neither locks users out nor lets anybody in.
enum Initiator {
    Own,
    Sibling,
    Foreign,
    Unsaid,
}

impl Initiator {
    fn read(sec_fetch_site: Option<&[u8]>) -> Self {
        match sec_fetch_site {
            Some(b"same-origin") => Self::Own,
            Some(b"same-site") => Self::Sibling,
            Some(b"cross-site") => Self::Foreign,
            // `none`: typed, bookmarked, or redirected to from such a page. Proves nothing for a change.
            _ => Self::Unsaid,
        }
    }
}

/// Decides whether a request may be a forgery.
///
/// A wrong `Pass` lets another site act as the user; a wrong `Refuse` costs the user a click. For a sign-in, hand
/// in [`CsrfFacts::sign_in`]. `binding` says for whom a token would have been issued; without it no token
/// counts.
pub fn check(
    config: &CsrfConfig,
    facts: &CsrfFacts<'_>,
    binding: Option<&CsrfBinding<'_>>,
    crypto: &dyn Crypto,
) -> CsrfVerdict {
    use CsrfVerdict::{Pass, Refuse};

    match config.mode {
        CsrfMode::Enforce | CsrfMode::Report => {}
        CsrfMode::DangerOff => return Pass(PassReason::DangerOff),
    }
    if matches!(facts.method, "GET" | "HEAD" | "OPTIONS") && !facts.upgrade {
        return Pass(PassReason::SafeMethod);
    }
    if facts.bearer {
        return Pass(PassReason::Bearer);
    }
    let (Ok(site), Ok(origin), Ok(referer)) =
        (facts.sec_fetch_site.at_most_one(), facts.origin.at_most_one(), facts.referer.at_most_one())
    else {
        return Refuse(CsrfRefusal::DuplicateField);
    };

    // Pages under `Referrer-Policy: no-referrer` post to their own origin with `Origin: null`, so what Fetch
    // Metadata says stands before what Origin says.
    match Initiator::read(site) {
        Initiator::Own => return Pass(PassReason::SameOrigin),
        Initiator::Foreign => return Refuse(CsrfRefusal::CrossSite),
        Initiator::Sibling => {
            return match origin.map(|origin| config.standing(origin)) {
                Some(Standing::Own | Standing::Trusted) => Pass(PassReason::TrustedSameSite),
                Some(Standing::Foreign) | None => Refuse(CsrfRefusal::SameSiteUntrusted),
            };
        }
        Initiator::Unsaid => {}
    }

    if let Some(origin) = origin {
        return match config.standing(origin) {
            Standing::Own => Pass(PassReason::OwnOrigin),
            Standing::Trusted => Pass(PassReason::TrustedOrigin),
            Standing::Foreign if origin == b"null" => Refuse(CsrfRefusal::NullOrigin),
            Standing::Foreign => Refuse(CsrfRefusal::ForeignOrigin),
        };
    }

    if facts.upgrade {
        // Every browser sends Origin with a WebSocket handshake; a page cannot add a token to one.
        return if facts.our_cookies || site.is_some() {
            Refuse(CsrfRefusal::UpgradeUnproven)
        } else {
            Pass(PassReason::NativeClient)
        };
    }

    if let Some(referer) = referer {
        return match origin_of(referer).map(|origin| config.standing(origin)) {
            Some(Standing::Own | Standing::Trusted) => Pass(PassReason::Referer),
            Some(Standing::Foreign) | None => Refuse(CsrfRefusal::ForeignReferer),
        };
    }

    match (facts.token, binding) {
        (Some(token), Some(binding)) if binding.accepts(crypto, token) => return Pass(PassReason::Token),
        (Some(_), _) => return Refuse(CsrfRefusal::BadToken),
        (None, _) => {}
    }

    let asks_first = facts.has_preflight_header || forces_preflight(facts.content_type);
    if !facts.our_cookies && site.is_none() && asks_first {
        return Pass(PassReason::NativeClient);
    }
    Refuse(CsrfRefusal::NoProof)
}

/// The origin of a URL, as the bytes before its path. Compared byte for byte afterwards, so a URL spelled
/// otherwise than browsers do is foreign.
fn origin_of(url: &[u8]) -> Option<&[u8]> {
    let start = url.windows(3).position(|part| part == b"://")? + 3;
    let rest = &url[start..];
    let length = rest.iter().position(|b| matches!(b, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    Some(&url[..start + length])
}

/// Whether a browser asks first (CORS preflight) before it sends this content type to another site (Fetch,
/// "CORS-safelisted request-header"). Absent, repeated or unreadable counts as sent unasked (I5 in faults.md).
pub fn forces_preflight(content_type: Field<'_>) -> bool {
    let Field::One(value) = content_type else { return false };
    let essence = value.split(|&b| b == b';').next().unwrap_or_default().trim_ascii();
    let simple: [&[u8]; 3] = [b"application/x-www-form-urlencoded", b"multipart/form-data", b"text/plain"];
    let token = |part: &[u8]| {
        !part.is_empty() && part.iter().all(|&b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
    };
    let mut halves = essence.splitn(2, |&b| b == b'/');
    let readable = halves.next().is_some_and(token) && halves.next().is_some_and(token);
    readable && !simple.iter().any(|simple| essence.eq_ignore_ascii_case(simple))
}

/// Whether a request field, name in lower case, shows that a program set it on purpose: a page of another site
/// cannot send it without asking first.
///
/// A list of names, not "everything unusual": proxies add fields of their own to every request. `Authorization`
/// counts with a scheme that browsers never attach by themselves, as they do `Basic` and `Negotiate`.
pub fn is_script_header(name: &str, value: &[u8]) -> bool {
    match name {
        "authorization" => {
            let scheme = value.split(|&b| b == b' ').next().unwrap_or_default();
            scheme.eq_ignore_ascii_case(b"bearer") || scheme.eq_ignore_ascii_case(b"dpop")
        }
        "x-csrf-token" | "x-requested-with" | "x-api-key" | "x-auth-token" | "dpop" => true,
        _ => false,
    }
}
