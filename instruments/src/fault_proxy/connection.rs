//! One connection: what arrives from either side waits in a queue, and is judged by the behaviour of the moment when it
//! leaves.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, sink};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::behaviour::{Behaviour, Direction, DropReply, Then};
use super::state::{Now, Shared};

const PIECE: usize = 16 * 1024;
/// How many pieces may wait. Past it the sender is not read, and feels it.
const QUEUE: usize = 256;
/// How long a server may take to end a connection whose client was taken from it.
const LEAVE_WITHIN: Duration = Duration::from_secs(60);
/// A throttled direction passes so many pieces in a second.
const THROTTLED_PIECES: u64 = 20;

/// Why a connection ends before both sides have ended it.
#[derive(Clone, Copy, Debug)]
enum End {
    Closed,
    Reset,
    /// The client's side alone: the server is to finish what it was asked.
    ReplyDropped,
}

struct Arrival {
    at: Instant,
    what: What,
}

enum What {
    Bytes(Vec<u8>),
    End,
    Broken,
}

/// Serves one client until either side, or the proxy, ends it.
pub(super) async fn serve(mut client: TcpStream, upstream: SocketAddr, shared: Arc<Shared>, at_accept: Now) {
    let _open = Open(shared.clone());
    let mut changes = shared.changes();
    let mut now = at_accept;
    while now.behaviour == Behaviour::Silence {
        // The sender is in `shared`.
        let _ = changes.changed().await;
        now = shared.now();
    }
    if let Some(end) = end_of_all(&now.behaviour) {
        return finish(end, client, None, &shared).await;
    }
    let Ok(mut server) = TcpStream::connect(upstream).await else {
        return finish(End::Closed, client, None, &shared).await;
    };
    for stream in [&client, &server] {
        // Without it a small piece might wait for others.
        let _ = stream.set_nodelay(true);
    }
    let dropping = OnceLock::new();
    let ended = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let flow = |direction| Flow::new(direction, &shared, &dropping);
        let requests = flow(Direction::Requests).run(from_client, to_server);
        let replies = flow(Direction::Replies).run(from_server, to_client);
        tokio::select! {
            biased;
            end = doom(&shared) => Err(end),
            ended = async { tokio::try_join!(requests, replies) } => ended.map(drop),
        }
    };
    if let Err(end) = ended {
        finish(end, client, Some(server), &shared).await;
    }
}

/// Counted as there until it is dropped.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.count(|counters| counters.open -= 1);
    }
}

/// The behaviours that no connection survives.
fn end_of_all(behaviour: &Behaviour) -> Option<End> {
    match behaviour {
        Behaviour::Refuse | Behaviour::Closed => Some(End::Closed),
        Behaviour::Reset => Some(End::Reset),
        _ => None,
    }
}

async fn doom(shared: &Shared) -> End {
    let mut changes = shared.changes();
    loop {
        changes.borrow_and_update();
        if let Some(end) = end_of_all(&shared.now().behaviour) {
            return end;
        }
        let _ = changes.changed().await;
    }
}

async fn finish(end: End, mut client: TcpStream, server: Option<TcpStream>, shared: &Shared) {
    match end {
        End::Closed => {
            shared.count(|counters| counters.closed += 1);
            let _ = client.shutdown().await;
        }
        End::Reset => {
            shared.count(|counters| counters.reset += 1);
            for stream in [Some(&client), server.as_ref()].into_iter().flatten() {
                // It may be broken already.
                let _ = stream.set_zero_linger();
            }
        }
        End::ReplyDropped => {
            let _ = client.shutdown().await;
            drop(client);
            let Some(mut server) = server else { return };
            // Closing while replies are on their way would be a reset, at which a server may forget what it has not read.
            let _ = server.shutdown().await;
            let _ = timeout(LEAVE_WITHIN, copy(&mut server, &mut sink())).await;
        }
    }
}

