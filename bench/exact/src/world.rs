//! An engine, a browser, and requests.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use http::header::{AUTHORIZATION, COOKIE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use sessile::clock::Clock;
use sessile::{
    Access, Admission, Arrival, Engine, EngineConfig, Forward, Guarded, ManualClock, Pass, Peer, RoutePolicy, SignedIn,
};
use sessile_core::csrf::CsrfVerdict;
use sessile_core::event::RequestId;
use sessile_core::origin::Origin;
use sessile_core::session::{Method as SignInMethod, VerifiedIdentity};
use sessile_core::{Storage, Timestamp};
use sessile_store::memory::MemoryStore;
use sessile_store::{MasterKey, Vault};

/// The address the browser shows.
pub(crate) const ORIGIN: &str = "https://app.example.org";
const START: Timestamp = Timestamp::from_secs(1_800_000_000);

/// What a current Chromium sends with a `fetch` of its own page, beside the cookies.
const BROWSER: [(&str, &str); 15] = [
    ("host", "app.example.org"),
    ("connection", "keep-alive"),
    ("sec-ch-ua-platform", "\"Windows\""),
    (
        "user-agent",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    ),
    ("sec-ch-ua", "\"Chromium\";v=\"141\", \"Not?A_Brand\";v=\"8\""),
    ("sec-ch-ua-mobile", "?0"),
    ("accept", "*/*"),
    ("sec-fetch-site", "same-origin"),
    ("sec-fetch-mode", "cors"),
    ("sec-fetch-dest", "empty"),
    ("referer", "https://app.example.org/notes"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "en-GB,en;q=0.9,de;q=0.8"),
    ("priority", "u=1, i"),
    ("x-requested-with", "fetch"),
];
/// Cookies of the application, around ours.
const APP_COOKIES: [&str; 2] = ["theme=dark", "_tz=Europe%2FBerlin"];

/// An engine on a store in memory, at a moment that passes only when told.
#[derive(Clone, Debug)]
pub(crate) struct World {
    engine: Engine,
    clock: Arc<ManualClock>,
    store: Arc<MemoryStore>,
    master: Arc<MasterKey>,
}

/// A request of a signed-in browser, the node it comes to, and the route.
#[derive(Debug)]
pub(crate) struct Visit {
    world: World,
    /// The request.
    pub(crate) parts: Parts,
    peer: Peer,
    policy: RoutePolicy,
}

/// The same request with what is known of it after the guard.
#[derive(Debug)]
pub(crate) struct Admitted {
    visit: &'static Visit,
    /// What the guard read off it.
    pub(crate) arrival: Arrival<'static>,
    /// What it passes with.
    pub(crate) pass: Pass,
}

impl World {
    /// A node whose routes keep their tokens in `storage`.
    pub(crate) fn new(storage: Storage) -> Self {
        let mut config = EngineConfig::for_origin(Origin::parse(ORIGIN).expect("an origin"));
        config.storage = storage;
        config.limits.access_jitter_percent = 0;
        // So few that the cache is in one piece: of several, chance decides which must grow.
        config.cache_tokens = 16;
        let clock = Arc::new(ManualClock::new(START));
        let master = Arc::new(MasterKey::generate(&*sessile_aws_lc::entropy()).expect("entropy"));
        Self::node(config, clock, Arc::new(MemoryStore::new()), master)
    }

    /// Another node on the same store. It has seen no token yet.
    fn second_node(&self) -> Self {
        Self::node(self.engine.config().clone(), self.clock.clone(), self.store.clone(), self.master.clone())
    }

    fn node(config: EngineConfig, clock: Arc<ManualClock>, store: Arc<MemoryStore>, master: Arc<MasterKey>) -> Self {
        let (crypto, entropy) = (sessile_aws_lc::provider(), sessile_aws_lc::entropy());
        let again = MasterKey::parse(master.to_text().expose()).expect("our own key");
        let vault = at_once(Vault::open(store.clone(), again, crypto, entropy, clock.now().wall));
        let vault = Arc::new(vault.expect("the store opens"));
        let engine = at_once(Engine::start(vault, config, clock.clone())).expect("the engine starts");
        let node = Self { engine, clock, store, master };
        node.catch_up();
        node
    }

    fn catch_up(&self) {
        at_once(self.engine.catch_up()).expect("the feed is read");
    }

    /// The next request of a browser that has just signed in as `subject`. The node that signed its token knows it.
    fn sign_in(&self, subject: &str) -> Visit {
        let storage = self.engine.config().storage;
        let (parts, peer) = (request(Method::POST, &[], None), peer());
        let arrival = Arrival::new(&parts, &peer, self.engine.config());
        let subject = subject.parse().expect("a subject");
        let identity = VerifiedIdentity::vouched(SignInMethod::Password, subject, self.clock.now().wall);
        let signed_in = at_once(self.engine.sign_in(identity, &arrival, storage)).expect("signed in");
        let bearer = storage.is_body_delivered().then(|| signed_in.access_token().compact().expose());
        let parts = request(Method::GET, &self.cookies_of(&signed_in), bearer);
        let policy = RoutePolicy::new(&self.engine, Access::Session);
        Visit { world: self.clone(), parts, peer, policy }
    }

    fn cookies_of(&self, signed_in: &SignedIn) -> Vec<String> {
        let cookies = self.engine.sign_in_cookies(signed_in);
        let kept = cookies.iter().map(|cookie| cookie.as_str()).filter(|cookie| !cookie.contains("Max-Age=0"));
        kept.map(|cookie| cookie.split(';').next().expect("a pair").to_owned()).collect()
    }
}

