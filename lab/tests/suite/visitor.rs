//! A visitor: works for the lab as its pages do, with a cookie jar and nothing else of a browser. It signs in, is stolen
//! from and signs out; what only a browser can do, it says it cannot.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::SET_COOKIE;
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sessile_lab::storage::Storage;
use sessile_lab::{Lab, Options};
use tokio::net::TcpStream;

/// A lab without gateways: the twins, the attacker and the thief.
pub(crate) async fn lab(deadline: Duration) -> Lab {
    let program = std::env::current_exe().unwrap();
    let options =
        Options { listen: Some(([127, 0, 0, 1], 0).into()), storages: Vec::new(), deadline, ..Options::new(program) };
    Lab::start(&options).await.unwrap()
}

/// One request to whichever name of this machine.
pub(crate) async fn send(method: Method, url: &str, headers: &[(&str, &str)], body: &str) -> Response<Bytes> {
    let uri: Uri = url.parse().unwrap();
    let authority = uri.authority().unwrap();
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, authority.port_u16().unwrap())).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(uri.path_and_query().unwrap().as_str());
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", authority.as_str());
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
    let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}

pub(crate) async fn get_json(url: &str) -> Value {
    serde_json::from_slice(send(Method::GET, url, &[], "").await.body()).unwrap()
}

/// Starts a run of one storage; gives its address in the API and the tab's first address.
pub(crate) async fn begin(lab: &Lab) -> (String, String) {
    let base = lab.address();
    let body = json!({ "storages": [Storage::Hybrid], "restart": false }).to_string();
    let answer = send(Method::POST, &format!("{base}lab/api/runs"), &[], &body).await;
    assert_eq!(answer.status(), 201);
    let run: Value = serde_json::from_slice(answer.body()).unwrap();
    let text = |name: &str| run[name].as_str().unwrap().to_owned();
    (format!("{base}lab/api/runs/{}", text("id")), text("start"))
}

/// The run once it has ended.
pub(crate) async fn ended(run: &str) -> Value {
    for _ in 0..600 {
        let view = get_json(run).await;
        if view["state"] == "done" || view["state"] == "failed" {
            return view;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the run did not end");
}

/// The outcome of an attack in a finished run.
pub(crate) fn result<'a>(view: &'a Value, attack: &str, target: &str) -> &'a Value {
    let mut all = view["results"].as_array().unwrap().iter();
    all.find(|result| result["attack"] == attack && result["target"] == target)
        .unwrap_or_else(|| panic!("no result of {attack} on {target}"))
}

type Jar = BTreeMap<String, String>;

/// What is odd about a visitor.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Oddities {
    /// Brings these words instead of the cookies' values when it is stolen from.
    pub(crate) decoys: bool,
    /// Never says anything on pages whose address has this path; the tab comes back to the lab by itself.
    pub(crate) silent_at: Option<&'static str>,
    /// Closes the tab that comes to such a page.
    pub(crate) lost_at: Option<&'static str>,
}

/// The visitor's browser: its tabs share a jar.
#[derive(Clone, Debug, Default)]
pub(crate) struct Visitor {
    jar: Arc<Mutex<Jar>>,
    secrets: Arc<Mutex<BTreeSet<String>>>,
    oddities: Oddities,
}

impl Visitor {
    pub(crate) fn with(oddities: Oddities) -> Self {
        Self { oddities, ..Self::default() }
    }

    /// Every value that was ever in the jar.
    pub(crate) fn secrets(&self) -> BTreeSet<String> {
        self.secrets.lock().unwrap().clone()
    }

    /// Opens an address in a tab and works there for as long as the lab has something to do.
    pub(crate) fn open(&self, address: &str) -> tokio::task::JoinHandle<()> {
        let (visitor, address) = (self.clone(), address.to_owned());
        tokio::spawn(async move { visitor.work(address).await })
    }

