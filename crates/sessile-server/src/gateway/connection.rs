//! What the gateway knows about one client connection, and the deadlines on its bytes.
//!
//! The HTTP library bounds the time between requests. What it does not bound is bounded here: a request head that comes in drops, a
//! client that takes nothing of what it asked for, and over HTTP/2 a stream whose window never opens.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// What a connection is doing.
#[derive(Debug)]
pub struct Activity {
    begun: Instant,
    exchanges: AtomicUsize,
    /// Milliseconds after `begun` at which the last exchange ended.
    idle_since: AtomicU64,
    /// Whether the client has sent anything at all.
    heard: AtomicBool,
    blocked: Mutex<Vec<Weak<Blocked>>>,
}

/// Since when a response body waits for its client, in milliseconds after the connection began; zero while it does not.
#[derive(Debug, Default)]
pub struct Blocked(AtomicU64);

/// Held from a request's head to the end of its response's body.
#[derive(Debug)]
pub struct Exchange {
    activity: Arc<Activity>,
    blocked: Option<Arc<Blocked>>,
}

impl Activity {
    /// A connection that begins now.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            begun: Instant::now(),
            exchanges: AtomicUsize::new(0),
            idle_since: AtomicU64::new(0),
            heard: AtomicBool::new(false),
            blocked: Mutex::default(),
        })
    }

    /// Begins an exchange. Over HTTP/2 its response is watched, because a stalled window stalls nothing else.
    pub fn begin(self: &Arc<Self>, is_h2: bool) -> Exchange {
        let under_way = self.exchanges.fetch_add(1, Ordering::Relaxed);
        let blocked = is_h2.then(Arc::<Blocked>::default);
        if let Some(blocked) = &blocked {
            let mut list = self.lock();
            // Swept now and then, so that a busy connection does not drag along all it ever answered.
            if list.len() > 2 * under_way + 64 {
                list.retain(|each| each.strong_count() > 0);
            }
            list.push(Arc::downgrade(blocked));
        }
        Exchange { activity: self.clone(), blocked }
    }

    /// Whether any exchange is under way.
    pub fn is_busy(&self) -> bool {
        self.exchanges.load(Ordering::Relaxed) > 0
    }

    /// Whether the client has sent anything: browsers open connections that they may never use.
    pub fn has_heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }

    /// How long nothing has been under way.
    pub fn idle_for(&self) -> Duration {
        if self.is_busy() {
            return Duration::ZERO;
        }
        self.begun.elapsed().saturating_sub(Duration::from_millis(self.idle_since.load(Ordering::Relaxed)))
    }

    /// The longest that any response has been waiting for the client to take something.
    pub fn blocked_for(&self) -> Duration {
        let mut blocked = self.lock();
        blocked.retain(|each| each.strong_count() > 0);
        let since = blocked.iter().filter_map(Weak::upgrade).map(|each| each.0.load(Ordering::Relaxed));
        let oldest = since.filter(|&since| since > 0).min();
        oldest.map_or(Duration::ZERO, |since| self.begun.elapsed().saturating_sub(Duration::from_millis(since)))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Blocked>>> {
        self.blocked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Exchange {
    /// Notes whether the response body has handed out something that the client has not yet taken.
    pub fn waits_for_client(&self, waits: bool) {
        if let Some(blocked) = &self.blocked {
            blocked.0.store(if waits { self.activity.now() } else { 0 }, Ordering::Relaxed);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.activity.idle_since.store(self.activity.now(), Ordering::Relaxed);
        self.activity.exchanges.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A socket with deadlines.
#[derive(Debug)]
pub struct TimedIo<IO> {
    io: IO,
    activity: Arc<Activity>,
    head: Duration,
    send_stall: Duration,
    /// Runs from the first byte of a head (or from the start) until an exchange begins.
    head_deadline: Option<Pin<Box<Sleep>>>,
    send_deadline: Option<Pin<Box<Sleep>>>,
    /// Whether bytes between exchanges are the beginning of a head. Over HTTP/2 they may be pings.
    bytes_are_heads: bool,
}

impl<IO> TimedIo<IO> {
    /// Puts deadlines on `io`. `first_head` is by when the first head must be complete.
    pub fn new(
        io: IO,
        activity: Arc<Activity>,
        first_head: Instant,
        head: Duration,
        send_stall: Duration,
        is_h2: bool,
    ) -> Self {
        Self {
            io,
            activity,
            head,
            send_stall,
            head_deadline: Some(Box::pin(sleep_until(first_head))),
            send_deadline: None,
            bytes_are_heads: !is_h2,
        }
    }

    fn sent(&mut self, cx: &mut Context<'_>, is_pending: bool) -> io::Result<()> {
        if !is_pending {
            self.send_deadline = None;
            return Ok(());
        }
        let stall = self.send_stall;
        let deadline = self.send_deadline.get_or_insert_with(|| Box::pin(sleep(stall)));
        if deadline.as_mut().poll(cx).is_ready() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing"));
        }
        Ok(())
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for TimedIo<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = out.filled().len();
        let polled = Pin::new(&mut this.io).poll_read(cx, out);
        if out.filled().len() > before {
            this.activity.heard.store(true, Ordering::Relaxed);
        }
        if this.activity.is_busy() {
            this.head_deadline = None;
            return polled;
        }
        if this.bytes_are_heads && out.filled().len() > before && this.head_deadline.is_none() {
            this.head_deadline = Some(Box::pin(sleep(this.head)));
        }
        if let Some(deadline) = &mut this.head_deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the request head does not end")));
        }
        polled
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for TimedIo<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, buf);
        self.sent(cx, polled.is_pending())?;
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.sent(cx, polled.is_pending())?;
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_flush(cx);
        self.sent(cx, polled.is_pending())?;
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_shutdown(cx);
        self.sent(cx, polled.is_pending())?;
        polled
    }
}
