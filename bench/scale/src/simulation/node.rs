//! One node: a real view, and the loop that keeps it up to date.

use std::time::Duration;

use sessile_core::revocation::{FeedPage, Lineage, Seq, Standing, View};
use sessile_core::{Moment, Monotonic, SessionId, Timestamp};

use super::Micros;

/// Names one stretch in which what a node saw still holds: which process, and the view's lineage in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sight {
    process: u32,
    lineage: Lineage,
}

impl Sight {
    /// Of a node that is not simulated: it never loses what it saw.
    pub(super) const ELSEWHERE: Self = Self { process: 0, lineage: Lineage::from_number(1) };
}

#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) view: View,
    process: u32,
    pub(super) away_until: Micros,
    pub(super) cut_until: Micros,
    /// The page on its way, and when it was asked for.
    pub(super) coming: Option<(Micros, Option<FeedPage>)>,
    /// Counts what the follower does, so that a timer that was overtaken is known.
    pub(super) turn: u64,
    pub(super) waiting: bool,
    /// When the next page may be asked for.
    pub(super) rested: Micros,
    /// The listener is asking where the feed stands.
    pub(super) looking: bool,
    pub(super) looked: u64,
    /// When it may look again.
    pub(super) looks_after: Micros,
    pub(super) heard: Seq,
    pub(super) pages: u64,
    pub(super) looks: u64,
    pub(super) entries: u64,
    pub(super) most_remembered: usize,
    pub(super) new_lineages: u64,
}

/// The wall clock of every node begins here.
const WALL: u64 = 1_800_000_000_000;

pub(super) fn moment(now: Micros) -> Moment {
    let millis = now / 1000;
    Moment { wall: Timestamp::from_millis(WALL + millis), mono: Monotonic::from_millis(millis) }
}

impl Node {
    /// A process that knows nothing takes the place of this one.
    pub(super) fn restart(&mut self, back_at: Micros) {
        *self = Self {
            process: self.process + 1,
            away_until: back_at,
            turn: self.turn + 1,
            looked: self.looked + 1,
            pages: self.pages,
            looks: self.looks,
            entries: self.entries,
            most_remembered: self.most_remembered,
            new_lineages: self.new_lineages,
            ..Self::default()
        };
    }

    pub(super) fn sight(&self) -> Sight {
        Sight { process: self.process, lineage: self.view.lineage() }
    }

    pub(super) fn is_away(&self, now: Micros) -> bool {
        now < self.away_until
    }

    pub(super) fn is_cut_off(&self, now: Micros) -> bool {
        now < self.cut_until
    }

    /// What the node knows of a session that it saw as `seen`.
    pub(super) fn standing(&self, id: SessionId, seen: Option<Sight>, trust: Duration, now: Micros) -> Standing {
        let lineage = seen.filter(|seen| seen.process == self.process).map(|seen| seen.lineage);
        self.view.standing(id, lineage, trust, moment(now).mono)
    }

    /// Until when its view is trusted if nothing more is heard.
    pub(super) fn trusted_until(&self, trust: Micros, now: Micros) -> Micros {
        let age = self.view.age(moment(now).mono);
        age.map_or(0, |age| (now / 1000 * 1000 + trust).saturating_sub(super::micros(age)))
    }
}
