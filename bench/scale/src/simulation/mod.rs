//! Many nodes, many sessions, one store: events in order of time, with random numbers from a seed.
//!
//! Sessions are sampled, the feed is not: beside the endings of the sample it carries those of all other sessions, at the
//! rate that the sample shows. Up to four nodes are simulated, with the `View` of core and the loop of
//! `crates/sessile/src/node.rs`; the others read the same feed in the same way.

mod assumptions;
pub mod cases;
mod feed;
mod node;
mod report;
mod seat;
mod tally;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use sessile_core::client::Client;
use sessile_core::policy::Limits;
use sessile_core::revocation::{Applied, FeedItem, Reason, Restart, Seq, Standing};
use sessile_core::rotation::RotationState;
use sessile_core::session::{Facts, Session};
use sessile_core::{SessionId, Storage};

pub use assumptions::{Case, Network, Plan, Rules, Traffic};
pub use report::{Faults, FeedLoad, Outcome, Safety, ViewLoad};
pub use tally::{Distribution, Operations};

use feed::Feed;
use node::{Node, Sight, moment};
use seat::{Seat, Step};
use tally::{Delays, Seconds};

/// Microseconds from the start.
type Micros = u64;

const SECOND: Micros = 1_000_000;
/// How long the listeners of both servers wait for news before they look all the same.
const LOOK_EVERY: Micros = 900_000;
/// A node that cannot read the feed tries again after this at the latest.
const RETRY: Micros = SECOND;

fn micros(duration: Duration) -> Micros {
    duration.as_micros() as Micros
}

fn exponential(random: &mut fastrand::Rng, mean_secs: f64) -> Micros {
    // Between nought and one, one excluded.
    (-(1.0 - random.f64()).ln() * mean_secs * SECOND as f64) as Micros + 1
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Seat(u32, Step),
    /// Somebody signs in anew from the browser of a session that is over, whose record is still there.
    Replace(SessionId),
    /// A session outside of the sample ends like those of the sample.
    OtherEnds,
    /// One that an administrator ends.
    BurstEnds,
    EverybodyEnds,
    /// The follower of a node: asks for a page, which is read, and arrives.
    Ask(u32, u64),
    Read(u32, u64),
    Take(u32, u64),
    /// Its listener: the store is looked at, and the answer arrives.
    Look(u32, u64),
    Heard(u32, u64),
    Restart(u32),
    CutOff(u32, Micros),
    Replay(u32),
    Steady,
    Disturb,
}

/// A token that a thief holds of a session that was signed out.
#[derive(Clone, Copy, Debug)]
struct Stolen {
    id: SessionId,
    node: u32,
    sight: Sight,
    expires: Micros,
    ended_at: Micros,
}

struct World {
    case: Case,
    rules: Rules,
    plan: Plan,
    now: Micros,
    random: fastrand::Rng,
    queue: BinaryHeap<Reverse<(Micros, u64)>>,
    events: Vec<Event>,
    free: Vec<usize>,
    planned: u64,
    seats: Vec<Seat>,
    nodes: Vec<Node>,
    feed: Feed,
    stolen: Vec<Stolen>,
    other_endings_a_second: f64,
    burst_left: u64,
    operations: Operations,
    confirms: Vec<Seconds>,
    sign_ins: Seconds,
    // For nodes that hear the store, and what a revoked token is good for at all of them.
    heard: Delays,
    accepted: Delays,
    report: report::Notes,
}

/// Runs one deployment through the plan.
pub fn run(case: Case, rules: Rules, plan: Plan) -> Outcome {
    let mut world = World::new(case, rules, plan);
    let end = plan.end(case.sessions) * SECOND;
    while let Some((at, event)) = world.next() {
        if at > end {
            break;
        }
        world.now = at;
        world.happen(event);
    }
    report::outcome(world)
}