/// One direction of a connection.
struct Flow<'a> {
    direction: Direction,
    shared: &'a Shared,
    changes: watch::Receiver<u64>,
    /// Set once a reply of this connection is to be dropped.
    dropping: &'a OnceLock<DropReply>,
    generation: u64,
    /// Bytes delivered in this generation.
    passed: u64,
    /// Of requests: for the one whose reply is to be dropped. Of replies: for the end of that reply.
    seeker: Option<Seeker>,
    has_ended: bool,
}

impl<'a> Flow<'a> {
    fn new(direction: Direction, shared: &'a Shared, dropping: &'a OnceLock<DropReply>) -> Self {
        let changes = shared.changes();
        Self { direction, shared, changes, dropping, generation: 0, passed: 0, seeker: None, has_ended: false }
    }

    async fn run(self, from: ReadHalf<'_>, to: WriteHalf<'_>) -> Result<(), End> {
        let (queue, arrivals) = mpsc::channel(QUEUE);
        tokio::try_join!(arrive(from, queue), self.deliver(arrivals, to)).map(drop)
    }

    async fn deliver(mut self, mut arrivals: mpsc::Receiver<Arrival>, mut to: WriteHalf<'_>) -> Result<(), End> {
        let mut waiting: Option<Arrival> = None;
        loop {
            self.changes.borrow_and_update();
            let now = self.shared.now();
            if now.generation != self.generation {
                (self.generation, self.passed) = (now.generation, 0);
                if self.direction == Direction::Requests {
                    self.seeker = None;
                }
            }
            let ends_this = matches!(now.behaviour, Behaviour::HalfClose { direction } if direction == self.direction);
            if ends_this && !self.has_ended {
                self.has_ended = true;
                to.shutdown().await.map_err(|_| End::Closed)?;
            }
            let Some(arrival) = waiting.take() else {
                tokio::select! {
                    biased;
                    _ = self.changes.changed() => {}
                    // Without a sender there is nothing more, not even an end: that was delivered.
                    next = arrivals.recv() => match next {
                        Some(next) => waiting = Some(next),
                        None => return Ok(()),
                    },
                }
                continue;
            };
            let is_dropping = self.direction == Direction::Replies && self.dropping.get().is_some();
            let due = self.due(&now.behaviour, arrival.at);
            if !is_dropping && due.is_none_or(|due| due > Instant::now()) {
                waiting = Some(arrival);
                self.pause(due).await;
                continue;
            }
            match arrival.what {
                What::Broken => return Err(End::Reset),
                What::End => {
                    if !self.has_ended {
                        // The other side may be gone.
                        let _ = to.shutdown().await;
                    }
                    return Ok(());
                }
                What::Bytes(_) if self.has_ended => {}
                What::Bytes(bytes) if is_dropping => self.drop_reply(&bytes)?,
                What::Bytes(bytes) => {
                    if let Some(rest) = self.pass(bytes, &now, &mut to).await? {
                        waiting = Some(Arrival { at: arrival.at, what: What::Bytes(rest) });
                    }
                }
            }
        }
    }

    /// When what arrived `at` a moment may leave. Never, under this behaviour: none.
    fn due(&self, behaviour: &Behaviour, at: Instant) -> Option<Instant> {
        match *behaviour {
            Behaviour::Silence => None,
            Behaviour::OneWay { direction } if direction != self.direction => None,
            Behaviour::Delay { request_ms, reply_ms } => {
                let ms = if self.direction == Direction::Requests { request_ms } else { reply_ms };
                Some(at + Duration::from_millis(ms))
            }
            _ => Some(at),
        }
    }

