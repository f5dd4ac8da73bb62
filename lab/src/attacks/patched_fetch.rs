//! An injected script waits for a token to pass by.

use serde_json::json;

use super::{About, Good};
use crate::run::stage::{Broken, Got, Stage, Tried};

pub(super) const ABOUT: About = About {
    title: "Injected script listens for the token",
    claim: "A token kept in memory is safe from theft only until a script replaces fetch and waits for the next request.",
    how: "The injected script replaces fetch, XMLHttpRequest, Headers, Response.json, JSON.parse and the message channels, \
          waits until the app asks for its notes, and keeps whatever passes. Once before the app's own code has started, \
          and once after.",
    twin: "Scripts of the page attach the token themselves, with whatever fetch there is.",
    good: Good::Stopped,
};

pub(super) async fn carry_out(stage: &mut Stage<'_>) -> Tried {
    stage.victim_is_in().await?;
    let early = listened(stage, false).await?;
    // A script that comes later hears no more.
    let late = early && listened(stage, true).await?;
    Ok(Got::fell_if(
        early,
        match (early, late) {
            (true, false) => "A script that came before the app's own code heard the token; one that came later did not.",
            _ => "The script heard the token pass; it opens the app from another machine.",
        },
        "The app asked for its notes and no token passed through the page's scripts.",
    ))
}

async fn listened(stage: &mut Stage<'_>, late: bool) -> Result<bool, Broken> {
    stage.inject(late).await?;
    if late {
        stage.ask(json!({ "do": "press" })).await?;
        stage.ask(json!({ "do": "listen" })).await?;
    }
    stage.ask(json!({ "do": "press" })).await?;
    let captured = stage.found("captured").await?;
    let places: Vec<&str> = captured.iter().map(|(place, _)| place.as_str()).collect();
    let when = if late { "after" } else { "before" };
    stage.note(format!("where a script that came {when} the app's own code heard something"), json!(places));
    Ok(!stage.usable(&captured).await?.is_empty())
}
