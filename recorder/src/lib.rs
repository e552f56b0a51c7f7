//! The only writer of what happened: recordings, journal, the hash-chained log, readers.
