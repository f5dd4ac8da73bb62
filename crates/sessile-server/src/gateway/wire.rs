//! The wire gate: every byte a client sends on an HTTP/1 connection is judged here before the HTTP library reads it.
//!
//! The library accepts what a guard must not (bare LF, no Host or two, `#` in a target, `Content-Length` beside `Transfer-Encoding`,
//! `TRACE`), and some of it leaves no trace in a parsed request. So [`StrictIo`] stands between socket and library:
//!
//! ```text
//! socket ──► StrictIo ──► http1::Builder::serve_connection(io, service).with_upgrades()
//!              │  Gate: where each message begins and ends, and whether it is unambiguous (pure, no I/O)
//!              └  Reply: where each response ends, read off the bytes the library writes
//! ```
//!
//! * A head is held back until it is complete and good, then passed on byte for byte. Bodies stream.
//! * One exchange at a time: nothing after a message is even looked at until its response has been written. So a refusal can never
//!   cut into an earlier response, and bytes behind an `Upgrade` are not taken for a request, or for tunnel data, before the outcome
//!   is known (RUSTSEC-2026-0033).
//! * After a 101 that answers an upgrade, bytes pass unexamined. The gate sees the 101 itself; nobody has to tell it.
//! * A bad head is answered by the gate (400, 405, 414, 431, 501 or 505 as `application/problem+json`), the library sees the end of
//!   the stream, and the connection closes. A body that breaks its framing was already admitted: the service gets an error from
//!   the body (see [`WireViolation::in_error`]), its answer if any goes out, and the connection closes.
//!
//! A false refusal costs one client a 400. A false pass is request smuggling.
//!
//! What is stricter here than RFC 9112: HTTP/1.0 needs a Host too; an empty line before a request is not skipped; absolute-form must
//! agree with Host and have a path; a framing field has at most one blank around its value; methods are capital letters.
//! What is not: bytes 0x80-0xFF pass in field values.

mod chunk;
mod head;
mod io;
mod lines;
mod machine;
mod refusal;
mod reply;
#[cfg(test)]
mod tests;
mod violation;

pub use io::{Observer, StrictIo};
pub use machine::{Gate, Step};
pub use refusal::WireRules;
pub use violation::WireViolation;

use super::gate::{MAX_FIELDS, MAX_HEAD_BYTES};

/// How much of anything the gate holds back or tolerates per message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of request line and fields, up to and with the empty line. The library's own limit on a target is 65,534 bytes.
    pub head_bytes: usize,
    /// Fields of a head. The library's own default limit is 100 as well; raise both or neither.
    pub fields: usize,
    /// Bytes from `;` to the end of one chunk-size line.
    pub chunk_extension_bytes: usize,
    /// Bytes of all chunk extensions of one body. Must stay below the 16 KiB at which the library gives up.
    pub body_extension_bytes: usize,
    /// Bytes of the trailer section.
    pub trailer_bytes: usize,
    /// Fields of the trailer section.
    pub trailer_fields: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: MAX_HEAD_BYTES,
            fields: MAX_FIELDS,
            chunk_extension_bytes: 256,
            body_extension_bytes: 8 * 1024,
            trailer_bytes: 4 * 1024,
            trailer_fields: 32,
        }
    }
}
