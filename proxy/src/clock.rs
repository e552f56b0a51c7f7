//! The only place of this crate that looks at the clock.

use std::time::{SystemTime, UNIX_EPOCH};

use access::time::Timestamp;

/// Now, by the system's clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
