//! What was built aside takes its place in the state directory, all of it or none, wherever a crash comes in between.
//!
//! `restore.new` holds what is being built and counts for nothing. Its renaming to `restore.ready` is the one moment that decides; what
//! is to do then is done again by whoever opens the directory next. What stood there before is kept in `before-restore-N`.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{FORMAT, StateError, hold, replace, sync_folder};

pub(super) const NEW: &str = "restore.new";
pub(super) const READY: &str = "restore.ready";
const OLD: &str = "old";
const VERSION: &str = "VERSION";

/// A state directory held by this process to be given another content, until it is dropped. It may be empty.
#[derive(Debug)]
pub struct Swap {
    path: PathBuf,
    install: Option<String>,
    _lock: File,
}

impl Swap {
    /// Takes the directory, or makes it (0700). Refuses one that another process has, and one that is not empty and not ours.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let (lock, found) = hold(path)?;
        Ok(Self { path: path.to_owned(), install: found.map(|(install, _)| install), _lock: lock })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whose it is; none of an empty one.
    pub fn install(&self) -> Option<&str> {
        self.install.as_deref()
    }

    /// An empty folder (0700) to build in, on the same disk.
    pub fn aside(&self) -> Result<PathBuf, StateError> {
        let aside = self.path.join(NEW);
        remove(&aside).and_then(|()| private(&aside)).map_err(|source| StateError::Io { path: aside.clone(), source })?;
        Ok(aside)
    }

    /// Puts what was built aside in its place, for this install, durably. Answers where what stood there before is now.
    pub fn take_over(self, install: &str) -> Result<Option<PathBuf>, StateError> {
        let io_at = |source| StateError::Io { path: self.path.clone(), source };
        decide(&self.path, install).and_then(|()| finish(&self.path)).map_err(io_at)
    }
}

/// Makes what lies aside complete and durable, and decides that it is to take its place.
fn decide(dir: &Path, install: &str) -> io::Result<()> {
    let aside = dir.join(NEW);
    let marker = json!({ "format": FORMAT, "install": install }).to_string();
    replace(&aside.join(VERSION), format!("{marker}\n").as_bytes(), 0o600)?;
    sync_all_below(&aside)?;
    fs::rename(&aside, dir.join(READY))?;
    sync_folder(dir)
}

/// Removes what was being built and was not decided on.
pub(super) fn clean(dir: &Path) -> io::Result<()> {
    remove(&dir.join(NEW))
}

/// Finishes what was decided, if anything was. Answers where what stood there before is now.
pub(super) fn finish(dir: &Path) -> io::Result<Option<PathBuf>> {
    finish_by(dir, &mut || Ok(()))
}

/// The same; `step` is asked before each change.
fn finish_by(dir: &Path, step: &mut dyn FnMut() -> io::Result<()>) -> io::Result<Option<PathBuf>> {
    let ready = dir.join(READY);
    if !ready.is_dir() {
        return Ok(None);
    }
    let old = ready.join(OLD);
    if !old.exists() {
        step()?;
        private(&old)?;
    }
    for name in names(&ready)?.into_iter().filter(|name| name != OLD && name != VERSION) {
        let place = dir.join(&name);
        if place.symlink_metadata().is_ok() {
            step()?;
            fs::rename(&place, old.join(&name))?;
        }
        step()?;
        fs::rename(ready.join(&name), &place)?;
        sync_folder(dir)?;
    }
    // Last: a directory without it is used by nobody.
    if ready.join(VERSION).exists() {
        step()?;
        fs::rename(ready.join(VERSION), dir.join(VERSION))?;
        sync_folder(dir)?;
    }
    let kept = if names(&old)?.is_empty() {
        None
    } else {
        let kept = (1_u64..).map(|n| dir.join(format!("before-restore-{n}"))).find(|path| !path.exists());
        step()?;
        kept.as_ref().map_or(Ok(()), |kept| fs::rename(&old, kept))?;
        kept
    };
    step()?;
    remove(&ready)?;
    sync_folder(dir)?;
    Ok(kept)
}

