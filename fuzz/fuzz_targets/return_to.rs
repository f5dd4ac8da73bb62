//! Return paths: what is accepted is a path of this origin, also after more decoding than there should be
//!
#![no_main]

use libfuzzer_sys::fuzz_target;
use sessile_core::return_to::{MAX_BYTES, safe};

fuzz_target!(|input: &str| {
    let Some(kept) = safe(input) else { return };
    assert_eq!(kept.as_str(), input);
    assert!(input.len() <= MAX_BYTES && input.starts_with('/'));
    let path = input.split('?').next().unwrap_or_default();
    let mut decoded = Vec::new();
    let mut bytes = path.bytes();
    while let Some(b) = bytes.next() {
        match b {
            b'%' => {
                let hex: Vec<u8> = bytes.by_ref().take(2).collect();
                let hex = core::str::from_utf8(&hex).expect("hex digits");
                decoded.push(u8::from_str_radix(hex, 16).expect("hex digits"));
            }
            _ => decoded.push(b),
        }
    }
    let decoded = String::from_utf8(decoded).expect("escapes decode to text");
    for trick in ["//", "\\", "%", "@", ";", "/./", "/../"] {
        assert!(!decoded.contains(trick), "{trick}");
    }
    assert!(!decoded.ends_with("/.") && !decoded.ends_with("/.."));
    assert!(!decoded.chars().any(char::is_control));
});
