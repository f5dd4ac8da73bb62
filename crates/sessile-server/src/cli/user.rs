//! `sessile user`: password accounts.

use std::io::{IsTerminal, Read};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;
use sessile::password::{Accounts, HashingPool};
use sessile::{Clock, SystemClock};
use sessile_core::{SecretText, SessionId, Subject};
use sessile_store::{Account, AccountName};
use zeroize::Zeroizing;

use super::{Failure, Role, block_on};
use crate::config::Loaded;
use crate::output::{Format, Layout, Tone, cell, print, print_json, print_table};
use crate::views::rfc3339;

/// The most read from standard input: far more than a password.
const MAX_INPUT: u64 = 64 * 1024;
/// Accounts read at a time.
const PAGE: u32 = 500;

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Add an account
    Add {
        /// What the user signs in with
        name: String,
        /// The `sub` of the user's tokens [default: the name]
        #[arg(long)]
        subject: Option<String>,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Set a new password and end the user's sessions
    Passwd {
        /// The account
        name: String,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Let the user sign in no more and end the user's sessions
    Disable {
        /// The account
        name: String,
    },
    /// Let the user sign in again
    Enable {
        /// The account
        name: String,
    },
    /// Forget failed sign-ins, so that the user may try again at once
    Unlock {
        /// The account
        name: String,
    },
    /// List the accounts
    List,
}

#[derive(Debug, Args)]
pub(super) struct PasswordArgs {
    /// Read the password from standard input, up to the end of the line
    #[arg(long)]
    password_stdin: bool,
}

pub(super) fn run(loaded: &Loaded, command: UserCommand, format: Format) -> Result<ExitCode, Failure> {
    // Asked for before the store is opened, so that nothing waits on a person.
    let password = match &command {
        UserCommand::Add { password, .. } | UserCommand::Passwd { password, .. } => Some(password.read()?),
        UserCommand::Disable { .. } | UserCommand::Enable { .. } | UserCommand::Unlock { .. } | UserCommand::List => {
            None
        }
    };
    block_on(carry_out(loaded, command, password.unwrap_or_else(|| SecretText::new(String::new())), format))
}

async fn carry_out(
    loaded: &Loaded,
    command: UserCommand,
    password: SecretText,
    format: Format,
) -> Result<ExitCode, Failure> {
    let clock = SystemClock::new();
    let vault = super::vault(&loaded.runtime.store, Role::Visitor, &clock).await?;
    let policy = &loaded.runtime.engine.passwords;
    let hashing = HashingPool::new(policy);
    let entropy = sessile_aws_lc::entropy();
    let accounts = Accounts { vault: &vault, policy, hashing: &hashing, entropy: &*entropy };
    let now = clock.now().wall;
    match command {
        UserCommand::Add { name, subject, .. } => {
            let subject: Option<Subject> = subject
                .map(|text| text.parse())
                .transpose()
                .map_err(|e: sessile_core::InvalidId| Failure::Usage(e.to_string()))?;
            let account = accounts.create(&name, subject, password, now).await?;
            match format {
                Format::Json => print_json(&view(&account))?,
                Format::Human => print(&format!("{} may sign in", account.name))?,
            }
        }
        UserCommand::Passwd { name, .. } => {
            ended(&accounts.set_password(&name, password, now).await?, "the password is set", format)?
        }
        UserCommand::Disable { name } => {
            ended(&accounts.disable(&name, now).await?, "the account is disabled", format)?
        }
        UserCommand::Enable { name } => {
            accounts.enable(&name, now).await?;
            done("the account is enabled", format)?;
        }
        UserCommand::Unlock { name } => {
            accounts.unlock(&name, now).await?;
            done("failed sign-ins are forgotten", format)?;
        }
        UserCommand::List => list(&vault, format).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(vault: &sessile_store::Vault, format: Format) -> Result<(), Failure> {
    let mut all: Vec<Account> = Vec::new();
    loop {
        let after: Option<AccountName> = all.last().map(|account| account.name.clone());
        let page = vault.list_accounts(after.as_ref(), PAGE).await?;
        let last = page.len() < PAGE as usize;
        all.extend(page);
        if last {
            break;
        }
    }
    match format {
        Format::Json => print_json(&all.iter().map(view).collect())?,
        Format::Human => {
            let row = |account: &Account| {
                let (state, tone) = match account.disabled_at {
                    Some(at) => (format!("disabled {}", rfc3339(at)), Tone::Bad),
                    None => ("enabled".to_owned(), Tone::Good),
                };
                vec![
                    cell(account.name.as_str(), Tone::Plain),
                    cell(account.subject.as_str(), Tone::Plain),
                    cell(state, tone),
                    cell(rfc3339(account.created_at), Tone::Plain),
                    cell(rfc3339(account.password_set_at), Tone::Plain),
                ]
            };
            let heading = ["NAME", "SUBJECT", "STATE", "CREATED", "PASSWORD SET"];
            print_table(
                Layout::Rows,
                &heading,
                all.iter().map(row).collect(),
                "There are no accounts. Add one with `sessile user add NAME`.",
            )?;
        }
    }
    Ok(())
}

fn view(account: &Account) -> serde_json::Value {
    json!({
        "name": account.name.as_str(),
        "subject": account.subject,
        "created_at": rfc3339(account.created_at),
        "password_set_at": rfc3339(account.password_set_at),
        "disabled_at": account.disabled_at.map(rfc3339),
    })
}

fn ended(ended: &[SessionId], what: &str, format: Format) -> Result<(), Failure> {
    match format {
        Format::Json => print_json(&json!({ "ended": ended }))?,
        Format::Human => print(&format!("{what}; {}", super::session::sessions_ended(ended.len())))?,
    }
    Ok(())
}

fn done(what: &str, format: Format) -> Result<(), Failure> {
    match format {
        Format::Json => print_json(&json!({}))?,
        Format::Human => print(what)?,
    }
    Ok(())
}

impl PasswordArgs {
    /// The password, as it was typed: nothing is trimmed but the end of the line.
    fn read(&self) -> Result<SecretText, Failure> {
        if self.password_stdin {
            return from_stdin();
        }
        if !std::io::stdin().is_terminal() {
            return Err(Failure::Usage(
                "there is no terminal to ask for the password; pass --password-stdin and write it to standard input"
                    .into(),
            ));
        }
        let first = Zeroizing::new(rpassword::prompt_password("Password: ")?);
        let second = Zeroizing::new(rpassword::prompt_password("Once more: ")?);
        if first != second {
            return Err(Failure::Usage("the two are not the same; nothing was changed".into()));
        }
        Ok(SecretText::new(first.to_string()))
    }
}

fn from_stdin() -> Result<SecretText, Failure> {
    let mut text = Zeroizing::new(String::new());
    std::io::stdin().take(MAX_INPUT).read_to_string(&mut text)?;
    let line = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if line.is_empty() || line.contains('\n') {
        return Err(Failure::Usage("standard input must hold the password and nothing else, on one line".into()));
    }
    Ok(SecretText::new(line.to_owned()))
}
