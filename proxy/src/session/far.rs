//! The far end: frames from and to a holder on one attachment. Reading is safe to cancel; writing is a future of its own so that a
//! slow target delays nobody.

use std::io;
use std::pin::Pin;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use wire::frames::{Frame, HEAD, MAX_PAYLOAD};

use crate::agents::dial::Far;
use crate::agents::mux::Stream;

/// What a quiet session holds for reading.
const QUIET: usize = 2 * 1024;
/// Frames on their way to the holder.
const SENDING: usize = 16;
/// Bytes written at once.
const BATCH: usize = 128 * 1024;

/// Frames from the holder.
pub(super) struct FarReader {
    stream: ReadHalf<Stream>,
    buffer: BytesMut,
    /// Whether the last read filled what it was given.
    busy: bool,
}

impl FarReader {
    /// The next frame. `Ok(None)` is the end of the attachment.
    pub(super) async fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = Frame::decode(&mut self.buffer).map_err(io::Error::other)? {
                return Ok(Some(frame));
            }
            let wanted = if self.busy { HEAD + MAX_PAYLOAD } else { QUIET };
            if self.buffer.is_empty() && self.buffer.capacity() != wanted {
                self.buffer = BytesMut::with_capacity(wanted);
            } else if self.buffer.capacity() - self.buffer.len() < QUIET / 2 {
                self.buffer.reserve(HEAD + MAX_PAYLOAD);
            }
            let room = self.buffer.capacity() - self.buffer.len();
            match self.stream.read_buf(&mut self.buffer).await? {
                0 => return Ok(None),
                read => self.busy = read == room || self.buffer.len() > QUIET,
            }
        }
    }
}

/// Writes one attachment's frames; ends when its queue does, or when the half fails. Dropping it lets a stuck write go.
pub(super) type Writer = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One attachment: frames from the holder, frames to it, and the future that writes those.
pub(super) fn attach(far: Far) -> (FarReader, mpsc::Sender<Frame>, Writer) {
    let (read, half) = tokio::io::split(far.stream);
    let (frames, queue) = mpsc::channel(SENDING);
    (FarReader { stream: read, buffer: far.read, busy: false }, frames, Box::pin(write(half, queue)))
}

async fn write(mut half: WriteHalf<Stream>, mut queue: mpsc::Receiver<Frame>) {
    let mut batch = BytesMut::new();
    while let Some(frame) = queue.recv().await {
        let mut next = Some(frame);
        while let Some(frame) = next {
            frame.encode(&mut batch);
            next = if batch.len() < BATCH { queue.try_recv().ok() } else { None };
        }
        // The reader hears of a half that fails; the session sends what is not acknowledged again on the next one.
        if half.write_all(&batch).await.is_err() || half.flush().await.is_err() {
            return;
        }
        if batch.len() > 4 * QUIET { batch = BytesMut::new() } else { batch.clear() }
    }
    let _ = half.shutdown().await;
}
