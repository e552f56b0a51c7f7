//! A file line by line, however long a line is.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

use wire::proof::log::MAX_LINE;

/// Lines of a file, never more than one of bounded length in memory.
pub(super) struct Lines {
    file: Option<BufReader<File>>,
    pub(super) line: Vec<u8>,
    /// Bytes of the line beyond what is in `line`.
    pub(super) skipped: u64,
}

impl Lines {
    /// A file that is not there has no lines.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = match File::open(path) {
            Ok(file) => Some(BufReader::with_capacity(256 * 1024, file)),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self { file, line: Vec::new(), skipped: 0 })
    }

    /// The next line is in `line`, without its line feed: true when it had one. None at the end, and after a line without one: of a file
    /// that is being written the rest may come later, and is no line.
    pub(super) fn next(&mut self) -> io::Result<Option<bool>> {
        let Some(file) = &mut self.file else { return Ok(None) };
        self.line.clear();
        self.skipped = 0;
        if file.by_ref().take(MAX_LINE as u64 + 1).read_until(b'\n', &mut self.line)? == 0 {
            return Ok(None);
        }
        if self.line.pop_if(|last| *last == b'\n').is_some() {
            return Ok(Some(true));
        }
        if self.line.len() <= MAX_LINE {
            self.file = None;
            return Ok(Some(false));
        }
        loop {
            let some = file.fill_buf()?;
            let (taken, found) = match some.iter().position(|byte| *byte == b'\n') {
                Some(at) => (at + 1, true),
                None => (some.len(), some.is_empty()),
            };
            file.consume(taken);
            self.skipped += taken as u64;
            if found {
                self.skipped = self.skipped.saturating_sub(1);
                return Ok(Some(true));
            }
        }
    }
}
