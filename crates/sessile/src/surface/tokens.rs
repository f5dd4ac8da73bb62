//! What resource servers ask: keys, metadata, introspection (RFC 7662), revocation (RFC 7009).

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::header::AUTHORIZATION;
use serde_json::{Value, json};
use sessile_core::Secret;
use sessile_core::encoding::from_base64url;
use sessile_core::event::{Event, EventName};
use zeroize::Zeroizing;

use super::input::Input;
use super::sign_out;
use crate::arrival::Arrival;
use crate::engine::{Engine, Introspection};
use crate::respond::{self, Problem};

/// `GET /.well-known/jwks.json`: public keys, to be cached no longer than a new key is published before its first use.
/// 503 until the keys are known: an empty set, once cached, would make every token unknown.
pub(super) fn jwks(engine: &Engine) -> Response<Bytes> {
    if !engine.ready().keys {
        return respond::problem(engine, &Problem::unavailable(), false, None);
    }
    let document = engine.jwks();
    respond::public_json(engine, document.body.clone(), document.max_age)
}

/// `GET /.well-known/oauth-authorization-server` (RFC 8414): where a resource server finds issuer and keys. There is
/// no authorization or token endpoint, and no grant.
pub(super) fn metadata(engine: &Engine) -> Response<Bytes> {
    let config = engine.config();
    let origin = config.public_origin.as_str();
    let at = |path: &str| format!("{origin}{}{path}", config.prefix);
    let document = json!({
        "issuer": config.issuer,
        "jwks_uri": format!("{origin}{}", super::JWKS_PATH),
        "response_types_supported": [],
        "grant_types_supported": [],
        "introspection_endpoint": at("/introspect"),
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic"],
        "revocation_endpoint": at("/revoke"),
        "revocation_endpoint_auth_methods_supported": ["client_secret_basic"],
        "access_token_signing_alg_values_supported": [config.keys.algorithm.name()],
    });
    respond::public_json(engine, document.to_string().into(), Duration::from_secs(3600))
}

/// `POST /auth/introspect`. A token that is not live is inactive, and nothing more is said of it.
pub(super) async fn introspect(engine: &Engine, arrival: &Arrival<'_>, input: Input) -> Response<Bytes> {
    let token = match token_of(engine, arrival, input) {
        Ok(token) => token,
        Err(problem) => return engine.problem(arrival, &problem),
    };
    let answer = match engine.introspect(&token).await {
        Ok(answer) => answer,
        Err(error) => return engine.unavailable(arrival, &error),
    };
    let body = match answer {
        Introspection::Access(claims) => json!({
            "active": true,
            "token_type": "Bearer",
            "iss": claims.issuer,
            "sub": claims.subject,
            "aud": claims.audience,
            "client_id": claims.client_id,
            "iat": claims.issued_at.as_secs(),
            "exp": claims.expires_at.as_secs(),
            "auth_time": claims.authenticated_at.as_secs(),
            "jti": claims.token_id.to_string(),
            "sid": claims.session,
        }),
        Introspection::Session { session, expires_at } => json!({
            "active": true,
            "iss": engine.config().issuer,
            "sub": session.subject,
            "client_id": engine.config().client_id,
            "iat": session.created_at.as_secs(),
            "exp": expires_at.as_secs(),
            "auth_time": session.authenticated_at.as_secs(),
            "sid": session.id,
        }),
        Introspection::Inactive => json!({ "active": false }),
    };
    respond::json(engine, &body)
}

/// `POST /auth/revoke`. 200 also for a token nobody knows (RFC 7009 section 2.2); never 200 for a live one whose end
/// the store has not acknowledged (F5, F14). The hint is only a hint, so it is not read.
pub(super) async fn revoke(engine: &Engine, arrival: &Arrival<'_>, input: Input) -> Response<Bytes> {
    let token = match token_of(engine, arrival, input) {
        Ok(token) => token,
        Err(problem) => return engine.problem(arrival, &problem),
    };
    match engine.revoke_token(&token).await {
        Ok(_) => respond::json(engine, &Value::Object(serde_json::Map::new())),
        Err(error) => sign_out::failed(engine, arrival, error),
    }
}

fn token_of(engine: &Engine, arrival: &Arrival<'_>, mut input: Input) -> Result<String, Problem> {
    if !is_client(engine, arrival) {
        engine.record(
            Event::new(EventName::AuthzFail, "invalid_client", engine.now().wall)
                .client(arrival.client().clone())
                .request(arrival.request_id()),
        );
        return Err(Problem::InvalidClient);
    }
    if !input.is_form() {
        return Err(Problem::UnsupportedMediaType);
    }
    input
        .take("token")?
        .ok_or(Problem::BadRequest { code: "invalid_request", detail: "Send the token in the form field token." })
}

/// Whether the request carries the id and secret of a configured client, by HTTP Basic (RFC 6749 section 2.3.1).
fn is_client(engine: &Engine, arrival: &Arrival<'_>) -> bool {
    let Some((id, secret)) = basic(arrival) else { return false };
    let digest = Secret::new(engine.crypto().sha256(secret.as_bytes()));
    // Every client is looked at, and a secret only by its digest: the time taken says nothing of either.
    engine
        .config()
        .clients
        .iter()
        .fold(false, |found, client| found | (digest.matches(&client.secret_digest) & (client.id == id)))
}

fn basic(arrival: &Arrival<'_>) -> Option<(String, Zeroizing<String>)> {
    let mut fields = arrival.parts().headers.get_all(AUTHORIZATION).into_iter();
    let (field, None) = (fields.next()?, fields.next()) else { return None };
    let (scheme, credentials) = field.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let credentials = Zeroizing::new(String::from_utf8(from_base64(credentials)?).ok()?);
    let (id, secret) = credentials.split_once(':')?;
    let decoded = |text: &str| Some(super::input::form(format!("v={}", text.replace('&', "%26")).as_bytes())?.pop()?.1);
    // Clients encode both as form values first, or do not bother; for what needs no encoding that is the same.
    Some((decoded(id)?, Zeroizing::new(decoded(secret)?)))
}

/// Base64 with padding (RFC 4648 section 4), by way of the strict base64url decoder.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(4) || text.contains(['-', '_']) {
        return None;
    }
    let body = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text);
    from_base64url(&body.replace('+', "-").replace('/', "_"))
}
