//! Configuration: the file, the environment over it, the flags over both; then every rule at once.
//!
//! [`keys`] is the one table of keys. It feeds this parser, the environment names, `sessile config`,
//! `sessile init` and docs/configuration.md. [`load`] answers with everything that is wrong, or with settings
//! of which every one has been checked; nothing starts in between.

mod document;
mod environment;
pub mod keys;
pub mod kinds;
mod mistake;
pub mod reference;
mod rules;
pub mod runtime;
pub(crate) mod secret_file;
mod setting;
pub mod store;
mod suggest;
mod table;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub use document::{COMPLETE, END};
pub use environment::CONFIG as CONFIG_VARIABLE;
pub use mistake::{Fault, Mistake, Mistakes, Place};
pub use setting::duration_text;
pub use table::{Found, Key, Section};

use document::{Document, Given, Raw, Row};
use keys::SECTIONS;
use table::Reader;

/// The configuration file looked for when none is named.
pub const DEFAULT_FILE: &str = "sessile.toml";

/// Where settings come from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file named by `--config`.
    pub file: Option<PathBuf>,
    /// The environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Flags: the key, the flag, and what was given.
    pub flags: Vec<(&'static str, &'static str, String)>,
}

/// What the settings are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To serve: everything must be in order, files and folders included.
    Serve,
    /// To work on the store from the command line: what only a server needs may be missing.
    Data,
    /// To move sessions from one store to another: as [`Data`](Self::Data), for each of the two.
    Move,
}

/// Something that is allowed and worth saying aloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The key.
    pub key: &'static str,
    /// What it means.
    pub text: String,
}

/// The configuration as read: one field for each section.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the fields are the sections of the table, documented there")]
pub struct Settings {
    pub server: keys::Server,
    pub tls: keys::Tls,
    pub limits: keys::ServerLimits,
    pub timeouts: keys::Timeouts,
    pub ops: keys::Ops,
    pub store: keys::Store,
    pub session: keys::Session,
    pub cookie: keys::Cookie,
    pub csrf: keys::Csrf,
    pub keys: keys::Keys,
    pub sign_in: keys::SignIn,
    pub argon2: keys::Argon2,
    pub throttle: keys::Throttle,
    pub headers: keys::Headers,
    pub token: keys::Token,
    pub log: keys::Log,
    /// `[[route]]`, in order.
    pub routes: Vec<RouteRow>,
    /// `[[client]]`, in order.
    pub clients: Vec<keys::Client>,
}

/// One `[[route]]`.
#[derive(Clone, Debug)]
pub struct RouteRow {
    /// Where it begins.
    pub place: Place,
    /// Its keys.
    pub route: keys::Route,
    /// Its headers.
    pub headers: keys::RouteHeaders,
    /// Who else may read its answers.
    pub cors: keys::RouteCors,
}

/// A configuration in which nothing is wrong.
#[derive(Debug)]
pub struct Loaded {
    /// What the parts of the program are told.
    pub runtime: runtime::Runtime,
    /// The settings they were made from.
    pub settings: Settings,
    /// What is worth saying aloud.
    pub warnings: Vec<Warning>,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// What was given for each key that is not left at its default: the value, unless it is secret, and its place.
    pub in_force: BTreeMap<&'static str, (Option<String>, String)>,
}

/// Reads and checks the configuration.
///
/// # Errors
///
/// Every mistake there is, at once.
pub fn load(sources: &Sources, purpose: Purpose) -> Result<Loaded, Mistakes> {
    let mut mistakes = Mistakes::default();
    let file = file_of(sources);
    let document = match &file {
        None => Some(Document::default()),
        Some(path) => document::read(path, &mut mistakes),
    };
    assemble(document, file, sources, purpose, mistakes)
}

/// Reads and checks a text in place of the file; `name` stands in the messages.
///
/// # Errors
///
/// Every mistake there is, at once.
pub fn load_text(name: &str, text: &str, sources: &Sources, purpose: Purpose) -> Result<Loaded, Mistakes> {
    let mut mistakes = Mistakes::default();
    let document = document::parse(&name.into(), text, &mut mistakes);
    assemble(document, None, sources, purpose, mistakes)
}

/// Lays environment and flags over the file and checks the whole. Without a document the file's mistakes are
/// known already, and what can still be judged is the environment and the flags.
fn assemble(
    document: Option<Document>,
    file: Option<PathBuf>,
    sources: &Sources,
    purpose: Purpose,
    mut mistakes: Mistakes,
) -> Result<Loaded, Mistakes> {
    let readable = document.is_some();
    let Document { mut values, rows, empty_tables } = document.unwrap_or_default();
    unknown_keys(&values, &rows, &empty_tables, &mut mistakes);
    environment::overlay(sources.environment.iter().cloned(), &mut values, &mut mistakes);
    for (key, flag, text) in &sources.flags {
        values.insert((*key).to_owned(), Given { raw: Raw::Text(text.clone()), place: Place::Flag(flag) });
    }
    let settings = read(&values, &rows, &mut mistakes);
    if !readable {
        return Err(mistakes.in_order());
    }
    let mut warnings = rules::check(&settings, purpose, &mut mistakes);
    match runtime::build(&settings, &values, purpose, &mut mistakes) {
        Some((runtime, more)) if mistakes.is_empty() => {
            warnings.extend(more);
            Ok(Loaded { runtime, settings, warnings, file, in_force: in_force(&values) })
        }
        _ => Err(mistakes.in_order()),
    }
}

