//! Random small worlds: roles with all that they can say of targets, people, nodes, clusters, guardrails, locks. Nothing is tested here.
#![allow(dead_code, unreachable_pub, reason = "each test file takes what it needs")]

use std::collections::BTreeMap;

use access::identity::{
    Auth, ClusterFacts, Context, Granted, Identity, LabelValue, Labels, Method, NodeFacts, OnlyTarget, Origin, Reach, UserId,
};
use access::policy::{LockInForce, Others, PolicySet, RoleSpec};
use access::time::Timestamp;
use proptest::collection::{btree_map, vec};
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

/// 1970-01-01T00:16:40Z, a Thursday.
pub const NOW: Timestamp = Timestamp::from_secs(1_000);
pub const LOGINS: [&str; 7] = ["root", "ubuntu", "kim", "adm-kim", "adm-root", "adm-ubuntu", "x"];
pub const ADDRESSES: [&str; 2] = ["10.0.0.1", "192.0.2.9"];
pub const ROLES: [&str; 4] = ["r0", "r1", "r2", "r3"];

/// What `where` says: of everything that a condition may speak of, with answers that are not there.
pub const CONDITIONS: [&str; 12] = [
    "'oncall' in user.traits.groups",
    "user.name == 'u1'",
    "target.labels.env == 'prod'",
    "target.labels.env != 'prod'",
    "target.name == 'n1' || target.name == 'c1'",
    "target.login == 'root'",
    "request.kind == 'shell' || request.kind == 'get'",
    "time.hour < 12",
    "time.hour > 12",
    "network.address == '10.0.0.1'",
    "request.approved",
    "has(target.labels.team) && target.labels.team in user.traits.groups",
];

/// All of one side.
#[derive(Debug, Clone)]
pub struct World {
    pub roles: Vec<RoleSpec>,
    pub others: Others,
    pub people: Vec<Identity>,
    pub nodes: Vec<NodeFacts>,
    pub clusters: Vec<ClusterFacts>,
}

impl World {
    pub fn policy(&self) -> PolicySet {
        policy(&self.roles, &self.others)
    }
}

pub fn policy(roles: &[RoleSpec], others: &Others) -> PolicySet {
    let named = roles.iter().enumerate().map(|(i, spec)| (name(&format!("r{i}")), spec.clone())).collect();
    PolicySet::build(named).expect("the generator makes no faults").with(others.clone())
}

pub fn name<T: std::str::FromStr<Err = access::words::BadName>>(text: &str) -> T {
    text.parse().expect("a name")
}

fn read<T: serde::de::DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).expect("the generator makes no faults")
}

fn patterns() -> impl Strategy<Value = Vec<&'static str>> {
    vec(select(vec!["prod", "dev", "*", "p*", "*d"]), 1..3)
}

fn selector() -> impl Strategy<Value = BTreeMap<&'static str, Vec<&'static str>>> {
    prop_oneof![
        3 => btree_map(select(vec!["env", "team"]), patterns(), 1..3),
        1 => Just(BTreeMap::from([("*", vec!["*"])])),
    ]
}

fn condition() -> impl Strategy<Value = Option<&'static str>> {
    weighted(0.3, select(CONDITIONS.to_vec()))
}

/// A rule of a role for sessions, as JSON.
pub fn ssh_rule(deny: bool) -> impl Strategy<Value = Value> {
    let mut logins = vec!["root", "ubuntu", "kim", "{{logins}}", "adm-{{logins}}"];
    logins.push(if deny { "*" } else { "{{none}}" });
    let kinds = subsequence(vec!["shell", "exec", "sftp_read", "sftp_write"], 0..=3);
    (selector(), vec(select(logins), 1..3), kinds, weighted(0.3, Just(true)), condition()).prop_map(
        move |(labels, logins, mut kinds, agent, when)| {
            if !deny && kinds.contains(&"sftp_write") && !kinds.contains(&"sftp_read") {
                kinds.push("sftp_read");
            }
            let mut rule = json!({"labels": labels, "logins": logins, "kinds": kinds, "agent_labels": agent.is_some()});
            add(&mut rule, when);
            rule
        },
    )
}

