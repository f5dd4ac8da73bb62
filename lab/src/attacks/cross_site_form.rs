//! A form on another site sends itself to the app.

use serde_json::json;

use super::{About, Good};
use crate::run::stage::{Got, Stage, Tried};

pub(super) const ABOUT: About = About {
    title: "Form on another site",
    claim: "Cookies are sent with forms of other sites: cross-site request forgery.",
    how: "A page of another site submits a form to the app's API, as a navigation of the whole tab.",
    twin: "The cookie is SameSite=None, and nothing looks at where a request comes from.",
    good: Good::Stopped,
};

pub(super) async fn carry_out(stage: &mut Stage<'_>) -> Tried {
    let attacker = stage.lab.places.cross_site();
    submit(stage, &attacker).await
}

/// The form, from whichever page of the attacker's.
pub(super) async fn submit(stage: &mut Stage<'_>, attacker: &str) -> Tried {
    stage.victim_is_in().await?;
    stage.lure(attacker).await?;
    let marker = stage.marker();
    stage.post_form("/api/notes", json!({ "text": marker })).await?;
    stage.note_wire("/api/notes");
    Ok(Got::fell_if(
        stage.was_written(&marker),
        "The form was carried out in the victim's name.",
        "The form was not carried out.",
    ))
}
