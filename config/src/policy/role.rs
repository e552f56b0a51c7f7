//! A role as people write it.

use access::event::SessionKind;
use access::policy::{
    AuditAction, AuditRights, LoginPattern, Pattern, RecordingMode, ResourceKind, RoleOptions, RoleSpec, SshRule, StepUp, WhenFull,
};

use super::places::Places;
use super::{Template, parts};
use crate::read::Reader;
use crate::tree::Node;

pub(super) fn read(read: &mut Reader<'_>, node: &Node, templates: &mut Vec<Template>) -> RoleSpec {
    let fields = read.fields(node, "a role", &["allow", "deny", "options", "audit", "administer"]);
    let mut places = Places::default();
    let mut spec = RoleSpec::default();
    for (part, rules) in [("allow", &mut spec.allow), ("deny", &mut spec.deny)] {
        let Some(node) = fields.get(part) else { continue };
        for item in read.list(node, part) {
            let path = format!("{part}[{}]", rules.len());
            rules.push(places.part(read, &path, item, |read, node, places| rule(read, node, &path, places, templates)));
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
    places.tell(read, &node.at, spec.faults());
    spec
}

fn rule(read: &mut Reader<'_>, node: &Node, path: &str, places: &mut Places, templates: &mut Vec<Template>) -> SshRule {
    let fields = read.fields(node, "a rule", &["node_labels", "logins", "kinds", "agent_labels"]);
    let mut rule = SshRule::default();
    if let Some(node) = fields.get("node_labels") {
        for entry in read.map(node, "node_labels") {
            places.put(format!("{path}.node_labels.{}", entry.key), &entry.at);
            let items = read.list(&entry.value, "the set of values of a label").iter();
            let patterns =
                items.filter_map(|item| read.parse::<Pattern>(item, "a label's value", "shorten it, with * for any run of characters"));
            rule.node_labels.insert(entry.key.clone(), patterns.collect());
        }
    }
    if let Some(node) = fields.get("logins") {
        for item in read.list(node, "logins") {
            let remedy = "write a login such as ubuntu, or a template such as {{logins}}, in quotes";
            let Some(login) = read.parse::<LoginPattern>(item, "a login", remedy) else { continue };
            if let Some(name) = login.trait_name() {
                templates.push((name.to_owned(), item.at.clone()));
            }
            places.put(format!("{path}.logins[{}]", rule.logins.len()), &item.at);
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
    const FIELDS: [&str; 9] =
        ["recording", "record_input", "max_session", "idle", "notice", "max_output", "step_up", "max_logins", "when_full"];
    let fields = read.fields(node, "options", &FIELDS);
    for (name, node) in FIELDS.iter().filter_map(|name| fields.get(name).map(|node| (name, node))) {
        places.put(format!("options.{name}"), &node.at);
    }
    let modes = RecordingMode::ALL.map(|mode| (mode.as_str(), mode));
    let when_full = WhenFull::ALL.map(|when| (when.as_str(), when));
    RoleOptions {
        recording: fields.get("recording").and_then(|node| read.word(node, "recording", &modes)).unwrap_or_default(),
        record_input: fields.get("record_input").and_then(|node| read.flag(node, "record_input")).unwrap_or_default(),
        max_session: fields.get("max_session").and_then(|node| read.parse(node, "max_session", "write for example 8h")),
        idle: fields.get("idle").and_then(|node| read.parse(node, "idle", "write for example 30m")),
        notice: fields.get("notice").and_then(|node| read.text(node, "notice").map(str::to_owned)),
        max_output: fields.get("max_output").and_then(|node| read.parse(node, "max_output", "write for example 1GiB")),
        step_up: fields.get("step_up").map(|node| step_up(read, node, places)),
        max_logins: fields
            .get("max_logins")
            .and_then(|node| places.part(read, "options.max_logins", node, |read, node, _| read.count(node, "max_logins", 1_000))),
        when_full: fields.get("when_full").and_then(|node| read.word(node, "when_full", &when_full)).unwrap_or_default(),
    }
}

fn step_up(read: &mut Reader<'_>, node: &Node, places: &mut Places) -> StepUp {
    let fields = read.fields(node, "step_up", &["acr", "amr", "max_age"]);
    let mut words = |name: &str, what: &str| {
        let node = fields.get(name)?;
        Some(places.part(read, &format!("options.step_up.{name}"), node, |read, node, _| parts::texts(read, node, name, what)))
    };
    let (acr, amr) = (words("acr", "a level").unwrap_or_default(), words("amr", "a method").unwrap_or_default());
    let max_age = fields.get("max_age").and_then(|node| {
        places.put("options.step_up.max_age", &node.at);
        read.parse(node, "max_age", "write for example 15m")
    });
    StepUp { acr, amr, max_age }
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
