//! The binary `sessile`, built with this crate's tests so that they need no other build.

fn main() -> std::process::ExitCode {
    sessile_server::cli::main()
}
