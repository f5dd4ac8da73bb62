//! The way through a run: every attack on the twin and then on Sessile, storage by storage, in one tab that is led from
//! page to page; at the end what needs the browser closed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::stage::{Broken, Stage, Tried};
use super::tab::{Silent, Tab};
use super::verdict::{Finding, Seen};
use super::{Inboxes, Run, State};
use crate::accounts::{ATTACKER, VICTIM};
use crate::attacks::Attack;
use crate::gateway::ACCESS;
use crate::lab::Lab;
use crate::pages::{MAIN, SECOND};
use crate::run::stage::Got;
use crate::storage::{Site, Storage, Target};
use crate::thief::{Loot, Thief};

/// How long a run waits for a tab to come to its start.
const START_WITHIN: Duration = Duration::from_secs(600);
/// How long the visitor has to open a second tab.
const SECOND_TAB_WITHIN: Duration = Duration::from_secs(15);
/// How long a browser takes to open one by itself.
const POPUP_WITHIN: Duration = Duration::from_secs(3);

/// Leads a run from its start to its end.
pub(crate) async fn follow(lab: Arc<Lab>, run: Arc<Run>, inboxes: Inboxes) {
    let control = lab.places.control();
    let tab = |name, inbox| Tab::new(&run.id, name, control.clone(), inbox, lab.deadline);
    let mut course = Course {
        lab: &lab,
        run: &run,
        tab: tab(MAIN, inboxes.main),
        second: tab(SECOND, inboxes.second),
        has_second: false,
        silences: 0,
        aged: None,
    };
    match course.run().await {
        Ok(()) => run.set_state(State::Done, None),
        Err(ended) => {
            let why = ended.to_string();
            course.give_up(&why);
            run.set_state(State::Failed, Some(why));
        }
    }
    lab.runs.note_end();
}

struct Course<'a> {
    lab: &'a Lab,
    run: &'a Run,
    tab: Tab,
    second: Tab,
    has_second: bool,
    /// Attacks in a row in which the tab said nothing.
    silences: u32,
    /// Credentials of the attacker's own on the present site, from when its turn began.
    aged: Option<Loot>,
}

/// Why a run cannot go on.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("The tab was lost: {0}.")]
    Lost(#[from] Silent),
    #[error(
        "This browser does not find {0}. Names under localhost are this machine for most browsers, though not for Safari; \
         use another browser, or add the name to this machine's hosts file."
    )]
    NoSuchHost(String),
}

