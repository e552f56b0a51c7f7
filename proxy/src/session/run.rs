//! The loop of one session: a closed list of what can wake it, a bound on everything. Output goes far -> recording -> near and only in
//! that order; policy, sign-in, limits, a kill and a lost agent are wakes like any other.

use std::sync::Arc;
use std::time::Duration;

use access::decide::{OpenSession, Permit, decide};
use access::event::What;
use access::identity::Identity;
use access::policy::RecordingMode;
use access::time::Timestamp;
use bytes::Bytes;
use recorder::{Closing, OpenRecording, RecordError};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use wire::frames::{Attach, Frame, Stream};
use wire::tunnel::{How, SessionRequest};

use super::ended::Ended;
use super::far::{self, FarReader, Writer};
use super::input::{Input, Item};
use super::near::{NearEvent, NearRead, NearWrite};
use super::open::{Asker, GRACE_S, NotOpened, Sessions};
use super::resume::{self, Back, Resuming};
use super::show::{Show, say_end, show_all};
use super::table::Place;
use super::waits::{Redial, drive, redialled, room, stuck};
use super::warned::{FIRST, LAST, Warned};
use crate::agents::dial::Far;
use crate::authority::people::NobodyError;
use crate::clock;
use crate::live::View;

/// Frames of output on their way to the person.
const SHOWING: usize = 6;
/// Output that the holder may keep without hearing that it is recorded; half of the least that it buffers.
const ACK_AFTER: u64 = 128 * 1024;
/// How often limits and the sign-in's end are looked at, and the holder of a quiet session is told what is recorded.
const TICK: Duration = Duration::from_secs(1);
/// How often it is looked whether the time will end it.
const AHEAD: Duration = Duration::from_secs(10);
/// How long the last output may take to reach the person.
const LAST_WORDS: Duration = Duration::from_secs(30);
/// How long the last frame to the holder may take.
const LAST_FRAMES: Duration = Duration::from_secs(5);

/// A session that is over.
pub(super) struct Over {
    pub(super) ended: Ended,
    pub(super) closing: Closing,
    /// Why the recording cannot be closed for now.
    pub(super) stuck: Option<String>,
    pub(super) place: Place,
}

/// What can wake a session.
enum Wake<'a> {
    Near(NearEvent),
    Far(mpsc::Permit<'a, Show>, std::io::Result<Option<Frame>>),
    ClientGone,
    Policy,
    Stop,
    Send,
    Written,
    Room,
    Back(Box<Result<Back, NotOpened>>),
    Extend,
    Tick,
}

/// What a session begins with: each a proof, or an end of it.
pub(super) struct Start {
    pub(super) host: Sessions,
    pub(super) permit: Permit<OpenSession>,
    pub(super) recording: OpenRecording,
    pub(super) request: SessionRequest,
    pub(super) far: Far,
    pub(super) place: Place,
    pub(super) asker: Asker,
    /// From before the decision: nothing that changed since can be missed.
    pub(super) policy: watch::Receiver<Arc<View>>,
}

/// A session before and while it runs.
pub(crate) struct Session {
    pub(super) host: Sessions,
    pub(super) permit: Permit<OpenSession>,
    pub(super) recording: OpenRecording,
    pub(super) request: SessionRequest,
    pub(super) place: Place,
    pub(super) asker: Asker,
    policy: watch::Receiver<Arc<View>>,
    /// What the person reads first.
    notes: Vec<String>,
    attach: Attach,
    far: Option<FarReader>,
    frames: Option<mpsc::Sender<Frame>>,
    writer: Option<Writer>,
    /// Whether the holder has said how far it is: before that nothing is sent, lest it be sent twice.
    attached: bool,
    first: Option<Far>,
    input: Input,
    /// Input that waits for room in the recorder.
    held: Option<Item>,
    /// Bytes of input that the target took since the near end was told.
    taken: usize,
    /// Output that the holder knows to be recorded.
    told: u64,
    away: Option<Instant>,
    near_open: bool,
    began: Instant,
    active: Instant,
    /// By how much the person has made it longer.
    extended: Duration,
    /// Which warnings of its end were said.
    warned: Warned,
    /// When it is looked next whether the time will end it.
    look_ahead: Timestamp,
}

/// Output that waits for room in the recorder, with its place on the way to the person.
type Pending<'a> = Option<(mpsc::Permit<'a, Show>, Stream, Bytes)>;

