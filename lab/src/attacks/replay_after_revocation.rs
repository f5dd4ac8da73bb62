//! Stolen credentials, used after an operator has ended the session.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{About, Good};
use crate::gateway::STALENESS;
use crate::run::stage::{Broken, Got, Stage, Tried};
use crate::thief::Use;

pub(super) const ABOUT: About = About {
    title: "Used after revocation",
    claim: "A JWT cannot be taken back before it expires, unless every request asks somebody.",
    how: "Everything is taken from the browser, an operator runs `sessile session revoke`, and the copy is used until it is \
          refused or the promised time is over.",
    twin: "There is nobody to ask: the operator can do nothing.",
    good: Good::Stopped,
};

/// Beyond T: for a machine that is busy with a browser.
const LENIENCY: Duration = Duration::from_secs(1);

pub(super) async fn carry_out(stage: &mut Stage<'_>) -> Tried {
    let (session, loot) = stage.working_copy().await?;
    if stage.site.is_twin() {
        return Ok(Got::fell_if(true, "There is no way to end the session: the copy opens the app until it expires, in a day.", ""));
    }
    let gateway = stage.lab.gateway(stage.site).ok_or_else(|| Broken::Setting("the gateway is gone".into()))?;
    gateway.revoke(&session).await.map_err(|error| Broken::Setting(error.to_string()))?;
    stage.note("the operator ran `sessile session revoke`", json!({ "session": session }));
    let acknowledged = Instant::now();
    loop {
        let uses = stage.thief().as_the_browser(&loot).await?;
        let after = acknowledged.elapsed();
        if !uses.iter().any(Use::opened) {
            let rest = stage.thief().every_way(&loot).await?;
            stage.note("the copy, in every way there is", json!(rest));
            return Ok(Got::fell_if(
                rest.iter().any(Use::opened),
                "Part of the copy still opened the app after the revocation.",
                format!("The copy was refused {} ms after the revocation was acknowledged.", after.as_millis()),
            ));
        }
        if after > STALENESS + LENIENCY {
            stage.note("the copy", json!(uses));
            return Ok(Got::fell_if(
                true,
                format!("The copy still opened the app {} ms after the revocation.", after.as_millis()),
                "",
            ));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
