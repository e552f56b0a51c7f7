//! Whether the process lives and whether it can do its work, part by part, with the reason and since when. Nothing here mends anything.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use access::time::Timestamp;
use serde::Serialize;

use super::watched::{STILL, Watched};
use crate::clock;
use crate::freshness::ADMITS_FOR;

/// Less free space than one file of the journal takes.
const LITTLE: u64 = 64 << 20;

/// The answer of /readyz.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Ready {
    /// Every part that is needed works.
    pub(super) ready: bool,
    pub(super) parts: BTreeMap<&'static str, Part>,
}

/// One part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Part {
    pub(super) ok: bool,
    /// Whether the proxy is not ready without it.
    pub(super) needed: bool,
    /// Why it does not work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    /// Since when it is so; as it was noticed.
    pub(super) since: Timestamp,
}

/// What was found the last time, so that it is known since when.
#[derive(Debug, Default)]
pub(super) struct Parts(Mutex<BTreeMap<&'static str, Part>>);

impl Parts {
    /// Looks at every part. Waits for nothing.
    pub(super) fn look(&self, of: &Watched) -> Ready {
        let found = parts(of);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, needed, said) in found {
            let (ok, reason) = (said.is_ok(), said.err());
            let since = known.get(name).filter(|part| part.ok == ok).map_or_else(clock::now, |part| part.since);
            known.insert(name, Part { ok, needed, reason, since });
        }
        Ready { ready: known.values().all(|part| part.ok || !part.needed), parts: known.clone() }
    }
}

type Said = Result<(), String>;

fn parts(of: &Watched) -> [(&'static str, bool, Said); 8] {
    let failing = of.meters.what_fails();
    [
        ("store", true, store(of)),
        ("view", true, of.freshness.proof().map(drop).map_err(|stale| stale.to_string())),
        ("log", true, of.log.check()),
        ("recorder", true, of.recordings.trouble().borrow().as_ref().map_or(Ok(()), |cause| Err(cause.to_string()))),
        ("space", true, space(of)),
        ("port", true, port(of)),
        ("sinks", false, none_fails(&failing.sinks)),
        ("providers", false, none_fails(&failing.providers)),
    ]
}

fn store(of: &Watched) -> Said {
    let age = of.freshness.unanswered();
    if age <= ADMITS_FOR { Ok(()) } else { Err(format!("it did not answer for {} s", age.as_secs())) }
}

fn space(of: &Watched) -> Said {
    if !of.recordings.journal().has_room() {
        return Err("too much output waits to be stored".to_owned());
    }
    match of.surveyed.free() {
        Some(free) if free < LITTLE => Err(format!("the disk of the state directory has {} MiB left", free >> 20)),
        _ => Ok(()),
    }
}

fn port(of: &Watched) -> Said {
    if !of.pulse.is_serving() {
        return Err("the proxy is starting or being stopped".to_owned());
    }
    lives(of)
}

/// Whether the loops that serve go round.
///
/// # Errors
/// One sentence.
pub(super) fn lives(of: &Watched) -> Said {
    let age = of.pulse.age();
    if age <= STILL { Ok(()) } else { Err(format!("the proxy's loops have stood still for {} s", age.as_secs())) }
}

fn none_fails(failing: &BTreeMap<String, String>) -> Said {
    let all: Vec<String> = failing.iter().map(|(name, cause)| format!("{name}: {cause}")).collect();
    if all.is_empty() { Ok(()) } else { Err(all.join("; ")) }
}
