//! The gate between a socket and the HTTP library.

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use tokio::time::{Sleep, sleep};

use super::machine::{Gate, Step};
use super::refusal::WireRules;
use super::reply::{Progress, Reply};
use super::violation::WireViolation;

/// Called once with the reason a connection's bytes were refused.
pub type Observer = Arc<dyn Fn(WireViolation) + Send + Sync>;

/// Bytes taken from the socket at a time. They lie on the stack, so that an idle connection holds no buffer.
const PIECE: usize = 16 * 1024;

/// How long, and for how many bytes, a connection that ends before its client has finished sending goes on reading. Closing with
/// unread bytes makes TCP reset the connection, and the reset can overtake the response (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 * 1024;

/// A connection that lets only unambiguous HTTP/1 reach its reader. See the [module](super) for what that means.
///
/// `IO` is what would otherwise be given to the HTTP library, for instance `TokioIo<TcpStream>` or `TokioIo<TlsStream<TcpStream>>`.
/// One task must do both the reading and the writing, as the library's connection future does, with tokio's time driver enabled.
pub struct StrictIo<IO> {
    io: IO,
    rules: Arc<WireRules>,
    /// Taken when it has been called.
    observer: Option<Observer>,
    gate: Gate,
    reply: Reply,
    /// Received, not passed.
    held: BytesMut,
    /// How many bytes at the front of the unpassed ones may pass.
    cleared: usize,
    refusal: Option<Written>,
    /// Who waits for the end of an exchange with nothing else to wake it.
    parked: Option<Waker>,
    linger: Option<Linger>,
}

/// A response of the gate's own, on its way out.
struct Written {
    response: Vec<u8>,
    sent: usize,
}

struct Linger {
    end: Pin<Box<Sleep>>,
    closed: bool,
    discarded: usize,
}

enum Sifted {
    /// The reader's buffer is full.
    Full,
    More,
    Hold,
    Refuse(WireViolation),
    Break(WireViolation),
}

impl<IO> StrictIo<IO> {
    /// Puts the gate before `io`, whose first byte is the first of a connection (or of what is inside its TLS).
    pub fn new(io: IO, rules: Arc<WireRules>, observer: Observer) -> Self {
        let gate = Gate::new(rules.limits);
        Self {
            io,
            rules,
            observer: Some(observer),
            gate,
            reply: Reply::new(),
            held: BytesMut::new(),
            cleared: 0,
            refusal: None,
            parked: None,
            linger: None,
        }
    }

    /// What the gate stands before.
    pub fn get_ref(&self) -> &IO {
        &self.io
    }

    /// Bytes received and not passed, for tests of the memory bound.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }
}

impl<IO: Read + Write + Unpin> StrictIo<IO> {
    /// Takes note of what the socket has accepted of the library's responses.
    fn written(&mut self, bytes: &[u8]) {
        if self.gate.is_tunnel() {
            return;
        }
        match self.reply.written(bytes, self.gate.is_head_method()) {
            Progress::Going => return,
            Progress::Finished => self.gate.answered(),
            Progress::Switched => self.gate.switched(),
        }
        if let Some(waker) = self.parked.take() {
            waker.wake();
        }
    }

