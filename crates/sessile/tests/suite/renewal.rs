//! Renewal, rotation, reuse and revocation through the engine, on real stores.

use std::time::Duration;

use sessile::{Actor, Which};
use sessile_core::revocation::{Reason, Scope};

use crate::world::{ACCESS, Browser, ENDED, Outcome, RENEWED, SESSION, WARM, World};

const ACCESS_LIFE: Duration = Duration::from_secs(300);
const G: Duration = Duration::from_secs(10);

fn events(world: &World, name: &'static str) -> u64 {
    let counted = world.engine.metrics().family(sessile::metrics::Family::Events);
    counted.into_iter().find(|(event, _)| *event == name).map_or(0, |(_, n)| n)
}

/// Product section 2, hybrid: a verified request costs no store operation. The first sight of a token costs one.
#[tokio::test]
async fn a_warm_request_touches_no_store() {
    let world = World::new().await;
    let mut browser = world.sign_in("ada").await;
    let before = world.store_ops();
    assert_eq!(browser.get(&world.engine).await, WARM);
    assert_eq!(world.store_ops() - before, 1, "first sight: presence and receipt in one write");

    let before = world.store_ops();
    for _ in 0..1000 {
        assert_eq!(browser.get(&world.engine).await, WARM);
    }
    assert_eq!(world.store_ops() - before, 0);

    // Negative control: the counter does see an operation.
    world.engine.sessions_of(&"ada".parse().expect("a subject")).await.expect("listed");
    assert_eq!(world.store_ops() - before, 1);
}

/// Looking after keys that have not changed leaves every verified token warm; a changed set makes them cold.
#[tokio::test]
async fn unchanged_keys_keep_tokens_warm() {
    let world = World::new().await;
    let mut browser = world.sign_in("ada").await;
    assert_eq!(browser.get(&world.engine).await, WARM);
    world.engine.ensure_keys().await.expect("keys");
    let before = world.store_ops();
    assert_eq!(browser.get(&world.engine).await, WARM);
    assert_eq!(world.store_ops() - before, 0);

    // Negative control: a set that did change.
    world.engine.rotate_keys().await.expect("keys");
    let before = world.store_ops();
    assert_eq!(browser.get(&world.engine).await, WARM);
    assert_eq!(world.store_ops() - before, 1);
}

/// A damaged access cookie is an absent one: the session token renews, nothing is cleared.
#[tokio::test]
async fn a_damaged_access_cookie_is_an_absent_one() {
    let world = World::new().await;
    let mut browser = world.sign_in("ada").await;
    browser.jar.insert(ACCESS.into(), "not a token".into());
    assert_eq!(browser.get(&world.engine).await, RENEWED);
    browser.jar.insert(SESSION.into(), "not a token".into());
    browser.forget_access_token();
    assert!(
        matches!(browser.get(&world.engine).await, Outcome::Anonymous(_)),
        "negative control: without either, nobody"
    );
}

/// R-060, product section 3: a request with an expired access token is renewed before it is forwarded.
#[tokio::test]
async fn renewal_is_transparent() {
    let world = World::new().await;
    let mut browser = world.sign_in("ada").await;
    let first = browser.jar[ACCESS].clone();
    world.pass_time(ACCESS_LIFE);
    assert_eq!(browser.get(&world.engine).await, RENEWED);
    assert_eq!(browser.generation(), 1);
    assert_ne!(browser.jar[ACCESS], first);
    assert_eq!(browser.get(&world.engine).await, WARM);

    // A browser that lost the access cookie alone is renewed too; within G without another rotation (rule 4).
    browser.forget_access_token();
    assert_eq!(browser.get(&world.engine).await, RENEWED);
    assert_eq!(browser.generation(), 1);
    world.pass_time(G);
    browser.forget_access_token();
    assert_eq!(browser.get(&world.engine).await, RENEWED);
    assert_eq!(browser.generation(), 2);
}

