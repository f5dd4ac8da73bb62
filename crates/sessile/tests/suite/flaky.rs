//! A store that can be taken away, or fail at one operation: every verb of a real backend behind a switch.

use std::sync::atomic::{AtomicU8, Ordering};
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
use tokio::sync::Notify;

/// What is wrong with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Fault {
    None,
    /// Nothing answers.
    Away,
    /// The feed does not answer; everything else does (N2).
    FeedAway,
    /// Signing keys cannot be read; everything else answers.
    KeysAway,
    /// Writes happen and their answers are lost (P6, S3).
    AnswersLost,
}

/// What happens to one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blow {
    /// It fails before it happens.
    Fails,
    /// It happens and its answer is lost (P6, S3).
    LosesAnswer,
    /// It outlasts its deadline, and happens just before the next operation (S4).
    BeforeTheNext,
    /// It outlasts its deadline, and happens when the next operation has overtaken it (S4).
    AfterTheNext,
    /// The client hangs up while it is on its way to the store (H14).
    HangsUpBefore,
    /// The client hangs up while its answer is on its way back (H14).
    HangsUpAfter,
}

impl Blow {
    pub(crate) const ALL: [Self; 6] = [
        Self::Fails,
        Self::LosesAnswer,
        Self::BeforeTheNext,
        Self::AfterTheNext,
        Self::HangsUpBefore,
        Self::HangsUpAfter,
    ];
}

/// A write that its caller has given up, and the store has not.
#[derive(Debug)]
enum Late {
    Insert(SealedSession, u32),
    Rotate(SessionId, Generation, Timestamp),
    Confirm(SessionId, Generation, Timestamp),
    Revoke(Scope, Reason, Timestamp),
    AddToken(TokenRow),
}

#[derive(Debug, Default)]
struct Aim {
    /// Operations until the blow falls, and the blow; `None` once it fell.
    next: Option<(u64, Blow)>,
    fell: bool,
    late: Option<(Late, Blow)>,
}

#[derive(Debug)]
pub(crate) struct Flaky {
    inner: Arc<dyn Backend>,
    fault: AtomicU8,
    aim: Mutex<Aim>,
    hung_up: Notify,
}

impl Flaky {
    pub(crate) fn over(inner: Arc<dyn Backend>) -> Arc<Self> {
        Arc::new(Self { inner, fault: AtomicU8::new(Fault::None as u8), aim: Mutex::default(), hung_up: Notify::new() })
    }

    pub(crate) fn set(&self, fault: Fault) {
        self.fault.store(fault as u8, Ordering::SeqCst);
    }

    /// Lets `blow` fall on the `nth` operation from now, the next one being the first.
    pub(crate) fn strike(&self, nth: u64, blow: Blow) {
        *self.aim.lock().unwrap() = Aim { next: Some((nth, blow)), ..Aim::default() };
    }

    /// Whether the blow fell.
    pub(crate) fn has_struck(&self) -> bool {
        self.aim.lock().unwrap().fell
    }

    /// Resolves when the client is to hang up.
    pub(crate) async fn hung_up(&self) {
        self.hung_up.notified().await;
    }

    /// The blow that falls on this operation, if one does.
    fn blow(&self) -> Option<Blow> {
        let mut aim = self.aim.lock().unwrap();
        match aim.next.take() {
            Some((1, blow)) => {
                aim.fell = true;
                Some(blow)
            }
            Some((left, blow)) => {
                aim.next = Some((left - 1, blow));
                None
            }
            None => None,
        }
    }

    /// The part of a blow that an operation meets on its way to the store.
    async fn on_the_way(&self, blow: Option<Blow>, late: Option<Late>) -> Result<(), StoreError> {
        self.land(Blow::BeforeTheNext).await?;
        match blow {
            Some(Blow::Fails) => Err(unavailable(WriteOutcome::NotDone)),
            Some(Blow::BeforeTheNext | Blow::AfterTheNext) => {
                self.aim.lock().unwrap().late = late.zip(blow);
                Err(unavailable(WriteOutcome::Unknown))
            }
            Some(Blow::HangsUpBefore) => self.hang_up().await,
            Some(Blow::LosesAnswer | Blow::HangsUpAfter) | None => Ok(()),
        }
    }

