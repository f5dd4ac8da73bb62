//! An injected script asks for a token of its own.

use serde_json::json;

use super::{About, Good};
use crate::run::stage::{Got, Stage, Tried};

pub(super) const ABOUT: About = About {
    title: "Injected script asks for a token",
    claim: "Whatever the page can ask a token from, an injected script can ask too: no place in the browser cures that.",
    how: "The injected script calls POST /auth/refresh, as the app's own code would, and tries what it gets from another machine.",
    twin: "The refresh endpoint hands a token to whoever asks with a valid one.",
    good: Good::Stopped,
};

pub(super) async fn carry_out(stage: &mut Stage<'_>) -> Tried {
    stage.victim_is_in().await?;
    stage.inject(false).await?;
    let answer = stage.ask(json!({ "do": "refresh" })).await?;
    let found: Vec<(String, String)> = answer["found"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|value| Some(("the refresh endpoint".to_owned(), value.as_str()?.to_owned())))
        .collect();
    stage.note("POST /auth/refresh was answered", json!({ "status": answer["status"], "tokens": found.len() }));
    let usable = stage.usable(&found).await?;
    Ok(Got::fell_if(
        !usable.is_empty(),
        "The refresh endpoint gave the script a token that opens the app from another machine.",
        "The refresh endpoint gave the script nothing to carry away.",
    ))
}
