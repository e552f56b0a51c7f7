//! A condition as people write it. What is wrong in its spelling is shown at its place within it.

use access::condition::{Condition, misspelt};

use super::spec::{Part, Spec};
use crate::read::Reader;
use crate::tree::Node;

/// The condition of a field.
pub(super) fn read(spec: &mut Spec<'_, '_>, part: &Part<'_>, name: &str) -> Option<Condition> {
    spec.field(part, name, |spec, node, _| one(spec.read, node, name)).flatten()
}

fn one(read: &mut Reader<'_>, node: &Node, name: &str) -> Option<Condition> {
    let text = read.text(node, name)?;
    if let Some((offset, why)) = misspelt(text) {
        // Only what stands in the file as it is meant has places of its own; escapes and folded lines have not.
        let written = read.source.text.get(node.at.clone()).unwrap_or_default();
        let at = written.find(text).map_or(node.at.clone(), |start| {
            let at = node.at.start + start + offset;
            at..at
        });
        read.fault(&at, format!("this condition is not CEL: {why}"), "write for example 'oncall' in user.traits.groups");
        return None;
    }
    read.parse(node, name, "say what must hold of user, target, request, time or network")
}