impl World {
    fn new(case: Case, rules: Rules, plan: Plan) -> Self {
        let watched = case.watched();
        let mut world = Self {
            now: 0,
            random: fastrand::Rng::with_seed(case.seed),
            queue: BinaryHeap::new(),
            events: Vec::new(),
            free: Vec::new(),
            planned: 0,
            seats: (0..case.sample).map(|place| Seat::new(nobody(), place % watched)).collect(),
            nodes: (0..watched).map(|_| Node::default()).collect(),
            feed: Feed::new(&rules),
            stolen: Vec::new(),
            other_endings_a_second: 0.0,
            burst_left: (case.sessions as f64 * plan.burst) as u64,
            operations: Operations::default(),
            confirms: (0..watched).map(|_| Seconds::default()).collect(),
            sign_ins: Seconds::default(),
            heard: Delays::default(),
            accepted: Delays::default(),
            report: report::Notes::default(),
            case,
            rules,
            plan,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        let (plan, watched) = (self.plan, self.case.watched());
        for place in 0..self.case.sample {
            let at = self.random.u64(0..plan.begin * SECOND);
            self.plan(at, Event::Seat(place, Step::SignIn));
        }
        for node in 0..watched {
            self.plan(u64::from(node) * 1000, Event::Ask(node, 0));
            self.plan(u64::from(node) * 1000, Event::Look(node, 0));
        }
        self.plan(plan.full_feed * SECOND, Event::OtherEnds);
        self.plan(plan.steady * SECOND, Event::Steady);
        self.plan(plan.disturb * SECOND, Event::Disturb);
        self.plan((plan.disturb + 10) * SECOND, Event::Restart(1 % watched));
        let cut = |at: u64, secs: u64| (at * SECOND, (at + secs) * SECOND);
        let (at, until) = cut(plan.disturb + 60, plan.short_cut);
        self.plan(at, Event::CutOff(2 % watched, until));
        let (at, until) = cut(plan.long_cut_at(), plan.long_cut);
        self.plan(at, Event::CutOff(3 % watched, until));
        self.plan(plan.burst_at() * SECOND, Event::BurstEnds);
        self.plan(plan.everybody_at(self.case.sessions) * SECOND, Event::EverybodyEnds);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Seat(place, step) => self.step(place, step),
            Event::Replace(id) => self.replace(id),
            Event::OtherEnds => self.other_ends(),
            Event::BurstEnds => self.burst_ends(),
            Event::EverybodyEnds => {
                self.append(FeedItem::AllEnded(Reason::EndedByAdministrator));
                self.seats.iter_mut().for_each(|seat| seat.is_ended = true);
            }
            Event::Ask(node, turn) => self.ask(node, turn),
            Event::Read(node, turn) => self.read(node, turn),
            Event::Take(node, turn) => self.take(node, turn),
            Event::Look(node, looked) => self.look(node, looked),
            Event::Heard(node, looked) => self.hear(node, looked),
            Event::Restart(node) => {
                let back_at = self.now + self.plan.restart * SECOND;
                self.nodes[node as usize].restart(back_at);
                self.follow(node, back_at);
                let looked = self.nodes[node as usize].looked;
                self.plan(back_at, Event::Look(node, looked));
            }
            Event::CutOff(node, until) => self.nodes[node as usize].cut_until = until,
            Event::Replay(which) => self.try_replay(which),
            Event::Steady => self.report.begin_steady(self.operations, &mut self.nodes),
            Event::Disturb => self.end_steady(),
        }
    }

    // ---- the store

    fn append(&mut self, item: FeedItem) {
        self.feed.append(item, self.now);
        for node in 0..self.case.watched() {
            let state = &mut self.nodes[node as usize];
            if !state.looking && !state.is_away(self.now) {
                state.looking = true;
                state.looked += 1;
                let (looked, rested) = (state.looked, state.looks_after);
                // The notice arrives, and the listener's question does.
                let at = rested.max(self.now + self.hop()) + self.hop();
                self.plan(at, Event::Look(node, looked));
            }
        }
    }

    // One of the sample.
    fn end_seat(&mut self, id: SessionId) {
        if (self.plan.count_endings * SECOND..self.plan.full_feed * SECOND).contains(&self.now) {
            self.report.endings_counted += 1;
        }
        self.end_session(id);
    }

    fn end_session(&mut self, id: SessionId) {
        self.append(FeedItem::Ended(id, Reason::SignOut));
    }

    fn other_ends(&mut self) {
        if self.other_endings_a_second == 0.0 {
            let stretch = (self.plan.full_feed - self.plan.count_endings) as f64;
            let others = self.case.weight() - 1.0;
            self.other_endings_a_second = self.report.endings_counted as f64 / stretch * others;
            if self.other_endings_a_second <= 0.0 {
                return;
            }
        } else {
            let id = self.fresh_id();
            self.end_session(id);
        }
        let next = self.now + exponential(&mut self.random, 1.0 / self.other_endings_a_second);
        self.plan(next, Event::OtherEnds);
    }

