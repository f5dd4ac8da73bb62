//! Resident memory of a gateway.

use std::time::Duration;

use super::Bench;
use crate::gateway::Gateway;
use crate::report::{Outcome, Rounds, Target, Unit, count};
use crate::store::{Filling, Store, Visitor};

/// Bytes.
const MEGABYTE: f64 = 1e6;

pub(super) fn measure(bench: &Bench) -> Outcome {
    let size = bench.size;
    let mut rounds = Rounds::default();
    let empty = Store::filled(Filling { visitors: 0, others: 0, age: Duration::ZERO });
    let (middle, full) = (bench.middle(), bench.full());
    let cookies =
        |store: &Store, count: usize| store.visitors[..count].iter().map(Visitor::cookies).collect::<Vec<_>>();
    let (active, few) = (cookies(middle, size.active), cookies(full, size.few));
    let room = [("SESSILE_SESSION_CACHED_TOKENS", (size.active * 2).to_string())];
    // Memory varies little.
    for _ in 0..size.rounds.div_ceil(3) {
        let mut look = |name: &str, gateway: &Gateway| {
            std::thread::sleep(size.settle);
            let memory = gateway.memory();
            rounds.note(name, memory.resident as f64);
            rounds.note(&format!("{name}, anonymous"), memory.anonymous as f64);
            rounds.note(&format!("{name}, proportional"), memory.proportional as f64);
        };
        look("idle", &bench.gateway(&empty, &[]));
        let gateway = bench.gateway(middle, &[]);
        gateway.admit_all(&active);
        look("active", &gateway);
        drop(gateway);
        let gateway = bench.gateway(middle, &room);
        gateway.admit_all(&active);
        look("all warm", &gateway);
        // The cache held all of them.
        let warm = gateway.counter("sessile_admitted_warm_total");
        gateway.admit_all(&active);
        let warm = gateway.counter("sessile_admitted_warm_total") - warm;
        assert!(warm as usize * 100 >= active.len() * 99, "{warm} of {} tokens were still warm", active.len());
        drop(gateway);
        let gateway = bench.gateway(full, &[]);
        for _ in 0..3 {
            gateway.admit_all(&few);
        }
        look("full store", &gateway);
    }
    let method = format!(
        "Resident set of the gateway's process, from /proc, {} ms after the last request; what is anonymous in it is heap \
         and stacks, the rest pages of the binary and of libraries and the database's index of its log. The proportional set, beside \
         it, counts pages that other processes have too in part. Idle: on an empty embedded store. Active: {} sessions, each used \
         once over one of 32 connections; by default a node remembers fewer verified tokens than that, so it is measured once as \
         it comes and once with room for all of them. Full store: {} sessions in it, of which {} are used three times.",
        size.settle.as_millis(),
        count(size.active),
        count(size.live),
        count(size.few)
    );
    let mut figures = Vec::new();
    for (name, what, most) in [
        ("idle", "Idle".to_owned(), 20.0),
        ("active", format!("{} sessions active", count(size.active)), 80.0),
        ("all warm", format!("{} sessions active, every token remembered", count(size.active)), 80.0),
        ("full store", format!("{} sessions in the store, {} active", count(size.live), count(size.few)), 40.0),
    ] {
        let mut figure = rounds.figure(name, what.clone(), Unit::Bytes);
        figure.target = Some(Target::Most(most * MEGABYTE));
        figures.push(figure);
        figures.push(rounds.figure(&format!("{name}, anonymous"), format!("{what}: heap and stacks"), Unit::Bytes));
        figures.push(rounds.figure(&format!("{name}, proportional"), format!("{what}: proportional set"), Unit::Bytes));
    }
    Outcome::of(method, figures, Vec::new())
}
