//! Security events, named by the OWASP logging vocabulary. No event can hold a secret: its fields
//! have types that are safe to print.

use alloc::string::String;
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::{SessionId, Subject, Timestamp};

macro_rules! event_names {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $level:ident;)+) => {
        /// What happened. The documentation of each is its meaning; `docs/events.md` is made from this table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum EventName { $($(#[doc = $doc])+ $variant,)+ }

        impl EventName {
            /// Every event, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name in logs, in the store and as a metric label.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// How loud it is.
            pub const fn level(self) -> Level {
                match self { $(Self::$variant => Level::$level,)+ }
            }

            /// The meaning, for the reference page.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc,)+),)+ }
            }
        }
    };
}

event_names! {
    /// A user signed in.
    LoginSuccess = "authn_login_success", Info;
    /// A sign-in failed: unknown account, wrong password, or disabled account.
    LoginFail = "authn_login_fail", Warn;
    /// A sign-in was refused because of too many failures.
    LoginLock = "authn_login_lock", Warn;
    /// A superseded session token came back outside its grace: the session was ended.
    TokenReuse = "authn_token_reuse", Critical;
    /// A session token or access token was forged, damaged or not ours.
    TokenForged = "authn_token_forged", Warn;
    /// A session or token was revoked.
    TokenRevoked = "authn_token_revoked", Info;
    /// A password was changed.
    PasswordChange = "authn_password_change", Info;
    /// A session began.
    SessionCreated = "session_created", Info;
    /// A session token was rotated.
    SessionRenewed = "session_renewed", Info;
    /// A session ended by sign-out, revocation or a newer sign-in.
    SessionEnded = "session_ended", Info;
    /// A session was found to have passed its idle or absolute timeout.
    SessionExpired = "session_expired", Info;
    /// An ended session was used.
    SessionUseAfterEnd = "session_use_after_expire", Warn;
    /// A signed-in user was refused: stale authentication, wrong token place, or a policy.
    AuthzFail = "authz_fail", Warn;
    /// An administrator changed something.
    AuthzAdmin = "authz_admin", Info;
    /// A state-changing request came from another site, or without proof that it did not.
    Csrf = "malicious_csrf", Warn;
    /// Two cookies under one of our names.
    CookieTossing = "malicious_cookie_duplicate", Warn;
    /// A request was too ambiguous to forward.
    BadRequest = "malicious_request", Warn;
    /// A client tried to set an identity header that only the gateway sets.
    HeaderSpoof = "malicious_header_spoof", Warn;
    /// A content security policy was violated, as reported by a browser.
    CspReport = "csp_report", Info;
    /// An account was created.
    UserCreated = "user_created", Info;
    /// An account was changed, disabled or enabled.
    UserUpdated = "user_updated", Info;
    /// A signing key was made, rotated or revoked.
    KeyChange = "crypto_key_change", Info;
    /// The process began.
    Startup = "sys_startup", Info;
    /// The process ended in good order.
    Shutdown = "sys_shutdown", Info;
    /// The store lost writes it had acknowledged: every session was ended.
    StoreRegressed = "sys_store_regressed", Critical;
    /// The node lost its feed for longer than the staleness bound, or found it again.
    FeedState = "sys_feed_state", Warn;
    /// A setting weakens protection; written at start-up.
    DangerousSetting = "sys_dangerous_setting", Warn;
}

/// How loud an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Part of normal life.
    Info,
    /// Somebody should look at many of these.
    Warn,
    /// Somebody should look at one of these.
    Critical,
}

impl Level {
    /// The name in logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Critical => "critical",
        }
    }
}

/// One security event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What.
    pub name: EventName,
    /// A stable code that says why, such as `wrong_password` or `reuse`.
    pub reason: &'static str,
    /// About whom, if known. For failed sign-ins this is what was claimed.
    pub subject: Option<Subject>,
    /// Which session, if any.
    pub session: Option<SessionId>,
    /// From which browser, if any.
    pub client: Option<Client>,
    /// The request it belongs to.
    pub request: Option<RequestId>,
}

impl Event {
    /// An event about nobody in particular; add what is known.
    pub fn new(name: EventName, reason: &'static str, at: Timestamp) -> Self {
        Self { at, name, reason, subject: None, session: None, client: None, request: None }
    }

    /// About a subject.
    #[must_use]
    pub fn subject(mut self, subject: Subject) -> Self {
        self.subject = Some(subject);
        self
    }

    /// About a session.
    #[must_use]
    pub fn session(mut self, id: SessionId) -> Self {
        self.session = Some(id);
        self
    }

    /// From a browser.
    #[must_use]
    pub fn client(mut self, client: Client) -> Self {
        self.client = Some(client);
        self
    }

    /// Within a request.
    #[must_use]
    pub fn request(mut self, id: Option<RequestId>) -> Self {
        self.request = id;
        self
    }
}

/// Ties together what is written about one request. Made by the gateway; never taken from a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(pub String);
