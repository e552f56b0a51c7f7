//! Resources as YAML: documents of `{kind, name, spec}`, read with every fault of every document at once.
//! What a role may say is `access`'s; here is where it stands in the text.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::str::FromStr;

use access::event::SessionKind;
use access::policy::pattern::is_trait_name;
use access::policy::{AuditAction, AuditRights, Pattern, RecordingMode, Resource, ResourceKind, RoleOptions, RoleSpec, SshRule, UserSpec};
use access::words::BadName;

use crate::faults::{Fault, Source, meant, quoted};
use crate::read::Reader;
use crate::tree::{Node, Value, documents};

/// Reads all resources of a text. `known_traits` are the names of traits that people are known to have; with it, a
/// template whose trait neither they nor the users of this text have is a fault. Without it only its spelling counts.
///
/// # Errors
/// Every fault in the order of the text, at most 100.
pub fn resources(file: &str, text: &str, known_traits: Option<&BTreeSet<String>>) -> Result<Vec<Resource>, Vec<Fault>> {
    let source = Source { file, text };
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
    let source = Source { file, text };
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
    const KINDS: [(&str, ResourceKind); 2] = [("role", ResourceKind::Role), ("user", ResourceKind::User)];
    let fields = read.fields(tree, "a resource", &["kind", "name", "spec"]);
    let kind = match fields.get("kind") {
        Some(node) => read.word(node, "the kind", &KINDS),
        None => {
            read.fault(&tree.at, "this resource has no kind", "write kind: role or kind: user");
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
            let (name, spec) = (named(read, name, "the name of a user"), user(read, spec));
            Resource::User { name: name?, spec }
        }
        _ => {
            let (name, spec) = (named(read, name, "the name of a role"), role(read, spec, templates));
            Resource::Role { name: name?, spec }
        }
    };
    Some((resource, name.at.clone()))
}

fn named<T: FromStr<Err = BadName>>(read: &mut Reader<'_>, node: &Node, what: &str) -> Option<T> {
    read.parse(node, what, "choose a name of these characters")
}

fn user(read: &mut Reader<'_>, node: &Node) -> UserSpec {
    let fields = read.fields(node, "a user", &["roles", "traits"]);
    let mut spec = UserSpec::default();
    if let Some(node) = fields.get("roles") {
        spec.roles = read.list(node, "roles").iter().filter_map(|item| named(read, item, "a role")).collect();
    }
    if let Some(node) = fields.get("traits") {
        for entry in read.map(node, "traits") {
            if !is_trait_name(&entry.key) {
                let message = format!("{} cannot name a trait", quoted(&entry.key));
                read.fault(&entry.at, message, "use 1 to 64 of A-Z a-z 0-9 . _ - : /");
            }
            let items = read.list(&entry.value, "a trait").iter();
            let values = items.filter_map(|item| read.text(item, "a trait's value").map(str::to_owned)).collect();
            spec.traits.insert(entry.key.clone(), values);
        }
    }
    spec
}

/// Where the parts of a role stand, by the path that `access` names them with.
type Places = BTreeMap<String, Range<usize>>;

fn role(read: &mut Reader<'_>, node: &Node, templates: &mut Vec<Template>) -> RoleSpec {
    let fields = read.fields(node, "a role", &["allow", "deny", "options", "audit", "administer"]);
    let mut places = Places::new();
    let mut broken = BTreeSet::new();
    let mut spec = RoleSpec::default();
    for (part, rules) in [("allow", &mut spec.allow), ("deny", &mut spec.deny)] {
        let Some(node) = fields.get(part) else { continue };
        for item in read.list(node, part) {
            let (path, before) = (format!("{part}[{}]", rules.len()), read.faults.len());
            rules.push(rule(read, item, &path, &mut places, templates));
            if read.faults.len() > before {
                broken.insert(path.clone());
            }
            places.insert(path, item.at.clone());
        }
    }
    if let Some(node) = fields.get("options") {
        spec.options = options(read, node, &mut places);
    }
    if let Some(node) = fields.get("audit") {
        spec.audit = audit(read, node);
    }
    if let Some(node) = fields.get("administer") {
        let words = ResourceKind::ALL.map(|kind| (kind.as_str(), kind));
        spec.administer = read.list(node, "administer").iter().filter_map(|item| read.word(item, "a kind of resource", &words)).collect();
    }
    // A rule that is empty because its parts were faults has been told of already.
    for fault in spec.faults().into_iter().filter(|fault| !broken.contains(&fault.path)) {
        read.fault(places.get(&fault.path).unwrap_or(&node.at), fault.message, fault.remedy);
    }
    spec
}