/// A rule of a role for clusters, as JSON.
pub fn kube_rule(deny: bool) -> impl Strategy<Value = Value> {
    let some = |from: Vec<&'static str>, least| subsequence(from, least..=2);
    let namespaces = some(vec!["shop", "kube", "sh*", "*"], 1);
    let what = (some(vec!["", "apps", "a*"], 0), some(vec!["pods", "secrets", "*s"], 0), some(vec!["a", "a*", "*"], 0));
    let groups = subsequence(vec!["dev", "ops", "team:{{groups}}", "{{none}}"], 1..=2);
    (selector(), namespaces, what, some(vec!["get", "exec", "proxy"], 0), groups, condition()).prop_map(
        move |(labels, namespaces, (api_groups, resources, names), verbs, groups, when)| {
            let groups = if deny { Vec::new() } else { groups };
            let mut rule = json!({"labels": labels, "namespaces": namespaces, "api_groups": api_groups, "resources": resources,
                "names": names, "verbs": verbs, "groups": groups});
            add(&mut rule, when);
            rule
        },
    )
}

fn add(rule: &mut Value, when: Option<&str>) {
    if let Some(when) = when {
        rule["where"] = json!(when);
    }
}

/// Where and when a role gives anything.
pub fn options() -> impl Strategy<Value = Value> {
    let networks = weighted(0.2, select(vec![vec!["10.0.0.0/8"], vec!["192.0.2.0/24"], vec!["10.0.0.0/8", "192.0.2.9"]]));
    let hours = weighted(0.2, select(vec![vec!["mon-sun 00:00-06:00 UTC"], vec!["fri 00:00-24:00 UTC"]]));
    (networks, hours).prop_map(|(networks, hours)| json!({"networks": networks.unwrap_or_default(), "hours": hours.unwrap_or_default()}))
}

pub fn role() -> impl Strategy<Value = RoleSpec> {
    let rights = |deny, most: usize| (vec(ssh_rule(deny), 0..=most), vec(kube_rule(deny), 0..=most));
    (rights(false, 3), rights(true, 1), options(), proptest::bool::weighted(0.15)).prop_map(|(allow, deny, options, dry_run)| {
        read(json!({"allow": {"ssh": allow.0, "kubernetes": allow.1}, "deny": {"ssh": deny.0, "kubernetes": deny.1},
            "options": options, "dry_run": dry_run}))
    })
}

fn guardrail() -> impl Strategy<Value = Value> {
    let who = select(vec![json!({}), json!({"users": ["u1"]}), json!({"roles": ["r1"]}), json!({"traits": {"groups": ["on*"]}})]);
    let ssh = select(vec![None, Some(json!({})), Some(json!({"logins": ["root", "{{logins}}"]}))]);
    let kube = select(vec![None, Some(json!({})), Some(json!({"groups": ["o*"]}))]);
    (who, selector(), ssh, kube, any::<bool>()).prop_map(|(who, labels, ssh, kube, requested)| {
        json!({"never": {"who": who, "reach": {"labels": labels, "ssh": ssh, "kubernetes": kube}}, "unless": {"requested": requested}})
    })
}

pub fn lock() -> impl Strategy<Value = LockInForce> {
    let target = select(vec![
        json!({"user": "u1"}),
        json!({"bot": "u1"}),
        json!({"role": "r1"}),
        json!({"node": "n1"}),
        json!({"cluster": "c1"}),
        json!({"agent": "a1"}),
        json!({"login": "root"}),
        json!({"certificate": "ab"}),
        json!({"all": true}),
    ]);
    (target, weighted(0.3, select(vec!["1s", "1h"]))).prop_map(|(target, length)| {
        let spec = read(json!({"target": target, "reason": "a test", "for": length}));
        LockInForce { name: name("l"), spec, since: Timestamp::from_secs(990) }
    })
}

