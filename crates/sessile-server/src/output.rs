//! What commands print: a table on a terminal, JSON for programs.

use std::io::{self, ErrorKind, IsTerminal, Write};

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table};
use serde_json::Value;

use crate::log::escape;

/// How a command prints its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Human,
    /// For programs.
    Json,
}

impl Format {
    /// From the `--json` flag.
    pub fn of(json: bool) -> Self {
        if json { Self::Json } else { Self::Human }
    }
}

/// What a cell's colour says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Nothing.
    Plain,
    /// In order.
    Good,
    /// Worth a look.
    Caution,
    /// Not in order, or ended.
    Bad,
}

/// What a table is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One line a row, however long: ids stay whole, to be copied.
    Rows,
    /// Sentences, wrapped to the width of the terminal.
    Prose,
}

/// Narrower terminals do not get anything wrapped.
const NARROWEST: u16 = 60;

/// Text for a cell. What came from outside is made harmless to the terminal.
pub fn cell(text: impl AsRef<str>, tone: Tone) -> Cell {
    let mut safe = String::new();
    escape(&mut safe, text.as_ref());
    let cell = Cell::new(safe);
    match tone {
        Tone::Plain => cell,
        Tone::Good => cell.fg(Color::Green),
        Tone::Caution => cell.fg(Color::Yellow),
        Tone::Bad => cell.fg(Color::Red),
    }
}

/// Prints rows under a heading, or a sentence if there are none. Colour only on a terminal.
pub fn print_table(layout: Layout, heading: &[&str], rows: Vec<Vec<Cell>>, if_empty: &str) -> io::Result<()> {
    if rows.is_empty() {
        return print(if_empty);
    }
    let terminal = io::stdout().is_terminal();
    let mut table = Table::new();
    table.load_style(NOTHING);
    if !terminal || std::env::var_os("NO_COLOR").is_some() {
        table.force_no_tty();
    }
    let wide = terminal && table.width().is_some_and(|width| width >= NARROWEST);
    table.set_content_arrangement(match layout {
        Layout::Prose if wide => ContentArrangement::Dynamic,
        Layout::Prose | Layout::Rows => ContentArrangement::Disabled,
    });
    table.set_header(heading.iter().map(|name| Cell::new(name).add_attribute(Attribute::Bold)));
    table.add_rows(rows);
    print(&table.trim_fmt())
}

/// Prints a JSON value, readable on a terminal and on one line elsewhere.
pub fn print_json(value: &Value) -> io::Result<()> {
    print(&if io::stdout().is_terminal() { format!("{value:#}") } else { value.to_string() })
}

/// Prints lines. Whoever stopped reading has read enough.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}
