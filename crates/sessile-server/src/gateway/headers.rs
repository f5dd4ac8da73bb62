//! Which headers reach the upstream, and which come back: the only place that decides it (part D of the requirements).
//!
//! The order is the rule. First everything that belongs to the client's connection goes, including every field its `Connection`
//! names; then everything an application might read an identity, an address or another URL from, in every spelling; and only
//! then are ours added. So a client can neither add to what the gateway says nor take away from it: the upstream's view of our
//! headers is a function of the session alone (I11 of ARCHITECTURE.md).
//!
//! A name dropped without need costs an application one odd header. A name passed in error is somebody else's identity.

use std::borrow::Cow;
use std::net::IpAddr;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, Entry, HOST, HeaderMap, HeaderName, HeaderValue, MAX_FORWARDS,
    UPGRADE, VIA,
};
use http::request::Parts;
use http::{Method, Version};
use sessile_core::cookie;
use sessile_core::encoding::{base64url, header_text};
use sessile_core::event::RequestId;
use sessile_core::session::Admitted;

/// On whose behalf a request is forwarded. There is no third way, and `User` needs the proof that the session lives (I4).
#[derive(Clone, Copy, Debug)]
pub enum ForwardAs<'a> {
    /// A signed-in user.
    User(&'a Admitted),
    /// Nobody.
    Public,
}

/// What the gateway says about a request, whoever sent it.
#[derive(Clone, Copy, Debug)]
pub struct Provenance<'a> {
    /// `Host` for the upstream.
    pub host: &'a HeaderValue,
    /// Host of the public URL.
    pub public_host: &'a HeaderValue,
    /// Scheme of the public URL.
    pub public_scheme: &'static str,
    /// The client's address, behind trusted proxies: what [`address_field`] makes of it.
    pub client: Option<&'a HeaderValue>,
    /// The request's id.
    pub request_id: &'a RequestId,
    /// This gateway's name in `Via`.
    pub via: &'a Hop,
    /// Whether this is a WebSocket handshake that the route lets through.
    pub upgrade: bool,
}

/// Why a request goes to no upstream although its user may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotForwarded {
    /// It has been through this gateway before (P23).
    Loop,
    /// `OPTIONS` with `Max-Forwards: 0`: the gateway is the last recipient (RFC 9110 section 7.6.2).
    LastHop,
}

const SUBJECT: HeaderName = HeaderName::from_static("sessile-subject");
const SESSION: HeaderName = HeaderName::from_static("sessile-session");
const SIGN_IN: HeaderName = HeaderName::from_static("sessile-sign-in");
const SIGN_OUT: HeaderName = HeaderName::from_static("sessile-sign-out");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The field the request's id travels in, towards the upstream and back to the client.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Fields of one connection (RFC 9110 section 7.6.1), and those that only make sense beside them.
const HOP_BY_HOP: [&str; 11] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "expect",
];

/// Names, in folded spelling, that applications and frameworks take a statement of the proxy from. In order, because each
/// field of each request is looked up here.
const SPOKEN_FOR: [&str; 37] = [
    "authorization",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "client-cert",
    "client-cert-chain",
    "client-ip",
    "content-length",
    "cookie",
    "fastly-client-ip",
    "forwarded",
    "forwarded-for",
    "front-end-https",
    "host",
    // CGI turns it into HTTP_PROXY, which HTTP clients inside the application obey.
    "proxy",
    "true-client-ip",
    "x-access-token",
    "x-azure-clientip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-consumer-id",
    "x-email",
    "x-forwarded",
    "x-groups",
    "x-host",
    "x-http-host-override",
    "x-http-method",
    "x-http-method-override",
    "x-id-token",
    "x-jwt-assertion",
    "x-method-override",
    "x-real-ip",
    "x-request-id",
    "x-roles",
    "x-scheme",
    "x-sendfile-type",
    "x-token-subject",
    "x-url-scheme",
];

/// The same, for whole families of names.
const FAMILIES: [&str; 5] = ["sessile-", "remote-", "ssl-client-", "cf-access-", "tailscale-user-"];

