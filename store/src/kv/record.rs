//! How a value and the store's own summary are laid out as bytes. Pure.
//!
//! The summary holds a sum over all entries, so that a scan at start shows a value that an engine lost or brought back from the past.

use super::KvError;

/// Layout of [`Record`] and [`Summary`]; each stored value begins with it.
pub(super) const FORMAT: u8 = 1;
/// Engine key of the summary; sorts before [`DATA`].
pub(super) const SUMMARY: &[u8] = b"!";
/// Engine keys of entries begin with this.
pub(super) const DATA: u8 = b'k';

/// A stored value: format u8, revision u64, lease u64 (0: none), bytes; big endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) revision: u64,
    pub(super) lease: u64,
    pub(super) value: Vec<u8>,
}

impl Record {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(17 + self.value.len());
        out.push(FORMAT);
        out.extend_from_slice(&self.revision.to_be_bytes());
        out.extend_from_slice(&self.lease.to_be_bytes());
        out.extend_from_slice(&self.value);
        out
    }
    pub(super) fn decode(key: &str, bytes: &[u8]) -> Result<Self, KvError> {
        let damaged = || KvError::Damaged(key.to_owned());
        let (head, value) = bytes.split_first_chunk::<17>().ok_or_else(damaged)?;
        let [format, rest @ ..] = head;
        if *format != FORMAT {
            return Err(damaged());
        }
        let (revision, lease) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
        let lease = lease.first_chunk::<8>().ok_or_else(damaged)?;
        Ok(Self { revision: u64::from_be_bytes(*revision), lease: u64::from_be_bytes(*lease), value: value.to_vec() })
    }
}

/// The store in 33 bytes: format u8, revision u64, entries u64, sum u128; big endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Summary {
    pub(super) revision: u64,
    pub(super) entries: u64,
    pub(super) sum: u128,
}

impl Summary {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        out.extend_from_slice(&self.revision.to_be_bytes());
        out.extend_from_slice(&self.entries.to_be_bytes());
        out.extend_from_slice(&self.sum.to_be_bytes());
        out
    }
    /// None when these bytes are no summary of this format.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 33] = bytes.try_into().ok()?;
        let (head, sum) = bytes.split_last_chunk::<16>()?;
        let (head, entries) = head.split_last_chunk::<8>()?;
        let (head, revision) = head.split_last_chunk::<8>()?;
        (head == [FORMAT]).then(|| Self {
            revision: u64::from_be_bytes(*revision),
            entries: u64::from_be_bytes(*entries),
            sum: u128::from_be_bytes(*sum),
        })
    }
    pub(super) fn add(&mut self, key: &[u8], record: &[u8]) {
        self.entries = self.entries.wrapping_add(1);
        self.sum = self.sum.wrapping_add(weight(key, record));
    }
    pub(super) fn remove(&mut self, key: &[u8], record: &[u8]) {
        self.entries = self.entries.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(weight(key, record));
    }
}

fn weight(key: &[u8], record: &[u8]) -> u128 {
    let mut hash = blake3::Hasher::new();
    hash.update(&(key.len() as u64).to_be_bytes()).update(key).update(record);
    let hash = hash.finalize();
    hash.as_bytes().first_chunk::<16>().map_or(0, |half| u128::from_be_bytes(*half))
}

/// The engine's key of an entry.
pub(super) fn data_key(key: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + key.len());
    out.push(DATA);
    out.extend_from_slice(key.as_bytes());
    out
}

/// The entry's key of an engine's key.
pub(super) fn user_key(stored: &[u8]) -> Result<&str, KvError> {
    let damaged = || KvError::Damaged(String::from_utf8_lossy(stored).into_owned());
    match stored.split_first() {
        Some((&DATA, key)) => std::str::from_utf8(key).map_err(|_| damaged()),
        _ => Err(damaged()),
    }
}
