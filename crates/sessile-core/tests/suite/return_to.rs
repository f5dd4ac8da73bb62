//! Where a user may be sent after sign-in.

use proptest::prelude::*;
use sessile_core::return_to::{MAX_BYTES, safe};

/// One payload per line, as a JSON string; shared with the test that asks a WHATWG URL parser.
const CORPUS: &str = include_str!("../data/return_to.txt");

fn corpus() -> Vec<String> {
    CORPUS.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|why| panic!("{line}: {why}"))).collect()
}

/// R-122, P30, D1 to D10: every known trick is refused.
#[test]
fn the_corpus_is_refused() {
    let corpus = corpus();
    assert!(corpus.len() >= 60);
    for payload in &corpus {
        assert_eq!(safe(payload), None, "{payload:?}");
    }
    // Negative controls: the checks people write accept some of it.
    type Rule = fn(&str) -> bool;
    let naive: [(&str, Rule); 4] = [
        ("begins with a slash", |p| p.starts_with('/')),
        ("one slash", |p| p.starts_with('/') && !p.starts_with("//")),
        ("no scheme", |p| !p.contains("://")),
        ("names our host", |p| p.contains("app.example")),
    ];
    for (name, accepts) in naive {
        assert!(corpus.iter().any(|p| accepts(p)), "{name}");
    }
}

/// what applications really have is kept, character by character.
#[test]
fn ordinary_paths_are_kept() {
    for path in [
        "/",
        "/notes",
        "/notes/",
        "/notes/42",
        "/a/b/c.html",
        "/a-b_c~d.e",
        "/.well-known/x",
        "/...",
        "/a..b/..c/d..",
        "/caf%C3%A9",
        "/%E6%97%A5%E6%9C%AC",
        "/a%20b",
        "/wiki/Foo_(bar)",
        "/a:b",
        "/x=1,2&3",
        "/$price!*+",
        "/notes?x=1",
        "/notes?x=1&y=2",
        "/search?q=a+b%20c",
        "/?a",
        "/?next=/other",
        "/?u=https://example.com/",
        "/?list[]=1",
        "/?mail=ada@example.com",
        "/?q=a;b",
        "/?q=%2F%2F",
        "/?q=50%25",
        "/?a?b",
        "/?redirect=//evil.test",
    ] {
        assert_eq!(safe(path).as_ref().map(|kept| kept.as_str()), Some(path), "{path:?}");
    }
}

/// the length is bounded, exactly.
#[test]
fn the_length_is_bounded() {
    assert!(safe(&format!("/{}", "a".repeat(MAX_BYTES - 1))).is_some());
    assert_eq!(safe(&format!("/{}", "a".repeat(MAX_BYTES))), None);
}

/// Where a browser would go, as far as it matters here: RFC 3986 and WHATWG both leave the origin only for a
/// scheme, for two leading slashes (a backslash counts as one, and tabs and newlines do not count), or for what
/// becomes that after dot segments are taken out.
fn stays_here(location: &str) -> bool {
    let seen: String = location
        .trim_matches(|c: char| c <= ' ')
        .chars()
        .filter(|c| !matches!(c, '\t' | '\n' | '\r'))
        .map(|c| if c == '\\' { '/' } else { c })
        .collect();
    let path = seen.split(['?', '#']).next().unwrap_or_default();
    let mut out: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment.to_ascii_lowercase().replace("%2e", ".").as_str() {
            "." => {}
            ".." => drop(out.pop()),
            _ => out.push(segment),
        }
    }
    path.starts_with('/') && !path.starts_with("//") && !format!("/{}", out.join("/")).starts_with("//")
}

proptest! {
    /// R-122, D6: any text: no panic; what is accepted stays here, and is still accepted, unchanged, when it
    /// comes back.
    #[test]
    fn what_is_accepted_stays_here(input in prop_oneof![
        "\\PC{0,40}",
        "[/\\\\.@:;?#%a-c\t\n ]{0,16}",
        "/[/.%2ef5c\\\\@a]{0,12}",
        "(/|%2f|%5c|\\.|%2e|//|\\\\|@|a|\\?|=|%|\t){0,10}",
    ]) {
        if let Some(kept) = safe(&input) {
            prop_assert_eq!(kept.as_str(), input.as_str());
            prop_assert!(stays_here(kept.as_str()));
            prop_assert_eq!(safe(kept.as_str()), Some(kept));
        }
    }

    /// Decoding the path once or twice more, as careless servers do, still leads nowhere else.
    #[test]
    fn another_decoding_changes_nothing(input in "/(%[0-9a-f]{2}|[a-c/.]){0,8}") {
        if let Some(kept) = safe(&input) {
            let decoded = percent_decode(kept.as_str());
            prop_assert!(stays_here(&decoded), "{}", decoded);
            prop_assert!(stays_here(&percent_decode(&decoded)));
        }
    }
}

fn percent_decode(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.as_bytes();
    while let [first, rest @ ..] = bytes {
        let escaped = (*first == b'%')
            .then(|| rest.get(..2))
            .flatten()
            .and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match escaped {
            Some(byte) => {
                out.push(byte);
                bytes = &rest[2..];
            }
            None => {
                out.push(*first);
                bytes = rest;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
