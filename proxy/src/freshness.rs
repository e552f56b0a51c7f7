//! How old this proxy's knowledge of who may do what is. The store is read every few seconds; a view that could not be compared with it
//! for too long admits nobody new, and later no one at all. What is decided with the view lives elsewhere.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use access::event::{Actor, Event, What};
use recorder::Log;
use store::kv::{Kv, KvError};

use crate::clock;
use crate::live::Live;
use crate::session::open::Sessions;
use crate::session::table::{Stop, Table};

/// A view older than this admits nothing new.
pub(crate) const ADMITS_FOR: Duration = Duration::from_secs(15);
/// A view older than this ends what lives, unless a setting keeps it.
pub(crate) const CUTS_AFTER: Duration = Duration::from_secs(60);
/// How often the store is read.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// How often the age is looked at.
const NOTICE_EVERY: Duration = Duration::from_secs(1);
/// A key that is read each time: a store may know its revision by heart and still not answer.
const PROBE: &str = "boot";

/// Proof that the view was current a moment ago. Beginning a session and signing for a person take it.
#[derive(Debug)]
#[must_use = "this is the proof that something new may be admitted"]
pub(crate) struct Fresh(());

/// The view is too old.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("nothing new is admitted, because this proxy could not compare its rules with its store for {} s", age.as_secs())]
pub(crate) struct Stale {
    /// How old.
    pub(crate) age: Duration,
}

impl Stale {
    /// Its code.
    pub(crate) const CODE: &'static str = "NARU-P210";
    /// What to do.
    pub(crate) const HINT: &'static str = "Try again in a moment; /readyz on the server tells an administrator why.";
}

#[derive(Debug)]
struct Seen {
    at: Instant,
    /// When the store last answered, whatever came of the view.
    answered: Instant,
    revision: u64,
    trouble: Option<String>,
}

/// The age of the view. Cheap to clone; shared by all who admit.
#[derive(Debug, Clone)]
pub(crate) struct Freshness(Arc<Mutex<Seen>>);

impl Freshness {
    /// Of a view that was read just now.
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self(Arc::new(Mutex::new(Seen { at: now, answered: now, revision: 0, trouble: None })))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long ago the view was known to be current.
    pub(crate) fn age(&self) -> Duration {
        self.seen().at.elapsed()
    }

    /// How long ago the store last answered.
    pub(crate) fn unanswered(&self) -> Duration {
        self.seen().answered.elapsed()
    }

    /// The revision that the view is not older than; 0 before the first look.
    pub(crate) fn revision(&self) -> u64 {
        self.seen().revision
    }

    /// What the store said last, where it was no answer.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.seen().trouble.clone()
    }

    /// The proof.
    ///
    /// # Errors
    /// The view is older than [`ADMITS_FOR`].
    pub(crate) fn proof(&self) -> Result<Fresh, Stale> {
        let age = self.age();
        if age <= ADMITS_FOR { Ok(Fresh(())) } else { Err(Stale { age }) }
    }

    /// A look that began then said this.
    fn told(&self, began: Instant, said: Result<u64, Unseen>) {
        let mut seen = self.seen();
        match said {
            Ok(revision) => *seen = Seen { at: began, answered: began, revision, trouble: None },
            Err(unseen) => {
                if matches!(unseen, Unseen::View(_)) {
                    seen.answered = began;
                }
                seen.trouble = Some(unseen.to_string());
            }
        }
    }
}

/// Why a look showed nothing.
#[derive(Debug, thiserror::Error)]
enum Unseen {
    /// The store did not answer.
    #[error("{0}")]
    Store(String),
    /// It did, and what it holds cannot be put in force.
    #[error("{0}")]
    View(String),
}

/// What the age means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Fresh,
    Stale,
    Cut,
}

fn step(age: Duration) -> Step {
    match age {
        age if age <= ADMITS_FOR => Step::Fresh,
        age if age <= CUTS_AFTER => Step::Stale,
        _ => Step::Cut,
    }
}

