//! The rotation and revocation rules, model-checked exhaustively at small bounds.
//!
//! The model drives the functions the product runs ([`present`], [`RotationState`]); around them it supplies
//! what a deployment does to them: two nodes, tabs that race, a store whose writes interleave with reads,
//! responses that are slow or lost, an access token presented at any time, a revocation, a thief who copied
//! the cookie jar, and a clock that ticks whenever it likes.
//!
//! Proves, I1 to I6 and I8 of faults.md part B at these bounds. Each property has a twin in
//! which one rule is weakened and the checker must find the counterexample.

use std::time::Duration;

use sessile_core::Timestamp;
use sessile_core::rotation::{Presentation, RotationState, present};
use stateright::{Checker, Model, Property};

const GRACE: u64 = 2;
const END_OF_TIME: u64 = 7;
const MAX_GENERATION: u64 = 3;
const IN_FLIGHT: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weakness {
    None,
    /// The preceding token is always answered.
    EndlessGrace,
    /// The preceding token is never answered.
    NoGrace,
    /// A token may rotate at any age.
    RotateAtOnce,
    /// Rotation does not compare generations: last writer wins.
    BlindRotation,
    /// The cookie is decided when the request comes, not when the response leaves.
    EagerCookies,
    /// A request that waited for longer than the grace is judged all the same.
    JudgedLate,
    /// Rotation may bring an ended session back.
    Resurrection,
}

struct World {
    weakness: Weakness,
    thief: bool,
    revocation: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    now: u64,
    live: bool,
    ended_once: bool,
    record: Rotation,
    owner: Jar,
    thief: Option<Jar>,
    requests: Vec<Request>,
    last_rotation: Option<u64>,
    faults: Faults,
    reuse_killed: bool,
    thief_renewed: bool,
}

