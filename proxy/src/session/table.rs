//! The sessions that live on this proxy and those that have ended, as rows for people; and the way to end a live one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use access::amount::Period;
use access::decide::Obligations;
use access::event::Lost;
use access::time::Timestamp;
use access::words::{NodeName, SessionId, UserName};
use recorder::OpenRecording;
use store::kv::{Expect, Kv, KvError};
use tokio::sync::watch;
use tokio::time::Instant;
use wire::api::SessionRow;

/// Where ended sessions are.
pub(crate) const SESSIONS: &str = "session/";

/// Why a live session is ended from outside its loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stop {
    /// The word for `session.end`.
    pub(crate) reason: &'static str,
    /// The sentence for the person.
    pub(crate) sentence: String,
}

/// A live session.
#[derive(Debug)]
pub(crate) struct Entry {
    row: SessionRow,
    sign_in: u64,
    output: AtomicU64,
    lost: Mutex<Lost>,
    /// Its end is being written down: from then on nobody ends it.
    over: Mutex<bool>,
    stop: watch::Sender<Option<Stop>>,
    /// By how much the person has made it longer, altogether.
    longer: watch::Sender<Duration>,
    /// What limits it: when it began, its longest time, by how much that may be extended.
    limits: Mutex<Option<(Instant, Option<Duration>, Duration)>>,
}

/// All of them.
#[derive(Clone)]
pub(crate) struct Table {
    live: Arc<Mutex<HashMap<SessionId, Arc<Entry>>>>,
    reserved: Arc<Mutex<HashMap<UserName, usize>>>,
    store: Arc<dyn Kv>,
    /// Counts sessions that began and that ended.
    moves: watch::Sender<u64>,
}

/// There is no room for one more session.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub(crate) enum Full {
    #[error("the proxy has as many sessions as it may have; try again later")]
    All,
    #[error("you have as many sessions as one person may have ({0}); end some of them")]
    Yours(usize),
    #[error("you have as many sessions as your role allows ({0}); end some of them")]
    Role(u32),
}

impl Full {
    /// Its stable code.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::All | Self::Yours(_) => "NARU-S105",
            Self::Role(_) => access::decide::Denial::SESSIONS,
        }
    }
}

/// Room for a session, from before it is opened; goes back when dropped.
pub(crate) struct Reserved {
    table: Table,
    user: UserName,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let mut reserved = self.table.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = reserved.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                reserved.remove(&self.user);
            }
        }
    }
}

/// A live session's place in the table; leaves it when dropped.
pub(crate) struct Place {
    table: Table,
    _reserved: Reserved,
    pub(crate) entry: Arc<Entry>,
    /// Wakes when the session is to end; from before anybody could say so.
    pub(crate) stop: watch::Receiver<Option<Stop>>,
    /// Wakes when it was made longer.
    pub(crate) longer: watch::Receiver<Duration>,
}

/// A session is not made longer.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub(crate) enum NotLonger {
    #[error("this session has no longest time that could be extended")]
    NoLimit,
    #[error("your role lets nobody extend a session")]
    Never,
    #[error("your role lets you extend this session by {0} more")]
    TooMuch(Period),
}

impl Entry {
    /// Counts output, and what of it is not recorded.
    pub(crate) fn output(&self, recording: &OpenRecording) {
        self.output.store(recording.recorded(), Ordering::Relaxed);
        if !recording.lost().is_nothing() {
            self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone_from(recording.lost());
        }
    }
    /// Its end is written down next.
    pub(crate) fn ends(&self) {
        *self.over.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }

    /// Ends it, after `told` has written down that it was asked for; answers whether it was still there. Neither is done of a session
    /// that has ended, and its end is not written down in between.
    pub(crate) fn kill<E>(&self, told: impl FnOnce() -> Result<(), E>, stop: Stop) -> Result<bool, E> {
        let over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        if *over {
            return Ok(false);
        }
        told()?;
        // What was said first stays the reason.
        self.stop.send_if_modified(|said| said.is_none() && said.replace(stop).is_none());
        Ok(true)
    }

    /// What limits it from here on.
    pub(crate) fn allow(&self, began: Instant, duties: &Obligations) {
        let limits = Some((began, duties.max_session, duties.extend));
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    /// Whose login opened it.
    pub(crate) fn sign_in(&self) -> u64 {
        self.sign_in
    }

    /// Makes it longer, as far as the role allows; answers how long it may go on from now, and by how much it may be extended further.
    pub(crate) fn extend<E>(
        &self,
        by: Duration,
        told: impl FnOnce() -> Result<(), E>,
    ) -> Result<Result<(Duration, Duration), NotLonger>, E> {
        let limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((began, Some(most), extend)) = *limits else { return Ok(Err(NotLonger::NoLimit)) };
        let had = (*self.longer.borrow()).min(extend);
        if extend.is_zero() {
            return Ok(Err(NotLonger::Never));
        }
        if had + by > extend {
            return Ok(Err(NotLonger::TooMuch(Period::from_secs((extend - had).as_secs()))));
        }
        told()?;
        self.longer.send_replace(had + by);
        Ok(Ok(((most + had + by).saturating_sub(began.elapsed()), extend - had - by)))
    }

    /// As people see it.
    pub(crate) fn row(&self) -> SessionRow {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone();
        SessionRow { output_bytes: self.output.load(Ordering::Relaxed), lost, ..self.row.clone() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.table.live.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.entry.row.id);
        self.table.moved();
    }
}

impl Table {
    pub(crate) fn new(store: Arc<dyn Kv>) -> Self {
        Self { live: Arc::default(), reserved: Arc::default(), store, moves: watch::Sender::new(0) }
    }

