//! One agent at a time uses a state directory: two would renew one certificate against each other and share holders.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Why an agent does not have its state directory.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum LockError {
    #[error("the state directory {0} is in use by another agent; stop that one first, or give this one a directory of its own")]
    InUse(PathBuf),
    #[error("the file {path} cannot be locked: {source}")]
    Io { path: PathBuf, source: io::Error },
}

/// Held for as long as it lives, and at most as long as the process: the system lets go of it after a kill too.
#[derive(Debug)]
pub(crate) struct Lock(#[allow(dead_code, reason = "the open file is the lock")] File);

/// Takes the directory.
pub(crate) fn take(state: &Path) -> Result<Lock, LockError> {
    let path = state.join("lock");
    let failed = |source| LockError::Io { path: path.clone(), source };
    let file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(LockError::InUse(state.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_one_agents() {
        let dir = tempfile::tempdir().expect("a folder");
        let first = take(dir.path()).expect("taken");
        assert!(matches!(take(dir.path()), Err(LockError::InUse(_))));
        drop(first);
        assert!(take(dir.path()).is_ok());
    }
}
