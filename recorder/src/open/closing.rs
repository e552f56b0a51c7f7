//! A recording whose session has ended and which is being stored.

use tokio::sync::oneshot;

use super::{ClosedRecording, Recordings};

/// See the head of this file. Dropping it changes nothing: the recording is stored all the same.
#[derive(Debug)]
pub struct Closing {
    so_far: ClosedRecording,
    stored: Option<oneshot::Receiver<ClosedRecording>>,
    /// So that there is somebody to store it.
    _recordings: Recordings,
}

impl Closing {
    pub(super) fn new(so_far: ClosedRecording, stored: Option<oneshot::Receiver<ClosedRecording>>, recordings: Recordings) -> Self {
        Self { so_far, stored, _recordings: recordings }
    }

    /// What is known now: without a manifest before it is stored.
    pub fn so_far(&self) -> &ClosedRecording {
        &self.so_far
    }

    /// Waits until it is stored and signed; at once where there is nothing to store. How long to wait is the caller's to bound. Safe to
    /// cancel.
    pub async fn stored(&mut self) -> &ClosedRecording {
        if let Some(stored) = self.stored.as_mut() {
            // The recorder that goes away before has said why in its log, and the next start finishes its work.
            if let Ok(closed) = stored.await {
                self.so_far = closed;
            }
            self.stored = None;
        }
        &self.so_far
    }
}
