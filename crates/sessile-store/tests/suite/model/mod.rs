//! An independent model of the rules, driven at random against every backend (R-173, H11; I3, I8 to I12, T3, S23).
//!
//! A case is a sequence of verbs, one after another, with known and unknown ids, right and stale generations, times that
//! move, stand and lag. After each verb its answer and then everything that can be seen of the store is compared with the
//! model. A case that fails is shortened, and its steps are printed. What happens when verbs meet is for the races of the
//! conformance suite.

mod rules;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use proptest::prelude::{Strategy, TestCaseError};
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use proptest_state_machine::ReferenceStateMachine;
use sessile_core::Timestamp;
use sessile_core::revocation::{Epoch, FeedItem, Reason, Scope, Seq};
use sessile_instruments::servers::Redis;
use sessile_store::memory::MemoryStore;
use sessile_store::{
    Backend, Confirmation, Insertion, KeyAddition, KeyRevocation, RotateOutcome, StoreError, TokenAddition,
};
use tokio::runtime::Runtime;

use crate::museum::{Flaw, Flawed};
use crate::{postgres_world, redis_world, world};

use rules::{Answer, IDS, REASON, Rules, SUBJECTS, State, Step};

const STEPS: usize = 60;

#[test]
fn memory() {
    random(300).check(async || Arc::new(MemoryStore::new()));
}

#[test]
fn sqlite() {
    let root = tempfile::tempdir().unwrap();
    let number = std::sync::atomic::AtomicU32::new(0);
    random(40).check(async || {
        let name = number.fetch_add(1, Ordering::Relaxed).to_string();
        Arc::new(world::server(&root.path().join(name)).unwrap())
    });
}

#[test]
fn postgres() {
    random(12).looking_every(5).check(async || Arc::new(postgres_world::store().await));
}

#[test]
fn redis() {
    let server = Redis::start(Redis::SYNCED);
    random(24).looking_every(5).check(async || Arc::new(redis_world::store(&server).await));
}

/// The flaws that show while verbs come one after another, in what the model watches. The others need verbs that meet, a
/// wait, or accounts, throttles and events.
const SEEN_BY_THE_MODEL: &[Flaw] = &[
    Flaw::WholeSeconds,
    Flaw::InsertUpserts,
    Flaw::NoCap,
    Flaw::CountsThenInserts,
    Flaw::StretchesEnd,
    Flaw::IgnoresExpected,
    Flaw::SavesBack,
    Flaw::RevivesTheOver,
    Flaw::BelievesClocks,
    Flaw::ConfirmsAnything,
    Flaw::ConfirmsFromCache,
    Flaw::HidesEnds,
    Flaw::FoldsSubjects,
    Flaw::KeepsNobody,
    Flaw::AllOneByOne,
    Flaw::SkipsOne,
    Flaw::SweepsTheLiving,
    Flaw::LooksThenSweeps,
    Flaw::LiesAboutOldest,
    Flaw::KeepsEpoch,
    Flaw::AddsBlindly,
    Flaw::SortsKeys,
    Flaw::RevokesAgain,
    Flaw::ForgetsNewest,
    Flaw::TokensUpsert,
    Flaw::RegistersForAnybody,
    Flaw::FindsInCache,
    Flaw::RenewalDropsRows,
    Flaw::KeepsAllRows,
    Flaw::LastUseHeard,
    Flaw::UsesUpsert,
];

/// Negative controls: each of these flaws is found within the cases that a sound backend passes.
#[test]
fn the_model_catches_flaws() {
    always_the_same(300).check(async || Arc::new(Flawed::new(Flaw::None)));
    for flaw in SEEN_BY_THE_MODEL {
        let found = always_the_same(300).run(async || Arc::new(Flawed::new(*flaw)));
        assert!(found.is_err(), "the model did not notice a backend that {flaw:?}");
    }
}

/// A failing case is shortened to what it takes, and tells its steps.
#[test]
fn failing_cases_are_short() {
    let failed = always_the_same(300).run(async || Arc::new(Flawed::new(Flaw::InsertUpserts))).unwrap_err();
    assert_eq!(failed.steps.len(), 2, "{failed}");
    assert!(failed.steps.iter().all(|step| matches!(step, Step::Insert { .. })), "{failed}");
    assert!(failed.to_string().contains("1. Insert {") && failed.to_string().contains("IdTaken"), "{failed}");
}

