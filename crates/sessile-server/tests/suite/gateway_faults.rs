//! Upstreams that fail and clients that dawdle: fault rows H1 to H16, attacks C3, C6, C11, C12.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sessile::Access;
use sessile_server::gateway::GatewaySettings;
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::gateway_world::{
    Answer, Client, Echo, World, read_request, read_request_head, request, route, settings, upstream, usual_routes,
};

/// One public route, with limits short enough to wait for.
fn impatient(upstream: std::net::SocketAddr) -> GatewaySettings {
    let mut settings = settings(vec![route("/", upstream, Access::Public)]);
    let limits = &mut settings.limits;
    limits.head = Duration::from_millis(400);
    limits.keep_alive = Duration::from_secs(2);
    limits.request_body_idle = Duration::from_millis(400);
    limits.request_body_rate = 1;
    limits.send_stall = Duration::from_millis(400);
    limits.upstream_connect = Duration::from_millis(400);
    limits.upstream_head = Duration::from_millis(400);
    limits.upstream_body_idle = Duration::from_millis(400);
    settings
}

fn assert_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code));
    assert_eq!(answer.field("content-type"), Some("application/problem+json"));
    assert_eq!(answer.field("cache-control"), Some("no-store"));
    let id = answer.field("x-request-id").expect("a request id");
    assert!(answer.text().contains(id), "the id is in the document as well");
}

/// H1: nobody there is 502, and the client is not told where we looked.
#[tokio::test(flavor = "multi_thread")]
async fn h1_an_absent_upstream_is_502_without_its_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let world = World::start(impatient(address)).await;
    let answer = world.get("/x", &[]).await;
    assert_problem(&answer, 502, "upstream_unreachable");
    let told = format!("{:?}{}", answer.fields, answer.text());
    assert!(!told.contains(&address.port().to_string()), "{told}");
    let page = world.get("/x", &[("Accept", "text/html")]).await;
    assert_eq!(page.status, 502);
    assert!(page.text().contains("<!doctype html>") && !page.text().contains(&address.port().to_string()));
    for field in ["content-security-policy", "x-frame-options", "x-content-type-options", "referrer-policy"] {
        assert!(page.field(field).is_some(), "P33: {field}");
    }
    world.stop().await;
}

