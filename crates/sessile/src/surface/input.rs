//! Request bodies: read up to a bound, and read one way only.

use bytes::Buf;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http_body::Body;
use http_body_util::BodyExt;
use serde_json::{Map, Value};
use sessile_core::json::{self, Caps};
use zeroize::Zeroizing;

use crate::respond::Problem;

/// Largest body read on the surface.
pub(super) const MAX_BODY: usize = 64 * 1024;
const MAX_FIELDS: usize = 32;
const MAX_DEPTH: usize = 8;

/// A body's fields, and how they came: that decides how the answer looks.
#[derive(Debug)]
pub(super) enum Input {
    /// There was no body.
    None,
    /// A form: answered with redirects and pages.
    Form(Vec<(String, String)>),
    /// JSON: answered with JSON.
    Json(Map<String, Value>),
}

/// Reads a whole body of at most [`MAX_BODY`] bytes. Whether it comes in time is the listener's to watch.
pub(super) async fn read<B>(headers: &HeaderMap, body: B) -> Result<Zeroizing<Vec<u8>>, Problem>
where
    B: Body,
{
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > MAX_BODY as u64) {
        return Err(Problem::PayloadTooLarge);
    }
    let mut body = std::pin::pin!(body);
    let mut bytes = Zeroizing::new(Vec::new());
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Err(BROKEN) };
        // Trailers are not ours to read (H6).
        let Ok(mut data) = frame.into_data() else { continue };
        if bytes.len() + data.remaining() > MAX_BODY {
            return Err(Problem::PayloadTooLarge);
        }
        while data.has_remaining() {
            let chunk = data.chunk();
            bytes.extend_from_slice(chunk);
            let read = chunk.len();
            data.advance(read);
        }
    }
    Ok(bytes)
}

const BROKEN: Problem = Problem::BadRequest { code: "body_incomplete", detail: "The request body ended early." };
const MALFORMED_JSON: Problem =
    Problem::BadRequest { code: "malformed_json", detail: "The body is not a JSON object, or names a member twice." };
const MALFORMED_FORM: Problem = Problem::BadRequest {
    code: "malformed_form",
    detail: "The body is not a well-formed form, or names a field twice.",
};

/// Reads fields out of a body by its content type. Exactly one reading: a name twice, a broken escape or text that
/// is not UTF-8 is refused.
pub(super) fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Input, Problem> {
    let mut types = headers.get_all(CONTENT_TYPE).into_iter();
    let kind = match (types.next(), types.next()) {
        (None, _) if body.is_empty() => return Ok(Input::None),
        (Some(kind), None) => kind.to_str().map_err(|_| Problem::UnsupportedMediaType)?,
        _ => return Err(Problem::UnsupportedMediaType),
    };
    match essence(kind).as_deref() {
        Some("application/json") => {
            let caps = Caps { bytes: MAX_BODY, depth: MAX_DEPTH };
            match json::parse(body, caps) {
                Ok(Value::Object(members)) => Ok(Input::Json(members)),
                Ok(_) | Err(_) => Err(MALFORMED_JSON),
            }
        }
        Some("application/x-www-form-urlencoded") => form(body).map(Input::Form).ok_or(MALFORMED_FORM),
        _ => Err(Problem::UnsupportedMediaType),
    }
}

/// Type and subtype in lower case; `None` if a charset other than UTF-8 is named.
pub(super) fn essence(content_type: &str) -> Option<String> {
    let mut parts = content_type.split(';');
    let essence = parts.next()?.trim().to_ascii_lowercase();
    let utf8 = |parameter: &str| match parameter.trim().to_ascii_lowercase().split_once('=') {
        Some(("charset", charset)) => charset.trim_matches('"') == "utf-8",
        _ => true,
    };
    parts.all(utf8).then_some(essence)
}

/// Pairs of an `application/x-www-form-urlencoded` text.
pub(super) fn form(text: &[u8]) -> Option<Vec<(String, String)>> {
    let mut fields: Vec<(String, String)> = Vec::new();
    if text.is_empty() {
        return Some(fields);
    }
    for pair in text.split(|&b| b == b'&') {
        let equals = pair.iter().position(|&b| b == b'=')?;
        let (name, value) = (decode(&pair[..equals])?, decode(&pair[equals + 1..])?);
        if fields.len() == MAX_FIELDS || fields.iter().any(|(known, _)| *known == name) {
            return None;
        }
        fields.push((name, value));
    }
    Some(fields)
}

fn decode(text: &[u8]) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => hex(*bytes.next()?)? << 4 | hex(*bytes.next()?)?,
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

impl Input {
    /// Whether it is a form.
    pub(super) fn is_form(&self) -> bool {
        matches!(self, Self::Form(_))
    }

    /// Takes a text field. Absent is `None`; a JSON member of another type is refused.
    pub(super) fn take(&mut self, name: &str) -> Result<Option<String>, Problem> {
        match self {
            Self::None => Ok(None),
            Self::Form(fields) => {
                let at = fields.iter().position(|(known, _)| known == name);
                Ok(at.map(|at| fields.swap_remove(at).1))
            }
            Self::Json(members) => match members.remove(name) {
                None => Ok(None),
                Some(Value::String(text)) => Ok(Some(text)),
                Some(_) => Err(WRONG_TYPE),
            },
        }
    }

    /// Takes a yes or no. Absent is no.
    pub(super) fn take_flag(&mut self, name: &str) -> Result<bool, Problem> {
        if let Self::Json(members) = self {
            return match members.remove(name) {
                None => Ok(false),
                Some(Value::Bool(flag)) => Ok(flag),
                Some(_) => Err(WRONG_TYPE),
            };
        }
        match self.take(name)?.as_deref() {
            None | Some("" | "false" | "0") => Ok(false),
            Some("true" | "on" | "1") => Ok(true),
            Some(_) => Err(WRONG_TYPE),
        }
    }
}

const WRONG_TYPE: Problem =
    Problem::BadRequest { code: "wrong_type", detail: "A field has a value of the wrong type." };

/// One parameter of a query, if the query is well formed and names it once.
pub(super) fn query(query: Option<&str>, name: &str) -> Option<String> {
    form(query?.as_bytes())?.into_iter().find_map(|(known, value)| (known == name).then_some(value))
}
