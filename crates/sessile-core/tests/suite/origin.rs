//! Origins: one spelling, compared whole.

use sessile_core::origin::Origin;

/// what browsers send is taken as it is.
#[test]
fn the_spellings_of_browsers() {
    for (text, host, authority, loopback) in [
        ("https://app.example", "app.example", "app.example", false),
        ("https://app.example:8443", "app.example", "app.example:8443", false),
        ("http://localhost:3000", "localhost", "localhost:3000", true),
        ("http://notes.localhost", "notes.localhost", "notes.localhost", true),
        ("http://127.0.0.1:8080", "127.0.0.1", "127.0.0.1:8080", true),
        ("http://127.9.9.9", "127.9.9.9", "127.9.9.9", true),
        ("https://[::1]:8443", "[::1]", "[::1]:8443", true),
        ("https://[2001:db8::1]", "[2001:db8::1]", "[2001:db8::1]", false),
        ("https://xn--bcher-kva.example", "xn--bcher-kva.example", "xn--bcher-kva.example", false),
        ("https://my_host.example", "my_host.example", "my_host.example", false),
        ("https://localhost.example", "localhost.example", "localhost.example", false),
        ("https://notlocalhost", "notlocalhost", "notlocalhost", false),
    ] {
        let origin = Origin::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"));
        assert_eq!((origin.host(), origin.authority(), origin.is_loopback()), (host, authority, loopback), "{text}");
        assert_eq!(origin.as_str(), text);
        assert!(origin.matches(text.as_bytes()));
    }
}

/// D8: every other spelling is refused when the configuration is read.
#[test]
fn other_spellings_are_refused() {
    for text in [
        "",
        "*",
        "null",
        "app.example",
        "//app.example",
        "https:",
        "https://",
        "https:/app.example",
        "ftp://app.example",
        "HTTPS://app.example",
        "Https://app.example",
        "https://App.example",
        "https://app.example/",
        "https://app.example/x",
        "https://app.example?x",
        "https://app.example#x",
        "https://app.example\\",
        "https://user@app.example",
        "https://app.example:443",
        "http://app.example:80",
        "https://app.example:",
        "https://app.example:0",
        "https://app.example:08443",
        "https://app.example:65536",
        "https://app.example:+1",
        "https://app.example:1:2",
        "https://*.app.example",
        "https://app.example.",
        "https://.app.example",
        "https://app..example",
        "https://app_example/",
        "https://b\u{fc}cher.example",
        "https://app.example ",
        " https://app.example",
        "https://app.example\t",
        "https://app.example\n",
        "https://app.example,https://b.example",
        "https://%61pp.example",
        "https://0x7f000001",
        "https://2130706433",
        "https://127.1",
        "https://0177.0.0.1",
        "https://127.0.0.1.",
        "https://1.2.3.999",
        "https://[::1",
        "https://::1",
        "https://[0:0::1]",
        "https://[::FFFF]",
        "https://[::1%25lo]",
        "https://[::ffff:127.0.0.1]",
        "https://[v1.a]",
        "https://[]",
        "https://[::1]x",
        "javascript://app.example",
        "file://",
        "data:text/html,x",
    ] {
        assert!(Origin::parse(text).is_err(), "{text:?}");
    }
    let long = format!("https://{}.example", "a".repeat(64));
    assert!(Origin::parse(&long).is_err());
}

/// The foreign origins that loose comparisons take for `https://app.example`.
pub(crate) const NEAR_MISSES: [&str; 22] = [
    "https://app.example.evil.test",
    "https://evil-app.example",
    "https://evilapp.example",
    "https://app.example@evil.test",
    "https://app.example:443",
    "https://app.example:8443",
    "https://app.example/",
    "https://app.example.",
    "http://app.example",
    "HTTPS://APP.EXAMPLE",
    "https://APP.example",
    "https://sub.app.example",
    "https://xn--app-.example",
    "https://app\u{3002}example",
    "https://app%2eexample",
    "https://app.example\0.evil.test",
    "https://app.example https://evil.test",
    "https://app.example, https://evil.test",
    " https://app.example",
    "https://app.exampl",
    "null",
    "",
];

/// R-099, D1, I1: compared byte for byte; prefix and suffix comparisons accept what is foreign.
#[test]
fn near_misses_do_not_match() {
    let own = Origin::parse("https://app.example").expect("an origin");
    for other in NEAR_MISSES {
        assert!(!own.matches(other.as_bytes()), "{other:?}");
    }
    // Negative controls: each loose rule lets some of them in.
    type Rule = fn(&str) -> bool;
    let loose: [(&str, Rule); 4] = [
        ("prefix", |o| o.starts_with("https://app.example")),
        ("suffix", |o| o.ends_with("app.example")),
        ("case", |o| o.eq_ignore_ascii_case("https://app.example")),
        ("host only", |o| o.split("://").nth(1).is_some_and(|host| host.split(':').next() == Some("app.example"))),
    ];
    for (name, accepts) in loose {
        assert!(NEAR_MISSES.iter().any(|o| accepts(o)), "the {name} rule must fail on something");
    }
}
