//! Strict JSON: what passes, the ordinary reader reads alike, and it is within the caps.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use sessile_core::json::{Caps, numbers_in_range, parse};

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

fuzz_target!(|data: &[u8]| {
    let caps = Caps { bytes: 4096, depth: 8 };
    let Ok(value) = parse(data, caps) else { return };
    assert!(data.len() <= caps.bytes && depth(&value) <= caps.depth && numbers_in_range(&value));
    assert_eq!(serde_json::from_slice::<Value>(data).expect("JSON"), value);
    // Written out and read again it is still within the rules.
    let again = parse(value.to_string().as_bytes(), Caps { bytes: usize::MAX, ..caps });
    assert!(again.is_ok());
});
