//! The server's certificate from two files of the administrator: read with a bound, and again when they change.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use access::time::Timestamp;
use rustix::fs::OFlags;
use zeroize::Zeroizing;

use super::pair::{Facts, Pair, PairError};

/// Most bytes of a PEM file.
const MAX_FILE: u64 = 1024 * 1024;

/// Why files are no certificate for this server.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum FileError {
    #[error("{path} cannot be read: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{0} is not a plain file")]
    NotAFile(PathBuf),
    #[error("{0} is larger than 1 MiB")]
    TooLarge(PathBuf),
    #[error("{path}: {source}")]
    Pair { path: PathBuf, source: PairError },
}

/// Where the files are, and which names the certificate must have.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub(super) chain: PathBuf,
    pub(super) key: PathBuf,
    pub(super) names: Vec<String>,
}

/// What a look from outside shows of both files: it changes when they do, also when a link leads elsewhere.
pub(super) type Stamp = [Option<(u64, u64, u64, i64, i64)>; 2];

impl Files {
    /// Looks without opening.
    pub(super) fn stamp(&self) -> Stamp {
        [&self.chain, &self.key].map(|path| {
            let meta = std::fs::metadata(path).ok()?;
            Some((meta.dev(), meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
        })
    }

    /// Reads both and checks them for this time.
    pub(super) fn read(&self, now: Timestamp) -> Result<Pair, FileError> {
        let chain = read(&self.chain)?;
        let key = read(&self.key)?;
        let in_file = |source: PairError| {
            let path = if matches!(source, PairError::NoKey | PairError::BadKey(_)) { &self.key } else { &self.chain };
            FileError::Pair { path: path.clone(), source }
        };
        let pair = Pair::from_pem(&chain, &key).map_err(in_file)?;
        pair.check(&self.names, now).map_err(in_file)?;
        Ok(pair)
    }
}

/// Reads a plain file. Links are followed: that is how certificates are usually handed over. A pipe does not hang it.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let io_at = |source| FileError::Io { path: path.to_owned(), source };
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(|_| io_at(io::ErrorKind::InvalidInput.into()))?;
    let file: File = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(io_at)?;
    let meta = file.metadata().map_err(io_at)?;
    if !meta.is_file() {
        return Err(FileError::NotAFile(path.to_owned()));
    }
    // Room for all of it at once, so that no copy of a key is left where the buffer grew.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(meta.len().min(MAX_FILE)).unwrap_or_default() + 1));
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(io_at)?;
    if bytes.len() as u64 > MAX_FILE { Err(FileError::TooLarge(path.to_owned())) } else { Ok(bytes) }
}

/// What a look at the files comes to.
pub(super) enum Look {
    /// Nothing changed.
    Same,
    /// There is a new one.
    New(Box<Pair>),
    /// What is there cannot be used, and that was not told yet.
    Broken(FileError),
    /// What is in use ends soon, nothing newer came, and that was not told yet.
    Ending,
}

/// The files as they were last seen.
pub(crate) struct Watched {
    files: Files,
    /// Of what was last read well, or told.
    seen: Stamp,
    /// Of what was broken at the look before: somebody may be in the middle of writing.
    suspect: Option<Stamp>,
    /// Of the certificate in use.
    facts: Facts,
    /// That it ends soon was told.
    told_end: bool,
}

impl Watched {
    /// The files, and what is in them now.
    pub(super) fn open(files: Files, now: Timestamp) -> Result<(Self, Pair), FileError> {
        let seen = files.stamp();
        let pair = files.read(now)?;
        if std::fs::metadata(&files.key).is_ok_and(|meta| meta.mode() & 0o004 != 0) {
            tracing::warn!(path = %files.key.display(), "everybody on this machine can read the certificate's key");
        }
        Ok((Self { files, seen, suspect: None, facts: pair.facts.clone(), told_end: false }, pair))
    }

