//! The page is loaded again.

use super::{About, Good};
use crate::accounts::VICTIM;
use crate::run::stage::{Got, Stage, Tried};

pub(super) const ABOUT: About = About {
    title: "Reload",
    claim: "A token in memory is lost when the page is loaded again.",
    how: "The victim signs in, the page is loaded again, and the app's own code asks who is signed in.",
    twin: "A global variable forgets; everything else it keeps. Not a matter of protection, so nothing is judged by it.",
    good: Good::Survives,
};

pub(super) async fn carry_out(stage: &mut Stage<'_>) -> Tried {
    stage.sign_in().await?;
    stage.tab.reload().await?;
    let survived = stage.who().await?.as_deref() == Some(VICTIM);
    stage.note_wire("/");
    Ok(Got::survived_if(survived, "After the reload the user is still signed in.", "After the reload the user is signed out."))
}
