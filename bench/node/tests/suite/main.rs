//! Every case works, on a gateway built with these tests: what it comes to is nobody's figure.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn gateway() -> PathBuf {
    // Built with the tests; beside the directory that this one is in.
    let tests = std::env::current_exe().unwrap();
    let gateway = tests.parent().unwrap().parent().unwrap().join("examples/gateway");
    assert!(gateway.exists(), "{} is missing: run the tests of the whole crate", gateway.display());
    gateway
}

fn measured(case: &str) -> Value {
    let out = tempfile::NamedTempFile::new().unwrap();
    let said = Command::new(env!("CARGO_BIN_EXE_sessile-bench-node"))
        .args(["--tiny", "--only", case, "--gateway"])
        .arg(gateway())
        .arg("--out")
        .arg(out.path())
        .output()
        .unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let report: Value = serde_json::from_slice(&std::fs::read(out.path()).unwrap()).unwrap();
    assert_eq!(report["quick"], true, "a tiny run is not taken for a real one");
    assert_eq!(report["cases"].as_object().unwrap().len(), 1);
    report["cases"][case].clone()
}

// The figures that a case has, of which each is there in every round.
fn assert_has(outcome: &Value, figures: &[&str], comparisons: usize) {
    let list = outcome["figures"].as_array().unwrap();
    for name in figures {
        let figure = list.iter().find(|figure| figure["name"] == *name).unwrap_or_else(|| panic!("no figure {name}"));
        let rounds = figure["rounds"].as_array().unwrap();
        assert!(!rounds.is_empty() && rounds.iter().all(Value::is_number), "{name}: {rounds:?}");
        assert!(!figure["what"].as_str().unwrap().is_empty());
    }
    assert_eq!(outcome["comparisons"].as_array().unwrap().len(), comparisons);
    assert!(outcome["method"].as_str().unwrap().len() > 100);
}

#[test]
fn renewals() {
    assert_has(&measured("renewals"), &["single", "write", "library", "gateway"], 3);
}

#[test]
fn sessions() {
    assert_has(&measured("sessions"), &["few of beside: p99", "many of full: per second", "first of full"], 5);
}

#[test]
fn memory() {
    let outcome = measured("memory");
    assert_has(&outcome, &["idle", "active", "all warm", "full store"], 0);
    let idle = outcome["figures"][0]["median"].as_f64().unwrap();
    assert!(idle > 1e6, "a gateway takes more than a megabyte: {idle}");
}

#[test]
fn revocation() {
    assert_has(&measured("revocation"), &["redis: trip", "redis: refused", "postgres: trip", "postgres: refused"], 2);
}

#[test]
fn cold() {
    assert_has(&measured("cold"), &["bare", "first", "second"], 1);
}

/// A gateway that lets nobody in is no fast gateway: the run fails.
#[test]
fn what_is_not_answered_is_not_counted() {
    let out = tempfile::NamedTempFile::new().unwrap();
    for not_a_gateway in ["/bin/true", "/bin/false"] {
        let said = Command::new(env!("CARGO_BIN_EXE_sessile-bench-node"))
            .args(["--tiny", "--only", "sessions", "--gateway", not_a_gateway, "--out"])
            .arg(out.path())
            .output()
            .unwrap();
        assert!(!said.status.success());
        assert!(String::from_utf8_lossy(&said.stderr).contains("no gateway"), "{said:?}");
    }
}

#[test]
fn medians_and_ratios() {
    use sessile_bench_node::report::{Rounds, Spread, count, median};

    assert_eq!([7, 1000, 65_000, 1_234_567].map(count), ["7", "1,000", "65,000", "1,234,567"]);
    assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
    assert_eq!(median(vec![4.0, 1.0]), 2.5);
    let spread = Spread::of(vec![5.0, 1.0, 3.0]);
    assert_eq!((spread.low, spread.median, spread.high), (1.0, 3.0, 5.0));
    let mut rounds = Rounds::default();
    // Each round is compared with itself: what is slow in both is no difference.
    for (above, below) in [(10.0, 5.0), (100.0, 50.0), (9.0, 3.0)] {
        rounds.note("above", above);
        rounds.note("below", below);
    }
    let ratio = rounds.compare("above", "below", "", None).spread;
    assert_eq!((ratio.low, ratio.median, ratio.high), (2.0, 2.0, 3.0));
}

/// A load counts only what reached the app as a signed-in user's: strangers' requests make it fail.
#[test]
fn strangers_are_noticed() {
    use std::time::Duration;

    use sessile_bench_node::app::App;
    use sessile_bench_node::gateway::{Gateway, Settings};
    use sessile_bench_node::load::{Load, Wrk};
    use sessile_bench_node::machine::Cores;
    use sessile_bench_node::store::{Filling, Store};

    let (cores, store) =
        (Cores::of_this_process(), Store::filled(Filling { visitors: 3, others: 0, age: Duration::ZERO }));
    let (app, wrk, program) = (App::start(cores.load), Wrk::on(cores.load), gateway());
    let gateway = Gateway::start(&Settings {
        program: Path::new(&program),
        core: cores.gateway,
        data: store.directory(),
        master: &store.master,
        app: Some(&app),
        further: Vec::new(),
    });
    let load = |name: &str, lines: Vec<String>, counted_as| Load {
        cookies: store.write_cookies(name, lines.into_iter()),
        connections: 2,
        seconds: 1,
        pause: Some(Duration::from_millis(20)),
        counted_as,
    };
    let known: Vec<String> = store.visitors.iter().map(|one| one.cookies()).collect();
    gateway.admit_all(&known);
    let good = load("known", known.clone(), "sessile_admitted_warm_total");
    assert!(wrk.load(&gateway, &app, &good).requests > 0);
    for (what, lines, counted_as) in [
        ("strangers", vec!["nobody=1".to_owned()], "sessile_admitted_warm_total"),
        ("tokens that are warm, taken for cold ones", known, "sessile_admitted_cold_total"),
    ] {
        let bad = load("bad", lines, counted_as);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| wrk.load(&gateway, &app, &bad)));
        assert!(caught.is_err(), "{what} were counted");
    }
}
