//! Keeping our names between the browser and us.

use alloc::vec::Vec;

use super::config::{HOST, SECURE};
use super::parse::pairs;
use crate::scan;

/// Whether a cookie name is ours, or could be taken for ours by a lenient reader.
///
/// Ours are `__Host-Http-sessile` and `__Secure-sessile`, alone or followed by anything that begins with neither
/// letter, digit nor underscore (`-at`, PHP's `[0]`), in any letter case, and with any decoration around them
/// that some servers trim: blanks, control characters, quotes, `=`, bytes outside ASCII (J3). A percent-encoded
/// name is another name (J1).
pub fn is_reserved(name: &[u8]) -> bool {
    let name = undecorated(name);
    [HOST.session, SECURE.session].into_iter().any(|own| {
        name.get(..own.len()).is_some_and(|start| start.eq_ignore_ascii_case(own.as_bytes()))
            && name.get(own.len()).is_none_or(|&next| !next.is_ascii_alphanumeric() && next != b'_')
    })
}

/// The name from its first to its last character that may stand in a token without being trimmed anywhere.
fn undecorated(name: &[u8]) -> &[u8] {
    let core = |&b: &u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\'' | b'=' | b',' | b';');
    match (name.iter().position(core), name.iter().rposition(core)) {
        (Some(first), Some(last)) => &name[first..=last],
        _ => &[],
    }
}

/// The name a lenient reader might see: before the first `=` that follows something else.
fn lenient_name(pair: &[u8]) -> &[u8] {
    let start = pair.iter().position(|&b| b != b'=' && b != b' ' && b != b'\t').unwrap_or(pair.len());
    let rest = &pair[start..];
    &rest[..rest.iter().position(|&b| b == b'=').unwrap_or(rest.len())]
}

/// The `Cookie` value for the upstream: everything that is not ours, byte for byte and in order, joined by
/// `"; "`. `None` if nothing is left (R-013, P20).
pub fn strip<'a>(fields: impl Iterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let mut kept: Option<Vec<u8>> = None;
    for pair in pairs(fields).map(|pair| pair.raw).filter(|pair| !is_reserved(lenient_name(pair))) {
        match &mut kept {
            None => kept = Some(pair.to_vec()),
            Some(out) => {
                out.extend_from_slice(b"; ");
                out.extend_from_slice(pair);
            }
        }
    }
    kept
}

/// Whether an upstream's `Set-Cookie` may reach the browser: not if it could set, shadow or expire a cookie of
/// ours, whatever its attributes.
///
/// A field with control characters is refused too: browsers drop it whole (RFC 6265bis section 5.6), so
/// nothing is lost, and nobody can read it differently.
pub fn upstream_may_set(set_cookie: &[u8]) -> bool {
    let pair = set_cookie.split(|&b| b == b';').next().unwrap_or_default();
    let clean = scan::all(set_cookie, |b| !scan::is_control(b));
    clean && !is_reserved(lenient_name(pair))
}

/// An upstream's `Set-Cookie` fields after [`screen`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Screened<'a> {
    /// Those that reach the browser, in order.
    pub kept: Vec<&'a [u8]>,
    /// How many were refused because they touch our names: worth an event.
    pub refused: usize,
}

/// Screens all `Set-Cookie` fields of an upstream's response: none of our names, and of several for the same
/// cookie (name, domain, path) the last one only, which is the one a browser would end up with.
pub fn screen<'a>(fields: impl Iterator<Item = &'a [u8]>) -> Screened<'a> {
    let mut out = Screened::default();
    for field in fields {
        if upstream_may_set(field) {
            let key = storage_key(field);
            out.kept.retain(|earlier| storage_key(earlier) != key);
            out.kept.push(field);
        } else {
            out.refused = out.refused.saturating_add(1);
        }
    }
    out
}

/// What a browser files a cookie under (RFC 6265bis section 5.7): name, domain, path.
fn storage_key(field: &[u8]) -> (Option<&[u8]>, Vec<u8>, &[u8]) {
    let mut parts = field.split(|&b| b == b';').map(halves);
    let name = parts.next().and_then(|(name, value)| value.and(Some(name)));
    let (mut domain, mut path): (&[u8], &[u8]) = (&[], &[]);
    for (attribute, value) in parts {
        if attribute.eq_ignore_ascii_case(b"domain") {
            domain = value.unwrap_or_default();
        } else if attribute.eq_ignore_ascii_case(b"path") {
            path = value.unwrap_or_default();
        }
    }
    (name, domain.strip_prefix(b".").unwrap_or(domain).to_ascii_lowercase(), path)
}

fn halves(part: &[u8]) -> (&[u8], Option<&[u8]>) {
    match part.iter().position(|&b| b == b'=') {
        Some(at) => (part[..at].trim_ascii(), Some(part[at + 1..].trim_ascii())),
        None => (part.trim_ascii(), None),
    }
}
