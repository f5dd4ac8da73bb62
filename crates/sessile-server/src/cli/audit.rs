//! `sessile audit`: the security events in the store.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;
use sessile::SystemClock;
use sessile_core::event::{EventName, Level};
use sessile_store::{EventQuery, EventsFrom, StoredEvent, Vault};

use super::{Common, Failure, Role, block_on, vault};
use crate::config::Loaded;
use crate::output::{Format, Layout, Tone, cell, print, print_json, print_table};
use crate::views;

/// Events read at a time.
const PAGE: u32 = 500;
/// How often `--follow` looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Show the newest events
    Tail {
        /// How many
        #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        count: u32,
        /// Go on showing new ones until stopped
        #[arg(short, long)]
        follow: bool,
        #[command(flatten)]
        filter: Filter,
    },
    /// Print every event, oldest first, one JSON object a line
    Export {
        #[command(flatten)]
        filter: Filter,
    },
    /// List the events there are and what they mean
    Names {
        /// Print the reference page
        #[arg(long)]
        markdown: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct Filter {
    /// Only about this subject
    #[arg(long)]
    subject: Option<String>,
    /// Only about this session
    #[arg(long)]
    session: Option<String>,
    /// Only with this name
    #[arg(long)]
    event: Option<String>,
}

pub(super) fn run(common: &Common, command: AuditCommand, format: Format) -> Result<ExitCode, Failure> {
    match command {
        AuditCommand::Names { markdown: true } => print(markdown_page().trim_end())?,
        AuditCommand::Names { markdown: false } => names(format)?,
        AuditCommand::Tail { count, follow, filter } => {
            let query = EventQuery { limit: count, ..filter.query()? };
            common.on_store(|loaded| block_on(tail(loaded, query, follow, format)))?;
        }
        AuditCommand::Export { filter } => {
            let query = filter.query()?;
            common.on_store(|loaded| block_on(export(loaded, query)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Filter {
    fn query(self) -> Result<EventQuery, Failure> {
        let wrong = |e: sessile_core::InvalidId| Failure::Usage(e.to_string());
        if let Some(name) = &self.event
            && !EventName::ALL.iter().any(|known| known.name() == name)
        {
            return Err(Failure::Usage("no event has this name; see `sessile audit names`".into()));
        }
        Ok(EventQuery {
            from: EventsFrom::Newest,
            subject: self.subject.map(|text| text.parse()).transpose().map_err(wrong)?,
            session: self.session.map(|text| text.parse()).transpose().map_err(wrong)?,
            name: self.event,
            limit: PAGE,
        })
    }
}

async fn tail(loaded: &Loaded, mut query: EventQuery, follow: bool, format: Format) -> Result<(), Failure> {
    let vault = vault(&loaded.runtime.store, Role::Visitor, &SystemClock::new()).await?;
    let events = vault.events(&query).await?;
    if !follow {
        return match format {
            Format::Json => Ok(print_json(&events.iter().map(views::event).collect())?),
            Format::Human => {
                let heading = ["TIME", "LEVEL", "EVENT", "REASON", "SUBJECT", "SESSION", "NETWORK"];
                Ok(print_table(Layout::Rows, &heading, events.iter().map(row).collect(), "There are no events.")?)
            }
        };
    }
    let mut last = events.last().map_or(0, |event| event.seq);
    print_lines(&events)?;
    query.limit = PAGE;
    loop {
        let stop = tokio::time::timeout(LOOK_EVERY, tokio::signal::ctrl_c()).await;
        if stop.is_ok() {
            return Ok(());
        }
        last = print_after(&vault, &mut query, last).await?;
    }
}

async fn export(loaded: &Loaded, mut query: EventQuery) -> Result<(), Failure> {
    let vault = vault(&loaded.runtime.store, Role::Visitor, &SystemClock::new()).await?;
    let mut last = 0;
    loop {
        let before = last;
        last = print_after(&vault, &mut query, last).await?;
        if last == before {
            return Ok(());
        }
    }
}

/// Prints one page of what comes after an event and answers the last one printed.
async fn print_after(vault: &Vault, query: &mut EventQuery, last: u64) -> Result<u64, Failure> {
    query.from = EventsFrom::After(last);
    let events = vault.events(query).await?;
    print_lines(&events)?;
    Ok(events.last().map_or(last, |event| event.seq))
}

fn print_lines(events: &[StoredEvent]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for event in events {
        writeln!(out, "{}", views::event(event))?;
    }
    // A reader that went away ends an export, unlike a table that was long enough.
    out.flush()
}

fn row(event: &StoredEvent) -> Vec<comfy_table::Cell> {
    let level = EventName::ALL.iter().find(|name| name.name() == event.name).map(|name| name.level());
    let tone = match level {
        Some(Level::Critical) => Tone::Bad,
        Some(Level::Warn) | None => Tone::Caution,
        Some(Level::Info) => Tone::Plain,
    };
    let text = |text: Option<String>| cell(text.unwrap_or_default(), Tone::Plain);
    vec![
        cell(views::rfc3339(event.at), Tone::Plain),
        cell(level.map_or("unknown", Level::name), tone),
        cell(&event.name, tone),
        cell(&event.reason, Tone::Plain),
        text(event.subject.as_ref().map(ToString::to_string)),
        text(event.session.as_ref().map(ToString::to_string)),
        text(event.client.as_ref().map(|client| client.network.clone())),
    ]
}

fn names(format: Format) -> Result<(), Failure> {
    let meaning = |name: &EventName| name.meaning().trim().to_owned();
    match format {
        Format::Json => {
            let view = |name: &EventName| json!({ "event": name.name(), "level": name.level().name(), "meaning": meaning(name) });
            print_json(&EventName::ALL.iter().map(view).collect())?;
        }
        Format::Human => {
            let row = |name: &EventName| {
                vec![
                    cell(name.name(), Tone::Plain),
                    cell(name.level().name(), Tone::Plain),
                    cell(meaning(name), Tone::Plain),
                ]
            };
            print_table(Layout::Prose, &["EVENT", "LEVEL", "MEANING"], EventName::ALL.iter().map(row).collect(), "")?;
            if std::io::stdout().is_terminal() {
                print("The same table is in docs/events.md.")?;
            }
        }
    }
    Ok(())
}

/// docs/events.md.
pub fn markdown_page() -> String {
    let mut out = String::from(
        "# Events\n\n\
         <!-- Made by `sessile audit names --markdown` from the table in crates/sessile-core/src/event.rs; a test holds the two together. -->\n\n\
         Every security decision is an event: a line in the log, a row in the store (`sessile audit`, `GET /admin/v1/audit`), and a count in \
         `sessile_events_total{event}`. The names are those of the OWASP logging vocabulary where it has one. No event holds a secret.\n\n\
         | Field | Meaning |\n| --- | --- |\n\
         | `time` | when, in UTC with milliseconds |\n\
         | `level` | `info`, `warn` or `critical` |\n\
         | `event` | what happened: a name from the table below |\n\
         | `reason` | a stable code that says why |\n\
         | `subject` | about whom, if that is known; for a failed sign-in, who was claimed |\n\
         | `session` | the session id: a public handle, from which no token can be made |\n\
         | `request` | the id that ties together what is written about one request |\n\
         | `browser`, `network` | which browser, and its IPv4 address or IPv6 /64; in the store, and from the API, within `client` |\n\n\
         `critical`: somebody should look at one of these. `warn`: somebody should look at many of these. `info`: part of normal life.\n\n\
         | Event | Level | Meaning |\n| --- | --- | --- |\n",
    );
    for name in EventName::ALL {
        out.push_str(&format!("| `{}` | {} | {} |\n", name.name(), name.level().name(), name.meaning().trim()));
    }
    out
}
