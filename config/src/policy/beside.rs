//! What stands beside a spec: labels, who keeps it, and what the server gave it. Written by `naru get`, taken back by `naru apply`.

use std::collections::BTreeMap;

use access::policy::{Resource, Stated};
use access::time::Timestamp;

use super::spec::Spec;
use crate::tree::{Node, Value};

/// Fields of every resource.
pub(super) const FIELDS: [&str; 8] = ["kind", "name", "id", "revision", "created", "labels", "managed_by", "spec"];

/// The fields beside the spec of a whole resource. `resource` is none where it could not be read; the rest is looked at all the same.
pub(super) fn read(mut spec: Spec<'_, '_>, tree: &Node, resource: Option<Resource>) -> Option<Stated> {
    // The fields were told of where the resource was read.
    let part = spec.quiet(tree);
    let id = spec.text(&part, "id");
    let revision = spec.field(&part, "revision", |spec, node, _| revision(spec, node)).flatten();
    let created = spec.field(&part, "created", |spec, node, _| created(spec, node)).flatten();
    let labels: BTreeMap<String, String> = spec.text_map(&part, "labels");
    let managed_by = spec.text(&part, "managed_by");
    let stated = Stated { resource: resource?, id, revision, created, labels, managed_by };
    spec.tell(tree, stated.faults_beside());
    Some(stated)
}

fn created(spec: &mut Spec<'_, '_>, node: &Node) -> Option<Timestamp> {
    let read = match &node.value {
        Value::Scalar { text, .. } => text.parse().ok(),
        Value::Broken => return None,
        _ => None,
    };
    if read.is_none() {
        spec.read.fault(&node.at, "created is a time, as 2026-11-21T10:00:00Z", "leave it out: it is the server's own");
    }
    read
}

fn revision(spec: &mut Spec<'_, '_>, node: &Node) -> Option<u64> {
    let read = match &node.value {
        Value::Scalar { text, plain: true } if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
        Value::Broken => return None,
        _ => None,
    };
    if read.is_none() {
        spec.read.fault(&node.at, "revision is a whole number", "leave it out, or write it as `naru get` shows it");
    }
    read
}