/// A token about to expire is renewed ahead; a little earlier it is not.
#[tokio::test]
async fn renewal_ahead_of_expiry() {
    let world = World::new().await;
    let mut browser = world.sign_in("ada").await;
    let ahead = world.engine.limits().renew_ahead();
    world.pass_time(ACCESS_LIFE - ahead - Duration::from_secs(1));
    assert_eq!(browser.get(&world.engine).await, WARM);
    world.pass_time(Duration::from_secs(1));
    assert_eq!(browser.get(&world.engine).await, RENEWED);
}

/// R-062, I1, L1: any number of tabs across one expiry make one rotation, and all get the same successor.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_renewals_make_one_rotation() {
    let world = World::new().await;
    let browser = world.sign_in("ada").await;
    world.pass_time(ACCESS_LIFE);
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let (engine, mut tab) = (world.engine.clone(), browser.clone());
            tokio::spawn(async move {
                let outcome = tab.get(&engine).await;
                (outcome, tab.jar[SESSION].clone())
            })
        })
        .collect();
    let mut successors = std::collections::BTreeSet::new();
    for task in tasks {
        let (outcome, successor) = task.await.expect("no panic");
        assert_eq!(outcome, RENEWED, "no honest 401");
        successors.insert(successor);
    }
    assert_eq!(successors.len(), 1, "one successor, byte for byte");
    assert_eq!(world.engine.metrics().rotations.load(std::sync::atomic::Ordering::Relaxed), 1);
}

/// S3, I4, H14: a lost answer is repaired by the next request, however late it comes.
#[tokio::test]
async fn a_lost_answer_is_answered_again() {
    let world = World::new().await;
    let mut browser = world.sign_in("ada").await;
    world.pass_time(ACCESS_LIFE);
    let (outcome, lost) = browser.get_without_cookies(&world.engine).await;
    assert_eq!(outcome, RENEWED);
    world.pass_time(Duration::from_secs(1800));
    assert_eq!(browser.get(&world.engine).await, RENEWED);
    assert!(
        lost.iter().any(|cookie| cookie.starts_with(&format!("{SESSION}={};", browser.jar[SESSION]))),
        "the same successor"
    );
    assert_eq!(browser.get(&world.engine).await, WARM);
}

/// Rule 4: the cookie is decided when the response leaves. A slow response neither overwrites newer cookies nor
/// revives an ended session.
#[tokio::test]
async fn a_slow_response_never_overwrites_newer_cookies() {
    let world = World::new().await;
    let mut browser = world.sign_in("ada").await;
    world.pass_time(ACCESS_LIFE);
    let slow = browser.pass(&world.engine).await;
    let in_time: Vec<String> =
        world.engine.cookies_for_response(&slow).await.iter().map(|c| c.as_str().to_owned()).collect();
    assert_eq!(in_time.len(), 2, "a response that leaves in time brings both cookies");
    assert_eq!(browser.get(&world.engine).await, RENEWED);
    assert_eq!(browser.get(&world.engine).await, WARM);
    world.pass_time(G);
    browser.forget_access_token();
    assert_eq!(browser.get(&world.engine).await, RENEWED);
    assert_eq!(browser.get(&world.engine).await, WARM);
    assert_eq!(browser.generation(), 2);
    assert!(world.engine.cookies_for_response(&slow).await.is_empty(), "generation 1 would arrive after 2");

    // Negative control: had it been sent, an honest browser would look like a thief.
    world.pass_time(G);
    let control = World::new().await;
    let mut honest = control.sign_in("ada").await;
    control.pass_time(ACCESS_LIFE);
    let (_, first) = honest.get_without_cookies(&control.engine).await;
    honest.get(&control.engine).await;
    honest.get(&control.engine).await;
    control.pass_time(G);
    honest.forget_access_token();
    honest.get(&control.engine).await;
    honest.get(&control.engine).await;
    control.pass_time(G);
    first.iter().for_each(|cookie| honest.take(cookie));
    honest.forget_access_token();
    assert_eq!(honest.get(&control.engine).await, ENDED);

    let late = {
        browser.forget_access_token();
        browser.pass(&world.engine).await
    };
    world.engine.sign_out(&late, Which::This).await.expect("signed out");
    assert!(world.engine.cookies_for_response(&late).await.is_empty(), "no cookies for an ended session");
}

