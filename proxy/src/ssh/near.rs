//! An SSH channel as the near end of a session.

use std::collections::VecDeque;

use recorder::Recorded;
use russh::server::{Handle, Msg};
use russh::{ChannelId, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use wire::frames::{Exit, Stream};

use super::channel::size;
use crate::session::budget::Share;
use crate::session::input::Item;
use crate::session::near::{NearEvent, NearGone, NearRead, NearWrite};

/// SSH_EXTENDED_DATA_STDERR, RFC 4254 5.2.
const STDERR: u32 = 1;

/// What a channel may send before its target has taken anything.
pub(super) const FIRST_WINDOW: u32 = 128 * 1024;
/// What a channel may be owed at once when its target is quick: enough for a fast line across the world.
const MAX_WINDOW: usize = 16 * 1024 * 1024;
/// Taken bytes are granted again in pieces of at most this size.
const GRANT: usize = 256 * 1024;

/// A channel's window opens by what its target has taken, and grows while that goes quickly and the proxy's budget lasts. Nothing else
/// holds a client back, so one slow target never delays another channel.
pub(super) struct SshRead {
    half: ChannelReadHalf,
    handle: Handle,
    id: ChannelId,
    taken: usize,
    grown: Share,
    /// What came before the session was there.
    early: VecDeque<Item>,
}

impl SshRead {
    pub(super) fn new(half: ChannelReadHalf, handle: Handle, id: ChannelId, grown: Share) -> Self {
        Self { half, handle, id, taken: 0, grown, early: VecDeque::new() }
    }
}

impl SshRead {
    /// What came before the session was there, to be given first.
    pub(super) fn keep(&mut self, early: VecDeque<Item>) {
        self.early = early;
    }
}

impl NearRead for SshRead {
    async fn next(&mut self) -> NearEvent {
        if let Some(item) = self.early.pop_front() {
            return NearEvent::Item(item);
        }
        loop {
            let item = match self.half.wait().await {
                Some(ChannelMsg::Data { data }) => Item::Data(data),
                Some(ChannelMsg::Eof) => Item::Eof,
                Some(ChannelMsg::WindowChange { col_width, row_height, pix_width, pix_height }) => {
                    Item::Resize(size(col_width, row_height, pix_width, pix_height))
                }
                Some(ChannelMsg::Signal { signal }) => match signal_name(&signal) {
                    Some(name) => Item::Signal(name.to_owned()),
                    None => continue,
                },
                Some(ChannelMsg::Close) => return NearEvent::HangUp,
                Some(ChannelMsg::ExtendedData { data, .. }) => {
                    self.took(data.len());
                    continue;
                }
                None => return NearEvent::Gone,
                Some(_) => continue,
            };
            return NearEvent::Item(item);
        }
    }

    fn took(&mut self, bytes: usize) {
        self.taken += bytes;
        let window = FIRST_WINDOW as usize + self.grown.held();
        if self.taken < GRANT.min(window / 4) {
            return;
        }
        let room = (MAX_WINDOW - FIRST_WINDOW as usize).saturating_sub(self.grown.held());
        let growth = self.taken.min(room);
        let growth = if self.grown.take(growth) { growth } else { 0 };
        let grant = u32::try_from(self.taken + growth).unwrap_or(u32::MAX);
        self.taken = 0;
        // A connection that is gone is told by `next`.
        let _ = self.handle.grant_window(self.id, grant);
    }
}

fn signal_name(signal: &Sig) -> Option<&str> {
    Some(match signal {
        Sig::ABRT => "ABRT",
        Sig::ALRM => "ALRM",
        Sig::FPE => "FPE",
        Sig::HUP => "HUP",
        Sig::ILL => "ILL",
        Sig::INT => "INT",
        Sig::KILL => "KILL",
        Sig::PIPE => "PIPE",
        Sig::QUIT => "QUIT",
        Sig::SEGV => "SEGV",
        Sig::TERM => "TERM",
        Sig::USR1 => "USR1",
        Sig::Custom(name) if name == "USR2" => "USR2",
        Sig::Custom(_) => return None,
    })
}

fn signal_of(name: &str) -> Sig {
    match name {
        "ABRT" => Sig::ABRT,
        "ALRM" => Sig::ALRM,
        "FPE" => Sig::FPE,
        "HUP" => Sig::HUP,
        "ILL" => Sig::ILL,
        "INT" => Sig::INT,
        "KILL" => Sig::KILL,
        "PIPE" => Sig::PIPE,
        "QUIT" => Sig::QUIT,
        "SEGV" => Sig::SEGV,
        "TERM" => Sig::TERM,
        "USR1" => Sig::USR1,
        other => Sig::Custom(other.to_owned()),
    }
}

pub(super) struct SshWrite {
    half: ChannelWriteHalf<Msg>,
    handle: Handle,
}

impl SshWrite {
    pub(super) fn new(half: ChannelWriteHalf<Msg>, handle: Handle) -> Self {
        Self { half, handle }
    }

    /// A session that did not begin: its sentence and 255, as OpenSSH does for its own failures.
    pub(super) async fn refuse(mut self, text: &str) {
        let _ = self.note(text).await;
        let _ = self.exit(&Exit::Code(255), 0).await;
    }
}

impl NearWrite for SshWrite {
    async fn output(&mut self, output: Recorded) -> Result<(), NearGone> {
        let shown = match output.stream() {
            Stream::Stdout => self.half.data_bytes(output.into_bytes()).await,
            Stream::Stderr => self.half.extended_data_bytes(STDERR, output.into_bytes()).await,
        };
        shown.map_err(|_| NearGone)
    }

    async fn eof(&mut self, _stream: Stream, _offset: u64) -> Result<(), NearGone> {
        // SSH has one end for both streams; it is sent with the exit.
        Ok(())
    }

    async fn note(&mut self, text: &str) -> Result<(), NearGone> {
        let text = format!("{}\r\n", text.trim_end().replace('\n', "\r\n").replace("\r\r", "\r"));
        self.half.extended_data_bytes(STDERR, text.into_bytes()).await.map_err(|_| NearGone)
    }

    async fn exit(&mut self, exit: &Exit, _offset: u64) -> Result<(), NearGone> {
        let id = self.half.id();
        let said = match exit {
            Exit::Code(code) => self.half.exit_status(u32::from(*code)).await.is_ok(),
            Exit::Signal { name, core } => {
                let sent = self.handle.exit_signal_request(id, signal_of(name), *core, String::new(), String::new());
                sent.await.is_ok()
            }
            Exit::Failed { code, message } => {
                self.note(&format!("\nerror[{code}]: {message}")).await?;
                self.half.exit_status(255).await.is_ok()
            }
        };
        let closed = self.half.eof().await.is_ok() && self.half.close().await.is_ok();
        if said && closed { Ok(()) } else { Err(NearGone) }
    }
}

impl Drop for SshWrite {
    fn drop(&mut self) {
        // A session that ended without an exit still gives its channel back.
        let (handle, id) = (self.handle.clone(), self.half.id());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = handle.close(id).await;
            });
        }
    }
}
