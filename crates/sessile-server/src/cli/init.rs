//! `sessile init`: a commented configuration file.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{Common, Failure, ServeArgs};
use crate::config::reference::{Chosen, commented_file};
use crate::config::{self, DEFAULT_FILE, Purpose, Sources};
use crate::output::print;

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// Where to write it; - for standard output
    #[arg(default_value = DEFAULT_FILE)]
    file: PathBuf,
    #[command(flatten)]
    chosen: ServeArgs,
}

pub(super) fn run(common: &Common, args: &InitArgs) -> Result<ExitCode, Failure> {
    let flags = common.sources(&args.chosen).flags;
    let chosen: Vec<Chosen> = flags.into_iter().map(|(key, _, value)| Chosen { key, value }).collect();
    let text = commented_file(&chosen);
    // Whoever starts from this file starts from one in which nothing is wrong.
    config::load_text(&args.file.display().to_string(), &text, &Sources::default(), Purpose::Data)?;
    if args.file.as_os_str() == "-" {
        print(text.trim_end_matches('\n'))?;
        return Ok(ExitCode::SUCCESS);
    }
    let name = args.file.display();
    let mut file = OpenOptions::new().write(true).create_new(true).open(&args.file).map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => Failure::Other(format!("{name} exists; it is not overwritten. Name another file")),
        _ => Failure::Other(format!("{name}: {e}")),
    })?;
    file.write_all(text.as_bytes())?;
    print(&format!(
        "{name} is written. Edit it, then `sessile check --config {name}` and `sessile serve --config {name}`"
    ))?;
    Ok(ExitCode::SUCCESS)
}
