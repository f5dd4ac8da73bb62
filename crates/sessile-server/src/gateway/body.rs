//! Bodies on their way through: streamed both ways, never buffered, each with its deadlines.
//!
//! A body that cannot be completed ends in an error, so that the receiving side sees a broken transfer and never a short but
//! proper-looking one (fault row H2). Trailers go no further in either direction (P6, H6).

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use sessile::streams::StreamEnd;
use sessile::{Engine, Forward};
use tokio::time::{Instant, Sleep};

use super::connection::Exchange;
use super::drain::Watch;
use super::limits::Limits;
use super::metrics::Counted;
use super::static_files::FileBody;
use super::wire::WireViolation;

/// Why a body ends before its end.
#[derive(Debug)]
pub enum BodyFault {
    /// The client sends nothing, or too slowly.
    UploadStalled,
    /// More bytes than the route allows.
    TooLarge,
    /// The client's framing is broken, or its connection is.
    Client(hyper::Error),
    /// The upstream sends nothing.
    DownloadStalled,
    /// The upstream's connection broke.
    Upstream(hyper::Error),
    /// The session behind a stream ended.
    SessionEnded(StreamEnd),
    /// The gateway stops.
    Stopping,
    /// A file could not be read to its end.
    File(std::io::Error),
}

impl BodyFault {
    /// Finds the fault of a request body behind an error of the HTTP client.
    pub fn in_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(fault) = error.downcast_ref::<Self>() {
                return Some(fault);
            }
            next = error.source();
        }
        None
    }

    /// The violation of the wire gate behind it, if that is what broke a request's body.
    pub fn violation(&self) -> Option<WireViolation> {
        match self {
            Self::Client(error) => WireViolation::in_error(error),
            _ => None,
        }
    }
}

impl fmt::Display for BodyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UploadStalled => f.write_str("the client does not send the body it announced"),
            Self::TooLarge => f.write_str("the request body is larger than the route allows"),
            Self::Client(error) => write!(f, "the request body broke off: {error}"),
            Self::DownloadStalled => f.write_str("the upstream does not send the body it announced"),
            Self::Upstream(error) => write!(f, "the response body broke off: {error}"),
            Self::SessionEnded(_) => f.write_str("the session behind the stream ended"),
            Self::Stopping => f.write_str("the gateway stops"),
            Self::File(error) => write!(f, "the file could not be read: {error}"),
        }
    }
}

impl Error for BodyFault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Client(error) | Self::Upstream(error) => Some(error),
            Self::File(error) => Some(error),
            Self::UploadStalled | Self::TooLarge | Self::DownloadStalled | Self::SessionEnded(_) | Self::Stopping => {
                None
            }
        }
    }
}

/// When something last moved. The clock is tokio's, so that tests can stop it.
#[derive(Clone, Debug)]
pub struct Progress {
    begun: Instant,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    moved: AtomicU64,
    waits_for_source: AtomicBool,
}

impl Progress {
    /// Something moves now.
    pub fn new() -> Self {
        Self { begun: Instant::now(), state: Arc::default() }
    }

    /// When something last moved.
    pub fn last(&self) -> Instant {
        self.begun + Duration::from_millis(self.state.moved.load(Ordering::Relaxed))
    }

    /// Whether it is the source that is waited for, and not whoever takes what comes from it.
    pub fn waits_for_source(&self) -> bool {
        self.state.waits_for_source.load(Ordering::Relaxed)
    }

    pub(super) fn note(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.state.moved.store(now, Ordering::Relaxed);
        self.state.waits_for_source.store(false, Ordering::Relaxed);
    }

    fn wait(&self) {
        self.state.waits_for_source.store(true, Ordering::Relaxed);
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

/// A deadline that runs only while somebody waits.
#[derive(Debug)]
struct Patience {
    limit: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    running: bool,
}

impl Patience {
    fn new(limit: Duration) -> Self {
        Self { limit, sleep: None, running: false }
    }

    /// Somebody waits. Ready when that has gone on for too long.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.running {
            self.running = true;
            let deadline = Instant::now() + self.limit;
            match &mut self.sleep {
                Some(sleep) => sleep.as_mut().reset(deadline),
                none => *none = Some(Box::pin(tokio::time::sleep_until(deadline))),
            }
        }
        self.sleep.as_mut().map_or(Poll::Pending, |sleep| sleep.as_mut().poll(cx))
    }

