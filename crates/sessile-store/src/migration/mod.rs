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

use sessile_core::revocation::Phase;

use crate::contract::{Backend, MoveId, Stage, StageChange, Taken, TakingIn, fresh_epoch};
use crate::error::StoreError;
use crate::vault::Vault;
use compare::{Accounts, Cursor, Listing, Sessions};

/// Records to a page, and to what is taken in at once: some milliseconds of a store's time.
const PAGE: u32 = 250;
/// So few differences are brought while the source is closed.
const FEW: u64 = 200;
/// A source that changes faster than it is copied is closed all the same.
const ROUNDS: u32 = 6;

/// A move of all sessions from one store to another.
pub struct Migration<'a> {
    source: &'a dyn Backend,
    target: &'a dyn Backend,
    page: u32,
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
    /// Sessions at the target, each compared with the source's.
    pub sessions: u64,
    /// Their tokens' rows.
    pub tokens: u64,
    /// Accounts.
    pub accounts: u64,
    /// Signing keys.
    pub keys: u64,
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
        Ok(Self { source, target, page: PAGE, watch })
    }

    /// Reads and takes in so many records at a time.
    #[must_use]
    pub fn in_pages_of(mut self, records: u32) -> Self {
        self.page = records.max(1);
        self
    }

    /// Marks the target as one that is being filled, so that nodes can be started on it: they wait.
    pub async fn prepare(&self) -> Result<(), MigrationError> {
        match self.begin().await? {
            Begun::Copying(_) | Begun::HandingOver(_) => Ok(()),
            Begun::Over => Err(MigrationError::Over),
        }
    }

    /// Moves everything, from wherever an earlier run came to. On an error the source serves on, unless its last answer
    /// was lost; run again, or [`abandon`](Self::abandon).
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
            self.round(of, Step::Closing).await?;
            self.verify().await
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

    /// Gives the move up: the target is emptied and the source serves on. Refused once the target serves.
    pub async fn abandon(&self) -> Result<(), MigrationError> {
        let source = self.source.stage().await.map_err(MigrationError::Source)?;
        let target = self.target.stage().await.map_err(MigrationError::Target)?;
        let of = match source {
            Stage { phase: Phase::Filling, .. } => {
                return Err(MigrationError::Elsewhere { end: "from", stage: source });
            }
            Stage { phase: Phase::Serving, of } if of.is_none_or(|of| target != Stage::of(Phase::Filling, of)) => {
                return Err(MigrationError::NotBegun);
            }
            Stage { of: None, .. } => return Err(MigrationError::NotBegun),
            Stage { of: Some(of), .. } => of,
        };
        let (serving, moving, moved) =
            (Stage::of(Phase::Serving, of), Stage::of(Phase::Moving, of), Stage::of(Phase::Moved, of));
        let filling = Stage::of(Phase::Filling, of);
        match (source.phase, target) {
            (_, target) if target == serving => return Err(MigrationError::Over),
            // Left, and not for this one: the one it was left for may serve.
            (Phase::Moved, target) if target != filling => {
                return Err(MigrationError::Elsewhere { end: "from", stage: source });
            }
            // Back behind the point of no return first: once the target is empty there is no other way.
            (Phase::Moved, _) => self.set_source(moved, moving).await?,
            (Phase::Serving | Phase::Moving | Phase::Filling, _) => {}
        }
        if target == filling {
            match self.target.set_stage(filling, Stage::default()).await.map_err(MigrationError::Target)? {
                StageChange::Changed | StageChange::NotEmpty => {}
                StageChange::Otherwise(now) if now == serving => {
                    // Another run handed over meanwhile.
                    self.set_source(moving, moved).await?;
                    return Err(MigrationError::Over);
                }
                StageChange::Otherwise(_) => {}
            }
        }
        let before = if source.phase == Phase::Serving { serving } else { moving };
        self.set_source(before, Stage::default()).await
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
        self.set_source(Stage::of(Phase::Moving, of), Stage::of(Phase::Moved, of)).await?;
        let (filling, serving) = (Stage::of(Phase::Filling, of), Stage::of(Phase::Serving, of));
        match self.target.set_stage(filling, serving).await.map_err(MigrationError::Target)? {
            StageChange::Changed => Ok(()),
            StageChange::Otherwise(now) if now == serving => Ok(()),
            StageChange::Otherwise(stage) => Err(MigrationError::Elsewhere { end: "to", stage }),
            StageChange::NotEmpty => Err(MigrationError::TargetNotEmpty),
        }
    }

    async fn summary(&self) -> Result<Summary, MigrationError> {
        let sessions = self.target.count().await.map_err(MigrationError::Target)?;
        let keys = self.target.load_keys().await.map_err(MigrationError::Target)?.len() as u64;
        Ok(Summary { sessions, keys, ..Summary::default() })
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
            StageChange::NotEmpty => Err(MigrationError::Source(StoreError::Internal(
                "a store that is left was asked to be empty".to_owned(),
            ))),
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
