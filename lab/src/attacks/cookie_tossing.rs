//! A sibling host plants cookies, and signs the victim in as the attacker.

use serde_json::json;

use super::{About, Good};
use crate::accounts::{ATTACKER, VICTIM};
use crate::run::stage::{Broken, Got, Stage, Tried};

pub(super) const ABOUT: About = About {
    title: "Cookies planted by a sibling host, and login CSRF",
    claim: "A sibling host can set cookies for the whole domain and so put its own session into the victim's browser.",
    how: "The attacker signs in elsewhere and plants their own cookies from evil.lab.localhost, under the app's names and \
          spellings of them, for lab.localhost. Then it submits the sign-in form with the attacker's password. After each, the \
          app is asked who the victim is.",
    twin: "Its cookie may be set by every host of the domain and counts before the Authorization field, and nothing looks at \
           where a sign-in comes from.",
    good: Good::Stopped,
};

pub(super) async fn carry_out(stage: &mut Stage<'_>) -> Tried {
    stage.victim_is_in().await?;
    let attackers = stage.attacker_signs_in().await?;
    stage.note("the attacker's own credentials", attackers.shown());
    let sibling = stage.lab.places.sibling();
    let planted: Vec<(String, &str)> =
        attackers.cookies.iter().flat_map(|(name, value)| spellings(name).map(|name| (name, value.as_str()))).collect();
    stage.lure(&sibling).await?;
    let cookies: Vec<String> =
        planted.iter().map(|(name, value)| format!("{name}={value}; Domain=lab.localhost; Path=/; Secure")).collect();
    let kept = stage.ask(json!({ "do": "plant", "cookies": cookies })).await?;
    stage.note("of the planted cookies the browser kept, as it brings them to the sibling", kept);

    let after_planting = taken_for(stage).await?;
    stage.note("whom the app takes the victim for after the planting", json!(after_planting));
    stage.lure(&sibling).await?;
    let gone: Vec<String> =
        planted.iter().map(|(name, _)| format!("{name}=; Domain=lab.localhost; Path=/; Secure; Max-Age=0")).collect();
    stage.ask(json!({ "do": "plant", "cookies": gone })).await?;

    if after_planting.as_deref() != Some(VICTIM) {
        stage.sign_in().await?;
        stage.lure(&sibling).await?;
    }
    let password = stage.lab.accounts.password(ATTACKER);
    stage.post_form("/auth/sign-in", json!({ "username": ATTACKER, "password": password })).await?;
    let after_sign_in = taken_for(stage).await?;
    stage.note("whom the app takes the victim for after the attacker's sign-in form", json!(after_sign_in));
    stage.note_wire("/auth/sign-in");

    let (planting, form) = (after_planting.as_deref() == Some(ATTACKER), after_sign_in.as_deref() == Some(ATTACKER));
    let locked_out = [&after_planting, &after_sign_in].into_iter().any(|who| who.as_deref() != Some(VICTIM));
    Ok(Got::fell_if(
        planting || form,
        match (planting, form) {
            (true, true) => "Both worked: the victim went on as the attacker, whose account now holds what the victim enters.",
            (true, false) => "The planted cookie worked: the victim went on as the attacker.",
            _ => "The sign-in form worked: the victim went on as the attacker.",
        },
        if locked_out {
            "The victim was not taken for the attacker, but was signed out."
        } else {
            "The victim stayed who they were."
        },
    ))
}

/// A name as it is, and as it might slip past a rule about its prefix.
fn spellings(name: &str) -> impl Iterator<Item = String> + use<> {
    let bare = name.rsplit_once("__").map_or(name, |(_, rest)| rest);
    let bare = bare.trim_start_matches("Host-Http-").trim_start_matches("Host-");
    [name.to_owned(), name.to_lowercase(), format!("__Secure-{bare}"), bare.to_owned(), format!("={name}")].into_iter()
}

/// Whom the app takes the browser for: by its own code or, if that has forgotten, by the cookies alone.
async fn taken_for(stage: &mut Stage<'_>) -> Result<Option<String>, Broken> {
    match stage.open("/").await {
        Ok(()) => {}
        // The app shows its sign-in page.
        Err(Broken::Setting(_)) => return Ok(None),
        Err(other) => return Err(other),
    }
    match stage.who().await? {
        Some(who) => Ok(Some(who)),
        None => stage.who_by("plain").await,
    }
}