    fn reset(&mut self) {
        self.running = false;
    }
}

/// A client's request body on its way to an upstream, or to the surface.
#[derive(Debug)]
pub struct RequestBody {
    inner: Option<Incoming>,
    patience: Patience,
    rate: u64,
    largest: u64,
    received: u64,
    waited: Duration,
    waiting_since: Option<Instant>,
    progress: Option<Progress>,
}

impl RequestBody {
    /// A body with the limits on it.
    pub fn new(inner: Incoming, limits: &Limits, largest: Option<u64>) -> Self {
        let is_empty = inner.is_end_stream();
        Self {
            progress: (!is_empty).then(Progress::new),
            inner: (!is_empty).then_some(inner),
            patience: Patience::new(limits.request_body_idle),
            rate: limits.request_body_rate.max(1),
            largest: largest.unwrap_or(u64::MAX),
            received: 0,
            waited: Duration::ZERO,
            waiting_since: None,
        }
    }

    /// No body.
    pub fn empty() -> Self {
        Self {
            inner: None,
            patience: Patience::new(Duration::MAX),
            rate: 1,
            largest: 0,
            received: 0,
            waited: Duration::ZERO,
            waiting_since: None,
            progress: None,
        }
    }

    /// When the upstream last took something of the body; nothing if there is no body.
    pub fn progress(&self) -> Option<Progress> {
        self.progress.clone()
    }

    /// Whether the announced length is already more than the route allows.
    pub fn is_announced_too_large(&self) -> bool {
        self.size_hint().lower() > self.largest
    }