// `RotationState` in a form that hashes.
type Rotation = (u64, u64, Option<u64>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Jar {
    session_token: u64,
    access_token: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Who {
    Owner,
    Thief,
}

/// A renewal on its way through a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Request {
    who: Who,
    presented: u64,
    arrived: u64,
    at: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Stage {
    /// A rotation is due on the record as it was read; the write has not happened.
    Loaded { record: Rotation },
    /// Decided; the response has not left.
    Answering { generation: u64, rotated_at: u64 },
}

/// Ghost observations, checked against rules stated independently of `present`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Faults {
    answered_beyond_store: bool,
    two_rotations_in_grace: bool,
    skipped_generation: bool,
    stale_token_answered: bool,
    resurrected: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Tick,
    Renew(Who),
    Write(usize),
    Leave(usize),
    Lose(usize),
    UseAccess(Who),
    Steal,
    Revoke,
}

fn rotation((generation, rotated_at, confirmed_at): Rotation) -> RotationState {
    RotationState {
        generation,
        rotated_at: Timestamp::from_millis(rotated_at),
        confirmed_at: confirmed_at.map(Timestamp::from_millis),
    }
}

fn plain(state: RotationState) -> Rotation {
    (state.generation, state.rotated_at.as_millis(), state.confirmed_at.map(Timestamp::as_millis))
}

impl World {
    fn present(&self, record: Rotation, presented: u64, now: u64) -> Presentation {
        let verdict = present(&rotation(record), presented, Duration::from_millis(GRACE), Timestamp::from_millis(now));
        match (self.weakness, verdict) {
            (Weakness::EndlessGrace, Presentation::Reuse) => Presentation::Grace,
            (Weakness::NoGrace, Presentation::Grace) => Presentation::Reuse,
            (Weakness::RotateAtOnce, Presentation::Keep) => Presentation::Rotate,
            _ => verdict,
        }
    }

    fn write(&self, state: &mut State, index: usize) {
        let request = state.requests[index].clone();
        let Stage::Loaded { record: seen } = request.at else { return };
        let too_old = state.now >= request.arrived + GRACE && self.weakness != Weakness::JudgedLate;
        if too_old || (!state.live && self.weakness != Weakness::Resurrection) {
            state.requests.remove(index);
            return;
        }
        if seen.0 == state.record.0 || self.weakness == Weakness::BlindRotation {
            if !state.live {
                state.live = true;
                state.faults.resurrected = true;
            }
            let next = if self.weakness == Weakness::BlindRotation {
                (seen.0 + 1, state.now, None)
            } else {
                plain(rotation(state.record).next(Timestamp::from_millis(state.now)))
            };
            if next.0 != state.record.0 + 1 {
                state.faults.skipped_generation = true;
            }
            if state.last_rotation.is_some_and(|last| state.now < last + GRACE) {
                state.faults.two_rotations_in_grace = true;
            }
            state.last_rotation = Some(state.now);
            state.record = next;
            self.answer(state, index);
        } else {
            self.judge(state, index);
        }
    }

    /// Judges a request against the record as it is, by the time it arrived.
    fn judge(&self, state: &mut State, index: usize) {
        let Request { presented, arrived, .. } = state.requests[index];
        match self.present(state.record, presented, arrived) {
            Presentation::Rotate => state.requests[index].at = Stage::Loaded { record: state.record },
            Presentation::Keep => {
                let confirmed = rotation(state.record).confirmed(presented, Timestamp::from_millis(state.now));
                state.record = plain(confirmed);
                self.answer(state, index);
            }
            Presentation::Grace => {
                let (generation, _, confirmed) = state.record;
                let allowed = presented + 1 == generation && confirmed.is_none_or(|at| arrived < at + GRACE);
                if !allowed {
                    state.faults.stale_token_answered = true;
                }
                self.answer(state, index);
            }
            Presentation::Reuse | Presentation::FromTheFuture => {
                state.live = false;
                state.ended_once = true;
                state.reuse_killed = true;
                state.requests.remove(index);
            }
        }
    }

    fn answer(&self, state: &mut State, index: usize) {
        if state.requests[index].who == Who::Thief {
            state.thief_renewed = true;
        }
        state.requests[index].at = Stage::Answering { generation: state.record.0, rotated_at: state.record.1 };
    }

    fn leave(&self, state: &mut State, index: usize) {
        let request = state.requests.remove(index);
        let Stage::Answering { generation, rotated_at } = request.at else { return };
        if generation > state.record.0 {
            state.faults.answered_beyond_store = true;
        }
        let alone = state.now < rotated_at + GRACE;
        let newest = generation == state.record.0;
        if !state.live || !(alone || newest || self.weakness == Weakness::EagerCookies) {
            return;
        }
        let jar = Jar { session_token: generation, access_token: generation };
        match request.who {
            Who::Owner => state.owner = jar,
            Who::Thief => state.thief = state.thief.map(|_| jar),
        }
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            now: 0,
            live: true,
            ended_once: false,
            record: plain(RotationState::first(Timestamp::from_millis(0))),
            owner: Jar { session_token: 0, access_token: 0 },
            thief: None,
            requests: Vec::new(),
            last_rotation: None,
            faults: Faults::default(),
            reuse_killed: false,
            thief_renewed: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.now < END_OF_TIME {
            actions.push(Action::Tick);
        }
        if state.requests.len() < IN_FLIGHT {
            actions.push(Action::Renew(Who::Owner));
            if state.thief.is_some() {
                actions.push(Action::Renew(Who::Thief));
            }
        }
        for index in 0..state.requests.len() {
            match state.requests[index].at {
                Stage::Loaded { .. } => actions.push(Action::Write(index)),
                Stage::Answering { .. } => {
                    actions.push(Action::Leave(index));
                    actions.push(Action::Lose(index));
                }
            }
        }
        actions.push(Action::UseAccess(Who::Owner));
        if state.thief.is_some() {
            actions.push(Action::UseAccess(Who::Thief));
        }
        if self.thief && state.thief.is_none() {
            actions.push(Action::Steal);
        }
        if self.revocation && state.live {
            actions.push(Action::Revoke);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Tick => state.now += 1,
            Action::Renew(who) => {
                if !state.live {
                    return None;
                }
                let jar = match who {
                    Who::Owner => state.owner,
                    Who::Thief => state.thief?,
                };
                state.requests.push(Request {
                    who,
                    presented: jar.session_token,
                    arrived: state.now,
                    at: Stage::Loaded { record: state.record },
                });
                let newest = state.requests.len() - 1;
                self.judge(&mut state, newest);
            }
            Action::Write(index) => self.write(&mut state, index),
            Action::Leave(index) => self.leave(&mut state, index),
            Action::Lose(index) => drop(state.requests.remove(index)),
            Action::UseAccess(who) => {
                let jar = match who {
                    Who::Owner => state.owner,
                    Who::Thief => state.thief?,
                };
                if !state.live {
                    return None;
                }
                let now = Timestamp::from_millis(state.now);
                state.record = plain(rotation(state.record).confirmed(jar.access_token, now));
            }
            Action::Steal => state.thief = Some(state.owner),
            Action::Revoke => {
                state.live = false;
                state.ended_once = true;
            }
        }
        state.requests.sort();
        (state != *last && state.record.0 <= MAX_GENERATION).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("I4: no token is answered that the store has not reached", |_, s: &State| {
                !s.faults.answered_beyond_store
            }),
            Property::always("I3: generations advance by one", |_, s: &State| !s.faults.skipped_generation),
            Property::always("I6: at most one rotation per grace", |_, s: &State| !s.faults.two_rotations_in_grace),
            Property::always("I5/I6: a superseded token is answered only within its grace", |_, s: &State| {
                !s.faults.stale_token_answered
            }),
            Property::always("I8: dead stays dead", |_, s: &State| !(s.faults.resurrected || (s.ended_once && s.live))),
            Property::always("L1: an honest browser alone never looks like a thief", |w: &World, s: &State| {
                w.thief || !s.reuse_killed
            }),
            Property::sometimes("rotation happens", |_, s: &State| s.record.0 >= 2),
        ]
    }
}

