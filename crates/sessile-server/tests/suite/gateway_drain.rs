//! Stopping in good order, and panics (H16): what is under way finishes, nothing new begins, nobody waits for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sessile::{Access, Clock, SystemClock};
use sessile_core::Moment;
use sessile_server::gateway::{DrainPolicy, Sockets};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::gateway_world::{Client, Echo, LONG, World, read_request, request, route, settings, until, upstream};

const FINISH: Duration = Duration::from_millis(1500);

/// An application that takes as many milliseconds as the last segment of the path says, or streams events for ever.
async fn slow() -> (std::net::SocketAddr, tokio::task::JoinHandle<()>) {
    upstream(|connection, mut io| async move {
        while let Some(seen) = read_request(&mut io, connection).await {
            let last = seen.target().rsplit('/').next().unwrap_or_default().to_owned();
            if last == "events" {
                io.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n\n\n\r\n").await;
                io.closes(Duration::from_secs(30)).await;
                return;
            }
            sleep(Duration::from_millis(last.parse().unwrap_or(0))).await;
            io.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").await;
        }
    })
    .await
}

async fn world() -> (World, tokio::task::JoinHandle<()>) {
    let (address, task) = slow().await;
    (World::start(settings(vec![route("/", address, Access::Public)])).await, task)
}

async fn asks(world: &World, path: &str) -> Client {
    let mut client = Client::connect(world.address).await;
    client.send(&request("GET", path, &[], b"")).await;
    client
}

/// A browser opens connections in advance; one on which nothing was ever sent holds up no stop.
#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_hold_up_nothing() {
    let (mut world, _task) = world().await;
    let silent = Client::connect(world.address).await;
    until("it is there", || world.gateway.metrics().connections_open.value() == 1).await;
    let drain = world.drain.clone();
    let long = DrainPolicy { announce: Duration::ZERO, finish: Duration::from_secs(600) };
    let draining = tokio::spawn(async move { drain.begin(long).await });
    // Without a limit of its own it would have until the deadline of its first head, ten seconds.
    timeout(Duration::from_secs(5), world.join()).await.expect("the threads end");
    draining.abort();
    drop(silent);
}

/// Readiness first; then no new connections, idle ones close, event streams close, what is under way finishes; then the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_drain_lets_work_finish() {
    let (mut world, _task) = world().await;
    let mut idle = asks(&world, "/0").await;
    assert_eq!(idle.answer(false).await.status, 200);
    let mut busy = asks(&world, "/700").await;
    let mut events = asks(&world, "/events").await;
    assert_eq!(events.head().await.expect("a head").status, 200);
    until("they are under way", || world.gateway.metrics().requests_open.value() == 2).await;
    assert!(!world.drain.is_stopping());

    let drain = world.drain.clone();
    let begun = Instant::now();
    let policy = DrainPolicy { announce: Duration::from_millis(200), finish: FINISH };
    let draining = tokio::spawn(async move { drain.begin(policy).await });
    until("readiness says no", || world.drain.is_stopping()).await;
    let mut late = asks(&world, "/0").await;
    assert_eq!(late.answer(false).await.status, 200, "while it is announced, connections are still taken");

    assert!(idle.closes(Duration::from_secs(1)).await, "idle connections close");
    assert!(begun.elapsed() >= Duration::from_millis(190));
    assert!(events.chunk().await.is_ok() && events.chunk().await.is_err(), "event streams are cut, and can tell");
    until("nobody listens", || std::net::TcpStream::connect(world.address).is_err()).await;
    assert!(TcpStream::connect(world.address).await.is_err());
    let answer = busy.answer(false).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "done"), "what was under way is answered");
    world.join().await;
    assert!(begun.elapsed() < FINISH, "and nobody waits for nothing: {:?}", begun.elapsed());
    draining.abort();
}

/// What takes longer than the time there is does not keep the process.
#[tokio::test(flavor = "multi_thread")]
async fn a_drain_has_an_end() {
    let (mut world, _task) = world().await;
    let mut endless = asks(&world, "/60000").await;
    until("it is under way", || world.gateway.metrics().requests_open.value() == 1).await;
    let begun = Instant::now();
    world.drain.begin(DrainPolicy { announce: Duration::ZERO, finish: Duration::from_millis(400) }).await;
    world.join().await;
    assert!(
        begun.elapsed() >= Duration::from_millis(390) && begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    assert!(endless.try_answer(false).await.is_err(), "what was cut off does not look answered");
}

/// A second signal stops at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_stops_at_once() {
    let (mut world, _task) = world().await;
    let _endless = asks(&world, "/60000").await;
    until("it is under way", || world.gateway.metrics().requests_open.value() == 1).await;
    let drain = world.drain.clone();
    let draining = tokio::spawn(async move {
        drain.begin(DrainPolicy { announce: Duration::ZERO, finish: Duration::from_secs(60) }).await
    });
    until("draining", || world.drain.watch().is_draining()).await;
    let begun = Instant::now();
    world.drain.now();
    world.join().await;
    timeout(LONG, draining).await.expect("in time").expect("no panic");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

/// A port that somebody else has is not shared with them.
#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_an_error() {
    let echo = Echo::start().await;
    let world = World::usual(echo.address).await;
    let mut second = settings(Vec::new());
    second.listen = world.address;
    let error = Sockets::open(&second).expect_err("the port is taken, also by somebody who shares it");
    assert!(error.to_string().contains("in use"), "{error}");
    world.stop().await;
    assert!(Sockets::open(&second).is_ok(), "negative control: afterwards it is free");
}

/// A clock that panics on a gateway thread when it is told to.
#[derive(Debug, Default)]
struct Trap {
    clock: SystemClock,
    armed: AtomicBool,
}

impl Clock for Trap {
    fn now(&self) -> Moment {
        let on_gateway = std::thread::current().name().is_some_and(|name| name.starts_with("gateway-"));
        assert!(!(on_gateway && self.armed.load(Ordering::SeqCst)), "the trap");
        self.clock.now()
    }
}

/// H16: a panic in a request's handler costs that request a 500, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn h16_a_panic_costs_one_request() {
    let echo = Echo::start().await;
    let trap = Arc::new(Trap::default());
    let world = World::on_clock(settings(crate::gateway_world::usual_routes(echo.address)), |_| {}, trap.clone()).await;
    let cookie = world.sign_in("ada").await.cookie();
    trap.armed.store(true, Ordering::SeqCst);
    let mut client = Client::connect(world.address).await;
    client.send(&request("GET", "/private/x", &[("Cookie", &cookie)], b"")).await;
    let answer = client.answer(false).await;
    assert_eq!((answer.status, answer.code().as_str()), (500, "internal"));
    assert!(!answer.text().contains("trap"));
    trap.armed.store(false, Ordering::SeqCst);
    client.send(&request("GET", "/private/x", &[("Cookie", &cookie)], b"")).await;
    assert_eq!(client.answer(false).await.status, 200, "negative control: even on the same connection");
    world.stop().await;
}