/// H2: no response head in time is 504; but an upload that moves keeps the clock from running.
#[tokio::test(flavor = "multi_thread")]
async fn h2_a_silent_upstream_is_504() {
    let (address, _task) = upstream(|connection, mut io| async move {
        let Some(seen) = read_request(&mut io, connection).await else { return };
        if seen.target() == "/slow" {
            sleep(Duration::from_secs(30)).await;
        }
        io.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    })
    .await;
    let world = World::start(impatient(address)).await;
    let begun = Instant::now();
    assert_problem(&world.get("/slow", &[]).await, 504, "upstream_timeout");
    assert!(
        begun.elapsed() >= Duration::from_millis(390) && begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    let mut client = Client::connect(world.address).await;
    client.send(&request("POST", "/upload", &[("Content-Length", "9")], b"")).await;
    for _ in 0..9 {
        sleep(Duration::from_millis(100)).await;
        client.send(b"x").await;
    }
    assert_eq!(client.answer(false).await.status, 200, "negative control: nine tenths of a second, and no timeout");
    world.stop().await;
}

/// H2: a body that stops in the middle is broken off downstream: the client can tell that it is not whole.
#[tokio::test(flavor = "multi_thread")]
async fn h2_a_body_that_stalls_is_broken_off() {
    let (address, _task) = upstream(|connection, mut io| async move {
        let Some(seen) = read_request(&mut io, connection).await else { return };
        match seen.target() {
            "/length" => io.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").await,
            "/chunks" => io.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await,
            "/cut" => {
                io.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
                return;
            }
            _ => {
                io.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
                sleep(Duration::from_millis(200)).await;
                io.send(b"5\r\nworld\r\n0\r\n\r\n").await;
            }
        }
        sleep(Duration::from_secs(30)).await;
    })
    .await;
    let world = World::start(impatient(address)).await;
    for path in ["/length", "/chunks", "/cut"] {
        let mut client = Client::connect(world.address).await;
        client.send(&request("GET", path, &[], b"")).await;
        let answer = client.try_answer(false).await;
        assert!(answer.is_err(), "{path}: a whole answer came out of half of one: {answer:?}");
    }
    assert_eq!(world.get("/fine", &[]).await.text(), "helloworld", "negative control: slow is not stalled");
    world.stop().await;
}

/// H3: the upstream closes an idle connection at the moment we use it again. A GET is sent once more, a POST is not.
#[tokio::test(flavor = "multi_thread")]
async fn h3_a_lost_keep_alive_connection_is_replaced_for_gets_alone() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    // Answers one request per connection, then closes when the second one has come.
    let (address, _task) = upstream(move |connection, mut io| {
        let asked = count.clone();
        async move {
            if read_request(&mut io, connection).await.is_none() {
                return;
            }
            asked.fetch_add(1, Ordering::SeqCst);
            io.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            read_request(&mut io, connection).await;
            asked.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await;
    let world = World::start(settings(vec![route("/", address, Access::Public)])).await;
    for method in ["GET", "GET", "DELETE", "HEAD", "OPTIONS"] {
        assert_eq!(world.request(method, "/x", &[], b"").await.status, 200, "{method}");
    }
    let before = asked.load(Ordering::SeqCst);
    assert_eq!(before, 9, "each but the first on a connection that broke, then on a new one");
    for (method, body) in [("POST", b"hello".as_slice()), ("POST", b""), ("PUT", b"hello"), ("PATCH", b"")] {
        let before = asked.load(Ordering::SeqCst);
        let answer = world.request(method, "/x", &[], body).await;
        assert_problem(&answer, 502, "upstream_invalid");
        assert_eq!(asked.load(Ordering::SeqCst), before + 1, "{method} of {} bytes was sent once", body.len());
        assert_eq!(world.request(method, "/x", &[], body).await.status, 200, "negative control: on a new connection");
    }
    world.stop().await;
}

/// H3: an upstream that never answers anything is asked twice, not for ever.
#[tokio::test(flavor = "multi_thread")]
async fn h3_a_retry_happens_once() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let (address, _task) = upstream(move |connection, mut io| {
        let asked = count.clone();
        async move {
            read_request(&mut io, connection).await;
            asked.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await;
    let world = World::start(settings(vec![route("/", address, Access::Public)])).await;
    assert_problem(&world.get("/x", &[]).await, 502, "upstream_invalid");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    world.stop().await;
}

/// H4, C3: an answer that comes before the upload has ended is passed on, and what is left of the upload is never taken for a request.
#[tokio::test(flavor = "multi_thread")]
async fn h4_an_early_answer_leaves_no_request_in_the_body() {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    let (address, _task) = upstream(move |connection, mut io| {
        let seen = count.clone();
        async move {
            while let Some(request) = read_request_head(&mut io, connection).await {
                seen.fetch_add(1, Ordering::SeqCst);
                if request.target() == "/early" {
                    io.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
                        .await;
                    return;
                }
                io.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            }
        }
    })
    .await;
    let world = World::start(impatient(address)).await;
    let mut client = Client::connect(world.address).await;
    client.send(&request("POST", "/early", &[("Content-Length", "1000000")], b"")).await;
    let smuggled = request("GET", "/smuggled", &[], b"");
    client.send(&smuggled).await;
    let answer = client.answer(false).await;
    assert_eq!((answer.status, answer.text().as_str()), (413, "big"));
    client.send(&smuggled).await;
    assert!(client.closes(Duration::from_secs(5)).await);
    assert!(!String::from_utf8_lossy(client.held()).contains("ok"), "nothing in the body was answered");
    assert_eq!(seen.load(Ordering::SeqCst), 1);
    world.stop().await;
    // A 401 is such an early answer of our own.
    let echo = Echo::start().await;
    let world = World::usual(echo.address).await;
    let mut client = Client::connect(world.address).await;
    client
        .send(&request(
            "POST",
            "/private/x",
            &[("Content-Length", "1000000")],
            b"GET /open/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n",
        ))
        .await;
    assert_eq!(client.answer(false).await.status, 401);
    client.send(&request("GET", "/open/smuggled", &[], b"")).await;
    assert!(client.closes(Duration::from_secs(5)).await);
    assert_eq!(echo.count(), 0);
    assert_eq!(world.get("/open/x", &[]).await.status, 200, "negative control: the next connection is served");
    world.stop().await;
}

/// H5: large bodies stream both ways; the process does not grow with them, and a slow reader slows the upstream down.
#[tokio::test(flavor = "multi_thread")]
async fn h5_large_bodies_take_no_memory() {
    const MEGABYTES: usize = 256;
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let (address, _task) = upstream(move |connection, mut io| {
        let sent = count.clone();
        async move {
            let Some(head) = read_request_head(&mut io, connection).await else { return };
            if head.target() == "/up" {
                let mut left = MEGABYTES << 20;
                let mut piece = vec![0; 64 * 1024];
                left -= io.held().len();
                while left > 0 {
                    match tokio::io::AsyncReadExt::read(&mut io.io, &mut piece).await {
                        Ok(0) | Err(_) => return,
                        Ok(read) => left -= read,
                    }
                }
                io.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nall").await;
                return;
            }
            io.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", MEGABYTES << 20).as_bytes()).await;
            let piece = vec![7; 64 * 1024];
            for _ in 0..MEGABYTES << 4 {
                if tokio::io::AsyncWriteExt::write_all(&mut io.io, &piece).await.is_err() {
                    return;
                }
                sent.fetch_add(piece.len(), Ordering::SeqCst);
            }
        }
    })
    .await;
    let mut settings = settings(vec![route("/", address, Access::Public)]);
    settings.limits.send_stall = Duration::from_secs(60);
    let world = World::start(settings).await;
    world.get("/warm", &[]).await;
    sent.store(0, Ordering::SeqCst);
    let before = resident();

    // Down, by a reader who stops for a while.
    let mut client = Client::connect(world.address).await;
    client.send(&request("GET", "/down", &[], b"")).await;
    client.head().await.expect("a head");
    sleep(Duration::from_millis(700)).await;
    let held_back = sent.load(Ordering::SeqCst);
    assert!(held_back < 32 << 20, "back-pressure: {held_back} bytes were taken from the upstream although nobody read");
    let mut read = client.held().len();
    let mut piece = vec![0; 64 * 1024];
    let mut largest = 0;
    while read < MEGABYTES << 20 {
        let got = tokio::io::AsyncReadExt::read(&mut client.io, &mut piece).await.expect("bytes");
        assert!(got > 0, "ended after {read}");
        read += got;
        largest = largest.max(resident());
    }
    // Up.
    let mut client = Client::connect(world.address).await;
    client.send(&request("POST", "/up", &[("Content-Length", &(MEGABYTES << 20).to_string())], b"")).await;
    for _ in 0..MEGABYTES << 4 {
        client.send(&piece).await;
        largest = largest.max(resident());
    }
    assert_eq!(client.answer(false).await.text(), "all");
    let grown = largest.saturating_sub(before);
    assert!(grown < 64 << 20, "grew by {grown} bytes over 2 x {MEGABYTES} MB");
    world.stop().await;
}

/// Resident set of this process, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0);
    pages * 4096
}

/// H7, P27: `100 Continue` comes after the decision, and never to somebody who is refused.
#[tokio::test(flavor = "multi_thread")]
async fn h7_continue_is_said_after_the_decision() {
    let echo = Echo::start().await;
    let world = World::usual(echo.address).await;
    let expect = [("Expect", "100-continue"), ("Content-Length", "5")];
    let mut client = Client::connect(world.address).await;
    client.send(&request("POST", "/private/x", &expect, b"")).await;
    let answer = client.answer(false).await;
    assert_eq!((answer.status, answer.informational.len()), (401, 0), "refused without being asked for the body");
    assert!(client.closes(Duration::from_secs(5)).await, "the body that was not asked for cannot follow");

    let browser = world.sign_in("ada").await;
    let cookie = browser.cookie();
    let mut client = Client::connect(world.address).await;
    let fields = [
        ("Expect", "100-continue"),
        ("Content-Length", "5"),
        ("Cookie", cookie.as_str()),
        ("Sec-Fetch-Site", "same-origin"),
    ];
    client.send(&request("POST", "/private/x", &fields, b"")).await;
    let interim = client.head().await.expect("a head");
    assert_eq!((interim.status, interim.fields.len()), (100, 0), "negative control, and it carries nothing");
    client.send(b"hello").await;
    let answer = client.answer(false).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "POST /private/x HTTP/1.1 5"));
    assert_eq!(echo.last().field("expect"), None);
    world.stop().await;
}

/// C6: an upstream that answers such a request without reading its body does not spoil the connection for the next client.
#[tokio::test(flavor = "multi_thread")]
async fn c6_an_answer_without_reading_spoils_nothing() {
    let (address, _task) = upstream(|connection, mut io| async move {
        while let Some(head) = read_request_head(&mut io, connection).await {
            let status = if head.target() == "/refused" { "417 Expectation Failed" } else { "200 OK" };
            let body = head.line.clone();
            io.send(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).await;
        }
    })
    .await;
    let world = World::start(impatient(address)).await;
    for _ in 0..5 {
        let mut client = Client::connect(world.address).await;
        client
            .send(&request(
                "POST",
                "/refused",
                &[("Content-Length", "60000")],
                b"GET /inside HTTP/1.1\r\nHost: localhost\r\n\r\n",
            ))
            .await;
        assert_eq!(client.answer(false).await.status, 417);
        drop(client);
        let answer = world.get("/next", &[]).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "GET /next HTTP/1.1"));
    }
    world.stop().await;
}

