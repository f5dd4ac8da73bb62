//! A gateway on a full store, beside one on a store that is nearly empty.

use std::path::PathBuf;
use std::time::Duration;

use super::{Bench, in_turn};
use crate::gateway::Gateway;
use crate::load::Load;
use crate::report::{Outcome, Rounds, Target, Unit};
use crate::store::{Filling, Store};

/// Connections while latency is measured. Many, so that one that waits for a slow answer holds back few requests.
const PEOPLE: usize = 256;
const WARM: &str = "sessile_admitted_warm_total";
const COLD: &str = "sessile_admitted_cold_total";

struct Side<'a> {
    name: String,
    store: &'a Store,
    gateway: &'a Gateway,
    /// The sessions in use.
    cookies: PathBuf,
}

pub(super) fn measure(bench: &Bench) -> Outcome {
    let size = bench.size;
    let small = Store::filled(Filling { visitors: size.few, others: 0, age: Duration::ZERO });
    let (middle, full) = (bench.middle(), bench.full());
    let [by_small, by_middle, by_full] = [&small, middle, full].map(|store| bench.gateway(store, &[]));
    let side = |name: &str, store, gateway, users: usize| {
        let cookies = Store::write_cookies(
            store,
            &format!("{users}.txt"),
            store.visitors[..users].iter().map(|one| one.cookies()),
        );
        Side { name: format!("{users} of {name}"), store, gateway, cookies }
    };
    let sides = [
        side("few", &small, &by_small, size.few),
        side("full", full, &by_full, size.few),
        side("middle", middle, &by_middle, size.many),
        side("full", full, &by_full, size.many),
    ];
    for side in &sides[1..] {
        let users = if side.name.starts_with(&format!("{} ", size.few)) { size.few } else { size.many };
        side.gateway.admit_all(&side.store.visitors[..users].iter().map(|one| one.cookies()).collect::<Vec<_>>());
    }
    by_small.admit_all(&small.visitors.iter().map(|one| one.cookies()).collect::<Vec<_>>());
    let load = |side: &Side<'_>, connections, pause: Option<Duration>| {
        let load = Load { cookies: side.cookies.clone(), connections, seconds: size.seconds, pause, counted_as: WARM };
        bench.wrk.load(side.gateway, &bench.app, &load)
    };

    let mut rounds = Rounds::default();
    // Half of what the gateway on the small store can do; the same pace for every side.
    let full_speed = load(&sides[0], size.connections, size.pause).per_second();
    let (people, pause) = match size.pause {
        None => (PEOPLE, Duration::from_secs_f64(PEOPLE as f64 / (full_speed / 2.0))),
        Some(pause) => (size.connections, pause * 2),
    };
    for round in 0..size.rounds {
        for side in in_turn(round, sides.iter().collect()) {
            let walked = load(side, size.connections, size.pause);
            rounds.note(&format!("{}: per second", side.name), walked.per_second());
            let walked = load(side, people, Some(pause));
            rounds.note(&format!("{}: p50", side.name), walked.p50 as f64);
            rounds.note(&format!("{}: p99", side.name), walked.p99 as f64);
            rounds.note(&format!("{}: paced", side.name), walked.per_second());
        }
    }
    // Last: what is seen for the first time drives out what was warm.
    let first_used = |store: &Store| store.visitors.len() - bench.fresh();
    for round in 0..size.rounds {
        for (name, store, gateway) in in_turn(round, vec![("middle", middle, &by_middle), ("full", full, &by_full)]) {
            let from = first_used(store) + round * size.fresh;
            let fresh = store.visitors[from..from + size.fresh].iter().map(|one| one.cookies());
            let cookies = store.write_cookies("fresh.txt", fresh);
            let load = Load { cookies, connections: size.connections, seconds: 1, pause: size.pause, counted_as: COLD };
            rounds.note(&format!("{name}: first sight"), bench.wrk.load(gateway, &bench.app, &load).per_second());
        }
    }
    report(bench, &rounds, pause, people, middle.visitors.len())
}

fn report(bench: &Bench, rounds: &Rounds, pause: Duration, people: usize, in_middle: usize) -> Outcome {
    let size = bench.size;
    let (few, many, live) = (size.few, size.many, size.live);
    let method = format!(
        "Three gateways (`hybrid`, everything else by default but for access tokens of an hour) on one core, each on an embedded \
         store of its own: with {few}, {in_middle} and {live} live sessions. wrk on the other core, where the app is too, walks a \
         file of cookies, a session for each request. {few} sessions in use: in the store of {few} and in that of {live}. {many} in \
         use, one after the other: in the store of {in_middle} and in that of {live}. All of their tokens are warm. Throughput: {} \
         connections that never pause. p99 at half load: {people} connections, each of which pauses for {:.1} ms on the average \
         before each request, exponentially distributed, the same for every store; that makes about half of the throughput on the \
         smallest store. A connection that waits sends nothing, but there are so many that a slow answer holds back few requests, \
         and wrk adds the requests that a connection held back by more than twice its mean interval would have made. First sight: {} \
         connections that never pause, for a second, each request of a session that was not used before.",
        size.connections,
        pause.as_secs_f64() * 1000.0,
        size.connections,
    );
    let sides = [
        (format!("{few} of few"), few, few),
        (format!("{few} of full"), few, live),
        (format!("{many} of middle"), many, in_middle),
        (format!("{many} of full"), many, live),
    ];
    let mut figures = Vec::new();
    for (name, users, sessions) in &sides {
        let what = |what: &str| format!("{users} of {sessions} sessions in use: {what}");
        for (figure, words, unit) in [
            ("per second", "requests", Unit::PerSecond),
            ("paced", "requests, at half load", Unit::PerSecond),
            ("p50", "half of them within, at half load", Unit::Micros),
            ("p99", "99 % of them within, at half load", Unit::Micros),
        ] {
            figures.push(rounds.figure(&format!("{name}: {figure}"), what(words), unit));
        }
    }
    for (name, sessions) in [("middle", in_middle), ("full", live)] {
        let what = format!("first sights in a store of {sessions} sessions");
        figures.push(rounds.figure(&format!("{name}: first sight"), what, Unit::PerSecond));
    }
    let mut comparisons = Vec::new();
    for [(above, users, sessions), (below, _, beside)] in [[&sides[1], &sides[0]], [&sides[3], &sides[2]]] {
        for (figure, words, target) in
            [("per second", "throughput", Target::Least(0.95)), ("p99", "p99 at half load", Target::Most(1.1))]
        {
            comparisons.push(rounds.compare(
                &format!("{above}: {figure}"),
                &format!("{below}: {figure}"),
                format!("{words}, {users} sessions in use: {sessions} live sessions beside {beside}"),
                Some(target),
            ));
        }
    }
    let what = format!("first sights: {live} live sessions beside {in_middle}");
    comparisons.push(rounds.compare("full: first sight", "middle: first sight", what, None));
    Outcome::of(method, figures, comparisons)
}
