//! The N-th operation loop (faults.md 3.1; S2, S3, S4, H14): one scenario, and a blow to each of its store operations in
//! turn, on every backend. Exhaustive and without chance: operation k fails before it happens, or happens and its answer
//! is lost, or outlasts its deadline, or the client hangs up at it. An honest client tries again. From outside it must
//! look as if nothing had been: nobody whose session was not ended is signed out, no family dies, a generation has one
//! token, and an acknowledged end is final.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sessile::{Admission, Engine, Pass, Which};
use sessile_core::session::Session;
use sessile_core::{SessionId, Storage};
use sessile_instruments::servers::Redis;
use sessile_store::Backend;
use sessile_store::memory::MemoryStore;
use sessile_store::sqlite::{Location, SqliteOptions, SqliteStore};

use crate::flaky::{Blow, Flaky};
use crate::museum::{Flaw, Flawed};
use crate::world::{Browser, Outcome, SESSION, World, config};
use crate::{postgres_world, redis_world};

#[tokio::test]
async fn memory() {
    for storage in [Storage::Hybrid, Storage::ServerSession, Storage::Database] {
        every_blow(Arc::new(MemoryStore::new()), storage).await;
    }
}

#[tokio::test]
async fn sqlite() {
    let directory = tempfile::tempdir().expect("a directory");
    let patience = Duration::from_secs(20);
    let options = SqliteOptions { write_deadline: patience, read_deadline: patience, ..SqliteOptions::SERVER };
    let store = SqliteStore::open(&Location::directory(directory.path()), options).expect("the store opens");
    every_blow(Arc::new(store), Storage::Hybrid).await;
}

#[tokio::test]
async fn postgres() {
    every_blow(Arc::new(postgres_world::store().await), Storage::Hybrid).await;
}

#[tokio::test]
async fn redis() {
    let server = Redis::start(Redis::SYNCED);
    every_blow(Arc::new(redis_world::store(&server).await), Storage::Hybrid).await;
}

async fn every_blow(backend: Arc<dyn Backend>, storage: Storage) {
    let struck =
        struck_one_by_one(backend, storage, Flaw::None).await.unwrap_or_else(|violation| panic!("{violation}"));
    // Two sign-ins at least, a renewal, three ends: none of them without the store.
    assert!(struck.iter().all(|(_, operations)| *operations > 15), "{struck:?}");
}

/// Negative controls. A store that says "done" when a revocation failed (F5, CVE-2020-15223), and one that does so when a
/// sign-in could not be written; one that ends sessions in its memory alone (F4); two that treat an honest browser as a
/// thief, or as signed out, when a late rotation has overtaken its retry (F7, F15).
#[tokio::test]
async fn flaws_are_caught() {
    for (flaw, caught) in [
        (Flaw::SwallowsRevocations, "an acknowledged end was not final"),
        (Flaw::SwallowsInsertions, "an honest client was told"),
        (Flaw::RevokesInMemory, "an acknowledged end was not final at another node"),
        (Flaw::CallsTheLoserGone, "an honest client was told"),
        (Flaw::RotatesInTheGrace, "an honest client was told"),
    ] {
        let violation = struck_one_by_one(Arc::new(MemoryStore::new()), Storage::Hybrid, flaw).await.unwrap_err();
        assert!(violation.contains(caught), "{flaw:?}: {violation}");
    }
}

/// How many operations each blow fell on.
async fn struck_one_by_one(
    backend: Arc<dyn Backend>,
    storage: Storage,
    flaw: Flaw,
) -> Result<Vec<(Blow, u64)>, String> {
    let flaky = Flaky::over(backend.clone());
    let mut config = config();
    config.storage = storage;
    let world = World::with(config, Arc::new(Flawed::over(flaky.clone(), flaw))).await;
    let scene = Scene { outside: world.node_on(backend).await, world, flaky };
    let mut struck = Vec::new();
    for blow in Blow::ALL {
        let mut nth = 1;
        while scene
            .play(&format!("{blow:?}-{nth}"), nth, blow)
            .await
            .map_err(|what| format!("{blow:?} at operation {nth}: {what}"))?
        {
            nth += 1;
        }
        struck.push((blow, nth - 1));
    }
    Ok(struck)
}

