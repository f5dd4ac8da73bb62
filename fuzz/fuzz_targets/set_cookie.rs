//! `Set-Cookie` fields of an upstream, one per line of the input.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sessile_core::cookie::{own_names, screen, upstream_may_set};

/// What a browser would store the cookie under (RFC 6265bis section 5.6): blanks around the name dropped; a
/// nameless cookie goes out as its value, so its value is what counts.
fn stored_name(field: &[u8]) -> &[u8] {
    let pair = field.split(|&b| b == b';').next().unwrap_or_default().trim_ascii();
    match pair.iter().position(|&b| b == b'=') {
        Some(0) => stored_name(&pair[1..]),
        Some(at) => pair[..at].trim_ascii(),
        None => pair,
    }
}

fuzz_target!(|data: &[u8]| {
    let fields = || data.split(|&b| b == b'\n');
    let screened = screen(fields());
    assert!(screened.kept.len() + screened.refused <= fields().count());
    for field in &screened.kept {
        assert!(upstream_may_set(field));
        let name = stored_name(field);
        assert!(own_names().iter().all(|own| !name.eq_ignore_ascii_case(own.as_bytes())));
    }
    let again = screen(screened.kept.iter().copied());
    assert_eq!((again.kept, again.refused), (screened.kept, 0), "screening twice changes nothing");
});
