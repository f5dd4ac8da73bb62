//! `sessile check`: every mistake at once, and what a start would warn about.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::{Common, Failure, ServeArgs, opening, warning_text};
use crate::config::{Purpose, Warning};
use crate::output::{Format, print, print_json};

pub(super) fn run(common: &Common, args: &ServeArgs, format: Format) -> Result<ExitCode, Failure> {
    let loaded = match common.load(args, Purpose::Serve) {
        Ok(loaded) => loaded,
        // The mistakes are what was asked for, so they are this command's output.
        Err(Failure::Config(mistakes)) if format == Format::Json => {
            print_json(&json!({ "ok": false, "mistakes": mistakes.to_json(), "warnings": [] }))?;
            return Ok(super::Exit::Config.into());
        }
        Err(failure) => return Err(failure),
    };
    opening::check_master_key(&loaded.runtime.store)?;
    match format {
        Format::Json => {
            let warning = |w: &Warning| json!({ "key": w.key, "text": w.text });
            let warnings: Value = loaded.warnings.iter().map(warning).collect();
            print_json(&json!({ "ok": true, "mistakes": [], "warnings": warnings }))?;
        }
        Format::Human => {
            for warning in &loaded.warnings {
                print(&format!("warning: {}", warning_text(warning)))?;
            }
            let file = loaded
                .file
                .as_ref()
                .map_or_else(|| "the defaults, environment and flags".to_owned(), |file| file.display().to_string());
            print(&format!("nothing is wrong in {file}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
