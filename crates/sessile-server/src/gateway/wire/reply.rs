//! Where a response ends, read off the bytes the HTTP library writes.
//!
//! The library's output is trusted to be well formed; what does not look so counts as a response that ends with the connection, so
//! that an error here stops the next request instead of passing it too early.

use sessile_core::scan;

/// Follows the responses on one connection.
#[derive(Debug)]
pub(super) struct Reply {
    state: State,
}

/// What the bytes written so far amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Nothing new.
    Going,
    /// The last byte of a final response has been written.
    Finished,
    /// The last byte of a 101 has been written.
    Switched,
}

#[derive(Debug)]
enum State {
    /// The beginning of a head that did not come in one piece.
    Head(Vec<u8>),
    Length(u64),
    Chunked(Chunk),
    UntilClose,
}

#[derive(Clone, Copy, Debug)]
enum Chunk {
    Size { value: u64 },
    SizeLine { value: u64 },
    Data { left: u64 },
    DataEnd,
    TrailerLine { empty: bool },
}

enum Body {
    Informational,
    Switch,
    Empty,
    Length(u64),
    Chunked,
    UntilClose,
}

impl Reply {
    pub(super) fn new() -> Self {
        Self { state: State::Head(Vec::new()) }
    }

    /// Takes note of bytes the socket has accepted, in their order. `is_head_method`: they answer a `HEAD`.
    pub(super) fn written(&mut self, bytes: &[u8], is_head_method: bool) -> Progress {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (taken, progress) = self.advance(rest, is_head_method);
            rest = &rest[taken..];
            if progress != Progress::Going {
                // A byte behind a complete response answers nothing: exchanges do not overlap.
                self.state = if rest.is_empty() { State::Head(Vec::new()) } else { State::UntilClose };
                return if rest.is_empty() { progress } else { Progress::Going };
            }
        }
        Progress::Going
    }

    /// Takes at least one byte of `rest`, which is not empty.
    fn advance(&mut self, rest: &[u8], is_head_method: bool) -> (usize, Progress) {
        match &mut self.state {
            State::Head(begun) => {
                let before = begun.len();
                // Usually the library writes a head in one piece, and nothing is copied.
                let head = if before == 0 {
                    end_of_head(rest, 0).map(|end| &rest[..end])
                } else {
                    begun.extend_from_slice(rest);
                    end_of_head(begun, before).map(|end| &begun[..end])
                };
                let Some(head) = head else {
                    if before == 0 {
                        begun.extend_from_slice(rest);
                    }
                    return (rest.len(), Progress::Going);
                };
                let taken = head.len() - before;
                let body = body(head, is_head_method);
                let (state, progress) = match body {
                    Body::Informational => (State::Head(Vec::new()), Progress::Going),
                    Body::Switch => (State::Head(Vec::new()), Progress::Switched),
                    Body::Empty | Body::Length(0) => (State::Head(Vec::new()), Progress::Finished),
                    Body::Length(length) => (State::Length(length), Progress::Going),
                    Body::Chunked => (State::Chunked(Chunk::Size { value: 0 }), Progress::Going),
                    Body::UntilClose => (State::UntilClose, Progress::Going),
                };
                self.state = state;
                (taken, progress)
            }
            State::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                *left -= taken as u64;
                (taken, if *left == 0 { Progress::Finished } else { Progress::Going })
            }
            State::Chunked(chunk) => match chunk.advance(rest) {
                Some((next, taken)) => {
                    *chunk = next;
                    (taken, Progress::Going)
                }
                None => (1, Progress::Finished),
            },
            State::UntilClose => (rest.len(), Progress::Going),
        }
    }
}

impl Chunk {
    /// The next place and how many bytes led there; `None` if the one byte taken ends the body.
    fn advance(self, rest: &[u8]) -> Option<(Self, usize)> {
        let byte = rest[0];
        let next = match self {
            Self::Size { value } => match (byte as char).to_digit(16) {
                Some(digit) => Self::Size { value: value.saturating_mul(16).saturating_add(u64::from(digit)) },
                None => Self::SizeLine { value }.line(byte),
            },
            Self::SizeLine { .. } => self.line(byte),
            Self::Data { left } => {
                let taken = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                let left = left - taken as u64;
                return Some((if left == 0 { Self::DataEnd } else { Self::Data { left } }, taken));
            }
            Self::DataEnd if byte == b'\n' => Self::Size { value: 0 },
            Self::DataEnd => Self::DataEnd,
            Self::TrailerLine { empty } => match byte {
                b'\n' if empty => return None,
                b'\n' => Self::TrailerLine { empty: true },
                b'\r' => self,
                _ => Self::TrailerLine { empty: false },
            },
        };
        Some((next, 1))
    }

    fn line(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::SizeLine { value: 0 }, b'\n') => Self::TrailerLine { empty: true },
            (Self::SizeLine { value: left }, b'\n') => Self::Data { left },
            (place, _) => place,
        }
    }
}

/// The length of the head that `bytes` begin with, if they hold all of it; bytes before `from` have been searched.
fn end_of_head(bytes: &[u8], from: usize) -> Option<usize> {
    const END: &[u8] = b"\r\n\r\n";
    let mut from = from.saturating_sub(END.len() - 1);
    loop {
        let at = from + scan::find(&bytes[from..], |b| b == END[0])?;
        if bytes[at..].starts_with(END) {
            return Some(at + END.len());
        }
        from = at + 1;
    }
}

/// How the body behind a response head is framed (RFC 9112 section 6.3).
fn body(head: &[u8], is_head_method: bool) -> Body {
    let status = match head {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0' | b'1', b' ', digits @ ..] => match digits {
            [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', b' ' | b'\r', ..] => [*a, *b, *c],
            _ => return Body::UntilClose,
        },
        _ => return Body::UntilClose,
    };
    match &status {
        b"101" => return Body::Switch,
        [b'1', ..] => return Body::Informational,
        b"204" | b"304" => return Body::Empty,
        _ if is_head_method => return Body::Empty,
        _ => {}
    }
    let mut framing = Body::UntilClose;
    for line in head.split(|&b| b == b'\n').skip(1) {
        let Some(colon) = line.iter().position(|&b| b == b':') else {
            continue;
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return if value.to_ascii_lowercase().ends_with(b"chunked") { Body::Chunked } else { Body::UntilClose };
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
            framing = length.map_or(Body::UntilClose, Body::Length);
        }
    }
    framing
}
