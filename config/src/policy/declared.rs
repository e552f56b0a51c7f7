//! What is declared beside roles, people and providers, as people write it: one function for each kind.

use access::connector::WriteOnly;
use access::policy::{
    AccessRuleSpec, Approvals, AutoReview, ClusterSpec, GuardrailSpec, JoinKind, JoinTokenSpec, LockSpec, LockTarget, LoginPattern,
    MessengerSpec, Never, NodeSpec, ReachKubernetes, ReachSpec, ReachSsh, ReasonSpec, SettingsSpec, Unless, WebhookSpec, Who,
};

use super::spec::{Part, Spec};
use super::{condition, options};
use crate::tree::{Node, Value};

/// What joins, as what.
pub(super) fn join_token(spec: &mut Spec<'_, '_>, node: &Node) -> JoinTokenSpec {
    let kinds = JoinKind::ALL.map(|kind| (kind.as_str(), kind));
    let part = spec.whole(node, "a join token", &["kinds", "names", "labels", "uses", "ttl", "gone_after"], &[]);
    JoinTokenSpec {
        kinds: spec.words(&part, ("kinds", "what joins"), &kinds),
        names: spec.patterns(&part, "names"),
        labels: spec.text_map(&part, "labels"),
        uses: spec.count(&part, "uses"),
        ttl: spec.parse(&part, "ttl", "write for example 1h"),
        gone_after: spec.parse(&part, "gone_after", "write for example 7d"),
    }
}

/// An SSH target.
pub(super) fn node(spec: &mut Spec<'_, '_>, node: &Node) -> NodeSpec {
    let part = spec.whole(node, "the spec of a node", &["description"], &BESIDE);
    NodeSpec { description: spec.text(&part, "description").unwrap_or_default() }
}

/// A Kubernetes target.
pub(super) fn cluster(spec: &mut Spec<'_, '_>, node: &Node) -> ClusterSpec {
    let part = spec.whole(node, "the spec of a cluster", &["description"], &BESIDE);
    ClusterSpec { description: spec.text(&part, "description").unwrap_or_default() }
}

const BESIDE: [(&str, &str); 1] = [("labels", "labels stand beside the spec, with kind and name")];

/// What must never be.
pub(super) fn guardrail(spec: &mut Spec<'_, '_>, node: &Node) -> GuardrailSpec {
    let part = spec.whole(node, "a guardrail", &["description", "never", "unless"], &[]);
    let never = spec.part(&part, "never", &["who", "reach"], |spec, part| Never {
        who: spec.part(part, "who", &["users", "roles", "traits"], who).unwrap_or_default(),
        reach: spec.part(part, "reach", &["labels", "ssh", "kubernetes"], reach).unwrap_or_default(),
    });
    let unless = spec.part(&part, "unless", &["requested"], |spec, part| Unless { requested: spec.flag(part, "requested") });
    GuardrailSpec {
        description: spec.text(&part, "description").unwrap_or_default(),
        never: never.unwrap_or_default(),
        unless: unless.unwrap_or_default(),
    }
}

fn who(spec: &mut Spec<'_, '_>, part: &Part<'_>) -> Who {
    Who {
        users: spec.patterns(part, "users"),
        roles: spec.roles(part, "roles"),
        traits: spec.pattern_map(part, "traits", "the set of values of a trait"),
    }
}

fn reach(spec: &mut Spec<'_, '_>, part: &Part<'_>) -> ReachSpec {
    const LOGIN: &str = "write a login such as root";
    ReachSpec {
        labels: spec.pattern_map(part, "labels", "the set of values of a label"),
        ssh: spec.part(part, "ssh", &["logins"], |spec, part| ReachSsh { logins: spec.parses::<LoginPattern>(part, "logins", LOGIN) }),
        kubernetes: spec.part(part, "kubernetes", &["groups"], |spec, part| ReachKubernetes { groups: spec.patterns(part, "groups") }),
    }
}