impl Session {
    pub(super) fn new(start: Start) -> Self {
        let Start { host, permit, recording, request, far, place, asker, policy } = start;
        let now = Instant::now();
        Self {
            host,
            permit,
            recording,
            request: SessionRequest { how: How::Resume {}, ..request },
            place,
            asker,
            policy,
            notes: Vec::new(),
            attach: Attach { secret: secret(), fence: 1, recorded: 0 },
            far: None,
            frames: None,
            writer: None,
            attached: false,
            first: Some(far),
            input: Input::default(),
            held: None,
            taken: 0,
            told: 0,
            away: None,
            near_open: true,
            began: now,
            active: now,
            extended: Duration::ZERO,
            warned: Warned::default(),
            look_ahead: clock::now(),
        }
    }

    /// Something of Naru's own that the person reads before all output.
    pub(super) fn note(&mut self, text: String) {
        self.notes.insert(0, text);
    }

    /// Runs to the end; the person has seen it when this returns, and the recording is closed or cannot be for now.
    pub(super) async fn run<R: NearRead, W: NearWrite>(mut self, mut near: R, show: W) -> Over {
        let (out, shown) = mpsc::channel(SHOWING);
        let mut showing = Box::pin(show_all(show, shown));
        let mut seen = None;
        let ended = {
            let mut main = std::pin::pin!(self.main(&mut near, out));
            loop {
                tokio::select! {
                    ended = &mut main => break ended,
                    show = &mut showing, if seen.is_none() => seen = Some(show),
                }
            }
        };
        let last_frames = self.let_go(&ended);
        let offset = self.recording.position();
        // Bounded by trouble alone: an end without its manifest's hash proves less. A stop of the proxy does not wait for it, and the next
        // start finishes what is left.
        let mut closing = self.recording.end(ended.ending());
        let mut trouble = self.host.recordings.trouble();
        let stored = async {
            tokio::select! {
                _ = closing.stored() => None,
                cause = stuck(&mut trouble) => Some(cause),
            }
        };
        let last_words = async {
            let show = match seen {
                Some(show) => Some(show),
                None => tokio::time::timeout(LAST_WORDS, showing).await.ok(),
            };
            if let Some(mut show) = show {
                let _ = tokio::time::timeout(LAST_WORDS, say_end(&mut show, &ended, offset)).await;
                near.linger().await;
            }
        };
        let (stuck, (), ()) = tokio::join!(stored, last_words, last_frames);
        Over { ended, closing, stuck, place: self.place }
    }

    async fn main<R: NearRead>(&mut self, near: &mut R, out: mpsc::Sender<Show>) -> Ended {
        for note in self.notes.drain(..) {
            // The queue is new and has room for the few that there are.
            let _ = out.try_send(Show::Note(note));
        }
        if let Some(far) = self.first.take() {
            self.take_up(far);
        }
        // Whatever changed between the decision and here counts before anything is shown.
        match self.decide_again() {
            Ok(()) => self.wakes(near, &out).await,
            Err(ended) => ended,
        }
    }

    /// The holder may let go: of its output, or of the whole program when it has not ended. Said again after the exit, so that the holder
    /// knows that it did not cross with it. An unreachable holder lets go by itself after its grace period.
    fn let_go(&mut self, ended: &Ended) -> impl Future<Output = ()> + Send + use<> {
        let (frames, writer) = (self.frames.take(), self.writer.take());
        let offset = self.recording.position();
        let last = if ended.exit.is_some() { Frame::Recorded { offset } } else { Frame::End };
        async move {
            let (Some(frames), Some(writer)) = (frames, writer) else { return };
            let say = async move {
                for frame in [Frame::Recorded { offset }, last] {
                    // A target that takes nothing has a full queue: the last words wait for room in it, and not without end.
                    let _ = frames.send(frame).await;
                }
            };
            let _ = tokio::time::timeout(LAST_FRAMES, async { tokio::join!(say, writer) }).await;
        }
    }

