//! `GET /auth/verify`: forward-auth for nginx, Caddy, Traefik and their like.
//!
//! The proxy asks about a request it holds; what that request was, it says in `X-Forwarded-Method` and
//! `X-Forwarded-Uri`. Those are read from trusted proxies alone and decide nothing but the cross-site check and where
//! the access token may go: there is no list of paths here that a forged one could match (A8, CVE-2026-40575).

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, ORIGIN, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Response};
use sessile_core::csrf::CsrfVerdict;
use sessile_core::encoding::header_text;

use super::is_ours;
use crate::arrival::Arrival;
use crate::engine::{Admission, Engine};
use crate::guard::append_cookies;
use crate::respond::{self, Problem};

const SUBJECT: HeaderName = HeaderName::from_static("sessile-subject");
const SESSION: HeaderName = HeaderName::from_static("sessile-session");

/// 200 with the identity, 401, or 403. Never a redirect: proxies take anything else for a failure.
pub(super) async fn verify(engine: &Engine, arrival: &Arrival<'_>) -> Response<Bytes> {
    let method = original_method(arrival);
    if method == arrival.parts().method {
        return judge(engine, arrival, arrival).await;
    }
    // The same request, by the method it was made with.
    let mut parts = arrival.parts().clone();
    parts.method = method;
    let original = Arrival::new(&parts, arrival.peer(), engine.config());
    let original = match arrival.at() {
        Some(at) => original.arrived(at),
        None => original,
    };
    judge(engine, arrival, &original).await
}

async fn judge(engine: &Engine, arrival: &Arrival<'_>, original: &Arrival<'_>) -> Response<Bytes> {
    let pass = match engine.admit(original, engine.config().offer(engine.config().storage)).await {
        Admission::Admitted(pass) => pass,
        Admission::Anonymous(anonymous) => {
            let mut response = engine.problem(arrival, &Problem::NoSession);
            if anonymous.why.clears_cookies() {
                append_cookies(response.headers_mut(), &engine.clearing_cookies());
            }
            return response;
        }
        Admission::Unavailable(error) => return engine.unavailable(arrival, &error),
    };
    if let CsrfVerdict::Refuse(_) = engine.check_csrf(original, Some(&pass), None) {
        return engine.problem(arrival, &Problem::CsrfRefused);
    }
    let mut response = respond::plain_ok(engine);
    let headers = response.headers_mut();
    let subject = HeaderValue::from_str(&header_text(pass.admitted.subject().as_str()));
    let session = HeaderValue::try_from(pass.session().to_string());
    let (Ok(subject), Ok(session)) = (subject, session) else { return engine.problem(arrival, &Problem::Internal) };
    headers.insert(SUBJECT, subject);
    headers.insert(SESSION, session);
    if may_carry_token(engine, arrival)
        && let Ok(mut bearer) = HeaderValue::try_from(["Bearer ", pass.admitted.access_token().expose()].concat())
    {
        bearer.set_sensitive(true);
        headers.insert(AUTHORIZATION, bearer);
    }
    append_cookies(response.headers_mut(), &engine.cookies_for_response(&pass).await);
    response
}

/// The method of the request that the proxy holds. Where a trusted proxy does not say, whatever carries a body or an
/// `Origin`, as browsers send it with every request that is not a plain GET, is judged as one that changes state.
fn original_method(arrival: &Arrival<'_>) -> Method {
    if let Some(method) = arrival.peer().forwarded.as_ref().and_then(|forwarded| forwarded.method.clone()) {
        return method;
    }
    let headers = &arrival.parts().headers;
    let has_body =
        headers.contains_key(TRANSFER_ENCODING) || headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0");
    if headers.contains_key(ORIGIN) || headers.contains_key(CONTENT_TYPE) || has_body {
        Method::POST
    } else {
        Method::GET
    }
}

/// Whether the answer may name the access token. A script of the page can read an answer's headers, so it is told to
/// proxies alone: to those that are trusted and say which request they hold, and to callers that are no browser. A
/// script that asks for this very address, directly or through a proxy, gets the identity without the token.
///
/// The proxy must set `X-Forwarded-Uri` itself on whatever it passes here, as the documented configurations do.
fn may_carry_token(engine: &Engine, arrival: &Arrival<'_>) -> bool {
    match arrival.peer().forwarded.as_ref().and_then(|forwarded| forwarded.uri.as_deref()) {
        Some(uri) => !is_ours(engine, uri.split(['?', '#']).next().unwrap_or(uri)),
        None => !from_browser(&arrival.parts().headers),
    }
}

// Scripts can neither set nor remove these (Fetch, forbidden request-headers).
fn from_browser(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().starts_with("sec-fetch-"))
}
