//! The victim: a small notes app. The same pages and the same API stand behind Sessile and in the twin; what differs is
//! who says whose request it is, and the file `app.js` that a developer would have written for that storage.
//!
//! Two bad habits are in it on purpose, because apps have them: a page that repeats its query unescaped, and a `GET` that
//! writes.

pub(crate) mod journal;

use http::header::HeaderName;
use http::{HeaderValue, Method, StatusCode};
use serde_json::json;

use self::journal::{Journal, Note};
use crate::net::{self, Answer, Asked};
use crate::pages;
use crate::places::Places;
use crate::storage::Site;

/// Says that the page lets the lab go on by itself, so that nobody needs to lead the tab away from it.
pub(crate) const LAB_PAGE: HeaderName = HeaderName::from_static("lab-page");

/// Answers a request to the app of `site` made on behalf of `subject`.
pub(crate) fn answer(places: &Places, journal: &Journal, site: Site, subject: Option<&str>, asked: &Asked) -> Answer {
    let method = &asked.parts.method;
    let path = asked.path();
    if let Some(file) = path.strip_prefix("/assets/") {
        return pages::asset(places, site, asked.host(), file)
            .unwrap_or_else(|| net::problem(StatusCode::NOT_FOUND, "there is no such file"));
    }
    match (method, path) {
        (&Method::GET, "/" | "/welcome" | "/strict" | "/search") => page(places, site, asked),
        (_, "/api/whoami" | "/api/notes" | "/api/notes/add") => match subject {
            Some(subject) => api(journal, site, subject, asked),
            None => net::problem(StatusCode::UNAUTHORIZED, "nobody is signed in"),
        },
        _ => net::problem(StatusCode::NOT_FOUND, "there is nothing at this address"),
    }
}

fn api(journal: &Journal, site: Site, subject: &str, asked: &Asked) -> Answer {
    let write = |text: Option<String>| {
        let Some(text) = text else { return net::problem(StatusCode::BAD_REQUEST, "send a text") };
        let by = format!("{} {}", asked.parts.method, asked.path());
        journal.write(Note { site, subject: subject.to_owned(), text: text.clone(), by });
        net::json(StatusCode::CREATED, &json!({ "subject": subject, "written": text }))
    };
    match (&asked.parts.method, asked.path()) {
        (&Method::GET, "/api/whoami") => net::json(StatusCode::OK, &json!({ "subject": subject })),
        (&Method::GET, "/api/notes") => {
            net::json(StatusCode::OK, &json!({ "subject": subject, "notes": journal.of(site, subject) }))
        }
        (&Method::POST, "/api/notes") => write(asked.field("text")),
        // A GET that changes something: bad practice, and common.
        (&Method::GET, "/api/notes/add") => write(asked.query("text")),
        _ => net::problem(StatusCode::METHOD_NOT_ALLOWED, "not by this method"),
    }
}

fn page(places: &Places, site: Site, asked: &Asked) -> Answer {
    let visit = pages::Visit::of(asked);
    let query = asked.query("q").unwrap_or_default();
    let content = match asked.path() {
        // Not escaped: this is the injection.
        "/search" | "/strict" => format!("<p>Nothing was found for {query}</p>"),
        "/welcome" => "<p>Sign in to see your notes.</p>".to_owned(),
        _ => String::new(),
    };
    // On the page with the injection, the injected script is the one that talks to the lab.
    let driver = visit.as_ref().filter(|_| asked.path() != "/search");
    // What is injected there may change what a path is relative to.
    let origin = if asked.path() == "/strict" { places.site(site) } else { String::new() };
    let mut answer = net::html(pages::shell(site, &content, &origin, driver));
    if visit.is_some() {
        answer.headers_mut().insert(LAB_PAGE, HeaderValue::from_static("yes"));
    }
    answer
}
