//! Places for those who watch something: so many of all people together, and so many of each. A place is given back when it is dropped.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::problem::No;

/// Most of all people.
const ALL: usize = 512;
/// Most of one.
const EACH: usize = 32;

/// Who watches, by principal.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watchers(Arc<Mutex<BTreeMap<String, usize>>>);

/// The place of one.
#[derive(Debug)]
pub(crate) struct Place {
    watchers: Watchers,
    principal: String,
}

impl Watchers {
    /// A place, where there is one.
    pub(super) fn place(&self, principal: String) -> Result<Place, No> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let theirs = places.get(&principal).copied().unwrap_or_default();
        if theirs >= EACH || places.values().sum::<usize>() >= ALL {
            let why = if theirs >= EACH { format!("you watch {EACH} things already") } else { "too many watch at the moment".to_owned() };
            return Err(No::busy(why).hint("Ask for the list without watching, or try again in a minute."));
        }
        places.insert(principal.clone(), theirs + 1);
        Ok(Place { watchers: self.clone(), principal })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.watchers.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = places.get_mut(&self.principal) {
            *count -= 1;
            if *count == 0 {
                places.remove(&self.principal);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_for_each_and_for_all_and_come_back() {
        let watchers = Watchers::default();
        let mut held: Vec<Place> = (0..EACH).map(|_| watchers.place("eve".into()).expect("a place")).collect();
        assert!(watchers.place("eve".into()).is_err());
        held.extend((EACH..ALL).map(|n| watchers.place(format!("p{}", n / EACH)).expect("a place")));
        assert!(watchers.place("ann".into()).is_err(), "all are taken");
        drop(held);
        assert!(watchers.place("eve".into()).is_ok() && watchers.0.lock().expect("places").is_empty());
    }
}