    async fn wakes<R: NearRead>(&mut self, near: &mut R, out: &mpsc::Sender<Show>) -> Ended {
        let mut stop = self.place.stop.clone();
        let mut longer = self.place.longer.clone();
        let mut policy = self.policy.clone();
        let mut tick = tokio::time::interval(TICK);
        let mut pending: Pending<'_> = None;
        let mut redial: Redial = None;
        loop {
            let sendable = self.attached && self.input.is_sendable();
            let wake = tokio::select! {
                event = near.next(), if self.near_open && self.held.is_none() => Wake::Near(event),
                wake = next_frame(self.far.as_mut(), out), if self.far.is_some() && pending.is_none() => wake,
                () = room(self.frames.as_ref()), if sendable => Wake::Send,
                () = drive(self.writer.as_mut()), if self.writer.is_some() => Wake::Written,
                () = self.recording.room(), if pending.is_some() || self.held.is_some() => Wake::Room,
                back = redialled(&mut redial), if redial.is_some() => Wake::Back(Box::new(back)),
                Ok(()) = stop.changed() => Wake::Stop,
                Ok(()) = policy.changed() => Wake::Policy,
                Ok(()) = longer.changed() => Wake::Extend,
                _ = tick.tick() => Wake::Tick,
            };
            let step = match wake {
                Wake::Near(event) => self.near(event),
                Wake::Far(slot, frame) => match frame {
                    Ok(Some(frame)) => self.frame(slot, frame, &mut pending),
                    lost => self.lost(lost.err(), &mut redial),
                },
                Wake::ClientGone => Err(Ended::client_left()),
                Wake::Send => self.send_input(),
                Wake::Written => {
                    self.writer = None;
                    Ok(())
                }
                Wake::Room => self.room(&mut pending),
                Wake::Back(back) => {
                    redial = None;
                    self.back(*back)
                }
                Wake::Stop => stop.borrow().clone().map_or(Ok(()), |stop| Err(Ended::stopped(stop))),
                Wake::Policy => self.decide_again(),
                Wake::Extend => {
                    self.extended = *longer.borrow();
                    Ok(())
                }
                Wake::Tick => self.tick(out),
            };
            if let Err(ended) = step {
                return ended;
            }
            if self.taken > 0 {
                near.took(std::mem::take(&mut self.taken));
            }
            self.tell_recorded(ACK_AFTER);
        }
    }

