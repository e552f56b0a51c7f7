//! The engine on one machine's disk: sled, made honest.
//!
//! What sled alone does not give (0.34.7, read and measured): an answered write that survives a power cut (its flush leaves the disk's
//! cache and blob files unsynced on Linux), and a damaged tail that is told from a short one. So every commit is followed by
//! `fdatasync` of its files, a mark beside it names the last revision that was answered, and the start reads every entry and compares
//! the sum over them.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::core::{Engine, Pairs, Rules, Writes};
use super::record::{DATA, Record, SUMMARY, Summary, user_key};
use super::{Kv, KvError, StartError};

const CACHE: u64 = 8 * 1024 * 1024;
/// The mark is written by turns into two places a sector apart, so that a torn write leaves the other.
const SLOT: u64 = 512;

struct Disk {
    db: sled::Db,
    file: File,
    mark: File,
    blobs: PathBuf,
    synced_blobs: Mutex<BTreeSet<OsString>>,
    _lock: File,
}

/// Opens or makes the store in the folder `dir` (made 0700), after checking every entry in it.
pub fn open(dir: &Path) -> Result<impl Kv, StartError> {
    let io_at = |path: &Path| {
        let path = path.to_owned();
        move |source| StartError::Io { path, source }
    };
    if !dir.exists() {
        fs::DirBuilder::new().mode(0o700).create(dir).map_err(io_at(dir))?;
    }
    let lock_path = dir.join("lock");
    let lock = private().create(true).open(&lock_path).map_err(io_at(&lock_path))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => return Err(StartError::InUse(dir.to_owned())),
        Err(fs::TryLockError::Error(source)) => return Err(StartError::Io { path: lock_path, source }),
    }
    let (folder, mark_path) = (dir.join("db"), dir.join("mark"));
    probe(&folder, &dir.join("probe"))?;
    let (db, summary, orphans) = guarded(&folder)?;
    let file = File::open(folder.join("db")).map_err(io_at(&folder))?;
    let mark = mark(&mark_path, summary)?;
    let engine = Disk { db, file, mark, blobs: folder.join("blobs"), synced_blobs: Mutex::default(), _lock: lock };
    Rules::resume(engine, summary, &orphans).map_err(|error| StartError::Damaged { file: folder, cause: error.to_string() })
}

/// sled mends what it takes for a torn write, which may be damage. So a copy is opened first: a store that is refused keeps every byte.
fn probe(folder: &Path, probe: &Path) -> Result<(), StartError> {
    if !folder.exists() {
        return Ok(());
    }
    let io = |source| StartError::Io { path: probe.to_owned(), source };
    let remove = || match fs::remove_dir_all(probe) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io(error)),
        _ => Ok(()),
    };
    remove()?;
    copy_folder(folder, probe).map_err(io)?;
    let found = guarded(probe).map(drop);
    remove()?;
    found.map_err(|error| match error {
        StartError::Damaged { cause, .. } => StartError::Damaged { file: folder.join("db"), cause },
        StartError::Newer(_) => StartError::Newer(folder.to_owned()),
        other => other,
    })
}

/// Two levels, as sled has: its files, and its blobs.
fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_folder(&source, &target)?;
        } else {
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

/// sled panics on some damage: that too is an answer.
fn guarded(folder: &Path) -> Result<(sled::Db, Summary, Vec<String>), StartError> {
    let damaged = |cause: String| StartError::Damaged { file: folder.join("db"), cause };
    let config = sled::Config::new().path(folder).cache_capacity(CACHE).flush_every_ms(None);
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let db = config.open()?;
        check_all(&db).map(|(summary, orphans)| (db, summary, orphans))
    }));
    match opened {
        Ok(Ok(all)) => Ok(all),
        Ok(Err(Found::Sled(sled::Error::Io(source)))) if source.to_string().contains("could not acquire lock") => {
            Err(StartError::InUse(folder.to_owned()))
        }
        Ok(Err(Found::Newer)) => Err(StartError::Newer(folder.to_owned())),
        Ok(Err(Found::Sled(error))) => Err(damaged(error.to_string())),
        Ok(Err(Found::Wrong(cause))) => Err(damaged(cause)),
        Err(_) => Err(damaged("it cannot be read".to_owned())),
    }
}

enum Found {
    Sled(sled::Error),
    Wrong(String),
    Newer,
}

impl From<sled::Error> for Found {
    fn from(error: sled::Error) -> Self {
        Self::Sled(error)
    }
}

