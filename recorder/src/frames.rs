//! The frame maker: one thread behind the live path that reads the journal, stores casts, closes recordings and frees journal files.
//! It never holds up a session except through the journal's bound; a full disk makes it wait and try again, and nothing is lost.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use access::words::SessionId;
use wire::journal::{Kind, Opened, Position, Record, Sealed};

use crate::journal::{AppendError, Cursor, Entry, Step};
use crate::open::{ClosedRecording, Live, Shared};
use crate::pace::{Now, Pace};
use crate::segment::{Cast, Squeeze, folder};

/// How often it looks for new records while sessions are open.
const TICK: Duration = Duration::from_millis(250);
/// Most text of all sessions together that waits for a frame to fill.
const PENDING: usize = 32 * 1024 * 1024;
/// Most bytes of the journal that one round reads.
const ROUND: u64 = 32 * 1024 * 1024;

struct Making {
    cast: Cast,
    /// File of the last record that says everything.
    base: u64,
    /// How far the journal knows that it is stored: what comes after is needed to resume.
    told_upto: Position,
    /// The journal knows what is stored.
    told: bool,
    /// The next record must hold everything, since a segment became full.
    whole: bool,
    seen: Position,
}

impl Making {
    /// The first file that a resume would need.
    fn needs(&self) -> u64 {
        self.base.min(self.told_upto.file)
    }
}

pub(crate) struct Maker {
    shared: Arc<Shared>,
    cursor: Cursor,
    squeeze: Squeeze,
    making: HashMap<SessionId, Making>,
    pending: usize,
    pace: Pace,
}

impl Maker {
    pub(crate) fn new(shared: Arc<Shared>) -> io::Result<Self> {
        let (head, _) = shared.journal.snapshot();
        shared.journal.all_consumed();
        let pace = Pace::new(Instant::now(), shared.limits.age);
        Ok(Self { shared, cursor: Cursor::new(head), squeeze: Squeeze::new()?, making: HashMap::new(), pending: 0, pace })
    }

    /// Until the recorder is dropped; then everything is stored once more.
    pub(crate) fn run(mut self) {
        // Behind the live path: a busy machine serves sessions first. Where that is not allowed it runs like the rest.
        let _ = rustix::process::nice(19);
        loop {
            let stop = self.shared.stop.load(Ordering::Acquire);
            if !stop && self.rests() {
                std::thread::park_timeout(TICK);
                continue;
            }
            let result = self.round(stop);
            if let Err(error) = &result {
                self.shared.free_reserve();
                tracing::error!(%error, "recordings cannot be stored; they stay in the journal for now");
            } else {
                self.shared.keep_reserve();
            }
            let result_ok = result.is_ok();
            self.shared.set_trouble(result.err().map(|error| error.to_string()));
            if stop && (self.drained() || !result_ok) {
                return;
            }
            if result_ok && !self.drained() && (stop || self.behind()) {
                continue;
            }
            if self.drained() {
                self.pace.caught_up();
            }
            if self.making.is_empty() && self.drained() {
                self.cursor.shrink();
                std::thread::park_timeout(TICK * 40);
            } else {
                std::thread::park_timeout(TICK);
            }
        }
    }

    fn rests(&mut self) -> bool {
        let journal = &self.shared.journal;
        self.pace.rests(Now {
            at: Instant::now(),
            appended: journal.appended(),
            backlog: journal.backlog(),
            most: journal.most_backlog(),
            awaited: self.shared.is_awaited(),
        })
    }

    fn drained(&self) -> bool {
        self.cursor.at() >= self.shared.journal.snapshot().0
    }

    /// Whether there is so much to do that it does not wait for the next tick.
    fn behind(&self) -> bool {
        self.shared.journal.backlog() > ROUND / 32
    }

    fn round(&mut self, all: bool) -> Result<(), AppendError> {
        // What failed before comes first: no more is read while it cannot be stored.
        self.store_due(false)?;
        self.read()?;
        if self.drained() {
            self.take_endings()?;
        }
        self.store_due(all || self.pending > PENDING)?;
        self.renew()?;
        self.publish();
        let needed = self.making.values().map(Making::needs).min();
        self.shared.free_before(needed.unwrap_or(u64::MAX).min(self.cursor.at().file));
        Ok(())
    }

    /// Reads on to where the journal ends now, but not so far that journal files are freed late.
    fn read(&mut self) -> Result<(), AppendError> {
        let (until, files) = self.shared.journal.snapshot();
        let mut read = 0;
        while read < ROUND {
            let (record, before) = match self.cursor.next(&files, until)? {
                Step::Record(record, before) => (record, before),
                Step::End => break,
                Step::Gone | Step::Bad => return Err(io::Error::other("the journal cannot be read back").into()),
            };
            let size = record.size() as u64;
            let after = Position { file: before.file, offset: before.offset + size };
            let session = record.head.session;
            let fed = feed(&mut self.making, &self.shared, &record, before, after);
            self.shared.consumed(size);
            read += size;
            match fed {
                Ok(added) => self.pending += added,
                // A record of our own that does not parse is a bug; the session's other records are still told.
                Err(error) => tracing::error!(%session, %error, "a journal record was skipped"),
            }
            let due = self.making.get(&session).is_some_and(|making| making.cast.is_due(&self.shared.limits));
            if due {
                self.store(&session)?;
            }
            if self.pending > PENDING {
                self.store_due(true)?;
            }
        }
        Ok(())
    }

