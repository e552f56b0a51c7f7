//! Resources as YAML: documents of `{kind, name, spec}`, read with every fault of every document at once.
//! What a resource may say is `access`'s; here is where it stands in the text. One file below for each kind.

use std::collections::BTreeSet;
use std::ops::Range;
use std::str::FromStr;

use access::policy::{Resource, ResourceKind, Stated};
use access::words::BadName;

use crate::faults::{Fault, Source, meant};
use crate::read::Reader;
use crate::secrets;
use crate::tree::{Node, Value, documents};

mod beside;
mod bot;
mod condition;
mod connector;
mod declared;
mod options;
mod parts;
mod place;
mod places;
mod role;
mod spec;
mod user;

pub use place::place_fault;
use spec::Spec;

/// Reads all resources of a text. `known_traits` are the names of traits that people are known to have; with it, a
/// template whose trait neither they nor the users of this text have is a fault. Without it only its spelling counts.
///
/// # Errors
/// Every fault in the order of the text, at most 100.
pub fn resources(file: &str, text: &str, known_traits: Option<&BTreeSet<String>>) -> Result<Vec<Stated>, Vec<Fault>> {
    let shown = secrets::hidden(text);
    let source = Source { file, text, shown: &shown };
    let mut faults = Vec::new();
    let trees = documents(&source, &mut faults);
    let mut read = Reader::new(&source, faults);
    let (mut all, mut names, mut templates) = (Vec::new(), BTreeSet::new(), Vec::new());
    for tree in declared(&mut read, &trees) {
        let Some((stated, name_at)) = stated(&mut read, tree, &mut templates) else { continue };
        let (kind, name) = (stated.resource.kind(), stated.resource.name().to_owned());
        if !names.insert((kind, name.clone())) {
            let message = format!("{} {name} is declared twice", kind.as_str());
            read.fault(&name_at, message, "join the two, or rename one");
        }
        all.push(stated);
    }
    if let Some(known) = known_traits {
        unknown_traits(&mut read, &all, known, &templates);
    }
    read.end(all)
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
fn stated(read: &mut Reader<'_>, tree: &Node, templates: &mut Vec<Template>) -> Option<(Stated, Range<usize>)> {
    let kinds = ResourceKind::DECLARED.map(|kind| (kind.as_str(), kind));
    let fields = read.fields(tree, "a resource", &beside::FIELDS);
    let kind = match fields.get("kind") {
        Some(node) => read.word(node, "the kind", &kinds),
        None => {
            let words = kinds.map(|(word, _)| word).join(", ");
            read.fault(&tree.at, "this resource has no kind", format!("write kind: and one of {words}"));
            None
        }
    };
    let name = fields.get("name");
    if name.is_none() {
        read.fault(&tree.at, "this resource has no name", "write name: and what it is called");
    }
    let empty = Node { at: tree.at.clone(), value: Value::Null };
    let spec = fields.get("spec").unwrap_or(&empty);
    let resource = kind.zip(name).and_then(|(kind, name)| resource(read, kind, name, spec, templates));
    let stated = beside::read(Spec::new(read, templates), tree, resource)?;
    Some((stated, name?.at.clone()))
}

/// Kind, name and spec.
fn resource(read: &mut Reader<'_>, kind: ResourceKind, name: &Node, node: &Node, templates: &mut Vec<Template>) -> Option<Resource> {
    macro_rules! kinds {
        ($($kind:ident: $what:literal, $read:expr;)*) => {
            match kind {
                $(ResourceKind::$kind => {
                    let at = &name.at;
                    let name = named(read, name, concat!("the name of ", $what));
                    let mut spec = Spec::new(read, templates);
                    spec.places.put("", at);
                    let value = $read(&mut spec, node);
                    // Without a good name nothing but the spec can be looked at, and its name is no part of that.
                    let resource = Resource::$kind { name: name?, spec: value };
                    spec.tell(node, resource.faults());
                    Some(resource)
                })*
                // These are made and not declared, so that no text can name them.
                ResourceKind::Link | ResourceKind::Request => None,
            }
        };
    }
    kinds! {
        Role: "a role", role::read;
        User: "a user", user::read;
        OidcConnector: "a connector", connector::read;
        Bot: "a bot", bot::read;
        JoinToken: "a join token", declared::join_token;
        Node: "a node", declared::node;
        Cluster: "a cluster", declared::cluster;
        Guardrail: "a guardrail", declared::guardrail;
        AccessRule: "an access rule", declared::access_rule;
        Messenger: "a messenger", |spec: &mut Spec<'_, '_>, node| declared::messenger(spec, node, "a messenger");
        AuditSink: "an audit sink", |spec: &mut Spec<'_, '_>, node| declared::messenger(spec, node, "an audit sink");
        Lock: "a lock", declared::lock;
        Settings: "the settings", declared::settings;
    }
}

fn named<T: FromStr<Err = BadName>>(read: &mut Reader<'_>, node: &Node, what: &str) -> Option<T> {
    read.parse(node, what, "choose a name of these characters")
}

fn unknown_traits(read: &mut Reader<'_>, all: &[Stated], known: &BTreeSet<String>, templates: &[Template]) {
    let mut names: BTreeSet<&str> = known.iter().map(String::as_str).collect();
    for resource in all {
        match &resource.resource {
            Resource::User { spec, .. } => names.extend(spec.traits.keys().map(String::as_str)),
            Resource::OidcConnector { spec, .. } => names.extend(spec.traits.keys().map(String::as_str)),
            Resource::Bot { spec, .. } => names.extend(spec.traits.keys().map(String::as_str)),
            _ => {}
        }
    }
    for (name, at) in templates.iter().filter(|(name, _)| !names.contains(name.as_str())) {
        let remedy = if names.is_empty() { "give a user this trait first".to_owned() } else { meant(name, names.iter().copied()) };
        read.fault(at, format!("nobody has the trait {name}, so this template gives no login"), remedy);
    }
}
