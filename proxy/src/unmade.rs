//! What the log says already and did not happen after all: a change is logged before it is stored, and the store may refuse it.

use access::event::{Event, Outcome, OutcomeResult};
use store::kv::KvError;

use crate::clock;

/// The event that takes this one back. Where the store's own files failed, whether it happened shows at the next start.
pub(crate) fn unmade(event: Event, error: &KvError) -> Event {
    let mut outcome = Outcome::failed("NARU-C007", format!("the change did not happen: {error}"));
    if matches!(error, KvError::Io(_)) {
        outcome.result = OutcomeResult::Unknown;
        outcome.message = Some(format!("whether the change happened shows at the next start: {error}"));
    }
    Event { time: clock::now(), outcome, ..event }
}
