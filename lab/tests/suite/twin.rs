//! The twin falls to every attack that needs no browser to judge it. Were it stronger than it says, nothing the lab says
//! of Sessile would mean anything.

use std::time::Duration;

use crate::visitor::{Oddities, Visitor, begin, ended, lab, result};

const BY_THE_THIEF: [&str; 5] =
    ["replay-elsewhere", "replay-after-sign-out", "replay-after-revocation", "refresh-replay", "forged-jwt"];

#[tokio::test]
async fn it_falls_to_stolen_and_forged_credentials() {
    let lab = lab(Duration::from_secs(10)).await;
    let (run, start) = begin(&lab).await;
    let visitor = Visitor::default();
    visitor.open(&start).await.unwrap();
    let view = ended(&run).await;
    assert_eq!(view["state"], "done", "{}", view["why"]);
    for attack in BY_THE_THIEF {
        let twin = result(&view, attack, "twin");
        assert_eq!(twin["outcome"], "succeeded", "{attack}: {twin}");
        // There is no gateway in this lab, so nothing was stopped.
        assert_eq!(result(&view, attack, "sessile")["outcome"], "not_measured", "{attack}");
    }
    let forged = result(&view, "forged-jwt", "twin");
    assert!(forged["detail"].as_str().unwrap().contains("alg none"), "{forged}");
}

/// The negative control: what is not the victim's credential opens nothing, so the attacks above can fail.
#[tokio::test]
async fn it_does_not_fall_to_decoys() {
    let lab = lab(Duration::from_secs(10)).await;
    let (run, start) = begin(&lab).await;
    let visitor = Visitor::with(Oddities { decoys: true, ..Oddities::default() });
    visitor.open(&start).await.unwrap();
    let view = ended(&run).await;
    for attack in &BY_THE_THIEF[..4] {
        let twin = result(&view, attack, "twin");
        assert_eq!(twin["outcome"], "not_measured", "{attack}: {twin}");
    }
    // The forger makes everything without the victim.
    assert_eq!(result(&view, "forged-jwt", "twin")["outcome"], "succeeded");
}
