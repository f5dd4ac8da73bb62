//! Moves of all sessions between two stores, while the first one is at work (R-173, I1, I8, I17).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use sessile_core::crypto::Algorithm;
use sessile_core::id::TokenId;
use sessile_core::revocation::{Phase, Reason, Scope, Seq};
use sessile_core::rotation::SessionToken;
use sessile_core::{SecretText, SessionId};
use sessile_instruments::servers::Redis;
use sessile_store::memory::MemoryStore;
use sessile_store::record::SealedKey;
use sessile_store::{
    Account, Backend, InsertOutcome, MasterKey, Migration, MigrationError, Progress, Rotation, SealedBlob, Stage,
    StageChange, Step, StoreError, Summary, TokenRow, Use, Vault, WriteOutcome,
};

use tokio::task::JoinSet;

use crate::faults::{Faulty, When};
use crate::weak_end::WeakEnd;
use crate::world::{START, after, entropy, new_session, server, subject, try_vault, vault};
use crate::{postgres_world, redis_world};

/// A store, and the vault around it.
struct End {
    store: Arc<dyn Backend>,
    vault: Vault,
}

impl End {
    async fn of(store: Arc<dyn Backend>) -> Self {
        Self { vault: vault(store.clone()).await, store }
    }

    async fn memory() -> Self {
        Self::of(Arc::new(MemoryStore::new())).await
    }
}

async fn migrate(from: &End, to: &End) -> Result<Summary, MigrationError> {
    Migration::new(&from.vault, &to.vault, &|_| {}).unwrap().in_pages_of(3).run().await
}

async fn given_up(from: &End, to: &End) -> Result<(), MigrationError> {
    Migration::new(&from.vault, &to.vault, &|_| {}).unwrap().abandon().await
}

async fn stages(ends: [&End; 2]) -> [Stage; 2] {
    [ends[0].store.stage().await.unwrap(), ends[1].store.stage().await.unwrap()]
}

/// What somebody who was answered knows of the sessions: nothing else may be true at the target.
#[derive(Clone, Debug, Default)]
struct Known {
    /// The token that is in the browser.
    live: BTreeMap<SessionId, SessionToken>,
    dead: BTreeSet<SessionId>,
    rows: BTreeMap<TokenId, SessionId>,
}

impl Known {
    /// What is otherwise in a store.
    async fn differences(&self, vault: &Vault) -> Vec<String> {
        let mut wrong = Vec::new();
        for (id, token) in &self.live {
            match vault.load(*id).await.unwrap() {
                None => wrong.push(format!("{id} was signed out")),
                Some(kept) if kept.session().rotation.generation != token.generation() => {
                    let found = kept.session().rotation.generation;
                    wrong.push(format!("{id} is of generation {found}, the browser has {}", token.generation()));
                }
                Some(kept) => assert!(vault.is_genuine(&kept, token), "the browser's token of {id} is not genuine"),
            }
        }
        for id in &self.dead {
            if vault.load(*id).await.unwrap().is_some() {
                wrong.push(format!("{id} came back"));
            }
        }
        for (token, session) in &self.rows {
            let found = vault.find_token(*token).await.unwrap().map(|(row, _)| row.session);
            if found != self.live.contains_key(session).then_some(*session) {
                wrong.push(format!("the row of a token of {session}: {found:?}"));
            }
        }
        wrong
    }

    fn join(&mut self, other: Self) {
        self.live.extend(other.live);
        self.dead.extend(other.dead);
        self.rows.extend(other.rows);
    }
}

/// One user at work, who notes what was acknowledged.
struct User {
    name: &'static str,
    turn: u64,
    known: Known,
}

impl User {
    fn new(name: &'static str) -> Self {
        Self { name, turn: 0, known: Known::default() }
    }

