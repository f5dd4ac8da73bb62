//! Origins: what is accepted has one spelling, and matches itself and nothing else.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sessile_core::origin::Origin;

fuzz_target!(|data: &[u8]| {
    let own = Origin::parse("https://app.example").expect("an origin");
    assert_eq!(own.matches(data), data == b"https://app.example");

    let Ok(text) = core::str::from_utf8(data) else { return };
    let Ok(origin) = Origin::parse(text) else { return };
    assert_eq!(origin.as_str(), text);
    assert!(origin.matches(data));
    assert!(text.is_ascii() && !text.bytes().any(|b| b.is_ascii_uppercase() || b.is_ascii_control() || b == b' '));
    assert_eq!(text.matches('/').count(), 2);
    assert!(!text.contains(['@', '?', '#', '\\', '%', '*', ',']));
    assert!(origin.authority().starts_with(origin.host()) && text.ends_with(origin.authority()));
});
