//! The chunked coding of a request body (RFC 9112 section 7.1): sizes and data stream through, the trailer section is held until
//! it is whole.

use super::Limits;
use super::head::split_field;
use super::lines::{Lines, NextLine};
use super::violation::WireViolation;

/// Fields that must not come late (RFC 9110 section 6.5.1): framing, routing, authentication, and what changes how a body is read.
/// The gateway drops every trailer; one of these shows that somebody hopes otherwise.
const NOT_IN_TRAILERS: &[&str] = &[
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "max-forwards",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Where in a chunked body the next byte stands.
#[derive(Clone, Debug)]
pub(super) struct Chunks {
    part: Part,
    extension_bytes: usize,
}

#[derive(Clone, Debug)]
enum Part {
    Chunk(Place),
    Trailers { lines: Lines, fields: usize },
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Size { digits: u8, value: u64 },
    Extension { value: u64, len: usize },
    SizeLf { value: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
}

const NEXT_CHUNK: Place = Place::Size { digits: 0, value: 0 };

pub(super) enum ChunkStep {
    /// The first `n` bytes may pass; the body goes on.
    Pass(usize),
    /// The first `n` bytes may pass and end the message.
    End(usize),
    /// No verdict without more bytes.
    More,
    Bad(WireViolation),
}

impl Chunks {
    pub(super) fn new() -> Self {
        Self { part: Part::Chunk(NEXT_CHUNK), extension_bytes: 0 }
    }

    /// Reads on in `input`, whose first byte is the first that has not passed yet.
    pub(super) fn step(&mut self, input: &[u8], limits: &Limits) -> ChunkStep {
        let mut at = 0;
        loop {
            let place = match &mut self.part {
                Part::Chunk(place) => *place,
                // The section is presented from its first byte, so what precedes it goes first.
                Part::Trailers { .. } if at > 0 => return ChunkStep::Pass(at),
                Part::Trailers { lines, fields } => return trailers(lines, fields, input, limits),
            };
            let Some(&byte) = input.get(at) else {
                return if at > 0 { ChunkStep::Pass(at) } else { ChunkStep::More };
            };
            match self.advance(place, byte, input.len() - at, limits) {
                Ok((part, taken)) => {
                    self.part = part;
                    at += taken;
                }
                // Bytes before the bad one pass first, so that what the library has seen does not depend on how the stream was cut.
                Err(_) if at > 0 => return ChunkStep::Pass(at),
                Err(violation) => return ChunkStep::Bad(violation),
            }
        }
    }

    /// What follows `place`, given the next `byte` of `available`, and how many of them are taken: one, except of data.
    fn advance(
        &mut self,
        place: Place,
        byte: u8,
        available: usize,
        limits: &Limits,
    ) -> Result<(Part, usize), WireViolation> {
        let next = match (place, byte) {
            (Place::Size { digits, value }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                if digits == 16 {
                    return Err(WireViolation::ChunkSize);
                }
                let digit = (byte as char).to_digit(16).map_or(0, u64::from);
                let value = value * 16 + digit;
                if i64::try_from(value).is_err() {
                    return Err(WireViolation::ChunkSize);
                }
                Place::Size { digits: digits + 1, value }
            }
            (Place::Size { digits: 1.., value }, b'\r') => Place::SizeLf { value },
            (Place::Size { digits: 1.., value }, b';') => {
                self.count_extension(limits)?;
                Place::Extension { value, len: 1 }
            }
            (Place::Size { .. }, b'\n') => return Err(WireViolation::BareLf),
            (Place::Size { .. }, _) => return Err(WireViolation::ChunkSize),
            (Place::Extension { value, .. }, b'\r') => Place::SizeLf { value },
            (Place::Extension { .. }, b'\n') => return Err(WireViolation::BareLf),
            (Place::Extension { value, len }, b'\t' | 0x20..=0x7e) if len < limits.chunk_extension_bytes => {
                self.count_extension(limits)?;
                Place::Extension { value, len: len + 1 }
            }
            (Place::Extension { .. }, _) => return Err(WireViolation::ChunkExtension),
            (Place::SizeLf { value: 0 }, b'\n') => {
                return Ok((Part::Trailers { lines: Lines::default(), fields: 0 }, 1));
            }
            (Place::SizeLf { value: left }, b'\n') => Place::Data { left },
            (Place::SizeLf { .. }, _) => return Err(WireViolation::BareCr),
            (Place::Data { left }, _) => {
                let taken = usize::try_from(left).unwrap_or(usize::MAX).min(available);
                let next = match left - taken as u64 {
                    0 => Place::DataCr,
                    left => Place::Data { left },
                };
                return Ok((Part::Chunk(next), taken));
            }
            (Place::DataCr, b'\r') => Place::DataLf,
            (Place::DataLf, b'\n') => NEXT_CHUNK,
            (Place::DataCr | Place::DataLf, _) => return Err(WireViolation::ChunkEnd),
        };
        Ok((Part::Chunk(next), 1))
    }

    fn count_extension(&mut self, limits: &Limits) -> Result<(), WireViolation> {
        if self.extension_bytes >= limits.body_extension_bytes {
            return Err(WireViolation::ChunkExtension);
        }
        self.extension_bytes += 1;
        Ok(())
    }
}

fn trailers(lines: &mut Lines, fields: &mut usize, section: &[u8], limits: &Limits) -> ChunkStep {
    loop {
        let line = match lines.next(section, limits.trailer_bytes) {
            NextLine::Found(line) => line,
            NextLine::More => return ChunkStep::More,
            NextLine::TooLong => return ChunkStep::Bad(WireViolation::TrailersTooLarge),
            NextLine::Bad(violation) => return ChunkStep::Bad(violation),
        };
        if line.is_empty() {
            return ChunkStep::End(lines.consumed());
        }
        *fields += 1;
        if *fields > limits.trailer_fields {
            return ChunkStep::Bad(WireViolation::TrailersTooLarge);
        }
        let forbidden = |name: &[u8]| NOT_IN_TRAILERS.iter().any(|bad| name.eq_ignore_ascii_case(bad.as_bytes()));
        match split_field(&section[line]) {
            Err(violation) => return ChunkStep::Bad(violation),
            Ok((name, _)) if forbidden(name) => return ChunkStep::Bad(WireViolation::TrailerField),
            Ok(_) => {}
        }
    }
}
