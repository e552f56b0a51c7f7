//! Backups of a small state, locked and damaged in every way, and what an old log tells after a restore.

use std::io::{self, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use access::event::{Actor, Event, SessionKind, SessionRef, Target, TargetKind, What};
use access::words::{InstallId, SessionId};
use recorder::log::{Log, LogSettings};
use store::kv::{Change, Expect, Kv};
use store::state::{StateDir, write_secret};
use wire::backup::Head;
use wire::proof::MemoryKey;

use super::age::inside;
use super::*;
use crate::authority::again;
use crate::authority::keyring::Keyring;
use crate::authority::one_time::{LOGIN_LINK, OneTime, Purpose, RedeemError};
use crate::build::STREAM;
use crate::clock;

const RECIPIENT: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
const IDENTITY: &[u8] = b"AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33\n";

/// A state directory with keys and `entries` roles.
fn made(state: &Path, entries: usize, bytes: usize) {
    let held = StateDir::open(state, "n1", None).expect("made");
    let install: InstallId = held.install().parse().expect("an id");
    Keyring::open(&held.folder("keys").expect("a folder"), &install).expect("keys");
    let store = store::kv::open(&held.folder("store").expect("a folder")).expect("a store");
    let all: Vec<_> = (0..entries).map(|n| Change::put(format!("role/r{n:06}"), vec![b'x'; bytes], Expect::Any)).collect();
    all.chunks(128).for_each(|some| assert!(store.batch(some).is_ok()));
}

fn saved(state: &Path, lock: &Lock) -> Vec<u8> {
    let (_, bytes) = save(of_stopped(state).expect("a copy"), lock, Vec::new()).expect("saved");
    bytes
}

fn opened(bytes: impl Read + 'static, unlock: &Unlock) -> Result<About, BackupError> {
    look(inside(bytes, unlock)?)
}

#[test]
fn a_locked_backup_that_is_cut_or_flipped_anywhere_is_refused() {
    let temp = tempfile::tempdir().expect("a folder");
    let (state, id) = (temp.path().join("state"), temp.path().join("id"));
    made(&state, 30, 100);
    write_secret(&id, IDENTITY).expect("written");
    let unlock = Unlock::Identity(id);
    let whole = saved(&state, &Lock::Recipients(vec![RECIPIENT.to_owned()]));
    assert_eq!(opened(Cursor::new(whole.clone()), &unlock).expect("opens").kinds.get("role"), Some(&30));
    for place in 0..200 {
        let at = place * whole.len() / 200;
        let cut = whole.get(..at).expect("a part").to_vec();
        assert!(opened(Cursor::new(cut), &unlock).is_err(), "cut at {at}");
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (place % 8);
        assert!(opened(Cursor::new(flipped), &unlock).is_err(), "flipped at {at}");
    }
    assert!(opened(Cursor::new([whole, vec![0]].concat()), &unlock).is_err(), "one byte more");
}

#[test]
fn a_header_without_end_or_that_asks_for_endless_work_is_refused() {
    let temp = tempfile::tempdir().expect("a folder");
    let pass = temp.path().join("pass");
    write_secret(&pass, b"correct horse\n").expect("written");
    let unlock = Unlock::Passphrase(pass);
    let begin = b"age-encryption.org/v1\n".to_vec();
    let stanza = b"-> scrypt AAAAAAAAAAAAAAAAAAAAAA 31\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n".to_vec();
    let mac = b"--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n".to_vec();
    for more in [Vec::new(), stanza.clone()] {
        let endless = Cursor::new([begin.clone(), more].concat()).chain(io::repeat(b'a'));
        assert!(matches!(opened(endless, &unlock), Err(BackupError::Decrypt(why)) if why.contains("no end")));
    }
    let many: Vec<u8> = begin.iter().chain(stanza.iter().cycle().take(1024 * 1024)).copied().collect();
    assert!(matches!(opened(Cursor::new(many), &unlock), Err(BackupError::Decrypt(why)) if why.contains("no end")));
    let costly = [begin, stanza, mac, vec![0; 64]].concat();
    assert!(matches!(opened(Cursor::new(costly), &unlock), Err(BackupError::Decrypt(_))), "2^31 blocks are not tried");
}

#[test]
fn it_is_restored_whole_with_no_revision_given_again() {
    let temp = tempfile::tempdir().expect("a folder");
    let (state, other) = (temp.path().join("state"), temp.path().join("other"));
    made(&state, 300, 10);
    let bytes = saved(&state, &Lock::Plain);
    let open = || Ok(Box::new(Cursor::new(bytes.clone())) as Box<dyn Read>);
    let done = restore(open, &other, None).expect("restored");
    assert_eq!((done.before, done.has_log, done.about.entries()), (None, false, 300));
    let keys = |state: &Path| crate::authority::keyring::files(&state.join("keys")).expect("keys");
    assert_eq!(keys(&state), keys(&other), "the same install");
    let (old, new) = (store::kv::open(&state.join("store")).expect("old"), store::kv::open(&other.join("store")).expect("new"));
    let scan = |store: &dyn Kv| store.scan("role/", None, 1000).expect("entries");
    let same = |store: &dyn Kv| scan(store).into_iter().map(|entry| (entry.key, entry.at.value)).collect::<Vec<_>>();
    assert_eq!(same(&old), same(&new));
    assert!(scan(&new).iter().all(|entry| entry.at.revision > done.about.revision()), "an old If-Match fits nothing");
    drop(new);
    // Restored and not started since: a backup of it still says from where on the log is to be read.
    let again = saved(&other, &Lock::Plain);
    assert_eq!(look(&again[..]).expect("whole").head.log, done.about.head.log);
}

/// A log, and what is needed to write to it.
struct Logged {
    log: Log,
    _dir: tempfile::TempDir,
}

impl Logged {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let settings = LogSettings::new(dir.path(), "n1".parse().expect("an id"), STREAM);
        let log = Log::start(settings, Arc::new(MemoryKey::from_seed(&[7; 32]).expect("a key"))).expect("a log").0;
        Self { log, _dir: dir }
    }
    fn says(&self, what: What) {
        let _logged = self.log.append(&Event::new(clock::now(), Actor::system(), what)).expect("logged");
    }
    /// A backup that was made now.
    fn head(&self, back: Duration) -> Head {
        let count = *self.log.last().borrow();
        let last = self.log.reader(count.max(1)).expect("a reader").next().expect("read");
        let hash = last.map_or(wire::proof::Hash::ZERO, |entry| entry.event().expect("an event").hash);
        let (install, time) = ("n1".parse().expect("an id"), clock::now().plus(back));
        Head { install, time, revision: 5, log: wire::backup::LogPlace { count, hash }, version: String::new() }
    }
}

