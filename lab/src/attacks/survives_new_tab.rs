//! The app is opened in a second tab.

use serde_json::{Value, json};

use super::{About, Good};
use crate::accounts::VICTIM;
use crate::run::stage::{Broken, Got, Stage, Tried};
use crate::run::tab::{Silent, Tab};

pub(super) const ABOUT: About = About {
    title: "Second tab",
    claim: "sessionStorage and memory belong to one tab: the second one is signed out.",
    how: "While the victim is signed in, a second tab of the same browser opens the app, and the app's own code there asks \
          who is signed in.",
    twin: "Web storage of the tab and global variables are not in the second tab. Not a matter of protection.",
    good: Good::Survives,
};

pub(super) async fn carry_out(stage: &mut Stage<'_>) -> Tried {
    if stage.second.is_none() {
        return Ok(Got::not_measured("There is no second tab: the browser did not let the lab open one."));
    }
    stage.victim_is_in().await?;
    let home = format!("{}/", stage.origin());
    let Some(second) = stage.second.as_deref_mut() else { return Err(Broken::Setting("the second tab is gone".into())) };
    second.now.clone_from(&stage.tab.now);
    let who = match who(second, &home).await {
        Ok(who) => who,
        Err(silent) => {
            stage.second = None;
            return Ok(Got::not_measured(format!("The second tab was lost: {silent}.")));
        }
    };
    let survived = who.as_deref() == Some(VICTIM);
    stage.note("whom the app took the second tab for", json!(who));
    stage.note_wire("/");
    Ok(Got::survived_if(survived, "In a second tab the user is signed in too.", "In a second tab the user is signed out."))
}

/// Whom the app takes a tab for; `None` also when it shows something else instead, such as its sign-in page.
async fn who(tab: &mut Tab, home: &str) -> Result<Option<String>, Silent> {
    let there = tab.go(home).await?;
    let who = if there.page == "driver" {
        let answer = tab.ask(json!({ "do": "call", "path": "/api/whoami" })).await?.unwrap_or_default();
        let body: Value = answer["body"].as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        body["subject"].as_str().map(str::to_owned)
    } else {
        None
    };
    tab.go_to_lobby().await?;
    Ok(who)
}
