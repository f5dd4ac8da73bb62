//! An image on another site is an address of the app that changes something.

use serde_json::json;

use super::{About, Good};
use crate::run::stage::{Got, Stage, Tried};
use crate::run::tab::with_query;

pub(super) const ABOUT: About = About {
    title: "Image on another site",
    claim: "An <img> needs no script to send a request with cookies; an app that changes something on GET obeys it.",
    how: "A page of another site shows an image whose address makes the app write a note.",
    twin: "The cookie is SameSite=None.",
    good: Good::Stopped,
};

pub(super) async fn carry_out(stage: &mut Stage<'_>) -> Tried {
    stage.victim_is_in().await?;
    let attacker = stage.lab.places.cross_site();
    stage.lure(&attacker).await?;
    let marker = stage.marker();
    let address = with_query(&format!("{}/api/notes/add", stage.origin()), &[("text", &marker)]);
    let loaded = stage.ask(json!({ "do": "image", "url": address })).await?;
    stage.note("what became of the image", loaded);
    stage.note_wire("/api/notes/add");
    let bare = if stage.came_bare("/api/notes/add") { " The browser sent it without cookies." } else { "" };
    Ok(Got::fell_if(
        stage.was_written(&marker),
        "The image's request was carried out in the victim's name.",
        format!("The image's request was not carried out.{bare}"),
    ))
}
