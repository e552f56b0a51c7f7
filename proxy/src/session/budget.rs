//! Bytes of input that all sessions together may hold for slow targets. Beyond it a session keeps only what its target takes at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Of a whole proxy.
const MAX_ALL: usize = 256 * 1024 * 1024;

/// A share in the budget; what it holds goes back when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Share {
    all: Budget,
    held: usize,
}

/// The budget.
#[derive(Debug, Clone, Default)]
pub(crate) struct Budget(Arc<AtomicUsize>);

impl Budget {
    /// A share that holds nothing yet.
    pub(crate) fn share(&self) -> Share {
        Share { all: self.clone(), held: 0 }
    }
}

impl Share {
    pub(super) fn take(&mut self, bytes: usize) {
        self.held += bytes;
        self.all.0.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn give(&mut self, bytes: usize) {
        let bytes = bytes.min(self.held);
        self.held -= bytes;
        self.all.0.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether the proxy as a whole holds too much.
    pub(super) fn is_tight(&self) -> bool {
        self.all.0.load(Ordering::Relaxed) >= MAX_ALL
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give(self.held);
    }
}
