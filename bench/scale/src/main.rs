//! Prints the figures of `docs/scale.md` as JSON.
//!
//! ```text
//! cargo run --release -p sessile-scale -- units      what one session costs, on servers that it starts itself
//! cargo run --release -p sessile-scale -- simulate   what many of them come to
//! ```

use std::process::ExitCode;

use sessile_scale::simulation::cases;
use sessile_scale::units::{self, resident};

/// How many sessions a store holds when its operations are measured.
const SESSIONS: u32 = 200_000;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["units"] => print(&units::measure(SESSIONS, |what| eprintln!("{what}")).await),
        ["simulate"] => print(&cases::page(|case| {
            eprintln!("{} nodes, {} sessions, tokens of {} s", case.nodes, case.sessions, case.access_secs);
        })),
        // Of `units` itself: each in a process of its own.
        ["resident", "view", count] => println!("{}", resident::view(number(count))),
        ["resident", "tokens", count] => println!("{}", resident::tokens(number(count)).await),
        _ => {
            eprintln!("usage: sessile-scale units | simulate");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn number(text: &str) -> u32 {
    text.parse().expect("a number")
}

fn print(value: &impl serde::Serialize) {
    println!("{}", serde_json::to_string_pretty(value).expect("figures are plain values"));
}
