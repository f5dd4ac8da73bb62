//! Where the JWT lives: the seven values of the `storage` setting.
//!
//! What differs between them is data ([`Storage::shape`]); no other module asks which storage it is.

use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Serialize};

/// Where the JWT lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Storage {
    /// Access JWT in `localStorage`, readable by every script of the origin.
    LocalStorage,
    /// Access JWT in `sessionStorage`, readable by every script of the tab.
    SessionStorage,
    /// Access JWT in a closure or a worker.
    Memory,
    /// One access JWT in an HttpOnly cookie, as long-lived as the cookie, without renewal.
    Cookie,
    /// Only an opaque session token in the browser; the JWT stays with the record.
    ServerSession,
    /// Access JWT in an HttpOnly cookie, and a row for each token issued.
    Database,
    /// Short access JWT in one HttpOnly cookie, the session token in another, renewal in the backend.
    #[default]
    Hybrid,
}

/// What reaches the browser, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessTokenPlace {
    /// In response bodies; comes back as a bearer token.
    Body,
    /// In the access-token cookie.
    Cookie,
    /// Nowhere: the server keeps it.
    Server,
}

/// How a session gets its next access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// The gateway renews before it forwards; the app needs no code.
    Transparent,
    /// The client calls `POST /auth/refresh`.
    ByClient,
    /// Never: the access token lives as long as the session.
    Never,
}

/// What proves, on each request, that the session still lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// The node's revocation view; no store operation.
    View,
    /// The session record, cached on the node and kept honest by the view.
    Record,
    /// The token's row, read on every request.
    TokenRow,
}

/// Everything that differs between the storages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The value of the setting.
    pub name: &'static str,
    /// Where the access token goes.
    pub access_token: AccessTokenPlace,
    /// Whether the browser holds a session token cookie.
    pub session_token: bool,
    /// How access tokens are renewed.
    pub renewal: Renewal,
    /// What proves liveness.
    pub liveness: Liveness,
    /// Why the operator must acknowledge `danger_script_readable_token`, if they must.
    pub danger: Option<&'static str>,
}

const SCRIPT_READABLE: &str =
    "every script that runs on the page, including an injected one, can read this token and carry it away";

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

    /// The differences, as data.
    pub const fn shape(self) -> Shape {
        use AccessTokenPlace::{Cookie, Server};
        match self {
            Self::LocalStorage => body_shape("local-storage", Some(SCRIPT_READABLE)),
            Self::SessionStorage => body_shape("session-storage", Some(SCRIPT_READABLE)),
            Self::Memory => body_shape("memory", None),
            Self::Cookie => Shape {
                name: "cookie",
                access_token: Cookie,
                session_token: false,
                renewal: Renewal::Never,
                liveness: Liveness::View,
                danger: None,
            },
            Self::ServerSession => Shape {
                name: "server-session",
                access_token: Server,
                session_token: true,
                renewal: Renewal::Transparent,
                liveness: Liveness::Record,
                danger: None,
            },
            Self::Database => Shape {
                name: "database",
                access_token: Cookie,
                session_token: false,
                renewal: Renewal::Never,
                liveness: Liveness::TokenRow,
                danger: None,
            },
            Self::Hybrid => Shape {
                name: "hybrid",
                access_token: Cookie,
                session_token: true,
                renewal: Renewal::Transparent,
                liveness: Liveness::View,
                danger: None,
            },
        }
    }

    /// The value of the setting.
    pub const fn name(self) -> &'static str {
        self.shape().name
    }
}

const fn body_shape(name: &'static str, danger: Option<&'static str>) -> Shape {
    Shape {
        name,
        access_token: AccessTokenPlace::Body,
        session_token: true,
        renewal: Renewal::ByClient,
        liveness: Liveness::View,
        danger,
    }
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Storage {
    type Err = UnknownStorage;

    fn from_str(text: &str) -> Result<Self, UnknownStorage> {
        Self::ALL.into_iter().find(|s| s.name() == text).ok_or(UnknownStorage)
    }
}

/// The text names no storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownStorage;

impl fmt::Display for UnknownStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "storage is one of hybrid, server-session, database, cookie, memory, session-storage, local-storage",
        )
    }
}
impl core::error::Error for UnknownStorage {}