/// The cases come to everything a verb may answer, each more than once: a model that never meets an outcome says nothing
/// about it.
#[test]
fn every_outcome_is_met() {
    let mut met = BTreeMap::new();
    let mut runner = always_the_same(100).runner;
    for _ in 0..100 {
        let (mut state, steps, _) = Rules::sequential_strategy(1..STEPS).new_tree(&mut runner).unwrap().current();
        for step in &steps {
            state = Rules::apply(state, step);
            for outcome in outcomes(&state.answer) {
                *met.entry(outcome).or_insert(0) += 1;
            }
        }
    }
    let rare: Vec<_> = OUTCOMES.iter().filter(|outcome| met.get(*outcome).is_none_or(|times| *times < 5)).collect();
    assert!(rare.is_empty(), "not met, or hardly: {rare:?} of {met:?}");
}

const OUTCOMES: [&str; 21] = [
    "inserted",
    "evicted",
    "id taken",
    "rotated",
    "superseded",
    "rotation of nothing",
    "confirmed",
    "not confirmed",
    "nothing ended",
    "one ended",
    "several ended",
    "row added",
    "row of nothing",
    "row id taken",
    "row removed",
    "no row removed",
    "key added",
    "key lost",
    "key revoked again",
    "key forgotten",
    "swept",
];

fn outcomes(answer: &Answer) -> Vec<&'static str> {
    match answer {
        Answer::Insertion(Insertion::Inserted { evicted }) if evicted.is_empty() => vec!["inserted"],
        Answer::Insertion(Insertion::Inserted { .. }) => vec!["evicted"],
        Answer::Insertion(Insertion::IdTaken) => vec!["id taken"],
        Answer::Rotation(RotateOutcome::Rotated(_)) => vec!["rotated"],
        Answer::Rotation(RotateOutcome::Superseded(_)) => vec!["superseded"],
        Answer::Rotation(RotateOutcome::Gone) => vec!["rotation of nothing"],
        Answer::Confirmation(Confirmation::Live(_)) => vec!["confirmed"],
        Answer::Confirmation(Confirmation::Gone) => vec!["not confirmed"],
        Answer::Revoked(revoked) => vec![match revoked.ended.len() {
            0 => "nothing ended",
            1 => "one ended",
            _ => "several ended",
        }],
        Answer::Additions(additions) => additions
            .iter()
            .map(|addition| match addition {
                TokenAddition::Added => "row added",
                TokenAddition::Gone => "row of nothing",
                TokenAddition::IdTaken => "row id taken",
            })
            .collect(),
        Answer::Removed(true) => vec!["row removed"],
        Answer::Removed(false) => vec!["no row removed"],
        Answer::KeyAddition(KeyAddition::Added) => vec!["key added"],
        Answer::KeyAddition(KeyAddition::Lost) => vec!["key lost"],
        Answer::KeyRevocation(KeyRevocation::AlreadyRevoked) => vec!["key revoked again"],
        Answer::Forgotten(1..) => vec!["key forgotten"],
        Answer::Swept(1..) => vec!["swept"],
        Answer::Done | Answer::KeyRevocation(_) | Answer::Forgotten(0) | Answer::Swept(0) => Vec::new(),
    }
}

/// So many cases.
struct Cases {
    runner: TestRunner,
    /// After how many steps everything that can be seen is looked at, and not only what the step changed.
    look_every: usize,
}

fn config(cases: u32) -> Config {
    Config { cases, failure_persistence: None, max_shrink_iters: 4000, ..Config::default() }
}

fn random(cases: u32) -> Cases {
    Cases { runner: TestRunner::new(config(cases)), look_every: 1 }
}

fn always_the_same(cases: u32) -> Cases {
    let runner = TestRunner::new_with_rng(config(cases), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    Cases { runner, look_every: 1 }
}

/// A case that the store and the model see differently.
#[derive(Debug)]
struct Failed {
    reason: String,
    steps: Vec<Step>,
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\nafter these steps:", self.reason)?;
        self.steps.iter().zip(1..).try_for_each(|(step, number)| write!(f, "\n  {number}. {step:?}"))
    }
}

impl Cases {
    /// For a store at which each look is a round trip.
    fn looking_every(self, look_every: usize) -> Self {
        Self { look_every, ..self }
    }

    /// Each case on a store that `make` has just made.
    fn check<B: Backend + 'static>(self, make: impl AsyncFn() -> Arc<B>) {
        if let Err(failed) = self.run(make) {
            panic!("{failed}");
        }
    }

    fn run<B: Backend + 'static>(mut self, make: impl AsyncFn() -> Arc<B>) -> Result<(), Failed> {
        let runtime = Runtime::new().unwrap();
        let run = self.runner.run(&Rules::sequential_strategy(1..STEPS), |(mut state, steps, seen)| {
            runtime.block_on(async {
                let mut driven = Driven::new(make().await).await?;
                for (step, place) in steps.iter().zip(1..) {
                    if let Some(seen) = &seen {
                        seen.fetch_add(1, Ordering::SeqCst);
                    }
                    state = Rules::apply(state, step);
                    driven.follow(step, &state).await?;
                    if place % self.look_every == 0 || place == steps.len() {
                        driven.look(&state).await?;
                    }
                }
                Ok(())
            })
        });
        run.map_err(|error| match error {
            TestError::Fail(reason, (_, steps, _)) => Failed { reason: reason.message().to_owned(), steps },
            TestError::Abort(reason) => panic!("{reason}"),
        })
    }
}

