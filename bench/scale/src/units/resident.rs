//! Resident bytes: what a node's memory grows by. Each is measured in a process of its own, which does nothing else.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use sessile::{Admission, Arrival, Engine, EngineConfig, ManualClock, Peer};
use sessile_core::origin::Origin;
use sessile_core::revocation::{Epoch, FeedEntry, FeedItem, FeedPage, Phase, Reason, Seq, View};
use sessile_core::session::{Method, VerifiedIdentity};
use sessile_core::{Moment, Monotonic, SessionId, Storage, Timestamp};
use sessile_store::memory::MemoryStore;
use sessile_store::{Backend, MasterKey, Vault};

use super::process::resident;

const START: Timestamp = Timestamp::from_secs(1_800_000_000);

/// Bytes for one thing, when there are `count` of them.
///
/// # Panics
///
/// If this program cannot run itself.
pub fn of(what: &str, count: u32) -> f64 {
    let program = std::env::current_exe().expect("a program knows where it is");
    let output = Command::new(program).args(["resident", what, &count.to_string()]).output().expect("it runs");
    let bytes: f64 = String::from_utf8_lossy(&output.stdout).trim().parse().expect("it answers a number");
    bytes / f64::from(count)
}

/// Fills a view and keeps it so for a while: ever so many sessions end, and as many ends are forgotten. Its growth in bytes.
pub fn view(count: u32) -> u64 {
    let mut random = fastrand::Rng::with_seed(1);
    let mut view = View::new();
    let keep = Duration::from_secs(u64::from(count / PAGE));
    let before = resident();
    let (mut seq, mut most) = (0, 0);
    // A page a second; after `keep` the first are forgotten.
    for second in 0..u64::from(count / PAGE) * 3 {
        let entries = (0..if second == 0 { 0 } else { PAGE }).map(|_| {
            seq += 1;
            let id = SessionId::from_bytes(random.u128(..).to_be_bytes());
            FeedEntry { seq: Seq(seq), item: FeedItem::Ended(id, Reason::SignOut) }
        });
        let entries: Vec<_> = entries.collect();
        let page = FeedPage { epoch: Epoch([1; 16]), oldest: Seq(1), head: Seq(seq), entries, phase: Phase::Serving };
        let mono = Monotonic::from_millis(second * 1000);
        view.apply(&page, keep, Moment { wall: START, mono });
        most = most.max(view.len());
    }
    assert!(most.abs_diff(count as usize) <= 2 * PAGE as usize, "the view held {most}, not {count}");
    resident().saturating_sub(before)
}

const PAGE: u32 = 1000;

/// Signs users in at one node, and shows their access tokens to another one: what that one's memory grows by.
pub async fn tokens(count: u32) -> u64 {
    let mut config = EngineConfig::for_origin(Origin::parse("https://app.example").expect("an origin"));
    config.cache_tokens = count as usize * 2;
    let backend: Arc<dyn Backend> = Arc::new(MemoryStore::new());
    let master = MasterKey::generate(&*sessile_aws_lc::entropy()).expect("entropy");
    let clock = Arc::new(ManualClock::new(START));
    let node = async |config: EngineConfig| {
        let master = MasterKey::parse(master.to_text().expose()).expect("our own key");
        let vault =
            Vault::open(backend.clone(), master, sessile_aws_lc::provider(), sessile_aws_lc::entropy(), START).await;
        let engine = Engine::start(Arc::new(vault.expect("the store opens")), config, clock.clone()).await;
        let engine = engine.expect("the engine starts");
        engine.catch_up().await.expect("the feed is read");
        engine
    };
    let (first, second) = (node(config.clone()).await, node(config).await);
    let peer = Peer { secure: true, ..Peer::default() };
    let mut cookies = Vec::new();
    for number in 0..count {
        let parts = Request::builder().uri("/").body(()).expect("a request").into_parts().0;
        let subject = super::subject(number);
        let identity = VerifiedIdentity::vouched(Method::Password, subject, START);
        let arrival = Arrival::new(&parts, &peer, first.config());
        let signed_in = first.sign_in(identity, &arrival, Storage::Hybrid).await.expect("signed in");
        let cookie =
            first.sign_in_cookies(&signed_in).into_iter().find(|cookie| cookie.as_str().contains("sessile-at="));
        let cookie = cookie.expect("an access token").as_str().split(';').next().unwrap_or_default().to_owned();
        cookies.push(cookie);
    }
    let before = resident();
    for cookie in &cookies {
        let parts = Request::builder().uri("/").header("cookie", cookie).body(()).expect("a request").into_parts().0;
        let arrival = Arrival::new(&parts, &peer, second.config());
        let admission = second.admit(&arrival, second.config().offer(Storage::Hybrid)).await;
        assert!(matches!(admission, Admission::Admitted(_)), "{admission:?}");
    }
    let grown = resident().saturating_sub(before);
    // All of them stayed warm: none costs the store anything now.
    let asked = second.vault().ops().foreground();
    for cookie in &cookies {
        let parts = Request::builder().uri("/").header("cookie", cookie).body(()).expect("a request").into_parts().0;
        let arrival = Arrival::new(&parts, &peer, second.config());
        second.admit(&arrival, second.config().offer(Storage::Hybrid)).await;
    }
    assert_eq!(second.vault().ops().foreground(), asked, "some tokens were not remembered");
    grown
}
