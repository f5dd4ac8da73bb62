//! `GET` and `POST /auth/sign-in`.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Map, Value};
use sessile_core::csrf::CsrfVerdict;
use sessile_core::return_to::{self, ReturnTo};
use sessile_core::storage::AccessTokenPlace;
use sessile_core::token::AccessClaims;
use sessile_core::{SecretText, Storage};

use super::input::{self, Input};
use super::session_view;
use crate::arrival::Arrival;
use crate::engine::{Admission, Engine, SignInError, SignedIn};
use crate::guard::append_cookies;
use crate::pages::{Page, SignIn};
use crate::password::{HashFault, PasswordAttempt, PasswordSignIn, PasswordSignInError};
use crate::respond::{self, Problem};

/// The form. Looking at it changes nothing: whoever is signed in stays so until the form is sent (E5).
pub(super) async fn page(engine: &Engine, arrival: &Arrival<'_>) -> Response<Bytes> {
    if !engine.config().passwords.enabled {
        return engine.problem(arrival, &Problem::NotFound);
    }
    let target = input::query(arrival.parts().uri.query(), "return_to");
    let target = target.as_deref().and_then(return_to::safe);
    let signed_in_as = match engine.peek(arrival, engine.config().surface_offer()).await {
        Admission::Admitted(pass) => Some(pass.admitted.subject().to_string()),
        // Who cannot be told apart now can still sign in, once the store is back.
        Admission::Anonymous(_) | Admission::Unavailable(_) => None,
    };
    form(
        engine,
        arrival,
        &Form { target: target.as_ref(), username: "", signed_in_as: signed_in_as.as_deref(), problem: None },
    )
}

/// What the form shows.
struct Form<'a> {
    target: Option<&'a ReturnTo>,
    username: &'a str,
    signed_in_as: Option<&'a str>,
    problem: Option<&'a Problem>,
}

fn form(engine: &Engine, arrival: &Arrival<'_>, form: &Form<'_>) -> Response<Bytes> {
    let config = engine.config();
    let Ok(csrf_token) = engine.csrf_token(arrival, None) else {
        return engine.problem(arrival, &Problem::Internal);
    };
    let page = Page::SignIn(SignIn {
        site: config.public_origin.authority(),
        action: &format!("{}/sign-in", config.prefix),
        csrf_token: &csrf_token,
        return_to: form.target.map_or("/", ReturnTo::as_str),
        username: form.username,
        offer_remember: !config.limits.remember.is_zero(),
        signed_in_as: form.signed_in_as,
        alert: form.problem.map(Problem::detail),
    });
    let Some(problem) = form.problem else { return respond::page(engine, StatusCode::OK, &page) };
    let mut response = respond::page(engine, problem.status(), &page);
    respond::add_fields(problem, response.headers_mut());
    response
}

/// Signs in. JSON is answered with the session, a form with 303 to where the user wanted to go.
pub(super) async fn submit(engine: &Engine, arrival: &Arrival<'_>, mut input: Input) -> Response<Bytes> {
    if !engine.config().passwords.enabled {
        return engine.problem(arrival, &Problem::NotFound);
    }
    let as_page = input.is_form();
    let fields = match Fields::read(&mut input) {
        Ok(fields) => fields,
        Err(problem) => return engine.problem(arrival, &problem),
    };
    // Login CSRF: a victim signed in as the attacker hands over what they do there.
    if let CsrfVerdict::Refuse(_) = engine.check_csrf(arrival, None, fields.csrf_token.as_deref()) {
        return engine.problem(arrival, &Problem::CsrfRefused);
    }
    let storage = match fields.storage {
        None => engine.config().storage,
        Some(wanted) if engine.config().surface_offer().takes(wanted) => wanted,
        Some(_) => return engine.problem(arrival, &NOT_OFFERED),
    };
    let target = fields.return_to.as_deref().and_then(return_to::safe);
    let attempt =
        PasswordAttempt { username: &fields.username, password: fields.password, remember: fields.remember, storage };
    let problem = match engine.sign_in_with_password(attempt, arrival).await {
        Ok(PasswordSignIn::SignedIn(signed_in)) => return welcome(engine, &signed_in, as_page, target.as_ref()),
        Ok(PasswordSignIn::Failed) => Problem::SignInFailed,
        Ok(PasswordSignIn::Wait(retry_after)) => Problem::TooManyAttempts { retry_after },
        Err(error) => fault(arrival, &error),
    };
    if as_page && arrival.wants_page() {
        let shown =
            Form { target: target.as_ref(), username: &fields.username, signed_in_as: None, problem: Some(&problem) };
        return form(engine, arrival, &shown);
    }
    engine.problem(arrival, &problem)
}

