//! The form, from a sibling host.

use super::{About, Good, cross_site_form};
use crate::run::stage::{Stage, Tried};

pub(super) const ABOUT: About = About {
    title: "Form on a sibling host",
    claim: "SameSite does not protect from a sibling host: a forgotten subdomain of the same site sends Strict cookies too.",
    how: "As the form on another site, from evil.lab.localhost, which is the same site as the app.",
    twin: "Nothing looks at where a request comes from.",
    good: Good::Stopped,
};

pub(super) async fn carry_out(stage: &mut Stage<'_>) -> Tried {
    let attacker = stage.lab.places.sibling();
    cross_site_form::submit(stage, &attacker).await
}
