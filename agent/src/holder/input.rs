//! Input that was received and is not yet taken by the program: one sequence, each number once, at most a window. No I/O.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};
use wire::frames::{HEAD, INPUT_WINDOW};

/// What waits for the program.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    Data(Bytes),
    End,
    /// Done on receipt (a resize, a signal), acknowledged in its turn.
    Done,
}

/// A number that skips one, or more unacknowledged bytes than the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Violation;

/// See the head of this file.
#[derive(Default)]
pub(super) struct Input {
    waiting: VecDeque<(usize, Item)>,
    weight: usize,
    received: u64,
    acked: u64,
}

impl Input {
    pub(super) fn acked(&self) -> u64 {
        self.acked
    }

    /// Takes number `seq`; `false` when it was received before, as after a new attachment: then nothing is to be done.
    pub(super) fn receive(&mut self, seq: u64, item: Item) -> Result<bool, Violation> {
        if seq == 0 || seq > self.received + 1 {
            return Err(Violation);
        }
        if seq <= self.received {
            return Ok(false);
        }
        let weight = HEAD + if let Item::Data(data) = &item { data.len() } else { 0 };
        if self.weight + weight > INPUT_WINDOW {
            return Err(Violation);
        }
        self.received = seq;
        self.weight += weight;
        self.waiting.push_back((weight, item));
        Ok(true)
    }

    /// What comes next.
    pub(super) fn front(&self) -> Option<&Item> {
        self.waiting.front().map(|(_, item)| item)
    }

    /// The program took these many bytes of the data in front.
    pub(super) fn wrote(&mut self, len: usize) {
        if let Some((_, Item::Data(data))) = self.waiting.front_mut() {
            data.advance(len.min(data.len()));
            if data.is_empty() {
                self.done();
            }
        }
    }

    /// What was in front is done.
    pub(super) fn done(&mut self) {
        if let Some((weight, _)) = self.waiting.pop_front() {
            self.weight -= weight;
            self.acked += 1;
        }
        if self.waiting.is_empty() {
            self.waiting.shrink_to(8);
        }
    }

    /// Nobody reads any more: all that waits counts as taken.
    pub(super) fn discard(&mut self) {
        while !self.waiting.is_empty() {
            self.done();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_taken_once_and_in_order() {
        let mut input = Input::default();
        let data = |text: &'static str| Item::Data(Bytes::from_static(text.as_bytes()));
        assert_eq!(input.receive(2, data("x")), Err(Violation));
        assert_eq!(input.receive(0, data("x")), Err(Violation));
        assert_eq!(input.receive(1, data("abc")), Ok(true));
        assert_eq!(input.receive(2, Item::Done), Ok(true));
        input.wrote(2);
        assert_eq!(input.acked(), 0);
        assert_eq!(input.receive(1, data("abc")), Ok(false));
        assert_eq!(input.front(), Some(&data("c")));
        input.wrote(1);
        assert_eq!(input.acked(), 1);
        input.discard();
        assert_eq!((input.acked(), input.weight), (2, 0));
    }

    #[test]
    fn more_than_the_window_is_refused() {
        let mut input = Input::default();
        let data = Bytes::from(vec![0; 65_536 - HEAD]);
        for seq in 1..=16 {
            assert_eq!(input.receive(seq, Item::Data(data.clone())), Ok(true));
        }
        assert_eq!(input.receive(17, Item::Done), Err(Violation));
    }
}
