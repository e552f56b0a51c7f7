//! A backup as bytes: what its parts are, how they are written and how they are read without belief. Bytes only: where they come from,
//! whether they are encrypted, and what is done with them is somebody else's.
//!
//! `naru-backup/1` and a line feed, then parts: tag u8, length of the name u16, length of the value u32 (big endian), name, value. First
//! one [`Head`], then key files, then entries of the store, each in the order of their names, so that none comes twice; last the signed
//! [`Seal`] with a hash over everything before it. What follows it, or ends before it, is no backup.

use std::io::{self, Read, Write};

use access::time::Timestamp;
use access::words::InstallId;
use serde::{Deserialize, Serialize};

use crate::proof::{Hash, PublicKey, Sign, SignatureFault, Statement, seal, unseal};

/// What every backup begins with, before the number of its format.
const MAGIC: &[u8] = b"naru-backup/";
/// The format that this version writes.
pub const FORMAT: u64 = 1;
/// Most bytes of a key file, of the head and of the seal.
pub const MAX_SMALL: usize = 64 * 1024;
/// Most bytes of the name of a key file.
pub const MAX_FILE_NAME: usize = 64;
/// Most bytes of an entry's key.
pub const MAX_KEY: usize = 512;
/// Most bytes of an entry's value.
pub const MAX_VALUE: usize = 1024 * 1024;

const HEAD: u8 = b'h';
const KEY: u8 = b'k';
const ENTRY: u8 = b'e';
const SEAL: u8 = b's';

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Whose it is.
    pub install: InstallId,
    /// When it was made.
    pub time: Timestamp,
    /// The store's revision at which every entry of it stands.
    pub revision: u64,
    /// How far the audit log was then, as its HEAD said.
    pub log: LogPlace,
    /// The version of Naru that made it.
    pub version: String,
}

/// A place in the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogPlace {
    /// How many events it had.
    pub count: u64,
    /// The `hash` of the last of them; zero when none.
    pub hash: Hash,
}

/// The end of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// As in the head.
    pub install: InstallId,
    /// How many key files there are.
    pub keys: u64,
    /// How many entries there are.
    pub entries: u64,
    /// blake3 over every byte before the seal.
    pub blake3: Hash,
}

impl Statement for Seal {
    const DOMAIN: &'static str = "naru-backup/1";
}

/// One part as it is read.
#[derive(Debug, PartialEq, Eq)]
pub enum Part {
    /// A key file: its name, which is no path, and its bytes.
    Key(String, Vec<u8>),
    /// An entry of the store.
    Entry(String, Vec<u8>),
    /// The end: everything before it is as it was signed, by this key.
    Sealed(PublicKey),
}