fn names(dir: &Path) -> io::Result<Vec<String>> {
    let mut names: Vec<String> =
        fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect::<io::Result<_>>()?;
    names.sort();
    Ok(names)
}

fn private(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync_all_below(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() { sync_all_below(&entry.path())? } else { File::open(entry.path())?.sync_all()? }
    }
    sync_folder(dir)
}

#[cfg(test)]
mod tests {
    use super::super::StateDir;
    use super::*;

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn text(path: PathBuf) -> Option<String> {
        fs::read_to_string(path).ok()
    }

    /// A directory of install i with an old store, keys and log, and something new that was built aside.
    fn prepared(dir: &Path, empty: bool) -> Swap {
        if !empty {
            drop(StateDir::open(dir, "i", None).expect("made"));
            write(&dir.join("store/db"), "old");
            write(&dir.join("keys/ca"), "old");
            write(&dir.join("log/HEAD"), "kept");
        }
        let swap = Swap::open(dir).expect("held");
        let aside = swap.aside().expect("a folder");
        write(&aside.join("store/db"), "new");
        write(&aside.join("keys/ca"), "new");
        swap
    }

    fn holds(dir: &Path) -> (Option<String>, Option<String>) {
        (text(dir.join("store/db")), text(dir.join("keys/ca")))
    }

    fn both(what: &str) -> (Option<String>, Option<String>) {
        (Some(what.to_owned()), Some(what.to_owned()))
    }

    #[test]
    fn wherever_it_is_cut_off_the_next_start_has_the_old_or_the_new() {
        for empty in [false, true] {
            // Before it is decided it counts for nothing.
            let temp = tempfile::tempdir().expect("a folder");
            let dir = temp.path().join("state");
            drop(prepared(&dir, empty));
            drop(StateDir::open(&dir, "other", None).expect("opens"));
            assert_eq!(holds(&dir), if empty { (None, None) } else { both("old") });
            assert!(!dir.join(NEW).exists(), "keys do not lie about");
            let mut cuts = 0;
            loop {
                let temp = tempfile::tempdir().expect("a folder");
                let dir = temp.path().join("state");
                drop(prepared(&dir, empty));
                decide(&dir, "i").expect("decided");
                let mut left = cuts;
                let cut = finish_by(&dir, &mut || {
                    left -= 1;
                    if left < 0 { Err(ErrorKind::Interrupted.into()) } else { Ok(()) }
                });
                let state = StateDir::open(&dir, "other", None).expect("opens");
                assert_eq!((state.install(), holds(&dir)), ("i", both("new")), "cut {cuts}");
                assert_eq!(text(dir.join("log/HEAD")).is_some(), !empty);
                let kept = (text(dir.join("before-restore-1/store/db")), text(dir.join("before-restore-1/keys/ca")));
                assert_eq!(kept, if empty { (None, None) } else { both("old") }, "cut {cuts}");
                assert!(!dir.join(READY).exists());
                if cut.is_ok() {
                    break;
                }
                cuts += 1;
            }
            assert!(cuts >= if empty { 5 } else { 8 }, "{cuts} places");
        }
    }

    #[test]
    fn a_directory_in_use_or_not_ours_is_refused_and_nothing_in_it_changes() {
        let temp = tempfile::tempdir().expect("a folder");
        let dir = temp.path().join("state");
        let held = StateDir::open(&dir, "i", None).expect("made");
        assert!(matches!(Swap::open(&dir), Err(StateError::InUse(_))));
        drop(held);
        let swap = prepared(&dir, false);
        assert_eq!(swap.install(), Some("i"));
        let kept = swap.take_over("i").expect("taken over");
        assert_eq!((kept, holds(&dir)), (Some(dir.join("before-restore-1")), both("new")));
        let strange = temp.path().join("strange");
        write(&strange.join("letter.txt"), "mine");
        assert!(matches!(Swap::open(&strange), Err(StateError::NotOurs(_))));
        assert_eq!(names(&strange).expect("names"), ["letter.txt"]);
    }
}
