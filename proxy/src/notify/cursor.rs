//! What is sent, and how far it got: a position in the log and in the file of checkpoints, kept in the store after each message.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use access::policy::Pattern;
use recorder::log::{Entry, Log, LogReader, ReadError};
use serde::{Deserialize, Serialize};
use store::kv::{Expect, Kv, KvError};
use wire::proof::{Checkpoint, unseal};

/// Where positions are.
pub(super) const SINKS: &str = "sink/";
/// Most events that are looked at before what is wanted of them is sent.
const BATCH: usize = 256;
/// Most bytes of messages that wait in memory.
const BATCH_BYTES: usize = 512 * 1024;

/// A position is kept after this many events of which none is sent.
const FAR: u64 = 1_000;

/// Events that leave: who came, who was refused, what was done, what became of the recording, and who changed the rules. The events
/// about receivers themselves are not among them, so that a delivery never causes another.
pub(super) const SENT: [&str; 48] = [
    "access.denied",
    "agent.connected",
    "agent.joined",
    "agent.left",
    "agent.refused",
    "agent.removed",
    "audit.gap",
    "auth.login",
    "auth.login.failed",
    "auth.ended",
    "auth.changed",
    "auth.logout.refused",
    "auth.step_up",
    "auth.break_glass",
    "certificate.changed",
    "certificate.failed",
    "backup.made",
    "lock.created",
    "lock.removed",
    "request.created",
    "request.approved",
    "request.denied",
    "request.expired",
    "request.revoked",
    "request.used",
    "access.would_deny",
    "access.condition_failed",
    "session.extended",
    "provider.failed",
    "provider.recovered",
    "policy.changed",
    "recording.closed",
    "recording.exported",
    "recording.lost",
    "recording.viewed",
    "server.started",
    "server.stopped",
    "session.end",
    "session.resumed",
    "session.start",
    "session.terminated",
    "ssh.refused",
    "store.restored",
    "token.created",
    "token.removed",
    "token.used",
    "view.fresh",
    "view.stale",
];

/// How far a receiver got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Position {
    /// The number of the event that comes next.
    pub(super) event: u64,
    /// The byte of the file of checkpoints at which the next begins.
    pub(super) checkpoint: u64,
}

/// One thing to send.
#[derive(Debug)]
pub(super) struct Message {
    /// The event's id: the same in every try and every receiver.
    pub(super) id: String,
    /// `{"type", "timestamp", "data"}`, where `data` is the line of the log as stored.
    pub(super) body: bytes::Bytes,
    /// The position when it has been accepted.
    pub(super) after: Position,
}

/// What was read in one go.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) messages: Vec<Message>,
    /// The position behind everything that was looked at.
    pub(super) end: Position,
    /// How many events were looked at.
    pub(super) seen: usize,
}

/// A position that moves.
pub(super) struct Cursor {
    key: String,
    store: Arc<dyn Kv>,
    pub(super) log: Log,
    reader: Option<LogReader>,
    position: Position,
    /// The event of the position that was kept last.
    kept: u64,
    /// The event of the position, for whoever looks on.
    pub(super) at: Arc<AtomicU64>,
    /// Types that are wanted; empty is every one.
    wanted: Arc<[Pattern]>,
}

impl std::fmt::Debug for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cursor").field("key", &self.key).field("position", &self.position).finish_non_exhaustive()
    }
}

impl Cursor {
    /// At the kept position. A new one is at the log's end, and that is kept at once, so that a receiver that is away from the first
    /// moment misses nothing.
    pub(super) fn open(name: &str, log: Log, store: Arc<dyn Kv>) -> Result<Self, KvError> {
        let key = format!("{SINKS}{name}");
        let position = match store.get(&key)? {
            Some(kept) => serde_json::from_slice(&kept.value).map_err(|_| KvError::Damaged(key.clone()))?,
            None => {
                let new = Position { event: *log.last().borrow() + 1, checkpoint: end_of_checkpoints(&log)? };
                store.put(&key, &bytes_of(new), Expect::Absent)?;
                new
            }
        };
        let at = Arc::new(AtomicU64::new(position.event));
        Ok(Self { key, store, log, reader: None, position, kept: position.event, at, wanted: Arc::new([]) })
    }

    /// The same for these types of events alone.
    pub(super) fn of(self, wanted: Vec<Pattern>) -> Self {
        Self { wanted: wanted.into(), ..self }
    }

    /// How many events have not been looked at.
    pub(super) fn behind(&self) -> u64 {
        (*self.log.last().borrow() + 1).saturating_sub(self.position.event)
    }

