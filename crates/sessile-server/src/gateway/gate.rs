//! The head gate: which requests are refused outright, whatever the protocol that carried them.
//!
//! [`check_head`] looks at a parsed head and nothing else: no route, no session, no configuration. HTTP/2 requests meet it first;
//! HTTP/1 requests have passed the [wire gate](super::wire) before, which sees what a parsed head no longer shows.
//!
//! What it guarantees to whatever runs after it:
//!
//! * the host is one, well formed, and the same in `:authority` (or absolute-form) and `Host` ([`CheckedHead::authority`]);
//! * [`CheckedHead::path`] means one thing to every reader: no spelling of it, decoded once or twice by a careless application, walks to
//!   another place. So it may be compared with a configured prefix of unreserved characters and `/`, and forwarded as it is
//!   (R-114, P17). One thing is left to whoever compares: `;` may begin parameters, which some applications cut off.
//!
//! A false refusal costs somebody a 400 for an odd URL. A false pass lets a request reach a place the decision was not about.

mod path;

pub use path::{PathFault, check_path};

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING,
    UPGRADE,
};
use http::request::Parts;
use http::{Method, Version};
use sessile_core::scan;

/// The most bytes a request head may have, over HTTP/1 and (names and values together) over HTTP/2.
pub const MAX_HEAD_BYTES: usize = 32 * 1024;

/// The most fields a request head may have. Over HTTP/2 the `cookie` fields are not counted, because browsers split one jar
/// into many of them (RFC 9113 section 8.2.3); [`MAX_HEAD_BYTES`] bounds those.
pub const MAX_FIELDS: usize = 100;

/// The longest method accepted. The longest registered one has 17 letters.
const MAX_METHOD: usize = 32;

/// What a client is told about a refusal: a status and a generic code, never the reason, which goes to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// 400: the request is malformed or ambiguous.
    BadRequest,
    /// 405: `CONNECT`, `TRACE` and `TRACK` are served nowhere (R-113, P12).
    MethodNotAllowed,
    /// 414: no end of the request line within the limit.
    UriTooLong,
    /// 431: too many header fields, or too many bytes of them.
    HeadTooLarge,
    /// 501: a transfer coding other than `chunked` (RFC 9112 section 6.1).
    NotImplemented,
    /// 505: a version other than HTTP/1.0 and HTTP/1.1 on an HTTP/1 connection.
    VersionNotSupported,
}

impl Refusal {
    /// The status code.
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::MethodNotAllowed => 405,
            Self::UriTooLong => 414,
            Self::HeadTooLarge => 431,
            Self::NotImplemented => 501,
            Self::VersionNotSupported => 505,
        }
    }

    /// The reason phrase, which is also the `title` of the problem document.
    pub const fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "Bad Request",
            Self::MethodNotAllowed => "Method Not Allowed",
            Self::UriTooLong => "URI Too Long",
            Self::HeadTooLarge => "Request Header Fields Too Large",
            Self::NotImplemented => "Not Implemented",
            Self::VersionNotSupported => "HTTP Version Not Supported",
        }
    }

    /// The `code` of the problem document.
    pub const fn code(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::UriTooLong => "uri_too_long",
            Self::HeadTooLarge => "head_too_large",
            Self::NotImplemented => "not_implemented",
            Self::VersionNotSupported => "version_not_supported",
        }
    }
}

