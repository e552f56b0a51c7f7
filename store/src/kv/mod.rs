//! The key-value trait, its words and errors. The rules (revisions, leases, watches) live in `core`, the engines in files of their own.
//!
//! Every call may block on the disk for some milliseconds: async callers hand writes to a blocking thread.

mod core;
mod disk;
mod memory;
mod record;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;

pub use disk::open;
pub use memory::memory;

/// Most bytes of a key.
pub const MAX_KEY: usize = 512;
/// Most bytes of a value.
pub const MAX_VALUE: usize = 1024 * 1024;
/// Most changes in one batch.
pub const MAX_BATCH: usize = 128;
/// Most entries that one scan answers, whatever is asked.
pub const MAX_SCAN: usize = 1000;

/// A value with the revision that wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// The store's revision at the write: grows with every batch, never used twice.
    pub revision: u64,
    /// The bytes as given.
    pub value: Vec<u8>,
}

/// One line of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// What it holds.
    pub at: Versioned,
}

/// What takes a snapshot: the revision of all of it, a key, its value.
pub type Each<'a> = dyn FnMut(u64, &str, &[u8]) -> io::Result<()> + 'a;

/// What a write expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// No such key.
    Absent,
    /// The key, last written at this revision.
    Revision(u64),
    /// Anything or nothing.
    Any,
}

/// A promise to be alive: keys that were put with it vanish when it is not renewed in time, and when the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lease(pub(crate) u64);

/// One change of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Writes a value.
    Put {
        /// The key.
        key: String,
        /// The bytes.
        value: Vec<u8>,
        /// What must be there.
        expect: Expect,
        /// Vanishes with this lease, where one is given.
        lease: Option<Lease>,
    },
    /// Removes a key; of a key that is not there only [`Expect::Revision`] fails.
    Delete {
        /// The key.
        key: String,
        /// What must be there.
        expect: Expect,
    },
}

impl Change {
    /// A plain put.
    pub fn put(key: impl Into<String>, value: impl Into<Vec<u8>>, expect: Expect) -> Self {
        Self::Put { key: key.into(), value: value.into(), expect, lease: None }
    }
    /// A delete.
    pub fn delete(key: impl Into<String>, expect: Expect) -> Self {
        Self::Delete { key: key.into(), expect }
    }
    /// What it changes.
    pub fn key(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } => key,
        }
    }
    pub(crate) fn expect(&self) -> Expect {
        match self {
            Self::Put { expect, .. } | Self::Delete { expect, .. } => *expect,
        }
    }
}

/// Why a call failed. Nothing was changed, except after [`KvError::Io`] of a write, where it is unknown until the next start.
#[derive(Debug, thiserror::Error)]
pub enum KvError {
    /// Compare-and-swap lost.
    #[error("the key {key} was changed in between: it is at revision {found:?}")]
    Conflict {
        /// Which key.
        key: String,
        /// Its revision now; none when it is absent.
        found: Option<u64>,
    },
    /// A key, value or batch that breaks a limit.
    #[error("the write was refused: {0}")]
    Limit(&'static str),
    /// The lease has ended.
    #[error("the lease has ended")]
    LeaseEnded,
    /// Stored bytes are not what was written.
    #[error("the store is damaged at key {0}; restore the state directory from a backup")]
    Damaged(String),
    /// The disk failed.
    #[error("the store could not be read or written")]
    Io(#[from] io::Error),
    /// A write failed earlier: nothing more is written until a restart.
    #[error("the store stopped after a failed write; restart when the disk is well again")]
    Stopped,
}

/// Why a store does not open.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another process has it.
    #[error("the store in {0} is in use by another process")]
    InUse(PathBuf),
    /// Bytes changed, or writes that were acknowledged are missing.
    #[error("the store file {file} is damaged ({cause}); restore the state directory from a backup")]
    Damaged {
        /// Which file.
        file: PathBuf,
        /// What was found.
        cause: String,
    },
    /// Written by a later version.
    #[error("the store in {0} was written by a newer version; start that version")]
    Newer(PathBuf),
    /// The disk failed.
    #[error("the store in {path} could not be opened")]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Ordered keys. Writes are linear, and durable before they are answered.
pub trait Kv: Send + Sync + 'static {
    /// The value of a key.
    fn get(&self, key: &str) -> Result<Option<Versioned>, KvError>;
    /// Keys that begin with `prefix` in byte order, those after `after`, at most `limit` (and [`MAX_SCAN`]) of them.
    fn scan(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Entry>, KvError>;
    /// All changes or none, at one revision, which is answered. A key may occur once.
    fn batch(&self, changes: &[Change]) -> Result<u64, KvError>;
    /// The revision of the last batch; 0 when there was none.
    fn revision(&self) -> Result<u64, KvError>;
    /// The revision up to which everything survives a power cut. Never waits.
    fn durable(&self) -> u64;
    /// A receiver of the revision of the last change below `prefix`. Only the newest is kept: read again when it moves.
    fn watch(&self, prefix: &str) -> Result<watch::Receiver<u64>, KvError>;
    /// A new lease that ends after `ttl` unless renewed.
    fn lease(&self, ttl: Duration) -> Result<Lease, KvError>;
    /// Gives the lease its whole time again.
    fn renew(&self, lease: Lease) -> Result<(), KvError>;
    /// Ends the lease now and removes its keys.
    fn revoke(&self, lease: Lease) -> Result<(), KvError>;
    /// Removes the keys of leases that ran out (they are not seen any more before that); to be called every second or so, so that watches move.
    fn sweep(&self) -> Result<(), KvError>;

    /// Hands over every entry that hangs on no lease, in order, as they all stand at one revision, which is given with each and answered.
    /// Writers wait that long, so `each` must be quick: what it is for goes to a file, not to a network. Memory for some entries only.
    fn snapshot(&self, each: &mut Each<'_>) -> Result<u64, KvError>;
    /// Sets the revision forward, so that no revision up to this one is given again; of a lower one nothing is changed. Durable.
    fn raise(&self, revision: u64) -> Result<(), KvError>;

    /// Writes one value; answers its revision.
    fn put(&self, key: &str, value: &[u8], expect: Expect) -> Result<u64, KvError> {
        self.batch(&[Change::put(key, value, expect)])
    }
    /// Removes one key; answers the revision.
    fn delete(&self, key: &str, expect: Expect) -> Result<u64, KvError> {
        self.batch(&[Change::delete(key, expect)])
    }
}
