//! WebSockets and event streams: who may open them, and that they end with their session (P24, H9, R-033, R-084, R-118; attack C4).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sessile::{Access, Actor};
use sessile_core::revocation::{Reason, Scope};
use sessile_server::gateway::GatewaySettings;
use tokio::io::AsyncReadExt;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::gateway_world::{Client, World, read_request, read_request_head, request, route, settings, until, upstream};

/// What the WebSocket upstream has seen.
#[derive(Clone, Default)]
struct Server {
    handshakes: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
    early: Arc<AtomicUsize>,
}

/// An upstream that takes WebSockets on `/ws` (echoing raw bytes), waits before its 101 on `/late`, refuses on `/no`, sends events on
/// `/events`, a long download on `/long`.
async fn server() -> (std::net::SocketAddr, Server, JoinHandle<()>) {
    let server = Server::default();
    let of = server.clone();
    let (address, task) = upstream(move |connection, mut io| {
        let server = of.clone();
        async move {
            while let Some(seen) = read_request_head(&mut io, connection).await {
                server.requests.fetch_add(1, Ordering::SeqCst);
                let path = seen.target().rsplit('/').next().unwrap_or_default().to_owned();
                match path.as_str() {
                    "ws" | "late" if seen.field("upgrade") == Some("websocket") && seen.field("connection") == Some("upgrade") => {
                        server.handshakes.fetch_add(1, Ordering::SeqCst);
                        if path == "late" {
                            sleep(Duration::from_millis(300)).await;
                            let mut piece = [0; 64];
                            let early = tokio::time::timeout(Duration::from_millis(1), io.io.read(&mut piece)).await;
                            let early = early.map_or(0, |read| read.unwrap_or(0)) + io.held().len();
                            server.early.fetch_add(early, Ordering::SeqCst);
                        }
                        io.send(
                            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSet-Cookie: a=b\r\n\r\n",
                        )
                        .await;
                        let mut piece = [0; 1024];
                        while let Ok(read) = io.io.read(&mut piece).await {
                            if read == 0 {
                                break;
                            }
                            io.send(&piece[..read]).await;
                        }
                        server.closed.fetch_add(1, Ordering::SeqCst);
                        return;
                    }
                    "bad" => {
                        io.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n").await;
                        return;
                    }
                    "events" => {
                        io.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n").await;
                        io.send(b"f\r\ndata: {\"n\":1}\n\n\r\n").await;
                        io.closes(Duration::from_secs(60)).await;
                        server.closed.fetch_add(1, Ordering::SeqCst);
                        return;
                    }
                    "long" => {
                        io.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n").await;
                        io.closes(Duration::from_secs(60)).await;
                        server.closed.fetch_add(1, Ordering::SeqCst);
                        return;
                    }
                    "silent" => {
                        io.closes(Duration::from_secs(60)).await;
                        return;
                    }
                    _ => io.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await,
                }
            }
        }
    })
    .await;
    (address, server, task)
}

fn routes(address: std::net::SocketAddr) -> GatewaySettings {
    let mut closed = route("/closed", address, Access::Session);
    closed.upgrade = Some(false);
    let mut open = route("/open", address, Access::Public);
    open.upgrade = Some(true);
    settings(vec![
        route("/private", address, Access::Session),
        route("/maybe", address, Access::Optional),
        closed,
        open,
    ])
}

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

fn handshake<'a>(cookie: &'a str, origin: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut fields = vec![
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", KEY),
    ];
    if !cookie.is_empty() {
        fields.push(("Cookie", cookie));
    }
    if !origin.is_empty() {
        fields.push(("Origin", origin));
    }
    fields
}

async fn open(world: &World, path: &str, cookie: &str) -> Client {
    let mut client = Client::connect(world.address).await;
    client.send(&request("GET", path, &handshake(cookie, "http://localhost"), b"")).await;
    let answer = client.answer(false).await;
    assert_eq!(answer.status, 101, "{path}: {}", answer.text());
    client
}

async fn echoes(client: &mut Client, word: &[u8]) -> bool {
    client.send(word).await;
    let mut back = vec![0; word.len()];
    let read = tokio::time::timeout(Duration::from_secs(5), client.io.read_exact(&mut back)).await;
    matches!(read, Ok(Ok(_))) && back == word
}

