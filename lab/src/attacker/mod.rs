//! The attacker's server, on another site (`127.0.0.1`) and on a sibling of the apps (`evil.lab.localhost`): pages that
//! attack, the script that is injected, a frame, and where loot is sent to.

use std::collections::HashMap;
use std::sync::Mutex;

use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, SET_COOKIE};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::net::{self, Answer, Asked};
use crate::pages::{self, Visit};
use crate::places::Places;

/// What was sent to the attacker, by the visit it belongs to.
#[derive(Debug, Default)]
pub(crate) struct LootBox {
    kept: Mutex<HashMap<String, Value>>,
    arrived: Notify,
}

/// Pieces of loot kept that nobody came for.
const KEPT: usize = 256;

impl LootBox {
    pub(crate) fn put(&self, visit: &Visit, loot: Value) {
        let mut kept = self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(visit.query(), loot);
        drop(kept);
        self.arrived.notify_waiters();
    }

    /// Takes what was sent from that visit, waiting for it.
    pub(crate) async fn take(&self, visit: &Visit) -> Value {
        loop {
            let arrived = self.arrived.notified();
            tokio::pin!(arrived);
            // Registered before looking, so that nothing arrives in between.
            arrived.as_mut().enable();
            if let Some(loot) =
                self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&visit.query())
            {
                return loot;
            }
            arrived.await;
        }
    }
}

/// Sets the cookies it is told to: a server may set some that a script may not.
fn plant(asked: &Asked) -> Answer {
    let mut answer = net::answer(StatusCode::NO_CONTENT, "text/plain", "");
    for cookie in asked.json().as_array().into_iter().flatten().filter_map(Value::as_str) {
        net::set(&mut answer, SET_COOKIE, &format!("{cookie}; HttpOnly"));
    }
    answer
}

/// Answers a request to the attacker.
pub(crate) fn answer(places: &Places, loot: &LootBox, asked: &Asked) -> Answer {
    let visit = Visit::of(asked);
    let mut answer = match (&asked.parts.method, asked.path(), visit) {
        (&Method::GET, "/attack", Some(visit)) => pages::attack_page(&visit),
        (&Method::GET, "/attack.js", _) => pages::attack_script(places),
        (&Method::GET, "/inject.js", _) => pages::inject_script(places),
        (&Method::GET, "/ran.js", _) => pages::ran_script("a script of the attacker\\'s host"),
        (&Method::GET, "/assets/page.js", _) => {
            pages::ran_script("the page\\'s own script, from the attacker\\'s host")
        }
        (&Method::GET, "/frame", Some(visit)) => pages::frame_page(&visit.query()),
        (&Method::GET, "/frame.js", _) => pages::frame_script(),
        (&Method::POST, "/loot", Some(visit)) => {
            loot.put(&visit, asked.json());
            net::answer(StatusCode::NO_CONTENT, "text/plain", "")
        }
        (&Method::POST, "/plant", _) => plant(asked),
        // What the browser kept, as far as it brings it to this host.
        (&Method::GET, "/seen", _) => {
            let names: Vec<String> = asked.cookies().into_iter().map(|(name, _)| name).collect();
            net::json(StatusCode::OK, &json!(names))
        }
        _ => net::problem(StatusCode::NOT_FOUND, "there is nothing at this address"),
    };
    net::set(&mut answer, ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    answer
}
