//! The museum of the node: failures of peers, brought back by a store with one flaw under a real engine, and the check
//! that catches each. The check passes without the flaw. What the store itself must not do is in the museum of
//! `sessile-store`.
//!
//! | Peer | Flaw | Caught by |
//! |---|---|---|
//! | F5 Fosite CVE-2020-15223 | `SwallowsRevocations` | `ends_are_acknowledged_by_the_store_alone` |
//! | F4 keycloak#31296 | `RevokesInMemory` | `a_restart_revives_nothing` |
//! | F2 Keycloak CVE-2026-9802 | `RotatesInMemory` | `a_restart_revives_nothing` |
//! | F11 Vault CVE-2022-41316 | `AnswersOldFirst` | `a_restart_revives_nothing` |
//! | F3 Keycloak PR #51885 | `RotatesOnceASecond` | `rotations_within_a_second_count` |
//! | F13 nats-jwt CVE-2020-26892 | `ComparesTheCutWithNow` | `a_cut_ends_what_was_before_it` |
//! | F1 Keycloak GHSA-m2w5-7xhv-w6fh | `ComparesThenRotates` | `two_tabs_make_one_rotation` |
//! | F7 hydra#3604 | `CallsTheLoserGone` | `two_tabs_make_one_rotation` |
//! | F15 SuperTokens 12.1.0 | `RotatesInTheGrace` | `two_tabs_make_one_rotation` |
//! | F9 oauth2-proxy#1992 | `LosesItsLock` | `a_slow_store_makes_one_rotation` |
//! | E19 Gitea CVE-2026-56750 | `SparesTheThief` | `theft_ends_the_family_everywhere` |
//! | F8 Pocket ID CVE-2026-43983 | `RenewsTheDisabled` | `the_disabled_are_not_renewed` |
//! | F14 Doorkeeper CVE-2016-6582 | `RevokesNoTokens` | `a_revoked_token_opens_nothing` |
//! | E1 Rack CVE-2025-46336 | `SavesBack` | `a_slow_request_brings_nothing_back` |
//! | E20 Mattermost CVE-2024-4183 | `CapsNothing` | `a_subject_has_so_many_sessions` |

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use sessile::{Engine, EngineConfig, Which};
use sessile_core::event::Event;
use sessile_core::id::TokenId;
use sessile_core::revocation::{FeedPage, Reason, Scope, Seq};
use sessile_core::rotation::{Generation, RotationState};
use sessile_core::token::KeyId;
use sessile_core::{SecretText, SessionId, Subject, Timestamp};
use sessile_store::memory::MemoryStore;
use sessile_store::record::*;
use sessile_store::*;
use tokio::task::yield_now;

use crate::flaky::{Fault, Flaky};
use crate::world::{ACCESS, Outcome, SESSION, World, config};

