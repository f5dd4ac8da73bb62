//! Moving every session from one store to another while nodes serve from the first.
//!
//! | Step | Source | Target |
//! |---|---|---|
//! | begin | serving | filling: nodes started on it wait |
//! | copy, then bring what changed meanwhile, until that is little | serving | filling |
//! | close | moving: it answers, and changes nothing | filling |
//! | bring the rest, then compare everything | moving | filling |
//! | hand over | moved: it answers for nobody | serving |
//!
//! Nothing is lost between two steps, because the stores themselves refuse: after "close" no node writes to the source,
//! whatever it has heard, so the comparison is of two things at rest. Nothing dead comes back, because no node has
//! answered from a store that is being filled. Both ends carry the name of the move, so a move that was cut off at any
//! point goes on where it was, and no store is ever filled from two.
//!
//! Taken are sessions with their rotation and their tokens' rows, accounts, and signing keys in their order: access
//! tokens go on verifying. Not taken are security events, and counters of failed sign-ins, which begin anew.

mod compare;

use std::fmt;
use std::time::{Duration, Instant};

use sessile_core::revocation::{Epoch, Phase, Seq};

use crate::contract::{Backend, MoveId, Stage, StageChange, Taken, TakingIn, fresh_epoch};
use crate::error::{StoreError, WriteOutcome};
use crate::vault::Vault;
use compare::{Accounts, Cursor, Listing, Sessions};

/// Records to a page, and to what is taken in at once: some milliseconds of a store's time.
const PAGE: u32 = 250;
/// So few differences are brought while the source is closed.
const FEW: u64 = 200;
/// A source that changes faster than it is copied is closed all the same.
const ROUNDS: u32 = 6;
/// While both ends are closed, a target that fails is asked again for so long: a failover takes less.
const PATIENCE: Duration = Duration::from_secs(30);
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// A move of all sessions from one store to another.
pub struct Migration<'a> {
    source: &'a dyn Backend,
    target: &'a dyn Backend,
    page: u32,
    patience: Duration,
    watch: &'a (dyn Fn(Progress) + Sync),
}

impl fmt::Debug for Migration<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Migration({:?} to {:?})", self.source, self.target)
    }
}

/// What a migration is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Copying while the source serves.
    Copying,
    /// Bringing what changed while it was copied; the source still serves.
    CatchingUp,
    /// Bringing the rest; the source is closed to changes.
    Closing,
    /// Comparing both ends, record by record.
    Verifying,
}

/// How far a migration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What it is doing.
    pub step: Step,
    /// Sessions looked at in this step.
    pub done: u64,
    /// Sessions there were when the step began.
    pub total: u64,
}

/// What was moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Sessions at the target.
    pub sessions: u64,
    /// Their tokens' rows.
    pub tokens: u64,
    /// Accounts.
    pub accounts: u64,
    /// Signing keys.
    pub keys: u64,
    /// Whether this run compared each of them with the source's. If not, an earlier one did, and they were counted at the
    /// target, which may have served since.
    pub compared: bool,
}

