//! A gateway test's own world: engine, gateway on a free loopback port, scripted upstreams, and clients that send exactly what they
//! are told. Everything speaks over real sockets.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Request;
use sessile::{Access, Arrival, Clock, Engine, EngineConfig, Peer, SystemClock};
use sessile_core::origin::Origin;
use sessile_core::session::{Method, VerifiedIdentity};
use sessile_core::{SessionId, Storage};
use sessile_server::gateway::drain::Drain;
use sessile_server::gateway::{
    DrainPolicy, Gateway, GatewaySettings, RouteSettings, Serving, Sockets, TargetSettings, serve,
};
use sessile_store::memory::MemoryStore;
use sessile_store::{MasterKey, Vault};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longer than anything here takes on a busy machine, shorter than a stuck test should.
pub(crate) const LONG: Duration = Duration::from_secs(20);

pub(crate) const SESSION: &str = "__Host-Http-sessile";
pub(crate) const ACCESS: &str = "__Host-Http-sessile-at";

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) address: SocketAddr,
    pub(crate) drain: Drain,
    serving: Option<Serving>,
    stop_engine: Option<oneshot::Sender<()>>,
    engine_task: JoinHandle<()>,
}

/// An upstream route.
pub(crate) fn route(prefix: &str, upstream: SocketAddr, access: Access) -> RouteSettings {
    RouteSettings::new(prefix, TargetSettings::upstream(format!("http://{upstream}")), access)
}

/// Settings for a few routes: one thread, a free port.
pub(crate) fn settings(routes: Vec<RouteSettings>) -> GatewaySettings {
    let mut settings = GatewaySettings::new("127.0.0.1:0".parse().expect("an address"), routes);
    settings.workers = NonZeroUsize::new(1);
    settings.drain = DrainPolicy { announce: Duration::ZERO, finish: Duration::from_secs(2) };
    settings
}

async fn engine(change: impl FnOnce(&mut EngineConfig), clock: Arc<dyn Clock>) -> Engine {
    let mut config = EngineConfig::for_origin(Origin::parse("http://localhost").expect("an origin"));
    config.limits.access_jitter_percent = 0;
    change(&mut config);
    let entropy = sessile_aws_lc::entropy();
    let master = MasterKey::generate(&*entropy).expect("entropy");
    let now = clock.now().wall;
    let vault = Vault::open(Arc::new(MemoryStore::new()), master, sessile_aws_lc::provider(), entropy, now).await;
    let engine =
        Engine::start(Arc::new(vault.expect("the store opens")), config, clock).await.expect("the engine starts");
    engine.catch_up().await.expect("the feed is read");
    engine
}

impl World {
    /// Three routes to one upstream: `/private` needs a session, `/maybe` does not, `/open` knows nobody.
    pub(crate) async fn usual(upstream: SocketAddr) -> Self {
        Self::start(settings(usual_routes(upstream))).await
    }

    pub(crate) async fn start(settings: GatewaySettings) -> Self {
        Self::with(settings, |_| {}).await
    }

    pub(crate) async fn with(settings: GatewaySettings, change: impl FnOnce(&mut EngineConfig)) -> Self {
        Self::on_clock(settings, change, Arc::new(SystemClock::new())).await
    }

    pub(crate) async fn on_clock(
        settings: GatewaySettings,
        change: impl FnOnce(&mut EngineConfig),
        clock: Arc<dyn Clock>,
    ) -> Self {
        let engine = engine(change, clock).await;
        let gateway = Gateway::new(settings.clone(), engine.clone()).expect("the gateway starts");
        let sockets = Sockets::open(&settings).expect("a free port");
        let address = sockets.local_addr();
        let drain = Drain::new();
        let serving = serve(&gateway, sockets, &drain).expect("threads");
        let (stop_engine, stopped) = oneshot::channel::<()>();
        let running = engine.clone();
        let engine_task = tokio::spawn(async move {
            running
                .run(async {
                    let _ = stopped.await;
                })
                .await;
        });
        Self { engine, gateway, address, drain, serving: Some(serving), stop_engine: Some(stop_engine), engine_task }
    }

    /// Stops at once, and makes sure that everything does.
    pub(crate) async fn stop(mut self) {
        self.drain.now();
        self.join().await;
    }

