//! What goes to the holder: one numbered sequence of input, its end, resizes and signals, kept until acknowledged so that a resume
//! types nothing twice. Pure.

use std::collections::VecDeque;

use bytes::Bytes;
use wire::frames::{Frame, HEAD, INPUT_WINDOW, MAX_PAYLOAD, Size};

/// Small pieces of data are put together up to this size, so that each byte of a window costs about a byte of memory.
const SMALL: usize = 4 * 1024;

/// Signals and sizes that may wait for a target that takes nothing.
const CONTROLS: usize = 64;

/// One thing from the near side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    Data(Bytes),
    Eof,
    Resize(Size),
    Signal(String),
}

impl Item {
    fn cost(&self) -> usize {
        HEAD + if let Self::Data(data) = self { data.len() } else { 0 }
    }

    fn frame(&self, seq: u64) -> Frame {
        match self {
            Self::Data(data) => Frame::Input { seq, data: data.clone() },
            Self::Eof => Frame::InputEof { seq },
            Self::Resize(size) => Frame::Resize { seq, size: *size },
            Self::Signal(name) => Frame::Signal { seq, name: name.clone() },
        }
    }
}

/// The holder acknowledged what was never sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OutOfRange;

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Input {
    /// Not yet acknowledged, oldest first; the first `sent` of them are on their way.
    items: VecDeque<Item>,
    sent: usize,
    /// As many of the first were sent at some time, perhaps on an attachment that is gone: the holder may have them under their numbers,
    /// so they are never changed.
    ever: usize,
    ended: bool,
    /// `seq` of the first of `items`, minus one.
    acked: u64,
    in_flight: usize,
}

impl Input {
    /// Takes something from the near side. Data over one frame is cut.
    pub(crate) fn push(&mut self, item: Item) {
        if let Item::Data(mut data) = item {
            while !data.is_empty() {
                let part = data.split_to(data.len().min(MAX_PAYLOAD));
                self.put(Item::Data(part));
            }
        } else {
            self.put(item);
        }
    }

    fn put(&mut self, item: Item) {
        let crowded = self.items.len() - self.ever >= CONTROLS;
        let mut unseen = self.items.range_mut(self.ever..).rev();
        match &item {
            // Of resizes that nobody has seen only the last counts.
            Item::Resize(_) => {
                let near = if crowded { unseen.find(|item| matches!(item, Item::Resize(_))) } else { unseen.next() };
                if let Some(last @ Item::Resize(_)) = near {
                    *last = item;
                    return;
                }
            }
            Item::Data(data) => {
                if let Some(Item::Data(last)) = unseen.next()
                    && last.len() + data.len() <= SMALL
                {
                    *last = [&last[..], &data[..]].concat().into();
                    return;
                }
            }
            // One that waits stands for all, as it does in a process.
            Item::Signal(_) if crowded && unseen.any(|waiting| *waiting == item) => return,
            Item::Signal(_) => {}
            Item::Eof if std::mem::replace(&mut self.ended, true) => return,
            Item::Eof => {}
        }
        self.items.push_back(item);
    }

    /// Whether [`Self::next`] has something.
    pub(crate) fn is_sendable(&self) -> bool {
        self.items.get(self.sent).is_some_and(|item| self.in_flight == 0 || self.in_flight + item.cost() <= INPUT_WINDOW)
    }