    fn burst_ends(&mut self) {
        if self.burst_left == 0 {
            return;
        }
        self.burst_left -= 1;
        let id = self.fresh_id();
        self.append(FeedItem::Ended(id, Reason::EndedByAdministrator));
        let next = self.now + (SECOND as f64 / self.plan.burst_rate) as Micros;
        self.plan(next, Event::BurstEnds);
    }

    // ---- the follower, as `follow_feed` and `read_feed` in crates/sessile/src/node.rs

    fn follow(&mut self, node: u32, at: Micros) {
        let turn = self.nodes[node as usize].turn;
        self.plan(at, Event::Ask(node, turn));
    }

    fn ask(&mut self, node: u32, turn: u64) {
        let now = self.now;
        let state = &mut self.nodes[node as usize];
        if state.turn != turn {
            return;
        }
        state.turn += 1;
        state.waiting = false;
        let turn = state.turn;
        if state.is_cut_off(now) {
            return self.plan(now + RETRY, Event::Ask(node, turn));
        }
        state.coming = Some((now, None));
        let at = now + self.hop();
        self.plan(at, Event::Read(node, turn));
    }

    fn read(&mut self, node: u32, turn: u64) {
        let state = &mut self.nodes[node as usize];
        if state.turn != turn {
            return;
        }
        let page = self.feed.page(state.view.position(), self.now);
        state.pages += 1;
        state.entries += page.entries.len() as u64;
        if let Some((_, coming)) = &mut state.coming {
            *coming = Some(page);
        }
        let at = self.now + self.hop();
        self.plan(at, Event::Take(node, turn));
    }

    fn take(&mut self, node: u32, turn: u64) {
        let (now, trust) = (self.now, micros(self.rules.trust));
        let state = &mut self.nodes[node as usize];
        if state.turn != turn {
            return;
        }
        let Some((asked, Some(page))) = state.coming.take() else { return };
        if state.is_cut_off(now) {
            return self.plan(now + RETRY, Event::Ask(node, turn));
        }
        let trusted_until = state.trusted_until(trust, now);
        let before = state.view.position();
        let applied = state.view.apply(&page, self.rules.remember, moment(asked));
        let (position, is_first) = (state.view.position(), matches!(applied, Applied::Restarted(Restart::FirstPage)));
        state.most_remembered = state.most_remembered.max(state.view.len());
        let complete = match applied {
            Applied::Continued { complete, .. } => complete,
            Applied::Restarted(why) => {
                state.new_lineages += 1;
                self.report.note_restart(why);
                true
            }
        };
        if !is_first {
            self.measure(before.0, position.0, trusted_until);
        }
        let state = &mut self.nodes[node as usize];
        if !complete {
            return self.plan(now, Event::Ask(node, turn));
        }
        let rested = now.max(asked + micros(self.rules.between_pages));
        state.rested = rested;
        if state.heard != position {
            return self.plan(rested, Event::Ask(node, turn));
        }
        state.waiting = true;
        let floor = micros(self.rules.poll_floor());
        self.plan(rested.max(now + floor), Event::Ask(node, turn));
    }

    // How long it took until the entries after `before` were known here, and until their tokens opened nothing here.
    fn measure(&mut self, before: u64, position: u64, trusted_until: Micros) {
        for seq in before + 1..=position {
            let committed = self.feed.committed_at(Seq(seq));
            let known = self.now - committed;
            self.accepted.add(known.min(trusted_until.max(committed) - committed));
            // An entry that its node read late was on the far side of a cut.
            if self.now <= trusted_until {
                self.heard.add(known);
            }
        }
    }

    // ---- the listener, as postgres/listener.rs and redis/follower.rs in crates/sessile-store/src

    fn look(&mut self, node: u32, looked: u64) {
        let now = self.now;
        let state = &mut self.nodes[node as usize];
        if state.looked != looked {
            return;
        }
        state.looked += 1;
        let looked = state.looked;
        if state.is_cut_off(now) {
            state.looking = true;
            return self.plan(now + RETRY, Event::Look(node, looked));
        }
        state.looking = true;
        state.looks += 1;
        state.looks_after = now + micros(self.rules.between_looks);
        state.heard = self.feed.head();
        let at = now + self.hop();
        self.plan(at, Event::Heard(node, looked));
    }

