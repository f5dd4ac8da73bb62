//! The command line.

mod audit;
mod check;
mod failure;
mod health;
mod init;
mod keys;
mod lab;
mod migrate;
mod opening;
mod reference;
mod serve;
mod session;
mod token;
mod user;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

pub use audit::markdown_page as events_page;
pub use failure::{Exit, Failure};
pub use opening::{Role, vault};

use crate::config::kinds::LogLevel;
use crate::config::{Loaded, Purpose, Sources, Warning};
use crate::log::{Destination, Style};
use crate::output::Format;

/// Keeps a web app's JWTs where scripts cannot take them.
#[derive(Debug, Parser)]
#[command(name = "sessile", version, propagate_version = true, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
struct Common {
    /// Configuration file [default: sessile.toml here, if there is one]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the embedded database and the master key [default: ./sessile-data]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<String>,
    /// Where sessions are kept: memory:, sqlite:PATH, postgres://..., redis://...
    #[arg(long, global = true, value_name = "URL")]
    store: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

/// Flags of a server, each the same as a key of the file.
#[derive(Debug, Default, Args)]
struct ServeArgs {
    /// The app: every path needs a session, except Sessile's own
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// Where to listen [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,
    /// Where health, metrics and the admin API listen [default: 127.0.0.1:9901]
    #[arg(long, value_name = "ADDR:PORT")]
    ops_listen: Option<String>,
    /// The address people see [default: http://localhost:PORT]
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Stop at once if the store cannot be reached, instead of waiting for it
    #[arg(long)]
    require_store: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve
    Serve(ServeArgs),
    /// Write a commented configuration file
    Init(init::InitArgs),
    /// Name every mistake in the configuration
    Check(ServeArgs),
    /// Print every key with its default, reason and environment name, and what is in force
    Config(reference::ConfigArgs),
    /// Password accounts
    #[command(subcommand)]
    User(user::UserCommand),
    /// Sessions
    #[command(subcommand)]
    Session(session::SessionCommand),
    /// Signing keys
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Security events
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Tokens
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Move every session, account and key to another store while servers run
    Migrate(migrate::MigrateArgs),
    /// Attack every place a JWT can live, in the browser that opens the page
    Lab(lab::LabArgs),
    /// Ask a running server whether it is ready: for container health checks
    Health(health::HealthArgs),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    run(std::env::args_os().collect())
}

fn run(arguments: Vec<OsString>) -> ExitCode {
    // Built twice by hand rather than by `Cli::parse`, whose exit code for a wrong command line is another one.
    let parsed = Cli::command().try_get_matches_from(arguments).and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            let wrong = error.use_stderr();
            // Nowhere is left to say that nothing could be said.
            let _ = error.print();
            return if wrong { Exit::Usage.into() } else { ExitCode::SUCCESS };
        }
    };
    let format = Format::of(cli.common.json);
    match dispatch(&cli.common, cli.command, format) {
        Ok(code) => code,
        Err(failure) => {
            report(&failure, format);
            failure.exit().into()
        }
    }
}

fn dispatch(common: &Common, command: Command, format: Format) -> Result<ExitCode, Failure> {
    match command {
        Command::Serve(args) => serve::run(common.load(&args, Purpose::Serve)?),
        Command::Init(args) => init::run(common, &args),
        Command::Check(args) => check::run(common, &args, format),
        Command::Config(args) => reference::run(common, &args, format),
        Command::User(command) => common.on_store(|loaded| user::run(loaded, command, format)),
        Command::Session(command) => common.on_store(|loaded| session::run(loaded, command, format)),
        Command::Keys(command) => common.on_store(|loaded| keys::run(loaded, command, format)),
        Command::Audit(command) => audit::run(common, command, format),
        Command::Token(command) => common.on_store(|loaded| token::run(loaded, command, format)),
        Command::Migrate(args) => migrate::run(common, args, format),
        Command::Lab(args) => lab::run(args),
        Command::Health(args) => health::run(common, &args, format),
    }
}

impl Common {
    fn sources(&self, args: &ServeArgs) -> Sources {
        let flags = [
            ("store.data", "--data", &self.data),
            ("store.url", "--store", &self.store),
            ("server.upstream", "--upstream", &args.upstream),
            ("server.listen", "--listen", &args.listen),
            ("ops.listen", "--ops-listen", &args.ops_listen),
            ("server.public_url", "--public-url", &args.public_url),
            ("store.required", "--require-store", &args.require_store.then(|| "true".to_owned())),
        ];
        Sources {
            file: self.config.clone(),
            environment: std::env::vars_os().collect(),
            flags: flags.into_iter().filter_map(|(key, flag, text)| Some((key, flag, text.clone()?))).collect(),
        }
    }

    fn load(&self, args: &ServeArgs, purpose: Purpose) -> Result<Loaded, Failure> {
        Ok(crate::config::load(&self.sources(args), purpose)?)
    }

    /// Runs a command that works on the store, with its log on standard error: its output is its result.
    fn on_store<T>(&self, command: impl FnOnce(&Loaded) -> Result<T, Failure>) -> Result<T, Failure> {
        self.on_store_for(Purpose::Data, command)
    }

    fn on_store_for<T>(
        &self,
        purpose: Purpose,
        command: impl FnOnce(&Loaded) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let loaded = self.load(&ServeArgs::default(), purpose)?;
        let style = Style::choose(loaded.runtime.log_format, Destination::Stderr);
        // A person who gave an order reads what came of it, not that it is being carried out.
        let level = if loaded.settings.log.level.is_given() { loaded.runtime.log_level } else { LogLevel::Warn };
        let _written_at_the_end = crate::log::start(level, style, Destination::Stderr)?;
        command(&loaded)
    }
}

/// Runs a command's future to its end.
fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?.block_on(future)
}

fn report(failure: &Failure, format: Format) {
    match (format, failure) {
        (Format::Json, Failure::Config(mistakes)) => {
            eprintln!("{}", serde_json::json!({ "mistakes": mistakes.to_json() }))
        }
        (Format::Json, _) => eprintln!("{}", serde_json::json!({ "error": failure.to_string() })),
        (Format::Human, _) => eprintln!("sessile: {failure}"),
    }
}

fn warning_text(warning: &Warning) -> String {
    format!("{}: {}", warning.key, warning.text)
}
