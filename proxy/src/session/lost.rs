//! Sessions that an earlier run left without an end: their `session.end` is written at the start, as if their loop had done it.
//! There are two kinds. Some were still being recorded; the recorder has finished those. Of others the recording was closed, or there
//! was none to close, and the run ended before the log was told.

use std::collections::BTreeMap;
use std::time::Duration;

use access::event::{Actor, ActorKind, Client, Damage, Event, OutcomeResult, SessionRef, Target, TargetKind, What};
use access::policy::RecordingMode;
use access::time::Timestamp;
use access::words::SessionId;
use recorder::log::{Repaired, Unended};
use recorder::{About, Log, LogError, Lost, Recording, Recordings, Recovered};
use wire::api::SessionRow;

use super::table::Table;
use crate::clock;

/// Why the sessions of an earlier run could not be ended.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum LostError {
    #[error(transparent)]
    Read(#[from] recorder::log::ReadError),
    #[error(transparent)]
    Append(#[from] LogError),
}

/// As many ids as surely fit into one event.
const SESSIONS_AN_EVENT: usize = 500;

/// Whose session it was and what of it is known.
struct Begun {
    actor: Actor,
    client: Option<Client>,
    target: Option<Target>,
    session: SessionRef,
    command: Option<String>,
    started: Timestamp,
    recording: String,
    /// Its end was written, and only its recording was not closed.
    closing: bool,
    /// HEAD covered its beginning, so its recording was durable too.
    durable: bool,
}

/// How it ended, as far as that is known.
struct End {
    reason: String,
    output_bytes: u64,
    input_bytes: u64,
    duration: Duration,
    manifest: Option<String>,
    /// What its recording does not have.
    lacks: access::event::Lost,
}

/// Ends them all, and says first what was damaged. Comes before `server.started` is logged: the next start looks for such sessions only
/// from there on. Comes before the first commit too: until HEAD covers what is said here, it covers the journal of the run before, so that
/// a kill in between hides no damage.
pub(crate) fn finish_lost(
    found: &Repaired,
    recovered: &Recovered,
    recordings: &Recordings,
    log: &Log,
    table: &Table,
) -> Result<(), LostError> {
    let mut begun: BTreeMap<SessionId, Begun> =
        log.unended()?.into_iter().filter_map(|unended| Begun::of_log(unended, found.durable)).map(|b| (b.session.id, b)).collect();
    let recovers = |id: &SessionId| recovered.sessions.iter().any(|lost| lost.about.session == *id);
    let gone = begun.values().filter(|b| b.durable && b.is_recorded() && !recovers(&b.session.id));
    let gone = gone.map(|b| b.session.id).filter(|id| recordings.manifest(id).is_err()).collect();
    tell(found, recovered, gone, log)?;
    for lost in &recovered.sessions {
        let begun = begun.remove(&lost.about.session).unwrap_or_else(|| Begun::of_recording(lost));
        let closed = &lost.closed;
        let end = End {
            reason: closed.reason.clone(),
            output_bytes: closed.output_bytes,
            input_bytes: closed.input_bytes,
            duration: closed.duration,
            manifest: closed.manifest.map(|hash| hash.to_string()),
            lacks: closed.lost.clone(),
        };
        write(begun, end, log, table)?;
    }
    for (id, begun) in begun {
        let end = stored(&id, &begun, recordings);
        write(begun, end, log, table)?;
    }
    Ok(())
}

/// What was found wrong with the recordings of sessions that were live; `gone` are those of which nothing is left.
fn tell(found: &Repaired, recovered: &Recovered, gone: Vec<SessionId>, log: &Log) -> Result<(), LogError> {
    let mut damage = recovered.damage.clone().unwrap_or_default();
    if recovered.damage.is_none() {
        (damage.file, damage.offset) = found.journal.map_or((0, 0), |head| (head.file, head.offset));
    }
    if recovered.damage.is_none() && gone.is_empty() {
        if recovered.set_aside_bytes > 0 {
            let cause = "the recorder's journal ended in bytes that are no record".to_owned();
            let gap = What::AuditGap { cause, bytes: recovered.set_aside_bytes, damage: None };
            let _told = log.append(&Event::new(clock::now(), Actor::system(), gap))?;
        }
        return Ok(());
    }
    tracing::error!(
        file = damage.file,
        offset = damage.offset,
        "recordings of live sessions are missing or changed since HEAD covered them"
    );
    damage.sessions.extend(gone);
    let mut some = damage.sessions.chunks(SESSIONS_AN_EVENT).map(<[_]>::to_vec).collect::<Vec<_>>();
    if some.is_empty() {
        some.push(Vec::new());
    }
    for sessions in some {
        let cause = "recordings of live sessions are missing or changed since HEAD covered them".to_owned();
        let damage = Some(Damage { sessions, ..damage.clone() });
        let gap = What::AuditGap { cause, bytes: recovered.set_aside_bytes, damage };
        let _told = log.append(&Event::new(clock::now(), Actor::system(), gap))?;
    }
    Ok(())
}

/// What the manifest says, where there is one that we signed.
fn stored(id: &SessionId, begun: &Begun, recordings: &Recordings) -> End {
    match recordings.manifest(id) {
        Ok((manifest, hash)) => End {
            reason: manifest.reason,
            output_bytes: manifest.output_bytes,
            // The manifest does not count it; the recording has it.
            input_bytes: 0,
            duration: manifest.ended.since(manifest.started),
            manifest: Some(hash.to_string()),
            lacks: manifest.lost,
        },
        Err(error) => {
            let mut lacks = access::event::Lost::default();
            if begun.is_recorded() {
                tracing::error!(%error, session = %id, "a session of an earlier run has no recording that can be believed");
                lacks.begin(if begun.durable { "its recording is gone" } else { access::event::Lost::NOT_ON_DISK });
            }
            End { reason: "proxy_lost".to_owned(), output_bytes: 0, input_bytes: 0, duration: Duration::ZERO, manifest: None, lacks }
        }
    }
}

impl Begun {
    fn is_recorded(&self) -> bool {
        self.recording != RecordingMode::Off.as_str()
    }

    fn of_log(unended: Unended, durable: u64) -> Option<Self> {
        let durable = unended.start.seq <= durable;
        let start = unended.start.event;
        let What::SessionStart { command, recording, .. } = start.what else { return None };
        Some(Self {
            actor: start.actor,
            client: start.client,
            target: start.target,
            session: start.session?,
            command: command.map(|command| command.text),
            started: start.time,
            recording,
            closing: unended.closing,
            durable,
        })
    }

    /// The log was not even told that it began.
    fn of_recording(lost: &Lost) -> Self {
        let About { session, user, user_name, node, login, kind, connection, command, started, .. } = lost.about.clone();
        let labels = Default::default();
        let recording = match lost.mode.recording {
            Recording::Strict => RecordingMode::Strict,
            Recording::BestEffort => RecordingMode::BestEffort,
            Recording::Off => RecordingMode::Off,
        };
        Self {
            actor: Actor { kind: ActorKind::User, id: user.to_string(), name: user_name.to_string(), roles: Vec::new() },
            client: None,
            target: Some(Target { kind: TargetKind::Ssh, name: node.to_string(), labels, agent_id: None, login: Some(login) }),
            session: SessionRef { id: session, kind, connection: Some(connection), offset_ms: None },
            command,
            started,
            recording: recording.as_str().to_owned(),
            closing: false,
            durable: true,
        }
    }

    /// As people see it; none where the log has names that are none.
    fn row(self, end: &End) -> Option<SessionRow> {
        let target = self.target?;
        Some(SessionRow {
            id: self.session.id,
            user: self.actor.name.parse().ok()?,
            node: target.name.parse().ok()?,
            login: target.login?,
            kind: self.session.kind,
            command: self.command,
            connection: self.session.connection,
            started: self.started,
            ended: Some(self.started.plus(end.duration)),
            reason: Some(end.reason.clone()),
            exit: None,
            signal: None,
            output_bytes: end.output_bytes,
            lost: end.lacks.clone(),
            recording: self.recording,
            live: false,
        })
    }
}

fn write(begun: Begun, end: End, log: &Log, table: &Table) -> Result<(), LostError> {
    let id = begun.session.id;
    let what = match (begun.closing, end.manifest.clone()) {
        (true, Some(manifest)) => What::RecordingClosed { output_bytes: end.output_bytes, manifest, lost: end.lacks.clone() },
        // What it lacks was said where it was looked for.
        (true, None) => return Ok(()),
        (false, manifest) => session_end(&end, manifest),
    };
    let mut event = Event::new(clock::now(), begun.actor.clone(), what);
    event.client = begun.client.clone();
    event.target = begun.target.clone();
    event.session = Some(begun.session.clone());
    if begun.closing {
        let _logged = log.append(&event)?;
        return Ok(());
    }
    event.outcome.result = OutcomeResult::Unknown;
    let _logged = log.append(&event)?;
    match begun.row(&end).map(|row| table.ended(&row)) {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::error!(%error, session = %id, "a lost session could not be listed"),
        None => tracing::error!(session = %id, "a lost session has a name that is none, and could not be listed"),
    }
    Ok(())
}

fn session_end(end: &End, manifest: Option<String>) -> What {
    What::SessionEnd {
        reason: end.reason.clone(),
        output_bytes: end.output_bytes,
        input_bytes: end.input_bytes,
        duration_ms: u64::try_from(end.duration.as_millis()).unwrap_or(u64::MAX),
        manifest,
        closing: None,
        lost: end.lacks.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use access::decide::{OpenSession, decide};
    use access::event::SessionKind;
    use access::identity::{Identity, NodeFacts, UserId};
    use access::policy::PolicySet;
    use recorder::log::{Filter, LogSettings};
    use recorder::{Circumstances, Ending, OpenRecording, RecorderSettings};
    use wire::frames::Stream;
    use wire::proof::{Hash, MemoryKey, Sign};

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn id(number: u8) -> SessionId {
        SessionId::from_bytes([number; 16])
    }

    fn start(dir: &Path) -> (Log, Recordings, Recovered) {
        let key: Arc<dyn Sign> = Arc::new(MemoryKey::from_seed(&[7; 32]).expect("a key"));
        let install: access::words::InstallId = "i-1".parse().expect("an id");
        let (log, _) = Log::start(LogSettings::new(dir.join("log"), install.clone(), "proxy-1"), key.clone()).expect("a log");
        let (recordings, recovered) = Recordings::start(RecorderSettings::new(dir, install), key).expect("a recorder");
        (log, recordings, recovered)
    }

    fn begin(number: u8, log: &Log, recordings: &Recordings) -> OpenRecording {
        let role = r#"{"allow":{"ssh":[{"labels":{"*":["*"]},"logins":["root"]}]}}"#;
        let role = ("any".parse().expect("a name"), serde_json::from_str(role).expect("a role"));
        let policy = PolicySet::build(vec![role]).expect("a policy");
        let identity = Identity {
            user: UserId { issuer: "i-1".into(), subject: "alice".into() },
            name: "alice".parse().expect("a name"),
            roles: vec!["any".parse().expect("a name")],
            traits: Default::default(),
            expires: NOW.plus(Duration::from_secs(60)),
            auth: Default::default(),
            context: Default::default(),
            granted: Vec::new(),
        };
        let node = NodeFacts { name: "demo".parse().expect("a name"), labels: Default::default(), agent: None };
        let question = OpenSession {
            identity: identity.clone(),
            node,
            login: "root".parse().expect("a login"),
            kind: SessionKind::Shell,
            begun: None,
            command: None,
        };
        let permit = decide(question, &policy, NOW).expect("a permit");
        let circumstances =
            Circumstances { session: id(number), connection: "c".into(), command: None, terminal: None, term: None, started: NOW };
        let mut recording = recordings.open(&permit, circumstances).expect("a recording");
        let _shown = recording.output(Stream::Stdout, bytes::Bytes::from_static(b"shown")).expect("recorded");
        let mut event = Event::new(
            NOW,
            Actor::user(&identity),
            What::SessionStart { command: None, terminal: None, recording: "strict".into(), reason: None, request: None },
        );
        event.session = Some(SessionRef { id: id(number), kind: SessionKind::Shell, connection: Some("c".into()), offset_ms: None });
        let login = "root".parse().ok();
        event.target = Some(Target { kind: TargetKind::Ssh, name: "demo".into(), labels: Default::default(), agent_id: None, login });
        let _logged = log.append(&event).expect("logged");
        recording
    }

    fn ends(log: &Log) -> Vec<(SessionId, String, Option<String>)> {
        let filter = Filter { types: vec!["session.end".into()], ..Filter::default() };
        let found = log.search(filter, 1, 100).expect("a search");
        let event = |entry: Result<recorder::log::Entry, _>| entry.expect("read").event().expect("an event").event;
        let end = |event: Event| match event.what {
            What::SessionEnd { reason, manifest, .. } => Some((event.session?.id, reason, manifest)),
            _ => None,
        };
        found.filter_map(|entry| end(event(entry))).collect()
    }

    /// Killed between the seal of a recording and the event that tells of it; while one was recorded; before one was recorded at all.
    #[tokio::test]
    async fn a_kill_at_each_step_of_an_end_leaves_one_end_in_the_log() {
        let dir = tempfile::tempdir().expect("a folder");
        let (log, recordings, _) = start(dir.path());
        let table = Table::new(Arc::new(store::kv::memory()));
        finish_lost(&Repaired::default(), &Recovered::default(), &recordings, &log, &table).expect("nothing to do");
        let booted = What::ServerStarted { version: "0".into(), boot: 0 };
        let _logged = log.append(&Event::new(NOW, Actor::system(), booted.clone())).expect("logged");
        let sealed = begin(1, &log, &recordings).close(Ending { reason: "killed".into(), exit: None }).await;
        let copied = tempfile::tempdir().expect("a folder");
        let open = begin(2, &log, &recordings);
        let mut off = Event::new(
            NOW,
            Actor::system(),
            What::SessionStart { command: None, terminal: None, recording: "off".into(), reason: None, request: None },
        );
        off.session = Some(SessionRef { id: id(3), kind: SessionKind::Exec, connection: None, offset_ms: None });
        off.actor.name = "alice".to_owned();
        let login = "root".parse().ok();
        off.target = Some(Target { kind: TargetKind::Ssh, name: "demo".into(), labels: Default::default(), agent_id: None, login });
        let _logged = log.append(&off).expect("logged");
        copy(dir.path(), copied.path());

        let (log, recordings, recovered) = start(copied.path());
        assert_eq!(recovered.sessions.len(), 1, "the sealed one is not among them");
        finish_lost(&Repaired::default(), &recovered, &recordings, &log, &table).expect("ended");
        let mut found = ends(&log);
        found.sort();
        let stored = |number| {
            let file = copied.path().join(format!("recordings/{}/manifest.json", id(number)));
            Some(Hash::of(&std::fs::read(file).expect("a manifest")).to_string())
        };
        assert_eq!(found[0], (id(1), "killed".into(), stored(1)));
        assert_eq!(found[0].2, sealed.manifest.map(|hash| hash.to_string()));
        assert_eq!(found[1], (id(2), "proxy_lost".into(), stored(2)));
        assert_eq!(found[2], (id(3), "proxy_lost".into(), None));
        let row = table.get(&id(1)).expect("a store").expect("a row");
        assert_eq!((row.reason.as_deref(), row.output_bytes, row.user.as_str()), (Some("killed"), 5, "alice"));
        let row = table.get(&id(3)).expect("a store").expect("a row");
        assert_eq!((row.recording.as_str(), row.reason.as_deref(), row.live), ("off", Some("proxy_lost"), false));
        assert!(log.unended().expect("read").is_empty());
        finish_lost(&Repaired::default(), &Recovered::default(), &recordings, &log, &table).expect("nothing left");
        assert_eq!(ends(&log).len(), 3);
        drop(open);
    }

    /// Nothing is left of a recording: HEAD covered its session, and that is damage; or it did not, and the power took it.
    #[tokio::test]
    async fn a_recording_that_is_gone_is_damage_only_where_head_covered_its_session() {
        for durable in [0, 1] {
            let dir = tempfile::tempdir().expect("a folder");
            let (log, recordings, _) = start(dir.path());
            let open = begin(1, &log, &recordings);
            let copied = tempfile::tempdir().expect("a folder");
            copy(&dir.path().join("log"), &copied.path().join("log"));
            let (log, recordings, recovered) = start(copied.path());
            let table = Table::new(Arc::new(store::kv::memory()));
            let found = Repaired { durable, ..Repaired::default() };
            finish_lost(&found, &recovered, &recordings, &log, &table).expect("ended");
            assert_eq!(ends(&log), [(id(1), "proxy_lost".to_owned(), None)]);
            let cause = table.get(&id(1)).expect("a store").expect("a row").lost.cause;
            assert_eq!(cause.as_deref() == Some(access::event::Lost::NOT_ON_DISK), durable == 0);
            let filter = Filter { types: vec!["audit.gap".into()], ..Filter::default() };
            let gaps =
                log.search(filter, 1, 100).expect("a search").map(|entry| entry.expect("read").event().expect("an event").event.what);
            let hit = gaps.filter_map(|what| match what {
                What::AuditGap { damage, .. } => damage.map(|damage| damage.sessions),
                _ => None,
            });
            assert_eq!(hit.collect::<Vec<_>>(), vec![vec![id(1)]; durable as usize]);
            drop(open);
        }
    }

    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).expect("a folder");
        for entry in std::fs::read_dir(from).expect("a folder").map(|entry| entry.expect("an entry")) {
            let to = to.join(entry.file_name());
            if entry.file_type().expect("a type").is_dir() {
                copy(&entry.path(), &to);
            } else {
                std::fs::copy(entry.path(), to).expect("copied");
            }
        }
    }
}