    async fn work(self, mut address: String) {
        let control = address.split("/lab/").next().unwrap().to_owned();
        let mut answer = Value::Null;
        loop {
            let place = Place::of(&address);
            if self.oddities.lost_at == Some(place.path.as_str()) {
                return;
            }
            if self.oddities.silent_at == Some(place.path.as_str()) {
                // What the way back in the page's headers does.
                tokio::time::sleep(Duration::from_secs(2)).await;
                address = format!("{control}/lab/tab?{}", place.visit());
                continue;
            }
            let words = json!({
                "run": place.query["run"], "visit": place.query["visit"].parse::<u64>().unwrap(),
                "tab": place.query["tab"], "page": place.page(), "href": place.path, "answer": answer,
            });
            let order = send(Method::POST, &format!("{control}/lab/tab"), &[], &words.to_string()).await;
            let order: Value = serde_json::from_slice(order.body()).unwrap();
            answer = Value::Null;
            match order["do"].as_str().unwrap() {
                "wait" => {}
                "stop" | "close" => return,
                "go" => {
                    let url = order["url"].as_str().unwrap();
                    if url.contains("/#run=") {
                        return;
                    }
                    address = url.to_owned();
                }
                "reload" => {}
                "open" => drop(self.open(order["url"].as_str().unwrap())),
                other => {
                    answer = json!({ "id": order["id"] });
                    match self.act(&place, other, &order).await {
                        Some(value) => answer["value"] = value,
                        None => answer["error"] = json!("this visitor is not a browser"),
                    }
                }
            }
        }
    }

    async fn act(&self, place: &Place, act: &str, order: &Value) -> Option<Value> {
        let text = |name: &str| order[name].as_str().unwrap_or_default();
        match act {
            "sign-in" => {
                let body = json!({ "username": text("username"), "password": text("password") }).to_string();
                let answer = self.send(Method::POST, &place.at("/auth/sign-in"), &body).await;
                Some(json!({ "status": answer.status().as_u16() }))
            }
            "sign-out" => {
                let answer = self.send(Method::POST, &place.at("/auth/sign-out"), "").await;
                Some(json!({ "status": answer.status().as_u16() }))
            }
            "call" | "plain" => {
                let answer = self.send(Method::GET, &place.at(text("path")), "").await;
                let body = String::from_utf8_lossy(answer.body()).into_owned();
                Some(json!({ "status": answer.status().as_u16(), "body": body }))
            }
            "steal" => {
                self.send(Method::POST, &format!("{}?{}", text("url"), place.visit()), "").await;
                Some(Value::Null)
            }
            "press" | "reach" => Some(Value::Null),
            _ => None,
        }
    }

    async fn send(&self, method: Method, url: &str, body: &str) -> Response<Bytes> {
        let decoy = url.contains("/steal") && self.oddities.decoys;
        let pair = |(name, value): (&String, &String)| format!("{name}={}", if decoy { "decoy" } else { value });
        let cookies: Vec<String> = self.jar.lock().unwrap().iter().map(pair).collect();
        let headers = [("cookie", cookies.join("; ")), ("content-type", "application/json".to_owned())];
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = send(method, url, &headers, body).await;
        for field in answer.headers().get_all(SET_COOKIE) {
            let (name, rest) = field.to_str().unwrap().split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            if rest.contains("Max-Age=0") {
                self.jar.lock().unwrap().remove(name);
            } else {
                self.jar.lock().unwrap().insert(name.to_owned(), value.to_owned());
                self.secrets.lock().unwrap().insert(value.to_owned());
            }
        }
        answer
    }
}

/// An address, taken apart.
#[derive(Debug)]
struct Place {
    origin: String,
    path: String,
    query: BTreeMap<String, String>,
}

impl Place {
    fn of(address: &str) -> Self {
        let uri: Uri = address.parse().unwrap();
        let pairs = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        Self {
            origin: format!("http://{}", uri.authority().unwrap()),
            path: uri.path().to_owned(),
            query: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        }
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    fn visit(&self) -> String {
        format!("run={}&visit={}&tab={}", self.query["run"], self.query["visit"], self.query["tab"])
    }

    /// The script of the lab's that would be speaking there.
    fn page(&self) -> &'static str {
        match self.path.as_str() {
            "/lab/tab" => "lobby",
            "/attack" => "attack",
            "/search" => "inject",
            _ => "driver",
        }
    }
}
