//! Who the client is, behind proxies that are trusted to say so (R-110, P16; attacks A9, A10, A12).
//!
//! The chain is walked from the right, beginning with the socket's peer: each trusted hop vouches for the one before it, and the
//! first that is not trusted is the client. What stands left of it was written by the client itself and is never read. With no
//! trusted networks, which is the default, no header is read at all.
//!
//! A wrong answer here gives an attacker another address to be throttled and logged under; it opens no door.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName};

use super::settings::ForwardedField;

/// What is known of the client's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The client's address.
    pub address: IpAddr,
    /// The scheme of the client's connection, if a trusted proxy said it.
    pub scheme: Option<Scheme>,
}

/// Scheme of the client's connection to the outermost trusted proxy's inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Encrypted.
    Https,
    /// Not encrypted.
    Http,
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Finds the client. `trusts` says whether an address is a trusted proxy's.
pub fn origin(peer: IpAddr, headers: &HeaderMap, field: ForwardedField, trusts: impl Fn(IpAddr) -> bool) -> Origin {
    let peer = peer.to_canonical();
    let mut found = Origin { address: peer, scheme: None };
    if !trusts(peer) {
        return found;
    }
    let hops = match field {
        ForwardedField::XForwarded => {
            found.scheme = lines(headers, &X_FORWARDED_PROTO).and_then(|text| scheme(text.rsplit(',').next()?));
            lines(headers, &X_FORWARDED_FOR).map(|text| text.split(',').map(|hop| address(hop.trim())).collect())
        }
        ForwardedField::Forwarded => {
            let elements = lines(headers, &FORWARDED).and_then(|text| elements(&text));
            found.scheme = elements.as_ref().and_then(|each| each.last()?.scheme);
            elements.map(|each| each.into_iter().map(|element| element.address).collect())
        }
    };
    let hops: Vec<Option<IpAddr>> = hops.unwrap_or_default();
    for hop in hops.into_iter().rev() {
        // A hop that is no address (junk, "unknown", an obfuscated name) ends the walk: nothing left of it is vouched for.
        let Some(hop) = hop else { break };
        found.address = hop;
        if !trusts(hop) {
            break;
        }
    }
    found
}

/// All lines of a field as one list, if they are text.
fn lines(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let lines: Vec<&str> = headers.get_all(name).iter().map(|value| value.to_str()).collect::<Result<_, _>>().ok()?;
    if lines.is_empty() { None } else { Some(lines.join(",")) }
}

fn scheme(text: &str) -> Option<Scheme> {
    match text.trim() {
        text if text.eq_ignore_ascii_case("https") => Some(Scheme::Https),
        text if text.eq_ignore_ascii_case("http") => Some(Scheme::Http),
        _ => None,
    }
}

/// An address, with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    text.parse::<IpAddr>()
        .ok()
        .or_else(bracketed)
        .or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
        .map(|address| address.to_canonical())
}

#[derive(Debug, Default)]
struct Element {
    address: Option<IpAddr>,
    scheme: Option<Scheme>,
}

/// The elements of a `Forwarded` list, or nothing if it is not well formed (RFC 7239 section 4).
fn elements(text: &str) -> Option<Vec<Element>> {
    let mut elements = Vec::new();
    let mut rest = text;
    loop {
        let mut element = Element::default();
        loop {
            rest = rest.trim_start_matches([' ', '\t']);
            if rest.is_empty() || rest.starts_with([',', ';']) {
                // An empty pair or element: allowed in lists, says nothing.
            } else {
                let (name, after) = rest.split_once('=')?;
                let (value, after) = value(after)?;
                rest = after;
                if name.eq_ignore_ascii_case("for") {
                    element.address = address(&value);
                } else if name.eq_ignore_ascii_case("proto") {
                    element.scheme = scheme(&value);
                } else if !name.bytes().all(is_token_byte) || name.is_empty() {
                    return None;
                }
            }
            rest = rest.trim_start_matches([' ', '\t']);
            match rest.strip_prefix(';') {
                Some(after) => rest = after,
                None => break,
            }
        }
        elements.push(element);
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None => break,
        }
    }
    if rest.is_empty() { Some(elements) } else { None }
}

