//! What a run came to, as `docs/measured/node.json` keeps it. `ci/node.mjs` prints it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::machine::{Cores, Machine};

/// A run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// When it began (RFC 3339).
    pub date: String,
    /// Where.
    pub machine: Machine,
    /// Which core did what.
    pub cores: Cores,
    /// Of everything that took part.
    pub versions: BTreeMap<&'static str, String>,
    /// Whether it was a short run, whose figures are nobody's.
    pub quick: bool,
    /// What was measured, by name.
    pub cases: BTreeMap<&'static str, Outcome>,
}

/// What one case came to.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// How it was measured, for a reader.
    pub method: String,
    /// What was measured.
    pub figures: Vec<Figure>,
    /// How they compare.
    pub comparisons: Vec<Comparison>,
    /// Seconds that the case took.
    pub seconds: f64,
    /// Load average of the minute before: what else ran.
    pub load: f64,
}

/// A figure, measured in several rounds.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// By which comparisons name it.
    pub name: String,
    /// What it is, for a reader.
    pub what: String,
    /// Of what.
    pub unit: Unit,
    /// What it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// What it was.
    #[serde(flatten)]
    pub spread: Spread,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Things in a second.
    PerSecond,
    /// Microseconds.
    Micros,
    /// Bytes.
    Bytes,
}

/// A figure over another one, round by round.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// What is compared, for a reader.
    pub what: String,
    /// The figure above the line.
    pub of: String,
    /// The figure below it.
    pub beside: String,
    /// What the ratio should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// What it was.
    #[serde(flatten)]
    pub spread: Spread,
}

/// A bound.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// It should be as much, or more.
    Least(f64),
    /// It should be as much, or less.
    Most(f64),
}

/// The middle of several rounds, and how far they lie apart.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Half of the rounds came to no more.
    pub median: f64,
    /// The lowest.
    pub low: f64,
    /// The highest.
    pub high: f64,
    /// All of them, in order.
    pub rounds: Vec<f64>,
}

impl Spread {
    /// Of these rounds.
    ///
    /// # Panics
    ///
    /// If there are none, or one of them is no number.
    pub fn of(rounds: Vec<f64>) -> Self {
        assert!(rounds.iter().all(|round| round.is_finite()), "no number: {rounds:?}");
        let mut sorted = rounds.clone();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (sorted[0], sorted[sorted.len() - 1]);
        Self { median: middle(&sorted), low, high, rounds }
    }
}

/// A count as people read it: thousands apart.
pub fn count(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or("")).collect();
    groups.join(",")
}

/// The median of some measurements.
///
/// # Panics
///
/// If there are none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    middle(&values)
}

fn middle(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[half] } else { f64::midpoint(sorted[half - 1], sorted[half]) }
}

/// Rounds of several figures, while they are measured.
#[derive(Debug, Default)]
pub struct Rounds(BTreeMap<String, Vec<f64>>);

impl Rounds {
    /// Notes a round of the figure `name`.
    pub fn note(&mut self, name: &str, value: f64) {
        self.0.entry(name.to_owned()).or_default().push(value);
    }

    /// The figure.
    ///
    /// # Panics
    ///
    /// If it was never measured.
    pub fn figure(&self, name: &str, what: impl Into<String>, unit: Unit) -> Figure {
        let spread = Spread::of(self.of(name).to_vec());
        Figure { name: name.to_owned(), what: what.into(), unit, target: None, spread }
    }

    /// One figure over another.
    ///
    /// # Panics
    ///
    /// If they were not measured in the same rounds.
    pub fn compare(&self, of: &str, beside: &str, what: impl Into<String>, target: Option<Target>) -> Comparison {
        let (above, below) = (self.of(of), self.of(beside));
        assert_eq!(above.len(), below.len(), "{of} and {beside} were not measured together");
        let ratios = above.iter().zip(below).map(|(above, below)| above / below).collect();
        Comparison {
            what: what.into(),
            of: of.to_owned(),
            beside: beside.to_owned(),
            target,
            spread: Spread::of(ratios),
        }
    }

    fn of(&self, name: &str) -> &[f64] {
        self.0.get(name).unwrap_or_else(|| panic!("{name} was not measured"))
    }
}
