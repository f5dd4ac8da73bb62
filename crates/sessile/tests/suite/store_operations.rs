//! What each kind of request asks of the store, counted verb by verb for every storage, and kept in
//! `docs/measured/store-operations.json`. An operation more is a round trip more for somebody: it is to be seen, and meant.
//!
//! With `SESSILE_ACCEPT=1` the file is written anew. Beside requests a node reads the feed, and writes events and uses in
//! batches; none of that belongs to one request, and it is not run here.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::header::SET_COOKIE;
use sessile::{Access, Actor, Engine, Guarded, RoutePolicy};
use sessile_core::Storage;
use sessile_core::revocation::{Reason, Scope};
use sessile_core::storage::Renewal;
use sessile_store::memory::MemoryStore;

use crate::counting::{Counting, Counts};
use crate::surface_client::{Ask, add_account, ask, credentials, quick_config};
use crate::world::{Browser, World, guard, peer};

/// What each kind of request asks, in the order in which a browser comes to make them.
type Kinds = Vec<(String, Counts)>;
/// The kinds by storage, the default first.
type Table = Vec<(String, Kinds)>;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/measured/store-operations.json");
/// An access token's life, and a little.
const LATER: Duration = Duration::from_secs(301);

/// Product section 2: a warm request asks nothing; so does one that is refused before anybody need be known.
#[tokio::test]
async fn the_table_holds() {
    let counted = table().await;
    if std::env::var_os("SESSILE_ACCEPT").is_some() {
        let text = serde_json::to_string_pretty(&counted).expect("JSON");
        std::fs::write(FILE, text + "\n").expect("the file is written");
    }
    let kept = std::fs::read_to_string(Path::new(FILE)).expect("the table is kept");
    let kept: Table = serde_json::from_str(&kept).expect("a table");
    let differences = differences(&kept, &counted);
    assert!(
        differences.is_empty(),
        "requests ask something else of the store than docs/measured/store-operations.json says:\n  {}\n\
         If that is meant, accept it: SESSILE_ACCEPT=1 cargo test -p sessile store_operations",
        differences.join("\n  ")
    );
}

/// Negative controls: another count, a verb more, a kind that is gone, are each noticed; and the store sees an operation
/// that a node makes although its token is warm, because it has not heard of the store for longer than T.
#[tokio::test]
async fn an_operation_more_is_noticed() {
    let kept = table().await;
    assert_eq!(differences(&kept, &kept), Vec::<String>::new());
    let changed = |kind: &str, change: fn(&mut Counts)| {
        let mut other = kept.clone();
        let (_, counts) = other[0].1.iter_mut().find(|(name, _)| name == kind).expect("a kind");
        change(counts);
        differences(&kept, &other)
    };
    let one_more = |counts: &mut Counts| *counts.get_mut("confirm").expect("it is asked") += 1;
    assert_eq!(changed("cold", one_more), ["hybrid, cold: confirm was 1, now 2"]);
    let another_verb = |counts: &mut Counts| counts.extend([("load".to_owned(), 1)]);
    assert_eq!(changed("warm", another_verb), ["hybrid, warm: load was 0, now 1"]);
    let mut fewer = kept.clone();
    fewer[0].1.remove(0);
    assert_eq!(differences(&kept, &fewer), ["hybrid, anonymous: is gone"]);
    assert_eq!(differences(&fewer, &kept), ["hybrid, anonymous: is new"]);

    let scene = Scene::new(Storage::Hybrid).await;
    let ada = scene.signed_in("ada").await;
    scene.world.pass_time(Duration::from_secs(6));
    scene.counting.take();
    scene.pass(&scene.world.engine, &ada).await;
    assert_eq!(scene.counting.take(), Counts::from([("confirm".to_owned(), 1)]));
}