    fn send_input(&mut self) -> Result<(), Ended> {
        let slot = self.frames.as_ref().and_then(|frames| frames.try_reserve().ok());
        if let (Some(slot), Some(frame)) = (slot, self.input.next()) {
            slot.send(frame);
        }
        Ok(())
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
            Frame::Acked { seq } => self.input.acked(seq).map(|taken| self.taken += taken).map_err(Ended::out_of_range),
            Frame::Attached(attached) => {
                self.attached = true;
                self.away = None;
                self.input.rewind(attached.acked).map(|taken| self.taken += taken).map_err(Ended::out_of_range)
            }
            Frame::Exit { offset, exit } if offset == self.recording.position() => Err(Ended::exited(exit)),
            _ => Err(Ended::confused("skipped or repeated output, or said what a holder never says")),
        }
    }

    fn output<'a>(&mut self, slot: mpsc::Permit<'a, Show>, stream: Stream, data: Bytes, pending: &mut Pending<'a>) -> Result<(), Ended> {
        match self.recording.output(stream, data.clone()) {
            Ok(recorded) => {
                slot.send(Show::Output(recorded));
                self.place.entry.output(&self.recording);
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

    fn tick(&mut self, out: &mpsc::Sender<Show>) -> Result<(), Ended> {
        self.tell_recorded(1);
        // What a provider says of a person changes their login, which is in no policy that wakes us.
        let (now, then) = (self.known()?, &self.permit.question().identity);
        if now.roles != then.roles || now.traits != then.traits || now.auth != then.auth || now.granted != then.granted {
            self.decide_again()?;
        }
        // Time alone may have made it a no: hours that end, a request that is over.
        if self.permit.until().is_some_and(|until| clock::now() >= until) {
            self.decide_again()?;
        }
        self.warn(out);
        let duties = self.permit.obligations();
        if self.left().is_some_and(|left| left.is_zero()) {
            return Err(Ended::because("limit", "NARU-S102", "the session reached the longest time that your role allows"));
        }
        if duties.idle.is_some_and(|most| self.active.elapsed() >= most) {
            return Err(Ended::because("idle", "NARU-S103", "the session was idle for as long as your role allows"));
        }
        let trouble = self.host.recordings.trouble().borrow().clone();
        if let (RecordingMode::Strict, Some(cause)) = (duties.recording, trouble) {
            return Err(Ended::unrecorded(RecordError::Full(cause.to_string())));
        }
        if self.away.is_some_and(|since| since.elapsed() >= Duration::from_secs(GRACE_S)) {
            let sentence = format!("{} did not come back within {GRACE_S} seconds", self.request.node);
            return Err(Ended::because("target_lost", "NARU-N323", sentence));
        }
        Ok(())
    }

    /// How long it may go on by its longest time; none where there is no limit.
    fn left(&self) -> Option<Duration> {
        let duties = self.permit.obligations();
        let most = duties.max_session? + self.extended.min(duties.extend);
        Some(most.saturating_sub(self.began.elapsed()))
    }

    /// Says in time what is going to end it: at five minutes and at one.
    fn warn(&mut self, out: &mpsc::Sender<Show>) {
        let by_time = self.left().map(|left| (left, "its longest time"));
        let by_request = self.permit.request_ends().map(|until| (until.since(clock::now()), "its access request"));
        let login = self.permit.question().identity.expires;
        let by_login = Some((login.since(clock::now()), "your sign-in"));
        let by_hours = self.closing().map(|left| (left, "the hours of your role"));
        let Some((left, what)) = [by_time, by_request, by_login, by_hours].into_iter().flatten().min() else { return };
        let Some(words) = self.warned.at(left) else { return };
        let extends = what == "its longest time" && self.extended < self.permit.obligations().extend;
        let hint = if extends { "; `naru extend` makes it longer" } else { "" };
        // A person who takes no output has no room for it, and hears it at the next look.
        if out.try_send(Show::Note(format!("This session ends {words} by the end of {what}{hint}."))).is_err() {
            self.warned.forget();
        }
    }

    /// Whether the hours of a role, or a condition on the time, make it a no soon, as far as can be seen now. Looked at now and then.
    fn closing(&mut self) -> Option<Duration> {
        let now = clock::now();
        if now < self.look_ahead || self.permit.until().is_none_or(|until| until.since(now) > FIRST) {
            return None;
        }
        self.look_ahead = now.plus(AHEAD);
        let (view, question) = (self.host.live.now(), resume::begun(&self.permit));
        [LAST, FIRST].into_iter().find(|ahead| decide(question.clone(), &view.policy, now.plus(*ahead)).is_err())
    }

    /// The end of the sign-in ends its sessions, also where it was ended by another way than this proxy's own table.
    fn signed_in(&self) -> Result<(), Ended> {
        self.known().map(|_| ())
    }

    /// The person as of now.
    fn known(&self) -> Result<Identity, Ended> {
        let name = &self.permit.question().identity.name;
        match self.host.people.identity(name, self.asker.sign_in, clock::now()) {
            Ok(identity) => Ok(identity),
            Err(NobodyError::EndedBecause(why)) => Err(Ended::because("signed_out", "NARU-A104", why)),
            Err(_) => Err(Ended::because("signed_out", "NARU-A104", "your sign-in has ended")),
        }
    }

    /// The same question with the person and the node of now.
    fn decide_again(&mut self) -> Result<(), Ended> {
        self.signed_in()?;
        self.permit = resume::again(&self.host, &self.permit, self.asker.sign_in).map_err(|denial| {
            let _told = self.host.note(&self.asker, &denial.notes);
            Ended::denied(denial)
        })?;
        self.place.entry.allow(self.began, self.permit.obligations());
        Ok(())
    }

    fn lost(&mut self, error: Option<std::io::Error>, redial: &mut Redial) -> Result<(), Ended> {
        let reason = error.map_or_else(|| "it closed the stream".to_owned(), |error| wire::plain::words(&error));
        tracing::info!(session = %self.request.session, reason, "the target's agent is away");
        (self.far, self.frames, self.writer, self.attached) = (None, None, None, false);
        let since = *self.away.get_or_insert_with(Instant::now);
        *redial = Some(Box::pin(resume::redial(self.resuming(), since)));
        Ok(())
    }

    fn resuming(&self) -> Resuming {
        Resuming {
            host: self.host.clone(),
            question: resume::begun(&self.permit),
            request: self.request.clone(),
            asker: self.asker.clone(),
            fence: self.attach.fence,
        }
    }

    fn back(&mut self, back: Result<Back, NotOpened>) -> Result<(), Ended> {
        let back = back.map_err(|not| Ended::because("target_lost", &not.code, not.sentence))?;
        self.permit = back.permit;
        self.attach = Attach { fence: back.fence, recorded: self.recording.position(), ..self.attach.clone() };
        self.told = self.recording.position();
        self.take_up(back.far);
        Ok(())
    }

    fn take_up(&mut self, far: Far) {
        let (reader, frames, writer) = far::attach(far);
        // The queue is new and has room.
        let _ = frames.try_send(Frame::Attach(self.attach.clone()));
        (self.far, self.frames, self.writer) = (Some(reader), Some(frames), Some(writer));
    }

    fn tell_recorded(&mut self, at_least: u64) {
        let offset = self.recording.position();
        let Some(frames) = self.frames.as_ref().filter(|_| offset - self.told >= at_least) else { return };
        if frames.try_send(Frame::Recorded { offset }).is_ok() {
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

/// The next frame, once there is room for it on the way to the person. Safe to cancel.
async fn next_frame<'a>(far: Option<&mut FarReader>, out: &'a mpsc::Sender<Show>) -> Wake<'a> {
    let Some(far) = far else { return std::future::pending().await };
    match out.reserve().await {
        Ok(slot) => Wake::Far(slot, far.next().await),
        Err(_) => Wake::ClientGone,
    }
}

fn secret() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}
