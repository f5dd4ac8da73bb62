//! The feed as a store keeps it.

use std::collections::VecDeque;

use sessile_core::revocation::{Epoch, FeedEntry, FeedItem, FeedPage, Phase, Seq};

use super::assumptions::Rules;
use super::{Micros, micros};

/// As `PAGE` in `crates/sessile/src/node.rs`.
pub(super) const PAGE: usize = 1024;

/// Entries that are kept, and when every entry there ever was became visible.
#[derive(Debug)]
pub(super) struct Feed {
    kept: VecDeque<FeedEntry>,
    committed: Vec<Micros>,
    keep_entries: usize,
    keep_for: Micros,
    pub(super) most_kept: usize,
}

impl Feed {
    pub(super) fn new(rules: &Rules) -> Self {
        let keep_entries = usize::try_from(rules.keep_entries).unwrap_or(usize::MAX);
        let keep_for = micros(rules.keep_for);
        Self { kept: VecDeque::new(), committed: Vec::new(), keep_entries, keep_for, most_kept: 0 }
    }

    pub(super) fn append(&mut self, item: FeedItem, now: Micros) {
        self.committed.push(now);
        self.kept.push_back(FeedEntry { seq: Seq(self.committed.len() as u64), item });
        // The strictest reading of the contract: what may be forgotten is forgotten at once.
        while self.kept.len() > self.keep_entries {
            self.kept.pop_front();
        }
        self.most_kept = self.most_kept.max(self.kept.len());
    }

    pub(super) fn head(&self) -> Seq {
        Seq(self.committed.len() as u64)
    }

    pub(super) fn committed_at(&self, seq: Seq) -> Micros {
        self.committed[seq.0 as usize - 1]
    }

    pub(super) fn page(&mut self, after: Seq, now: Micros) -> FeedPage {
        while self.kept.front().is_some_and(|first| self.committed[first.seq.0 as usize - 1] + self.keep_for < now) {
            self.kept.pop_front();
        }
        let oldest = self.kept.front().map_or(Seq(self.head().0 + 1), |first| first.seq);
        let skipped = (after.0 + 1).saturating_sub(oldest.0) as usize;
        let entries = self.kept.iter().skip(skipped).take(PAGE).cloned().collect();
        FeedPage { epoch: Epoch([1; 16]), oldest, head: self.head(), entries, phase: Phase::Serving }
    }
}