/// P24, R-118: a WebSocket needs a route that takes them, a whole handshake, a session where the route needs one, and our own Origin.
#[tokio::test(flavor = "multi_thread")]
async fn p24_handshakes_are_checked_before_they_are_forwarded() {
    let (address, server, _task) = server().await;
    let world = World::start(routes(address)).await;
    let browser = world.sign_in("ada").await;
    let cookie = browser.cookie();
    let mut tunnel = open(&world, "/private/ws", &cookie).await;
    assert!(echoes(&mut tunnel, b"hello").await, "negative control: a good one is carried");
    assert!(echoes(&mut open(&world, "/open/ws", "").await, b"hello").await, "on a public route, if it says so");
    let before = server.requests.load(Ordering::SeqCst);
    let try_with = async |path: &str, fields: &[(&str, &str)]| world.request("GET", path, fields, b"").await.status;
    assert_eq!(try_with("/private/ws", &handshake("", "http://localhost")).await, 401, "no session");
    for origin in
        ["https://evil.example", "null", "http://localhost.evil.example", "https://localhost", "http://localhost:81"]
    {
        assert_eq!(try_with("/private/ws", &handshake(&cookie, origin)).await, 403, "R-084: {origin}");
    }
    assert_eq!(try_with("/private/ws", &handshake(&cookie, "")).await, 403, "R-084: no Origin");
    assert_eq!(try_with("/closed/ws", &handshake(&cookie, "http://localhost")).await, 400, "a route that takes none");
    assert_eq!(
        try_with("/maybe/ws", &handshake(&cookie, "http://localhost")).await,
        400,
        "an optional route, by default"
    );
    for (name, value) in [("Sec-WebSocket-Key", "short"), ("Sec-WebSocket-Version", "12"), ("Connection", "close")] {
        let mut fields = handshake(&cookie, "http://localhost");
        fields.retain(|(each, _)| *each != name);
        fields.push((name, value));
        assert_eq!(try_with("/private/ws", &fields).await, 400, "{name}: {value}");
    }
    assert_eq!(server.requests.load(Ordering::SeqCst), before, "none of them reached the application");
    world.stop().await;
}

/// P27, R-120: a 101 carries no cookie; and one that nobody asked for, or to something else, is 502.
#[tokio::test(flavor = "multi_thread")]
async fn p27_a_101_carries_no_cookies() {
    let (address, _, _task) = server().await;
    let world = World::start(routes(address)).await;
    let cookie = world.sign_in("ada").await.cookie();
    let mut client = Client::connect(world.address).await;
    client.send(&request("GET", "/private/ws", &handshake(&cookie, "http://localhost"), b"")).await;
    let answer = client.answer(false).await;
    assert_eq!(answer.status, 101);
    assert_eq!(answer.all("set-cookie"), Vec::<&str>::new());
    assert_eq!(answer.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    let answer = world.request("GET", "/private/bad", &handshake(&cookie, "http://localhost"), b"").await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_invalid"));
    let answer = world.request("GET", "/private/x", &handshake(&cookie, "http://localhost"), b"").await;
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (200, "ok"),
        "an application that does not want to switch answers as usual"
    );
    world.stop().await;
}

/// C4, RUSTSEC-2026-0033: what stands behind a handshake is neither forwarded before the upstream's 101, nor taken for a request if
/// the upstream does not switch.
#[tokio::test(flavor = "multi_thread")]
async fn c4_nothing_passes_before_the_101() {
    let (address, server, _task) = server().await;
    let world = World::start(routes(address)).await;
    let cookie = world.sign_in("ada").await.cookie();
    let smuggled = request("GET", "/private/smuggled", &[], b"");

    let mut client = Client::connect(world.address).await;
    let mut bytes = request("GET", "/private/late", &handshake(&cookie, "http://localhost"), b"");
    bytes.extend(&smuggled);
    client.send(&bytes).await;
    let answer = client.answer(false).await;
    assert_eq!(answer.status, 101);
    let back = client.take(smuggled.len()).await;
    assert_eq!(back, smuggled, "negative control: after the 101 the bytes are the tunnel's");
    assert_eq!(server.early.load(Ordering::SeqCst), 0, "before it the upstream had not one of them");
    assert_eq!(server.requests.load(Ordering::SeqCst), 1);

    let mut client = Client::connect(world.address).await;
    let mut bytes = request("GET", "/private/plain", &handshake(&cookie, "http://localhost"), b"");
    bytes.extend(&smuggled);
    client.send(&bytes).await;
    assert_eq!(client.answer(false).await.status, 200);
    let second = client.try_answer(false).await;
    assert!(
        second.as_ref().map_or(true, |answer| answer.status == 401),
        "a request of its own, without the cookie: {second:?}"
    );
    assert_eq!(server.requests.load(Ordering::SeqCst), 2, "the upstream never saw it");
    world.stop().await;
}

