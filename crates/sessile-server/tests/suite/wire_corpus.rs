//! What clients may put on an HTTP/1 connection, good and bad, and what must become of it (R-111, R-113, R-114; P3 to P12, P17).
//!
//! The table is plain data. The unit tests of the wire gate run it against the pure machine, against the gate with the HTTP library
//! behind it, and against the library alone (the negative control). A test of the binary can run it over TCP:
//!
//! ```text
//! for case in corpus_for("localhost:1234") {
//!     let heard = converse(address, &case);
//!     judge(&case, &heard).unwrap();
//! }
//! ```
//!
//! given a server for that host that answers 2xx to every method on every path, and reads bodies before it answers.

// Two crates include this file, and each uses its part.
#![allow(dead_code)]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Bytes a client sends, and what must become of them.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// The rule at stake: P and R numbers of the requirements, or a section of RFC 9112.
    pub(crate) rule: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) expect: Expect,
    /// Whether the HTTP library alone serves it: without the gate these would be open.
    pub(crate) bare: Bare,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// So many requests, all served.
    Served(usize),
    /// After so many served requests: refused by the wire gate with this status and reason code; the connection closes.
    Refused { after: usize, status: u16, code: &'static str },
    /// After so many served requests: the head is good, the body breaks its framing. Never served; the connection closes.
    Broken { after: usize, code: &'static str },
    /// Refused by the head gate with this status and reason code.
    RefusedHead { status: u16, code: &'static str },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bare {
    /// The library answers 2xx.
    Serves,
    /// It does not, or it does not matter.
    Other,
}

use Expect::{Broken, Refused, RefusedHead, Served};

/// The corpus for a made-up host.
pub(crate) fn corpus() -> Vec<Case> {
    corpus_for("app.example")
}

/// The corpus for `host`, which may carry a port.
pub(crate) fn corpus_for(host: &str) -> Vec<Case> {
    let mut table = Table { host: host.as_bytes().to_vec(), cases: Vec::new() };
    good(&mut table);
    line_ends(&mut table);
    request_lines(&mut table);
    targets(&mut table);
    hosts(&mut table);
    fields(&mut table);
    lengths(&mut table);
    codings(&mut table);
    chunks(&mut table);
    trailers(&mut table);
    sizes(&mut table);
    pipelines(&mut table);
    paths(&mut table);
    table.cases
}

struct Table {
    host: Vec<u8>,
    cases: Vec<Case>,
}

impl Table {
    /// `$H` in `bytes` stands for the host.
    fn add(&mut self, name: &'static str, rule: &'static str, bytes: impl AsRef<[u8]>, expect: Expect) -> &mut Case {
        let bytes = replace(bytes.as_ref(), b"$H", &self.host);
        self.cases.push(Case { name, rule, bytes, expect, bare: Bare::Other });
        self.cases.last_mut().expect("one was pushed")
    }

    fn refused(
        &mut self,
        name: &'static str,
        rule: &'static str,
        bytes: impl AsRef<[u8]>,
        code: &'static str,
    ) -> &mut Case {
        self.add(name, rule, bytes, Refused { after: 0, status: 400, code })
    }

    fn broken(
        &mut self,
        name: &'static str,
        rule: &'static str,
        body: impl AsRef<[u8]>,
        code: &'static str,
    ) -> &mut Case {
        self.add(name, rule, chunked(body), Broken { after: 0, code })
    }
}

impl Case {
    fn served_bare(&mut self) {
        self.bare = Bare::Serves;
    }

    /// For the message of a failed test.
    pub(crate) fn shown(&self) -> String {
        let begin = &self.bytes[..self.bytes.len().min(400)];
        format!("\"{}\" ({}), {:?}: {}", self.name, self.rule, self.expect, begin.escape_ascii())
    }
}

fn replace(bytes: &[u8], mark: &[u8], by: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(mark) {
            out.extend_from_slice(by);
            rest = after;
        } else {
            out.push(rest[0]);
            rest = &rest[1..];
        }
    }
    out
}

fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: $H\r\n\r\n").into_bytes()
}

fn with_field(field: impl AsRef<[u8]>) -> Vec<u8> {
    [b"GET / HTTP/1.1\r\nHost: $H\r\n", field.as_ref(), b"\r\n\r\n"].concat()
}

fn with_host_line(line: impl AsRef<[u8]>) -> Vec<u8> {
    [b"GET / HTTP/1.1\r\n", line.as_ref(), b"\r\n\r\n"].concat()
}

