//! Runs: what is known of each, and the way through it.

pub(crate) mod course;
pub(crate) mod stage;
pub(crate) mod tab;
pub mod verdict;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};

use self::tab::Said;
use self::verdict::Finding;
use crate::attacks::Attack;
use crate::pages::{MAIN, SECOND, Visit};
use crate::storage::{Site, Storage};
use crate::text;

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// No tab has come yet.
    Waiting,
    /// A tab is being led through it.
    Running,
    /// Everything is measured that can be without closing the browser.
    NeedsRestart,
    /// Everything is measured.
    Done,
    /// The tab was lost; what had been measured is there.
    Failed,
}

/// The browser, as it says.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Browser {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// What a run is asked to do.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Which storages are attacked.
    pub storages: Vec<Storage>,
    /// Whether the part that needs the browser closed is prepared.
    pub restart: bool,
}

/// One run.
#[derive(Debug)]
pub struct Run {
    /// Its name.
    pub id: String,
    pub(crate) wish: Wish,
    pub(crate) started: Instant,
    started_at: String,
    book: Mutex<Book>,
    main: mpsc::Sender<Said>,
    second: mpsc::Sender<Said>,
    /// The visitor says that the browser was restarted.
    pub(crate) restarted: Notify,
}

#[derive(Debug)]
struct Book {
    state: State,
    why: Option<String>,
    browser: Browser,
    now: Option<(Site, Attack)>,
    findings: Vec<Finding>,
    /// The tab's own first address, of the part that is under way.
    start: String,
}

/// Where the pages of a run are heard.
#[derive(Debug)]
pub(crate) struct Inboxes {
    pub(crate) main: mpsc::Receiver<Said>,
    pub(crate) second: mpsc::Receiver<Said>,
}

impl Run {
    pub(crate) fn new(wish: Wish, control: &str) -> (Arc<Self>, Inboxes) {
        let (main, main_inbox) = mpsc::channel(8);
        let (second, second_inbox) = mpsc::channel(8);
        let id = text::random();
        let start = format!("{control}/lab/tab?{}", Visit::new(&id, 0, MAIN).query());
        let book = Book {
            state: State::Waiting,
            why: None,
            browser: Browser::default(),
            now: None,
            findings: Vec::new(),
            start,
        };
        let run = Self {
            id,
            wish,
            started: Instant::now(),
            started_at: text::rfc3339(text::unix_seconds()),
            book: Mutex::new(book),
            main,
            second,
            restarted: Notify::new(),
        };
        (Arc::new(run), Inboxes { main: main_inbox, second: second_inbox })
    }

    /// The address that a tab is to be led to.
    pub fn start(&self) -> String {
        self.book().start.clone()
    }

    /// How far it is.
    pub fn state(&self) -> State {
        self.book().state
    }

    /// What was found.
    pub fn findings(&self) -> Vec<Finding> {
        self.book().findings.clone()
    }

    pub(crate) fn inbox(&self, tab: &str) -> Option<&mpsc::Sender<Said>> {
        match tab {
            MAIN => Some(&self.main),
            SECOND => Some(&self.second),
            _ => None,
        }
    }

    pub(crate) fn set_state(&self, state: State, why: Option<String>) {
        let mut book = self.book();
        book.state = state;
        book.why = why;
        book.now = None;
    }

    pub(crate) fn set_start(&self, start: String) {
        self.book().start = start;
    }

    pub(crate) fn set_browser(&self, user_agent: &str) {
        self.book().browser = browser(user_agent);
    }

    pub(crate) fn set_now(&self, site: Site, attack: Attack) {
        self.book().now = Some((site, attack));
    }

    pub(crate) fn add(&self, finding: Finding) {
        let mut book = self.book();
        book.now = None;
        book.findings.push(finding);
    }

    /// Milliseconds since it began.
    pub(crate) fn clock(&self) -> u64 {
        self.started.elapsed().as_millis().try_into().unwrap_or(u64::MAX)
    }

    pub(crate) fn total(&self) -> usize {
        let restart = if self.wish.restart { 0 } else { Attack::ALL.iter().filter(|a| a.needs_restart()).count() };
        self.wish.storages.len() * 2 * (Attack::ALL.len() - restart)
    }

    /// The run as the API shows it.
    pub fn view(&self) -> Value {
        let book = self.book();
        let results: Vec<Value> = book
            .findings
            .iter()
            .map(|finding| {
                let (outcome, detail) = verdict::outcome(finding, &book.findings);
                json!({
                    "storage": finding.site.storage,
                    "attack": finding.attack.id(),
                    "target": finding.site.target,
                    "outcome": outcome,
                    "detail": detail,
                    "evidence": finding.evidence,
                    "ms": finding.ms,
                })
            })
            .collect();
        let now = book
            .now
            .map(|(site, attack)| json!({ "storage": site.storage, "attack": attack.id(), "target": site.target }));
        json!({
            "id": self.id,
            "state": book.state,
            "why": book.why,
            "start": book.start,
            "browser": book.browser,
            "started_at": self.started_at,
            "progress": { "done": results.len(), "total": self.total(), "now": now },
            "results": results,
        })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Name and version from `User-Agent`. Browsers built on others name themselves last but one, so the list is in the
/// order of who pretends to be whom.
fn browser(user_agent: &str) -> Browser {
    let families = [
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("HeadlessChrome/", "Chromium"),
        ("Chrome/", "Chromium"),
        ("Version/", "Safari"),
    ];
    for (mark, name) in families {
        if let Some((_, rest)) = user_agent.split_once(mark) {
            let version: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
            return Browser { name: name.to_owned(), version };
        }
    }
    Browser { name: "a browser".to_owned(), version: "of unknown version".to_owned() }
}

/// The newest runs.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    newest: Mutex<VecDeque<Arc<Run>>>,
    ended: Notify,
}

/// Runs kept.
const KEPT: usize = 32;

impl Runs {
    pub(crate) fn add(&self, run: Arc<Run>) {
        let mut runs = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if runs.len() == KEPT {
            runs.pop_front();
        }
        runs.push_back(run);
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<Run>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).iter().find(|run| run.id == id).cloned()
    }

    /// Says that a run is over.
    pub(crate) fn note_end(&self) {
        self.ended.notify_one();
    }

    /// Waits for the end of a run.
    pub(crate) async fn an_end(&self) {
        self.ended.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Negative control: what names no browser is not guessed at.
    #[test]
    fn browsers_are_recognised() {
        let chromium = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/156.0.0.0 Safari/537.36";
        let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
        let edge = "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36 Edg/156.0.1.2";
        for (text, name, version) in [
            (chromium, "Chromium", "156.0.0.0"),
            (firefox, "Firefox", "140.0"),
            (edge, "Edge", "156.0.1.2"),
            ("curl/8", "a browser", "of unknown version"),
        ] {
            let browser = browser(text);
            assert_eq!((browser.name.as_str(), browser.version.as_str()), (name, version));
        }
    }
}
