//! Runs the lab against a sessile executable: `cargo run -p sessile-lab --example lab -- target/debug/sessile`.

use std::path::PathBuf;
use std::process::ExitCode;

use sessile_lab::Options;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(sessile) = arguments.next() else {
        eprintln!("usage: lab SESSILE [ADDRESS:PORT]");
        return ExitCode::from(2);
    };
    let listen = match arguments.next().map(|text| text.to_string_lossy().parse()).transpose() {
        Ok(listen) => listen,
        Err(error) => {
            eprintln!("lab: the address to listen on is no address: {error}");
            return ExitCode::from(2);
        }
    };
    match sessile_lab::run(Options { listen, ..Options::new(PathBuf::from(sessile)) }).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lab: {error}");
            ExitCode::FAILURE
        }
    }
}
