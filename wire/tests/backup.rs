//! Backups read back as they were written, and nothing else is taken for one.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by them")]

use std::io::{self, Read};

use access::time::Timestamp;
use proptest::prelude::*;
use wire::backup::{Fault, Head, LogPlace, MAX_VALUE, Part, Reader, Writer};
use wire::proof::{Hash, MemoryKey, PublicKey, Sign as _};

fn signer() -> MemoryKey {
    MemoryKey::from_seed(&[7; 32]).expect("a key")
}

fn head() -> Head {
    let (install, time) = ("n1".parse().expect("an id"), Timestamp::from_secs(1_800_000_000));
    Head { install, time, revision: 9, log: LogPlace { count: 3, hash: Hash::of(b"x") }, version: "0.1.0".to_owned() }
}

fn written(keys: &[(&str, &[u8])], entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &head()).expect("begun");
    keys.iter().for_each(|(name, bytes)| writer.key(name, bytes).expect("a key"));
    entries.iter().for_each(|(key, value)| writer.entry(key, value).expect("an entry"));
    writer.finish(&signer()).expect("sealed")
}

fn small() -> Vec<u8> {
    written(&[("ca.key", b"secret"), ("grant.key", b"other")], &[("role/a", b"{}"), ("user/한", b"{\"x\":1}"), ("user/b", &[0; 300])])
}

/// Every part, and who sealed it.
fn read(from: impl Read) -> Result<(Vec<Part>, PublicKey), Fault> {
    let mut reader = Reader::new(from)?;
    let mut parts = Vec::new();
    loop {
        match reader.next()? {
            Some(Part::Sealed(key)) => {
                assert!(matches!(reader.next(), Ok(None)), "nothing behind the seal");
                return Ok((parts, key));
            }
            Some(part) => parts.push(part),
            None => panic!("an end without a seal"),
        }
    }
}

#[test]
fn what_was_written_reads_back() {
    let bytes = written(&[("ca.key", b"secret")], &[("role/a", b"{}"), ("role/b", b"")]);
    let (parts, key) = read(&bytes[..]).expect("read");
    let entry = |key: &str, value: &[u8]| Part::Entry(key.to_owned(), value.to_vec());
    assert_eq!(parts, [Part::Key("ca.key".to_owned(), b"secret".to_vec()), entry("role/a", b"{}"), entry("role/b", b"")]);
    assert_eq!(key, signer().public());
    assert_eq!(Reader::new(&bytes[..]).expect("a head").head(), &head());
}

#[test]
fn cut_anywhere_it_is_refused() {
    let whole = small();
    for end in 0..whole.len() {
        assert!(read(&whole[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn one_flipped_bit_anywhere_or_one_byte_more_is_refused() {
    let whole = small();
    for bit in 0..whole.len() * 8 {
        let mut bad = whole.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        // A flip in the key that the seal names is another key, whose signature does not fit.
        assert!(read(&bad[..]).is_err(), "bit {bit}");
    }
    assert!(matches!(read(&[&whole[..], b"x"].concat()[..]), Err(Fault::Part(_))));
}

#[test]
fn names_that_are_paths_parts_out_of_order_and_what_is_too_long_are_refused() {
    let refused = |bytes: Vec<u8>| assert!(matches!(read(&bytes[..]), Err(Fault::Part(_))), "{:?}", String::from_utf8_lossy(&bytes));
    for name in ["../x", "/etc/passwd", "a/b", ".hidden", "", "A", "a\0b", &"a".repeat(65)] {
        refused(written(&[(name, b"k")], &[]));
    }
    refused(written(&[("b", b""), ("a", b"")], &[]));
    refused(written(&[], &[("b", b""), ("a", b"")]));
    refused(written(&[], &[("a", b"1"), ("a", b"2")]));
    refused(written(&[], &[("", b"1")]));
    refused(written(&[], &[(&"k".repeat(513), b"1")]));
    refused(written(&[], &[("k", &vec![0; MAX_VALUE + 1])]));
    refused(written(&[("k", &vec![0; 65 * 1024])], &[]));
    let mut newer = small();
    newer[12] = b'2';
    assert!(matches!(read(&newer[..]), Err(Fault::Newer(2))));
}

/// As many zeros as are asked for, and how many were.
struct Zeros(u64);

impl Read for Zeros {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        buffer.fill(0);
        self.0 += buffer.len() as u64;
        Ok(buffer.len())
    }
}

#[test]
fn endless_zeros_are_refused_after_a_few_bytes_also_behind_a_good_beginning() {
    let mut zeros = Zeros(0);
    assert!(matches!(read(&mut zeros), Err(Fault::Other)));
    assert!(zeros.0 < 1000, "{}", zeros.0);
    let whole = small();
    for good in (0..whole.len()).step_by(7) {
        let mut zeros = Zeros(0);
        assert!(read(whole[..good].chain(&mut zeros)).is_err());
        assert!(zeros.0 < 3 * MAX_VALUE as u64, "{} after {good}", zeros.0);
    }
}

proptest! {
    #[test]
    fn any_bytes_end_in_a_sentence(bytes in prop::collection::vec(any::<u8>(), 0..2000), at in 0_usize..400) {
        prop_assert!(read(&bytes[..]).is_err());
        let whole = small();
        let at = at.min(whole.len() - 1);
        prop_assert!(read(&[&whole[..at], &bytes[..]].concat()[..]).is_err());
    }
}
