//! Which paths mean one thing to every reader (P17, R-114).

use super::{is_path_byte, is_unreserved};

/// What makes a path ambiguous.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PathFault {
    /// It does not begin with `/`.
    NotAbsolute,
    /// A byte no client sends raw: control, white space, non-ASCII, `"`, `#`, `<`, `>`, `\`, a back quote, `{`, `}`.
    Byte,
    /// `%` without two hexadecimal digits.
    Triplet,
    /// An encoded control byte, NUL included.
    EncodedControl,
    /// `%2F`.
    EncodedSlash,
    /// `%5C`.
    EncodedBackslash,
    /// An encoded letter, digit, `-`, `_` or `~`. RFC 3986 section 6.2.2.2 makes it equal to the plain one, so `/%61dmin` is `/admin` to
    /// the application and something else to a rule about `/admin`.
    EncodedUnreserved,
    /// `%25` before two digits which, decoded again, would be refused.
    DoubleEncoding,
    /// A segment `.` or `..`, also before `;`, and any encoded dot.
    DotSegment,
    /// `//`, or a segment that is empty up to its `;`.
    EmptySegment,
    /// An over-long UTF-8 sequence: `%C0%AE` is `.` to a sloppy decoder. Refuses Latin-1 `À` and `Á` with it.
    Overlong,
}

impl PathFault {
    /// The stable reason code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotAbsolute => "path_not_absolute",
            Self::Byte => "path_byte",
            Self::Triplet => "path_triplet",
            Self::EncodedControl => "path_encoded_control",
            Self::EncodedSlash => "path_encoded_slash",
            Self::EncodedBackslash => "path_encoded_backslash",
            Self::EncodedUnreserved => "path_encoded_unreserved",
            Self::DoubleEncoding => "path_double_encoding",
            Self::DotSegment => "path_dot_segment",
            Self::EmptySegment => "path_empty_segment",
            Self::Overlong => "path_overlong",
        }
    }
}

/// Checks that a path, as it stands before `?`, has one meaning.
///
/// # Errors
///
/// The first ambiguity from the left.
pub fn check_path(path: &[u8]) -> Result<(), PathFault> {
    let [b'/', rest @ ..] = path else {
        return Err(PathFault::NotAbsolute);
    };
    let mut stem = Stem::Empty;
    let mut before = None;
    let mut rest = rest;
    while let [byte, after @ ..] = rest {
        rest = after;
        let previous = before.take();
        match *byte {
            b'/' => {
                stem.end()?;
                stem = Stem::Empty;
            }
            b';' => {
                stem.end()?;
                stem = Stem::Other;
            }
            b'.' => stem = stem.dot(),
            b'%' => {
                let [high, low, after @ ..] = rest else {
                    return Err(PathFault::Triplet);
                };
                let Some(decoded) = hex_pair(*high, *low) else {
                    return Err(PathFault::Triplet);
                };
                rest = after;
                check_encoded(decoded)?;
                check_overlong(previous, decoded)?;
                if decoded == b'%' {
                    check_twice_encoded(rest)?;
                }
                if decoded == b';' {
                    stem.end()?;
                }
                before = Some(decoded);
                stem = Stem::Other;
            }
            byte if is_path_byte(byte) => stem = Stem::Other,
            _ => return Err(PathFault::Byte),
        }
    }
    match stem {
        // A trailing slash is an ordinary path.
        Stem::Empty | Stem::Other => Ok(()),
        Stem::Dot | Stem::DotDot => Err(PathFault::DotSegment),
    }
}

/// What a segment is so far, up to its first `;`, because path parameters are cut off before dots are resolved in some servers.
#[derive(Clone, Copy)]
enum Stem {
    Empty,
    Dot,
    DotDot,
    Other,
}

impl Stem {
    fn dot(self) -> Self {
        match self {
            Self::Empty => Self::Dot,
            Self::Dot => Self::DotDot,
            Self::DotDot | Self::Other => Self::Other,
        }
    }

    fn end(self) -> Result<(), PathFault> {
        match self {
            Self::Empty => Err(PathFault::EmptySegment),
            Self::Dot | Self::DotDot => Err(PathFault::DotSegment),
            Self::Other => Ok(()),
        }
    }
}

fn check_encoded(decoded: u8) -> Result<(), PathFault> {
    match decoded {
        0..=0x1f | 0x7f => Err(PathFault::EncodedControl),
        b'/' => Err(PathFault::EncodedSlash),
        b'\\' => Err(PathFault::EncodedBackslash),
        b'.' => Err(PathFault::DotSegment),
        _ if is_unreserved(decoded) => Err(PathFault::EncodedUnreserved),
        _ => Ok(()),
    }
}

fn check_twice_encoded(rest: &[u8]) -> Result<(), PathFault> {
    // The two digits stand plain: encoded ones are refused as encoded unreserved characters.
    let [high, low, ..] = rest else { return Ok(()) };
    match hex_pair(*high, *low) {
        Some(b'%' | b';') => Err(PathFault::DoubleEncoding),
        Some(decoded) => check_encoded(decoded).map_err(|_| PathFault::DoubleEncoding),
        None => Ok(()),
    }
}

fn check_overlong(previous: Option<u8>, decoded: u8) -> Result<(), PathFault> {
    match (previous, decoded) {
        (_, 0xc0 | 0xc1) | (Some(0xe0), 0x80..=0x9f) | (Some(0xf0), 0x80..=0x8f) => Err(PathFault::Overlong),
        _ => Ok(()),
    }
}

pub(super) fn hex_pair(high: u8, low: u8) -> Option<u8> {
    let digit = |b: u8| (b as char).to_digit(16);
    let value = digit(high)? * 16 + digit(low)?;
    u8::try_from(value).ok()
}