    /// The next frame to send, within the window.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        if !self.is_sendable() {
            return None;
        }
        let item = self.items.get(self.sent)?;
        let (cost, frame) = (item.cost(), item.frame(self.acked + self.sent as u64 + 1));
        self.sent += 1;
        self.ever = self.ever.max(self.sent);
        self.in_flight += cost;
        Some(frame)
    }

    /// The holder took everything up to `seq`; answers how many bytes of data that were.
    pub(crate) fn acked(&mut self, seq: u64) -> Result<usize, OutOfRange> {
        let taken = seq.checked_sub(self.acked).and_then(|n| usize::try_from(n).ok()).filter(|n| *n <= self.sent).ok_or(OutOfRange)?;
        let mut bytes = 0;
        for item in self.items.drain(..taken) {
            self.in_flight -= item.cost();
            bytes += item.cost() - HEAD;
        }
        self.sent -= taken;
        self.ever -= taken;
        self.acked = seq;
        Ok(bytes)
    }

    /// A new attachment: the holder has everything up to `seq`, the rest is sent again.
    pub(crate) fn rewind(&mut self, seq: u64) -> Result<usize, OutOfRange> {
        let bytes = self.acked(seq)?;
        self.in_flight = 0;
        self.sent = 0;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(frame: Option<Frame>) -> (u64, Vec<u8>) {
        match frame {
            Some(Frame::Input { seq, data }) => (seq, data.to_vec()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_was_not_acknowledged_is_sent_again_and_nothing_twice() {
        let mut input = Input::default();
        let big = |byte: u8| Item::Data(Bytes::from(vec![byte; SMALL]));
        for byte in *b"abc" {
            input.push(big(byte));
        }
        let all = |byte: u8| vec![byte; SMALL];
        assert_eq!((data(input.next()), data(input.next())), ((1, all(b'a')), (2, all(b'b'))));
        assert_eq!(input.acked(3), Err(OutOfRange), "never sent");
        assert_eq!(input.acked(1), Ok(SMALL));
        assert_eq!(input.rewind(1), Ok(0));
        assert_eq!(data(input.next()), (2, all(b'b')));
        assert_eq!(data(input.next()), (3, all(b'c')));
        assert_eq!(input.rewind(0), Err(OutOfRange), "older than what was acknowledged");
    }

    #[test]
    fn no_more_than_the_window_is_on_its_way() {
        let mut input = Input::default();
        for _ in 0..100 {
            input.push(Item::Data(Bytes::from(vec![0; 100_000])));
        }
        let mut sent = 0;
        while let Some(Frame::Input { data, .. }) = input.next() {
            sent += data.len() + HEAD;
        }
        assert!(sent <= INPUT_WINDOW && sent > INPUT_WINDOW - 2 * MAX_PAYLOAD);
    }

    #[test]
    fn small_pieces_are_put_together_while_they_wait() {
        let mut input = Input::default();
        for byte in b"typed ahead" {
            input.push(Item::Data(Bytes::copy_from_slice(&[*byte])));
        }
        assert_eq!(data(input.next()), (1, b"typed ahead".to_vec()));
        input.push(Item::Data(Bytes::from_static(b"!")));
        assert_eq!(data(input.next()), (2, b"!".to_vec()), "what was sent is not changed");
        assert_eq!(input.acked(2), Ok(12));
    }

    #[test]
    fn what_was_sent_once_is_not_changed_after_a_resume() {
        let mut input = Input::default();
        let text = |text: &'static str| Item::Data(Bytes::from_static(text.as_bytes()));
        input.push(text("first "));
        assert_eq!(data(input.next()), (1, b"first ".to_vec()));
        assert_eq!(input.rewind(0), Ok(0));
        input.push(text("second "));
        input.push(text("third"));
        assert_eq!(data(input.next()), (1, b"first ".to_vec()), "under its number there may be no more than before");
        assert_eq!(data(input.next()), (2, b"second third".to_vec()));
    }

    #[test]
    fn a_client_that_signals_without_end_takes_no_memory() {
        let mut input = Input::default();
        let size = |cols| Item::Resize(Size { cols, rows: 1, width: 0, height: 0 });
        for at in 0..10_000 {
            input.push(Item::Signal(["INT", "TERM", "HUP"][at % 3].to_owned()));
            input.push(size(at as u16));
            input.push(Item::Eof);
        }
        assert!(input.items.len() <= CONTROLS + 4, "{}", input.items.len());
        assert!(input.items.contains(&size(9_999)), "the last size is not lost");
        assert_eq!(input.items.iter().filter(|item| **item == Item::Eof).count(), 1);
    }

    #[test]
    fn resizes_that_nobody_saw_are_folded() {
        let mut input = Input::default();
        for cols in 1..1000 {
            input.push(Item::Resize(Size { cols, rows: 1, width: 0, height: 0 }));
        }
        assert!(matches!(input.next(), Some(Frame::Resize { seq: 1, size }) if size.cols == 999));
        assert_eq!(input.next(), None);
    }
}
