//! How many connections may be there before anybody has signed in: in all and from one address.
//!
//! Who shows a client certificate is known only after the TLS handshake. So a part of the places is kept for connections that are
//! still in it, which last seconds: strangers, who may stay longer, never fill it, and agents and people always get as far as
//! showing who they are. From then on they are not counted.
//!
//! A balancer's connections are those of many: they count for no address until it is known whose they are.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections before sign-in at once.
pub(super) const MAX_ALL: usize = 8192;
/// Of these, at most so many that are known to be strangers.
const MAX_STRANGERS: usize = MAX_ALL / 4 * 3;
/// Of one address (of IPv6, one /64): a whole office behind one address still signs in.
const MAX_EACH: usize = 128;
/// Of these, at most so many that are known to be strangers.
const MAX_STRANGERS_EACH: usize = MAX_EACH / 4 * 3;
/// Of all, at most so many of balancers whose client is not known: fewer than strangers may be, so that whoever comes directly has
/// room beside them.
const MAX_UNNAMED: usize = MAX_ALL / 2;

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    all: usize,
    strangers: usize,
}

#[derive(Debug, Default)]
struct Counts {
    total: Count,
    unnamed: usize,
    each: HashMap<IpAddr, Count>,
}

/// Counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Admission(Arc<Mutex<Counts>>);

/// One connection before sign-in; gives its place back when dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    admission: Admission,
    /// None for a balancer's whose client is not known.
    source: Option<IpAddr>,
    stranger: bool,
}

impl Admission {
    /// None is there yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Connections before sign-in now.
    pub(crate) fn count(&self) -> usize {
        self.counts().total.all
    }

    /// A place, when there is one.
    pub(crate) fn enter(&self, ip: IpAddr) -> Option<Ticket> {
        let source = source_of(ip);
        let mut counts = self.counts();
        if counts.total.all >= MAX_ALL || counts.each.get(&source).is_some_and(|each| each.all >= MAX_EACH) {
            return None;
        }
        counts.total.all += 1;
        counts.each.entry(source).or_default().all += 1;
        Some(Ticket { admission: self.clone(), source: Some(source), stranger: false })
    }