/// Every count in which two tables differ, in words.
fn differences(kept: &Table, counted: &Table) -> Vec<String> {
    let [was, is] = [kept, counted].map(by_name);
    let mut found = Vec::new();
    for name in was.keys().chain(is.keys().filter(|name| !was.contains_key(*name))) {
        match (was.get(name), is.get(name)) {
            (Some(was), Some(is)) => {
                for verb in was.keys().chain(is.keys().filter(|verb| !was.contains_key(*verb))) {
                    let of = |counts: &Counts| counts.get(verb).copied().unwrap_or(0);
                    if of(was) != of(is) {
                        found.push(format!("{name}: {verb} was {}, now {}", of(was), of(is)));
                    }
                }
            }
            (Some(_), None) => found.push(format!("{name}: is gone")),
            (None, _) => found.push(format!("{name}: is new")),
        }
    }
    found
}

fn by_name(table: &Table) -> BTreeMap<String, &Counts> {
    let each =
        table.iter().flat_map(|(storage, kinds)| kinds.iter().map(move |(kind, counts)| (storage, kind, counts)));
    each.map(|(storage, kind, counts)| (format!("{storage}, {kind}"), counts)).collect()
}

async fn table() -> Table {
    let mut table = Table::new();
    for storage in Storage::ALL {
        table.push((storage.name().to_owned(), Scene::new(storage).await.every_kind().await));
    }
    table
}

/// A node whose store counts, and another one on the same store.
struct Scene {
    counting: Arc<Counting>,
    world: World,
    other: Engine,
    storage: Storage,
}

impl Scene {
    async fn new(storage: Storage) -> Self {
        let counting = Counting::over(Arc::new(MemoryStore::new()));
        let mut config = quick_config();
        config.storage = storage;
        let world = World::with(config, counting.clone()).await;
        for name in ["ada", "bob", "cleo", "dora"] {
            add_account(&world.engine, name).await;
        }
        let other = world.second_node().await;
        Self { counting, world, other, storage }
    }

    async fn every_kind(&self) -> Kinds {
        let (node, other) = (&self.world.engine, &self.other);
        let mut kinds = Kinds::new();
        let mut note = |kind: &str, counts| kinds.push((kind.to_owned(), counts));

        let nobody = Browser::default();
        note("anonymous", self.count(node, self.refused(node, &nobody, 401)).await);
        let mut ada = Browser::default();
        note("sign-in, by password", self.count(node, self.sign_in(&mut ada, "ada")).await);
        note("first after sign-in", self.count(node, self.pass(node, &ada)).await);
        note("warm", self.count(node, self.pass(node, &ada)).await);
        note("cold", self.count(other, self.pass(other, &ada)).await);
        note("/auth/session", self.count(node, self.asked(&ada, ask("GET", "/auth/session"), 200)).await);
        note("/auth/verify", self.count(node, self.asked(&ada, ask("GET", "/auth/verify"), 200)).await);
        note("cross-site, refused", self.count(node, self.forged(&ada)).await);

        // After an access token's life.
        self.world.pass_time(LATER);
        node.catch_up().await.expect("the feed is read");
        let mut tab = ada.clone();
        note("renewal", self.count(node, self.renewed(&mut ada)).await);
        note("first after renewal", self.count(node, self.pass(node, &ada)).await);
        if self.storage.shape().renewal != Renewal::Never {
            // Another tab had sent the same before the answer came.
            note("renewal, replayed", self.count(node, self.renewed(&mut tab)).await);
        }

        let bob = self.signed_in("bob").await;
        note("sign-out", self.count(node, self.asked(&bob, ask("POST", "/auth/sign-out"), 200)).await);
        let cleo = self.signed_in("cleo").await;
        let everywhere = Scope::Subject("cleo".parse().expect("a subject"));
        let ended = other.revoke(&everywhere, Reason::EndedByAdministrator, &Actor::Administrator).await;
        assert_eq!(ended.expect("revoked").len(), 1);
        node.catch_up().await.expect("the feed is read");
        note("revoked", self.count(node, self.refused(node, &cleo, 401)).await);
        kinds
    }