macro_rules! museum {
    ($($(#[$doc:meta])+ $peer:literal: $flaw:ident is caught by $check:ident;)+) => {
        /// What is wrong with the store.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Flaw {
            /// Nothing: the wrapper itself changes nothing.
            None,
            /// Says that a session was stored when that failed. No peer's: the twin of the first of these.
            SwallowsInsertions,
            $($(#[$doc])+ $flaw,)+
        }

        const PIECES: &[(&str, Flaw, &str)] = &[$(($peer, Flaw::$flaw, stringify!($check))),+];

        async fn check(name: &str, flaw: Flaw) -> Result<(), Violation> {
            match name {
                $(stringify!($check) => $check(Scene::new(flaw)).await,)+
                other => panic!("no check is called {other}"),
            }
        }
    };
}

museum! {
    /// Says that sessions were ended when that failed.
    "F5 Fosite CVE-2020-15223": SwallowsRevocations is caught by ends_are_acknowledged_by_the_store_alone;
    /// Notes what was revoked in memory.
    "F4 keycloak#31296": RevokesInMemory is caught by a_restart_revives_nothing;
    /// Notes what was rotated in memory.
    "F2 Keycloak CVE-2026-9802": RotatesInMemory is caught by a_restart_revives_nothing;
    /// Answers the first question after a start from what was there before.
    "F11 Vault CVE-2022-41316": AnswersOldFirst is caught by a_restart_revives_nothing;
    /// Tells rotations apart by the second.
    "F3 Keycloak PR #51885": RotatesOnceASecond is caught by rotations_within_a_second_count;
    /// Notes when a subject was cut off, and compares that with the present moment.
    "F13 nats-jwt CVE-2020-26892": ComparesTheCutWithNow is caught by a_cut_ends_what_was_before_it;
    /// Compares the generation, then rotates.
    "F1 Keycloak GHSA-m2w5-7xhv-w6fh": ComparesThenRotates is caught by two_tabs_make_one_rotation;
    /// Reports the loser of a race as signed out.
    "F7 hydra#3604": CallsTheLoserGone is caught by two_tabs_make_one_rotation;
    /// Rotates once more for whoever presents what was superseded.
    "F15 SuperTokens 12.1.0": RotatesInTheGrace is caught by two_tabs_make_one_rotation;
    /// Rotates under a lock of two seconds.
    "F9 oauth2-proxy#1992": LosesItsLock is caught by a_slow_store_makes_one_rotation;
    /// Keeps the session in which a theft was found.
    "E19 Gitea CVE-2026-56750": SparesTheThief is caught by theft_ends_the_family_everywhere;
    /// Ends nothing when an account is disabled.
    "F8 Pocket ID CVE-2026-43983": RenewsTheDisabled is caught by the_disabled_are_not_renewed;
    /// Says that a client's token was revoked, and does nothing.
    "F14 Doorkeeper CVE-2016-6582": RevokesNoTokens is caught by a_revoked_token_opens_nothing;
    /// Saves back what a slow request had loaded.
    "E1 Rack CVE-2025-46336": SavesBack is caught by a_slow_request_brings_nothing_back;
    /// Knows no cap.
    "E20 Mattermost CVE-2024-4183": CapsNothing is caught by a_subject_has_so_many_sessions;
}

#[tokio::test]
async fn every_flaw_is_caught_by_its_check() {
    for (peer, flaw, name) in PIECES {
        if let Err(violation) = check(name, Flaw::None).await {
            panic!("{name} fails without a flaw: {violation}");
        }
        assert!(check(name, *flaw).await.is_err(), "{name} did not notice {flaw:?}, {peer}");
    }
}

/// The table above is this list.
#[test]
fn the_table_is_the_list() {
    let row = |(peer, flaw, name): &(&str, Flaw, &str)| format!("//! | {peer} | `{flaw:?}` | `{name}` |");
    let right: Vec<String> = PIECES.iter().map(row).collect();
    let table: Vec<&str> =
        include_str!("museum.rs").lines().filter(|line| line.starts_with("//! | ")).skip(1).collect();
    assert_eq!(table, right, "\n{}\n", right.join("\n"));
}

type Violation = String;

macro_rules! ensure {
    ($holds:expr, $($otherwise:tt)+) => {
        if !$holds {
            return Err(format!($($otherwise)+));
        }
    };
}

fn opens(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Admitted { .. })
}

/// A store with a flaw, between the engines and a store that can be taken away.
struct Scene {
    flaky: Arc<Flaky>,
    flawed: Arc<Flawed>,
}

impl Scene {
    fn new(flaw: Flaw) -> Self {
        let flaky = Flaky::over(Arc::new(MemoryStore::new()));
        Self { flawed: Arc::new(Flawed::over(flaky.clone(), flaw)), flaky }
    }

    async fn world(&self) -> World {
        self.world_with(config()).await
    }

    async fn world_with(&self, config: EngineConfig) -> World {
        World::with(config, self.flawed.clone()).await
    }

    /// The node after a restart: what its process knew is gone.
    async fn restarted(&self, world: &World) -> Engine {
        world.node_on(Arc::new(self.flawed.restarted())).await
    }
}

const ACCESS_LIFE: Duration = Duration::from_secs(300);
const G: Duration = Duration::from_secs(10);

async fn ends_are_acknowledged_by_the_store_alone(scene: Scene) -> Result<(), Violation> {
    let world = scene.world().await;
    let browser = world.sign_in("ada").await;
    let pass = browser.pass(&world.engine).await;
    for fault in [Fault::Away, Fault::AnswersLost] {
        scene.flaky.set(fault);
        ensure!(world.engine.sign_out(&pass, Which::This).await.is_err(), "acknowledged while {fault:?}");
    }
    Ok(())
}

async fn a_restart_revives_nothing(scene: Scene) -> Result<(), Violation> {
    let world = scene.world().await;
    let (mut revoked, mut rotated) = (world.sign_in("ada").await, world.sign_in("bob").await);
    let mut old = rotated.clone();
    let pass = revoked.pass(&world.engine).await;
    world.engine.sign_out(&pass, Which::This).await.expect("signed out");
    ensure!(!opens(revoked.get(&world.engine).await), "a signed-out session is served before the restart");
    let restarted = scene.restarted(&world).await;
    ensure!(!opens(revoked.get(&restarted).await), "a signed-out session lives again");

    world.pass_time(ACCESS_LIFE);
    ensure!(opens(rotated.get(&world.engine).await) && opens(rotated.get(&world.engine).await), "no renewal");
    world.pass_time(G);
    let restarted = scene.restarted(&world).await;
    old.forget_access_token();
    ensure!(opens(rotated.get(&restarted).await), "a renewed session does not outlive the restart");
    ensure!(!opens(old.get(&restarted).await), "a superseded token is good again");
    Ok(())
}

async fn rotations_within_a_second_count(scene: Scene) -> Result<(), Violation> {
    let (mut config, grace) = (config(), Duration::from_millis(100));
    config.limits.grace = grace;
    let world = scene.world_with(config).await;
    let mut browser = world.sign_in("ada").await;
    let mut replayed = browser.clone();
    for _ in 0..2 {
        world.pass_time(grace);
        browser.forget_access_token();
        ensure!(opens(browser.get(&world.engine).await) && opens(browser.get(&world.engine).await), "no renewal");
    }
    replayed.forget_access_token();
    ensure!(!opens(replayed.get(&world.engine).await), "a token superseded twice within a second is good");
    Ok(())
}

async fn a_cut_ends_what_was_before_it(scene: Scene) -> Result<(), Violation> {
    let world = scene.world().await;
    let mut before = vec![world.sign_in("ada").await];
    world.pass_time(Duration::from_millis(1));
    before.push(world.sign_in("ada").await);
    let pass = before[1].pass(&world.engine).await;
    world.engine.sign_out(&pass, Which::Everywhere).await.expect("signed out");
    let mut after = vec![world.sign_in("ada").await];
    world.pass_time(Duration::from_millis(1));
    after.push(world.sign_in("ada").await);
    let restarted = scene.restarted(&world).await;
    for browser in &mut before {
        ensure!(!opens(browser.get(&restarted).await), "a session from before the cut is good");
    }
    for browser in &mut after {
        ensure!(opens(browser.get(&restarted).await), "a session from after the cut is not good");
    }
    Ok(())
}

/// Two tabs of one browser that renew at once, the second one a little later.
async fn two_tabs(world: &World, later: Duration) -> Result<(), Violation> {
    let mut one = world.sign_in("ada").await;
    let mut other = one.clone();
    world.pass_time(ACCESS_LIFE);
    let (first, second) = tokio::join!(one.get(&world.engine), async {
        // By then the first tab has loaded the session, and waits for its write.
        for _ in 0..SLOWLY / 4 {
            yield_now().await;
        }
        world.pass_time(later);
        other.get(&world.engine).await
    });
    ensure!(opens(first) && opens(second), "the tabs were told {first:?} and {second:?}");
    ensure!(one.jar[SESSION] == other.jar[SESSION] && one.generation() == 1, "the tabs hold different tokens");
    Ok(())
}

async fn two_tabs_make_one_rotation(scene: Scene) -> Result<(), Violation> {
    two_tabs(&scene.world().await, Duration::ZERO).await
}

async fn a_slow_store_makes_one_rotation(scene: Scene) -> Result<(), Violation> {
    two_tabs(&scene.world().await, Duration::from_secs(3)).await
}

async fn theft_ends_the_family_everywhere(scene: Scene) -> Result<(), Violation> {
    let world = scene.world().await;
    let mut owner = world.sign_in("ada").await;
    let mut thief = owner.clone();
    world.pass_time(ACCESS_LIFE);
    ensure!(opens(thief.get(&world.engine).await) && opens(thief.get(&world.engine).await), "no renewal");
    world.pass_time(G);
    ensure!(!opens(owner.get(&world.engine).await), "a superseded token is good");
    let restarted = scene.restarted(&world).await;
    ensure!(!opens(thief.get(&world.engine).await), "the thief goes on");
    ensure!(!opens(thief.get(&restarted).await), "the thief goes on at another node");
    Ok(())
}

async fn the_disabled_are_not_renewed(scene: Scene) -> Result<(), Violation> {
    let mut config = config();
    config.passwords.enabled = true;
    let world = scene.world_with(config).await;
    let password = SecretText::new("correct horse battery staple".to_owned());
    let accounts = world.engine.accounts();
    accounts.create("ada", None, password, world.engine.now().wall).await.expect("created");
    let mut browser = world.sign_in("ada").await;
    accounts.disable("ada", world.engine.now().wall).await.expect("disabled");
    world.pass_time(ACCESS_LIFE);
    ensure!(!opens(browser.get(&world.engine).await), "a disabled user was renewed");
    Ok(())
}

async fn a_revoked_token_opens_nothing(scene: Scene) -> Result<(), Violation> {
    let world = scene.world().await;
    for which in [SESSION, ACCESS] {
        let mut browser = world.sign_in("ada").await;
        let token = browser.jar[which].clone();
        world.engine.revoke_token(&token).await.expect("revoked");
        let told = world.engine.introspect(&token).await.expect("answered");
        ensure!(matches!(told, sessile::engine::Introspection::Inactive), "a revoked {which} is called active");
        ensure!(!opens(browser.get(&world.engine).await), "a revoked {which} is good");
        let restarted = scene.restarted(&world).await;
        ensure!(!opens(browser.get(&restarted).await), "a revoked {which} is good at another node");
    }
    Ok(())
}

async fn a_slow_request_brings_nothing_back(scene: Scene) -> Result<(), Violation> {
    let world = scene.world().await;
    let mut browser = world.sign_in("ada").await;
    let pass = browser.pass(&world.engine).await;
    let replayed = browser.clone();
    world.pass_time(ACCESS_LIFE);
    // The request has loaded the session when it is ended, and writes afterwards.
    tokio::join!(browser.get(&world.engine), async {
        yield_now().await;
        world.engine.sign_out(&pass, Which::This).await.expect("signed out");
    });
    let restarted = scene.restarted(&world).await;
    for mut browser in [browser, replayed] {
        ensure!(!opens(browser.get(&restarted).await), "a signed-out session was saved back");
    }
    Ok(())
}

async fn a_subject_has_so_many_sessions(scene: Scene) -> Result<(), Violation> {
    let mut config = config();
    config.limits.sessions_per_subject = 2;
    let world = scene.world_with(config).await;
    let mut browsers = Vec::new();
    for _ in 0..3 {
        browsers.push(world.sign_in("ada").await);
        world.pass_time(Duration::from_millis(1));
    }
    let mut open = Vec::new();
    for browser in &mut browsers {
        open.push(opens(browser.get(&world.engine).await));
    }
    ensure!(open == [false, true, true], "of three sessions where two may be, {open:?} are good");
    Ok(())
}

/// A store with one flaw; dropping it is the end of its process.
#[derive(Debug)]
pub(crate) struct Flawed {
    inner: Arc<dyn Backend>,
    flaw: Flaw,
    process: Mutex<Process>,
    /// Every record as it was inserted, and since when a subject is cut off.
    disk: Arc<Mutex<Disk>>,
}

#[derive(Debug, Default)]
struct Process {
    revoked: BTreeSet<SessionId>,
    rotated: BTreeMap<SessionId, RotationState>,
    asked: bool,
    locked_until: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Disk {
    records: BTreeMap<SessionId, SealedSession>,
    cuts: BTreeMap<Subject, Timestamp>,
}

/// Polls that a slow store takes.
const SLOWLY: usize = 20;

impl Flawed {
    pub(crate) fn over(inner: Arc<dyn Backend>, flaw: Flaw) -> Self {
        Self { inner, flaw, process: Mutex::default(), disk: Arc::default() }
    }

    fn restarted(&self) -> Self {
        let process = Mutex::new(Process { asked: false, ..Process::default() });
        Self { inner: self.inner.clone(), flaw: self.flaw, process, disk: self.disk.clone() }
    }

    fn is(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap()
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap()
    }

    /// The record as this process shows it.
    fn shown(&self, record: SealedSession) -> Option<SealedSession> {
        let process = self.process();
        let rotation = process.rotated.get(&record.id).copied().unwrap_or(record.rotation);
        (!process.revoked.contains(&record.id)).then_some(SealedSession { rotation, ..record })
    }

    fn old_answer(&self, id: SessionId) -> Option<SealedSession> {
        let first = !std::mem::replace(&mut self.process().asked, true);
        if first && self.is(Flaw::AnswersOldFirst) { self.disk().records.get(&id).cloned() } else { None }
    }

    fn is_cut_off(&self, record: &SealedSession, now: Timestamp) -> bool {
        self.disk().cuts.get(&record.subject).is_some_and(|cut| now <= *cut)
    }

    /// Compares the generation, and takes its time until it rotates.
    async fn compare_then_rotate(
        &self,
        id: SessionId,
        expected: Generation,
        now: Timestamp,
    ) -> Result<RotateOutcome, StoreError> {
        match self.inner.load(id).await? {
            Some(record) if record.rotation.generation == expected => {
                slowly().await;
                let newest = self.inner.load(id).await?.map_or(expected, |record| record.rotation.generation);
                self.inner.rotate(id, newest, now).await
            }
            Some(record) => Ok(RotateOutcome::Superseded(record)),
            None => Ok(RotateOutcome::Gone),
        }
    }

    async fn lock(&self, now: Timestamp) {
        while !self.try_lock(now) {
            yield_now().await;
        }
    }

    fn try_lock(&self, now: Timestamp) -> bool {
        const LOCKED_FOR: Duration = Duration::from_secs(2);
        let mut process = self.process();
        let free = process.locked_until.is_none_or(|until| until <= now);
        if free {
            process.locked_until = Some(now.plus(LOCKED_FOR));
        }
        free
    }

    async fn in_scope(&self, scope: &Scope) -> Result<Vec<SessionId>, StoreError> {
        let all = self.inner.list(None, None, 1000).await?;
        let wanted = |record: &SealedSession| match scope {
            Scope::Session(id) => record.id == *id,
            Scope::Subject(subject) => record.subject == *subject,
            Scope::SubjectExcept(subject, kept) => record.subject == *subject && record.id != *kept,
            Scope::All => true,
        };
        Ok(all.into_iter().filter(wanted).map(|record| record.id).collect())
    }
}

async fn slowly() {
    for _ in 0..SLOWLY {
        yield_now().await;
    }
}

#[async_trait]
impl Sessions for Flawed {
    async fn insert(&self, session: SealedSession, cap: u32) -> Result<Insertion, StoreError> {
        self.disk().records.insert(session.id, session.clone());
        let cap = if self.is(Flaw::CapsNothing) { u32::MAX } else { cap };
        match self.inner.insert(session, cap).await {
            Err(_) if self.is(Flaw::SwallowsInsertions) => Ok(Insertion::Inserted { evicted: Vec::new() }),
            outcome => outcome,
        }
    }

    async fn load(&self, id: SessionId) -> Result<Option<SealedSession>, StoreError> {
        if let Some(record) = self.old_answer(id) {
            return Ok(Some(record));
        }
        let found = self.inner.load(id).await?.and_then(|record| self.shown(record));
        // Whoever else is at work comes in between.
        yield_now().await;
        Ok(found)
    }

    async fn rotate(&self, id: SessionId, expected: Generation, now: Timestamp) -> Result<RotateOutcome, StoreError> {
        let outcome = match self.flaw {
            Flaw::ComparesThenRotates => self.compare_then_rotate(id, expected, now).await?,
            Flaw::LosesItsLock => {
                self.lock(now).await;
                let outcome = self.compare_then_rotate(id, expected, now).await?;
                self.process().locked_until = None;
                outcome
            }
            Flaw::RotatesOnceASecond | Flaw::RotatesInMemory => {
                let Some(record) = self.load(id).await? else { return Ok(RotateOutcome::Gone) };
                let within = record.rotation.rotated_at.as_secs() == now.as_secs();
                if record.rotation.generation != expected {
                    RotateOutcome::Superseded(record)
                } else if self.is(Flaw::RotatesInMemory) {
                    let rotation = record.rotation.next(now);
                    self.process().rotated.insert(id, rotation);
                    RotateOutcome::Rotated(SealedSession { rotation, ..record })
                } else if within {
                    RotateOutcome::Rotated(record)
                } else {
                    self.inner.rotate(id, expected, now).await?
                }
            }
            Flaw::SavesBack => {
                slowly().await;
                let loaded = self.disk().records.get(&id).cloned();
                if let (None, Some(loaded)) = (self.inner.load(id).await?, loaded) {
                    self.inner.insert(loaded, 1000).await?;
                }
                self.inner.rotate(id, expected, now).await?
            }
            _ => {
                slowly().await;
                self.inner.rotate(id, expected, now).await?
            }
        };
        Ok(match outcome {
            RotateOutcome::Superseded(_) if self.is(Flaw::CallsTheLoserGone) => RotateOutcome::Gone,
            RotateOutcome::Superseded(record) if self.is(Flaw::RotatesInTheGrace) => {
                self.inner.rotate(id, record.rotation.generation, now).await?
            }
            outcome => outcome,
        })
    }

    async fn confirm(&self, id: SessionId, generation: Generation, now: Timestamp) -> Result<Confirmation, StoreError> {
        if let Some(record) = self.old_answer(id) {
            return Ok(Confirmation::Live(record));
        }
        let confirmation = self.inner.confirm(id, generation, now).await?;
        let Confirmation::Live(record) = confirmation else { return Ok(confirmation) };
        let live = self.shown(record).filter(|record| !self.is_cut_off(record, now));
        if let Some(rotation) = self.process().rotated.get_mut(&id) {
            *rotation = rotation.confirmed(generation, now);
        }
        Ok(live.and_then(|record| self.shown(record)).map_or(Confirmation::Gone, Confirmation::Live))
    }

    async fn revoke(&self, scope: &Scope, reason: Reason, now: Timestamp) -> Result<Revoked, StoreError> {
        let kept = match (self.flaw, scope, reason) {
            (Flaw::RevokesInMemory, ..)
            | (Flaw::SparesTheThief, _, Reason::Reuse)
            | (Flaw::RevokesNoTokens, _, Reason::TokenRevoked)
            | (Flaw::RenewsTheDisabled, _, Reason::AccountDisabled) => true,
            (Flaw::ComparesTheCutWithNow, Scope::Subject(subject), _) => {
                self.disk().cuts.insert(subject.clone(), now);
                true
            }
            _ => false,
        };
        if kept {
            let ended = self.in_scope(scope).await?;
            if self.is(Flaw::RevokesInMemory) {
                self.process().revoked.extend(&ended);
            }
            return Ok(Revoked { ended, seq: self.inner.feed(Seq(0), 0).await?.head });
        }
        match self.inner.revoke(scope, reason, now).await {
            Err(_) if self.is(Flaw::SwallowsRevocations) => Ok(Revoked { ended: Vec::new(), seq: Seq(0) }),
            outcome => outcome,
        }
    }

    async fn list(
        &self,
        subject: Option<&Subject>,
        after: Option<SessionId>,
        limit: u32,
    ) -> Result<Vec<SealedSession>, StoreError> {
        self.inner.list(subject, after, limit).await
    }

    async fn sweep(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        self.inner.sweep(now, limit).await
    }

    async fn count(&self) -> Result<u64, StoreError> {
        self.inner.count().await
    }
}

macro_rules! sound {
    ($tr:ident { $(fn $verb:ident($($arg:ident: $ty:ty),*) -> $out:ty;)+ }) => {
        #[async_trait]
        impl $tr for Flawed {
            $(async fn $verb(&self, $($arg: $ty),*) -> Result<$out, StoreError> {
                self.inner.$verb($($arg),*).await
            })+
        }
    };
}

sound!(Tokens {
    fn add_token(row: TokenRow) -> TokenAddition;
    fn find_token(id: TokenId) -> Option<(TokenRow, SealedSession)>;
    fn list_tokens(session: SessionId) -> Vec<TokenRow>;
    fn remove_token(id: TokenId) -> bool;
    fn note_uses(uses: &[Use]) -> ();
});
sound!(Keys {
    fn load_keys() -> Vec<SealedKey>;
    fn add_key(key: SealedKey, expected_newest: Option<&KeyId>) -> KeyAddition;
    fn revoke_key(id: &KeyId, now: Timestamp) -> KeyRevocation;
    fn forget_keys(ids: &[KeyId], now: Timestamp) -> u32;
});
sound!(Accounts {
    fn create_account(account: SealedAccount) -> AccountCreation;
    fn find_account(name: &AccountName) -> Option<SealedAccount>;
    fn set_password(name: &AccountName, sealed: SealedBlob, seen: Timestamp, now: Timestamp) -> AccountChange;
    fn set_disabled(name: &AccountName, since: Option<Timestamp>) -> AccountChange;
    fn list_accounts(after: Option<&AccountName>, limit: u32) -> Vec<SealedAccount>;
});
sound!(Throttles {
    fn note_failure(key: &ThrottleKey, now: Timestamp) -> FailureCount;
    fn failures(key: &ThrottleKey) -> FailureCount;
    fn clear_failures(key: &ThrottleKey) -> ();
    fn sweep_failures(before: Timestamp, keep: u64) -> u64;
});
sound!(Events {
    fn append_events(events: &[Event]) -> ();
    fn events(query: &EventQuery) -> Vec<StoredEvent>;
    fn sweep_events(before: Timestamp, keep: u64) -> u64;
});

#[async_trait]
impl Feed for Flawed {
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
impl Moves for Flawed {
    async fn stage(&self) -> Result<Stage, StoreError> {
        self.inner.stage().await
    }

    async fn set_stage(&self, expected: Stage, next: Stage) -> Result<StageChange, StoreError> {
        self.inner.set_stage(expected, next).await
    }

    async fn copies(&self, after: Option<SessionId>, limit: u32) -> Result<Vec<SessionCopy>, StoreError> {
        self.inner.copies(after, limit).await
    }

    async fn take_in(&self, of: MoveId, items: &[Taken]) -> Result<TakingIn, StoreError> {
        self.inner.take_in(of, items).await
    }
}

#[async_trait]
impl Backend for Flawed {
    fn name(&self) -> &'static str {
        "flawed"
    }

    fn durability(&self) -> Durability {
        self.inner.durability()
    }

    async fn master_witness(&self, witness: SealedBlob) -> Result<SealedBlob, StoreError> {
        self.inner.master_witness(witness).await
    }
}
