//! Where responses end.

use crate::gateway::wire::reply::{Progress, Reply};

fn last(response: &[u8], cut: usize, is_head_method: bool) -> Vec<Progress> {
    let mut reply = Reply::new();
    let (first, second) = response.split_at(cut);
    let mut progress = vec![reply.written(first, is_head_method), reply.written(second, is_head_method)];
    progress.retain(|progress| *progress != Progress::Going);
    progress
}

/// The end of a response is seen at its last byte, wherever the library's writes are cut.
#[test]
fn ends_are_seen_at_every_cut() {
    use Progress::{Finished, Switched};
    let cases: &[(&[u8], bool, &[Progress])] = &[
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", false, &[Finished]),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, &[Finished]),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nhi", false, &[Finished]),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", true, &[Finished]),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", true, &[Finished]),
        (b"HTTP/1.1 204 No Content\r\n\r\n", false, &[Finished]),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", false, &[Finished]),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n",
            false,
            &[Finished],
        ),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\na: b\r\nc: d\r\n\r\n", false, &[Finished]),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n!", false, &[Finished]),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: a\r\n\r\n", false, &[Switched]),
        // Framed by the end of the connection, or not at all: the next request must wait for ever.
        (b"HTTP/1.1 200 OK\r\n\r\nsome", false, &[]),
        (b"HTTP/1.1 200 OK\r\ncontent-length: five\r\n\r\nhello", false, &[]),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n0\r\n\r\n", false, &[]),
        (b"HTTP/9.9 200 OK\r\ncontent-length: 0\r\n\r\n", false, &[]),
        (b"nonsense\r\n\r\n", false, &[]),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell", false, &[]),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r", false, &[]),
    ];
    for (response, is_head_method, expected) in cases {
        for cut in 0..=response.len() {
            let seen = last(response, cut, *is_head_method);
            assert_eq!(seen, *expected, "{} at {cut}", response.escape_ascii());
        }
    }
}

/// Bytes behind a complete response answer nothing; after them no end is reported any more.
#[test]
fn bytes_behind_a_response_stop_the_matching() {
    let mut reply = Reply::new();
    let one = b"HTTP/1.1 204 No Content\r\n\r\n";
    assert_eq!(reply.written(&one.repeat(2), false), Progress::Going);
    assert_eq!(reply.written(one, false), Progress::Going);
    // Negative control: one at a time, each counts.
    let mut reply = Reply::new();
    assert_eq!(reply.written(one, false), Progress::Finished);
    assert_eq!(reply.written(one, false), Progress::Finished);
}
