//! What a browser sent to the apps and what came back. All of it passes here: the lab listens in front of the gateways,
//! hands every request on as it came, and writes down who asked for what with which cookies.
//!
//! It changes one thing. A page that leads a tab nowhere, such as a refusal, gets a `Refresh` to where the lab waits;
//! otherwise an attack that navigates the tab would end the run. And what belongs to one connection is not handed on.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Instant;

use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, REFRESH, SET_COOKIE, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use serde_json::Value;

use crate::app::LAB_PAGE;
use crate::net::{self, Answer, Asked};
use crate::pages::Visit;
use crate::places::Places;
use crate::storage::Site;
use crate::twin;

/// A request and its answer. Of secrets only the names.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Exchange {
    #[serde(skip)]
    site: Site,
    #[serde(skip)]
    at: Instant,
    /// Method and path.
    pub(crate) request: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sec_fetch_site: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    /// Names of the app's own cookies that came along.
    cookies: Vec<String>,
    bearer: bool,
    pub(crate) status: u16,
    /// What an error answer says it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    set_cookies: Vec<String>,
}

impl Exchange {
    pub(crate) fn is_cross_site(&self) -> bool {
        self.sec_fetch_site.as_deref() == Some("cross-site")
    }

    pub(crate) fn has_cookies(&self) -> bool {
        !self.cookies.is_empty()
    }
}

/// When a page of the lab's own is taken for dead: its scripts did not start. Live ones are left much sooner.
const DEAD_PAGE_SECONDS: u8 = 20;

/// Exchanges kept.
const KEPT: usize = 1024;

/// The newest exchanges.
#[derive(Debug, Default)]
pub(crate) struct Wire(Mutex<VecDeque<Exchange>>);

impl Wire {
    /// Writes down an exchange and sees that the tab finds its way back.
    pub(crate) fn note(&self, places: &Places, site: Site, asked: &Asked, answer: &mut Answer, body: &[u8]) {
        self.write(site, asked, answer, body);
        let leads_on = answer.headers_mut().remove(LAB_PAGE).is_some();
        if let Some(visit) = Visit::of(asked).filter(|_| asked.is_navigation()) {
            let delay = match (leads_on, answer.status()) {
                (true, _) => DEAD_PAGE_SECONDS,
                // A page may have a way of its own to go on, and gets the time for it.
                (false, StatusCode::OK) => 1,
                (false, _) => 0,
            };
            let back = format!("{delay}; url={}/lab/tab?{}", places.control(), visit.query());
            net::set(answer, REFRESH, &back);
        }
    }

