//! A frame of another site inside the app's page.

use std::time::Duration;

use serde_json::json;

use super::{About, Good};
use crate::run::stage::{Got, Stage, Tried};
use crate::text::shortened;

pub(super) const ABOUT: About = About {
    title: "Frame of another site in the page",
    claim: "An advertisement or widget in a frame may try to reach the page around it.",
    how: "The app's page holds a frame of another site. It reaches for the page's storage, cookies, globals and text, and \
          asks for the token by postMessage.",
    twin: "The app answers messages without looking at where they come from.",
    good: Good::Stopped,
};

pub(super) async fn carry_out(stage: &mut Stage<'_>) -> Tried {
    stage.victim_is_in().await?;
    stage.sign_in_if_forgotten().await?;
    let visit = stage.tab.visit();
    let widget = format!("{}/frame?{}", stage.lab.places.cross_site(), visit.query());
    stage.ask(json!({ "do": "show-widget", "url": widget })).await?;
    let loot = tokio::time::timeout(Duration::from_secs(4), stage.lab.loot.take(&visit)).await;
    let Ok(loot) = loot else {
        return Ok(Got::not_measured("The frame never said what it got: the browser did not load it."));
    };
    let mut found = Vec::new();
    for each in loot.as_array().into_iter().flatten() {
        let what = each["what"].as_str().unwrap_or_default();
        let value = each["value"].as_str().unwrap_or_default();
        let outcome = match each["refused"].as_str() {
            Some(why) => json!(format!("refused: {why}")),
            None if value.is_empty() => json!("nothing"),
            None => json!(shortened(value)),
        };
        stage.note(format!("the frame reached for {what}"), outcome);
        let words = value.split(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)));
        found.extend(words.filter(|word| word.len() >= 40).map(|word| (what.to_owned(), word.to_owned())));
    }
    let usable = stage.usable(&found).await?;
    Ok(Got::fell_if(
        !usable.is_empty(),
        "The frame got a token that opens the app from another machine.",
        "The frame reached nothing of the page's that it could use.",
    ))
}