struct Scene {
    world: World,
    flaky: Arc<Flaky>,
    /// A node that reaches the store undisturbed.
    outside: Engine,
}

/// Tries of an honest client; one blow falls, so two would do.
const TRIES: usize = 4;

type Violation = String;

macro_rules! ensure {
    ($holds:expr, $($otherwise:tt)+) => {
        if !$holds {
            return Err(format!($($otherwise)+));
        }
    };
}

impl Scene {
    fn engine(&self) -> &Engine {
        &self.world.engine
    }

    /// Sign in, renew, sign out, sign in twice and elsewhere, sign out everywhere, sign in. Whether the blow fell.
    async fn play(&self, who: &str, nth: u64, blow: Blow) -> Result<bool, Violation> {
        let thefts_before = self.thefts();
        let mut tokens = Tokens::default();
        self.flaky.strike(nth, blow);

        let mut browser = Browser::default();
        self.sign_in(&mut browser, who).await?;
        self.request(&mut browser, &mut tokens).await?;
        self.world.pass_time(Duration::from_secs(300));
        // A node goes on without a page, and asks for it again.
        let _ = self.unless_hung_up(self.engine().catch_up()).await;
        let mut tab = browser.clone();
        self.request(&mut browser, &mut tokens).await?;
        self.request(&mut browser, &mut tokens).await?;
        self.request(&mut tab, &mut tokens).await?;
        self.sign_out(&browser, Which::This).await?;
        self.nobody(&[&browser, &tab]).await?;

        self.sign_in(&mut browser, who).await?;
        let replaced = browser.clone();
        let struck_at_replacing = self.sign_in(&mut browser, who).await?;
        let mut elsewhere = Browser::default();
        self.sign_in(&mut elsewhere, who).await?;
        self.request(&mut browser, &mut tokens).await?;
        self.request(&mut elsewhere, &mut tokens).await?;
        // The new session stands even if the old one could not be ended; that one ends by its own timeout.
        if !struck_at_replacing {
            self.nobody(&[&replaced]).await?;
        }
        self.strangers(who, &[&browser, &elsewhere]).await?;

        self.sign_out(&elsewhere, Which::Everywhere).await?;
        self.nobody(&[&browser, &tab, &replaced, &elsewhere]).await?;
        ensure!(self.sessions(who).await.is_empty(), "an acknowledged end of everything left a session");

        // I9: a sign-in after the cut lives.
        self.sign_in(&mut browser, who).await?;
        self.request(&mut browser, &mut tokens).await?;
        self.outside.catch_up().await.expect("the feed is read");
        let outside = browser.get(&self.outside).await;
        ensure!(matches!(outside, Outcome::Admitted { .. }), "another node told an honest client {outside:?}");
        ensure!(self.thefts() == thefts_before, "a family died though nobody stole anything");
        Ok(self.flaky.has_struck())
    }

