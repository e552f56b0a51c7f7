//! Records of the recorder's journal: how one looks in bytes, and the chain over all of them. No file is opened here.
//!
//! A record is a head of [`HEAD`] bytes, a payload and the chain after it ([`CHAIN`] bytes), big endian: magic u32, kind u8, stream u8,
//! zero u16, length of the payload u32, number of the file u32, session 16 bytes, microseconds since the session began u64, offset u64.
//! The chain is blake3 over the chain before, the head and the payload. A file is zero after its last record.

mod check;
mod payload;

pub use check::{HeadState, JournalCheck, JournalFault, JournalReport, LiveRecording};
pub use payload::{About, Ending, FileHeader, Framed, Gap, InputMark, Mode, Opened, Position, Recording, Sealed, Snapshot};

use access::words::SessionId;
use bytes::{Buf, BufMut};

use crate::frames::Stream;
use crate::proof::Hash;

/// Bytes of a record's head.
pub const HEAD: usize = 48;
/// Bytes of the chain after a record.
pub const CHAIN: usize = 32;
/// Most bytes of a payload.
pub const MAX_PAYLOAD: usize = 1024 * 1024;
const MAGIC: u32 = 0x4e4a_5231;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// First of each file: JSON [`FileHeader`].
    Header,
    /// A session begins: JSON [`Opened`].
    Open,
    /// Output; `stream` is set, `offset` is that of the first byte.
    Output,
    /// Input whose bytes are kept; `offset` counts input.
    Input,
    /// Input as count and hash: JSON [`InputMark`].
    InputMark,
    /// A new size: JSON of [`crate::frames::Size`].
    Resize,
    /// A stream of output ended.
    Eof,
    /// Output went by unrecorded: JSON [`Gap`].
    Gap,
    /// A session ends: JSON [`Ending`].
    Close,
    /// Part of a session's cast is stored: JSON [`Framed`].
    Framed,
    /// All that is needed to go on without the records before: JSON [`Snapshot`].
    Snapshot,
    /// A recording is closed, its manifest stored: JSON [`Sealed`].
    Sealed,
}

const KINDS: [Kind; 12] = [
    Kind::Header,
    Kind::Open,
    Kind::Output,
    Kind::Input,
    Kind::InputMark,
    Kind::Resize,
    Kind::Eof,
    Kind::Gap,
    Kind::Close,
    Kind::Framed,
    Kind::Snapshot,
    Kind::Sealed,
];

/// What stands before a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// What the record is.
    pub kind: Kind,
    /// Which stream, for output and its end.
    pub stream: Option<Stream>,
    /// Bytes of the payload.
    pub len: u32,
    /// Number of the file that it was written to.
    pub file: u32,
    /// Whose it is; all zero in a [`Kind::Header`].
    pub session: SessionId,
    /// Microseconds since the session began.
    pub elapsed: u64,
    /// As the kind says, else 0.
    pub offset: u64,
}

impl Head {
    /// As bytes.
    pub fn encode(&self) -> [u8; HEAD] {
        let mut out = [0; HEAD];
        let mut room = out.as_mut_slice();
        room.put_u32(MAGIC);
        // The table has twelve entries.
        room.put_u8(KINDS.iter().position(|kind| *kind == self.kind).map_or(0, |at| at as u8 + 1));
        room.put_u8(match self.stream {
            None => 0,
            Some(Stream::Stdout) => 1,
            Some(Stream::Stderr) => 2,
        });
        room.put_u16(0);
        room.put_u32(self.len);
        room.put_u32(self.file);
        room.put_slice(self.session.as_bytes());
        room.put_u64(self.elapsed);
        room.put_u64(self.offset);
        out
    }

    fn decode(bytes: &[u8; HEAD]) -> Option<Self> {
        let mut from = bytes.as_slice();
        if from.get_u32() != MAGIC {
            return None;
        }
        let kind = *KINDS.get(usize::from(from.get_u8()).checked_sub(1)?)?;
        let stream = match (kind, from.get_u8()) {
            (Kind::Output | Kind::Eof, 1) => Some(Stream::Stdout),
            (Kind::Output | Kind::Eof, 2) => Some(Stream::Stderr),
            (Kind::Output | Kind::Eof, _) => return None,
            (_, 0) => None,
            _ => return None,
        };
        let (zero, len, file) = (from.get_u16(), from.get_u32(), from.get_u32());
        let mut session = [0; 16];
        from.copy_to_slice(&mut session);
        let head =
            Self { kind, stream, len, file, session: SessionId::from_bytes(session), elapsed: from.get_u64(), offset: from.get_u64() };
        (zero == 0 && usize::try_from(len).is_ok_and(|len| len <= MAX_PAYLOAD)).then_some(head)
    }
}