fn broken(weakness: Weakness, thief: bool, revocation: bool) -> Vec<&'static str> {
    let checker = World { weakness, thief, revocation }.checker().threads(2).spawn_bfs().join();
    checker.discoveries().into_keys().filter(|name| *name != "rotation happens").collect()
}

#[test]
fn the_rules_hold_for_an_honest_browser() {
    let checker =
        World { weakness: Weakness::None, thief: false, revocation: true }.checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    eprintln!("honest browser: {} states", checker.unique_state_count());
}

#[test]
fn the_rules_hold_with_a_thief() {
    let checker =
        World { weakness: Weakness::None, thief: true, revocation: false }.checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    eprintln!("with a thief: {} states", checker.unique_state_count());
}

/// Negative controls: each weakened rule is caught by the property that speaks of it.
#[test]
fn each_weakened_rule_is_caught() {
    for (weakness, thief, property) in [
        (Weakness::EndlessGrace, true, "I5/I6"),
        (Weakness::NoGrace, false, "L1"),
        (Weakness::RotateAtOnce, false, "I6: at most"),
        (Weakness::BlindRotation, false, "I3"),
        (Weakness::EagerCookies, false, "L1"),
        (Weakness::JudgedLate, false, "L1"),
        (Weakness::Resurrection, false, "I8"),
    ] {
        let found = broken(weakness, thief, weakness == Weakness::Resurrection);
        assert!(
            found.iter().any(|name| name.starts_with(property)),
            "{weakness:?} went unnoticed; found only {found:?}"
        );
    }
}

/// A thief who renews while the owner does too is found out: the session ends by reuse in some run (X2).
#[test]
fn theft_is_detectable() {
    struct Detect(World);
    impl Model for Detect {
        type State = State;
        type Action = Action;
        fn init_states(&self) -> Vec<State> {
            self.0.init_states()
        }
        fn actions(&self, state: &State, actions: &mut Vec<Action>) {
            self.0.actions(state, actions);
        }
        fn next_state(&self, last: &State, action: Action) -> Option<State> {
            self.0.next_state(last, action)
        }
        fn properties(&self) -> Vec<Property<Self>> {
            vec![Property::sometimes("reuse ends the session", |_, s: &State| s.thief_renewed && s.reuse_killed)]
        }
    }
    let detect = |weakness| {
        Detect(World { weakness, thief: true, revocation: false })
            .checker()
            .threads(2)
            .spawn_bfs()
            .join()
            .discoveries()
            .len()
    };
    assert_eq!(detect(Weakness::None), 1);
    assert_eq!(detect(Weakness::EndlessGrace), 0, "a rule that forgives every old token detects nothing");
}
