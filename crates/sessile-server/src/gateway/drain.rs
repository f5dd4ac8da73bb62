//! Stopping in good order: readiness first, then the doors, then what is under way, then the rest.

use tokio::sync::watch;
use tokio::time::Instant;

use super::settings::DrainPolicy;

/// Where the process stands between serving and gone. Never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Open for everybody.
    Serving,
    /// Still accepting, but readiness says no.
    Announced,
    /// No new connections, no further requests on old ones; what is under way goes on until then.
    Draining(Instant),
    /// Everything stops now.
    Closing,
}

/// Makes the gateway stop. Clones act on the same gateway.
#[derive(Clone, Debug)]
pub struct Drain(watch::Sender<Phase>);

/// Sees how far the stop has come.
#[derive(Clone, Debug)]
pub struct Watch(watch::Receiver<Phase>);

impl Drain {
    /// A gateway that serves.
    pub fn new() -> Self {
        Self(watch::Sender::new(Phase::Serving))
    }

    /// Stops in good order and returns when the time for it is over or [`now`](Self::now) is called. A further call does nothing new.
    pub async fn begin(&self, policy: DrainPolicy) {
        self.advance(Phase::Announced);
        let mut watch = self.watch();
        let until = Instant::now() + policy.announce;
        tokio::select! {
            () = tokio::time::sleep_until(until) => {}
            () = watch.closing() => return,
        }
        let end = Instant::now() + policy.finish;
        self.advance(Phase::Draining(end));
        tokio::select! {
            () = tokio::time::sleep_until(end) => self.now(),
            () = watch.closing() => {}
        }
    }

    /// Stops at once: the answer to a second signal.
    pub fn now(&self) {
        self.advance(Phase::Closing);
    }

    /// Whether readiness must say no.
    pub fn is_stopping(&self) -> bool {
        *self.0.borrow() > Phase::Serving
    }

    /// Something that sees this stop coming.
    pub fn watch(&self) -> Watch {
        Watch(self.0.subscribe())
    }

    fn advance(&self, to: Phase) {
        self.0.send_if_modified(|phase| {
            let forward = to > *phase && !matches!((*phase, to), (Phase::Draining(_), Phase::Draining(_)));
            if forward {
                *phase = to;
            }
            forward
        });
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}

impl Watch {
    /// Where the process stands.
    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Whether no new work is to be begun.
    pub fn is_draining(&self) -> bool {
        matches!(self.phase(), Phase::Draining(_) | Phase::Closing)
    }

    /// Resolves when no new work is to be begun. Cancel-safe.
    pub async fn draining(&mut self) {
        self.until(|phase| matches!(phase, Phase::Draining(_) | Phase::Closing)).await;
    }

    /// Resolves when everything must stop. Cancel-safe.
    pub async fn closing(&mut self) {
        self.until(|phase| matches!(phase, Phase::Closing)).await;
    }

    async fn until(&mut self, reached: impl Fn(&Phase) -> bool) {
        // A vanished sender cannot stop anything any more; whoever waits is stopped otherwise.
        if self.0.wait_for(|phase| reached(phase)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
