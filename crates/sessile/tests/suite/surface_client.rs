//! A client of the surface: builds requests as browsers, scripts and native programs make them, and keeps cookies.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::Full;
use serde_json::Value;
use sessile::{Engine, EngineConfig, Peer, surface};
use sessile_core::SecretText;
use sessile_store::memory::MemoryStore;
use sessile_store::sqlite::{Location, SqliteOptions, SqliteStore};
use sessile_store::{Backend, EventQuery, StoredEvent};
use tempfile::TempDir;

use crate::world::{Browser, World, config, peer};

pub(crate) const PASSWORD: &str = "violet-lantern-orbit-quartz";

/// A configuration whose passwords cost next to nothing to hash.
pub(crate) fn quick_config() -> EngineConfig {
    let mut config = config();
    config.passwords.argon2 = sessile::password::Argon2Cost { memory_kib: 64, iterations: 1, parallelism: 1 };
    config
}

/// Both stores, each with what keeps it alive.
pub(crate) fn stores() -> Vec<(Arc<dyn Backend>, Option<TempDir>)> {
    let directory = TempDir::new().expect("a directory");
    let sqlite =
        SqliteStore::open(&Location::directory(directory.path()), SqliteOptions::SERVER).expect("the store opens");
    vec![(Arc::new(MemoryStore::new()), None), (Arc::new(sqlite), Some(directory))]
}

pub(crate) async fn site() -> World {
    site_with(quick_config()).await
}

pub(crate) async fn site_with(config: EngineConfig) -> World {
    site_on(config, Arc::new(MemoryStore::new())).await
}

/// A world with the accounts `ada` and `grace`.
pub(crate) async fn site_on(config: EngineConfig, backend: Arc<dyn Backend>) -> World {
    let world = World::with(config, backend).await;
    for name in ["ada", "grace"] {
        add_account(&world.engine, name).await;
    }
    world
}

pub(crate) async fn add_account(engine: &Engine, name: &str) {
    let password = SecretText::new(PASSWORD.to_owned());
    engine.accounts().create(name, None, password, engine.now().wall).await.expect("an account");
}

/// A request in the making.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    method: &'static str,
    path: String,
    headers: HeaderMap,
    body: Vec<u8>,
    peer: Peer,
}

pub(crate) fn ask(method: &'static str, path: &str) -> Ask {
    Ask { method, path: path.to_owned(), headers: HeaderMap::new(), body: Vec::new(), peer: peer() }
}

impl Ask {
    /// As a script of the site's own page makes it.
    pub(crate) fn script(self) -> Self {
        let asked =
            self.set("sec-fetch-site", "same-origin").set("sec-fetch-mode", "cors").set("sec-fetch-dest", "empty");
        if matches!(asked.method, "GET" | "HEAD") { asked } else { asked.set("origin", "https://app.test") }
    }

    /// As the browser makes it when a person follows a link or sends a form of the site itself.
    pub(crate) fn page(self) -> Self {
        let asked = self
            .set("sec-fetch-site", "same-origin")
            .set("sec-fetch-mode", "navigate")
            .set("sec-fetch-dest", "document");
        let asked = asked.set("accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8");
        if asked.method == "POST" { asked.set("origin", "https://app.test") } else { asked }
    }

    /// As another site's page makes the browser make it.
    pub(crate) fn cross_site(self) -> Self {
        self.set("sec-fetch-site", "cross-site").set("sec-fetch-mode", "no-cors").set("origin", "https://evil.test")
    }

    /// As a browser from before Fetch Metadata sends a form, under a policy that hides where it comes from.
    pub(crate) fn old_browser(self) -> Self {
        self.set("user-agent", "Mozilla/5.0 (Windows NT 10.0) Gecko/20100101 Firefox/60.0").set("accept", "text/html")
    }

