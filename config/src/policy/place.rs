//! Where in a text something stands that only the server, or all resources together, could find wrong.

use std::ops::Range;

use access::policy::ResourceKind;

use super::declared;
use crate::faults::{Fault, Source};
use crate::read::Reader;
use crate::secrets;
use crate::tree::{Node, Value, documents};

/// A fault of the resource of this kind and name, shown where `path` stands in its spec (`allow.ssh[0].logins[1]`) or, where the spec has no
/// such part, in the whole resource (`labels.env`); at the nearest part around it that is written, and for the empty path at the
/// resource's name. None where this text does not have the resource.
pub fn place_fault(
    file: &str,
    text: &str,
    (kind, name): (ResourceKind, &str),
    path: &str,
    (message, remedy): (&str, &str),
) -> Option<Fault> {
    let shown = secrets::hidden(text);
    let source = Source { file, text, shown: &shown };
    let trees = documents(&source, &mut Vec::new());
    let mut read = Reader::new(&source, Vec::new());
    let tree = declared(&mut read, &trees).into_iter().find(|tree| is(tree, "kind", kind.as_str()) && is(tree, "name", name))?;
    let own = field(tree, "name")?;
    let at = match field(tree, "spec").and_then(|spec| find(spec, path)) {
        Some(at) if !path.is_empty() => at,
        _ => find(tree, path).filter(|_| !path.is_empty()).or_else(|| field(tree, "spec").map(|spec| &spec.at)).unwrap_or(&own.at),
    };
    let at = if path.is_empty() { &own.at } else { at };
    Some(source.fault(at, message.to_owned(), remedy.to_owned()))
}

fn field<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
}

fn is(tree: &Node, key: &str, wanted: &str) -> bool {
    field(tree, key).is_some_and(|node| matches!(&node.value, Value::Scalar { text, .. } if text == wanted))
}

/// Where this path leads, as far as it does; none where not even its first step is there. A key may have dots in it, so the longest that
/// fits is taken.
fn find<'n>(node: &'n Node, path: &str) -> Option<&'n Range<usize>> {
    let (mut node, mut rest, mut found) = (node, path, None);
    while !rest.is_empty() {
        let step = match &node.value {
            Value::List(items) => {
                let (index, after) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')).unzip();
                let item = index.and_then(|index| items.get(index.parse::<usize>().ok()?));
                item.zip(after).map(|(item, after)| (item, &item.at, after))
            }
            Value::Map(entries) => {
                let after = |key: &str| rest.strip_prefix(key).filter(|after| after.is_empty() || after.starts_with(['.', '[']));
                let fitting = entries.iter().filter_map(|entry| Some((entry, after(&entry.key)?)));
                let longest = fitting.max_by_key(|(entry, _)| entry.key.len());
                // What is empty or long is told at its key.
                longest.map(|(entry, after)| (&entry.value, if short(&entry.value) { &entry.value.at } else { &entry.at }, after))
            }
            // `roles: ops` is `roles: [ops]`.
            _ => None,
        };
        let Some((next, at, after)) = step else { break };
        (node, rest, found) = (next, after.strip_prefix('.').unwrap_or(after), Some(at));
    }
    found
}

fn short(value: &Node) -> bool {
    matches!(value.value, Value::Scalar { .. } | Value::List(_)) && !value.at.is_empty()
}
