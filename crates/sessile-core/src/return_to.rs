//! Where a user is sent after sign-in: a path of this very origin, or nowhere (R-122, P30).

use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// A path and query that every browser resolves to this origin, whatever the base.
///
/// Made only by [`safe`]. Its text is already what the WHATWG URL parser would re-serialise, so a `Location`
/// written from it cannot be read differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnTo(String);

impl ReturnTo {
    /// The text for a `Location` field.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Longest accepted text, in bytes.
pub const MAX_BYTES: usize = 2048;

/// Accepts a same-origin path, or nothing. A refusal costs the user a click; a wrong acceptance sends them,
/// freshly signed in, to a stranger's page.
///
/// The grammar, a subset of RFC 3986 and of what the WHATWG parser leaves untouched:
///
/// ```text
/// return-to = path [ "?" 1*( qchar / escape ) ]
/// path      = "/" [ segment *( "/" segment ) [ "/" ] ]
/// segment   = 1*( pchar / escape )            ; not "." or ".."
/// pchar     = ALPHA / DIGIT / "-" / "." / "_" / "~" / "!" / "$" / "&" / "(" / ")" / "*" / "+" / "," / "=" / ":"
/// qchar     = pchar / "/" / "?" / ";" / "[" / "]" / "@"
/// escape    = "%" HEXDIG HEXDIG
/// ```
///
/// Escapes decode to UTF-8 without control, direction or look-alike slash characters. In the path no escape
/// stands for a slash, backslash, dot, at sign, semicolon or percent sign, so decoding once more leads nowhere else.
pub fn safe(input: &str) -> Option<ReturnTo> {
    if input.len() > MAX_BYTES {
        return None;
    }
    let (path, query) = match input.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (input, None),
    };
    let segments = path.strip_prefix('/')?;
    // An empty segment is `//`, except the last one: a trailing slash.
    let inner = segments.strip_suffix('/').unwrap_or(segments);
    let empty_inside = !segments.is_empty() && inner.split('/').any(str::is_empty);
    let dotted = inner.split('/').any(|segment| segment == "." || segment == "..");
    if empty_inside || dotted {
        return None;
    }
    let path_is_fine = decodes_to_harmless_text(segments, |b| b == b'/' || is_pchar(b), b"/\\.@;%");
    let query_is_fine = query.is_none_or(|query| !query.is_empty() && decodes_to_harmless_text(query, is_qchar, b""));
    (path_is_fine && query_is_fine).then(|| ReturnTo(input.to_string()))
}

fn is_pchar(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-._~!$&()*+,=:".contains(&b)
}

fn is_qchar(b: u8) -> bool {
    is_pchar(b) || b"/?;[]@".contains(&b)
}

fn decodes_to_harmless_text(text: &str, may_stand_raw: impl Fn(u8) -> bool, never_escaped: &[u8]) -> bool {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b == b'%' {
            let (Some(high), Some(low)) = (bytes.next().and_then(hex), bytes.next().and_then(hex)) else {
                return false;
            };
            let byte = high << 4 | low;
            if never_escaped.contains(&byte) {
                return false;
            }
            decoded.push(byte);
        } else if may_stand_raw(b) {
            decoded.push(b);
        } else {
            return false;
        }
    }
    // Overlong forms of a slash are not UTF-8 and fall here.
    core::str::from_utf8(&decoded).is_ok_and(|text| !text.chars().any(misleads))
}

fn hex(b: u8) -> Option<u8> {
    char::from(b).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Characters that split a header or log line, reorder text, or turn into a slash under compatibility
/// normalisation.
fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
        || matches!(c, '\u{ff0f}' | '\u{ff3c}' | '\u{fe68}' | '\u{2044}' | '\u{2215}' | '\u{29f8}')
}
