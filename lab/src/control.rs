//! The lab's own server: the page people look at, its API, and where tabs ask what to do next.

use std::sync::Arc;
use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::attacks::{Attack, Group};
use crate::lab::Lab;
use crate::net::{self, Answer, Asked};
use crate::pages::{self, MAIN, Visit};
use crate::run::tab::{Said, Words};
use crate::run::{Run, State, Wish, course};
use crate::storage::{Site, Storage};
use crate::ui;

/// How long a question is held before it must be asked again. Below what browsers and proxies put up with.
const HOLD: Duration = Duration::from_secs(20);

pub(crate) async fn answer(lab: &Arc<Lab>, asked: Asked) -> Answer {
    // A name that somebody else resolved to this machine is not ours to answer (DNS rebinding).
    if let Some(site) = Site::of_host(asked.host()) {
        return at_the_door(lab, site, &asked);
    }
    if !["localhost", "127.0.0.1", "[::1]"].contains(&asked.host()) {
        return net::problem(StatusCode::MISDIRECTED_REQUEST, "open the lab under http://localhost");
    }
    match (&asked.parts.method, asked.path()) {
        (&Method::POST, "/lab/tab") => tab(lab, &asked).await,
        (&Method::GET, "/lab/tab") => match Visit::of(&asked) {
            // It looks whether the browser finds the apps.
            Some(visit) => guarded(pages::lobby(&visit), &format!(" http://*.lab.localhost:{}", lab.places.sites)),
            None => net::see_other("/"),
        },
        (&Method::GET, "/lab/lobby.js") => pages::lobby_script(&lab.places),
        (&Method::GET, "/lab/app.css") => pages::style(),
        (&Method::GET, "/lab/run") => match wish_of_query(&asked) {
            Ok(wish) => net::see_other(&begin(lab, wish).start()),
            Err(why) => net::problem(StatusCode::BAD_REQUEST, &why),
        },
        (&Method::GET, "/lab/api/catalogue") => net::json(StatusCode::OK, &catalogue()),
        (&Method::POST, "/lab/api/runs") => match wish_of_body(&asked) {
            _ if !is_own(lab, &asked) => net::problem(StatusCode::FORBIDDEN, "only the lab's own page starts runs"),
            Ok(wish) => {
                let run = begin(lab, wish);
                net::json(StatusCode::CREATED, &json!({ "id": run.id, "start": run.start() }))
            }
            Err(why) => net::problem(StatusCode::BAD_REQUEST, &why),
        },
        (method, path) => match path.strip_prefix("/lab/api/runs/") {
            Some(rest) => one_run(lab, method, rest, &asked),
            None if *method == Method::GET => ui::file(path)
                .unwrap_or_else(|| net::problem(StatusCode::NOT_FOUND, "there is nothing at this address")),
            None => net::problem(StatusCode::METHOD_NOT_ALLOWED, "not by this method"),
        },
    }
}

fn one_run(lab: &Lab, method: &Method, rest: &str, asked: &Asked) -> Answer {
    let (id, what) = rest.split_once('/').unwrap_or((rest, ""));
    let Some(run) = lab.runs.get(id) else {
        return net::problem(
            StatusCode::NOT_FOUND,
            "there is no such run; the lab keeps the newest and forgets all when it ends",
        );
    };
    match (method, what) {
        (&Method::GET, "") => net::json(StatusCode::OK, &run.view()),
        (&Method::GET, "export") => export(&run),
        (&Method::POST, "restarted") if !is_own(lab, asked) => {
            net::problem(StatusCode::FORBIDDEN, "only the lab's own page goes on with runs")
        }
        (&Method::POST, "restarted") if run.state() == State::NeedsRestart => {
            run.restarted.notify_one();
            net::json(StatusCode::OK, &json!({ "start": run.start() }))
        }
        (&Method::POST, "restarted") => net::problem(StatusCode::CONFLICT, "this run does not wait for a restart"),
        _ => net::problem(StatusCode::NOT_FOUND, "there is nothing at this address"),
    }
}

fn export(run: &Run) -> Answer {
    let mut view = run.view();
    view["versions"] = json!({ "lab": env!("CARGO_PKG_VERSION"), "catalogue": CATALOGUE_VERSION });
    let text = serde_json::to_string_pretty(&view).unwrap_or_default();
    let mut answer = net::answer(StatusCode::OK, "application/json", text);
    net::set(&mut answer, CONTENT_DISPOSITION, &format!("attachment; filename=\"sessile-lab-{}.json\"", run.id));
    answer
}

// ---- starting

fn begin(lab: &Arc<Lab>, wish: Wish) -> Arc<Run> {
    let (run, inboxes) = Run::new(wish, &lab.places.control());
    lab.runs.add(Arc::clone(&run));
    tokio::spawn(course::follow(Arc::clone(lab), Arc::clone(&run), inboxes));
    run
}

fn wish_of_query(asked: &Asked) -> Result<Wish, String> {
    let names = asked.query("storages").filter(|names| !names.is_empty());
    let names: Vec<String> = match names {
        Some(names) => names.split(',').map(str::to_owned).collect(),
        None => Storage::ALL.iter().map(|storage| storage.name().to_owned()).collect(),
    };
    wish(&names, asked.query("restart").as_deref() != Some("no"))
}