/// How the store differs from the model.
struct Differs(String);

impl From<StoreError> for Differs {
    fn from(fault: StoreError) -> Self {
        Self(format!("the store failed: {fault}"))
    }
}

impl From<Differs> for TestCaseError {
    fn from(Differs(how): Differs) -> Self {
        Self::fail(how)
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: T, right: T) -> Result<(), Differs> {
    if found == right { Ok(()) } else { Err(Differs(format!("{what}: found {found:?}, right is {right:?}"))) }
}

/// A store, and what it has told so far.
struct Driven {
    store: Arc<dyn Backend>,
    /// The whole feed, with the moment each entry is of.
    told: Vec<(Timestamp, FeedItem)>,
    /// The epochs so far, the present one last.
    epochs: Vec<Epoch>,
    /// Where the present history began.
    begun: usize,
}

impl Driven {
    async fn new(store: Arc<dyn Backend>) -> Result<Self, Differs> {
        let page = store.feed(Seq(0), 10).await?;
        same("the head of an empty feed", page.head, Seq(0))?;
        Ok(Self { store, told: Vec::new(), epochs: vec![page.epoch], begun: 0 })
    }

    /// Takes a step, and compares its answer and the most of what it left with the model, which has taken it.
    async fn follow(&mut self, step: &Step, right: &State) -> Result<(), Differs> {
        same("the answer", self.take(step).await?, right.answer.clone())?;
        self.hear(step, right).await?;
        let all: Vec<_> = right.sessions.values().cloned().collect();
        same("all sessions", self.store.list(None, None, 100).await?, all)?;
        same("how many there are", self.store.count().await?, right.sessions.len() as u64)
    }

    /// Compares everything else that can be seen.
    async fn look(&self, right: &State) -> Result<(), Differs> {
        self.look_at_sessions(right).await?;
        self.look_at_rows(right).await?;
        same("the keys", self.store.load_keys().await?, right.keys.clone())?;
        self.look_at_feed(right).await
    }

    async fn take(&self, step: &Step) -> Result<Answer, Differs> {
        let store = &self.store;
        let revoke =
            async |scope: Scope, at| Ok::<_, StoreError>(Answer::Revoked(store.revoke(&scope, REASON, at).await?));
        Ok(match *step {
            Step::Insert { id, of, at, idle, absolute, cap } => {
                match store.insert(rules::session(id, of, at, idle, absolute), cap).await? {
                    Insertion::Inserted { mut evicted } => {
                        evicted.sort_unstable();
                        Answer::Insertion(Insertion::Inserted { evicted })
                    }
                    taken @ Insertion::IdTaken => Answer::Insertion(taken),
                }
            }
            Step::Rotate { id, expected, at } => Answer::Rotation(store.rotate(rules::id(id), expected, at).await?),
            Step::Confirm { id, generation, at } => {
                Answer::Confirmation(store.confirm(rules::id(id), generation, at).await?)
            }
            Step::RevokeOne { id, at } => revoke(Scope::Session(rules::id(id)), at).await?,
            Step::RevokeSubject { of, at } => revoke(Scope::Subject(rules::subject(of)), at).await?,
            Step::RevokeOthers { of, but, at } => {
                revoke(Scope::SubjectExcept(rules::subject(of), rules::id(but)), at).await?
            }
            Step::RevokeAll { at } => revoke(Scope::All, at).await?,
            Step::AddTokens { first, many, session, at, life } => {
                let of = store.load(rules::id(session)).await?;
                let whose = of.map_or_else(|| rules::subject(SUBJECTS[0]), |session| session.subject);
                let mut added = Vec::new();
                for number in 0..many {
                    let at = at.plus(std::time::Duration::from_millis(u64::from(number)));
                    let row = rules::row(first + number, &rules::id(session), &whose, at, life);
                    added.push(store.add_token(row).await?);
                }
                Answer::Additions(added)
            }
            Step::RemoveToken { token } => Answer::Removed(store.remove_token(rules::token(token)).await?),
            Step::NoteUses { ref uses } => {
                store.note_uses(&rules::uses(uses)).await?;
                Answer::Done
            }
            Step::AddKey { key, after, at } => {
                let after = after.map(rules::key_id);
                Answer::KeyAddition(store.add_key(rules::key(key, at), after.as_ref()).await?)
            }
            Step::RevokeKey { key, at } => Answer::KeyRevocation(store.revoke_key(&rules::key_id(key), at).await?),
            Step::ForgetKeys { ref keys, at } => {
                let ids: Vec<_> = keys.iter().copied().map(rules::key_id).collect();
                Answer::Forgotten(store.forget_keys(&ids, at).await?)
            }
            Step::RestartHistory { at } => {
                store.restart_history(Reason::StoreRegressed, at).await?;
                Answer::Done
            }
            Step::Sweep { at, limit } => {
                let mut all = 0;
                loop {
                    let dropped = store.sweep(at, limit).await?;
                    if dropped > limit {
                        return Err(Differs(format!("a sweep dropped {dropped} records, with a limit of {limit}")));
                    }
                    all += dropped;
                    if dropped == 0 {
                        break Answer::Swept(all);
                    }
                }
            }
        })
    }

