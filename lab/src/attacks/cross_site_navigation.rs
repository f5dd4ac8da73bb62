//! A link on another site leads to an address of the app that changes something.

use super::{About, Good};
use crate::run::stage::{Got, Stage, Tried};

pub(super) const ABOUT: About = About {
    title: "Link on another site that changes something",
    claim: "SameSite=Lax sends cookies with links from elsewhere, so an app that changes something on GET obeys them; Strict does not.",
    how: "A page of another site leads the tab to an address that makes the app write a note.",
    twin: "The cookie is SameSite=None.",
    good: Good::Stopped,
};

pub(super) async fn carry_out(stage: &mut Stage<'_>) -> Tried {
    stage.victim_is_in().await?;
    let attacker = stage.lab.places.cross_site();
    stage.lure(&attacker).await?;
    let marker = stage.marker();
    stage.follow_link("/api/notes/add", &[("text", &marker)]).await?;
    stage.note_wire("/api/notes/add");
    let asked = stage.lab.wire.since(stage.site, stage.began, "/api/notes/add");
    let bounced = asked.len() > 1 && asked[0].is_cross_site() && !asked[0].has_cookies();
    Ok(Got::fell_if(
        stage.was_written(&marker),
        if bounced {
            "The first request came without cookies, as SameSite=Strict wants it; then the page with which Sessile lets links \
             from elsewhere find their user signed in asked again, and that wrote a note. No GET of an app may write."
        } else {
            "Following the link wrote a note in the victim's name."
        },
        "Following the link changed nothing.",
    ))
}