fn wish_of_body(asked: &Asked) -> Result<Wish, String> {
    #[derive(Deserialize)]
    struct Body {
        storages: Vec<String>,
        #[serde(default = "yes")]
        restart: bool,
    }
    fn yes() -> bool {
        true
    }
    let body: Body =
        serde_json::from_slice(&asked.body).map_err(|why| format!("send {{\"storages\":[\"hybrid\"]}}: {why}"))?;
    wish(&body.storages, body.restart)
}

fn wish(names: &[String], restart: bool) -> Result<Wish, String> {
    let mut storages = Vec::new();
    for name in names {
        let Some(storage) = Storage::named(name) else {
            let known: Vec<&str> = Storage::ALL.iter().map(|storage| storage.name()).collect();
            return Err(format!("there is no storage {name:?}; there are {}", known.join(", ")));
        };
        if !storages.contains(&storage) {
            storages.push(storage);
        }
    }
    if storages.is_empty() { Err("name at least one storage".to_owned()) } else { Ok(Wish { storages, restart }) }
}

/// Whether the lab's own page asks, or no page at all.
fn is_own(lab: &Lab, asked: &Asked) -> bool {
    asked.header("origin").is_none_or(|origin| {
        let port = lab.places.control;
        [format!("http://localhost:{port}"), format!("http://127.0.0.1:{port}")].iter().any(|own| own == origin)
    })
}

// ---- what tabs ask

async fn tab(lab: &Lab, asked: &Asked) -> Answer {
    let mut answer = match next_order(lab, asked).await {
        Ok(order) => net::json(StatusCode::OK, &order),
        Err(why) => net::problem(StatusCode::BAD_REQUEST, &why),
    };
    if let Some(origin) = asked.header("origin").filter(|origin| lab.places.is_ours(origin)) {
        net::set(&mut answer, ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    net::set(&mut answer, VARY, "origin");
    answer
}

async fn next_order(lab: &Lab, asked: &Asked) -> Result<Value, String> {
    #[derive(Deserialize)]
    struct Body {
        run: String,
        tab: String,
        #[serde(flatten)]
        words: Words,
    }
    let body: Body =
        serde_json::from_slice(&asked.body).map_err(|why| format!("this is not a page's question: {why}"))?;
    let stop = json!({ "do": "stop" });
    let Some(run) = lab.runs.get(&body.run) else { return Ok(stop) };
    if body.tab == MAIN && run.state() == State::Waiting {
        run.set_browser(asked.header("user-agent").unwrap_or_default());
    }
    let Some(inbox) = run.inbox(&body.tab) else { return Ok(stop) };
    let (next, mut order) = oneshot::channel();
    if inbox.send(Said { words: body.words, next }).await.is_err() {
        return Ok(stop);
    }
    let wait = json!({ "do": "wait" });
    match tokio::time::timeout(HOLD, &mut order).await {
        Ok(Ok(order)) => Ok(order),
        // The run has let go of this question: another one of the same tab came later.
        Ok(Err(_)) => Ok(wait),
        Err(_) => {
            order.close();
            // An order may have come in the moment the time was over.
            Ok(order.try_recv().unwrap_or(wait))
        }
    }
}

/// Takes the cookies that the browser brings along.
fn at_the_door(lab: &Lab, site: Site, asked: &Asked) -> Answer {
    let Some(visit) = Visit::of(asked).filter(|_| asked.path() == "/steal") else {
        return net::problem(StatusCode::NOT_FOUND, &format!("{} is not here but on another port", site.label()));
    };
    lab.door.put(&visit.query(), asked.cookies());
    net::answer(StatusCode::NO_CONTENT, "text/plain", "")
}

// ---- what there is

const CATALOGUE_VERSION: u32 = 1;

fn catalogue() -> Value {
    let storages: Vec<Value> = Storage::ALL
        .iter()
        .map(|storage| {
            let facts = storage.facts();
            json!({
                "name": facts.name,
                "default": *storage == Storage::Hybrid,
                "danger": facts.danger,
                "browser_holds": facts.browser_holds,
                "server_holds": facts.server_holds,
                "each_request": facts.each_request,
                "ended_by": facts.ended_by,
            })
        })
        .collect();
    let groups: Vec<Value> = Group::ALL
        .iter()
        .map(|group| {
            let (title, about) = group.text();
            json!({ "id": group, "title": title, "about": about })
        })
        .collect();
    let attacks: Vec<Value> = Attack::ALL
        .iter()
        .map(|attack| {
            let mut about = json!(attack.about());
            about["id"] = json!(attack.id());
            about["group"] = json!(attack.group());
            about
        })
        .collect();
    json!({ "version": CATALOGUE_VERSION, "storages": storages, "groups": groups, "attacks": attacks })
}

/// A page of the lab's own, which nobody else may frame or add to. `reaches` are the other hosts it may ask.
pub(crate) fn guarded(mut answer: Answer, reaches: &str) -> Answer {
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'{reaches}; img-src 'self' data:; \
         base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    );
    net::set(&mut answer, CONTENT_SECURITY_POLICY, &policy);
    net::set(&mut answer, X_CONTENT_TYPE_OPTIONS, "nosniff");
    net::set(&mut answer, REFERRER_POLICY, "no-referrer");
    answer
}
