//! The user's own sessions: this one, its renewal and its CSRF token, and the list of all.

use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};
use sessile_core::SessionId;
use sessile_core::csrf::CsrfVerdict;
use sessile_core::event::EventName;
use sessile_core::revocation::{Reason, Scope};
use sessile_core::storage::Renewal;

use super::input::{self, Input};
use super::{session_view, sign_in, sign_out};
use crate::arrival::Arrival;
use crate::engine::{Actor, Admission, Anonymous, Engine, Pass, Purpose, Which};
use crate::guard::append_cookies;
use crate::respond::{self, Problem};

/// Who asks, without renewing anything; or the answer they get.
async fn who(engine: &Engine, arrival: &Arrival<'_>) -> Result<Pass, Response<Bytes>> {
    match engine.peek(arrival, engine.config().surface_offer()).await {
        Admission::Admitted(pass) => Ok(pass),
        Admission::Anonymous(anonymous) => Err(nobody(engine, arrival, Some(anonymous))),
        Admission::Unavailable(error) => Err(engine.unavailable(arrival, &error)),
    }
}

fn nobody(engine: &Engine, arrival: &Arrival<'_>, anonymous: Option<Anonymous>) -> Response<Bytes> {
    let mut response = engine.problem(arrival, &Problem::NoSession);
    if anonymous.is_some_and(|anonymous| anonymous.why.clears_cookies()) {
        append_cookies(response.headers_mut(), &engine.clearing_cookies());
    }
    response
}

/// `GET /auth/session`: who am I, and until when. Never extends anything.
pub(super) async fn current(engine: &Engine, arrival: &Arrival<'_>) -> Response<Bytes> {
    let pass = match who(engine, arrival).await {
        Ok(pass) => pass,
        Err(answer) => return answer,
    };
    let mut body = match described(engine, arrival, pass.session()).await {
        Ok(session) => respond::session_body(session),
        Err(answer) => return answer,
    };
    if matches!(input::query(arrival.parts().uri.query(), "csrf").as_deref(), Some("1" | "true")) {
        match engine.csrf_token(arrival, Some(&pass)) {
            Ok(token) => body.insert("csrf_token".into(), token.into()),
            Err(_) => return engine.problem(arrival, &Problem::Internal),
        };
    }
    respond::json(engine, &Value::Object(body))
}

async fn described(engine: &Engine, arrival: &Arrival<'_>, id: SessionId) -> Result<Value, Response<Bytes>> {
    match engine.session(id).await {
        Ok(Some(session)) => Ok(session_view::session(&session, engine.config())),
        Ok(None) => Err(nobody(engine, arrival, None)),
        Err(error) => Err(sign_out::failed(engine, arrival, error)),
    }
}

/// `GET /auth/csrf`: a token for the header `x-csrf-token`, bound to the session if there is one.
pub(super) async fn csrf(engine: &Engine, arrival: &Arrival<'_>) -> Response<Bytes> {
    let pass = match engine.peek(arrival, engine.config().surface_offer()).await {
        Admission::Admitted(pass) => Some(pass),
        Admission::Anonymous(_) => None,
        Admission::Unavailable(error) => return engine.unavailable(arrival, &error),
    };
    match engine.csrf_token(arrival, pass.as_ref()) {
        Ok(token) => respond::json(engine, &json!({ "csrf_token": token })),
        Err(_) => engine.problem(arrival, &Problem::Internal),
    }
}

/// `POST /auth/refresh`: renews the session if that is due and answers what it is now. The new token travels where
/// the storage puts it; for cookie storages that is never a body.
pub(super) async fn refresh(engine: &Engine, arrival: &Arrival<'_>, mut input: Input) -> Response<Bytes> {
    let offer = engine.config().surface_offer();
    let form_token = match form_token(&mut input) {
        Ok(token) => token,
        Err(problem) => return engine.problem(arrival, &problem),
    };
    // The session token decides; an access token alone renews nothing. Whose it is must be known before, because a
    // signed CSRF token is bound to the session.
    let pass = match engine.peek(arrival, offer).await {
        Admission::Admitted(pass) => Some(pass),
        Admission::Anonymous(_) => None,
        Admission::Unavailable(error) => return engine.unavailable(arrival, &error),
    };
    if let CsrfVerdict::Refuse(_) = engine.check_csrf(arrival, pass.as_ref(), form_token.as_deref()) {
        return engine.problem(arrival, &Problem::CsrfRefused);
    }
    let Some(token) = &arrival.presented().session_token else {
        return match pass {
            Some(pass) if pass.admitted.claims().storage.shape().renewal == Renewal::Never => {
                engine.problem(arrival, &WITHOUT_RENEWAL)
            }
            Some(_) | None => nobody(engine, arrival, None),
        };
    };
    let pass = match engine.renew(token, offer, Purpose::Refresh, arrival).await {
        Admission::Admitted(pass) => pass,
        Admission::Anonymous(anonymous) => return nobody(engine, arrival, Some(anonymous)),
        Admission::Unavailable(error) => return engine.unavailable(arrival, &error),
    };
    let mut body = match described(engine, arrival, pass.session()).await {
        Ok(session) => respond::session_body(session),
        Err(answer) => return answer,
    };
    sign_in::add_access_token(&mut body, pass.admitted.access_token(), pass.admitted.claims());
    let mut response = respond::json(engine, &Value::Object(body));
    append_cookies(response.headers_mut(), &engine.cookies_for_response(&pass).await);
    response
}