    /// Waits for the gateway's threads, after somebody has told them to stop.
    pub(crate) async fn join(&mut self) {
        if let Some(serving) = self.serving.take() {
            timeout(LONG, serving.finished()).await.expect("the gateway stops");
        }
        drop(self.stop_engine.take());
        timeout(LONG, &mut self.engine_task).await.expect("the engine stops").expect("without a panic");
    }

    /// Begins a session and gives a browser its cookies.
    pub(crate) async fn sign_in(&self, subject: &str) -> Browser {
        let parts = Request::post("/auth/sign-in").body(()).expect("a request").into_parts().0;
        let peer = Peer::default();
        let arrival = Arrival::new(&parts, &peer, self.engine.config());
        let now = self.engine.now().wall;
        let identity = VerifiedIdentity::vouched(Method::Password, subject.parse().expect("a subject"), now);
        let signed_in = self.engine.sign_in(identity, &arrival, Storage::Hybrid).await.expect("signed in");
        let mut browser = Browser { session: signed_in.session.id, jar: BTreeMap::new() };
        for cookie in self.engine.sign_in_cookies(&signed_in) {
            browser.take(cookie.as_str());
        }
        browser
    }

    /// A request on a connection of its own.
    pub(crate) async fn get(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.request("GET", path, fields, b"").await
    }

    pub(crate) async fn request(&self, method: &str, path: &str, fields: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut client = Client::connect(self.address).await;
        client.send(&request(method, path, fields, body)).await;
        client.answer(method == "HEAD").await
    }

    /// Refusals of the gate under this code.
    pub(crate) fn violations(&self, code: &str) -> u64 {
        let violations = self.gateway.metrics().snapshot().violations;
        violations.iter().find(|(each, _)| *each == code).map_or(0, |(_, count)| *count)
    }
}

pub(crate) fn usual_routes(upstream: SocketAddr) -> Vec<RouteSettings> {
    vec![
        route("/private", upstream, Access::Session),
        route("/maybe", upstream, Access::Optional),
        route("/open", upstream, Access::Public),
    ]
}

