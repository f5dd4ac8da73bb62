//! How often a node asks the store by itself: pages of the feed, and batches of a sweep. Time is the test's own, so nothing
//! here depends on the machine.

use std::future::pending;
use std::time::Duration;

use sessile::Engine;
use sessile_core::revocation::{Reason, Scope, Seq};
use sessile_core::{SessionId, Subject};
use sessile_store::Op;
use sessile_store::record::SealedSession;
use tokio::time::{Instant, sleep, timeout};

use crate::world::{Browser, Outcome, START, WARM, World};

const BURST: u32 = 300;
// As in `crates/sessile/src/node.rs`.
const BETWEEN_PAGES: Duration = Duration::from_millis(30);
const SWEEP_EVERY: Duration = Duration::from_secs(60);
const SWEEP_BATCH: u64 = 1000;
const SWEEP_BATCHES: u64 = 50;

/// Records like that of `browser`, of as many other people.
async fn fill(world: &World, browser: &Browser, count: u32) -> Vec<SessionId> {
    let model = world.backend.load(browser.session.unwrap()).await.unwrap().unwrap();
    let mut ids = Vec::new();
    for number in 0..count {
        let id = SessionId::from_bytes((1 + u128::from(number)).to_be_bytes());
        let subject: Subject = format!("user-{number}").parse().unwrap();
        world.backend.insert(SealedSession { id, subject, ..model.clone() }, 1).await.unwrap();
        ids.push(id);
    }
    ids
}

async fn end(world: &World, scope: Scope) {
    world.backend.revoke(&scope, Reason::SignOut, START).await.unwrap();
}

fn run(node: &Engine) -> tokio::task::JoinHandle<()> {
    let node = node.clone();
    tokio::spawn(async move { node.run(pending()).await })
}

fn pages(node: &Engine) -> u64 {
    node.vault().ops().of(Op::Feed)
}

// The follower's weakened twin: it does not pause.
fn run_without_pause(node: &Engine) -> tokio::task::JoinHandle<()> {
    let node = node.clone();
    tokio::spawn(async move {
        let (vault, mut after) = (node.vault(), Seq(0));
        loop {
            after = vault.feed(after, 1024).await.unwrap().entries.last().map_or(after, |entry| entry.seq);
            vault.changed(after).await;
        }
    })
}

/// I7: however many sessions end in a moment, the pages a node reads are bounded by the time that passes, and it knows of all
/// of them in the end. The twin without a pause reads a page for each.
#[tokio::test(start_paused = true)]
async fn a_burst_of_endings_is_read_in_a_few_pages() {
    let world = World::new().await;
    let (node, twin) = (world.second_node().await, world.second_node().await);
    let mut ada = world.sign_in("ada").await;
    assert_eq!(ada.get(&node).await, WARM);
    let ids = fill(&world, &ada, BURST).await;
    let running = [run(&node), run_without_pause(&twin)];
    sleep(BETWEEN_PAGES).await;

    let (begun, before, twins_before) = (Instant::now(), pages(&node), pages(&twin));
    for id in ids {
        end(&world, Scope::Session(id)).await;
        sleep(Duration::from_millis(1)).await;
    }
    end(&world, Scope::Session(ada.session.unwrap())).await;
    sleep(BETWEEN_PAGES).await;
    sleep(BETWEEN_PAGES).await;
    // One at the beginning, and one for each pause.
    let bound = begun.elapsed().as_millis().div_ceil(BETWEEN_PAGES.as_millis()) as u64 + 1;
    let read = pages(&node) - before;
    assert!((2..=bound).contains(&read), "{read} pages, at most {bound} were allowed");
    assert!(pages(&twin) - twins_before >= u64::from(BURST), "negative control: the burst asks for more");
    assert_eq!(node.metrics().feed_lag(), 0);
    assert_eq!(ada.get(&node).await, Outcome::Anonymous("ended"));
    running.iter().for_each(tokio::task::JoinHandle::abort);
}

/// I7: one ending on a quiet feed is known as soon as the store tells of it. The pause is for the page after.
#[tokio::test(start_paused = true)]
async fn one_ending_is_read_at_once() {
    let world = World::new().await;
    let node = world.second_node().await;
    let ada = world.sign_in("ada").await;
    let bob = world.sign_in("bob").await;
    let mut streams = [node.open_stream(&ada.pass(&node).await), node.open_stream(&bob.pass(&node).await)];
    let running = run(&node);
    sleep(2 * BETWEEN_PAGES).await;
    let mut took = [Duration::ZERO; 2];
    for ((browser, stream), took) in [&ada, &bob].into_iter().zip(&mut streams).zip(&mut took) {
        let begun = Instant::now();
        end(&world, Scope::Session(browser.session.unwrap())).await;
        timeout(Duration::from_secs(1), stream.ended()).await.expect("it heard");
        *took = begun.elapsed();
    }
    assert_eq!(took[0], Duration::ZERO);
    // Negative control: the one that follows at once does meet the pause.
    assert!(took[1] > Duration::ZERO && took[1] <= BETWEEN_PAGES + Duration::from_millis(1), "{took:?}");
    running.abort();
}

/// A node that is behind does not pause: page follows page until it has read them all.
#[tokio::test(start_paused = true)]
async fn a_page_that_is_not_the_last_is_followed_at_once() {
    let world = World::new().await;
    let node = world.second_node().await;
    let ada = world.sign_in("ada").await;
    let mut stream = node.open_stream(&ada.pass(&node).await);
    let ids = fill(&world, &ada, 3000).await;
    let running = run(&node);
    sleep(2 * BETWEEN_PAGES).await;
    let (begun, before) = (Instant::now(), pages(&node));
    for id in ids {
        end(&world, Scope::Session(id)).await;
    }
    end(&world, Scope::Session(ada.session.unwrap())).await;
    timeout(Duration::from_secs(1), stream.ended()).await.expect("it heard");
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(pages(&node) - before, 3, "3001 entries, 1024 a page");
    running.abort();
}

/// S23, R-177: a turn of the sweep takes batch after batch, as many as it may and no more, with pauses between them in which others
/// have the store; what is left is the next turn's, and a live record is nobody's.
#[tokio::test(start_paused = true)]
async fn a_sweep_goes_on_while_batches_are_full() {
    const LEFT: u64 = 500;
    let world = World::new().await;
    let ada = world.sign_in("ada").await;
    fill(&world, &ada, u32::try_from(SWEEP_BATCHES * SWEEP_BATCH + LEFT).unwrap()).await;
    end(&world, Scope::Session(ada.session.unwrap())).await;
    world.pass_time(world.engine.limits().absolute + Duration::from_secs(3600));
    world.sign_in("eve").await;
    let sweeps = || world.engine.vault().ops().of(Op::Sweep);
    let running = run(&world.engine);
    let count = async || world.backend.count().await.unwrap();

    sleep(SWEEP_EVERY + Duration::from_millis(10)).await;
    assert_eq!(sweeps(), 1, "the first batch is followed by a pause");
    sleep(SWEEP_EVERY / 2).await;
    assert_eq!((sweeps(), count().await), (SWEEP_BATCHES, LEFT + 1), "one batch would have left far more");
    sleep(SWEEP_EVERY).await;
    assert_eq!((sweeps(), count().await), (SWEEP_BATCHES + 1, 1), "a batch that is not full is the last");
    running.abort();
}
