//! Tokens the attacker makes, presented where the storage reads tokens.

use serde_json::json;

use super::{About, Good};
use crate::accounts::VICTIM;
use crate::forge;
use crate::run::stage::{Got, Stage, Tried};
use crate::text::unix_seconds;
use crate::thief::{Loot, Use};

pub(super) const ABOUT: About = About {
    title: "Forged JWT",
    claim: "Verifiers that believe a token's header accept alg none, a public key as an HMAC secret, or a key the token brings along.",
    how: "The attacker signs in with their own account and makes tokens that name the victim: unsigned, changed, signed with \
          the public key as a secret, with a key of their own in the header, with a key id that is a path; and keeps one past its \
          end. Each is presented where this storage reads tokens.",
    twin: "The header of a token says how it is verified.",
    good: Good::Stopped,
};

pub(super) async fn carry_out(stage: &mut Stage<'_>) -> Tried {
    let thief = stage.thief();
    let own = stage.attacker_signs_in().await?;
    let genuine = thief.as_the_browser(&own).await?;
    stage.note("control: the attacker's own credentials", json!(genuine));
    if !genuine.iter().any(Use::opened) {
        return Ok(Got::not_measured("Not even the attacker's own, genuine token was accepted."));
    }
    let own_token = forge::jwt_of(&own);
    if own_token.is_none() {
        stage.note("the browser holds no JWT in this storage; forged ones are presented in place of what it holds", json!(null));
    }
    let keys = thief.keys().await?;
    let mut fell = Vec::new();
    let mut results = Vec::new();
    for forged in forge::forgeries(own_token.as_deref(), VICTIM, &keys) {
        for (place, loot) in places(stage, &own, &forged.token) {
            let uses = thief.as_the_browser(&loot).await?;
            let opened = uses.iter().any(|used| used.subject.as_deref() == Some(VICTIM));
            if opened && !fell.contains(&forged.what) {
                fell.push(forged.what.clone());
            }
            let statuses: Vec<u16> = uses.iter().map(|used| used.status).collect();
            results.push(json!({ "token": forged.what, "in": place, "status": statuses, "opened": opened }));
        }
    }
    let tried = results.len();
    stage.note("forged tokens, each with what it was answered", json!(results));
    let aged = stage.aged.clone().unwrap_or_default();
    let end = forge::jwt_of(&aged).as_deref().and_then(forge::end_of);
    // Equality is over already; a second more is for clocks that are read at different moments.
    if end.is_some_and(|end| end + 1 < unix_seconds()) {
        let uses = thief.as_the_browser(&only_the_token(&aged)).await?;
        if uses.iter().any(Use::opened) {
            fell.push("a genuine token past its end".to_owned());
        }
        stage.note("the attacker's own token, past its end", json!(uses));
    }
    Ok(Got::fell_if(
        !fell.is_empty(),
        format!("Accepted as the victim: {}.", fell.join(", ")),
        format!("None of {tried} forged tokens was accepted."),
    ))
}

/// Without what renews it.
fn only_the_token(own: &Loot) -> Loot {
    let token = forge::jwt_of(own);
    let is_token = |value: &String| Some(value) == token.as_ref();
    Loot {
        cookies: own.cookies.iter().filter(|(_, value)| is_token(value)).cloned().collect(),
        bearers: own.bearers.iter().filter(|value| is_token(value)).cloned().collect(),
    }
}

/// Where this storage reads a token, and the forged one there.
fn places(stage: &Stage<'_>, own: &Loot, token: &str) -> Vec<(String, Loot)> {
    let facts = stage.site.storage.facts();
    let mut places = Vec::new();
    if facts.bearer {
        places.push(("Authorization".to_owned(), Loot { bearers: vec![token.to_owned()], ..Loot::default() }));
    }
    for (name, _) in &own.cookies {
        let cookies = vec![(name.clone(), token.to_owned())];
        places.push((format!("cookie {name}"), Loot { cookies, ..Loot::default() }));
    }
    places
}
