//! Strict JSON (RFC 8259, I-JSON RFC 7493): one reading per text, within caps.
//!
//! `serde_json` reads the grammar; what it lets pass is refused here: a member name given twice (compared
//! after unescaping), nesting and size beyond the caller's caps, numbers that not every reader understands
//! alike. Two readers that disagree on a text are how a forged claim gets past one of them.

use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How much a text may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Longest text, in bytes.
    pub bytes: usize,
    /// Deepest nesting: 1 allows an object of scalars. Values above 127 have no further effect.
    pub depth: usize,
}

/// Why a text was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonRefused {
    /// Longer than the cap. Decided before anything is read.
    TooLarge,
    /// Nested deeper than the cap.
    TooDeep,
    /// An object names a member twice.
    DuplicateMember,
    /// A number outside what every reader represents alike: beyond 2^53 - 1 in either direction (RFC 7493
    /// section 2.2).
    NumberRange,
    /// Not JSON: broken grammar, invalid UTF-8, a byte order mark, a lone surrogate, trailing bytes.
    Syntax,
}

impl fmt::Display for JsonRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the JSON text is too large",
            Self::TooDeep => "the JSON text is nested too deeply",
            Self::DuplicateMember => "a JSON object names a member twice",
            Self::NumberRange => "a JSON number is beyond 2^53 - 1; write it as a string",
            Self::Syntax => "not JSON",
        })
    }
}
impl core::error::Error for JsonRefused {}

/// Reads one JSON text and nothing after it, except white space.
pub fn parse(text: &[u8], caps: Caps) -> Result<Value, JsonRefused> {
    if text.len() > caps.bytes {
        return Err(JsonRefused::TooLarge);
    }
    let reason = Cell::new(JsonRefused::Syntax);
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Strict { levels: caps.depth, reason: &reason }.deserialize(&mut reader).map_err(|_| reason.get())?;
    reader.end().map_err(|_| JsonRefused::Syntax)?;
    Ok(value)
}

/// Whether every number within `value` is one that [`parse`] accepts.
pub fn numbers_in_range(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => true,
        Value::Number(number) => number.as_f64().is_some_and(in_range),
        Value::Array(items) => items.iter().all(numbers_in_range),
        Value::Object(members) => members.values().all(numbers_in_range),
    }
}

const LARGEST: u64 = (1 << 53) - 1;

fn in_range(number: f64) -> bool {
    // 2^53 itself is also what 2^53 + 1 becomes, so `<` and not `<=`.
    number.abs() < (LARGEST + 1) as f64
}

/// Reads a value with `levels` of nesting left. `reason` carries a refusal past serde's error type.
#[derive(Clone, Copy)]
struct Strict<'r> {
    levels: usize,
    reason: &'r Cell<JsonRefused>,
}

impl<'r> Strict<'r> {
    fn refuse<E: Error>(self, reason: JsonRefused) -> E {
        self.reason.set(reason);
        E::custom(reason)
    }

    fn below<E: Error>(self) -> Result<Self, E> {
        match self.levels.checked_sub(1) {
            Some(levels) => Ok(Self { levels, ..self }),
            None => Err(self.refuse(JsonRefused::TooDeep)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        if value <= LARGEST { Ok(value.into()) } else { Err(self.refuse(JsonRefused::NumberRange)) }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        if value.unsigned_abs() <= LARGEST { Ok(value.into()) } else { Err(self.refuse(JsonRefused::NumberRange)) }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        match Number::from_f64(value) {
            Some(number) if in_range(value) => Ok(Value::Number(number)),
            _ => Err(self.refuse(JsonRefused::NumberRange)),
        }
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.into()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(below)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut members = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            if members.contains_key(&name) {
                return Err(self.refuse(JsonRefused::DuplicateMember));
            }
            let value = access.next_value_seed(below)?;
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}
