//! The seven places, and the two sides of every comparison.

use serde::{Deserialize, Serialize};

/// Where the JWT lives: the wording of Sessile's `storage` setting, which is the wording people use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "each is described by its Facts")]
pub enum Storage {
    Hybrid,
    ServerSession,
    Database,
    Cookie,
    Memory,
    SessionStorage,
    LocalStorage,
}

/// What is said of a storage before anything is measured.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// The value of the setting.
    pub name: &'static str,
    /// Whether Sessile demands that the operator acknowledge a danger.
    pub danger: bool,
    /// What is in the browser.
    pub browser_holds: &'static str,
    /// What is on the server.
    pub server_holds: &'static str,
    /// What a request costs.
    pub each_request: &'static str,
    /// What ends a session before its token expires.
    pub ended_by: &'static str,
    /// Whether scripts of the page get the token, to send it as a bearer.
    pub bearer: bool,
    /// Whether there is a second secret that renews the first.
    pub renews: bool,
}

impl Storage {
    /// All seven, the default first.
    pub const ALL: [Self; 7] = [
        Self::Hybrid,
        Self::ServerSession,
        Self::Database,
        Self::Cookie,
        Self::Memory,
        Self::SessionStorage,
        Self::LocalStorage,
    ];

    /// The storage of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|storage| storage.name() == name)
    }

    /// The value of the setting.
    pub const fn name(self) -> &'static str {
        self.facts().name
    }

    /// What is said of it.
    pub const fn facts(self) -> Facts {
        match self {
            Self::Hybrid => Facts {
                name: "hybrid",
                danger: false,
                browser_holds: "short access JWT in one HttpOnly cookie, session token in another",
                server_holds: "session record; renewal happens in the backend",
                each_request: "signature or cache, and the view of revocations: no I/O",
                ended_by: "the view",
                bearer: false,
                renews: true,
            },
            Self::ServerSession => Facts {
                name: "server-session",
                danger: false,
                browser_holds: "opaque session token in an HttpOnly cookie, no JWT at all",
                server_holds: "session record with the JWT, sealed",
                each_request: "session cache kept honest by the view; the store on a miss",
                ended_by: "the record being gone",
                bearer: false,
                renews: true,
            },
            Self::Database => Facts {
                name: "database",
                danger: false,
                browser_holds: "access JWT in an HttpOnly cookie",
                server_holds: "one row per token issued",
                each_request: "one store read, always",
                ended_by: "deleting the row",
                bearer: false,
                renews: false,
            },
            Self::Cookie => Facts {
                name: "cookie",
                danger: false,
                browser_holds: "one access JWT in an HttpOnly cookie, valid as long as the cookie",
                server_holds: "session record, for listing and revoking only",
                each_request: "signature or cache, and the view",
                ended_by: "the view",
                bearer: false,
                renews: false,
            },
            Self::Memory => Facts {
                name: "memory",
                danger: false,
                browser_holds: "access JWT in a closure; session token in an HttpOnly cookie",
                server_holds: "session record",
                each_request: "signature or cache, and the view",
                ended_by: "the view",
                bearer: true,
                renews: true,
            },
            Self::SessionStorage => Facts {
                name: "session-storage",
                danger: true,
                browser_holds: "access JWT in sessionStorage; session token in an HttpOnly cookie",
                server_holds: "session record",
                each_request: "signature or cache, and the view",
                ended_by: "the view",
                bearer: true,
                renews: true,
            },
            Self::LocalStorage => Facts {
                name: "local-storage",
                danger: true,
                browser_holds: "access JWT in localStorage; session token in an HttpOnly cookie",
                server_holds: "session record",
                each_request: "signature or cache, and the view",
                ended_by: "the view",
                bearer: true,
                renews: true,
            },
        }
    }
}

/// What is attacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The app behind Sessile, as it is by default.
    Sessile,
    /// The same app as it is commonly written, every protection left out: the negative control.
    Twin,
}

/// One app in one storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Site {
    /// Where its JWT lives.
    pub storage: Storage,
    /// Whether Sessile stands in front.
    pub target: Target,
}

impl Site {
    /// The site's own part of its host name.
    pub(crate) fn label(self) -> String {
        match self.target {
            Target::Sessile => self.storage.name().to_owned(),
            Target::Twin => format!("{}-twin", self.storage.name()),
        }
    }

    /// The site under a host name. Names that end in [`SECOND_NAME`] are the same site once more: cookies belong to a
    /// host, so one browser can hold two sessions of it.
    pub(crate) fn of_host(host: &str) -> Option<Self> {
        let label = host.strip_suffix(".lab.localhost")?;
        let label = label.strip_suffix(SECOND_NAME).unwrap_or(label);
        let (name, target) = match label.strip_suffix("-twin") {
            Some(name) => (name, Target::Twin),
            None => (label, Target::Sessile),
        };
        Some(Self { storage: Storage::named(name)?, target })
    }

    pub(crate) fn is_twin(self) -> bool {
        self.target == Target::Twin
    }
}

/// The ending of a site's second host name, for the session with "remember me".
pub(crate) const SECOND_NAME: &str = "-remembered";

/// Whether a host is a site's second name.
pub(crate) fn is_second_name(host: &str) -> bool {
    host.split('.').next().is_some_and(|label| label.ends_with(SECOND_NAME))
}
