//! What was recorded is what is read, however it was cut; and any player takes it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use serde_json::{Value, json};
use wire::asciicast::{About, CastFault, Item, MAX_LINE, Reader, Writer, bytes};
use wire::frames::{Exit, Size, Stream};

fn header(writer: &Writer) -> Vec<u8> {
    let mut out = Vec::new();
    let size = Size { cols: 80, rows: 24, width: 0, height: 0 };
    let about = About {
        terminal: Some(size),
        term: Some("xterm"),
        timestamp: 1_800_000_000,
        command: None,
        title: "root@demo",
        facts: &json!({"session": "s"}),
    };
    writer.header(&about, &mut out);
    out
}

fn items(cast: &[u8]) -> Vec<Item> {
    let mut reader = Reader::new();
    let mut out = Vec::new();
    for piece in cast.chunks(7) {
        reader.push(piece);
        while let Some(item) = reader.next_item() {
            out.push(item.expect("a cast of ours"));
        }
    }
    out
}

/// Bytes as terminals and programs make them: text, characters of every length, control floods, noise.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[ -~\r\n]{0,80}".prop_map(String::into_bytes),
        "\\PC{0,40}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..60),
        (0usize..200).prop_map(|n| vec![0; n]),
        Just(b"\x1b[2J\x07\"\\".to_vec()),
        Just(vec![0xf0, 0x9f, 0x98]),
        Just(vec![0xed, 0xa0, 0x80, 0xc0, 0xaf, 0xff]),
    ]
}

proptest! {
    #[test]
    fn the_bytes_come_back_exactly(
        parts in prop::collection::vec(hostile(), 0..12), cuts in prop::collection::vec(1usize..50, 1..40), terminal: bool
    ) {
        let all: Vec<u8> = parts.concat();
        let mut writer = Writer::new(terminal);
        let mut out = header(&writer);
        let (mut at, mut time, mut cuts) = (0, 0, cuts.iter().cycle());
        let mut err = Vec::new();
        while at < all.len() {
            let end = all.len().min(at + cuts.next().unwrap());
            time += end as u64;
            writer.output(time, Stream::Stdout, at as u64, &all[at..end], &mut out);
            if end % 3 == 0 {
                // The other stream comes in between and has a carry of its own; a stored writer goes on as if nothing was.
                writer.output(time, Stream::Stderr, err.len() as u64, &all[at..end], &mut out);
                err.extend_from_slice(&all[at..end]);
                writer = serde_json::from_str(&serde_json::to_string(&writer).unwrap()).unwrap();
            }
            if end % 5 == 0 {
                writer.resize(time, Size { cols: 9, rows: 9, width: 0, height: 0 }, &mut out);
            }
            at = end;
        }
        writer.end(time, "exit", Some(&Exit::Code(3)), &mut out);
        prop_assert_eq!(bytes(&out, if terminal { 'o' } else { 'O' }).unwrap(), all);
        prop_assert_eq!(bytes(&out, 'E').unwrap(), err);
        for (n, line) in std::str::from_utf8(&out).unwrap().lines().enumerate() {
            prop_assert!(n == 0 || line.starts_with("# naru {") || serde_json::from_str::<(f64, String, String)>(line).is_ok(), "{}", line);
        }
    }

    #[test]
    fn a_big_chunk_takes_little_more_than_itself(data in prop::collection::vec(hostile(), 20..60)) {
        let data = data.concat();
        let mut out = Vec::new();
        Writer::new(true).output(0, Stream::Stdout, 0, &data, &mut out);
        prop_assert!(out.len() <= data.len() * 3 / 2 + 200, "{} of {}", out.len(), data.len());
    }

    #[test]
    fn hostile_text_never_panics_the_reader(text: Vec<u8>, lines in prop::collection::vec("\\PC{0,60}", 0..8)) {
        for text in [text, lines.join("\n").into_bytes(), [b"{\"version\":2,\"width\":1,\"height\":1}\n".to_vec(), lines.join("\n[").into_bytes()].concat()] {
            let mut reader = Reader::new();
            reader.push(&text);
            reader.finish();
            while reader.next_item().is_some() {}
        }
    }
}

#[test]
fn times_do_not_drift_and_splits_make_one_character() {
    let mut writer = Writer::new(true);
    let mut out = header(&writer);
    for n in 1..=3000 {
        writer.output(n * 333, Stream::Stdout, n - 1, b"x", &mut out);
    }
    writer.output(1_000_000, Stream::Stdout, 3000, b"\xed\x95", &mut out);
    writer.output(2_500_001, Stream::Stdout, 3002, b"\x9c", &mut out);
    writer.end(2_500_001, "signal", Some(&Exit::Signal { name: "TERM".into(), core: false }), &mut out);
    let items = items(&out);
    assert!(matches!(&items[0], Item::Header(header) if header.cols == 80 && header.title.as_deref() == Some("root@demo")));
    assert!(matches!(&items[1], Item::Fact(Value::Object(map)) if map["session"] == "s"));
    assert_eq!(items[3001], Item::Event { at: 999_000, code: 'o', text: "x".into() });
    assert_eq!(items[3002], Item::Event { at: 2_500_001, code: 'o', text: "한".into() });
    assert_eq!(items.last(), Some(&Item::Event { at: 2_500_001, code: 'x', text: "143".into() }));
}

#[test]
fn output_across_a_gap_is_not_joined() {
    let mut writer = Writer::new(true);
    let mut out = header(&writer);
    writer.output(0, Stream::Stdout, 0, b"\xed\x95", &mut out);
    writer.output(1, Stream::Stdout, 10, b"\x9c!", &mut out);
    writer.end(1, "exit", None, &mut out);
    assert_eq!(bytes(&out, 'o').unwrap(), b"\xed\x95\x9c!");
    assert!(!String::from_utf8(out).unwrap().contains('한'));
}

#[test]
fn version_2_is_read_and_other_things_are_not() {
    let cast = b"{\"version\": 2, \"width\": 80, \"height\": 24}\n[0.5, \"o\", \"a\"]\nnoise\n[1.25, \"o\", \"b\"]";
    let mut reader = Reader::new();
    reader.push(cast);
    reader.finish();
    let times: Vec<_> = std::iter::from_fn(|| reader.next_item())
        .filter_map(|item| match item.unwrap() {
            Item::Event { at, .. } => Some(at),
            _ => None,
        })
        .collect();
    assert_eq!(times, [500_000, 1_250_000]);
    assert_eq!(bytes(b"{\"version\":1}\n", 'o'), Err(CastFault::Header));
    let long = [b"{\"version\":3,\"term\":{\"cols\":1,\"rows\":1}}\n".to_vec(), vec![b'#'; MAX_LINE + 1]].concat();
    assert_eq!(bytes(&long, 'o'), Err(CastFault::LongLine(2)));
}