/// The chain after a record.
pub fn chain(before: &Hash, head: &[u8; HEAD], payload: &[u8]) -> Hash {
    let mut hash = blake3::Hasher::new();
    hash.update(&before.0);
    hash.update(head);
    hash.update(payload);
    Hash(*hash.finalize().as_bytes())
}

/// One record in a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its head.
    pub head: Head,
    /// Its head as it stands there.
    pub head_bytes: &'a [u8; HEAD],
    /// Its payload.
    pub payload: &'a [u8],
    /// The chain as it stands there: not checked.
    pub chain: Hash,
}

impl Record<'_> {
    /// Bytes from its first to its last.
    pub fn size(&self) -> usize {
        HEAD + self.payload.len() + CHAIN
    }
    /// Whether it follows a record with this chain.
    pub fn follows(&self, before: &Hash) -> bool {
        chain(before, self.head_bytes, self.payload) == self.chain
    }
}

/// What a buffer begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parse<'a> {
    /// A whole record.
    Record(Record<'a>),
    /// Zeros: no record was written here.
    End,
    /// The start of a record, or too few bytes to tell: so many are needed.
    More(usize),
    /// Neither.
    Bad,
}

/// Looks at the front of a buffer. Never asks for more than [`HEAD`] + [`MAX_PAYLOAD`] + [`CHAIN`] bytes.
pub fn parse(buf: &[u8]) -> Parse<'_> {
    let Some((head_bytes, rest)) = buf.split_first_chunk::<HEAD>() else { return Parse::More(HEAD) };
    if head_bytes == &[0; HEAD] {
        return Parse::End;
    }
    let Some(head) = Head::decode(head_bytes) else { return Parse::Bad };
    let len = usize::try_from(head.len).unwrap_or(usize::MAX);
    let Some((payload, rest)) = rest.split_at_checked(len) else { return Parse::More(HEAD + len + CHAIN) };
    match rest.first_chunk::<CHAIN>() {
        None => Parse::More(HEAD + len + CHAIN),
        Some(chain) => Parse::Record(Record { head, head_bytes, payload, chain: Hash(*chain) }),
    }
}

/// The name of a journal file.
pub fn file_name(number: u64) -> String {
    format!("{number:08}.nj")
}

/// The number of a journal file by its name.
pub fn file_number(name: &str) -> Option<u64> {
    let number = name.strip_suffix(".nj")?.parse().ok()?;
    (file_name(number) == name).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_garbage_does_not() {
        let session = SessionId::from_bytes([7; 16]);
        for kind in KINDS {
            let stream = matches!(kind, Kind::Output | Kind::Eof).then_some(Stream::Stderr);
            let head = Head { kind, stream, len: 3, file: 9, session, elapsed: 5, offset: u64::MAX };
            let mut bytes = head.encode().to_vec();
            bytes.extend_from_slice(b"abc");
            let after = chain(&Hash::ZERO, &head.encode(), b"abc");
            bytes.extend_from_slice(&after.0);
            for cut in 0..bytes.len() {
                assert!(matches!(parse(&bytes[..cut]), Parse::More(more) if more > cut), "{kind:?} {cut}");
            }
            let Parse::Record(record) = parse(&bytes) else { panic!("{kind:?}") };
            assert_eq!((record.head, record.payload, record.size()), (head, b"abc".as_slice(), bytes.len()));
            assert!(record.follows(&Hash::ZERO) && !record.follows(&after));
        }
        assert_eq!(parse(&[0; HEAD]), Parse::End);
        assert_eq!(parse(&[b'x'; HEAD]), Parse::Bad);
        let long = Head { kind: Kind::Input, stream: None, len: MAX_PAYLOAD as u32 + 1, file: 1, session, elapsed: 0, offset: 0 };
        assert_eq!(parse(&long.encode()), Parse::Bad);
        assert_eq!(file_number("00000012.nj"), Some(12));
        assert_eq!(file_number("12.nj"), None);
    }
}