/// A token or quoted string at the front of `text`, and what follows it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ';', ' ', '\t']).unwrap_or(text.len());
        let (token, rest) = text.split_at(end);
        // Wider than a token by what proxies write unquoted although they should not: IPv6 and ports.
        let plain = !token.is_empty() && token.bytes().all(|b| is_token_byte(b) || matches!(b, b':' | b'[' | b']'));
        return plain.then(|| (token.to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            _ => value.push(character),
        }
    }
    None
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::HeaderName;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn inside(address: IpAddr) -> bool {
        let network: ipnet::IpNet = "10.0.0.0/8".parse().unwrap();
        network.contains(&address)
    }

    fn walk(peer: &str, fields: &[(&'static str, &str)], field: ForwardedField) -> IpAddr {
        origin(ip(peer), &headers(fields), field, inside).address
    }

    /// R-110, P16, A12: the table of chains.
    #[test]
    fn r110_x_forwarded_for_is_walked_from_the_right() {
        let xff = |peer, value| walk(peer, &[("x-forwarded-for", value)], ForwardedField::XForwarded);
        assert_eq!(xff("192.0.2.1", "203.0.113.9"), ip("192.0.2.1"), "an untrusted peer is the client");
        assert_eq!(xff("10.0.0.1", "203.0.113.9"), ip("203.0.113.9"));
        assert_eq!(
            xff("10.0.0.1", "1.1.1.1, 203.0.113.9"),
            ip("203.0.113.9"),
            "what the client wrote itself is not read"
        );
        assert_eq!(xff("10.0.0.1", "1.1.1.1, 203.0.113.9, 10.0.0.2"), ip("203.0.113.9"));
        assert_eq!(xff("10.0.0.1", "10.0.0.3, 10.0.0.2"), ip("10.0.0.3"), "all inside: the farthest");
        assert_eq!(xff("10.0.0.1", "203.0.113.9, unknown"), ip("10.0.0.1"), "junk ends the walk at the last known hop");
        assert_eq!(xff("10.0.0.1", "203.0.113.9, unknown, 10.0.0.7"), ip("10.0.0.7"));
        assert_eq!(xff("10.0.0.1", ""), ip("10.0.0.1"));
        assert_eq!(xff("10.0.0.1", "[2001:db8::1]:4711"), ip("2001:db8::1"));
        assert_eq!(xff("10.0.0.1", "[2001:db8::1]"), ip("2001:db8::1"));
        assert_eq!(xff("10.0.0.1", "203.0.113.9:80"), ip("203.0.113.9"));
        assert_eq!(
            xff("::ffff:10.0.0.1", "::ffff:203.0.113.9"),
            ip("203.0.113.9"),
            "mapped addresses are the same addresses"
        );
        let twice = [("x-forwarded-for", "203.0.113.9"), ("x-forwarded-for", "198.51.100.4")];
        assert_eq!(
            walk("10.0.0.1", &twice, ForwardedField::XForwarded),
            ip("198.51.100.4"),
            "several lines are one list"
        );
    }

    /// Negative control of the walk: taking the leftmost, as many do, hands out whatever the client wrote.
    #[test]
    fn the_leftmost_entry_is_the_attackers() {
        let value = "1.1.1.1, 203.0.113.9";
        let leftmost = address(value.split(',').next().unwrap()).unwrap();
        assert_eq!(leftmost, ip("1.1.1.1"));
        assert_ne!(leftmost, walk("10.0.0.1", &[("x-forwarded-for", value)], ForwardedField::XForwarded));
    }

    /// RFC 7239 with quotes, IPv6, obfuscated names, several elements and junk.
    #[test]
    fn r110_forwarded_is_parsed_as_the_rfc_says() {
        let fwd = |value| walk("10.0.0.1", &[("forwarded", value)], ForwardedField::Forwarded);
        assert_eq!(fwd("for=203.0.113.9"), ip("203.0.113.9"));
        assert_eq!(fwd("For=\"[2001:db8::1]:4711\";proto=https"), ip("2001:db8::1"));
        assert_eq!(fwd("for=1.1.1.1, for=203.0.113.9;by=10.0.0.9"), ip("203.0.113.9"));
        assert_eq!(fwd("for=1.1.1.1,for=203.0.113.9 , for=10.0.0.9"), ip("203.0.113.9"));
        assert_eq!(fwd("for=_hidden, for=10.0.0.9"), ip("10.0.0.9"), "an obfuscated name ends the walk");
        assert_eq!(fwd("for=\"203.0.113.9\\\""), ip("10.0.0.1"), "an open quote: nothing is read");
        assert_eq!(
            fwd("for=203.0.113.9, by=\"a, for=6.6.6.6\""),
            ip("10.0.0.1"),
            "a comma in quotes separates nothing"
        );
        assert_eq!(fwd("for=203.0.113.9; =x"), ip("10.0.0.1"));
        assert_eq!(fwd(""), ip("10.0.0.1"));
    }

    /// The field that is not configured is what the client sent, and is not read.
    #[test]
    fn only_the_configured_field_is_read() {
        let both = [("x-forwarded-for", "198.51.100.4"), ("forwarded", "for=6.6.6.6")];
        assert_eq!(walk("10.0.0.1", &both, ForwardedField::XForwarded), ip("198.51.100.4"));
        assert_eq!(
            walk("10.0.0.1", &both, ForwardedField::Forwarded),
            ip("6.6.6.6"),
            "negative control: the field does decide"
        );
        assert_eq!(walk("10.0.0.1", &[("forwarded", "for=6.6.6.6")], ForwardedField::XForwarded), ip("10.0.0.1"));
    }

    /// A9: the scheme too is a trusted proxy's word or nobody's; of several the last.
    #[test]
    fn a9_the_scheme_comes_from_the_nearest_trusted_hop() {
        let scheme = |peer, value| {
            origin(ip(peer), &headers(&[("x-forwarded-proto", value)]), ForwardedField::XForwarded, inside).scheme
        };
        assert_eq!(scheme("192.0.2.1", "https"), None);
        assert_eq!(scheme("10.0.0.1", "https"), Some(Scheme::Https));
        assert_eq!(scheme("10.0.0.1", "https, http"), Some(Scheme::Http));
        assert_eq!(scheme("10.0.0.1", "ftp"), None);
        let forwarded = headers(&[("forwarded", "for=1.1.1.1;proto=https, for=203.0.113.9;proto=http")]);
        assert_eq!(origin(ip("10.0.0.1"), &forwarded, ForwardedField::Forwarded, inside).scheme, Some(Scheme::Http));
    }
}