    /// One step: a sign-in, an end, a use, a row or, most often, a rotation.
    async fn step(&mut self, at: &End) -> Result<(), StoreError> {
        let (turn, now) = (self.turn, after(self.turn % 600));
        self.turn += 1;
        let known = &mut self.known;
        let which = usize::try_from(turn).unwrap() % known.live.len().max(1);
        let some = known.live.keys().nth(which).copied();
        match (turn % 7, some) {
            (0, _) | (_, None) => {
                if let InsertOutcome::Inserted { session, token, .. } =
                    at.vault.insert(new_session(self.name, now), 10_000).await?
                {
                    known.live.insert(session.id, token.get().clone());
                }
            }
            (3, Some(id)) if known.live.len() > 6 => {
                at.vault.revoke(&Scope::Session(id), Reason::SignOut, now).await?;
                known.live.remove(&id);
                known.dead.insert(id);
            }
            (4, Some(id)) => at.vault.note_uses(&[Use { session: id, token: None, at: now }]).await?,
            (5, Some(id)) => {
                let mut token = [0; 16];
                entropy().fill(&mut token).unwrap();
                let row = TokenRow {
                    id: TokenId::from_bytes(token),
                    session: id,
                    subject: subject(self.name),
                    issued_at: now,
                    expires_at: now.plus(Duration::from_secs(3600)),
                    last_used_at: None,
                };
                at.store.add_token(row.clone()).await?;
                known.rows.insert(row.id, id);
            }
            (_, Some(id)) => {
                let kept = at.vault.load(id).await?.expect("a session that nobody ended");
                match at.vault.rotate(&kept, now).await? {
                    Rotation::Rotated { token, .. } => known.live.insert(id, token.get().clone()),
                    other => panic!("a rotation that nobody else attempts came to {other:?}"),
                };
            }
        }
        Ok(())
    }

    /// Goes on until the store is left for good.
    async fn work(mut self, at: Arc<End>) -> Known {
        loop {
            tokio::task::yield_now().await;
            match self.step(&at).await {
                Ok(()) => {}
                Err(StoreError::NotServing(Phase::Moving)) => tokio::time::sleep(Duration::from_millis(1)).await,
                Err(StoreError::NotServing(Phase::Moved)) => return self.known,
                Err(fault) => panic!("{fault}"),
            }
        }
    }
}

fn key(name: &str, made: u64) -> SealedKey {
    SealedKey {
        id: name.parse().unwrap(),
        algorithm: Algorithm::Es256,
        created_at: after(made),
        active_from: after(made),
        revoked_at: None,
        sealed: SealedBlob::from_bytes(name.as_bytes().to_vec()),
    }
}

/// A source with keys, an account and a user's sessions.
async fn furnished(source: &End) -> User {
    source.store.add_key(key("first", 0), None).await.unwrap();
    source.store.add_key(key("a-second", 1), Some(&key("first", 0).id)).await.unwrap();
    let account = Account {
        name: "anna".parse().unwrap(),
        subject: subject("anna"),
        created_at: START,
        password_set_at: START,
        disabled_at: None,
    };
    source.vault.create_account(account, &SecretText::new("a hash".to_owned())).await.unwrap();
    let mut user = User::new("anna");
    for _ in 0..90 {
        user.step(source).await.unwrap();
    }
    let many = (user.known.live.len(), user.known.dead.len(), user.known.rows.len());
    assert!(many.0 > 5 && many.1 > 5 && many.2 > 5, "too little happens: {many:?}");
    user
}

