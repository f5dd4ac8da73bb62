//! The little HTTP the lab needs: a server per port, a client per request, and readers for what arrives.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, COOKIE, HOST, HeaderName, HeaderValue, LOCATION};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};

/// What every server of the lab answers with.
pub(crate) type Answer = Response<Full<Bytes>>;

/// Largest body read, of requests and of answers.
const MAX_BODY: usize = 1024 * 1024;
/// How long another server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A request, read whole.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) parts: Parts,
    pub(crate) body: Bytes,
}

impl Asked {
    pub(crate) fn path(&self) -> &str {
        self.parts.uri.path()
    }

    /// A header that came and is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// The host without its port.
    pub(crate) fn host(&self) -> &str {
        let authority = self.parts.headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
        authority.rsplit_once(':').map_or(authority, |(host, _)| host)
    }

    /// A parameter of the query, decoded.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        form_field(self.parts.uri.query()?, name)
    }

    /// The cookies, in the order they came.
    pub(crate) fn cookies(&self) -> Vec<(String, String)> {
        let fields = self.parts.headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let pairs = fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// A field of a JSON or form body.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let is_json = self.header("content-type").is_some_and(|kind| kind.starts_with("application/json"));
        if is_json {
            return self.json().get(name)?.as_str().map(str::to_owned);
        }
        form_field(std::str::from_utf8(&self.body).ok()?, name)
    }

    /// Whether a browser is loading a page into a tab with this request.
    pub(crate) fn is_navigation(&self) -> bool {
        self.header("sec-fetch-dest") == Some("document")
    }
}

fn form_field(text: &str, name: &str) -> Option<String> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(known, _)| *known == name).map(|(_, value)| decode(value)).next()
}

fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let escaped = (byte == b'%').then(|| std::str::from_utf8(after.get(..2)?).ok()).flatten();
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(decoded) => {
                out.push(decoded);
                rest = &after[2..];
            }
            None => out.push(if byte == b'+' { b' ' } else { byte }),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Text as one component of a URL.
pub(crate) fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

/// An answer of that status and type. Nothing of the lab is to be cached: each answer belongs to one moment of a run.
pub(crate) fn answer(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(crate) fn html(body: impl Into<Bytes>) -> Answer {
    answer(StatusCode::OK, "text/html; charset=utf-8", body)
}

pub(crate) fn script(body: impl Into<Bytes>) -> Answer {
    answer(StatusCode::OK, "text/javascript; charset=utf-8", body)
}

pub(crate) fn json(status: StatusCode, body: &Value) -> Answer {
    answer(status, "application/json", body.to_string())
}

/// What went wrong, for whoever reads the answer.
pub(crate) fn problem(status: StatusCode, detail: &str) -> Answer {
    json(status, &serde_json::json!({ "error": detail }))
}

pub(crate) fn see_other(location: &str) -> Answer {
    let mut response = answer(StatusCode::SEE_OTHER, "text/plain", "");
    set(&mut response, LOCATION, location);
    response
}

/// Adds a header, if its value is one.
pub(crate) fn set(response: &mut Answer, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().append(name, value);
    }
}

/// One port of this machine, for every spelling of "here" that a browser may resolve a name to.
#[derive(Debug)]
pub(crate) struct Port {
    listeners: Vec<TcpListener>,
    number: u16,
}

impl Port {
    /// A free port.
    pub(crate) async fn free() -> io::Result<Self> {
        let mut last = io::Error::other("no port was tried");
        for _ in 0..16 {
            match Self::at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await {
                Ok(port) => return Ok(port),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// That port on the IPv4 loopback, and beside it on the IPv6 one where the machine has that.
    pub(crate) async fn at(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let number = listener.local_addr()?.port();
        let mut listeners = vec![listener];
        if address.ip() == Ipv4Addr::LOCALHOST {
            match TcpListener::bind((Ipv6Addr::LOCALHOST, number)).await {
                Ok(listener) => listeners.push(listener),
                // Somebody else's: browsers that try ::1 first would talk to them.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
                Err(_) => {}
            }
        }
        Ok(Self { listeners, number })
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    /// Serves until the runtime ends.
    pub(crate) fn serve<F>(self, handler: impl Fn(Asked) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let handler = Arc::new(handler);
        for listener in self.listeners {
            let handler = Arc::clone(&handler);
            tokio::spawn(async move {
                loop {
                    match listener.accept().await {
                        Ok((stream, _)) => {
                            tokio::spawn(connection(stream, Arc::clone(&handler)));
                        }
                        // Out of file descriptors, say: the next try may go better.
                        Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                    }
                }
            });
        }
    }
}

async fn connection<H, F>(stream: TcpStream, handler: Arc<H>)
where
    H: Fn(Asked) -> F + Send + Sync + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
        let handler = Arc::clone(&handler);
        async move {
            let (parts, body) = request.into_parts();
            let answer = match Limited::new(body, MAX_BODY).collect().await {
                Ok(body) => handler(Asked { parts, body: body.to_bytes() }).await,
                Err(_) => problem(StatusCode::BAD_REQUEST, "the body did not arrive or is too large"),
            };
            Ok::<_, Infallible>(answer)
        }
    });
    // A connection that breaks is the browser's business.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// Sends one request to a port of this machine, over a connection of its own.
///
/// # Errors
///
/// When nobody listens there, or what comes back is not an answer in time.
pub(crate) async fn send(port: u16, request: Request<Bytes>) -> io::Result<Response<Bytes>> {
    let exchange = async {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(connection);
        let (parts, body) = request.into_parts();
        let response =
            sender.send_request(Request::from_parts(parts, Full::new(body))).await.map_err(io::Error::other)?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await.map_err(io::Error::other)?;
        Ok(Response::from_parts(parts, body.to_bytes()))
    };
    tokio::time::timeout(PATIENCE, exchange).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
