//! What the tests of the log share: a place for a log, and events to put in it.
#![allow(dead_code, reason = "not every test file uses every part")]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use access::event::{Actor, ActorKind, Event, SessionKind, SessionRef, Target, TargetKind, What};
use access::time::Timestamp;
use access::words::SessionId;
use recorder::log::{Log, LogSettings, Repaired, StartError};
use wire::proof::{MemoryKey, Sign};

pub(crate) struct Place {
    pub(crate) temp: tempfile::TempDir,
    pub(crate) settings: LogSettings,
    pub(crate) key: Arc<MemoryKey>,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::of("one", 7)
    }
    pub(crate) fn of(install: &str, seed: u8) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let settings = LogSettings::new(temp.path().join("log"), install.parse().unwrap(), "proxy-1");
        fs::write(temp.path().join("VERSION"), format!("{{\"format\":1,\"install\":\"{install}\"}}\n")).unwrap();
        Self { temp, settings, key: Arc::new(MemoryKey::from_seed(&[seed; 32]).unwrap()) }
    }
    pub(crate) fn sign(&self) -> Arc<dyn Sign> {
        self.key.clone()
    }
    pub(crate) fn try_start(&self) -> Result<(Log, Repaired), StartError> {
        Log::start(self.settings.clone(), self.sign())
    }
    pub(crate) fn start(&self) -> (Log, Repaired) {
        self.try_start().unwrap()
    }
    pub(crate) fn stream(&self) -> PathBuf {
        self.temp.path().join("log/proxy-1")
    }
    pub(crate) fn cut_last_lines(&self, count: usize) {
        let path = self.stream().join("00000001.jsonl");
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.split_inclusive('\n').collect();
        fs::write(&path, lines[..lines.len() - count].concat()).unwrap();
    }
}

pub(crate) fn denied(asked: &str) -> Event {
    Event::new(Timestamp::from_secs(1_800_000_000), Actor::anonymous(), What::AccessDenied { asked: asked.to_owned() })
}

pub(crate) fn id(number: u64) -> SessionId {
    format!("01933b6c-8b3e-7000-8000-{number:012x}").parse().unwrap()
}

fn of_session(number: u64, user: &str, node: &str, what: What) -> Event {
    let actor = Actor { kind: ActorKind::User, id: format!("local|{user}"), name: user.to_owned(), roles: vec![] };
    let mut event = Event::new(Timestamp::from_secs(1_800_000_000), actor, what);
    event.target = Some(Target { kind: TargetKind::Ssh, name: node.to_owned(), labels: Default::default(), agent_id: None, login: None });
    event.session = Some(SessionRef { id: id(number), kind: SessionKind::Shell, connection: None, offset_ms: None });
    event
}

pub(crate) fn start_of(number: u64, user: &str, node: &str) -> Event {
    of_session(
        number,
        user,
        node,
        What::SessionStart { command: None, terminal: Some((80, 24)), recording: "strict".into(), reason: None, request: None },
    )
}

pub(crate) fn end_of(number: u64, user: &str, node: &str, manifest: Option<String>) -> Event {
    let what = What::SessionEnd {
        reason: "exit".into(),
        output_bytes: 9,
        input_bytes: 0,
        duration_ms: 5,
        manifest,
        closing: None,
        lost: Default::default(),
    };
    of_session(number, user, node, what)
}