/// The value of `Allow` beside a 405 (RFC 9110 section 15.5.6 demands one): what may reach an application, which decides for itself.
pub const ALLOWED_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeadViolation {
    /// Neither HTTP/1.0, HTTP/1.1 nor HTTP/2.
    Version,
    /// A method that is not made of capital letters and `-`. Methods are case-sensitive (RFC 9110 section 9.1), and some applications forget it.
    Method,
    /// `CONNECT`, `TRACE` or `TRACK`.
    MethodRefused,
    /// `CONNECT` with `:protocol` (RFC 8441), which this server never announces.
    ExtendedConnect,
    /// More than [`MAX_FIELDS`] fields.
    TooManyFields,
    /// More than [`MAX_HEAD_BYTES`] bytes.
    HeadTooLarge,
    /// A control byte, or white space at an end of a value (RFC 9113 section 8.2.1).
    FieldValue,
    /// `Content_Length` and the like: another field here, the real one to an application behind CGI or WSGI (P14).
    FramingAlias,
    /// A connection-specific field over HTTP/2 (RFC 9113 section 8.2.2).
    ConnectionField,
    /// `Content-Length` twice, not a plain number, or beside `Transfer-Encoding`.
    ContentLength,
    /// `Transfer-Encoding` twice, or other than `chunked`.
    TransferEncoding,
    /// Neither `Host` nor `:authority`.
    HostMissing,
    /// More than one `Host`.
    HostRepeated,
    /// A host that is not a plain name or address with an optional port.
    HostInvalid,
    /// `:authority` (or the authority of an absolute-form target) and `Host` differ.
    AuthorityMismatch,
    /// A target that is neither a path, nor an http(s) URL with a path, nor `*` of `OPTIONS`.
    Target,
    /// More than one `Authorization` (R-056, JA-59): which one counts would depend on the reader.
    AuthorizationRepeated,
    /// A path that does not mean the same to everybody.
    Path(PathFault),
}

impl HeadViolation {
    /// The stable reason code for the log and the metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Method => "method",
            Self::MethodRefused => "method_refused",
            Self::ExtendedConnect => "extended_connect",
            Self::TooManyFields => "too_many_fields",
            Self::HeadTooLarge => "head_too_large",
            Self::FieldValue => "field_value",
            Self::FramingAlias => "framing_alias",
            Self::ConnectionField => "connection_field",
            Self::ContentLength => "content_length",
            Self::TransferEncoding => "transfer_encoding",
            Self::HostMissing => "host_missing",
            Self::HostRepeated => "host_repeated",
            Self::HostInvalid => "host_invalid",
            Self::AuthorityMismatch => "authority_mismatch",
            Self::Target => "target",
            Self::AuthorizationRepeated => "authorization_repeated",
            Self::Path(fault) => fault.code(),
        }
    }

    /// What the client is told.
    pub const fn refusal(self) -> Refusal {
        match self {
            Self::MethodRefused | Self::ExtendedConnect => Refusal::MethodNotAllowed,
            Self::TooManyFields | Self::HeadTooLarge => Refusal::HeadTooLarge,
            Self::Version
            | Self::Method
            | Self::FieldValue
            | Self::FramingAlias
            | Self::ConnectionField
            | Self::ContentLength
            | Self::TransferEncoding
            | Self::HostMissing
            | Self::HostRepeated
            | Self::HostInvalid
            | Self::AuthorityMismatch
            | Self::Target
            | Self::AuthorizationRepeated
            | Self::Path(_) => Refusal::BadRequest,
        }
    }
}

impl std::fmt::Display for HeadViolation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}

impl std::error::Error for HeadViolation {}

/// What a head that passed says about itself. Only [`check_head`] makes one.
#[derive(Clone, Copy, Debug)]
pub struct CheckedHead<'a> {
    authority: &'a str,
    path: &'a str,
}

impl<'a> CheckedHead<'a> {
    /// The host and optional port the request is for, as the client spelled it. Whether it is one of ours is the caller's question.
    pub fn authority(&self) -> &'a str {
        self.authority
    }

    /// The path to decide on and to forward, byte for byte; `*` for `OPTIONS *`.
    pub fn path(&self) -> &'a str {
        self.path
    }
}

/// Checks a request head.
///
/// # Errors
///
/// The first reason to refuse it. A `#` in an HTTP/2 `:path` cannot be one of them: the `http` crate cuts it off before anybody sees
/// it, so decision and forwarding agree on what is left.
pub fn check_head(parts: &Parts) -> Result<CheckedHead<'_>, HeadViolation> {
    let protocol = match parts.version {
        Version::HTTP_10 | Version::HTTP_11 => Protocol::Http1,
        Version::HTTP_2 => Protocol::Http2,
        _ => return Err(HeadViolation::Version),
    };
    if parts.extensions.get::<hyper::ext::Protocol>().is_some() {
        return Err(HeadViolation::ExtendedConnect);
    }
    check_method(parts.method.as_str().as_bytes())?;
    check_fields(&parts.headers, protocol)?;
    check_framing(&parts.headers)?;
    let authority = check_authority(parts)?;
    let path = check_target(parts)?;
    Ok(CheckedHead { authority, path })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

