//! Output that was produced and is not yet recorded: one offset over stdout and stderr, a bound, and nothing while idle. No I/O but
//! the read that a caller hands in.

use std::collections::VecDeque;

use wire::frames::{MAX_PAYLOAD, Stream};

/// Bytes that a quiet stream may have unrecorded.
const CALM: u64 = 256 * 1024;
/// Bytes that a stream may have unrecorded whose recorder keeps up.
const BUSY: u64 = 4 * 1024 * 1024;
/// First block after a silence: most terminal output is short.
const SMALL: usize = 4 * 1024;
/// A block with less room than this is not read into: a short read costs as much as a long one.
const WORTH: usize = 1024;
/// Blocks kept for use again while busy.
const SPARE: usize = 4;

struct Block {
    start: u64,
    stream: Stream,
    bytes: Vec<u8>,
}

impl Block {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

/// See the head of this file. `recorded <= sent <= produced` at all times.
pub(super) struct Output {
    blocks: VecDeque<Block>,
    spare: Vec<Vec<u8>>,
    recorded: u64,
    sent: u64,
    produced: u64,
    limit: u64,
    ends: [Option<u64>; 2],
}

/// An offset outside of what may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OutOfRange;

fn index(stream: Stream) -> usize {
    usize::from(stream == Stream::Stderr)
}

impl Output {
    pub(super) fn new() -> Self {
        Self { blocks: VecDeque::new(), spare: Vec::new(), recorded: 0, sent: 0, produced: 0, limit: CALM, ends: [None; 2] }
    }

    pub(super) fn produced(&self) -> u64 {
        self.produced
    }

    /// Whether more may be read. The bound is soft by one block.
    pub(super) fn has_room(&self) -> bool {
        self.produced - self.recorded < self.limit
    }

    /// Calls `read` with a vector to append to, and takes what it appended.
    pub(super) fn fill<E>(&mut self, stream: Stream, read: impl FnOnce(&mut Vec<u8>) -> Result<usize, E>) -> Result<usize, E> {
        let fits = |b: &Block| b.stream == stream && b.bytes.capacity() - b.bytes.len() >= WORTH;
        if !self.blocks.back().is_some_and(fits) {
            let size = if self.blocks.is_empty() { SMALL } else { MAX_PAYLOAD };
            let bytes = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(size));
            self.blocks.push_back(Block { start: self.produced, stream, bytes });
        }
        let result = match self.blocks.back_mut() {
            Some(block) => read(&mut block.bytes),
            None => Ok(0),
        };
        if let Ok(got) = result {
            self.produced += got as u64;
        }
        if self.blocks.back().is_some_and(|b| b.bytes.is_empty())
            && let Some(block) = self.blocks.pop_back()
        {
            self.keep(block.bytes);
        }
        result
    }

    /// No more output on this stream.
    pub(super) fn end(&mut self, stream: Stream) {
        if let Some(end) = self.ends.get_mut(index(stream)) {
            end.get_or_insert(self.produced);
        }
    }

    /// Where the stream ended, once everything before that was taken.
    pub(super) fn ended(&self, stream: Stream) -> Option<u64> {
        self.ends.get(index(stream)).copied().flatten().filter(|end| *end <= self.sent)
    }

    /// Whether all that was produced is recorded.
    pub(super) fn all_recorded(&self) -> bool {
        self.recorded == self.produced
    }

    /// Offset, stream and length of the next frame.
    pub(super) fn next(&self) -> Option<(u64, Stream, usize)> {
        let block = self.block_at(self.sent)?;
        let left = usize::try_from(block.end() - self.sent).unwrap_or(MAX_PAYLOAD);
        Some((self.sent, block.stream, left.min(MAX_PAYLOAD)))
    }

    /// The bytes from `offset` to the end of their block.
    pub(super) fn bytes_at(&self, offset: u64) -> &[u8] {
        let from = |b: &Block| usize::try_from(offset - b.start).unwrap_or(usize::MAX);
        self.block_at(offset).and_then(|b| b.bytes.get(from(b)..)).unwrap_or_default()
    }

    fn block_at(&self, offset: u64) -> Option<&Block> {
        let at = self.blocks.partition_point(|b| b.end() <= offset);
        self.blocks.get(at).filter(|b| b.start <= offset)
    }

