//! Stolen credentials, used from another machine while the session lives.

use super::{About, Good};
use crate::run::stage::{Got, Stage, Tried};

pub(super) const ABOUT: About = About {
    title: "Used from another machine",
    claim: "A bearer credential is good for whoever holds it, until it ends.",
    how: "Everything in the browser that opens the session is taken, as a program on the victim's machine would, and used \
          from another machine while the victim stays signed in.",
    twin: "Nothing ties the token to the browser; nothing does behind Sessile either.",
    good: Good::Stopped,
};

pub(super) async fn carry_out(stage: &mut Stage<'_>) -> Tried {
    let (_, _, works) = stage.copy().await?;
    Ok(Got::fell_if(
        works,
        "Whoever has a copy of everything in the browser is in, while the session lives. No storage prevents that.",
        "The copy was refused.",
    ))
}
