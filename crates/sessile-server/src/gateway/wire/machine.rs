//! The gate itself: which bytes of a client's stream may pass, decided without I/O.

use super::Limits;
use super::chunk::{ChunkStep, Chunks};
use super::head::{Framing, Head, HeadScan, HeadStep};
use super::violation::WireViolation;

/// What may happen to the bytes presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The first `n` bytes (at least one) may pass; present what follows them next.
    Pass(usize),
    /// No verdict yet: present the same bytes again when there are more.
    More,
    /// The message is complete and its exchange is not: do not even look at what follows before [`Gate::answered`] or [`Gate::switched`].
    Hold,
    /// The head is bad and nothing of it has passed: answer [`WireViolation::refusal`] and close. Every later step says the same.
    Refuse(WireViolation),
    /// The body of a request that has passed breaks its framing: end the stream as faulty. Every later step says the same.
    Break(WireViolation),
}

/// Judges one connection's bytes in their order.
///
/// The verdicts depend on the bytes and on when exchanges end, never on how the stream was cut into pieces. Nothing is stored here
/// but counters and offsets; the caller keeps bytes that have not passed, and there are never more of them than one head (or
/// trailer section) within the limits plus the last piece read.
#[derive(Clone, Debug)]
pub struct Gate {
    limits: Limits,
    state: State,
    exchange: Exchange,
}

#[derive(Clone, Debug)]
enum State {
    Head(HeadScan),
    /// Never zero: a message without a body is `Complete` at once.
    Length(u64),
    Chunked(Chunks),
    Complete,
    Tunnel,
    /// Responses no longer match requests; nothing more passes. The library is about to close.
    Over,
    Refused(WireViolation),
    Broken(WireViolation),
}

/// What is known of the request whose bytes pass, or passed last.
#[derive(Clone, Copy, Debug, Default)]
struct Exchange {
    is_head_method: bool,
    wants_upgrade: bool,
    answered: bool,
}

impl Gate {
    /// A gate before the first byte of a connection.
    pub fn new(limits: Limits) -> Self {
        Self { limits, state: State::Head(HeadScan::default()), exchange: Exchange::default() }
    }

    /// Judges `input`: all bytes that have arrived and not passed, from the first.
    pub fn step(&mut self, input: &[u8]) -> Step {
        match &mut self.state {
            State::Head(scan) => match scan.step(input, &self.limits) {
                HeadStep::Complete(head) => self.admit(head),
                HeadStep::More => Step::More,
                HeadStep::Bad(violation) => {
                    self.state = State::Refused(violation);
                    Step::Refuse(violation)
                }
            },
            State::Length(_) | State::Chunked(_) if input.is_empty() => Step::More,
            State::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= taken as u64;
                if *left == 0 {
                    self.complete();
                }
                Step::Pass(taken)
            }
            State::Chunked(chunks) => match chunks.step(input, &self.limits) {
                ChunkStep::Pass(taken) => Step::Pass(taken),
                ChunkStep::End(taken) => {
                    self.complete();
                    Step::Pass(taken)
                }
                ChunkStep::More => Step::More,
                ChunkStep::Bad(violation) => {
                    self.state = State::Broken(violation);
                    Step::Break(violation)
                }
            },
            State::Tunnel if input.is_empty() => Step::More,
            State::Tunnel => Step::Pass(input.len()),
            State::Complete | State::Over => Step::Hold,
            State::Refused(violation) => Step::Refuse(*violation),
            State::Broken(violation) => Step::Break(*violation),
        }
    }

    /// The final response to the current request has been written. Its body may still be on the way; the next head is read after both.
    pub fn answered(&mut self) {
        match self.state {
            State::Complete => self.state = State::Head(HeadScan::default()),
            State::Length(_) | State::Chunked(_) if !self.exchange.answered => self.exchange.answered = true,
            // A response to nothing: from here on requests and responses cannot be matched.
            State::Head(_) | State::Length(_) | State::Chunked(_) => self.state = State::Over,
            State::Tunnel | State::Over | State::Refused(_) | State::Broken(_) => {}
        }
    }

    /// A 101 has been written. If the request asked for an upgrade and is complete, everything after it is the other protocol's;
    /// otherwise nothing passes any more.
    pub fn switched(&mut self) {
        self.state = match self.state {
            State::Complete if self.exchange.wants_upgrade => State::Tunnel,
            _ => State::Over,
        };
    }

    /// Whether the response to the current request has no body because the request was a `HEAD`.
    pub fn is_head_method(&self) -> bool {
        self.exchange.is_head_method
    }

    /// Whether bytes pass unexamined.
    pub fn is_tunnel(&self) -> bool {
        matches!(self.state, State::Tunnel)
    }

    /// Whether a request's body has begun and not ended, so that the client is probably still sending.
    pub fn is_inside_body(&self) -> bool {
        matches!(self.state, State::Length(_) | State::Chunked(_) | State::Broken(_))
    }

    fn admit(&mut self, head: Head) -> Step {
        self.exchange =
            Exchange { is_head_method: head.is_head_method, wants_upgrade: head.wants_upgrade, answered: false };
        self.state = match head.framing {
            Framing::Length(0) => State::Complete,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(Chunks::new()),
        };
        Step::Pass(head.len)
    }

    fn complete(&mut self) {
        self.state = if self.exchange.answered { State::Head(HeadScan::default()) } else { State::Complete };
    }
}
