//! What is fuzzed: plain functions from bytes to nothing that panic when a promise is broken.
//!
//! To add one: write its function, put it in [`TARGETS`], and put a few files into `tests/fuzz/corpus/NAME/`. The ordinary tests
//! then feed it every file of that folder once, and `cargo xtask fuzz NAME` looks for more. This file is compiled into the fuzzer
//! as well, so it may use only `access`, `wire` and `bytes`.

use bytes::BytesMut;
use wire::frames::{Frame, HEAD, MAX_PAYLOAD};

/// Takes hostile bytes and panics when a promise is broken.
pub type Target = fn(&[u8]);

/// Every target by name.
pub const TARGETS: &[(&str, Target)] = &[("frames", frames)];

/// Session frames: no panic, no output larger than its input allows, and what was read is written as it stood.
fn frames(data: &[u8]) {
    let mut buf = BytesMut::from(data);
    while let Ok(Some(frame)) = Frame::decode(&mut buf) {
        if let Frame::Input { data, .. } | Frame::Output { data, .. } = &frame {
            assert!(data.len() <= MAX_PAYLOAD, "a payload over the limit");
        }
        let mut again = BytesMut::new();
        frame.encode(&mut again);
        assert!(again.len() >= HEAD, "a frame without a head");
        let read = Frame::decode(&mut again).expect("what we write can be read");
        assert_eq!(read, Some(frame), "what we write reads back the same");
    }
    cut_in_two(data);
}

/// Bytes that arrive in two pieces mean what they mean in one.
fn cut_in_two(data: &[u8]) {
    let all = |parts: &[&[u8]]| {
        let (mut buf, mut out) = (BytesMut::new(), Vec::new());
        for part in parts {
            buf.extend_from_slice(part);
            loop {
                match Frame::decode(&mut buf) {
                    Ok(Some(frame)) => out.push(frame),
                    Ok(None) => break,
                    Err(_) => return (out, true),
                }
            }
        }
        (out, false)
    };
    let (head, tail) = data.split_at(data.len() / 2);
    let (whole, pieces) = (all(&[data]), all(&[head, tail]));
    assert!(whole == pieces, "cut bytes read differently: {whole:?} {pieces:?}");
}