/// How requests are decided.
pub(super) fn access_rule(spec: &mut Spec<'_, '_>, node: &Node) -> AccessRuleSpec {
    const FIELDS: [&str; 9] = ["description", "roles", "approvals", "max_ttl", "pending", "max_uses", "reason", "auto_review", "notify"];
    let part = spec.whole(node, "an access rule", &FIELDS, &[]);
    let approvals = spec.part(&part, "approvals", &["required", "from"], |spec, part| Approvals {
        required: spec.count(part, "required"),
        from: spec.roles(part, "from"),
    });
    let reason = spec.part(&part, "reason", &["required", "pattern"], |spec, part| ReasonSpec {
        required: spec.flag(part, "required"),
        pattern: spec.parse(part, "pattern", "write for example [A-Z]+-[0-9]+"),
    });
    AccessRuleSpec {
        description: spec.text(&part, "description").unwrap_or_default(),
        roles: spec.roles(&part, "roles"),
        approvals: approvals.unwrap_or_default(),
        max_ttl: spec.parse(&part, "max_ttl", "write for example 8h"),
        pending: spec.parse(&part, "pending", "write for example 24h"),
        max_uses: spec.count(&part, "max_uses"),
        reason: reason.unwrap_or_default(),
        auto_review: auto_review(spec, &part),
        notify: spec.parses(&part, "notify", "write the name of a messenger"),
    }
}

fn auto_review(spec: &mut Spec<'_, '_>, part: &Part<'_>) -> Option<AutoReview> {
    let at = part.fields.get("auto_review").map(|node| node.at.clone())?;
    let read = spec.part(part, "auto_review", &["when", "approve"], |spec, part| {
        for name in ["when", "approve"].into_iter().filter(|name| part.fields.get(name).is_none()) {
            spec.read.fault(&at, format!("auto_review needs {name}"), "write when: a condition, and approve: true or false");
        }
        Some(AutoReview { when: condition::read(spec, part, "when")?, approve: spec.flag(part, "approve") })
    });
    read.flatten()
}

/// Who is told of events, or keeps them.
pub(super) fn messenger(spec: &mut Spec<'_, '_>, node: &Node, what: &str) -> MessengerSpec {
    let part = spec.whole(node, what, &["webhook", "events"], &[]);
    let webhook = spec.part(&part, "webhook", &["url", "secret", "secret_version", "allow_private"], |spec, part| WebhookSpec {
        url: spec.text(part, "url").unwrap_or_default(),
        secret: secret(spec, part),
        secret_version: spec.field(part, "secret_version", |spec, node, _| version(spec, node)).unwrap_or_default(),
        allow_private: spec.flag(part, "allow_private"),
    });
    MessengerSpec { webhook, events: spec.patterns(&part, "events") }
}

/// Taken as it stands, also where YAML might see a number in it: no fault may repeat it.
fn secret(spec: &mut Spec<'_, '_>, part: &Part<'_>) -> Option<WriteOnly> {
    let read = spec.field(part, "secret", |spec, node, _| match &node.value {
        Value::Scalar { text, .. } => Some(WriteOnly::new(text.clone())),
        Value::Broken => None,
        _ => {
            spec.read.fault(&node.at, "secret is one text", "write the secret itself, in quotes");
            None
        }
    });
    read.flatten()
}

/// Zero too, since that is where it begins.
fn version(spec: &mut Spec<'_, '_>, node: &Node) -> u32 {
    let zero = matches!(&node.value, Value::Scalar { text, plain: true } if text == "0");
    if zero { 0 } else { spec.read.count(node, "secret_version", u32::MAX).unwrap_or_default() }
}

/// Who is kept out.
pub(super) fn lock(spec: &mut Spec<'_, '_>, node: &Node) -> LockSpec {
    const TARGETS: [&str; 9] = ["user", "bot", "role", "node", "cluster", "agent", "login", "certificate", "all"];
    const NAME: &str = "write its name";
    let part = spec.whole(node, "a lock", &["target", "reason", "for"], &[]);
    let target = spec.part(&part, "target", &TARGETS, |spec, part| LockTarget {
        user: spec.parse(part, "user", NAME),
        bot: spec.parse(part, "bot", NAME),
        role: spec.parse(part, "role", NAME),
        node: spec.parse(part, "node", NAME),
        cluster: spec.parse(part, "cluster", NAME),
        agent: spec.parse(part, "agent", "write its id"),
        login: spec.parse(part, "login", "write a login such as root"),
        certificate: spec.text(part, "certificate"),
        all: spec.flag(part, "all"),
    });
    LockSpec {
        target: target.unwrap_or_default(),
        reason: spec.text(&part, "reason").unwrap_or_default(),
        length: spec.parse(&part, "for", "write for example 2h"),
    }
}

/// What holds for all.
pub(super) fn settings(spec: &mut Spec<'_, '_>, node: &Node) -> SettingsSpec {
    let part = spec.whole(node, "settings", &["options"], &[]);
    SettingsSpec { options: options::read(spec, &part) }
}
