//! Backups: one file with what an install is, its keys and its store at one revision, and the way back from it. Recordings, journal and
//! audit log are not in it: they are files that are only added to, and are copied as files.
//!
//! INVARIANT: nothing in a state directory changes before a whole backup has been read and its seal believed.

mod age;
mod make;
mod outgoing;
mod read;
mod restore;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;

use store::kv::{KvError, StartError};
use store::state::{SecretError, StateError};
use wire::backup::{Fault, Head};

use crate::authority::keyring::KeyError;

pub use self::age::{Lock, Unlock};
pub(crate) use self::make::answer;
pub use self::make::{of_stopped, save};
pub use self::outgoing::Outgoing;
pub use self::read::{About, look, open};
pub use self::restore::{Restored, restore};

/// Where a restored store says what it was restored from, until the first start has dealt with it.
const RESTORED: &str = "restored";

/// A backup was not made, or not restored. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum BackupError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error("{0} is not the state directory of a server")]
    NoState(PathBuf),
    #[error("the install id in VERSION is not one of Naru's: {0}")]
    Install(String),
    #[error(transparent)]
    Keys(#[from] KeyError),
    #[error(transparent)]
    Store(#[from] StartError),
    #[error(transparent)]
    Kv(#[from] KvError),
    #[error("the HEAD of the audit log is not believed: {0}")]
    Head(String),
    #[error("the copy of the store could not be written beside it")]
    Spool(#[source] io::Error),
    #[error("the backup could not be written")]
    Write(#[source] io::Error),
    #[error("{0} is there and is no plain file: a backup does not take its place")]
    NoFile(PathBuf),
    #[error("the file {path} could not be read")]
    Open { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error("{0:?} is not an age recipient: age1…")]
    Recipient(String),
    #[error("the file {path} cannot be used: {why}")]
    Secret { path: PathBuf, why: String },
    #[error("the backup is encrypted")]
    Locked,
    #[error("the backup cannot be decrypted: {0}")]
    Decrypt(String),
    #[error("the backup is of the install {found}, and {path} belongs to {there}")]
    OtherInstall { path: PathBuf, found: String, there: String },
    #[error("the backup is sealed with the key {found}, and not with {wanted}")]
    OtherKey { found: String, wanted: String },
    #[error("the backup lacks the key file {0}, or has one that this version does not know")]
    KeyFiles(String),
    #[error("the backup changed while it was read")]
    Moved,
}

impl BackupError {
    fn secret(path: &std::path::Path) -> impl FnOnce(SecretError) -> Self {
        let path = path.to_owned();
        |error| Self::Secret { path, why: error.to_string() }
    }
}

/// What a restored store was restored from, where no start has dealt with it yet.
pub(crate) fn restored_from(store: &dyn store::kv::Kv) -> Result<Option<Head>, KvError> {
    let Some(stored) = store.get(RESTORED)? else { return Ok(None) };
    serde_json::from_slice(&stored.value).map(Some).map_err(|_| KvError::Damaged(RESTORED.to_owned()))
}

/// That is dealt with, durably.
pub(crate) fn dealt_with(store: &dyn store::kv::Kv) -> Result<(), KvError> {
    store.delete(RESTORED, store::kv::Expect::Any).map(drop)
}