    /// What comes next, checkpoints first: the earlier they leave, the more they prove.
    pub(super) async fn batch(&mut self) -> Result<Batch, ReadError> {
        let (log, reader, position, wanted) = (self.log.clone(), self.reader.take(), self.position, self.wanted.clone());
        let read = tokio::task::spawn_blocking(move || {
            let mut reader = match reader {
                Some(reader) if reader.position() == position.event => reader,
                _ => log.reader(position.event)?,
            };
            read(&log, &mut reader, position, &wanted).map(|batch| (batch, reader))
        });
        let gone = |error| ReadError::Io { path: "log".into(), source: std::io::Error::other(error) };
        let (batch, reader) = read.await.map_err(gone)??;
        self.reader = Some(reader);
        Ok(batch)
    }

    /// Waits until an event comes.
    pub(super) async fn ready(&mut self) {
        let next = self.position.event;
        if self.log.last().wait_for(|last| *last >= next).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether so much was passed over since a position was kept that a restart should not go that way again.
    pub(super) fn is_far(&self, to: Position) -> bool {
        to.event.saturating_sub(self.kept) >= FAR
    }

    /// Moves without keeping it: what was looked at and not sent may be looked at again.
    pub(super) fn skip(&mut self, to: Position) {
        self.position = to;
        self.at.store(to.event, Ordering::Relaxed);
    }

    /// Moves, and keeps it. When this returns a crash does not send again what came before.
    pub(super) async fn keep(&mut self, to: Position) -> Result<(), KvError> {
        let (store, key) = (self.store.clone(), self.key.clone());
        let put = tokio::task::spawn_blocking(move || store.put(&key, &bytes_of(to), Expect::Any));
        put.await.map_err(|error| KvError::Io(std::io::Error::other(error)))??;
        (self.position, self.kept) = (to, to.event);
        self.at.store(to.event, Ordering::Relaxed);
        Ok(())
    }
}

fn bytes_of(position: Position) -> Vec<u8> {
    serde_json::to_vec(&position).unwrap_or_default()
}

fn end_of_checkpoints(log: &Log) -> Result<u64, KvError> {
    let mut end = 0;
    while let Some((_, next)) = log.checkpoint_at(end).map_err(|error| KvError::Io(std::io::Error::other(error)))? {
        end = next;
    }
    Ok(end)
}

fn read(log: &Log, reader: &mut LogReader, mut at: Position, wanted: &[Pattern]) -> Result<Batch, ReadError> {
    let is_wanted = |kind: &str| wanted.is_empty() || wanted.iter().any(|pattern| pattern.matches(kind));
    let (mut messages, mut bytes, mut seen) = (Vec::new(), 0, 0);
    while messages.len() < BATCH
        && let Some((line, next)) = log.checkpoint_at(at.checkpoint)?
    {
        at.checkpoint = next;
        match checkpoint(&line) {
            Some((id, body)) if is_wanted("audit.checkpoint") => messages.push(Message { id, body, after: at }),
            Some(_) => {}
            None => tracing::error!("a checkpoint of the audit log is damaged and is not sent; run `naru audit verify`"),
        }
    }
    while seen < BATCH && bytes < BATCH_BYTES {
        let Some(entry) = reader.next()? else { break };
        seen += 1;
        at.event = entry.seq + 1;
        if let Some((id, body)) = event(&entry, is_wanted)? {
            bytes += body.len();
            messages.push(Message { id, body, after: at });
        }
    }
    Ok(Batch { messages, end: at, seen })
}

fn event(entry: &Entry, is_wanted: impl Fn(&str) -> bool) -> Result<Option<(String, bytes::Bytes)>, ReadError> {
    /// What is needed of a line.
    #[derive(Deserialize)]
    struct Head {
        id: String,
        time: String,
        #[serde(rename = "type")]
        kind: String,
    }
    let head: Head = serde_json::from_slice(&entry.line).map_err(|source| ReadError::Line { seq: entry.seq, source })?;
    if !SENT.contains(&head.kind.as_str()) || !is_wanted(&head.kind) {
        return Ok(None);
    }
    let body = envelope(&head.kind, &head.time, &entry.line);
    Ok(Some((head.id, body)))
}

fn checkpoint(line: &[u8]) -> Option<(String, bytes::Bytes)> {
    let (said, _) = unseal::<Checkpoint>(line, None).ok()?;
    // Full stops separate the parts that are signed.
    let id = format!("checkpoint-{}-{}-{}", said.install, said.stream, said.count).replace('.', "_");
    Some((id, envelope("audit.checkpoint", &said.time.to_string(), line)))
}

/// The envelope that Standard Webhooks advises. `data` goes in byte for byte, so that its hash can be checked by whoever receives it.
fn envelope(kind: &str, time: &str, data: &[u8]) -> bytes::Bytes {
    let mut body =
        format!("{{\"type\":{},\"timestamp\":{},\"data\":", serde_json::Value::from(kind), serde_json::Value::from(time)).into_bytes();
    body.extend_from_slice(data);
    body.push(b'}');
    body.into()
}
