//! CRLF-terminated lines, found incrementally.

use std::ops::Range;

use sessile_core::scan;

use super::violation::WireViolation;

/// Where the search for the next line of a section stands. Offsets count from the section's first byte, so the caller presents the
/// section from its beginning each time, and no byte is searched twice.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines {
    start: usize,
    searched: usize,
}

pub(super) enum NextLine {
    /// The line without its CRLF.
    Found(Range<usize>),
    /// No verdict without more bytes.
    More,
    /// The section does not end within the limit.
    TooLong,
    /// A control byte other than TAB that is not part of a CRLF.
    Bad(WireViolation),
}

impl Lines {
    /// Bytes up to and with the last line found.
    pub(super) fn consumed(&self) -> usize {
        self.start
    }

    /// The next line of `section`, which may be `limit` bytes long with all its line ends.
    ///
    /// The verdict depends on the bytes alone, not on how they were cut: a byte is judged before the limit is, exactly if it stands
    /// inside the limit.
    pub(super) fn next(&mut self, section: &[u8], limit: usize) -> NextLine {
        let Some(offset) = scan::find(&section[self.searched..], scan::is_control) else {
            self.searched = section.len();
            return if section.len() > limit { NextLine::TooLong } else { NextLine::More };
        };
        let at = self.searched + offset;
        if at >= limit {
            return NextLine::TooLong;
        }
        match (section[at], section.get(at + 1)) {
            (b'\r', Some(b'\n')) => {
                let end = at + 2;
                if end > limit {
                    return NextLine::TooLong;
                }
                let line = self.start..at;
                self.start = end;
                self.searched = end;
                NextLine::Found(line)
            }
            (b'\r', Some(_)) => NextLine::Bad(WireViolation::BareCr),
            (b'\r', None) => {
                self.searched = at;
                NextLine::More
            }
            (b'\n', _) => NextLine::Bad(WireViolation::BareLf),
            _ => NextLine::Bad(WireViolation::ControlByte),
        }
    }
}