impl Course<'_> {
    async fn run(&mut self) -> Result<(), Ended> {
        self.tab.arrive(START_WITHIN).await?;
        self.run.set_state(State::Running, None);
        // Of the twins only: what stands behind Sessile is not for pages of other origins, whose answer this looks like.
        for site in self.sites().into_iter().filter(|site| site.is_twin()) {
            let host = self.lab.places.site(site);
            let reached = self.tab.ask(json!({ "do": "reach", "url": format!("{host}/assets/app.css") })).await?;
            reached.map_err(|_| Ended::NoSuchHost(host))?;
        }
        self.open_second().await?;
        for site in self.sites() {
            let thief = Thief { places: &self.lab.places, site };
            self.aged = thief.sign_in(&self.lab.accounts, ATTACKER).await.ok();
            for attack in Attack::ALL.iter().filter(|attack| !attack.needs_restart()) {
                self.attempt(site, *attack).await?;
            }
            if site.is_twin() {
                self.clear_up(site).await;
            }
        }
        if self.run.wish.restart {
            self.restart().await?;
        }
        self.show_results().await;
        Ok(())
    }

    /// The twin before Sessile, so that what Sessile withstood can be judged at once.
    fn sites(&self) -> Vec<Site> {
        let sites =
            |storage: &Storage| [Target::Twin, Target::Sessile].map(|target| Site { storage: *storage, target });
        self.run.wish.storages.iter().flat_map(sites).collect()
    }

    /// Opens a second tab. The new one is in front, so it is the one that is led on: timers are slow in a tab that nobody
    /// looks at.
    async fn open_second(&mut self) -> Result<(), Silent> {
        let address = self.second.lobby();
        self.tab.tell(json!({ "do": "open", "url": address })).await?;
        let mut arrived = self.second.arrive(POPUP_WITHIN).await.is_ok();
        if !arrived {
            self.tab.tell(json!({ "do": "offer", "url": address })).await?;
            arrived = self.second.arrive(SECOND_TAB_WITHIN).await.is_ok();
        }
        if arrived {
            self.has_second = true;
            std::mem::swap(&mut self.tab, &mut self.second);
        }
        Ok(())
    }

    async fn attempt(&mut self, site: Site, attack: Attack) -> Result<(), Silent> {
        self.run.set_now(site, attack);
        self.tab.now = format!(
            "{} of {}: {}, {}",
            self.run.findings().len() + 1,
            self.run.total(),
            attack.about().title,
            site.label()
        );
        if let Some(why) = self.lab.why_not(site) {
            self.add(site, attack, not_started(&why));
            return Ok(());
        }
        let began = Instant::now();
        let second = self.has_second.then_some(&mut self.second);
        let mut stage = Stage::new(self.lab, self.run, site, &mut self.tab, second);
        stage.aged.clone_from(&self.aged);
        let tried = attack.carry_out(&mut stage).await;
        self.has_second &= stage.second.is_some();
        let evidence = stage.into_evidence();
        let lost = matches!(&tried, Err(Broken::Silent(_)));
        let got = settled(&tried);
        self.run.add(Finding { site, attack, seen: got.0, detail: got.1, evidence, ms: millis(began) });
        self.silences = if lost { self.silences + 1 } else { 0 };
        match tried {
            // One silent page is a result; a second one in a row is a tab that is gone.
            Err(Broken::Silent(silent)) if self.silences >= 2 => Err(silent),
            _ => Ok(()),
        }
    }

    fn add(&self, site: Site, attack: Attack, got: Got) {
        let Got { seen, detail } = got;
        self.run.add(Finding { site, attack, seen, detail, evidence: Vec::new(), ms: 0 });
    }

    /// Takes the twin's cookies out of the browser: they are set for the whole domain, so scripts of Sessile's pages would
    /// see them too.
    async fn clear_up(&mut self, site: Site) {
        let mut stage = Stage::new(self.lab, self.run, site, &mut self.tab, None);
        if stage.open("/welcome").await.is_ok() {
            // What is left behind opens nothing but the twin, and a tab that was lost shows at the next attack.
            let _ = stage.ask(json!({ "do": "sign-out" })).await;
        }
    }

    /// Says of everything that was not reached that it was not measured.
    fn give_up(&self, why: &str) {
        let found = self.run.findings();
        for site in self.sites() {
            for attack in Attack::ALL.iter().filter(|attack| self.run.wish.restart || !attack.needs_restart()) {
                if !found.iter().any(|finding| finding.site == site && finding.attack == *attack) {
                    self.add(site, *attack, Got::not_measured(why));
                }
            }
        }
    }

    // ---- the part with the browser closed

    /// Signs in everywhere, twice, waits until the browser was closed and started again, and looks who is still in.
    async fn restart(&mut self) -> Result<(), Ended> {
        let mark = format!("lab_{}", self.run.id);
        let mut ready = Vec::new();
        for site in self.sites() {
            for attack in [Attack::SurvivesRestart, Attack::SurvivesRestartRemembered] {
                if let Some(why) = self.lab.why_not(site) {
                    self.add(site, attack, not_started(&why));
                    continue;
                }
                match self.sign_in_for_later(site, attack).await {
                    Ok(()) => ready.push((site, attack)),
                    Err(Broken::Silent(silent)) => return Err(silent.into()),
                    Err(other) => self.add(site, attack, Got::not_measured(format!("Signing in failed: {other}"))),
                }
            }
        }
        self.tab.go_to_lobby().await?;
        self.tab.tell(json!({ "do": "leave-mark", "name": mark })).await?;
        self.show_results().await;
        self.tab.forget();
        self.run.set_start(self.tab.lobby());
        self.run.set_state(State::NeedsRestart, None);
        self.run.restarted.notified().await;

        self.tab.arrive(START_WITHIN).await?;
        self.run.set_state(State::Running, None);
        self.has_second = false;
        let kept = self.tab.ask(json!({ "do": "has-mark", "name": mark })).await?;
        let forgot = kept.is_ok_and(|kept| kept == false);
        for (site, attack) in ready {
            self.run.set_now(site, attack);
            let began = Instant::now();
            let mut stage = Stage::new(self.lab, self.run, site, &mut self.tab, None);
            stage.note("whether the browser forgot the lab's own session cookie, as a closed one does", json!(forgot));
            let tried = look_after_restart(&mut stage, attack, forgot).await;
            let evidence = stage.into_evidence();
            let (seen, detail) = settled(&tried);
            self.run.add(Finding { site, attack, seen, detail, evidence, ms: millis(began) });
            if let Err(Broken::Silent(silent)) = tried {
                return Err(silent.into());
            }
        }
        Ok(())
    }

    async fn sign_in_for_later(&mut self, site: Site, attack: Attack) -> Result<(), Broken> {
        let remember = attack == Attack::SurvivesRestartRemembered;
        let mut stage = Stage::new(self.lab, self.run, site, &mut self.tab, None);
        let there = stage.tab.go(&format!("{}/welcome", host(&stage, attack))).await?;
        if there.page != "driver" {
            return Err(Broken::Setting("the app's page did not open".to_owned()));
        }
        stage.sign_in_here(VICTIM, remember).await.map(drop)
    }

    /// Leads the tab to the results. The run does not hang on its arrival.
    async fn show_results(&mut self) {
        let address = format!("{}/#run={}", self.lab.places.control(), self.run.id);
        let _ = self.tab.tell(json!({ "do": "go", "url": address })).await;
        if self.has_second {
            let _ = self.second.tell(json!({ "do": "close", "url": address })).await;
        }
    }
}

