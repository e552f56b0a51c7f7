//! A person as people write them.

use access::policy::UserSpec;

use super::places::Places;
use super::{named, parts};
use crate::read::Reader;
use crate::tree::Node;

pub(super) fn read(read: &mut Reader<'_>, node: &Node) -> UserSpec {
    let fields = read.fields(node, "a user", &["roles", "traits"]);
    let mut spec = UserSpec::default();
    if let Some(node) = fields.get("roles") {
        spec.roles = read.list(node, "roles").iter().filter_map(|item| named(read, item, "a role")).collect();
    }
    if let Some(node) = fields.get("traits") {
        spec.traits = parts::traits(read, node, &mut Places::default());
    }
    spec
}
