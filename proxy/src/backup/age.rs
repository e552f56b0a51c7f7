//! A backup in an age file (age-encryption.org/v1), so that whoever finds it has no keys of the install. What is inside is not looked at.

use std::io::{self, BufRead, BufReader, Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use age::secrecy::SecretString;
use age::stream::StreamWriter;
use age::{Decryptor, Encryptor, IdentityFile, Recipient, scrypt, x25519};

use super::BackupError;

/// Work of a passphrase, as age itself has it: 256 MiB and about a second.
const WORK: u8 = 18;
/// Most work that a file may ask for: 1 GiB.
const MAX_WORK: u8 = 20;
/// Most bytes of an age header; one recipient has about 100.
const MAX_HEADER: u64 = 64 * 1024;

/// How a backup is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lock {
    /// Not at all: whoever reads the file has the install.
    Plain,
    /// For these age recipients (`age1…`), each of whom can open it alone.
    Recipients(Vec<String>),
    /// By the passphrase in this file, of which only the owner may have rights.
    Passphrase(PathBuf),
}

/// What opens a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unlock {
    /// Nothing: it is plain.
    Nothing,
    /// The age identities in this file.
    Identity(PathBuf),
    /// The passphrase in this file.
    Passphrase(PathBuf),
}

/// The way into the file.
pub(super) enum Sealing<W: Write> {
    Plain(W),
    Age(StreamWriter<W>),
}

impl Lock {
    /// Begins to write.
    pub(super) fn around<W: Write>(&self, to: W) -> Result<Sealing<W>, BackupError> {
        let recipients: Vec<Box<dyn Recipient>> = match self {
            Self::Plain => return Ok(Sealing::Plain(to)),
            Self::Recipients(names) => names.iter().map(|name| recipient(name)).collect::<Result<_, _>>()?,
            Self::Passphrase(path) => {
                let mut recipient = scrypt::Recipient::new(passphrase(path)?);
                recipient.set_work_factor(WORK);
                vec![Box::new(recipient)]
            }
        };
        let encryptor = Encryptor::with_recipients(recipients.iter().map(|recipient| recipient.as_ref()));
        let encryptor = encryptor.map_err(|error| BackupError::Write(io::Error::other(error.to_string())))?;
        encryptor.wrap_output(to).map(Sealing::Age).map_err(BackupError::Write)
    }
}

impl<W: Write> Write for Sealing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(to) => to.write(bytes),
            Self::Age(to) => to.write(bytes),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(to) => to.flush(),
            Self::Age(to) => to.flush(),
        }
    }
}

impl<W: Write> Sealing<W> {
    /// Writes the end, without which the file is cut.
    pub(super) fn finish(self) -> io::Result<W> {
        match self {
            Self::Plain(to) => Ok(to),
            Self::Age(to) => to.finish(),
        }
    }
}

fn recipient(name: &str) -> Result<Box<dyn Recipient>, BackupError> {
    x25519::Recipient::from_str(name)
        .map(|recipient| Box::new(recipient) as Box<dyn Recipient>)
        .map_err(|_| BackupError::Recipient(name.to_owned()))
}

fn passphrase(path: &Path) -> Result<SecretString, BackupError> {
    let bytes = store::state::read_secret(path).map_err(BackupError::secret(path))?;
    let text = String::from_utf8(bytes).map_err(|_| BackupError::Secret { path: path.to_owned(), why: "it is no text".to_owned() })?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(BackupError::Secret { path: path.to_owned(), why: "it holds no passphrase".to_owned() });
    }
    Ok(SecretString::from(text.to_owned()))
}

/// The bytes of a backup, decrypted as they are read where it is an age file. Memory is bounded whatever the file holds.
pub(super) fn inside(from: impl Read + 'static, unlock: &Unlock) -> Result<Box<dyn Read>, BackupError> {
    let mut from = BufReader::with_capacity(64 * 1024, from);
    let failed = |error: io::Error| BackupError::Fault(wire::backup::Fault::Read(error));
    if !from.fill_buf().map_err(failed)?.starts_with(b"age-encryption.org/") {
        return Ok(Box::new(from));
    }
    let identities: Vec<Box<dyn age::Identity>> = match unlock {
        Unlock::Nothing => return Err(BackupError::Locked),
        Unlock::Identity(path) => {
            let bytes = store::state::read_secret(path).map_err(BackupError::secret(path))?;
            let bad = |why: String| BackupError::Secret { path: path.clone(), why };
            let file = IdentityFile::from_buffer(Cursor::new(bytes)).map_err(|error| bad(error.to_string()))?;
            file.into_identities().map_err(|error| bad(error.to_string()))?
        }
        Unlock::Passphrase(path) => {
            let mut identity = scrypt::Identity::new(passphrase(path)?);
            identity.set_max_work_factor(MAX_WORK);
            vec![Box::new(identity)]
        }
    };
    // The header is read here, since age itself would read one that never ends.
    let header = header(&mut from).map_err(failed)?.ok_or_else(|| BackupError::Decrypt("its header has no end".to_owned()))?;
    let refused = |error: age::DecryptError| BackupError::Decrypt(sentence(&error));
    let decryptor = Decryptor::new_buffered(Cursor::new(header).chain(from)).map_err(refused)?;
    let inside = decryptor.decrypt(identities.iter().map(|identity| identity.as_ref())).map_err(refused)?;
    Ok(Box::new(inside))
}

fn sentence(error: &age::DecryptError) -> String {
    match error {
        age::DecryptError::NoMatchingKeys | age::DecryptError::DecryptionFailed | age::DecryptError::KeyDecryptionFailed => {
            "it was not made for this key or passphrase".to_owned()
        }
        other => other.to_string(),
    }
}

/// The header with its last line, which begins with `---`; none where it does not come within the bound.
fn header(from: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut header = Vec::new();
    loop {
        let begin = header.len();
        let left = MAX_HEADER.saturating_sub(begin as u64);
        from.take(left).read_until(b'\n', &mut header)?;
        match header.get(begin..) {
            Some(line) if line.last() != Some(&b'\n') => return Ok(None),
            Some(line) if line.starts_with(b"---") => return Ok(Some(header)),
            _ => {}
        }
    }
}
