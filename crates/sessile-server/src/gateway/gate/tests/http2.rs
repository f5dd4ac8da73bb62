//! HTTP/2 requests in raw frames, as the HTTP library hands them to the head gate (R-112, P11).

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Response;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

/// A field block of literals, without Huffman coding and without the table (RFC 7541 section 6.2.2).
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// The head gate let it pass, with this path; its body came to an end.
    Passed(String),
    Refused(&'static str),
    /// The head passed, the body failed.
    BodyFailed,
    /// The library did not hand it over.
    Never,
}

async fn next_frame(client: &mut DuplexStream) -> Option<(u8, u8)> {
    let mut head = [0; 9];
    client.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    client.read_exact(&mut payload).await.ok()?;
    Some((head[3], head[8]))
}

/// Sends one request and waits until the server has dealt with it.
async fn send(fields: &[(&str, &str)], data: Option<&[u8]>) -> Fate {
    let (mut client, socket) = tokio::io::duplex(64 * 1024);
    let fate = Arc::new(Mutex::new(Fate::Never));
    let shared = fate.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let fate = shared.clone();
        async move {
            let (parts, body) = request.into_parts();
            let outcome = match (check_head(&parts), body.collect().await) {
                (Err(violation), _) => Fate::Refused(violation.code()),
                (Ok(_), Err(_)) => Fate::BodyFailed,
                (Ok(head), Ok(_)) => Fate::Passed(head.path().to_owned()),
            };
            *fate.lock().unwrap() = outcome;
            Ok::<_, Infallible>(Response::new(String::new()))
        }
    });
    let connection = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service);
    let server = tokio::spawn(connection);
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let end = if data.is_some() { END_HEADERS } else { END_HEADERS | END_STREAM };
    let mut frames = [frame(SETTINGS, 0, 0, &[]), frame(HEADERS, end, 1, &block(fields))].concat();
    if let Some(data) = data {
        frames.extend(frame(0, END_STREAM, 1, data));
    }
    client.write_all(&frames).await.unwrap();
    let answered = async {
        while let Some((kind, stream)) = next_frame(&mut client).await {
            if kind == GOAWAY || (matches!(kind, HEADERS | RST_STREAM) && stream == 1) {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), answered).await.expect("an answer, a reset or the end");
    server.abort();
    std::mem::replace(&mut *fate.lock().unwrap(), Fate::Never)
}

const METHOD: (&str, &str) = (":method", "GET");
const SCHEME: (&str, &str) = (":scheme", "https");
const PATH: (&str, &str) = (":path", "/a");
const AUTHORITY: (&str, &str) = (":authority", "app.example");

/// R-112, P11, P17 over HTTP/2, from frames to verdict.
#[tokio::test]
async fn raw_frames() {
    let passed = |path: &str| Fate::Passed(path.to_owned());
    let with = |field| vec![METHOD, SCHEME, PATH, AUTHORITY, field];
    let path = |path| vec![METHOD, SCHEME, AUTHORITY, (":path", path)];
    let method = |method| vec![(":method", method), SCHEME, PATH, AUTHORITY];
    let cases = [
        // Positive controls.
        (with(("x-a", "b")), passed("/a")),
        (with(("host", "app.example")), passed("/a")),
        (with(("te", "trailers")), passed("/a")),
        (vec![METHOD, SCHEME, PATH, ("host", "app.example")], passed("/a")),
        (vec![METHOD, SCHEME, PATH, AUTHORITY, ("cookie", "a=b"), ("cookie", "c=d")], passed("/a")),
        // One authority.
        (with(("host", "other.example")), Fate::Refused("authority_mismatch")),
        (vec![METHOD, SCHEME, PATH], Fate::Refused("host_missing")),
        (vec![METHOD, SCHEME, PATH, ("host", "a"), ("host", "b")], Fate::Refused("host_repeated")),
        (vec![METHOD, SCHEME, PATH, (":authority", "user@app.example")], Fate::Refused("host_invalid")),
        // Fields of another protocol, refused by the library before the head gate would.
        (with(("connection", "close")), Fate::Never),
        (with(("transfer-encoding", "chunked")), Fate::Never),
        (with(("upgrade", "h2c")), Fate::Never),
        (with(("te", "gzip")), Fate::Never),
        (with(("X-A", "b")), Fate::Never),
        (with(("x-a", "b\r\nc: d")), Fate::Never),
        (with(("x-a", "b\0")), Fate::Never),
        (with(("x-a\r\nb", "c")), Fate::Never),
        (with(("x a", "b")), Fate::Never),
        // Pseudo-fields twice, late or missing.
        (with((":path", "/b")), Fate::Never),
        (vec![METHOD, SCHEME, PATH, ("x-a", "b"), AUTHORITY], Fate::Never),
        (vec![METHOD, PATH, AUTHORITY], Fate::Never),
        (vec![SCHEME, PATH, AUTHORITY], Fate::Never),
        // What the library lets through.
        (with(("x-a", " b")), Fate::Refused("field_value")),
        (with(("content_length", "5")), Fate::Refused("framing_alias")),
        (method("TRACE"), Fate::Refused("method_refused")),
        (method("get"), Fate::Refused("method")),
        (vec![(":method", "CONNECT"), AUTHORITY], Fate::Refused("method_refused")),
        // Oddities of the path.
        (path(""), Fate::Never),
        (path("a"), Fate::Never),
        (path("http://app.example/a"), Fate::Never),
        (path("?a"), Fate::Refused("target")),
        (path("*"), Fate::Refused("target")),
        (path("/a/../b"), Fate::Refused("path_dot_segment")),
        (path("/a%2fb"), Fate::Refused("path_encoded_slash")),
        (path("//a"), Fate::Refused("path_empty_segment")),
        (path("/caf\u{e9}"), Fate::Refused("path_byte")),
        // The library cuts it off, so nobody decides on it and nobody forwards it.
        (path("/a#b"), passed("/a")),
    ];
    for (fields, expected) in cases {
        assert_eq!(send(&fields, None).await, expected, "{fields:?}");
    }
}

/// P11: the length announced is the length sent.
#[tokio::test]
async fn length_and_data_agree() {
    let fields = |length| [(":method", "POST"), SCHEME, PATH, AUTHORITY, ("content-length", length)];
    assert_eq!(send(&fields("5"), Some(b"hello")).await, Fate::Passed("/a".into()));
    assert_eq!(send(&fields("4"), Some(b"hello")).await, Fate::BodyFailed);
    assert_eq!(send(&fields("6"), Some(b"hello")).await, Fate::BodyFailed);
    assert_ne!(send(&fields("+5"), Some(b"hello")).await, Fate::Passed("/a".into()));
}

/// RFC 8441: extended CONNECT, never announced, does not reach a service.
#[tokio::test]
async fn extended_connect() {
    let fields = [(":method", "CONNECT"), (":protocol", "websocket"), SCHEME, PATH, AUTHORITY];
    assert!(!matches!(send(&fields, None).await, Fate::Passed(_)));
}