    pub(crate) fn set(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, value.parse().expect("a header value"));
        self
    }

    pub(crate) fn add(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(name, value.parse().expect("a header value"));
        self
    }

    pub(crate) fn peer(mut self, peer: Peer) -> Self {
        self.peer = peer;
        self
    }

    pub(crate) fn from(mut self, address: &str) -> Self {
        self.peer.address = Some(address.parse().expect("an address"));
        self
    }

    pub(crate) fn body(mut self, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        self.headers.insert(CONTENT_TYPE, kind.parse().expect("a content type"));
        self.body = body.into();
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    pub(crate) fn form(self, fields: &[(&str, &str)]) -> Self {
        let encoded: Vec<String> =
            fields.iter().map(|(name, value)| format!("{}={}", percent(name), percent(value))).collect();
        self.body("application/x-www-form-urlencoded", encoded.join("&"))
    }

    /// Sends it with the browser's cookies and keeps those of the answer.
    pub(crate) async fn by(self, browser: &mut Browser, engine: &Engine) -> Answer {
        let answer = self.with_jar_of(browser).send(engine).await;
        for cookie in answer.cookies() {
            browser.take(&cookie);
        }
        answer
    }

    /// Puts the browser's cookies on it.
    pub(crate) fn with_jar_of(self, browser: &Browser) -> Self {
        if browser.jar.is_empty() {
            return self;
        }
        let pairs: Vec<String> = browser.jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        self.set("cookie", &pairs.join("; "))
    }

    pub(crate) async fn send(self, engine: &Engine) -> Answer {
        let mut request = Request::builder().method(self.method).uri(&self.path).body(()).expect("a request");
        *request.headers_mut() = self.headers;
        let (parts, ()) = request.into_parts();
        let response = surface::handle(engine, &parts, &self.peer, Full::new(Bytes::from(self.body))).await;
        let (head, body) = response.into_parts();
        Answer { status: head.status, headers: head.headers, body }
    }
}

fn percent(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).expect("text")
    }

    pub(crate) fn code(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text());
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16());
        problem["code"].as_str().expect("a code").to_owned()
    }

    /// The one value of a header; empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut values = self.headers.get_all(name).into_iter();
        let value = values.next().map_or("", |value| value.to_str().expect("ASCII"));
        assert!(values.next().is_none(), "{name} more than once");
        value
    }

    pub(crate) fn location(&self) -> &str {
        self.header(LOCATION.as_str())
    }

    pub(crate) fn cookies(&self) -> Vec<String> {
        self.headers.get_all(SET_COOKIE).iter().map(|v| v.to_str().expect("ASCII").to_owned()).collect()
    }
}

pub(crate) fn credentials(name: &str) -> Value {
    serde_json::json!({ "username": name, "password": PASSWORD })
}

/// Signs in as a script does.
pub(crate) async fn sign_in(engine: &Engine, name: &str) -> Browser {
    let mut browser = Browser::default();
    let answer = ask("POST", "/auth/sign-in").script().json(&credentials(name)).by(&mut browser, engine).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    browser
}

/// Whether the browser's session opens a guarded route.
pub(crate) async fn opens(browser: &Browser, engine: &Engine) -> bool {
    let request = browser.request("GET", "/api/notes");
    crate::world::guard(engine, &request, sessile::Access::Session).await.is_none()
}

/// Every event so far. Ends the engine's background work.
pub(crate) async fn events(engine: &Engine) -> Vec<StoredEvent> {
    engine.run(std::future::ready(())).await;
    engine.vault().events(&EventQuery { limit: 1000, ..EventQuery::default() }).await.expect("events")
}

pub(crate) fn session_id(browser: &Browser) -> String {
    browser.jar[crate::world::SESSION].split('.').next().expect("an id").to_owned()
}

pub(crate) fn cookie_header(browser: &Browser) -> String {
    let request = browser.request("GET", "/");
    request.headers.get(COOKIE).map_or(String::new(), |v| v.to_str().expect("ASCII").to_owned())
}
