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

    /// At most `most` of them, one for each session and token.
    pub(crate) fn take(&self, most: usize) -> Taken<'_> {
        let mut pending = self.pending();
        let keys: Vec<_> = pending.keys().take(most).copied().collect();
        let of = |key: (SessionId, Option<TokenId>)| {
            let at = pending.remove(&key)?;
            Some(Use { session: key.0, token: key.1, at })
        };
        Taken { from: self, uses: keys.into_iter().filter_map(of).collect() }
    }

    /// How many are not written.
    pub(crate) fn count(&self) -> usize {
        self.pending().len()
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Uses on their way to the store. Unless [`written`](Self::written) they go back, also when nobody waits any more.
#[derive(Debug)]
pub(crate) struct Taken<'a> {
    from: &'a Uses,
    uses: Vec<Use>,
}

impl Taken<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.uses.is_empty()
    }

    pub(crate) fn uses(&self) -> &[Use] {
        &self.uses
    }

    pub(crate) fn written(mut self) {
        self.uses.clear();
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut pending = self.from.pending();
        for one in self.uses.drain(..) {
            note(&mut pending, one);
        }
    }
}

fn note(pending: &mut Pending, one: Use) {
    let seen = pending.entry((one.session, one.token)).or_insert(one.at);
    *seen = one.at.max(*seen);
}
