//! `sessile lab`: the attacks, as a page. The lab runs this very program as the gateway it attacks.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Args;

use super::{Failure, block_on};

#[derive(Debug, Args)]
pub(super) struct LabArgs {
    /// Where the page is [default: 127.0.0.1:7070, or a free port]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// End after the first run
    #[arg(long)]
    once: bool,
}

pub(super) fn run(args: LabArgs) -> Result<ExitCode, Failure> {
    let mut options = sessile_lab::Options::new(std::env::current_exe()?);
    options.listen = args.listen;
    options.once = args.once;
    block_on(async { sessile_lab::run(options).await.map_err(|error| Failure::Other(error.to_string())) })?;
    Ok(ExitCode::SUCCESS)
}
