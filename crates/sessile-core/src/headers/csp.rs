//! Content security policies, as lists of directives.

use alloc::{string::String, vec::Vec};

/// A content security policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Csp {
    directives: Vec<(String, String)>,
}

/// Stands, in a directive's value, for this response's nonce.
const NONCE: &str = "'nonce'";

impl Csp {
    /// An empty policy.
    pub const fn new() -> Self {
        Self { directives: Vec::new() }
    }

    /// Sessile's own pages: nothing by default, scripts and styles by nonce, forms and images of this origin,
    /// no frames either way.
    pub fn own_pages() -> Self {
        Self::new()
            .with("default-src", "'none'")
            .with("script-src", NONCE)
            .with("style-src", NONCE)
            .with("img-src", "'self'")
            .with("object-src", "'none'")
            .with("base-uri", "'none'")
            .with("form-action", "'self'")
            .with("frame-ancestors", "'none'")
    }

    /// The application's pages: what almost no application needs and every attacker wants.
    pub fn proxied_default() -> Self {
        Self::new().with("object-src", "'none'").with("base-uri", "'self'").with("frame-ancestors", "'self'")
    }

    /// With this directive, instead of one of the same name.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        let value = String::from(value);
        match self.directives.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.directives.push((String::from(name), value)),
        }
        self
    }

    /// With reports of violations sent to `path` of this origin. `report-uri`, not `report-to`: browsers send
    /// the former at once.
    #[must_use]
    pub fn reporting_to(self, path: &str) -> Self {
        self.with("report-uri", path)
    }

    /// Name and value of each directive.
    pub fn directives(&self) -> impl Iterator<Item = (&str, &str)> {
        self.directives.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Reads a policy as a browser would (CSP Level 3, "parse a serialized CSP"): names in any case, the first
    /// of two directives of one name counts.
    pub fn parse(text: &str) -> Self {
        let mut directives: Vec<(String, String)> = Vec::new();
        for directive in text.split(';') {
            let directive = directive.trim_matches(|c: char| c.is_ascii_whitespace());
            let end = directive.find(|c: char| c.is_ascii_whitespace()).unwrap_or(directive.len());
            let (name, value) = directive.split_at(end);
            let name = name.to_ascii_lowercase();
            if !name.is_empty() && directives.iter().all(|(known, _)| *known != name) {
                directives.push((name, String::from(value.trim_matches(|c: char| c.is_ascii_whitespace()))));
            }
        }
        Self { directives }
    }

    /// Whether it says nothing that is enforced.
    pub(super) fn is_idle(&self) -> bool {
        self.directives.iter().all(|(name, _)| name == "report-uri" || name == "report-to")
    }

    /// The value of a directive.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.directives().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    pub(super) fn without(mut self, gone: impl Fn(&str) -> bool) -> Self {
        self.directives.retain(|(name, _)| !gone(name));
        self
    }

    /// The field's value. Without a nonce, what would be allowed by nonce is allowed to nobody.
    pub fn to_field(&self, nonce: Option<&str>) -> String {
        let mut out = String::new();
        for (name, value) in self.directives() {
            if !out.is_empty() {
                out.push_str("; ");
            }
            out.push_str(name);
            if value.is_empty() {
                continue;
            }
            out.push(' ');
            match (value.contains(NONCE), nonce) {
                (false, _) => out.push_str(value),
                (true, Some(nonce)) => {
                    for (i, piece) in value.split(NONCE).enumerate() {
                        if i > 0 {
                            out.push_str("'nonce-");
                            out.push_str(nonce);
                            out.push('\'');
                        }
                        out.push_str(piece);
                    }
                }
                (true, None) => out.push_str("'none'"),
            }
        }
        out
    }
}

impl Default for Csp {
    fn default() -> Self {
        Self::new()
    }
}
