//! `naru ssh`: one session over a WebSocket, in the frames of [`wire::frames`]. This file moves bytes; [`crate::input`] counts them.

use std::cell::Cell;
use std::io::Write as _;

use bytes::{Bytes, BytesMut};
use futures::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use wire::api::{FRAMES, OpenSession, Opened, Problem, Pty, SessionNote, StepUpAsked, exit};
use wire::frames::{Exit, Frame, Stream};

use crate::failure::Failure;
use crate::http::Api;
use crate::input::{Input, Typed};
use crate::out::{plain, say};
use crate::terminal::{self, Ends, Raw};

mod ask;

pub use ask::Asking;

type Ws = WebSocketStream<TlsStream<TcpStream>>;

/// Most bytes of one message: some whole frames.
const MESSAGE: usize = 4 * 1024 * 1024;

/// The answer to `~?`, for a terminal in raw mode.
const ESCAPES: &[u8] = b"\r\nAt the beginning of a line:\r\n  ~.  leave: the session ends\r\n  ~?  this list\r\n  ~~  type a ~\r\n";

/// What is wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Where, as whom, what.
    pub open: OpenSession,
    /// A terminal: `None` means when there is one here and no command.
    pub terminal: Option<bool>,
    /// What to do where an access request would help.
    pub asking: Asking,
}

/// Runs the session; answers the remote exit code. Every failure of ours is exit 255, but Ctrl-C.
pub async fn run(api: &Api, wanted: Wanted) -> Result<u8, Failure> {
    let ours =
        |failure: Failure| Failure { exit: if failure.exit == exit::INTERRUPTED { failure.exit } else { exit::TRANSPORT }, ..failure };
    let denied = match session(api, wanted.clone()).await {
        Err(denied) if denied.offer().is_some() => denied,
        other => return other.map_err(ours),
    };
    let Wanted { mut open, terminal, asking } = wanted;
    open.reason = ask::through(api, denied, &asking, open.reason).await.map_err(ours)?;
    // What is denied now is told: whoever waited once does not wait in circles.
    session(api, Wanted { open, terminal, asking }).await.map_err(ours)
}

async fn session(api: &Api, wanted: Wanted) -> Result<u8, Failure> {
    let here = rustix::termios::isatty(std::io::stdin());
    let terminal = wanted.terminal.unwrap_or(here && wanted.open.command.is_none());
    let mut open = wanted.open;
    if terminal {
        let term = std::env::var("TERM").ok().filter(|term| !term.is_empty()).unwrap_or_else(|| "xterm".to_owned());
        open.pty = Some(Pty { term, size: terminal::size() });
    }
    let mut ends = Ends::listen()?;
    let mut ws = connect(api).await?;
    // It may wait for somebody at a browser; whoever leaves meanwhile leaves.
    let opened = tokio::select! {
        opened = opening(api, &mut ws, &open) => opened?,
        code = ends.next() => {
            let _ = ws.close(None).await;
            return Ok(code);
        }
    };
    for line in opened.notice.iter().flat_map(|notice| notice.lines()) {
        say(line);
    }
    let raw = if terminal && here { Some(Raw::enter(false)?) } else { None };
    let inside_line = Cell::new(false);
    let ended = tokio::select! {
        ended = carry(&mut ws, raw.is_some(), &inside_line) => ended,
        code = ends.next() => Ok(Ended::Left(code)),
    };
    let interactive = raw.is_some();
    drop(raw);
    // What we or the shell say next begins on a line of its own.
    if interactive && inside_line.get() && !matches!(ended, Ok(Ended::Exit(Exit::Code(_)))) {
        let _ = std::io::stderr().lock().write_all(b"\n");
    }
    let _ = ws.close(None).await;
    match ended? {
        Ended::Exit(Exit::Code(code)) => Ok(code),
        Ended::Exit(Exit::Signal { name, core }) => {
            say(&format!("the program was ended by signal {name}{}", if core { " (core dumped)" } else { "" }));
            Ok(exit::TRANSPORT)
        }
        Ended::Exit(Exit::Failed { code, message }) => Err(Failure::new(&code, exit::TRANSPORT, message)),
        Ended::Left(code) => Ok(code),
    }
}

enum Ended {
    Exit(Exit),
    Left(u8),
}

async fn connect(api: &Api) -> Result<Ws, Failure> {
    let nonsense =
        |e: &dyn std::fmt::Display| Failure::new("NARU-N105", exit::TRANSPORT, "the server does not speak our WebSocket").because(e);
    let mut request = format!("wss://{}/v1/ssh", api.address().authority()).into_client_request().map_err(|e| nonsense(&e))?;
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(FRAMES));
    let limits = WebSocketConfig::default().max_message_size(Some(MESSAGE)).max_frame_size(Some(MESSAGE));
    let stream = api.dial().await?;
    match tokio::time::timeout(crate::http::CONNECT, tokio_tungstenite::client_async_with_config(request, stream, Some(limits))).await {
        Ok(Ok((ws, _))) => Ok(ws),
        Ok(Err(WsError::Http(answer))) => {
            let status = answer.status().as_u16();
            match serde_json::from_slice::<Problem>(answer.body().as_deref().unwrap_or_default()) {
                Ok(problem) => Err(Failure::from_problem(problem, status)),
                Err(_) => Err(nonsense(&format!("status {status}"))),
            }
        }
        Ok(Err(e @ WsError::Io(_))) => Err(broken(&e)),
        Ok(Err(e)) => Err(nonsense(&crate::http::cause_of(&e))),
        Err(_) => Err(Failure::new("NARU-N103", exit::TRANSPORT, format!("{} does not answer", api.address()))),
    }
}