    /// And on its way back.
    async fn on_the_way_back(&self, blow: Option<Blow>) -> Result<(), StoreError> {
        self.land(Blow::AfterTheNext).await?;
        match blow {
            Some(Blow::LosesAnswer) => Err(unavailable(WriteOutcome::Unknown)),
            Some(Blow::HangsUpAfter) => self.hang_up().await,
            _ => Ok(()),
        }
    }

    async fn hang_up(&self) -> Result<(), StoreError> {
        self.hung_up.notify_one();
        std::future::pending().await
    }

    async fn land(&self, when: Blow) -> Result<(), StoreError> {
        let Some((late, _)) = self.aim.lock().unwrap().late.take_if(|(_, blow)| *blow == when) else { return Ok(()) };
        match late {
            Late::Insert(session, cap) => self.inner.insert(session, cap).await.map(drop),
            Late::Rotate(id, expected, now) => self.inner.rotate(id, expected, now).await.map(drop),
            Late::Confirm(id, generation, now) => self.inner.confirm(id, generation, now).await.map(drop),
            Late::Revoke(scope, reason, now) => self.inner.revoke(&scope, reason, now).await.map(drop),
            Late::AddToken(row) => self.inner.add_token(row).await.map(drop),
        }
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault.load(Ordering::SeqCst) == fault as u8
    }

    fn before(&self) -> Result<(), StoreError> {
        if self.is(Fault::Away) { Err(unavailable(WriteOutcome::NotDone)) } else { Ok(()) }
    }

    fn after<T>(&self, done: T) -> Result<T, StoreError> {
        if self.is(Fault::AnswersLost) { Err(unavailable(WriteOutcome::Unknown)) } else { Ok(done) }
    }
}

fn unavailable(outcome: WriteOutcome) -> StoreError {
    StoreError::Unavailable { why: "taken away by the test".to_owned(), outcome }
}

macro_rules! behind_the_switch {
    ($tr:ident { $(fn $verb:ident($($arg:ident: $ty:ty),*) -> $out:ty $(, late $late:expr)?;)+ }) => {
        #[async_trait]
        impl $tr for Flaky {
            $(async fn $verb(&self, $($arg: $ty),*) -> Result<$out, StoreError> {
                self.before()?;
                let (blow, late) = (self.blow(), None::<Late>);
                $(let late = late.or_else(|| Some($late));)?
                self.on_the_way(blow, late).await?;
                let done = self.inner.$verb($($arg),*).await?;
                self.on_the_way_back(blow).await?;
                self.after(done)
            })+
        }
    };
}

behind_the_switch!(Sessions {
    fn insert(session: SealedSession, cap: u32) -> Insertion, late Late::Insert(session.clone(), cap);
    fn load(id: SessionId) -> Option<SealedSession>;
    fn rotate(id: SessionId, expected: Generation, now: Timestamp) -> RotateOutcome, late Late::Rotate(id, expected, now);
    fn confirm(id: SessionId, generation: Generation, now: Timestamp) -> Confirmation, late Late::Confirm(id, generation, now);
    fn revoke(scope: &Scope, reason: Reason, now: Timestamp) -> Revoked, late Late::Revoke(scope.clone(), reason, now);
    fn list(subject: Option<&Subject>, after: Option<SessionId>, limit: u32) -> Vec<SealedSession>;
    fn sweep(now: Timestamp, limit: u32) -> u32;
    fn count() -> u64;
});
behind_the_switch!(Tokens {
    fn add_token(row: TokenRow) -> TokenAddition, late Late::AddToken(row.clone());
    fn find_token(id: TokenId) -> Option<(TokenRow, SealedSession)>;
    fn list_tokens(session: SessionId) -> Vec<TokenRow>;
    fn remove_token(id: TokenId) -> bool;
    fn note_uses(uses: &[Use]) -> ();
});
macro_rules! keys_behind_the_switch {
    ($(fn $verb:ident($($arg:ident: $ty:ty),*) -> $out:ty;)+) => {
        #[async_trait]
        impl Keys for Flaky {
            async fn load_keys(&self) -> Result<Vec<SealedKey>, StoreError> {
                self.before()?;
                if self.is(Fault::KeysAway) {
                    return Err(unavailable(WriteOutcome::NotDone));
                }
                self.inner.load_keys().await
            }

            $(async fn $verb(&self, $($arg: $ty),*) -> Result<$out, StoreError> {
                self.before()?;
                let done = self.inner.$verb($($arg),*).await?;
                self.after(done)
            })+
        }
    };
}

