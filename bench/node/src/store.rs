//! Stores with sessions in them, made by the product's own library under the gateway's master key and for its origin.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Request;
use http::header::COOKIE;
use http::request::Parts;
use sessile::{Arrival, Clock, Engine, EngineConfig, ManualClock, Peer, SystemClock};
use sessile_core::origin::Origin;
use sessile_core::policy::Limits;
use sessile_core::session::{Method, VerifiedIdentity};
use sessile_core::{SessionId, Storage, Timestamp};
use sessile_scale::units;
use sessile_store::sqlite::{Location, SqliteOptions, SqliteStore};
use sessile_store::{Backend, InsertOutcome, MasterKey, Vault};
use tempfile::TempDir;

/// The origin that every gateway here serves.
pub const ORIGIN: &str = "http://localhost:8080";
/// Its host.
pub const HOST: &str = "localhost:8080";
/// How long an access token lives here: the longest there is, so that none ends while it is measured with.
pub const ACCESS: Duration = Duration::from_secs(3600);
/// A busy machine is no fault of the store.
const PATIENCE: Duration = Duration::from_secs(30);
/// Sign-ins under way at any time, while a store is filled.
const AT_ONCE: usize = 1024;

/// Somebody who is signed in.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// The session.
    pub session: SessionId,
    /// Its session cookie, as a browser sends it back.
    pub session_cookie: String,
    /// The cookie of its first access token.
    pub access_cookie: String,
}

impl Visitor {
    /// What a browser sends.
    pub fn cookies(&self) -> String {
        format!("{}; {}", self.session_cookie, self.access_cookie)
    }
}

/// An embedded store in a directory of its own, closed: a gateway may open it.
#[derive(Debug)]
pub struct Store {
    directory: TempDir,
    /// The master key, as text.
    pub master: String,
    /// Who is signed in, of those whose cookies are kept.
    pub visitors: Vec<Visitor>,
}

/// What is in a store before it is measured.
#[derive(Clone, Copy, Debug)]
pub struct Filling {
    /// Sessions whose cookies are kept.
    pub visitors: usize,
    /// Sessions beside those.
    pub others: usize,
    /// How long ago they began.
    pub age: Duration,
}

impl Store {
    /// Makes and fills one.
    ///
    /// # Panics
    ///
    /// If the store fails.
    pub fn filled(with: Filling) -> Self {
        let directory = tempfile::Builder::new().prefix("sessile-bench-").tempdir().expect("a directory");
        let master = new_master_key();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let visitors = runtime.block_on(async { fill(sqlite(directory.path()), &master, with).await });
        Self { directory, master, visitors }
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Opens it within this process.
    pub fn open(&self) -> Arc<dyn Backend> {
        sqlite(self.directory())
    }

    /// Writes a file beside it: the cookies of some visitors, each on a line.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub fn write_cookies(&self, name: &str, cookies: impl Iterator<Item = String>) -> PathBuf {
        let path = self.directory().join(name);
        let mut file = BufWriter::new(File::create(&path).expect("a directory of ours"));
        for line in cookies {
            writeln!(file, "{line}").expect("room on the disk");
        }
        file.flush().expect("room on the disk");
        path
    }
}

fn sqlite(directory: &Path) -> Arc<dyn Backend> {
    // As a server opens it, but for the patience.
    let options = SqliteOptions { write_deadline: PATIENCE, read_deadline: PATIENCE, ..SqliteOptions::SERVER };
    Arc::new(SqliteStore::open(&Location::directory(directory), options).expect("SQLite opens"))
}

/// A new master key, as text.
///
/// # Panics
///
/// If the system gives no random bytes.
pub fn new_master_key() -> String {
    MasterKey::generate(&*sessile_aws_lc::entropy()).expect("entropy").to_text().expose().to_owned()
}

/// What an engine here is told. A gateway is told the same by [`crate::gateway::Settings`].
///
/// # Panics
///
/// Never: the origin is one.
pub fn config() -> EngineConfig {
    let mut config = EngineConfig::for_origin(Origin::parse(ORIGIN).expect("an origin"));
    config.limits = Limits { access: ACCESS, ..Limits::default() };
    config
}

/// An engine on a store, which has read its feed.
///
/// # Panics
///
/// If the store fails.
pub async fn engine(backend: Arc<dyn Backend>, master: &str, clock: Arc<dyn Clock>, config: EngineConfig) -> Engine {
    let master = MasterKey::parse(master).expect("our own key");
    let now = clock.now().wall;
    let vault = Vault::open(backend, master, sessile_aws_lc::provider(), sessile_aws_lc::entropy(), now).await;
    let engine = Engine::start(Arc::new(vault.expect("the store opens")), config, clock).await;
    let engine = engine.expect("the engine starts");
    engine.catch_up().await.expect("the feed is read");
    engine
}

/// Fills a store. It is closed when this returns.
///
/// # Panics
///
/// If the store fails.
pub async fn fill(backend: Arc<dyn Backend>, master: &str, with: Filling) -> Vec<Visitor> {
    let began: Timestamp = SystemClock::new().now().wall.minus(with.age);
    let engine = engine(backend, master, Arc::new(ManualClock::new(began)), config()).await;
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..AT_ONCE {
        let (engine, next) = (engine.clone(), next.clone());
        workers.spawn(async move {
            let mut visitors = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number < with.visitors {
                    visitors.push(sign_in(&engine, number as u32).await);
                } else if number < with.visitors + with.others {
                    insert(&engine, number as u32, began).await;
                } else {
                    return visitors;
                }
            }
        });
    }
    let mut visitors = Vec::new();
    while let Some(ended) = workers.join_next().await {
        visitors.extend(ended.expect("no panic"));
    }
    // Not in the order in which the store has them.
    fastrand::Rng::with_seed(1).shuffle(&mut visitors);
    visitors
}

// As a sign-in stores it, without the token that nobody will use.
async fn insert(engine: &Engine, number: u32, began: Timestamp) {
    let new = units::new_session(number, began);
    match engine.vault().insert(new, engine.limits().sessions_per_subject).await.expect("it is stored") {
        InsertOutcome::Inserted { .. } => {}
        InsertOutcome::IdTaken => unreachable!("128 random bits"),
    }
}

/// Signs somebody in.
///
/// # Panics
///
/// If the store fails.
pub async fn sign_in(engine: &Engine, number: u32) -> Visitor {
    let (parts, peer) = (request(None), Peer { secure: true, ..Peer::default() });
    let identity = VerifiedIdentity::vouched(Method::Password, units::subject(number), engine.now().wall);
    let arrival = Arrival::new(&parts, &peer, engine.config());
    let signed_in = engine.sign_in(identity, &arrival, Storage::Hybrid).await.expect("signed in");
    let pairs = engine.sign_in_cookies(&signed_in);
    let pair = |is_access: bool| {
        let mut pairs = pairs.iter().map(|cookie| cookie.as_str().split(';').next().unwrap_or_default());
        let pair = pairs.find(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or_default();
            !value.is_empty() && name.ends_with("-at") == is_access
        });
        pair.expect("two cookies").to_owned()
    };
    Visitor { session: signed_in.session.id, session_cookie: pair(false), access_cookie: pair(true) }
}

/// The head of a request with these cookies.
///
/// # Panics
///
/// If they are no value of a header.
pub fn request(cookies: Option<&str>) -> Parts {
    let mut request = Request::builder().uri("/api/notes").header("host", HOST);
    if let Some(cookies) = cookies {
        request = request.header(COOKIE, cookies);
    }
    request.body(()).expect("a request").into_parts().0
}
