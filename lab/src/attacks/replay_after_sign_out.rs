//! Stolen credentials, used after the victim has signed out.

use serde_json::json;

use super::{About, Good};
use crate::run::stage::{Got, Stage, Tried};
use crate::thief::Use;

pub(super) const ABOUT: About = About {
    title: "Used after sign-out",
    claim: "Signing out deletes the token in the browser; a copy of a stateless token stays good until it expires.",
    how: "Everything is taken from the browser, the victim signs out, and the copy is used in every way there is: together, \
          each part alone, and at the refresh endpoint.",
    twin: "Signing out only asks the browser to forget.",
    good: Good::Stopped,
};

pub(super) async fn carry_out(stage: &mut Stage<'_>) -> Tried {
    let (_, loot) = stage.working_copy().await?;
    let answer = stage.ask(json!({ "do": "sign-out" })).await?;
    stage.note("the victim signed out", answer);
    let uses = stage.thief().every_way(&loot).await?;
    stage.note("the copy, used at once", json!(uses));
    Ok(Got::fell_if(
        uses.iter().any(Use::opened),
        "The copy still opened the app after the victim had signed out.",
        "Nothing of the copy worked any more.",
    ))
}
