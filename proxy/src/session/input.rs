//! What goes to the holder: one numbered sequence of input, its end, resizes and signals, kept until acknowledged so that a resume
//! types nothing twice. Pure.

use std::collections::VecDeque;

use bytes::Bytes;
use wire::frames::{Frame, HEAD, INPUT_WINDOW, MAX_PAYLOAD, Size};

use super::budget::Share;

/// Bytes that wait for the target before the near side is held back.
pub(crate) const MAX_WAITING: usize = 8 * 1024 * 1024;

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
    /// `seq` of the first of `items`, minus one.
    acked: u64,
    in_flight: usize,
    waiting: usize,
    share: Share,
}

impl Input {
    /// Nothing yet; what is held counts in this share.
    pub(crate) fn new(share: Share) -> Self {
        Self { share, ..Self::default() }
    }

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
        // Of resizes that nobody has seen only the last counts.
        if matches!(item, Item::Resize(_))
            && self.items.len() > self.sent
            && matches!(self.items.back(), Some(Item::Resize(_)))
            && let Some(last) = self.items.back_mut()
        {
            *last = item;
            return;
        }
        self.waiting += item.cost();
        self.share.take(item.cost());
        self.items.push_back(item);
    }

    /// Whether the near side may go on.
    pub(crate) fn has_room(&self) -> bool {
        let most = if self.share.is_tight() { MAX_PAYLOAD } else { MAX_WAITING };
        self.waiting < most
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
        self.in_flight += cost;
        self.waiting -= cost;
        Some(frame)
    }

    /// The holder took everything up to `seq`.
    pub(crate) fn acked(&mut self, seq: u64) -> Result<(), OutOfRange> {
        let taken = seq.checked_sub(self.acked).and_then(|n| usize::try_from(n).ok()).filter(|n| *n <= self.sent).ok_or(OutOfRange)?;
        for item in self.items.drain(..taken) {
            self.in_flight -= item.cost();
            self.share.give(item.cost());
        }
        self.sent -= taken;
        self.acked = seq;
        Ok(())
    }

    /// A new attachment: the holder has everything up to `seq`, the rest is sent again.
    pub(crate) fn rewind(&mut self, seq: u64) -> Result<(), OutOfRange> {
        self.acked(seq)?;
        self.waiting += self.in_flight;
        self.in_flight = 0;
        self.sent = 0;
        Ok(())
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
        for text in ["a", "b", "c"] {
            input.push(Item::Data(Bytes::from(text)));
        }
        assert_eq!((data(input.next()), data(input.next())), ((1, b"a".to_vec()), (2, b"b".to_vec())));
        assert_eq!(input.acked(3), Err(OutOfRange), "never sent");
        assert_eq!(input.acked(1), Ok(()));
        assert_eq!(input.rewind(1), Ok(()));
        assert_eq!(data(input.next()), (2, b"b".to_vec()));
        assert_eq!(data(input.next()), (3, b"c".to_vec()));
        assert_eq!(input.rewind(0), Err(OutOfRange), "older than what was acknowledged");
    }

    #[test]
    fn the_window_and_the_queue_are_bounded() {
        let mut input = Input::default();
        let mut pushed = 0;
        while input.has_room() {
            input.push(Item::Data(Bytes::from(vec![0; 100_000])));
            pushed += 100_000;
        }
        assert!(pushed <= MAX_WAITING + 100_000);
        let mut sent = 0;
        while let Some(Frame::Input { data, .. }) = input.next() {
            sent += data.len() + HEAD;
        }
        assert!(sent <= INPUT_WINDOW && sent > INPUT_WINDOW - 2 * MAX_PAYLOAD);
        assert!(input.has_room());
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