/// The bytes of a request.
pub(crate) fn request(method: &str, path: &str, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\n");
    if !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head += "Host: localhost\r\n";
    }
    for (name, value) in fields {
        head += &format!("{name}: {value}\r\n");
    }
    let framed = fields
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("content-length") || name.eq_ignore_ascii_case("transfer-encoding"));
    if !framed && (!body.is_empty() || method == "POST" || method == "PUT") {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    head += "\r\n";
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Somebody with cookies.
#[derive(Clone, Debug)]
pub(crate) struct Browser {
    pub(crate) session: SessionId,
    pub(crate) jar: BTreeMap<String, String>,
}

impl Browser {
    pub(crate) fn cookie(&self) -> String {
        let pairs: Vec<String> = self.jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    }

    pub(crate) fn take(&mut self, set_cookie: &str) {
        let mut attributes = set_cookie.split("; ");
        let (name, value) = attributes.next().and_then(|pair| pair.split_once('=')).expect("a cookie");
        if value.is_empty() || attributes.any(|attribute| attribute == "Max-Age=0") {
            self.jar.remove(name);
        } else {
            self.jar.insert(name.to_owned(), value.to_owned());
        }
    }
}

/// One connection to somewhere.
pub(crate) struct Client<IO = TcpStream> {
    pub(crate) io: IO,
    held: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let io = TcpStream::connect(address).await.expect("connected");
        io.set_nodelay(true).expect("a socket");
        Self { io, held: Vec::new() }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Client<IO> {
    pub(crate) fn over(io: IO) -> Self {
        Self { io, held: Vec::new() }
    }

    /// Sends; a closed connection is for the reading to find out.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let _ = self.io.write_all(bytes).await;
        let _ = self.io.flush().await;
    }

    async fn more(&mut self) -> usize {
        let mut piece = vec![0; 64 * 1024];
        let read = timeout(LONG, self.io.read(&mut piece)).await.expect("an answer in time").unwrap_or(0);
        self.held.extend_from_slice(&piece[..read]);
        read
    }

    /// The next response head, or what came before the connection closed.
    pub(crate) async fn head(&mut self) -> Result<Answer, Vec<u8>> {
        loop {
            if let Some(end) = find(&self.held, b"\r\n\r\n") {
                let rest = self.held.split_off(end + 4);
                let head = std::mem::replace(&mut self.held, rest);
                return Ok(Answer::parse(&head[..end]));
            }
            if self.more().await == 0 {
                return Err(std::mem::take(&mut self.held));
            }
        }
    }

    /// The next final response, with its whole body.
    pub(crate) async fn answer(&mut self, to_head: bool) -> Answer {
        self.try_answer(to_head)
            .await
            .unwrap_or_else(|bytes| panic!("no response but {:?}", String::from_utf8_lossy(&bytes)))
    }

    pub(crate) async fn try_answer(&mut self, to_head: bool) -> Result<Answer, Vec<u8>> {
        let mut answer = self.head().await?;
        let mut informational = Vec::new();
        while (100..200).contains(&answer.status) && answer.status != 101 {
            informational.push(answer.status);
            answer = self.head().await?;
        }
        answer.informational = informational;
        if to_head || matches!(answer.status, 101 | 204 | 304) {
            return Ok(answer);
        }
        if answer.field("transfer-encoding").is_some() {
            while let Some(data) = self.chunk().await? {
                answer.body.extend_from_slice(&data);
            }
        } else if let Some(length) =
            answer.field("content-length").map(|length| length.parse::<usize>().expect("a length"))
        {
            while self.held.len() < length {
                if self.more().await == 0 {
                    return Err(std::mem::take(&mut self.held));
                }
            }
            answer.body = self.held.drain(..length).collect();
        } else {
            answer.body = self.rest().await;
        }
        Ok(answer)
    }

    /// The data of the next chunk; `None` at the end, `Err` if the connection ended before.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Vec<u8>>, Vec<u8>> {
        loop {
            if let Some(line) = find(&self.held, b"\r\n") {
                let size =
                    std::str::from_utf8(&self.held[..line]).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
                let size = size
                    .unwrap_or_else(|| panic!("no chunk size in {:?}", String::from_utf8_lossy(&self.held[..line])));
                if self.held.len() >= line + 2 + size + 2 {
                    let data = self.held[line + 2..line + 2 + size].to_vec();
                    self.held.drain(..line + 2 + size + 2);
                    return Ok(if size == 0 { None } else { Some(data) });
                }
            }
            if self.more().await == 0 {
                return Err(std::mem::take(&mut self.held));
            }
        }
    }

    /// The next `count` bytes; fewer if the connection ends before.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<u8> {
        while self.held.len() < count && self.more().await > 0 {}
        self.held.drain(..count.min(self.held.len())).collect()
    }

    /// Everything until the other side closes.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.more().await > 0 {}
        std::mem::take(&mut self.held)
    }

    /// Whether the other side closes within `within`, whatever it says before.
    pub(crate) async fn closes(&mut self, within: Duration) -> bool {
        let mut piece = [0; 4096];
        timeout(within, async {
            loop {
                match self.io.read(&mut piece).await {
                    Ok(0) | Err(_) => return,
                    Ok(read) => self.held.extend_from_slice(&piece[..read]),
                }
            }
        })
        .await
        .is_ok()
    }
}

/// A response.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) informational: Vec<u16>,
}

impl Answer {
    fn parse(head: &[u8]) -> Self {
        let text = String::from_utf8_lossy(head);
        let mut lines = text.split("\r\n");
        let status_line = lines.next().unwrap_or_default();
        let status = status_line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let fields = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
        Self {
            status: status.unwrap_or_else(|| panic!("no status in {status_line:?}")),
            fields: fields.collect(),
            body: Vec::new(),
            informational: Vec::new(),
        }
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(each, _)| each == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(each, _)| each == name).map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The stable code of a problem document.
    pub(crate) fn code(&self) -> String {
        let json: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        json["code"].as_str().unwrap_or_default().to_owned()
    }

    /// What of these cookies the answer sets, by name.
    pub(crate) fn cookies(&self) -> Vec<String> {
        let names = self.all("set-cookie").into_iter().filter_map(|cookie| cookie.split_once('='));
        names.map(|(name, _)| name.to_owned()).collect()
    }
}

/// A request as an upstream received it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) line: String,
    /// In the order and spelling they came.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Number of the connection it came on.
    pub(crate) connection: usize,
}

impl Seen {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(each, _)| each.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn count(&self, name: &str) -> usize {
        self.fields.iter().filter(|(each, _)| each.eq_ignore_ascii_case(name)).count()
    }

