//! The state directory: VERSION first, one process at a time, nobody else may read it. What lies in it belongs to other rooms.

mod secret;
mod swap;

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

pub use secret::{MAX_SECRET, SecretError, read_secret, write_secret};
pub use swap::Swap;

/// The layout that this version writes.
pub const FORMAT: u64 = 2;

/// Why a state directory is not used. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another process has it.
    #[error("the state directory {0} is in use by another process; stop that one first, or give another directory")]
    InUse(PathBuf),
    /// Written by a later version.
    #[error("the state directory {path} has format {found}, this version knows {FORMAT}; start the newer version, or restore a backup")]
    Newer {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// It belongs to another install.
    #[error("the state directory {path} belongs to the install {found}, not to {wanted}; give the directory of this install")]
    OtherInstall {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it was to be.
        wanted: String,
    },
    /// There are files but no VERSION.
    #[error("the directory {0} is not empty and has no VERSION file: it is not a state directory; give an empty or a new one")]
    NotOurs(PathBuf),
    /// VERSION says nothing.
    #[error("the file {0} is damaged; restore the state directory from a backup")]
    Damaged(PathBuf),
    /// Others may read or write it, or own it.
    #[error("the state directory {path} is not safe: {cause}; {remedy}")]
    Unsafe {
        /// The directory.
        path: PathBuf,
        /// Why.
        cause: String,
        /// What to do.
        remedy: String,
    },
    /// The disk failed.
    #[error("the state directory {path} could not be used")]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A state directory held by this process, until it is dropped or the process ends.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    install: String,
    /// As it was found.
    format: u64,
    _lock: File,
}

impl StateDir {
    /// Opens the state directory at `path`, or makes it (0700) for the install `new_install`. An existing one keeps its own id, see
    /// [`Self::install`]; `expected`, where it is given, must be that id. A swap that was cut off is finished first.
    pub fn open(path: &Path, new_install: &str, expected: Option<&str>) -> Result<Self, StateError> {
        let (lock, found) = hold(path)?;
        let (install, format) = match found {
            Some(found) => found,
            None => {
                let install = expected.unwrap_or(new_install);
                let marker = json!({ "format": FORMAT, "install": install }).to_string();
                let written = replace(&path.join("VERSION"), format!("{marker}\n").as_bytes(), 0o600);
                written.map_err(|source| StateError::Io { path: path.to_owned(), source })?;
                (install.to_owned(), FORMAT)
            }
        };
        match expected {
            Some(wanted) if wanted != install => {
                Err(StateError::OtherInstall { path: path.to_owned(), found: install, wanted: wanted.to_owned() })
            }
            _ => Ok(Self { path: path.to_owned(), install, format, _lock: lock }),
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// The format that it was found in: what is older is to be migrated, then [`Self::migrated`].
    pub fn format(&self) -> u64 {
        self.format
    }
    /// Copies a folder of it aside before it is migrated, as `NAME.format-N`, once.
    pub fn keep_aside(&self, name: &str) -> Result<(), StateError> {
        let (from, to) = (self.path.join(name), self.path.join(format!("{name}.format-{}", self.format)));
        if !from.is_dir() || to.exists() {
            return Ok(());
        }
        let part = self.path.join(format!("{name}.format-{}.part", self.format));
        let io_at = |source| StateError::Io { path: part.clone(), source };
        match fs::remove_dir_all(&part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_at(error)),
            _ => {}
        }
        copy_folder(&from, &part).and_then(|()| fs::rename(&part, &to)).and_then(|()| sync_folder(&self.path)).map_err(io_at)
    }
    /// Everything in it is of this version's format now: an older version does not start on it any more.
    pub fn migrated(&mut self) -> Result<(), StateError> {
        let version = self.path.join("VERSION");
        let marker = json!({ "format": FORMAT, "install": self.install }).to_string();
        let io_at = |source| StateError::Io { path: version.clone(), source };
        replace(&version, format!("{marker}\n").as_bytes(), 0o600).map_err(io_at)?;
        self.format = FORMAT;
        Ok(())
    }
    /// The id of the install that it belongs to.
    pub fn install(&self) -> &str {
        &self.install
    }
    /// A folder in it, made 0700 when it is not there.
    pub fn folder(&self, name: &str) -> Result<PathBuf, StateError> {
        let path = self.path.join(name);
        match fs::DirBuilder::new().mode(0o700).create(&path) {
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => Err(StateError::Io { path, source }),
            _ => private_folder(&path).map(|()| path),
        }
    }
}

/// Takes a directory, or makes it (0700), and brings it to the end of what was begun in it. Answers whose it is and of which
/// format; none of an empty one.
fn hold(path: &Path) -> Result<(File, Option<(String, u64)>), StateError> {
    let io_at = |source| StateError::Io { path: path.to_owned(), source };
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => sync_folder(path.parent().unwrap_or(Path::new("/"))).map_err(io_at)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(io_at(error)),
    }
    let version = path.join("VERSION");
    // First, so that nobody is told to change the mode of a folder that is not ours.
    if path.is_dir() && !version.exists() && !is_fresh(path).map_err(io_at)? {
        return Err(StateError::NotOurs(path.to_owned()));
    }
    private_folder(path)?;
    let lock = lock(path)?;
    swap::finish(path).map_err(io_at)?;
    swap::clean(path).map_err(io_at)?;
    match fs::read(&version) {
        Ok(bytes) => Ok((lock, Some(read_version(path, &version, &bytes)?))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((lock, None)),
        Err(error) => Err(io_at(error)),
    }
}

fn lock(path: &Path) -> Result<File, StateError> {
    let file = path.join("lock");
    let io_at = |source| StateError::Io { path: file.clone(), source };
    let lock = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&file).map_err(io_at)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StateError::InUse(path.to_owned())),
        Err(TryLockError::Error(source)) => Err(io_at(source)),
    }
}

