//! The n-th operation fails: before it is done, or after, with its answer lost (S2, S3, P6). For every n, until a run
//! needs fewer operations than n.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use sessile_core::event::Event;
use sessile_core::id::TokenId;
use sessile_core::revocation::{FeedPage, Reason, Scope, Seq};
use sessile_core::rotation::{Generation, SessionToken, Stored};
use sessile_core::token::KeyId;
use sessile_core::{SessionId, Subject, Timestamp};
use sessile_store::memory::MemoryStore;
use sessile_store::record::{SealedAccount, SealedKey, SealedSession};
use sessile_store::{
    AccountChange, AccountCreation, AccountName, Accounts, Backend, Confirmation, Continuity, Durability, EventQuery,
    Events, FailureCount, Feed, InsertOutcome, Insertion, KeyAddition, KeyRevocation, Keys, MoveId, Moves, Revoked,
    RotateOutcome, Rotation, SealedBlob, SessionCopy, Sessions, Stage, StageChange, StoreError, StoredEvent, Taken,
    TakingIn, ThrottleKey, Throttles, TokenAddition, TokenRow, Tokens, Use, Vault, WriteOutcome,
};

use crate::world::{START, after, crypto, entropy, master, new_session, subject, vault};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    Before,
    After,
}

/// A store whose n-th operation fails.
#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) inner: Arc<dyn Backend>,
    pub(crate) failing: u32,
    pub(crate) when: When,
    /// Whether every later one fails as well: whoever asked was killed.
    pub(crate) for_good: bool,
    /// Shared by stores that are counted together.
    pub(crate) asked: Arc<AtomicU32>,
}

impl Faulty {
    fn fault(&self, number: u32, when: When) -> Result<(), StoreError> {
        let fails = (number == self.failing && when == self.when) || (self.for_good && number > self.failing);
        if !fails {
            return Ok(());
        }
        let outcome = if when == When::Before { WriteOutcome::NotDone } else { WriteOutcome::Unknown };
        Err(StoreError::Unavailable { why: format!("operation {number} fails {when:?}"), outcome })
    }
}

macro_rules! through {
    ($self:ident.$verb:ident($($argument:expr),*)) => {{
        let number = $self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        $self.fault(number, When::Before)?;
        let answer = $self.inner.$verb($($argument),*).await?;
        $self.fault(number, When::After)?;
        Ok(answer)
    }};
}

#[async_trait]
impl Sessions for Faulty {
    async fn insert(&self, session: SealedSession, cap: u32) -> Result<Insertion, StoreError> {
        through!(self.insert(session, cap))
    }
    async fn load(&self, id: SessionId) -> Result<Option<SealedSession>, StoreError> {
        through!(self.load(id))
    }
    async fn rotate(&self, id: SessionId, expected: Generation, now: Timestamp) -> Result<RotateOutcome, StoreError> {
        through!(self.rotate(id, expected, now))
    }
    async fn confirm(&self, id: SessionId, generation: Generation, now: Timestamp) -> Result<Confirmation, StoreError> {
        through!(self.confirm(id, generation, now))
    }
    async fn revoke(&self, scope: &Scope, reason: Reason, now: Timestamp) -> Result<Revoked, StoreError> {
        through!(self.revoke(scope, reason, now))
    }
    async fn list(
        &self,
        subject: Option<&Subject>,
        after: Option<SessionId>,
        limit: u32,
    ) -> Result<Vec<SealedSession>, StoreError> {
        through!(self.list(subject, after, limit))
    }
    async fn sweep(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        through!(self.sweep(now, limit))
    }
    async fn count(&self) -> Result<u64, StoreError> {
        through!(self.count())
    }
}

#[async_trait]
impl Feed for Faulty {
    async fn feed(&self, after: Seq, limit: u32) -> Result<FeedPage, StoreError> {
        through!(self.feed(after, limit))
    }
    async fn changed(&self, after: Seq) {
        self.inner.changed(after).await;
    }
    async fn continuity(&self) -> Result<Continuity, StoreError> {
        through!(self.continuity())
    }
    async fn restart_history(&self, reason: Reason, now: Timestamp) -> Result<(), StoreError> {
        through!(self.restart_history(reason, now))
    }
}

