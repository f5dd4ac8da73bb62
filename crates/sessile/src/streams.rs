//! Long-lived streams of a session (WebSockets, event streams): they end when the session does (R-033, H9).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sessile_core::SessionId;
use sessile_core::revocation::Reason;
use tokio::sync::watch;

/// Why a stream must close now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// The session was ended.
    Ended(Reason),
    /// The session reached its idle or absolute timeout.
    Expired,
    /// The node cannot tell any more whether the session lives.
    Unknown,
}

/// The open streams of this node, by session.
#[derive(Clone, Debug, Default)]
pub struct Streams(Arc<Registry>);

#[derive(Debug, Default)]
struct Registry {
    open: Mutex<HashMap<SessionId, Entry>>,
    count: AtomicU64,
}

#[derive(Debug)]
struct Entry {
    streams: usize,
    end: watch::Sender<Option<StreamEnd>>,
}

impl Entry {
    fn new() -> Self {
        Self { streams: 0, end: watch::Sender::new(None) }
    }
}

/// Held for as long as a stream is open.
#[derive(Debug)]
pub struct StreamGuard {
    registry: Arc<Registry>,
    session: SessionId,
    end: watch::Receiver<Option<StreamEnd>>,
}

impl Streams {
    /// Registers a stream of `session`.
    pub fn open(&self, session: SessionId) -> StreamGuard {
        let mut open = self.0.lock();
        let entry = open.entry(session).or_insert_with(Entry::new);
        if entry.end.borrow().is_some() {
            // Those told to close are on their way out; a stream opened since is judged by itself.
            *entry = Entry::new();
        }
        entry.streams += 1;
        self.0.count.fetch_add(1, Ordering::Relaxed);
        StreamGuard { registry: self.0.clone(), session, end: entry.end.subscribe() }
    }

    /// How many are open.
    pub fn count(&self) -> u64 {
        self.0.count.load(Ordering::Relaxed)
    }

    /// The sessions that have any.
    pub fn sessions(&self) -> Vec<SessionId> {
        self.0.lock().keys().copied().collect()
    }

    /// Tells every stream of `session` to close.
    pub fn end(&self, session: SessionId, why: StreamEnd) {
        if let Some(entry) = self.0.lock().get(&session) {
            entry.end.send_replace(Some(why));
        }
    }

    /// Tells every stream to close.
    pub fn end_all(&self, why: StreamEnd) {
        for entry in self.0.lock().values() {
            entry.end.send_replace(Some(why));
        }
    }
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Entry>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StreamGuard {
    /// Resolves when the stream must close. Cancel-safe.
    pub async fn ended(&mut self) -> StreamEnd {
        match self.end.wait_for(Option::is_some).await {
            Ok(end) => end.unwrap_or(StreamEnd::Unknown),
            Err(_) => StreamEnd::Unknown,
        }
    }

    /// Whose stream it is.
    pub fn session(&self) -> SessionId {
        self.session
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        self.registry.count.fetch_sub(1, Ordering::Relaxed);
        let mut open = self.registry.lock();
        if let Some(entry) = open.get_mut(&self.session)
            && entry.end.subscribe().same_channel(&self.end)
        {
            entry.streams -= 1;
            if entry.streams == 0 {
                open.remove(&self.session);
            }
        }
    }
}