/// Why a migration ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The store that is left failed.
    #[error("the store to move from: {0}")]
    Source(#[source] StoreError),
    /// The store that is filled failed.
    #[error("the store to move to: {0}")]
    Target(#[source] StoreError),
    /// What is sealed in one could not be opened in the other.
    #[error(
        "the two stores were opened with different master keys. Sealed records are moved as they are, so both need the same one"
    )]
    MasterKeys,
    /// Both names are of one store.
    #[error("both URLs name the same store")]
    SameStore,
    /// The source holds nothing at all, so neither a server nor a command has ever worked on it.
    #[error(
        "the store to move from has never been in use: it holds no signing key, no account and no session. Nothing was moved; look at --from, and at store.name"
    )]
    NeverUsed,
    /// The target has sessions or accounts.
    #[error(
        "the store to move to holds sessions or accounts already. A move needs an empty one: name another database, or another store.name"
    )]
    TargetNotEmpty,
    /// An end takes part in another move, or its part in one is over.
    #[error("the store to move {end} is {}, by another move: {}", .stage.phase.name(), remedy(.end, .stage.phase))]
    Elsewhere {
        /// `from` or `to`.
        end: &'static str,
        /// Where it stands.
        stage: Stage,
    },
    /// No move between the two is under way.
    #[error("there is no move between these two stores to give up")]
    NotBegun,
    /// The target serves already.
    #[error("the move is over: the new store serves, and sessions have gone on there")]
    Over,
    /// The source ended every session while it was closed.
    #[error(
        "the old store ended every session while they were being compared, because it had lost writes. Nothing was handed over and it \
         serves on; run the same command again"
    )]
    HistoryRestarted,
    /// The target failed when it was to serve, and cannot any more; the source serves again.
    #[error(
        "the store to move to failed when it was to serve: {0}. The old store serves on; run the same command again"
    )]
    NotHandedOver(#[source] StoreError),
    /// The target failed when it was to serve, and whether it does is not known; so the source is left closed.
    #[error(
        "the store to move to failed when it was to serve, and may yet do so: {0}. Until it has been asked, both stores are closed: run the \
         same command again, to finish the move or with --abandon"
    )]
    HandOverUnknown(#[source] StoreError),
    /// The ends differ after everything was brought.
    #[error(
        "{what} {key} is not the same at both ends. Nothing was handed over and the old store serves on; run the same command again"
    )]
    Mismatch {
        /// What kind of record.
        what: &'static str,
        /// Which.
        key: String,
    },
}

fn remedy(end: &str, phase: Phase) -> &'static str {
    match (end, phase) {
        ("from", Phase::Filling) => "finish that one first",
        ("from", _) => "run that one again, with its own --to, to finish it or with --abandon",
        (_, Phase::Filling) => "run that one again, with its own --from, to finish it or with --abandon",
        (_, _) => "name an empty database, or another store.name",
    }
}

fn asked_to_be_empty() -> MigrationError {
    MigrationError::Source(StoreError::Internal("a store that is left was asked to be empty".to_owned()))
}

fn was_not_done(fault: &StoreError) -> bool {
    match fault {
        StoreError::Unavailable { outcome, .. } => *outcome == WriteOutcome::NotDone,
        StoreError::Full(_) => true,
        _ => false,
    }
}

/// A target that waits for nothing any more: a hand-over that is still on its way to it finds another name and does nothing.
/// Only its source can tell which move it was.
fn barred(of: MoveId) -> Stage {
    Stage::of(Phase::Filling, MoveId::from_bytes(of.as_bytes().map(|byte| !byte)))
}

/// A target that was barred and is filled again. Its name follows from the one before, so that a run that was killed before its
/// source has it too is understood.
fn renewed(of: MoveId) -> Stage {
    let next = u128::from_be_bytes(*of.as_bytes()).wrapping_add(1);
    Stage::of(Phase::Filling, MoveId::from_bytes(next.to_be_bytes()))
}

// Where a migration stands when it is begun or taken up again.
enum Begun {
    Copying(MoveId),
    HandingOver(MoveId),
    Over,
}

impl<'a> Migration<'a> {
    /// A migration between two stores under one master key. `watch` is told how far it is, once for each page.
    pub fn new(
        source: &'a Vault,
        target: &'a Vault,
        watch: &'a (dyn Fn(Progress) + Sync),
    ) -> Result<Self, MigrationError> {
        let mark = |vault: &Vault| vault.derive("migration");
        if !mark(source).matches(mark(target).expose()) {
            return Err(MigrationError::MasterKeys);
        }
        let source = source.backend().map_err(MigrationError::Source)?;
        let target = target.backend().map_err(MigrationError::Target)?;
        Ok(Self { source, target, page: PAGE, patience: PATIENCE, watch })
    }

    /// Reads and takes in so many records at a time.
    #[must_use]
    pub fn in_pages_of(mut self, records: u32) -> Self {
        self.page = records.max(1);
        self
    }