async fn stolen() -> (World, Browser, Browser, Browser) {
    let world = World::new().await;
    let mut owner = world.sign_in("ada").await;
    let other = world.sign_in("ada").await;
    assert_eq!(owner.get(&world.engine).await, WARM);
    let thief = owner.clone();
    (world, owner, thief, other)
}

/// R-061, I5, X2: theft, the thief renewing first: the family dies, an event is written, other sessions live.
#[tokio::test]
async fn theft_thief_first() {
    let (world, mut owner, mut thief, mut other) = stolen().await;
    world.pass_time(ACCESS_LIFE);
    assert_eq!(thief.get(&world.engine).await, RENEWED);
    assert_eq!(thief.get(&world.engine).await, WARM, "the thief uses it: receipt is confirmed");
    world.pass_time(G);
    assert_eq!(owner.get(&world.engine).await, ENDED);
    assert_eq!(thief.get(&world.engine).await, ENDED, "the thief is out as well, at once on this node");
    assert_eq!(events(&world, "authn_token_reuse"), 1);
    assert_eq!(other.get(&world.engine).await, RENEWED, "another session of the same user lives");
}

/// The same with the owner renewing first.
#[tokio::test]
async fn theft_owner_first() {
    let (world, mut owner, mut thief, mut other) = stolen().await;
    world.pass_time(ACCESS_LIFE);
    assert_eq!(owner.get(&world.engine).await, RENEWED);
    assert_eq!(owner.get(&world.engine).await, WARM);
    world.pass_time(G);
    assert_eq!(thief.get(&world.engine).await, ENDED);
    assert_eq!(owner.get(&world.engine).await, ENDED);
    assert_eq!(events(&world, "authn_token_reuse"), 1);
    assert_eq!(other.get(&world.engine).await, RENEWED);
}

/// Thief and owner alternating in lockstep: each renews in its turn; the first turn further than G from the
/// other's confirmed one is found out.
#[tokio::test]
async fn theft_in_lockstep() {
    let (world, mut owner, mut thief, _) = stolen().await;
    let mut rounds = 0;
    let found = loop {
        rounds += 1;
        world.pass_time(ACCESS_LIFE);
        let turns = if rounds % 2 == 0 { [&mut thief, &mut owner] } else { [&mut owner, &mut thief] };
        let mut ended = false;
        for browser in turns {
            ended |= browser.get(&world.engine).await == ENDED || browser.get(&world.engine).await == ENDED;
            world.pass_time(G);
        }
        if ended || rounds > 10 {
            break ended;
        }
    };
    assert!(found);
    assert_eq!(rounds, 1, "at the first exchange");
    assert_eq!(events(&world, "authn_token_reuse"), 1);
}

/// Negative control of the three above: within the grace nobody dies, and two tabs of one browser are not theft.
#[tokio::test]
async fn within_the_grace_nobody_dies() {
    let (world, mut owner, mut second_tab, _) = stolen().await;
    world.pass_time(ACCESS_LIFE);
    assert_eq!(owner.get(&world.engine).await, RENEWED);
    assert_eq!(owner.get(&world.engine).await, WARM);
    world.pass_time(G - Duration::from_millis(1));
    assert_eq!(second_tab.get(&world.engine).await, RENEWED);
    assert_eq!(second_tab.jar[SESSION], owner.jar[SESSION]);
    assert_eq!(events(&world, "authn_token_reuse"), 0);
}