pub fn others() -> impl Strategy<Value = Others> {
    let rails = vec(guardrail(), 0..=2)
        .prop_map(|rails| rails.into_iter().enumerate().map(|(i, rail)| (name(&format!("g{i}")), read(rail))).collect());
    let settings = prop_oneof![4 => Just(json!({})), 1 => options()];
    (prop_oneof![2 => Just(BTreeMap::new()), 1 => rails], settings, prop_oneof![3 => Just(Vec::new()), 1 => vec(lock(), 1..=2)]).prop_map(
        |(guardrails, settings, locks)| Others { guardrails, settings: read(json!({"options": settings})), locks, ..Others::default() },
    )
}

fn granted() -> impl Strategy<Value = Granted> {
    let only = weighted(
        0.6,
        (select(vec![(Reach::Node, "n1"), (Reach::Node, "n0"), (Reach::Cluster, "c1")]), weighted(0.5, select(vec!["root", "kim"]))),
    );
    (select(ROLES.to_vec()), only, select(vec![900, 1_500, 1_600])).prop_map(|(role, only, until)| Granted {
        request: name("22222222"),
        role: name(role),
        only: only.map(|((kind, of), login)| OnlyTarget { kind, name: of.to_owned(), login: login.map(name) }),
        until: Timestamp::from_secs(until),
    })
}

pub fn person(at: usize) -> impl Strategy<Value = Identity> {
    let mut roles = ROLES.to_vec();
    roles.push("unknown");
    let traits =
        (subsequence(vec!["kim", "root", "A b", "ubuntu"], 0..=2), weighted(0.6, subsequence(vec!["oncall", "prod", "dev"], 0..=2)));
    let context = (weighted(0.5, Just("ab")), prop_oneof![3 => Just(Vec::new()), 1 => vec(granted(), 1..=3)]);
    (subsequence(roles, 0..=5), traits, context, select(vec![Method::Link, Method::Bot, Method::BreakGlass])).prop_map(
        move |(roles, (logins, groups), (certificate, granted), method)| {
            let own = |values: Vec<&str>| values.into_iter().map(str::to_owned).collect::<Vec<_>>();
            let mut traits = BTreeMap::from([("logins".to_owned(), own(logins))]);
            traits.extend(groups.map(|groups| ("groups".to_owned(), own(groups))));
            Identity {
                user: UserId { issuer: "local".into(), subject: format!("u{at}") },
                name: name(&format!("u{at}")),
                roles: roles.into_iter().map(name).collect(),
                traits,
                expires: Timestamp::from_secs(2_000),
                auth: Auth { method, ..Auth::default() },
                context: Context { certificate: certificate.map(str::to_owned), ..Context::default() },
                granted,
            }
        },
    )
}

pub fn labels() -> impl Strategy<Value = Labels> {
    let origins = vec![Origin::Token, Origin::Authority, Origin::Agent];
    let label =
        (select(vec!["prod", "dev", "d"]), select(origins)).prop_map(|(value, origin)| LabelValue { value: value.to_owned(), origin });
    btree_map(select(vec!["env", "team", "rack"]).prop_map(str::to_owned), label, 0..4)
}

pub fn node(at: usize) -> impl Strategy<Value = NodeFacts> {
    let agent = weighted(0.5, select(vec!["a0", "a1"]));
    (labels(), agent).prop_map(move |(labels, agent)| NodeFacts { name: name(&format!("n{at}")), labels, agent: agent.map(name) })
}

pub fn cluster(at: usize) -> impl Strategy<Value = ClusterFacts> {
    let agent = weighted(0.5, select(vec!["a0", "a1"]));
    (labels(), agent).prop_map(move |(labels, agent)| ClusterFacts { name: name(&format!("c{at}")), labels, agent: agent.map(name) })
}

/// A world of at most so many people, nodes and clusters.
pub fn world(people: usize, nodes: usize, clusters: usize) -> impl Strategy<Value = World> {
    let everybody = (0..people).map(person).collect::<Vec<_>>();
    let targets = ((0..nodes).map(node).collect::<Vec<_>>(), (0..clusters).map(cluster).collect::<Vec<_>>());
    (vec(role(), 0..=4), others(), everybody, targets).prop_map(|(roles, others, people, (nodes, clusters))| World {
        roles,
        others,
        people,
        nodes,
        clusters,
    })
}
