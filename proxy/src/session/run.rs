//! The loop of one session: a closed list of what can wake it, a bound on everything. Output goes far -> recording -> near and only in
//! that order; policy, sign-in, limits, a kill and a lost agent are wakes like any other.

use std::pin::Pin;
use std::time::Duration;

use access::decide::{OpenSession, Permit};
use access::event::What;
use access::policy::RecordingMode;
use bytes::Bytes;
use recorder::{ClosedRecording, OpenRecording, RecordError};
use tokio::sync::mpsc;
use tokio::time::Instant;
use wire::frames::{Attach, Frame, Stream};
use wire::tunnel::{How, SessionRequest};

use super::ended::Ended;
use super::far::{self, Down, FarReader};
use super::input::{Input, Item};
use super::near::{NearEvent, NearRead, NearWrite};
use super::open::{Asker, GRACE_S, NotOpened, Sessions};
use super::resume::{self, Back, Resuming};
use super::show::{Show, say_end, show_all};
use super::table::Place;
use crate::agents::dial::Far;
use crate::clock;

/// Frames of output on their way to the person.
const SHOWING: usize = 16;
/// Frames on their way to the holder.
const SENDING: usize = 16;
/// Output that the holder may keep without hearing that it is recorded; half of the least that it buffers.
const ACK_AFTER: u64 = 128 * 1024;
/// How often limits and the sign-in's end are looked at, and the holder of a quiet session is told what is recorded.
const TICK: Duration = Duration::from_secs(1);
/// How long the last output may take to reach the person.
const LAST_WORDS: Duration = Duration::from_secs(30);
/// How long the last frame to the holder may take.
const LAST_FRAMES: Duration = Duration::from_secs(5);
/// How long storing a recording may take before the end is logged without its hash.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(600);

/// What can wake a session.
enum Wake<'a> {
    Near(NearEvent),
    Far(mpsc::Permit<'a, Show>, std::io::Result<Option<Frame>>),
    ClientGone,
    Policy,
    Stop,
    Send(mpsc::Permit<'a, Down>),
    Room,
    Back(Box<Result<Back, NotOpened>>),
    Tick,
}

/// A session before and while it runs.
pub(crate) struct Session {
    pub(super) host: Sessions,
    pub(super) permit: Permit<OpenSession>,
    pub(super) recording: OpenRecording,
    pub(super) request: SessionRequest,
    pub(super) place: Place,
    pub(super) asker: Asker,
    attach: Attach,
    far: Option<FarReader>,
    /// Whether the holder has said how far it is: before that nothing is sent, lest it be sent twice.
    attached: bool,
    first: Option<Far>,
    input: Input,
    /// Input that waits for room in the recorder.
    held: Option<Item>,
    /// Output that the holder knows to be recorded.
    told: u64,
    away: Option<Instant>,
    near_open: bool,
    began: Instant,
    active: Instant,
}

/// Output that waits for room in the recorder, with its place on the way to the person.
type Pending<'a> = Option<(mpsc::Permit<'a, Show>, Stream, Bytes)>;
type Redial = Option<Pin<Box<dyn Future<Output = Result<Back, NotOpened>> + Send>>>;

impl Session {
    pub(super) fn new(
        host: Sessions,
        permit: Permit<OpenSession>,
        recording: OpenRecording,
        request: SessionRequest,
        far: Far,
        place: Place,
        asker: Asker,
    ) -> Self {
        let now = Instant::now();
        let input = Input::new(host.budget.share());
        Self {
            host,
            permit,
            recording,
            request: SessionRequest { how: How::Resume {}, ..request },
            place,
            asker,
            attach: Attach { secret: secret(), fence: 1, recorded: 0 },
            far: None,
            attached: false,
            first: Some(far),
            input,
            held: None,
            told: 0,
            away: None,
            near_open: true,
            began: now,
            active: now,
        }
    }