const NOT_OFFERED: Problem = Problem::BadRequest {
    code: "storage_not_offered",
    detail: "This site keeps no sessions in the storage asked for.",
};

struct Fields {
    username: String,
    password: SecretText,
    remember: bool,
    /// Where the client wants its token, if it says so.
    storage: Option<Storage>,
    return_to: Option<String>,
    csrf_token: Option<String>,
}

impl Fields {
    fn read(input: &mut Input) -> Result<Self, Problem> {
        const MISSING: Problem = Problem::BadRequest { code: "missing_field", detail: "Send username and password." };
        Ok(Self {
            username: input.take("username")?.ok_or(MISSING)?,
            password: SecretText::new(input.take("password")?.ok_or(MISSING)?),
            remember: input.take_flag("remember")?,
            storage: match input.take("storage")? {
                None => None,
                Some(text) => Some(text.parse().map_err(|_| NOT_OFFERED)?),
            },
            return_to: input.take("return_to")?,
            // A header may carry it too; a form cannot set one.
            csrf_token: if input.is_form() { input.take("csrf_token")? } else { None },
        })
    }
}

fn welcome(engine: &Engine, signed_in: &SignedIn, as_page: bool, target: Option<&ReturnTo>) -> Response<Bytes> {
    let mut response = if as_page {
        respond::see_other(engine, target.map_or("/", ReturnTo::as_str))
    } else {
        let mut body = respond::session_body(session_view::session(&signed_in.session, engine.config()));
        let access = signed_in.access_token();
        add_access_token(&mut body, access.compact(), access.claims());
        respond::json(engine, &Value::Object(body))
    };
    append_cookies(response.headers_mut(), &engine.sign_in_cookies(signed_in));
    response
}

/// For storages whose access token travels in bodies, and for no other.
pub(super) fn add_access_token(body: &mut Map<String, Value>, token: &SecretText, claims: &AccessClaims) {
    match claims.storage.shape().access_token {
        AccessTokenPlace::Cookie | AccessTokenPlace::Server => {}
        AccessTokenPlace::Body => {
            body.insert("access_token".into(), token.expose().into());
            body.insert("token_type".into(), "Bearer".into());
            body.insert("expires_in".into(), claims.expires_at.since(claims.issued_at).as_secs().into());
        }
    }
}

fn fault(arrival: &Arrival<'_>, error: &PasswordSignInError) -> Problem {
    tracing::warn!(%error, request = arrival.request_id().map(|id| id.0), "a sign-in could not be decided");
    match error {
        PasswordSignInError::Hash(HashFault::Busy) => Problem::Busy { retry_after: respond::SOON },
        PasswordSignInError::Hash(HashFault::Cost | HashFault::Record) => Problem::Internal,
        PasswordSignInError::SignIn(SignInError::ClaimsTooLarge(_) | SignInError::Token(_)) => Problem::ClaimsTooLarge,
        PasswordSignInError::Hash(HashFault::Entropy | HashFault::Interrupted)
        | PasswordSignInError::Store(_)
        | PasswordSignInError::SignIn(_)
        | PasswordSignInError::Engine(_) => Problem::unavailable(),
    }
}
