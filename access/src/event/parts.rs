//! What several kinds of event have in common: texts with a cap, what a recording lacks. No kind of event lives here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::identity::OnlyTarget;
use crate::time::Timestamp;
use crate::words::{RequestId, RoleName, SessionId};

/// An access request, as its events tell of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RequestFacts {
    /// Its id.
    pub request: RequestId,
    /// Who asked: the handle.
    pub requester: String,
    /// For which role.
    pub role: RoleName,
    /// For which target alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<OnlyTarget>,
    /// Why; cut, see [`Text`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text>,
    /// What who decided said; cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<Text>,
    /// Until when it waits, or gives its role.
    pub until: Timestamp,
    /// How many have said yes, and how many have to.
    pub approvals: (u32, u32),
}

/// What became other of a resource, field by field, at most [`FieldChanges::MOST`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FieldChanges {
    /// The fields.
    pub fields: Vec<FieldChange>,
    /// How many more there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: usize,
}

/// One field of a resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FieldChange {
    /// Where: a JSON pointer (RFC 6901).
    pub pointer: String,
    /// What was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

impl FieldChanges {
    /// Most fields that are told.
    pub const MOST: usize = 64;
    /// Longest value that is told, as JSON, in bytes; a longer one is told by its length.
    const VALUE: usize = 512;

    /// Between what was and what is; none where it was or is not there.
    pub fn between(before: Option<&Value>, after: Option<&Value>) -> Self {
        let mut all = Self::default();
        all.walk(String::new(), before, after);
        all
    }

    /// Whether nothing is other.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Tells of a field whose values are not told.
    pub fn secret(&mut self, field: &str) {
        self.add(format!("/{field}"), None, Some(&Value::from("(changed)")));
    }

    fn add(&mut self, pointer: String, before: Option<&Value>, after: Option<&Value>) {
        if self.fields.len() == Self::MOST {
            self.more += 1;
            return;
        }
        let short = |value: &Value| {
            let length = value.to_string().len();
            if length <= Self::VALUE { value.clone() } else { Value::from(format!("({length} bytes)")) }
        };
        self.fields.push(FieldChange { pointer, before: before.map(short), after: after.map(short) });
    }

    fn walk(&mut self, at: String, before: Option<&Value>, after: Option<&Value>) {
        let members = |value: Option<&Value>| value.and_then(Value::as_object).map(|map| map.keys().cloned().collect::<Vec<_>>());
        if before == after {
            return;
        }
        let (Some(mut keys), Some(more)) = (members(before), members(after)) else { return self.add(at, before, after) };
        keys.extend(more);
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            let of = |value: Option<&Value>| value.and_then(|value| value.get(&key)).cloned();
            let step = key.replace('~', "~0").replace('/', "~1");
            self.walk(format!("{at}/{step}"), of(before).as_ref(), of(after).as_ref());
        }
    }
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// Where a start found that recordings of live sessions were changed or removed since HEAD was signed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Damage {
    /// The file of the journal up to which HEAD covered it.
    pub file: u64,
    /// And the byte in it.
    pub offset: u64,
    /// Sessions whose recordings lack something; as many as fit into one event.
    pub sessions: Vec<SessionId>,
}

/// Output of a session that its recording does not have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lost {
    /// In how many places.
    pub gaps: u64,
    /// How much, as far as it could be counted.
    pub bytes: u64,
    /// Why the first time: [`Lost::MAX_OUTPUT`], or what went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

impl Lost {
    /// The cause where the role's `max_output` was reached.
    pub const MAX_OUTPUT: &'static str = "max_output";
    /// The cause where the power failed before anything of the session was durable: there is no recording, and none is missing.
    pub const NOT_ON_DISK: &'static str = "not_on_disk";

    /// Whether the recording has everything.
    pub fn is_nothing(&self) -> bool {
        self.gaps == 0 && self.bytes == 0
    }

    /// A gap begins.
    pub fn begin(&mut self, cause: &str) {
        self.gaps += 1;
        self.cause.get_or_insert_with(|| cause.to_owned());
    }
}

/// A text with a cap: what is longer is cut and says so by its length and hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Text {
    /// The text, at most [`Text::CAP`] bytes of it; what is not UTF-8 as U+FFFD.
    pub text: String,
    /// Length in bytes, where it was cut or changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// blake3 of the whole, hex, where it was cut or changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blake3: Option<String>,
}

impl Text {
    /// Bytes kept of one text: far below the 64 KiB of an event.
    pub const CAP: usize = 8 * 1024;

    /// Takes what fits and marks what does not.
    pub fn of(whole: &[u8]) -> Self {
        let mut cut = whole.len().min(Self::CAP);
        while cut < whole.len() && cut > 0 && whole.get(cut).is_some_and(|b| b & 0xC0 == 0x80) {
            cut -= 1;
        }
        let kept = whole.get(..cut).unwrap_or_default();
        let text = String::from_utf8_lossy(kept).into_owned();
        let exact = text.as_bytes() == whole;
        Self { text, bytes: (!exact).then_some(whole.len() as u64), blake3: (!exact).then(|| blake3::hash(whole).to_hex().to_string()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_field_by_field_and_bounded() {
        let before = serde_json::json!({"a": {"b": 1, "c/d": [1]}, "e": "x"});
        let after = serde_json::json!({"a": {"b": 2, "c/d": [1]}, "f": "y".repeat(1000)});
        let told = FieldChanges::between(Some(&before), Some(&after));
        let short: Vec<String> = told
            .fields
            .iter()
            .map(|one| {
                format!("{} {:?} {:?}", one.pointer, one.before.as_ref().map(Value::to_string), one.after.as_ref().map(Value::to_string))
            })
            .collect();
        assert_eq!(short, ["/a/b Some(\"1\") Some(\"2\")", "/e Some(\"\\\"x\\\"\") None", "/f None Some(\"\\\"(1002 bytes)\\\"\")"]);
        let many: Value = (0..200).map(|i| (format!("k{i}"), Value::from(i))).collect::<serde_json::Map<_, _>>().into();
        let told = FieldChanges::between(Some(&serde_json::json!({})), Some(&many));
        assert_eq!((told.fields.len(), told.more), (FieldChanges::MOST, 200 - FieldChanges::MOST));
    }
}
