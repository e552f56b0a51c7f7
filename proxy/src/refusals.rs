//! Refusals on their way into the audit log: anybody can cause them, so each source has so many a minute written one by one, and the
//! rest as a count. What is refused stays refused; nothing here decides.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use access::event::{ActorKind, Event};
use recorder::{Log, LogError};

/// Written one by one at once.
const BURST: u32 = 60;
/// Then one in this time.
const EACH: Duration = Duration::from_secs(1);
/// Of all strangers together, who may come from very many addresses: at once.
const STRANGERS_BURST: u32 = 600;
/// Then one in this time.
const STRANGERS_EACH: Duration = Duration::from_millis(200);
/// Most sources that are told apart. Others share one allowance.
const MAX_SOURCES: usize = 4096;
/// How often what was counted is written.
pub(crate) const SUMMARY_EVERY: Duration = Duration::from_secs(60);

/// Who causes refusals.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Source {
    /// Nobody that we know, at this address (of IPv6, one /64).
    Address(Option<IpAddr>),
    /// Somebody signed in, or an agent.
    Known(String),
    /// More than can be told apart.
    Rest,
}

impl Source {
    fn of(event: &Event) -> Self {
        if event.actor.kind == ActorKind::Anonymous {
            Self::Address(event.client.as_ref().map(|client| network(client.ip)))
        } else {
            Self::Known(event.actor.id.clone())
        }
    }
}

fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

/// A token bucket as one moment: full again then.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    full: Instant,
}

impl Bucket {
    fn take(&mut self, now: Instant, burst: u32, each: Duration) -> bool {
        let full = self.full.max(now) + each;
        let fits = full <= now + each.saturating_mul(burst);
        if fits {
            self.full = full;
        }
        fits
    }
}

#[derive(Debug)]
struct Inner {
    strangers: Bucket,
    buckets: HashMap<Source, Bucket>,
    /// The last of those that were only counted, and how many: of all strangers together, and of each who is known.
    counted: HashMap<Source, (Event, u64)>,
}

/// Whether a refusal was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a source that refuses to stop is told to"]
pub(crate) enum Told {
    /// One by one.
    Written,
    /// Only counted: this source has had too many.
    Counted,
}

/// The way into the log. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Refusals {
    log: Log,
    inner: Arc<Mutex<Inner>>,
}

impl Refusals {
    /// Into this log.
    pub(crate) fn new(log: Log) -> Self {
        let inner = Inner { strangers: Bucket { full: Instant::now() }, buckets: HashMap::new(), counted: HashMap::new() };
        Self { log, inner: Arc::new(Mutex::new(inner)) }
    }

    /// Writes a refusal, or counts it where its source has had too many.
    ///
    /// # Errors
    /// The log cannot be written.
    pub(crate) fn tell(&self, event: Event) -> Result<Told, LogError> {
        let event = self.inner.lock().unwrap_or_else(PoisonError::into_inner).admit(event, Instant::now());
        match event {
            Some(event) => self.log.append(&event).map(|_| Told::Written),
            None => Ok(Told::Counted),
        }
    }

    /// Writes what was counted since the last time: one event for all strangers, one for each who is known.
    ///
    /// # Errors
    /// The log cannot be written.
    pub(crate) fn summarise(&self) -> Result<(), LogError> {
        let counted = std::mem::take(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner).counted);
        for (_, (mut event, count)) in counted {
            let last = event.outcome.message.take().unwrap_or_default();
            event.outcome.message = Some(format!("{count} refusals were not written one by one; the last was: {last}"));
            let _written = self.log.append(&event)?;
        }
        Ok(())
    }
}

impl Inner {
    /// Gives back what is to be written.
    fn admit(&mut self, event: Event, now: Instant) -> Option<Event> {
        let source = Source::of(&event);
        let stranger = !matches!(source, Source::Known(_));
        let place = self.place(source.clone(), now);
        let mut bucket = self.buckets.get(&place).copied().unwrap_or(Bucket { full: now });
        // One who has had too many takes nothing from the others; and strangers that all have had too many are not even remembered.
        if bucket.take(now, BURST, EACH) && (!stranger || self.strangers.take(now, STRANGERS_BURST, STRANGERS_EACH)) {
            self.buckets.insert(place, bucket);
            return Some(event);
        }
        let of = match source {
            Source::Known(_) if self.counted.len() < MAX_SOURCES => source,
            Source::Known(_) => Source::Rest,
            Source::Address(_) | Source::Rest => Source::Address(None),
        };
        let count = self.counted.get(&of).map_or(1, |(_, count)| count + 1);
        self.counted.insert(of, (event, count));
        None
    }

    /// Whose allowance counts. A full bucket is as good as none, so those make room.
    fn place(&mut self, source: Source, now: Instant) -> Source {
        if self.buckets.len() >= MAX_SOURCES && !self.buckets.contains_key(&source) {
            self.buckets.retain(|_, bucket| bucket.full > now);
            if self.buckets.len() >= MAX_SOURCES {
                return Source::Rest;
            }
        }
        source
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use access::event::{Actor, Client, What};
    use access::time::Timestamp;

    fn inner(now: Instant) -> Inner {
        Inner { strangers: Bucket { full: now }, buckets: HashMap::new(), counted: HashMap::new() }
    }

    fn event(ip: u32, user: Option<&str>) -> Event {
        let mut actor = Actor::anonymous();
        if let Some(user) = user {
            actor = Actor { kind: ActorKind::User, id: user.to_owned(), name: user.to_owned(), roles: Vec::new() };
        }
        let mut event = Event::new(Timestamp::from_secs(1), actor, What::LoginFailed { method: "link".into() });
        event.client = Some(Client { ip: IpAddr::V4(ip.into()), port: 1, user_agent: None, run: None });
        event
    }

    #[test]
    fn a_source_is_written_in_bursts_and_then_slowly_and_the_rest_is_counted() {
        let now = Instant::now();
        let mut inner = inner(now);
        let mut written = |at, ip, user| (0..100).filter(|_| inner.admit(event(ip, user), at).is_some()).count();
        assert_eq!(written(now, 1, None), 60);
        assert_eq!(written(now, 2, None), 60, "another address");
        assert_eq!(written(now, 1, Some("eve")), 60, "somebody signed in at the same address");
        assert_eq!(written(now + Duration::from_secs(10), 1, None), 10);
        let mut counts: Vec<_> = inner.counted.into_values().map(|(_, count)| count).collect();
        counts.sort_unstable();
        assert_eq!(counts, [40, 170], "eve, and all strangers together");
    }

    #[test]
    fn very_many_addresses_get_no_more_than_all_may_and_take_bounded_memory() {
        let now = Instant::now();
        let mut inner = inner(now);
        let written = (0..100_000).filter(|ip| inner.admit(event(*ip, None), now).is_some()).count();
        assert_eq!(written, 600);
        assert!(inner.buckets.len() <= MAX_SOURCES + 1 && inner.counted.len() == 1);
        assert!(inner.admit(event(7, Some("alice")), now).is_some(), "who is signed in does not share with strangers");
    }
}
