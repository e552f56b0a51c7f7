//! The native session protocol: `wire::frames` over a WebSocket. The proxy plays the holder's part towards the client.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use access::decide::allowed_logins;
use access::event::SessionKind;
use access::words::Login;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use recorder::Recorded;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use wire::api::{self, OpenSession, Problem, exit};
use wire::frames::{Exit, Frame, HEAD, INPUT_WINDOW, MAX_PAYLOAD, Stream};
use wire::tunnel::Terminal;

use super::App;
use super::person::{Certified, Person};
use super::problem::No;
use crate::clock;
use crate::session::input::Item;
use crate::session::near::{NearEvent, NearGone, NearRead, NearWrite};
use crate::session::open::{NotOpened, Wanted};
use crate::session::step_up::answered;

/// The subprotocol.
const PROTOCOL: &str = "naru-frames/1";
/// How long the client may take to close after the end.
const LINGER: Duration = Duration::from_secs(5);
/// From the upgrade to the client's first message.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two pings.
const PING_EVERY: Duration = Duration::from_secs(30);
/// Unanswered in a row before the client counts as gone.
const MISSED_PINGS: u32 = 2;

/// `GET /v1/ssh`, for whoever shows their certificate; the session itself is decided when it is asked for.
pub(crate) async fn open(
    State(app): State<App>,
    Certified(person): Certified,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Result<Response, No> {
    // A browser would send its page's origin, and no page of ours opens sessions yet.
    if headers.contains_key(header::ORIGIN) {
        return Err(No::bad("NARU-W403", "sessions are not opened from web pages"));
    }
    let upgrade = upgrade.protocols([PROTOCOL]).max_message_size(MAX_PAYLOAD + 1024).max_frame_size(MAX_PAYLOAD + 1024);
    Ok(upgrade.on_upgrade(move |socket| serve(app, person, socket)))
}

async fn serve(app: App, person: Person, mut socket: WebSocket) {
    let first = tokio::time::timeout(START_TIMEOUT, socket.recv()).await;
    let Ok(Some(Ok(Message::Text(text)))) = first else { return };
    let asked = serde_json::from_str::<OpenSession>(&text).map_err(|error| refusal("NARU-W422", format!("not understood: {error}")));
    let opened = match asked {
        Ok(asked) => start(&app, &person, asked, &mut socket).await,
        Err(problem) => Err(problem),
    };
    let (opened, login) = match opened {
        Ok(opened) => opened,
        Err(problem) => {
            let _ = socket.send(Message::Text(json(&*problem).into())).await;
            let _ = socket.send(Message::Close(None)).await;
            return;
        }
    };
    let hello = api::Opened { session: opened.id(), login, notice: opened.notice.clone() };
    if socket.send(Message::Text(json(&hello).into())).await.is_err() {
        return;
    }
    let (send, receive) = socket.split();
    let (ack, acks) = watch::channel(0);
    let heard = Heard::default();
    let read = WsRead { receive, ack, buffer: BytesMut::new(), seq: 0, waiting: VecDeque::new(), held: 0, taken: 0, heard: heard.clone() };
    let mut ping = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    // After much output the next ping has its whole time again.
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    app.sessions.run(opened, read, WsWrite { send, acks, heard, ping }).await;
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn refusal(code: &str, title: String) -> Box<Problem> {
    Box::new(Problem { code: code.to_owned(), title, detail: None, hint: None, offer: None, fields: Vec::new(), exit: exit::TRANSPORT })
}

/// Tells the client what its person has to do before there is a session; completes when the client goes away.
async fn tell(socket: &mut WebSocket, ask: &api::StepUpAsked) {
    if socket.send(Message::Text(json(ask).into())).await.is_err() {
        return;
    }
    let mut ping = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    loop {
        let sent = tokio::select! {
            _ = ping.tick() => socket.send(Message::Ping(Default::default())).await,
            heard = socket.recv() => match heard {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(()),
                // It has nothing to say before the session is there.
                _ => return,
            },
        };
        if sent.is_err() {
            return;
        }
    }
}

async fn start(
    app: &App,
    person: &Person,
    asked: OpenSession,
    socket: &mut WebSocket,
) -> Result<(crate::session::open::Opened, Login), Box<Problem>> {
    let login = login(app, person, &asked)?;
    let kind = if asked.command.is_some() { SessionKind::Exec } else { SessionKind::Shell };
    let terminal = asked.pty.map(|pty| Terminal { term: crate::ssh::tame(&pty.term), size: pty.size, modes: Vec::new() });
    let env = asked.env.into_iter().filter(|(name, value)| crate::ssh::is_env_allowed(name) && value.len() <= 8192).take(64).collect();
    let wanted = Wanted {
        node: asked.node,
        login: login.clone(),
        kind,
        command: asked.command,
        terminal,
        env,
        reason: asked.reason.as_deref().map(crate::ssh::reason),
    };
    let asker = person.asker(uuid::Uuid::new_v4().simple().to_string());
    let problem = |not: NotOpened| {
        let exit = match &not.offer {
            Some(_) => exit::NEEDS_APPROVAL,
            None if not.code == access::decide::Denial::LOCKED => exit::LOCKED,
            None if not.code.starts_with("NARU-P") => exit::DENIED,
            None => exit::TRANSPORT,
        };
        Box::new(Problem { code: not.code, title: not.sentence, detail: None, hint: not.hint, offer: not.offer, fields: Vec::new(), exit })
    };
    let not_opened = match app.sessions.open(asker.clone(), wanted.clone()).await {
        Ok(opened) => return Ok((opened, login)),
        Err(not_opened) => not_opened,
    };
    let Some(needs) = &not_opened.step_up else { return Err(problem(not_opened)) };
    let Ok(ask) = app.sessions.ask_for(&asker, &wanted, needs).await else { return Err(problem(not_opened)) };
    let mut done = ask.done;
    let ask = api::StepUpAsked { step_up: not_opened.sentence, browse: ask.browse, code: ask.code };
    // Only the waiting is given up: an opening goes to its end, so that what it began is ended too.
    tokio::select! {
        answer = answered(&mut done) => answer.map_err(problem)?,
        () = tell(socket, &ask) => return Err(refusal("NARU-P208", "the client went away".to_owned())),
    }
    app.sessions.open(asker, wanted).await.map(|opened| (opened, login)).map_err(problem)
}

/// The login that was asked for, or the only one that is allowed, or the laptop's own if that is.
fn login(app: &App, person: &Person, asked: &OpenSession) -> Result<Login, Box<Problem>> {
    if let Some(login) = &asked.login {
        return Ok(login.clone());
    }
    let facts = app.sessions.nodes.facts(&asked.node).ok().flatten();
    let view = app.sessions.live.now();
    let logins = facts.map(|(node, _)| allowed_logins(&person.identity, &node, &view.policy, clock::now())).unwrap_or_default();
    let local = asked.local_user.as_ref().and_then(|user| user.parse::<Login>().ok());
    match (logins.as_slice(), local) {
        ([only], _) => Ok(only.clone()),
        (_, Some(local)) if logins.is_empty() || logins.contains(&local) => Ok(local),
        ([], None) => Err(refusal("NARU-P203", format!("no role of {} reaches a node named {}", person.identity.name, asked.node))),
        (several, _) => {
            let names: Vec<&str> = several.iter().map(Login::as_str).collect();
            let mut problem = refusal("NARU-S204", format!("which login on {}? You may use {}", asked.node, names.join(", ")));
            problem.hint = Some(format!("For example: naru ssh {}@{}", names.first().copied().unwrap_or_default(), asked.node));
            Err(problem)
        }
    }
}

struct WsRead {
    receive: SplitStream<WebSocket>,
    ack: watch::Sender<u64>,
    buffer: BytesMut,
    seq: u64,
    /// What the target has not taken, in order: number and bytes.
    waiting: VecDeque<(u64, usize)>,
    held: usize,
    taken: usize,
    heard: Heard,
}

/// Pings since the client was last heard of, or was sent output: a client whose screen stands still reads no pings before it.
#[derive(Debug, Clone, Default)]
struct Heard(Arc<AtomicU32>);

impl Heard {
    fn alive(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// One more ping goes out; fails when enough of them had no answer.
    fn ping(&self) -> Result<(), NearGone> {
        if self.0.fetch_add(1, Ordering::Relaxed) < MISSED_PINGS { Ok(()) } else { Err(NearGone) }
    }
}

impl WsRead {
    fn event(&mut self, frame: Frame) -> Option<NearEvent> {
        let (seq, item) = match frame {
            Frame::Input { seq, data } => (seq, Item::Data(data)),
            Frame::InputEof { seq } => (seq, Item::Eof),
            Frame::Resize { seq, size } => (seq, Item::Resize(size)),
            Frame::Signal { seq, name } => (seq, Item::Signal(name)),
            Frame::End => return Some(NearEvent::HangUp),
            _ => return Some(NearEvent::Gone),
        };
        if seq != self.seq + 1 {
            return Some(NearEvent::Gone);
        }
        self.seq = seq;
        let len = if let Item::Data(data) = &item { data.len() } else { 0 };
        self.waiting.push_back((seq, len));
        self.held += len + HEAD;
        // The client keeps to the window, or it is none of ours.
        if self.held > INPUT_WINDOW + HEAD + MAX_PAYLOAD {
            return Some(NearEvent::Gone);
        }
        self.took(0);
        Some(NearEvent::Item(item))
    }
}

impl NearRead for WsRead {
    /// What the target took is acknowledged, and what has no bytes as soon as all before it is.
    fn took(&mut self, bytes: usize) {
        self.taken += bytes;
        let mut acked = None;
        while let Some((seq, len)) = self.waiting.front().copied().filter(|(_, len)| *len <= self.taken) {
            self.waiting.pop_front();
            self.taken -= len;
            self.held -= len + HEAD;
            acked = Some(seq);
        }
        if let Some(seq) = acked {
            // When the writer is behind, a later acknowledgement covers this one.
            self.ack.send_replace(seq);
        }
    }

    /// Closing with input unread is a reset, which takes the exit along: what still comes is read until the client has closed.
    async fn linger(&mut self) {
        let drained = async { while let Some(Ok(_)) = self.receive.next().await {} };
        let _ = tokio::time::timeout(LINGER, drained).await;
    }

    async fn next(&mut self) -> NearEvent {
        loop {
            match Frame::decode(&mut self.buffer) {
                Ok(Some(frame)) => {
                    if let Some(event) = self.event(frame) {
                        return event;
                    }
                }
                Ok(None) => match self.receive.next().await {
                    Some(Ok(Message::Binary(bytes))) if self.buffer.len() <= HEAD + MAX_PAYLOAD => {
                        self.heard.alive();
                        self.buffer.extend_from_slice(&bytes);
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => self.heard.alive(),
                    _ => return NearEvent::Gone,
                },
                Err(_) => return NearEvent::Gone,
            }
        }
    }
}

struct WsWrite {
    send: SplitSink<WebSocket, Message>,
    acks: watch::Receiver<u64>,
    heard: Heard,
    ping: Interval,
}

impl WsWrite {
    async fn frame(&mut self, frame: &Frame) -> Result<(), NearGone> {
        let mut bytes = BytesMut::new();
        if self.acks.has_changed().unwrap_or(false) {
            let seq = *self.acks.borrow_and_update();
            Frame::Acked { seq }.encode(&mut bytes);
        }
        frame.encode(&mut bytes);
        self.heard.alive();
        self.send.send(Message::Binary(bytes.freeze())).await.map_err(|_| NearGone)
    }
}

impl NearWrite for WsWrite {
    async fn output(&mut self, output: Recorded) -> Result<(), NearGone> {
        let (stream, mut offset, mut data) = (output.stream(), output.offset(), output.into_bytes());
        while !data.is_empty() {
            let part: Bytes = data.split_to(data.len().min(MAX_PAYLOAD));
            let next = offset + part.len() as u64;
            self.frame(&Frame::Output { offset, stream, data: part }).await?;
            offset = next;
        }
        Ok(())
    }

    async fn idle(&mut self) -> Result<(), NearGone> {
        let changed = tokio::select! {
            changed = self.acks.changed() => changed,
            _ = self.ping.tick() => {
                self.heard.ping()?;
                return self.send.send(Message::Ping(Bytes::new())).await.map_err(|_| NearGone);
            }
        };
        match changed {
            Ok(()) => {
                let seq = *self.acks.borrow_and_update();
                let mut bytes = BytesMut::new();
                Frame::Acked { seq }.encode(&mut bytes);
                self.send.send(Message::Binary(bytes.freeze())).await.map_err(|_| NearGone)
            }
            // The reader is gone, and says so itself.
            Err(_) => std::future::pending().await,
        }
    }

    async fn eof(&mut self, stream: Stream, offset: u64) -> Result<(), NearGone> {
        self.frame(&Frame::OutputEof { offset, stream }).await
    }

    async fn note(&mut self, text: &str) -> Result<(), NearGone> {
        let note = json(&api::SessionNote { note: text.to_owned() });
        self.send.send(Message::Text(note.into())).await.map_err(|_| NearGone)
    }

    async fn exit(&mut self, exit: &Exit, offset: u64) -> Result<(), NearGone> {
        self.frame(&Frame::Exit { offset, exit: exit.clone() }).await?;
        self.send.send(Message::Close(None)).await.map_err(|_| NearGone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_answers_no_ping_is_gone_and_one_that_answers_is_not() {
        let heard = Heard::default();
        let missed: Vec<bool> = (0..4).map(|_| heard.ping().is_err()).collect();
        assert_eq!(missed, [false, false, true, true]);
        heard.alive();
        assert!(heard.ping().is_ok());
    }
}
