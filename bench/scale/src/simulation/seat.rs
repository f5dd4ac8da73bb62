//! One live session of the sample, by the program's rules. When it ends, another user's takes its seat: the number of live
//! sessions stays.

use sessile_core::SessionId;
use sessile_core::rotation::RotationState;
use sessile_core::session::{Life, Session};

use super::node::{Sight, moment};
use super::tally::Operations;
use super::{Event, Micros, World, exponential, micros};

#[derive(Debug)]
pub(super) struct Seat {
    pub(super) session: Session,
    /// The node that the load balancer prefers for it.
    home: u32,
    visit_until: Micros,
    pub(super) expires: Micros,
    /// Nodes that know the present access token.
    pub(super) seen: Vec<Seen>,
    /// Everybody was signed out.
    pub(super) is_ended: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) node: u32,
    pub(super) sight: Sight,
    is_confirmed: bool,
}

/// What a seat does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    SignIn,
    Visit,
    Request,
    SignOut,
}

impl Seat {
    pub(super) fn new(session: Session, home: u32) -> Self {
        Self { session, home, visit_until: 0, expires: 0, seen: Vec::new(), is_ended: false }
    }

    pub(super) fn seen_by(&self, node: u32) -> Option<Seen> {
        self.seen.iter().copied().find(|seen| seen.node == node)
    }

    fn know(&mut self, node: u32, sight: Sight, is_confirmed: bool) {
        self.seen.retain(|seen| seen.node != node);
        self.seen.push(Seen { node, sight, is_confirmed });
    }
}

impl World {
    pub(super) fn step(&mut self, place: u32, step: Step) {
        match step {
            Step::SignIn => self.sign_in(place),
            Step::Visit => {
                self.seats[place as usize].visit_until =
                    self.now + exponential(&mut self.random, self.case.traffic.visit_secs);
                self.request(place);
            }
            Step::Request => self.request(place),
            Step::SignOut => self.sign_out(place),
        }
    }

    fn sign_in(&mut self, place: u32) {
        let wall = moment(self.now).wall;
        let node = self.node_for(place);
        let sight = self.sight_of(node);
        let visit_until = self.now + exponential(&mut self.random, self.case.traffic.visit_secs);
        let expires = self.now + self.life_of_token();
        let id = self.fresh_id();
        let limits = self.rules.limits;
        let seat = &mut self.seats[place as usize];
        seat.session.id = id;
        (seat.session.created_at, seat.session.last_seen_at) = (wall, wall);
        seat.session.absolute_end = wall.plus(limits.absolute);
        seat.session.rotation = RotationState::first(wall);
        (seat.visit_until, seat.expires, seat.is_ended) = (visit_until, expires, false);
        seat.seen.clear();
        seat.know(node, sight, false);
        // Its browser shows an older session, which is looked for.
        self.did(|ops| {
            ops.insert += 1.0;
            ops.load += 1.0;
            ops.events += 2.0;
        });
        self.sign_ins.add(self.now);
        self.plan_next(place);
    }

    fn request(&mut self, place: u32) {
        let node = self.node_for(place);
        let wall = moment(self.now).wall;
        let limits = self.rules.limits;
        let seat = &self.seats[place as usize];
        if seat.is_ended || !matches!(seat.session.life(&limits, wall), Life::LiveUntil(_)) {
            let wait = if seat.is_ended { exponential(&mut self.random, self.case.traffic.sign_in_secs) } else { 0 };
            return self.plan(self.now + wait, Event::Seat(place, Step::SignIn));
        }
        let (id, expires, seen) = (seat.session.id, seat.expires, seat.seen_by(node));
        self.did(|ops| ops.requests += 1.0);
        // `evaluate` of core takes a signed token; these are its comparisons.
        let is_over = self.now >= expires;
        let is_near_end = self.now + micros(limits.renew_ahead()) >= expires;
        let is_live = self.is_live_at(node, id, seen.map(|seen| seen.sight));
        let is_warm = is_live && seen.is_some_and(|seen| seen.is_confirmed);
        if !is_over && !is_warm && !self.confirm(place, node, is_live) {
            return self.plan_next(place);
        }
        if is_over || is_near_end {
            self.renew(place, node, is_over);
        }
        self.plan_next(place);
    }