    /// These many bytes were put into a frame.
    pub(super) fn take(&mut self, len: usize) {
        self.sent = (self.sent + len as u64).min(self.produced);
    }

    /// Output before `offset` is recorded: frees it, and lets a full buffer grow, since its recorder keeps up.
    pub(super) fn recorded(&mut self, offset: u64) -> Result<(), OutOfRange> {
        if offset > self.sent {
            return Err(OutOfRange);
        }
        if offset <= self.recorded {
            return Ok(());
        }
        if !self.has_room() {
            self.limit = (self.limit * 2).min(BUSY);
        }
        self.recorded = offset;
        while self.blocks.front().is_some_and(|b| b.end() <= offset) {
            if let Some(block) = self.blocks.pop_front() {
                self.keep(block.bytes);
            }
        }
        Ok(())
    }

    fn keep(&mut self, mut bytes: Vec<u8>) {
        if bytes.capacity() >= MAX_PAYLOAD && self.spare.len() < SPARE {
            bytes.clear();
            self.spare.push(bytes);
        }
    }

    /// A new attachment has everything before `offset`; what follows is sent again.
    pub(super) fn rewind(&mut self, offset: u64) -> Result<(), OutOfRange> {
        if offset < self.recorded || offset > self.produced {
            return Err(OutOfRange);
        }
        self.sent = offset;
        self.recorded(offset)
    }

    /// Whether [`Self::rest`] would free anything.
    pub(super) fn is_restless(&self) -> bool {
        self.all_recorded() && (self.limit > CALM || !self.spare.is_empty())
    }

    /// Back to the size of a quiet stream.
    pub(super) fn rest(&mut self) {
        self.limit = CALM;
        self.spare = Vec::new();
        self.blocks.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(out: &mut Output, stream: Stream, bytes: &[u8]) {
        let got = out.fill(stream, |to| {
            to.extend_from_slice(bytes);
            Ok::<_, ()>(bytes.len())
        });
        assert_eq!(got, Ok(bytes.len()));
    }

    fn drain(out: &mut Output) -> Vec<(u64, Stream, Vec<u8>)> {
        let mut all = Vec::new();
        while let Some((offset, stream, len)) = out.next() {
            all.push((offset, stream, out.bytes_at(offset)[..len].to_vec()));
            out.take(len);
        }
        all
    }

    #[test]
    fn streams_keep_their_order_and_come_again_after_a_rewind() {
        let mut out = Output::new();
        put(&mut out, Stream::Stdout, b"one");
        put(&mut out, Stream::Stderr, b"two");
        out.end(Stream::Stderr);
        put(&mut out, Stream::Stdout, b"three");
        assert_eq!(out.ended(Stream::Stderr), None);
        let first = drain(&mut out);
        assert_eq!(
            first,
            [(0, Stream::Stdout, b"one".to_vec()), (3, Stream::Stderr, b"two".to_vec()), (6, Stream::Stdout, b"three".to_vec())]
        );
        assert_eq!(out.ended(Stream::Stderr), Some(6));
        assert_eq!(out.recorded(12), Err(OutOfRange));
        assert_eq!(out.recorded(4), Ok(()));
        assert_eq!(out.rewind(3), Err(OutOfRange));
        assert_eq!(out.rewind(12), Err(OutOfRange));
        assert_eq!(out.rewind(5), Ok(()));
        assert_eq!(drain(&mut out), [(5, Stream::Stderr, b"o".to_vec()), (6, Stream::Stdout, b"three".to_vec())]);
    }

    #[test]
    fn a_full_buffer_stops_and_grows_only_while_it_is_recorded() {
        let mut out = Output::new();
        let block = vec![7; MAX_PAYLOAD];
        let fill = |out: &mut Output| {
            while out.has_room() {
                put(out, Stream::Stdout, &block);
            }
        };
        fill(&mut out);
        assert_eq!(out.produced(), CALM);
        drain(&mut out);
        assert!(!out.has_room());
        for _ in 0..10 {
            assert_eq!(out.recorded(out.sent), Ok(()));
            fill(&mut out);
            drain(&mut out);
        }
        assert_eq!(out.produced - out.recorded, BUSY);
        assert_eq!(out.recorded(out.sent), Ok(()));
        assert!(out.is_restless());
        out.rest();
        assert_eq!((out.limit, out.blocks.capacity(), out.spare.capacity()), (CALM, 0, 0));
    }
}