impl Visit {
    /// Of a token that the node has seen before.
    pub(crate) fn warm(storage: Storage) -> Self {
        let visit = World::new(storage).sign_in("ada");
        // The first request tells the store that the token has arrived.
        drop(visit.guard());
        visit
    }

    /// Of a token that another node has signed, and this one has never seen.
    pub(crate) fn cold(storage: Storage) -> Self {
        let world = World::new(storage);
        let node = world.second_node();
        // What is done once for each process is done.
        drop(world.sign_in("grace").at(&node).guard());
        world.sign_in("ada").at(&node)
    }

    /// Of a session that is to be renewed.
    pub(crate) fn due(storage: Storage) -> Self {
        let world = World::new(storage);
        let [other, visit] = ["grace", "ada"].map(|subject| world.sign_in(subject));
        world.clock.advance(Duration::from_secs(400));
        world.catch_up();
        other.finish(&other.guard(), &mut answer_of_upstream());
        visit
    }

    /// The same request at another node.
    fn at(mut self, node: &World) -> Self {
        self.world = node.clone();
        self
    }

    /// The same request by another method, without these fields and with those.
    pub(crate) fn changed(mut self, method: Method, without: &[&str], with: &[(&'static str, &str)]) -> Self {
        self.parts.method = method;
        for name in without {
            self.parts.headers.remove(*name);
        }
        for (name, value) in with {
            self.parts.headers.insert(*name, value.parse().expect("a value"));
        }
        self
    }

    /// What is read off it first.
    pub(crate) fn arrival(&self) -> Arrival<'_> {
        Arrival::new(&self.parts, &self.peer, self.world.engine.config())
    }

    /// Sends it down the guard's path; it must pass.
    pub(crate) fn guard(&self) -> Forward {
        match at_once(self.world.engine.guard(&self.parts, &self.peer, &self.policy)) {
            Guarded::Forward(forward) => forward,
            Guarded::Answer(answer) => panic!("not forwarded: {answer:?}"),
        }
    }

    /// Finishes the application's answer to it.
    pub(crate) fn finish(&self, forward: &Forward, headers: &mut HeaderMap) {
        at_once(self.world.engine.finish(forward, &self.policy, headers));
    }

    /// What it passes with. The request stays for as long as the process, so that what borrows it can be handed about.
    pub(crate) fn admitted(self) -> Admitted {
        let visit: &'static Self = Box::leak(Box::new(self));
        let (engine, arrival) = (&visit.world.engine, visit.arrival());
        match at_once(engine.admit(&arrival, engine.config().offer(visit.policy.storage))) {
            Admission::Admitted(pass) => Admitted { visit, arrival, pass },
            other => panic!("not admitted: {other:?}"),
        }
    }
}

impl Admitted {
    /// Whether the request may be a forgery.
    pub(crate) fn check_csrf(&self) -> CsrfVerdict {
        self.visit.world.engine.check_csrf(&self.arrival, Some(&self.pass), None)
    }

    /// The same session's next request, with a signed token.
    pub(crate) fn with_csrf_token(self, without: &[&str]) -> Self {
        let engine = &self.visit.world.engine;
        let token = engine.csrf_token(&self.arrival, Some(&self.pass)).expect("entropy");
        let visit = Visit {
            world: self.visit.world.clone(),
            parts: self.visit.parts.clone(),
            peer: self.visit.peer.clone(),
            policy: self.visit.policy.clone(),
        };
        visit.changed(Method::POST, without, &[("x-csrf-token", &token)]).admitted()
    }
}

fn request(method: Method, cookies: &[String], bearer: Option<&str>) -> Parts {
    let mut request = Request::builder().method(method).uri("/api/notes/17?fields=title,text");
    for (name, value) in BROWSER {
        request = request.header(name, value);
    }
    if let Some(bearer) = bearer {
        request = request.header(AUTHORIZATION, format!("Bearer {bearer}"));
    }
    let [first, last] = APP_COOKIES;
    let ours = cookies.iter().map(String::as_str);
    let pairs: Vec<&str> = [first].into_iter().chain(ours).chain([last]).collect();
    let mut parts = request.header(COOKIE, pairs.join("; ")).body(()).expect("a request").into_parts().0;
    // As the gateway gives it one.
    parts.extensions.insert(RequestId("Vt0J7c2bQ9yE1mXa4sLw8g".to_owned()));
    parts
}

/// The head of such a request as it comes over an HTTP/1 connection.
pub(crate) fn wire_head(parts: &Parts) -> Vec<u8> {
    let mut head = format!("{} {} HTTP/1.1\r\n", parts.method, parts.uri).into_bytes();
    for (name, value) in &parts.headers {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// What an application answers with, before the gateway has looked at it.
pub(crate) fn answer_of_upstream() -> HeaderMap {
    const FIELDS: [(&str, &str); 9] = [
        ("date", "Fri, 15 Jan 2027 08:00:00 GMT"),
        ("content-type", "application/json; charset=utf-8"),
        ("content-length", "143"),
        ("connection", "keep-alive"),
        ("keep-alive", "timeout=5"),
        ("etag", "W/\"8f-0fXQ2m\""),
        ("vary", "Accept-Encoding"),
        ("x-powered-by", "Express"),
        ("set-cookie", "theme=dark; Path=/; SameSite=Lax"),
    ];
    FIELDS.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

fn peer() -> Peer {
    Peer { address: Some([192, 0, 2, 17].into()), secure: true, ..Peer::default() }
}

/// Drives what waits for nothing but a store in memory: one look is enough, and nothing of a runtime is counted.
fn at_once<T>(work: impl Future<Output = T>) -> T {
    work.now_or_never().expect("nothing to wait for")
}
