//! The revocation view, model-checked exhaustively at small bounds (I7, I8, I9, I15, I18; N1, N4, N6).
//!
//! A node follows the feed of a store with the product's own [`View`]. Pages are asked for, and arrive late, twice or
//! never; the store forgets old entries; sessions are revoked one by one or all at once, and one begins after that.
//! Requests come at any time. A session whose record was seen is remembered with its lineage, as the engine does.
//! Whatever happens, nothing is accepted later than T after its revocation was acknowledged; each weakened twin is
//! caught.

use std::time::Duration;

use sessile_core::revocation::{Epoch, FeedEntry, FeedItem, FeedPage, Lineage, Phase, Reason, Seq, Standing, View};
use sessile_core::{Moment, Monotonic, SessionId, Timestamp};
use stateright::{Checker, Model, Property};

const T: u64 = 2;
const END_OF_TIME: u64 = 6;
const SESSIONS: usize = 2;
const MAX_ENTRIES: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weakness {
    None,
    /// Freshness counts from when a page arrived, not from when it was asked for.
    FreshOnArrival,
    /// A view is trusted however old it is.
    NeverStale,
    /// A gap in the feed is passed over.
    GapsIgnored,
    /// What was seen once counts in every lineage.
    SeenForEver,
}

struct World(Weakness);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    now: u64,
    live: [bool; SESSIONS],
    dead_since: [Option<u64>; SESSIONS],
    feed: Vec<Option<usize>>,
    forgotten: usize,
    view: View,
    seen: [Option<Lineage>; SESSIONS],
    page: Option<Page>,
    accepted_too_late: bool,
    served: bool,
}

/// A page under way: what the store was when it answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Page {
    asked: u64,
    after: usize,
    head: usize,
    forgotten: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Tick,
    Ask,
    Arrive { again: bool },
    Lose,
    Revoke(usize),
    RevokeAll,
    Begin(usize),
    Forget,
    Request(usize),
}

fn id(session: usize) -> SessionId {
    SessionId::from_bytes([u8::try_from(session).unwrap_or(u8::MAX); 16])
}

fn moment(at: u64) -> Moment {
    Moment { wall: Timestamp::from_millis(at), mono: Monotonic::from_millis(at) }
}

impl World {
    fn arrive(&self, state: &mut State, page: Page) {
        let number = |index: usize| Seq(index as u64 + 1);
        let entries = (page.after.max(page.forgotten)..page.head).map(|index| FeedEntry {
            seq: number(index),
            item: match state.feed[index] {
                Some(session) => FeedItem::Ended(id(session), Reason::SignOut),
                None => FeedItem::AllEnded(Reason::EndedByAdministrator),
            },
        });
        let oldest = if self.0 == Weakness::GapsIgnored { 1 } else { page.forgotten as u64 + 1 };
        let page_of_feed = FeedPage {
            epoch: Epoch([7; 16]),
            oldest: Seq(oldest),
            head: Seq(page.head as u64),
            entries: entries.collect(),
            phase: Phase::Serving,
        };
        let asked = if self.0 == Weakness::FreshOnArrival { state.now } else { page.asked };
        // A page that an earlier one has overtaken is not applied: the engine reads one at a time.
        if page.head as u64 >= state.view.position().0 {
            state.view.apply(&page_of_feed, Duration::from_millis(100), moment(asked));
        }
    }

    fn request(&self, state: &mut State, session: usize) {
        let staleness = if self.0 == Weakness::NeverStale { u64::MAX } else { T };
        let seen = match self.0 {
            Weakness::SeenForEver => state.seen[session].map(|_| state.view.lineage()),
            _ => state.seen[session],
        };
        let now = Monotonic::from_millis(state.now);
        let accepted = match state.view.standing(id(session), seen, Duration::from_millis(staleness), now) {
            Standing::Ended => false,
            Standing::Live => true,
            // The store is asked, and its record is seen in the lineage of that moment.
            Standing::Unknown => {
                if state.live[session] {
                    state.seen[session] = Some(state.view.lineage());
                }
                state.live[session]
            }
        };
        state.served |= accepted;
        if accepted && state.dead_since[session].is_some_and(|at| state.now > at + T) {
            state.accepted_too_late = true;
        }
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            now: 0,
            live: [true, false],
            dead_since: [None; SESSIONS],
            feed: Vec::new(),
            forgotten: 0,
            view: View::new(),
            seen: [None; SESSIONS],
            page: None,
            accepted_too_late: false,
            served: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.now < END_OF_TIME {
            actions.push(Action::Tick);
        }
        if state.page.is_none() {
            actions.push(Action::Ask);
        } else {
            actions.extend([Action::Arrive { again: false }, Action::Arrive { again: true }, Action::Lose]);
        }
        for session in 0..SESSIONS {
            if state.live[session] && state.feed.len() < MAX_ENTRIES {
                actions.push(Action::Revoke(session));
            }
            actions.push(Action::Request(session));
        }
        if state.feed.len() < MAX_ENTRIES && state.live.contains(&true) {
            actions.push(Action::RevokeAll);
        }
        if !state.live[1] && state.dead_since[1].is_none() {
            actions.push(Action::Begin(1));
        }
        if state.forgotten < state.feed.len() {
            actions.push(Action::Forget);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Tick => state.now += 1,
            Action::Ask => {
                let after = usize::try_from(state.view.position().0).unwrap_or(usize::MAX);
                state.page = Some(Page { asked: state.now, after, head: state.feed.len(), forgotten: state.forgotten });
            }
            Action::Arrive { again } => {
                self.arrive(&mut state, last.page?);
                if !again {
                    state.page = None;
                }
            }
            Action::Lose => state.page = None,
            Action::Revoke(session) => {
                state.live[session] = false;
                state.dead_since[session] = Some(state.now);
                state.feed.push(Some(session));
            }
            Action::RevokeAll => {
                for session in 0..SESSIONS {
                    if std::mem::take(&mut state.live[session]) {
                        state.dead_since[session] = Some(state.now);
                    }
                }
                state.feed.push(None);
            }
            Action::Begin(session) => state.live[session] = true,
            Action::Forget => state.forgotten += 1,
            Action::Request(session) => self.request(&mut state, session),
        }
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("I7: nothing is accepted later than T after its revocation", |_, s: &State| {
                !s.accepted_too_late
            }),
            Property::sometimes("requests are served", |_, s: &State| s.served),
            Property::sometimes("a session begun after the cut lives", |_, s: &State| {
                s.live[1] && s.feed.contains(&None) && s.seen[1] == Some(s.view.lineage())
            }),
        ]
    }
}

#[test]
fn nothing_is_accepted_later_than_t() {
    let checker = World(Weakness::None).checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    eprintln!("revocation view: {} states", checker.unique_state_count());
}

/// Negative controls: each weakened rule lets a dead session in.
#[test]
fn each_weakened_rule_is_caught() {
    for weakness in [Weakness::FreshOnArrival, Weakness::NeverStale, Weakness::GapsIgnored, Weakness::SeenForEver] {
        let checker = World(weakness).checker().threads(2).spawn_bfs().join();
        let caught = checker.discoveries().keys().any(|name| name.starts_with("I7"));
        assert!(caught, "{weakness:?} went unnoticed");
    }
}
