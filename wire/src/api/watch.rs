//! What a `watch` sends: server-sent events (WHATWG HTML, section 9.2), each with JSON in its data.
//!
//! First what is there ([`PRESENT`]), then [`READY`], then each change as it happens. Whoever comes back with `Last-Event-ID` is told
//! by [`Ready::whole`] whether to go on or to start over. [`PROBLEM`] is the last message of a stream that the server ends: its data is
//! what a refused request would have been answered with.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The media type.
pub const EVENTS: &str = "text/event-stream";

/// Something that was there when the watch began.
pub const PRESENT: &str = "present";
/// All that was there has been said: a [`Ready`].
pub const READY: &str = "ready";
/// Something is new, or is as it was not before. Of a session: its row is another.
pub const CHANGED: &str = "changed";
/// Something is not there any more, or not for this reader: a [`Gone`].
pub const DELETED: &str = "deleted";
/// A session began.
pub const STARTED: &str = "started";
/// A session ended.
pub const ENDED: &str = "ended";
/// Why the stream ends: a [`super::Problem`].
pub const PROBLEM: &str = "problem";

/// The data of [`READY`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ready {
    /// What was [`PRESENT`] is all that there is, whatever the reader knew before. Else it went on from the reader's `Last-Event-ID`.
    pub whole: bool,
    /// Up to which revision of the store, where what is watched has revisions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
}

/// The data of [`DELETED`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Gone {
    /// The name of a resource, the id of a request.
    pub name: String,
    /// The revision of the store at which it was seen to be gone, where what is watched has revisions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
}