    /// Counts what `request` asks of the store, by the store itself; the node's own counters must say the same.
    async fn count(&self, node: &Engine, request: impl Future<Output = ()>) -> Counts {
        let told = |node: &Engine| -> Counts {
            node.vault().ops().iter().map(|(verb, count)| (verb.to_owned(), count)).collect()
        };
        let before = told(node);
        self.counting.take();
        request.await;
        let asked = self.counting.take();
        let mut told = told(node);
        told.iter_mut().for_each(|(verb, count)| *count -= before[verb]);
        told.retain(|_, count| *count > 0);
        assert_eq!(asked, told, "{}: what the store was asked, and what the node's metrics say", self.storage);
        asked
    }

    /// A browser that has signed in and been served once.
    async fn signed_in(&self, who: &str) -> Browser {
        let mut browser = Browser::default();
        self.sign_in(&mut browser, who).await;
        self.pass(&self.world.engine, &browser).await;
        browser
    }

    async fn sign_in(&self, browser: &mut Browser, who: &str) {
        let form = ask("POST", "/auth/sign-in").script().json(&credentials(who));
        let answer = form.by(browser, &self.world.engine).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        if self.storage.is_body_delivered() {
            browser.bearer = Some(answer.json()["access_token"].as_str().expect("a token").to_owned());
        }
    }

    async fn pass(&self, node: &Engine, browser: &Browser) {
        let request = browser.request("GET", "/api/notes");
        let answer = guard(node, &request, Access::Session).await;
        assert!(answer.is_none(), "{} does not pass: {answer:?}", self.storage);
    }

    async fn refused(&self, node: &Engine, browser: &Browser, status: u16) {
        let answer = guard(node, &browser.request("GET", "/api/notes"), Access::Session).await;
        assert_eq!(answer.map(|answer| answer.status().as_u16()), Some(status), "{}", self.storage);
    }

    async fn asked(&self, browser: &Browser, ask: Ask, status: u16) {
        let ask = match &browser.bearer {
            Some(bearer) => ask.set("authorization", &format!("Bearer {bearer}")),
            None => ask,
        };
        let answer = ask.script().with_jar_of(browser).send(&self.world.engine).await;
        assert_eq!(answer.status.as_u16(), status, "{}: {}", self.storage, answer.text());
    }

    /// A page of another site makes the browser send a form: with its cookies, and without what only a script attaches.
    async fn forged(&self, browser: &Browser) {
        let mut request = browser.request("POST", "/api/notes");
        request.headers.insert("sec-fetch-site", "cross-site".parse().expect("a value"));
        request.headers.remove("authorization");
        let answer = guard(&self.world.engine, &request, Access::Session).await;
        let status = if self.storage.is_body_delivered() { 401 } else { 403 };
        assert_eq!(answer.map(|answer| answer.status().as_u16()), Some(status), "{}", self.storage);
    }

    /// What a browser does when its access token is over: nothing but the next request, or a refresh where its script must.
    async fn renewed(&self, browser: &mut Browser) {
        let node = &self.world.engine;
        if self.storage.shape().renewal == Renewal::ByClient {
            browser.bearer = None;
            let answer = ask("POST", "/auth/refresh").script().by(browser, node).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            browser.bearer = Some(answer.json()["access_token"].as_str().expect("a token").to_owned());
            return;
        }
        let policy = RoutePolicy::new(node, Access::Session);
        match node.guard(&browser.request("GET", "/api/notes"), &peer(), &policy).await {
            Guarded::Forward(forward) => {
                let mut headers = HeaderMap::new();
                node.finish(&forward, &policy, &mut headers).await;
                for cookie in headers.get_all(SET_COOKIE) {
                    browser.take(cookie.to_str().expect("ASCII"));
                }
            }
            Guarded::Answer(answer) => panic!("{} is not renewed: {answer:?}", self.storage),
        }
    }
}
