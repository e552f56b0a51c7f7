//! Requests with a key that run now: a second one with the same key waits for the first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::super::problem::No;
use crate::answers::Place;

/// Most that run at once, of all people together.
const ALL: usize = 1024;
/// Most of one person.
const EACH: usize = 32;

/// Those that run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Running(Arc<Mutex<HashMap<Place, First>>>);

/// One that runs: its hash, and what ends with it.
type First = (String, watch::Receiver<()>);

/// One that runs, for as long as this is held.
#[derive(Debug)]
pub(super) struct Run {
    running: Running,
    place: Place,
    _end: watch::Sender<()>,
}

/// What somebody who comes with a key finds.
pub(super) enum Entered {
    /// Nobody else runs with it.
    First(Run),
    /// The same request runs.
    Second(watch::Receiver<()>),
    /// Another request runs with this key.
    Other,
}

impl Running {
    pub(super) fn enter(&self, place: &Place, hash: &str) -> Result<Entered, No> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((first, end)) = running.get(place) {
            return Ok(if first == hash { Entered::Second(end.clone()) } else { Entered::Other });
        }
        if running.len() >= ALL || running.keys().filter(|one| one.person == place.person).count() >= EACH {
            return Err(No::busy("too many requests with a key run at the moment").hint("Wait until some of them are answered."));
        }
        let (end, ends) = watch::channel(());
        running.insert(place.clone(), (hash.to_owned(), ends));
        Ok(Entered::First(Run { running: self.clone(), place: place.clone(), _end: end }))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.running.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.place);
    }
}

/// Until the first one has ended; false where it takes longer than this.
pub(super) async fn ended(mut first: watch::Receiver<()>, within: Duration) -> bool {
    // Nothing is ever sent: what is waited for is that the sender is gone.
    tokio::time::timeout(within, async { while first.changed().await.is_ok() {} }).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(person: &str, key: usize) -> Place {
        Place::new(person, &key.to_string())
    }

    #[tokio::test]
    async fn one_runs_the_same_waits_and_another_does_not() {
        let running = Running::default();
        let Ok(Entered::First(run)) = running.enter(&place("eve", 1), "a") else { panic!("the first") };
        let Ok(Entered::Second(first)) = running.enter(&place("eve", 1), "a") else { panic!("the second") };
        assert!(matches!(running.enter(&place("eve", 1), "b"), Ok(Entered::Other)));
        assert!(matches!(running.enter(&place("ann", 1), "b"), Ok(Entered::First(_))));
        assert!(!ended(first.clone(), Duration::from_millis(5)).await);
        drop(run);
        assert!(ended(first, Duration::from_secs(3600)).await);
        assert!(matches!(running.enter(&place("eve", 1), "b"), Ok(Entered::First(_))));
    }

    #[test]
    fn so_many_run_at_once_and_no_more() {
        let running = Running::default();
        let mut held: Vec<_> = (0..EACH).map(|n| running.enter(&place("eve", n), "a").expect("room")).collect();
        assert!(running.enter(&place("eve", EACH), "a").is_err());
        assert!(running.enter(&place("eve", 0), "a").is_ok(), "one that runs already");
        held.extend((EACH..ALL).map(|n| running.enter(&place(&format!("p{}", n / EACH), n), "a").expect("room")));
        assert!(running.enter(&place("ann", 0), "a").is_err());
    }
}
