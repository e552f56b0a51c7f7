//! How many connections may be there before anybody has signed in: in all and from one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Connections before sign-in at once.
const MAX_ALL: usize = 2048;
/// Of one address (of IPv6, one /64): a whole office behind one address still signs in.
const MAX_EACH: usize = 256;

/// Counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Admission(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One connection before sign-in; gives its place back when dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    admission: Admission,
    source: IpAddr,
}

impl Admission {
    /// None is there yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A place, when there is one.
    pub(crate) fn enter(&self, ip: IpAddr) -> Option<Ticket> {
        let source = source_of(ip);
        let mut there = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = there.values().sum();
        let each = there.get(&source).copied().unwrap_or(0);
        if all >= MAX_ALL || each >= MAX_EACH {
            return None;
        }
        there.insert(source, each + 1);
        Some(Ticket { admission: self.clone(), source })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut there = self.admission.0.lock().unwrap_or_else(PoisonError::into_inner);
        match there.get_mut(&self.source) {
            Some(count) if *count > 1 => *count -= 1,
            _ => _ = there.remove(&self.source),
        }
    }
}

fn source_of(ip: IpAddr) -> IpAddr {
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

    #[test]
    fn one_source_cannot_take_all_places_and_places_come_back() {
        let admission = Admission::new();
        let ip = |text: &str| text.parse::<IpAddr>().expect("ip");
        let tickets: Vec<_> = (0..MAX_EACH).map(|i| admission.enter(ip(&format!("2001:db8::{i:x}"))).expect("place")).collect();
        assert!(admission.enter(ip("2001:db8::ffff")).is_none(), "the same /64");
        assert!(admission.enter(ip("2001:db9::1")).is_some());
        drop(tickets);
        assert!(admission.enter(ip("2001:db8::ffff")).is_some());
    }
}
