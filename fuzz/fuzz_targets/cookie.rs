//! `Cookie` fields, one per line of the input: reading and stripping (J6 in faults.md).
#![no_main]

use libfuzzer_sys::fuzz_target;
use sessile_core::cookie::{CookieConfig, CookieProblem, is_reserved, parse, strip, weigh};

fuzz_target!(|data: &[u8]| {
    let fields = || data.split(|&b| b == b'\n');
    let config = CookieConfig::default();
    let seen = parse(&config, fields());
    if seen.problem == Some(CookieProblem::Duplicate) {
        assert!(seen.session_token.is_none() && seen.access_token.is_none());
    }
    assert!(seen.any || (seen.session_token.is_none() && seen.access_token.is_none() && seen.problem.is_none()));
    if let Some(token) = &seen.session_token {
        // One spelling: what was read is somewhere in the input.
        let text = token.to_text();
        assert!(data.windows(text.expose().len()).any(|part| part == text.expose().as_bytes()));
    }

    let Some(rest) = strip(fields()) else { return };
    // Each `;` may gain its blank.
    assert!(rest.len() <= 2 * data.len());
    assert!(!parse(&config, [rest.as_slice()].into_iter()).any);
    assert_eq!(strip([rest.as_slice()].into_iter()).as_deref(), Some(rest.as_slice()), "nothing is left to strip");
    for pair in rest.split(|&b| b == b';') {
        assert!(!is_reserved(pair.split(|&b| b == b'=').next().unwrap_or_default()));
    }
    let _ = weigh(fields());
});
