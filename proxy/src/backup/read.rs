//! Looking at a backup: is it whole and sealed, and what is in it. No secret of it is shown, and nothing of it is kept.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use access::time::Timestamp;
use wire::backup::{Fault, Head, Part, Reader};
use wire::proof::PublicKey;

use super::BackupError;
use super::age::{Unlock, inside};
use crate::declared::DECLARED;

/// Most names that are told of a kind.
const MAX_NAMES: usize = 1000;

/// What a backup is, once it is proved whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    pub(super) head: Head,
    /// The key that sealed it.
    pub key: PublicKey,
    /// Key files in it.
    pub keys: u64,
    /// Entries of the store in it, by what they are: the word before the first `/` of their keys.
    pub kinds: BTreeMap<String, u64>,
    /// Declared people, the first 1000.
    pub users: Vec<String>,
    /// Roles, the first 1000.
    pub roles: Vec<String>,
}

impl About {
    /// Whose it is.
    pub fn install(&self) -> &str {
        self.head.install.as_str()
    }
    /// When it was made.
    pub fn time(&self) -> Timestamp {
        self.head.time
    }
    /// The store's revision in it.
    pub fn revision(&self) -> u64 {
        self.head.revision
    }
    /// The audit log's last event that it knows of.
    pub fn event(&self) -> u64 {
        self.head.log.count
    }
    /// Entries of the store in it.
    pub fn entries(&self) -> u64 {
        self.kinds.values().sum()
    }
}

/// The bytes of the backup in this file, decrypted as they are read.
pub fn open(path: &Path, unlock: &Unlock) -> Result<Box<dyn Read>, BackupError> {
    let file = File::open(path).map_err(|source| BackupError::Open { path: path.to_owned(), source })?;
    inside(file, unlock)
}

/// Reads a backup to its end and proves it. Memory for one part of it, and for the names that are told.
pub fn look(from: impl Read) -> Result<About, BackupError> {
    let mut reader = Reader::new(from)?;
    let head = reader.head().clone();
    let (mut kinds, mut users, mut roles, mut keys) = (BTreeMap::new(), Vec::new(), Vec::new(), 0);
    loop {
        match reader.next()? {
            Some(Part::Key(..)) => keys += 1,
            Some(Part::Entry(key, _)) => {
                let kind = key.strip_prefix(DECLARED).unwrap_or(&key).split_once('/').map_or("other", |(kind, _)| kind);
                // A store has a dozen kinds; a hostile one does not fill the memory with others.
                let kind = if kinds.contains_key(kind) || kinds.len() < 100 { kind } else { "other" };
                *kinds.entry(kind.to_owned()).or_insert(0) += 1;
                for (names, prefix) in [(&mut users, format!("{DECLARED}user/")), (&mut roles, format!("{DECLARED}role/"))] {
                    if let Some(name) = key.strip_prefix(&prefix).filter(|_| names.len() < MAX_NAMES) {
                        names.push(name.to_owned());
                    }
                }
            }
            Some(Part::Sealed(key)) => return Ok(About { head, key, keys, kinds, users, roles }),
            None => return Err(Fault::Cut.into()),
        }
    }
}
