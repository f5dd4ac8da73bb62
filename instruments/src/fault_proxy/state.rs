//! What a proxy's connections share: the behaviour, the script, the counters.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::sleep;

use super::behaviour::{Behaviour, Direction};

/// What has passed, over all connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Taken, whatever became of them.
    pub connections: u64,
    /// There now.
    pub open: u64,
    /// Bytes delivered to the server.
    pub request_bytes: u64,
    /// Bytes delivered to clients.
    pub reply_bytes: u64,
    /// Replies that were dropped.
    pub dropped_replies: u64,
    /// Bytes of replies that were inverted.
    pub corrupted_bytes: u64,
    /// Connections that the proxy closed.
    pub closed: u64,
    /// Connections that the proxy reset.
    pub reset: u64,
}

/// Behaviours, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script(VecDeque<Step>);

/// A behaviour for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What to do.
    pub behaviour: Behaviour,
    /// How long. The last step has no end.
    #[serde(default)]
    pub until: Option<Until>,
}

/// What ends a step. Counted from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// So many milliseconds.
    Ms(u64),
    /// So many connections taken.
    Connections(u64),
    /// So many bytes delivered to the server.
    RequestBytes(u64),
    /// So many bytes delivered to clients.
    ReplyBytes(u64),
    /// So many replies dropped.
    DroppedReplies(u64),
}

impl Script {
    /// Fails with what is wrong: no step at all, or an end where none may be.
    pub fn new(steps: Vec<Step>) -> Result<Self, String> {
        let endless = steps.iter().position(|step| step.until.is_none());
        match endless {
            Some(first) if first + 1 == steps.len() => Ok(Self(steps.into())),
            Some(first) => Err(format!("step {} of the script never ends, and is not the last", first + 1)),
            None => Err("a script needs a last step, without `until`".to_owned()),
        }
    }

    /// Reads it from JSON.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::new(serde_json::from_str(text).map_err(|fault| fault.to_string())?)
    }
}

impl From<Behaviour> for Script {
    fn from(behaviour: Behaviour) -> Self {
        Self(VecDeque::from([Step { behaviour, until: None }]))
    }
}

/// The behaviour at one moment. Each time one is set, even the same, is a generation.
#[derive(Clone, Debug)]
pub(super) struct Now {
    pub(super) behaviour: Behaviour,
    pub(super) generation: u64,
}

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    changes: watch::Sender<u64>,
    in_force: watch::Sender<u64>,
    own: Weak<Self>,
}

#[derive(Debug)]
struct State {
    now: Now,
    until: Option<Until>,
    to_come: VecDeque<Step>,
    /// Whether a reply is still to be dropped under this behaviour.
    is_armed: bool,
    counters: Counters,
    at_beginning: Counters,
}

impl Shared {
    pub(super) fn new() -> Arc<Self> {
        Arc::new_cyclic(|own| Self {
            state: Mutex::new(State {
                now: Now { behaviour: Behaviour::Pass, generation: 0 },
                until: None,
                to_come: VecDeque::new(),
                is_armed: false,
                counters: Counters::default(),
                at_beginning: Counters::default(),
            }),
            changes: watch::Sender::new(0),
            in_force: watch::Sender::new(0),
            own: own.clone(),
        })
    }

    /// Begins a script, and says which generation its first step is.
    pub(super) fn begin(&self, script: Script) -> u64 {
        let mut state = self.state();
        state.to_come = script.0;
        self.next_step(&mut state);
        state.now.generation
    }

    pub(super) fn now(&self) -> Now {
        self.state().now.clone()
    }

    pub(super) fn counters(&self) -> Counters {
        self.state().counters
    }

    pub(super) fn steps_left(&self) -> usize {
        self.state().to_come.len()
    }

    /// Counts a connection, and says under which behaviour it was taken.
    pub(super) fn accepted(&self) -> Now {
        self.count(|counters| {
            counters.connections += 1;
            counters.open += 1;
        })
    }

    /// Counts, and says under which behaviour that happened. It may have been the last event of its step.
    pub(super) fn count(&self, event: impl FnOnce(&mut Counters)) -> Now {
        self.count_in(&mut self.state(), event)
    }

    /// Runs `write`, which does not wait, and counts what it delivered before anybody can look.
    pub(super) fn deliver(&self, direction: Direction, write: impl FnOnce() -> io::Result<usize>) -> io::Result<usize> {
        let mut state = self.state();
        let written = write()?;
        let many = u64::try_from(written).unwrap_or(u64::MAX);
        self.count_in(&mut state, |counters| match direction {
            Direction::Requests => counters.request_bytes += many,
            Direction::Replies => counters.reply_bytes += many,
        });
        Ok(written)
    }

    fn count_in(&self, state: &mut State, event: impl FnOnce(&mut Counters)) -> Now {
        event(&mut state.counters);
        let now = state.now.clone();
        if state.is_complete() {
            self.next_step(state);
        }
        now
    }

    /// Takes the one reply that is to be dropped in this generation, unless it was taken.
    pub(super) fn take_drop(&self, generation: u64) -> bool {
        let mut state = self.state();
        state.now.generation == generation && std::mem::take(&mut state.is_armed)
    }

    /// Resolves at each change of behaviour.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Told by the one who listens.
    pub(super) fn is_in_force(&self, generation: u64) {
        self.in_force.send_replace(generation);
    }

    pub(super) async fn in_force(&self, generation: u64) {
        // Nobody listens any more only when the proxy is dropped, which whoever waits here still holds.
        let _ = self.in_force.subscribe().wait_for(|seen| *seen >= generation).await;
    }

    fn next_step(&self, state: &mut State) {
        let Some(step) = state.to_come.pop_front() else { return };
        let generation = state.now.generation + 1;
        state.is_armed = matches!(step.behaviour, Behaviour::DropReply(_));
        state.now = Now { behaviour: step.behaviour, generation };
        state.until = step.until;
        state.at_beginning = state.counters;
        self.changes.send_replace(generation);
        if let Some(Until::Ms(ms)) = step.until {
            let own = self.own.clone();
            tokio::spawn(async move {
                sleep(Duration::from_millis(ms)).await;
                if let Some(shared) = own.upgrade() {
                    let mut state = shared.state();
                    if state.now.generation == generation {
                        shared.next_step(&mut state);
                    }
                }
            });
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_complete(&self) -> bool {
        let (now, then) = (&self.counters, &self.at_beginning);
        match self.until {
            None | Some(Until::Ms(_)) => false,
            Some(Until::Connections(many)) => now.connections - then.connections >= many,
            Some(Until::RequestBytes(many)) => now.request_bytes - then.request_bytes >= many,
            Some(Until::ReplyBytes(many)) => now.reply_bytes - then.reply_bytes >= many,
            Some(Until::DroppedReplies(many)) => now.dropped_replies - then.dropped_replies >= many,
        }
    }
}