/// The same, of names that begin with `x-`: what follows it.
const X_FAMILIES: [&str; 26] = [
    "sessile-",
    "forwarded-",
    // Without the hyphen: there are `X-UserId`, `X-Username`, `X-UserInfo` and `X-Users`.
    "user",
    "auth-",
    "authenticated-",
    "authentik-",
    "remote-",
    "original-",
    "rewrite-",
    "client-cert",
    "client-dn",
    "client-verify",
    "ssl-",
    "tls-",
    "middleware-",
    "guard-",
    "webauth-",
    "amzn-oidc-",
    "goog-authenticated-",
    "goog-iap-",
    "ms-client-principal",
    "pomerium-",
    "consumer-",
    "credential-",
    "envoy-",
    "accel-",
];

/// A name as applications behind CGI, WSGI or PHP see it: they fold what is neither letter nor digit to one character.
pub fn fold(name: &HeaderName) -> Cow<'_, str> {
    let name = name.as_str();
    if name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Cow::Borrowed(name);
    }
    Cow::Owned(name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect())
}

/// Whether a client's field of this name is dropped because only a proxy may speak under it.
pub fn is_spoken_for(name: &HeaderName) -> bool {
    let folded = fold(name);
    let folded = folded.as_ref();
    if folded == "x-user-agent" {
        return false;
    }
    let of_family = match folded.strip_prefix("x-") {
        Some(rest) => X_FAMILIES.iter().any(|family| rest.starts_with(family)),
        None => FAMILIES.iter().any(|family| folded.starts_with(family)),
    };
    of_family || SPOKEN_FOR.binary_search(&folded).is_ok()
}

/// Whether a name belongs to Sessile, whoever uses it.
pub fn is_ours(name: &HeaderName) -> bool {
    let folded = fold(name);
    folded.starts_with("sessile-") || folded.starts_with("x-sessile-")
}

/// Whether a request uses a name of ours, which nobody does by accident.
pub fn spoofs_ours(headers: &HeaderMap) -> bool {
    headers.keys().any(is_ours)
}

/// The names listed in `Connection`, lower case.
fn named_by_connection(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all(CONNECTION)
        .into_iter()
        .flat_map(|value| value.as_bytes().split(|&b| b == b','))
        .map(|name| String::from_utf8_lossy(name.trim_ascii()).to_ascii_lowercase())
        .filter(|name| !name.is_empty())
        .collect()
}

fn is_of_the_connection(name: &HeaderName, named: &[String]) -> bool {
    HOP_BY_HOP.contains(&name.as_str()) || named.iter().any(|each| each == name.as_str())
}

/// The headers of the upstream request.
///
/// `content-length` is left to the HTTP library, which knows the body; except for an announced empty body.
///
/// # Errors
///
/// When the request must not travel further.
pub fn to_upstream(parts: &Parts, who: ForwardAs<'_>, about: &Provenance<'_>) -> Result<HeaderMap, NotForwarded> {
    if parts.headers.get_all(VIA).iter().any(|via| about.via.is_in(via)) {
        return Err(NotForwarded::Loop);
    }
    let named = named_by_connection(&parts.headers);
    let mut headers = HeaderMap::with_capacity(parts.headers.len() + 8);
    for (name, value) in &parts.headers {
        if is_of_the_connection(name, &named) || is_spoken_for(name) {
            continue;
        }
        headers.append(name.clone(), value.clone());
    }
    // From here on nothing of the client's can remove or precede what is added.
    if parts.headers.get(CONTENT_LENGTH).is_some_and(|length| length == "0") {
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    if let Some(cookies) = cookie::strip(parts.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes))
        && let Ok(mut value) = HeaderValue::from_maybe_shared(Bytes::from(cookies))
    {
        value.set_sensitive(true);
        headers.insert(COOKIE, value);
    }
    if parts.method == Method::OPTIONS {
        hop(&mut headers)?;
    }
    match who {
        ForwardAs::User(admitted) => identify(&mut headers, admitted),
        ForwardAs::Public => {}
    }
    headers.insert(HOST, about.host.clone());
    headers.insert(X_FORWARDED_HOST, about.public_host.clone());
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(about.public_scheme));
    if let Some(client) = about.client {
        headers.insert(X_FORWARDED_FOR, client.clone());
    }
    if let Ok(id) = HeaderValue::from_str(&about.request_id.0) {
        headers.insert(X_REQUEST_ID, id);
    }
    headers.append(VIA, about.via.field(parts.version));
    if about.upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    Ok(headers)
}