/// A forged or unknown token never ends anything, else anybody could sign users out.
#[tokio::test]
async fn forged_tokens_kill_nothing() {
    let world = World::new().await;
    let mut browser = world.sign_in("ada").await;
    let token = browser.jar[SESSION].clone();
    let (id, rest) = token.split_once('.').expect("parts");
    let (_, mac) = rest.split_once('.').expect("parts");
    let flipped = if mac.starts_with('A') { mac.replacen('A', "B", 1) } else { format!("A{}", &mac[1..]) };
    for forged in [
        format!("{id}.0.{flipped}"),
        format!("{id}.7.{mac}"),
        format!("{id}.1.{mac}"),
        format!("AAAAAAAAAAAAAAAAAAAAAA.0.{mac}"),
    ] {
        let mut forger = Browser::default();
        forger.jar.insert(SESSION.into(), forged.clone());
        assert!(matches!(forger.get(&world.engine).await, Outcome::Anonymous("forged" | "ended")), "{forged}");
    }
    world.pass_time(ACCESS_LIFE);
    assert_eq!(browser.get(&world.engine).await, RENEWED, "the session lives");
    assert!(events(&world, "authn_token_forged") >= 3);
}

/// R-026, E8: after sign-out nothing opens: not the session token, not the access token, not their successors.
#[tokio::test]
async fn nothing_survives_sign_out() {
    let world = World::new().await;
    let mut browser = world.sign_in("ada").await;
    let mut captured = vec![browser.clone()];
    world.pass_time(ACCESS_LIFE);
    browser.get(&world.engine).await;
    captured.push(browser.clone());
    let pass = browser.pass(&world.engine).await;
    world.engine.sign_out(&pass, Which::This).await.expect("signed out");
    for mut replayed in captured {
        assert_eq!(replayed.get(&world.engine).await, ENDED);
        replayed.forget_access_token();
        assert_eq!(replayed.get(&world.engine).await, ENDED);
        replayed.jar.remove(SESSION);
    }
}

/// I9: each scope ends what it names and nothing else.
#[tokio::test]
async fn scopes_end_what_they_name() {
    let world = World::new().await;
    let (mut a1, mut a2, mut b) = (world.sign_in("ada").await, world.sign_in("ada").await, world.sign_in("bob").await);
    let pass = a1.pass(&world.engine).await;
    world.engine.sign_out(&pass, Which::Others).await.expect("ended");
    assert_eq!((a1.get(&world.engine).await, a2.get(&world.engine).await), (WARM, ENDED));
    world.engine.sign_out(&pass, Which::Everywhere).await.expect("ended");
    assert_eq!((a1.get(&world.engine).await, b.get(&world.engine).await), (ENDED, WARM));
    world.engine.revoke(&Scope::All, Reason::EndedByAdministrator, &Actor::Administrator).await.expect("ended");
    assert_eq!(b.get(&world.engine).await, ENDED);
    let mut new = world.sign_in("bob").await;
    assert_eq!(new.get(&world.engine).await, WARM, "a sign-in after the cut lives");
}

/// R-021, E2: a sign-in makes a new session and ends the one presented; what it holds is a new secret.
#[tokio::test]
async fn sign_in_replaces() {
    let world = World::new().await;
    let mut browser = world.sign_in("ada").await;
    let mut before = browser.clone();
    browser.sign_in(&world.engine, "ada").await;
    assert_ne!(browser.jar[SESSION].split('.').next(), before.jar[SESSION].split('.').next());
    assert_eq!(before.get(&world.engine).await, ENDED);
    assert_eq!(browser.get(&world.engine).await, WARM);
}

/// at most fifty sessions; the oldest ends.
#[tokio::test]
async fn the_oldest_session_makes_room() {
    let world = World::new().await;
    let mut oldest = world.sign_in("ada").await;
    let mut second = oldest.clone();
    for n in 0..50 {
        world.pass_time(Duration::from_millis(10));
        let browser = world.sign_in("ada").await;
        if n == 0 {
            second = browser;
        }
    }
    assert_eq!(oldest.get(&world.engine).await, ENDED);
    assert_eq!(second.get(&world.engine).await, WARM);
}

