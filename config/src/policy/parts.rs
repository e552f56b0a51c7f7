//! Parts that several kinds of resource have: lists of texts, roles, traits, and how to reach a provider.

use std::ops::Range;
use std::str::FromStr;

use access::connector::ProviderSpec;
use access::identity::Traits;
use access::policy::Pattern;
use access::policy::pattern::is_trait_name;
use access::words::{BadName, RoleName};

use super::named;
use super::places::Places;
use crate::faults::quoted;
use crate::read::{Fields, Reader};
use crate::tree::{Node, Value};

/// The fields of [`ProviderSpec`].
pub(super) const PROVIDER: [&str; 5] = ["issuer", "ca", "proxy", "endpoint_hosts", "algorithms"];

/// A list of texts.
pub(super) fn texts(read: &mut Reader<'_>, node: &Node, list: &str, item: &str) -> Vec<String> {
    read.list(node, list).iter().filter_map(|node| read.text(node, item).map(str::to_owned)).collect()
}

/// The items of a list, or the one value that stands there without brackets.
fn one_or_more<'n>(read: &mut Reader<'_>, node: &'n Node, what: &str) -> &'n [Node] {
    if matches!(node.value, Value::Scalar { .. }) { std::slice::from_ref(node) } else { read.list(node, what) }
}

/// Roles, as a list or one alone.
pub(super) fn roles(read: &mut Reader<'_>, node: &Node) -> Vec<RoleName> {
    one_or_more(read, node, "roles").iter().filter_map(|item| named(read, item, "a role")).collect()
}

/// Patterns of a claim's value, as a list or one alone.
pub(super) fn patterns(read: &mut Reader<'_>, node: &Node) -> Vec<Pattern> {
    let items = one_or_more(read, node, "the values of a claim").iter();
    items.filter_map(|item| read.parse(item, "a claim's value", PATTERN)).collect()
}

/// A pattern that is the key of a map.
pub(super) fn pattern(read: &mut Reader<'_>, key: &str, at: &Range<usize>) -> Option<Pattern> {
    let pattern: Result<Pattern, BadName> = FromStr::from_str(key);
    pattern.map_err(|error| read.fault(at, error.to_string(), PATTERN)).ok()
}

const PATTERN: &str = "shorten it, with * for any run of characters";

/// Names of traits with their values.
pub(super) fn traits(read: &mut Reader<'_>, node: &Node, places: &mut Places) -> Traits {
    let mut traits = Traits::new();
    for entry in read.map(node, "traits") {
        let values = places.part(read, &format!("traits.{}", entry.key), &entry.value, |read, node, _| {
            if !is_trait_name(&entry.key) {
                let message = format!("{} cannot name a trait", quoted(&entry.key));
                read.fault(&entry.at, message, "use 1 to 64 of A-Z a-z 0-9 . _ - : /");
            }
            texts(read, node, "a trait", "a trait's value")
        });
        traits.insert(entry.key.clone(), values);
    }
    traits
}

/// One text of a resource.
pub(super) fn text(read: &mut Reader<'_>, fields: &Fields<'_>, places: &mut Places, name: &str) -> Option<String> {
    let node = fields.get(name)?;
    places.part(read, name, node, |read, node, _| read.text(node, name).map(str::to_owned))
}

/// A list of texts of a resource, each with its place.
pub(super) fn list(read: &mut Reader<'_>, fields: &Fields<'_>, places: &mut Places, name: &str) -> Vec<String> {
    let Some(node) = fields.get(name) else { return Vec::new() };
    places.part(read, name, node, |read, node, places| {
        let mut all = Vec::new();
        for item in read.list(node, name) {
            if let Some(text) = read.text(item, "an item of it") {
                places.put(format!("{name}[{}]", all.len()), &item.at);
                all.push(text.to_owned());
            }
        }
        all
    })
}

/// How to reach a provider.
pub(super) fn provider(read: &mut Reader<'_>, fields: &Fields<'_>, places: &mut Places) -> ProviderSpec {
    ProviderSpec {
        issuer: text(read, fields, places, "issuer").unwrap_or_default(),
        ca: text(read, fields, places, "ca"),
        proxy: text(read, fields, places, "proxy"),
        endpoint_hosts: list(read, fields, places, "endpoint_hosts"),
        algorithms: list(read, fields, places, "algorithms"),
    }
}
