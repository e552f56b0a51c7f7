//! Files that only we may read: written so that no moment shows them to others, read only when that still holds.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// Most bytes of a secret file.
pub const MAX_SECRET: u64 = 64 * 1024;

/// Why a secret file is not used, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It is not a file that only we may read.
    #[error("the key file {path} is not used: {cause}; {remedy}")]
    Refused {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: String,
        /// What to do.
        remedy: String,
    },
    /// The disk failed.
    #[error("the key file {path} could not be read or written")]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Writes a secret: 0600 from the first byte, whole or not at all.
pub fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), SecretError> {
    super::replace(path, bytes, 0o600).map_err(|source| SecretError::Io { path: path.to_owned(), source })
}

/// Reads a secret. Refuses a link, another owner, any right of group or others, nothing, and more than [`MAX_SECRET`].
pub fn read_secret(path: &Path) -> Result<Vec<u8>, SecretError> {
    let io_at = |source| SecretError::Io { path: path.to_owned(), source };
    let refuse = |cause: String, remedy: String| Err(SecretError::Refused { path: path.to_owned(), cause, remedy });
    let restore = || "restore it from a backup".to_owned();
    if fs::symlink_metadata(path).map_err(io_at)?.file_type().is_symlink() {
        return refuse("it is a symbolic link".into(), "put the file itself there".into());
    }
    // NOFOLLOW closes the gap between the look above and the opening; NONBLOCK keeps a pipe from hanging the start.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).map_err(|_| io_at(io::ErrorKind::InvalidInput.into()))?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(io_at)?;
    let meta = file.metadata().map_err(io_at)?;
    let me = rustix::process::geteuid().as_raw();
    if !meta.is_file() {
        return refuse("it is not a plain file".into(), restore());
    }
    if meta.uid() != me {
        return refuse(format!("it belongs to uid {} and this is uid {me}", meta.uid()), format!("run: chown {me} {}", path.display()));
    }
    if meta.mode() & 0o077 != 0 {
        let cause = format!("others may read or write it (mode {:04o})", meta.mode() & 0o7777);
        return refuse(cause, format!("run: chmod 600 {} and think about who read it", path.display()));
    }
    if meta.len() > MAX_SECRET {
        return refuse("it is larger than 64 KiB".into(), restore());
    }
    let mut bytes = Vec::new();
    file.take(MAX_SECRET).read_to_end(&mut bytes).map_err(io_at)?;
    if bytes.is_empty() { refuse("it is empty".into(), restore()) } else { Ok(bytes) }
}
