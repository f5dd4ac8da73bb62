//! The responses the gate writes itself.

use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderMap, X_CONTENT_TYPE_OPTIONS,
};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

use super::{Limits, WireViolation};
use crate::gateway::gate::{ALLOWED_METHODS, Refusal};

/// What all connections of a listener have in common.
#[derive(Clone, Debug, Default)]
pub struct WireRules {
    /// How much is held back or tolerated.
    pub limits: Limits,
    /// Fields for the gate's own responses beside those it always writes, such as the security headers of every other error page (P33).
    pub fields: HeaderMap,
}

impl WireRules {
    /// The whole response to a violation; a `HEAD` is answered without the body (RFC 9110 section 9.3.2).
    pub(super) fn response(&self, violation: WireViolation, to_head_method: bool) -> Vec<u8> {
        let refusal = violation.refusal();
        let (status, title, code) = (refusal.status(), refusal.title(), refusal.code());
        let body = format!(r#"{{"type":"about:blank","title":"{title}","status":{status},"code":"{code}"}}"#);
        let length = body.len();
        let mut head = format!(
            "HTTP/1.1 {status} {title}\r\n\
             connection: close\r\n\
             content-type: application/problem+json\r\n\
             content-length: {length}\r\n\
             cache-control: no-store\r\n\
             x-content-type-options: nosniff\r\n"
        );
        // Outside years 0 to 9999 there is no such date; a response without one is still a response (RFC 9110 section 6.6.1).
        if let Ok(date) = DateTimePrinter::new().timestamp_to_rfc9110_string(&Timestamp::now()) {
            head += &format!("date: {date}\r\n");
        }
        if refusal == Refusal::MethodNotAllowed {
            head += &format!("allow: {ALLOWED_METHODS}\r\n");
        }
        let mut response = head.into_bytes();
        let ours = [ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, X_CONTENT_TYPE_OPTIONS];
        for (name, value) in self.fields.iter().filter(|(name, _)| !ours.contains(name)) {
            response.extend_from_slice(name.as_str().as_bytes());
            response.extend_from_slice(b": ");
            response.extend_from_slice(value.as_bytes());
            response.extend_from_slice(b"\r\n");
        }
        response.extend_from_slice(b"\r\n");
        if !to_head_method {
            response.extend_from_slice(body.as_bytes());
        }
        response
    }
}
