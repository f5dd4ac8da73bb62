//! Slowing down guessers without locking out their victims (R-124, K6).

use std::sync::Arc;
use std::time::Duration;

use sessile::{Engine, EngineConfig};
use sessile_store::memory::MemoryStore;

use crate::flaky::{Fault, Flaky};
use crate::surface_client::{
    Answer, PASSWORD, add_account, ask, events, quick_config, site, site_on, site_with, stores,
};
use crate::world::World;

const HOME: &str = "192.0.2.10";
const ELSEWHERE: &str = "203.0.113.66";
const WRONG: &str = "wrong-wrong-wrong";

async fn attempt(engine: &Engine, name: &str, password: &str, from: &str) -> Answer {
    let body = serde_json::json!({ "username": name, "password": password });
    ask("POST", "/auth/sign-in").script().from(from).json(&body).send(engine).await
}

async fn status(engine: &Engine, name: &str, password: &str, from: &str) -> u16 {
    attempt(engine, name, password, from).await.status.as_u16()
}

/// Seconds to wait, if the attempt was not taken.
async fn wait(engine: &Engine, name: &str, password: &str, from: &str) -> Option<u64> {
    let answer = attempt(engine, name, password, from).await;
    (answer.status == 429).then(|| {
        assert_eq!(answer.code(), "too_many_attempts");
        assert!(answer.cookies().is_empty());
        answer.header("retry-after").parse().expect("seconds")
    })
}

/// An address that was never used before, in another /24 each time.
fn fresh(n: u32) -> String {
    format!("10.{}.{}.1", n / 250, n % 250)
}