/// A store with one link, its secret and its public id.
fn linked() -> (Arc<dyn Kv>, OneTime, String, String) {
    let store: Arc<dyn Kv> = Arc::new(store::kv::memory());
    let once = OneTime::new(store.clone());
    let purpose = Purpose::login_link("alice".parse().expect("a name"));
    let made = once.make(purpose, Duration::from_secs(3600), None, clock::now()).expect("a link");
    (store, once, made.secret, made.id)
}

fn used(once: &OneTime, secret: &str) -> bool {
    matches!(once.redeem(LOGIN_LINK, secret, "k", clock::now()), Err(RedeemError::Used))
}

#[test]
fn what_was_logged_just_before_a_backup_is_done_again_too_and_what_was_long_before_is_not() {
    let hour = Duration::from_secs(3600);
    for (back, expected) in [(Duration::ZERO, true), (hour, false)] {
        let logged = Logged::new();
        let (store, once, secret, id) = linked();
        // In the log, and not yet in the store when that was copied.
        logged.says(What::TokenUsed { kind: LOGIN_LINK.to_owned(), id });
        let what = again::restored(store.as_ref(), &logged.log, &logged.head(back), 50).expect("done");
        assert!(matches!(what, What::StoreRestored { by_log: true, found: 5, expected: 50, .. }), "{what:?}");
        assert_eq!(used(&once, &secret), expected, "{back:?}");
        assert!(store.revision().expect("a revision") >= 50, "HEAD names this one already");
    }
}

