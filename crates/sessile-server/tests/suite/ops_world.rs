//! An operations listener without a socket: an engine on a memory store, and requests handed to the router.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use http::{HeaderMap, Request, StatusCode};
use serde_json::Value;
use sessile::{Arrival, Clock, Engine, EngineConfig, Peer, SystemClock};
use sessile_core::origin::Origin;
use sessile_core::session::{Method, VerifiedIdentity};
use sessile_core::{SecretText, Storage};
use sessile_server::config::runtime::OpsSettings;
use sessile_server::gateway::drain::Drain;
use sessile_server::gateway::metrics::GatewayMetrics;
use sessile_server::ops::{Ops, router};
use sessile_store::memory::MemoryStore;
use sessile_store::{MasterKey, Vault};
use tower::ServiceExt;

pub(crate) const TOKEN: &str = "Jx0f6m2Jr3oS8Wq1yTn5VbZk7cLd9eHg";

/// An engine on a store of its own, that has read its feed.
pub(crate) async fn engine(change: impl FnOnce(&mut EngineConfig)) -> Engine {
    let mut config = EngineConfig::for_origin(Origin::parse("http://localhost").expect("an origin"));
    change(&mut config);
    let clock = Arc::new(SystemClock::new());
    let entropy = sessile_aws_lc::entropy();
    let master = MasterKey::generate(&*entropy).expect("entropy");
    let vault =
        Vault::open(Arc::new(MemoryStore::new()), master, sessile_aws_lc::provider(), entropy, clock.now().wall).await;
    let engine =
        Engine::start(Arc::new(vault.expect("the store opens")), config, clock).await.expect("the engine starts");
    engine.catch_up().await.expect("the feed is read");
    engine
}

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) drain: Drain,
    router: axum::Router,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", self.body))
    }

    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// Tokens of a signed-in user.
pub(crate) struct User {
    pub(crate) session: String,
    pub(crate) cookies: String,
    pub(crate) session_token: String,
    pub(crate) access_token: String,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Some(TOKEN), "127.0.0.1:9901", &[], |_| {}).await
    }

    pub(crate) async fn with(
        token: Option<&str>,
        listen: &str,
        hosts: &[&str],
        change: impl FnOnce(&mut EngineConfig),
    ) -> Self {
        let engine = engine(change).await;
        let settings = OpsSettings {
            listen: listen.parse().expect("an address"),
            admin_token: token.map(|token| SecretText::new(token.to_owned())),
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        };
        let drain = Drain::new();
        let ops =
            Ops::new(engine.clone(), Arc::new(GatewayMetrics::new(vec!["/".to_owned()])), drain.clone(), &settings);
        Self { engine, drain, router: router(ops) }
    }

    pub(crate) async fn sign_in(&self, subject: &str) -> User {
        let parts = Request::post("/auth/sign-in").body(()).expect("a request").into_parts().0;
        let peer = Peer::default();
        let arrival = Arrival::new(&parts, &peer, self.engine.config());
        let identity =
            VerifiedIdentity::vouched(Method::Password, subject.parse().expect("a subject"), self.engine.now().wall);
        let signed_in = self.engine.sign_in(identity, &arrival, Storage::Hybrid).await.expect("signed in");
        let pairs: Vec<String> = self
            .engine
            .sign_in_cookies(&signed_in)
            .iter()
            .map(|cookie| cookie.as_str().split("; ").next().expect("a pair").to_owned())
            .collect();
        let value = |suffix: &str| {
            let pair = pairs
                .iter()
                .find(|pair| pair.split('=').next().is_some_and(|name| name.ends_with(suffix)))
                .expect("a cookie");
            pair.split_once('=').expect("a pair").1.to_owned()
        };
        User {
            session: signed_in.session.id.to_string(),
            cookies: pairs.join("; "),
            session_token: value("sessile"),
            access_token: value("-at"),
        }
    }

    /// A request with exactly these fields, and a `Host` if none is among them.
    pub(crate) async fn send(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request = request.header("host", "127.0.0.1:9901");
        }
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let response =
            self.router.clone().oneshot(request.body(Body::empty()).expect("a request")).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 1 << 24).await.expect("a body");
        Answer { status: parts.status, headers: parts.headers, body: String::from_utf8(body.to_vec()).expect("UTF-8") }
    }

    pub(crate) async fn as_admin(&self, method: &str, path: &str) -> Answer {
        self.send(method, path, &[("authorization", &format!("Bearer {TOKEN}"))]).await
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.as_admin("GET", path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()
    }
}
