//! Answers that other origins may read (CORS): core's decisions, carried out on a request and its answer.

use std::time::Duration;

use http::header::{ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, AsHeaderName, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use sessile_core::cors::{self, AllowedOrigins, CorsConfig, PreflightRequest, PreflightVerdict};
use sessile_core::headers::Field;

use crate::config::EngineConfig;
use crate::fields::carry_out;

/// Who may read what Sessile itself answers: pages of the origins that may act for the user anyway, with the user's
/// cookies. `None` without such origins.
pub fn of_surface(config: &EngineConfig) -> Option<CorsConfig> {
    let origins = &config.csrf.trusted_origins;
    (!origins.is_empty()).then(|| CorsConfig {
        origins: AllowedOrigins::Listed(origins.clone()),
        methods: ["GET", "HEAD", "POST", "DELETE"].map(String::from).to_vec(),
        headers: ["authorization", "content-type", "x-csrf-token"].map(String::from).to_vec(),
        expose: ["date", "retry-after"].map(String::from).to_vec(),
        max_age: Duration::from_secs(600),
        credentials: true,
    })
}

/// What a request is to answers shared by `config`.
pub fn preflight(config: &CorsConfig, parts: &Parts) -> PreflightVerdict {
    cors::preflight(
        config,
        &PreflightRequest {
            method: parts.method.as_str(),
            origin: field(&parts.headers, ORIGIN),
            request_method: field(&parts.headers, ACCESS_CONTROL_REQUEST_METHOD),
            request_headers: field(&parts.headers, ACCESS_CONTROL_REQUEST_HEADERS),
        },
    )
}

/// Puts the CORS fields on an answer, whoever made it.
pub fn share(config: &CorsConfig, request: &HeaderMap, response: &mut HeaderMap) {
    let edits = {
        let current: Vec<(&str, &[u8])> =
            response.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        cors::response_headers(config, field(request, ORIGIN), &current)
    };
    carry_out(edits, response);
}

fn field<'a>(headers: &'a HeaderMap, name: impl AsHeaderName) -> Field<'a> {
    Field::of(headers.get_all(name).into_iter().map(HeaderValue::as_bytes))
}