/// H8, P26, P27, R-120: an answer that two readers could take differently is 502; informational ones are not passed on.
#[tokio::test(flavor = "multi_thread")]
async fn h8_hostile_answers_are_502() {
    let (address, _task) = upstream(|connection, mut io| async move {
        let Some(seen) = read_request(&mut io, connection).await else { return };
        let answer: &[u8] = match seen.target() {
            "/two-lengths" => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
            "/same-lengths" => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab",
            "/list-length" => b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nab",
            "/length-and-chunks" => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
            "/coding" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nab",
            "/chunks-of-1.0" => b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
            "/switch" => b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
            "/no-http" => b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
            "/nul" => b"HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 0\r\n\r\n",
            "/fold" => b"HTTP/1.1 200 OK\r\nX-A: a\r\n b\r\nContent-Length: 0\r\n\r\n",
            "/status" => b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n",
            "/early-hints" => {
                b"HTTP/1.1 103 Early Hints\r\nSet-Cookie: a=b\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
            }
            "/body-of-204" => b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled",
            "/huge-head" => &[b'a'; 200_000],
            _ => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        };
        io.send(answer).await;
        sleep(Duration::from_millis(100)).await;
    })
    .await;
    let world = World::start(impatient(address)).await;
    for path in [
        "/two-lengths",
        "/same-lengths",
        "/list-length",
        "/length-and-chunks",
        "/coding",
        "/chunks-of-1.0",
        "/switch",
        "/no-http",
        "/nul",
        "/fold",
        "/status",
        "/huge-head",
    ] {
        let answer = world.get(path, &[]).await;
        assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_invalid"), "{path}");
    }
    let hints = world.get("/early-hints", &[]).await;
    assert_eq!((hints.status, hints.informational.len(), hints.field("set-cookie")), (200, 0, None));
    assert_eq!(world.get("/body-of-204", &[]).await.status, 204);
    for _ in 0..3 {
        assert_eq!(world.get("/fine", &[]).await.text(), "ok", "negative control, and nobody gets the smuggled answer");
    }
    world.stop().await;
}

