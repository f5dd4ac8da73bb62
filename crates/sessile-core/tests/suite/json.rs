//! Strict JSON against the reader it is built on: it accepts a subset, and reads that subset alike.

use proptest::prelude::*;
use serde_json::{Value, json};
use sessile_core::json::{Caps, JsonRefused, numbers_in_range, parse};

const CAPS: Caps = Caps { bytes: 4096, depth: 8 };

fn read(text: &str) -> Result<Value, JsonRefused> {
    parse(text.as_bytes(), CAPS)
}

/// R-048, JA-39, JA-45: names are compared after unescaping, at every level.
#[test]
fn a_name_appears_once() {
    for text in [
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"\u0061":1}"#,
        r#"{"\u0061":1,"\u0061":2}"#,
        r#"{"x":{"a":1,"b":2,"a":3}}"#,
        r#"[{"a":1},{"b":1,"b":1}]"#,
        r#"{"":1,"":2}"#,
        r#"{"/":1,"\/":2}"#,
        r#"{"😀":1,"\ud83d\ude00":2}"#,
    ] {
        assert_eq!(read(text), Err(JsonRefused::DuplicateMember), "{text}");
        assert!(serde_json::from_str::<Value>(text).is_ok(), "the negative control: the ordinary reader takes {text}");
    }
    // Different names, however alike; the same name in different objects.
    for text in [r#"{"a":1,"A":1}"#, r#"{"a":{"a":{"a":1}}}"#, r#"[{"a":1},{"a":1}]"#, "{\"é\":1,\"e\u{301}\":2}"] {
        assert_eq!(read(text), Ok(serde_json::from_str(text).unwrap()), "{text}");
    }
}

/// R-049, JA-46: what a reader with IEEE doubles would round is refused.
#[test]
fn numbers_every_reader_agrees_on() {
    let fine =
        ["0", "-1", "1.5", "1e3", "-0", "0.1", "9007199254740991", "-9007199254740991", "9007199254740991.0", "1e-400"];
    for text in fine {
        assert_eq!(read(text), Ok(serde_json::from_str(text).unwrap()), "{text}");
    }
    let out = [
        "9007199254740992",
        "-9007199254740992",
        "9007199254740993",
        "9007199254740992.0",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775808",
        "1e300",
        "-1e16",
    ];
    for text in out {
        assert_eq!(read(text), Err(JsonRefused::NumberRange), "{text}");
        assert_eq!(read(&format!(r#"{{"a":[{text}]}}"#)), Err(JsonRefused::NumberRange), "{text} within");
        let ordinary: Value = serde_json::from_str(text).unwrap();
        assert!(!numbers_in_range(&json!({"a": [ordinary]})), "{text}");
    }
    for text in fine {
        assert!(numbers_in_range(&json!([serde_json::from_str::<Value>(text).unwrap()])), "{text}");
    }
    for text in ["1e400", "-1e400", "NaN", "Infinity", "-Infinity", "01", "+1", "1.", ".5", "0x10", "1_000", "１"] {
        assert_eq!(read(text), Err(JsonRefused::Syntax), "{text}");
    }
}

/// R-049, JA-37, JA-47, JA-49: the grammar, and nothing around it.
#[test]
fn nothing_but_json() {
    for text in [
        "",
        " ",
        "{}{}",
        "{},",
        "1 2",
        "null\0",
        "\u{feff}{}",
        "{'a':1}",
        "{a:1}",
        "[1,]",
        "{\"a\":1,}",
        "[,1]",
        "/**/1",
        "1//",
        "\"\u{1}\"",
        "\"\t\"",
        r#""\x41""#,
        r#""\ud800""#,
        r#""\udc00""#,
        r#""\ud800\u0041""#,
        r#"{"\ud800":1}"#,
        "True",
        "undefined",
        "{",
        "[",
        "\"",
    ] {
        assert_eq!(read(text), Err(JsonRefused::Syntax), "{text:?}");
    }
    for bytes in
        [&b"\"\xc0\xaf\""[..], b"\"\xed\xa0\x80\"", b"\"\xff\"", b"\xfe\xff", b"\"\xf4\x90\x80\x80\"", b"{\"\x80\":1}"]
    {
        assert_eq!(parse(bytes, CAPS), Err(JsonRefused::Syntax), "{bytes:?}");
    }
    // White space around, NUL and a full pair of surrogates by escape: these are JSON.
    for text in [" {} \r\n\t", r#""\u0000""#, r#""\ud83d\ude00""#, "\"\u{7f}\""] {
        assert!(read(text).is_ok(), "{text:?}");
    }
}

/// R-049, R-050, JA-48: caps on size and depth, to the byte and to the level.
#[test]
fn caps() {
    let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    assert!(read(&nested(8)).is_ok());
    assert_eq!(read(&nested(9)), Err(JsonRefused::TooDeep));
    let objects = |n: usize| format!("{}1{}", r#"{"a":"#.repeat(n), "}".repeat(n));
    assert!(read(&objects(8)).is_ok());
    assert_eq!(read(&objects(9)), Err(JsonRefused::TooDeep));
    assert_eq!(parse(b"[]", Caps { bytes: 10, depth: 0 }), Err(JsonRefused::TooDeep));
    assert!(parse(b"1", Caps { bytes: 10, depth: 0 }).is_ok());
    // Whatever the cap says, a reader that recurses has an end.
    let bottomless = Caps { bytes: 1 << 20, depth: usize::MAX };
    assert!(parse(nested(100).as_bytes(), bottomless).is_ok());
    assert!(parse(nested(100_000).as_bytes(), bottomless).is_err());

    let text = format!("\"{}\"", "x".repeat(CAPS.bytes - 2));
    assert!(read(&text).is_ok());
    assert_eq!(read(&format!("{text} ")), Err(JsonRefused::TooLarge));
    assert_eq!(parse(&vec![b'['; 1 << 24], CAPS), Err(JsonRefused::TooLarge));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-(1i64 << 53) + 1..1 << 53).prop_map(Value::from),
        (-1000i32..1000).prop_map(|n| Value::from(f64::from(n) / 16.0)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// What is within the rules is read as the ordinary reader reads it.
    #[test]
    fn a_subset_read_alike(value in any_json()) {
        let caps = Caps { bytes: 1 << 20, depth: 8 };
        prop_assert_eq!(parse(value.to_string().as_bytes(), caps), Ok(value.clone()));
        prop_assert_eq!(parse(serde_json::to_string_pretty(&value).unwrap().as_bytes(), caps), Ok(value));
    }

    /// Nothing makes it panic, and nothing passes that the ordinary reader refuses.
    #[test]
    fn any_bytes(bytes in any::<Vec<u8>>(), text in r#"[\[\]{}":,0-9a-eE+.\\u -]{0,60}"#) {
        for input in [bytes.as_slice(), text.as_bytes()] {
            if let Ok(value) = parse(input, CAPS) {
                prop_assert_eq!(serde_json::from_slice::<Value>(input).unwrap(), value);
            }
        }
    }
}