/// five failures are free; then each wait is twice the last, up to a quarter of an hour; a success forgets.
#[tokio::test]
async fn waits_double() {
    for (store, _directory) in stores() {
        let world = site_on(quick_config(), store).await;
        for _ in 0..5 {
            assert_eq!(status(&world.engine, "ada", WRONG, HOME).await, 401);
        }
        let mut waits = Vec::new();
        for _ in 0..12 {
            let seconds = wait(&world.engine, "ada", WRONG, HOME).await.expect("a wait");
            waits.push(seconds);
            world.pass_time(Duration::from_secs(seconds) - Duration::from_millis(1));
            assert_eq!(wait(&world.engine, "ada", WRONG, HOME).await, Some(1), "a moment too early");
            world.pass_time(Duration::from_millis(1));
            assert_eq!(status(&world.engine, "ada", WRONG, HOME).await, 401, "a try after the wait");
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
        // The right password waits as well, and then forgets the failures.
        assert_eq!(wait(&world.engine, "ada", PASSWORD, HOME).await, Some(900));
        world.pass_time(Duration::from_secs(900));
        assert_eq!(status(&world.engine, "ada", PASSWORD, HOME).await, 200);
        for _ in 0..5 {
            assert_eq!(status(&world.engine, "ada", WRONG, HOME).await, 401, "negative control: free again");
        }
        assert_eq!(wait(&world.engine, "ada", WRONG, HOME).await, Some(1));
        assert_eq!(status(&world.engine, "grace", PASSWORD, ELSEWHERE).await, 200, "another account never waited");
    }
}

/// Attempts that were not taken count for nothing, so hammering does not lengthen the wait.
#[tokio::test]
async fn hammering_does_not_lengthen_the_wait() {
    let world = site().await;
    for _ in 0..5 {
        status(&world.engine, "ada", WRONG, HOME).await;
    }
    for _ in 0..300 {
        assert_eq!(wait(&world.engine, "ada", WRONG, HOME).await, Some(1));
    }
    world.pass_time(Duration::from_secs(1));
    assert_eq!(status(&world.engine, "ada", PASSWORD, HOME).await, 200);
}

/// R-124, K6: an attack from ever new addresses meets the same wait, and stops for good at a hundred failures,
/// until a day has passed or an administrator clears it.
#[tokio::test]
async fn rotating_addresses_do_not_help() {
    for administrator in [false, true] {
        let world = site().await;
        let mut failures = 0;
        let mut n = 0;
        let stopped = loop {
            n += 1;
            assert!(n < 1000, "never stopped");
            let answer = attempt(&world.engine, "ada", WRONG, &fresh(n)).await;
            match answer.status.as_u16() {
                401 => failures += 1,
                429 => {
                    let seconds: u64 = answer.header("retry-after").parse().expect("seconds");
                    if seconds > 900 {
                        break seconds;
                    }
                    world.pass_time(Duration::from_secs(seconds));
                }
                other => panic!("{other}"),
            }
        };
        assert_eq!((failures, stopped), (100, 24 * 3600));
        assert!(
            wait(&world.engine, "ada", PASSWORD, &fresh(n + 1)).await.is_some(),
            "the right password from nowhere waits too"
        );
        if administrator {
            world.engine.accounts().unlock("ada", world.engine.now().wall).await.expect("unlocked");
        } else {
            world.pass_time(Duration::from_secs(24 * 3600 - 1));
            assert_eq!(
                wait(&world.engine, "ada", PASSWORD, HOME).await,
                Some(1),
                "negative control: not a second early"
            );
            world.pass_time(Duration::from_secs(1));
        }
        assert_eq!(status(&world.engine, "ada", PASSWORD, HOME).await, 200);
        let locks = events(&world.engine)
            .await
            .into_iter()
            .filter(|event| event.name == "authn_login_lock")
            .collect::<Vec<_>>();
        assert!(locks.iter().any(|e| e.reason == "hard_stop") && locks.iter().any(|e| e.reason == "back_off"));
        assert!(
            locks.iter().all(|e| e.subject.as_ref().is_some_and(|s| s.as_str() == "ada")),
            "the operator sees whose account it is"
        );
    }
}

/// a victim who signed in from home before gets in from home, whatever goes on elsewhere; and cannot be locked
/// out from there. Whoever guesses from that very network meets a limit of its own.
#[tokio::test]
async fn victims_are_not_locked_out() {
    for (store, _directory) in stores() {
        let world = site_on(quick_config(), store).await;
        assert_eq!(status(&world.engine, "ada", PASSWORD, HOME).await, 200);
        world.pass_time(Duration::from_secs(30 * 24 * 3600));
        for n in 0..2000 {
            let answer = attempt(&world.engine, "ada", WRONG, &fresh(n)).await;
            if answer.status == 429 {
                let seconds: u64 = answer.header("retry-after").parse().expect("seconds");
                if seconds > 900 {
                    break;
                }
                world.pass_time(Duration::from_secs(seconds));
            }
        }
        assert!(
            wait(&world.engine, "ada", PASSWORD, ELSEWHERE).await.is_some(),
            "negative control: the account is stopped elsewhere"
        );
        assert_eq!(status(&world.engine, "ada", PASSWORD, HOME).await, 200);
        assert_eq!(status(&world.engine, "grace", PASSWORD, HOME).await, 200);

        // The network next door is not home, and neither is home for another account.
        for _ in 0..5 {
            assert_eq!(status(&world.engine, "ada", WRONG, HOME).await, 401);
        }
        assert_eq!(wait(&world.engine, "ada", WRONG, HOME).await, Some(1), "at home too, five are free");
        assert_eq!(status(&world.engine, "grace", PASSWORD, HOME).await, 200, "another account at home does not wait");
    }
    // A network is known for a while only.
    let world = site().await;
    assert_eq!(status(&world.engine, "ada", PASSWORD, HOME).await, 200);
    world.pass_time(Duration::from_secs(90 * 24 * 3600));
    for _ in 0..5 {
        status(&world.engine, "ada", WRONG, ELSEWHERE).await;
    }
    assert!(wait(&world.engine, "ada", PASSWORD, HOME).await.is_some());
}

/// one password tried for many accounts from one network meets a wait of that network.
#[tokio::test]
async fn spraying_meets_a_wait() {
    let world = site().await;
    for n in 0..20 {
        assert_eq!(status(&world.engine, &format!("user{n}"), WRONG, ELSEWHERE).await, 401);
    }
    assert_eq!(wait(&world.engine, "user99", WRONG, ELSEWHERE).await, Some(1));
    assert_eq!(wait(&world.engine, "ada", PASSWORD, ELSEWHERE).await, Some(1), "whoever it is for");
    assert_eq!(status(&world.engine, "ada", PASSWORD, HOME).await, 200, "negative control: another network");
    let mut longest = 0;
    for n in 100..120 {
        let Some(seconds) = wait(&world.engine, &format!("user{n}"), WRONG, ELSEWHERE).await else { continue };
        longest = longest.max(seconds);
        world.pass_time(Duration::from_secs(seconds));
        assert_eq!(status(&world.engine, &format!("user{n}"), WRONG, ELSEWHERE).await, 401);
    }
    assert_eq!(longest, 60, "a shared address is never out for long");
    // Somebody of that network who signed in before does not wait.
    world.pass_time(Duration::from_secs(60));
    assert_eq!(status(&world.engine, "grace", PASSWORD, ELSEWHERE).await, 200);
    status(&world.engine, "user200", WRONG, ELSEWHERE).await;
    assert!(wait(&world.engine, "user201", WRONG, ELSEWHERE).await.is_some());
    assert_eq!(status(&world.engine, "grace", PASSWORD, ELSEWHERE).await, 200);
}

/// K6: an IPv6 network is its /64, in whatever spelling; an IPv4 address is itself, also when it comes as IPv6.
#[tokio::test]
async fn addresses_of_a_network_count_together() {
    let world = site().await;
    for n in 0..20 {
        let address = format!("2001:db8:5:6:{n:x}:{n:x}::1");
        assert_eq!(status(&world.engine, &format!("user{n}"), WRONG, &address).await, 401);
    }
    for alias in ["2001:db8:5:6::1", "2001:0db8:0005:0006:ffff:ffff:ffff:ffff"] {
        assert_eq!(wait(&world.engine, "ada", PASSWORD, alias).await, Some(1), "{alias}");
    }
    assert_eq!(
        status(&world.engine, "ada", PASSWORD, "2001:db8:5:7::1").await,
        200,
        "negative control: the next network"
    );
    for n in 0..20 {
        let address = if n % 2 == 0 { "198.51.100.7" } else { "::ffff:198.51.100.7" };
        assert_eq!(status(&world.engine, &format!("other{n}"), WRONG, address).await, 401);
    }
    assert_eq!(wait(&world.engine, "grace", PASSWORD, "198.51.100.7").await, Some(1));
    assert_eq!(wait(&world.engine, "grace", PASSWORD, "::ffff:c633:6407").await, Some(1));
    // Spellings of an account's name count together as well.
    let world = site().await;
    for name in ["ada", "ADA", " ada", "Ada ", "aDa"] {
        assert_eq!(status(&world.engine, name, WRONG, HOME).await, 401);
    }
    assert_eq!(wait(&world.engine, "ada", PASSWORD, HOME).await, Some(1));
}

fn slow_config() -> EngineConfig {
    let mut config = quick_config();
    config.passwords.argon2 = sessile::password::Argon2Cost { memory_kib: 4096, iterations: 2, parallelism: 1 };
    config.passwords.parallel_hashes = Some(2);
    config.passwords.queue = 1000;
    config
}

async fn burst(engine: &Engine, size: usize) -> (usize, usize) {
    let tries: Vec<_> = (0..size)
        .map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move { status(&engine, "ada", WRONG, HOME).await })
        })
        .collect();
    let (mut taken, mut turned_away) = (0, 0);
    for one in tries {
        match one.await.expect("joined") {
            401 => taken += 1,
            429 => turned_away += 1,
            other => panic!("{other}"),
        }
    }
    (taken, turned_away)
}

