//! asciicast v3 both ways: what a recording is made of. Pure text in and out; compression and files are elsewhere.
//!
//! Events of our own that every player skips: without a terminal `O` is stdout, `E` stderr and `I` stdin. Bytes that are not UTF-8,
//! and bytes that JSON would blow up, are comment lines `# naru {"o":"<base64>","at":OFFSET,"t":MICROSECONDS}`, so that the exact
//! bytes can be had again. Times are whole microseconds: an interval is the difference of two absolute times, so nothing drifts.

mod read;
mod write;

pub use read::{CastFault, Header, Item, MAX_LINE, Reader, bytes};
pub use write::{About, Writer};

/// The start of a comment line that holds a fact of ours.
pub const FACT: &str = "# naru ";