/// I7, I15: a revocation on one node is refused by another as soon as it has read the feed, and never trusted past T.
#[tokio::test]
async fn revocation_reaches_another_node() {
    let world = World::new().await;
    let other = world.second_node().await;
    let mut browser = world.sign_in("ada").await;
    assert_eq!(browser.get(&other).await, WARM, "the other node takes the token");
    assert_eq!(browser.get(&other).await, WARM);
    let pass = browser.pass(&world.engine).await;
    world.engine.sign_out(&pass, Which::This).await.expect("signed out");
    assert_eq!(browser.get(&world.engine).await, ENDED, "on the node that acknowledged: at once");
    assert_eq!(browser.get(&other).await, WARM, "negative control: without the feed the other node cannot know");
    other.catch_up().await.expect("the feed is read");
    assert_eq!(browser.get(&other).await, ENDED);
}

/// I18, T5: a node whose view is older than T asks the store about every request, and so refuses a session revoked
/// elsewhere, without having read the feed.
#[tokio::test]
async fn a_stale_view_is_not_trusted() {
    let world = World::new().await;
    let other = world.second_node().await;
    let mut browser = world.sign_in("ada").await;
    assert_eq!(browser.get(&other).await, WARM);
    let pass = browser.pass(&world.engine).await;
    world.engine.sign_out(&pass, Which::This).await.expect("signed out");
    world.pass_time(world.engine.limits().staleness);
    assert_eq!(browser.get(&other).await, WARM, "at T it may still serve");
    world.pass_time(Duration::from_millis(1));
    assert_eq!(browser.get(&other).await, ENDED, "past T it asks");
}

/// F2, F4: what a node forgot in a restart, the store still knows: revoked stays revoked, rotated stays rotated.
#[tokio::test]
async fn a_restart_revives_nothing() {
    let world = World::new().await;
    let mut revoked = world.sign_in("ada").await;
    let mut rotated = world.sign_in("bob").await;
    let mut old = rotated.clone();
    let pass = revoked.pass(&world.engine).await;
    world.engine.sign_out(&pass, Which::This).await.expect("signed out");
    world.pass_time(ACCESS_LIFE);
    assert_eq!(rotated.get(&world.engine).await, RENEWED);
    assert_eq!(rotated.get(&world.engine).await, WARM);
    world.pass_time(G);
    let restarted = world.second_node().await;
    assert_eq!(revoked.get(&restarted).await, ENDED);
    assert_eq!(rotated.get(&restarted).await, WARM, "negative control: a live session goes on");
    assert_eq!(old.get(&restarted).await, ENDED, "reuse is reuse after a restart too");
}

/// I10, I11: idle and absolute timeout through the whole engine, at the limit -1/0.
#[tokio::test]
async fn timeouts() {
    let world = World::new().await;
    let mut idle = world.sign_in("ada").await;
    let mut in_time = world.sign_in("ada").await;
    world.pass_time(Duration::from_millis(3_599_999));
    assert_eq!(in_time.get(&world.engine).await, RENEWED);
    world.pass_time(Duration::from_millis(1));
    assert_eq!(idle.get(&world.engine).await, Outcome::Anonymous("expired"));

    let mut busy = world.sign_in("ada").await;
    for _ in 0..287 {
        world.pass_time(ACCESS_LIFE);
        assert_eq!(busy.get(&world.engine).await, RENEWED);
    }
    world.pass_time(ACCESS_LIFE);
    assert_eq!(busy.get(&world.engine).await, Outcome::Anonymous("expired"), "24 h are over, activity or not");
}

/// T3, JA-67: setting the clock back, at any moment and by any amount, lengthens nothing; setting it forward only
/// shortens.
#[tokio::test]
async fn clock_steps_never_lengthen_a_session() {
    for (when, step) in [(10, -3_600_000_i64), (1000, -86_400_000), (3000, -1000), (3000, 600_000)] {
        let world = World::new().await;
        let mut browser = world.sign_in("ada").await;
        world.pass_time(Duration::from_secs(when));
        browser.get(&world.engine).await;
        world.clock.step_wall(step);
        world.pass_time(Duration::from_secs(3600));
        assert_eq!(browser.get(&world.engine).await, Outcome::Anonymous("expired"), "step of {step} ms after {when} s");
    }
}
