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

/// Which scripts of the page can read the access token. A later one is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exposure {
    /// None: it is in an HttpOnly cookie, or not in the browser at all.
    HttpOnly,
    /// Those that get hold of the object that keeps it, for as long as the page is open.
    Closure,
    /// Every script of the tab.
    Tab,
    /// Every script of the origin, in any tab, until it is removed.
    Origin,
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
    /// Who in the browser can read the access token.
    pub exposure: Exposure,
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
            Self::LocalStorage => body_shape("local-storage", Exposure::Origin, Some(SCRIPT_READABLE)),
            Self::SessionStorage => body_shape("session-storage", Exposure::Tab, Some(SCRIPT_READABLE)),
            Self::Memory => body_shape("memory", Exposure::Closure, None),
            Self::Cookie => Shape {
                name: "cookie",
                access_token: Cookie,
                session_token: false,
                renewal: Renewal::Never,
                liveness: Liveness::View,
                exposure: Exposure::HttpOnly,
                danger: None,
            },
            Self::ServerSession => Shape {
                name: "server-session",
                access_token: Server,
                session_token: true,
                renewal: Renewal::Transparent,
                liveness: Liveness::Record,
                exposure: Exposure::HttpOnly,
                danger: None,
            },
            Self::Database => Shape {
                name: "database",
                access_token: Cookie,
                session_token: false,
                renewal: Renewal::Never,
                liveness: Liveness::TokenRow,
                exposure: Exposure::HttpOnly,
                danger: None,
            },
            Self::Hybrid => Shape {
                name: "hybrid",
                access_token: Cookie,
                session_token: true,
                renewal: Renewal::Transparent,
                liveness: Liveness::View,
                exposure: Exposure::HttpOnly,
                danger: None,
            },
        }
    }

    /// The value of the setting.
    pub const fn name(self) -> &'static str {
        self.shape().name
    }

    /// Whether its access token travels in bodies, and so which storage it is may be the client's choice.
    pub fn is_body_delivered(self) -> bool {
        self.shape().access_token == AccessTokenPlace::Body
    }

    /// Whether a session begun in this storage may go on in `other`: no script may come to read a token that it
    /// could not read where its user signed in.
    pub fn may_become(self, other: Self) -> bool {
        other.shape().exposure <= self.shape().exposure
    }
}

/// The storages a route takes: one of its own, and those that clients may choose instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    own: Storage,
    also: u8,
}

impl Offer {
    /// `own` for whoever asks for nothing else; `also` for sessions begun in them.
    pub fn new(own: Storage, also: &[Storage]) -> Self {
        Self { own, also: also.iter().fold(0, |set, storage| set | storage.bit()) }
    }

    /// The route's own storage.
    pub fn own(self) -> Storage {
        self.own
    }

    /// Whether it takes sessions of `storage` as they are.
    pub fn takes(self, storage: Storage) -> bool {
        storage == self.own || self.also & storage.bit() != 0
    }

    /// Whether access tokens may come as bearer tokens.
    pub fn takes_bearers(self) -> bool {
        Storage::ALL.into_iter().any(|storage| storage.is_body_delivered() && self.takes(storage))
    }

    /// Whether a session token may open it without its client's doing. Where every token is body-delivered it may not,
    /// and need not be looked up.
    pub fn takes_session_tokens(self) -> bool {
        Storage::ALL.into_iter().any(|storage| !storage.is_body_delivered() && self.takes(storage))
    }

    /// Where a session begun in `begun` keeps its token here: where it is, or converted to the route's own storage.
    /// `None`: it has no place here, and its user must sign in again.
    ///
    /// A wrong `Some` would hand a token to scripts; a wrong `None` costs a sign-in.
    pub fn place_of(self, begun: Storage) -> Option<Storage> {
        if self.takes(begun) { Some(begun) } else { begun.may_become(self.own).then_some(self.own) }
    }
}

impl Storage {
    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

const fn body_shape(name: &'static str, exposure: Exposure, danger: Option<&'static str>) -> Shape {
    Shape {
        name,
        access_token: AccessTokenPlace::Body,
        session_token: true,
        renewal: Renewal::ByClient,
        liveness: Liveness::View,
        exposure,
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
