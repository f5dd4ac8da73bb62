//! What an attack got, and what may be said of it. The one place that says "stopped".

use serde::Serialize;
use serde_json::Value;

use crate::attacks::Attack;
use crate::storage::{Site, Target};

/// What was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The attack got what it was after.
    Fell,
    /// It did not.
    Held,
    /// The session was still there.
    Survived,
    /// It was not.
    Lost,
    /// The attack has no object here.
    NotApplicable,
    /// It could not be tried.
    NotMeasured,
}

/// What is said of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "as in Seen, but Stopped, which needs a twin that fell")]
pub enum Outcome {
    Succeeded,
    Stopped,
    Survives,
    Lost,
    NotApplicable,
    NotMeasured,
}

/// A thing that was observed.
#[derive(Clone, Debug, Serialize)]
pub struct Evidence {
    /// Milliseconds since the run began.
    pub at: u64,
    /// What, in a sentence.
    pub what: String,
    /// What shows it.
    pub data: Value,
}

/// What came of one attack on one site.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Which app.
    pub site: Site,
    /// Which attack.
    pub attack: Attack,
    /// What was seen.
    pub seen: Seen,
    /// What was seen, in a plain sentence.
    pub detail: String,
    /// What shows it.
    pub evidence: Vec<Evidence>,
    /// How long it took.
    pub ms: u64,
}

/// What may be said of a finding, and in which words.
///
/// An attack counts as stopped if its twin fell in the same run. A wrong `Stopped` is the worst that can happen here: it
/// would say that Sessile protects where the browser did, or where the attack was no attack.
pub fn outcome(finding: &Finding, all: &[Finding]) -> (Outcome, String) {
    let said = |outcome| (outcome, finding.detail.clone());
    match finding.seen {
        Seen::Fell => said(Outcome::Succeeded),
        Seen::Survived => said(Outcome::Survives),
        Seen::Lost => said(Outcome::Lost),
        Seen::NotApplicable => said(Outcome::NotApplicable),
        Seen::NotMeasured => said(Outcome::NotMeasured),
        Seen::Held => {
            let twin = Site { target: Target::Twin, ..finding.site };
            let twin = all.iter().find(|other| other.site == twin && other.attack == finding.attack);
            match (finding.site.target, twin) {
                (Target::Sessile, Some(twin)) if twin.seen == Seen::Fell => said(Outcome::Stopped),
                (Target::Sessile, Some(twin)) => {
                    let why = format!(
                        "It got nothing, which proves nothing, because the twin did not fall: {}",
                        lower_first(&twin.detail)
                    );
                    (Outcome::NotMeasured, why)
                }
                (Target::Sessile, None) => {
                    let why = "It got nothing, but the twin was not attacked in this run, so that proves nothing.";
                    (Outcome::NotMeasured, why.to_owned())
                }
                (Target::Twin, _) => {
                    (Outcome::NotMeasured, format!("The twin did not fall: {}", lower_first(&finding.detail)))
                }
            }
        }
    }
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}
