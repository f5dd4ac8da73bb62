//! The configuration file, taken apart: every value under its dotted path, with the place it stands at.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mistake::{Fault, Mistakes, Place};

/// The largest configuration file read.
const MAX_BYTES: usize = 1 << 20;
/// The first line of a file that states where it ends; `sessile init` writes it.
pub const COMPLETE: &str = "# sessile configuration, complete to the line \"# end\"";
/// The last line of such a file.
pub const END: &str = "# end";

/// A value as it was written.
#[derive(Clone, Debug, PartialEq)]
pub enum Raw {
    /// A string; also everything from the environment and from flags.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// `true` or `false`.
    Bool(bool),
    /// An array.
    List(Vec<Given>),
    /// Anything no setting is made of: a float, a date, a table.
    Other(&'static str),
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// The value.
    pub raw: Raw,
    /// Where it stands.
    pub place: Place,
}

/// One `[[name]]` table.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// The name of the array.
    pub table: String,
    /// Where it begins.
    pub place: Place,
    /// Its values under paths below the row, such as `prefix` or `headers.csp`.
    pub values: BTreeMap<String, Given>,
}

/// A file taken apart.
#[derive(Debug, Default)]
pub(super) struct Document {
    /// Every value under its path, such as `session.access`.
    pub values: BTreeMap<String, Given>,
    /// The tables of arrays of tables, in order.
    pub rows: Vec<Row>,
    /// Tables without a value in them.
    pub empty_tables: Vec<(String, Place)>,
}

/// Reads a file that was named or found. An unreadable or unfinished file is a mistake, and none of it is
/// used: a half-written file must never be half-applied (X7).
pub(super) fn read(path: &Path, mistakes: &mut Mistakes) -> Option<Document> {
    let name: Arc<str> = path.display().to_string().into();
    let whole = || Place::File { file: name.clone(), line: 1, column: 1 };
    let text = match std::fs::read(path) {
        Ok(bytes) if bytes.len() > MAX_BYTES => {
            let fault = Fault::new("larger than 1 MiB", "name the configuration file, not another one");
            mistakes.fault("configuration file", whole(), None, fault);
            return None;
        }
        Ok(bytes) => {
            String::from_utf8(bytes).map_err(|e| format!("not UTF-8 after byte {}", e.utf8_error().valid_up_to()))
        }
        Err(e) => Err(e.to_string()),
    };
    match text {
        Ok(text) => parse(&name, &text, mistakes),
        Err(problem) => {
            let remedy = "check the path given with --config or SESSILE_CONFIG, and that this user may read it";
            mistakes.fault("configuration file", whole(), None, Fault::new(problem, remedy));
            None
        }
    }
}

/// Takes a text apart. `None`, with the mistakes, when it is not whole.
pub(super) fn parse(file: &Arc<str>, text: &str, mistakes: &mut Mistakes) -> Option<Document> {
    let place = |span: Range<usize>| locate(file, text, span.start);
    if let Err(fault) = finished(text) {
        mistakes.fault("configuration file", place(text.len()..text.len()), None, fault);
        return None;
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let at = place(error.span().unwrap_or(0..0));
        let remedy = "mend the TOML at this place; the rest of the file is looked at after that";
        mistakes.fault("configuration file", at, None, Fault::new(error.message().to_owned(), remedy));
    }
    if !errors.is_empty() {
        return None;
    }
    let mut document = Document::default();
    let mut walk = Walk { place: &place, document: &mut document };
    walk.table("", table.get_ref());
    Some(document)
}

/// Whether the file was written to its end. The last line must be ended, so that no cut goes through a
/// number; a file that promises an end line must have it.
fn finished(text: &str) -> Result<(), Fault> {
    if !text.is_empty() && !text.ends_with('\n') {
        return Err(Fault::new(
            "the last line is not ended: the file may have been cut off",
            "end the file with a newline",
        ));
    }
    let mut lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty());
    if lines.next() == Some(COMPLETE) && lines.next_back() != Some(END) {
        let problem = format!("the first line promises a last line {END:?}, which is missing: the file was cut off");
        return Err(Fault::new(problem, format!("restore the file, or end it with {END:?}, or delete its first line")));
    }
    Ok(())
}

struct Walk<'a, P> {
    place: &'a P,
    document: &'a mut Document,
}

impl<P: Fn(Range<usize>) -> Place> Walk<'_, P> {
    fn table(&mut self, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let below = join(path, key.get_ref());
            let at = (self.place)(key.span());
            match value.get_ref() {
                DeValue::Table(inner) if inner.is_empty() => self.document.empty_tables.push((below, at)),
                DeValue::Table(inner) => self.table(&below, inner),
                DeValue::Array(items) if !items.is_empty() && items.iter().all(|item| item.get_ref().is_table()) => {
                    for item in items {
                        let DeValue::Table(inner) = item.get_ref() else { continue };
                        let mut values = BTreeMap::new();
                        self.row("", inner, &mut values);
                        self.document.rows.push(Row { table: below.clone(), place: (self.place)(item.span()), values });
                    }
                }
                _ => {
                    self.document.values.insert(below, Given { raw: self.raw(value), place: at });
                }
            }
        }
    }

    fn row(&self, path: &str, table: &DeTable<'_>, values: &mut BTreeMap<String, Given>) {
        for (key, value) in table {
            let below = join(path, key.get_ref());
            match value.get_ref() {
                DeValue::Table(inner) if !inner.is_empty() => self.row(&below, inner, values),
                _ => {
                    values.insert(below, Given { raw: self.raw(value), place: (self.place)(key.span()) });
                }
            }
        }
    }

    fn raw(&self, value: &Spanned<DeValue<'_>>) -> Raw {
        match value.get_ref() {
            DeValue::String(text) => Raw::Text(text.clone().into_owned()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Raw::Integer(number),
                Err(_) => Raw::Other("a number out of range"),
            },
            DeValue::Boolean(value) => Raw::Bool(*value),
            DeValue::Array(items) => Raw::List(
                items.iter().map(|item| Given { raw: self.raw(item), place: (self.place)(item.span()) }).collect(),
            ),
            DeValue::Float(_) => Raw::Other("a number with a fraction"),
            DeValue::Datetime(_) => Raw::Other("a date"),
            DeValue::Table(_) => Raw::Other("a table"),
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn locate(file: &Arc<str>, text: &str, offset: usize) -> Place {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    Place::File {
        file: file.clone(),
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
    }
}