#[async_trait]
impl Keys for Faulty {
    async fn load_keys(&self) -> Result<Vec<SealedKey>, StoreError> {
        through!(self.load_keys())
    }
    async fn add_key(&self, key: SealedKey, expected_newest: Option<&KeyId>) -> Result<KeyAddition, StoreError> {
        through!(self.add_key(key, expected_newest))
    }
    async fn revoke_key(&self, id: &KeyId, now: Timestamp) -> Result<KeyRevocation, StoreError> {
        through!(self.revoke_key(id, now))
    }
    async fn forget_keys(&self, ids: &[KeyId], now: Timestamp) -> Result<u32, StoreError> {
        through!(self.forget_keys(ids, now))
    }
}

#[async_trait]
impl Accounts for Faulty {
    async fn create_account(&self, account: SealedAccount) -> Result<AccountCreation, StoreError> {
        through!(self.create_account(account))
    }
    async fn find_account(&self, name: &AccountName) -> Result<Option<SealedAccount>, StoreError> {
        through!(self.find_account(name))
    }
    async fn set_password(
        &self,
        name: &AccountName,
        sealed: SealedBlob,
        seen: Timestamp,
        now: Timestamp,
    ) -> Result<AccountChange, StoreError> {
        through!(self.set_password(name, sealed, seen, now))
    }
    async fn set_disabled(&self, name: &AccountName, since: Option<Timestamp>) -> Result<AccountChange, StoreError> {
        through!(self.set_disabled(name, since))
    }
    async fn list_accounts(&self, after: Option<&AccountName>, limit: u32) -> Result<Vec<SealedAccount>, StoreError> {
        through!(self.list_accounts(after, limit))
    }
}

#[async_trait]
impl Tokens for Faulty {
    async fn add_token(&self, row: TokenRow) -> Result<TokenAddition, StoreError> {
        through!(self.add_token(row))
    }
    async fn find_token(&self, id: TokenId) -> Result<Option<(TokenRow, SealedSession)>, StoreError> {
        through!(self.find_token(id))
    }
    async fn list_tokens(&self, session: SessionId) -> Result<Vec<TokenRow>, StoreError> {
        through!(self.list_tokens(session))
    }
    async fn remove_token(&self, id: TokenId) -> Result<bool, StoreError> {
        through!(self.remove_token(id))
    }
    async fn note_uses(&self, uses: &[Use]) -> Result<(), StoreError> {
        through!(self.note_uses(uses))
    }
}

#[async_trait]
impl Throttles for Faulty {
    async fn note_failure(&self, key: &ThrottleKey, now: Timestamp) -> Result<FailureCount, StoreError> {
        through!(self.note_failure(key, now))
    }
    async fn failures(&self, key: &ThrottleKey) -> Result<FailureCount, StoreError> {
        through!(self.failures(key))
    }
    async fn clear_failures(&self, key: &ThrottleKey) -> Result<(), StoreError> {
        through!(self.clear_failures(key))
    }
    async fn sweep_failures(&self, before: Timestamp, keep: u64) -> Result<u64, StoreError> {
        through!(self.sweep_failures(before, keep))
    }
}

#[async_trait]
impl Events for Faulty {
    async fn append_events(&self, events: &[Event]) -> Result<(), StoreError> {
        through!(self.append_events(events))
    }
    async fn events(&self, query: &EventQuery) -> Result<Vec<StoredEvent>, StoreError> {
        through!(self.events(query))
    }
    async fn sweep_events(&self, before: Timestamp, keep: u64) -> Result<u64, StoreError> {
        through!(self.sweep_events(before, keep))
    }
}

#[async_trait]
impl Moves for Faulty {
    async fn stage(&self) -> Result<Stage, StoreError> {
        through!(self.stage())
    }
    async fn set_stage(&self, expected: Stage, next: Stage) -> Result<StageChange, StoreError> {
        through!(self.set_stage(expected, next))
    }
    async fn copies(&self, after: Option<SessionId>, limit: u32) -> Result<Vec<SessionCopy>, StoreError> {
        through!(self.copies(after, limit))
    }
    async fn take_in(&self, of: MoveId, items: &[Taken]) -> Result<TakingIn, StoreError> {
        through!(self.take_in(of, items))
    }
}

