//! The parts of a proxy that operating looks at, and the looks that may block, which are made beside and remembered. Looking changes nothing.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use access::time::Timestamp;
use recorder::{Log, Recordings};
use store::kv::Kv;

use super::meters::Meters;
use crate::agents::Agents;
use crate::authority::logins;
use crate::clock;
use crate::freshness::Freshness;
use crate::notify::Lag;
use crate::session::table::Table;

/// How often what may block is looked at.
const SURVEY_EVERY: Duration = Duration::from_secs(15);
/// How often the proxy's own loops say that they go round.
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// Loops that did not go round for this long stand still.
pub(super) const STILL: Duration = Duration::from_secs(10);

/// Handles of what is looked at.
pub(crate) struct Watched {
    pub(crate) meters: Meters,
    pub(crate) table: Table,
    pub(crate) agents: Agents,
    pub(crate) log: Log,
    pub(crate) recordings: Recordings,
    pub(crate) freshness: Freshness,
    pub(crate) store: Arc<dyn Kv>,
    /// Of each receiver of events.
    pub(crate) lags: Vec<Lag>,
    pub(crate) pulse: Pulse,
    /// The state directory, whose disk takes log and recordings.
    pub(crate) state: PathBuf,
    pub(crate) started: Timestamp,
    pub(crate) surveyed: Surveyed,
}

/// Whether the proxy serves, and when its loops last went round.
#[derive(Debug, Clone)]
pub(crate) struct Pulse(Arc<Beats>);

#[derive(Debug)]
struct Beats {
    began: Instant,
    last_ms: AtomicU64,
    serves: AtomicBool,
}

impl Pulse {
    /// Of a proxy that does not serve yet.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Beats { began: Instant::now(), last_ms: AtomicU64::new(0), serves: AtomicBool::new(false) }))
    }

    /// Whether new connections are taken.
    pub(crate) fn serves(&self, serves: bool) {
        self.0.serves.store(serves, Ordering::Relaxed);
    }

    /// To be polled by the loops that are watched.
    pub(crate) async fn beat(self) -> Infallible {
        loop {
            self.0.last_ms.store(u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
            tokio::time::sleep(BEAT_EVERY).await;
        }
    }

    /// How long ago the loops went round.
    pub(super) fn age(&self) -> Duration {
        self.0.began.elapsed().saturating_sub(Duration::from_millis(self.0.last_ms.load(Ordering::Relaxed)))
    }

    pub(super) fn is_serving(&self) -> bool {
        self.0.serves.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
impl Pulse {
    /// Of loops that last went round so long ago.
    pub(super) fn still_for(&self, time: Duration) -> Self {
        let began = self.0.began.checked_sub(time).expect("a clock that ran for longer");
        let serves = AtomicBool::new(self.is_serving());
        Self(Arc::new(Beats { began, last_ms: AtomicU64::new(0), serves }))
    }
}

/// What was found the last time, for looks that may block.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surveyed(Arc<Found>);

#[derive(Debug, Default)]
struct Found {
    logins: AtomicU64,
    free: AtomicU64,
    done: AtomicBool,
}

impl Surveyed {
    /// Logins that go on; none before the first survey.
    pub(super) fn logins(&self) -> Option<u64> {
        self.0.done.load(Ordering::Acquire).then(|| self.0.logins.load(Ordering::Relaxed))
    }

    /// Bytes that the disk of the state directory has for us; none before the first survey.
    pub(super) fn free(&self) -> Option<u64> {
        self.0.done.load(Ordering::Acquire).then(|| self.0.free.load(Ordering::Relaxed))
    }
}

impl Watched {
    /// Looks for as long as it is polled.
    pub(super) async fn survey(&self) -> Infallible {
        loop {
            let (store, state, found) = (self.store.clone(), self.state.clone(), self.surveyed.clone());
            let looked = tokio::task::spawn_blocking(move || -> Result<(), String> {
                let free = rustix::fs::statvfs(&state).map_err(|error| error.to_string())?;
                found.0.free.store(free.f_bavail.saturating_mul(free.f_frsize), Ordering::Relaxed);
                let logins = logins::live(store.as_ref(), clock::now(), |_| true).map_err(|error| error.to_string())?;
                found.0.logins.store(logins.len() as u64, Ordering::Relaxed);
                found.0.done.store(true, Ordering::Release);
                Ok(())
            });
            if let Ok(Err(error)) = looked.await {
                tracing::warn!(error, "the disk or the logins could not be looked at");
            }
            tokio::time::sleep(SURVEY_EVERY).await;
        }
    }
}