fn rule(read: &mut Reader<'_>, node: &Node, path: &str, places: &mut Places, templates: &mut Vec<Template>) -> SshRule {
    let fields = read.fields(node, "a rule", &["node_labels", "logins", "kinds", "agent_labels"]);
    let mut rule = SshRule::default();
    if let Some(node) = fields.get("node_labels") {
        for entry in read.map(node, "node_labels") {
            places.insert(format!("{path}.node_labels.{}", entry.key), entry.at.clone());
            let items = read.list(&entry.value, "the set of values of a label").iter();
            let patterns =
                items.filter_map(|item| read.parse::<Pattern>(item, "a label's value", "shorten it, with * for any run of characters"));
            rule.node_labels.insert(entry.key.clone(), patterns.collect());
        }
    }
    if let Some(node) = fields.get("logins") {
        for item in read.list(node, "logins") {
            let remedy = "write a login such as ubuntu, or a template such as {{logins}}, in quotes";
            let Some(login) = read.parse::<access::policy::LoginPattern>(item, "a login", remedy) else { continue };
            if let Some(name) = login.trait_name() {
                templates.push((name.to_owned(), item.at.clone()));
            }
            places.insert(format!("{path}.logins[{}]", rule.logins.len()), item.at.clone());
            rule.logins.push(login);
        }
    }
    if let Some(node) = fields.get("kinds") {
        let words = SessionKind::ALL.map(|kind| (kind.as_str(), kind));
        rule.kinds = read.list(node, "kinds").iter().filter_map(|item| read.word(item, "a kind of session", &words)).collect();
    }
    if let Some(node) = fields.get("agent_labels") {
        rule.agent_labels = read.flag(node, "agent_labels").unwrap_or_default();
    }
    rule
}

fn options(read: &mut Reader<'_>, node: &Node, places: &mut Places) -> RoleOptions {
    const FIELDS: [&str; 6] = ["recording", "record_input", "max_session", "idle", "notice", "max_output"];
    let fields = read.fields(node, "options", &FIELDS);
    for (name, node) in FIELDS.iter().filter_map(|name| fields.get(name).map(|node| (name, node))) {
        places.insert(format!("options.{name}"), node.at.clone());
    }
    let modes = RecordingMode::ALL.map(|mode| (mode.as_str(), mode));
    RoleOptions {
        recording: fields.get("recording").and_then(|node| read.word(node, "recording", &modes)).unwrap_or_default(),
        record_input: fields.get("record_input").and_then(|node| read.flag(node, "record_input")).unwrap_or_default(),
        max_session: fields.get("max_session").and_then(|node| read.parse(node, "max_session", "write for example 8h")),
        idle: fields.get("idle").and_then(|node| read.parse(node, "idle", "write for example 30m")),
        notice: fields.get("notice").and_then(|node| read.text(node, "notice").map(str::to_owned)),
        max_output: fields.get("max_output").and_then(|node| read.parse(node, "max_output", "write for example 1GiB")),
        ..RoleOptions::default()
    }
}

fn audit(read: &mut Reader<'_>, node: &Node) -> AuditRights {
    let fields = read.fields(node, "audit", &["sessions", "events"]);
    let words = AuditAction::ALL.map(|action| (action.as_str(), action));
    let mut rights = AuditRights::default();
    if let Some(node) = fields.get("sessions") {
        rights.sessions = read.list(node, "sessions").iter().filter_map(|item| read.word(item, "an audit action", &words)).collect();
    }
    if let Some(node) = fields.get("events") {
        rights.events = read.flag(node, "events").unwrap_or_default();
    }
    rights
}

fn unknown_traits(read: &mut Reader<'_>, all: &[Resource], known: &BTreeSet<String>, templates: &[Template]) {
    let mut names: BTreeSet<&str> = known.iter().map(String::as_str).collect();
    for resource in all {
        if let Resource::User { spec, .. } = resource {
            names.extend(spec.traits.keys().map(String::as_str));
        }
    }
    for (name, at) in templates.iter().filter(|(name, _)| !names.contains(name.as_str())) {
        let remedy = if names.is_empty() { "give a user this trait first".to_owned() } else { meant(name, names.iter().copied()) };
        read.fault(at, format!("nobody has the trait {name}, so this template gives no login"), remedy);
    }
}
