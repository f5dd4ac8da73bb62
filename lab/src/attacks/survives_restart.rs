//! The browser is closed and started again. Carried out by the course, since the tab does not outlive it.

use super::{About, Good};
use crate::run::stage::{Got, Stage, Tried};

pub(super) const ABOUT: About = About {
    title: "Browser restart",
    claim: "A session that ends with the browser is safer on shared machines; localStorage never ends.",
    how: "The victim signs in without \"remember me\", the browser is closed completely and started again, and the app's own \
          code asks who is signed in. A plain session cookie of the lab's own shows whether the browser really forgot.",
    twin: "Cookies without a lifetime, tokens in web storage. Not a matter of protection.",
    good: Good::Either,
};

pub(super) async fn carry_out(_: &mut Stage<'_>) -> Tried {
    Ok(Got::not_measured("The browser was not restarted."))
}