    fn moved(&self) {
        self.moves.send_modify(|count| *count += 1);
    }

    /// Wakes when a session begins, and when one has ended.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.moves.subscribe()
    }

    /// Room for one more of at most `most`; of these one person has half, and what their role allows.
    pub(crate) fn reserve(&self, user: &UserName, most: usize, by_role: Option<u32>) -> Result<Reserved, Full> {
        let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        let each = most.div_ceil(2);
        let count = reserved.get(user).copied().unwrap_or_default();
        if count >= each {
            return Err(Full::Yours(each));
        }
        if let Some(limit) = by_role.filter(|limit| u32::try_from(count).unwrap_or(u32::MAX) >= *limit) {
            return Err(Full::Role(limit));
        }
        if reserved.values().sum::<usize>() >= most {
            return Err(Full::All);
        }
        *reserved.entry(user.clone()).or_default() += 1;
        Ok(Reserved { table: self.clone(), user: user.clone() })
    }

    /// A session begins.
    pub(crate) fn enter(&self, row: SessionRow, sign_in: u64, reserved: Reserved) -> Place {
        let (stopper, stop) = watch::channel(None);
        let (longer, extended) = watch::channel(Duration::ZERO);
        let entry = Arc::new(Entry {
            row,
            sign_in,
            output: AtomicU64::new(0),
            lost: Mutex::default(),
            over: Mutex::default(),
            stop: stopper,
            longer,
            limits: Mutex::default(),
        });
        self.live.lock().unwrap_or_else(PoisonError::into_inner).insert(entry.row.id, entry.clone());
        self.moved();
        Place { table: self.clone(), _reserved: reserved, entry, stop, longer: extended }
    }

    fn lives(&self) -> Vec<Arc<Entry>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// A live session.
    pub(crate) fn live(&self, id: &SessionId) -> Option<Arc<Entry>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Whether a session of a sign-in lives.
    pub(crate) fn has(&self, sign_in: u64) -> bool {
        self.lives().iter().any(|entry| entry.sign_in == sign_in)
    }

    /// Ends every session of a sign-in.
    pub(crate) fn stop_sign_in(&self, sign_in: u64, stop: &Stop) {
        for entry in self.lives().into_iter().filter(|entry| entry.sign_in == sign_in) {
            entry.stop.send_replace(Some(stop.clone()));
        }
    }

    /// Ends every session on a node; answers how many there were.
    pub(crate) fn stop_node(&self, node: &NodeName, stop: &Stop) -> usize {
        let there: Vec<_> = self.lives().into_iter().filter(|entry| entry.row.node == *node).collect();
        for entry in &there {
            // What was said first stays the reason.
            entry.stop.send_if_modified(|said| said.is_none() && said.replace(stop.clone()).is_none());
        }
        there.len()
    }

    /// Ends all: the proxy stops.
    pub(crate) fn stop_all(&self, stop: &Stop) {
        for entry in self.lives() {
            entry.stop.send_replace(Some(stop.clone()));
        }
    }

    /// Ends those of which nobody has said so yet.
    pub(crate) fn cut_all(&self, stop: &Stop) {
        for entry in self.lives() {
            // What was said first stays the reason.
            entry.stop.send_if_modified(|said| said.is_none() && said.replace(stop.clone()).is_none());
        }
    }

    /// How many live.
    pub(crate) fn count(&self) -> usize {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Remembers an ended session.
    pub(crate) fn ended(&self, row: &SessionRow) -> Result<(), KvError> {
        let value = serde_json::to_vec(row).unwrap_or_default();
        self.store.put(&key_of(&row.id), &value, Expect::Any).map(|_| ())
    }

    /// One, live or ended.
    pub(crate) fn get(&self, id: &SessionId) -> Result<Option<SessionRow>, KvError> {
        if let Some(entry) = self.live.lock().unwrap_or_else(PoisonError::into_inner).get(id) {
            return Ok(Some(entry.row()));
        }
        let Some(stored) = self.store.get(&key_of(id))? else { return Ok(None) };
        serde_json::from_slice(&stored.value).map(Some).map_err(|_| KvError::Damaged(key_of(id)))
    }

    /// Newest first, from before `before`, those that `wanted` keeps, at most `limit`.
    pub(crate) fn list(
        &self,
        live_only: bool,
        before: Option<SessionId>,
        limit: usize,
        wanted: impl Fn(&SessionRow) -> bool,
    ) -> Result<Vec<SessionRow>, KvError> {
        let mut rows: Vec<SessionRow> = self.lives().iter().map(|entry| entry.row()).filter(&wanted).collect();
        if !live_only {
            for entry in crate::live::scan(self.store.as_ref(), SESSIONS)? {
                let row: SessionRow = serde_json::from_slice(&entry.at.value).map_err(|_| KvError::Damaged(entry.key.clone()))?;
                if wanted(&row) {
                    rows.push(row);
                }
            }
        }
        rows.retain(|row| before.is_none_or(|before| row.id < before));
        rows.sort_by_key(|row| std::cmp::Reverse(row.id));
        rows.dedup_by_key(|row| row.id);
        rows.truncate(limit);
        Ok(rows)
    }
}

fn key_of(id: &SessionId) -> String {
    format!("{SESSIONS}{id}")
}

/// A new id; sorts by time.
pub(crate) fn new_id(now: Timestamp) -> SessionId {
    let secs = u64::try_from(now.as_secs()).unwrap_or(0);
    let nanos = u32::try_from(now.as_nanos().rem_euclid(1_000_000_000)).unwrap_or(0);
    SessionId::new(uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, secs, nanos)))
}