    /// `None`: the client hung up, and whatever was done for it was dropped where it stood.
    async fn unless_hung_up<T>(&self, request: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            answer = request => Some(answer),
            () = self.flaky.hung_up() => None,
        }
    }

    /// Whether the blow fell in the try that succeeded.
    async fn sign_in(&self, browser: &mut Browser, who: &str) -> Result<bool, Violation> {
        for _ in 0..TRIES {
            let before = self.flaky.has_struck();
            if let Some(Ok(_)) = self.unless_hung_up(browser.try_sign_in(self.engine(), who)).await {
                return Ok(!before && self.flaky.has_struck());
            }
        }
        Err("an honest client could not sign in".to_owned())
    }

    /// A request, until it is served. S2: what is in the way is 503 and takes no cookie; never 401.
    async fn request(&self, browser: &mut Browser, tokens: &mut Tokens) -> Result<(), Violation> {
        for _ in 0..TRIES {
            let jar = browser.jar.clone();
            match self.unless_hung_up(browser.get(self.engine())).await {
                Some(Outcome::Admitted { .. }) => return tokens.note(browser),
                Some(Outcome::Unavailable) | None => ensure!(browser.jar == jar, "a failure changed the cookies"),
                Some(Outcome::Anonymous(why)) => return Err(format!("an honest client was told {why}")),
            }
        }
        Err("an honest client was not served".to_owned())
    }

    async fn pass(&self, browser: &Browser) -> Result<Pass, Violation> {
        for _ in 0..TRIES {
            match self.unless_hung_up(browser.admit(self.engine())).await {
                Some(Admission::Admitted(pass)) => return Ok(pass),
                Some(Admission::Unavailable(_)) | None => {}
                Some(Admission::Anonymous(why)) => return Err(format!("an honest client was told {why:?}")),
            }
        }
        Err("an honest client was not served".to_owned())
    }

    /// F5, S3: a sign-out that was not acknowledged is repeated, and that is no error.
    async fn sign_out(&self, browser: &Browser, which: Which) -> Result<(), Violation> {
        let pass = self.pass(browser).await?;
        for _ in 0..TRIES {
            if let Some(Ok(_)) = self.unless_hung_up(self.engine().sign_out(&pass, which)).await {
                return Ok(());
            }
        }
        Err("an honest client could not sign out".to_owned())
    }

    /// I8: what has ended by an acknowledged act opens nothing, on this node and any other.
    async fn nobody(&self, browsers: &[&Browser]) -> Result<(), Violation> {
        self.outside.catch_up().await.expect("the feed is read");
        for browser in browsers {
            let here = self.unless_hung_up((*browser).clone().get(self.engine())).await;
            ensure!(!matches!(here, Some(Outcome::Admitted { .. })), "an acknowledged end was not final: {here:?}");
            let elsewhere = (*browser).clone().get(&self.outside).await;
            let ended = matches!(elsewhere, Outcome::Anonymous(_));
            ensure!(ended, "an acknowledged end was not final at another node: {elsewhere:?}");
        }
        Ok(())
    }

    /// S3: a sign-in whose answer was lost, or a replaced session that could not be ended, leaves at most one session
    /// beside those of the browsers. It was never used: nobody has its token.
    async fn strangers(&self, who: &str, browsers: &[&Browser]) -> Result<(), Violation> {
        let known: Vec<SessionId> = browsers.iter().filter_map(|browser| browser.session).collect();
        let all = self.sessions(who).await;
        let strangers: Vec<&Session> = all.iter().filter(|session| !known.contains(&session.id)).collect();
        ensure!(all.len() - strangers.len() == known.len(), "a session of a browser is not there");
        let allowed = usize::from(self.flaky.has_struck());
        ensure!(strangers.len() <= allowed, "{} sessions that nobody has", strangers.len());
        let unused = |session: &&Session| session.rotation.generation == 0 && session.rotation.confirmed_at.is_none();
        ensure!(strangers.iter().all(unused), "a session that nobody has was used");
        Ok(())
    }

    async fn sessions(&self, who: &str) -> Vec<Session> {
        self.outside.sessions_of(&who.parse().expect("a subject")).await.expect("listed")
    }

    fn thefts(&self) -> u64 {
        let of = |engine: &Engine| engine.metrics().reuse_detected.load(Ordering::Relaxed);
        of(self.engine()) + of(&self.outside)
    }
}

/// I1: the session token of each session and generation that any browser was given.
#[derive(Default)]
struct Tokens(BTreeMap<(SessionId, u64), String>);

impl Tokens {
    fn note(&mut self, browser: &Browser) -> Result<(), Violation> {
        let (Some(session), Some(token)) = (browser.session, browser.jar.get(SESSION)) else { return Ok(()) };
        let known = self.0.entry((session, browser.generation())).or_insert_with(|| token.clone());
        ensure!(known == token, "two tokens of one generation");
        Ok(())
    }
}
