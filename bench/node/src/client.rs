//! A client with one connection, which it keeps.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, COOKIE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub enum Credentials<'a> {
    /// Nobody.
    None,
    /// A browser with these cookies.
    Cookies(&'a str),
    /// Whoever has this token.
    Bearer(&'a str),
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    connection: SendRequest<Empty<Bytes>>,
    host: String,
}

impl Client {
    /// Connects.
    ///
    /// # Panics
    ///
    /// If nobody listens.
    pub async fn connect(address: SocketAddr, host: &str) -> Self {
        Self::try_connect(address, host).await.expect("somebody listens")
    }

    /// Connects, if somebody listens.
    pub async fn try_connect(address: SocketAddr, host: &str) -> Option<Self> {
        let stream = TcpStream::connect(address).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let (connection, driver) = handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(driver);
        Some(Self { connection, host: host.to_owned() })
    }

    /// Asks and waits for the whole answer.
    ///
    /// # Panics
    ///
    /// If the connection breaks.
    pub async fn ask(&mut self, method: Method, path: &str, by: Credentials<'_>) -> (StatusCode, Bytes) {
        let mut request = Request::builder().method(method).uri(path).header(HOST, &self.host);
        request = match by {
            Credentials::None => request,
            Credentials::Cookies(cookies) => request.header(COOKIE, cookies),
            Credentials::Bearer(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
        };
        let request = request.header(ACCEPT, "application/json").body(Empty::new()).expect("a request");
        self.connection.ready().await.expect("the connection stays");
        let answer = self.connection.send_request(request).await.expect("an answer");
        let status = answer.status();
        (status, answer.into_body().collect().await.expect("a whole answer").to_bytes())
    }
}