/// Checks a method: capital letters and `-`, and none of those that turn a server into a tunnel or a mirror.
pub(crate) fn check_method(method: &[u8]) -> Result<(), HeadViolation> {
    match method {
        b"CONNECT" | b"TRACE" | b"TRACK" => Err(HeadViolation::MethodRefused),
        [b'A'..=b'Z', rest @ ..] if rest.len() < MAX_METHOD => {
            let plain = rest.iter().all(|b| matches!(b, b'A'..=b'Z' | b'-'));
            if plain { Ok(()) } else { Err(HeadViolation::Method) }
        }
        _ => Err(HeadViolation::Method),
    }
}

fn check_fields(headers: &HeaderMap, protocol: Protocol) -> Result<(), HeadViolation> {
    let mut fields = 0;
    let mut bytes = 0;
    for (name, value) in headers {
        bytes += name.as_str().len() + value.len();
        if !(protocol == Protocol::Http2 && name == COOKIE) {
            fields += 1;
        }
        if fields > MAX_FIELDS {
            return Err(HeadViolation::TooManyFields);
        }
        if bytes > MAX_HEAD_BYTES {
            return Err(HeadViolation::HeadTooLarge);
        }
        if is_framing_alias(name.as_str().as_bytes()) {
            return Err(HeadViolation::FramingAlias);
        }
        if !is_clean_value(value.as_bytes()) {
            return Err(HeadViolation::FieldValue);
        }
        if protocol == Protocol::Http2 && is_connection_field(name, value) {
            return Err(HeadViolation::ConnectionField);
        }
    }
    if headers.get_all(AUTHORIZATION).iter().nth(1).is_some() {
        return Err(HeadViolation::AuthorizationRepeated);
    }
    Ok(())
}

/// Bytes above 0x7F pass: `obs-text` is deprecated, but it frames nothing and old clients send it in values.
fn is_clean_value(value: &[u8]) -> bool {
    let padded = |b: Option<&u8>| matches!(b, Some(b' ' | b'\t'));
    !padded(value.first()) && !padded(value.last()) && scan::all(value, |b| !scan::is_control(b))
}

fn is_connection_field(name: &HeaderName, value: &HeaderValue) -> bool {
    if name == TE {
        return !value.as_bytes().eq_ignore_ascii_case(b"trailers");
    }
    name == CONNECTION
        || name == TRANSFER_ENCODING
        || name == UPGRADE
        || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

/// Whether `name` becomes `Content-Length` or `Transfer-Encoding` in a gateway interface that folds `_` and `.` into `-`.
pub(crate) fn is_framing_alias(name: &[u8]) -> bool {
    let folds_to = |real: &[u8]| {
        name.len() == real.len()
            && name.iter().zip(real).all(|(&b, &r)| match b {
                b'_' | b'.' => r == b'-',
                _ => b.eq_ignore_ascii_case(&r),
            })
    };
    name.iter().any(|b| matches!(b, b'_' | b'.')) && (folds_to(b"content-length") || folds_to(b"transfer-encoding"))
}

fn check_framing(headers: &HeaderMap) -> Result<(), HeadViolation> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let coded = match (codings.next(), codings.next()) {
        (None, _) => false,
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => true,
        (Some(_), _) => return Err(HeadViolation::TransferEncoding),
    };
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    match (lengths.next(), lengths.next()) {
        (None, _) => Ok(()),
        (Some(length), None) if !coded && parse_length(length.as_bytes()).is_some() => Ok(()),
        (Some(_), _) => Err(HeadViolation::ContentLength),
    }
}

