//! TLS and HTTP/2, towards clients and towards upstreams (P11, C9, C13, H10; ).

use std::fs;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use sessile::Access;
use sessile_server::gateway::{Gateway, GatewayError, GatewaySettings, RouteSettings, TargetSettings, TlsFiles};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::gateway_world::{Client, Echo, LONG, World, request, route, settings, until, usual_routes};

const LOCALHOST: (&str, &str) = (include_str!("data/localhost.pem"), include_str!("data/localhost.key"));
const OTHER: (&str, &str) = (include_str!("data/other.pem"), include_str!("data/other.key"));

/// A folder with a certificate and its key.
fn files(of: (&str, &str)) -> (TempDir, TlsFiles) {
    let dir = tempfile::tempdir().expect("a folder");
    let files = TlsFiles { cert: dir.path().join("cert.pem"), key: dir.path().join("key.pem") };
    install(&files, of.0, of.1);
    (dir, files)
}

fn install(files: &TlsFiles, cert: &str, key: &str) {
    fs::write(&files.cert, cert).expect("written");
    fs::write(&files.key, key).expect("written");
}

fn with_tls(mut settings: GatewaySettings, files: &TlsFiles) -> GatewaySettings {
    settings.tls = Some(files.clone());
    settings
}

fn client_config(trusted: &str, protocol: &[u8]) -> Arc<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.as_bytes()).expect("PEM")).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    Arc::new(config)
}

async fn handshake<IO>(io: IO, trusted: &str, protocol: &[u8]) -> std::io::Result<TlsStream<IO>>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(client_config(trusted, protocol)).connect(name, io).await
}

async fn tls(address: SocketAddr, trusted: &str, protocol: &[u8]) -> std::io::Result<TlsStream<TcpStream>> {
    handshake(TcpStream::connect(address).await?, trusted, protocol).await
}

type H2 = SendRequest<Full<Bytes>>;

