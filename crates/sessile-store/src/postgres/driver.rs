//! The thread that drives the connections.
//!
//! A connection dies with the runtime it was opened on. A process has several, and some, such as that of a command or
//! of one core, end before others; so the store brings its own.

use std::future::Future;
use std::thread::Builder;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::error::StoreError;

/// Dropping it stops the thread, and with it whatever still runs there.
#[derive(Debug)]
pub(super) struct Driver {
    handle: Handle,
    // Resolves at the other end when this is dropped.
    _running: oneshot::Sender<()>,
}

impl Driver {
    pub(super) fn start() -> Result<Self, StoreError> {
        let fault = |fault: std::io::Error| StoreError::Internal(format!("a thread could not be started: {fault}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(fault)?;
        let handle = runtime.handle().clone();
        let (running, stopped) = oneshot::channel::<()>();
        Builder::new()
            .name("sessile-postgres".to_owned())
            .spawn(move || {
                // Nothing is ever sent.
                let _ = runtime.block_on(stopped);
            })
            .map_err(fault)?;
        Ok(Self { handle, _running: running })
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs `work` there and waits for it here.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let ended = self.handle.spawn(work).await;
        ended.unwrap_or_else(|fault| Err(StoreError::Internal(format!("the thread of the store failed: {fault}"))))
    }
}
