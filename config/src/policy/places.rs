//! Where the parts of a resource stand, by the paths that `access` names them with, so that its faults get a line and a caret.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use access::policy::SpecFault;

use crate::read::Reader;
use crate::tree::Node;

/// The places of one resource's parts, and which of them have been told of.
#[derive(Debug, Default)]
pub(super) struct Places {
    at: BTreeMap<String, Range<usize>>,
    broken: BTreeSet<String>,
}

impl Places {
    /// Remembers where a part stands.
    pub(super) fn put(&mut self, path: impl Into<String>, at: &Range<usize>) {
        self.at.insert(path.into(), at.clone());
    }

    /// Reads a part, remembering where it stands and whether it had faults: what `access` misses in it then is told already.
    pub(super) fn part<'s, T>(
        &mut self,
        read: &mut Reader<'s>,
        path: &str,
        node: &Node,
        with: impl FnOnce(&mut Reader<'s>, &Node, &mut Self) -> T,
    ) -> T {
        let before = read.faults.len();
        self.put(path, &node.at);
        let value = with(read, node, self);
        if read.faults.len() > before {
            self.mark_broken(path);
        }
        value
    }

    /// Remembers that this part had faults.
    pub(super) fn mark_broken(&mut self, path: &str) {
        self.broken.insert(path.to_owned());
    }

    /// Forgets an item that is left out: the next one has its path.
    pub(super) fn forget(&mut self, path: &str) {
        self.at.remove(path);
        self.broken.remove(path);
    }

    /// Tells the faults that `access` found, each at its part or the nearest around it that is written, or at `whole`.
    pub(super) fn tell(&self, read: &mut Reader<'_>, whole: &Range<usize>, faults: Vec<SpecFault>) {
        for fault in faults.into_iter().filter(|fault| !self.broken.contains(&fault.path)) {
            read.fault(self.nearest(&fault.path).unwrap_or(whole), fault.message, fault.remedy);
        }
    }

    fn nearest(&self, path: &str) -> Option<&Range<usize>> {
        let mut path = path;
        loop {
            if let Some(at) = self.at.get(path) {
                return Some(at);
            }
            path = path.get(..path.rfind(['.', '['])?)?;
        }
    }
}
