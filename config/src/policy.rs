//! Resources as YAML: documents of `{kind, name, spec}`, read with every fault of every document at once.
//! What a resource may say is `access`'s; here is where it stands in the text. One file below for each kind.

use std::collections::BTreeSet;
use std::ops::Range;
use std::str::FromStr;

use access::policy::{Resource, ResourceKind};
use access::words::BadName;

use crate::faults::{Fault, Source, meant};
use crate::read::Reader;
use crate::secrets;
use crate::tree::{Node, Value, documents};

mod bot;
mod connector;
mod parts;
mod places;
mod role;
mod user;

/// Reads all resources of a text. `known_traits` are the names of traits that people are known to have; with it, a
/// template whose trait neither they nor the users of this text have is a fault. Without it only its spelling counts.
///
/// # Errors
/// Every fault in the order of the text, at most 100.
pub fn resources(file: &str, text: &str, known_traits: Option<&BTreeSet<String>>) -> Result<Vec<Resource>, Vec<Fault>> {
    let shown = secrets::hidden(text);
    let source = Source { file, text, shown: &shown };
    let mut faults = Vec::new();
    let trees = documents(&source, &mut faults);
    let mut read = Reader::new(&source, faults);
    let (mut all, mut names, mut templates) = (Vec::new(), BTreeSet::new(), Vec::new());
    for tree in declared(&mut read, &trees) {
        let Some((resource, name_at)) = resource(&mut read, tree, &mut templates) else { continue };
        if !names.insert((resource.kind(), resource.name().to_owned())) {
            let message = format!("{} {} is declared twice", resource.kind().as_str(), resource.name());
            read.fault(&name_at, message, "join the two, or rename one");
        }
        all.push(resource);
    }
    if let Some(known) = known_traits {
        unknown_traits(&mut read, &all, known, &templates);
    }
    read.end(all)
}

/// That there is no such role, shown where the user of this name asks for it; none where this text does not.
pub fn unknown_role(file: &str, text: &str, user: &str, role: &str, known: &[&str]) -> Option<Fault> {
    let shown = secrets::hidden(text);
    let source = Source { file, text, shown: &shown };
    let trees = documents(&source, &mut Vec::new());
    let mut read = Reader::new(&source, Vec::new());
    for tree in declared(&mut read, &trees) {
        let fields = read.fields(tree, "a resource", &["kind", "name", "spec"]);
        let is =
            |key: &str, wanted: &str| matches!(fields.get(key).map(|node| &node.value), Some(Value::Scalar { text, .. }) if text == wanted);
        if !(is("kind", "user") && is("name", user)) {
            continue;
        }
        let spec = fields.get("spec").map(|spec| read.fields(spec, "a user", &["roles", "traits"]));
        let roles = spec.and_then(|spec| spec.get("roles")).map(|roles| read.list(roles, "roles")).unwrap_or_default();
        let named = roles.iter().find(|item| matches!(&item.value, Value::Scalar { text, .. } if text == role));
        if let Some(node) = named {
            let remedy = match meant(role, known.iter().copied()) {
                near if near.starts_with("did you mean") => near,
                _ => "declare the role, or take it from the user".to_owned(),
            };
            return Some(source.fault(&node.at, format!("there is no role {role}, here or on the server"), remedy));
        }
    }
    None
}

/// The resources of all documents: a document itself, or those of a list as `naru get --json` gives it.
fn declared<'n>(read: &mut Reader<'_>, trees: &'n [Node]) -> Vec<&'n Node> {
    let mut found = Vec::new();
    for tree in trees {
        match &tree.value {
            Value::Map(entries) if entries.len() == 1 && entries.iter().all(|entry| entry.key == "items") => {
                entries.iter().for_each(|entry| found.extend(read.list(&entry.value, "items")));
            }
            _ => found.push(tree),
        }
    }
    found
}

/// A template's trait and where it stands.
type Template = (String, Range<usize>);

/// One document; none when kind or name are missing or wrong. A spec with faults comes as far as it was read.
fn resource(read: &mut Reader<'_>, tree: &Node, templates: &mut Vec<Template>) -> Option<(Resource, Range<usize>)> {
    let kinds = ResourceKind::DECLARED.map(|kind| (kind.as_str(), kind));
    let fields = read.fields(tree, "a resource", &["kind", "name", "spec"]);
    let kind = match fields.get("kind") {
        Some(node) => read.word(node, "the kind", &kinds),
        None => {
            read.fault(&tree.at, "this resource has no kind", "write kind: role, user, oidc_connector or bot");
            None
        }
    };
    let Some(name) = fields.get("name") else {
        read.fault(&tree.at, "this resource has no name", "write name: and what it is called");
        return None;
    };
    let empty = Node { at: tree.at.clone(), value: Value::Null };
    let spec = fields.get("spec").unwrap_or(&empty);
    let resource = match kind? {
        ResourceKind::User => {
            let (name, spec) = (named(read, name, "the name of a user"), user::read(read, spec));
            Resource::User { name: name?, spec }
        }
        ResourceKind::OidcConnector => {
            let (name, spec) = (named(read, name, "the name of a connector"), connector::read(read, spec));
            Resource::OidcConnector { name: name?, spec }
        }
        ResourceKind::Bot => {
            let (name, spec) = (named(read, name, "the name of a bot"), bot::read(read, spec));
            Resource::Bot { name: name?, spec }
        }
        _ => {
            let (name, spec) = (named(read, name, "the name of a role"), role::read(read, spec, templates));
            Resource::Role { name: name?, spec }
        }
    };
    Some((resource, name.at.clone()))
}

fn named<T: FromStr<Err = BadName>>(read: &mut Reader<'_>, node: &Node, what: &str) -> Option<T> {
    read.parse(node, what, "choose a name of these characters")
}

fn unknown_traits(read: &mut Reader<'_>, all: &[Resource], known: &BTreeSet<String>, templates: &[Template]) {
    let mut names: BTreeSet<&str> = known.iter().map(String::as_str).collect();
    for resource in all {
        match resource {
            Resource::User { spec, .. } => names.extend(spec.traits.keys().map(String::as_str)),
            Resource::OidcConnector { spec, .. } => names.extend(spec.traits.keys().map(String::as_str)),
            Resource::Bot { spec, .. } => names.extend(spec.traits.keys().map(String::as_str)),
            Resource::Role { .. } => {}
        }
    }
    for (name, at) in templates.iter().filter(|(name, _)| !names.contains(name.as_str())) {
        let remedy = if names.is_empty() { "give a user this trait first".to_owned() } else { meant(name, names.iter().copied()) };
        read.fault(at, format!("nobody has the trait {name}, so this template gives no login"), remedy);
    }
}
