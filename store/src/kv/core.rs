//! The rules that every engine shares: revisions, compare-and-swap, leases, watches, one sync for writers that wait together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::record::{Record, SUMMARY, Summary, data_key, user_key};
use super::{Change, Each, Entry, Expect, Kv, KvError, Lease, MAX_BATCH, MAX_KEY, MAX_SCAN, MAX_VALUE, Versioned};

/// Entries that a snapshot reads at once: 64 MiB of the largest.
const SNAPSHOT: usize = 64;

/// Keys and values as an engine stores them.
pub(super) type Pairs = Vec<(Vec<u8>, Vec<u8>)>;
/// What is written; none removes.
pub(super) type Writes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// What an engine must do. Calls to `apply` come one at a time.
pub(super) trait Engine: Send + Sync + 'static {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KvError>;
    /// Keys below `prefix`, after `after`, in order.
    fn scan(&self, prefix: &[u8], after: &[u8], limit: usize) -> Result<Pairs, KvError>;
    /// All of it or nothing, visible at once.
    fn apply(&self, writes: Writes) -> Result<(), KvError>;
    /// What was applied up to `revision` survives a power cut when this returns.
    fn sync(&self, revision: u64) -> Result<(), KvError>;
}

pub(super) struct Rules<E> {
    engine: E,
    state: Mutex<State>,
    /// The revision up to which all is synced. Locked before `state`, never after it.
    synced: Mutex<u64>,
    /// The same, for readers that do not wait for a sync.
    durable: AtomicU64,
    watches: Mutex<Vec<(String, watch::Sender<u64>)>>,
}

#[derive(Default)]
struct State {
    summary: Summary,
    leases: BTreeMap<u64, Held>,
    last_lease: u64,
    stopped: bool,
}

struct Held {
    ttl: Duration,
    until: Instant,
    keys: BTreeSet<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> Result<MutexGuard<'_, T>, KvError> {
    mutex.lock().map_err(|_| KvError::Stopped)
}

impl<E: Engine> Rules<E> {
    pub(super) fn new(engine: E) -> Self {
        Self { engine, state: Mutex::default(), synced: Mutex::default(), durable: AtomicU64::new(0), watches: Mutex::default() }
    }

    /// Takes up a store that was checked: `summary` as stored, `orphans` the keys whose leases ended with the last process.
    pub(super) fn resume(engine: E, summary: Summary, orphans: &[String]) -> Result<Self, KvError> {
        let rules = Self::new(engine);
        lock(&rules.state)?.summary = summary;
        *lock(&rules.synced)? = summary.revision;
        rules.durable.store(summary.revision, Ordering::Release);
        for some in orphans.chunks(MAX_BATCH) {
            let gone: Vec<_> = some.iter().map(|key| Change::delete(key, Expect::Any)).collect();
            rules.batch(&gone)?;
        }
        Ok(rules)
    }

    fn record(&self, key: &str) -> Result<Option<Record>, KvError> {
        self.engine.get(&data_key(key))?.map(|bytes| Record::decode(key, &bytes)).transpose()
    }

    /// Writes checked changes at the next revision. The caller syncs.
    fn write(&self, state: &mut State, changes: &[Change]) -> Result<u64, KvError> {
        if state.stopped {
            return Err(KvError::Stopped);
        }
        let mut summary = state.summary;
        summary.revision += 1;
        let mut writes = Writes::with_capacity(changes.len() + 1);
        for change in changes {
            let key = data_key(change.key());
            let old = self.engine.get(&key)?;
            check(change, old.as_deref())?;
            if let Some(old) = &old {
                summary.remove(&key, old);
            }
            let new = match change {
                Change::Put { value, lease, .. } => {
                    let lease = lease.map_or(0, |lease| lease.0);
                    let new = Record { revision: summary.revision, lease, value: value.clone() }.encode();
                    summary.add(&key, &new);
                    Some(new)
                }
                Change::Delete { .. } => None,
            };
            writes.push((key, new));
        }
        writes.push((SUMMARY.to_vec(), Some(summary.encode())));
        self.engine.apply(writes).inspect_err(|_| state.stopped = true)?;
        state.summary = summary;
        Ok(summary.revision)
    }

