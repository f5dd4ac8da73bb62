//! `sessile keys`: the signing keys of access tokens.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;
use sessile::engine::KeyChange;
use sessile_core::token::{KeyId, KeyState, KeyStatus};

use super::opening::engine_for_command;
use super::{Failure, block_on};
use crate::config::{Loaded, duration_text};
use crate::output::{Format, Layout, Tone, cell, print, print_json, print_table};
use crate::views::{self, rfc3339};

#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// List the keys
    List,
    /// Publish the next key now; it signs once everybody who caches the key set can have it
    Rotate,
    /// Revoke a key: everything it signed is refused at once
    Revoke {
        /// The key
        // One id in 64 begins with a hyphen.
        #[arg(allow_hyphen_values = true)]
        id: String,
    },
}

pub(super) fn run(loaded: &Loaded, command: KeysCommand, format: Format) -> Result<ExitCode, Failure> {
    block_on(carry_out(loaded, command, format))
}

async fn carry_out(loaded: &Loaded, command: KeysCommand, format: Format) -> Result<ExitCode, Failure> {
    let revoke = match &command {
        KeysCommand::Revoke { id } => Some(id.parse::<KeyId>().map_err(|e| Failure::Usage(e.to_string()))?),
        KeysCommand::List | KeysCommand::Rotate => None,
    };
    let engine = engine_for_command(loaded).await?;
    let code = match (command, revoke) {
        (KeysCommand::List, _) => {
            list(&engine.key_status(), format)?;
            ExitCode::SUCCESS
        }
        (KeysCommand::Rotate, _) => {
            let added = match engine.rotate_keys().await? {
                KeyChange::Added(id) => Some(id),
                KeyChange::AlreadyChanged => None,
            };
            let ahead = duration_text(engine.config().keys.publish_ahead);
            match (format, added) {
                (Format::Json, added) => print_json(&json!({ "added": added }))?,
                (Format::Human, Some(id)) => print(&format!("{id} is published and signs in {ahead}"))?,
                (Format::Human, None) => print("another node changed the keys at the same moment; nothing was added")?,
            }
            ExitCode::SUCCESS
        }
        (KeysCommand::Revoke { .. }, Some(id)) => {
            if !engine.revoke_key(&id).await? {
                return Err(Failure::Other(format!("there is no key {id}; see `sessile keys list`")));
            }
            match format {
                Format::Json => print_json(&json!({ "revoked": id }))?,
                Format::Human => print(&format!(
                    "{id} is revoked; what it signed is refused within {}",
                    duration_text(engine.limits().staleness)
                ))?,
            }
            ExitCode::SUCCESS
        }
        (KeysCommand::Revoke { .. }, None) => return Err(Failure::Usage("name the key to revoke".into())),
    };
    engine.run(std::future::ready(())).await;
    Ok(code)
}

fn list(keys: &[KeyStatus], format: Format) -> Result<(), Failure> {
    match format {
        Format::Json => print_json(&keys.iter().map(views::key).collect())?,
        Format::Human => {
            let row = |key: &KeyStatus| {
                let tone = match key.state {
                    KeyState::Active => Tone::Good,
                    KeyState::Next | KeyState::Retiring => Tone::Caution,
                    KeyState::Retired => Tone::Plain,
                    KeyState::Revoked => Tone::Bad,
                };
                vec![
                    cell(key.id.as_str(), Tone::Plain),
                    cell(key.algorithm.name(), Tone::Plain),
                    cell(key.state.name(), tone),
                    cell(rfc3339(key.created_at), Tone::Plain),
                    cell(rfc3339(key.active_from), Tone::Plain),
                    cell(key.retires_at.map_or_else(String::new, rfc3339), Tone::Plain),
                ]
            };
            print_table(
                Layout::Rows,
                &["ID", "ALGORITHM", "STATE", "CREATED", "SIGNS FROM", "RETIRES"],
                keys.iter().map(row).collect(),
                "There are no keys.",
            )?;
        }
    }
    Ok(())
}