/// H9: `h2c` is not forwarded, with all that belongs to it.
#[tokio::test(flavor = "multi_thread")]
async fn h9_h2c_is_not_forwarded() {
    let echo = crate::gateway_world::Echo::start().await;
    let world = World::usual(echo.address).await;
    let fields =
        [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")];
    assert_eq!(world.get("/open/x", &fields).await.status, 200, "ignored, as the RFC allows");
    let seen = echo.last();
    for name in ["connection", "upgrade", "http2-settings"] {
        assert_eq!(seen.field(name), None, "{name}");
    }
    world.stop().await;
}

/// H9, R-033: when a session ends, by whatever way, its WebSockets and event streams end within T on both sides; those of other
/// sessions go on.
#[tokio::test(flavor = "multi_thread")]
async fn h9_streams_end_with_their_session() {
    let (address, server, _task) = server().await;
    let world = World::start(routes(address)).await;
    let staleness = world.engine.limits().staleness;
    let other = world.sign_in("grace").await;
    let mut others = open(&world, "/private/ws", &other.cookie()).await;
    for way in ["sign-out", "revoked", "reuse", "all of the subject"] {
        let browser = world.sign_in("ada").await;
        let cookie = browser.cookie();
        let closed_before = server.closed.load(Ordering::SeqCst);
        let mut tunnel = open(&world, "/private/ws", &cookie).await;
        assert!(echoes(&mut tunnel, b"hello").await);
        let mut events = Client::connect(world.address).await;
        events.send(&request("GET", "/private/events", &[("Cookie", &cookie)], b"")).await;
        assert_eq!(events.head().await.expect("a head").status, 200);
        assert_eq!(events.chunk().await.expect("an event"), Some(b"data: {\"n\":1}\n\n".to_vec()));
        let mut long = Client::connect(world.address).await;
        long.send(&request("GET", "/private/long", &[("Cookie", &cookie)], b"")).await;
        long.head().await.expect("a head");
        assert!(long.chunk().await.is_ok());
        until("the download has become a stream", || world.engine.streams().count() >= 4).await;

        let begun = Instant::now();
        match way {
            "sign-out" => {
                let answer = world
                    .request("POST", "/auth/sign-out", &[("Cookie", &cookie), ("Sec-Fetch-Site", "same-origin")], b"")
                    .await;
                assert!(answer.status < 400, "{}", answer.status);
            }
            "revoked" => drop(
                world
                    .engine
                    .revoke(&Scope::Session(browser.session), Reason::EndedByAdministrator, &Actor::Administrator)
                    .await,
            ),
            "reuse" => drop(world.engine.revoke(&Scope::Session(browser.session), Reason::Reuse, &Actor::Rules).await),
            _ => drop(
                world
                    .engine
                    .revoke(
                        &Scope::Subject("ada".parse().expect("a subject")),
                        Reason::EndedByUser,
                        &Actor::Administrator,
                    )
                    .await,
            ),
        }
        assert!(tunnel.closes(staleness).await, "{way}: the WebSocket");
        assert!(
            events.chunk().await.is_err(),
            "{way}: the event stream breaks off, it does not end as if that were all"
        );
        assert!(long.chunk().await.is_err(), "{way}: the download that had become a stream");
        assert!(begun.elapsed() < staleness, "{way}: {:?}", begun.elapsed());
        until("the upstream's sides are closed", || server.closed.load(Ordering::SeqCst) >= closed_before + 3).await;
    }
    assert!(echoes(&mut others, b"still here").await, "negative control: another session's WebSocket goes on");
    assert_eq!(world.engine.streams().count(), 1);
    world.stop().await;
}

/// H9: an absolute end ends streams too, on time.
#[tokio::test(flavor = "multi_thread")]
async fn h9_streams_end_at_the_absolute_end() {
    let (address, _, _task) = server().await;
    let world = World::with(routes(address), |config| {
        config.limits.absolute = Duration::from_secs(2);
        config.limits.idle = Duration::from_secs(2);
        config.limits.staleness = Duration::from_secs(1);
    })
    .await;
    let browser = world.sign_in("ada").await;
    let begun = Instant::now();
    let mut tunnel = open(&world, "/private/ws", &browser.cookie()).await;
    assert!(tunnel.closes(Duration::from_secs(6)).await);
    let lasted = begun.elapsed();
    assert!(lasted > Duration::from_millis(1500) && lasted < Duration::from_secs(4), "{lasted:?}");
    world.stop().await;
}

/// H10, P25: a tunnel in which nothing moves is closed; one that is used is not. Its own connection's deadlines do not touch it.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_tunnel_is_closed() {
    let (address, _, _task) = server().await;
    let mut settings = routes(address);
    settings.limits.head = Duration::from_millis(100);
    settings.limits.keep_alive = Duration::from_millis(100);
    settings.limits.stream_idle = Duration::from_millis(700);
    let world = World::start(settings).await;
    let cookie = world.sign_in("ada").await.cookie();
    let mut used = open(&world, "/private/ws", &cookie).await;
    let mut silent = open(&world, "/private/ws", &cookie).await;
    assert_eq!(world.gateway.metrics().tunnels_open.value(), 2);
    for _ in 0..6 {
        sleep(Duration::from_millis(200)).await;
        assert!(echoes(&mut used, b"ping").await, "negative control: used, so kept");
    }
    assert!(silent.closes(Duration::from_millis(500)).await);
    assert!(used.closes(Duration::from_secs(3)).await);
    until("no tunnel is counted any more", || world.gateway.metrics().tunnels_open.value() == 0).await;
    world.stop().await;
}

