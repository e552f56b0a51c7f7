//! A store that hangs or fails; the view grows older by word, not by waiting.

use std::sync::Condvar;

use recorder::log::{Filter, LogSettings};
use store::kv::{Change, Entry, KvError, Lease, Versioned};
use tokio::sync::watch;
use wire::api::SessionRow;

use super::*;
use crate::authority::ask::Keys;
use crate::authority::keyring::Keyring;
use crate::session::table::{Place, new_id};

/// A store whose reads wait while it is told to hang, and fail while it is told to.
struct Moody {
    inner: Box<dyn Kv>,
    mood: Mutex<Mood>,
    changed: Condvar,
}

#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Well,
    Hangs,
    Fails,
}

impl Moody {
    fn be(&self, mood: Mood) {
        *self.mood.lock().expect("mood") = mood;
        self.changed.notify_all();
    }

    fn wait(&self) -> Result<(), KvError> {
        let mood = self.mood.lock().expect("mood");
        let mood = self.changed.wait_while(mood, |mood| *mood == Mood::Hangs).expect("mood");
        if *mood == Mood::Fails { Err(KvError::Stopped) } else { Ok(()) }
    }
}

impl Kv for Moody {
    fn get(&self, key: &str) -> Result<Option<Versioned>, KvError> {
        self.wait()?;
        self.inner.get(key)
    }
    fn scan(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Entry>, KvError> {
        self.wait()?;
        self.inner.scan(prefix, after, limit)
    }
    fn batch(&self, changes: &[Change]) -> Result<u64, KvError> {
        self.inner.batch(changes)
    }
    fn revision(&self) -> Result<u64, KvError> {
        // Known by heart, as the disk engine does.
        self.inner.revision()
    }
    fn snapshot(&self, each: &mut store::kv::Each<'_>) -> Result<u64, KvError> {
        self.inner.snapshot(each)
    }
    fn raise(&self, revision: u64) -> Result<(), KvError> {
        self.inner.raise(revision)
    }
    fn durable(&self) -> u64 {
        self.inner.durable()
    }
    fn watch(&self, prefix: &str) -> Result<watch::Receiver<u64>, KvError> {
        self.inner.watch(prefix)
    }
    fn lease(&self, ttl: Duration) -> Result<Lease, KvError> {
        self.inner.lease(ttl)
    }
    fn renew(&self, lease: Lease) -> Result<(), KvError> {
        self.inner.renew(lease)
    }
    fn revoke(&self, lease: Lease) -> Result<(), KvError> {
        self.inner.revoke(lease)
    }
    fn sweep(&self) -> Result<(), KvError> {
        self.inner.sweep()
    }
}

struct Stage {
    store: Arc<Moody>,
    keeper: Arc<Keeper>,
    _dir: tempfile::TempDir,
}

fn stage() -> Stage {
    let dir = tempfile::tempdir().expect("a folder");
    let install: access::words::InstallId = "i".parse().expect("an id");
    let keys = Keys::new(Keyring::open(dir.path(), &install).expect("keys"));
    let (log, _) = Log::start(LogSettings::new(dir.path().join("log"), install.clone(), "s"), keys.checkpoint()).expect("a log");
    let store = Arc::new(Moody { inner: Box::new(store::kv::memory()), mood: Mutex::new(Mood::Well), changed: Condvar::new() });
    let kv: Arc<dyn Kv> = store.clone();
    let live = Live::start(kv.clone(), install).expect("a view");
    let table = Table::new(kv.clone());
    let keeper = Arc::new(Keeper { freshness: Freshness::new(), live, store: kv, log, table, keep_sessions: false });
    Stage { store, keeper, _dir: dir }
}

impl Stage {
    fn kinds(&self) -> Vec<String> {
        let found = self.keeper.log.search(Filter::default(), 1, 100).expect("a log");
        let kind = |line: &[u8]| serde_json::from_slice::<serde_json::Value>(line).expect("json")["type"].as_str().map(str::to_owned);
        found.filter_map(|entry| kind(&entry.expect("an entry").line)).collect()
    }