/// The reasons can be many lines; whoever started the lab has them all.
fn not_started(why: &str) -> Got {
    Got::not_measured(format!("Sessile did not start with this storage: {}", why.lines().next().unwrap_or_default()))
}

fn host(stage: &Stage<'_>, attack: Attack) -> String {
    match attack {
        Attack::SurvivesRestartRemembered => stage.lab.places.second(stage.site),
        _ => stage.origin(),
    }
}

async fn look_after_restart(stage: &mut Stage<'_>, attack: Attack, forgot: bool) -> Tried {
    let there = stage.tab.go(&format!("{}/", host(stage, attack))).await?;
    let who = if there.page == "driver" { stage.who().await? } else { None };
    stage.note("whom the app takes the browser for", json!(who));
    stage.note_wire("/");
    if !forgot && attack == Attack::SurvivesRestart {
        return Ok(Got::not_measured(
            "The lab's own session cookie was still there: the browser was not closed, or it restores what was open.",
        ));
    }
    // The token in localStorage is good for its life, which a lab cannot wait out at the default.
    let beside = match (stage.site.target, stage.site.storage) {
        (Target::Sessile, Storage::LocalStorage) => {
            format!(
                " Its token lives for {} s here; at the default it would outlive a restart by minutes.",
                ACCESS.as_secs()
            )
        }
        _ => String::new(),
    };
    Ok(Got::survived_if(
        who.as_deref() == Some(VICTIM),
        "After the restart the user is still signed in.",
        format!("After the restart the user is signed out.{beside}"),
    ))
}

fn settled(tried: &Tried) -> (Seen, String) {
    match tried {
        Ok(got) => (got.seen, got.detail.clone()),
        Err(broken) => (Seen::NotMeasured, format!("It could not be carried out: {broken}.")),
    }
}

fn millis(since: Instant) -> u64 {
    since.elapsed().as_millis().try_into().unwrap_or(u64::MAX)
}