/// The source has no say any more, the target goes on from where it was.
async fn assert_moved(known: &Known, source: &End, target: &End) {
    assert_eq!(known.differences(&target.vault).await, [""; 0]);
    assert_eq!(target.vault.count().await.unwrap(), known.live.len() as u64);
    let keys = target.store.load_keys().await.unwrap();
    assert_eq!(keys.iter().map(|key| key.id.as_str()).collect::<Vec<_>>()[..2], ["first", "a-second"]);
    let (account, hash) = target.vault.find_account(&"anna".parse().unwrap()).await.unwrap().expect("the account");
    assert_eq!((account.subject, hash.expose()), (subject("anna"), "a hash"));
    let (id, token) = known.live.first_key_value().unwrap();
    let refused = source.vault.load(*id).await;
    assert!(matches!(refused, Err(StoreError::NotServing(Phase::Moved))), "{refused:?}");
    // I1: the next token is the one that the source would have made.
    let kept = target.vault.load(*id).await.unwrap().unwrap();
    let Rotation::Rotated { token: next, .. } = target.vault.rotate(&kept, after(700)).await.unwrap() else {
        panic!("the first rotation at the target");
    };
    assert_eq!(next.get().generation(), token.generation() + 1);
}

/// Users at work on the source from before the move until its end.
async fn moves_under_load(source: End, target: End) {
    let source = Arc::new(source);
    let mut known = furnished(&source).await.known;
    let mut users = JoinSet::new();
    for name in ["boris", "clara", "dora"] {
        users.spawn(User::new(name).work(source.clone()));
    }
    // They have begun: what follows is not a move at rest.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let summary = migrate(&source, &target).await.unwrap();
    for user in users.join_all().await {
        known.join(user);
    }
    assert_eq!((summary.sessions, summary.accounts, summary.keys), (known.live.len() as u64, 1, 2));
    assert_moved(&known, &source, &target).await;
    // Asked again, it is done.
    migrate(&source, &target).await.unwrap();
}

