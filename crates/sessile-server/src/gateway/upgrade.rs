//! WebSockets: the handshake, and the tunnel after it.
//!
//! Frames are not read. A handshake is checked in full before it is forwarded (RFC 6455 section 4.2.1), the client hears nothing
//! before the upstream has answered 101, and nothing the client sends behind its handshake is looked at before that either (the wire
//! gate holds it back; RUSTSEC-2026-0033). Other protocols are not offered: an `Upgrade` to anything else, `h2c` above all, is
//! ignored, as RFC 9110 section 7.8 allows.
//!
//! When the session behind a tunnel ends the connection is closed without a Close frame. Who has not followed the frames cannot know
//! where one may stand; a frame in the middle of another would be taken for its payload. Browsers report 1006.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{Method, Version};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use sessile::streams::StreamGuard;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{sleep_until, timeout};

use super::body::Progress;
use super::connection::Exchange;
use super::drain::Watch;
use super::listener::Ticket;
use super::metrics::Counted;

/// What a request wants besides an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Nothing.
    None,
    /// Another protocol, which is not offered: the wish is ignored.
    Other,
    /// A WebSocket, and the handshake is complete.
    WebSocket,
    /// A WebSocket, and the handshake is not one.
    Malformed,
}

/// Reads a request's wish.
pub fn wish(parts: &Parts) -> Wish {
    let headers = &parts.headers;
    if !headers.contains_key(UPGRADE) {
        return Wish::None;
    }
    let wants_websocket = tokens(headers, &UPGRADE).any(|token| token.eq_ignore_ascii_case(b"websocket"));
    if !wants_websocket {
        return Wish::Other;
    }
    let upgrades: Vec<_> = tokens(headers, &UPGRADE).collect();
    let complete = parts.method == Method::GET
        && parts.version == Version::HTTP_11
        && upgrades.len() == 1
        && tokens(headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case(b"upgrade"))
        && single(headers, &SEC_WEBSOCKET_VERSION) == Some(b"13")
        && single(headers, &SEC_WEBSOCKET_KEY).is_some_and(|key| is_base64(key, 24, 2))
        && !headers.contains_key(TRANSFER_ENCODING)
        && headers.get(CONTENT_LENGTH).is_none_or(|length| length == "0");
    if complete { Wish::WebSocket } else { Wish::Malformed }
}

/// Whether an upstream's 101 is an answer to a WebSocket handshake. The value of `Sec-WebSocket-Accept` is for the client to check;
/// only it knows whether it asked.
pub fn accepts(headers: &HeaderMap) -> bool {
    let mut upgrades = tokens(headers, &UPGRADE);
    let one =
        upgrades.next().is_some_and(|token| token.eq_ignore_ascii_case(b"websocket")) && upgrades.next().is_none();
    one && tokens(headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case(b"upgrade"))
        && single(headers, &SEC_WEBSOCKET_ACCEPT).is_some_and(|accept| is_base64(accept, 28, 1))
}

/// Puts back what header hygiene took out of a 101.
pub fn mark_switched(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let values = headers.get_all(name).into_iter();
    values
        .flat_map(|value| value.as_bytes().split(|&b| b == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).into_iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value.as_bytes()),
        _ => None,
    }
}

fn is_base64(text: &[u8], length: usize, padding: usize) -> bool {
    text.len() == length
        && text[..length - padding].iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
        && text[length - padding..].iter().all(|&b| b == b'=')
}

/// Two connections that are about to become one.
#[derive(Debug)]
pub struct Tunnel {
    /// The client's side, once its 101 is written.
    pub client: OnUpgrade,
    /// The upstream's side.
    pub upstream: OnUpgrade,
    /// The session it belongs to.
    pub session: Option<StreamGuard>,
    /// How long nothing may go either way.
    pub idle: Duration,
    /// Sees the process stop.
    pub stop: Watch,
    /// Keeps the connection from counting as idle.
    pub exchange: Exchange,
    /// Counts it.
    pub counted: Counted,
    /// The connection's place under the limits. HTTP is done with the connection after the 101; its socket is as open as before.
    pub ticket: Arc<Ticket>,
}

