//! The binary: everything is in the library, where tests can reach it.

/// A request makes and drops some forty small pieces, each on the thread that made it: what this allocator is built for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    sessile_server::cli::main()
}
