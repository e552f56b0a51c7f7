//! `naru backup` and `naru restore`: where the bytes come from and go to, and what people read of them.

use std::io::{BufRead as _, BufReader, ErrorKind, IsTerminal as _, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use client::failure::Failure;
use proxy::backup::{About, BackupError, Lock, Outgoing, Unlock, look, of_stopped, open, restore, save};
use proxy::control::{Answer, Ask, MAX_LINE, SOCKET};
use wire::api::exit;
use wire::proof::PublicKey;

use super::{Talk, say};
use crate::cli::{Backup, Restore};

/// How long the proxy may be silent: for the answer it copies its store.
const PATIENCE: Duration = Duration::from_secs(300);
/// Where the file says nothing more of itself than what the store calls it.
const KINDS: [(&str, &str); 8] = [
    ("bot", "bots"),
    ("connector", "identity providers"),
    ("node", "nodes"),
    ("once", "links and join tokens"),
    ("person", "people of identity providers"),
    ("role", "roles"),
    ("signin", "sign-ins"),
    ("user", "declared users"),
];
/// Names that are shown of a kind.
const SHOWN: usize = 20;

/// Makes a backup.
pub(crate) fn backup(given: &Backup, state: &Path, talk: Talk) -> Result<(), Failure> {
    let lock = lock(given)?;
    let stdout = given.output.as_os_str() == "-";
    if stdout && std::io::stdout().is_terminal() {
        return Err(Failure::usage("a backup is not shown on a terminal").hint("-o FILE, or send it through a pipe"));
    }
    let failed = |error: BackupError| failure(&error);
    let from = source(state)?;
    let about = if stdout {
        save(from, &lock, std::io::stdout().lock()).map_err(failed)?.0
    } else {
        let (about, file) = save(from, &lock, Outgoing::new(&given.output).map_err(failed)?).map_err(failed)?;
        file.finish().map_err(failed)?;
        about
    };
    tell(&about, given, stdout, talk);
    Ok(())
}

fn lock(given: &Backup) -> Result<Lock, Failure> {
    match (&given.passphrase_file, given.plain) {
        (Some(path), _) => Ok(Lock::Passphrase(path.clone())),
        (None, true) => Ok(Lock::Plain),
        (None, false) if !given.recipient.is_empty() => Ok(Lock::Recipients(given.recipient.clone())),
        (None, false) => Err(Failure::usage("a backup holds the private keys of the install: say who may open it")
            .hint("--recipient age1…, --passphrase-file FILE, or --plain where the place it goes to is as safe as the server")),
    }
}

/// The running proxy's answer, or the state itself when none runs.
fn source(state: &Path) -> Result<Box<dyn Read>, Failure> {
    let path = state.join(SOCKET);
    let unreachable = |error: std::io::Error| {
        Failure::new("NARU-C019", exit::CANNOT_REACH, format!("no proxy answers at {}", path.display()))
            .because(error)
            .hint("run it on the server's machine, as root or as the proxy's account; --state DIR is the server's state directory")
    };
    match UnixStream::connect(&path) {
        Ok(stream) => of_running(stream).map_err(unreachable)?,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            let copied = of_stopped(state).map_err(|error| failure(&error))?;
            Ok(Box::new(copied))
        }
        Err(error) => Err(unreachable(error)),
    }
}

fn of_running(mut stream: UnixStream) -> std::io::Result<Result<Box<dyn Read>, Failure>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(&Ask::Backup {}).map_err(std::io::Error::other)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut stream = BufReader::new(stream);
    let mut answer = Vec::new();
    stream.by_ref().take(MAX_LINE).read_until(b'\n', &mut answer)?;
    Ok(match serde_json::from_slice(&answer).map_err(std::io::Error::other)? {
        Answer::Backup {} => Ok(Box::new(stream)),
        Answer::No { code, title, hint } => Err(Failure::new(&code, exit::FAILED, title).hint(hint)),
        Answer::Link { .. } => Err(Failure::new("NARU-C130", exit::FAILED, "the proxy answered something else")),
    })
}

fn tell(about: &About, given: &Backup, stdout: bool, talk: Talk) {
    let text = if talk.json {
        let written = (!stdout).then(|| given.output.display().to_string());
        format!("{}\n", document(about, serde_json::json!({ "written": written, "encrypted": !given.plain })))
    } else {
        let encrypted = if given.plain { "NOT encrypted: whoever reads it has every key of the install" } else { "encrypted" };
        format!(
            "backup of {} at revision {}: {} entries and {} keys, {encrypted}\nNot in it: recordings/, journal/ and log/ of the state directory. Copy them as files; keep log/ most of all, it says what was revoked since.\nsealed with the audit key {}\n",
            about.install(),
            about.revision(),
            about.entries(),
            about.keys,
            about.key.fingerprint(),
        )
    };
    // What goes through stdout is the backup.
    if stdout {
        let _told = std::io::stderr().lock().write_all(text.as_bytes());
    } else {
        say(&text);
    }
}

/// What a backup is, and more.
fn document(about: &About, mut more: serde_json::Value) -> serde_json::Value {
    let mut document = serde_json::json!({
        "install": about.install(), "time": about.time(), "revision": about.revision(), "event": about.event(),
        "entries": about.entries(), "keys": about.keys, "kinds": about.kinds, "sealed_by": String::from(about.key),
    });
    if let (Some(document), Some(more)) = (document.as_object_mut(), more.as_object_mut()) {
        document.append(more);
    }
    document
}