    /// Waiting beyond the idle limit in sum is fine for a body that comes fast enough on average.
    fn is_too_slow(&self) -> bool {
        self.waited > self.patience.limit.saturating_add(Duration::from_secs(self.received / self.rate))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        let Poll::Ready(polled) = Pin::new(inner).poll_frame(cx) else {
            this.waiting_since.get_or_insert_with(Instant::now);
            if let Some(progress) = &this.progress {
                progress.wait();
            }
            if this.patience.poll(cx).is_ready() {
                this.inner = None;
                return Poll::Ready(Some(Err(BodyFault::UploadStalled)));
            }
            return Poll::Pending;
        };
        this.patience.reset();
        if let Some(since) = this.waiting_since.take() {
            this.waited += since.elapsed();
        }
        if let Some(progress) = &this.progress {
            progress.note();
        }
        let fault = match polled {
            None => {
                this.inner = None;
                return Poll::Ready(None);
            }
            Some(Err(error)) => BodyFault::Client(error),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    this.received += data.len() as u64;
                    if this.received > this.largest {
                        BodyFault::TooLarge
                    } else if this.is_too_slow() {
                        BodyFault::UploadStalled
                    } else {
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                }
                // Trailers are the last frame.
                Err(_) => {
                    this.inner = None;
                    return Poll::Ready(None);
                }
            },
        };
        this.inner = None;
        Poll::Ready(Some(Err(fault)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// A response's body on its way to the client.
#[derive(Debug)]
pub struct ResponseBody {
    source: Source,
    /// End with the body.
    exchange: Option<Exchange>,
    _open: Option<Counted>,
}

#[derive(Debug)]
enum Source {
    Full(Option<Bytes>),
    File(FileBody),
    Upstream(Box<UpstreamBody>),
}

impl ResponseBody {
    /// Bytes that are here already.
    pub fn full(bytes: Bytes) -> Self {
        Self { source: Source::Full(Some(bytes).filter(|bytes| !bytes.is_empty())), exchange: None, _open: None }
    }

    /// A file.
    pub fn file(body: FileBody) -> Self {
        Self { source: Source::File(body), exchange: None, _open: None }
    }

    /// An upstream's body.
    pub fn upstream(body: UpstreamBody) -> Self {
        Self { source: Source::Upstream(Box::new(body)), exchange: None, _open: None }
    }

    /// Ties the end of the exchange to the end of the body.
    #[must_use]
    pub fn within(mut self, exchange: Exchange, open: Counted) -> Self {
        self.exchange = Some(exchange);
        self._open = Some(open);
        self
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let this = &mut *self;
        if let Some(exchange) = &this.exchange {
            exchange.waits_for_client(false);
        }
        let polled = match &mut this.source {
            Source::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Source::File(file) => {
                Pin::new(file).poll_frame(cx).map(|frame| frame.map(|result| result.map_err(BodyFault::File)))
            }
            Source::Upstream(body) => Pin::new(&mut **body).poll_frame(cx),
        };
        if let (Some(exchange), Poll::Ready(Some(Ok(_)))) = (&this.exchange, &polled) {
            exchange.waits_for_client(true);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Full(bytes) => bytes.is_none(),
            Source::File(file) => file.is_end_stream(),
            Source::Upstream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Source::File(file) => file.size_hint(),
            Source::Upstream(body) => body.size_hint(),
        }
    }
}

/// A response that still goes on after this long is a stream of its session, whatever it calls itself.
const BECOMES_A_STREAM: Duration = Duration::from_secs(1);

/// An upstream's response body.
pub struct UpstreamBody {
    inner: Incoming,
    patience: Patience,
    begun: Instant,
    owner: Option<Owner>,
    end: Option<Pin<Box<dyn Future<Output = BodyFault> + Send>>>,
    /// Wakes a silent body so that it can become a stream.
    becoming: Option<Pin<Box<Sleep>>>,
    finished: bool,
}

/// Whose response it is: what is needed to register a stream.
#[derive(Debug)]
pub struct Owner {
    /// Where streams are registered.
    pub engine: Engine,
    /// Holds the session's pass.
    pub forward: Forward,
}

impl UpstreamBody {
    /// A body; `owner` if a session is behind it. An event stream is tied to session and process at once.
    pub fn new(inner: Incoming, limits: &Limits, owner: Option<Owner>, is_event_stream: bool, stop: Watch) -> Self {
        let idle = if is_event_stream { limits.stream_idle } else { limits.upstream_body_idle };
        let mut body = Self {
            finished: inner.is_end_stream(),
            inner,
            patience: Patience::new(idle),
            begun: Instant::now(),
            owner,
            end: None,
            becoming: None,
        };
        if is_event_stream {
            let session = body.owner.take().map(Owner::ended);
            body.end = Some(Box::pin(stream_end(session, stop)));
        }
        body
    }

    /// Registers the body once it has gone on for long enough.
    fn become_stream(&mut self) {
        if self.owner.is_some() && self.begun.elapsed() >= BECOMES_A_STREAM {
            self.becoming = None;
            self.end = self.owner.take().map(|owner| Box::pin(owner.ended()) as _);
        }
    }

    /// Makes sure that a silent body is looked at again when it becomes a stream.
    fn poll_becoming(&mut self, cx: &mut Context<'_>) {
        if self.owner.is_none() {
            return;
        }
        let at = self.begun + BECOMES_A_STREAM;
        let becoming = self.becoming.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if becoming.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }
}

impl Owner {
    fn ended(self) -> impl Future<Output = BodyFault> + Send + 'static {
        let guard = self.forward.pass().map(|pass| self.engine.open_stream(pass));
        async move {
            match guard {
                Some(mut guard) => BodyFault::SessionEnded(guard.ended().await),
                None => std::future::pending().await,
            }
        }
    }
}

async fn stream_end(session: Option<impl Future<Output = BodyFault>>, mut stop: Watch) -> BodyFault {
    let session = async {
        match session {
            Some(session) => session.await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        fault = session => fault,
        () = stop.draining() => BodyFault::Stopping,
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let this = &mut *self;
        if this.finished {
            return Poll::Ready(None);
        }
        this.become_stream();
        if let Some(end) = &mut this.end
            && let Poll::Ready(fault) = end.as_mut().poll(cx)
        {
            this.finished = true;
            return Poll::Ready(Some(Err(fault)));
        }
        let polled = Pin::new(&mut this.inner).poll_frame(cx);
        if polled.is_pending() {
            this.poll_becoming(cx);
            if this.patience.poll(cx).is_ready() {
                this.finished = true;
                return Poll::Ready(Some(Err(BodyFault::DownloadStalled)));
            }
        } else {
            this.patience.reset();
        }
        let frame = match ready!(polled) {
            None => None,
            Some(Err(error)) => Some(Err(BodyFault::Upstream(error))),
            // Trailers are the last frame, and go no further.
            Some(Ok(frame)) => frame.into_data().ok().map(|data| Ok(Frame::data(data))),
        };
        this.finished = !matches!(frame, Some(Ok(_)));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.finished || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl fmt::Debug for UpstreamBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamBody")
            .field("begun", &self.begun)
            .field("finished", &self.finished)
            .finish_non_exhaustive()
    }
}
