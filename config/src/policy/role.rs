//! A role as people write it.

use std::collections::BTreeMap;

use access::policy::{
    AuditAction, AuditRule, ChannelKind, KindOrAll, KubeRule, KubeVerb, Level, ResourceKind, ReviewRights, Rights, RoleSpec, SshRule,
};
use access::policy::{LoginPattern, pattern};

use super::spec::{Old, Part, Spec, is_list};
use super::{condition, options};
use crate::faults::{meant, quoted};
use crate::tree::{Node, Value};

const FIELDS: [&str; 6] = ["description", "allow", "deny", "may_request", "options", "dry_run"];
const RIGHTS: [&str; 5] = ["ssh", "kubernetes", "review", "audit", "administer"];
const SSH: [&str; 7] = ["labels", "logins", "kinds", "commands", "forwards", "agent_labels", "where"];
const KUBERNETES: [&str; 10] =
    ["labels", "groups", "user", "namespaces", "api_groups", "resources", "names", "verbs", "agent_labels", "where"];

/// How the first version of a role was written.
const OLD_ROLE: [Old; 2] = [
    ("audit", "write it below allow, as a list: allow: {audit: [{sessions: [list, play]}]}"),
    ("administer", "write it below allow, with a level for each kind: allow: {administer: {role: write}}"),
];
const OLD_RULE: [Old; 1] = [("node_labels", "it is called labels now")];

pub(super) fn read(spec: &mut Spec<'_, '_>, node: &Node) -> RoleSpec {
    let part = spec.whole(node, "a role", &FIELDS, &OLD_ROLE);
    RoleSpec {
        description: spec.text(&part, "description").unwrap_or_default(),
        allow: rights(spec, &part, "allow"),
        deny: rights(spec, &part, "deny"),
        may_request: spec.roles(&part, "may_request"),
        options: options::read(spec, &part),
        dry_run: spec.flag(&part, "dry_run"),
    }
}

fn rights(spec: &mut Spec<'_, '_>, part: &Part<'_>, side: &str) -> Rights {
    if is_list(part, side) {
        spec.field(part, side, |spec, node, _| {
            let message = format!("{side} is a map of {}, and this is a list", RIGHTS.join(", "));
            spec.read.fault(&node.at, message, format!("write the rules for nodes below {side}: ssh:, with labels for node_labels"));
        });
        return Rights::default();
    }
    let read = spec.part(part, side, &RIGHTS, |spec, part| Rights {
        ssh: spec.parts(part, ("ssh", "a rule"), (&SSH, &OLD_RULE), ssh),
        kubernetes: spec.parts(part, ("kubernetes", "a rule"), (&KUBERNETES, &[]), kubernetes),
        review: review(spec, part),
        audit: audit(spec, part),
        administer: administer(spec, part),
    });
    read.unwrap_or_default()
}

fn ssh(spec: &mut Spec<'_, '_>, part: &Part<'_>) -> SshRule {
    SshRule {
        labels: spec.pattern_map(part, "labels", "the set of values of a label"),
        logins: spec.items(part, "logins", |spec, node, _| {
            let remedy = "write a login such as ubuntu, or a template such as {{logins}}, in quotes";
            let login = spec.read.parse::<LoginPattern>(node, "a login", remedy)?;
            spec.template(login.trait_name(), node);
            Some(login)
        }),
        kinds: spec.items(part, "kinds", |spec, node, _| kind(spec, node)),
        commands: spec.parses(part, "commands", "write the command as it is run, such as systemctl status *"),
        forwards: spec.parses(part, "forwards", "write for example \"localhost:5432\""),
        agent_labels: spec.flag(part, "agent_labels"),
        condition: condition::read(spec, part, "where"),
    }
}

fn kind(spec: &mut Spec<'_, '_>, node: &Node) -> Option<ChannelKind> {
    if matches!(&node.value, Value::Scalar { text, .. } if text == "sftp") {
        spec.read.fault(&node.at, "sftp is two kinds of session now", "write sftp_read, and sftp_write where files may be changed");
        return None;
    }
    spec.read.word(node, "a kind of session", &ChannelKind::ALL.map(|kind| (kind.as_str(), kind)))
}

fn kubernetes(spec: &mut Spec<'_, '_>, part: &Part<'_>) -> KubeRule {
    const NAME: &str = "write a name such as developers, or a template such as team:{{team}}, in quotes";
    let verbs = KubeVerb::ALL.map(|verb| (verb.as_str(), verb));
    let template = |spec: &mut Spec<'_, '_>, node: &Node, what: &str| {
        let name = spec.read.parse::<pattern::Template>(node, what, NAME)?;
        spec.template(name.trait_name(), node);
        Some(name)
    };
    KubeRule {
        labels: spec.pattern_map(part, "labels", "the set of values of a label"),
        groups: spec.items(part, "groups", |spec, node, _| template(spec, node, "a group")),
        user: spec.field(part, "user", |spec, node, _| template(spec, node, "the user")).flatten(),
        namespaces: spec.patterns(part, "namespaces"),
        api_groups: spec.patterns(part, "api_groups"),
        resources: spec.patterns(part, "resources"),
        names: spec.patterns(part, "names"),
        verbs: spec.words(part, ("verbs", "a verb"), &verbs),
        agent_labels: spec.flag(part, "agent_labels"),
        condition: condition::read(spec, part, "where"),
    }
}

fn review(spec: &mut Spec<'_, '_>, part: &Part<'_>) -> ReviewRights {
    let read = spec.part(part, "review", &["roles", "where"], |spec, part| ReviewRights {
        roles: spec.roles(part, "roles"),
        condition: condition::read(spec, part, "where"),
    });
    read.unwrap_or_default()
}

fn audit(spec: &mut Spec<'_, '_>, part: &Part<'_>) -> Vec<AuditRule> {
    const FIELDS: [&str; 5] = ["sessions", "events", "users", "roles", "labels"];
    let actions = AuditAction::ALL.map(|action| (action.as_str(), action));
    spec.parts(part, ("audit", "a rule"), (&FIELDS, &[]), |spec, part| AuditRule {
        sessions: spec.words(part, ("sessions", "an audit action"), &actions),
        events: spec.flag(part, "events"),
        users: spec.patterns(part, "users"),
        roles: spec.roles(part, "roles"),
        labels: spec.pattern_map(part, "labels", "the set of values of a label"),
    })
}

/// Kinds of resource and how far each.
fn administer(spec: &mut Spec<'_, '_>, part: &Part<'_>) -> BTreeMap<KindOrAll, Level> {
    let levels = Level::ALL.map(|level| (level.as_str(), level));
    let read = spec.field(part, "administer", |spec, node, _| {
        let mut all = BTreeMap::new();
        for entry in spec.read.map(node, "administer") {
            let kind = KindOrAll::try_from(entry.key.clone());
            if kind.is_err() {
                let known = ResourceKind::ALL.map(ResourceKind::as_str);
                let message = format!("there is no kind of resource {}", quoted(&entry.key));
                let old = (entry.key == "token").then(|| "it is called join_token now".to_owned());
                spec.read.fault(&entry.at, message, old.unwrap_or_else(|| meant(&entry.key, known.into_iter())));
            }
            let level = spec.read.word(&entry.value, "a level", &levels);
            all.extend(kind.ok().zip(level));
        }
        all
    });
    read.unwrap_or_default()
}