/// An HTTP/2 connection.
async fn h2(address: SocketAddr) -> (H2, JoinHandle<()>) {
    let io = tls(address, LOCALHOST.0, b"h2").await.expect("a handshake");
    assert_eq!(io.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await.expect("HTTP/2");
    let task = tokio::spawn(async move {
        let _ = connection.await;
    });
    (sender, task)
}

async fn ask(sender: &mut H2, request: Request<Full<Bytes>>) -> (http::response::Parts, Bytes) {
    let answer = timeout(LONG, sender.send_request(request)).await.expect("in time").expect("an answer");
    let (head, body) = answer.into_parts();
    (head, timeout(LONG, body.collect()).await.expect("in time").expect("a whole body").to_bytes())
}

fn h2_request(path: &str) -> http::request::Builder {
    Request::builder().version(Version::HTTP_2).uri(format!("https://localhost{path}"))
}

fn bodyless(builder: http::request::Builder) -> Request<Full<Bytes>> {
    builder.body(Full::default()).expect("a request")
}

/// HTTP/1.1 and HTTP/2 by ALPN, over one port, to the same routes; crumbs of the cookie are one field upstream (P11, RFC 9113 8.2.3).
#[tokio::test(flavor = "multi_thread")]
async fn p11_both_protocols_are_served() {
    let echo = Echo::start().await;
    let (_dir, files) = files(LOCALHOST);
    let world = World::start(with_tls(settings(usual_routes(echo.address)), &files)).await;
    let browser = world.sign_in("ada").await;

    let mut http1 = Client::over(tls(world.address, LOCALHOST.0, b"http/1.1").await.expect("a handshake"));
    http1.send(&request("GET", "/private/x", &[("Cookie", &browser.cookie())], b"")).await;
    assert_eq!(http1.answer(false).await.status, 200);

    let (mut sender, _task) = h2(world.address).await;
    let mut builder = h2_request("/private/x?y");
    for (name, value) in &browser.jar {
        builder = builder.header("cookie", format!("{name}={value}"));
    }
    let (head, body) =
        ask(&mut sender, bodyless(builder.header("cookie", "theme=dark").header("cookie", "lang=en"))).await;
    assert_eq!((head.status, head.version), (StatusCode::OK, Version::HTTP_2));
    assert_eq!(body, "GET /private/x?y HTTP/1.1 0");
    let seen = echo.last();
    assert_eq!((seen.field("cookie"), seen.count("cookie")), (Some("theme=dark; lang=en"), 1));
    assert_eq!((seen.field("sessile-subject"), seen.field("x-forwarded-proto")), (Some("ada"), Some("http")));
    assert!(seen.field("via").is_some_and(|via| via.starts_with("2.0 ")));

    let (head, _) = ask(&mut sender, bodyless(h2_request("/private/x"))).await;
    assert_eq!(head.status, StatusCode::UNAUTHORIZED);
    let upload =
        h2_request("/open/x").method("POST").body(Full::new(Bytes::from(vec![7; 300_000]))).expect("a request");
    assert_eq!(ask(&mut sender, upload).await.1, "POST /open/x HTTP/1.1 300000");
    world.stop().await;
}

/// However many clients there are, each resumes its session, whichever thread it meets; one that brings nothing does not.
#[tokio::test(flavor = "multi_thread")]
async fn more_clients_than_any_cache_holds_resume_their_sessions() {
    let echo = Echo::start().await;
    let (_dir, files) = files(LOCALHOST);
    let mut settings = with_tls(settings(usual_routes(echo.address)), &files);
    settings.workers = NonZeroUsize::new(3);
    let world = World::start(settings).await;
    let name = || ServerName::try_from("localhost").expect("a name");
    let clients: Vec<_> = (0..400).map(|_| client_config(LOCALHOST.0, b"http/1.1")).collect();
    for expected in [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed] {
        for client in &clients {
            let socket = TcpStream::connect(world.address).await.expect("a connection");
            let io = TlsConnector::from(client.clone()).connect(name(), socket).await.expect("a handshake");
            assert_eq!(io.get_ref().1.handshake_kind(), Some(expected));
            // Tickets come behind the handshake, with the first answer at the latest.
            let mut client = Client::over(io);
            client.send(&request("GET", "/open/x", &[], b"")).await;
            assert_eq!(client.answer(false).await.status, 200);
        }
    }
    world.stop().await;
}

/// P11, P12, P17, R-112: what is refused over HTTP/1 is refused over HTTP/2, on a connection that goes on.
#[tokio::test(flavor = "multi_thread")]
async fn p11_the_gate_holds_for_http2() {
    let echo = Echo::start().await;
    let (_dir, files) = files(LOCALHOST);
    let world = World::start(with_tls(settings(vec![route("/", echo.address, Access::Public)]), &files)).await;
    let (mut sender, _task) = h2(world.address).await;
    for (status, builder) in [
        (400, h2_request("/a/%2e%2e/b")),
        (400, h2_request("/a//b")),
        (400, h2_request("/a%2Fb")),
        (405, h2_request("/x").method("TRACE")),
        (400, h2_request("/x").header("host", "evil.example")),
        (421, Request::builder().uri("https://evil.example/x")),
        (431, h2_request("/x").header("x-big", "a".repeat(33_000))),
        (400, h2_request("/x").header("authorization", "a").header("authorization", "b")),
        (400, h2_request("/x").header("content_length", "5")),
    ] {
        let (head, _) = ask(&mut sender, bodyless(builder)).await;
        assert_eq!(head.status.as_u16(), status);
        assert!(head.headers.contains_key("x-content-type-options") && head.headers.contains_key("x-request-id"));
    }
    assert_eq!(echo.count(), 0);
    assert_eq!(
        ask(&mut sender, bodyless(h2_request("/x"))).await.0.status,
        StatusCode::OK,
        "negative control, on the same connection"
    );
    world.stop().await;
}

/// A17: a key that is not the certificate's stops the start, with a text that says so; so does a missing or empty file.
#[tokio::test(flavor = "multi_thread")]
async fn a17_a_wrong_key_stops_the_start() {
    let echo = Echo::start().await;
    let (_dir, files) = files(LOCALHOST);
    let base = World::start(with_tls(settings(usual_routes(echo.address)), &files)).await;
    let try_with = |cert: &str, key: &str| {
        install(&files, cert, key);
        Gateway::new(with_tls(settings(usual_routes(echo.address)), &files), base.engine.clone())
    };
    for (cert, key, says) in [
        (LOCALHOST.0, OTHER.1, "is not the key of the first certificate"),
        ("", LOCALHOST.1, "holds no certificate"),
        (LOCALHOST.0, "", "the private key"),
        (LOCALHOST.1, LOCALHOST.1, "holds no certificate"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", LOCALHOST.1, ""),
    ] {
        match try_with(cert, key) {
            Err(GatewayError::Tls(error)) => {
                let text = error.to_string();
                assert!(text.contains(says) && text.contains(".pem"), "{text}");
                assert!(!text.contains("PRIVATE KEY"), "{text}");
            }
            other => panic!("{says}: {other:?}"),
        }
    }
    assert!(try_with(LOCALHOST.0, LOCALHOST.1).is_ok(), "negative control");
    base.stop().await;
}

/// A reload exchanges the certificate for new connections; a bad one changes nothing, and says so.
#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_reloaded_whole_or_not_at_all() {
    let echo = Echo::start().await;
    let (_dir, files) = files(LOCALHOST);
    let world = World::start(with_tls(settings(usual_routes(echo.address)), &files)).await;
    let (mut old, _task) = h2(world.address).await;
    assert!(tls(world.address, OTHER.0, b"h2").await.is_err(), "the other certificate is not served yet");

    install(&files, OTHER.0, LOCALHOST.1);
    assert!(world.gateway.reload_certificate().is_err());
    assert!(tls(world.address, LOCALHOST.0, b"h2").await.is_ok(), "half a change is no change");

    install(&files, OTHER.0, OTHER.1);
    world.gateway.reload_certificate().expect("a good pair");
    assert!(tls(world.address, OTHER.0, b"h2").await.is_ok());
    assert!(tls(world.address, LOCALHOST.0, b"h2").await.is_err());
    assert_eq!(ask(&mut old, bodyless(h2_request("/open/x"))).await.0.status, StatusCode::OK, "old connections go on");
    world.stop().await;
}

/// Writes one byte at a time.
struct Dripping(TcpStream);

impl AsyncRead for Dripping {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, out)
    }
}