    pub(crate) fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }

    /// The header fields as an application behind CGI, WSGI or PHP sees them: one variable per folded name, the last value wins.
    pub(crate) fn folded(&self) -> BTreeMap<String, String> {
        self.fields.iter().map(|(name, value)| (fold(name), value.clone())).collect()
    }
}

/// How CGI folds a header name.
pub(crate) fn fold(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

/// An application that remembers what it was asked, and answers everything with 200.
pub(crate) struct Echo {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    pub(crate) connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Echo {
    pub(crate) async fn start() -> Self {
        Self::answering("Content-Type: text/plain\r\n").await
    }

    /// With these header fields in every answer.
    pub(crate) async fn answering(fields: &'static str) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let (of, count) = (seen.clone(), connections.clone());
        let (address, task) = upstream(move |connection, mut io| {
            count.fetch_add(1, Ordering::SeqCst);
            let seen = of.clone();
            async move {
                while let Some(request) = read_request(&mut io, connection).await {
                    let is_head = request.line.starts_with("HEAD ");
                    let body = format!("{} {}", request.line, request.body.len());
                    seen.lock().expect("no panic").push(request);
                    let head = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
                    io.send(head.as_bytes()).await;
                    if !is_head {
                        io.send(body.as_bytes()).await;
                    }
                }
            }
        })
        .await;
        Self { address, seen, connections, task }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no panic").clone()
    }

    pub(crate) fn last(&self) -> Seen {
        self.seen().last().cloned().expect("the upstream was asked")
    }

    pub(crate) fn count(&self) -> usize {
        self.seen.lock().expect("no panic").len()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A scripted upstream: `script` gets the number and the socket of each connection.
pub(crate) async fn upstream<F, Fut>(script: F) -> (SocketAddr, JoinHandle<()>)
where
    F: Fn(usize, Client) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let task = tokio::spawn(async move {
        let mut number = 0;
        while let Ok((io, _)) = listener.accept().await {
            let _ = io.set_nodelay(true);
            tokio::spawn(script(number, Client::over(io)));
            number += 1;
        }
    });
    (address, task)
}

/// The next request on an upstream's connection, with its body.
pub(crate) async fn read_request<IO: AsyncRead + AsyncWrite + Unpin>(
    io: &mut Client<IO>,
    connection: usize,
) -> Option<Seen> {
    let mut seen = read_request_head(io, connection).await?;
    if seen.field("transfer-encoding").is_some() {
        while let Some(data) = io.chunk().await.ok()? {
            seen.body.extend_from_slice(&data);
        }
    } else if let Some(length) = seen.field("content-length").map(|length| length.parse::<usize>().expect("a length")) {
        while io.held.len() < length {
            if io.more_quietly().await == 0 {
                return None;
            }
        }
        seen.body = io.held.drain(..length).collect();
    }
    Some(seen)
}

pub(crate) async fn read_request_head<IO: AsyncRead + AsyncWrite + Unpin>(
    io: &mut Client<IO>,
    connection: usize,
) -> Option<Seen> {
    let end = loop {
        if let Some(end) = find(&io.held, b"\r\n\r\n") {
            break end;
        }
        if io.more_quietly().await == 0 {
            return None;
        }
    };
    let rest = io.held.split_off(end + 4);
    let head = std::mem::replace(&mut io.held, rest);
    let text = String::from_utf8_lossy(&head[..end]).into_owned();
    let mut lines = text.split("\r\n");
    let line = lines.next().unwrap_or_default().to_owned();
    let fields =
        lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    Some(Seen { line, fields: fields.collect(), body: Vec::new(), connection })
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Client<IO> {
    /// Reads for as long as it takes: an upstream waits for its next request.
    async fn more_quietly(&mut self) -> usize {
        let mut piece = vec![0; 64 * 1024];
        let read = self.io.read(&mut piece).await.unwrap_or(0);
        self.held.extend_from_slice(&piece[..read]);
        read
    }

    /// Bytes received and not consumed.
    pub(crate) fn held(&self) -> &[u8] {
        &self.held
    }
}

pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let waited = timeout(LONG, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "never happened: {what}");
}

/// Small, seeded, printable in a failure: enough to vary a request.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let value = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(value).unwrap_or(0) % sides
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.roll(from.len())]
    }
}