#[test]
fn a_log_that_is_shorter_or_another_ends_everything() {
    let logged = Logged::new();
    logged.says(What::ServerStopped {});
    let good = logged.head(Duration::ZERO);
    let mut longer = good.clone();
    longer.log.count += 1;
    let mut another = good.clone();
    another.log.hash = wire::proof::Hash::of(b"another");
    let mut none = good.clone();
    none.log = wire::backup::LogPlace { count: 0, hash: wire::proof::Hash::ZERO };
    for (head, ends) in [(good, false), (longer, true), (another, true), (none, true)] {
        let (store, once, secret, _) = linked();
        let what = again::restored(store.as_ref(), &logged.log, &head, 0).expect("done");
        assert_eq!(used(&once, &secret), ends, "{what:?}");
    }
}

#[test]
fn sessions_that_ended_since_stay_in_the_list() {
    let logged = Logged::new();
    let id: SessionId = "01933b6c-0000-7000-8000-000000000001".parse().expect("an id");
    let event = |what| {
        let who = Actor { name: "alice".to_owned(), ..Actor::anonymous() };
        let mut event = Event::new(clock::now(), who, what);
        event.session = Some(SessionRef { id, kind: SessionKind::Shell, connection: None, offset_ms: None });
        let login = Some("root".parse().expect("a login"));
        event.target = Some(Target { kind: TargetKind::Ssh, name: "db-1".to_owned(), labels: Default::default(), agent_id: None, login });
        event
    };
    let start = event(What::SessionStart { command: None, terminal: None, recording: "strict".to_owned(), reason: None, request: None });
    let _logged = logged.log.append(&start).expect("logged");
    // More than are looked at before a backup.
    (0..5000).for_each(|_| logged.says(What::ServerStopped {}));
    let head = logged.head(Duration::ZERO);
    let (reason, lost) = ("exit".to_owned(), Default::default());
    let mut end =
        event(What::SessionEnd { reason, output_bytes: 7, input_bytes: 1, duration_ms: 1000, manifest: None, closing: None, lost });
    end.outcome.exit = Some(3);
    let _logged = logged.log.append(&end).expect("logged");
    let (store, ..) = linked();
    again::restored(store.as_ref(), &logged.log, &head, 0).expect("done");
    let row = store.get(&format!("session/{id}")).expect("a store").expect("a row");
    let row: wire::api::SessionRow = serde_json::from_slice(&row.value).expect("a row");
    assert_eq!((row.user.as_str(), row.node.as_str(), row.exit, row.output_bytes), ("alice", "db-1", Some(3), 7));
}

#[test]
#[ignore = "a measure, not a test"]
fn how_long_a_backup_takes() {
    let temp = tempfile::tempdir().expect("a folder");
    let state = temp.path().join("state");
    made(&state, 100_000, 500);
    let store = store::kv::open(&state.join("store")).expect("a store");
    let begin = Instant::now();
    let mut bytes = 0;
    store
        .snapshot(&mut |_, _, value| {
            bytes += value.len();
            Ok(())
        })
        .expect("copied");
    let alone = begin.elapsed();
    drop(store);
    let begin = Instant::now();
    let whole = saved(&state, &Lock::Plain);
    let plain = begin.elapsed();
    let begin = Instant::now();
    let locked = saved(&state, &Lock::Recipients(vec![RECIPIENT.to_owned()])).len();
    let age = begin.elapsed();
    let begin = Instant::now();
    let open = || Ok(Box::new(Cursor::new(whole.clone())) as Box<dyn Read>);
    restore(open, &temp.path().join("other"), None).expect("restored");
    let back = begin.elapsed();
    let said = format!("{bytes} bytes: snapshot {alone:?}, backup {plain:?}, with age {age:?} ({locked} bytes), restore {back:?}\n");
    std::fs::write(std::env::temp_dir().join("naru-backup-measure.txt"), said).expect("written");
}
