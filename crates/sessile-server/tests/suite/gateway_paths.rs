//! Which requests reach which route: hosts, paths, methods (P10, P12, P17, P19; attacks B1 to B6, D8).

use std::time::Duration;

use sessile::Access;

use crate::gateway_world::{Client, Echo, World, request, route, settings};

/// P17, R-114, B1 to B5: the path that was decided on is the path that is forwarded, byte for byte, query and all; what could be read
/// in two ways goes nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn p17_decided_and_forwarded_paths_are_the_same_bytes() {
    let echo = Echo::start().await;
    let routes = vec![route("/", echo.address, Access::Public), route("/admin", echo.address, Access::Session)];
    let world = World::start(settings(routes)).await;
    for path in [
        "/x",
        "/x/",
        "/x?y=/admin",
        "/x?y=%2e%2e%2fadmin",
        "/%C3%A9?%C3%A9",
        "/a%20b",
        "/x;v=1/y",
        "/x%23y",
        "/xadmin",
        "/x/admin",
        "/adminx",
        "/x?",
        "/x?a=b&c=d?e",
    ] {
        let answer = world.get(path, &[]).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(echo.last().target(), path);
    }
    let before = echo.count();
    for path in [
        "/public/../admin",
        "/x/%2e%2e/admin",
        "/x/..;/admin",
        "//admin",
        "/.//admin",
        "/x\\..\\admin",
        "/%61dmin",
        "/%2561dmin",
        "/x%2Fadmin",
        "/x%5Cadmin",
        "/admin%00",
        "/x#/admin",
        "/ADMIN",
        "/admin;x",
        "/admin;x/y",
        "/Admin/x",
        "/admin./x",
        "/x/%c0%ae%c0%ae/admin",
        "/%zz",
        "/x\u{1}",
        "/é",
    ] {
        let answer = world.get(path, &[]).await;
        assert_eq!(answer.status, 400, "{path:?}");
    }
    assert_eq!(echo.count(), before, "none of them reached the application");
    for path in ["/admin", "/admin/", "/admin/x?y", "/admin/x;y"] {
        assert_eq!(world.get(path, &[]).await.status, 401, "{path}");
    }
    assert_eq!(echo.count(), before);
    let browser = world.sign_in("ada").await;
    assert_eq!(
        world.get("/admin/x?y", &[("Cookie", &browser.cookie())]).await.status,
        200,
        "negative control: the route is there"
    );
    world.stop().await;
}

/// P19, R-116: the upstream is what the configuration says, and redirects are the client's to follow.
#[tokio::test(flavor = "multi_thread")]
async fn p19_no_request_names_its_upstream() {
    let evil = Echo::start().await;
    let location = Box::leak(format!("Location: http://{}/secret\r\n", evil.address).into_boxed_str());
    let echo = Echo::answering(location).await;
    let world = World::start(settings(vec![route("/", echo.address, Access::Public)])).await;
    let evil_host = evil.address.to_string();
    for (path, host) in [
        ("http://evil.example/x".to_owned(), "evil.example".to_owned()),
        (format!("http://{evil_host}/x"), "localhost".to_owned()),
        (format!("//{evil_host}/x"), "localhost".to_owned()),
        (format!("@{evil_host}/x"), "localhost".to_owned()),
        ("/x".to_owned(), evil_host.clone() + "@localhost"),
        ("http://user@localhost/x".to_owned(), "user@localhost".to_owned()),
    ] {
        let answer = world.request("GET", &path, &[("Host", &host)], b"").await;
        assert!(matches!(answer.status, 400 | 421), "{path} {host}: {}", answer.status);
    }
    let answer = world.get("/x", &[]).await;
    assert_eq!(
        (answer.status, answer.field("location").is_some()),
        (200, true),
        "negative control: the redirect is passed on"
    );
    let absolute = world.get("http://localhost/y", &[("Host", "localhost")]).await;
    assert_eq!(
        (absolute.status, echo.last().target().to_owned()),
        (200, "/y".to_owned()),
        "absolute-form for our own host is fine"
    );
    assert_eq!(evil.count(), 0);
    world.stop().await;
}

