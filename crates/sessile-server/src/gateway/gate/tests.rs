//! Tests of the head gate. The corpus beside the tests of the binary holds its HTTP/1 cases; here is what needs a parsed head.

use http::Request;
use http::request::{Builder, Parts};
use proptest::prelude::*;

use super::path::hex_pair;
use super::*;

mod http2;

fn parts(builder: Builder) -> Parts {
    builder.body(()).unwrap().into_parts().0
}

fn h1(target: &str) -> Builder {
    Request::builder().uri(target).header("host", "app.example")
}

fn h2(path: &str) -> Builder {
    Request::builder().version(Version::HTTP_2).uri(format!("https://app.example{path}"))
}

fn violation(builder: Builder) -> Option<&'static str> {
    check_head(&parts(builder)).err().map(HeadViolation::code)
}

/// P10, P11: the authority is one, wherever it stands.
#[test]
fn authority_is_one() {
    let head = parts(h2("/a?b"));
    let checked = check_head(&head).unwrap();
    assert_eq!((checked.authority(), checked.path()), ("app.example", "/a"));
    let head = parts(h2("/").header("host", "APP.example"));
    assert_eq!(check_head(&head).unwrap().authority(), "APP.example");
    let host_alone = Request::builder().version(Version::HTTP_2).uri("/a").header("host", "app.example:8080");
    assert_eq!(check_head(&parts(host_alone)).unwrap().authority(), "app.example:8080");
    let head = parts(h1("http://app.example/a"));
    assert_eq!(check_head(&head).unwrap().path(), "/a");

    let none = Request::builder().version(Version::HTTP_2).uri("/a");
    assert_eq!(violation(none), Some("host_missing"));
    assert_eq!(violation(Request::builder().uri("http://app.example/")), Some("host_missing"));
    assert_eq!(violation(h2("/").header("host", "other.example")), Some("authority_mismatch"));
    assert_eq!(violation(h2("/").header("host", "app.example:443")), Some("authority_mismatch"));
    assert_eq!(violation(h1("http://other.example/")), Some("authority_mismatch"));
    assert_eq!(violation(h1("/").header("host", "app.example")), Some("host_repeated"));
    assert_eq!(violation(h2("/").header("host", "app.example").header("host", "app.example")), Some("host_repeated"));
    let user = Request::builder().version(Version::HTTP_2).uri("https://user@app.example/");
    assert_eq!(violation(user), Some("host_invalid"));
}

