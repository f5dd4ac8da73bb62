//! The log: one line for each record, JSON or text, that no untrusted text can forge.
//!
//! Lines are written by a thread of their own. If nobody reads them, the queue fills and lines are dropped and
//! counted; a stalled log never stalls a request. Security events are in the store as well.

use std::fmt;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::config::kinds::{LogFormat, LogLevel};

/// Lines that may wait to be written.
const QUEUE: usize = 16 * 1024;
/// How long the end of the process waits for them.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// Where lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Standard output: a server.
    Stdout,
    /// Standard error: a command, whose output is its result.
    Stderr,
}

/// Whether lines are for people or for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// One JSON object a line.
    Json,
    /// Text; with colour if a terminal shows it.
    Text {
        /// Whether to colour the level.
        colour: bool,
    },
}

impl Style {
    /// The style for a format and a destination.
    pub fn choose(format: LogFormat, destination: Destination) -> Self {
        let terminal = match destination {
            Destination::Stdout => std::io::stdout().is_terminal(),
            Destination::Stderr => std::io::stderr().is_terminal(),
        };
        let colour = terminal && std::env::var_os("NO_COLOR").is_none();
        match (format, terminal) {
            (LogFormat::Json, _) | (LogFormat::Auto, false) => Self::Json,
            (LogFormat::Text, _) | (LogFormat::Auto, true) => Self::Text { colour },
        }
    }
}

/// Begins logging for this process.
///
/// # Errors
///
/// If logging has begun already, or no thread can be made.
pub fn start(level: LogLevel, style: Style, destination: Destination) -> std::io::Result<Logging> {
    let (lines, guard) = Lines::start(match destination {
        Destination::Stdout => Box::new(std::io::stdout()) as Box<dyn Write + Send>,
        Destination::Stderr => Box::new(std::io::stderr()),
    })?;
    let subscriber = tracing_subscriber::registry().with(Records { lines, style }.with_filter(targets(level)));
    tracing::subscriber::set_global_default(subscriber).map_err(std::io::Error::other)?;
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let payload = panic.payload();
        let what =
            payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        tracing::error!(place, what, "a defect stopped a task");
    }));
    Ok(guard)
}

/// What passes: our own records by level; of the libraries only what they warn about. Their lower levels print
/// requests and frames, with the credentials in them.
fn targets(level: LogLevel) -> Targets {
    let ours = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    Targets::new().with_default(ours.min(LevelFilter::WARN)).with_target("sessile", ours)
}

/// A subscriber that writes every record of ours to `write`, for tests.
pub fn subscriber(
    style: Style,
    write: Box<dyn Write + Send>,
) -> std::io::Result<(impl Subscriber + Send + Sync, Logging)> {
    let (lines, guard) = Lines::start(write)?;
    Ok((tracing_subscriber::registry().with(Records { lines, style }.with_filter(targets(LogLevel::Trace))), guard))
}

/// Holds the log open; dropping it writes what is waiting.
#[derive(Debug)]
pub struct Logging {
    lines: Lines,
}

