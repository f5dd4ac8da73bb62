//! `POST /auth/sign-out`, and the page after it.

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde_json::{Value, json};
use sessile_core::csrf::CsrfVerdict;
use sessile_core::event::EventName;
use sessile_core::headers::clear_site_data;
use sessile_core::return_to::{self, ReturnTo};

use super::input::Input;
use crate::arrival::Arrival;
use crate::engine::{Admission, Engine, EngineError, Which};
use crate::guard::append_cookies;
use crate::pages::Page;
use crate::respond::{self, Problem};

const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

/// Ends sessions: the records first, then the cookies, then the browser's own storage.
///
/// `everywhere` needs no fresh sign-in: it ends the session that asks as well, so it gives a thief nothing, and it
/// is what somebody does who fears one. `others` keeps the asker in and puts the rest out, so it does.
pub(super) async fn submit(engine: &Engine, arrival: &Arrival<'_>, mut input: Input) -> Response<Bytes> {
    let as_page = input.is_form() || (matches!(input, Input::None) && arrival.wants_page());
    let fields = match Fields::read(&mut input) {
        Ok(fields) => fields,
        Err(problem) => return engine.problem(arrival, &problem),
    };
    let pass = match engine.peek(arrival, engine.config().surface_offer()).await {
        Admission::Admitted(pass) => Some(pass),
        Admission::Anonymous(_) => None,
        Admission::Unavailable(error) => return engine.unavailable(arrival, &error),
    };
    if let CsrfVerdict::Refuse(_) = engine.check_csrf(arrival, pass.as_ref(), fields.csrf_token.as_deref()) {
        return engine.problem(arrival, &Problem::CsrfRefused);
    }
    let mut ended = Vec::new();
    if let Some(pass) = &pass {
        let max_age = engine.config().fresh_for;
        if fields.which == Which::Others && !pass.admitted.is_fresh(max_age, engine.now().wall) {
            engine.note(EventName::AuthzFail, "stale_authentication", arrival, None);
            return engine.problem(arrival, &Problem::FreshAuthRequired { max_age });
        }
        ended = match engine.sign_out(pass, fields.which).await {
            Ok(ended) => ended,
            Err(error) => return failed(engine, arrival, error),
        };
    } else if fields.which != Which::Others {
        ended = match engine.end_presented(arrival).await {
            Ok(ended) => ended,
            Err(error) => return failed(engine, arrival, error),
        };
    }
    // Nobody signed in is what was asked for, unless it was to stay and end the others.
    if pass.is_none() && fields.which == Which::Others {
        return engine.problem(arrival, &Problem::NoSession);
    }
    let mut response = if as_page {
        let target = fields.return_to.as_deref().and_then(return_to::safe);
        let signed_out = format!("{}/signed-out", engine.config().prefix);
        respond::see_other(engine, target.as_ref().map_or(signed_out.as_str(), ReturnTo::as_str))
    } else {
        respond::json(engine, &ended_body(engine, &ended))
    };
    match fields.which {
        Which::This | Which::Everywhere => forget(engine, &mut response),
        Which::Others => {}
    }
    response
}

/// Makes the browser forget: cookies by the attributes they were set with, then what the app stored.
pub(super) fn forget(engine: &Engine, response: &mut Response<Bytes>) {
    append_cookies(response.headers_mut(), &engine.clearing_cookies());
    response.headers_mut().insert(CLEAR_SITE_DATA, HeaderValue::from_static(clear_site_data()));
}

/// The answer when a record could not be ended: the cookies stay, because the session may well live (F5).
pub(super) fn failed(engine: &Engine, arrival: &Arrival<'_>, error: EngineError) -> Response<Bytes> {
    match error {
        EngineError::Store(error) => engine.unavailable(arrival, &error),
        EngineError::Keys(why) => {
            tracing::error!(why, "a session could not be ended");
            engine.problem(arrival, &Problem::Internal)
        }
    }
}

struct Fields {
    which: Which,
    return_to: Option<String>,
    csrf_token: Option<String>,
}

impl Fields {
    fn read(input: &mut Input) -> Result<Self, Problem> {
        let which = match input.take("scope")?.as_deref() {
            None | Some("this") => Which::This,
            Some("others") => Which::Others,
            Some("everywhere") => Which::Everywhere,
            Some(_) => {
                return Err(Problem::BadRequest {
                    code: "unknown_scope",
                    detail: "scope is this, others or everywhere.",
                });
            }
        };
        let csrf_token = if input.is_form() { input.take("csrf_token")? } else { None };
        Ok(Self { which, return_to: input.take("return_to")?, csrf_token })
    }
}

/// What a user without scripts sees afterwards. Whoever is signed in is not told otherwise.
pub(super) async fn page(engine: &Engine, arrival: &Arrival<'_>) -> Response<Bytes> {
    match engine.peek(arrival, engine.config().surface_offer()).await {
        Admission::Admitted(_) => respond::see_other(engine, "/"),
        Admission::Unavailable(error) => engine.unavailable(arrival, &error),
        Admission::Anonymous(_) => {
            let sign_in = respond::sign_in_address(engine, None).unwrap_or_else(|| "/".to_owned());
            let page = Page::SignedOut { site: engine.config().public_origin.authority(), sign_in: &sign_in };
            respond::page(engine, StatusCode::OK, &page)
        }
    }
}

/// What was acknowledged, and what that survives (P2).
pub(super) fn ended_body(engine: &Engine, ended: &[sessile_core::SessionId]) -> Value {
    json!({ "ended": ended, "durability": engine.vault().durability().name() })
}