/// Nobody is left behind: a client that leaves closes the upstream's side, and an upstream that leaves closes the client's.
#[tokio::test(flavor = "multi_thread")]
async fn either_side_closes_both() {
    let (address, server, _task) = server().await;
    let world = World::start(routes(address)).await;
    let cookie = world.sign_in("ada").await.cookie();
    let tunnel = open(&world, "/private/ws", &cookie).await;
    drop(tunnel);
    until("the upstream sees the end", || server.closed.load(Ordering::SeqCst) == 1).await;
    until("the stream is forgotten", || world.engine.streams().count() == 0).await;
    world.stop().await;

    let (address, _task) = upstream(|connection, mut io| async move {
        read_request(&mut io, connection).await;
        io.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nbye").await;
    })
    .await;
    let world = World::start(routes(address)).await;
    let cookie = world.sign_in("ada").await.cookie();
    let mut tunnel = open(&world, "/private/ws", &cookie).await;
    assert_eq!(tunnel.rest().await, b"bye", "what was sent before the end arrives");
    world.stop().await;
}

/// Signing out everywhere from one browser closes the other's WebSocket.
#[tokio::test(flavor = "multi_thread")]
async fn signing_out_everywhere_closes_all_of_a_users_streams() {
    let (address, _, _task) = server().await;
    let world = World::start(routes(address)).await;
    let (one, two) = (world.sign_in("ada").await, world.sign_in("ada").await);
    let mut tunnel = open(&world, "/private/ws", &two.cookie()).await;
    let answer = world
        .request(
            "POST",
            "/auth/sign-out",
            &[("Cookie", &one.cookie()), ("Sec-Fetch-Site", "same-origin"), ("Content-Type", "application/json")],
            br#"{"scope":"everywhere"}"#,
        )
        .await;
    assert!(answer.status < 400, "{} {}", answer.status, answer.text());
    assert!(tunnel.closes(Duration::from_secs(5)).await);
    world.stop().await;
}

/// H10, C11: a tunnel is a connection, and counts as one under both limits until it is closed.
#[tokio::test(flavor = "multi_thread")]
async fn h10_tunnels_count_as_connections() {
    let (address, _, _task) = server().await;
    let mut settings = routes(address);
    settings.limits.connections_per_network = 2;
    let world = World::start(settings.clone()).await;
    let connections = || world.gateway.metrics().connections_open.value();
    let mut tunnels = vec![open(&world, "/open/ws", "").await, open(&world, "/open/ws", "").await];
    // Long enough for the HTTP on them to be over.
    sleep(Duration::from_millis(200)).await;
    assert_eq!((connections(), world.gateway.metrics().tunnels_open.value()), (2, 2));
    let mut third = Client::connect(world.address).await;
    assert!(third.closes(Duration::from_secs(5)).await, "the network has as many as it may");
    assert!(echoes(&mut tunnels[0], b"still here").await);
    drop(tunnels.pop());
    until("a place is free", || connections() < 2).await;
    assert!(echoes(&mut open(&world, "/open/ws", "").await, b"room").await, "negative control: one left, one may come");
    drop(tunnels);
    until("every place is free", || connections() == 0).await;
    world.stop().await;

    settings.limits.connections_per_network = 512;
    settings.limits.connections = 1;
    let world = World::start(settings).await;
    let tunnel = open(&world, "/open/ws", "").await;
    let mut second = Client::connect(world.address).await;
    second.send(&request("GET", "/open/ws", &handshake("", "http://localhost"), b"")).await;
    assert!(!second.closes(Duration::from_millis(300)).await && second.held().is_empty(), "waits");
    drop(tunnel);
    assert_eq!(second.answer(false).await.status, 101, "until there is room");
    world.stop().await;
}
