//! Windows that have grown: how many bytes all sessions together may be owed beyond what each begins with.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Of a whole proxy.
const MAX_ALL: usize = 256 * 1024 * 1024;

/// The budget.
#[derive(Debug, Clone, Default)]
pub(crate) struct Budget(Arc<AtomicUsize>);

/// A share in the budget; what it holds goes back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    all: Budget,
    held: usize,
}

impl Budget {
    /// A share that holds nothing yet.
    pub(crate) fn share(&self) -> Share {
        Share { all: self.clone(), held: 0 }
    }
}

impl Share {
    /// Takes this much more where there is so much; answers whether it did.
    pub(crate) fn take(&mut self, bytes: usize) -> bool {
        let took =
            self.all.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |all| all.checked_add(bytes).filter(|all| *all <= MAX_ALL));
        self.held += if took.is_ok() { bytes } else { 0 };
        took.is_ok()
    }

    /// What it holds.
    pub(crate) fn held(&self) -> usize {
        self.held
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.all.0.fetch_sub(self.held, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_kept_and_comes_back() {
        let budget = Budget::default();
        let mut first = budget.share();
        assert!(first.take(MAX_ALL - 1) && !first.take(2));
        let mut second = budget.share();
        assert!(!second.take(2));
        drop(first);
        assert!(second.take(2));
        assert_eq!(second.held(), 2);
    }
}
