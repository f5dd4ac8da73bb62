//! A test's own world: an engine on a store of its own, a clock it moves, and browsers with cookie jars.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, COOKIE, SET_COOKIE};
use http::request::Parts;
use http::{Request, Response};
use sessile::clock::{Clock, ManualClock};
use sessile::{
    Access, Admission, Arrival, Engine, EngineConfig, Guarded, Pass, Peer, RoutePolicy, SignInError, SignedIn,
};
use sessile_core::origin::Origin;
use sessile_core::session::{Method, VerifiedIdentity};
use sessile_core::{SessionId, Storage, Timestamp};
use sessile_store::memory::MemoryStore;
use sessile_store::{Backend, MasterKey, Vault};

/// Far ahead of the clock of any server that drops what is long over by itself.
pub(crate) const START: Timestamp = Timestamp::from_secs(4_000_000_000);

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) backend: Arc<dyn Backend>,
    master: MasterKey,
}

pub(crate) fn config() -> EngineConfig {
    let mut config = EngineConfig::for_origin(Origin::parse("https://app.test").expect("an origin"));
    config.limits.access_jitter_percent = 0;
    config
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(config(), Arc::new(MemoryStore::new())).await
    }

    pub(crate) async fn with(config: EngineConfig, backend: Arc<dyn Backend>) -> Self {
        let master = MasterKey::generate(&*sessile_aws_lc::entropy()).expect("entropy");
        let clock = Arc::new(ManualClock::new(START));
        let engine = start(config, backend.clone(), &master, clock.clone()).await;
        Self { engine, clock, backend, master }
    }

    /// Another node on the same store, with the same clock, that has caught up with the feed.
    pub(crate) async fn second_node(&self) -> Engine {
        start(self.engine.config().clone(), self.backend.clone(), &self.master, self.clock.clone()).await
    }

    /// Another node on the same store, configured otherwise.
    pub(crate) async fn second_node_with(&self, config: EngineConfig) -> Engine {
        start(config, self.backend.clone(), &self.master, self.clock.clone()).await
    }

    /// Another node, whose store is still to come.
    pub(crate) async fn node_without_store(&self) -> Engine {
        let master = MasterKey::parse(self.master.to_text().expose()).expect("our own key");
        let vault = Vault::awaiting(master, sessile_aws_lc::provider(), sessile_aws_lc::entropy());
        Engine::start(Arc::new(vault), self.engine.config().clone(), self.clock.clone())
            .await
            .expect("the engine starts")
    }

    /// Another node, that reaches the same store by another way.
    pub(crate) async fn node_on(&self, backend: Arc<dyn Backend>) -> Engine {
        start(self.engine.config().clone(), backend, &self.master, self.clock.clone()).await
    }

    /// A vault around another store, under the same master key.
    pub(crate) async fn vault_on(&self, backend: Arc<dyn Backend>) -> Vault {
        let master = MasterKey::parse(self.master.to_text().expose()).expect("our own key");
        let (crypto, entropy) = (sessile_aws_lc::provider(), sessile_aws_lc::entropy());
        Vault::open(backend, master, crypto, entropy, self.clock.now().wall).await.expect("the store opens")
    }

    pub(crate) fn pass_time(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Foreground store operations so far.
    pub(crate) fn store_ops(&self) -> u64 {
        self.engine.vault().ops().foreground()
    }

    pub(crate) async fn sign_in(&self, subject: &str) -> Browser {
        let mut browser = Browser::default();
        let signed_in = browser.sign_in(&self.engine, subject).await;
        assert_eq!(signed_in.session.subject.as_str(), subject);
        browser
    }
}

async fn start(config: EngineConfig, backend: Arc<dyn Backend>, master: &MasterKey, clock: Arc<ManualClock>) -> Engine {
    let master = MasterKey::parse(master.to_text().expose()).expect("our own key");
    let vault = Vault::open(backend, master, sessile_aws_lc::provider(), sessile_aws_lc::entropy(), clock.now().wall)
        .await
        .expect("the store opens");
    let engine = Engine::start(Arc::new(vault), config, clock).await.expect("the engine starts");
    engine.catch_up().await.expect("the feed is read");
    engine
}

/// A browser, as far as cookies go, and the bearer token its page's script attaches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Browser {
    pub(crate) jar: BTreeMap<String, String>,
    pub(crate) bearer: Option<String>,
    /// The session it last signed in to.
    pub(crate) session: Option<SessionId>,
}

pub(crate) const SESSION: &str = "__Host-Http-sessile";
pub(crate) const ACCESS: &str = "__Host-Http-sessile-at";