/// K6: a hundred tries at once are a hundred tries: no more get through than one after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_burst_does_not_slip_through() {
    let world = site_with(slow_config()).await;
    assert_eq!(burst(&world.engine, 100).await, (5, 95));
    // At the limit, the one try after a wait is one.
    for _ in 0..3 {
        world.pass_time(Duration::from_secs(900));
        assert_eq!(burst(&world.engine, 100).await, (1, 99));
    }
    // Negative control: with room, as many are taken.
    let mut config = slow_config();
    config.throttle.free = 50;
    config.throttle.free_per_network = 1000;
    let world = site_with(config).await;
    assert_eq!(burst(&world.engine, 40).await, (40, 0));
}

/// K6: two nodes on one store do not both take the one turn after a wait, and together never pass the hard stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_share_the_limit() {
    let mut config = slow_config();
    config.throttle.hard_stop = 8;
    let world = site_with(config).await;
    let other = world.second_node().await;
    for _ in 0..5 {
        status(&world.engine, "ada", WRONG, HOME).await;
    }
    let mut taken = 0;
    for round in 0..6 {
        world.pass_time(Duration::from_secs(900));
        let (here, there) = tokio::join!(burst(&world.engine, 20), burst(&other, 20));
        let both = here.0 + there.0;
        assert!(both <= 1, "round {round}: {both} tries taken");
        taken += both;
    }
    assert_eq!(taken, 3, "five free, three more, then the stop");
}

