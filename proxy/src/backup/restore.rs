//! The way back: everything is built and proved aside, then takes its place in one moment. What was there before is kept.

use std::io::Read;
use std::path::{Path, PathBuf};

use access::words::InstallId;
use store::kv::{Change, Expect, Kv, MAX_BATCH};
use store::state::{Swap, write_secret};
use wire::backup::{Fault, Part, Reader};
use wire::proof::{PublicKey, Sign as _};
use zeroize::Zeroizing;

use super::make::head;
use super::read::{About, look};
use super::{BackupError, RESTORED};
use crate::authority::keyring::{self, Keyring};

/// Most bytes of one batch of the new store.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The backup.
    pub about: About,
    /// Where the store and keys are that were there before.
    pub before: Option<PathBuf>,
    /// Whether the audit log of this install is there, so that the next start reads from it what happened since.
    pub has_log: bool,
}

/// Restores a backup into an empty or absent state directory, or in place of store and keys of the same install. `open` gives its bytes
/// each time it is called: they are proved before anything is written. `trusted` is the key that must have sealed it, where it is known.
pub fn restore(
    open: impl Fn() -> Result<Box<dyn Read>, BackupError>,
    state: &Path,
    trusted: Option<&PublicKey>,
) -> Result<Restored, BackupError> {
    let about = look(open()?)?;
    sealed_by(&about, trusted)?;
    let swap = Swap::open(state)?;
    if let Some(there) = swap.install().filter(|there| *there != about.install()) {
        let (path, found) = (state.to_owned(), about.install().to_owned());
        return Err(BackupError::OtherInstall { path, found, there: there.to_owned() });
    }
    if swap.install().is_some() {
        sealed_by(&about, keyring::checkpoint_in(&state.join("keys"))?.as_ref())?;
    }
    let log = head(state, &about.key)?;
    let aside = swap.aside()?;
    build(open()?, &aside, &about, log.as_ref().and_then(|head| head.store))?;
    let before = swap.take_over(about.install())?;
    Ok(Restored { has_log: log.is_some_and(|head| head.count >= about.event()), about, before })
}

fn sealed_by(about: &About, wanted: Option<&PublicKey>) -> Result<(), BackupError> {
    match wanted {
        Some(wanted) if *wanted != about.key => Err(BackupError::OtherKey { found: about.key.fingerprint(), wanted: wanted.fingerprint() }),
        _ => Ok(()),
    }
}

/// Builds keys and store in this folder. No revision that the store ever had, as far as backup and HEAD know, is given again.
fn build(from: Box<dyn Read>, aside: &Path, about: &About, newest: Option<u64>) -> Result<(), BackupError> {
    let io_at = |path: &Path| {
        let path = path.to_owned();
        |source| BackupError::Open { path, source }
    };
    let keys = aside.join("keys");
    std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700).create(&keys).map_err(io_at(&keys))?;
    let store = store::kv::open(&aside.join("store"))?;
    store.raise(about.revision().max(newest.unwrap_or(0)))?;
    let mut reader = Reader::new(from)?;
    if *reader.head() != about.head {
        return Err(BackupError::Moved);
    }
    let (mut batch, mut bytes) = (Vec::new(), 0);
    loop {
        match reader.next()? {
            Some(Part::Key(name, value)) => {
                let value = Zeroizing::new(value);
                if !keyring::is_file(&name) {
                    return Err(BackupError::KeyFiles(name));
                }
                write_secret(&keys.join(&name), &value).map_err(|error| BackupError::Keys(error.into()))?;
            }
            Some(Part::Entry(key, value)) => {
                bytes += value.len();
                batch.push(Change::put(key, value, Expect::Absent));
                if batch.len() == MAX_BATCH || bytes >= BATCH_BYTES {
                    store.batch(&batch)?;
                    (batch, bytes) = (Vec::new(), 0);
                }
            }
            Some(Part::Sealed(key)) if key == about.key => break,
            Some(Part::Sealed(_)) => return Err(BackupError::Moved),
            None => return Err(Fault::Cut.into()),
        }
    }
    // The first start deals with what happened since, and then removes this.
    let mark = serde_json::to_vec(&about.head).map_err(|error| BackupError::Write(error.into()))?;
    if batch.len() == MAX_BATCH || batch.is_empty() {
        store.put(RESTORED, &mark, Expect::Any)?;
    } else {
        batch.push(Change::put(RESTORED, mark, Expect::Any));
        store.batch(&batch)?;
    }
    drop(store);
    let install: InstallId = about.head.install.clone();
    let ring = Keyring::complete(&keys, &install)?;
    // Else the first start would not believe its own log.
    if ring.checkpoint_key().public() != about.key {
        return Err(BackupError::KeyFiles("checkpoint.key".to_owned()));
    }
    Ok(())
}
