//! What arrived: the parts of a request that decisions are made from, read once and read strictly.

use std::net::IpAddr;
use std::sync::OnceLock;

use http::header::{
    ACCEPT, ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderName, ORIGIN, REFERER, UPGRADE, USER_AGENT,
};
use http::request::Parts;
use http::{HeaderMap, Method};
use sessile_core::client::{Client, Traces};
use sessile_core::cookie::{self, Presented};
use sessile_core::csrf::{self, CsrfFacts, Field};
use sessile_core::event::RequestId;
use sessile_core::{Moment, SecretStr};

use crate::config::EngineConfig;

/// Who is at the other end, as the listener knows it.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// Network address after walking trusted proxies; never read from a header of an untrusted peer (P16).
    pub address: Option<IpAddr>,
    /// Whether the client's side of the connection is https.
    pub secure: bool,
    /// What a trusted proxy says of the request it holds. `None` for every other peer, whatever it sends (A8).
    pub forwarded: Option<Forwarded>,
}

/// A request that a trusted proxy asks about.
#[derive(Clone, Debug, Default)]
pub struct Forwarded {
    /// Its method (`X-Forwarded-Method`), if the proxy says it.
    pub method: Option<Method>,
    /// Its path and query (`X-Forwarded-Uri`), if the proxy says it. Decides no access.
    pub uri: Option<String>,
}

/// A bearer token in the `Authorization` field.
#[derive(Clone, Copy, Debug)]
pub enum Bearer<'a> {
    /// None.
    None,
    /// One.
    One(SecretStr<'a>),
    /// Several fields, or one that is not well formed: nothing is read from it (JA-59).
    Ambiguous,
}

/// A request as decisions see it.
#[derive(Debug)]
pub struct Arrival<'a> {
    parts: &'a Parts,
    peer: &'a Peer,
    presented: Presented<'a>,
    /// Read when somebody asks: most requests pass without.
    client: OnceLock<Client>,
    at: Option<Moment>,
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
/// The header a signed CSRF token travels in.
pub const CSRF_HEADER: HeaderName = HeaderName::from_static("x-csrf-token");

impl<'a> Arrival<'a> {
    /// Reads cookies and client from the request.
    pub fn new(parts: &'a Parts, peer: &'a Peer, config: &EngineConfig) -> Self {
        let cookies = parts.headers.get_all(COOKIE).into_iter().map(http::HeaderValue::as_bytes);
        Self { presented: cookie::parse(&config.cookie, cookies), client: OnceLock::new(), parts, peer, at: None }
    }

    /// With the moment the request's head arrived: what it presents is judged as of then, however long its body takes.
    #[must_use]
    pub fn arrived(mut self, at: Moment) -> Self {
        self.at = Some(at);
        self
    }

    /// When its head arrived, if that was noted.
    pub fn at(&self) -> Option<Moment> {
        self.at
    }

    /// The cookies under our names.
    pub fn presented(&self) -> &Presented<'a> {
        &self.presented
    }

    /// The browser.
    pub fn client(&self) -> &Client {
        self.client.get_or_init(|| observe(&self.parts.headers, self.peer))
    }

    /// Who is at the other end.
    pub fn peer(&self) -> &Peer {
        self.peer
    }

    /// The request line and headers.
    pub fn parts(&self) -> &Parts {
        self.parts
    }

    /// The request's id, if the listener gave it one.
    pub fn request_id(&self) -> Option<RequestId> {
        self.parts.extensions.get::<RequestId>().cloned()
    }

    /// The bearer token, if the request carries exactly one.
    pub fn bearer(&self) -> Bearer<'a> {
        let mut fields = self.parts.headers.get_all(AUTHORIZATION).into_iter();
        let (Some(field), None) = (fields.next(), fields.next()) else {
            return if self.parts.headers.contains_key(AUTHORIZATION) { Bearer::Ambiguous } else { Bearer::None };
        };
        let Ok(text) = field.to_str() else { return Bearer::Ambiguous };
        match text.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Bearer::One(SecretStr::new(token)),
            _ => Bearer::None,
        }
    }

    /// Whether the client asks to switch protocols.
    pub fn is_upgrade(&self) -> bool {
        self.parts.headers.contains_key(UPGRADE)
    }

    /// Whether a person is waiting for a page: decided by `Sec-Fetch-Mode` and `-Dest`, then by `Accept`.
    /// A script's request never gets a redirect, a navigation never gets raw JSON.
    pub fn wants_page(&self) -> bool {
        match self.single(&SEC_FETCH_MODE) {
            Some(mode) => mode == b"navigate",
            None => {
                let scripted = self.parts.headers.contains_key("x-requested-with");
                let html = self
                    .single(&ACCEPT)
                    .is_some_and(|accept| accept.windows(9).any(|w| w.eq_ignore_ascii_case(b"text/html")));
                html && !scripted
            }
        }
    }

    /// Whether this is a link followed from another site: a top-level GET that arrives without our cookies
    /// because they are `SameSite=Strict`, and deserves the bounce.
    ///
    /// After the bounce the same request is `same-origin`, so it cannot be bounced twice.
    pub fn is_link_from_elsewhere(&self) -> bool {
        let from_elsewhere = matches!(self.single(&SEC_FETCH_SITE), Some(b"cross-site" | b"same-site"));
        let top_level =
            self.single(&SEC_FETCH_MODE) == Some(b"navigate") && self.single(&SEC_FETCH_DEST) == Some(b"document");
        self.parts.method == Method::GET && from_elsewhere && top_level && !self.is_upgrade()
    }

    /// The facts the CSRF decision is made from.
    pub fn csrf_facts<'b>(&'b self, form_token: Option<&'b str>) -> CsrfFacts<'b> {
        let headers = &self.parts.headers;
        CsrfFacts {
            method: self.parts.method.as_str(),
            upgrade: self.is_upgrade(),
            sec_fetch_site: field(headers, &SEC_FETCH_SITE),
            origin: field(headers, &ORIGIN),
            referer: field(headers, &REFERER),
            content_type: field(headers, &CONTENT_TYPE),
            has_preflight_header: headers
                .iter()
                .any(|(name, value)| csrf::is_script_header(name.as_str(), value.as_bytes())),
            bearer: false,
            our_cookies: self.presented.any,
            token: form_token.or_else(|| self.single(&CSRF_HEADER).and_then(|value| std::str::from_utf8(value).ok())),
        }
    }

    fn single(&self, name: &HeaderName) -> Option<&[u8]> {
        let mut fields = self.parts.headers.get_all(name).into_iter();
        match (fields.next(), fields.next()) {
            (Some(value), None) => Some(value.as_bytes()),
            _ => None,
        }
    }
}

fn field<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Field<'a> {
    Field::of(headers.get_all(name).into_iter().map(http::HeaderValue::as_bytes))
}

fn observe(headers: &HeaderMap, peer: &Peer) -> Client {
    let value = |name: HeaderName| headers.get(name).map(http::HeaderValue::as_bytes);
    Client::observe(&Traces {
        user_agent: value(USER_AGENT),
        brands: value(HeaderName::from_static("sec-ch-ua")),
        accept_language: value(ACCEPT_LANGUAGE),
        peer: peer.address,
    })
}
