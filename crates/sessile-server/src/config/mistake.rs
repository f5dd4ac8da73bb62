//! What is wrong with a configuration: every mistake with its key, its place, its value and the way out.

use std::fmt;
use std::sync::Arc;

use serde_json::{Value, json};

/// Where a setting was given. In the order in which a person looks: down the file first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the configuration file.
    File {
        /// The file as it was named.
        file: Arc<str>,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
    },
    /// In an environment variable.
    Env(String),
    /// In a command-line flag.
    Flag(&'static str),
    /// Nowhere: the default of the table.
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Self::Env(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A value that cannot be taken, before it is known where it stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub remedy: String,
}

impl Fault {
    /// A fault and its way out.
    pub fn new(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { problem: problem.into(), remedy: remedy.into() }
    }
}

/// One mistake, ready to be shown. Never holds a secret: whoever makes one decides what `value` may show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The key, such as `session.access`, or what else the mistake is about.
    pub key: String,
    /// Where it was given.
    pub place: Place,
    /// What was given, if it may be shown.
    pub value: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.key)?;
        if let Some(value) = &self.value {
            write!(f, " = {value}")?;
        }
        match &self.place {
            Place::Default => writeln!(f)?,
            place @ (Place::File { .. } | Place::Env(_) | Place::Flag(_)) => writeln!(f, "   ({place})")?,
        }
        writeln!(f, "  problem: {}", self.problem)?;
        write!(f, "  remedy:  {}", self.remedy)
    }
}

/// Every mistake of a configuration. Not empty when it is returned as an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// Adds one.
    pub fn push(&mut self, mistake: Mistake) {
        if !self.0.contains(&mistake) {
            self.0.push(mistake);
        }
    }

    /// Adds a fault found in a key.
    pub fn fault(&mut self, key: impl Into<String>, place: Place, value: Option<String>, fault: Fault) {
        self.push(Mistake { key: key.into(), place, value, problem: fault.problem, remedy: fault.remedy });
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.0.iter()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// In the order of their places.
    #[must_use]
    pub fn in_order(mut self) -> Self {
        self.0.sort_by(|a, b| a.place.cmp(&b.place));
        self
    }

    /// For `--json`.
    pub fn to_json(&self) -> Value {
        let one = |m: &Mistake| {
            json!({
                "key": m.key, "place": m.place.to_string(), "value": m.value, "problem": m.problem, "remedy": m.remedy,
            })
        };
        self.0.iter().map(one).collect()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}
