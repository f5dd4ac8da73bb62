//! Web origins: scheme, host and port, compared as the exact text browsers send.

use alloc::string::{String, ToString};
use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// A serialised origin (WHATWG HTML, "ASCII serialisation of an origin"), `https://app.example:8443`.
///
/// Only the one spelling a browser uses is accepted, so that [`matches`](Self::matches) can compare bytes: no
/// upper case, no default port, no path, no user information, no Unicode. Prefixes, suffixes and patterns do
/// not exist (R-099, D1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    text: String,
    host_start: usize,
    host_end: usize,
}

impl Origin {
    /// Reads an origin from the configuration; the error says how to write it.
    pub fn parse(text: &str) -> Result<Self, InvalidOrigin> {
        let (rest, default_port) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (rest, "443"),
            (None, Some(rest)) => (rest, "80"),
            (None, None) => {
                return Err(InvalidOrigin(match text {
                    "*" => "there are no wildcards: list each origin",
                    "null" => "every sandboxed frame and local file is the origin null; it cannot be allowed",
                    _ => "an origin begins with https:// or http://, in lower case",
                }));
            }
        };
        let start = text.len() - rest.len();
        if rest.contains('@') {
            return Err(InvalidOrigin("an origin has no user name"));
        }
        if rest.contains(['/', '?', '#', '\\']) {
            return Err(InvalidOrigin("an origin ends after the host or port: no slash, path or query"));
        }
        let host_length = if rest.starts_with('[') {
            rest.find(']').ok_or(InvalidOrigin("the address in brackets is not closed"))? + 1
        } else {
            rest.find(':').unwrap_or(rest.len())
        };
        let (host, port) = rest.split_at(host_length);
        check_host(host)?;
        check_port(port, default_port)?;
        Ok(Self { text: text.to_string(), host_start: start, host_end: start + host_length })
    }

    /// Whether the value of an `Origin` field is this origin, byte for byte.
    pub fn matches(&self, field: &[u8]) -> bool {
        self.text.as_bytes() == field
    }

    /// The text browsers send.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the scheme is `https`.
    pub fn is_https(&self) -> bool {
        self.text.starts_with("https://")
    }

    /// The host, an IPv6 address in its brackets.
    pub fn host(&self) -> &str {
        &self.text[self.host_start..self.host_end]
    }

    /// Host and port, as the `Host` field of a request to this origin spells them.
    pub fn authority(&self) -> &str {
        &self.text[self.host_start..]
    }

    /// Whether the host names this machine for every browser: `localhost`, a name under it, or a loopback
    /// address. Such origins are trustworthy without https.
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        host == "localhost"
            || host.ends_with(".localhost")
            || host == "[::1]"
            || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
    }
}

fn check_host(host: &str) -> Result<(), InvalidOrigin> {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        // One spelling (RFC 5952). A dotted tail is never what a browser writes.
        let parsed = Ipv6Addr::from_str(address).map_err(|_| InvalidOrigin("not an IPv6 address"))?;
        return if parsed.to_string() == address && !address.contains('.') {
            Ok(())
        } else {
            Err(InvalidOrigin("write the IPv6 address in its shortest lower-case form (RFC 5952)"))
        };
    }
    if host.is_empty() || host.len() > 253 {
        return Err(InvalidOrigin("a host name has 1 to 253 characters"));
    }
    if !host.is_ascii() {
        return Err(InvalidOrigin("write an international host name in its xn-- form, as browsers send it"));
    }
    if host.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(InvalidOrigin("write the host in lower case, as browsers send it"));
    }
    if host == "*" || host.starts_with("*.") {
        return Err(InvalidOrigin("there are no wildcards: list each origin"));
    }
    let label_is_fine = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
    };
    if !host.split('.').all(label_is_fine) {
        return Err(InvalidOrigin("a host name is made of labels of a-z, 0-9 and -, joined by single dots"));
    }
    // A last label of digits makes browsers read the whole as an IPv4 address (WHATWG URL, "ends in a number").
    let last = host.rsplit('.').next().unwrap_or(host);
    let numeric = last.bytes().all(|b| b.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
    if numeric && !host.parse::<Ipv4Addr>().is_ok_and(|address| address.to_string() == host) {
        return Err(InvalidOrigin("write an IPv4 address as four decimal numbers"));
    }
    Ok(())
}

fn check_port(port: &str, default: &str) -> Result<(), InvalidOrigin> {
    if port.is_empty() {
        return Ok(());
    }
    let Some(digits) = port.strip_prefix(':') else {
        return Err(InvalidOrigin("only a port may follow the host"));
    };
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    if !plain || digits.parse::<u16>().is_err() {
        return Err(InvalidOrigin("a port is a number from 1 to 65535"));
    }
    if digits == default {
        return Err(InvalidOrigin("leave the default port out, as browsers do"));
    }
    Ok(())
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        Self::parse(text)
    }
}

/// A text is not an origin as browsers write it; says what to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidOrigin(&'static str);

impl fmt::Display for InvalidOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
impl core::error::Error for InvalidOrigin {}
