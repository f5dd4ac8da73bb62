//! The thief renews first, then the owner.

use std::time::Duration;

use serde_json::{Value, json};

use super::{About, Good};
use crate::accounts::VICTIM;
use crate::gateway::{ACCESS, GRACE};
use crate::run::stage::{Broken, Got, Stage, Tried};
use crate::thief::{Loot, Use};

pub(super) const ABOUT: About = About {
    title: "Thief renews first",
    claim: "A stolen refresh token gives the thief new tokens for ever, unless rotation notices two who use it.",
    how: "Everything is taken from the browser and renewed by the thief before the owner. When the owner's browser renews \
          next, it presents a superseded token. Then both are tried, and the security events are read.",
    twin: "Refresh tokens are not rotated, so two who use one are never noticed.",
    good: Good::Stopped,
};

/// Beyond a limit, for clocks that are read at different moments.
const MARGIN: Duration = Duration::from_millis(300);

pub(super) async fn carry_out(stage: &mut Stage<'_>) -> Tried {
    if !stage.site.storage.facts().renews {
        return Ok(Got::not_applicable("There is no second secret that renews the first: the token lives until its session ends."));
    }
    let (session, loot) = stage.working_copy().await?;
    if !stage.site.is_twin() {
        // Until a renewal is due, and more than G after the sign-in: within G nothing rotates, and thief and owner would
        // go on with the same token.
        tokio::time::sleep(ACCESS.max(GRACE) + MARGIN).await;
    }
    let thiefs = thief_renews(stage, &loot).await?;
    // The first use tells Sessile that the successor has arrived, which ends the predecessor's grace.
    let uses = stage.thief().as_the_browser(&thiefs).await?;
    stage.note("the thief after renewing", json!(uses));
    if !uses.iter().any(Use::opened) {
        return Ok(Got::not_measured("The thief could not renew, so there was nobody to notice."));
    }
    if !stage.site.is_twin() {
        // Until the grace of the owner's token is over.
        tokio::time::sleep(GRACE + MARGIN).await;
    }
    let owner = stage.who().await?;
    stage.note("whom the app takes the owner for at the owner's next request", json!(owner));
    // What the thief got may be short-lived, so everything is tried again, renewing included.
    let uses = stage.thief().every_way(&thiefs).await?;
    stage.note("the thief afterwards", json!(uses));
    let thief_in = uses.iter().any(Use::opened);
    let noticed = noticed(stage, &session).await?;
    let owner = if owner.as_deref() == Some(VICTIM) { "beside the owner" } else { "and the owner was put out" };
    let said = if noticed { "the event authn_token_reuse says so" } else { "nobody noticed" };
    Ok(Got::fell_if(
        thief_in,
        format!("The thief stayed in {owner}; {said}."),
        format!("The owner's next renewal ended the session for both; {said}."),
    ))
}

async fn thief_renews(stage: &mut Stage<'_>, loot: &Loot) -> Result<Loot, Broken> {
    let by_endpoint = stage.site.storage.facts().bearer || stage.site.is_twin();
    let (used, renewed) = if by_endpoint {
        stage.thief().refresh(loot).await?
    } else {
        // Without the access token the gateway renews the request by itself.
        let only: Vec<(String, String)> = loot.cookies.iter().filter(|(name, _)| !name.ends_with("-at")).cloned().collect();
        stage.thief().renew_by_request(&only).await?
    };
    stage.note("the thief renews", json!(used));
    stage.note("what the thief has now", renewed.shown());
    Ok(renewed)
}

/// Whether the security events say that a token was used twice. They reach the store a moment after the answer.
async fn noticed(stage: &mut Stage<'_>, session: &str) -> Result<bool, Broken> {
    let Some(gateway) = stage.lab.gateway(stage.site).filter(|_| !stage.site.is_twin()) else { return Ok(false) };
    for _ in 0..10 {
        let events = gateway.events().await.map_err(|error| Broken::Setting(error.to_string()))?;
        let about = |event: &&Value| event["event"] == "authn_token_reuse" && event["session"] == session;
        if let Some(event) = events.iter().find(about) {
            stage.note("the event in `sessile audit export`", event.clone());
            return Ok(true);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(false)
}
