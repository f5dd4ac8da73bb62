//! Sign-in and sign-out asserted by the application, in headers of its answers.
//!
//! The application keeps its own login endpoint and says who signed in:
//! `Sessile-Sign-In: {"sub":"42","claims":{...},"amr":["pwd"],"acr":"...","remember":false}`, and `Sessile-Sign-Out: this` or
//! `everywhere`. The headers are taken out of every answer; they count only on the routes named in the configuration, and only in an
//! answer of success or redirection. Anything else under them is refused whole (502): whoever can make an application send a
//! malformed assertion must not get half of it believed.

use http::StatusCode;
use http::header::HeaderValue;
use serde_json::Value;
use sessile::respond::Problem;
use sessile::{Arrival, Engine, Forward, SignInError, Which};
use sessile_core::cookie::SetCookie;
use sessile_core::event::{Event, EventName};
use sessile_core::json::{self, Caps};
use sessile_core::session::{Claims, Method, VerifiedIdentity};
use sessile_core::{Storage, Subject};

use super::headers::Asides;

/// What an answer's asides came to.
#[derive(Debug)]
pub enum Acted {
    /// There were none, or none that count here.
    Nothing,
    /// A session began: these cookies hand it over.
    SignedIn(Vec<SetCookie>),
    /// Sessions ended: these cookies forget them.
    SignedOut(Vec<SetCookie>),
    /// The answer is replaced by this.
    Refused(Problem),
}

/// An assertion, read.
#[derive(Debug)]
struct Assertion {
    subject: Subject,
    claims: Claims,
    amr: Vec<String>,
    acr: Option<String>,
    remember: bool,
}

/// More than any identity needs; a response head is bounded as well.
const CAPS: Caps = Caps { bytes: 24 * 1024, depth: 10 };

/// Acts on what an answer says to the gateway. `may` tells whether the route is one of those configured for it.
pub async fn act(
    engine: &Engine,
    arrival: &Arrival<'_>,
    forward: &Forward,
    asides: &Asides,
    status: StatusCode,
    storage: Storage,
    may: bool,
) -> Acted {
    if asides.is_empty() {
        return Acted::Nothing;
    }
    if !may {
        tracing::warn!(
            path = arrival.parts().uri.path(),
            "the application sent a Sessile-Sign-In or -Sign-Out header on a route that is not listed in sign_in.upstream_routes; it was dropped"
        );
        return Acted::Nothing;
    }
    let refused = |reason| {
        engine.record(
            Event::new(EventName::LoginFail, reason, engine.now().wall)
                .client(arrival.client().clone())
                .request(arrival.request_id()),
        );
        Acted::Refused(Problem::UpstreamInvalid)
    };
    if !(status.is_success() || status.is_redirection()) {
        return refused("assertion_with_failure");
    }
    match (&asides.sign_in[..], &asides.sign_out[..]) {
        ([assertion], []) => match read(assertion) {
            Some(assertion) => sign_in(engine, arrival, assertion, storage).await,
            None => refused("assertion_malformed"),
        },
        ([], [which]) => match which.as_bytes() {
            b"this" => sign_out(engine, forward, Which::This).await,
            b"everywhere" => sign_out(engine, forward, Which::Everywhere).await,
            _ => refused("sign_out_malformed"),
        },
        _ => refused("assertion_repeated"),
    }
}

async fn sign_in(engine: &Engine, arrival: &Arrival<'_>, assertion: Assertion, storage: Storage) -> Acted {
    let identity = VerifiedIdentity::vouched(Method::AppAsserted, assertion.subject, engine.now().wall)
        .with_claims(assertion.claims)
        .with_amr(assertion.amr)
        .with_acr(assertion.acr)
        .remembered(assertion.remember);
    match engine.sign_in(identity, arrival, storage).await {
        Ok(signed_in) => Acted::SignedIn(engine.sign_in_cookies(&signed_in)),
        Err(error) => {
            tracing::error!(%error, "a sign-in that the application asserted did not begin a session");
            Acted::Refused(match error {
                SignInError::ClaimsTooLarge(_) | SignInError::Token(_) => Problem::ClaimsTooLarge,
                SignInError::Store(_) | SignInError::EndedMeanwhile => unavailable(),
                SignInError::Entropy(_) => Problem::Internal,
            })
        }
    }
}

