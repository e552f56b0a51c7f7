//! What the tests of recordings share: settings that make small files, a session to speak about, the bytes of a cast.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use access::decide::{OpenSession, Permit, decide};
use access::event::SessionKind;
use access::identity::{Identity, NodeFacts, UserId};
use access::policy::PolicySet;
use access::time::Timestamp;
use access::words::SessionId;
use recorder::{Circumstances, Ending, OpenRecording, RecordError, Recorded, RecorderSettings, Recordings, Recovered};
use serde_json::json;
use wire::frames::{Exit, Size};
use wire::proof::MemoryKey;

pub(crate) fn key() -> Arc<MemoryKey> {
    Arc::new(MemoryKey::from_seed(&[7; 32]).unwrap())
}

pub(crate) fn settings(dir: &Path) -> RecorderSettings {
    RecorderSettings {
        journal_file: 256 << 10,
        backlog: 4 << 20,
        frame_text: 16 << 10,
        frame_age: Duration::from_millis(300),
        segment: 32 << 10,
        reserve: 64 << 10,
        ..RecorderSettings::new(dir, "i-1".parse().unwrap())
    }
}

pub(crate) fn start(dir: &Path) -> (Recordings, Recovered) {
    Recordings::start(settings(dir), key()).unwrap()
}

pub(crate) fn session(n: u8) -> SessionId {
    SessionId::from_bytes([n; 16])
}

/// What a role with these options, as JSON, allows alice to do as root on demo.
pub(crate) fn permit(kind: SessionKind, options: &serde_json::Value) -> Permit<OpenSession> {
    let role = json!({"allow": {"ssh": [{"labels": {"*": ["*"]}, "logins": ["root"]}]}, "options": options});
    let policy = PolicySet::build(vec![("any".parse().unwrap(), serde_json::from_value(role).unwrap())]).unwrap();
    let identity = Identity {
        user: UserId { issuer: "i-1".into(), subject: "alice".into() },
        name: "alice".parse().unwrap(),
        roles: vec!["any".parse().unwrap()],
        traits: Default::default(),
        expires: Timestamp::from_secs(1_900_000_000),
        auth: Default::default(),
        context: Default::default(),
        granted: Vec::new(),
    };
    let node = NodeFacts { name: "demo".parse().unwrap(), labels: Default::default(), agent: None };
    decide(
        OpenSession { identity, node, login: "root".parse().unwrap(), kind, begun: None, command: None },
        &policy,
        Timestamp::from_secs(1_800_000_000),
    )
    .unwrap()
}

/// Opens the recording of the session of that number as a role with these options demands it.
pub(crate) fn open_with(recordings: &Recordings, n: u8, terminal: bool, options: &serde_json::Value) -> Result<OpenRecording, RecordError> {
    let circumstances = Circumstances {
        session: session(n),
        connection: "c-1".into(),
        command: (!terminal).then(|| "make".to_owned()),
        terminal: terminal.then_some(Size { cols: 80, rows: 24, width: 0, height: 0 }),
        term: terminal.then(|| "xterm".to_owned()),
        started: Timestamp::from_secs(1_800_000_000),
    };
    recordings.open(&permit(if terminal { SessionKind::Shell } else { SessionKind::Exec }, options), circumstances)
}

/// As most roles demand it: strictly.
pub(crate) fn open(recordings: &Recordings, n: u8, terminal: bool) -> Result<OpenRecording, RecordError> {
    open_with(recordings, n, terminal, &json!({}))
}

pub(crate) fn ending() -> Ending {
    Ending { reason: "exit".into(), exit: Some(Exit::Code(7)) }
}

pub(crate) fn show(shown: &mut Vec<u8>, recorded: Recorded) {
    shown.extend_from_slice(recorded.bytes());
}

/// The whole text of a recording as it stands.
pub(crate) fn cast(recordings: &Recordings, session: &SessionId) -> Vec<u8> {
    let mut text = Vec::new();
    recordings.read(session).unwrap().read_to_end(&mut text).unwrap();
    text
}

/// As a stranger would read it: every file of `cast/` through zstd, one after the other.
pub(crate) fn zstdcat(dir: &Path, session: &SessionId) -> Vec<u8> {
    let cast = dir.join("recordings").join(session.to_string()).join("cast");
    let mut names: Vec<_> = std::fs::read_dir(cast).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names.iter().flat_map(|name| zstd::decode_all(std::fs::File::open(name).unwrap()).unwrap()).collect()
}