impl AsyncWrite for Dripping {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, &bytes[..bytes.len().min(1)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// C13, H10, C11: a handshake in single bytes works; one that does not end, and one that is none, are let go.
#[tokio::test(flavor = "multi_thread")]
async fn c13_handshakes_have_a_deadline() {
    let echo = Echo::start().await;
    let (_dir, files) = files(LOCALHOST);
    let mut settings = with_tls(settings(usual_routes(echo.address)), &files);
    settings.limits.tls_handshake = Duration::from_millis(700);
    settings.limits.head = Duration::from_millis(700);
    let world = World::start(settings).await;
    let socket = TcpStream::connect(world.address).await.expect("connected");
    socket.set_nodelay(true).expect("a socket");
    let mut client = Client::over(handshake(Dripping(socket), LOCALHOST.0, b"http/1.1").await.expect("a handshake"));
    client.send(&request("GET", "/open/x", &[], b"")).await;
    assert_eq!(client.answer(false).await.status, 200, "C13: byte by byte");

    let mut stalled = Client::connect(world.address).await;
    stalled.send(&[0x16, 0x03, 0x01, 0x02]).await;
    assert!(stalled.closes(Duration::from_secs(5)).await);
    let mut plain = Client::connect(world.address).await;
    plain.send(&request("GET", "/open/x", &[], b"")).await;
    assert!(plain.closes(Duration::from_secs(5)).await);
    assert!(!plain.held().starts_with(b"HTTP"), "no plain text on a TLS port");
    let mut silent = Client::over(tls(world.address, LOCALHOST.0, b"http/1.1").await.expect("a handshake"));
    assert!(silent.closes(Duration::from_secs(5)).await, "a handshake buys no time for a request");
    let mut silent = Client::over(tls(world.address, LOCALHOST.0, b"h2").await.expect("a handshake"));
    assert!(silent.closes(Duration::from_secs(5)).await, "nor over HTTP/2");
    until("they are counted", || {
        let failures = world.gateway.metrics().snapshot().counters;
        failures.iter().any(|(name, _, count)| *name == "sessile_tls_handshake_failures_total" && *count >= 2)
    })
    .await;
    world.stop().await;
}

/// H10: an HTTP/2 client that opens no window for what it asked for is let go; one that reads is not.
#[tokio::test(flavor = "multi_thread")]
async fn h10_a_window_that_never_opens_is_closed() {
    let (address, _task) = crate::gateway_world::upstream(|connection, mut io| async move {
        crate::gateway_world::read_request(&mut io, connection).await;
        io.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 8 << 20).as_bytes()).await;
        io.send(&vec![7; 8 << 20]).await;
        io.closes(Duration::from_secs(30)).await;
    })
    .await;
    let (_dir, files) = files(LOCALHOST);
    let mut settings = with_tls(settings(vec![route("/", address, Access::Public)]), &files);
    settings.limits.send_stall = Duration::from_millis(500);
    let world = World::start(settings).await;
    let (mut sender, _task) = h2(world.address).await;
    let answer = sender.send_request(bodyless(h2_request("/x"))).await.expect("a head");
    let body = answer.into_body();
    until("the stalled exchange is gone", || world.gateway.metrics().requests_open.value() == 0).await;
    assert!(body.collect().await.is_err(), "and what was not read is not pretended to be whole");

