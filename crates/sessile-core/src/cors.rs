//! Cross-origin resource sharing (Fetch standard): who may read an answer from another origin.
//!
//! Not access control: a foreign page's simple request arrives whatever is said here; [`crate::csrf`]
//! stops it.

use alloc::{format, string::String, vec::Vec};
use core::time::Duration;

use crate::fault::ConfigFault;
use crate::headers::{Field, HeaderEdit, merge_vary};
use crate::origin::{InvalidOrigin, Origin};

/// Which origins may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// These, each by its exact text.
    Listed(Vec<Origin>),
    /// Every origin. Never together with credentials.
    Any,
}

impl AllowedOrigins {
    /// Reads the configured list. `"*"` alone means every origin; beside others it is refused, and `"null"`
    /// always, since every sandboxed frame is that origin.
    pub fn parse(texts: &[&str]) -> Result<Self, InvalidOrigin> {
        match texts {
            ["*"] => Ok(Self::Any),
            listed => listed.iter().map(|text| Origin::parse(text)).collect::<Result<_, _>>().map(Self::Listed),
        }
    }
}

/// The `[cors]` section of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorsConfig {
    /// Who may read.
    pub origins: AllowedOrigins,
    /// Methods other origins may use, as sent: `PUT`. `GET`, `HEAD` and `POST` must be listed as well.
    pub methods: Vec<String>,
    /// Request headers other origins may send beyond the safelisted ones, in lower case.
    pub headers: Vec<String>,
    /// Response headers other origins may read beyond the safelisted ones.
    pub expose: Vec<String>,
    /// How long browsers may remember a preflight's answer.
    pub max_age: Duration,
    /// Whether requests may carry cookies and be read.
    pub credentials: bool,
}

impl CorsConfig {
    /// Everything wrong with this section, at once. `https`: whether the site is served over https.
    pub fn validate(&self, https: bool) -> Vec<ConfigFault> {
        let mut faults = Vec::new();
        match &self.origins {
            AllowedOrigins::Any if self.credentials => faults.push(ConfigFault::stop(
                "cors.origins",
                "\"*\" together with credentials would let every site read your users' data",
                "list the origins, or set cors.credentials = false",
            )),
            AllowedOrigins::Any => {}
            AllowedOrigins::Listed(origins) => {
                for origin in origins.iter().filter(|origin| https && !origin.is_https() && !origin.is_loopback()) {
                    faults.push(ConfigFault::warn(
                        "cors.origins",
                        format!("{origin} is plain http: anybody on the network can be that origin"),
                        "serve it over https, or take it out of the list",
                    ));
                }
            }
        }
        let names = [("cors.methods", &self.methods), ("cors.headers", &self.headers), ("cors.expose", &self.expose)];
        for (key, list) in names {
            for name in list.iter().filter(|name| *name == "*" || !is_token(name.as_bytes())) {
                faults.push(ConfigFault::stop(
                    key,
                    format!("{name:?} is not a name"),
                    "list each by its name; there are no wildcards",
                ));
            }
        }
        for name in self.headers.iter().filter(|name| name.bytes().any(|b| b.is_ascii_uppercase())) {
            faults.push(ConfigFault::stop(
                "cors.headers",
                format!("{name:?} is not in lower case"),
                "write header names in lower case",
            ));
        }
        faults
    }

    /// The `Access-Control-Allow-Origin` for this origin, if it may read.
    fn allow(&self, origin: &[u8]) -> Option<&str> {
        match &self.origins {
            AllowedOrigins::Any => Some("*"),
            AllowedOrigins::Listed(listed) => listed.iter().find(|known| known.matches(origin)).map(Origin::as_str),
        }
    }
}

fn is_token(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|&b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// The fields of a request that may be a preflight.
#[derive(Clone, Copy, Debug)]
pub struct PreflightRequest<'a> {
    /// The request's method.
    pub method: &'a str,
    /// `Origin`.
    pub origin: Field<'a>,
    /// `Access-Control-Request-Method`.
    pub request_method: Field<'a>,
    /// `Access-Control-Request-Headers`.
    pub request_headers: Field<'a>,
}

/// What a request is to a CORS-aware route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PreflightVerdict {
    /// An ordinary request: goes on.
    NotAPreflight,
    /// Answer 204 with these fields, without authentication and without forwarding.
    Allow(Vec<HeaderEdit<'static>>),
    /// Answer 204 with these fields, none of which allows anything; do not forward.
    Refuse(PreflightRefusal, Vec<HeaderEdit<'static>>),
}

/// Why a preflight allows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreflightRefusal {
    /// The origin is not listed, is `null`, or came more than once.
    Origin,
    /// The method is not listed.
    Method,
    /// A header is not listed, or the list is too long or unreadable.
    Headers,
}

