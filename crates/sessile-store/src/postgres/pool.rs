//! A bounded number of connections, and a bounded queue for them (S4, S12).

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::connection::{Connection, Opener};
use crate::error::StoreError;

/// How many may wait, for each connection there is. More could not be served within their deadlines anyway.
const WAITING_FOR_EACH: usize = 400;

/// Connections of one purpose.
#[derive(Debug)]
pub(super) struct Pool {
    opener: Arc<Opener>,
    runtime: Handle,
    free: Arc<Semaphore>,
    queue: Semaphore,
    idle: Mutex<Vec<Connection>>,
}

impl Pool {
    pub(super) fn new(opener: Arc<Opener>, runtime: Handle, most: usize) -> Arc<Self> {
        let most = most.max(1);
        Arc::new(Self {
            opener,
            runtime,
            free: Arc::new(Semaphore::new(most)),
            queue: Semaphore::new(most.saturating_mul(WAITING_FOR_EACH)),
            idle: Mutex::new(Vec::with_capacity(most)),
        })
    }

    /// A connection of one's own, opened if none is idle. Whoever came first is served first.
    pub(super) async fn lease(self: &Arc<Self>) -> Result<Lease, StoreError> {
        let _place = self.queue.try_acquire().map_err(|_| StoreError::not_done("too many operations are waiting"))?;
        let permit = self.free.clone().acquire_owned().await;
        let permit = permit.map_err(|_| StoreError::not_done("the store is closed"))?;
        match self.take_idle() {
            Some(connection) => Ok(Lease::new(connection, self.clone(), permit)),
            None => self.open(permit).await,
        }
    }

    /// Puts a connection in that was opened elsewhere.
    pub(super) fn adopt(&self, connection: Connection) {
        self.idle().push(connection);
    }

    /// Sees to it that a connection is open before it is needed: later there may be none to be had.
    pub(super) async fn keep_warm(self: &Arc<Self>) {
        self.idle().retain(|connection| !connection.client.is_closed());
        let is_cold = self.idle().is_empty();
        if let (true, Ok(permit)) = (is_cold, self.free.clone().try_acquire_owned()) {
            // Dropping the lease puts the connection in. A fault is met, and told, by whoever needs the next one.
            drop(self.open(permit).await);
        }
    }

    /// Closes what is idle: it leads to a server that is no use.
    pub(super) fn forget_idle(&self) {
        self.idle().clear();
    }

    // Opened by a task of its own: if the caller's patience ends first, the connection is there for the next one.
    async fn open(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Result<Lease, StoreError> {
        let (reply, answer) = oneshot::channel();
        let pool = self.clone();
        self.runtime.spawn(async move {
            let opened = pool.opener.open().await;
            let lease = opened.map(|connection| Lease::new(connection, pool, permit));
            // An unsent lease is dropped here, which puts its connection in.
            drop(reply.send(lease));
        });
        answer.await.unwrap_or_else(|_| Err(StoreError::not_done("the store is closed")))
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle();
        while let Some(connection) = idle.pop() {
            if !connection.client.is_closed() {
                return Some(connection);
            }
        }
        None
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection in use. It goes back when this is dropped, unless it is closed or [discarded](Self::discard).
#[derive(Debug)]
pub(super) struct Lease {
    connection: Option<Connection>,
    pool: Arc<Pool>,
    // After the connection: it is idle, or gone, before the next one may be opened.
    _permit: OwnedSemaphorePermit,
}

impl Lease {
    fn new(connection: Connection, pool: Arc<Pool>, permit: OwnedSemaphorePermit) -> Self {
        Self { connection: Some(connection), pool, _permit: permit }
    }

    /// Closes it instead.
    pub(super) fn discard(mut self) {
        self.connection = None;
    }
}

impl Deref for Lease {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        // Only `discard` and `drop`, which end the lease, take it out.
        self.connection.as_ref().expect("a lease holds its connection until it ends")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take().filter(|connection| !connection.client.is_closed()) {
            self.pool.idle().push(connection);
        }
    }
}
