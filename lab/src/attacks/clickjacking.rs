//! The app's page in a frame of the attacker's.

use serde_json::json;

use super::{About, Good};
use crate::run::stage::{Got, Stage, Tried};

pub(super) const ABOUT: About = About {
    title: "The app in a frame",
    claim: "A page that can be put into a frame can be covered, and the victim's clicks go where the attacker wants.",
    how: "Pages of another site and of a sibling host put the app's page into a frame and see whether it is rendered.",
    twin: "Its pages are sent without X-Frame-Options and without frame-ancestors.",
    good: Good::Stopped,
};

pub(super) async fn carry_out(stage: &mut Stage<'_>) -> Tried {
    stage.victim_is_in().await?;
    let home = format!("{}/", stage.origin());
    let mut rendered = Vec::new();
    for (who, attacker) in
        [("another site", stage.lab.places.cross_site()), ("a sibling host", stage.lab.places.sibling())]
    {
        stage.lure(&attacker).await?;
        let seen = stage.ask(json!({ "do": "frame", "url": home })).await?;
        stage.note(format!("the app's page in a frame of {who}"), seen.clone());
        if seen["rendered"] == true {
            rendered.push(if seen["signedIn"] == true { format!("{who} (signed in)") } else { who.to_owned() });
        }
    }
    Ok(Got::fell_if(
        !rendered.is_empty(),
        format!("The page was rendered in a frame of {}.", rendered.join(" and of ")),
        "The page was rendered in no frame.",
    ))
}