    /// Sessions whose end could not be written to the journal.
    fn take_endings(&mut self) -> Result<(), AppendError> {
        for (session, elapsed, ending) in self.shared.take_endings() {
            if let Some(making) = self.making.get_mut(&session) {
                making.cast.end(elapsed, ending)?;
            }
        }
        Ok(())
    }

    fn store_due(&mut self, all: bool) -> Result<(), AppendError> {
        let limits = self.shared.limits;
        let due: Vec<_> = self
            .making
            .iter()
            .filter(|(_, making)| making.cast.is_due(&limits) || !making.told || (all && making.cast.pending() > 0))
            .map(|(session, _)| *session)
            .collect();
        due.iter().try_for_each(|session| self.tell(session))
    }

    /// Sessions that lean on a file which was read to its end say everything anew, so that it can be freed.
    fn renew(&mut self) -> Result<(), AppendError> {
        let file = self.cursor.at().file;
        let old: Vec<_> = self.making.iter().filter(|(_, making)| making.needs() < file).map(|(session, _)| *session).collect();
        for session in old {
            if let Some(making) = self.making.get_mut(&session) {
                making.told = false;
                making.whole = true;
                // Everything before the cursor was fed.
                making.cast.upto = self.cursor.at();
            }
            self.tell(&session)?;
        }
        Ok(())
    }

    fn store(&mut self, session: &SessionId) -> Result<(), AppendError> {
        let Some(making) = self.making.get_mut(session) else { return Ok(()) };
        let pending = making.cast.pending();
        if pending > 0 {
            making.whole |= making.cast.store(&mut self.squeeze, &self.shared.limits)?;
            making.told = false;
            self.pending = self.pending.saturating_sub(pending);
        }
        if making.cast.convert.ending.is_some() {
            return self.close(session);
        }
        Ok(())
    }

    /// Stores what waits, makes it durable and tells the journal: one `fdatasync` for all frames of a session since the last time.
    fn tell(&mut self, session: &SessionId) -> Result<(), AppendError> {
        self.store(session)?;
        let Some(making) = self.making.get_mut(session) else { return Ok(()) };
        if !making.told {
            making.cast.sync()?;
            let kind = if making.whole { Kind::Snapshot } else { Kind::Framed };
            let entry = Entry { kind, stream: None, session: *session, elapsed: making.cast.convert.elapsed, offset: 0 };
            let place = if making.whole {
                self.shared.journal.append_json(&entry, &making.cast.snapshot())?
            } else {
                self.shared.journal.append_json(&entry, &making.cast.framed())?
            };
            if making.whole {
                making.base = place.file;
            }
            making.told = true;
            making.told_upto = making.cast.upto;
            making.whole = false;
            self.shared.set_live(session, Live { snapshot: Arc::new(making.cast.snapshot()), from: making.cast.upto });
        }
        Ok(())
    }

    fn close(&mut self, session: &SessionId) -> Result<(), AppendError> {
        let Some(making) = self.making.get_mut(session) else { return Ok(()) };
        making.cast.sync()?;
        let cast = &making.cast;
        let manifest = cast.manifest(&self.shared.install, &*self.shared.sign)?;
        let entry = Entry { kind: Kind::Sealed, stream: None, session: *session, elapsed: cast.convert.elapsed, offset: 0 };
        self.shared.journal.append_json(&entry, &Sealed { manifest })?;
        let closed = ClosedRecording::of(cast, manifest);
        self.making.remove(session);
        self.shared.closed(session, closed);
        Ok(())
    }

    /// Lets readers of quiet sessions begin where there is something new.
    fn publish(&mut self) {
        let at = self.cursor.at();
        for (session, making) in &mut self.making {
            if making.cast.pending() > 0 || making.seen == at {
                continue;
            }
            making.seen = at;
            self.shared.set_live_from(session, &making.cast, at);
        }
    }
}

/// Gives one record to its session's cast. Answers how many bytes of text that made.
fn feed(
    making: &mut HashMap<SessionId, Making>,
    shared: &Shared,
    record: &Record<'_>,
    before: Position,
    after: Position,
) -> io::Result<usize> {
    let session = record.head.session;
    match record.head.kind {
        Kind::Header | Kind::Framed | Kind::Snapshot | Kind::Sealed => return Ok(0),
        Kind::Open => {
            let opened: Opened = serde_json::from_slice(record.payload).map_err(io::Error::other)?;
            let cast = Cast::new(folder(&shared.dir, &session), opened, before);
            making.insert(session, Making { cast, base: before.file, told_upto: before, told: true, whole: false, seen: before });
        }
        _ => {}
    }
    let Some(making) = making.get_mut(&session) else { return Ok(0) };
    let had = making.cast.pending();
    making.cast.feed(record, after)?;
    Ok(making.cast.pending() - had)
}