/// Says what is wanted and waits for the answer; a session may take a while to begin.
async fn opening(api: &Api, ws: &mut Ws, open: &OpenSession) -> Result<Opened, Failure> {
    let text = serde_json::to_string(open).unwrap_or_default();
    ws.send(Message::text(text)).await.map_err(|e| broken(&e))?;
    loop {
        match ws.next().await {
            Some(Ok(Message::Text(text))) => {
                if let Ok(ask) = serde_json::from_str::<StepUpAsked>(text.as_str()) {
                    crate::login::step_up(&ask, api.address())?;
                    continue;
                }
                return serde_json::from_str::<Opened>(text.as_str()).or_else(|_| {
                    let problem = serde_json::from_str::<Problem>(text.as_str()).map_err(|_| lost(&"its answer was not understood"))?;
                    Err(Failure::from_problem(problem, 403))
                });
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Err(e)) => return Err(broken(&e)),
            Some(Ok(_)) | None => return Err(lost(&"closed before the session began")),
        }
    }
}

fn lost(cause: &dyn std::fmt::Display) -> Failure {
    Failure::new("NARU-N102", exit::TRANSPORT, "the connection to the proxy was lost").because(cause)
}

/// The connection ended under the WebSocket.
fn broken(error: &WsError) -> Failure {
    match error {
        WsError::ConnectionClosed | WsError::AlreadyClosed | WsError::Protocol(_) => lost(&"the other side closed it"),
        other => lost(&crate::http::cause_of(other)),
    }
}

/// Carries both ways until the program ends or the user leaves.
async fn carry(ws: &mut Ws, interactive: bool, inside_line: &Cell<bool>) -> Result<Ended, Failure> {
    let (mut to, mut from) = ws.split();
    let (shown, mut screen_gone) = screen();
    let mut typed = terminal::typed();
    let mut input = Input::new(interactive);
    let mut resized = signal(SignalKind::window_change()).map_err(|e| lost(&e))?;
    let (mut buf, mut waiting, mut stdin_open) = (BytesMut::new(), None, true);
    loop {
        let mut out = BytesMut::new();
        tokio::select! {
            // Output that has no room yet keeps the next from being read, so that a slow reader here slows the program there.
            room = shown.reserve(), if waiting.is_some() => match (room, waiting.take()) {
                (Ok(room), Some(piece)) => room.send(piece),
                _ => return Ok(Ended::Left(exit::TRANSPORT)),
            },
            message = from.next(), if waiting.is_none() => match message {
                Some(Ok(Message::Binary(data))) => buf.extend_from_slice(&data),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_))) | None => return Err(lost(&"the proxy closed it")),
                Some(Ok(Message::Text(text))) => note(text.as_str(), interactive, inside_line),
                Some(Ok(_)) => return Err(lost(&"a message that is neither frames nor a note")),
                Some(Err(e)) => return Err(broken(&e)),
            },
            piece = typed.recv(), if stdin_open && input.room() => match piece {
                Some(piece) => match input.typed(&piece, &mut out) {
                    Typed::Sent => {}
                    Typed::Help => {
                        let _ = std::io::stderr().lock().write_all(ESCAPES);
                    }
                    Typed::Leave => {
                        let _ = send(&mut to, Frame::End).await;
                        return Ok(Ended::Left(exit::TRANSPORT));
                    }
                },
                None => {
                    stdin_open = false;
                    input.eof(&mut out);
                }
            },
            Some(()) = resized.recv(), if interactive => input.resize(terminal::size(), &mut out),
            _ = &mut screen_gone => return Ok(Ended::Left(exit::OK)),
        }
        if !out.is_empty() {
            to.send(Message::binary(out.freeze())).await.map_err(|e| broken(&e))?;
        }
        while waiting.is_none() {
            match Frame::decode(&mut buf).map_err(|e| lost(&e))? {
                Some(Frame::Output { stream, data, .. }) => {
                    inside_line.set(data.last().map_or(inside_line.get(), |last| *last != b'\n'));
                    waiting = Some((stream, data));
                }
                Some(Frame::Acked { seq }) => input.acked(seq),
                Some(Frame::Exit { exit, .. }) => {
                    drop(shown);
                    let _ = screen_gone.await;
                    return Ok(Ended::Exit(exit));
                }
                Some(_) => {}
                None => break,
            }
        }
    }
}

/// Shows what the proxy has to say while the session goes on; a text of another kind is for a newer client.
fn note(text: &str, interactive: bool, inside_line: &Cell<bool>) {
    let Ok(SessionNote { note }) = serde_json::from_str(text) else { return };
    // In raw mode nothing else goes to the beginning of a line.
    let end = if interactive { "\r\n" } else { "\n" };
    let before = if inside_line.replace(false) { end } else { "" };
    let _ = write!(std::io::stderr().lock(), "{before}{}{end}", plain(&note));
}

async fn send<S: futures::Sink<Message> + Unpin>(to: &mut S, frame: Frame) -> Result<(), S::Error> {
    let mut out = BytesMut::new();
    frame.encode(&mut out);
    to.send(Message::binary(out.freeze())).await
}

/// A thread that writes output, so that a slow reader of ours never keeps input from flowing. The second half ends with it.
fn screen() -> (mpsc::Sender<(Stream, Bytes)>, tokio::sync::oneshot::Receiver<()>) {
    let (to, mut from) = mpsc::channel::<(Stream, Bytes)>(16);
    let (done, gone) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        while let Some((stream, data)) = from.blocking_recv() {
            let written = match stream {
                Stream::Stdout => {
                    let mut out = std::io::stdout().lock();
                    out.write_all(&data).and_then(|()| out.flush())
                }
                Stream::Stderr => std::io::stderr().lock().write_all(&data),
            };
            if written.is_err() {
                break;
            }
        }
        let _ = done.send(());
    });
    (to, gone)
}
