//! The attacks: one file each, with what is said of it and how it is carried out. This table is the list.

use serde::Serialize;

use crate::run::stage::{Stage, Tried};

/// What is said of an attack before it is tried.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct About {
    /// Its name for people.
    pub title: &'static str,
    /// What the literature says.
    pub claim: &'static str,
    /// What the lab does.
    pub how: &'static str,
    /// What is weakened in the twin.
    pub twin: &'static str,
    /// Which outcome is good for the user.
    pub good: Good,
}

/// Which outcome is good for the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Good {
    /// That it was stopped.
    Stopped,
    /// That the session survived.
    Survives,
    /// That depends on what the user wants.
    Either,
}

/// A group of attacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "each is described by its text")]
pub enum Group {
    Script,
    Lasting,
    CrossSite,
    Replay,
}

impl Group {
    /// All four, in the order they are carried out.
    pub const ALL: [Self; 4] = [Self::Script, Self::Lasting, Self::CrossSite, Self::Replay];

    /// Title and explanation.
    pub const fn text(self) -> (&'static str, &'static str) {
        match self {
            Self::Script => (
                "Scripts in the page",
                "A script of the attacker runs inside the app's page: by an injection, a dependency or a tag manager.",
            ),
            Self::Lasting => (
                "What the session survives",
                "Not attacks, but what people complain about: being signed out by a reload, a second tab or a restart.",
            ),
            Self::CrossSite => (
                "Other sites",
                "A page of the attacker, on another site or on a sibling host, makes the victim's browser send requests.",
            ),
            Self::Replay => (
                "Stolen and forged credentials",
                "Somebody elsewhere has a copy of what was in the browser, or makes a token of their own.",
            ),
        }
    }
}

macro_rules! attacks {
    ($($variant:ident in $group:ident, $id:literal: $module:ident;)*) => {
        $(mod $module;)*

        /// An attack.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "each is described by its About")]
        pub enum Attack { $($variant,)* }

        impl Attack {
            /// All of them, in the order they are carried out.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name in the API.
            pub const fn id(self) -> &'static str {
                match self { $(Self::$variant => $id,)* }
            }

            /// Its group.
            pub const fn group(self) -> Group {
                match self { $(Self::$variant => Group::$group,)* }
            }

            /// What is said of it.
            pub const fn about(self) -> &'static About {
                match self { $(Self::$variant => &$module::ABOUT,)* }
            }

            /// Carries it out.
            pub(crate) async fn carry_out(self, stage: &mut Stage<'_>) -> Tried {
                match self { $(Self::$variant => $module::carry_out(stage).await,)* }
            }
        }
    };
}

attacks! {
    ScriptReadsToken in Script, "script-reads-token": script_reads_token;
    PatchedFetch in Script, "patched-fetch": patched_fetch;
    ScriptUsesSession in Script, "script-uses-session": script_uses_session;
    ScriptRefreshesToken in Script, "script-refreshes-token": script_refreshes_token;
    ScriptUnderCsp in Script, "script-under-csp": script_under_csp;
    HostileFrame in Script, "hostile-frame": hostile_frame;
    SurvivesReload in Lasting, "survives-reload": survives_reload;
    SurvivesNewTab in Lasting, "survives-new-tab": survives_new_tab;
    SurvivesRestart in Lasting, "survives-restart": survives_restart;
    SurvivesRestartRemembered in Lasting, "survives-restart-remembered": survives_restart_remembered;
    CrossSiteForm in CrossSite, "cross-site-form": cross_site_form;
    CrossSiteFetch in CrossSite, "cross-site-fetch": cross_site_fetch;
    CrossSiteImage in CrossSite, "cross-site-image": cross_site_image;
    CrossSiteNavigation in CrossSite, "cross-site-navigation": cross_site_navigation;
    SiblingForm in CrossSite, "sibling-form": sibling_form;
    SiblingFetch in CrossSite, "sibling-fetch": sibling_fetch;
    CookieTossing in CrossSite, "cookie-tossing": cookie_tossing;
    Clickjacking in CrossSite, "clickjacking": clickjacking;
    ReplayElsewhere in Replay, "replay-elsewhere": replay_elsewhere;
    ReplayAfterSignOut in Replay, "replay-after-sign-out": replay_after_sign_out;
    ReplayAfterRevocation in Replay, "replay-after-revocation": replay_after_revocation;
    RefreshReplay in Replay, "refresh-replay": refresh_replay;
    ForgedJwt in Replay, "forged-jwt": forged_jwt;
}

impl Attack {
    /// Whether the browser must be closed in between.
    pub const fn needs_restart(self) -> bool {
        matches!(self, Self::SurvivesRestart | Self::SurvivesRestartRemembered)
    }
}
