//! The request head: request line and fields (RFC 9112 sections 2 to 6), judged line by line.

use std::ops::Range;

use super::Limits;
use super::lines::{Lines, NextLine};
use super::violation::WireViolation;
use crate::gateway::gate::{
    HeadViolation, check_method, is_framing_alias, is_host, is_path_byte, is_query_byte, parse_length,
};

/// What a good head says about the bytes behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Bytes of the head, with the empty line.
    pub(super) len: usize,
    pub(super) framing: Framing,
    /// The response will have no body.
    pub(super) is_head_method: bool,
    /// The client offers to change the protocol (HTTP/1.1 only: RFC 9110 section 7.8).
    pub(super) wants_upgrade: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
}

pub(super) enum HeadStep {
    Complete(Head),
    More,
    Bad(WireViolation),
}

/// A head of which some lines have been read. Ranges point into the section from its first byte.
#[derive(Clone, Debug, Default)]
pub(super) struct HeadScan {
    lines: Lines,
    request: Option<RequestLine>,
    fields: usize,
    host: Option<Range<usize>>,
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
}

#[derive(Clone, Debug)]
struct RequestLine {
    http10: bool,
    is_head_method: bool,
    /// The authority of an absolute-form target.
    authority: Option<Range<usize>>,
}

impl HeadScan {
    /// Reads on. `section` begins with the first byte of the head, and has grown since the last call.
    pub(super) fn step(&mut self, section: &[u8], limits: &Limits) -> HeadStep {
        match self.read(section, limits) {
            Ok(Some(head)) => HeadStep::Complete(head),
            Ok(None) => HeadStep::More,
            Err(violation) => HeadStep::Bad(violation),
        }
    }

    fn read(&mut self, section: &[u8], limits: &Limits) -> Result<Option<Head>, WireViolation> {
        match section.first() {
            None => return Ok(None),
            Some(b'\r' | b'\n') => return Err(WireViolation::EmptyLine),
            // A client that speaks something else may wait for an answer before it sends anything like a line end.
            Some(byte) if !byte.is_ascii_alphabetic() => return Err(WireViolation::NotHttp),
            Some(_) => {}
        }
        loop {
            let line = match self.lines.next(section, limits.head_bytes) {
                NextLine::Found(line) => line,
                NextLine::More => return Ok(None),
                NextLine::TooLong if self.request.is_none() => {
                    return Err(WireViolation::TargetTooLong);
                }
                NextLine::TooLong => return Err(WireViolation::HeadTooLarge),
                NextLine::Bad(violation) => return Err(violation),
            };
            match &self.request {
                None => self.request = Some(request_line(section, line)?),
                Some(request) if line.is_empty() => {
                    return self.complete(section, request).map(Some);
                }
                Some(request) => {
                    let http10 = request.http10;
                    self.fields += 1;
                    if self.fields > limits.fields {
                        return Err(WireViolation::TooManyFields);
                    }
                    self.field(section, line, http10)?;
                }
            }
        }
    }

