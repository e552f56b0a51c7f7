//! What the frames of a connection mean to a holder: who may attach, what is taken in, what ends it.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use wire::frames::{Attach, Attached, Exit, Frame};

use super::attachment::{Attachment, Got};
use super::child::signal_named;
use super::code;
use super::input::Item;
use super::keeper::Keeper;
use super::terminal;

/// Reads of one connection before others have their turn.
const READS: usize = 16;
/// How long a program's end can be asked for again by a peer that recorded all output and did not say that it heard the end.
const LINGER: Duration = Duration::from_secs(5);
/// Characters of a resume secret: 32 bytes in hexadecimal.
const SECRET: usize = 64;

impl Keeper {
    /// The first frame of a connection must be `Attach`.
    pub(super) fn hear_candidate(&mut self, at: usize) {
        // A removal moves those behind it: they have nothing to read here, or are polled again.
        let Some((candidate, _)) = self.talk.candidates.get_mut(at) else { return };
        let frame = match candidate.read() {
            Ok(Got::Nothing) => return,
            Ok(Got::Bytes) => candidate.frame().map_err(io::Error::other),
            Ok(Got::End) => Err(ErrorKind::UnexpectedEof.into()),
            Err(e) => Err(e),
        };
        if let Ok(None) = frame {
            return;
        }
        let (candidate, _) = self.talk.candidates.remove(at);
        if let Ok(Some(Frame::Attach(attach))) = frame {
            self.attach(candidate, &attach);
        }
    }

    fn attach(&mut self, mut candidate: Attachment, attach: &Attach) {
        if let Err((code, message)) = self.admit(attach) {
            return candidate.refuse(Exit::Failed { code: code.to_owned(), message: message.to_owned() });
        }
        candidate.welcome(Attached { produced: self.output.produced(), acked: self.input.acked() });
        self.detach();
        self.talk.released = None;
        self.talk.attached = Some(candidate);
        // What came in the same read as the frame that attached.
        if self.take_frames().is_err() {
            self.detach();
        }
    }

    fn admit(&mut self, attach: &Attach) -> Result<(), (&'static str, &'static str)> {
        let shaped = attach.secret.len() == SECRET && attach.secret.bytes().all(|b| b.is_ascii_hexdigit());
        let given = blake3::hash(attach.secret.as_bytes());
        // Compared as hashes, in constant time.
        let ours = self.talk.secret.is_none_or(|secret| secret == given);
        if !shaped || !ours {
            return Err((code::NOT_YOURS, "The session's secret is not this one."));
        }
        if attach.fence <= self.talk.fence && self.talk.secret.is_some() {
            return Err((code::NOT_YOURS, "A newer attachment has taken the session over."));
        }
        self.output.rewind(attach.recorded).map_err(|_| (code::GONE, "Output of the session before this offset is gone."))?;
        self.talk.secret = Some(given);
        self.talk.fence = attach.fence;
        Ok(())
    }

    pub(super) fn hear_attached(&mut self) {
        if self.hear().is_err() {
            self.detach();
        }
    }

    fn hear(&mut self) -> io::Result<()> {
        for _ in 0..READS {
            let Some(attached) = &mut self.talk.attached else { return Ok(()) };
            match attached.read()? {
                Got::Nothing => return Ok(()),
                Got::End => return Err(ErrorKind::UnexpectedEof.into()),
                Got::Bytes => self.take_frames()?,
            }
        }
        Ok(())
    }

    fn take_frames(&mut self) -> io::Result<()> {
        while let Some(attached) = &mut self.talk.attached {
            let Some(frame) = attached.frame().map_err(io::Error::other)? else { return Ok(()) };
            self.take(frame)?;
        }
        Ok(())
    }

    /// An error is a breach of the protocol and ends the attachment.
    fn take(&mut self, frame: Frame) -> io::Result<()> {
        let breach = || io::Error::from(ErrorKind::InvalidData);
        match frame {
            Frame::Input { seq, data } => {
                self.input.receive(seq, Item::Data(data)).map_err(|_| breach())?;
            }
            Frame::InputEof { seq } => {
                self.input.receive(seq, Item::End).map_err(|_| breach())?;
            }
            // Done at once, also when input before it waits for a program that does not read.
            Frame::Resize { seq, size } => {
                let new = self.input.receive(seq, Item::Done).map_err(|_| breach())?;
                if let Some(near) = self.child.stdout.as_ref().filter(|_| new && self.child.terminal) {
                    terminal::resize(near, size);
                }
            }
            Frame::Signal { seq, name } => {
                let new = self.input.receive(seq, Item::Done).map_err(|_| breach())?;
                if let Some(signal) = signal_named(&name).filter(|_| new) {
                    self.child.signal(signal);
                }
            }
            Frame::Recorded { offset } => {
                let again = self.output.all_recorded();
                self.output.recorded(offset).map_err(|_| breach())?;
                if self.output.all_recorded() && self.talk.attached.as_ref().is_some_and(Attachment::exit_is_sent) {
                    // The first to reach the end may have crossed the news of it; a second one answers that.
                    let now = Instant::now();
                    self.talk.released.get_or_insert(now + LINGER);
                    if again {
                        self.talk.released = Some(now);
                    }
                }
            }
            Frame::End => {
                let now = Instant::now();
                self.talk.released = Some(now);
                self.hang_up(now);
            }
            _ => return Err(breach()),
        }
        Ok(())
    }
}