    fn session(&self) -> Place {
        let row = SessionRow {
            id: new_id(clock::now()),
            ..serde_json::from_value(serde_json::json!({
                "id": "01933b6c-8b3e-7000-8000-000000000001", "user": "alice", "node": "demo", "login": "root", "kind": "shell",
                "started": clock::now(), "recording": "strict", "output_bytes": 0, "live": true,
            }))
            .expect("a row")
        };
        let reserved = self.keeper.table.reserve(&row.user, 10, None).expect("room");
        self.keeper.table.enter(row, 1, reserved)
    }
}

#[tokio::test]
async fn a_store_that_hangs_admits_nobody_until_it_answers() {
    let stage = stage();
    let freshness = &stage.keeper.freshness;
    let read = stage.keeper.look_once(None).await;
    assert!(read.is_some() && freshness.proof().is_ok());
    stage.store.be(Mood::Hangs);
    let keeper = stage.keeper.clone();
    let hung = tokio::spawn(async move { keeper.look_once(read).await });
    freshness.grow_older(Duration::from_secs(10));
    let since = stage.keeper.notice_once(None);
    assert!(freshness.proof().is_ok() && since.is_none(), "not yet");
    freshness.grow_older(Duration::from_secs(10));
    let since = stage.keeper.notice_once(since);
    let stale = freshness.proof().expect_err("too old");
    assert!(stale.age > ADMITS_FOR && stale.to_string().contains("nothing new is admitted"), "{stale}");
    let since = stage.keeper.notice_once(since);
    assert_eq!(stage.kinds(), ["view.stale"], "said once");
    stage.store.be(Mood::Well);
    assert_eq!(hung.await.expect("a look"), read);
    assert!(freshness.proof().is_ok());
    assert_eq!(stage.keeper.notice_once(since), None);
    assert_eq!(stage.kinds(), ["view.stale", "view.fresh"]);
}

#[tokio::test]
async fn live_sessions_are_cut_after_a_minute_and_what_was_said_first_stays_the_reason() {
    let stage = stage();
    let (lives, killed) = (stage.session(), stage.session());
    killed.entry.kill(|| Ok::<_, ()>(()), Stop { reason: "killed", sentence: "by olga".into() }).expect("said");
    let reason = |place: &Place| place.stop.borrow().as_ref().map(|stop| stop.reason);
    stage.keeper.freshness.grow_older(CUTS_AFTER - Duration::from_secs(1));
    let since = stage.keeper.notice_once(None);
    assert_eq!((since.is_some(), reason(&lives)), (true, None), "stale, and nobody is cut");
    stage.keeper.freshness.grow_older(Duration::from_secs(2));
    stage.keeper.notice_once(since);
    assert_eq!((reason(&lives), reason(&killed)), (Some("view_stale"), Some("killed")));
}

#[tokio::test]
async fn a_setting_lets_them_go_on() {
    let Stage { keeper, store: _store, _dir } = stage();
    let keeper = Arc::into_inner(keeper).expect("the only one");
    let stage = Stage { keeper: Arc::new(Keeper { keep_sessions: true, ..keeper }), store: _store, _dir };
    let lives = stage.session();
    stage.keeper.freshness.grow_older(CUTS_AFTER * 2);
    stage.keeper.notice_once(None);
    assert!(lives.stop.borrow().is_none() && stage.keeper.freshness.proof().is_err());
}

#[tokio::test]
async fn a_store_that_fails_is_as_good_as_one_that_hangs_and_says_why() {
    let stage = stage();
    stage.store.be(Mood::Fails);
    stage.keeper.freshness.grow_older(Duration::from_secs(20));
    assert_eq!(stage.keeper.look_once(Some(7)).await, Some(7));
    assert!(stage.keeper.freshness.proof().is_err());
    assert_eq!(stage.keeper.freshness.trouble().as_deref(), Some(KvError::Stopped.to_string().as_str()));
}

#[tokio::test]
async fn a_view_that_cannot_be_read_any_more_is_not_current() {
    let stage = stage();
    stage.store.inner.put("declared/role/x", b"no role", store::kv::Expect::Any).expect("stored");
    stage.keeper.freshness.grow_older(Duration::from_secs(20));
    stage.keeper.look_once(None).await;
    assert!(stage.keeper.freshness.proof().is_err());
    assert!(stage.keeper.freshness.trouble().is_some_and(|why| why.contains("role/x")));
}

#[test]
fn the_steps_are_those_of_the_design() {
    let at = |seconds| step(Duration::from_secs(seconds));
    assert_eq!([at(0), at(15), at(16), at(60), at(61)], [Step::Fresh, Step::Fresh, Step::Stale, Step::Stale, Step::Cut]);
}
