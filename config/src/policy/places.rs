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
            self.broken.insert(path.to_owned());
        }
        value
    }

    /// Tells the faults that `access` found, each at its part, or at `whole`.
    pub(super) fn tell(&self, read: &mut Reader<'_>, whole: &Range<usize>, faults: Vec<SpecFault>) {
        for fault in faults.into_iter().filter(|fault| !self.broken.contains(&fault.path)) {
            read.fault(self.at.get(&fault.path).unwrap_or(whole), fault.message, fault.remedy);
        }
    }
}