/// What was given for each key, as it may be shown, and where.
fn in_force(values: &BTreeMap<String, Given>) -> BTreeMap<&'static str, (Option<String>, String)> {
    let keys = SECTIONS.iter().flat_map(|section| section.keys);
    let shown = |key: &Key, given: &Given| if key.secret { None } else { table::show(&given.raw) };
    keys.filter_map(|key| values.get(key.path).map(|given| (key.path, (shown(key, given), given.place.to_string()))))
        .collect()
}

fn file_of(sources: &Sources) -> Option<PathBuf> {
    let from_environment = || {
        let variable = sources.environment.iter().find(|(name, _)| name == CONFIG_VARIABLE);
        variable.map(|(_, path)| PathBuf::from(path)).filter(|path| !path.as_os_str().is_empty())
    };
    let found = || Some(Path::new(DEFAULT_FILE)).filter(|path| path.exists()).map(Path::to_owned);
    sources.file.clone().or_else(from_environment).or_else(found)
}

fn read(values: &BTreeMap<String, Given>, rows: &[Row], mistakes: &mut Mistakes) -> Settings {
    let mut routes = Vec::new();
    let mut clients = Vec::new();
    for row in rows {
        let mut reader = Reader::row(&row.table, &row.values, mistakes);
        match row.table.as_str() {
            "route" => routes.push(RouteRow {
                place: row.place.clone(),
                route: keys::Route::read(&mut reader),
                headers: keys::RouteHeaders::read(&mut reader),
                cors: keys::RouteCors::read(&mut reader),
            }),
            "client" => clients.push(keys::Client::read(&mut reader)),
            _ => {}
        }
    }
    let mut reader = Reader::new(values, mistakes);
    Settings {
        server: keys::Server::read(&mut reader),
        tls: keys::Tls::read(&mut reader),
        limits: keys::ServerLimits::read(&mut reader),
        timeouts: keys::Timeouts::read(&mut reader),
        ops: keys::Ops::read(&mut reader),
        store: keys::Store::read(&mut reader),
        session: keys::Session::read(&mut reader),
        cookie: keys::Cookie::read(&mut reader),
        csrf: keys::Csrf::read(&mut reader),
        keys: keys::Keys::read(&mut reader),
        sign_in: keys::SignIn::read(&mut reader),
        argon2: keys::Argon2::read(&mut reader),
        throttle: keys::Throttle::read(&mut reader),
        headers: keys::Headers::read(&mut reader),
        token: keys::Token::read(&mut reader),
        log: keys::Log::read(&mut reader),
        routes,
        clients,
    }
}

/// Keys and sections nobody reads. The value of an unknown key is never shown: it may be a misplaced secret.
fn unknown_keys(values: &BTreeMap<String, Given>, rows: &[Row], empty: &[(String, Place)], mistakes: &mut Mistakes) {
    let plain = SECTIONS.iter().filter(|section| !section.repeated);
    let paths: Vec<&str> = plain.flat_map(|section| section.keys).map(|key| key.path).collect();
    let is_section = |name: &str| SECTIONS.iter().any(|s| s.name == name || s.name.starts_with(&format!("{name}.")));
    for (path, given) in values.iter().filter(|(path, _)| !paths.contains(&path.as_str())) {
        let section = SECTIONS.iter().find(|section| section.name == *path);
        let fault = match section {
            Some(section) if section.repeated => {
                Fault::new("this is a list of tables", format!("write [[{path}]] and its keys below it"))
            }
            Some(_) => Fault::new("this is a section, not a key", format!("write [{path}] and its keys below it")),
            None => unknown(path, &paths),
        };
        mistakes.fault(path, given.place.clone(), None, fault);
    }
    for (path, place) in empty.iter().filter(|(path, _)| !is_section(path)) {
        mistakes.fault(path, place.clone(), None, unknown(path, &paths));
    }
    for row in rows {
        let of_row = || {
            SECTIONS
                .iter()
                .filter(|s| s.repeated && (s.name == row.table || s.name.starts_with(&format!("{}.", row.table))))
        };
        if of_row().next().is_none() {
            let fault = if is_section(&row.table) {
                Fault::new("there is one section of this name, not a list", format!("write [{}]", row.table))
            } else {
                unknown(&row.table, &["route", "client"])
            };
            mistakes.fault(format!("[[{}]]", row.table), row.place.clone(), None, fault);
            continue;
        }
        let paths: Vec<&str> = of_row().flat_map(|section| section.keys).map(|key| key.path).collect();
        for (name, given) in &row.values {
            let path = format!("{}.{name}", row.table);
            if !paths.contains(&path.as_str()) {
                mistakes.fault(&path, given.place.clone(), None, unknown(&path, &paths));
            }
        }
    }
}

fn unknown(path: &str, known: &[&str]) -> Fault {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    // The right name in the wrong section is a slip of its own.
    let elsewhere = || known.iter().find(|candidate| last(candidate) == last(path)).copied();
    let hint = suggest::nearest(path, known.iter().copied())
        .or_else(elsewhere)
        .map_or_else(String::new, |meant| format!("; did you mean {meant}?"));
    Fault::new(format!("there is no such key{hint}"), "remove it, or see `sessile config` for the keys there are")
}