    /// Whoever comes first syncs for all that wait behind it.
    fn sync(&self, revision: u64) -> Result<(), KvError> {
        let mut synced = lock(&self.synced)?;
        if *synced >= revision {
            return Ok(());
        }
        let upto = {
            let state = lock(&self.state)?;
            if state.stopped {
                return Err(KvError::Stopped);
            }
            state.summary.revision
        };
        if let Err(error) = self.engine.sync(upto) {
            lock(&self.state)?.stopped = true;
            return Err(error);
        }
        *synced = upto;
        self.durable.store(upto, Ordering::Release);
        Ok(())
    }

    fn finish(&self, revision: u64, changes: &[Change]) -> Result<(), KvError> {
        self.sync(revision)?;
        for (prefix, sender) in lock(&self.watches)?.iter() {
            if changes.iter().any(|change| change.key().starts_with(prefix.as_str())) {
                sender.send_if_modified(|last| std::mem::replace(last, revision.max(*last)) < revision);
            }
        }
        Ok(())
    }

    /// Ends these leases and removes the keys that still hang on them.
    fn end(&self, which: impl Fn(u64, &Held) -> bool) -> Result<(), KvError> {
        let (revision, gone) = {
            let mut state = lock(&self.state)?;
            let ended: Vec<u64> = state.leases.iter().filter(|(id, held)| which(**id, held)).map(|(id, _)| *id).collect();
            let mut gone = Vec::new();
            for id in ended {
                for key in state.leases.remove(&id).map(|held| held.keys).unwrap_or_default() {
                    if self.record(&key)?.is_some_and(|record| record.lease == id) {
                        gone.push(Change::delete(key, Expect::Any));
                    }
                }
            }
            if gone.is_empty() {
                return Ok(());
            }
            (self.write(&mut state, &gone)?, gone)
        };
        self.finish(revision, &gone)
    }

    fn alive(&self, record: &Record) -> Result<bool, KvError> {
        Ok(record.lease == 0 || lock(&self.state)?.leases.get(&record.lease).is_some_and(|held| held.until > Instant::now()))
    }
}

fn check(change: &Change, old: Option<&[u8]>) -> Result<(), KvError> {
    let found = old.map(|bytes| Record::decode(change.key(), bytes)).transpose()?.map(|record| record.revision);
    let fits = match change.expect() {
        Expect::Any => true,
        Expect::Absent => found.is_none(),
        Expect::Revision(wanted) => found == Some(wanted),
    };
    if fits { Ok(()) } else { Err(KvError::Conflict { key: change.key().to_owned(), found }) }
}

fn limits(changes: &[Change]) -> Result<(), KvError> {
    let mut seen = BTreeSet::new();
    for change in changes {
        if change.key().is_empty() || change.key().len() > MAX_KEY {
            return Err(KvError::Limit("a key has 1 to 512 bytes"));
        }
        if matches!(change, Change::Put { value, .. } if value.len() > MAX_VALUE) {
            return Err(KvError::Limit("a value has at most 1 MiB"));
        }
        if !seen.insert(change.key()) {
            return Err(KvError::Limit("a key occurs twice in one batch"));
        }
    }
    if changes.is_empty() || changes.len() > MAX_BATCH {
        return Err(KvError::Limit("a batch has 1 to 128 changes"));
    }
    Ok(())
}

impl<E: Engine> Kv for Rules<E> {
    fn get(&self, key: &str) -> Result<Option<Versioned>, KvError> {
        match self.record(key)? {
            Some(record) if self.alive(&record)? => Ok(Some(Versioned { revision: record.revision, value: record.value })),
            _ => Ok(None),
        }
    }