    /// Runs to the end; the person has seen it when this returns, and the recording is closed.
    pub(super) async fn run<R: NearRead, W: NearWrite>(mut self, near: R, show: W) -> (Ended, ClosedRecording, Place) {
        let (out, shown) = mpsc::channel(SHOWING);
        let (down, down_queue) = mpsc::channel(SENDING);
        let mut sending = Box::pin(far::write(down_queue));
        let mut showing = Box::pin(show_all(show, shown));
        let (mut sent, mut seen) = (false, None);
        let ended = {
            let mut main = std::pin::pin!(self.main(near, out, down));
            loop {
                tokio::select! {
                    ended = &mut main => break ended,
                    show = &mut showing, if seen.is_none() => seen = Some(show),
                    () = &mut sending, if !sent => sent = true,
                }
            }
        };
        let offset = self.recording.position();
        let closing = tokio::time::timeout(CLOSE_TIMEOUT, self.recording.close(ended.ending()));
        let last_words = async {
            let show = match seen {
                Some(show) => Some(show),
                None => tokio::time::timeout(LAST_WORDS, showing).await.ok(),
            };
            if let Some(mut show) = show {
                let _ = tokio::time::timeout(LAST_WORDS, say_end(&mut show, &ended, offset)).await;
            }
        };
        let last_frames = async {
            if !sent {
                let _ = tokio::time::timeout(LAST_FRAMES, &mut sending).await;
            }
        };
        let (closed, (), ()) = tokio::join!(closing, last_words, last_frames);
        let closed = closed.unwrap_or_else(|_| unstored(&ended));
        (ended, closed, self.place)
    }

    async fn main<R: NearRead>(&mut self, mut near: R, out: mpsc::Sender<Show>, down: mpsc::Sender<Down>) -> Ended {
        if let Some(far) = self.first.take() {
            self.take_up(far, &down).await;
        }
        let ended = self.wakes(&mut near, &out, &down).await;
        // The holder may let go: of its output, or of the whole program when it has not ended. Said again after the exit, so that the
        // holder knows that it did not cross with it.
        let offset = self.recording.position();
        let last = match ended.exit {
            Some(_) => [Frame::Recorded { offset }, Frame::Recorded { offset }],
            None => [Frame::Recorded { offset }, Frame::End],
        };
        for frame in last {
            let _ = tokio::time::timeout(LAST_FRAMES, down.send(Down::Frame(frame))).await;
        }
        ended
    }

    async fn wakes<R: NearRead>(&mut self, near: &mut R, out: &mpsc::Sender<Show>, down: &mpsc::Sender<Down>) -> Ended {
        let mut policy = self.host.live.watch();
        policy.mark_unchanged();
        let mut stop = self.place.entry.stop();
        let mut tick = tokio::time::interval(TICK);
        let mut pending: Pending<'_> = None;
        let mut redial: Redial = None;
        loop {
            let wake = tokio::select! {
                event = near.next(), if self.near_open && self.held.is_none() && self.input.has_room() => Wake::Near(event),
                wake = next_frame(self.far.as_mut(), out), if self.far.is_some() && pending.is_none() => wake,
                Ok(slot) = down.reserve(), if self.attached && self.input.is_sendable() => Wake::Send(slot),
                () = self.recording.room(), if pending.is_some() || self.held.is_some() => Wake::Room,
                back = wait(&mut redial), if redial.is_some() => Wake::Back(Box::new(back)),
                Ok(()) = stop.changed() => Wake::Stop,
                Ok(()) = policy.changed() => Wake::Policy,
                _ = tick.tick() => Wake::Tick,
            };
            let step = match wake {
                Wake::Near(event) => self.near(event),
                Wake::Far(slot, frame) => match frame {
                    Ok(Some(frame)) => self.frame(slot, frame, &mut pending),
                    lost => self.lost(lost.err(), &mut redial),
                },
                Wake::ClientGone => Err(Ended::client_left()),
                Wake::Send(slot) => {
                    if let Some(frame) = self.input.next() {
                        slot.send(Down::Frame(frame));
                    }
                    Ok(())
                }
                Wake::Room => self.room(&mut pending),
                Wake::Back(back) => {
                    redial = None;
                    self.back(*back, down).await
                }
                Wake::Stop => stop.borrow().clone().map_or(Ok(()), |stop| Err(Ended::stopped(stop))),
                Wake::Policy => self.decide_again(),
                Wake::Tick => self.tick(down),
            };
            if let Err(ended) = step {
                return ended;
            }
            self.tell_recorded(down, ACK_AFTER);
        }
    }

