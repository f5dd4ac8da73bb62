//! A server on loopback, with the gate or without.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::gateway::gate::check_head;
use crate::gateway::wire::{StrictIo, WireRules, WireViolation};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Front {
    /// The wire gate before the HTTP library, the head gate in the service.
    Gate,
    /// The library alone: the negative control.
    Bare,
}

/// What the service and the observer saw.
#[derive(Default)]
pub(super) struct Seen {
    /// Method, path and body length of each request whose body was complete.
    pub(super) requests: Vec<String>,
    pub(super) violations: Vec<WireViolation>,
}

pub(super) struct Server {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves on a free port until dropped.
    pub(super) fn start(front: Front) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (stop, stopped) = oneshot::channel();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let shared = seen.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = accept(listener, front, shared) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, seen, stop: Some(stop), thread: Some(thread) }
    }

    /// What was seen since the last call.
    pub(super) fn seen(&self) -> Seen {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

async fn accept(listener: TcpListener, front: Front, seen: Arc<Mutex<Seen>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        stream.set_nodelay(true).unwrap();
        let io = TokioIo::new(stream);
        let seen = seen.clone();
        match front {
            Front::Gate => tokio::spawn(serve(front, strict(io, seen.clone()), seen)),
            Front::Bare => tokio::spawn(serve(front, io, seen)),
        };
    }
}

pub(super) fn strict<IO>(io: IO, seen: Arc<Mutex<Seen>>) -> StrictIo<IO> {
    let observer = move |violation| seen.lock().unwrap().violations.push(violation);
    StrictIo::new(io, Arc::new(rules()), Arc::new(observer))
}

/// As a server would have them: with a security header on the gate's own pages, and an attempt to change one the gate writes.
fn rules() -> WireRules {
    let mut rules = WireRules::default();
    rules.fields.insert("content-security-policy", HeaderValue::from_static("default-src 'none'"));
    rules.fields.insert("connection", HeaderValue::from_static("keep-alive"));
    rules
}

pub(super) async fn serve(front: Front, io: impl Read + Write + Unpin + Send + 'static, seen: Arc<Mutex<Seen>>) {
    let service = service_fn(move |request| {
        let seen = seen.clone();
        async move { Ok::<_, Infallible>(answer(front, request, seen).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(5)).half_close(true);
    let _ = builder.serve_connection(io, service).with_upgrades().await;
}

type Answer = Response<BoxBody<Bytes, Infallible>>;

fn plain(status: u16, text: String) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(text)).boxed());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.headers_mut().insert("served", HeaderValue::from_static("yes"));
    response
}

/// Answers 200 when the head is good and the body came to its end. Paths ask for special behaviour.
async fn answer(front: Front, mut request: Request<Incoming>, seen: Arc<Mutex<Seen>>) -> Answer {
    let path = request.uri().path().to_owned();
    if path == "/refuse-early" {
        return plain(401, "no".into());
    }
    if path == "/tunnel" && request.headers().contains_key("upgrade") {
        seen.lock().unwrap().requests.push("tunnel".into());
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut io = TokioIo::new(upgrade.await.unwrap());
            let (mut reader, mut writer) = tokio::io::split(&mut io);
            tokio::io::copy(&mut reader, &mut writer).await.unwrap();
            writer.shutdown().await.unwrap();
        });
        let mut response = plain(101, String::new());
        response.headers_mut().insert("connection", HeaderValue::from_static("upgrade"));
        response.headers_mut().insert("upgrade", HeaderValue::from_static("echo"));
        return response;
    }
    let (parts, body) = request.into_parts();
    let length = match body.collect().await {
        Ok(body) => body.to_bytes().len(),
        Err(error) => {
            return match WireViolation::in_error(&error) {
                Some(violation) => plain(violation.refusal().status(), violation.code().into()),
                None => plain(500, error.to_string()),
            };
        }
    };
    if front == Front::Gate
        && let Err(violation) = check_head(&parts)
    {
        return plain(violation.refusal().status(), violation.code().into());
    }
    seen.lock().unwrap().requests.push(format!("{} {path} {length}", parts.method));
    if path == "/slow" {
        let pieces = futures_util::stream::unfold(0, |n| async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            (n < 40).then(|| (Ok(Frame::data(Bytes::from(format!("piece {n} ")))), n + 1))
        });
        let mut response = Response::new(StreamBody::new(pieces).boxed());
        response.headers_mut().insert("served", HeaderValue::from_static("yes"));
        return response;
    }
    plain(200, format!("{} {path} {length}", parts.method))
}