async fn sign_out(engine: &Engine, forward: &Forward, which: Which) -> Acted {
    // Nobody is signed in: the cookies, if any, are stale, and go.
    let Some(pass) = forward.pass() else { return Acted::SignedOut(engine.clearing_cookies()) };
    match engine.sign_out(pass, which).await {
        Ok(_) => Acted::SignedOut(engine.clearing_cookies()),
        Err(error) => {
            tracing::error!(%error, session = %pass.session(), "a sign-out that the application asserted did not end the session");
            Acted::Refused(unavailable())
        }
    }
}

fn unavailable() -> Problem {
    Problem::unavailable()
}

/// Reads an assertion, all of it or nothing.
fn read(value: &HeaderValue) -> Option<Assertion> {
    let Ok(Value::Object(mut members)) = json::parse(value.as_bytes(), CAPS) else { return None };
    let subject = match members.remove("sub")? {
        Value::String(subject) => subject.parse().ok()?,
        _ => return None,
    };
    let claims = match members.remove("claims") {
        None => Claims::default(),
        Some(Value::Object(claims)) => Claims::new(claims).ok()?,
        Some(_) => return None,
    };
    let amr = match members.remove("amr") {
        None => Vec::new(),
        Some(Value::Array(values)) if values.len() <= 8 => values.into_iter().map(word).collect::<Option<_>>()?,
        Some(_) => return None,
    };
    let acr = match members.remove("acr") {
        None => None,
        Some(value) => Some(word(value)?),
    };
    let remember = match members.remove("remember") {
        None => false,
        Some(Value::Bool(remember)) => remember,
        Some(_) => return None,
    };
    // A member nobody reads here was written by somebody who expects it to matter.
    members.is_empty().then_some(Assertion { subject, claims, amr, acr, remember })
}

/// A short text of visible ASCII.
fn word(value: Value) -> Option<String> {
    match value {
        Value::String(text) if (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) => {
            Some(text)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assertion(text: &'static str) -> Option<Assertion> {
        read(&HeaderValue::from_bytes(text.as_bytes()).unwrap())
    }

    /// The assertion of product.md section 3, and the smallest one.
    #[test]
    fn an_assertion_is_read_whole() {
        let full =
            assertion(r#"{"sub":"42","claims":{"role":"admin"},"amr":["pwd","otp"],"acr":"urn:a","remember":true}"#)
                .unwrap();
        assert_eq!((full.subject.as_str(), full.remember, full.amr.len()), ("42", true, 2));
        assert_eq!(full.claims.get("role"), Some(&Value::from("admin")));
        let least = assertion(r#"{"sub":"42"}"#).unwrap();
        assert!(!least.remember && least.amr.is_empty() && least.acr.is_none() && least.claims.is_empty());
    }

    /// JA-76 and strictness: what is not exactly an assertion is none.
    #[test]
    fn anything_else_is_nothing() {
        for text in [
            "",
            "42",
            "[]",
            "{}",
            r#"{"sub":42}"#,
            r#"{"sub":""}"#,
            r#"{"sub":"42","sub":"1"}"#,
            r#"{"sub":"42","s\u0075b":"1"}"#,
            r#"{"sub":"a\u000ab"}"#,
            r#"{"sub":"42","remember":"yes"}"#,
            r#"{"sub":"42","remember":1}"#,
            r#"{"sub":"42","admin":true}"#,
            r#"{"sub":"42","claims":{"sub":"1"}}"#,
            r#"{"sub":"42","claims":{"exp":9999999999}}"#,
            r#"{"sub":"42","claims":[]}"#,
            r#"{"sub":"42","amr":"pwd"}"#,
            r#"{"sub":"42","amr":[1]}"#,
            r#"{"sub":"42","acr":""}"#,
            r#"{"sub":"42"} {"sub":"1"}"#,
            "{\"sub\":\"\u{fffd}42",
        ] {
            assert!(assertion(text).is_none(), "{text}");
        }
        let latin1 = HeaderValue::from_bytes(b"{\"sub\":\"M\xfcller\"}").unwrap();
        assert!(read(&latin1).is_none(), "not UTF-8");
        assert!(assertion(r#"{"sub":"Müller"}"#).is_some(), "negative control: UTF-8 is fine");
    }
}