fn identify(headers: &mut HeaderMap, admitted: &Admitted) {
    let bearer = ["Bearer ", admitted.access_token().expose()].concat();
    if let Ok(mut value) = HeaderValue::try_from(bearer) {
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    if let Ok(subject) = HeaderValue::from_str(&header_text(admitted.subject().as_str())) {
        headers.insert(SUBJECT, subject);
    }
    if let Ok(session) = HeaderValue::from_str(&admitted.session().to_string()) {
        headers.insert(SESSION, session);
    }
}

/// A client's address as the upstream is told it.
pub fn address_field(address: IpAddr) -> HeaderValue {
    // Digits, dots, colons and letters, so that this never falls back.
    HeaderValue::try_from(address.to_canonical().to_string()).unwrap_or(HeaderValue::from_static("unknown"))
}

/// This gateway in `Via` (RFC 9110 section 7.6.3), spelled out once for each version of the protocol.
#[derive(Clone, Debug)]
pub struct Hop {
    pseudonym: String,
    http10: HeaderValue,
    http11: HeaderValue,
    http2: HeaderValue,
}

impl Hop {
    /// The process with this random number, which tells it from every other one.
    pub fn new(instance: [u8; 8]) -> Self {
        let pseudonym = format!("sessile-{}", base64url(&instance));
        // Letters, digits, `-` and `_`, so that this never falls back.
        let received_by = |protocol: &str| {
            HeaderValue::try_from(format!("{protocol} {pseudonym}")).unwrap_or(HeaderValue::from_static("1.1 sessile"))
        };
        let (http10, http11, http2) = (received_by("1.0"), received_by("1.1"), received_by("2.0"));
        Self { pseudonym, http10, http11, http2 }
    }

    /// What is added to a request received over `version`.
    fn field(&self, version: Version) -> HeaderValue {
        match version {
            Version::HTTP_2 => self.http2.clone(),
            Version::HTTP_10 => self.http10.clone(),
            _ => self.http11.clone(),
        }
    }

    /// Whether a `Via` value names this hop.
    fn is_in(&self, via: &HeaderValue) -> bool {
        via.as_bytes().split(|b| matches!(b, b',' | b' ' | b'\t')).any(|word| word == self.pseudonym.as_bytes())
    }
}

fn hop(headers: &mut HeaderMap) -> Result<(), NotForwarded> {
    let Entry::Occupied(mut entry) = headers.entry(MAX_FORWARDS) else { return Ok(()) };
    let left = entry.get().to_str().ok().and_then(|text| text.parse::<u32>().ok());
    match left {
        Some(0) => Err(NotForwarded::LastHop),
        Some(n) => {
            entry.insert(HeaderValue::from(n - 1));
            Ok(())
        }
        None => {
            entry.remove_entry();
            Ok(())
        }
    }
}

/// What an application's answer says to the gateway rather than to the client. Always taken out of the answer; whether it counts is
/// another question.
#[derive(Debug, Default)]
pub struct Asides {
    /// Values of `Sessile-Sign-In`.
    pub sign_in: Vec<HeaderValue>,
    /// Values of `Sessile-Sign-Out`.
    pub sign_out: Vec<HeaderValue>,
}

impl Asides {
    /// Whether the answer says nothing to the gateway.
    pub fn is_empty(&self) -> bool {
        self.sign_in.is_empty() && self.sign_out.is_empty()
    }
}

/// Takes out of an upstream's answer what is not for the client: fields of the connection, everything under our own names in any
/// spelling, and `Alt-Svc`, which would show the client a way around the gateway.
pub fn to_client(headers: &mut HeaderMap) -> Asides {
    let named = named_by_connection(headers);
    let mut asides = Asides::default();
    let unwanted: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_of_the_connection(name, &named) || is_ours(name) || *name == http::header::ALT_SVC)
        .cloned()
        .collect();
    for name in unwanted {
        let Entry::Occupied(entry) = headers.entry(&name) else { continue };
        let (_, values) = entry.remove_entry_mult();
        if name == SIGN_IN {
            asides.sign_in.extend(values);
        } else if name == SIGN_OUT {
            asides.sign_out.extend(values);
        }
    }
    asides
}

#[cfg(test)]
mod tests;