impl PreflightRefusal {
    /// Stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Origin => "cors_origin",
            Self::Method => "cors_method",
            Self::Headers => "cors_headers",
        }
    }
}

/// Longest `Access-Control-Request-Headers` that is read (I4 in faults.md).
pub const MAX_REQUEST_HEADERS_OCTETS: usize = 4096;

const ALLOW_ORIGIN: &str = "access-control-allow-origin";
const ALLOW_CREDENTIALS: &str = "access-control-allow-credentials";

/// Fields by which an upstream would answer for itself; one owner only.
const UPSTREAM: [&str; 7] = [
    ALLOW_ORIGIN,
    ALLOW_CREDENTIALS,
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-allow-private-network",
    "access-control-expose-headers",
    "access-control-max-age",
];

/// Decides a preflight: `OPTIONS` with an `Origin` and an `Access-Control-Request-Method`. What is allowed is
/// what is configured, never an echo of what was asked.
pub fn preflight(config: &CorsConfig, request: &PreflightRequest<'_>) -> PreflightVerdict {
    if request.method != "OPTIONS" || request.origin == Field::Absent || request.request_method == Field::Absent {
        return PreflightVerdict::NotAPreflight;
    }
    let vary = HeaderEdit::Set("vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers".into());
    let refuse = |why| PreflightVerdict::Refuse(why, Vec::from([vary.clone()]));

    let Some(allowed) = request.origin.one().and_then(|origin| config.allow(origin)) else {
        return refuse(PreflightRefusal::Origin);
    };
    let asked = request.request_method.one();
    if !asked.is_some_and(|asked| config.methods.iter().any(|method| method.as_bytes() == asked)) {
        return refuse(PreflightRefusal::Method);
    }
    let headers_are_listed = match request.request_headers {
        Field::Absent => true,
        Field::One(list) => list.len() <= MAX_REQUEST_HEADERS_OCTETS && all_listed(list, &config.headers),
        Field::Several => false,
    };
    if !headers_are_listed {
        return refuse(PreflightRefusal::Headers);
    }

    let mut edits = Vec::from([vary]);
    share(config, allowed, &mut edits);
    edits.push(HeaderEdit::Set("access-control-allow-methods", config.methods.join(", ").into()));
    if !config.headers.is_empty() {
        edits.push(HeaderEdit::Set("access-control-allow-headers", config.headers.join(", ").into()));
    }
    edits.push(HeaderEdit::Set("access-control-max-age", format!("{}", config.max_age.as_secs()).into()));
    PreflightVerdict::Allow(edits)
}

fn all_listed(asked: &[u8], listed: &[String]) -> bool {
    asked
        .split(|&b| b == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|name| !name.is_empty())
        .all(|name| listed.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name)))
}

fn share(config: &CorsConfig, allowed: &str, edits: &mut Vec<HeaderEdit<'static>>) {
    edits.push(HeaderEdit::Set(ALLOW_ORIGIN, String::from(allowed).into()));
    if config.credentials {
        edits.push(HeaderEdit::Set(ALLOW_CREDENTIALS, "true".into()));
    }
}

/// The fields of every other response of a CORS-aware route, errors and refusals included: the
/// upstream's own are removed, ours are set if the origin may read, and `Vary` names `Origin` always.
pub fn response_headers(
    config: &CorsConfig,
    origin: Field<'_>,
    upstream: &[(&str, &[u8])],
) -> Vec<HeaderEdit<'static>> {
    let mut edits: Vec<HeaderEdit<'static>> = UPSTREAM
        .into_iter()
        .filter(|name| upstream.iter().any(|(given, _)| given == name))
        .map(HeaderEdit::Remove)
        .collect();
    if let Some(allowed) = origin.one().and_then(|origin| config.allow(origin)) {
        share(config, allowed, &mut edits);
        if !config.expose.is_empty() {
            edits.push(HeaderEdit::Set("access-control-expose-headers", config.expose.join(", ").into()));
        }
    }
    let named = upstream.iter().filter(|(name, _)| *name == "vary").map(|(_, value)| *value);
    if let Some(vary) = merge_vary(named, &["Origin"]) {
        edits.push(HeaderEdit::Set("vary", vary.into()));
    }
    edits
}
