//! The same with "remember me". Carried out by the course, since the tab does not outlive it.

use super::{About, Good};
use crate::run::stage::{Got, Stage, Tried};

pub(super) const ABOUT: About = About {
    title: "Browser restart, with \"remember me\"",
    claim: "Whoever asked to be remembered expects to be.",
    how: "As before, signed in with \"remember me\", under the app's second host name, so that both sessions are in one browser.",
    twin: "Cookies with a lifetime of a day, tokens in web storage. Not a matter of protection.",
    good: Good::Survives,
};

pub(super) async fn carry_out(_: &mut Stage<'_>) -> Tried {
    Ok(Got::not_measured("The browser was not restarted."))
}
