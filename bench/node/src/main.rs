//! Measures a gateway on this machine, and writes what it comes to as JSON.
//!
//! ```text
//! cargo build --release -p sessile-server
//! cargo run --release -p sessile-bench-node -- --gateway target/release/sessile --out docs/measured/node.json
//! ```
//!
//! It starts what it needs, on free ports of the loopback, and stops it again. Needs wrk, redis-server and PostgreSQL.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Parser;
use sessile_bench_node::cases::{Bench, Case};
use sessile_bench_node::machine::{Machine, version_of};
use sessile_bench_node::report::{Outcome, Report, Target, Unit};
use sessile_bench_node::size::Size;

/// Measures a gateway on this machine, and writes what it comes to as JSON.
#[derive(Debug, Parser)]
struct Arguments {
    /// The binary `sessile` to measure.
    #[arg(long)]
    gateway: PathBuf,
    /// Where to write to.
    #[arg(long)]
    out: PathBuf,
    /// Only to see whether something changed.
    #[arg(long)]
    quick: bool,
    /// Only to see whether it works.
    #[arg(long, hide = true)]
    tiny: bool,
    /// One case and no other; may be given several times.
    #[arg(long)]
    only: Vec<Case>,
}

fn main() {
    let arguments = Arguments::parse();
    let size = match (arguments.tiny, arguments.quick) {
        (true, _) => Size::TINY,
        (false, true) => Size::QUICK,
        (false, false) => Size::FULL,
    };
    let program = arguments.gateway.canonicalize().expect("the binary is there");
    let versions = versions(&program);
    let (date, machine) = (jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), Machine::here());
    let bench = Bench::new(program, size);
    let mut cases = BTreeMap::new();
    for case in Case::ALL.into_iter().filter(|case| arguments.only.is_empty() || arguments.only.contains(case)) {
        eprintln!("{}", case.name());
        let outcome = case.measure(&bench);
        tell(&outcome);
        cases.insert(case.name(), outcome);
    }
    let quick = arguments.quick || arguments.tiny;
    let report = Report { date, machine, cores: bench.cores, versions, quick, cases };
    let text = serde_json::to_string_pretty(&report).expect("figures are plain values");
    std::fs::write(&arguments.out, text + "\n").expect("the file can be written");
}

fn versions(program: &Path) -> BTreeMap<&'static str, String> {
    let postgres = std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed: run scripts/setup-tests");
    let newest = postgres.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok()).max();
    let postgres = format!("/usr/lib/postgresql/{}/bin/postgres", newest.expect("a version"));
    BTreeMap::from([
        ("sessile", version_of(program, "--version")),
        ("sqlite", rusqlite::version().to_owned()),
        ("redis", version_of(Path::new("redis-server"), "--version")),
        ("postgres", version_of(Path::new(&postgres), "--version")),
        ("wrk", version_of(Path::new("wrk"), "--version")),
    ])
}

fn tell(outcome: &Outcome) {
    for figure in &outcome.figures {
        let unit = match figure.unit {
            Unit::PerSecond => "/s",
            Unit::Micros => "us",
            Unit::Bytes => "bytes",
        };
        let spread = &figure.spread;
        eprintln!("  {}: {:.1} {unit} ({:.1} to {:.1})", figure.what, spread.median, spread.low, spread.high);
    }
    for comparison in &outcome.comparisons {
        let spread = &comparison.spread;
        let target = match comparison.target {
            None => String::new(),
            Some(Target::Least(least)) => format!(", at least {least}"),
            Some(Target::Most(most)) => format!(", at most {most}"),
        };
        eprintln!("  {}: {:.3} ({:.3} to {:.3}){target}", comparison.what, spread.median, spread.low, spread.high);
    }
    eprintln!("  in {:.0} s", outcome.seconds);
}