    fn poll_send_refusal(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(Written { response, sent }) = &mut self.refusal else {
            return Poll::Ready(Ok(()));
        };
        while *sent < response.len() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, &response[*sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => *sent += n,
            }
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// What the reader gets when nothing could be passed.
    fn poll_verdict(&mut self, cx: &mut Context<'_>, sifted: Sifted) -> Poll<io::Result<()>> {
        if let Sifted::Refuse(violation) | Sifted::Break(violation) = sifted
            && let Some(observer) = self.observer.take()
        {
            observer(violation);
        }
        match sifted {
            Sifted::Full | Sifted::More => Poll::Ready(Ok(())),
            Sifted::Hold => {
                self.parked = Some(cx.waker().clone());
                Poll::Pending
            }
            Sifted::Refuse(violation) => {
                if self.refusal.is_none() {
                    let response = self.rules.response(violation, self.held.starts_with(b"HEAD "));
                    self.refusal = Some(Written { response, sent: 0 });
                }
                // Then the end of the stream, on which the library closes.
                self.poll_send_refusal(cx)
            }
            Sifted::Break(violation) => Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, violation))),
        }
    }

    fn needs_linger(&self) -> bool {
        self.refusal.is_some() || !self.held.is_empty() || self.gate.is_inside_body()
    }

    /// Sends what is left of a refusal, says that nothing more will come, and reads on for a while without looking.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let linger =
            self.linger.get_or_insert_with(|| Linger { end: Box::pin(sleep(LINGER)), closed: false, discarded: 0 });
        if linger.end.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        if !linger.closed {
            ready!(self.poll_send_refusal(cx))?;
            ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
        }
        let Some(linger) = &mut self.linger else {
            return Poll::Ready(Ok(()));
        };
        linger.closed = true;
        while linger.discarded < LINGER_BYTES {
            let mut space = [MaybeUninit::uninit(); PIECE];
            let mut piece = ReadBuf::uninit(&mut space);
            // The response is out; how the client ends is its own affair.
            match ready!(Pin::new(&mut self.io).poll_read(cx, piece.unfilled())) {
                Ok(()) if !piece.filled().is_empty() => linger.discarded += piece.filled().len(),
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Copies what may pass from `input` to `out`; how many bytes that was, and why it stopped there.
fn sift(gate: &mut Gate, cleared: &mut usize, input: &[u8], out: &mut ReadBufCursor<'_>) -> (usize, Sifted) {
    let mut passed = 0;
    loop {
        let rest = &input[passed..];
        let taken = (*cleared).min(out.remaining());
        if taken > 0 {
            out.put_slice(&rest[..taken]);
            passed += taken;
            *cleared -= taken;
            continue;
        }
        if out.remaining() == 0 {
            return (passed, Sifted::Full);
        }
        match gate.step(rest) {
            Step::Pass(count) => *cleared = count,
            Step::More => return (passed, Sifted::More),
            Step::Hold => return (passed, Sifted::Hold),
            Step::Refuse(violation) => return (passed, Sifted::Refuse(violation)),
            Step::Break(violation) => return (passed, Sifted::Break(violation)),
        }
    }
}

impl<IO: Read + Write + Unpin> Read for StrictIo<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut out: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.held.is_empty() && this.gate.is_tunnel() {
                return Pin::new(&mut this.io).poll_read(cx, out);
            }
            if !this.held.is_empty() {
                let (passed, sifted) = sift(&mut this.gate, &mut this.cleared, &this.held, &mut out);
                this.held.advance(passed);
                if this.held.is_empty() {
                    this.held = BytesMut::new();
                }
                match sifted {
                    _ if passed > 0 => return Poll::Ready(Ok(())),
                    Sifted::More => {}
                    sifted => return this.poll_verdict(cx, sifted),
                }
            }
            let mut space = [MaybeUninit::uninit(); PIECE];
            let mut piece = ReadBuf::uninit(&mut space);
            ready!(Pin::new(&mut this.io).poll_read(cx, piece.unfilled()))?;
            if piece.filled().is_empty() {
                // The end of the stream, wherever it stands: a message cut short is the library's to report.
                return Poll::Ready(Ok(()));
            }
            if !this.held.is_empty() {
                this.held.extend_from_slice(piece.filled());
                continue;
            }
            // The usual case: what arrived may pass, and goes straight from the stack to the reader.
            let (passed, sifted) = sift(&mut this.gate, &mut this.cleared, piece.filled(), &mut out);
            this.held.extend_from_slice(&piece.filled()[passed..]);
            match sifted {
                _ if passed > 0 => return Poll::Ready(Ok(())),
                Sifted::More => {}
                sifted => return this.poll_verdict(cx, sifted),
            }
        }
    }
}

impl<IO: Read + Write + Unpin> Write for StrictIo<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, buf))?;
        self.written(&buf[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_some() || self.needs_linger() {
            self.poll_linger(cx)
        } else {
            Pin::new(&mut self.io).poll_shutdown(cx)
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, bufs))?;
        let mut left = written;
        for buf in bufs {
            let taken = left.min(buf.len());
            self.written(&buf[..taken]);
            left -= taken;
        }
        Poll::Ready(Ok(written))
    }
}

impl<IO> fmt::Debug for StrictIo<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Held bytes are a client's, with its cookies.
        f.debug_struct("StrictIo").field("held", &self.held.len()).finish_non_exhaustive()
    }
}
