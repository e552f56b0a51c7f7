//! A company of 5,000 people, 300 roles and 20,000 targets, made up without chance: the same at every run. Nothing is measured here.

use access::identity::{ClusterFacts, Identity, LabelValue, Labels, NodeFacts, Origin, UserId};
use access::policy::{Others, PolicySet, RoleSpec};
use access::time::Timestamp;
use access::words::RoleName;
use serde_json::{Value, json};

/// Who and what there is.
pub(crate) struct Company {
    pub(crate) roles: Vec<(RoleName, RoleSpec)>,
    pub(crate) people: Vec<Identity>,
    pub(crate) nodes: Vec<NodeFacts>,
    pub(crate) clusters: Vec<ClusterFacts>,
}

fn name<T: std::str::FromStr<Err = access::words::BadName>>(text: &str) -> T {
    text.parse().expect("a name")
}

impl Company {
    /// Each person has `each` of the `roles` roles; every tenth target is a cluster for every 100 nodes.
    pub(crate) fn new(people: usize, targets: usize, roles: usize, each: usize) -> Self {
        let clusters = targets / 100;
        let target = |i: usize| {
            labels(&[
                ("env", ENVS[i % 3]),
                ("team", &format!("team-{}", i % 60)),
                ("tier", TIERS[i / 7 % 5]),
                ("rack", &format!("r{}", i % 997)),
            ])
        };
        Self {
            roles: (0..roles).map(|i| (name(&format!("role-{i}")), role(i, None))).collect(),
            people: (0..people).map(|i| person(i, roles, each)).collect(),
            nodes: (clusters..targets).map(|i| NodeFacts { name: name(&format!("node-{i}")), labels: target(i), agent: None }).collect(),
            clusters: (0..clusters).map(|i| ClusterFacts { name: name(&format!("cluster-{i}")), labels: target(i), agent: None }).collect(),
        }
    }

    pub(crate) fn policy(&self) -> PolicySet {
        PolicySet::build(self.roles.clone()).expect("no faults").with(Others {
            guardrails: serde_json::from_value(json!({"no-root": {"never": {"who": {"users": ["p-1*"]},
                "reach": {"labels": {"env": ["prod"]}, "ssh": {"logins": ["root"]}, "kubernetes": {"groups": ["admins"]}}}}}))
            .expect("a guardrail"),
            ..Others::default()
        })
    }
}

const ENVS: [&str; 3] = ["dev", "staging", "prod"];
const TIERS: [&str; 5] = ["web", "db", "cache", "queue", "batch"];

fn labels(all: &[(&str, &str)]) -> Labels {
    let value = |value: &str| LabelValue { value: value.to_owned(), origin: Origin::Token };
    all.iter().map(|(key, text)| ((*key).to_owned(), value(text))).collect()
}

/// One team's nodes of one kind, the person's own login everywhere in dev, a cluster's namespace; every tenth denies something.
pub(crate) fn role(i: usize, condition: Option<&str>) -> RoleSpec {
    let team = format!("team-{}", i % 60);
    let (tier, login) = (TIERS[i % 5], ["postgres", "deploy", "root"][i % 3]);
    let mut own = json!({"labels": {"team": [team], "tier": [tier, "b*"]}, "logins": [login]});
    if let Some(condition) = condition {
        own["where"] = json!(condition);
    }
    let mut all = json!({"allow": {
        "ssh": [own, {"labels": {"team": [team], "env": ["dev"]}, "logins": ["{{logins}}"]}],
        "kubernetes": [{"labels": {"team": [team]}, "groups": [format!("team:{team}"), "viewers"], "namespaces": [team, "shared-*"], "verbs": ["get", "list", "exec"]}],
    }});
    if i.is_multiple_of(10) {
        all["deny"] = json!({
            "ssh": [{"labels": {"env": ["prod"], "tier": ["db"]}, "logins": ["root"]}],
            "kubernetes": [{"labels": {"env": ["prod"]}, "namespaces": ["*"], "resources": ["secrets"]}],
        });
    }
    serde_json::from_value::<RoleSpec>(all).expect("a role")
}

fn person(i: usize, roles: usize, each: usize) -> Identity {
    let handle = format!("p-{i}");
    Identity {
        user: UserId { issuer: "https://sso.example.com".into(), subject: handle.clone() },
        name: name(&handle),
        roles: (0..each).map(|k| name(&format!("role-{}", (i * 7 + k * 13 + k * k) % roles))).collect(),
        traits: [("logins".to_owned(), vec![handle]), ("groups".to_owned(), vec!["oncall".to_owned()])].into(),
        expires: Timestamp::from_secs(2_000_000_000),
        auth: Default::default(),
        context: Default::default(),
        granted: Vec::new(),
    }
}

/// The value of a role as JSON, for whoever changes it.
pub(crate) fn without_deny(role: &RoleSpec) -> RoleSpec {
    let mut json: Value = serde_json::to_value(role).expect("JSON");
    json["allow"]["ssh"][0]["logins"] = json!(["changed"]);
    serde_json::from_value(json).expect("a role")
}