/// Why a tunnel is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TunnelEnd {
    Closed,
    SessionEnded,
    Idle,
    Stopping,
    NeverOpened,
}

/// The most that passes between writing a 101 and having the raw connection.
const SWITCH: Duration = Duration::from_secs(10);

impl Tunnel {
    /// Carries bytes until either side closes, the session ends, nothing moves for too long, or the process stops.
    pub async fn run(self) {
        let Self { client, upstream, session, idle, mut stop, exchange, counted, ticket } = self;
        let end = match timeout(SWITCH, async { tokio::try_join!(client, upstream) }).await {
            Ok(Ok((client, upstream))) => {
                let progress = Progress::new();
                let mut client = Moving { io: TokioIo::new(client), progress: progress.clone() };
                let mut upstream = Moving { io: TokioIo::new(upstream), progress: progress.clone() };
                tokio::select! {
                    biased;
                    () = ended(session) => TunnelEnd::SessionEnded,
                    () = stop.draining() => TunnelEnd::Stopping,
                    () = unmoved(&progress, idle) => TunnelEnd::Idle,
                    _ = tokio::io::copy_bidirectional(&mut client, &mut upstream) => TunnelEnd::Closed,
                }
            }
            Ok(Err(_)) | Err(_) => TunnelEnd::NeverOpened,
        };
        tracing::debug!(?end, "tunnel closed");
        drop((exchange, counted, ticket));
    }
}

async fn ended(session: Option<StreamGuard>) {
    match session {
        Some(mut session) => {
            session.ended().await;
        }
        None => std::future::pending().await,
    }
}

async fn unmoved(progress: &Progress, idle: Duration) {
    loop {
        let moved = progress.last();
        sleep_until(moved + idle).await;
        if progress.last() == moved {
            return;
        }
    }
}

/// Notes when bytes come in.
struct Moving<IO> {
    io: IO,
    progress: Progress,
}

impl<IO: AsyncRead + Unpin> AsyncRead for Moving<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, out);
        if out.filled().len() > before {
            self.progress.note();
        }
        polled
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Moving<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const COMPLETE: [(&str, &str); 4] = [
        ("upgrade", "websocket"),
        ("connection", "keep-alive, Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    fn request(fields: &[(&str, &str)]) -> Parts {
        let mut builder = Request::builder().uri("/ws");
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    fn with(name: &'static str, value: &'static str) -> Vec<(&'static str, &'static str)> {
        let mut fields: Vec<_> = COMPLETE.into_iter().filter(|(each, _)| *each != name).collect();
        if !value.is_empty() {
            fields.push((name, value));
        }
        fields
    }

    /// RFC 6455 section 4.2.1: each part of the handshake is needed.
    #[test]
    fn a_handshake_is_complete_or_malformed() {
        assert_eq!(wish(&request(&COMPLETE)), Wish::WebSocket);
        assert_eq!(wish(&request(&with("upgrade", "WebSocket"))), Wish::WebSocket);
        for (name, value) in [
            ("connection", ""),
            ("connection", "close"),
            ("sec-websocket-version", ""),
            ("sec-websocket-version", "8"),
            ("sec-websocket-key", ""),
            ("sec-websocket-key", "short"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=a"),
            ("content-length", "5"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket, h2c"),
        ] {
            assert_eq!(wish(&request(&with(name, value))), Wish::Malformed, "{name}: {value}");
        }
        let mut post = request(&COMPLETE);
        post.method = Method::POST;
        assert_eq!(wish(&post), Wish::Malformed);
        let mut old = request(&COMPLETE);
        old.version = Version::HTTP_10;
        assert_eq!(wish(&old), Wish::Malformed);
        let mut twice = request(&COMPLETE);
        twice.headers.append(SEC_WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        assert_eq!(wish(&twice), Wish::Malformed);
    }

    /// H9: h2c is nothing we offer.
    #[test]
    fn h9_other_protocols_are_ignored() {
        assert_eq!(wish(&request(&[("upgrade", "h2c"), ("connection", "Upgrade, HTTP2-Settings")])), Wish::Other);
        assert_eq!(wish(&request(&[])), Wish::None);
    }
}
