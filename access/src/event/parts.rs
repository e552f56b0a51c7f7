//! What several kinds of event have in common: texts with a cap, what a recording lacks. No kind of event lives here.

use serde::{Deserialize, Serialize};

use crate::words::SessionId;

/// Where a start found that recordings of live sessions were changed or removed since HEAD was signed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// The file of the journal up to which HEAD covered it.
    pub file: u64,
    /// And the byte in it.
    pub offset: u64,
    /// Sessions whose recordings lack something; as many as fit into one event.
    pub sessions: Vec<SessionId>,
}

/// Output of a session that its recording does not have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