/// A failure that cannot be counted is not answered as one: the store's absence is no free guess.
#[tokio::test]
async fn uncounted_failures_are_not_told() {
    let store = Flaky::over(Arc::new(MemoryStore::new()));
    let world = site_on(quick_config(), store.clone()).await;
    store.set(Fault::AnswersLost);
    for password in [WRONG, PASSWORD] {
        assert_eq!(status(&world.engine, "ada", password, HOME).await, 503);
    }
    store.set(Fault::None);
    assert_eq!(status(&world.engine, "ada", PASSWORD, HOME).await, 200, "negative control");
}

/// Unknown names wait exactly as known ones do: the throttle tells nobody which accounts there are.
#[tokio::test]
async fn unknown_names_wait_alike() {
    let world = World::with(quick_config(), Arc::new(MemoryStore::new())).await;
    add_account(&world.engine, "ada").await;
    let mut seen = Vec::new();
    for (name, from) in [("ada", HOME), ("nobody", ELSEWHERE)] {
        let mut answers = Vec::new();
        for _ in 0..8 {
            answers.push(attempt(&world.engine, name, WRONG, from).await);
        }
        seen.push(answers);
    }
    assert_eq!(seen[0], seen[1]);
    assert_ne!(seen[0][0].status, seen[0][7].status, "negative control: they did change");
}

/// counters that mean nothing any more are swept, so that made-up names do not fill the store.
#[tokio::test(start_paused = true)]
async fn old_counters_are_swept() {
    let world = site().await;
    status(&world.engine, "made-up", WRONG, HOME).await;
    let key = world.engine.vault().throttle_key("account", "made-up");
    let count = async || world.engine.vault().failures(&key).await.expect("read").count;
    let run_a_while = async || {
        // A second engine each time: background work runs once for each.
        let node = world.second_node().await;
        let begun = tokio::time::sleep(Duration::from_secs(3600));
        node.run(begun).await;
    };
    run_a_while().await;
    assert_eq!(count().await, 1, "negative control: yesterday's still count");
    world.pass_time(Duration::from_secs(90 * 24 * 3600 + 1));
    run_a_while().await;
    assert_eq!(count().await, 0);
}

/// K6: whoever hangs up before the answer has tried all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hanging_up_is_counted() {
    let mut config = slow_config();
    config.passwords.argon2 = sessile::password::Argon2Cost { memory_kib: 19_456, iterations: 16, parallelism: 1 };
    let world = site_with(config).await;
    let account = world.engine.vault().throttle_key("account", "ada");
    let counted = async || world.engine.vault().failures(&account).await.expect("the store").count;
    assert_eq!(counted().await, 0, "negative control");
    for _ in 0..3 {
        let try_it = attempt(&world.engine, "ada", WRONG, HOME);
        let hung_up = tokio::time::timeout(Duration::from_millis(20), try_it).await;
        assert!(hung_up.is_err(), "the hash takes longer than the client waits");
    }
    let begun = std::time::Instant::now();
    while counted().await < 3 {
        assert!(begun.elapsed() < Duration::from_secs(60), "three tries were never counted");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// an administrator's unlocking also reaches the networks an account is known to sign in from.
#[tokio::test]
async fn unlocking_reaches_known_networks() {
    let world = site().await;
    assert_eq!(status(&world.engine, "ada", PASSWORD, HOME).await, 200, "from now on the network is known");
    while wait(&world.engine, "ada", WRONG, HOME).await.is_none() {}
    assert_eq!(status(&world.engine, "ada", PASSWORD, HOME).await, 429, "negative control");
    world.engine.accounts().unlock("ada", world.engine.now().wall).await.expect("unlocked");
    assert_eq!(status(&world.engine, "ada", PASSWORD, HOME).await, 200);
}
