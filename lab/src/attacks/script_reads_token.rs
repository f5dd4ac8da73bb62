//! An injected script looks everywhere it can reach for a token at rest.

use serde_json::json;

use super::{About, Good};
use crate::run::stage::{Got, Stage, Tried};

pub(super) const ABOUT: About = About {
    title: "Injected script reads the token",
    claim: "A token in localStorage or sessionStorage can be read by any script that runs on the page; one in an HttpOnly cookie cannot.",
    how: "A script injected into the page searches document.cookie, localStorage, sessionStorage, IndexedDB, the page's \
          HTML, and everything reachable from its globals and modules. What it finds is tried from another machine.",
    twin: "The token is in a cookie without HttpOnly, in web storage, or in a global variable.",
    good: Good::Stopped,
};

pub(super) async fn carry_out(stage: &mut Stage<'_>) -> Tried {
    stage.sign_in().await?;
    stage.inject(false).await?;
    let found = stage.found("read").await?;
    let places: Vec<&str> = found.iter().map(|(place, _)| place.as_str()).collect();
    stage.note("where the script found something that looks like a token", json!(places));
    let usable = stage.usable(&found).await?;
    let place = found.iter().find(|(_, value)| usable.contains(value)).map(|(place, _)| place.as_str());
    Ok(Got::fell_if(
        place.is_some(),
        format!("The script read the token from {}; it opens the app from another machine.", place.unwrap_or_default()),
        "The script found no token it could use.",
    ))
}