    fn hear(&mut self, node: u32, looked: u64) {
        let head = self.feed.head();
        let state = &mut self.nodes[node as usize];
        if state.looked != looked {
            return;
        }
        state.looked += 1;
        let again = state.looked;
        // A notice that came meanwhile is answered by another look.
        let has_notice = head != state.heard;
        state.looking = has_notice;
        let is_news = state.waiting && state.heard != state.view.position();
        let (turn, rested, looks_after) = (state.turn, state.rested, state.looks_after);
        let at = if has_notice { looks_after.max(self.now) + self.hop() } else { self.now + LOOK_EVERY };
        self.plan(at, Event::Look(node, again));
        if is_news {
            self.nodes[node as usize].waiting = false;
            self.plan(self.now.max(rested), Event::Ask(node, turn));
        }
    }

    // ---- what a thief tries

    fn replay(&mut self, id: SessionId, expires: Micros) {
        let node = self.random.u32(0..self.case.watched());
        let state = &self.nodes[node as usize];
        if state.is_away(self.now) || !state.view.is_fresh(self.rules.trust, moment(self.now).mono) {
            return;
        }
        let which = self.stolen.len() as u32;
        self.stolen.push(Stolen { id, node, sight: state.sight(), expires, ended_at: self.now });
        let left = expires.saturating_sub(self.now);
        for _ in 0..4 {
            let at = self.now + self.random.u64(0..=left);
            self.plan(at, Event::Replay(which));
        }
        let soon = self.now + self.random.u64(0..=2 * micros(self.rules.limits.staleness));
        self.plan(soon, Event::Replay(which));
    }

    fn try_replay(&mut self, which: u32) {
        let stolen = self.stolen[which as usize];
        let state = &self.nodes[stolen.node as usize];
        if self.now >= stolen.expires || state.is_away(self.now) {
            return;
        }
        let passed = state.standing(stolen.id, Some(stolen.sight), self.rules.trust, self.now) == Standing::Live;
        let since = self.now - stolen.ended_at;
        self.report.note_replay(passed, since > micros(self.rules.limits.staleness));
    }

    // ---- small things

    fn sight_of(&self, node: u32) -> Sight {
        self.nodes.get(node as usize).map_or(Sight::ELSEWHERE, Node::sight)
    }

    fn is_live_at(&self, node: u32, id: SessionId, seen: Option<Sight>) -> bool {
        match self.nodes.get(node as usize) {
            Some(state) => state.standing(id, seen, self.rules.trust, self.now) == Standing::Live,
            None => seen.is_some(),
        }
    }

    fn is_cut_off(&self, node: u32) -> bool {
        self.nodes.get(node as usize).is_some_and(|state| state.is_cut_off(self.now))
    }

    fn is_away(&self, node: u32) -> bool {
        self.nodes.get(node as usize).is_some_and(|state| state.is_away(self.now)) && self.case.nodes > 1
    }

    fn hop(&mut self) -> Micros {
        let network = self.case.network;
        let hop = self.random.u64(network.hop_micros / 2..=network.hop_micros * 3 / 2);
        let lost = self.random.u64(0..network.one_lost_in) == 0;
        if lost { hop + network.resend_micros } else { hop }
    }

    fn fresh_id(&mut self) -> SessionId {
        SessionId::from_bytes(self.random.u128(..).to_be_bytes())
    }

    fn plan(&mut self, at: Micros, event: Event) {
        let place = self.free.pop().unwrap_or(self.events.len());
        if place == self.events.len() {
            self.events.push(event);
        } else {
            self.events[place] = event;
        }
        self.planned += 1;
        // In the order in which they were planned, if at the same time.
        self.queue.push(Reverse((at, self.planned << 24 | place as u64)));
    }

    fn next(&mut self) -> Option<(Micros, Event)> {
        let Reverse((at, key)) = self.queue.pop()?;
        let place = (key & 0xff_ffff) as usize;
        self.free.push(place);
        Some((at, self.events[place]))
    }

    fn end_steady(&mut self) {
        let tokens = self.seats.iter().filter(|seat| self.now < seat.expires).map(|seat| seat.seen.len()).sum();
        self.report.end_steady(self.operations, &self.nodes, tokens);
    }
}

fn nobody() -> Session {
    let at = moment(0).wall;
    Session {
        id: SessionId::from_bytes([0; 16]),
        subject: "nobody".parse().expect("a subject"),
        storage: Storage::Hybrid,
        remember: false,
        created_at: at,
        authenticated_at: at,
        last_seen_at: at,
        absolute_end: at,
        idle: Limits::default().idle,
        rotation: RotationState::first(at),
        client: Client::default(),
        facts: Facts::default(),
    }
}