    /// What the feed says of the step: all of its entries and no other, in whatever order.
    async fn hear(&mut self, step: &Step, right: &State) -> Result<(), Differs> {
        let before = self.told.len() as u64;
        let page = self.store.feed(Seq(before), 1000).await?;
        same("the head of the feed", page.head, Seq(right.head))?;
        let numbers: Vec<u64> = page.entries.iter().map(|entry| entry.seq.0).collect();
        same("the numbers of the new entries", numbers, (before + 1..=right.head).collect())?;
        let in_order = |items: &mut Vec<FeedItem>| items.sort_by_cached_key(|item| format!("{item:?}"));
        let mut news: Vec<FeedItem> = page.entries.into_iter().map(|entry| entry.item).collect();
        self.told.extend(news.iter().map(|item| (step.moment(), item.clone())));
        let mut right_news = right.news.clone();
        in_order(&mut news);
        in_order(&mut right_news);
        same("the new entries", news, right_news)?;
        if self.epochs.len() <= right.history as usize {
            if self.epochs.contains(&page.epoch) {
                return Err(Differs("a new history goes by an old name".to_owned()));
            }
            self.epochs.push(page.epoch);
            self.begun = self.told.len() - 1;
        }
        same("the epoch", Some(&page.epoch), self.epochs.last())
    }

    async fn look_at_sessions(&self, right: &State) -> Result<(), Differs> {
        let all: Vec<_> = right.sessions.values().cloned().collect();
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let page = self.store.list(None, after, 2).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            paged.extend(page);
        }
        same("all sessions, two by two", paged, all.clone())?;
        for name in SUBJECTS.map(rules::subject) {
            let of_subject: Vec<_> = all.iter().filter(|session| session.subject == name).cloned().collect();
            same("the sessions of a subject", self.store.list(Some(&name), None, 100).await?, of_subject)?;
        }
        for number in 0..IDS {
            let id = rules::id(number);
            same("one session", self.store.load(id).await?, right.sessions.get(&id).cloned())?;
        }
        Ok(())
    }

    async fn look_at_rows(&self, right: &State) -> Result<(), Differs> {
        for number in 0..IDS {
            let id = rules::id(number);
            same("the rows of a session", self.store.list_tokens(id).await?, right.rows_of(id))?;
        }
        for number in &right.watched {
            let row = right.tokens.get(&rules::token(*number));
            let both = row.map(|row| (row.clone(), right.sessions[&row.session].clone()));
            same("a row with its session", self.store.find_token(rules::token(*number)).await?, both)?;
        }
        Ok(())
    }

    /// The feed from the beginning and from the middle: what was told is told again, as far as it is kept, without holes.
    async fn look_at_feed(&self, right: &State) -> Result<(), Differs> {
        let must_keep = |place: &usize| *place >= self.begun && self.told[*place].0 >= right.forgettable;
        let first_to_keep = (0..self.told.len()).find(must_keep).unwrap_or(self.told.len());
        for (after, limit) in [(0, 1000), (self.told.len() / 2, 2)] {
            let page = self.store.feed(Seq(after as u64), limit).await?;
            let oldest = page.oldest.0;
            if !(1..=first_to_keep as u64 + 1).contains(&oldest) {
                let right = first_to_keep + 1;
                return Err(Differs(format!("the feed begins at {oldest}, right is from 1 to {right}")));
            }
            let kept = usize::try_from(oldest).unwrap_or(usize::MAX) - 1;
            let all = self.told.iter().enumerate().skip(after.max(kept)).take(limit as usize);
            let right: Vec<_> = all.map(|(place, (_, item))| (place as u64 + 1, item.clone())).collect();
            let found: Vec<_> = page.entries.into_iter().map(|entry| (entry.seq.0, entry.item)).collect();
            same("the feed, read again", found, right)?;
        }
        Ok(())
    }
}
