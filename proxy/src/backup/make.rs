//! How a backup is made: by the running proxy for whoever asks on its control socket, or from the state of one that is stopped. Either
//! way the store is first copied at one revision into a file without a name, so that no writer waits for whoever takes it away.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Read, Seek as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use access::event::{Actor, Event, What};
use access::words::InstallId;
use store::kv::{Kv, KvError};
use store::state::StateDir;
use wire::backup::{Head, LogPlace, Writer};
use wire::proof::{self, Hash, PublicKey, Sign, unseal};

use super::age::Lock;
use super::read::{About, look};
use super::{BackupError, RESTORED, restored_from};
use crate::api::App;
use crate::authority::keyring::{self, Keyring};
use crate::build::STREAM;
use crate::clock;
use crate::listen::control::{Answer, Reply};

/// A copy that can be read once.
struct Copied {
    file: File,
    revision: u64,
    entries: u64,
}

/// Copies what the install is, at one revision of its store. Blocks on the disk; writers of the store wait for a part of that.
fn copied(state: &Path, install: &InstallId, signer: &dyn Sign, store: &dyn Kv) -> Result<Copied, BackupError> {
    // The log before the store: what is logged in between is in both, and is no loss when it is done again.
    let log = log_place(state, signer, store)?;
    let keys = keyring::files(&state.join("keys"))?;
    let (time, version) = (clock::now(), env!("CARGO_PKG_VERSION").to_owned());
    let mut spool = Some(spool(state)?);
    let mut begin = |revision| {
        let spool = spool.take().ok_or(ErrorKind::AlreadyExists)?;
        let head = Head { install: install.clone(), time, revision, log: log.clone(), version: version.clone() };
        let mut writer = Writer::new(spool, &head)?;
        keys.iter().try_for_each(|(name, bytes)| writer.key(name, bytes))?;
        Ok(writer)
    };
    let (mut writer, mut entries, mut failed) = (None, 0, None);
    let mut each = |revision, key: &str, value: &[u8]| {
        if key == RESTORED {
            return Ok(());
        }
        entries += 1;
        match &mut writer {
            None => writer.insert(begin(revision)?).entry(key, value),
            Some(writer) => writer.entry(key, value),
        }
    };
    // A full disk is told apart from a store that fails.
    let revision = store.snapshot(&mut |revision, key, value| {
        each(revision, key, value).map_err(|error: io::Error| {
            let kind = error.kind();
            failed = Some(error);
            kind.into()
        })
    });
    if let Some(error) = failed {
        return Err(BackupError::Spool(error));
    }
    let revision = revision?;
    let writer = writer.map_or_else(|| begin(revision), Ok).map_err(BackupError::Spool)?;
    let spool = writer.finish(signer).map_err(BackupError::Spool)?;
    let mut file = spool.into_inner().map_err(|error| BackupError::Spool(error.into_error()))?;
    file.rewind().map_err(BackupError::Spool)?;
    Ok(Copied { file, revision, entries })
}

/// From where on the log tells what the copy does not have: as HEAD says, but of a store that was itself restored and never started since,
/// from where its own backup was.
fn log_place(state: &Path, signer: &dyn Sign, store: &dyn Kv) -> Result<LogPlace, BackupError> {
    if let Some(restored) = restored_from(store)? {
        return Ok(restored.log);
    }
    let head = head(state, &signer.public())?;
    Ok(head.map_or(LogPlace { count: 0, hash: Hash::ZERO }, |head| LogPlace { count: head.count, hash: head.hash }))
}

/// A file beside the store that has no name as soon as it is there: a kill leaves nothing of it.
fn spool(state: &Path) -> Result<BufWriter<File>, BackupError> {
    let path = state.join("backup.spool");
    let make = || {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        fs::remove_file(&path)?;
        Ok(file)
    };
    make().map(|file| BufWriter::with_capacity(256 * 1024, file)).map_err(BackupError::Spool)
}

