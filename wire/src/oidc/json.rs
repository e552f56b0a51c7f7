//! JSON of elsewhere as a value, with bounds and without ambiguity: a key that stands twice is refused, since two readers may
//! take different ones. What the members mean lives elsewhere.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Objects and arrays within each other.
const MAX_DEPTH: usize = 16;

/// Why bytes are no JSON object that is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum JsonFault {
    #[error("is no JSON object")]
    Malformed,
    #[error("has a key twice")]
    Duplicate,
    #[error("is nested too deep")]
    Deep,
    #[error("has too many members")]
    Many,
}

impl JsonFault {
    /// A short stable word.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "json",
            Self::Duplicate => "duplicate",
            Self::Deep => "depth",
            Self::Many => "too_many",
        }
    }
}

/// Reads one object with at most `most` members in all of its objects together.
pub(crate) fn object(bytes: &[u8], most: usize) -> Result<Map<String, Value>, JsonFault> {
    let bounds = Bounds { left: Cell::new(most), fault: Cell::new(JsonFault::Malformed) };
    let mut from = serde_json::Deserializer::from_slice(bytes);
    let read = Strict { depth: 0, bounds: &bounds }.deserialize(&mut from);
    match (read, from.end()) {
        (Ok(Value::Object(map)), Ok(())) => Ok(map),
        _ => Err(bounds.fault.get()),
    }
}

/// What is left of the bounds, and which one was met: serde's own error keeps only text.
struct Bounds {
    left: Cell<usize>,
    fault: Cell<JsonFault>,
}

impl Bounds {
    fn refuse<E: Error>(&self, fault: JsonFault) -> E {
        self.fault.set(fault);
        E::custom(fault)
    }
}

#[derive(Clone, Copy)]
struct Strict<'a> {
    depth: usize,
    bounds: &'a Bounds,
}

impl Strict<'_> {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_DEPTH {
            return Err(self.bounds.refuse(JsonFault::Deep));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(Value::Number(v.into()))
    }
    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(Value::Number(v.into()))
    }
    fn visit_f64<E: Error>(self, v: f64) -> Result<Value, E> {
        Number::from_f64(v).map(Value::Number).ok_or_else(|| self.bounds.refuse(JsonFault::Malformed))
    }
    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut out = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            out.push(item);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut out = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            let left = self.bounds.left.get().checked_sub(1).ok_or_else(|| self.bounds.refuse(JsonFault::Many))?;
            self.bounds.left.set(left);
            // Before the value: a long second one is not even read.
            if out.contains_key(&key) {
                return Err(self.bounds.refuse(JsonFault::Duplicate));
            }
            out.insert(key, members.next_value_seed(inner)?);
        }
        Ok(Value::Object(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_stands_twice_is_refused_at_any_depth() {
        assert_eq!(object(br#"{"a":1,"b":{"c":2}}"#, 3).map(|map| map.len()), Ok(2));
        for twice in [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":2}"#, r#"{"x":[{"b":1,"b":2}]}"#] {
            assert_eq!(object(twice.as_bytes(), 9), Err(JsonFault::Duplicate), "{twice}");
        }
    }

    #[test]
    fn depth_and_members_are_bounded() {
        let nested = |n: usize| format!("{{\"a\":{}{}}}", "[".repeat(n), "]".repeat(n));
        assert!(object(nested(MAX_DEPTH - 1).as_bytes(), 9).is_ok());
        assert_eq!(object(nested(MAX_DEPTH).as_bytes(), 9), Err(JsonFault::Deep));
        assert_eq!(object(nested(100_000).as_bytes(), 9), Err(JsonFault::Deep));
        assert_eq!(object(br#"{"a":{"b":1},"c":2}"#, 2), Err(JsonFault::Many));
    }

    #[test]
    fn only_one_whole_object_counts() {
        for other in ["", "[]", "null", "{} {}", "{}x", "{'a':1}", "{\"a\":1e400}", "{\"a\":NaN}", "\u{feff}{}", "{\"a\":01}"] {
            assert_eq!(object(other.as_bytes(), 9), Err(JsonFault::Malformed), "{other}");
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}", 9), Err(JsonFault::Malformed));
    }
}