    fn scan(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Entry>, KvError> {
        let (prefix, limit) = (data_key(prefix), limit.min(MAX_SCAN));
        let mut after = after.map(data_key).unwrap_or_default();
        let mut out = Vec::new();
        // Keys of ended leases are passed over, so that a short answer always means the end.
        while out.len() < limit {
            let some = self.engine.scan(&prefix, &after, limit - out.len())?;
            let Some((last, _)) = some.last() else { break };
            after = last.clone();
            for (stored, bytes) in &some {
                let key = user_key(stored)?.to_owned();
                let record = Record::decode(&key, bytes)?;
                if self.alive(&record)? {
                    out.push(Entry { key, at: Versioned { revision: record.revision, value: record.value } });
                }
            }
        }
        Ok(out)
    }

    fn batch(&self, changes: &[Change]) -> Result<u64, KvError> {
        limits(changes)?;
        self.sweep()?;
        let revision = {
            let mut state = lock(&self.state)?;
            for change in changes {
                if let Change::Put { lease: Some(lease), .. } = change
                    && !state.leases.contains_key(&lease.0)
                {
                    return Err(KvError::LeaseEnded);
                }
            }
            let revision = self.write(&mut state, changes)?;
            for change in changes {
                if let Change::Put { key, lease: Some(lease), .. } = change
                    && let Some(held) = state.leases.get_mut(&lease.0)
                {
                    held.keys.insert(key.clone());
                }
            }
            revision
        };
        self.finish(revision, changes)?;
        Ok(revision)
    }

    fn revision(&self) -> Result<u64, KvError> {
        Ok(lock(&self.state)?.summary.revision)
    }

    fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    fn watch(&self, prefix: &str) -> Result<watch::Receiver<u64>, KvError> {
        let now = self.revision()?;
        let mut watches = lock(&self.watches)?;
        watches.retain(|(_, sender)| sender.receiver_count() > 0);
        if let Some((_, sender)) = watches.iter().find(|(of, _)| of == prefix) {
            return Ok(sender.subscribe());
        }
        let (sender, receiver) = watch::channel(now);
        watches.push((prefix.to_owned(), sender));
        Ok(receiver)
    }

    fn lease(&self, ttl: Duration) -> Result<Lease, KvError> {
        let mut state = lock(&self.state)?;
        state.last_lease += 1;
        let id = state.last_lease;
        state.leases.insert(id, Held { ttl, until: Instant::now() + ttl, keys: BTreeSet::new() });
        Ok(Lease(id))
    }

    fn renew(&self, lease: Lease) -> Result<(), KvError> {
        let mut state = lock(&self.state)?;
        let now = Instant::now();
        let held = state.leases.get_mut(&lease.0).filter(|held| held.until > now).ok_or(KvError::LeaseEnded)?;
        held.until = now + held.ttl;
        Ok(())
    }

    fn revoke(&self, lease: Lease) -> Result<(), KvError> {
        self.end(|id, _| id == lease.0)
    }

    fn sweep(&self) -> Result<(), KvError> {
        let now = Instant::now();
        self.end(|_, held| held.until <= now)
    }

    fn snapshot(&self, each: &mut Each<'_>) -> Result<u64, KvError> {
        // Held to the end: that is what makes it one revision.
        let state = lock(&self.state)?;
        if state.stopped {
            return Err(KvError::Stopped);
        }
        let (prefix, mut after) = (data_key(""), Vec::new());
        loop {
            let some = self.engine.scan(&prefix, &after, SNAPSHOT)?;
            let Some((last, _)) = some.last() else { return Ok(state.summary.revision) };
            after = last.clone();
            for (stored, bytes) in &some {
                let key = user_key(stored)?;
                let record = Record::decode(key, bytes)?;
                // What hangs on a lease ends with this process.
                if record.lease == 0 {
                    each(state.summary.revision, key, &record.value)?;
                }
            }
        }
    }

    fn raise(&self, revision: u64) -> Result<(), KvError> {
        {
            let mut state = lock(&self.state)?;
            if state.stopped {
                return Err(KvError::Stopped);
            }
            if state.summary.revision >= revision {
                return Ok(());
            }
            let summary = Summary { revision, ..state.summary };
            self.engine.apply(vec![(SUMMARY.to_vec(), Some(summary.encode()))]).inspect_err(|_| state.stopped = true)?;
            state.summary = summary;
        }
        self.sync(revision)
    }
}