/// Restores a backup, or says what it holds.
pub(crate) fn back(given: &Restore, state: &Path, talk: Talk) -> Result<(), Failure> {
    let unlock = match (&given.identity, &given.passphrase_file) {
        (Some(path), _) => Unlock::Identity(path.clone()),
        (None, Some(path)) => Unlock::Passphrase(path.clone()),
        (None, None) => Unlock::Nothing,
    };
    let trusted = given.key.as_deref().map(key).transpose()?;
    let failed = |error: BackupError| failure(&error);
    if given.dry_run {
        let about = look(open(&given.file, &unlock).map_err(failed)?).map_err(failed)?;
        if let Some(wanted) = trusted.filter(|wanted| *wanted != about.key) {
            return Err(failure(&BackupError::OtherKey { found: about.key.fingerprint(), wanted: wanted.fingerprint() }));
        }
        say(&contents(&about, talk));
        return Ok(());
    }
    let done = restore(|| open(&given.file, &unlock), state, trusted.as_ref()).map_err(failed)?;
    if talk.json {
        let before = done.before.as_ref().map(|path| path.display().to_string());
        let more = serde_json::json!({ "state": state.display().to_string(), "before": before, "has_log": done.has_log });
        say(&format!("{}\n", document(&done.about, more)));
        return Ok(());
    }
    let before = done.before.map_or_else(String::new, |path| format!("what was there before is kept in {}\n", path.display()));
    let next = if done.has_log {
        "the next start reads from the audit log what was ended, used and removed since, before anybody is served"
    } else {
        "the audit log of this install is not here: the next start ends every sign-in and every access request, and uses up every link and join token.\nTo keep them, copy log/, recordings/ and journal/ into the state directory before that"
    };
    say(&format!("restored {} as of {} into {}\n{before}{next}\n", done.about.install(), done.about.time(), state.display()));
    Ok(())
}

fn key(text: &str) -> Result<PublicKey, Failure> {
    let bytes = std::fs::read_to_string(text).unwrap_or_else(|_| text.to_owned());
    PublicKey::try_from(bytes.trim().to_owned()).map_err(|error| {
        Failure::usage(format!("--key {text}: {error}")).hint("give what `naru audit key` printed, or the file that holds it")
    })
}

fn contents(about: &About, talk: Talk) -> String {
    if talk.json {
        return format!("{}\n", document(about, serde_json::json!({ "users": about.users, "roles": about.roles })));
    }
    let mut text = format!(
        "backup of {} made {}, revision {}, audit log up to event {}\nwhole, and sealed with the audit key {}\n",
        about.install(),
        about.time(),
        about.revision(),
        about.event(),
        about.key.fingerprint()
    );
    for (kind, count) in &about.kinds {
        if let Some((_, words)) = KINDS.iter().find(|(known, _)| known == kind) {
            text.push_str(&format!("{count:>8} {words}\n"));
        }
    }
    text.push_str(&format!("{:>8} entries and {} keys in all\n", about.entries(), about.keys));
    for (what, names) in [("roles", &about.roles), ("users", &about.users)] {
        let more = names.len().saturating_sub(SHOWN);
        let shown = names.iter().take(SHOWN).map(|name| client::out::plain(name)).collect::<Vec<_>>().join(", ");
        let more = if more > 0 { format!(" and {more} more (--json)") } else { String::new() };
        text.push_str(&format!("{what}: {shown}{more}\n"));
    }
    text
}

/// The sentence is the part's; code and hint are chosen here.
fn failure(error: &BackupError) -> Failure {
    use BackupError as E;
    let (code, hint) = match error {
        E::State(_) | E::NoState(_) => ("NARU-C101", "stop the server first, or give another --state DIR"),
        E::Install(_) => ("NARU-C102", "give the state directory of a server"),
        E::Keys(_) | E::KeyFiles(_) => ("NARU-C103", "the sentence names the file; nothing was changed"),
        E::Store(_) | E::Kv(_) => ("NARU-C104", "free space; a store that is damaged is not backed up: restore an older backup"),
        E::Head(_) => ("NARU-C105", "naru audit verify DIR says what is wrong"),
        E::Spool(_) | E::Write(_) | E::NoFile(_) => ("NARU-C130", "free space there, or another -o FILE; nothing is left of it"),
        E::Open { .. } | E::Fault(_) | E::Moved => ("NARU-C131", "nothing was changed; take another copy of it, or an older backup"),
        E::Recipient(_) | E::Secret { .. } | E::Decrypt(_) => ("NARU-C132", "nothing was written; give another key or passphrase"),
        E::Locked => ("NARU-C132", "--identity FILE or --passphrase-file FILE opens it"),
        E::OtherInstall { .. } | E::OtherKey { .. } => {
            ("NARU-C133", "nothing was changed; give the state directory of that install, or an empty one")
        }
    };
    let failure = Failure::new(code, exit::FAILED, error.to_string()).hint(hint);
    match std::error::Error::source(error) {
        Some(cause) => failure.because(cause),
        None => failure,
    }
}

/// The folder that is meant where none was named.
pub(crate) fn state_of(given: Option<&PathBuf>) -> Result<PathBuf, Failure> {
    super::state_dir(given.cloned(), "/var/lib/naru", "server")
}