    // First sight, or receipt not noted yet: one operation. Whether the request may pass.
    fn confirm(&mut self, place: u32, node: u32, is_live: bool) -> bool {
        if self.is_cut_off(node) {
            self.did(|ops| ops.unavailable += if is_live { 0.0 } else { 1.0 });
            return is_live;
        }
        let sight = self.sight_of(node);
        let wall = moment(self.now).wall;
        let seat = &mut self.seats[place as usize];
        let is_new = seat.session.rotation.confirmed_at.is_none();
        seat.session.rotation = seat.session.rotation.confirmed(seat.session.rotation.generation, wall);
        seat.know(node, sight, true);
        self.did(|ops| if is_new { ops.confirm_new += 1.0 } else { ops.confirm_again += 1.0 });
        if let Some(confirms) = self.confirms.get_mut(node as usize) {
            confirms.add(self.now);
        }
        true
    }

    fn renew(&mut self, place: u32, node: u32, is_over: bool) {
        use sessile_core::rotation::{Presentation, present};
        if self.is_cut_off(node) {
            return self.did(|ops| ops.unavailable += if is_over { 1.0 } else { 0.0 });
        }
        let (sight, expires) = (self.sight_of(node), self.now + self.life_of_token());
        let wall = moment(self.now).wall;
        let grace = self.rules.limits.grace;
        let seat = &mut self.seats[place as usize];
        let rotation = seat.session.rotation;
        match present(&rotation, rotation.generation, grace, wall) {
            Presentation::Rotate => {
                seat.session.rotation = rotation.next(wall);
                seat.session.last_seen_at = wall;
                seat.expires = expires;
                seat.seen.clear();
                seat.know(node, sight, false);
                self.did(|ops| {
                    ops.load += 1.0;
                    ops.rotate += 1.0;
                    ops.events += 1.0;
                });
            }
            // Renewed a moment ago by another request; the simulation makes one at a time.
            Presentation::Keep | Presentation::Grace | Presentation::Reuse | Presentation::FromTheFuture => {}
        }
    }

    fn sign_out(&mut self, place: u32) {
        let seat = &self.seats[place as usize];
        if !seat.is_ended {
            let (id, expires) = (seat.session.id, seat.expires);
            self.did(|ops| {
                ops.revoke += 1.0;
                ops.events += 1.0;
            });
            self.end_seat(id);
            self.replay(id, expires);
        }
        self.sign_in(place);
    }

    fn plan_next(&mut self, place: u32) {
        let traffic = self.case.traffic;
        let limits = self.rules.limits;
        let next = self.now + exponential(&mut self.random, traffic.between_requests_secs);
        let seat = &self.seats[place as usize];
        if next < seat.visit_until {
            return self.plan(next, Event::Seat(place, Step::Request));
        }
        let leaves = seat.visit_until.max(self.now + 1);
        if self.random.f64() < traffic.sign_out {
            return self.plan(leaves, Event::Seat(place, Step::SignOut));
        }
        let back = leaves + exponential(&mut self.random, traffic.between_visits_secs);
        let seat = &self.seats[place as usize];
        let over = (seat.session.end(&limits).since(moment(0).wall).as_micros() as Micros).max(self.now + 1);
        if back < over {
            return self.plan(back, Event::Seat(place, Step::Visit));
        }
        // They come back too late: another user's session takes the seat when this one is over. Their sign-in, from a browser
        // that still shows the old session, ends that one's record if it was not swept yet.
        let id = seat.session.id;
        let swept = over + micros(self.rules.swept_after) + self.random.u64(0..micros(self.rules.sweep_every));
        if back < swept {
            self.plan(back, Event::Replace(id));
        }
        self.plan(over, Event::Seat(place, Step::SignIn));
    }

    pub(super) fn replace(&mut self, id: SessionId) {
        self.did(|ops| {
            ops.revoke += 1.0;
            ops.events += 1.0;
        });
        self.end_seat(id);
    }

    fn did(&mut self, count: impl FnOnce(&mut Operations)) {
        count(&mut self.operations);
    }

    fn life_of_token(&mut self) -> Micros {
        let (longest, shortest) = (micros(self.rules.limits.access), micros(self.rules.limits.shortest_access()));
        longest - (self.random.f64() * (longest - shortest) as f64) as Micros
    }

    fn node_for(&mut self, place: u32) -> u32 {
        let home = self.seats[place as usize].home;
        let prefers = self.random.f64() < self.case.traffic.affinity && !self.is_away(home);
        if prefers || self.case.nodes == 1 {
            return home;
        }
        loop {
            let node = self.random.u32(0..self.case.nodes);
            if !self.is_away(node) {
                return node;
            }
        }
    }
}
