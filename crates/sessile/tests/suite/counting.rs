//! A store that counts what is asked of it, verb by verb.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use sessile_core::event::Event;
use sessile_core::id::TokenId;
use sessile_core::revocation::{FeedPage, Reason, Scope, Seq};
use sessile_core::rotation::Generation;
use sessile_core::token::KeyId;
use sessile_core::{SessionId, Subject, Timestamp};
use sessile_store::record::*;
use sessile_store::*;

/// How often each verb was asked for; one that was not is absent.
pub(crate) type Counts = BTreeMap<String, u64>;

#[derive(Debug)]
pub(crate) struct Counting {
    inner: Arc<dyn Backend>,
    counts: Mutex<Counts>,
}

impl Counting {
    pub(crate) fn over(inner: Arc<dyn Backend>) -> Arc<Self> {
        Arc::new(Self { inner, counts: Mutex::default() })
    }

    /// What was asked since this was last called.
    pub(crate) fn take(&self) -> Counts {
        std::mem::take(&mut *self.counts.lock().unwrap())
    }

    fn note(&self, verb: &str) {
        *self.counts.lock().unwrap().entry(verb.to_owned()).or_default() += 1;
    }
}

macro_rules! counted {
    ($($tr:ident { $(fn $verb:ident($($arg:ident: $ty:ty),*) -> $out:ty;)+ })+) => { $(
        #[async_trait]
        impl $tr for Counting {
            $(async fn $verb(&self, $($arg: $ty),*) -> Result<$out, StoreError> {
                self.note(stringify!($verb));
                self.inner.$verb($($arg),*).await
            })+
        }
    )+ };
}

counted! {
    Sessions {
        fn insert(session: SealedSession, cap: u32) -> Insertion;
        fn load(id: SessionId) -> Option<SealedSession>;
        fn rotate(id: SessionId, expected: Generation, now: Timestamp) -> RotateOutcome;
        fn confirm(id: SessionId, generation: Generation, now: Timestamp) -> Confirmation;
        fn revoke(scope: &Scope, reason: Reason, now: Timestamp) -> Revoked;
        fn list(subject: Option<&Subject>, after: Option<SessionId>, limit: u32) -> Vec<SealedSession>;
        fn sweep(now: Timestamp, limit: u32) -> u32;
        fn count() -> u64;
    }
    Tokens {
        fn add_token(row: TokenRow) -> TokenAddition;
        fn find_token(id: TokenId) -> Option<(TokenRow, SealedSession)>;
        fn list_tokens(session: SessionId) -> Vec<TokenRow>;
        fn remove_token(id: TokenId) -> bool;
        fn note_uses(uses: &[Use]) -> ();
    }
    Keys {
        fn load_keys() -> Vec<SealedKey>;
        fn add_key(key: SealedKey, expected_newest: Option<&KeyId>) -> KeyAddition;
        fn revoke_key(id: &KeyId, now: Timestamp) -> KeyRevocation;
        fn forget_keys(ids: &[KeyId], now: Timestamp) -> u32;
    }
    Accounts {
        fn create_account(account: SealedAccount) -> AccountCreation;
        fn find_account(name: &AccountName) -> Option<SealedAccount>;
        fn set_password(name: &AccountName, sealed: SealedBlob, seen: Timestamp, now: Timestamp) -> AccountChange;
        fn set_disabled(name: &AccountName, since: Option<Timestamp>) -> AccountChange;
        fn list_accounts(after: Option<&AccountName>, limit: u32) -> Vec<SealedAccount>;
    }
    Throttles {
        fn note_failure(key: &ThrottleKey, now: Timestamp) -> FailureCount;
        fn failures(key: &ThrottleKey) -> FailureCount;
        fn clear_failures(key: &ThrottleKey) -> ();
        fn sweep_failures(before: Timestamp, keep: u64) -> u64;
    }
    Events {
        fn append_events(events: &[Event]) -> ();
        fn events(query: &EventQuery) -> Vec<StoredEvent>;
        fn sweep_events(before: Timestamp, keep: u64) -> u64;
    }
    Moves {
        fn stage() -> Stage;
        fn set_stage(expected: Stage, next: Stage) -> StageChange;
        fn copies(after: Option<SessionId>, limit: u32) -> Vec<SessionCopy>;
        fn take_in(of: MoveId, items: &[Taken]) -> TakingIn;
    }
}

#[async_trait]
impl Feed for Counting {
    async fn feed(&self, after: Seq, limit: u32) -> Result<FeedPage, StoreError> {
        self.note("feed");
        self.inner.feed(after, limit).await
    }

    // Waits for news and reads nothing.
    async fn changed(&self, after: Seq) {
        self.inner.changed(after).await;
    }

    async fn continuity(&self) -> Result<Continuity, StoreError> {
        self.note("continuity");
        self.inner.continuity().await
    }

    async fn restart_history(&self, reason: Reason, now: Timestamp) -> Result<(), StoreError> {
        self.note("restart_history");
        self.inner.restart_history(reason, now).await
    }
}

#[async_trait]
impl Backend for Counting {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn durability(&self) -> Durability {
        self.inner.durability()
    }

    async fn master_witness(&self, witness: SealedBlob) -> Result<SealedBlob, StoreError> {
        self.note("master_witness");
        self.inner.master_witness(witness).await
    }
}
