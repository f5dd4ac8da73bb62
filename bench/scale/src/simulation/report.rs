//! What a run came to.

use serde::Serialize;
use sessile_core::revocation::Restart;

use super::World;
use super::assumptions::Case;
use super::node::Node;
use super::tally::{Distribution, Operations};

/// A run, in the measure of the whole deployment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// How many nodes.
    pub nodes: u32,
    /// How many live sessions.
    pub sessions: u64,
    /// Life of an access token, in seconds.
    pub access_secs: u64,
    /// Part of the requests that reach their session's own node.
    pub affinity: f64,
    /// How many sessions were simulated one by one.
    pub sample: u32,
    /// Operations a second of all nodes together, in undisturbed life.
    pub per_second: Operations,
    /// The feed, in undisturbed life.
    pub feed: FeedLoad,
    /// Views.
    pub view: ViewLoad,
    /// Access tokens that a node knows and that are still good.
    pub tokens_per_node: f64,
    /// How long an ending took to be known at nodes that heard the store all the time.
    pub heard: Distribution,
    /// How long an ended session's token was accepted, over all nodes, cut off or not.
    pub accepted: Distribution,
    /// What disturbances cost.
    pub faults: Faults,
    /// What stolen tokens of ended sessions opened.
    pub safety: Safety,
}

/// What the feed carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct FeedLoad {
    /// Entries a second.
    pub entries_per_second: f64,
    /// Pages that one node reads in a second.
    pub pages_per_node: f64,
    /// How often in a second one node's listener looks where the feed stands.
    pub looks_per_node: f64,
    /// Most entries that were kept at any time.
    pub most_kept: usize,
}

/// What views hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ViewLoad {
    /// Most entries in one view in undisturbed life.
    pub entries: usize,
    /// What the formula says: entries a second, times how long they are remembered.
    pub formula: f64,
    /// Most entries at any time, the administrator's burst included.
    pub most: usize,
}

/// What disturbances cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Faults {
    /// `confirm` at one node in the busiest second of undisturbed life.
    pub confirms_usual: f64,
    /// The same after its restart.
    pub confirms_after_restart: f64,
    /// The same after it was cut off for longer than the feed keeps entries.
    pub confirms_after_gap: f64,
    /// Sign-ins of the whole deployment in the busiest second after everybody was signed out.
    pub sign_ins_after_everybody: f64,
    /// The same in undisturbed life.
    pub sign_ins_usual: f64,
    /// Requests answered 503 in undisturbed life.
    pub unavailable_usual: f64,
    /// Views that began anew because entries were forgotten before they were read.
    pub gaps: u64,
    /// Views that began anew because everybody was signed out.
    pub everybody: u64,
}

/// What stolen tokens of ended sessions opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Safety {
    /// How often one was tried.
    pub tried: u64,
    /// How often it passed within T.
    pub passed_within: u64,
    /// How often it passed after T. Never.
    pub passed_after: u64,
}

#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) endings_counted: u64,
    safety: Safety,
    gaps: u64,
    everybody: u64,
    operations_before: Operations,
    operations: Operations,
    entries: u64,
    pages: u64,
    looks: u64,
    remembered: usize,
    tokens: usize,
}

impl Notes {
    pub(super) fn note_restart(&mut self, why: Restart) {
        match why {
            Restart::FirstPage => {}
            Restart::Gap => self.gaps += 1,
            Restart::AllEnded(_) => self.everybody += 1,
            Restart::HistoryLost => unreachable!("the simulated store loses nothing"),
        }
    }

    pub(super) fn note_replay(&mut self, passed: bool, is_late: bool) {
        self.safety.tried += 1;
        match (passed, is_late) {
            (true, true) => self.safety.passed_after += 1,
            (true, false) => self.safety.passed_within += 1,
            (false, _) => {}
        }
    }

    pub(super) fn begin_steady(&mut self, operations: Operations, nodes: &mut [Node]) {
        self.operations_before = operations;
        for node in nodes {
            (node.pages, node.looks, node.entries, node.most_remembered) = (0, 0, 0, node.view.len());
        }
    }

    pub(super) fn end_steady(&mut self, operations: Operations, nodes: &[Node], tokens: usize) {
        self.operations = operations;
        let Some(first) = nodes.first() else { return };
        (self.pages, self.looks, self.entries) = (first.pages, first.looks, first.entries);
        self.remembered = nodes.iter().map(|node| node.most_remembered).max().unwrap_or(0);
        self.tokens = tokens;
    }
}

pub(super) fn outcome(world: World) -> Outcome {
    let World { case, rules, plan, report, nodes, feed, .. } = &world;
    let Case { sessions, sample, .. } = *case;
    let steady = (plan.disturb - plan.steady) as f64;
    let entries_per_second = report.entries as f64 / steady;
    // Sessions of one node that one of its sample stands for: they are at home there, or anywhere.
    let at_home = sessions as f64 / f64::from(case.nodes) / (f64::from(sample) / f64::from(case.watched()));
    let weight = if case.traffic.affinity > 0.0 { at_home } else { case.weight() };
    let confirms =
        |node: u32, from: u64, secs: u64| f64::from(world.confirms[node as usize].busiest(from, from + secs)) * weight;
    let everybody = plan.everybody_at(sessions);
    let sign_ins = |from: u64, secs: u64| f64::from(world.sign_ins.busiest(from, from + secs)) * case.weight();
    let healed = plan.long_cut_at() + plan.long_cut;
    let per_second = report.operations.since(report.operations_before, case.weight() / steady);
    Outcome {
        nodes: case.nodes,
        sessions,
        access_secs: case.access_secs,
        affinity: case.traffic.affinity,
        sample,
        per_second,
        feed: FeedLoad {
            entries_per_second,
            pages_per_node: report.pages as f64 / steady,
            looks_per_node: report.looks as f64 / steady,
            most_kept: feed.most_kept,
        },
        view: ViewLoad {
            entries: report.remembered,
            formula: entries_per_second * rules.remember.as_secs_f64(),
            most: nodes.iter().map(|node| node.most_remembered).max().unwrap_or(0),
        },
        tokens_per_node: report.tokens as f64 * case.weight() / f64::from(case.nodes),
        heard: world.heard.distribution(),
        accepted: world.accepted.distribution(),
        faults: Faults {
            confirms_usual: confirms(1 % case.watched(), plan.steady, plan.disturb - plan.steady),
            confirms_after_restart: confirms(1 % case.watched(), plan.disturb + 10, 45),
            confirms_after_gap: confirms(3 % case.watched(), healed, 55),
            sign_ins_after_everybody: sign_ins(everybody, 300),
            sign_ins_usual: sign_ins(plan.steady, plan.disturb - plan.steady),
            unavailable_usual: per_second.unavailable,
            gaps: report.gaps,
            everybody: report.everybody,
        },
        safety: report.safety,
    }
}
