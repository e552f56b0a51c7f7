//! One line of the audit log: how it is made, and how it is read without belief. The chain over lines is [`LogCheck`]'s.
//!
//! A line is the canonical JSON of an event with `v`, `id`, `stream`, `seq`, `prev`, `hash` and `logged_time` added. `hash` is blake3
//! over the canonical JSON of the line without `hash`.

mod check;

use access::event::Event;
use access::time::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Hash, write_canonical};

pub use check::{Fault, FaultKind, LogCheck, LogOutcome, MAX_FAULTS};

/// The version of the envelope.
pub const VERSION: u64 = 1;
/// Most bytes of one line without its line feed: 64 KiB of event and what the log adds.
pub const MAX_LINE: usize = 68 * 1024;

/// What the log adds to an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// A UUIDv7.
    pub id: String,
    /// The log's name.
    pub stream: String,
    /// From 1, without gaps.
    pub seq: u64,
    /// The `hash` of the line before, zero for the first.
    pub prev: Hash,
    /// When it was written.
    pub logged_time: Timestamp,
}

/// An event as it is read back from the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LoggedEvent {
    /// Version of the envelope.
    pub v: u64,
    /// A UUIDv7: the same in every sink.
    pub id: String,
    /// The log's name.
    pub stream: String,
    /// From 1, without gaps.
    pub seq: u64,
    /// The `hash` of the line before.
    pub prev: Hash,
    /// Over this line.
    pub hash: Hash,
    /// When it was written.
    pub logged_time: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// The bytes of a line, without the line feed, and its hash.
pub fn make_line(event: &Event, stamp: &Stamp) -> Result<(Vec<u8>, Hash), serde_json::Error> {
    let mut body = serde_json::to_value(event)?;
    let mut hash = Hash::ZERO;
    if let Value::Object(map) = &mut body {
        map.insert("v".into(), VERSION.into());
        map.insert("id".into(), stamp.id.as_str().into());
        map.insert("stream".into(), stamp.stream.as_str().into());
        map.insert("seq".into(), stamp.seq.into());
        map.insert("prev".into(), stamp.prev.to_string().into());
        map.insert("logged_time".into(), stamp.logged_time.to_string().into());
        hash = hash_of(&body);
    }
    if let Value::Object(map) = &mut body {
        map.insert("hash".into(), hash.to_string().into());
    }
    let mut line = Vec::new();
    write_canonical(&body, &mut line);
    Ok((line, hash))
}

fn hash_of(body: &Value) -> Hash {
    let mut bytes = Vec::with_capacity(1024);
    write_canonical(body, &mut bytes);
    Hash::of(&bytes)
}

/// A line that is well formed and whose hash fits; nothing is said about its place in the chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// As stated.
    pub seq: u64,
    /// As stated.
    pub prev: Hash,
    /// As stated, and right.
    pub hash: Hash,
    /// The log that it says it belongs to.
    pub stream: String,
    /// Everything but `hash`.
    pub body: Map<String, Value>,
}

impl Line {
    /// A text at a path of keys, as in `["session", "id"]`.
    pub fn text(&self, path: &[&str]) -> Option<&str> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.body.get(*first)?, |value, key| value.get(*key))?.as_str()
    }
}

/// Reads the bytes of one line, without the line feed.
pub fn read_line(bytes: &[u8]) -> Result<Line, FaultKind> {
    if bytes.len() > MAX_LINE {
        return Err(FaultKind::TooLong);
    }
    let mut body: Value = serde_json::from_slice(bytes).map_err(|_| FaultKind::NotJson)?;
    let mut again = Vec::with_capacity(bytes.len());
    write_canonical(&body, &mut again);
    if again != bytes {
        return Err(FaultKind::NotCanonical);
    }
    let stated = body.as_object_mut().and_then(|map| map.remove("hash"));
    let stated = stated.as_ref().and_then(hash_in).ok_or(FaultKind::NotAnEvent)?;
    if hash_of(&body) != stated {
        return Err(FaultKind::BadHash);
    }
    let Value::Object(body) = body else { return Err(FaultKind::NotAnEvent) };
    if body.get("v").and_then(Value::as_u64) != Some(VERSION) {
        return Err(FaultKind::OtherVersion);
    }
    let seq = body.get("seq").and_then(Value::as_u64).ok_or(FaultKind::NotAnEvent)?;
    let prev = body.get("prev").and_then(hash_in).ok_or(FaultKind::NotAnEvent)?;
    let stream = body.get("stream").and_then(Value::as_str).ok_or(FaultKind::NotAnEvent)?.to_owned();
    Ok(Line { seq, prev, hash: stated, stream, body })
}

fn hash_in(value: &Value) -> Option<Hash> {
    value.as_str().and_then(|text| Hash::try_from(text.to_owned()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use access::event::{Actor, What};

    #[test]
    fn one_flipped_bit_anywhere_in_a_line_is_found() {
        let event = Event::new(Timestamp::from_secs(5), Actor::system(), What::ServerStopped {});
        let stamp = Stamp {
            id: "018f3c2e-0000-7000-8000-abcdefabcdef".into(),
            stream: "proxy-1".into(),
            seq: 7,
            prev: Hash::of(b"the line before"),
            logged_time: Timestamp::from_secs(6),
        };
        let (line, hash) = make_line(&event, &stamp).expect("a line");
        assert_eq!(read_line(&line).expect("reads").hash, hash);
        for bit in 0..line.len() * 8 {
            let mut bad = line.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(read_line(&bad).is_err(), "bit {bit}");
        }
    }
}