impl Drop for Logging {
    fn drop(&mut self) {
        let (done, written) = sync_channel(1);
        let until = Instant::now() + FLUSH_WITHIN;
        let mut message = Message::Flush(done);
        loop {
            match self.lines.sender.try_send(message) {
                Ok(()) => break,
                Err(TrySendError::Full(back)) if Instant::now() < until => {
                    message = back;
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => return,
            }
        }
        match written.recv_timeout(until.saturating_duration_since(Instant::now())) {
            // Nobody is left to be told that the log could not be written.
            Ok(()) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }
}

#[derive(Debug)]
enum Message {
    Line(String),
    Flush(SyncSender<()>),
}

#[derive(Clone, Debug)]
struct Lines {
    sender: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

impl Lines {
    fn start(write: Box<dyn Write + Send>) -> std::io::Result<(Self, Logging)> {
        let (sender, receiver) = sync_channel(QUEUE);
        let lines = Self { sender, dropped: Arc::default() };
        let dropped = lines.dropped.clone();
        std::thread::Builder::new()
            .name("sessile-log".into())
            .spawn(move || write_lines(write, &receiver, &dropped))?;
        Ok((lines.clone(), Logging { lines }))
    }

    fn put(&self, line: String) {
        if self.sender.try_send(Message::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write_lines(mut write: Box<dyn Write + Send>, receiver: &Receiver<Message>, dropped: &AtomicU64) {
    let mut batch = String::new();
    while let Ok(first) = receiver.recv() {
        let mut flushed = Vec::new();
        for message in std::iter::once(first).chain(receiver.try_iter().take(1024)) {
            match message {
                Message::Line(line) => batch.push_str(&line),
                Message::Flush(done) => flushed.push(done),
            }
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            batch.push_str(
                &Line::new(Level::WARN, "sessile_server::log")
                    .message("log lines were dropped")
                    .number("lost", lost)
                    .json(),
            );
        }
        // A log that cannot be written is no reason to stop serving.
        let _ = write.write_all(batch.as_bytes()).and_then(|()| write.flush());
        batch.clear();
        for done in flushed {
            let _ = done.send(());
        }
    }
}

struct Records {
    lines: Lines,
    style: Style,
}

impl<S: Subscriber> Layer<S> for Records {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let meta = event.metadata();
        let mut line = Line::new(*meta.level(), meta.target());
        event.record(&mut line);
        self.lines.put(match self.style {
            Style::Json => line.json(),
            Style::Text { colour } => line.text(colour),
        });
    }
}

/// One record, taken apart.
#[derive(Debug)]
struct Line {
    millis: u64,
    level: &'static str,
    target: String,
    message: String,
    fields: Vec<(&'static str, Value)>,
}

#[derive(Debug)]
enum Value {
    Text(String),
    Plain(String),
}

impl Line {
    fn new(level: Level, target: &str) -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let level = match level {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            Level::DEBUG => "debug",
            Level::TRACE => "trace",
        };
        Self {
            millis: u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX),
            level,
            target: target.to_owned(),
            message: String::new(),
            fields: Vec::new(),
        }
    }

    fn message(mut self, text: &str) -> Self {
        text.clone_into(&mut self.message);
        self
    }

    fn number(mut self, name: &'static str, number: u64) -> Self {
        self.fields.push((name, Value::Plain(number.to_string())));
        self
    }

    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::Text(text) | Value::Plain(text)) => self.message = text,
            // An event's own time and weight say more than those of the line it stands in.
            ("at", Value::Plain(millis)) => self.millis = millis.parse().unwrap_or(self.millis),
            ("level", Value::Text(level)) => self.level = known_level(&level).unwrap_or(self.level),
            (name, value) => self.fields.push((name, value)),
        }
    }

    fn json(&self) -> String {
        let mut out = String::with_capacity(256);
        out.push('{');
        let mut member = |name: &str, value: &Value| {
            if out.len() > 1 {
                out.push(',');
            }
            quote(&mut out, name);
            out.push(':');
            match value {
                Value::Text(text) => quote(&mut out, text),
                Value::Plain(text) => out.push_str(text),
            }
        };
        let text = |text: &str| Value::Text(text.to_owned());
        member("time", &text(&timestamp(self.millis)));
        member("level", &text(self.level));
        if !self.message.is_empty() {
            member("message", &text(&self.message));
        }
        for (name, value) in &self.fields {
            member(name, value);
        }
        member("target", &text(&self.target));
        out.push_str("}\n");
        out
    }

    fn text(&self, colour: bool) -> String {
        let mut out = timestamp(self.millis);
        let (on, off) = if colour { (shade(self.level), "\x1b[0m") } else { ("", "") };
        let _ = write!(out, " {on}{:<8}{off}", self.level);
        if !self.message.is_empty() {
            out.push(' ');
            escape(&mut out, &self.message);
        }
        for (name, value) in &self.fields {
            let _ = write!(out, " {name}=");
            match value {
                Value::Text(text) if text.is_empty() || text.contains([' ', '"', '=']) => {
                    out.push('"');
                    escape(&mut out, &text.replace('"', "'"));
                    out.push('"');
                }
                Value::Text(text) | Value::Plain(text) => escape(&mut out, text),
            }
        }
        out.push('\n');
        out
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Value::Text(value.to_owned()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Value::Plain(value.to_string()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Value::Plain(value.to_string()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Value::Plain(value.to_string()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, Value::Text(format!("{value:?}")));
    }
}

fn known_level(name: &str) -> Option<&'static str> {
    ["critical", "error", "warn", "info"].into_iter().find(|known| *known == name)
}

fn shade(level: &str) -> &'static str {
    match level {
        "critical" | "error" => "\x1b[31m",
        "warn" => "\x1b[33m",
        "info" => "\x1b[32m",
        _ => "\x1b[2m",
    }
}

/// UTC, RFC 3339, with milliseconds.
pub fn timestamp(millis: u64) -> String {
    let moment = i64::try_from(millis).ok().and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
    moment.unwrap_or(jiff::Timestamp::MAX).strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// Whether a character could pass for something else in a log: it ends the line, moves the cursor, or changes
/// the direction of what follows.
fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
        || matches!(c, '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Text that stays on its line and in its place.
pub fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        if misleads(c) {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
}

fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if misleads(c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