    fn write(&self, site: Site, asked: &Asked, answer: &Answer, body: &[u8]) {
        let text = |name: &str| asked.header(name).map(str::to_owned);
        let is_problem = answer.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json");
        let problem = is_problem.then(|| serde_json::from_slice::<Value>(body).ok()).flatten();
        let set = answer.headers().get_all(SET_COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let exchange = Exchange {
            site,
            at: Instant::now(),
            request: format!("{} {}", asked.parts.method, asked.path()),
            sec_fetch_site: text("sec-fetch-site"),
            origin: text("origin"),
            cookies: own_cookies(site, asked),
            bearer: asked.header("authorization").is_some(),
            status: answer.status().as_u16(),
            code: problem.and_then(|problem| Some(problem.get("code")?.as_str()?.to_owned())),
            set_cookies: set.filter_map(|value| Some(value.split_once('=')?.0.to_owned())).collect(),
        };
        let mut exchanges = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if exchanges.len() == KEPT {
            exchanges.pop_front();
        }
        exchanges.push_back(exchange);
    }

    /// What went to that site since then, to paths that begin so. Files of its pages are left out.
    pub(crate) fn since(&self, site: Site, start: Instant, path: &str) -> Vec<Exchange> {
        let exchanges = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let wanted = |exchange: &&Exchange| {
            let asked_for = exchange.request.split_once(' ').map_or("", |(_, path)| path);
            exchange.site == site
                && exchange.at >= start
                && asked_for.starts_with(path)
                && !asked_for.starts_with("/assets/")
        };
        exchanges.iter().filter(wanted).cloned().collect()
    }
}

/// The twins' cookies are set for the whole domain, so they come along everywhere.
fn own_cookies(site: Site, asked: &Asked) -> Vec<String> {
    let twins = twin::cookie_name(site.storage, asked.host());
    let own = |name: &String| if site.is_twin() { name.starts_with(&twins) } else { !twin::is_cookie(name) };
    asked.cookies().into_iter().map(|(name, _)| name).filter(own).collect()
}

/// Fields of one connection.
const OF_THE_CONNECTION: [HeaderName; 5] =
    [CONNECTION, TRANSFER_ENCODING, CONTENT_LENGTH, UPGRADE, HeaderName::from_static("keep-alive")];

/// Hands a request on to the gateway at `port`.
pub(crate) async fn relay(port: u16, asked: &Asked) -> (Answer, bytes::Bytes) {
    let mut request = Request::new(asked.body.clone());
    *request.method_mut() = asked.parts.method.clone();
    *request.uri_mut() = asked.parts.uri.clone();
    *request.headers_mut() = asked.parts.headers.clone();
    for name in OF_THE_CONNECTION {
        request.headers_mut().remove(name);
    }
    if !asked.body.is_empty() {
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(asked.body.len()));
    }
    match net::send(port, request).await {
        Ok(response) => {
            let (mut parts, body) = response.into_parts();
            for name in OF_THE_CONNECTION {
                parts.headers.remove(name);
            }
            (Answer::from_parts(parts, Full::new(body.clone())), body)
        }
        Err(error) => {
            let detail = format!("the gateway did not answer: {error}");
            (net::problem(StatusCode::BAD_GATEWAY, &detail), bytes::Bytes::new())
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Method;

    use super::*;
    use crate::storage::{Storage, Target};

    const PLACES: Places = Places { control: 7070, sites: 7071, attacker: 7072 };
    const SITE: Site = Site { storage: Storage::Hybrid, target: Target::Sessile };
    const ADDRESS: &str = "/api/notes?run=abc&visit=3&tab=main";

    fn asked(address: &str, destination: &str) -> Asked {
        let request = Request::builder().method(Method::POST).uri(address).header("sec-fetch-dest", destination);
        let request = request.header("cookie", "__Host-Http-sessile=secret; token_memory=other");
        let (parts, ()) = request.body(()).unwrap().into_parts();
        Asked { parts, body: Bytes::new() }
    }

    fn way_back(asked: &Asked, status: StatusCode, lab_page: bool) -> Option<String> {
        let mut answer = net::answer(status, "text/html", "");
        if lab_page {
            answer.headers_mut().insert(LAB_PAGE, HeaderValue::from_static("yes"));
        }
        Wire::default().note(&PLACES, SITE, asked, &mut answer, b"");
        assert!(!answer.headers().contains_key(LAB_PAGE));
        Some(answer.headers().get(REFRESH)?.to_str().unwrap().to_owned())
    }

    /// Negative control: what no tab is led to gets no way back, so nothing but the tab's own address adds it.
    #[test]
    fn a_tab_that_is_led_to_a_refusal_finds_its_way_back() {
        let lobby = "http://localhost:7070/lab/tab?run=abc&visit=3&tab=main";
        let navigation = asked(ADDRESS, "document");
        assert_eq!(way_back(&navigation, StatusCode::FORBIDDEN, false), Some(format!("0; url={lobby}")));
        assert_eq!(way_back(&navigation, StatusCode::OK, false), Some(format!("1; url={lobby}")));
        assert_eq!(way_back(&navigation, StatusCode::OK, true), Some(format!("20; url={lobby}")));
        assert_eq!(way_back(&asked(ADDRESS, "empty"), StatusCode::FORBIDDEN, false), None);
        assert_eq!(way_back(&asked("/api/notes", "document"), StatusCode::FORBIDDEN, false), None);
        // A sign-in page keeps the address it was asked for inside its own.
        let inside = asked("/auth/sign-in?return_to=/%3Frun=abc%26visit=3%26tab=main", "document");
        assert_eq!(way_back(&inside, StatusCode::OK, false), Some(format!("1; url={lobby}")));
    }

    /// Negative control: the name is there, so the value was seen and left out.
    #[test]
    fn of_secrets_only_names_are_written_down() {
        let wire = Wire::default();
        let start = Instant::now();
        let mut answer = net::answer(StatusCode::OK, "text/html", "");
        net::set(&mut answer, SET_COOKIE, "__Host-Http-sessile=new; Path=/");
        wire.note(&PLACES, SITE, &asked(ADDRESS, "empty"), &mut answer, b"");
        let written = serde_json::to_string(&wire.since(SITE, start, "/")).unwrap();
        assert!(written.contains(r#""cookies":["__Host-Http-sessile"]"#), "{written}");
        assert!(
            !written.contains("secret") && !written.contains("new") && !written.contains("token_memory"),
            "{written}"
        );
    }
}
