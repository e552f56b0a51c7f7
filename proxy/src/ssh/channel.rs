//! One SSH channel: what the client asks before it starts, then a session. Each channel is a decision and a recording of its own.

use std::collections::VecDeque;
use std::time::Duration;

use access::event::{Actor, Client, Event, Outcome, SessionKind, What};
use access::identity::{Context, Identity};
use access::words::{Login, NodeName};
use russh::server::{Handle, Msg};
use russh::{Channel, ChannelMsg};
use wire::frames::Size;
use wire::tunnel::Terminal;

use super::near::{SshRead, SshWrite};
use crate::authority::people::NobodyError;
use crate::authority::ssh::SshClaim;
use crate::clock;
use crate::session::open::{Asker, NotOpened, Sessions, Wanted};
use crate::session::step_up::Waited;

/// The only subsystem that is carried.
pub(super) const SFTP: &str = "sftp";
/// From the channel's opening to its command.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const MAX_ENV: usize = 64;
const MAX_VALUE: usize = 8 * 1024;
const MAX_TERM: usize = 64;

/// Who is on a connection, by the certificate that finished its authentication.
#[derive(Clone)]
pub(super) struct Who {
    pub(super) claim: SshClaim,
    /// `None` where user name and preface name no target or two.
    pub(super) target: Option<(NodeName, Login)>,
    pub(super) user: String,
    pub(super) client: Client,
    pub(super) connection: String,
}

impl Who {
    /// The person as of now: asked for each channel anew.
    pub(super) fn identity(&self, sessions: &Sessions) -> Result<Identity, NobodyError> {
        sessions.people.of_certificate(&self.claim, clock::now())
    }
}

/// The variable by which a stock client says why it asks; it stays with the proxy.
const REASON: &str = "NARU_REASON";

/// A reason as it is kept: one line of at most 500 characters.
pub(crate) fn reason(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(500).collect()
}

/// Variables that a client may send; the agent has the last word.
pub(crate) fn is_env_allowed(name: &str) -> bool {
    name == REASON || matches!(name, "LANG" | "TZ" | "COLORTERM" | "TERM_PROGRAM" | "TERM_PROGRAM_VERSION") || name.starts_with("LC_")
}

#[derive(Default)]
struct Asked {
    terminal: Option<Terminal>,
    env: Vec<(String, String)>,
    /// Why, by the variable [`REASON`].
    reason: Option<String>,
    /// What was asked beside the session and is not carried.
    refused: Vec<&'static str>,
}

impl Asked {
    fn refuse(&mut self, what: &'static str) {
        if !self.refused.contains(&what) {
            self.refused.push(what);
        }
    }
}

/// What a person reads who asks for something that is not carried.
pub(super) fn not_carried(what: &str) -> String {
    format!("Naru does not carry {what} yet (NARU-S201)")
}

enum Start {
    Shell,
    Exec(Vec<u8>),
    Sftp,
}

/// Serves a channel to its end. `refused`: what was asked of the connection before, and could not be answered in words.
pub(super) async fn serve(mut channel: Channel<Msg>, handle: Handle, who: Who, sessions: Sessions, refused: Vec<&'static str>) {
    let mut asked = Asked { refused, ..Asked::default() };
    let Ok(Some(start)) = tokio::time::timeout(START_TIMEOUT, started(&mut channel, &mut asked)).await else {
        let _ = channel.close().await;
        return;
    };
    let (kind, command) = match start {
        Start::Shell => (SessionKind::Shell, None),
        Start::Sftp => (SessionKind::Sftp, None),
        Start::Exec(command) => (SessionKind::Exec, Some(command)),
    };
    let (read, write) = channel.split();
    let id = write.id();
    let mut show = SshWrite::new(write, handle.clone());
    let mut near = SshRead::new(read, handle, id, sessions.budget.share());
    let mut early = VecDeque::new();
    // Without a terminal a program reads this stream, and may not expect us in it.
    let refused = asked.terminal.as_ref().map(|_| std::mem::take(&mut asked.refused)).unwrap_or_default();
    let opened = match wanted(&who, kind, command, asked) {
        Ok(wanted) => match asker(&who, &sessions) {
            Ok(asker) => sessions.open_after(asker, wanted, &mut near, &mut early, &mut show).await,
            Err(not_opened) => Err(Waited::No(tell(&who, &sessions, not_opened))),
        },
        Err(not_opened) => Err(Waited::No(tell(&who, &sessions, not_opened))),
    };
    match opened {
        Ok(mut opened) => {
            near.keep(early);
            refused.into_iter().for_each(|what| opened.note(not_carried(what)));
            opened.notice.take().into_iter().for_each(|notice| opened.note(notice));
            sessions.run(opened, near, show).await;
        }
        Err(Waited::No(not_opened)) => show.refuse(&not_opened.text()).await,
        Err(Waited::Gone) => {}
    }
}