/// H10, C11, C12, R-119: a head or a body that comes in drops, and a reader who does not read, are let go; a quick client is served all
/// the while.
#[tokio::test(flavor = "multi_thread")]
async fn h10_slow_clients_are_let_go() {
    let (address, _task) = upstream(|connection, mut io| async move {
        while let Some(seen) = read_request(&mut io, connection).await {
            if seen.target() == "/flood" {
                io.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
                let piece = [b"10000\r\n".to_vec(), vec![7; 0x10000], b"\r\n".to_vec()].concat();
                while tokio::io::AsyncWriteExt::write_all(&mut io.io, &piece).await.is_ok() {}
                return;
            }
            io.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        }
    })
    .await;
    let mut settings = impatient(address);
    settings.limits.request_body_rate = 1000;
    let world = World::start(settings).await;

    // Nothing at all, half a head, a head in drops.
    let mut nothing = Client::connect(world.address).await;
    let mut half = Client::connect(world.address).await;
    half.send(b"GET /x HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await;
    let mut drops = Client::connect(world.address).await;
    let begun = Instant::now();
    let dropping = tokio::spawn(async move {
        for byte in b"GET /x HTTP/1.1\r\nHost: localhost\r\nX-A: 123456789012345678901234567890\r\n\r\n" {
            drops.send(&[*byte]).await;
            sleep(Duration::from_millis(30)).await;
        }
        drops.head().await.is_err()
    });
    assert!(nothing.closes(Duration::from_secs(5)).await);
    assert!(half.closes(Duration::from_secs(5)).await);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(dropping.await.expect("no panic"), "bytes that trickle in do not postpone the deadline");

    // A second head that does not end, on a connection that was served before.
    let mut second = Client::connect(world.address).await;
    second.send(&request("GET", "/x", &[], b"")).await;
    assert_eq!(second.answer(false).await.status, 200);
    second.send(b"GET /y HTTP/1.1\r\nHost: ").await;
    assert!(second.closes(Duration::from_millis(1500)).await, "it has the time of a head, not that between requests");

    // A body that never comes, and one in drops.
    let mut promised = Client::connect(world.address).await;
    promised.send(&request("POST", "/x", &[("Content-Length", "1000")], b"begun")).await;
    let answer = promised.answer(false).await;
    assert_eq!(
        (answer.status, answer.code().as_str(), answer.field("connection")),
        (408, "request_timeout", Some("close"))
    );
    assert!(promised.closes(Duration::from_secs(5)).await);
    let mut drops = Client::connect(world.address).await;
    drops.send(&request("POST", "/x", &[("Content-Length", "100000")], b"")).await;
    let begun = Instant::now();
    let (mut reading, mut writing) = tokio::io::split(drops.io);
    let dropping = tokio::spawn(async move {
        while tokio::io::AsyncWriteExt::write_all(&mut writing, b"x").await.is_ok() {
            sleep(Duration::from_millis(50)).await;
        }
    });
    let mut answer = [0; 12];
    tokio::io::AsyncReadExt::read_exact(&mut reading, &mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 408");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    dropping.abort();

    // A reader who does not read.
    let mut deaf = Client::connect(world.address).await;
    deaf.send(&request("GET", "/flood", &[], b"")).await;
    let open = || world.gateway.metrics().requests_open.value();
    crate::gateway_world::until("the flood begins", || open() > 0).await;
    crate::gateway_world::until("the deaf reader is let go", || open() == 0).await;

    // And an idle one.
    let mut idle = Client::connect(world.address).await;
    idle.send(&request("GET", "/x", &[], b"")).await;
    idle.answer(false).await;
    let begun = Instant::now();
    assert!(idle.closes(Duration::from_secs(5)).await);
    assert!(begun.elapsed() >= Duration::from_millis(1900), "an idle connection is kept for as long as it says");
    assert_eq!(world.get("/x", &[]).await.status, 200, "negative control");
    world.stop().await;
}

/// H10, C11: slow connections fill their own network's share and no more; the caps are what they say.
#[tokio::test(flavor = "multi_thread")]
async fn h10_connections_are_capped() {
    let echo = Echo::start().await;
    let mut settings = settings(vec![route("/", echo.address, Access::Public)]);
    settings.limits.connections_per_network = 3;
    let world = World::start(settings.clone()).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut client = Client::connect(world.address).await;
        client.send(&request("GET", "/x", &[], b"")).await;
        assert_eq!(client.answer(false).await.status, 200);
        open.push(client);
    }
    let mut fourth = Client::connect(world.address).await;
    assert!(fourth.closes(Duration::from_secs(5)).await);
    drop(open.pop());
    crate::gateway_world::until("a place is free", || world.gateway.metrics().connections_open.value() < 3).await;
    assert_eq!(world.get("/x", &[]).await.status, 200, "negative control: one left, one may come");
    world.stop().await;

    let public = |config: &mut sessile::EngineConfig| {
        config.public_origin = sessile_core::origin::Origin::parse("https://app.test").expect("an origin");
    };
    let world = World::with(settings.clone(), public).await;
    let mut behind_a_local_proxy = Vec::new();
    for _ in 0..5 {
        let mut client = Client::connect(world.address).await;
        client.send(&request("GET", "/x", &[("Host", "app.test")], b"")).await;
        assert_eq!(client.answer(false).await.status, 200, "a proxy on this machine is everybody behind it");
        behind_a_local_proxy.push(client);
    }
    world.stop().await;

    settings.limits.connections_per_network = 512;
    settings.limits.connections = 2;
    let world = World::start(settings).await;
    let mut first = Client::connect(world.address).await;
    first.send(&request("GET", "/x", &[], b"")).await;
    first.answer(false).await;
    let mut second = Client::connect(world.address).await;
    second.send(&request("GET", "/x", &[], b"")).await;
    second.answer(false).await;
    let mut third = Client::connect(world.address).await;
    third.send(&request("GET", "/x", &[], b"")).await;
    assert!(!third.closes(Duration::from_millis(300)).await && third.held().is_empty(), "waits");
    drop(first);
    assert_eq!(third.answer(false).await.status, 200, "until there is room");
    world.stop().await;
}

/// H12: a jar full of tossed cookies is answered with their names, and with ours cleared; no redirect, so no loop.
#[tokio::test(flavor = "multi_thread")]
async fn h12_an_overflowing_jar_is_explained() {
    let echo = Echo::start().await;
    let world = World::usual(echo.address).await;
    let browser = world.sign_in("ada").await;
    let tossed: String = (0..200).map(|n| format!("tossed{n}={}; ", "x".repeat(100 + n % 2))).collect();
    let cookie = tossed + &browser.cookie();
    let answer = world.get("/private/x", &[("Cookie", &cookie), ("Accept", "text/html")]).await;
    assert_eq!(answer.status, 431);
    assert!(answer.text().contains("tossed1"), "the offenders are named");
    assert!(
        !answer.text().contains("xxxxx") && !answer.text().contains(&browser.jar[crate::gateway_world::SESSION]),
        "their values are not"
    );
    for name in [crate::gateway_world::SESSION, crate::gateway_world::ACCESS] {
        assert!(
            answer.all("set-cookie").iter().any(|cookie| cookie.starts_with(&format!("{name}=;"))),
            "{name} is cleared"
        );
    }
    assert_eq!(echo.count(), 0);
    let fewer = format!("theme={}; {}", "x".repeat(8000), browser.cookie());
    assert_eq!(
        world.get("/private/x", &[("Cookie", &fewer)]).await.status,
        200,
        "negative control: a large jar is no offence"
    );
    world.stop().await;
}

/// P25: a route's own limit for bodies, announced and found out on the way.
#[tokio::test(flavor = "multi_thread")]
async fn p25_bodies_are_limited_where_a_route_says_so() {
    let echo = Echo::start().await;
    let mut limited = route("/", echo.address, Access::Public);
    limited.max_body = Some(10);
    let world = World::start(settings(vec![limited])).await;
    assert_eq!(world.request("POST", "/x", &[], b"0123456789").await.status, 200, "negative control");
    assert_problem(&world.request("POST", "/x", &[], b"0123456789a").await, 413, "payload_too_large");
    let chunks = b"6\r\n012345\r\n6\r\n6789ab\r\n0\r\n\r\n";
    assert_problem(
        &world.request("POST", "/x", &[("Transfer-Encoding", "chunked")], chunks).await,
        413,
        "payload_too_large",
    );
    assert_eq!(echo.count(), 1);
    world.stop().await;
}

/// P6: a chunked body that breaks its framing after the request was admitted never becomes a whole request upstream.
#[tokio::test(flavor = "multi_thread")]
async fn p6_a_broken_body_is_no_request() {
    let echo = Echo::start().await;
    let world = World::start(settings(vec![route("/", echo.address, Access::Public)])).await;
    let mut client = Client::connect(world.address).await;
    let mut bytes = request("POST", "/x", &[("Transfer-Encoding", "chunked")], b"5\r\nhello\r\nZZ\r\n");
    bytes.extend(request("GET", "/smuggled", &[], b""));
    client.send(&bytes).await;
    let answer = client.answer(false).await;
    assert_eq!((answer.status, answer.field("connection")), (400, Some("close")));
    assert!(client.closes(Duration::from_secs(5)).await);
    assert_eq!(echo.count(), 0, "the application saw no end of it");
    assert_eq!(world.violations("chunk_size"), 1);
    let whole = world.request("POST", "/x", &[("Transfer-Encoding", "chunked")], b"5\r\nhello\r\n0\r\n\r\n").await;
    assert_eq!(whole.status, 200, "negative control");
    world.stop().await;
}

/// H14: a client that leaves in the middle takes its upstream request along, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn h14_who_leaves_is_not_waited_for() {
    let (address, _task) = upstream(|connection, mut io| async move {
        let Some(seen) = read_request(&mut io, connection).await else { return };
        if seen.target() == "/never" {
            sleep(Duration::from_secs(60)).await;
        }
        io.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    })
    .await;
    let world = World::start(settings(vec![route("/", address, Access::Public)])).await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut client = Client::connect(world.address).await;
        client.send(&request("GET", "/never", &[], b"")).await;
        clients.push(client);
    }
    let open = || world.gateway.metrics().requests_open.value();
    crate::gateway_world::until("all are under way", || open() == 10).await;
    drop(clients);
    crate::gateway_world::until("none is left", || open() == 0).await;
    assert_eq!(world.get("/x", &[]).await.status, 200);
    world.stop().await;
}

/// The connections to an upstream are kept and used again.
#[tokio::test(flavor = "multi_thread")]
async fn upstream_connections_are_pooled() {
    let echo = Echo::start().await;
    let world = World::start(settings(usual_routes(echo.address))).await;
    for _ in 0..20 {
        assert_eq!(world.get("/open/x", &[]).await.status, 200);
    }
    assert!(echo.connections.load(Ordering::SeqCst) <= 2, "{:?}", echo.connections);
    let first = echo.seen()[0].connection;
    assert!(echo.seen().iter().filter(|seen| seen.connection == first).count() > 1, "a connection was used again");
    world.stop().await;
}