/// What keeping it current takes.
pub(crate) struct Keeper {
    pub(crate) freshness: Freshness,
    pub(crate) live: Live,
    pub(crate) store: Arc<dyn Kv>,
    pub(crate) log: Log,
    pub(crate) table: Table,
    /// Live sessions go on however old the view is.
    pub(crate) keep_sessions: bool,
}

impl Keeper {
    /// For these sessions.
    pub(crate) fn of(sessions: &Sessions, store: Arc<dyn Kv>, keep_sessions: bool) -> Self {
        let Sessions { freshness, live, log, table, .. } = sessions.clone();
        Self { freshness, live, store, log, table, keep_sessions }
    }

    /// Looks and notices for as long as it is polled. A store that hangs takes one blocking thread and nothing else.
    pub(crate) async fn run(self) -> Infallible {
        tokio::select! {
            never = self.look() => never,
            never = self.notice() => never,
        }
    }

    async fn look(&self) -> Infallible {
        let mut read = None;
        loop {
            read = self.look_once(read).await;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Answers the revision up to which the view is known to be current.
    async fn look_once(&self, read: Option<u64>) -> Option<u64> {
        let began = Instant::now();
        let (live, store) = (self.live.clone(), self.store.clone());
        let looked = tokio::task::spawn_blocking(move || look(&live, store.as_ref(), read)).await;
        let said = looked.unwrap_or_else(|_| Err(Unseen::Store("the look at the store ended badly".to_owned())));
        let read = said.as_ref().map_or(read, |revision| Some(*revision));
        if let Err(error) = &said {
            tracing::warn!(%error, "the store could not be compared with the rules in force");
        }
        self.freshness.told(began, said);
        read
    }

    async fn notice(&self) -> Infallible {
        let mut since = None;
        loop {
            tokio::time::sleep(NOTICE_EVERY).await;
            since = self.notice_once(since);
        }
    }

    /// Answers since when nothing new is admitted.
    fn notice_once(&self, since: Option<Instant>) -> Option<Instant> {
        let age = self.freshness.age();
        let now = step(age);
        if now == Step::Cut && !self.keep_sessions {
            let sentence = format!("the proxy could not see its rules for {} s", age.as_secs());
            self.table.cut_all(&Stop { reason: "view_stale", sentence });
        }
        match (since, now) {
            (None, Step::Stale | Step::Cut) => {
                let cause = self.freshness.trouble().unwrap_or_else(|| "the store does not answer".to_owned());
                tracing::error!(cause, "nothing new is admitted: the rules could not be compared with the store");
                self.tell(What::ViewStale { cause });
                Some(Instant::now())
            }
            (Some(began), Step::Fresh) => {
                let stale_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                tracing::info!(stale_ms, "the rules are current again");
                self.tell(What::ViewFresh { stale_ms });
                None
            }
            (since, _) => since,
        }
    }

    fn tell(&self, what: What) {
        if let Err(error) = self.log.append(&Event::new(clock::now(), Actor::system(), what)) {
            tracing::error!(%error, "the age of the rules could not be logged");
        }
    }
}

/// Reads what is cheap, and the whole view where the store moved: what another proxy wrote may not have woken anybody here. Answers the
/// revision that the view is not older than. Blocks for as long as the store does.
fn look(live: &Live, store: &dyn Kv, read: Option<u64>) -> Result<u64, Unseen> {
    let gone = |error: KvError| Unseen::Store(error.to_string());
    let revision = store.revision().map_err(gone)?;
    store.get(PROBE).map_err(gone)?;
    if read != Some(revision) {
        live.refresh().map_err(|error| Unseen::View(error.to_string()))?;
    }
    Ok(revision)
}

#[cfg(test)]
impl Freshness {
    /// As if so much time had gone by without a look.
    pub(crate) fn grow_older(&self, by: Duration) {
        let mut seen = self.seen();
        let older = |at: Instant| at.checked_sub(by).expect("a clock that ran for longer");
        (seen.at, seen.answered) = (older(seen.at), older(seen.answered));
    }
}

#[cfg(test)]
mod tests;
