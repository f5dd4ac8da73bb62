//! Ends of a move that break what it relies on: its negative controls.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use sessile_core::event::Event;
use sessile_core::id::TokenId;
use sessile_core::revocation::{FeedPage, Phase, Reason, Scope, Seq};
use sessile_core::rotation::Generation;
use sessile_core::token::KeyId;
use sessile_core::{SessionId, Subject, Timestamp};
use sessile_store::record::*;
use sessile_store::*;

/// A store with one weakness.
#[derive(Debug)]
pub(crate) struct WeakEnd {
    inner: Arc<dyn Backend>,
    /// It drops this session, and says that it took it in.
    missed: Option<SessionId>,
    /// The stage it says it is at; the store beneath goes on as if nothing were.
    claimed: Option<Mutex<Stage>>,
    stuck: Option<Stuck>,
}

/// How it fails when it is to serve.
#[derive(Debug)]
struct Stuck {
    outcome: WriteOutcome,
    /// So often yet.
    left: AtomicU32,
    /// Whether it fails at any other change of its stage as well.
    entirely: bool,
}

impl WeakEnd {
    /// Says that it took everything in.
    pub(crate) fn missing(inner: Arc<dyn Backend>, missed: SessionId) -> Self {
        Self { inner, missed: Some(missed), claimed: None, stuck: None }
    }

    /// Says that it is closed, and is not.
    pub(crate) fn never_closing(inner: Arc<dyn Backend>) -> Self {
        Self { inner, missed: None, claimed: Some(Mutex::default()), stuck: None }
    }

    /// Fails so often when it is to serve; what it says of each is `outcome`.
    pub(crate) fn failing_to_serve(inner: Arc<dyn Backend>, outcome: WriteOutcome, times: u32, entirely: bool) -> Self {
        let stuck = Some(Stuck { outcome, left: AtomicU32::new(times), entirely });
        Self { inner, missed: None, claimed: None, stuck }
    }
}

macro_rules! through {
    ($tr:ident { $(fn $verb:ident($($arg:ident: $ty:ty),*) -> $out:ty;)+ }) => {
        #[async_trait]
        impl $tr for WeakEnd {
            $(async fn $verb(&self, $($arg: $ty),*) -> Result<$out, StoreError> {
                self.inner.$verb($($arg),*).await
            })+
        }
    };
}

through!(Sessions {
    fn insert(session: SealedSession, cap: u32) -> Insertion;
    fn load(id: SessionId) -> Option<SealedSession>;
    fn rotate(id: SessionId, expected: Generation, now: Timestamp) -> RotateOutcome;
    fn confirm(id: SessionId, generation: Generation, now: Timestamp) -> Confirmation;
    fn revoke(scope: &Scope, reason: Reason, now: Timestamp) -> Revoked;
    fn list(subject: Option<&Subject>, after: Option<SessionId>, limit: u32) -> Vec<SealedSession>;
    fn sweep(now: Timestamp, limit: u32) -> u32;
    fn count() -> u64;
});
through!(Tokens {
    fn add_token(row: TokenRow) -> TokenAddition;
    fn find_token(id: TokenId) -> Option<(TokenRow, SealedSession)>;
    fn list_tokens(session: SessionId) -> Vec<TokenRow>;
    fn remove_token(id: TokenId) -> bool;
    fn note_uses(uses: &[Use]) -> ();
});
through!(Keys {
    fn load_keys() -> Vec<SealedKey>;
    fn add_key(key: SealedKey, expected_newest: Option<&KeyId>) -> KeyAddition;
    fn revoke_key(id: &KeyId, now: Timestamp) -> KeyRevocation;
    fn forget_keys(ids: &[KeyId], now: Timestamp) -> u32;
});
through!(Accounts {
    fn create_account(account: SealedAccount) -> AccountCreation;
    fn find_account(name: &AccountName) -> Option<SealedAccount>;
    fn set_password(name: &AccountName, sealed: SealedBlob, seen: Timestamp, now: Timestamp) -> AccountChange;
    fn set_disabled(name: &AccountName, since: Option<Timestamp>) -> AccountChange;
    fn list_accounts(after: Option<&AccountName>, limit: u32) -> Vec<SealedAccount>;
});
through!(Throttles {
    fn note_failure(key: &ThrottleKey, now: Timestamp) -> FailureCount;
    fn failures(key: &ThrottleKey) -> FailureCount;
    fn clear_failures(key: &ThrottleKey) -> ();
    fn sweep_failures(before: Timestamp, keep: u64) -> u64;
});
through!(Events {
    fn append_events(events: &[Event]) -> ();
    fn events(query: &EventQuery) -> Vec<StoredEvent>;
    fn sweep_events(before: Timestamp, keep: u64) -> u64;
});

#[async_trait]
impl Feed for WeakEnd {
    async fn feed(&self, after: Seq, limit: u32) -> Result<FeedPage, StoreError> {
        self.inner.feed(after, limit).await
    }

    async fn changed(&self, after: Seq) {
        self.inner.changed(after).await;
    }

    async fn continuity(&self) -> Result<Continuity, StoreError> {
        self.inner.continuity().await
    }

    async fn restart_history(&self, reason: Reason, now: Timestamp) -> Result<(), StoreError> {
        self.inner.restart_history(reason, now).await
    }
}

#[async_trait]
impl Moves for WeakEnd {
    async fn stage(&self) -> Result<Stage, StoreError> {
        match &self.claimed {
            Some(claimed) => Ok(*claimed.lock().unwrap()),
            None => self.inner.stage().await,
        }
    }

    async fn set_stage(&self, expected: Stage, next: Stage) -> Result<StageChange, StoreError> {
        if let Some(stuck) = &self.stuck
            && expected.phase == Phase::Filling
            && (stuck.entirely || next.phase == Phase::Serving)
            && stuck.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
        {
            return Err(StoreError::Unavailable { why: "it is stuck".to_owned(), outcome: stuck.outcome });
        }
        match &self.claimed {
            Some(claimed) => {
                *claimed.lock().unwrap() = next;
                Ok(StageChange::Changed)
            }
            None => self.inner.set_stage(expected, next).await,
        }
    }

    async fn copies(&self, after: Option<SessionId>, limit: u32) -> Result<Vec<SessionCopy>, StoreError> {
        self.inner.copies(after, limit).await
    }

    async fn take_in(&self, of: MoveId, items: &[Taken]) -> Result<TakingIn, StoreError> {
        let missed = |item: &Taken| matches!(item, Taken::Session(copy) if Some(copy.session.id) == self.missed);
        let kept: Vec<Taken> = items.iter().filter(|item| !missed(item)).cloned().collect();
        self.inner.take_in(of, &kept).await
    }
}

#[async_trait]
impl Backend for WeakEnd {
    fn name(&self) -> &'static str {
        "weak"
    }

    fn durability(&self) -> Durability {
        self.inner.durability()
    }

    async fn master_witness(&self, witness: SealedBlob) -> Result<SealedBlob, StoreError> {
        self.inner.master_witness(witness).await
    }
}