/// The HEAD of the audit log of a state directory; none where there is none.
pub(super) fn head(state: &Path, key: &PublicKey) -> Result<Option<proof::Head>, BackupError> {
    let path = state.join("log").join(STREAM).join("HEAD");
    match fs::read(&path) {
        Ok(bytes) => unseal::<proof::Head>(&bytes, Some(key)).map(|(head, _)| Some(head)).map_err(|e| BackupError::Head(e.to_string())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(BackupError::Open { path, source }),
    }
}

/// A backup of the state directory of a proxy that is stopped, to be taken away with [`save`].
pub fn of_stopped(state: &Path) -> Result<impl Read + use<>, BackupError> {
    if !state.join("VERSION").exists() {
        return Err(BackupError::NoState(state.to_owned()));
    }
    let held = StateDir::open(state, "", None)?;
    let install: InstallId = held.install().parse().map_err(|e| BackupError::Install(format!("{e}")))?;
    let ring = Keyring::complete(&state.join("keys"), &install)?;
    let store = store::kv::open(&state.join("store"))?;
    copied(state, &install, ring.checkpoint_key(), &store).map(|copied| copied.file)
}

/// Takes a backup away: proves it on its way into `to`, locked. Answers what it is, and `to`.
pub fn save<W: Write>(from: impl Read, lock: &Lock, to: W) -> Result<(About, W), BackupError> {
    let mut to = lock.around(BufWriter::with_capacity(256 * 1024, to))?;
    let mut tee = Tee { from, to: &mut to, failed: None };
    let looked = look(&mut tee);
    if let Some(error) = tee.failed {
        return Err(BackupError::Write(error));
    }
    let about = looked?;
    let to = to.finish().and_then(|to| to.into_inner().map_err(|error| error.into_error()));
    Ok((about, to.map_err(BackupError::Write)?))
}

/// Writes what is read.
struct Tee<'a, R, W> {
    from: R,
    to: &'a mut W,
    failed: Option<io::Error>,
}

impl<R: Read, W: Write> Read for Tee<'_, R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        if let Err(error) = self.to.write_all(buffer.get(..read).unwrap_or_default()) {
            let kind = error.kind();
            self.failed = Some(error);
            return Err(kind.into());
        }
        Ok(read)
    }
}

/// Answers who asks the running proxy for a backup. That it was made is durably in the log before a byte of it leaves.
pub(crate) async fn answer(app: &App, state: &Path, uid: u32) -> Reply {
    match made(app, state, uid).await {
        Ok(file) => Reply { answer: Answer::Backup {}, then: Some(file) },
        Err(error) => {
            tracing::error!(%error, "a backup could not be made");
            let hint = "free space on the disk of the state directory; the server's log says more";
            Answer::No { code: "NARU-C130".to_owned(), title: error, hint: hint.to_owned() }.into()
        }
    }
}

async fn made(app: &App, state: &Path, uid: u32) -> Result<File, String> {
    let (signer, store, state) = (app.keys.checkpoint(), app.store.clone(), state.to_owned());
    let install = app.keys.public().install;
    let copied = tokio::task::spawn_blocking(move || copied(&state, &install, signer.as_ref(), store.as_ref()));
    let copied = copied.await.map_err(|error| error.to_string())?.map_err(|error| whole(&error))?;
    let what = What::BackupMade { uid, revision: copied.revision, entries: copied.entries };
    let log = &app.sessions.log;
    let logged = log.append(&Event::new(clock::now(), Actor::system(), what)).map_err(|error| error.to_string())?;
    let _durable = log.durable(logged).await.map_err(|error| error.to_string())?;
    Ok(copied.file)
}

/// A sentence with what the system said.
fn whole(error: &BackupError) -> String {
    match (error, std::error::Error::source(error)) {
        (BackupError::Kv(KvError::Io(_)) | BackupError::Spool(_), Some(cause)) => format!("{error}: {cause}"),
        _ => error.to_string(),
    }
}