/// P10, R-113, D8: only configured hosts are answered; a loopback site takes loopback names.
#[tokio::test(flavor = "multi_thread")]
async fn p10_a_foreign_host_is_misdirected() {
    let echo = Echo::start().await;
    let mut settings = settings(vec![route("/", echo.address, Access::Public)]);
    settings.hosts = vec!["app.example:8443".to_owned()];
    let world = World::start(settings).await;
    for host in [
        "evil.example",
        "localhost.evil.example",
        "localhost.",
        "app.example",
        "app.example:8444",
        "10.0.0.1",
        "[2001:db8::1]",
    ] {
        let answer = world.get("/x", &[("Host", host)]).await;
        assert_eq!((answer.status, answer.code().as_str()), (421, "unknown_host"), "{host}");
    }
    assert_eq!(world.violations("unknown_host"), 7);
    for host in ["localhost", "LOCALHOST:1234", "127.0.0.1", "[::1]:80", "app.example:8443", "APP.example:8443"] {
        assert_eq!(world.get("/x", &[("Host", host)]).await.status, 200, "negative control: {host}");
    }
    world.stop().await;
}

/// P3 to P10, P12, C1: what is ambiguous is refused and the connection closed, and nothing of it reaches the application. The corpus of
/// the wire gate is larger; this shows that the gate is in front.
#[tokio::test(flavor = "multi_thread")]
async fn the_wire_gate_is_in_front() {
    let echo = Echo::start().await;
    let world = World::start(settings(vec![route("/", echo.address, Access::Public)])).await;
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (status, head) in [
        (
            400,
            "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (400, "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n"),
        (400, "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: +5\r\n\r\n"),
        (400, "POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n"),
        (400, "GET /x HTTP/1.1\r\nHost: localhost\r\nX : y\r\n\r\n"),
        (400, "GET /x HTTP/1.1\r\nHost: localhost\r\nX: y\r\n z\r\n\r\n"),
        (400, "GET /x HTTP/1.1\nHost: localhost\n\n"),
        (400, "GET /x HTTP/1.1\r\n\r\n"),
        (400, "GET /x HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n"),
        (405, "TRACE /x HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        (405, "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
        (505, "GET /x HTTP/2.0\r\nHost: localhost\r\n\r\n"),
    ] {
        let mut client = Client::connect(world.address).await;
        client.send(head.as_bytes()).await;
        client.send(smuggled.as_bytes()).await;
        let answer = client.answer(false).await;
        assert_eq!(answer.status, status, "{head:?}");
        assert_eq!(answer.field("connection"), Some("close"), "{head:?}");
        for field in ["content-security-policy", "x-content-type-options", "cache-control"] {
            assert!(answer.field(field).is_some(), "P33: {field} on {head:?}");
        }
        assert!(client.closes(Duration::from_secs(5)).await, "{head:?}");
    }
    assert_eq!(echo.count(), 0);
    let mut client = Client::connect(world.address).await;
    client.send(smuggled.as_bytes()).await;
    assert_eq!(client.answer(false).await.status, 200, "negative control: the request behind them is a good one");
    world.stop().await;
}

/// A pipelined second request is served after the first, on its own.
#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_two_requests() {
    let echo = Echo::start().await;
    let world = World::start(settings(vec![route("/", echo.address, Access::Public)])).await;
    let mut client = Client::connect(world.address).await;
    let mut bytes = request("POST", "/one", &[], b"hello");
    bytes.extend(request("GET", "/two", &[], b""));
    client.send(&bytes).await;
    assert_eq!(client.answer(false).await.text(), "POST /one HTTP/1.1 5");
    assert_eq!(client.answer(false).await.text(), "GET /two HTTP/1.1 0");
    assert_eq!(echo.count(), 2);
    world.stop().await;
}

/// A request to nowhere in particular.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_route_is_not_found() {
    let echo = Echo::start().await;
    let world = World::start(settings(vec![route("/api", echo.address, Access::Public)])).await;
    for (method, path) in [("GET", "/"), ("GET", "/apix"), ("OPTIONS", "*")] {
        let answer = world.request(method, path, &[], b"").await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{method} {path}");
        assert!(answer.field("x-request-id").is_some_and(|id| id.len() == 22));
    }
    let page = world.get("/", &[("Accept", "text/html"), ("Sec-Fetch-Mode", "navigate")]).await;
    assert!(page.field("content-type").is_some_and(|kind| kind.starts_with("text/html")), "people get a page");
    assert_eq!(echo.count(), 0);
    world.stop().await;
}