/// Reads every entry; answers the summary, and the keys whose leases ended with the last process.
fn check_all(db: &sled::Db) -> Result<(Summary, Vec<String>), Found> {
    let stored = match db.get(SUMMARY)? {
        Some(bytes) if bytes.first().is_some_and(|format| *format > super::record::FORMAT) => return Err(Found::Newer),
        Some(bytes) => Summary::decode(&bytes).ok_or_else(|| Found::Wrong("its summary cannot be read".to_owned()))?,
        None => Summary::default(),
    };
    let mut found = Summary { revision: stored.revision, ..Summary::default() };
    let mut orphans = Vec::new();
    for pair in db.iter() {
        let (key, bytes) = pair?;
        if key == SUMMARY {
            continue;
        }
        let wrong = |error: KvError| Found::Wrong(error.to_string());
        let name = user_key(&key).map_err(wrong)?;
        if Record::decode(name, &bytes).map_err(wrong)?.lease != 0 {
            orphans.push(name.to_owned());
        }
        found.add(&key, &bytes);
    }
    if found != stored {
        return Err(Found::Wrong(format!("it holds {} entries that do not add up to the {} written", found.entries, stored.entries)));
    }
    Ok((stored, orphans))
}

/// Opens the mark, and refuses a store that is behind it.
fn mark(path: &Path, summary: Summary) -> Result<File, StartError> {
    let io_at = |source| StartError::Io { path: path.to_owned(), source };
    let damaged = |cause: String| StartError::Damaged { file: path.to_owned(), cause };
    let new = !path.exists();
    let file = private().create(true).truncate(false).open(path).map_err(io_at)?;
    if new {
        if summary != Summary::default() {
            return Err(damaged("it is missing".to_owned()));
        }
        write_mark(&file, 0).map_err(io_at)?;
        file.sync_all().map_err(io_at)?;
        path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all()).map_err(io_at)?;
        return Ok(file);
    }
    let marked = [read_mark(&file, 0), read_mark(&file, SLOT)].into_iter().flatten().max();
    match marked {
        None => Err(damaged("it cannot be read".to_owned())),
        Some(answered) if answered > summary.revision => {
            Err(damaged(format!("{answered} writes were answered and the store holds {}", summary.revision)))
        }
        Some(_) => Ok(file),
    }
}

fn write_mark(file: &File, revision: u64) -> io::Result<()> {
    let bytes = revision.to_be_bytes();
    let mut slot = bytes.to_vec();
    slot.extend_from_slice(blake3::hash(&bytes).as_bytes());
    file.write_all_at(&slot, (revision % 2) * SLOT)
}

fn read_mark(file: &File, at: u64) -> Option<u64> {
    let mut slot = [0; 40];
    file.read_exact_at(&mut slot, at).ok()?;
    let (bytes, hash) = slot.split_first_chunk::<8>()?;
    (blake3::hash(bytes).as_bytes() == hash).then(|| u64::from_be_bytes(*bytes))
}

fn failed(error: sled::Error) -> KvError {
    match error {
        sled::Error::Io(error) => KvError::Io(error),
        other => KvError::Io(io::Error::other(other.to_string())),
    }
}

impl Disk {
    /// sled writes large pages into files of their own, named once and never written again, and does not sync them.
    fn sync_blobs(&self) -> io::Result<()> {
        let Ok(listed) = fs::read_dir(&self.blobs) else { return Ok(()) };
        let mut synced = self.synced_blobs.lock().map_err(|_| io::Error::other("poisoned"))?;
        let mut there = BTreeSet::new();
        for entry in listed {
            let entry = entry?;
            if !synced.contains(&entry.file_name()) {
                match File::open(entry.path()) {
                    Ok(file) => file.sync_all()?,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                }
            }
            there.insert(entry.file_name());
        }
        if !there.is_subset(&synced) {
            File::open(&self.blobs)?.sync_all()?;
        }
        *synced = there;
        Ok(())
    }
}

impl Engine for Disk {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        Ok(self.db.get(key).map_err(failed)?.map(|bytes| bytes.to_vec()))
    }
    fn scan(&self, prefix: &[u8], after: &[u8], limit: usize) -> Result<Pairs, KvError> {
        let from = after.max(prefix).to_vec();
        let mut out = Pairs::new();
        for pair in self.db.range(from..) {
            let (key, value) = pair.map_err(failed)?;
            if !key.starts_with(prefix) || out.len() >= limit {
                break;
            }
            if key != after {
                out.push((key.to_vec(), value.to_vec()));
            }
        }
        debug_assert!(prefix.first() == Some(&DATA), "only entries are scanned");
        Ok(out)
    }
    fn apply(&self, writes: Writes) -> Result<(), KvError> {
        let mut batch = sled::Batch::default();
        for (key, value) in writes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        self.db.apply_batch(batch).map_err(failed)
    }
    fn sync(&self, revision: u64) -> Result<(), KvError> {
        self.db.flush().map_err(failed)?;
        self.sync_blobs()?;
        self.file.sync_data()?;
        write_mark(&self.mark, revision)?;
        Ok(())
    }
}
