//! The pages and scripts a browser gets from the lab, and what is filled into them.

use http::StatusCode;

use crate::net::{self, Answer, Asked};
use crate::places::Places;
use crate::storage::{Site, Storage, Target};
use crate::twin;

/// Which load of which tab of which run a page is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Visit {
    run: String,
    number: u64,
    tab: &'static str,
}

impl Visit {
    pub(crate) fn new(run: &str, number: u64, tab: &'static str) -> Self {
        Self { run: run.to_owned(), number, tab }
    }

    /// From a page's address. Also from an address inside the address: a sign-in page keeps where it was asked for.
    pub(crate) fn of(asked: &Asked) -> Option<Self> {
        let inside = || Self::read(|name| parameter(&asked.query("return_to")?, name));
        Self::read(|name| asked.query(name)).or_else(inside)
    }

    fn read(get: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let run = get("run")?;
        let tab = match get("tab")?.as_str() {
            MAIN => MAIN,
            SECOND => SECOND,
            _ => return None,
        };
        let plain = run.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        plain.then_some(())?;
        Some(Self { run, number: get("visit")?.parse().ok()?, tab })
    }

    pub(crate) fn query(&self) -> String {
        format!("run={}&visit={}&tab={}", self.run, self.number, self.tab)
    }
}

fn parameter(address: &str, name: &str) -> Option<String> {
    let (_, query) = address.split_once('?')?;
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(known, _)| *known == name)
        .map(|(_, v)| v.to_owned())
}

/// The tab that is led through the run.
pub(crate) const MAIN: &str = "main";
/// A second tab of the same browser.
pub(crate) const SECOND: &str = "second";

/// A page of the app. `origin` is where its driver comes from; nothing means the page's own.
pub(crate) fn shell(site: Site, content: &str, origin: &str, driver: Option<&Visit>) -> String {
    let driver = driver.map_or_else(String::new, |visit| {
        format!("<script defer src=\"{origin}/assets/driver.js?{}\"></script>", visit.query())
    });
    include_str!("shell.html")
        .replace("{{label}}", &site.label())
        .replace("{{driver}}", &driver)
        .replace("{{content}}", content)
}

/// A file of the app's, for the host it is asked from.
pub(crate) fn asset(places: &Places, site: Site, host: &str, file: &str) -> Option<Answer> {
    let app = || match (site.target, site.storage.facts().bearer) {
        (Target::Twin, _) => include_str!("app_twin.js")
            .replace("{{storage}}", site.storage.name())
            .replace("{{cookie}}", &twin::cookie_name(site.storage, host)),
        (Target::Sessile, false) => include_str!("app_cookie.js").to_owned(),
        (Target::Sessile, true) => include_str!("app_client.js")
            .replace("{{storage}}", site.storage.name())
            .replace("{{adapter}}", adapter(site.storage)),
    };
    Some(match file {
        "app.css" => style(),
        "app.js" => net::script(app()),
        "page.js" => net::script(include_str!("page.js")),
        "sessile/index.js" => net::script(include_str!("../../../clients/browser/dist/index.js")),
        "sessile/memory.js" => net::script(include_str!("../../../clients/browser/dist/memory.js")),
        "sessile/session-storage.js" => net::script(include_str!("../../../clients/browser/dist/session-storage.js")),
        "sessile/local-storage.js" => net::script(include_str!("../../../clients/browser/dist/local-storage.js")),
        "driver.js" => net::script(whole(places, &[include_str!("user.js"), include_str!("driver.js")])),
        _ => return None,
    })
}

/// What the client calls a storage's adapter.
fn adapter(storage: Storage) -> &'static str {
    match storage {
        Storage::Memory => "inMemory",
        Storage::SessionStorage => "inSessionStorage",
        Storage::LocalStorage => "inLocalStorage",
        Storage::Hybrid | Storage::ServerSession | Storage::Database | Storage::Cookie => "none",
    }
}

pub(crate) fn style() -> Answer {
    net::answer(StatusCode::OK, "text/css; charset=utf-8", include_str!("app.css"))
}

/// A script that works for the lab: all of its parts in one scope of their own.
fn whole(places: &Places, parts: &[&str]) -> String {
    let tab = include_str!("tab.js").replace("{{control}}", &places.control());
    format!("(() => {{\n{tab}\n{}\n}})();\n", parts.join("\n"))
}

pub(crate) fn lobby(visit: &Visit) -> Answer {
    net::html(include_str!("lobby.html").replace("{{visit}}", &visit.query()))
}

pub(crate) fn lobby_script(places: &Places) -> Answer {
    net::script(whole(places, &[include_str!("lobby.js")]))
}

pub(crate) fn attack_page(visit: &Visit) -> Answer {
    net::html(include_str!("attack.html").replace("{{visit}}", &visit.query()))
}

pub(crate) fn attack_script(places: &Places) -> Answer {
    net::script(whole(places, &[include_str!("attack.js")]))
}

pub(crate) fn inject_script(places: &Places) -> Answer {
    net::script(whole(places, &[include_str!("user.js"), include_str!("inject.js")]))
}

/// A script of the attacker's that says it ran.
pub(crate) fn ran_script(what: &str) -> Answer {
    net::script(format!("(top.ran = top.ran || []).push('{what}');\n"))
}

pub(crate) fn frame_page(query: &str) -> Answer {
    net::html(include_str!("frame.html").replace("{{visit}}", query))
}

pub(crate) fn frame_script() -> Answer {
    net::script(include_str!("frame.js"))
}
