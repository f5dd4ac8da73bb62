//! The script's calls, from a sibling host.

use super::{About, Good, cross_site_fetch};
use crate::run::stage::{Stage, Tried};

pub(super) const ABOUT: About = About {
    title: "fetch from a sibling host",
    claim: "A script on a sibling host sends the victim's cookies along, whatever their SameSite.",
    how: "As fetch from another site, from evil.lab.localhost, which is the same site as the app.",
    twin: "Nothing looks at where a request comes from, and CORS allows every origin.",
    good: Good::Stopped,
};

pub(super) async fn carry_out(stage: &mut Stage<'_>) -> Tried {
    let attacker = stage.lab.places.sibling();
    cross_site_fetch::call(stage, &attacker).await
}