/// A `Content-Length` value: decimal, no sign, no leading zero, no blank, at most 2^63 - 1, so that no reader overflows or reads octal.
pub(crate) fn parse_length(value: &[u8]) -> Option<u64> {
    let plain = match value {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    // Saturates above the largest length that counts, whatever the number of digits.
    let more = |n: u64, b: &u8| n.saturating_mul(10).saturating_add(u64::from(b - b'0'));
    let length = plain.then(|| value.iter().fold(0, more))?;
    i64::try_from(length).is_ok().then_some(length)
}

fn check_authority(parts: &Parts) -> Result<&str, HeadViolation> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(_), Some(_)) => return Err(HeadViolation::HostRepeated),
        (host, _) => host,
    };
    // Over HTTP/2 `:authority` alone is enough, and so is Host alone (RFC 9113 section 8.3.1). Over HTTP/1 there is always a Host.
    let host = match host {
        Some(host) => Some(host.to_str().map_err(|_| HeadViolation::HostInvalid)?),
        None if parts.version == Version::HTTP_2 => None,
        None => return Err(HeadViolation::HostMissing),
    };
    let authority = match (host, parts.uri.authority()) {
        (Some(host), Some(authority)) if !host.eq_ignore_ascii_case(authority.as_str()) => {
            return Err(HeadViolation::AuthorityMismatch);
        }
        (Some(host), _) => host,
        (None, Some(authority)) => authority.as_str(),
        (None, None) => return Err(HeadViolation::HostMissing),
    };
    if is_host(authority.as_bytes()) { Ok(authority) } else { Err(HeadViolation::HostInvalid) }
}

/// Whether `host` is a plain host with an optional port: a name of unreserved characters, an IPv4 or a bracketed IPv6 address.
///
/// Narrower than RFC 3986: no percent-encoding, no sub-delimiters, no zone, no empty port, no user information. Nothing a browser
/// calls a host is lost, and nothing two parsers read differently is left.
pub(crate) fn is_host(host: &[u8]) -> bool {
    let (name, port) = match host {
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|&b| b == b']') else {
                return false;
            };
            let address = std::str::from_utf8(&rest[..end]).ok();
            if address.and_then(|a| a.parse::<std::net::Ipv6Addr>().ok()).is_none() {
                return false;
            }
            match &rest[end + 1..] {
                [] => return true,
                [b':', port @ ..] => return is_port(port),
                _ => return false,
            }
        }
        _ => match host.iter().position(|&b| b == b':') {
            Some(colon) => (&host[..colon], Some(&host[colon + 1..])),
            None => (host, None),
        },
    };
    let named = (1..=255).contains(&name.len()) && name.iter().all(|&b| is_unreserved(b));
    named && port.is_none_or(is_port)
}

fn is_port(port: &[u8]) -> bool {
    (1..=5).contains(&port.len())
        && port.iter().all(u8::is_ascii_digit)
        && port.iter().fold(0u32, |n, b| n * 10 + u32::from(b - b'0')) <= 65535
}

fn check_target(parts: &Parts) -> Result<&str, HeadViolation> {
    if let Some(scheme) = parts.uri.scheme_str()
        && !matches!(scheme, "http" | "https")
    {
        return Err(HeadViolation::Target);
    }
    let Some(target) = parts.uri.path_and_query() else {
        return Err(HeadViolation::Target);
    };
    // `Uri::path` says "/" for a target that has none, such as "?x" in `:path`, which would be forwarded as "?x".
    match target.as_str().as_bytes() {
        b"*" if parts.method == Method::OPTIONS => Ok("*"),
        [b'/', ..] => {
            let path = target.path();
            check_path(path.as_bytes()).map_err(HeadViolation::Path)?;
            match target.query() {
                Some(query) if !scan::all(query.as_bytes(), is_query_byte) => Err(HeadViolation::Target),
                _ => Ok(path),
            }
        }
        _ => Err(HeadViolation::Target),
    }
}

/// RFC 3986 section 2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Bytes that may stand raw in a path. Wider than RFC 3986 by `^`, `|`, `[` and `]`, which browsers send.
pub(crate) const fn is_path_byte(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e) && !matches!(byte, b'"' | b'#' | b'<' | b'>' | b'?' | b'\\' | b'`' | b'{' | b'}')
}

/// Bytes that may stand raw in a query: what the URL standard leaves alone there.
pub(crate) const fn is_query_byte(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e) && !matches!(byte, b'"' | b'#' | b'<' | b'>')
}

#[cfg(test)]
mod tests;
