//! `sessile migrate`: every session, account and key to another store, while servers run on both.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use sessile::SystemClock;
use sessile_store::sqlite::Location;
use sessile_store::{Migration, Progress, Step, Summary, Vault};

use super::{Common, Failure, Role, ServeArgs, block_on, opening};
use crate::config::store::{SharedStore, StorePlace, StoreSettings};
use crate::config::{Loaded, Purpose};
use crate::output::{Format, Layout, Tone, cell, print, print_json, print_table};

#[derive(Debug, Args)]
#[command(after_help = "\
Both stores are opened with one master key and with the settings of [store]: name, password_file, ca and the rest. While the last \
changes are brought over, the old store changes nothing: sign-ins, renewals and sign-outs are answered with 503 and may be repeated, \
and requests with a valid access token pass. Servers need not be waited for, whatever session.staleness says: the old store refuses \
by itself.

Killed at any point, the same command goes on where it was. Not moved are security events (see `sessile audit`) and counters of \
failed sign-ins.")]
pub(super) struct MigrateArgs {
    /// The store to move from [default: the configured one]
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    /// The store to move to: an empty one
    #[arg(long, value_name = "URL")]
    to: String,
    /// Only mark the new store, so that servers started on it wait until the move is over
    #[arg(long, conflicts_with = "abandon")]
    prepare: bool,
    /// Give a move up: empties the new store, and the old one serves on
    #[arg(long)]
    abandon: bool,
}

/// A person waits for it, and a page of records is more than a request asks for.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn run(common: &Common, args: MigrateArgs, format: Format) -> Result<ExitCode, Failure> {
    let from = Common { store: args.from.clone().or_else(|| common.store.clone()), ..common.clone() };
    let to = Common { store: Some(args.to.clone()), ..common.clone() };
    from.on_store_for(Purpose::Move, |from| {
        let to = to.load(&ServeArgs::default(), Purpose::Move)?;
        block_on(migrate(from, &to, &args, format))
    })
}

async fn migrate(from: &Loaded, to: &Loaded, args: &MigrateArgs, format: Format) -> Result<ExitCode, Failure> {
    let (from, to) = (patient(&from.runtime.store), patient(&to.runtime.store));
    // Before anything is opened: to open is to make what is missing.
    refuse_a_missing_source(&from)?;
    opening::require_master_key(&from)?;
    opening::require_master_key(&to)?;
    let clock = SystemClock::new();
    let source = opening::vault(&from, Role::Visitor, &clock).await?;
    let target = opening::vault(&to, Role::Visitor, &clock).await?;
    let teller = Teller::new(format);
    let watch = |progress| teller.tell(progress);
    let migration = Migration::new(&source, &target, &watch)?;
    if args.abandon {
        migration.abandon().await?;
        return done(format, "abandoned", "the move is given up: the old store serves on, the new one is empty");
    }
    if args.prepare {
        migration.prepare().await?;
        return done(format, "prepared", "servers started on the new store wait until `sessile migrate` has filled it");
    }
    let moved = migration.run().await;
    let closed_for = teller.finish();
    report(&moved?, closed_for, &source, &target, &to, format)?;
    Ok(ExitCode::SUCCESS)
}

