//! A script on another site calls the app's API.

use serde_json::json;

use super::{About, Good};
use crate::accounts::VICTIM;
use crate::run::stage::{Got, Stage, Tried};

pub(super) const ABOUT: About = About {
    title: "fetch from another site",
    claim: "Cookies are sent with a script's requests from other sites, unless SameSite, CORS or the browser forbids it.",
    how: "A page of another site posts to the app's API with credentials, in a form that needs no preflight, and tries to \
          read the victim's notes.",
    twin: "The cookie is SameSite=None, nothing looks at where a request comes from, and CORS allows every origin.",
    good: Good::Stopped,
};

pub(super) async fn carry_out(stage: &mut Stage<'_>) -> Tried {
    let attacker = stage.lab.places.cross_site();
    call(stage, &attacker).await
}

/// The calls, from whichever page of the attacker's.
pub(super) async fn call(stage: &mut Stage<'_>, attacker: &str) -> Tried {
    stage.victim_is_in().await?;
    stage.lure(attacker).await?;
    let (marker, by_get) = (stage.marker(), stage.marker());
    let notes = format!("{}/api/notes", stage.origin());
    let tried = stage.tab.ask(json!({ "do": "write", "url": notes, "text": marker })).await?;
    stage.note("the page posted a note", json!(tried.unwrap_or_else(|error| error.into())));
    let read = match stage.tab.ask(json!({ "do": "read", "url": notes })).await? {
        Ok(answer) => answer["body"].as_str().is_some_and(|body| body.contains(&format!("\"subject\":\"{VICTIM}\""))),
        Err(error) => {
            stage.note("reading the notes was refused", json!(error));
            false
        }
    };
    // For the record: how a GET that writes fares. That is the app's own mistake, and the outcome does not hang on it.
    let address = format!("{notes}/add?text={by_get}");
    let _ = stage.tab.ask(json!({ "do": "get", "url": address })).await?;
    let wrote_by_get = stage.lab.journal.find(stage.site, &by_get).is_some();
    stage.note("whether a GET that writes was carried out, which is the app's own mistake", json!(wrote_by_get));
    stage.note_wire("/api/notes");
    let wrote = stage.was_written(&marker);
    let bare = if stage.came_bare("/api/notes") { " The browser sent its requests without cookies." } else { "" };
    let beside = if wrote_by_get && !wrote { " A GET that writes was carried out: no app may have such a thing." } else { "" };
    Ok(Got::fell_if(
        wrote || read,
        match (wrote, read) {
            (true, true) => "The page wrote in the victim's name and read the victim's notes.",
            (true, false) => "The page wrote in the victim's name.",
            _ => "The page read the victim's notes.",
        },
        format!("The page could neither write nor read in the victim's name.{bare}{beside}"),
    ))
}