    /// Looks again. What is broken is told when it is still so at the next look.
    pub(super) fn look(&mut self, now: Timestamp) -> Look {
        // Before reading, so that a change while we read is seen by the next look.
        let stamp = self.files.stamp();
        if stamp == self.seen {
            self.suspect = None;
            let ending = self.facts.ends_soon(now) && !std::mem::replace(&mut self.told_end, self.facts.ends_soon(now));
            return if ending { Look::Ending } else { Look::Same };
        }
        match self.files.read(now) {
            Ok(pair) => {
                (self.seen, self.suspect) = (stamp, None);
                (self.facts, self.told_end) = (pair.facts.clone(), false);
                Look::New(Box::new(pair))
            }
            Err(_) if self.suspect != Some(stamp) => {
                self.suspect = Some(stamp);
                Look::Same
            }
            Err(error) => {
                (self.seen, self.suspect) = (stamp, None);
                Look::Broken(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listen::certificate::pair::tests::made;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn place() -> (tempfile::TempDir, Files) {
        let dir = tempfile::tempdir().expect("a folder");
        let at = |name: &str| dir.path().join(name);
        let files = Files { chain: at("tls.crt"), key: at("tls.key"), names: vec!["naru.example.org".to_owned()] };
        put(&files, &made(&["naru.example.org"], NOW));
        (dir, files)
    }

    fn put(files: &Files, (chain, key): &(String, String)) {
        std::fs::write(&files.chain, chain).expect("written");
        std::fs::write(&files.key, key).expect("written");
    }

    #[test]
    fn a_change_is_seen_and_half_of_one_is_not_told() {
        let (_dir, files) = place();
        let (mut watched, first) = Watched::open(files.clone(), NOW).expect("a certificate");
        assert!(matches!(watched.look(NOW), Look::Same));
        let new = made(&["naru.example.org"], NOW);
        std::fs::write(&files.chain, &new.0).expect("written");
        assert!(matches!(watched.look(NOW), Look::Same), "the key may follow");
        put(&files, &new);
        let Look::New(second) = watched.look(NOW) else { panic!("it was not seen") };
        assert_ne!(first.facts.pin, second.facts.pin);
        assert!(matches!(watched.look(NOW), Look::Same));
        put(&files, &made(&["other.example.org"], NOW));
        assert!(matches!(watched.look(NOW), Look::Same), "it may be in the middle of being written");
        assert!(matches!(watched.look(NOW), Look::Broken(FileError::Pair { source: PairError::NotFor(_), .. })));
        assert!(matches!(watched.look(NOW), Look::Same), "told once");
        std::fs::remove_file(&files.key).expect("removed");
        watched.look(NOW);
        assert!(matches!(watched.look(NOW), Look::Broken(FileError::Io { .. })));
        put(&files, &new);
        assert!(matches!(watched.look(NOW), Look::New(_)), "it comes back by itself");
    }

    #[test]
    fn a_certificate_that_nobody_replaces_is_told_once_before_it_ends() {
        let (_dir, files) = place();
        let (mut watched, _) = Watched::open(files.clone(), NOW).expect("a certificate");
        let late = NOW.plus(std::time::Duration::from_secs(80_000));
        assert!(matches!(watched.look(NOW), Look::Same));
        assert!(matches!(watched.look(late), Look::Ending));
        assert!(matches!(watched.look(late), Look::Same));
        put(&files, &made(&["naru.example.org"], late));
        assert!(matches!(watched.look(late), Look::New(_)));
        assert!(matches!(watched.look(late), Look::Same));
    }

    #[test]
    fn a_link_that_leads_elsewhere_is_a_change() {
        let (dir, files) = place();
        let link = dir.path().join("live.crt");
        std::os::unix::fs::symlink(&files.chain, &link).expect("a link");
        let linked = Files { chain: link.clone(), ..files.clone() };
        let before = linked.stamp();
        assert!(linked.read(NOW).is_ok());
        let next = dir.path().join("next.crt");
        std::fs::copy(&files.chain, &next).expect("copied");
        std::fs::remove_file(&link).expect("removed");
        std::os::unix::fs::symlink(&next, &link).expect("a link");
        assert_ne!(linked.stamp(), before);
    }

    #[test]
    fn what_is_no_file_of_a_certificate_neither_hangs_nor_fills_memory() {
        let (dir, files) = place();
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).expect("a pipe");
        let huge = dir.path().join("huge");
        File::create(&huge).and_then(|file| file.set_len(1 << 40)).expect("a hole");
        let looped = dir.path().join("looped");
        std::os::unix::fs::symlink(&looped, &looped).expect("a link");
        let with = |chain: &Path| Files { chain: chain.to_owned(), ..files.clone() }.read(NOW).map(drop);
        assert!(matches!(with(&pipe), Err(FileError::NotAFile(_))));
        assert!(matches!(with(dir.path()), Err(FileError::NotAFile(_))));
        assert!(matches!(with(Path::new("/dev/zero")), Err(FileError::NotAFile(_))));
        assert!(matches!(with(&huge), Err(FileError::TooLarge(_))));
        assert!(matches!(with(&looped), Err(FileError::Io { .. })));
        assert!(matches!(with(&files.key), Err(FileError::Pair { source: PairError::NoCertificate, .. })));
    }
}