keys_behind_the_switch! {
    fn add_key(key: SealedKey, expected_newest: Option<&KeyId>) -> KeyAddition;
    fn revoke_key(id: &KeyId, now: Timestamp) -> KeyRevocation;
    fn forget_keys(ids: &[KeyId], now: Timestamp) -> u32;
}
behind_the_switch!(Accounts {
    fn create_account(account: SealedAccount) -> AccountCreation;
    fn find_account(name: &AccountName) -> Option<SealedAccount>;
    fn set_password(name: &AccountName, sealed: SealedBlob, seen: Timestamp, now: Timestamp) -> AccountChange;
    fn set_disabled(name: &AccountName, since: Option<Timestamp>) -> AccountChange;
    fn list_accounts(after: Option<&AccountName>, limit: u32) -> Vec<SealedAccount>;
});
behind_the_switch!(Throttles {
    fn note_failure(key: &ThrottleKey, now: Timestamp) -> FailureCount;
    fn failures(key: &ThrottleKey) -> FailureCount;
    fn clear_failures(key: &ThrottleKey) -> ();
    fn sweep_failures(before: Timestamp, keep: u64) -> u64;
});
behind_the_switch!(Events {
    fn append_events(events: &[Event]) -> ();
    fn events(query: &EventQuery) -> Vec<StoredEvent>;
    fn sweep_events(before: Timestamp, keep: u64) -> u64;
});

#[async_trait]
impl Feed for Flaky {
    async fn feed(&self, after: Seq, limit: u32) -> Result<FeedPage, StoreError> {
        if self.is(Fault::Away) || self.is(Fault::FeedAway) {
            return Err(unavailable(WriteOutcome::NotDone));
        }
        let blow = self.blow();
        self.on_the_way(blow, None).await?;
        let page = self.inner.feed(after, limit).await?;
        self.on_the_way_back(blow).await?;
        Ok(page)
    }

    async fn changed(&self, after: Seq) {
        self.inner.changed(after).await;
    }

    async fn continuity(&self) -> Result<Continuity, StoreError> {
        self.inner.continuity().await
    }

    async fn restart_history(&self, reason: Reason, now: Timestamp) -> Result<(), StoreError> {
        self.before()?;
        self.inner.restart_history(reason, now).await
    }
}

#[async_trait]
impl Moves for Flaky {
    async fn stage(&self) -> Result<Stage, StoreError> {
        self.before()?;
        self.inner.stage().await
    }

    async fn set_stage(&self, expected: Stage, next: Stage) -> Result<StageChange, StoreError> {
        self.before()?;
        self.after(self.inner.set_stage(expected, next).await?)
    }

    async fn copies(&self, after: Option<SessionId>, limit: u32) -> Result<Vec<SessionCopy>, StoreError> {
        self.before()?;
        self.inner.copies(after, limit).await
    }

    async fn take_in(&self, of: MoveId, items: &[Taken]) -> Result<TakingIn, StoreError> {
        self.before()?;
        self.after(self.inner.take_in(of, items).await?)
    }
}

#[async_trait]
impl Backend for Flaky {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn durability(&self) -> Durability {
        self.inner.durability()
    }

    async fn master_witness(&self, witness: SealedBlob) -> Result<SealedBlob, StoreError> {
        self.inner.master_witness(witness).await
    }
}