const WITHOUT_RENEWAL: Problem = Problem::BadRequest {
    code: "storage_without_renewal",
    detail: "Sessions of this storage are not renewed; sign in again.",
};

fn form_token(input: &mut Input) -> Result<Option<String>, Problem> {
    if input.is_form() { input.take("csrf_token") } else { Ok(None) }
}

/// `GET /auth/sessions`: my devices, the most recently used first.
pub(super) async fn list(engine: &Engine, arrival: &Arrival<'_>) -> Response<Bytes> {
    let pass = match who(engine, arrival).await {
        Ok(pass) => pass,
        Err(answer) => return answer,
    };
    let mut sessions = match engine.sessions_of(pass.admitted.subject()).await {
        Ok(sessions) => sessions,
        Err(error) => return sign_out::failed(engine, arrival, error),
    };
    sessions.sort_by_key(|session| std::cmp::Reverse((session.last_seen_at, session.id)));
    let sessions: Vec<Value> = sessions
        .iter()
        .map(|session| {
            let mut view = session_view::session(session, engine.config());
            view["current"] = (session.id == pass.session()).into();
            view
        })
        .collect();
    respond::json(engine, &json!({ "sessions": sessions }))
}

/// `DELETE /auth/sessions/{id}`: ends one of my sessions. This one: as sign-out. Another: after fresh
/// authentication only, so that a stolen session cannot put its owner out. Somebody else's is answered as
/// one that does not exist (E21).
pub(super) async fn end(engine: &Engine, arrival: &Arrival<'_>, mut input: Input) -> Response<Bytes> {
    let form_token = match form_token(&mut input) {
        Ok(token) => token,
        Err(problem) => return engine.problem(arrival, &problem),
    };
    let pass = match who(engine, arrival).await {
        Ok(pass) => pass,
        Err(answer) => return answer,
    };
    if let CsrfVerdict::Refuse(_) = engine.check_csrf(arrival, Some(&pass), form_token.as_deref()) {
        return engine.problem(arrival, &Problem::CsrfRefused);
    }
    let id = arrival.parts().uri.path().rsplit('/').next().and_then(|id| id.parse::<SessionId>().ok());
    if id == Some(pass.session()) {
        return match engine.sign_out(&pass, Which::This).await {
            Ok(ended) => {
                let mut response = respond::json(engine, &sign_out::ended_body(engine, &ended));
                sign_out::forget(engine, &mut response);
                response
            }
            Err(error) => sign_out::failed(engine, arrival, error),
        };
    }
    // Before the id is looked at, so that a stale session learns nothing from it.
    let max_age = engine.config().fresh_for;
    if !pass.admitted.is_fresh(max_age, engine.now().wall) {
        engine.note(EventName::AuthzFail, "stale_authentication", arrival, None);
        return engine.problem(arrival, &Problem::FreshAuthRequired { max_age });
    }
    let Some(id) = id else { return engine.problem(arrival, &Problem::NotFound) };
    let subject = pass.admitted.subject();
    match engine.session(id).await {
        Ok(Some(session)) if session.subject == *subject => {}
        Ok(Some(_)) => {
            engine.note(EventName::AuthzFail, "session_of_another", arrival, None);
            return engine.problem(arrival, &Problem::NotFound);
        }
        Ok(None) => return engine.problem(arrival, &Problem::NotFound),
        Err(error) => return sign_out::failed(engine, arrival, error),
    }
    // A session's subject is never rewritten (I13), so what was checked above still holds.
    match engine.revoke(&Scope::Session(id), Reason::EndedByUser, &Actor::User(subject.clone())).await {
        Ok(ended) => respond::json(engine, &sign_out::ended_body(engine, &ended)),
        Err(error) => sign_out::failed(engine, arrival, error),
    }
}
