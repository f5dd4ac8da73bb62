//! Reading the `Cookie` field.

use super::CookieConfig;
use crate::rotation::SessionToken;
use crate::{SecretStr, scan};

/// What a request carries under our two names.
#[derive(Clone, Debug, Default)]
pub struct Presented<'a> {
    /// The session token, spelled as we write it. Not yet checked against anything.
    pub session_token: Option<SessionToken>,
    /// The access token's text. Not yet checked against anything.
    pub access_token: Option<SecretStr<'a>>,
    /// What was odd.
    pub problem: Option<CookieProblem>,
    /// Whether anything at all came under one of the two configured names, usable or not.
    pub any: bool,
}

/// What was odd about our cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieProblem {
    /// Two values under one of our names: somebody planted one, and it cannot be told which. There is no
    /// session (R-011, J4); the caller clears both cookies and writes an event.
    Duplicate,
    /// A value that we cannot have written. That token is absent; the other one counts.
    Malformed,
}

impl CookieProblem {
    /// Stable reason code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Duplicate => "cookie_duplicate",
            Self::Malformed => "cookie_malformed",
        }
    }
}

/// One cookie of a `Cookie` field.
pub(super) struct Pair<'a> {
    /// The bytes as they came, without the blanks around them.
    pub(super) raw: &'a [u8],
    /// Name and value; `None` for a nameless cookie, with or without its `=`.
    pub(super) named: Option<(&'a [u8], &'a [u8])>,
}

/// Splits the fields of one request into cookies.
///
/// All fields are one list, whether they came as one line, as several, or as HTTP/2 crumbs (RFC 9113 section
/// 8.2.3; R-012). Around a pair, spaces and tabs are dropped; inside it nothing is: `name =value` has a name
/// that ends in a space.
pub(super) fn pairs<'a>(fields: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = Pair<'a>> {
    fields.flat_map(between_semicolons).map(trim_blanks).filter(|raw| !raw.is_empty()).map(|raw| {
        let named = match raw.iter().position(|&b| b == b'=') {
            Some(0) | None => None,
            Some(at) => Some((&raw[..at], &raw[at + 1..])),
        };
        Pair { raw, named }
    })
}

fn between_semicolons(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(field);
    core::iter::from_fn(move || {
        let bytes = rest?;
        let end = scan::find(bytes, |b| b == b';');
        rest = end.map(|end| &bytes[end + 1..]);
        Some(&bytes[..end.unwrap_or(bytes.len())])
    })
}

fn trim_blanks(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Reads our cookies out of every `Cookie` field of a request.
///
/// Names match byte for byte: no decoding, no case folding, no `$Version`, no quoted values (R-011, J1 to J3).
/// Names of the other prefix are not read either.
pub fn parse<'a>(config: &CookieConfig, fields: impl Iterator<Item = &'a [u8]>) -> Presented<'a> {
    let names = config.names();
    let (mut session, mut access, mut duplicate) = (None, None, false);
    for (name, value) in pairs(fields).filter_map(|pair| pair.named) {
        let slot = if name == names.session.as_bytes() {
            &mut session
        } else if name == names.access.as_bytes() {
            &mut access
        } else {
            continue;
        };
        duplicate |= slot.replace(value).is_some();
    }
    let any = session.is_some() || access.is_some();
    if duplicate {
        return Presented { problem: Some(CookieProblem::Duplicate), any, ..Presented::default() };
    }
    let session_token = session.and_then(|value| SessionToken::parse(core::str::from_utf8(value).ok()?));
    let access_token = access.and_then(compact_token);
    let malformed = (session.is_some() && session_token.is_none()) || (access.is_some() && access_token.is_none());
    Presented { session_token, access_token, problem: malformed.then_some(CookieProblem::Malformed), any }
}

/// An access token is base64url and dots (RFC 7515 section 3.1); anything else was not written by us.
fn compact_token(value: &[u8]) -> Option<SecretStr<'_>> {
    let plausible = !value.is_empty() && value.len() <= super::MAX_OCTETS && scan::all(value, is_of_compact_token);
    let text = core::str::from_utf8(value).ok()?;
    plausible.then(|| SecretStr::new(text))
}

const fn is_of_compact_token(byte: u8) -> bool {
    let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    let digit = byte.wrapping_sub(b'0') < 10;
    letter | digit | (byte == b'-') | (byte == b'_') | (byte == b'.')
}

/// More cookies than any browser keeps for one site (Chromium: 180 for a registrable domain).
pub const MAX_PAIRS: usize = 200;
/// More octets of cookies than servers and proxies commonly let pass.
pub const MAX_HEADER_OCTETS: usize = 16 * 1024;

/// How much came in the `Cookie` fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// A sane amount.
    Fine,
    /// More than [`MAX_PAIRS`] pairs or [`MAX_HEADER_OCTETS`] octets: answer 431 and offer a way out,
    /// else a site that set too much locks its own users out.
    TooMuch,
}

/// Weighs the `Cookie` fields of a request, before anything else looks at them.
pub fn weigh<'a>(fields: impl Iterator<Item = &'a [u8]>) -> Load {
    let (mut octets, mut count) = (0_usize, 0_usize);
    for field in fields {
        octets = octets.saturating_add(field.len());
        if octets > MAX_HEADER_OCTETS {
            return Load::TooMuch;
        }
        count = count.saturating_add(pairs(core::iter::once(field)).count());
    }
    if count > MAX_PAIRS { Load::TooMuch } else { Load::Fine }
}