    /// A place for a balancer's connection, whose client is not known yet.
    pub(super) fn enter_unnamed(&self) -> Option<Ticket> {
        let mut counts = self.counts();
        if counts.total.all >= MAX_ALL || counts.unnamed >= MAX_UNNAMED {
            return None;
        }
        counts.total.all += 1;
        counts.unnamed += 1;
        Some(Ticket { admission: self.clone(), source: None, stranger: false })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// It is known whose connection this is: goes on where that address has a place left.
    pub(super) fn of(mut self, ip: IpAddr) -> Option<Self> {
        let source = source_of(ip);
        let fits = {
            let mut counts = self.admission.counts();
            let room = counts.each.get(&source).is_none_or(|each| each.all < MAX_EACH);
            if room && self.source.is_none() {
                counts.unnamed = counts.unnamed.saturating_sub(1);
                counts.each.entry(source).or_default().all += 1;
                self.source = Some(source);
            }
            room
        };
        fits.then_some(self)
    }

    /// The handshake is over and nobody was shown: stays where strangers have a place left.
    pub(super) fn stay(mut self) -> Option<Self> {
        let stays = {
            let mut counts = self.admission.counts();
            let room = counts.total.strangers < MAX_STRANGERS;
            let stays = room
                && match self.source.map(|source| counts.each.get_mut(&source)) {
                    // Of balancers there are never more than places for strangers.
                    None => true,
                    Some(Some(each)) if each.strangers < MAX_STRANGERS_EACH => {
                        each.strangers += 1;
                        true
                    }
                    Some(_) => false,
                };
            counts.total.strangers += usize::from(stays);
            stays
        };
        self.stranger = stays;
        stays.then_some(self)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let stranger = usize::from(self.stranger);
        let less = |count: &mut Count| {
            count.all = count.all.saturating_sub(1);
            count.strangers = count.strangers.saturating_sub(stranger);
            count.all == 0
        };
        let mut counts = self.admission.counts();
        less(&mut counts.total);
        match self.source {
            None => counts.unnamed = counts.unnamed.saturating_sub(1),
            Some(source) => {
                if counts.each.get_mut(&source).is_some_and(less) {
                    counts.each.remove(&source);
                }
            }
        }
    }
}

pub(crate) fn source_of(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_none() => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        other => other.to_canonical(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("ip")
    }

    #[test]
    fn one_source_cannot_take_all_places_and_places_come_back() {
        let admission = Admission::new();
        let tickets: Vec<_> = (0..MAX_EACH).map(|i| admission.enter(ip(&format!("2001:db8::{i:x}"))).expect("place")).collect();
        assert!(admission.enter(ip("2001:db8::ffff")).is_none(), "the same /64");
        assert!(admission.enter(ip("2001:db9::1")).is_some());
        drop(tickets);
        assert!(admission.enter(ip("2001:db8::ffff")).is_some());
        assert_eq!(admission.count(), 0);
    }

    #[test]
    fn strangers_leave_places_for_those_who_show_a_certificate() {
        let admission = Admission::new();
        let enter = |source: usize| admission.enter(ip(&format!("10.0.{}.{}", source / 256, source % 256)));
        let stay = |source: usize| enter(source).and_then(Ticket::stay);
        let mut strangers: Vec<_> = (0..MAX_STRANGERS).map(|i| stay(i / MAX_STRANGERS_EACH).expect("place")).collect();
        assert!(stay(0).is_none(), "of one source");
        assert!(stay(60_000).is_none(), "of all");
        let in_handshake: Vec<_> = (0..MAX_ALL - MAX_STRANGERS).map(|i| enter(10_000 + i).expect("place")).collect();
        assert!(enter(60_000).is_none());
        drop(in_handshake);
        strangers.pop();
        assert!(stay(60_000).is_some());
    }

    #[test]
    fn connections_of_a_balancer_count_for_the_address_that_is_behind() {
        let admission = Admission::new();
        let unnamed: Vec<_> = (0..MAX_UNNAMED).map(|_| admission.enter_unnamed().expect("place")).collect();
        assert!(admission.enter_unnamed().is_none(), "bounded all the same");
        assert!(admission.enter(ip("192.0.2.1")).is_some(), "and leaves room for those who come directly");
        let mut unnamed = unnamed.into_iter();
        let behind: Vec<_> = unnamed.by_ref().take(MAX_EACH).map(|ticket| ticket.of(ip("192.0.2.7")).expect("place")).collect();
        assert!(admission.enter(ip("192.0.2.7")).is_none(), "through the balancer and directly, it is one address");
        assert!(unnamed.next().and_then(|ticket| ticket.of(ip("192.0.2.7"))).is_none());
        assert!(unnamed.next().and_then(|ticket| ticket.of(ip("192.0.2.8"))).is_some());
        let strangers: Vec<_> = behind.into_iter().filter_map(Ticket::stay).collect();
        assert_eq!(strangers.len(), MAX_STRANGERS_EACH);
        drop((strangers, unnamed));
        let counts = admission.counts();
        assert!(counts.total.all == 0 && counts.total.strangers == 0 && counts.unnamed == 0 && counts.each.is_empty(), "{counts:?}");
    }

    #[test]
    fn strangers_behind_a_balancer_leave_places_for_others() {
        let admission = Admission::new();
        let stay = || admission.enter_unnamed().and_then(Ticket::stay);
        let behind: Vec<_> = (0..MAX_UNNAMED).map(|_| stay().expect("place")).collect();
        assert!(stay().is_none());
        let direct = admission.enter(ip("192.0.2.1")).and_then(Ticket::stay);
        assert!(direct.is_some());
        drop((behind, direct));
        assert!(stay().is_some() && admission.count() == 0);
    }
}