    async fn pause(&mut self, until: Option<Instant>) {
        let over = async {
            match until {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.changes.changed() => {}
            () = over => {}
        }
    }

    /// Delivers, and gives back what must wait.
    async fn pass(&mut self, mut bytes: Vec<u8>, now: &Now, to: &mut WriteHalf<'_>) -> Result<Option<Vec<u8>>, End> {
        let mut rest = None;
        let mut is_last = false;
        match &now.behaviour {
            Behaviour::Throttle { bytes_per_second } => {
                let piece = usize::try_from((bytes_per_second / THROTTLED_PIECES).max(1)).unwrap_or(usize::MAX);
                if bytes.len() > piece {
                    rest = Some(bytes.split_off(piece));
                }
            }
            Behaviour::Cut { direction, after } if *direction == self.direction => {
                let left = usize::try_from(after.saturating_sub(self.passed)).unwrap_or(usize::MAX);
                is_last = bytes.len() >= left;
                bytes.truncate(left);
            }
            Behaviour::Corrupt { after, bytes: many } if self.direction == Direction::Replies => {
                let mut corrupted = 0;
                for (place, byte) in (self.passed..).zip(&mut bytes) {
                    if place >= *after && place - after < *many {
                        *byte = !*byte;
                        corrupted += 1;
                    }
                }
                self.shared.count(|counters| counters.corrupted_bytes += corrupted);
            }
            Behaviour::DropReply(drop) if self.direction == Direction::Requests => {
                let is_meant = self.seeker.get_or_insert_with(|| Seeker::new(drop.matching.as_deref())).sees(&bytes);
                if is_meant && self.shared.take_drop(now.generation) {
                    // Set once: a second drop on this connection would have nothing to drop.
                    let _ = self.dropping.set(drop.clone());
                }
            }
            _ => {}
        }
        let many = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.write(&bytes, to).await.map_err(|_| End::Closed)?;
        if is_last {
            return Err(End::Closed);
        }
        if let Behaviour::Throttle { bytes_per_second } = now.behaviour {
            let nanos = many.saturating_mul(1_000_000_000) / bytes_per_second.max(1);
            self.pause(Some(Instant::now() + Duration::from_nanos(nanos))).await;
        }
        Ok(rest)
    }

    fn drop_reply(&mut self, bytes: &[u8]) -> Result<(), End> {
        let Some(drop) = self.dropping.get() else { return Ok(()) };
        // Silent from now on, and counted once.
        if self.has_ended || !self.seeker.get_or_insert_with(|| Seeker::new(drop.until.as_deref())).sees(bytes) {
            return Ok(());
        }
        self.shared.count(|counters| counters.dropped_replies += 1);
        match drop.then {
            Then::Close => Err(End::ReplyDropped),
            Then::Silence => {
                self.has_ended = true;
                Ok(())
            }
        }
    }

    /// Writes and counts in one step: who has what was written finds it counted, and the step that it completes over.
    async fn write(&mut self, mut bytes: &[u8], to: &WriteHalf<'_>) -> io::Result<()> {
        while !bytes.is_empty() {
            to.writable().await?;
            match self.shared.deliver(self.direction, || to.try_write(bytes)) {
                Ok(written) => {
                    self.passed += u64::try_from(written).unwrap_or(u64::MAX);
                    bytes = &bytes[written..];
                }
                Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(())
    }
}

async fn arrive(mut from: ReadHalf<'_>, queue: mpsc::Sender<Arrival>) -> Result<(), End> {
    loop {
        let mut bytes = vec![0; PIECE];
        let what = match from.read(&mut bytes).await {
            Ok(0) => What::End,
            Ok(many) => {
                bytes.truncate(many);
                What::Bytes(bytes)
            }
            Err(_) => What::Broken,
        };
        let is_last = !matches!(what, What::Bytes(_));
        if queue.send(Arrival { at: Instant::now(), what }).await.is_err() || is_last {
            return Ok(());
        }
    }
}

/// Looks for bytes in a stream, wherever it is divided.
struct Seeker {
    wanted: Vec<u8>,
    seen: Vec<u8>,
}

impl Seeker {
    /// Nothing in particular is found in whatever comes first.
    fn new(wanted: Option<&str>) -> Self {
        Self { wanted: wanted.unwrap_or_default().into(), seen: Vec::new() }
    }

    fn sees(&mut self, bytes: &[u8]) -> bool {
        if self.wanted.is_empty() {
            return true;
        }
        self.seen.extend(bytes);
        let found = self.seen.windows(self.wanted.len()).any(|window| window == self.wanted);
        let done = self.seen.len().saturating_sub(self.wanted.len() - 1);
        self.seen.drain(..done);
        found
    }
}
