//! The gate between a socket and the HTTP library.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::corpus::{Bare, Case, Expect, Heard, converse, corpus, judge, talk};
use super::pure::{Run, config, mutated_stream, run};
use super::server::{Front, Seen, Server, serve, strict};
use crate::gateway::wire::{Observer, StrictIo, WireRules, WireViolation};

const PATIENCE: Duration = Duration::from_secs(10);

/// R-111, R-113, R-114: the corpus against gate, library and head gate over TCP, and what the service saw of it.
#[test]
fn corpus_over_tcp() {
    let server = Server::start(Front::Gate);
    for case in corpus() {
        let heard = converse(server.address, &case);
        judge(&case, &heard).unwrap();
        let seen = server.seen();
        let codes: Vec<_> = seen.violations.iter().map(|violation| violation.code()).collect();
        match case.expect {
            Expect::Served(count) => {
                assert_eq!((seen.requests.len(), codes.len()), (count, 0), "{}", case.name);
            }
            Expect::Refused { after, code, .. } => {
                assert_eq!((seen.requests.len(), codes), (after, vec![code]), "{}", case.name);
                assert!(heard.head.contains("content-security-policy: default-src 'none'"), "{}", heard.head);
                assert!(!heard.head.contains("keep-alive"), "{}", heard.head);
                let refusal = seen.violations[0].refusal();
                let (title, status, code) = (refusal.title(), refusal.status(), refusal.code());
                let body = format!(r#"{{"type":"about:blank","title":"{title}","status":{status},"code":"{code}"}}"#);
                assert_eq!(heard.bodies.last().unwrap(), body.as_bytes());
            }
            Expect::Broken { after, code } => {
                assert_eq!((seen.requests.len(), codes), (after, vec![code]), "{}", case.name);
                // This service waits for the body, so it learns the reason.
                assert_eq!(heard.bodies.last().unwrap(), code.as_bytes(), "{}", case.name);
            }
            Expect::RefusedHead { code, .. } => {
                assert_eq!((seen.requests.len(), codes.len()), (0, 0), "{}", case.name);
                assert_eq!(heard.bodies.last().unwrap(), code.as_bytes(), "{}", case.name);
            }
        }
    }
}

/// How a case fares without the gates: what came back, and the status of the response to the request in question.
fn bare(server: &Server, case: &Case, patience: Duration) -> (Heard, Option<u16>) {
    let after = match case.expect {
        Expect::Served(count) => count - 1,
        Expect::Refused { after, .. } | Expect::Broken { after, .. } => after,
        Expect::RefusedHead { .. } => 0,
    };
    let heard = talk(server.address, &case.bytes, after + 1, patience);
    let status = heard.statuses.get(after).copied();
    (heard, status)
}

/// Negative control: the library alone serves what the table says it serves, so the corpus does find open doors, and the judge who
/// calls them shut behind the gate calls them open here.
#[test]
fn the_library_alone_serves_them() {
    let server = Server::start(Front::Bare);
    let mut open = 0;
    for case in corpus().iter().filter(|case| case.bare == Bare::Serves) {
        let (heard, status) = bare(&server, case, PATIENCE);
        assert_eq!(status, Some(200), "{}", case.shown());
        assert!(judge(case, &heard).is_err(), "{}", case.shown());
        open += 1;
    }
    assert!(open >= 150, "{open}");
}

/// What the table says of the library alone is all of it. Not run by default: another version of the library may differ.
#[test]
#[ignore = "describes one version of the HTTP library"]
fn the_library_alone_serves_nothing_else() {
    let server = Server::start(Front::Bare);
    for case in corpus().iter().filter(|case| case.bare == Bare::Other && !matches!(case.expect, Expect::Served(_))) {
        assert_ne!(bare(&server, case, Duration::from_millis(500)).1, Some(200), "{}", case.shown());
    }
}

/// R-111: a bad request behind a good one whose response is still being written waits for it, and does not cut into it.
#[test]
fn refusal_waits_for_the_response_in_flight() {
    let server = Server::start(Front::Gate);
    let stream = b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\nHost: b\r\n\r\n";
    let heard = talk(server.address, stream, usize::MAX, PATIENCE);
    assert_eq!((heard.statuses.as_slice(), heard.closed), ([200, 400].as_slice(), true));
    let body = String::from_utf8(heard.bodies[0].clone()).unwrap();
    assert!(body.contains("piece 0 ") && body.contains("piece 39 ") && !body.contains("HTTP"), "{body}");
}

/// A client that said `close` gets nothing behind the response, not even a refusal.
#[test]
fn nothing_follows_a_response_that_closes() {
    let server = Server::start(Front::Gate);
    let stream = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n\r\n";
    let heard = talk(server.address, stream, usize::MAX, PATIENCE);
    assert_eq!((heard.statuses.as_slice(), heard.closed, heard.error), ([200].as_slice(), true, None));
    assert!(server.seen().violations.is_empty());
}

/// C4, P24: after a 101 bytes pass in both directions unexamined; those sent too early arrive behind it, and are no request.
#[test]
fn upgrade_becomes_a_tunnel() {
    let server = Server::start(Front::Gate);
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let early = b"GET /admin HTTP/1.1\nHost: a\n\n\0\xff";
    let head = b"GET /tunnel HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    stream.write_all(&[head.as_slice(), early].concat()).unwrap();
    let mut received = Vec::new();
    let mut piece = [0; 1024];
    while !received.ends_with(early) {
        let n = stream.read(&mut piece).unwrap();
        assert!(n > 0, "{}", received.escape_ascii());
        received.extend_from_slice(&piece[..n]);
    }
    assert!(received.starts_with(b"HTTP/1.1 101 "), "{}", received.escape_ascii());
    // More than any buffer, so that both directions are under pressure.
    let large: Vec<u8> = (0..3_000_000u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    let mut writer = stream.try_clone().unwrap();
    let sent = large.clone();
    let sender = std::thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut echoed = Vec::new();
    stream.read_to_end(&mut echoed).unwrap();
    sender.join().unwrap();
    assert!(echoed == large, "{} bytes", echoed.len());
    let seen = server.seen();
    assert_eq!((seen.requests, seen.violations), (vec!["tunnel".to_owned()], vec![]));
}

/// RFC 9110 section 10.1.1: a client that waits for 100 gets it, and its body is read behind it.
#[test]
fn expectation_is_met() {
    let server = Server::start(Front::Gate);
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").unwrap();
    let mut received = [0; 25];
    stream.read_exact(&mut received).unwrap();
    assert_eq!(&received, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"helloGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert_eq!(rest.matches("HTTP/1.1 200 OK").count(), 2, "{rest}");
    assert_eq!(server.seen().requests, ["POST / 5", "GET / 0"]);
}

/// H4: an answer before the body has been read reaches the client, although the server does not read on.
#[test]
fn early_answer_survives_the_unread_body() {
    let server = Server::start(Front::Gate);
    let body = vec![b'a'; 150_000];
    let head = format!("POST /refuse-early HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    for _ in 0..20 {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body).unwrap();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        assert!(received.starts_with(b"HTTP/1.1 401 "), "{}", received.escape_ascii());
    }
}

/// R-119: who has been refused and neither reads, sends nor closes is let go soon.
#[test]
fn refused_client_that_stays_is_let_go() {
    let server = Server::start(Front::Gate);
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    assert!(received.starts_with(b"HTTP/1.1 400 "));
    // The server has said that it sends no more; that it also stopped reading shows when writing fails.
    let begin = Instant::now();
    while stream.write_all(b"x").is_ok() {
        assert!(begin.elapsed() < Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A refused `HEAD` gets a head only.
#[test]
fn refused_head_method_gets_no_body() {
    let server = Server::start(Front::Gate);
    let heard = talk(server.address, b"HEAD / HTTP/1.1\r\n\r\n", usize::MAX, PATIENCE);
    assert_eq!((heard.statuses.as_slice(), heard.closed, heard.rest.len()), ([400].as_slice(), true, 0));
    assert!(heard.head.contains("content-length: 7"), "{}", heard.head);
}

/// The gate stands before a builder that guesses the protocol as well; an HTTP/2 preface does not get past it.
#[test]
fn guessing_builder_works_behind_the_gate() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let talk = |bytes: &'static [u8]| {
        runtime.block_on(async move {
            let (mut client, socket) = tokio::io::duplex(1024);
            let service = hyper::service::service_fn(|_| async {
                Ok::<_, std::convert::Infallible>(http::Response::new(String::from("served")))
            });
            let server = tokio::spawn(async move {
                let io = strict(TokioIo::new(socket), Arc::default());
                let builder = auto::Builder::new(TokioExecutor::new());
                drop(builder.serve_connection_with_upgrades(io, service).await);
            });
            client.write_all(bytes).await.unwrap();
            let mut received = String::new();
            client.read_to_string(&mut received).await.unwrap();
            server.await.unwrap();
            received
        })
    };
    assert!(talk(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").ends_with("served"));
    assert!(talk(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").starts_with("HTTP/1.1 505 "));
}

/// A socket that gives what it is told to give and keeps what it is given.
struct Script {
    /// Pieces to be read; an endless stream of `filler` follows them.
    pieces: VecDeque<Vec<u8>>,
    filler: Option<usize>,
    written: Vec<u8>,
    /// How many bytes a write takes.
    accepts: usize,
    shut: bool,
}

impl Read for Script {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, mut out: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        if let Some(piece) = self.pieces.pop_front() {
            out.put_slice(&piece);
        } else if let Some(len) = self.filler {
            out.put_slice(&vec![b'x'; len.min(out.remaining())]);
        } else {
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for Script {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.accepts == 0 {
            self.accepts = 7;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let n = buf.len().min(self.accepts);
        self.accepts -= n;
        self.written.extend_from_slice(&buf[..n]);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shut = true;
        Poll::Ready(Ok(()))
    }
}

fn scripted(pieces: &[&[u8]], filler: Option<usize>) -> StrictIo<Script> {
    observed(pieces, filler, Arc::new(|_| {}))
}

fn observed(pieces: &[&[u8]], filler: Option<usize>, observer: Observer) -> StrictIo<Script> {
    let pieces = pieces.iter().map(|piece| piece.to_vec()).collect();
    let script = Script { pieces, filler, written: Vec::new(), accepts: 7, shut: false };
    StrictIo::new(script, Arc::new(WireRules::default()), observer)
}

/// Reads once into a buffer of `size` bytes.
fn read(io: &mut StrictIo<Script>, size: usize) -> Poll<io::Result<Vec<u8>>> {
    read_with(io, size, Waker::noop())
}

fn read_with(io: &mut StrictIo<Script>, size: usize, waker: &Waker) -> Poll<io::Result<Vec<u8>>> {
    let mut space = vec![0; size];
    let mut buf = ReadBuf::new(&mut space);
    let mut cx = Context::from_waker(waker);
    Pin::new(io).poll_read(&mut cx, buf.unfilled()).map_ok(|()| buf.filled().to_vec())
}

/// Writes all of `bytes`, seven at a time.
fn write(io: &mut StrictIo<Script>, mut bytes: &[u8]) {
    let mut cx = Context::from_waker(Waker::noop());
    while !bytes.is_empty() {
        if let Poll::Ready(n) = Pin::new(&mut *io).poll_write(&mut cx, bytes) {
            bytes = &bytes[n.unwrap()..];
        }
    }
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A reader that waits for the end of an exchange, with bytes behind it, is woken by it, for nothing else would.
#[test]
fn end_of_an_exchange_wakes_the_reader() {
    let get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut io = scripted(&[&get.repeat(2)], None);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    assert!(matches!(read_with(&mut io, 4096, &waker), Poll::Ready(Ok(bytes)) if bytes == get));
    assert!(read_with(&mut io, 4096, &waker).is_pending());
    write(&mut io, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nh");
    assert!(read_with(&mut io, 4096, &waker).is_pending());
    assert_eq!(woken.0.load(Ordering::Relaxed), 0);
    write(&mut io, b"i");
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert!(matches!(read_with(&mut io, 4096, &waker), Poll::Ready(Ok(bytes)) if bytes == get));
}

/// RFC 9112 section 9.6: after a refusal the gate says that it sends no more, and then goes on taking what the client still sends,
/// for a while and for a number of bytes.
#[tokio::test]
async fn refusal_is_not_cut_off_by_a_reset() {
    let late: &[u8] = &[b'x'; 16 * 1024];
    let mut io = scripted(&[b"GET / HTTP/1.1\r\n\r\n", late, late, b""], None);
    // The library gives up before the refusal is out; it goes out all the same, and first.
    assert!(read(&mut io, 4096).is_pending());
    poll_fn(|cx| Pin::new(&mut io).poll_shutdown(cx)).await.unwrap();
    let script = io.get_ref();
    assert!(script.shut && script.pieces.is_empty());
    assert!(script.written.ends_with(b"}"), "{}", script.written.escape_ascii());

    let mut endless = scripted(&[b"GET / HTTP/1.1\r\n\r\n"], Some(4096));
    assert!(read(&mut endless, 4096).is_pending());
    poll_fn(|cx| Pin::new(&mut endless).poll_shutdown(cx)).await.unwrap();

    let mut silent = scripted(&[b"GET / HTTP/1.1\r\n\r\n"], None);
    assert!(read(&mut silent, 4096).is_pending());
    let begin = Instant::now();
    poll_fn(|cx| Pin::new(&mut silent).poll_shutdown(cx)).await.unwrap();
    assert!((Duration::from_millis(900)..Duration::from_secs(5)).contains(&begin.elapsed()));

    // Negative control: an orderly end reads nothing more.
    let mut orderly = scripted(&[b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", late], None);
    assert!(read(&mut orderly, 4096).is_ready());
    poll_fn(|cx| Pin::new(&mut orderly).poll_shutdown(cx)).await.unwrap();
    assert_eq!((orderly.get_ref().shut, orderly.get_ref().pieces.len()), (true, 1));
}

/// H5: 64 MiB pass while no more is held than one piece from the socket, however little the reader takes at a time.
#[test]
fn large_bodies_pass_in_constant_memory() {
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 67108864\r\n\r\n";
    let mut io = scripted(&[head], Some(16 * 1024));
    let (mut passed, mut most) = (0, 0);
    while passed < head.len() + 64 * 1024 * 1024 {
        let Poll::Ready(Ok(bytes)) = read(&mut io, 5000) else { panic!("after {passed}") };
        assert!(!bytes.is_empty());
        passed += bytes.len();
        most = most.max(io.held());
    }
    assert_eq!(passed, head.len() + 64 * 1024 * 1024);
    assert!(most < 16 * 1024, "{most}");
    // What follows the body waits, and no more of it is taken in than one piece.
    for _ in 0..100 {
        assert!(read(&mut io, 5000).is_pending());
        assert!(io.held() <= 2 * 16 * 1024, "{}", io.held());
    }
}

/// A head is passed only whole, byte for byte, whatever the size of the reader's buffer; and the end of the stream is passed on.
#[test]
fn heads_pass_whole_and_unchanged() {
    let head = b"GET /a?b HTTP/1.1\r\nHost: a\r\nX-Odd:  value \t\r\n\r\n";
    for size in [1, 24, 4096] {
        let mut io = scripted(&[&head[..20], &head[20..40]], None);
        assert!(read(&mut io, size).is_pending());
        assert_eq!(io.held(), 40);
        io = scripted(&[&head[..20], &head[20..], b""], None);
        let mut passed = Vec::new();
        while passed.len() < head.len() {
            let Poll::Ready(Ok(bytes)) = read(&mut io, size) else { panic!("{}", passed.escape_ascii()) };
            passed.extend_from_slice(&bytes);
        }
        assert_eq!(passed, head);
        assert!(matches!(read(&mut io, size), Poll::Ready(Ok(bytes)) if bytes.is_empty()));
    }
}

/// A refusal goes out completely although the socket takes a few bytes at a time, and only then the stream ends.
#[test]
fn refusal_is_written_in_pieces() {
    let told = Arc::new(AtomicUsize::new(0));
    let count = told.clone();
    let observer = Arc::new(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let mut io = observed(&[b"GET / HTTP/1.1\r\n\r\n"], None, observer);
    let mut pendings = 0;
    loop {
        match read(&mut io, 4096) {
            Poll::Ready(Ok(bytes)) if bytes.is_empty() => break,
            Poll::Ready(other) => panic!("{other:?}"),
            Poll::Pending => pendings += 1,
        }
    }
    assert!(pendings > 10, "{pendings}");
    assert_eq!(told.load(Ordering::Relaxed), 1);
    let written = String::from_utf8(io.get_ref().written.clone()).unwrap();
    assert!(
        written.starts_with("HTTP/1.1 400 Bad Request\r\n") && written.ends_with("\"code\":\"bad_request\"}"),
        "{written}"
    );
}

/// A body that breaks its framing ends in an error that names the reason, again and again, and never in an orderly end.
#[test]
fn broken_body_is_an_error() {
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut io = scripted(&[head, b"1\r\na\nb"], None);
    let mut passed = Vec::new();
    let error = loop {
        match read(&mut io, 4096) {
            Poll::Ready(Ok(bytes)) => passed.extend_from_slice(&bytes),
            Poll::Ready(Err(error)) => break error,
            Poll::Pending => panic!("{}", passed.escape_ascii()),
        }
    };
    assert_eq!(passed, [head.as_slice(), b"1\r\na"].concat());
    assert_eq!(WireViolation::in_error(&error), Some(WireViolation::ChunkEnd));
    assert!(matches!(read(&mut io, 4096), Poll::Ready(Err(_))));
    assert!(io.get_ref().written.is_empty());
    let other = io::Error::new(io::ErrorKind::InvalidData, "something else");
    assert_eq!(WireViolation::in_error(&other), None);
}

/// What a server answers to a stream whose client then sends no more.
fn serve_stream(front: Front, stream: &[u8]) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async move {
        let (mut client, socket) = tokio::io::duplex(64 * 1024);
        let seen = Arc::new(Mutex::new(Seen::default()));
        let io = TokioIo::new(socket);
        let server = match front {
            Front::Gate => tokio::spawn(serve(front, strict(io, seen.clone()), seen)),
            Front::Bare => tokio::spawn(serve(front, io, seen)),
        };
        client.write_all(stream).await.unwrap();
        client.shutdown().await.unwrap();
        let mut received = Vec::new();
        client.read_to_end(&mut received).await.unwrap();
        server.await.unwrap();
        String::from_utf8_lossy(&received).into_owned()
    })
}

/// Whether the library took a stream as the gate did: a response of the service to every message that passed, unless one of them
/// closed the connection, and no refusal of the library's own.
fn is_agreed(run: &Run, received: &str) -> bool {
    let responses = || received.split("HTTP/1.").skip(1).filter(|response| !response.starts_with("1 100 "));
    let served = responses().filter(|response| response.contains("served: yes"));
    let closes = served.clone().any(|response| response.starts_with('0') || response.contains("connection: close"));
    let by_library =
        responses().any(|response| !response.contains("served: yes") && !response.contains("problem+json"));
    // A body that breaks or stops short is answered, or not, by the service.
    let most = run.messages + usize::from(run.inside_body);
    let served = served.count();
    !by_library && served <= most && (closes || served >= run.messages)
}

proptest! {
    #![proptest_config(config(1000))]

    /// R-111: gate and library agree on where every message begins and ends, and the library never refuses what the gate has passed.
    #[test]
    fn gate_and_library_agree(stream in mutated_stream()) {
        let run = run([stream.0.as_slice()]);
        let received = serve_stream(Front::Gate, &stream.0);
        prop_assert!(is_agreed(&run, &received), "{} messages, {:?}: {received}", run.messages, run.end);
    }
}

/// Negative control: without the gate the two do not agree.
#[test]
fn gate_and_bare_library_do_not_agree() {
    let cases = corpus().into_iter().filter(|case| case.bytes.len() < 2000);
    let differ =
        cases.filter(|case| !is_agreed(&run([case.bytes.as_slice()]), &serve_stream(Front::Bare, &case.bytes)));
    assert!(differ.count() > 50);
}
