//! How long a connection without a client certificate stays: a minute, or for as long as an access token that was shown on it lives. Who
//! shows a good token has a place among those who are known, and no more among strangers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use access::time::Timestamp;
use access::words::UserName;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock;
use crate::listen::{Seat, Seats, Ticket};

/// Makes a connection stay. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Stay(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    until: watch::Sender<Option<Timestamp>>,
    /// Of whoever showed a token first: given back with the connection.
    seat: Mutex<Option<Seat>>,
}

impl Stay {
    /// Nobody has shown anything yet.
    pub(super) fn new() -> Self {
        Self(Arc::new(Inner { until: watch::Sender::new(None), seat: Mutex::default() }))
    }

    /// This person showed a token that lives until then. Where they have as many connections as there may be, all stays as it was.
    pub(super) fn longer(&self, seats: &Seats, name: &UserName, until: Timestamp) {
        let mut seat = self.0.seat.lock().unwrap_or_else(PoisonError::into_inner);
        if seat.is_none() {
            *seat = seats.of_user(name);
        }
        if seat.is_some() {
            self.0.until.send_if_modified(|known| {
                let later = known.is_none_or(|known| known < until);
                if later {
                    *known = Some(until);
                }
                later
            });
        }
    }

    /// Returns when the connection has to go: after `life`, or at the end of what was shown. The ticket is a stranger's.
    pub(super) async fn over(&self, life: Duration, mut ticket: Option<Ticket>) {
        let mut known = self.0.until.subscribe();
        known.mark_changed();
        let mut end = Instant::now() + life;
        loop {
            tokio::select! {
                biased;
                Ok(()) = known.changed() => if let Some(until) = *known.borrow_and_update() {
                    drop(ticket.take());
                    end = end.max(Instant::now() + until.since(clock::now()));
                },
                () = tokio::time::sleep_until(end) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listen::admission::Admission;

    #[tokio::test]
    async fn a_good_token_makes_a_stranger_known_for_as_long_as_it_lives() {
        let (admission, seats) = (Admission::new(), Seats::default());
        let ticket = || admission.enter(std::net::Ipv4Addr::LOCALHOST.into());
        let name: UserName = "alice".parse().expect("a name");
        Stay::new().over(Duration::ZERO, ticket()).await;
        let stay = Stay::new();
        let staying = tokio::spawn({
            let (stay, ticket) = (stay.clone(), ticket());
            async move { stay.over(Duration::from_secs(3600), ticket).await }
        });
        stay.longer(&seats, &name, clock::now().plus(Duration::from_secs(600)));
        while admission.count() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(seats.are_taken() && !staying.is_finished());
        staying.abort();
        drop((stay, staying.await));
        assert!(!seats.are_taken(), "its place is given back");
        let brief = Stay::new();
        brief.longer(&seats, &name, clock::now().plus(Duration::from_secs(600)));
        let over = brief.over(Duration::ZERO, None);
        assert!(tokio::time::timeout(Duration::from_millis(20), over).await.is_err(), "longer than a stranger");
        let ended = Stay::new();
        ended.longer(&seats, &name, clock::now());
        ended.over(Duration::ZERO, None).await;
    }
}