impl Browser {
    pub(crate) fn request(&self, method: &str, path: &str) -> Parts {
        let mut builder = Request::builder().method(method).uri(path).header("sec-fetch-site", "same-origin");
        if !self.jar.is_empty() {
            let pairs: Vec<String> = self.jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
            builder = builder.header(COOKIE, pairs.join("; "));
        }
        if let Some(bearer) = &self.bearer {
            builder = builder.header(AUTHORIZATION, format!("Bearer {bearer}"));
        }
        builder.body(()).expect("a request").into_parts().0
    }

    pub(crate) async fn sign_in(&mut self, engine: &Engine, subject: &str) -> SignedIn {
        self.try_sign_in(engine, subject).await.expect("signed in")
    }

    pub(crate) async fn try_sign_in(&mut self, engine: &Engine, subject: &str) -> Result<SignedIn, SignInError> {
        let parts = self.request("POST", "/auth/sign-in");
        let peer = peer();
        let arrival = Arrival::new(&parts, &peer, engine.config());
        let identity =
            VerifiedIdentity::vouched(Method::Password, subject.parse().expect("a subject"), engine.now().wall);
        let storage = engine.config().storage;
        let signed_in = engine.sign_in(identity, &arrival, storage).await?;
        self.session = Some(signed_in.session.id);
        for cookie in engine.sign_in_cookies(&signed_in) {
            self.take(cookie.as_str());
        }
        if storage.is_body_delivered() {
            self.bearer = Some(signed_in.access_token().compact().expose().to_owned());
        }
        Ok(signed_in)
    }

    /// Admits a request and takes the cookies of its answer.
    pub(crate) async fn get(&mut self, engine: &Engine) -> Outcome {
        let (outcome, cookies) = self.get_without_cookies(engine).await;
        for cookie in cookies {
            self.take(&cookie);
        }
        outcome
    }

    /// Admits a request whose answer never arrives; what its cookies would have been.
    pub(crate) async fn get_without_cookies(&self, engine: &Engine) -> (Outcome, Vec<String>) {
        match self.admit(engine).await {
            Admission::Admitted(pass) => {
                let cookies = engine.cookies_for_response(&pass).await;
                (
                    Outcome::Admitted { renewed: pass.is_renewed() },
                    cookies.iter().map(|c| c.as_str().to_owned()).collect(),
                )
            }
            Admission::Anonymous(anonymous) => (Outcome::Anonymous(anonymous.why.code()), Vec::new()),
            Admission::Unavailable(_) => (Outcome::Unavailable, Vec::new()),
        }
    }

    pub(crate) async fn admit(&self, engine: &Engine) -> Admission {
        self.admit_at(engine, engine.config().storage).await
    }

    /// Admits a request to a route of a storage of its own.
    pub(crate) async fn admit_at(&self, engine: &Engine, storage: Storage) -> Admission {
        let parts = self.request("GET", "/api/notes");
        let peer = peer();
        engine.admit(&Arrival::new(&parts, &peer, engine.config()), engine.config().offer(storage)).await
    }

    pub(crate) async fn pass(&self, engine: &Engine) -> Pass {
        match self.admit(engine).await {
            Admission::Admitted(pass) => pass,
            other => panic!("not admitted: {other:?}"),
        }
    }

    pub(crate) fn take(&mut self, set_cookie: &str) {
        let (pair, attributes) = set_cookie.split_once(';').expect("attributes");
        let (name, value) = pair.split_once('=').expect("a pair");
        if attributes.contains("Max-Age=0") {
            self.jar.remove(name);
        } else {
            self.jar.insert(name.to_owned(), value.to_owned());
        }
    }

    pub(crate) fn forget_access_token(&mut self) {
        self.jar.remove(ACCESS);
    }

    pub(crate) fn generation(&self) -> u64 {
        self.jar[SESSION].split('.').nth(1).expect("a generation").parse().expect("a number")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Admitted { renewed: bool },
    Anonymous(&'static str),
    Unavailable,
}

pub(crate) const WARM: Outcome = Outcome::Admitted { renewed: false };
pub(crate) const RENEWED: Outcome = Outcome::Admitted { renewed: true };
pub(crate) const ENDED: Outcome = Outcome::Anonymous("ended");

pub(crate) fn peer() -> Peer {
    Peer { address: Some([127, 0, 0, 1].into()), secure: true, ..Peer::default() }
}

/// Sends a request down the guard's path and answers what the client sees; `None`: it was forwarded.
pub(crate) async fn guard(engine: &Engine, parts: &Parts, access: Access) -> Option<Response<Bytes>> {
    match engine.guard(parts, &peer(), &RoutePolicy::new(engine, access)).await {
        Guarded::Forward(_) => None,
        Guarded::Answer(answer) => Some(answer),
    }
}

pub(crate) fn cookies_of(response: &Response<Bytes>) -> Vec<String> {
    response.headers().get_all(SET_COOKIE).iter().map(|v| v.to_str().expect("ASCII").to_owned()).collect()
}
