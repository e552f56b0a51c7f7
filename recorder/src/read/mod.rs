//! Reading recordings back, closed or live: their text, their list, whether they are what was recorded. Changes nothing on disk.

mod text;

pub use text::{CastText, Follow};

use std::fs::{self, File};
use std::io::{self, Read as _};

use access::event::Lost;
use access::words::SessionId;
use wire::journal::{About, LiveRecording};
use wire::proof::recording::{RecordingCheck, RecordingFault};
use wire::proof::{Hash, Manifest, PublicKey, SignatureFault, unseal};

use crate::open::Recordings;
use crate::segment::folder;

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum ReadError {
    #[error("there is no recording of the session {0}")]
    Unknown(SessionId),
    #[error("the manifest of the session {session} is not believed")]
    Manifest { session: SessionId, source: SignatureFault },
    #[error("the recording of the session {session} is not believed: {fault}")]
    NotBelieved { session: SessionId, fault: RecordingFault },
    #[error("the recording cannot be read")]
    Io(#[from] io::Error),
}

/// One recording that is there.
#[derive(Debug, Clone)]
pub enum Stored {
    /// Closed, by its manifest (read, not verified).
    Closed(Manifest),
    /// Still going on.
    Live(About),
}

/// Whether a recording is what was recorded.
#[derive(Debug, Clone)]
pub struct Verified {
    /// It is not closed: what is stored so far was checked against the journal's word.
    pub open: bool,
    /// The key that signed the manifest.
    pub key: Option<PublicKey>,
    /// The manifest, where it is believed.
    pub manifest: Option<Manifest>,
    /// Output that was never recorded, as the manifest or the journal says.
    pub lost: Lost,
    /// Everything that is wrong.
    pub faults: Vec<RecordingFault>,
}

/// Most bytes of a manifest: a day of nothing but noise has about 1 MiB.
const MANIFEST: u64 = 64 << 20;

impl Recordings {
    /// The text of a recording from its start. Of a live one it ends where it stands now, and reading on later gives what came since.
    pub fn read(&self, session: &SessionId) -> Result<CastText, ReadError> {
        CastText::open(self, session)
    }

    /// The text of a recording as it is made. A slow reader holds nothing up and no memory: it reads from disk again.
    pub fn follow(&self, session: &SessionId) -> Result<Follow, ReadError> {
        self.read(session).map(Follow::new)
    }

    /// What is stored of one recording.
    pub fn stored(&self, session: &SessionId) -> Result<Stored, ReadError> {
        if let Some(live) = self.shared.live(session) {
            return Ok(Stored::Live(live.snapshot.about.clone()));
        }
        let bytes = self.manifest_bytes(session)?;
        let (manifest, _) = unseal(&bytes, None).map_err(|source| ReadError::Manifest { session: *session, source })?;
        Ok(Stored::Closed(manifest))
    }

    /// The manifest of a closed recording and the hash of it as stored; believed where this recorder's key signed it.
    pub fn manifest(&self, session: &SessionId) -> Result<(Manifest, Hash), ReadError> {
        let bytes = self.manifest_bytes(session)?;
        let believed = RecordingCheck::closed(&bytes, session, Some(&self.shared.sign.public()), None);
        let (_, manifest, _) = believed.map_err(|fault| ReadError::NotBelieved { session: *session, fault })?;
        Ok((manifest, Hash::of(&bytes)))
    }

    /// The sessions that have a recording, oldest first, live ones among them.
    pub fn sessions(&self) -> Result<Vec<SessionId>, ReadError> {
        let mut sessions: Vec<SessionId> = self.shared.live_sessions().into_iter().map(|(session, _)| session).collect();
        for entry in fs::read_dir(self.shared.dir.join("recordings"))? {
            sessions.extend(entry?.file_name().to_str().and_then(|name| name.parse::<SessionId>().ok()));
        }
        sessions.sort_unstable();
        sessions.dedup();
        Ok(sessions)
    }

    /// Checks the manifest's signature and every stored byte; of a live recording what the journal has told so far.
    pub fn verify_recording(&self, session: &SessionId, key: Option<&PublicKey>) -> Result<Verified, ReadError> {
        if let Some(live) = self.shared.live(session) {
            let lost = live.snapshot.framed.lost.clone();
            let mut segments = live.snapshot.segments.clone();
            segments.extend(Some(live.snapshot.framed.current.clone()).filter(|segment| segment.bytes > 0));
            let faults = self.check(session, RecordingCheck::live(&LiveRecording { segments }))?;
            return Ok(Verified { open: true, key: None, manifest: None, lost, faults });
        }
        let bytes = self.manifest_bytes(session)?;
        match RecordingCheck::closed(&bytes, session, key, None) {
            Ok((check, manifest, key)) => {
                let faults = self.check(session, check)?;
                let lost = manifest.lost.clone();
                Ok(Verified { open: false, key: Some(key), manifest: Some(manifest), lost, faults })
            }
            Err(fault) => Ok(Verified { open: false, key: None, manifest: None, lost: Lost::default(), faults: vec![fault] }),
        }
    }

    fn manifest_bytes(&self, session: &SessionId) -> Result<Vec<u8>, ReadError> {
        let file = match File::open(folder(&self.shared.dir, session).join("manifest.json")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(ReadError::Unknown(*session)),
            other => other?,
        };
        let mut bytes = Vec::new();
        file.take(MANIFEST).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn check(&self, session: &SessionId, mut check: RecordingCheck) -> Result<Vec<RecordingFault>, ReadError> {
        let cast = folder(&self.shared.dir, session).join("cast");
        let mut names = match fs::read_dir(&cast) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(check.finish()),
            other => other?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?,
        };
        names.sort_unstable();
        let mut block = vec![0; 256 * 1024];
        for name in names {
            check.begin(&name.to_string_lossy());
            let mut file = File::open(cast.join(&name))?;
            loop {
                let got = file.read(&mut block)?;
                if got == 0 {
                    break;
                }
                check.feed(block.get(..got).unwrap_or_default());
            }
        }
        Ok(check.finish())
    }
}
