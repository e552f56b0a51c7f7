//! The far end: frames from and to a holder on one attachment. Reading is safe to cancel; writing is a future of its own so that a
//! slow target delays nobody.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use wire::frames::{Frame, HEAD, MAX_PAYLOAD};

use crate::agents::dial::Far;
use crate::agents::mux::Stream;

/// What a quiet session holds for reading.
const QUIET: usize = 2 * 1024;
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

/// Both halves of an attachment.
pub(super) fn split(far: Far) -> (FarReader, WriteHalf<Stream>) {
    let (read, write) = tokio::io::split(far.stream);
    (FarReader { stream: read, buffer: far.read, busy: false }, write)
}

/// What the writer is told.
pub(super) enum Down {
    /// Send this.
    Frame(Frame),
    /// A new attachment: the old half is gone.
    Attached(WriteHalf<Stream>),
}

/// Writes until its queue ends. A half that fails is dropped; what follows waits for the next attachment (the session sends it again).
pub(super) async fn write(mut queue: mpsc::Receiver<Down>) {
    let mut half: Option<WriteHalf<Stream>> = None;
    let mut batch = BytesMut::new();
    while let Some(down) = queue.recv().await {
        let mut next = Some(down);
        while let Some(down) = next {
            match down {
                Down::Frame(frame) => frame.encode(&mut batch),
                Down::Attached(new) => {
                    batch.clear();
                    half = Some(new);
                }
            }
            next = if batch.len() < BATCH { queue.try_recv().ok() } else { None };
        }
        let failed = match half.as_mut() {
            Some(half) => flush(half, &batch).await.is_err(),
            None => false,
        };
        if failed {
            half = None;
        }
        if batch.len() > 4 * QUIET { batch = BytesMut::new() } else { batch.clear() }
    }
    if let Some(mut half) = half {
        let _ = half.shutdown().await;
    }
}

async fn flush(half: &mut WriteHalf<Stream>, batch: &[u8]) -> io::Result<()> {
    half.write_all(batch).await?;
    half.flush().await
}