fn post(fields: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Vec<u8> {
    [b"POST / HTTP/1.1\r\nHost: $H\r\n", fields.as_ref(), b"\r\n\r\n", body.as_ref()].concat()
}

fn chunked(body: impl AsRef<[u8]>) -> Vec<u8> {
    post("Transfer-Encoding: chunked", body)
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: $H\r\n\r\n";

#[rustfmt::skip]
fn good(t: &mut Table) {
    let rule = "positive control";
    t.add("get", rule, GET, Served(1));
    t.add("no blank after the colon", rule, b"GET / HTTP/1.1\r\nHost:$H\r\n\r\n", Served(1));
    t.add("field names in any case", rule, b"GET / HTTP/1.1\r\nhOST: $H\r\nX-a: b\r\n\r\n", Served(1));
    t.add(
        "a browser's request",
        rule,
        b"GET /a/b.html?c=d&e HTTP/1.1\r\nHost: $H\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n\
          Accept: text/html,*/*;q=0.8\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nCookie: a=b; c=d\r\n\
          Sec-Fetch-Site: none\r\nConnection: keep-alive\r\n\r\n",
        Served(1),
    );
    t.add("post with a length", rule, post("Content-Length: 5", "hello"), Served(1));
    t.add("post with length zero", rule, post("Content-Length: 0", ""), Served(1));
    t.add("post without a body", rule, b"POST / HTTP/1.1\r\nHost: $H\r\n\r\n", Served(1));
    t.add("get with a body", rule, b"GET / HTTP/1.1\r\nHost: $H\r\nContent-Length: 2\r\n\r\nhi", Served(1));
    t.add("body that looks like a request", rule, post("Content-Length: 18", "GET / HTTP/1.1\r\n\r\n"), Served(1));
    t.add("chunked", rule, chunked("5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"), Served(1));
    t.add("chunked, empty", rule, chunked("0\r\n\r\n"), Served(1));
    t.add("chunk size in capitals", rule, chunked("A\r\n0123456789\r\n0\r\n\r\n"), Served(1));
    t.add("chunk size of 16 digits", rule, chunked("0000000000000005\r\nhello\r\n0\r\n\r\n"), Served(1));
    t.add("chunk data with line ends", rule, chunked("6\r\na\nb\r\nc\r\n0\r\n\r\n"), Served(1));
    t.add("chunk extension", rule, chunked("5;a=b;c=\"d e\"\r\nhello\r\n0;z\r\n\r\n"), Served(1));
    t.add("harmless trailer", rule, chunked("5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-More:\r\n\r\n"), Served(1));
    t.add("coding name in any case", rule, post("Transfer-Encoding: Chunked", "0\r\n\r\n"), Served(1));
    t.add("coding without a blank", rule, post("Transfer-Encoding:chunked", "0\r\n\r\n"), Served(1));
    t.add("http/1.0", rule, b"GET / HTTP/1.0\r\nHost: $H\r\n\r\n", Served(1));
    t.add("http/1.0 with a length", rule, b"POST / HTTP/1.0\r\nHost: $H\r\nContent-Length: 2\r\n\r\nhi", Served(1));
    t.add("head", rule, b"HEAD / HTTP/1.1\r\nHost: $H\r\nConnection: close\r\n\r\n", Served(1));
    t.add("options of a path", rule, b"OPTIONS /a HTTP/1.1\r\nHost: $H\r\n\r\n", Served(1));
    t.add("options of the server", "RFC 9112 3.2.4", b"OPTIONS * HTTP/1.1\r\nHost: $H\r\n\r\n", Served(1));
    t.add("put", rule, b"PUT /a HTTP/1.1\r\nHost: $H\r\nContent-Length: 1\r\n\r\na", Served(1));
    t.add("delete", rule, b"DELETE /a HTTP/1.1\r\nHost: $H\r\n\r\n", Served(1));
    t.add("webdav method with a hyphen", rule, b"VERSION-CONTROL /a HTTP/1.1\r\nHost: $H\r\n\r\n", Served(1));
    t.add("absolute-form of the same host", "P10, RFC 9112 3.2.2", b"GET http://$H/a?b HTTP/1.1\r\nHost: $H\r\n\r\n", Served(1));
    t.add("absolute-form, capitals in the scheme", "P10", b"GET HTTPS://$H/ HTTP/1.1\r\nHost: $H\r\n\r\n", Served(1));
    t.add("two requests at once", rule, [GET, GET].concat(), Served(2));
    t.add("post and get at once", rule, [&post("Content-Length: 5", "hello"), GET].concat(), Served(2));
    t.add("chunked and get at once", rule, [&chunked("5\r\nhello\r\n0\r\n\r\n"), GET].concat(), Served(2));
    t.add("trailer and get at once", rule, [&chunked("0\r\nA: b\r\n\r\n"), GET].concat(), Served(2));
    t.add("twenty requests at once", rule, GET.repeat(20), Served(20));
    t.add("query with what browsers leave raw", rule, get("/a?b=[1]&c={2}|3^4`5\\6&d=%zz&e=100%&f='/?;:@"), Served(1));
    t.add("path with encoded blanks and letters", "P17", get("/a%20b/%C3%A9/%40c/%3A,d!$&'()*+=:@"), Served(1));
    t.add("path with a trailing slash", "P17", get("/a/b/"), Served(1));
    t.add("path with parameters behind a name", "P17", get("/hero;id=3;name=x/detail"), Served(1));
    t.add("dots inside names", "P17", get("/.well-known/a..b/...x/c./.d/..."), Served(1));
    t.add("encoded percent", "P17", get("/100%25/50%25off/a%2520b"), Served(1));
    t.add("obs-text in a value", "RFC 9110 5.5", with_field(b"X-Name: Andr\xe9"), Served(1));
    t.add("tab inside a value", "RFC 9110 5.5", with_field("X-A: b\tc"), Served(1));
    t.add("blanks around a value", "RFC 9112 5", with_field("X-A: \t b \t"), Served(1));
    t.add("empty value", "RFC 9110 5.5", with_field("X-A:"), Served(1));
    t.add("several cookie fields", "R-012", with_field("Cookie: a=b\r\nCookie: c=d"), Served(1));
    t.add("underscore in an ordinary name", "P14", with_field("X_A: b"), Served(1));
    t.add("expectation", "RFC 9110 10.1.1", post("Content-Length: 2\r\nExpect: 100-continue", "hi"), Served(1));
    t.add(
        "upgrade offered, not taken, next request behind it",
        "C4, RUSTSEC-2026-0033",
        [b"GET / HTTP/1.1\r\nHost: $H\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n".as_slice(), GET].concat(),
        Served(2),
    );
}

#[rustfmt::skip]
fn line_ends(t: &mut Table) {
    let rule = "RFC 9112 2.2";
    t.refused("bare LF everywhere", rule, b"GET / HTTP/1.1\nHost: $H\n\n", "bare_lf").served_bare();
    t.refused("bare LF after the request line", rule, b"GET / HTTP/1.1\nHost: $H\r\n\r\n", "bare_lf").served_bare();
    t.refused("bare LF after a field", rule, b"GET / HTTP/1.1\r\nHost: $H\nA: b\r\n\r\n", "bare_lf").served_bare();
    t.refused("bare LF for the empty line", rule, b"GET / HTTP/1.1\r\nHost: $H\r\n\n", "bare_lf").served_bare();
    t.refused("LF CR LF", rule, b"GET / HTTP/1.1\r\nHost: $H\n\r\n", "bare_lf").served_bare();
    t.refused("bare CR as a line end", "P9", b"GET / HTTP/1.1\rHost: $H\r\r", "bare_cr");
    t.refused("bare CR in a value", "P9", with_field("A: b\rc: d"), "bare_cr");
    t.refused("bare CR in the target", "P9", b"GET /a\rb HTTP/1.1\r\nHost: $H\r\n\r\n", "bare_cr");
    t.refused("CR CR LF", "P9", b"GET / HTTP/1.1\r\r\nHost: $H\r\n\r\n", "bare_cr");
    t.refused("NUL in a value", rule, with_field("A: b\0c"), "control_byte");
    t.refused("NUL in a name", rule, with_field("A\0: b"), "control_byte");
    t.refused("NUL in the target", rule, b"GET /\0 HTTP/1.1\r\nHost: $H\r\n\r\n", "control_byte");
    t.refused("vertical tab in a value", rule, with_field("A: b\x0bc"), "control_byte");
    t.refused("ESC in a value", "R-170", with_field("User-Agent: \x1b[2J"), "control_byte");
    t.refused("DEL in a value", rule, with_field("A: b\x7fc"), "control_byte");
}

#[rustfmt::skip]
fn request_lines(t: &mut Table) {
    let rule = "RFC 9112 3";
    let versions = |version: &str| format!("GET / {version}\r\nHost: $H\r\n\r\n");
    let not_supported = Refused { after: 0, status: 505, code: "version" };
    let no_tunnel = Refused { after: 0, status: 405, code: "method_refused" };
    t.refused("empty line first", "RFC 9112 2.2", [b"\r\n", GET].concat(), "empty_line").served_bare();
    t.refused("LF first", "RFC 9112 2.2", [b"\n", GET].concat(), "empty_line").served_bare();
    t.refused("blank first", rule, [b" ", GET].concat(), "not_http");
    t.refused("TLS on a plain port", rule, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "not_http");
    t.refused("NUL first", rule, b"\0\0\0\0", "not_http");
    t.refused("another protocol", rule, b"SSH-2.0-OpenSSH_9.2\r\n", "request_line");
    t.refused("two blanks before the target", rule, b"GET  / HTTP/1.1\r\nHost: $H\r\n\r\n", "request_line");
    t.refused("two blanks behind the target", rule, b"GET /  HTTP/1.1\r\nHost: $H\r\n\r\n", "request_line");
    t.refused("blank in the target", rule, b"GET /a b HTTP/1.1\r\nHost: $H\r\n\r\n", "request_line");
    t.refused("blank behind the version", rule, b"GET / HTTP/1.1 \r\nHost: $H\r\n\r\n", "request_line");
    t.refused("tabs for blanks", rule, b"GET\t/\tHTTP/1.1\r\nHost: $H\r\n\r\n", "request_line");
    t.refused("http/0.9", rule, b"GET /\r\n", "request_line");
    t.refused("no target", rule, b"GET HTTP/1.1\r\nHost: $H\r\n\r\n", "request_line");
    t.refused("version in lower case", rule, versions("http/1.1"), "request_line");
    t.refused("version with two digits", rule, versions("HTTP/1.10"), "request_line");
    t.refused("version with a comma", rule, versions("HTTP/1,1"), "request_line");
    t.refused("version without a minor", rule, versions("HTTP/1"), "request_line");
    t.add("version 1.2", "RFC 9110 2.5", versions("HTTP/1.2"), not_supported);
    t.add("version 0.9", "RFC 9110 2.5", versions("HTTP/0.9"), not_supported);
    t.add("version 2.0", "RFC 9110 2.5", versions("HTTP/2.0"), not_supported);
    t.add("version 3.0", "RFC 9110 2.5", versions("HTTP/3.0"), not_supported);
    t.add(
        "http/2 preface",
        "H9",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        Refused { after: 0, status: 505, code: "http2_preface" },
    );
    t.refused("method in lower case", "RFC 9110 9.1", b"get / HTTP/1.1\r\nHost: $H\r\n\r\n", "method").served_bare();
    t.refused("method in mixed case", "RFC 9110 9.1", b"Post / HTTP/1.1\r\nHost: $H\r\n\r\n", "method").served_bare();
    t.refused("method with a symbol", "RFC 9110 9.1", b"GET! / HTTP/1.1\r\nHost: $H\r\n\r\n", "method").served_bare();
    t.refused("method with a bracket", "RFC 9110 9.1", b"GE(T / HTTP/1.1\r\nHost: $H\r\n\r\n", "method");
    t.refused("method of 33 letters", "RFC 9110 9.1", [&b"A".repeat(33), &GET[3..]].concat(), "method").served_bare();
    t.add("trace", "P12", b"TRACE / HTTP/1.1\r\nHost: $H\r\n\r\n", no_tunnel).served_bare();
    t.add("track", "P12", b"TRACK / HTTP/1.1\r\nHost: $H\r\n\r\n", no_tunnel).served_bare();
    t.add("connect", "P12", b"CONNECT $H HTTP/1.1\r\nHost: $H\r\n\r\n", no_tunnel).served_bare();
    t.add("connect of a path", "P12", b"CONNECT / HTTP/1.1\r\nHost: $H\r\n\r\n", no_tunnel).served_bare();
}

#[rustfmt::skip]
fn targets(t: &mut Table) {
    t.refused("fragment", "P17, B2", get("/a#b"), "fragment").served_bare();
    t.refused("fragment behind a query", "P17, B2", get("/a?b#c"), "fragment").served_bare();
    t.refused("fragment hiding a suffix", "P17, B2", get("/private#/public"), "fragment").served_bare();
    t.refused("absolute-form of another host", "P10", get("http://other.example/"), "target_authority").served_bare();
    t.refused("absolute-form of another port", "P10", get("http://$H9/"), "target_authority").served_bare();
    t.refused("absolute-form with user information", "P10, P19", get("http://$H@other.example/"), "target").served_bare();
    t.refused("absolute-form without a path", "RFC 9112 3.2.2", get("http://$H"), "target").served_bare();
    t.refused("absolute-form with a query only", "RFC 9112 3.2.2", get("http://$H?a"), "target").served_bare();
    t.refused("absolute-form without a host", "RFC 9112 3.2.2", get("http:///a"), "target");
    t.refused("another scheme", "P19", get("ftp://$H/"), "target").served_bare();
    t.refused("file scheme", "P19", get("file:///etc/passwd"), "target");
    t.refused("authority-form", "RFC 9112 3.2.3", get("$H"), "target").served_bare();
    t.refused("asterisk with get", "RFC 9112 3.2.4", get("*"), "target").served_bare();
    t.refused("path without a slash", "RFC 9112 3.2.1", get("index.html"), "target").served_bare();
    t.refused("query alone", "RFC 9112 3.2.1", get("?a=b"), "target");
    t.refused("raw non-ASCII in the path", "P17", "GET /caf\u{e9} HTTP/1.1\r\nHost: $H\r\n\r\n", "target").served_bare();
    t.refused("raw byte above 0x7F in the query", "P17", b"GET /?\xff HTTP/1.1\r\nHost: $H\r\n\r\n", "target");
    t.refused("raw backslash", "P17", get("/a\\..\\b"), "target").served_bare();
    t.refused("raw quotation mark", "P17", get("/a\"b"), "target").served_bare();
    t.refused("raw brace", "P17", get("/a{b}"), "target").served_bare();
    t.refused("raw angle bracket", "P17", get("/<script>"), "target");
}

#[rustfmt::skip]
fn hosts(t: &mut Table) {
    let rule = "P10, RFC 9112 3.2";
    t.refused("no host", rule, b"GET / HTTP/1.1\r\nA: b\r\n\r\n", "host_missing").served_bare();
    t.refused("no fields at all", rule, b"GET / HTTP/1.1\r\n\r\n", "host_missing").served_bare();
    t.refused("no host in http/1.0", rule, b"GET / HTTP/1.0\r\n\r\n", "host_missing").served_bare();
    t.refused("no host beside absolute-form", rule, b"GET http://$H/ HTTP/1.1\r\n\r\n", "host_missing").served_bare();
    t.refused("two hosts, equal", rule, with_host_line("Host: $H\r\nHost: $H"), "host_repeated").served_bare();
    t.refused("two hosts, different", rule, with_host_line("Host: $H\r\nHost: other.example"), "host_repeated").served_bare();
    t.refused("empty host", rule, with_host_line("Host:"), "host_invalid").served_bare();
    t.refused("blank inside the host", rule, with_host_line("Host: $H other"), "host_invalid").served_bare();
    t.refused("list of hosts", rule, with_host_line("Host: $H, other.example"), "host_invalid").served_bare();
    t.refused("host with a path", rule, with_host_line("Host: $H/a"), "host_invalid").served_bare();
    t.refused("host with user information", rule, with_host_line("Host: user@$H"), "host_invalid").served_bare();
    t.refused("host with a scheme", rule, with_host_line("Host: http://$H"), "host_invalid").served_bare();
    t.refused("host with an encoded byte", rule, with_host_line("Host: a%2fb"), "host_invalid").served_bare();
    t.refused("host in another alphabet", rule, "GET / HTTP/1.1\r\nHost: ex\u{e4}mple\r\n\r\n", "host_invalid").served_bare();
    t.refused("host with an empty port", rule, with_host_line("Host: a.example:"), "host_invalid").served_bare();
    t.refused("host with letters for a port", rule, with_host_line("Host: a.example:http"), "host_invalid").served_bare();
    t.refused("host with a port too large", rule, with_host_line("Host: a.example:65536"), "host_invalid").served_bare();
    t.refused("host with two ports", rule, with_host_line("Host: a.example:80:80"), "host_invalid").served_bare();
    t.refused("address without its bracket", rule, with_host_line("Host: [::1"), "host_invalid").served_bare();
    t.refused("address that is none", rule, with_host_line("Host: [::g]"), "host_invalid").served_bare();
    t.refused("address without brackets", rule, with_host_line("Host: ::1"), "host_invalid").served_bare();
    t.refused("tab before the host", rule, with_host_line("Host:\t$H"), "host_invalid").served_bare();
    t.refused("blank behind the host", rule, with_host_line("Host: $H "), "host_invalid").served_bare();
    t.refused("host of 256 letters", rule, with_host_line(format!("Host: {}", "a".repeat(256))), "host_invalid").served_bare();
}

#[rustfmt::skip]
fn fields(t: &mut Table) {
    t.refused("blank before the colon", "P7", with_field("A : b"), "space_before_colon");
    t.refused("tab before the colon", "P7", with_field("A\t: b"), "space_before_colon");
    t.refused("blank before the colon of host", "P7", with_host_line("Host : $H"), "space_before_colon");
    t.refused("blank before the colon of the coding", "P7", with_field("Transfer-Encoding : chunked"), "space_before_colon");
    t.refused("folded value", "P8", with_field("A: b\r\n c"), "obs_fold");
    t.refused("folded value, tab", "P8", with_field("A: b\r\n\tc"), "obs_fold");
    t.refused("folded coding", "P8", post("Transfer-Encoding:\r\n chunked", "0\r\n\r\n"), "transfer_encoding");
    t.refused("folded host", "P8", with_host_line("Host:\r\n $H"), "host_invalid");
    t.refused("fold behind the request line", "P8", b"GET / HTTP/1.1\r\n Host: $H\r\n\r\n", "obs_fold");
    t.refused("fold of blanks alone", "P8", with_field("A: b\r\n "), "obs_fold");
    t.refused("no colon", "RFC 9112 5", with_field("A"), "field_name");
    t.refused("empty name", "RFC 9112 5", with_field(": b"), "field_name");
    t.refused("blank in a name", "RFC 9110 5.1", with_field("A B: c"), "field_name");
    t.refused("bracket in a name", "RFC 9110 5.1", with_field("A(B): c"), "field_name");
    t.refused("non-ASCII in a name", "RFC 9110 5.1", with_field("\u{c4}: b"), "field_name");
    t.refused("request line as a field", "RFC 9112 5", with_field("GET /admin HTTP/1.1"), "field_name");
}

#[rustfmt::skip]
fn lengths(t: &mut Table) {
    let rule = "P4, RFC 9112 6.3";
    let length = |value: &str| post(format!("Content-Length:{value}"), "hello");
    t.refused("length with a plus", rule, length(" +5"), "content_length");
    t.refused("length below zero", rule, length(" -5"), "content_length");
    t.refused("length in hexadecimal", rule, length(" 0x5"), "content_length");
    t.refused("length with a blank behind", rule, length(" 5 "), "content_length").served_bare();
    t.refused("length with a tab behind", rule, length(" 5\t"), "content_length").served_bare();
    t.refused("length with a tab before", rule, length("\t5"), "content_length").served_bare();
    t.refused("length with two blanks before", rule, length("  5"), "content_length").served_bare();
    t.refused("length with a leading zero", rule, length(" 05"), "content_length").served_bare();
    t.refused("length as a list, equal", rule, length(" 5, 5"), "content_length");
    t.refused("length as a list, different", rule, length(" 5, 6"), "content_length");
    t.refused("length with a fraction", rule, length(" 5.0"), "content_length");
    t.refused("length with an exponent", rule, length(" 5e0"), "content_length");
    t.refused("length with a group separator", rule, length(" 1_0"), "content_length");
    t.refused("length empty", rule, length(""), "content_length");
    t.refused("length in other digits", rule, length(" \u{0665}"), "content_length");
    t.refused("length of 2^63", rule, length(" 9223372036854775808"), "content_length");
    t.refused("length of 2^64 + 5", rule, length(" 18446744073709551621"), "content_length");
    t.refused("length of 40 digits", rule, length(&format!(" {}", "1".repeat(40))), "content_length");
    t.refused("length twice, equal", rule, length(" 5\r\nContent-Length: 5"), "content_length_repeated").served_bare();
    t.refused("length twice, different", rule, length(" 5\r\nContent-Length: 4"), "content_length_repeated");
    t.refused("length alias, underscore", "P14", length(" 5\r\nContent_Length: 0"), "framing_alias").served_bare();
    t.refused("length alias, dot", "P14", length(" 5\r\nContent.Length: 0"), "framing_alias").served_bare();
}

#[rustfmt::skip]
fn codings(t: &mut Table) {
    let rule = "P5, RFC 9112 6.1";
    let coding = |value: &str| post(format!("Transfer-Encoding:{value}"), "0\r\n\r\n");
    let not_understood = Refused { after: 0, status: 501, code: "transfer_coding" };
    t.refused("length, then coding", "P3", post("Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n"), "length_and_chunked").served_bare();
    t.refused("coding, then length", "P3", post("Transfer-Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\n"), "length_and_chunked").served_bare();
    t.refused("coding and length zero", "P3", post("Transfer-Encoding: chunked\r\nContent-Length: 0", "0\r\n\r\n"), "length_and_chunked").served_bare();
    t.refused("unknown coding", rule, coding(" xchunked"), "transfer_encoding");
    t.refused("identity", rule, coding(" identity"), "transfer_encoding");
    t.refused("identity, chunked", rule, coding(" identity, chunked"), "transfer_encoding").served_bare();
    t.refused("chunked, identity", rule, coding(" chunked, identity"), "transfer_encoding");
    t.refused("chunked twice in a list", rule, coding(" chunked, chunked"), "transfer_encoding").served_bare();
    t.refused("chunked in two fields", rule, coding(" chunked\r\nTransfer-Encoding: chunked"), "transfer_encoding_repeated").served_bare();
    t.refused("identity behind chunked", rule, coding(" chunked\r\nTransfer-Encoding: identity"), "transfer_encoding_repeated");
    t.refused("comma before chunked", rule, coding(" , chunked"), "transfer_encoding").served_bare();
    t.refused("comma behind chunked", rule, coding(" chunked,"), "transfer_encoding");
    t.refused("tab before chunked", rule, coding("\tchunked"), "transfer_encoding").served_bare();
    t.refused("blank behind chunked", rule, coding(" chunked "), "transfer_encoding").served_bare();
    t.refused("two blanks before chunked", rule, coding("  chunked"), "transfer_encoding").served_bare();
    t.refused("vertical tab before chunked", rule, coding(" \x0bchunked"), "control_byte");
    t.refused("quoted chunked", rule, coding(" \"chunked\""), "transfer_encoding");
    t.refused("chunked with a parameter", rule, coding(" chunked;a=b"), "transfer_encoding");
    t.refused("chunked in look-alike letters", rule, coding(" chun\u{212a}ed"), "transfer_encoding");
    t.refused("empty coding", rule, coding(""), "transfer_encoding");
    t.refused("gzip alone", rule, coding(" gzip"), "transfer_encoding");
    t.add("gzip, chunked", rule, coding(" gzip, chunked"), not_understood).served_bare();
    t.add("deflate, gzip, chunked", rule, coding(" deflate,gzip, chunked"), not_understood).served_bare();
    t.refused(
        "coding in http/1.0",
        "P5, C5",
        b"POST / HTTP/1.0\r\nHost: $H\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "transfer_encoding_http10",
    );
    t.refused("coding alias, underscore", "P14", post("Transfer_Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\n"), "framing_alias").served_bare();
    t.refused("coding alias, dot", "P14", post("Transfer.Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\n"), "framing_alias").served_bare();
    t.refused("coding name with NUL", rule, post("Transfer-Encoding\0: chunked", "0\r\n\r\n"), "control_byte");
}

#[rustfmt::skip]
fn chunks(t: &mut Table) {
    let rule = "P6, C2, RFC 9112 7.1";
    let many = b"1;eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee\r\na\r\n".repeat(200);
    t.broken("size of 17 digits", rule, "00000000000000005\r\nhello\r\n0\r\n\r\n", "chunk_size").served_bare();
    t.broken("size that wraps to 5", rule, "10000000000000005\r\nhello\r\n0\r\n\r\n", "chunk_size");
    t.broken("size of 2^64 - 1", rule, "ffffffffffffffff\r\nhello\r\n0\r\n\r\n", "chunk_size");
    t.broken("size of 2^63", rule, "8000000000000000\r\nhello\r\n0\r\n\r\n", "chunk_size");
    t.broken("size below zero", rule, "-5\r\nhello\r\n0\r\n\r\n", "chunk_size");
    t.broken("size with a plus", rule, "+5\r\nhello\r\n0\r\n\r\n", "chunk_size");
    t.broken("size with 0x", rule, "0x5\r\nhello\r\n0\r\n\r\n", "chunk_size");
    t.broken("size with a blank behind", rule, "5 \r\nhello\r\n0\r\n\r\n", "chunk_size").served_bare();
    t.broken("size with a tab behind", rule, "5\t\r\nhello\r\n0\r\n\r\n", "chunk_size").served_bare();
    t.broken("size with a blank before", rule, " 5\r\nhello\r\n0\r\n\r\n", "chunk_size");
    t.broken("no size", rule, "\r\nhello\r\n0\r\n\r\n", "chunk_size");
    t.broken("no size, extension", rule, ";a\r\nhello\r\n0\r\n\r\n", "chunk_size");
    t.broken("size in letters beyond f", rule, "g\r\nhello\r\n0\r\n\r\n", "chunk_size");
    t.broken("bare LF behind the size", rule, "5\nhello\r\n0\r\n\r\n", "bare_lf");
    t.broken("bare LF behind the last size", rule, "5\r\nhello\r\n0\n\r\n", "bare_lf");
    t.broken("bare CR behind the size", rule, "5\rhello\r\n0\r\n\r\n", "bare_cr");
    t.broken("bare LF behind the data", rule, "5\r\nhello\n0\r\n\r\n", "chunk_end");
    t.broken("bare CR behind the data", rule, "5\r\nhello\r0\r\n\r\n", "chunk_end");
    t.broken("size too small", rule, "4\r\nhello\r\n0\r\n\r\n", "chunk_end");
    t.broken("size too large", rule, "7\r\nhello\r\n0\r\n\r\n", "chunk_end");
    t.broken("nothing between data and size", rule, "5\r\nhello0\r\n\r\n", "chunk_end");
    t.broken("bare LF in an extension", rule, "5;a\nb\r\nhello\r\n0\r\n\r\n", "bare_lf");
    t.broken("bare CR in an extension", rule, "5;a\rb\r\nhello\r\n0\r\n\r\n", "bare_cr");
    t.broken("NUL in an extension", rule, "5;a\0b\r\nhello\r\n0\r\n\r\n", "chunk_extension").served_bare();
    t.broken("non-ASCII in an extension", rule, "5;\u{e9}\r\nhello\r\n0\r\n\r\n", "chunk_extension").served_bare();
    t.broken("extension of 300 bytes", rule, format!("5;{}\r\nhello\r\n0\r\n\r\n", "e".repeat(300)), "chunk_extension").served_bare();
    t.broken("200 extensions of 50 bytes", rule, [many, b"0\r\n\r\n".to_vec()].concat(), "chunk_extension").served_bare();
}

#[rustfmt::skip]
fn trailers(t: &mut Table) {
    let rule = "P6, RFC 9110 6.5.1";
    let trailer = |section: &str| format!("5\r\nhello\r\n0\r\n{section}\r\n\r\n");
    t.broken("length in the trailers", rule, trailer("Content-Length: 3"), "trailer_field").served_bare();
    t.broken("coding in the trailers", rule, trailer("A: b\r\nTransfer-Encoding: chunked"), "trailer_field").served_bare();
    t.broken("host in the trailers", rule, trailer("Host: other.example"), "trailer_field").served_bare();
    t.broken("authorization in the trailers", rule, trailer("authorization: Bearer x"), "trailer_field").served_bare();
    t.broken("cookie in the trailers", rule, trailer("Cookie: a=b"), "trailer_field").served_bare();
    t.broken("trailer without a colon", rule, trailer("A"), "field_name");
    t.broken("trailer with a blank before its colon", "P7", trailer("A : b"), "space_before_colon");
    t.broken("folded trailer", "P8", trailer("A: b\r\n c"), "obs_fold");
    t.broken("bare LF behind a trailer", "P6", "0\r\nA: b\n\r\n", "bare_lf");
    t.broken("bare LF at the end", "P6", "0\r\nA: b\r\n\n", "bare_lf");
    t.broken("NUL in a trailer", "P6", trailer("A: b\0"), "control_byte");
    t.broken("request line as a trailer", "P6", trailer("GET /admin HTTP/1.1"), "field_name");
    t.broken("33 trailers", "P6", trailer(&["A: b"; 33].join("\r\n")), "trailers_too_large").served_bare();
    t.broken("trailer of 5000 bytes", "P6", trailer(&format!("A: {}", "b".repeat(5000))), "trailers_too_large").served_bare();
}

#[rustfmt::skip]
fn sizes(t: &mut Table) {
    let too_large = |code| Refused { after: 0, status: 431, code };
    let head_of = |bytes: usize| {
        let begin = b"GET / HTTP/1.1\r\nHost: a.example\r\nA: ";
        [begin.as_slice(), &b"a".repeat(bytes - begin.len() - 4), b"\r\n\r\n"].concat()
    };
    let fields = |count: usize| with_field(vec!["A: b"; count - 1].join("\r\n"));
    t.add("100 fields", "R-119, H11", fields(100), Served(1));
    t.add("101 fields", "R-119, H11", fields(101), too_large("too_many_fields"));
    t.add("5000 short fields", "R-119, H11", fields(5000), too_large("too_many_fields"));
    t.add("field of 20 KiB", "R-119", with_field(format!("A: {}", "b".repeat(20 * 1024))), Served(1));
    t.add("head of 32 KiB and a byte", "R-119, H11", head_of(32 * 1024 + 1), too_large("head_too_large")).served_bare();
    t.add("head of 200 KiB", "R-119, H11", head_of(200 * 1024), too_large("head_too_large")).served_bare();
    t.add(
        "field that never ends",
        "R-119, C11",
        [b"GET / HTTP/1.1\r\nA: ".as_slice(), &b"b".repeat(40 * 1024)].concat(),
        too_large("head_too_large"),
    );
    t.add(
        "target of 33 KiB",
        "R-119, RFC 9112 3",
        get(&format!("/{}", "a".repeat(33 * 1024))),
        Refused { after: 0, status: 414, code: "target_too_long" },
    )
    .served_bare();
    t.add(
        "request line that never ends",
        "R-119, C11",
        [b"GET /".as_slice(), &b"a".repeat(40 * 1024)].concat(),
        Refused { after: 0, status: 414, code: "target_too_long" },
    );
}

#[rustfmt::skip]
fn pipelines(t: &mut Table) {
    let rule = "R-111, C1, C3";
    let after = |after, code| Refused { after, status: 400, code };
    t.add("bad behind good", rule, [GET, b"GET / HTTP/1.1\r\n\r\n"].concat(), after(1, "host_missing")).served_bare();
    t.add("trace behind good", rule, [GET, b"TRACE / HTTP/1.1\r\nHost: $H\r\n\r\n"].concat(), Refused { after: 1, status: 405, code: "method_refused" }).served_bare();
    t.add("good behind bad is never read", rule, [b"GET / HTTP/1.1\r\n\r\n", GET].concat(), after(0, "host_missing")).served_bare();
    t.add("length too small", rule, post("Content-Length: 4", [b"hello", GET].concat()), after(1, "method")).served_bare();
    t.add("empty line behind a body", rule, [&post("Content-Length: 5", "hello\r\n"), GET].concat(), after(1, "empty_line")).served_bare();
    t.add("bytes behind the last chunk", rule, chunked("0\r\n\r\nX\r\n\r\n"), after(1, "request_line"));
    t.add(
        "length and coding, request hidden for one of them",
        "P3, C1",
        post("Content-Length: 60\r\nTransfer-Encoding: chunked", [b"0\r\n\r\n".as_slice(), b"GET /admin HTTP/1.1\r\nHost: $H\r\n\r\n"].concat()),
        after(0, "length_and_chunked"),
    )
    .served_bare();
    t.add(
        "request hidden behind bad chunk framing",
        "P6, C1",
        chunked([b"5;\nGET /admin HTTP/1.1\r\nHost: $H\r\n\r\n".as_slice()].concat()),
        Broken { after: 0, code: "bare_lf" },
    );
    t.add(
        "broken body behind good",
        rule,
        [GET, &chunked("z\r\n")].concat(),
        Broken { after: 1, code: "chunk_size" },
    );
    t.add(
        "upgrade with a request hidden behind it that is bad",
        "C4, RUSTSEC-2026-0033",
        [b"GET / HTTP/1.1\r\nHost: $H\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n".as_slice(), b"GET /admin HTTP/1.1\nHost: $H\n\n"].concat(),
        after(1, "bare_lf"),
    )
    .served_bare();
}

#[rustfmt::skip]
fn paths(t: &mut Table) {
    let mut refused = |name, target: &str, code| {
        let expect = RefusedHead { status: 400, code };
        t.add(name, "P17, R-114", get(target), expect).served_bare();
    };
    refused("encoded slash", "/a%2Fb", "path_encoded_slash");
    refused("encoded slash, lower case", "/public/..%2fadmin", "path_encoded_slash");
    refused("encoded backslash", "/a%5Cb", "path_encoded_backslash");
    refused("encoded backslash, lower case", "/a%5cb", "path_encoded_backslash");
    refused("encoded NUL", "/a%00", "path_encoded_control");
    refused("encoded line end", "/a%0d%0aX:1", "path_encoded_control");
    refused("encoded tab", "/a%09", "path_encoded_control");
    refused("encoded DEL", "/a%7f", "path_encoded_control");
    refused("dot segments", "/public/../admin", "path_dot_segment");
    refused("dot segments at the end", "/public/..", "path_dot_segment");
    refused("dot segments at the start", "/../etc/passwd", "path_dot_segment");
    refused("single dot", "/public/./admin", "path_dot_segment");
    refused("single dot at the end", "/public/.", "path_dot_segment");
    refused("encoded dots", "/public/%2e%2e/admin", "path_dot_segment");
    refused("encoded dots, capitals", "/public/%2E%2E/admin", "path_dot_segment");
    refused("one encoded dot", "/public/.%2e/admin", "path_dot_segment");
    refused("other encoded dot", "/public/%2e./admin", "path_dot_segment");
    refused("encoded dot in a name", "/file%2ephp", "path_dot_segment");
    refused("dots with a parameter", "/public/..;/admin", "path_dot_segment");
    refused("dots with a value", "/public/..;a=b/admin", "path_dot_segment");
    refused("dot with a parameter", "/public/.;a/admin", "path_dot_segment");
    refused("dots with an encoded semicolon", "/public/..%3b/admin", "path_dot_segment");
    refused("parameter without a name", "/public/;a/admin", "path_empty_segment");
    refused("encoded parameter without a name", "/public/%3Ba/admin", "path_empty_segment");
    refused("empty segment", "/public//admin", "path_empty_segment");
    refused("empty segment first", "//admin", "path_empty_segment");
    refused("other host as a path", "//evil.example/", "path_empty_segment");
    refused("only slashes", "///", "path_empty_segment");
    refused("dots behind an empty segment", "/.//x", "path_dot_segment");
    refused("percent alone", "/a%", "path_triplet");
    refused("percent with one digit", "/a%2", "path_triplet");
    refused("percent with letters", "/a%zzb", "path_triplet");
    refused("percent with u", "/%u002e%u002e/admin", "path_triplet");
    refused("percent inside percent", "/%%32%65/", "path_triplet");
    refused("dot encoded twice", "/public/%252e%252e/admin", "path_double_encoding");
    refused("slash encoded twice", "/public%252fadmin", "path_double_encoding");
    refused("backslash encoded twice", "/public%255cadmin", "path_double_encoding");
    refused("NUL encoded twice", "/a%2500", "path_double_encoding");
    refused("dot encoded three times", "/%25252e/", "path_double_encoding");
    refused("semicolon encoded twice", "/..%253b/", "path_double_encoding");
    refused("digits of the second encoding encoded", "/%25%32%65/", "path_encoded_unreserved");
    refused("over-long dot", "/%c0%ae%c0%ae/admin", "path_overlong");
    refused("over-long slash", "/a%c0%afb", "path_overlong");
    refused("over-long dot, three bytes", "/%e0%80%ae/", "path_overlong");
    refused("over-long dot, four bytes", "/%f0%80%80%ae/", "path_overlong");
    refused("encoded letter", "/%61dmin", "path_encoded_unreserved");
    refused("encoded digit", "/v%31/users", "path_encoded_unreserved");
    refused("encoded tilde", "/%7Euser", "path_encoded_unreserved");
    refused("dot segments in absolute-form", "http://$H/public/../admin", "path_dot_segment");
    t.add(
        "two authorizations",
        "R-056, JA-59",
        with_field("Authorization: Bearer a\r\nAuthorization: Bearer b"),
        RefusedHead { status: 400, code: "authorization_repeated" },
    )
    .served_bare();
}

/// What came back.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Status codes of the final responses, in order.
    pub(crate) statuses: Vec<u16>,
    /// The head of the last response.
    pub(crate) head: String,
    /// The bodies, in the same order; as they stand on the wire, chunk sizes included.
    pub(crate) bodies: Vec<Vec<u8>>,
    /// Whether the server ended the connection in an orderly way.
    pub(crate) closed: bool,
    /// What was left that is not a complete response.
    pub(crate) rest: Vec<u8>,
    /// An error while reading, such as a reset.
    pub(crate) error: Option<ErrorKind>,
}

/// Sends a case's bytes and listens: until so many responses as must come have come if all are served, else until the end.
pub(crate) fn converse(server: SocketAddr, case: &Case) -> Heard {
    let until = match case.expect {
        Served(count) => count,
        RefusedHead { .. } => 1,
        Refused { .. } | Broken { .. } => usize::MAX,
    };
    talk(server, &case.bytes, until, Duration::from_secs(10))
}

/// Sends `bytes` and listens until `until` final responses have come, the server closes, or `patience` ends.
pub(crate) fn talk(server: SocketAddr, bytes: &[u8], until: usize, patience: Duration) -> Heard {
    let mut heard = Heard::default();
    let end = Instant::now() + patience;
    let mut stream = TcpStream::connect_timeout(&server, patience).expect("the server listens");
    stream.set_nodelay(true).expect("a TCP option");
    // A server that has refused stops reading; then the rest cannot be sent, and need not be.
    let mut writer = stream.try_clone().expect("a second handle");
    let sent = bytes.to_vec();
    let sender = std::thread::spawn(move || drop(writer.write_all(&sent)));
    let mut piece = [0; 16 * 1024];
    while heard.statuses.len() < until {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
            break;
        }
        match stream.read(&mut piece) {
            Ok(0) => {
                heard.closed = true;
                break;
            }
            Ok(n) => heard.rest.extend_from_slice(&piece[..n]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                break;
            }
            Err(error) => {
                heard.error = Some(error.kind());
                break;
            }
        }
        heard.parse(bytes.starts_with(b"HEAD "));
    }
    let _ = stream.shutdown(std::net::Shutdown::Both);
    let _ = sender.join();
    heard
}