    let (mut sender, _task) = h2(world.address).await;
    let mut body = sender.send_request(bodyless(h2_request("/x"))).await.expect("a head").into_body();
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        read += frame.expect("data").into_data().map_or(0, |data| data.len());
        sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(read, 8 << 20, "negative control: slow is not stalled");
    world.stop().await;
}

/// C8, CVE-2023-44487: opening and cancelling as fast as it goes gets a connection closed, and hurts nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn c8_rapid_resets_hurt_their_own_connection() {
    let echo = Echo::start().await;
    let (_dir, files) = files(LOCALHOST);
    let world = World::start(with_tls(settings(usual_routes(echo.address)), &files)).await;
    let (mut good, _task) = h2(world.address).await;
    let mut closed = 0;
    for _ in 0..4 {
        let (mut attacker, _task) = h2(world.address).await;
        for _ in 0..2000 {
            if attacker.ready().await.is_err() {
                closed += 1;
                break;
            }
            let request = attacker.send_request(bodyless(h2_request("/open/x")));
            let _ = timeout(Duration::from_micros(1), request).await;
        }
        assert_eq!(
            ask(&mut good, bodyless(h2_request("/open/x"))).await.0.status,
            StatusCode::OK,
            "a good client is served"
        );
    }
    // Whether the library closes a connection depends on how far its tasks get between two requests; that it may is its own affair.
    let _ = closed;
    until("nothing is left of them", || world.gateway.metrics().requests_open.value() == 0).await;
    world.stop().await;
}

/// An upstream that speaks HTTP/2, with TLS if it has a certificate.
async fn h2_upstream(of: Option<(&'static str, &'static str)>) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let acceptor = of.map(|(cert, key)| {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(cert.as_bytes()).expect("PEM")],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM"),
            )
            .expect("a pair");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    });
    let task = tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                match acceptor {
                    None => speak(socket, true).await,
                    Some(acceptor) => {
                        if let Ok(stream) = acceptor.accept(socket).await {
                            let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                            speak(stream, is_h2).await;
                        }
                    }
                }
            });
        }
    });
    (address, task)
}

async fn speak<IO: AsyncRead + AsyncWrite + Unpin + Send + 'static>(io: IO, is_h2: bool) {
    let service = service_fn(|request: Request<Incoming>| async move {
        let (head, body) = request.into_parts();
        let length = body.collect().await.map_or(0, |body| body.to_bytes().len());
        let subject =
            head.headers.get("sessile-subject").and_then(|value| value.to_str().ok()).unwrap_or("nobody").to_owned();
        let host = head.headers.get("host").cloned();
        let text = format!(
            "{:?} {} {length} {subject} {host:?} {:?}",
            head.version,
            head.uri.path(),
            head.headers.get("connection")
        );
        Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from(text))))
    });
    if is_h2 {
        let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(io), service)
            .await;
    } else {
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(io), service).await;
    }
}

fn to(url: String, http2: bool, ca: Option<&Path>) -> GatewaySettings {
    let mut target = TargetSettings::upstream(url);
    if let TargetSettings::Upstream(upstream) = &mut target {
        upstream.http2 = http2;
    }
    let mut settings = settings(vec![RouteSettings::new("/", target, Access::Optional)]);
    settings.upstream_ca = ca.map(Path::to_owned);
    settings
}