/// Why bytes are not taken for a backup.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Something else.
    #[error("it is not a backup of Naru")]
    Other,
    /// Of a later version.
    #[error("the backup has format {0}, and this version knows {FORMAT}; restore it with the newer version")]
    Newer(u64),
    /// It ends too early.
    #[error("the backup is cut: it ends before its seal")]
    Cut,
    /// A part that cannot be, by its tag, its place, its name or its length.
    #[error("the backup is damaged: {0}")]
    Part(&'static str),
    /// The seal is not believed.
    #[error("the seal of the backup is not believed: {0}")]
    Seal(#[from] SignatureFault),
    /// The bytes are not those that were sealed.
    #[error("the backup was changed after it was made: its bytes are not those that were sealed")]
    Changed,
    /// Where it comes from failed.
    #[error("the backup could not be read")]
    Read(#[source] io::Error),
}

/// Writes a backup, part by part. Nothing is kept but a hash.
pub struct Writer<W> {
    to: W,
    hash: blake3::Hasher,
    install: InstallId,
    keys: u64,
    entries: u64,
}

impl<W: Write> Writer<W> {
    /// Begins with the head.
    pub fn new(to: W, head: &Head) -> io::Result<Self> {
        let mut writer = Self { to, hash: blake3::Hasher::new(), install: head.install.clone(), keys: 0, entries: 0 };
        writer.all(format!("naru-backup/{FORMAT}\n").as_bytes())?;
        writer.part(HEAD, "", &serde_json::to_vec(head)?)?;
        Ok(writer)
    }

    /// A key file. They come before the entries, by name.
    pub fn key(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.keys += 1;
        self.part(KEY, name, bytes)
    }

    /// An entry of the store. They come by key.
    pub fn entry(&mut self, key: &str, value: &[u8]) -> io::Result<()> {
        self.entries += 1;
        self.part(ENTRY, key, value)
    }

    /// The seal; answers what was written to.
    pub fn finish(mut self, signer: &dyn Sign) -> io::Result<W> {
        let blake3 = Hash(*self.hash.finalize().as_bytes());
        let statement = Seal { install: self.install.clone(), keys: self.keys, entries: self.entries, blake3 };
        self.part(SEAL, "", &seal(&statement, signer))?;
        self.to.flush()?;
        Ok(self.to)
    }

    fn part(&mut self, tag: u8, name: &str, value: &[u8]) -> io::Result<()> {
        let too_long = |_| io::Error::new(io::ErrorKind::InvalidInput, "a part of a backup is too long");
        let (name_len, value_len) = (u16::try_from(name.len()).map_err(too_long)?, u32::try_from(value.len()).map_err(too_long)?);
        let mut head = vec![tag];
        head.extend_from_slice(&name_len.to_be_bytes());
        head.extend_from_slice(&value_len.to_be_bytes());
        head.extend_from_slice(name.as_bytes());
        self.all(&head)?;
        self.all(value)
    }

    fn all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.to.write_all(bytes)
    }
}

/// Reads a backup, part by part: memory for one part, whatever the bytes say. Nothing of it is proved before [`Part::Sealed`].
pub struct Reader<R> {
    from: R,
    hash: blake3::Hasher,
    head: Head,
    /// Tag and name of the part before.
    last: (u8, String),
    keys: u64,
    entries: u64,
    over: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the beginning and the head.
    pub fn new(mut from: R) -> Result<Self, Fault> {
        let mut hash = blake3::Hasher::new();
        first_line(&mut from, &mut hash)?;
        let (tag, name, value) = raw(&mut from, &mut hash, &[HEAD])?;
        if tag != HEAD || !name.is_empty() {
            return Err(Fault::Part("it does not begin with its head"));
        }
        let head = serde_json::from_slice(&value).map_err(|_| Fault::Part("its head cannot be read"))?;
        Ok(Self { from, hash, head, last: (HEAD, String::new()), keys: 0, entries: 0, over: false })
    }

    /// What it says of itself.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The next part; none behind the seal. After a fault nothing more is to be asked.
    #[allow(clippy::should_implement_trait, reason = "after a fault there is no next")]
    pub fn next(&mut self) -> Result<Option<Part>, Fault> {
        if self.over {
            return Ok(None);
        }
        let before = Hash(*self.hash.finalize().as_bytes());
        let (tag, name, value) = raw(&mut self.from, &mut self.hash, &[KEY, ENTRY, SEAL])?;
        let (last_tag, last_name) = &self.last;
        if *last_tag == ENTRY && tag == KEY {
            return Err(Fault::Part("a key file stands behind the entries"));
        }
        if *last_tag == tag && *last_name >= name {
            return Err(Fault::Part("its parts are not in order"));
        }
        self.last = (tag, name.clone());
        match tag {
            KEY if is_file_name(&name) => {
                self.keys += 1;
                Ok(Some(Part::Key(name, value)))
            }
            KEY => Err(Fault::Part("a key file has a name that none has")),
            ENTRY if name.is_empty() => Err(Fault::Part("an entry has no key")),
            ENTRY => {
                self.entries += 1;
                Ok(Some(Part::Entry(name, value)))
            }
            _ => self.sealed(&name, &value, before).map(Some),
        }
    }

    fn sealed(&mut self, name: &str, value: &[u8], before: Hash) -> Result<Part, Fault> {
        let (statement, key) = unseal::<Seal>(value, None)?;
        let found = Seal { install: self.head.install.clone(), keys: self.keys, entries: self.entries, blake3: before };
        if statement != found || !name.is_empty() {
            return Err(Fault::Changed);
        }
        match self.from.read(&mut [0]) {
            Ok(0) => {}
            Ok(_) => return Err(Fault::Part("something stands behind its seal")),
            Err(error) => return Err(Fault::Read(error)),
        }
        self.over = true;
        Ok(Part::Sealed(key))
    }
}

/// Key files lie in one folder: no path, nothing hidden, nothing odd.
fn is_file_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    !name.is_empty() && name.len() <= MAX_FILE_NAME && !name.starts_with('.') && name.bytes().all(plain)
}

fn first_line(from: &mut impl Read, hash: &mut blake3::Hasher) -> Result<(), Fault> {
    let mut magic = [0; MAGIC.len()];
    from.read_exact(&mut magic).map_err(|error| if is_end(&error) { Fault::Other } else { Fault::Read(error) })?;
    if magic != MAGIC {
        return Err(Fault::Other);
    }
    let mut number = Vec::new();
    loop {
        let mut byte = [0];
        from.read_exact(&mut byte).map_err(cut)?;
        match byte {
            [b'\n'] => break,
            [digit] if digit.is_ascii_digit() && number.len() < 9 => number.push(digit),
            _ => return Err(Fault::Other),
        }
    }
    let written = String::from_utf8_lossy(&number);
    match written.parse() {
        Ok(format) if format > FORMAT => return Err(Fault::Newer(format)),
        Ok(FORMAT) if written == FORMAT.to_string() => {}
        _ => return Err(Fault::Other),
    }
    hash.update(MAGIC).update(&number).update(b"\n");
    Ok(())
}

/// One part by its lengths. What is not there takes no memory.
fn raw(from: &mut impl Read, hash: &mut blake3::Hasher, tags: &[u8]) -> Result<(u8, String, Vec<u8>), Fault> {
    let mut head = [0; 7];
    from.read_exact(&mut head).map_err(cut)?;
    let [tag, n0, n1, v0, v1, v2, v3] = head;
    let (name_len, value_len) = (usize::from(u16::from_be_bytes([n0, n1])), u32::from_be_bytes([v0, v1, v2, v3]) as usize);
    if !tags.contains(&tag) {
        return Err(Fault::Part("a part is of no known kind"));
    }
    let most = if tag == ENTRY { MAX_VALUE } else { MAX_SMALL };
    if name_len > MAX_KEY || value_len > most {
        return Err(Fault::Part("a part is longer than any can be"));
    }
    let (name, value) = (bytes(from, name_len)?, bytes(from, value_len)?);
    hash.update(&head).update(&name).update(&value);
    let name = String::from_utf8(name).map_err(|_| Fault::Part("a name is no text"))?;
    Ok((tag, name, value))
}

fn bytes(from: &mut impl Read, len: usize) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::new();
    from.take(len as u64).read_to_end(&mut out).map_err(Fault::Read)?;
    if out.len() == len { Ok(out) } else { Err(Fault::Cut) }
}

fn is_end(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof
}

fn cut(error: io::Error) -> Fault {
    if is_end(&error) { Fault::Cut } else { Fault::Read(error) }
}
