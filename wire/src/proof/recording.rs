//! Checks a recording's files against its signed manifest, or those of a live one against the journal's word. Pure: files are fed in.

use access::words::SessionId;

use super::{Hash, Manifest, PublicKey, Segment, SignatureFault, unseal};
use crate::journal::LiveRecording;

/// What is wrong with a recording, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum RecordingFault {
    #[error("manifest.json is not believed: {0}")]
    Manifest(#[from] SignatureFault),
    #[error("manifest.json is of the session {0}")]
    OtherSession(SessionId),
    #[error("manifest.json is not the one that the log names")]
    OtherManifest,
    #[error("cast/{file} is missing")]
    Missing { file: String },
    #[error("cast/{file} is not part of the recording")]
    Extra { file: String },
    #[error("cast/{file} has {found} bytes instead of {wanted}")]
    Length { file: String, wanted: u64, found: u64 },
    #[error("cast/{file} was changed")]
    Changed { file: String },
}

impl RecordingFault {
    /// The file within the recording's folder, and the byte from which on it cannot be believed.
    pub fn place(&self) -> (String, u64) {
        match self {
            Self::Manifest(_) | Self::OtherSession(_) | Self::OtherManifest => ("manifest.json".into(), 0),
            Self::Missing { file } | Self::Extra { file } | Self::Changed { file } => (format!("cast/{file}"), 0),
            Self::Length { file, wanted, found } => (format!("cast/{file}"), *wanted.min(found)),
        }
    }
}

/// The checker: for each file of `cast/` [`Self::begin`], then [`Self::feed`] with all its bytes; then [`Self::finish`].
#[derive(Debug)]
pub struct RecordingCheck {
    /// What is left to be seen.
    wanted: Vec<Segment>,
    live: bool,
    /// Of this file only the first bytes are covered.
    prefix: Option<String>,
    file: Option<File>,
    faults: Vec<RecordingFault>,
}

#[derive(Debug)]
struct File {
    name: String,
    segment: Option<Segment>,
    prefix: bool,
    hash: blake3::Hasher,
    bytes: u64,
}

impl RecordingCheck {
    /// Believes the stored bytes of a manifest. `trusted` is the key that must have signed, `logged` the hash that the log has of it.
    pub fn closed(
        manifest: &[u8],
        session: &SessionId,
        trusted: Option<&PublicKey>,
        logged: Option<&Hash>,
    ) -> Result<(Self, Manifest, PublicKey), RecordingFault> {
        if logged.is_some_and(|hash| *hash != Hash::of(manifest)) {
            return Err(RecordingFault::OtherManifest);
        }
        let (manifest, key) = unseal::<Manifest>(manifest, trusted)?;
        if manifest.session != *session {
            return Err(RecordingFault::OtherSession(manifest.session));
        }
        Ok((Self::of_manifest(&manifest), manifest, key))
    }

    /// For the files of a manifest that is believed already.
    pub fn of_manifest(manifest: &Manifest) -> Self {
        Self::of(manifest.segments.clone(), false)
    }

    /// For a recording that is not closed.
    pub fn live(recording: &LiveRecording) -> Self {
        Self::of(recording.segments.clone(), true)
    }

    fn of(wanted: Vec<Segment>, live: bool) -> Self {
        let prefix = wanted.last().filter(|_| live).map(|segment| segment.file.clone());
        Self { wanted, live, prefix, file: None, faults: Vec::new() }
    }

    /// A file of `cast/` begins.
    pub fn begin(&mut self, name: &str) {
        self.end();
        let at = self.wanted.iter().position(|segment| segment.file == name);
        let segment = at.map(|at| self.wanted.remove(at));
        let prefix = self.prefix.as_deref() == Some(name);
        self.file = Some(File { name: name.to_owned(), segment, prefix, hash: blake3::Hasher::new(), bytes: 0 });
    }

    /// Bytes of the current file.
    pub fn feed(&mut self, bytes: &[u8]) {
        let Some(file) = &mut self.file else { return };
        let room = match &file.segment {
            Some(segment) => segment.bytes.saturating_sub(file.bytes),
            None => 0,
        };
        let covered = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        file.hash.update(bytes.get(..covered).unwrap_or_default());
        file.bytes += bytes.len() as u64;
    }

    /// Everything that is wrong; nothing when all is well.
    pub fn finish(mut self) -> Vec<RecordingFault> {
        self.end();
        let missing = self.wanted.into_iter().map(|segment| RecordingFault::Missing { file: segment.file });
        self.faults.extend(missing);
        self.faults
    }

    fn end(&mut self) {
        let Some(file) = self.file.take() else { return };
        let fault = match file.segment {
            // The newest file of a live recording may not have been told to the journal yet.
            None if self.live && self.wanted.is_empty() => return,
            None => RecordingFault::Extra { file: file.name },
            Some(segment) if file.bytes < segment.bytes || (file.bytes > segment.bytes && !file.prefix) => {
                RecordingFault::Length { file: file.name, wanted: segment.bytes, found: file.bytes }
            }
            Some(segment) if *file.hash.finalize().as_bytes() != segment.blake3.0 => RecordingFault::Changed { file: file.name },
            Some(_) => return,
        };
        self.faults.push(fault);
    }
}
