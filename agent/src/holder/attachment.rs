//! One connection to a holder: frames in, frames out, never blocking. What the frames mean is `keeper`'s business.

use std::io::{self, ErrorKind, IoSlice, Read as _, Write as _};
use std::os::unix::net::UnixStream;

use bytes::{Buf as _, BytesMut};
use wire::frames::{Attached, Exit, Frame, FrameError, HEAD, MAX_PAYLOAD, Stream, output_head};

use super::output::Output;

/// Bytes of a first read; most input is a key.
const SMALL: usize = 4 * 1024;

/// What a read brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Got {
    Bytes,
    Nothing,
    End,
}

struct Flight {
    offset: u64,
    left: usize,
}

/// See the head of this file.
pub(super) struct Attachment {
    pub(super) socket: UnixStream,
    incoming: BytesMut,
    wide: bool,
    /// Whole frames and an output frame's head, which go before the flight's bytes.
    outgoing: BytesMut,
    flight: Option<Flight>,
    acked: u64,
    ends: [bool; 2],
    exit: bool,
}

/// What there is to send besides output.
pub(super) struct News<'a> {
    pub(super) acked: u64,
    /// Whether an acknowledgement goes even if nothing else does.
    pub(super) now: bool,
    /// Set once all output is produced.
    pub(super) exit: Option<&'a Exit>,
}

impl Attachment {
    pub(super) fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let (incoming, outgoing) = (BytesMut::new(), BytesMut::new());
        Ok(Self { socket, incoming, wide: false, outgoing, flight: None, acked: 0, ends: [false; 2], exit: false })
    }

    /// Reads once.
    pub(super) fn read(&mut self) -> io::Result<Got> {
        let want = if self.wide { HEAD + MAX_PAYLOAD } else { SMALL };
        let have = self.incoming.len();
        self.incoming.resize(have + want, 0);
        let result = match self.incoming.get_mut(have..) {
            Some(space) => self.socket.read(space),
            None => Ok(0),
        };
        let got = *result.as_ref().unwrap_or(&0);
        self.incoming.truncate(have + got);
        self.wide = got == want;
        match result {
            Ok(0) => Ok(Got::End),
            Ok(_) => Ok(Got::Bytes),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(Got::Nothing),
            Err(e) => Err(e),
        }
    }

    /// The next whole frame that was read.
    pub(super) fn frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let frame = Frame::decode(&mut self.incoming)?;
        if frame.is_none() && self.incoming.is_empty() {
            // A silent session keeps no buffer.
            self.incoming = BytesMut::new();
        }
        Ok(frame)
    }

    /// The first answer.
    pub(super) fn welcome(&mut self, attached: Attached) {
        self.acked = attached.acked;
        Frame::Attached(attached).encode(&mut self.outgoing);
    }

    /// Says why there will be nothing, as far as one write goes.
    pub(super) fn refuse(mut self, exit: Exit) {
        let mut out = BytesMut::new();
        Frame::Exit { offset: 0, exit }.encode(&mut out);
        let _ = self.socket.write(&out);
    }

    /// Whether the end of the program went out whole.
    pub(super) fn exit_is_sent(&self) -> bool {
        self.exit && self.outgoing.is_empty()
    }

    /// Whether something waits for room in the socket.
    pub(super) fn is_blocked(&self) -> bool {
        self.flight.is_some() || !self.outgoing.is_empty()
    }

    /// The last input that the peer was told of.
    pub(super) fn acked(&self) -> u64 {
        self.acked
    }

    /// Writes as much as the socket takes.
    pub(super) fn send(&mut self, output: &mut Output, news: &News<'_>) -> io::Result<()> {
        loop {
            if self.outgoing.is_empty() && self.flight.is_none() {
                self.load(output, news);
            }
            let body = match &self.flight {
                Some(flight) => output.bytes_at(flight.offset),
                None => &[],
            };
            let body = body.get(..self.flight.as_ref().map_or(0, |f| f.left)).unwrap_or_default();
            if self.outgoing.is_empty() && body.is_empty() {
                // Bytes that were freed while on their way were acknowledged before they were sent.
                return if self.flight.is_some() { Err(ErrorKind::InvalidData.into()) } else { Ok(()) };
            }
            let wrote = match self.socket.write_vectored(&[IoSlice::new(&self.outgoing), IoSlice::new(body)]) {
                Ok(wrote) => wrote,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            self.sent(wrote);
        }
    }

    /// Puts the next frames in front of the socket.
    fn load(&mut self, output: &mut Output, news: &News<'_>) {
        let next = output.next();
        if news.acked > self.acked && (news.now || next.is_some()) {
            self.acked = news.acked;
            Frame::Acked { seq: news.acked }.encode(&mut self.outgoing);
        }
        for (stream, done) in [Stream::Stdout, Stream::Stderr].into_iter().zip(&mut self.ends) {
            if let Some(offset) = output.ended(stream).filter(|_| !*done) {
                *done = true;
                Frame::OutputEof { offset, stream }.encode(&mut self.outgoing);
            }
        }
        if let Some((offset, stream, len)) = next {
            self.outgoing.extend_from_slice(&output_head(offset, stream, len));
            self.flight = Some(Flight { offset, left: len });
            output.take(len);
        } else if let Some(exit) = news.exit.filter(|_| !self.exit) {
            self.exit = true;
            Frame::Exit { offset: output.produced(), exit: exit.clone() }.encode(&mut self.outgoing);
        }
    }

    fn sent(&mut self, wrote: usize) {
        let head = wrote.min(self.outgoing.len());
        self.outgoing.advance(head);
        if self.outgoing.is_empty() {
            self.outgoing = BytesMut::new();
        }
        if let Some(flight) = &mut self.flight {
            let body = (wrote - head).min(flight.left);
            flight.offset += body as u64;
            flight.left -= body;
            if flight.left == 0 {
                self.flight = None;
            }
        }
    }
}