/// What is refused before there is a question to decide is in the log too.
fn tell(who: &Who, sessions: &Sessions, not_opened: NotOpened) -> NotOpened {
    let actor = who.identity(sessions).map_or_else(|_| Actor::anonymous(), |identity| Actor::user(&identity));
    let mut event = Event::new(clock::now(), actor, What::AccessDenied { asked: format!("a session as {:?}", who.user) });
    event.outcome = Outcome::denied(&not_opened.code, not_opened.sentence.clone());
    event.client = Some(who.client.clone());
    match sessions.refusals.tell(event) {
        Ok(_) => not_opened,
        Err(error) => error.into(),
    }
}

async fn started(channel: &mut Channel<Msg>, asked: &mut Asked) -> Option<Start> {
    loop {
        match channel.wait().await? {
            ChannelMsg::RequestPty { term, col_width, row_height, pix_width, pix_height, terminal_modes, .. } => {
                let size = size(col_width, row_height, pix_width, pix_height);
                let modes = terminal_modes.into_iter().map(|(code, value)| (code as u8, value)).collect();
                asked.terminal = Some(Terminal { term: tame(&term), size, modes });
            }
            ChannelMsg::SetEnv { variable_name, variable_value, .. } => {
                if variable_name == REASON {
                    asked.reason = Some(reason(&variable_value));
                    continue;
                }
                let fits = asked.env.len() < MAX_ENV && variable_value.len() <= MAX_VALUE && variable_name.len() <= 64;
                if fits && is_env_allowed(&variable_name) {
                    asked.env.push((variable_name, variable_value));
                }
            }
            ChannelMsg::WindowChange { col_width, row_height, pix_width, pix_height } => {
                if let Some(terminal) = asked.terminal.as_mut() {
                    terminal.size = size(col_width, row_height, pix_width, pix_height);
                }
            }
            ChannelMsg::RequestShell { .. } => return Some(Start::Shell),
            ChannelMsg::Exec { command, .. } => return Some(Start::Exec(command)),
            ChannelMsg::RequestSubsystem { name, .. } if name == SFTP => return Some(Start::Sftp),
            ChannelMsg::AgentForward { .. } => asked.refuse("agent forwarding"),
            ChannelMsg::RequestX11 { .. } => asked.refuse("X11 forwarding"),
            ChannelMsg::Close => return None,
            _ => {}
        }
    }
}

/// A terminal's name goes into an environment, a recording and an event.
pub(crate) fn tame(term: &str) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+');
    let tamed: String = term.chars().filter(plain).take(MAX_TERM).collect();
    if tamed.is_empty() { "dumb".to_owned() } else { tamed }
}

pub(super) fn size(cols: u32, rows: u32, width: u32, height: u32) -> Size {
    let clamp = |value: u32| u16::try_from(value).unwrap_or(u16::MAX);
    Size { cols: clamp(cols), rows: clamp(rows), width: clamp(width), height: clamp(height) }
}

fn wanted(who: &Who, kind: SessionKind, command: Option<Vec<u8>>, asked: Asked) -> Result<Wanted, NotOpened> {
    let (node, login) = who.target.clone().ok_or_else(|| NotOpened {
        code: "NARU-S202".into(),
        sentence: format!("{:?} does not name one target", who.user),
        hint: Some("Use `ssh LOGIN@NODE.naru` with the configuration of `naru config ssh`, or `ssh -p PORT LOGIN%NODE@PROXY`.".into()),
        step_up: None,
        offer: None,
    })?;
    let command = command.map(String::from_utf8).transpose().map_err(|_| NotOpened {
        code: "NARU-S203".into(),
        sentence: "the command is not UTF-8".into(),
        hint: Some("Give names in another encoding on standard input instead.".into()),
        step_up: None,
        offer: None,
    })?;
    Ok(Wanted { node, login, kind, command, terminal: asked.terminal, env: asked.env, reason: asked.reason })
}

fn asker(who: &Who, sessions: &Sessions) -> Result<Asker, NotOpened> {
    let _fresh = sessions.freshness.proof()?;
    let mut identity = who.identity(sessions).map_err(|error| NotOpened::signed_out(&error))?;
    let certificate = Some(who.claim.serial());
    identity.context = Context { from: Some(who.client.ip), reason: None, certificate };
    Ok(Asker { identity, sign_in: who.claim.sign_in, client: who.client.clone(), connection: who.connection.clone() })
}