impl Heard {
    /// Takes complete responses off the front of `rest`.
    fn parse(&mut self, to_head_method: bool) {
        while let Some(end) = find(&self.rest, b"\r\n\r\n").map(|at| at + 4) {
            let head = String::from_utf8_lossy(&self.rest[..end]).into_owned();
            let status = head.get(9..12).and_then(|digits| digits.parse().ok()).unwrap_or(0);
            if (100..200).contains(&status) && status != 101 {
                self.rest.drain(..end);
                continue;
            }
            let field = |name: &str| {
                let lines = head.lines().filter_map(|line| line.split_once(':'));
                lines.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim().to_owned()).next()
            };
            let length = field("content-length").and_then(|length| length.parse::<usize>().ok());
            let body_len = match length {
                _ if to_head_method => 0,
                Some(length) => length,
                None if field("transfer-encoding").is_some() => match find(&self.rest[end..], b"\r\n0\r\n\r\n") {
                    Some(at) => at + 7,
                    None if self.rest[end..].starts_with(b"0\r\n\r\n") => 5,
                    None => return,
                },
                None => 0,
            };
            if self.rest.len() < end + body_len {
                return;
            }
            self.bodies.push(self.rest[end..end + body_len].to_vec());
            self.rest.drain(..end + body_len);
            self.head = head;
            self.statuses.push(status);
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Whether what came back is what the case demands, as seen from outside.
pub(crate) fn judge(case: &Case, heard: &Heard) -> Result<(), String> {
    let served = |count: usize| heard.statuses.iter().take(count).all(|status| (200..300).contains(status));
    let fail = |why: &str| Err(format!("{why}: {} {heard:?}", case.shown()));
    if !heard.rest.is_empty() {
        return fail("something that is no response came back");
    }
    match case.expect {
        Served(count) if heard.statuses.len() == count && served(count) => Ok(()),
        Served(_) => fail("must be served"),
        Refused { after, status, .. } => {
            if heard.statuses.len() != after + 1 || !served(after) || heard.statuses[after] != status {
                return fail("must be refused");
            }
            if !heard.closed {
                return fail("must be closed");
            }
            let lower = heard.head.to_ascii_lowercase();
            let wanted = [
                "connection: close",
                "content-type: application/problem+json",
                "cache-control: no-store",
                "x-content-type-options: nosniff",
            ];
            match wanted.iter().find(|field| !lower.contains(*field)) {
                Some(_) => fail("the refusal lacks a field"),
                None => Ok(()),
            }
        }
        // The head was admitted, so the service may have answered what it likes, but not as if the request were complete.
        Broken { after, .. } => {
            if !served(after) || heard.statuses.len() > after + 1 {
                return fail("nothing behind the broken body may be served");
            }
            if heard.statuses.get(after).is_some_and(|status| (200..300).contains(status)) {
                return fail("the broken body must not be served");
            }
            if heard.closed || heard.error.is_some() { Ok(()) } else { fail("must be closed") }
        }
        RefusedHead { status, .. } if heard.statuses == [status] => Ok(()),
        RefusedHead { .. } => fail("must be refused"),
    }
}