fn done(format: Format, what: &str, text: &str) -> Result<ExitCode, Failure> {
    match format {
        Format::Json => print_json(&json!({ (what): true }))?,
        Format::Human => print(text)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn report(
    moved: &Summary,
    closed_for: Duration,
    source: &Vault,
    target: &Vault,
    to: &StoreSettings,
    format: Format,
) -> Result<(), Failure> {
    let counted = [
        ("sessions", moved.sessions),
        ("rows of storage database", moved.tokens),
        ("accounts", moved.accounts),
        ("signing keys", moved.keys),
    ];
    match format {
        Format::Json => print_json(&json!({ "moved": {
            "sessions": moved.sessions,
            "tokens": moved.tokens,
            "accounts": moved.accounts,
            "keys": moved.keys,
            "from": source.name(),
            "to": target.name(),
            "compared": moved.compared,
            "closed_ms": u64::try_from(closed_for.as_millis()).unwrap_or(u64::MAX),
        } }))?,
        Format::Human => {
            let row = |(what, many): (&str, u64)| vec![cell(what, Tone::Plain), cell(many.to_string(), Tone::Good)];
            print_table(
                Layout::Rows,
                &["MOVED", if moved.compared { "VERIFIED" } else { "COUNTED" }],
                counted.into_iter().map(row).collect(),
                "",
            )?;
            let how = if moved.compared {
                format!("changed nothing for {:.1} s and is left", closed_for.as_secs_f64())
            } else {
                // What was compared may have gone on since at the new one.
                "was left by an earlier run, which compared everything; counted is what the new one holds now"
                    .to_owned()
            };
            print(&format!("the old store ({}) {how}; name the new one in store.url: {to}", source.name()))?;
        }
    }
    Ok(())
}

fn refuse_a_missing_source(from: &StoreSettings) -> Result<(), Failure> {
    let location = match &from.place {
        StorePlace::Directory => Location::directory(&from.data),
        StorePlace::File(path) => Location::file(path),
        StorePlace::Memory | StorePlace::Shared(_) => return Ok(()),
    };
    let database = location.database();
    match std::fs::symlink_metadata(database) {
        Ok(_) => Ok(()),
        Err(e) => Err(Failure::Usage(format!(
            "{}: {e}; nothing was moved. --from names the database to move from, and without it that is the configured one",
            database.display()
        ))),
    }
}

/// The settings of one end.
fn patient(settings: &StoreSettings) -> StoreSettings {
    let mut settings = settings.clone();
    match &mut settings.place {
        StorePlace::Shared(SharedStore::Postgres(_, options)) => {
            options.read_deadline = options.read_deadline.max(PATIENCE);
            options.write_deadline = options.write_deadline.max(PATIENCE);
        }
        StorePlace::Shared(SharedStore::Redis(_, options)) => {
            options.read_deadline = options.read_deadline.max(PATIENCE);
            options.write_deadline = options.write_deadline.max(PATIENCE);
        }
        StorePlace::File(path) => {
            // The database of a data directory by its path: its witness is the directory's, and without that it would be
            // taken for a copy, and every session ended.
            if path.file_name().is_some_and(|name| name == "sessile.db")
                && let Some(directory) =
                    path.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
                && directory.join("sessile.lock").exists()
            {
                settings.data = directory.to_owned();
                settings.place = StorePlace::Directory;
            }
        }
        StorePlace::Memory | StorePlace::Directory => {}
    }
    settings
}

/// Tells how far the move is: a bar on a terminal, a line for each step elsewhere, JSON lines for programs.
struct Teller {
    format: Format,
    bar: ProgressBar,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    step: Option<Step>,
    closed_at: Option<Instant>,
}

impl Teller {
    fn new(format: Format) -> Self {
        let target = match format {
            Format::Human => ProgressDrawTarget::stderr(),
            Format::Json => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{msg:<14} [{bar:30}] {pos}/{len} sessions, {eta} left") {
            bar.set_style(style.progress_chars("=> "));
        }
        Self { format, bar, told: Mutex::default() }
    }

    fn tell(&self, progress: Progress) {
        let mut told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let news = told.step.replace(progress.step) != Some(progress.step);
        if progress.step == Step::Closing && told.closed_at.is_none() {
            told.closed_at = Some(Instant::now());
        }
        let name = step_name(progress.step);
        match self.format {
            Format::Json => {
                let line = json!({ "step": name, "done": progress.done, "total": progress.total });
                // What cannot be told does not stop the move.
                let _ = print_json(&line);
            }
            Format::Human if self.bar.is_hidden() => {
                if news {
                    eprintln!("{name}: {} sessions", progress.total);
                }
            }
            Format::Human => {
                if news {
                    self.bar.reset();
                    self.bar.set_message(name);
                }
                self.bar.set_length(progress.total);
                self.bar.set_position(progress.done);
            }
        }
    }

    /// Ends the bar; answers for how long the old store changed nothing.
    fn finish(&self) -> Duration {
        self.bar.finish_and_clear();
        let told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        told.closed_at.map_or(Duration::ZERO, |at| at.elapsed())
    }
}

const fn step_name(step: Step) -> &'static str {
    match step {
        Step::Copying => "copying",
        Step::CatchingUp => "catching up",
        Step::Closing => "closing",
        Step::Verifying => "verifying",
    }
}
