//! What journal records say, as types that serialise to JSON.

use access::event::{Lost, SessionKind};
use access::identity::UserId;
use access::time::Timestamp;
use access::words::{InstallId, Login, NodeName, SessionId, UserName};
use serde::{Deserialize, Serialize};

use crate::asciicast::Writer;
use crate::frames::{Exit, Size};
use crate::proof::{Hash, Segment};

/// A place between two records of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Number of the file.
    pub file: u64,
    /// Bytes of the file before it.
    pub offset: u64,
}

/// First record of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileHeader {
    /// Of the records: 1.
    pub format: u32,
    /// Whose journal.
    pub install: InstallId,
    /// Number of this file.
    pub file: u64,
    /// The chain at the end of the file before; this record goes on from it.
    pub prev: Hash,
}

/// What a session is: known when it begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// The session.
    pub session: SessionId,
    /// Who.
    pub user: UserId,
    /// The handle.
    pub user_name: UserName,
    /// On which node.
    pub node: NodeName,
    /// As which account there.
    pub login: Login,
    /// Shell, exec or sftp.
    pub kind: SessionKind,
    /// The client connection that carries it.
    pub connection: String,
    /// What is run, where it is not a shell.
    pub command: Option<String>,
    /// The terminal, where there is one.
    pub terminal: Option<Size>,
    /// `TERM`.
    pub term: Option<String>,
    /// When it began.
    pub started: Timestamp,
}

/// What is done when output cannot be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recording {
    /// The session ends.
    Strict,
    /// It goes on, and the gap is marked.
    BestEffort,
    /// Nothing is recorded at all.
    Off,
}

/// How a session is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mode {
    /// What happens when it cannot be.
    pub recording: Recording,
    /// Whether the bytes of input are kept, not only their count and hash.
    pub record_input: bool,
    /// Bytes of output kept of a session without a terminal; what comes after is counted and hashed.
    pub max_output: Option<u64>,
}

/// A session begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opened {
    /// What it is.
    pub about: About,
    /// How it is recorded.
    pub mode: Mode,
}

/// Input so far, as count and hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputMark {
    /// Bytes since the start.
    pub bytes: u64,
    /// blake3 of all of them.
    pub blake3: Hash,
}

/// Output that went by unrecorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// How much.
    pub bytes: u64,
    /// blake3 of it.
    pub blake3: Hash,
    /// Why: `max_output`, or what went wrong.
    pub cause: String,
    /// It was told when it began, without its bytes: this is the rest of it, and not another gap.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub continued: bool,
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ending {
    /// In a word, as in the event `session.end`.
    pub reason: String,
    /// How the program ended, where it did.
    pub exit: Option<Exit>,
}

/// How far a session's cast is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Framed {
    /// The segment that is not full yet, as stored so far; `bytes` is 0 where it has no file yet.
    pub current: Segment,
    /// Bytes of cast text in all segments.
    pub text: u64,
    /// The session's records before this place are in the cast.
    pub upto: Position,
    /// The last of them, in microseconds since the session began.
    pub elapsed: u64,
    /// Bytes of output in the cast.
    pub output_bytes: u64,
    /// Bytes of input that the cast counts or holds.
    pub input_bytes: u64,
    /// Gaps in the cast.
    pub gaps: u64,
    /// What they lack.
    #[serde(default, skip_serializing_if = "Lost::is_nothing")]
    pub lost: Lost,
    /// What the writer of the cast needs to go on.
    pub writer: Writer,
}

/// A session that goes on, without the records before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// What it is.
    pub about: About,
    /// How it is recorded.
    pub mode: Mode,
    /// Its full segments.
    pub segments: Vec<Segment>,
    /// The rest.
    pub framed: Framed,
}

/// A recording is closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    /// blake3 of the stored manifest.
    pub manifest: Hash,
}