/// P11, RFC 9113 section 8.2.2: fields of an HTTP/1 connection have no place in HTTP/2, where they could frame a request forwarded over HTTP/1.
#[test]
fn connection_fields_in_http2() {
    let fields = [
        ("connection", "close"),
        ("connection", "x-user"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
        ("te", "trailers, gzip"),
    ];
    for (name, value) in fields {
        assert_eq!(violation(h2("/").header(name, value)), Some("connection_field"), "{name}: {value}");
        // Negative control: over HTTP/1 they are ordinary.
        assert_eq!(violation(h1("/").header(name, value)), None, "{name}: {value}");
    }
    assert_eq!(violation(h2("/").header("te", "Trailers")), None);
}

/// P3, P4, P5, P14, again at the head gate.
#[test]
fn framing_fields() {
    type Fields = &'static [(&'static str, &'static str)];
    let cases: &[(Fields, Option<&str>)] = &[
        (&[("content-length", "0")], None),
        (&[("content-length", "9223372036854775807")], None),
        (&[("content-length", "9223372036854775808")], Some("content_length")),
        (&[("content-length", "05")], Some("content_length")),
        (&[("content-length", "+5")], Some("content_length")),
        (&[("content-length", "")], Some("content_length")),
        (&[("content-length", "5"), ("content-length", "5")], Some("content_length")),
        (&[("transfer-encoding", "Chunked")], None),
        (&[("transfer-encoding", "gzip, chunked")], Some("transfer_encoding")),
        (&[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], Some("transfer_encoding")),
        (&[("transfer-encoding", "chunked"), ("content-length", "5")], Some("content_length")),
        (&[("content_length", "5")], Some("framing_alias")),
        (&[("transfer.encoding", "chunked")], Some("framing_alias")),
        (&[("transfer_encodings", "chunked")], None),
    ];
    for (fields, expected) in cases {
        let builder = fields.iter().fold(h1("/"), |builder, (name, value)| builder.header(*name, *value));
        assert_eq!(violation(builder), *expected, "{fields:?}");
    }
}

/// P12, R-113, and RFC 8441, which nobody was offered.
#[test]
fn methods() {
    for method in ["GET", "HEAD", "POST", "PATCH", "OPTIONS", "PROPFIND", "M-SEARCH", "VERSION-CONTROL"] {
        assert_eq!(violation(h1("/").method(method)), None, "{method}");
    }
    for method in ["CONNECT", "TRACE", "TRACK"] {
        assert_eq!(violation(h2("/").method(method)), Some("method_refused"), "{method}");
        let head = parts(h1("/").method(method));
        assert_eq!(check_head(&head).unwrap_err().refusal().status(), 405);
    }
    for method in ["get", "Get", "GET_", "-", "G1", "connect", "trace"] {
        assert_eq!(violation(h1("/").method(method)), Some("method"), "{method}");
    }
    let extended = h2("/").method("CONNECT").extension(hyper::ext::Protocol::from_static("websocket"));
    assert_eq!(violation(extended), Some("extended_connect"));
}

/// P10: `*` belongs to `OPTIONS`; a `:path` that is no path is none, although `Uri::path` would call it "/".
#[test]
fn targets() {
    let star = parts(h1("*").method("OPTIONS"));
    assert_eq!(check_head(&star).unwrap().path(), "*");
    assert_eq!(violation(h1("*")), Some("target"));
    assert_eq!(violation(h1("ftp://app.example/")), Some("target"));
    let mut query_only = http::uri::Parts::default();
    query_only.path_and_query = Some("?a=b".parse().unwrap());
    let uri = http::Uri::from_parts(query_only).unwrap();
    assert_eq!(uri.path(), "/");
    let head = Request::builder().version(Version::HTTP_2).uri(uri).header("host", "a");
    assert_eq!(violation(head), Some("target"));
    assert_eq!(violation(h1("app.example")), Some("target"));
}

/// R-056, JA-59; R-012: one authorization, any number of cookie fields.
#[test]
fn repeated_fields() {
    let two = h1("/").header("authorization", "Bearer a").header("Authorization", "Bearer a");
    assert_eq!(violation(two), Some("authorization_repeated"));
    assert_eq!(violation(h1("/").header("authorization", "Bearer a")), None);
    let crumbs = (0..300).fold(h2("/"), |builder, n| builder.header("cookie", format!("a{n}=b")));
    assert_eq!(violation(crumbs), None);
}

/// R-119, H11: the bounds hold over HTTP/2 as well, cookies included.
#[test]
fn bounds() {
    let fields = |builder: Builder, count| (0..count).fold(builder, |builder, n| builder.header(format!("a-{n}"), "b"));
    assert_eq!(violation(fields(h2("/"), 100)), None);
    assert_eq!(violation(fields(h2("/"), 101)), Some("too_many_fields"));
    assert_eq!(violation(fields(h1("/"), 99)), None);
    assert_eq!(violation(fields(h1("/"), 100)), Some("too_many_fields"));
    let cookies = |count: usize| (0..count).fold(h2("/"), |builder, _| builder.header("cookie", "c".repeat(1018)));
    assert_eq!(violation(cookies(32)), None);
    assert_eq!(violation(cookies(33)), Some("head_too_large"));
    let head = parts(cookies(33));
    assert_eq!(check_head(&head).unwrap_err().refusal().status(), 431);
}

/// RFC 9113 section 8.2.1, R-112: no blanks at the ends of a value. Control bytes cannot even be put into a `HeaderValue`, except DEL's kin.
#[test]
fn field_values() {
    for value in ["", "a", "a b", "a\tb", "Andr\u{e9}"] {
        assert_eq!(violation(h2("/").header("x-a", value.as_bytes())), None, "{value:?}");
    }
    for value in [" a", "a ", "\ta", "a\t", " "] {
        assert_eq!(violation(h2("/").header("x-a", value.as_bytes())), Some("field_value"), "{value:?}");
    }
    for byte in (0..=0x1f).chain([0x7f]).filter(|&byte| byte != b'\t') {
        assert!(!is_clean_value(&[b'a', byte, b'b']), "{byte}");
        assert!(HeaderValue::from_bytes(&[b'a', byte, b'b']).is_err(), "{byte}");
    }
}

/// P10: what is a host.
#[test]
fn hosts() {
    let good = [
        "a",
        "localhost",
        "app.example",
        "APP.example.",
        "a-b_c~d",
        "127.0.0.1",
        "127.0.0.1:8080",
        "a:1",
        "a:65535",
        "[::1]",
        "[::1]:443",
        "[2001:db8::7]",
        "[::ffff:127.0.0.1]",
    ];
    for host in good {
        assert!(is_host(host.as_bytes()), "{host}");
        // Whatever we call a host, the HTTP library's parser does as well.
        assert!(host.parse::<http::uri::Authority>().is_ok(), "{host}");
    }
    let bad = [
        "",
        ":",
        ":80",
        "a:",
        "a:b",
        "a:65536",
        "a:123456",
        "a:-1",
        "a:+1",
        "a:1:2",
        "a b",
        "a/b",
        "a?b",
        "a#b",
        "a@b",
        "a,b",
        "a;b",
        "a%41",
        "a\\b",
        "a\"b",
        "*",
        "a*",
        "[::1",
        "::1",
        "[]",
        "[a]",
        "[::1]a",
        "[::1]:",
        "[::1%25eth0]",
        "[::1%eth0]",
        "[127.0.0.1]",
        "\u{e4}",
        "a\0",
        "a\t",
    ];
    for host in bad {
        assert!(!is_host(host.as_bytes()), "{host:?}");
    }
    assert!(!is_host(&[b'a'; 256]));
}

/// The wire gate passes no target that the HTTP library would then refuse to parse, or read differently.
#[test]
fn bytes_of_targets_are_the_library_s() {
    for byte in 0..=255u8 {
        let path = [b"/a".as_slice(), &[byte], b"b"].concat();
        let parsed = http::uri::PathAndQuery::try_from(path.as_slice());
        if is_path_byte(byte) {
            assert_eq!(parsed.unwrap().path().as_bytes(), path);
        }
        let query = [b"/?a".as_slice(), &[byte], b"b"].concat();
        let parsed = http::uri::PathAndQuery::try_from(query.as_slice());
        if is_query_byte(byte) {
            assert_eq!(parsed.unwrap().as_str().as_bytes(), query);
        }
    }
}

/// Codes are what operators search for: each says one thing.
#[test]
fn path_faults() {
    let cases: &[(&str, Result<(), PathFault>)] = &[
        ("/", Ok(())),
        ("/a/b/", Ok(())),
        ("/a;b=c;d", Ok(())),
        ("/a;/b", Ok(())),
        ("/...", Ok(())),
        ("/.a/..b/c..", Ok(())),
        ("/a%20b%3a%C3%A9", Ok(())),
        ("/%25", Ok(())),
        ("/%25/%25z0", Ok(())),
        ("/a%2520b", Ok(())),
        ("/a%3Bb", Ok(())),
        ("/%e0%a0%80/%f0%90%80%80", Ok(())),
        ("/[a]|^", Ok(())),
        ("", Err(PathFault::NotAbsolute)),
        ("a", Err(PathFault::NotAbsolute)),
        ("/a?", Err(PathFault::Byte)),
        ("/a#", Err(PathFault::Byte)),
        ("/a b", Err(PathFault::Byte)),
        ("/\u{e9}", Err(PathFault::Byte)),
        ("/a\\b", Err(PathFault::Byte)),
        ("/%", Err(PathFault::Triplet)),
        ("/%4", Err(PathFault::Triplet)),
        ("/%+1", Err(PathFault::Triplet)),
        ("/%00", Err(PathFault::EncodedControl)),
        ("/%1F", Err(PathFault::EncodedControl)),
        ("/%2f", Err(PathFault::EncodedSlash)),
        ("/%5c", Err(PathFault::EncodedBackslash)),
        ("/%41", Err(PathFault::EncodedUnreserved)),
        ("/%5F", Err(PathFault::EncodedUnreserved)),
        ("/%2541", Err(PathFault::DoubleEncoding)),
        ("/%25%35c", Err(PathFault::EncodedUnreserved)),
        ("/..", Err(PathFault::DotSegment)),
        ("/.;", Err(PathFault::DotSegment)),
        ("/a/..%3Bb/c", Err(PathFault::DotSegment)),
        ("/a%2eb", Err(PathFault::DotSegment)),
        ("//", Err(PathFault::EmptySegment)),
        ("/a//", Err(PathFault::EmptySegment)),
        ("/;a", Err(PathFault::EmptySegment)),
        ("/%c1%9c", Err(PathFault::Overlong)),
    ];
    for (path, expected) in cases {
        assert_eq!(check_path(path.as_bytes()), *expected, "{path}");
    }
}

/// How a careless application might read a path: decoded so many times, parameters cut off, dots resolved.
fn careless(path: &[u8], decodings: usize) -> Vec<Vec<u8>> {
    let mut path = path.to_vec();
    for _ in 0..decodings {
        path = decode(&path);
    }
    let cut = |segment: &[u8]| segment.split(|&b| b == b';').next().unwrap_or_default().to_vec();
    let mut resolved = Vec::new();
    for segment in path.split(|&b| b == b'/' || b == b'\\').map(cut) {
        match segment.as_slice() {
            b"" | b"." => {}
            b".." => drop(resolved.pop()),
            _ => resolved.push(segment),
        }
    }
    resolved
}

fn decode(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = path;
    while let [byte, after @ ..] = rest {
        match (byte, after) {
            (b'%', [high, low, after @ ..]) if hex_pair(*high, *low).is_some() => {
                out.extend(hex_pair(*high, *low));
                rest = after;
            }
            _ => {
                out.push(*byte);
                rest = after;
            }
        }
    }
    // Over-long forms, as a decoder reads them that does not look.
    let mut folded = Vec::new();
    let mut rest = out.as_slice();
    while let [byte, after @ ..] = rest {
        match (byte, after) {
            (0xc0 | 0xc1, [low @ 0x80..=0xbf, after @ ..]) => {
                folded.push((byte & 1) << 6 | (low & 0x3f));
                rest = after;
            }
            _ => {
                folded.push(*byte);
                rest = after;
            }
        }
    }
    folded
}

/// The plain prefixes of [`odd_path`] about which there could be a rule.
const PREFIXES: &[&str] = &["/admin", "/a", "/public", "/a/admin", "/public/admin", "/admin/a/"];

/// Whether a raw path is at or below a prefix, parameters apart: how a rule about the prefix is decided.
fn is_under(path: &str, prefix: &str) -> bool {
    let name = |segment: &str| {
        let plain = segment.replace("%3b", ";").replace("%3B", ";");
        plain.split(';').next().unwrap_or_default().to_owned()
    };
    let mut names = path.split('/').skip(1).map(name);
    prefix.split('/').filter(|name| !name.is_empty()).all(|wanted| names.next().as_deref() == Some(wanted))
}

/// Whether rules about prefixes give the same answers for a path and for what careless applications make of it.
fn is_unambiguous(path: &[u8]) -> bool {
    // Lossy only for paths that are refused.
    let path = String::from_utf8_lossy(path);
    let agrees = |prefix: &&str, decodings: usize| {
        let read = careless(path.as_bytes(), decodings);
        let names = prefix.split('/').filter(|name| !name.is_empty()).map(str::as_bytes);
        let mut pairs = names.zip(read.iter().map(Some).chain(std::iter::repeat(None)));
        is_under(&path, prefix) == pairs.all(|(name, read)| read.is_some_and(|read| read == name))
    };
    PREFIXES.iter().all(|prefix| (1..4).all(|decodings| agrees(prefix, decodings)))
}

fn odd_path() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &[&str] = &[
        "/", "/", "/", "//", ".", "..", ";", "%2e", "%2E", "%2f", "%5c", "\\", "%00", "%25", "25", "2e", "2f", "%3b",
        "admin", "admin", "a", "public", "%61", "%c0", "%ae", "%", "%zz", "\u{e9}", "%20", "~", "?", "5c", "%252e",
        "%c0%af",
    ];
    prop::collection::vec(prop::sample::select(PIECES), 0..10)
        .prop_map(|pieces| format!("/{}", pieces.concat()).into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// P17, R-114, B3, B7: what passes means the same however often it is decoded, with parameters cut off and dots resolved.
    #[test]
    fn accepted_paths_mean_one_thing(path in odd_path()) {
        if check_path(&path).is_ok() {
            prop_assert!(is_unambiguous(&path), "{}", path.escape_ascii());
        }
    }

    /// No bytes whatever make the check panic.
    #[test]
    fn any_path_is_judged(path in prop::collection::vec(any::<u8>(), 0..40)) {
        let _ = check_path(&path);
    }
}

/// Negative control: with any one rule left out, a path gets through that means two things.
#[test]
fn each_path_rule_is_needed() {
    let needed = [
        ("/public/../admin", PathFault::DotSegment),
        ("/public/%2e%2e/admin", PathFault::DotSegment),
        ("/public/..;/admin", PathFault::DotSegment),
        ("/public//admin", PathFault::EmptySegment),
        ("/public/..%2fadmin", PathFault::EncodedSlash),
        ("/public%5cadmin", PathFault::EncodedBackslash),
        ("/public\\admin", PathFault::Byte),
        ("/%61dmin", PathFault::EncodedUnreserved),
        ("/public%252fadmin", PathFault::DoubleEncoding),
        ("/public/%c0%ae%c0%ae/admin", PathFault::Overlong),
    ];
    for (path, fault) in needed {
        assert_eq!(check_path(path.as_bytes()), Err(fault), "{path}");
        assert!(!is_unambiguous(path.as_bytes()), "{path}");
    }
}
