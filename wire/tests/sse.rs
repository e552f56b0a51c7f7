//! Server-sent events are read as WHATWG HTML 9.2 says, however they are cut into pieces, and hostile ones are refused.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by them")]

use proptest::prelude::*;
use wire::sse::{MOST, Message, Reader, SseFault};

fn read(bytes: &[u8], piece: usize) -> Result<Vec<Message>, SseFault> {
    let mut reader = Reader::default();
    let mut all = Vec::new();
    for piece in bytes.chunks(piece.max(1)) {
        all.extend(reader.feed(piece)?);
    }
    Ok(all)
}

fn said(bytes: &str) -> Vec<(String, String, String)> {
    let all = read(bytes.as_bytes(), 1).expect("read");
    all.into_iter().map(|message| (message.event, message.data, message.id)).collect()
}

fn one(event: &str, data: &str, id: &str) -> (String, String, String) {
    (event.to_owned(), data.to_owned(), id.to_owned())
}

#[test]
fn the_examples_of_the_standard() {
    assert_eq!(said("data: YHOO\ndata: +2\ndata: 10\n\n"), [one("message", "YHOO\n+2\n10", "")]);
    let four = ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n";
    assert_eq!(said(four), [one("message", "first event", "1"), one("message", "second event", ""), one("message", " third event", "")]);
    assert_eq!(said("data\n\ndata\ndata\n\ndata:"), [one("message", "", ""), one("message", "\n", "")]);
    assert_eq!(said("data:test\n\ndata: test\n\n").len(), 2);
}

#[test]
fn lines_end_in_three_ways_and_a_mark_of_byte_order_counts_once() {
    assert_eq!(
        said("\u{feff}event: a\r\ndata: 1\r\n\r\ndata: 2\r\rdata: 3\n\n"),
        [one("a", "1", ""), one("message", "2", ""), one("message", "3", "")]
    );
    assert_eq!(said("\n\u{feff}data: 1\n\n"), [], "a field of another name");
}

#[test]
fn an_id_holds_until_there_is_another_and_none_with_nul_counts() {
    assert_eq!(said("id: 7\n\ndata: a\n\nid: 8\0\ndata: b\n\nid: 9\ndata: c"), [one("message", "a", "7"), one("message", "b", "7")]);
}

#[test]
fn hostile_streams_are_refused_with_bounded_memory() {
    assert_eq!(read(b"data: \xff\n\n", 64), Err(SseFault::NotText));
    let line = [b"data: ".as_slice(), &vec![b'x'; MOST]].concat();
    assert_eq!(read(&line, 1 << 16), Err(SseFault::TooLong));
    let lines = b"data: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n".repeat(MOST / 40);
    assert_eq!(read(&lines, 1 << 16), Err(SseFault::TooLong), "many lines of one message");
    let comments = b":xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n".repeat(MOST / 40);
    assert_eq!(read(&comments, 1 << 16), Ok(Vec::new()), "what keeps a connection alive may go on");
}

proptest! {
    #[test]
    fn what_was_written_is_read_however_it_is_cut(
        messages in prop::collection::vec(("[a-z]{1,8}", "[ -~한]{0,40}", prop::option::of("[0-9]{1,6}")), 0..8),
        end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
        piece in 1_usize..40,
    ) {
        let mut text = String::new();
        let mut expected = Vec::new();
        let mut last = String::new();
        for (event, data, id) in messages {
            text += &format!("event: {event}{end}data: {data}{end}");
            if let Some(id) = id {
                text += &format!("id: {id}{end}");
                last = id;
            }
            text += end;
            expected.push(Message { event, data, id: last.clone() });
        }
        prop_assert_eq!(read(text.as_bytes(), piece), Ok(expected));
    }

    #[test]
    fn any_bytes_end_in_messages_or_a_fault(bytes in prop::collection::vec(any::<u8>(), 0..400), piece in 1_usize..40) {
        let whole = read(&bytes, 400);
        // Cut anywhere it is the same, a fault included.
        prop_assert_eq!(read(&bytes, piece), whole);
    }
}
