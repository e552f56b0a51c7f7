//! A person as people write them.

use access::policy::UserSpec;

use super::parts;
use super::spec::Spec;
use crate::tree::Node;

pub(super) fn read(spec: &mut Spec<'_, '_>, node: &Node) -> UserSpec {
    let part = spec.whole(node, "a user", &["roles", "traits", "notes"], &[]);
    let roles = spec.roles(&part, "roles");
    let notes = spec.text(&part, "notes").unwrap_or_default();
    let traits = part.fields.get("traits").map(|node| parts::traits(spec.read, node, &mut spec.places)).unwrap_or_default();
    UserSpec { roles, traits, notes }
}
