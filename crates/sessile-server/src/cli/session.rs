//! `sessile session`: listing and ending sessions, also beside a running server, which learns of it by the feed.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;
use sessile::{Actor, Engine};
use sessile_core::revocation::{Reason, Scope};
use sessile_core::session::{Life, Session};
use sessile_core::{InvalidId, Subject};

use super::opening::engine_for_command;
use super::{Failure, block_on};
use crate::config::{Loaded, duration_text};
use crate::output::{Format, Layout, Tone, cell, print, print_json, print_table};
use crate::views;

/// Sessions read at a time.
const PAGE: u32 = 500;

#[derive(Debug, Subcommand)]
pub(super) enum SessionCommand {
    /// List live sessions
    List {
        /// Only this subject's
        #[arg(long)]
        subject: Option<String>,
    },
    /// End sessions
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct RevokeArgs {
    /// The session to end
    // One id in 64 begins with a hyphen.
    #[arg(allow_hyphen_values = true)]
    id: Option<String>,
    /// End every session of this subject
    #[arg(long)]
    subject: Option<String>,
    /// End every session there is
    #[arg(long)]
    all: bool,
}

pub(super) fn run(loaded: &Loaded, command: SessionCommand, format: Format) -> Result<ExitCode, Failure> {
    match command {
        SessionCommand::List { subject } => {
            let subject = subject.map(|text| text.parse()).transpose().map_err(wrong)?;
            block_on(list(loaded, subject, format))
        }
        SessionCommand::Revoke(args) => {
            let scope = args.scope()?;
            block_on(revoke(loaded, scope, format))
        }
    }
}

fn wrong(error: InvalidId) -> Failure {
    Failure::Usage(error.to_string())
}

impl RevokeArgs {
    fn scope(self) -> Result<Scope, Failure> {
        match (self.id, self.subject, self.all) {
            (Some(id), None, false) => id.parse().map(Scope::Session).map_err(wrong),
            (None, Some(subject), false) => subject.parse().map(Scope::Subject).map_err(wrong),
            (None, None, true) => Ok(Scope::All),
            _ => Err(Failure::Usage("name one session, or --subject S, or --all".into())),
        }
    }
}

async fn list(loaded: &Loaded, subject: Option<Subject>, format: Format) -> Result<ExitCode, Failure> {
    let engine = engine_for_command(loaded).await?;
    let now = engine.now().wall;
    let mut live: Vec<Session> = Vec::new();
    let mut after = None;
    loop {
        let page = engine.vault().list(subject.as_ref(), after, PAGE).await?;
        live.extend(
            page.sessions
                .into_iter()
                .filter(|session| matches!(session.life(engine.limits(), now), Life::LiveUntil(_))),
        );
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    live.sort_by_key(|session| (std::cmp::Reverse(session.last_seen_at), session.id));
    match format {
        Format::Json => {
            let view = |session| {
                let mut view = views::session(session, engine.config());
                // A command has no session of its own.
                view["current"] = false.into();
                view
            };
            print_json(&live.iter().map(view).collect())?;
        }
        Format::Human => print_table(
            Layout::Rows,
            &["ID", "SUBJECT", "CLIENT", "NETWORK", "CREATED", "LAST SEEN", "EXPIRES"],
            live.iter().map(|session| row(session, &engine)).collect(),
            "There are no live sessions.",
        )?,
    }
    Ok(ExitCode::SUCCESS)
}

fn row(session: &Session, engine: &Engine) -> Vec<comfy_table::Cell> {
    let client = &session.client;
    let browser = match (client.browser.as_str(), client.platform.as_str()) {
        ("", "") => "unknown".to_owned(),
        (browser, "") => browser.to_owned(),
        ("", platform) => platform.to_owned(),
        (browser, platform) => format!("{browser} on {platform}"),
    };
    vec![
        cell(session.id.to_string(), Tone::Plain),
        cell(session.subject.as_str(), Tone::Plain),
        cell(browser, Tone::Plain),
        cell(&client.network, Tone::Plain),
        cell(views::rfc3339(session.created_at), Tone::Plain),
        cell(views::rfc3339(session.last_seen_at), Tone::Plain),
        cell(views::rfc3339(session.end(engine.limits())), Tone::Plain),
    ]
}

async fn revoke(loaded: &Loaded, scope: Scope, format: Format) -> Result<ExitCode, Failure> {
    let engine = engine_for_command(loaded).await?;
    let ended = engine.revoke(&scope, Reason::EndedByAdministrator, &Actor::Administrator).await?;
    // Writes the events of this order into the store.
    engine.run(std::future::ready(())).await;
    match format {
        Format::Json => print_json(&json!({ "ended": ended }))?,
        Format::Human => {
            let bound = duration_text(engine.limits().staleness);
            print(&format!("{}; every server refuses them within {bound}", sessions_ended(ended.len())))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// How many sessions ended, as a sentence.
pub(super) fn sessions_ended(count: usize) -> String {
    match count {
        0 => "no session ended".to_owned(),
        1 => "1 session ended".to_owned(),
        count => format!("{count} sessions ended"),
    }
}
