//! Where the files of a log lie, and the few ways in which they are made.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The folder of one stream.
#[derive(Debug, Clone)]
pub(crate) struct Paths(PathBuf);

impl Paths {
    /// Makes the folder (0700) when it is not there.
    pub(crate) fn make(log: &Path, stream: &str) -> io::Result<Self> {
        let dir = log.join(stream);
        fs::DirBuilder::new().mode(0o700).recursive(true).create(&dir)?;
        if let Some(parent) = log.parent() {
            sync_folder(parent)?;
        }
        sync_folder(log)?;
        Ok(Self(dir))
    }
    pub(crate) fn dir(&self) -> &Path {
        &self.0
    }
    pub(crate) fn lines(&self, number: u64) -> PathBuf {
        self.0.join(format!("{number:08}.jsonl"))
    }
    pub(crate) fn seal(&self, number: u64) -> PathBuf {
        self.0.join(format!("{number:08}.seal"))
    }
    pub(crate) fn head(&self) -> PathBuf {
        self.0.join("HEAD")
    }
    pub(crate) fn checkpoints(&self) -> PathBuf {
        self.0.join("checkpoints")
    }
    pub(crate) fn reserve(&self) -> PathBuf {
        self.0.join("reserve")
    }
    pub(crate) fn torn(&self, time: &str) -> PathBuf {
        self.0.join(format!("torn-{time}"))
    }
}

/// Opens a file for reading and writing, 0600 when it is made.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Reads a small file whole; none when it is not there.
pub(crate) fn small(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::metadata(path) {
        Ok(meta) if meta.len() > 64 * 1024 => Err(io::Error::new(ErrorKind::InvalidData, "the file is too large to be what it should")),
        Ok(_) => fs::read(path).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Whether the disk or a quota is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}