    fn near(&mut self, event: NearEvent) -> Result<(), Ended> {
        self.active = Instant::now();
        match event {
            NearEvent::Item(item) => self.item(item),
            NearEvent::HangUp | NearEvent::Gone => {
                self.near_open = false;
                Err(Ended::client_left())
            }
        }
    }

    fn item(&mut self, item: Item) -> Result<(), Ended> {
        let recorded = match &item {
            Item::Data(data) => self.recording.input(data),
            Item::Resize(size) => self.recording.resize(*size),
            Item::Eof | Item::Signal(_) => Ok(()),
        };
        match recorded {
            Ok(()) => self.input.push(item),
            Err(RecordError::Backlog) => self.held = Some(item),
            Err(error) => return Err(Ended::unrecorded(error)),
        }
        Ok(())
    }

    /// The recorder has room again for what had to wait.
    fn room<'a>(&mut self, pending: &mut Pending<'a>) -> Result<(), Ended> {
        if let Some(item) = self.held.take() {
            self.item(item)?;
        }
        match pending.take() {
            Some((slot, stream, data)) => self.output(slot, stream, data, pending),
            None => Ok(()),
        }
    }

    fn frame<'a>(&mut self, slot: mpsc::Permit<'a, Show>, frame: Frame, pending: &mut Pending<'a>) -> Result<(), Ended> {
        self.active = Instant::now();
        match frame {
            Frame::Output { offset, stream, data } if offset == self.recording.position() => self.output(slot, stream, data, pending),
            Frame::OutputEof { offset, stream } if offset == self.recording.position() => {
                self.recording.output_eof(stream).map_err(Ended::unrecorded)?;
                slot.send(Show::Eof(stream, offset));
                Ok(())
            }
            Frame::Acked { seq } => self.input.acked(seq).map_err(|_| Ended::confused("acknowledged input that it never got")),
            Frame::Attached(attached) => {
                self.attached = true;
                self.input.rewind(attached.acked).map_err(|_| Ended::confused("acknowledged input that it never got"))
            }
            Frame::Exit { offset, exit } if offset == self.recording.position() => Err(Ended::exited(exit)),
            _ => Err(Ended::confused("skipped or repeated output, or said what a holder never says")),
        }
    }

    fn output<'a>(&mut self, slot: mpsc::Permit<'a, Show>, stream: Stream, data: Bytes, pending: &mut Pending<'a>) -> Result<(), Ended> {
        match self.recording.output(stream, data.clone()) {
            Ok(recorded) => {
                slot.send(Show::Output(recorded));
                self.place.entry.output(self.recording.position());
                if let Some(cause) = self.recording.degraded() {
                    self.say(What::RecordingLost { cause });
                }
                Ok(())
            }
            Err(RecordError::Backlog) => {
                *pending = Some((slot, stream, data));
                Ok(())
            }
            Err(error) => Err(Ended::unrecorded(error)),
        }
    }

    fn tick(&mut self, down: &mpsc::Sender<Down>) -> Result<(), Ended> {
        self.tell_recorded(down, 1);
        let duties = self.permit.obligations();
        if duties.max_session.is_some_and(|most| self.began.elapsed() >= most) {
            return Err(Ended::because("limit", "NARU-S102", "the session reached the longest time that your role allows"));
        }
        if duties.idle.is_some_and(|most| self.active.elapsed() >= most) {
            return Err(Ended::because("idle", "NARU-S103", "the session was idle for as long as your role allows"));
        }
        let trouble = self.host.recordings.trouble().borrow().clone();
        if let (RecordingMode::Strict, Some(cause)) = (duties.recording, trouble) {
            return Err(Ended::unrecorded(RecordError::Full(cause.to_string())));
        }
        if self.permit.question().identity.expires <= clock::now() {
            return Err(Ended::because("signed_out", "NARU-A104", "your sign-in has ended"));
        }
        if self.away.is_some_and(|since| since.elapsed() >= Duration::from_secs(GRACE_S)) {
            let sentence = format!("{} did not come back within {GRACE_S} seconds", self.request.node);
            return Err(Ended::because("target_lost", "NARU-N304", sentence));
        }
        Ok(())
    }

    /// The same question with the person and the node of now.
    fn decide_again(&mut self) -> Result<(), Ended> {
        self.permit = resume::again(&self.host, &self.permit).map_err(Ended::denied)?;
        Ok(())
    }

    fn lost(&mut self, error: Option<std::io::Error>, redial: &mut Redial) -> Result<(), Ended> {
        tracing::info!(session = %self.request.session, ?error, "the target's agent is away");
        (self.far, self.attached) = (None, false);
        let since = *self.away.get_or_insert_with(Instant::now);
        *redial = Some(Box::pin(resume::redial(self.resuming(), since)));
        Ok(())
    }

    fn resuming(&self) -> Resuming {
        Resuming {
            host: self.host.clone(),
            question: self.permit.question().clone(),
            request: self.request.clone(),
            asker: self.asker.clone(),
            fence: self.attach.fence,
        }
    }

    async fn back(&mut self, back: Result<Back, NotOpened>, down: &mpsc::Sender<Down>) -> Result<(), Ended> {
        let back = back.map_err(|not| Ended::because("target_lost", &not.code, not.sentence))?;
        self.permit = back.permit;
        self.attach = Attach { fence: back.fence, recorded: self.recording.position(), ..self.attach.clone() };
        self.told = self.recording.position();
        self.away = None;
        self.take_up(back.far, down).await;
        Ok(())
    }

    async fn take_up(&mut self, far: Far, down: &mpsc::Sender<Down>) {
        let (reader, writer) = far::split(far);
        self.far = Some(reader);
        let _ = down.send(Down::Attached(writer)).await;
        let _ = down.send(Down::Frame(Frame::Attach(self.attach.clone()))).await;
    }

    fn tell_recorded(&mut self, down: &mpsc::Sender<Down>, at_least: u64) {
        let offset = self.recording.position();
        let due = self.far.is_some() && offset - self.told >= at_least;
        if due && down.try_send(Down::Frame(Frame::Recorded { offset })).is_ok() {
            self.told = offset;
        }
    }

    fn say(&self, what: What) {
        let kind = self.permit.question().kind;
        let event = self.host.event(&self.asker, self.request.session, kind, what);
        if let Err(error) = self.host.log.append(&event) {
            tracing::error!(%error, "an event of a session could not be logged");
        }
    }
}

async fn wait(redial: &mut Redial) -> Result<Back, NotOpened> {
    match redial {
        Some(redial) => redial.await,
        None => std::future::pending().await,
    }
}

/// The next frame, once there is room for it on the way to the person. Safe to cancel.
async fn next_frame<'a>(far: Option<&mut FarReader>, out: &'a mpsc::Sender<Show>) -> Wake<'a> {
    let Some(far) = far else { return std::future::pending().await };
    match out.reserve().await {
        Ok(slot) => Wake::Far(slot, far.next().await),
        Err(_) => Wake::ClientGone,
    }
}

/// The recording could not be stored in time: it will be, at the latest by the next start, but the log's line does not wait.
fn unstored(ended: &Ended) -> ClosedRecording {
    ClosedRecording {
        manifest: None,
        output_bytes: 0,
        input_bytes: 0,
        duration: Duration::ZERO,
        reason: ended.reason.to_owned(),
        exit: ended.exit.clone(),
        gaps: 0,
    }
}

fn secret() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}