    fn field(&mut self, section: &[u8], line: Range<usize>, http10: bool) -> Result<(), WireViolation> {
        let (name, value) = split_field(&section[line.clone()])?;
        // These four decide where the message ends and whom it is for, so their values are read to the letter: one blank after
        // the colon, none behind, although RFC 9112 section 5 allows any number of both.
        let value = value.strip_prefix(b" ").unwrap_or(value);
        if name.eq_ignore_ascii_case(b"host") {
            if self.host.is_some() {
                return Err(WireViolation::HostRepeated);
            }
            if !is_host(value) {
                return Err(WireViolation::HostInvalid);
            }
            self.host = Some(line.end - value.len()..line.end);
        } else if name.eq_ignore_ascii_case(b"content-length") {
            if self.length.is_some() {
                return Err(WireViolation::ContentLengthRepeated);
            }
            if self.chunked {
                return Err(WireViolation::LengthAndChunked);
            }
            self.length = Some(parse_length(value).ok_or(WireViolation::ContentLength)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.chunked {
                return Err(WireViolation::TransferEncodingRepeated);
            }
            if http10 {
                return Err(WireViolation::TransferEncodingHttp10);
            }
            if self.length.is_some() {
                return Err(WireViolation::LengthAndChunked);
            }
            transfer_encoding(value)?;
            self.chunked = true;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            self.upgrade = true;
        } else if is_framing_alias(name) {
            return Err(WireViolation::FramingAlias);
        }
        Ok(())
    }

    fn complete(&self, section: &[u8], request: &RequestLine) -> Result<Head, WireViolation> {
        let host = self.host.clone().ok_or(WireViolation::HostMissing)?;
        if let Some(authority) = &request.authority
            && !section[authority.clone()].eq_ignore_ascii_case(&section[host])
        {
            return Err(WireViolation::TargetAuthority);
        }
        Ok(Head {
            len: self.lines.consumed(),
            framing: if self.chunked { Framing::Chunked } else { Framing::Length(self.length.unwrap_or(0)) },
            is_head_method: request.is_head_method,
            wants_upgrade: self.upgrade && !request.http10,
        })
    }
}

fn request_line(section: &[u8], line: Range<usize>) -> Result<RequestLine, WireViolation> {
    let bytes = &section[line.clone()];
    if bytes == b"PRI * HTTP/2.0" {
        return Err(WireViolation::Http2Preface);
    }
    let mut parts = bytes.split(|&b| b == b' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(WireViolation::RequestLine);
    };
    let http10 = match version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            return Err(WireViolation::Version);
        }
        _ => return Err(WireViolation::RequestLine),
    };
    check_method(method).map_err(|violation| match violation {
        HeadViolation::MethodRefused => WireViolation::MethodRefused,
        _ => WireViolation::Method,
    })?;
    let start = line.start + method.len() + 1;
    let authority = target_authority(target, method == b"OPTIONS")?;
    Ok(RequestLine {
        http10,
        is_head_method: method == b"HEAD",
        authority: authority.map(|within| start + within.start..start + within.end),
    })
}

/// Checks the target's form and bytes; where the authority stands, if it is in absolute-form. What its path means is for the head gate.
fn target_authority(target: &[u8], options: bool) -> Result<Option<Range<usize>>, WireViolation> {
    if target.contains(&b'#') {
        return Err(WireViolation::Fragment);
    }
    let (authority, path_and_query) = match target {
        b"*" if options => return Ok(None),
        [b'/', ..] => (None, target),
        _ => {
            let scheme = [b"http://".as_slice(), b"https://"]
                .iter()
                .map(|scheme| scheme.len())
                .find(|&len| target.len() > len && is_scheme(&target[..len]))
                .ok_or(WireViolation::Target)?;
            let rest = &target[scheme..];
            let end = rest.iter().position(|&b| b == b'/').ok_or(WireViolation::Target)?;
            if !is_host(&rest[..end]) {
                return Err(WireViolation::Target);
            }
            (Some(scheme..scheme + end), &rest[end..])
        }
    };
    let path = path_and_query.split(|&b| b == b'?').next().unwrap_or_default();
    let query = &path_and_query[path.len()..];
    if path.iter().all(|&b| is_path_byte(b)) && query.iter().all(|&b| is_query_byte(b)) {
        Ok(authority)
    } else {
        Err(WireViolation::Target)
    }
}

fn is_scheme(bytes: &[u8]) -> bool {
    bytes.eq_ignore_ascii_case(b"http://") || bytes.eq_ignore_ascii_case(b"https://")
}

/// Splits a field line at its colon; the value keeps its blanks. Control bytes are not in it: [`Lines`] refuses them.
pub(super) fn split_field(line: &[u8]) -> Result<(&[u8], &[u8]), WireViolation> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(WireViolation::ObsFold);
    }
    let colon = line.iter().position(|&b| b == b':').ok_or(WireViolation::FieldName)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    match name.last() {
        None => Err(WireViolation::FieldName),
        Some(b' ' | b'\t') => Err(WireViolation::SpaceBeforeColon),
        Some(_) if name.iter().all(|&b| is_token_byte(b)) => Ok((name, value)),
        Some(_) => Err(WireViolation::FieldName),
    }
}

/// RFC 9110 section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

fn transfer_encoding(value: &[u8]) -> Result<(), WireViolation> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let Some(codings) = value.len().checked_sub(b", chunked".len()).map(|at| value.split_at(at)) else {
        return Err(WireViolation::TransferEncoding);
    };
    let known = |coding: &[u8]| {
        [b"gzip".as_slice(), b"deflate", b"compress", b"x-gzip", b"x-compress"]
            .iter()
            .any(|known| coding.trim_ascii().eq_ignore_ascii_case(known))
    };
    let (before, last) = codings;
    if last.eq_ignore_ascii_case(b", chunked") && before.split(|&b| b == b',').all(known) {
        Err(WireViolation::TransferCoding)
    } else {
        Err(WireViolation::TransferEncoding)
    }
}