    /// Asks a target that fails for so long while both ends are closed, instead of 30 seconds.
    #[must_use]
    pub fn patient_for(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Marks the target as one that is being filled, so that nodes can be started on it: they wait.
    pub async fn prepare(&self) -> Result<(), MigrationError> {
        match self.begin().await? {
            Begun::Copying(_) | Begun::HandingOver(_) => Ok(()),
            Begun::Over => Err(MigrationError::Over),
        }
    }

    /// Moves everything, from wherever an earlier run came to. On an error the source serves on, with these exceptions: its
    /// own last answer was lost, or it is [not known](MigrationError::HandOverUnknown) whether the target serves. Then it
    /// stays closed, as it does where it cannot be reached to be opened; run again, or [`abandon`](Self::abandon).
    pub async fn run(&self) -> Result<Summary, MigrationError> {
        let of = match self.begin().await? {
            Begun::Copying(of) => {
                self.copy(of).await?;
                of
            }
            Begun::HandingOver(of) => {
                self.hand_over(of).await?;
                return self.summary().await;
            }
            Begun::Over => return self.summary().await,
        };
        let (serving, moving) = (Stage::of(Phase::Serving, of), Stage::of(Phase::Moving, of));
        self.set_source(serving, moving).await?;
        let settled = async {
            let history = self.history().await?;
            self.round(of, Step::Closing).await?;
            let summary = self.verify().await?;
            // Ending everybody goes on in every phase, and what was compared before it did is what the target would serve.
            if self.history().await? == history { Ok(summary) } else { Err(MigrationError::HistoryRestarted) }
        };
        let summary = match settled.await {
            Ok(summary) => summary,
            Err(error) => {
                // Best effort: whoever takes the move up again finds it closed and closes it no second time.
                let _ = self.source.set_stage(moving, serving).await;
                return Err(error);
            }
        };
        self.hand_over(of).await?;
        Ok(summary)
    }

    /// Gives the move up: the target is emptied and the source serves on. Refused once the target serves, and for a source
    /// whose move is to another target. A target whose source has turned to another move, or to none, is emptied as well.
    pub async fn abandon(&self) -> Result<(), MigrationError> {
        let source = self.source.stage().await.map_err(MigrationError::Source)?;
        let target = self.target.stage().await.map_err(MigrationError::Target)?;
        match (source, target) {
            (Stage { phase: Phase::Filling, .. }, _) => Err(MigrationError::Elsewhere { end: "from", stage: source }),
            (Stage { of: Some(of), .. }, target) if target == Stage::of(Phase::Filling, of) => {
                // It must not serve any more before the source does again.
                self.bar(of).await?;
                self.reopen(of, Stage::default()).await?;
                self.empty_target(barred(of)).await
            }
            (Stage { of: Some(of), .. }, target) if target == barred(of) => {
                self.reopen(of, Stage::default()).await?;
                self.empty_target(target).await
            }
            (Stage { phase: Phase::Moving | Phase::Moved, of: Some(of) }, target)
                if target == Stage::of(Phase::Serving, of) =>
            {
                Err(MigrationError::Over)
            }
            (Stage { phase: Phase::Moving | Phase::Moved, .. }, _) => {
                Err(MigrationError::Elsewhere { end: "from", stage: source })
            }
            (Stage { phase: Phase::Serving, .. }, Stage { phase: Phase::Filling, .. }) => {
                self.refuse_a_source_never_used().await?;
                self.empty_target(target).await
            }
            (Stage { phase: Phase::Serving, .. }, _) => Err(MigrationError::NotBegun),
        }
    }

    async fn bar(&self, of: MoveId) -> Result<(), MigrationError> {
        let (filling, serving) = (Stage::of(Phase::Filling, of), Stage::of(Phase::Serving, of));
        match self.target.set_stage(filling, barred(of)).await.map_err(MigrationError::Target)? {
            StageChange::Changed => Ok(()),
            StageChange::Otherwise(now) if now == barred(of) => Ok(()),
            // Another run handed over meanwhile.
            StageChange::Otherwise(now) if now == serving => Err(MigrationError::Over),
            StageChange::Otherwise(stage) => Err(MigrationError::Elsewhere { end: "to", stage }),
            StageChange::NotEmpty => Err(MigrationError::TargetNotEmpty),
        }
    }

    /// Lets the source serve, wherever in this move it is. Call only when the target cannot.
    async fn reopen(&self, of: MoveId, next: Stage) -> Result<(), MigrationError> {
        // Another run may close it meanwhile; forward it goes twice at most.
        let mut source = self.source.stage().await.map_err(MigrationError::Source)?;
        while source.of == Some(of) && source != next {
            match self.source.set_stage(source, next).await.map_err(MigrationError::Source)? {
                StageChange::Changed => return Ok(()),
                StageChange::Otherwise(now) => source = now,
                StageChange::NotEmpty => return Err(asked_to_be_empty()),
            }
        }
        if source == next { Ok(()) } else { Err(MigrationError::Elsewhere { end: "from", stage: source }) }
    }

    async fn empty_target(&self, filling: Stage) -> Result<(), MigrationError> {
        match self.target.set_stage(filling, Stage::default()).await.map_err(MigrationError::Target)? {
            StageChange::Changed => Ok(()),
            StageChange::Otherwise(now) if now == Stage::default() => Ok(()),
            StageChange::Otherwise(stage) => Err(MigrationError::Elsewhere { end: "to", stage }),
            StageChange::NotEmpty => Err(MigrationError::TargetNotEmpty),
        }
    }

    // A server makes a key when it starts, and an account may be made before there was one.
    async fn refuse_a_source_never_used(&self) -> Result<(), MigrationError> {
        let source = self.source;
        let used = async {
            Ok(!source.load_keys().await?.is_empty()
                || !source.list_accounts(None, 1).await?.is_empty()
                || source.count().await? > 0)
        };
        if used.await.map_err(MigrationError::Source)? { Ok(()) } else { Err(MigrationError::NeverUsed) }
    }

    async fn begin(&self) -> Result<Begun, MigrationError> {
        let source = self.source.stage().await.map_err(MigrationError::Source)?;
        let target = self.target.stage().await.map_err(MigrationError::Target)?;
        let busy = |end, stage| Err(MigrationError::Elsewhere { end, stage });
        match (source, target) {
            (Stage { phase: Phase::Filling, .. }, _) => return busy("from", source),
            (Stage { phase, of: Some(of) }, Stage { phase: Phase::Filling, of: Some(into) }) if of == into => {
                return Ok(if phase == Phase::Moved { Begun::HandingOver(of) } else { Begun::Copying(of) });
            }
            (Stage { of: Some(of), .. }, target) if target == barred(of) => {
                // Given up halfway, or not handed over. The target has not served and cannot, until it has another name.
                self.reopen(of, Stage::of(Phase::Serving, of)).await?;
                return self.renew(of, target).await;
            }
            (Stage { phase: Phase::Serving, of: Some(of) }, target) if target == renewed(of) => {
                return self.renew(of, target).await;
            }
            (Stage { phase: Phase::Moving, of: Some(of) }, target) if target == Stage::of(Phase::Serving, of) => {
                // Given up halfway, after the target had begun to serve.
                self.set_source(source, Stage::of(Phase::Moved, of)).await?;
                return Ok(Begun::Over);
            }
            (Stage { phase: Phase::Moved, of: Some(of) }, target) if target == Stage::of(Phase::Serving, of) => {
                return Ok(Begun::Over);
            }
            (Stage { phase: Phase::Moving | Phase::Moved, .. }, _) => return busy("from", source),
            (_, Stage { phase: Phase::Filling | Phase::Moving | Phase::Moved, .. }) => return busy("to", target),
            (Stage { phase: Phase::Serving, .. }, Stage { phase: Phase::Serving, .. }) => {}
        }
        self.refuse_a_source_never_used().await?;
        // The source first: what is filled is always filled by a move its source knows of.
        let of = MoveId::from_bytes(fresh_epoch().0);
        let named = Stage::of(Phase::Serving, of);
        self.set_source(source, named).await?;
        if self.target.stage().await.map_err(MigrationError::Target)? == named {
            self.set_source(named, source).await?;
            return Err(MigrationError::SameStore);
        }
        let filling = Stage::of(Phase::Filling, of);
        let refused = match self.target.set_stage(target, filling).await.map_err(MigrationError::Target)? {
            StageChange::Changed => return Ok(Begun::Copying(of)),
            StageChange::Otherwise(now) if now == filling => return Ok(Begun::Copying(of)),
            StageChange::Otherwise(stage) => MigrationError::Elsewhere { end: "to", stage },
            StageChange::NotEmpty => MigrationError::TargetNotEmpty,
        };
        self.set_source(named, source).await?;
        Err(refused)
    }

    /// Goes on under another name with what a barred target holds.
    async fn renew(&self, of: MoveId, target: Stage) -> Result<Begun, MigrationError> {
        let next = renewed(of);
        match self.target.set_stage(target, next).await.map_err(MigrationError::Target)? {
            StageChange::Changed => {}
            StageChange::Otherwise(now) if now == next => {}
            StageChange::Otherwise(stage) => return Err(MigrationError::Elsewhere { end: "to", stage }),
            StageChange::NotEmpty => return Err(MigrationError::TargetNotEmpty),
        }
        let next = next.of.unwrap_or(of);
        self.set_source(Stage::of(Phase::Serving, of), Stage::of(Phase::Serving, next)).await?;
        Ok(Begun::Copying(next))
    }

    /// Copies, and brings what changed meanwhile, until that is little.
    async fn copy(&self, of: MoveId) -> Result<(), MigrationError> {
        let mut step = Step::Copying;
        for _ in 0..ROUNDS {
            if self.round(of, step).await? <= FEW {
                break;
            }
            step = Step::CatchingUp;
        }
        Ok(())
    }

    /// Makes the target what the source is; answers how much had to be done.
    async fn round(&self, of: MoveId, step: Step) -> Result<u64, MigrationError> {
        let keys = self.source.load_keys().await.map_err(MigrationError::Source)?;
        if self.target.load_keys().await.map_err(MigrationError::Target)? != keys {
            self.take_in(of, &[Taken::Keys(keys)]).await?;
        }
        let accounts = self.bring::<Accounts>(of, None).await?;
        let sessions = self.bring::<Sessions>(of, Some(step)).await?;
        Ok(accounts + sessions)
    }

    async fn bring<L: Listing>(&self, of: MoveId, step: Option<Step>) -> Result<u64, MigrationError> {
        let mut told = self.telling(step).await?;
        let (mut source, mut target) =
            (Cursor::<L>::new(self.source, self.page), Cursor::<L>::new(self.target, self.page));
        let mut batch = Vec::new();
        let mut brought = 0;
        loop {
            let difference = compare::next(&mut source, &mut target).await?;
            let ended = difference.is_none();
            if let Some(difference) = difference {
                told.saw(source.seen());
                batch.extend(difference.taken::<L>());
            }
            if batch.len() as u64 >= u64::from(self.page) || (ended && !batch.is_empty()) {
                self.take_in(of, &batch).await?;
                brought += batch.len() as u64;
                batch.clear();
            }
            if ended {
                return Ok(brought);
            }
        }
    }

    /// Compares both ends, which are at rest.
    async fn verify(&self) -> Result<Summary, MigrationError> {
        let keys = self.source.load_keys().await.map_err(MigrationError::Source)?;
        if self.target.load_keys().await.map_err(MigrationError::Target)? != keys {
            let key = keys.last().map_or_else(String::new, |key| key.id.as_str().to_owned());
            return Err(MigrationError::Mismatch { what: "the list of signing keys up to", key });
        }
        let accounts = self.same::<Accounts>(None).await?;
        let sessions = self.same::<Sessions>(Some(Step::Verifying)).await?;
        let counted = self.target.count().await.map_err(MigrationError::Target)?;
        if counted != sessions.records {
            let key = format!("{counted} where {} were compared", sessions.records);
            return Err(MigrationError::Mismatch { what: "the number of sessions,", key });
        }
        Ok(Summary {
            sessions: sessions.records,
            tokens: sessions.rows,
            accounts: accounts.records,
            keys: keys.len() as u64,
            compared: true,
        })
    }

    async fn same<L: Listing>(&self, step: Option<Step>) -> Result<compare::Seen, MigrationError> {
        let mut told = self.telling(step).await?;
        let (mut source, mut target) =
            (Cursor::<L>::new(self.source, self.page), Cursor::<L>::new(self.target, self.page));
        while let Some(difference) = compare::next(&mut source, &mut target).await? {
            told.saw(source.seen());
            if let Some(key) = difference.key::<L>() {
                return Err(MigrationError::Mismatch { what: L::WHAT, key });
            }
        }
        Ok(source.seen())
    }

    async fn hand_over(&self, of: MoveId) -> Result<(), MigrationError> {
        // The source first: the target must not serve while anybody may still be answered from the source's records.
        let moving = Stage::of(Phase::Moving, of);
        if let Err(error) = self.set_source(moving, Stage::of(Phase::Moved, of)).await {
            // Best effort: the target has not been asked, and a source that is left already stays so.
            let _ = self.source.set_stage(moving, Stage::of(Phase::Serving, of)).await;
            return Err(error);
        }
        let (filling, serving) = (Stage::of(Phase::Filling, of), Stage::of(Phase::Serving, of));
        let begun = Instant::now();
        let mut pause = RETRY_MIN;
        let mut none_done = true;
        let fault = loop {
            let fault = match self.target.set_stage(filling, serving).await {
                Ok(StageChange::Changed) => return Ok(()),
                Ok(StageChange::Otherwise(now)) if now == serving => return Ok(()),
                Ok(StageChange::Otherwise(stage)) => return Err(MigrationError::Elsewhere { end: "to", stage }),
                Ok(StageChange::NotEmpty) => return Err(MigrationError::TargetNotEmpty),
                Err(fault) => fault,
            };
            none_done &= was_not_done(&fault);
            if begun.elapsed() >= self.patience {
                break fault;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        };
        let cannot_serve = match self.bar(of).await {
            Ok(()) => true,
            Err(MigrationError::Over) => return Ok(()),
            // It takes no writes. One whose answer was lost may still be under way; none is, if all were refused.
            Err(_) => none_done && self.target.stage().await.is_ok_and(|now| now == filling),
        };
        if !cannot_serve {
            return Err(MigrationError::HandOverUnknown(fault));
        }
        self.reopen(of, Stage::of(Phase::Serving, of)).await?;
        Err(MigrationError::NotHandedOver(fault))
    }

    async fn history(&self) -> Result<Epoch, MigrationError> {
        Ok(self.source.feed(Seq(0), 1).await.map_err(MigrationError::Source)?.epoch)
    }

    /// What is at the target, for a run that finds the move made.
    async fn summary(&self) -> Result<Summary, MigrationError> {
        let keys = self.target.load_keys().await.map_err(MigrationError::Target)?.len() as u64;
        let accounts = Cursor::<Accounts>::new(self.target, self.page).pass_all().await;
        let accounts = accounts.map_err(MigrationError::Target)?.records;
        let sessions = Cursor::<Sessions>::new(self.target, self.page).pass_all().await;
        let sessions = sessions.map_err(MigrationError::Target)?;
        Ok(Summary { sessions: sessions.records, tokens: sessions.rows, accounts, keys, compared: false })
    }

    async fn take_in(&self, of: MoveId, items: &[Taken]) -> Result<(), MigrationError> {
        match self.target.take_in(of, items).await.map_err(MigrationError::Target)? {
            TakingIn::Taken => Ok(()),
            TakingIn::Refused => {
                let stage = self.target.stage().await.map_err(MigrationError::Target)?;
                Err(MigrationError::Elsewhere { end: "to", stage })
            }
        }
    }

    async fn set_source(&self, expected: Stage, next: Stage) -> Result<(), MigrationError> {
        match self.source.set_stage(expected, next).await.map_err(MigrationError::Source)? {
            StageChange::Changed => Ok(()),
            // Done by an earlier run, or by a call whose answer was lost.
            StageChange::Otherwise(now) if now == next => Ok(()),
            StageChange::Otherwise(stage) => Err(MigrationError::Elsewhere { end: "from", stage }),
            StageChange::NotEmpty => Err(asked_to_be_empty()),
        }
    }

    async fn telling(&self, step: Option<Step>) -> Result<Telling<'_>, MigrationError> {
        let total = match step {
            Some(_) => self.source.count().await.map_err(MigrationError::Source)?,
            None => 0,
        };
        let mut telling = Telling { watch: self.watch, step, total, page: u64::from(self.page), next: 0 };
        telling.saw(compare::Seen::default());
        Ok(telling)
    }
}

// Tells how far it is, once for each page.
struct Telling<'a> {
    watch: &'a (dyn Fn(Progress) + Sync),
    step: Option<Step>,
    total: u64,
    page: u64,
    next: u64,
}

impl Telling<'_> {
    fn saw(&mut self, seen: compare::Seen) {
        if let Some(step) = self.step
            && (seen.records >= self.next || seen.records == self.total)
        {
            (self.watch)(Progress { step, done: seen.records, total: self.total.max(seen.records) });
            self.next = seen.records + self.page;
        }
    }
}
