//! A gateway on a full store, beside one on a store that is nearly empty.

use std::time::Duration;

use super::{Bench, in_turn};
use crate::gateway::Gateway;
use crate::load::Load;
use crate::report::{Outcome, Rounds, Target, Unit, count};
use crate::store::{Filling, Store, Visitor};

/// Connections while latency is measured. Many, so that one that waits for a slow answer holds back few requests.
const PEOPLE: usize = 256;
const WARM: &str = "sessile_admitted_warm_total";
const COLD: &str = "sessile_admitted_cold_total";

struct Side<'a> {
    name: &'static str,
    store: &'a Store,
    gateway: Gateway,
}

/// The pace at half load.
#[derive(Clone, Copy)]
struct Pace {
    people: usize,
    pause: Duration,
}

pub(super) fn measure(bench: &Bench) -> Outcome {
    let size = bench.size;
    let small = Store::filled(Filling { visitors: size.few, others: 0, age: Duration::ZERO });
    let (middle, full) = (bench.middle(), bench.full());
    let mut rounds = Rounds::default();
    let mut pace = None;
    // One pair after the other: gateways that are compared remember as many tokens as each other.
    for (name, beside, users) in [("few", &small, size.few), ("many", middle, size.many)] {
        let side = |name, store| Side { name, store, gateway: bench.gateway(store, &[]) };
        let sides = [side("beside", beside), side("full", full)];
        let cookies = sides.each_ref().map(|side| {
            let users: Vec<String> = side.store.visitors[..users].iter().map(Visitor::cookies).collect();
            side.gateway.admit_all(&users);
            side.store.write_cookies("in-use.txt", users.into_iter())
        });
        let load = |at: usize, connections, pause| {
            let cookies = cookies[at].clone();
            let load = Load { cookies, connections, seconds: size.seconds, pause, counted_as: WARM };
            bench.wrk.load(&sides[at].gateway, &bench.app, &load)
        };
        let full_speed = || load(0, size.connections, size.pause).per_second();
        let Pace { people, pause } = *pace.get_or_insert_with(|| Pace::of_half(bench, full_speed()));
        for round in 0..size.rounds {
            for at in in_turn(round, vec![0, 1]) {
                let name = format!("{name} of {}", sides[at].name);
                rounds.note(&format!("{name}: per second"), load(at, size.connections, size.pause).per_second());
            }
            for at in in_turn(round, vec![0, 1]) {
                let name = format!("{name} of {}", sides[at].name);
                let walked = load(at, people, Some(pause));
                rounds.note(&format!("{name}: paced"), walked.per_second());
                rounds.note(&format!("{name}: p50"), walked.p50 as f64);
                rounds.note(&format!("{name}: p99"), walked.p99 as f64);
            }
        }
        if name == "many" {
            first_sights(bench, &sides, &mut rounds);
        }
    }
    report(bench, &rounds, pace.expect("some rounds"), middle.visitors.len())
}

// Last: what is seen for the first time drives out what was warm.
fn first_sights(bench: &Bench, sides: &[Side<'_>; 2], rounds: &mut Rounds) {
    let size = bench.size;
    for round in 0..size.rounds {
        for Side { name, store, gateway } in in_turn(round, sides.iter().collect()) {
            let from = store.visitors.len() - bench.fresh() + round * size.fresh;
            let fresh = store.visitors[from..from + size.fresh].iter().map(Visitor::cookies);
            let cookies = store.write_cookies("fresh.txt", fresh);
            let load = Load { cookies, connections: size.connections, seconds: 1, pause: size.pause, counted_as: COLD };
            rounds.note(&format!("first of {name}"), bench.wrk.load(gateway, &bench.app, &load).per_second());
        }
    }
}

impl Pace {
    // The same pace for everybody: half of what the gateway on the smallest store can do.
    fn of_half(bench: &Bench, full_speed: f64) -> Self {
        match bench.size.pause {
            None => Self { people: PEOPLE, pause: Duration::from_secs_f64(PEOPLE as f64 / (full_speed / 2.0)) },
            Some(pause) => Self { people: bench.size.connections, pause: pause * 2 },
        }
    }
}

fn report(bench: &Bench, rounds: &Rounds, pace: Pace, in_middle: usize) -> Outcome {
    let size = bench.size;
    let [few, many, live, in_middle] = [size.few, size.many, size.live, in_middle].map(count);
    let method = format!(
        "Two gateways at a time (`hybrid`, everything else by default but for access tokens of an hour) on one core, each on an \
         embedded store of its own. wrk on the other core, where the app is too, walks a file of cookies, a session for each \
         request. {few} sessions in use: in a store of {few} live ones and in one of {live}. {many} in use, one after the other: \
         in a store of {in_middle} and in that of {live}. All of their tokens are warm. Throughput: {} connections that never \
         pause. p99 at half load: {} connections, each of which pauses for {:.1} ms on the average before each request, \
         exponentially distributed, the same for every store; that makes about half of the throughput on the smallest store. A \
         connection that waits sends nothing, but there are so many that a slow answer holds back few requests, and wrk adds the \
         requests that a connection held back by more than twice its mean interval would have made. First sight: {} connections \
         that never pause, for a second, each request of a session that was not used before.",
        size.connections,
        pace.people,
        pace.pause.as_secs_f64() * 1000.0,
        size.connections,
    );
    let pairs = [("few", &few, &few), ("many", &many, &in_middle)];
    let (mut figures, mut comparisons) = (Vec::new(), Vec::new());
    for (name, users, beside) in pairs {
        for (side, sessions) in [("beside", beside), ("full", &live)] {
            let what = |what: &str| format!("{users} of {sessions} sessions in use: {what}");
            for (figure, words, unit) in [
                ("per second", "requests", Unit::PerSecond),
                ("paced", "requests, at half load", Unit::PerSecond),
                ("p50", "half of them within, at half load", Unit::Micros),
                ("p99", "99 % of them within, at half load", Unit::Micros),
            ] {
                figures.push(rounds.figure(&format!("{name} of {side}: {figure}"), what(words), unit));
            }
        }
        for (figure, words, target) in
            [("per second", "Throughput", Target::Least(0.95)), ("p99", "P99 at half load", Target::Most(1.1))]
        {
            comparisons.push(rounds.compare(
                &format!("{name} of full: {figure}"),
                &format!("{name} of beside: {figure}"),
                format!("{words}, {users} sessions in use: {live} live sessions beside {beside}"),
                Some(target),
            ));
        }
    }
    for (side, sessions) in [("beside", &in_middle), ("full", &live)] {
        let what = format!("First sights in a store of {sessions} sessions");
        figures.push(rounds.figure(&format!("first of {side}"), what, Unit::PerSecond));
    }
    let what = format!("First sights: {live} live sessions beside {in_middle}");
    comparisons.push(rounds.compare("first of full", "first of beside", what, None));
    Outcome::of(method, figures, comparisons)
}
