//! `sessile config`: every key, and what is in force.

use std::process::ExitCode;

use clap::Args;

use super::{Common, Failure, ServeArgs};
use crate::config::keys::SECTIONS;
use crate::config::{Key, Loaded, Purpose, reference};
use crate::output::{Format, Layout, Tone, cell, print, print_json, print_table};

#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    /// Print the reference page instead, with the defaults alone
    #[arg(long)]
    markdown: bool,
}

pub(super) fn run(common: &Common, args: &ConfigArgs, format: Format) -> Result<ExitCode, Failure> {
    if args.markdown {
        print(reference::markdown().trim_end())?;
        return Ok(ExitCode::SUCCESS);
    }
    // The list of keys is of most use when something is wrong, so it comes before the mistakes.
    let loaded = common.load(&ServeArgs::default(), Purpose::Data);
    show(loaded.as_ref().ok(), format)?;
    loaded.map(|_| ExitCode::SUCCESS)
}

fn show(loaded: Option<&Loaded>, format: Format) -> Result<(), Failure> {
    let given = |key: &Key| loaded.and_then(|loaded| loaded.in_force.get(key.path).cloned());
    if format == Format::Json {
        return Ok(print_json(&reference::json(given))?);
    }
    let mut rows = Vec::new();
    for section in SECTIONS {
        rows.push(vec![cell(reference::heading(section), Tone::Good)]);
        for key in section.keys {
            let (value, tone) = match given(key) {
                Some((shown, place)) => {
                    (format!("{} ({place})", shown.unwrap_or_else(|| "***".to_owned())), Tone::Caution)
                }
                None => (reference::default(key).unwrap_or_default(), Tone::Plain),
            };
            let env = if section.repeated { String::new() } else { key.env() };
            let name_tone = if key.is_danger() { Tone::Bad } else { Tone::Plain };
            rows.push(vec![
                cell(format!("  {}", key.name), name_tone),
                cell(value, tone),
                cell(env, Tone::Plain),
                cell(key.why.trim(), Tone::Plain),
            ]);
        }
    }
    Ok(print_table(Layout::Prose, &["KEY", "VALUE", "ENVIRONMENT", "WHY"], rows, "")?)
}
