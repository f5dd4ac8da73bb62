//! Uses not yet written: of sessions that never renew, whose activity nothing else records.
//!
//! They are written together, about once a second, so that a request waits for no write. What a crash loses of them
//! ends a session a second early, never late.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sessile_core::id::TokenId;
use sessile_core::{SessionId, Timestamp};
use sessile_store::Use;

type Pending = HashMap<(SessionId, Option<TokenId>), Timestamp>;

#[derive(Debug, Default)]
pub(crate) struct Uses(Mutex<Pending>);

impl Uses {
    pub(crate) fn note(&self, session: SessionId, token: Option<TokenId>, at: Timestamp) {
        note(&mut self.pending(), Use { session, token, at });
    }

    /// All of them, at most one for each session and token.
    pub(crate) fn take(&self) -> Vec<Use> {
        let pending = std::mem::take(&mut *self.pending());
        pending.into_iter().map(|((session, token), at)| Use { session, token, at }).collect()
    }

    /// Puts back what could not be written.
    pub(crate) fn put_back(&self, uses: Vec<Use>) {
        let mut pending = self.pending();
        for one in uses {
            note(&mut pending, one);
        }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn note(pending: &mut Pending, one: Use) {
    let seen = pending.entry((one.session, one.token)).or_insert(one.at);
    *seen = one.at.max(*seen);
}
