//! The only writer of what happened: recordings, journal, the hash-chained log, readers.
#![forbid(unsafe_code)]

pub mod commit;
pub mod log;