#[async_trait]
impl Backend for Faulty {
    fn name(&self) -> &'static str {
        "faulty"
    }
    fn durability(&self) -> Durability {
        Durability::Memory
    }
    async fn master_witness(&self, witness: SealedBlob) -> Result<SealedBlob, StoreError> {
        through!(self.master_witness(witness))
    }
}

/// What a client of the vault does about a revocation that failed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AfterFault {
    /// Tries again.
    Retries,
    /// The flaw (Fosite CVE-2020-15223): takes it as done.
    Swallows,
}

/// Signs in, renews twice, signs out, trying again what failed. At each token handed out the store is looked at through
/// another vault: it knows the token's generation already (I4), and made it (I1). Answers how many operations it took,
/// and how many sessions of the subject are left.
async fn scenario(failing: u32, when: When, revocation: AfterFault) -> (u32, u64) {
    let inner = Arc::new(MemoryStore::new());
    let faulty = Arc::new(Faulty { inner: inner.clone(), failing, when, for_good: false, asked: Arc::default() });
    let truth = vault(inner.clone()).await;
    let asked = || faulty.asked.load(Ordering::Relaxed);

    let vault = loop {
        if let Ok(opened) = Vault::open(faulty.clone(), master(), crypto(), entropy(), START).await {
            break opened;
        }
    };
    let check = async |token: &Stored<SessionToken>| {
        let kept = truth.load(token.get().id()).await.unwrap().expect("the store does not know a token handed out");
        assert!(truth.is_genuine(&kept, token.get()));
        assert!(kept.session().rotation.generation >= token.get().generation());
    };

    let id = loop {
        // A sign-in that got no answer is begun again, with another id.
        match vault.insert(new_session("anna", START), 50).await {
            Ok(InsertOutcome::Inserted { session, token, .. }) => {
                check(&token).await;
                break session.id;
            }
            Ok(InsertOutcome::IdTaken) => panic!("128 random bits were taken"),
            Err(_) => {}
        }
    };
    for generation in 1..=2 {
        let seconds = generation * 20;
        // The client presents the token before, again and again, until it gets an answer.
        let token = loop {
            let Ok(kept) = vault.load(id).await else { continue };
            let kept = kept.expect("a live session");
            if kept.session().rotation.generation == generation {
                break vault.resend(&kept);
            }
            match vault.rotate(&kept, after(seconds)).await {
                Ok(Rotation::Rotated { token, .. }) => break token,
                Ok(Rotation::Superseded(kept)) => break vault.resend(&kept),
                Ok(Rotation::Gone) => panic!("a live session is gone"),
                Err(_) => {}
            }
        };
        assert_eq!(token.get().generation(), generation, "fault {failing} {when:?}");
        check(&token).await;
        while vault.confirm(id, generation, after(seconds + 1)).await.is_err() {}
    }
    let scope = Scope::Subject(subject("anna"));
    while vault.revoke(&scope, Reason::SignOut, after(90)).await.is_err() {
        if revocation == AfterFault::Swallows {
            break;
        }
    }
    let left = truth.count().await.unwrap();
    let entries = truth.feed(Seq(0), 100).await.unwrap().entries.len() as u64;
    // One entry for each end: the answered sign-in, and one that got no answer, if there was one.
    assert!(left > 0 || (1..=2).contains(&entries), "fault {failing} {when:?}: {entries} entries");
    (asked(), left)
}

#[tokio::test]
async fn wherever_an_operation_fails() {
    for when in [When::Before, When::After] {
        let mut failing = 1;
        loop {
            let (asked, left) = scenario(failing, when, AfterFault::Retries).await;
            assert_eq!(left, 0, "operation {failing} fails {when:?}");
            if asked < failing {
                break;
            }
            failing += 1;
        }
        assert!(failing > 8, "the scenario took only {failing} operations");
    }
}

/// Negative control (F5): a client that takes a failed revocation as done is found out by the same loop.
#[tokio::test]
async fn a_swallowed_fault_is_found() {
    let mut left = 0;
    for failing in 1..20 {
        left += scenario(failing, When::Before, AfterFault::Swallows).await.1;
    }
    assert!(left > 0);
}
