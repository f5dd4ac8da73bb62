//! What the operator may choose about the cookies, and the names that follow from it.

use alloc::{format, string::String, vec::Vec};

use crate::fault::ConfigFault;

/// Names under one prefix.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) session: &'static str,
    pub(super) access: &'static str,
}

/// Host-only, whole site: the default.
pub(super) const HOST: Names = Names { session: "__Host-Http-sessile", access: "__Host-Http-sessile-at" };
/// With a `Path` or a `Domain`, which the stronger prefix forbids.
pub(super) const SECURE: Names = Names { session: "__Secure-sessile", access: "__Secure-sessile-at" };

/// Longest attribute value a browser keeps (RFC 6265bis section 5.6).
const MAX_ATTRIBUTE_OCTETS: usize = 1024;

/// When a browser sends a cookie along with a request from another site (RFC 6265bis section 5.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SameSite {
    /// Never.
    #[default]
    Strict,
    /// On top-level navigations with a safe method.
    Lax,
    /// Always. Only in embed mode.
    None,
}

impl SameSite {
    /// The attribute's value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Strict => "Strict",
            Self::Lax => "Lax",
            Self::None => "None",
        }
    }
}

/// The `[cookie]` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieConfig {
    /// Requests whose path lies under this carry the cookies. `/` is the default and the strongest.
    pub path: String,
    /// Share the cookies with every host under this domain. `None`, this host alone, is the default and the
    /// strongest: every host that shares a cookie can also replace it.
    pub domain: Option<String>,
    /// The `SameSite` attribute, always written.
    pub same_site: SameSite,
    /// The site is used inside frames of other sites: `SameSite=None` and `Partitioned`, and only together.
    pub embed: bool,
}

impl Default for CookieConfig {
    fn default() -> Self {
        Self { path: String::from("/"), domain: None, same_site: SameSite::Strict, embed: false }
    }
}

impl CookieConfig {
    /// Everything wrong with this section, at once.
    pub fn validate(&self) -> Vec<ConfigFault> {
        let mut faults = Vec::new();
        if !is_cookie_path(&self.path) {
            faults.push(ConfigFault::stop(
                "cookie.path",
                format!("{:?} is not a cookie path", self.path),
                "write a path such as \"/\" or \"/api\": visible ASCII without ; or , and at most 1024 characters",
            ));
        } else if self.path != "/" {
            faults.push(ConfigFault::warn(
                "cookie.path",
                format!("with {:?} the cookies lose the prefix __Host-Http- and take __Secure-", self.path),
                "another host of the same domain can then plant a cookie under our name; use \"/\" unless that is acceptable",
            ));
        }
        if let Some(domain) = &self.domain {
            if is_shareable_domain(domain) {
                faults.push(ConfigFault::warn(
                    "cookie.domain",
                    format!("every host under {domain:?} receives the cookies and can replace them"),
                    "leave cookie.domain out unless all those hosts are yours and trusted with sessions",
                ));
            } else {
                faults.push(ConfigFault::stop(
                    "cookie.domain",
                    format!("{domain:?} is not a domain that cookies can be shared under"),
                    "write a lower-case domain of at least two labels, without a leading dot; not an address",
                ));
            }
        }
        match (self.embed, self.same_site) {
            (false, SameSite::None) => faults.push(ConfigFault::stop(
                "cookie.same_site",
                "\"none\" sends the session along with requests that any site causes",
                "use \"strict\" or \"lax\", or set cookie.embed = true if the site lives in frames of other sites",
            )),
            (true, SameSite::Strict | SameSite::Lax) => faults.push(ConfigFault::stop(
                "cookie.embed",
                "in a frame of another site, a browser sends no cookie that is \"strict\" or \"lax\"",
                "set cookie.same_site = \"none\" as well, or leave cookie.embed out",
            )),
            (false, SameSite::Strict | SameSite::Lax) | (true, SameSite::None) => {}
        }
        faults
    }

    pub(super) fn names(&self) -> &'static Names {
        if self.path == "/" && self.domain.is_none() { &HOST } else { &SECURE }
    }

    /// Name of the session token's cookie.
    pub fn session_name(&self) -> &'static str {
        self.names().session
    }

    /// Name of the access token's cookie.
    pub fn access_name(&self) -> &'static str {
        self.names().access
    }

    /// Whether a browser sends the cookies, set by `host`, to `path` of the same host. The start must refuse a
    /// configuration whose own endpoints are out of reach.
    pub fn reaches(&self, host: &str, path: &str) -> bool {
        let under_domain = self
            .domain
            .as_deref()
            .is_none_or(|domain| host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')));
        // Path-match, RFC 6265bis section 5.1.4.
        let under_path = path
            .strip_prefix(self.path.as_str())
            .is_some_and(|rest| rest.is_empty() || self.path.ends_with('/') || rest.starts_with('/'));
        under_domain && under_path
    }
}

fn is_cookie_path(path: &str) -> bool {
    path.starts_with('/')
        && path.len() <= MAX_ATTRIBUTE_OCTETS
        && path.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b';' | b',' | b'"' | b'\\'))
}

fn is_shareable_domain(domain: &str) -> bool {
    let label_is_fine = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last_is_a_name = domain.rsplit('.').next().is_some_and(|last| !last.bytes().all(|b| b.is_ascii_digit()));
    domain.len() <= 253 && domain.contains('.') && last_is_a_name && domain.split('.').all(label_is_fine)
}
