//! The only writer of what happened: recordings, journal, the hash-chained log, readers.
#![forbid(unsafe_code)]

// Recordings.
mod files;
mod frames;
mod journal;
mod open;
mod pace;
mod read;
mod recover;
mod segment;
mod timing;

pub use journal::Journal;
pub use open::{Circumstances, ClosedRecording, Closing, OpenRecording, RecordError, Recorded, RecorderSettings, Recordings, StartError};
pub use read::{CastText, Follow, ReadError, Stored, Verified};
pub use recover::{Lost, Recovered};
pub use timing::{Timed, Timing};
pub use wire::journal::{About, Ending, Mode, Recording};
// Log.
pub mod commit;
pub mod log;

pub use log::{Durable, Log, LogError, Logged};
