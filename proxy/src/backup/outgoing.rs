//! A file that appears whole or not at all: written beside its place, 0600 from the first byte, synced, then renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::BackupError;

/// A file on its way. Dropped before [`Self::finish`], nothing of it is left.
#[derive(Debug)]
pub struct Outgoing {
    file: File,
    beside: PathBuf,
    place: PathBuf,
    done: bool,
}

impl Outgoing {
    /// Begins a file that will be at `place`, in the place of an older one.
    pub fn new(place: &Path) -> Result<Self, BackupError> {
        if fs::metadata(place).is_ok_and(|meta| !meta.is_file()) {
            return Err(BackupError::NoFile(place.to_owned()));
        }
        let mut name = place.file_name().ok_or_else(|| BackupError::NoFile(place.to_owned()))?.to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let beside = place.with_file_name(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).map_err(BackupError::Write)?;
        Ok(Self { file, beside, place: place.to_owned(), done: false })
    }

    /// Puts it in its place, durably.
    pub fn finish(mut self) -> Result<(), BackupError> {
        let folder = self.place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let put = self.file.sync_all().and_then(|()| fs::rename(&self.beside, &self.place));
        put.map_err(BackupError::Write)?;
        self.done = true;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(BackupError::Write)
    }
}

impl Write for Outgoing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if !self.done {
            let _gone = fs::remove_file(&self.beside);
        }
    }
}