/// Upstreams over https and HTTP/2: by ALPN, and with prior knowledge; the certificate is checked.
#[tokio::test(flavor = "multi_thread")]
async fn upstreams_speak_http2_and_tls() {
    let dir = tempfile::tempdir().expect("a folder");
    let ca = dir.path().join("ca.pem");
    fs::write(&ca, LOCALHOST.0).expect("written");
    let (secure, _task) = h2_upstream(Some(LOCALHOST)).await;
    let (plain, _task2) = h2_upstream(None).await;
    for (url, http2, begins) in [
        (format!("https://localhost:{}", secure.port()), false, "HTTP/1.1 /x 5 ada"),
        (format!("https://localhost:{}", secure.port()), true, "HTTP/2.0 /x 5 ada"),
        (format!("http://127.0.0.1:{}", plain.port()), true, "HTTP/2.0 /x 5 ada"),
    ] {
        let world = World::start(to(url.clone(), http2, Some(&ca))).await;
        let cookie = world.sign_in("ada").await.cookie();
        for _ in 0..3 {
            let fields = [("Cookie", cookie.as_str()), ("Sec-Fetch-Site", "same-origin"), ("Connection", "x-y")];
            let answer = world.request("POST", "/x", &fields, b"hello").await;
            assert_eq!(answer.status, 200, "{url} {http2}: {}", answer.text());
            assert!(answer.text().starts_with(begins), "{}", answer.text());
            assert!(answer.text().ends_with("None"), "no connection field: {}", answer.text());
        }
        world.stop().await;
    }

    fs::write(&ca, OTHER.0).expect("written");
    let world = World::start(to(format!("https://localhost:{}", secure.port()), true, Some(&ca))).await;
    let answer = world.get("/x", &[]).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (502, "upstream_unreachable"),
        "an upstream we cannot check is none"
    );
    world.stop().await;
    let world = World::start(to(format!("https://127.0.0.2:{}", secure.port()), true, Some(&ca))).await;
    assert_eq!(world.get("/x", &[]).await.status, 502, "nor is one under another name");
    world.stop().await;
}

/// C9: an upstream that speaks nonsense instead of HTTP/2 costs a 502.
#[tokio::test(flavor = "multi_thread")]
async fn c9_a_hostile_http2_upstream_is_502() {
    let (address, _task) = crate::gateway_world::upstream(|_, mut io| async move {
        io.send(&[0xff; 100]).await;
        io.closes(Duration::from_secs(2)).await;
    })
    .await;
    let world = World::start(to(format!("http://{address}"), true, None)).await;
    assert_eq!(world.get("/x", &[]).await.status, 502);
    let unsettled: Request<Empty<Bytes>> = Request::new(Empty::new());
    drop(unsettled);
    assert_eq!(world.get("/auth/session", &[]).await.status, 401, "negative control: the process lives");
    world.stop().await;
}

/// Without an authority an https upstream cannot be checked: the start fails, it does not go unchecked (A17).
#[tokio::test(flavor = "multi_thread")]
async fn a17_missing_authorities_stop_the_start() {
    let echo = Echo::start().await;
    let world = World::usual(echo.address).await;
    let settings = to("https://localhost:1".to_owned(), true, Some(Path::new("/nonexistent/ca.pem")));
    let failed = Gateway::new(settings, world.engine.clone());
    assert!(
        matches!(&failed, Err(GatewayError::Tls(error)) if error.to_string().contains("/nonexistent/ca.pem")),
        "{failed:?}"
    );
    world.stop().await;
}

/// A public URL behind a proxy that ends TLS: plain requests that the proxy says came plainly are sent to https, or refused (P32).
#[tokio::test(flavor = "multi_thread")]
async fn p32_plain_requests_are_sent_to_https() {
    let echo = Echo::start().await;
    let mut settings = settings(usual_routes(echo.address));
    settings.trusted_proxies = vec!["127.0.0.1/32".parse().expect("a network")];
    let world = World::with(settings, |config| {
        config.public_origin = sessile_core::origin::Origin::parse("https://app.test").expect("an origin");
    })
    .await;
    let host = ("Host", "app.test");
    let page = [host, ("X-Forwarded-Proto", "http"), ("Accept", "text/html"), ("Sec-Fetch-Mode", "navigate")];
    let answer = world.get("/open/x?y=1", &page).await;
    assert_eq!((answer.status, answer.field("location")), (308, Some("https://app.test/open/x?y=1")));
    let answer = world.request("POST", "/open/x", &[host, ("X-Forwarded-Proto", "http")], b"x").await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "https_required"));
    assert_eq!(echo.count(), 0);
    let answer = world.get("/open/x", &[host, ("X-Forwarded-Proto", "https")]).await;
    assert_eq!(answer.status, 200, "negative control");
    assert!(answer.field("strict-transport-security").is_some(), "R-086: over https");
    assert_eq!(echo.last().field("x-forwarded-proto"), Some("https"));
    world.stop().await;
}
