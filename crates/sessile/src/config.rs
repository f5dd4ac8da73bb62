//! What an engine is told when it starts.

use std::time::Duration;

use sessile_core::Storage;
use sessile_core::cookie::CookieConfig;
use sessile_core::crypto::Algorithm;
use sessile_core::csrf::{CsrfConfig, CsrfMode};
use sessile_core::headers;
use sessile_core::origin::Origin;
use sessile_core::policy::Limits;
use sessile_core::storage::Offer;

use crate::password::{PasswordPolicy, ThrottlePolicy};

/// The settings of an engine. [`EngineConfig::for_origin`] gives the safe defaults.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The origin people see in their address bar. Links, the CSRF check and the token issuer come from here,
    /// never from a request header (R-078, A11).
    pub public_origin: Origin,
    /// `iss` of access tokens.
    pub issuer: String,
    /// `aud` of access tokens.
    pub audience: Vec<String>,
    /// `client_id` of access tokens.
    pub client_id: String,
    /// Where the HTTP surface lives.
    pub prefix: String,
    /// Storage of sessions begun on the surface, unless the client chooses another one.
    pub storage: Storage,
    /// Storages that clients may choose when they sign in, on every route. For body-delivered storages, whose tokens
    /// a page's own script handles.
    pub client_storages: Vec<Storage>,
    /// Storages of single routes, which clients may choose too; their tokens open those routes alone.
    pub route_storages: Vec<Storage>,
    /// How long things last.
    pub limits: Limits,
    /// Names and attributes of the cookies.
    pub cookie: CookieConfig,
    /// Where state-changing requests may come from.
    pub csrf: CsrfConfig,
    /// Signing keys.
    pub keys: KeyPolicy,
    /// Password accounts.
    pub passwords: PasswordPolicy,
    /// The path of the application's own sign-in page, if people are to be sent there instead of to ours.
    pub sign_in_page: Option<String>,
    /// Sign-in throttle.
    pub throttle: ThrottlePolicy,
    /// How recent a sign-in must be for sensitive acts, such as ending other sessions.
    pub fresh_for: Duration,
    /// Security headers of our own pages.
    pub own_headers: headers::Policy,
    /// Security headers added to the app's answers.
    pub app_headers: headers::Policy,
    /// Who may introspect and revoke tokens (RFC 7662, RFC 7009).
    pub clients: Vec<ApiClient>,
    /// How many verified tokens a node remembers.
    pub cache_tokens: usize,
    /// How long events are kept in the store.
    pub keep_events: Duration,
}

/// When signing keys change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPolicy {
    /// Algorithm of new keys.
    pub algorithm: Algorithm,
    /// Life of a signing key.
    pub rotate_every: Duration,
    /// How long before its first use a key is published. The set may be cached for this long less the staleness
    /// bound and a second, so that whoever caches it has the key before the first token signed with it.
    pub publish_ahead: Duration,
}

impl Default for KeyPolicy {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::Es256,
            rotate_every: Duration::from_secs(30 * 24 * 3600),
            publish_ahead: Duration::from_secs(300),
        }
    }
}

/// A resource server that may ask about tokens.
#[derive(Clone, Debug)]
pub struct ApiClient {
    /// Its name in HTTP Basic authentication.
    pub id: String,
    /// SHA-256 of its secret.
    pub secret_digest: [u8; 32],
}

impl EngineConfig {
    /// The defaults of product.md section 11 for an app seen at `origin`.
    pub fn for_origin(origin: Origin) -> Self {
        Self {
            issuer: origin.as_str().to_owned(),
            audience: vec![origin.as_str().to_owned()],
            client_id: "sessile".to_owned(),
            prefix: "/auth".to_owned(),
            storage: Storage::Hybrid,
            client_storages: Vec::new(),
            route_storages: Vec::new(),
            limits: Limits::default(),
            cookie: CookieConfig::default(),
            csrf: CsrfConfig {
                mode: CsrfMode::Enforce,
                own_origins: vec![origin.clone()],
                trusted_origins: Vec::new(),
            },
            keys: KeyPolicy::default(),
            passwords: PasswordPolicy::default(),
            sign_in_page: None,
            throttle: ThrottlePolicy::default(),
            fresh_for: Duration::from_secs(600),
            own_headers: headers::Policy::own_pages(),
            app_headers: headers::Policy::proxied_default(),
            clients: Vec::new(),
            cache_tokens: 65_536,
            keep_events: Duration::from_secs(90 * 24 * 3600),
            public_origin: origin,
        }
    }

    /// The path of the page where people sign in, if there is one.
    pub fn sign_in_path(&self) -> Option<String> {
        let ours = || self.passwords.enabled.then(|| format!("{}/sign-in", self.prefix));
        self.sign_in_page.clone().or_else(ours)
    }

    /// Whether the browser sees https and may be told to insist on it. Not on a loopback host, where other
    /// programs share the name.
    pub fn insists_on_https(&self) -> bool {
        self.public_origin.is_https() && !self.public_origin.is_loopback()
    }

    /// What a route of storage `own` takes: its own sessions and those of clients that chose another storage.
    pub fn offer(&self, own: Storage) -> Offer {
        Offer::new(own, &self.client_storages)
    }

    /// What the surface takes: sessions of every storage that may be chosen.
    pub fn surface_offer(&self) -> Offer {
        Offer::new(self.storage, &[self.client_storages.as_slice(), self.route_storages.as_slice()].concat())
    }

    /// Longer than any access token lives that its storage renews.
    pub fn longest_renewed(&self) -> Duration {
        self.limits.access.min(self.limits.longest_session()) + MARGIN
    }

    /// Longer than any access token lives: without renewal it lives as long as its session.
    ///
    /// It does not depend on the storages in use, so that a deployment which is switched to another one still
    /// takes the tokens of its running sessions, to convert them.
    pub fn longest_token(&self) -> Duration {
        self.limits.access.max(self.limits.longest_session()) + MARGIN
    }

    /// Longer than this node relies on having seen a session's record: how long it remembers that one ended.
    pub fn longest_trust(&self) -> Duration {
        self.longest_renewed()
    }
}

const MARGIN: Duration = Duration::from_secs(60);
