//! Connections of those who are known: nobody, and no stolen certificate, takes the places of all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use access::words::UserName;

use crate::authority::tls::Subject;

/// Connections of one person or one agent at once.
const MOST: usize = 512;

/// Counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seats(Arc<Mutex<HashMap<String, usize>>>);

/// One connection; gives its place back when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Seats,
    whose: String,
}

impl Seats {
    /// A place, when there is one. Whether this is somebody was asked before.
    pub(crate) fn take(&self, subject: &Subject) -> Option<Seat> {
        match subject {
            Subject::User { name, .. } => self.of_user(name),
            Subject::Agent { id } => self.of(format!("agent/{id}")),
        }
    }

    /// A place for a person.
    pub(crate) fn of_user(&self, name: &UserName) -> Option<Seat> {
        self.of(format!("user/{name}"))
    }

    fn of(&self, whose: String) -> Option<Seat> {
        let mut taken = self.taken();
        let count = taken.entry(whose.clone()).or_default();
        if *count >= MOST {
            return None;
        }
        *count += 1;
        Some(Seat { seats: self.clone(), whose })
    }

    #[cfg(test)]
    pub(crate) fn are_taken(&self) -> bool {
        !self.taken().is_empty()
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        if let Some(count) = taken.get_mut(&self.whose) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.whose);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_person_takes_no_place_of_another_and_places_come_back() {
        let seats = Seats::default();
        let user = |name: &str, sign_in| Subject::User { name: name.parse().expect("a name"), sign_in, serial: String::new() };
        let all: Vec<_> = (0..MOST).map(|at| seats.take(&user("alice", at as u64)).expect("a place")).collect();
        assert!(seats.take(&user("alice", 1)).is_none());
        assert!(seats.take(&user("olga", 1)).is_some());
        drop(all);
        assert!(seats.take(&user("alice", 1)).is_some());
        assert!(seats.taken().is_empty());
    }
}
