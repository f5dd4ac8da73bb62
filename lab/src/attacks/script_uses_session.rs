//! An injected script acts as the user, from the user's own page.

use serde_json::json;

use super::{About, Good};
use crate::run::stage::{Got, Stage, Tried};

pub(super) const ABOUT: About = About {
    title: "Injected script acts as the user",
    claim: "HttpOnly keeps a script from reading the cookie, not from using it: requests from the page carry it.",
    how: "The injected script writes a note through the app's own code while the page is open.",
    twin: "Nothing keeps a script from running; nothing does behind Sessile either, unless a content security policy does.",
    good: Good::Stopped,
};

pub(super) async fn carry_out(stage: &mut Stage<'_>) -> Tried {
    stage.victim_is_in().await?;
    stage.inject(false).await?;
    let marker = stage.marker();
    let answer = stage.ask(json!({ "do": "use", "text": marker })).await?;
    stage.note("the script's request was answered", json!({ "status": answer["status"] }));
    Ok(Got::fell_if(
        stage.was_written(&marker),
        "While the page is open the script acts as the user. No storage prevents that; a content security policy does.",
        "The script could not act as the user.",
    ))
}