fn sqlite(directory: &tempfile::TempDir) -> Arc<dyn Backend> {
    Arc::new(server(directory.path()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_to_postgres() {
    let directory = tempfile::tempdir().unwrap();
    let target = Arc::new(postgres_world::store().await);
    moves_under_load(End::of(sqlite(&directory)).await, End::of(target).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_to_redis() {
    let server = Redis::start(Redis::SYNCED);
    let (source, target) = (postgres_world::store().await, redis_world::store(&server).await);
    moves_under_load(End::of(Arc::new(source)).await, End::of(Arc::new(target)).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_to_sqlite() {
    let server = Redis::start(Redis::FORGETFUL);
    let directory = tempfile::tempdir().unwrap();
    let source = redis_world::store(&server).await;
    moves_under_load(End::of(Arc::new(source)).await, End::of(sqlite(&directory)).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_to_memory() {
    moves_under_load(End::memory().await, End::memory().await).await;
}

/// A run that is killed at its n-th operation on both ends together.
async fn killed_at(n: u32, when: When, source: &End, target: &End) -> Result<Summary, MigrationError> {
    with_killed_ends(n, when, source, target, async |migration| migration.in_pages_of(3).run().await).await
}

async fn with_killed_ends<T>(
    n: u32,
    when: When,
    source: &End,
    target: &End,
    work: impl AsyncFnOnce(Migration<'_>) -> Result<T, MigrationError>,
) -> Result<T, MigrationError> {
    with_failing_ends(n, when, true, source, target, work).await
}

async fn with_failing_ends<T>(
    n: u32,
    when: When,
    for_good: bool,
    source: &End,
    target: &End,
    work: impl AsyncFnOnce(Migration<'_>) -> Result<T, MigrationError>,
) -> Result<T, MigrationError> {
    let asked = Arc::new(AtomicU32::new(0));
    let mortal =
        |end: &End| Faulty { inner: end.store.clone(), failing: u32::MAX, when, for_good, asked: asked.clone() };
    let open = async |end: &End| {
        let mut store = mortal(end);
        store.failing = n;
        try_vault(Arc::new(store), crate::world::master()).await
    };
    let (from, to) = (open(source).await, open(target).await);
    match (from, to) {
        // Nobody waits for a target that is dead.
        (Ok(from), Ok(to)) => work(Migration::new(&from, &to, &|_| {}).unwrap().patient_for(Duration::ZERO)).await,
        (Err(fault), _) | (_, Err(fault)) => Err(MigrationError::Source(fault)),
    }
}

/// Killed at each of its operations in turn, before it was done and after, a move goes on when it is run again; the source
/// works on in between as far as it may.
#[tokio::test]
async fn killed_anywhere_it_goes_on() {
    for when in [When::Before, When::After] {
        let mut kills = 0;
        loop {
            let (source, target) = (End::memory().await, End::memory().await);
            let mut user = furnished(&source).await;
            let run = killed_at(kills + 1, when, &source, &target).await;
            if run.is_ok() {
                assert_moved(&user.known, &source, &target).await;
                break;
            }
            kills += 1;
            let phases = [source.store.stage().await.unwrap().phase, target.store.stage().await.unwrap().phase];
            assert!(phases != [Phase::Serving; 2] || target.vault.count().await.unwrap() == 0, "both serve");
            assert_ne!(phases, [Phase::Moving, Phase::Serving], "the target serves while the source still answers");
            for _ in 0..20 {
                match user.step(&source).await {
                    Ok(()) => assert_eq!(phases[0], Phase::Serving),
                    Err(StoreError::NotServing(phase)) => assert_eq!(phase, phases[0]),
                    Err(fault) => panic!("{fault}"),
                }
            }
            migrate(&source, &target).await.unwrap_or_else(|error| panic!("killed {when:?} {kills}: {error}"));
            assert_moved(&user.known, &source, &target).await;
        }
        assert!(kills > 40, "a move of several pages was cut off at {kills} places only");
    }
}

/// Killed anywhere, it can be given up instead: the source works on, the target is empty; once the target serves, no more.
#[tokio::test]
async fn killed_anywhere_it_can_be_given_up() {
    for when in [When::Before, When::After] {
        let mut kills = 0;
        loop {
            let (source, target) = (End::memory().await, End::memory().await);
            let mut user = furnished(&source).await;
            let run = killed_at(kills + 1, when, &source, &target).await;
            let served =
                target.store.stage().await.unwrap().phase == Phase::Serving && target.vault.count().await.unwrap() > 0;
            let migration = Migration::new(&source.vault, &target.vault, &|_| {}).unwrap();
            let abandoned = migration.abandon().await;
            if served {
                assert!(matches!(abandoned, Err(MigrationError::Over)), "{abandoned:?}");
                assert_moved(&user.known, &source, &target).await;
            } else if source.store.stage().await.unwrap().phase == Phase::Serving {
                // Given up; or hardly begun, and then there is nothing to give up.
                assert!(matches!(abandoned, Ok(()) | Err(MigrationError::NotBegun)), "{abandoned:?}");
                assert_eq!(user.known.differences(&source.vault).await, [""; 0]);
                user.step(&source).await.unwrap();
                assert_eq!(target.vault.count().await.unwrap(), 0);
                assert_eq!(target.store.stage().await.unwrap(), Stage::default());
                // A new one begins from nothing.
                migrate(&source, &target).await.unwrap();
                assert_moved(&user.known, &source, &target).await;
            } else {
                panic!("killed {when:?} {kills}: {abandoned:?}");
            }
            if run.is_ok() {
                break;
            }
            kills += 1;
        }
    }
}

/// Giving up can be killed too: given up again, it comes to the same end.
#[tokio::test]
async fn killed_while_giving_up_it_is_given_up() {
    let mut points = 0;
    // Killed while it copied, while the source was closed, and between the two steps of handing over.
    for reached in [Phase::Serving, Phase::Moving, Phase::Moved] {
        for when in [When::Before, When::After] {
            let mut kills = 0;
            loop {
                let (source, target) = (End::memory().await, End::memory().await);
                let user = furnished(&source).await;
                let mut n = 1;
                while target.store.stage().await.unwrap().phase != Phase::Filling
                    || source.store.stage().await.unwrap().phase != reached
                {
                    assert!(killed_at(n, When::After, &source, &target).await.is_err(), "never at {reached:?}");
                    n += 1;
                }
                let given_up = with_killed_ends(kills + 1, when, &source, &target, async |one| one.abandon().await);
                let whole = given_up.await.is_ok();
                let again = Migration::new(&source.vault, &target.vault, &|_| {}).unwrap().abandon().await;
                assert!(matches!(again, Ok(()) | Err(MigrationError::NotBegun)), "{again:?}");
                // The name of a move that is in the way of nothing may be left.
                assert_eq!(source.store.stage().await.unwrap().phase, Phase::Serving);
                assert_eq!(target.store.stage().await.unwrap(), Stage::default());
                assert_eq!(user.known.differences(&source.vault).await, [""; 0]);
                assert_eq!(target.vault.count().await.unwrap(), 0);
                if whole {
                    break;
                }
                kills += 1;
            }
            points += kills;
        }
    }
    assert!(points > 30, "giving up was cut off at {points} places only");
}

/// Negative control of "nothing is lost": a target that misses what it was given is found out before it serves, and the
/// source works on.
#[tokio::test]
async fn a_target_that_misses_something_is_found_out() {
    let (source, target) = (End::memory().await, End::memory().await);
    let mut user = furnished(&source).await;
    let missed = *user.known.live.keys().nth(2).unwrap();
    let weak = End::of(Arc::new(WeakEnd::missing(target.store.clone(), missed))).await;
    let found = migrate(&source, &weak).await;
    let Err(MigrationError::Mismatch { what: "session", key }) = found else { panic!("{found:?}") };
    assert_eq!(key, missed.to_string());
    assert_eq!(target.store.stage().await.unwrap().phase, Phase::Filling);
    user.step(&source).await.unwrap();
    // The same without the flaw.
    migrate(&source, &target).await.unwrap();
    assert_moved(&user.known, &source, &target).await;
}

/// Negative control of the phase: with a source that only says it is closed, an acknowledged write is lost. With one that
/// is, it is not acknowledged.
#[tokio::test]
async fn a_source_that_is_not_closed_loses_a_write() {
    for closes in [true, false] {
        let (source, target) = (End::memory().await, End::memory().await);
        let mut user = furnished(&source).await;
        if closes {
            migrate(&source, &target).await.unwrap();
        } else {
            let open = End::of(Arc::new(WeakEnd::never_closing(source.store.clone()))).await;
            migrate(&open, &target).await.unwrap();
        }
        // A node that has not heard of it.
        let mut acknowledged = 0;
        for _ in 0..7 {
            acknowledged += u32::from(user.step(&source).await.is_ok());
        }
        let differences = user.known.differences(&target.vault).await;
        assert_eq!((acknowledged > 0, differences.is_empty()), (!closes, closes), "{acknowledged} {differences:?}");
    }
}

/// X5: records are moved as they are sealed, so both ends need one master key.
#[tokio::test]
async fn two_master_keys_are_refused() {
    let other = MasterKey::generate(&*entropy()).unwrap();
    let (source, target) = (End::memory().await, try_vault(Arc::new(MemoryStore::new()), other).await.unwrap());
    let refused = Migration::new(&source.vault, &target, &|_| {});
    assert!(matches!(refused, Err(MigrationError::MasterKeys)), "{refused:?}");
}

/// Every way to name the wrong stores ends without a change to what they hold.
#[tokio::test]
async fn wrong_ends_are_refused() {
    let (one, other, third) = (End::memory().await, End::memory().await, End::memory().await);
    let user = furnished(&one).await;
    // Never used, they are no source: a name that was mistyped would put an empty store in the place of a full one.
    assert!(matches!(migrate(&other, &third).await, Err(MigrationError::NeverUsed)));
    assert_eq!(stages([&other, &third]).await, [Stage::default(); 2]);
    for end in [&other, &third] {
        end.store.add_key(key("its-own", 0), None).await.unwrap();
    }
    assert!(matches!(migrate(&one, &one).await, Err(MigrationError::SameStore)));
    assert!(matches!(migrate(&other, &one).await, Err(MigrationError::TargetNotEmpty)));
    // Prepared, the target waits for this source alone.
    Migration::new(&one.vault, &other.vault, &|_| {}).unwrap().prepare().await.unwrap();
    assert_eq!(other.store.feed(Seq(0), 1).await.unwrap().phase, Phase::Filling);
    for (from, to) in [(&third, &other), (&other, &third)] {
        let refused = migrate(from, to).await;
        assert!(matches!(refused, Err(MigrationError::Elsewhere { .. })), "{refused:?}");
    }
    migrate(&one, &other).await.unwrap();
    // Left for one, it is not left for another, and does not come back from there.
    for refused in [migrate(&one, &third).await, migrate(&third, &one).await] {
        assert!(matches!(refused, Err(MigrationError::Elsewhere { .. })), "{refused:?}");
    }
    let refused = Migration::new(&one.vault, &third.vault, &|_| {}).unwrap().abandon().await;
    assert!(matches!(refused, Err(MigrationError::Elsewhere { .. })), "{refused:?}");
    assert_moved(&user.known, &one, &other).await;
    // On it goes, from the second to the third.
    migrate(&other, &third).await.unwrap();
    assert_eq!(third.vault.count().await.unwrap(), user.known.live.len() as u64);
}

/// given up with another target's name, a move stays as it is, however far it came, and is given up with its own.
#[tokio::test]
async fn another_moves_target_is_not_given_up() {
    for reached in [Phase::Serving, Phase::Moving, Phase::Moved] {
        let (source, target, stranger) = (End::memory().await, End::memory().await, End::memory().await);
        let mut user = furnished(&source).await;
        Migration::new(&source.vault, &target.vault, &|_| {}).unwrap().prepare().await.unwrap();
        let serving = source.store.stage().await.unwrap();
        let there = Stage { phase: reached, ..serving };
        if there != serving {
            source.store.set_stage(serving, there).await.unwrap();
        }
        let before = stages([&source, &target]).await;
        let refused = given_up(&source, &stranger).await;
        assert!(matches!(refused, Err(MigrationError::Elsewhere { .. } | MigrationError::NotBegun)), "{refused:?}");
        assert_eq!(stages([&source, &target]).await, before);
        given_up(&source, &target).await.unwrap();
        assert_eq!(stages([&source, &target]).await, [Stage::default(); 2]);
        user.step(&source).await.unwrap();
    }
}

/// a target whose source has turned to another one is not in the way for ever.
#[tokio::test]
async fn a_target_left_behind_can_be_emptied() {
    let (source, first, second, unused) =
        (End::memory().await, End::memory().await, End::memory().await, End::memory().await);
    let user = furnished(&source).await;
    for target in [&first, &second] {
        Migration::new(&source.vault, &target.vault, &|_| {}).unwrap().prepare().await.unwrap();
    }
    let refused = given_up(&unused, &first).await;
    assert!(matches!(refused, Err(MigrationError::NeverUsed)), "{refused:?}");
    given_up(&source, &first).await.unwrap();
    assert_eq!(first.store.stage().await.unwrap(), Stage::default());
    migrate(&source, &second).await.unwrap();
    assert_moved(&user.known, &source, &second).await;
}

/// A move to a target that fails when it is to serve.
async fn failing_to_serve(
    source: &End,
    target: &End,
    (outcome, times, entirely): (WriteOutcome, u32, bool),
    patience: Duration,
) -> Result<Summary, MigrationError> {
    let weak = End::of(Arc::new(WeakEnd::failing_to_serve(target.store.clone(), outcome, times, entirely))).await;
    Migration::new(&source.vault, &weak.vault, &|_| {}).unwrap().in_pages_of(3).patient_for(patience).run().await
}

/// S2: a target that is away for a moment just when it is to serve is waited for, whatever it says of its failures.
#[tokio::test]
async fn a_target_that_comes_back_serves() {
    for outcome in [WriteOutcome::NotDone, WriteOutcome::Unknown] {
        let (source, target) = (End::memory().await, End::memory().await);
        let user = furnished(&source).await;
        failing_to_serve(&source, &target, (outcome, 3, true), Duration::from_secs(600)).await.unwrap();
        assert_moved(&user.known, &source, &target).await;
    }
}

/// S2, I8: a target that cannot serve closes the source for no longer than it is waited for, and a hand-over that was under
/// way all the time comes too late. The same command moves everything afterwards, or gives up.
#[tokio::test]
async fn a_target_that_cannot_serve_leaves_the_source_at_work() {
    for (outcome, entirely) in
        [(WriteOutcome::NotDone, true), (WriteOutcome::NotDone, false), (WriteOutcome::Unknown, false)]
    {
        for again in [true, false] {
            let (source, target) = (End::memory().await, End::memory().await);
            let mut user = furnished(&source).await;
            let failed = failing_to_serve(&source, &target, (outcome, u32::MAX, entirely), Duration::ZERO).await;
            assert!(matches!(failed, Err(MigrationError::NotHandedOver(_))), "{failed:?}");
            user.step(&source).await.unwrap();
            if outcome == WriteOutcome::Unknown {
                let of = source.store.stage().await.unwrap().of.unwrap();
                let late = target.store.set_stage(Stage::of(Phase::Filling, of), Stage::of(Phase::Serving, of));
                assert!(matches!(late.await, Ok(StageChange::Otherwise(_))));
            }
            if again {
                migrate(&source, &target).await.unwrap();
                assert_moved(&user.known, &source, &target).await;
            } else {
                given_up(&source, &target).await.unwrap();
                assert_eq!(stages([&source, &target]).await, [Stage::default(); 2]);
                assert_eq!(user.known.differences(&source.vault).await, [""; 0]);
            }
        }
    }
}

/// I8: where a hand-over may still be under way, the source stays closed: it comes, and only one of the two serves. That is
/// the control of the bar too, without which the case above would be this one.
#[tokio::test]
async fn a_hand_over_nobody_knows_of_leaves_both_closed() {
    let (source, target) = (End::memory().await, End::memory().await);
    let user = furnished(&source).await;
    let failed = failing_to_serve(&source, &target, (WriteOutcome::Unknown, u32::MAX, true), Duration::ZERO).await;
    assert!(matches!(failed, Err(MigrationError::HandOverUnknown(_))), "{failed:?}");
    let [here, there] = stages([&source, &target]).await;
    assert_eq!((here.phase, there.phase), (Phase::Moved, Phase::Filling));
    let late = target.store.set_stage(there, Stage { phase: Phase::Serving, ..there }).await;
    assert!(matches!(late, Ok(StageChange::Changed)), "{late:?}");
    migrate(&source, &target).await.unwrap();
    assert_moved(&user.known, &source, &target).await;
}

/// S7, I16: a source that ends every session when all of them were compared hands none of them over.
#[tokio::test]
async fn a_source_that_ends_everybody_is_not_handed_over() {
    let (source, target) = (End::memory().await, End::memory().await);
    furnished(&source).await;
    let watch = |at: Progress| {
        if at.step == Step::Verifying && at.done == at.total {
            // The watch cannot wait for it in the runtime it is called in.
            std::thread::scope(|scope| {
                let restart = || {
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    runtime.block_on(source.store.restart_history(Reason::StoreRegressed, after(800))).unwrap();
                };
                scope.spawn(restart).join().unwrap();
            });
        }
    };
    let refused = Migration::new(&source.vault, &target.vault, &watch).unwrap().in_pages_of(3).run().await;
    assert!(matches!(refused, Err(MigrationError::HistoryRestarted)), "{refused:?}");
    let phases = stages([&source, &target]).await.map(|stage| stage.phase);
    assert_eq!(phases, [Phase::Serving, Phase::Filling]);
    assert_eq!(migrate(&source, &target).await.unwrap().sessions, 0);
    assert_eq!(target.vault.count().await.unwrap(), 0);
}

/// a run that finds the move made, or only the hand-over missing, reports what was moved, and that it did not compare.
#[tokio::test]
async fn a_move_taken_up_at_its_end_is_counted() {
    let (source, target) = (End::memory().await, End::memory().await);
    let user = furnished(&source).await;
    let failed = failing_to_serve(&source, &target, (WriteOutcome::Unknown, u32::MAX, true), Duration::ZERO).await;
    assert!(failed.is_err());
    let rows = user.known.rows.values().filter(|session| user.known.live.contains_key(session)).count() as u64;
    assert!(rows > 0);
    let sessions = user.known.live.len() as u64;
    for _ in 0..2 {
        let again = migrate(&source, &target).await.unwrap();
        assert_eq!(again, Summary { sessions, tokens: rows, accounts: 1, keys: 2, compared: false });
    }
}

/// S2: wherever a single operation fails, of either end, the source is at work afterwards.
#[tokio::test]
async fn one_failure_leaves_nothing_closed() {
    let mut failures = 0;
    loop {
        let (source, target) = (End::memory().await, End::memory().await);
        let mut user = furnished(&source).await;
        let run = with_failing_ends(failures + 1, When::Before, false, &source, &target, async |migration| {
            migration.in_pages_of(3).run().await
        });
        if run.await.is_ok() {
            break;
        }
        failures += 1;
        user.step(&source).await.unwrap_or_else(|fault| panic!("failure {failures}: {fault}"));
        migrate(&source, &target).await.unwrap();
        assert_moved(&user.known, &source, &target).await;
    }
    assert!(failures > 40, "a move of several pages failed at {failures} places only");
}

/// After a hand-over that failed, a move that is killed anywhere goes on as well.
#[tokio::test]
async fn killed_after_a_failed_hand_over_it_goes_on() {
    for when in [When::Before, When::After] {
        let mut kills = 0;
        loop {
            let (source, target) = (End::memory().await, End::memory().await);
            let user = furnished(&source).await;
            let stuck = (WriteOutcome::Unknown, u32::MAX, false);
            let failed = failing_to_serve(&source, &target, stuck, Duration::ZERO).await;
            assert!(matches!(failed, Err(MigrationError::NotHandedOver(_))), "{failed:?}");
            let whole = killed_at(kills + 1, when, &source, &target).await.is_ok();
            migrate(&source, &target).await.unwrap_or_else(|error| panic!("killed {when:?} {kills}: {error}"));
            assert_moved(&user.known, &source, &target).await;
            if whole {
                break;
            }
            kills += 1;
        }
        assert!(kills > 20, "it was cut off at {kills} places only");
    }
}

/// Every kind of store can be barred, filled again and emptied after a hand-over that failed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_hand_over_to_every_store() {
    let server = Redis::start(Redis::SYNCED);
    let directory = tempfile::tempdir().unwrap();
    let stores: [Arc<dyn Backend>; 3] =
        [sqlite(&directory), Arc::new(postgres_world::store().await), Arc::new(redis_world::store(&server).await)];
    for store in stores {
        let (source, target) = (End::memory().await, End::of(store).await);
        let user = furnished(&source).await;
        let stuck = (WriteOutcome::Unknown, u32::MAX, false);
        for give_up in [true, false] {
            let failed = failing_to_serve(&source, &target, stuck, Duration::ZERO).await;
            assert!(matches!(failed, Err(MigrationError::NotHandedOver(_))), "{failed:?}");
            if give_up {
                given_up(&source, &target).await.unwrap();
                assert_eq!(stages([&source, &target]).await, [Stage::default(); 2]);
                assert_eq!(target.vault.count().await.unwrap(), 0);
            }
        }
        migrate(&source, &target).await.unwrap();
        assert_moved(&user.known, &source, &target).await;
    }
}