/// Empty but for what a first start or a restore that was cut off may have left.
fn is_fresh(path: &Path) -> io::Result<bool> {
    if path.join(swap::READY).is_dir() {
        return Ok(true);
    }
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        if name != "lock" && name != "VERSION.new" && name != swap::NEW {
            return Ok(false);
        }
    }
    Ok(true)
}

fn private_folder(path: &Path) -> Result<(), StateError> {
    let io_at = |source| StateError::Io { path: path.to_owned(), source };
    let meta = fs::symlink_metadata(path).map_err(io_at)?;
    let refuse = |cause: String, remedy: String| Err(StateError::Unsafe { path: path.to_owned(), cause, remedy });
    let me = rustix::process::geteuid().as_raw();
    if !meta.is_dir() {
        return refuse("it is not a folder".into(), "give the real path of a folder".into());
    }
    if meta.uid() != me {
        return refuse(format!("it belongs to uid {} and this is uid {me}", meta.uid()), "run as its owner, or chown it".into());
    }
    if meta.mode() & 0o077 != 0 {
        return refuse(format!("others may enter it (mode {:04o})", meta.mode() & 0o7777), format!("run: chmod 700 {}", path.display()));
    }
    Ok(())
}

/// A copy that is durable when this returns; files are 0600 from the first byte.
fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else if entry.file_type()?.is_file() {
            let mut source = File::open(entry.path())?;
            let mut copy = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&target)?;
            io::copy(&mut source, &mut copy)?;
            copy.sync_all()?;
        }
    }
    sync_folder(to)
}

fn read_version(dir: &Path, file: &Path, bytes: &[u8]) -> Result<(String, u64), StateError> {
    let damaged = || StateError::Damaged(file.to_owned());
    let value: Value = serde_json::from_slice(bytes).map_err(|_| damaged())?;
    let found = value.get("format").and_then(Value::as_u64).ok_or_else(damaged)?;
    if found > FORMAT {
        return Err(StateError::Newer { path: dir.to_owned(), found });
    }
    let install = value.get("install").and_then(Value::as_str).filter(|id| !id.is_empty()).ok_or_else(damaged)?;
    if found == 0 { Err(damaged()) } else { Ok((install.to_owned(), found)) }
}

/// Puts `bytes` in the place of a file so that a crash leaves the old or the new one whole: temporary file with `mode` from the first
/// byte, `fsync`, rename, `fsync` of the folder. One writer a file.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(".new");
    let temp = path.with_file_name(name);
    match fs::remove_file(&temp) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&temp)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&temp, path)?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path)?.sync_all()
}
