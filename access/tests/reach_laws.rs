//! Who reaches what, held to `decide` asked about everybody, everything and every login, on random small worlds.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail by panicking, in its helpers too")]

mod worlds;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use access::condition::Condition;
use access::decide::{KubeRequest, OpenSession, Reached, decide, guardrail_hits};
use access::event::SessionKind;
use access::identity::{ClusterFacts, Identity, LabelValue, NodeFacts, Origin, Reach, UserId};
use access::policy::{GuardrailSpec, KubeVerb, Others, PolicySet};
use access::reach::{Broken, Line, Moment, Rows, World, broken, diff, list_target, list_user};
use access::time::Timestamp;
use access::words::ResourceName;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use worlds::{ADDRESSES, LOGINS, NOW, name};

const MOMENT: Moment = Moment { now: NOW, from: None };

fn person(name: &str, roles: &[&str]) -> Identity {
    Identity {
        user: UserId { issuer: "local".into(), subject: name.into() },
        name: name.parse().expect("a name"),
        roles: roles.iter().map(|role| role.parse().expect("a name")).collect(),
        traits: [("logins".to_owned(), vec![name.to_owned()])].into(),
        expires: Timestamp::from_secs(0),
        auth: Default::default(),
        context: Default::default(),
        granted: Vec::new(),
    }
}

fn node(name: &str, labels: &[(&str, &str)]) -> NodeFacts {
    let label = |value: &str| LabelValue { value: value.into(), origin: Origin::Authority };
    NodeFacts {
        name: name.parse().expect("a name"),
        labels: labels.iter().map(|(key, value)| ((*key).to_owned(), label(value))).collect(),
        agent: None,
    }
}

fn policy(roles: &str, guardrails: &str) -> PolicySet {
    let roles: std::collections::BTreeMap<_, _> = serde_json::from_str(roles).expect("roles");
    let guardrails = serde_json::from_str(guardrails).expect("guardrails");
    let set = PolicySet::build(roles.into_iter().collect()).expect("no faults");
    set.with(access::policy::Others { guardrails, ..Default::default() })
}

const DBA: &str = r#"{"dba":{"allow":{"ssh":[{"labels":{"tier":["db"]},"logins":["postgres"]}]}},"own":{"allow":{"ssh":[{"labels":{"env":["dev"]},"logins":["{{logins}}"]}]}}}"#;

#[test]
fn a_change_is_told_by_person_and_target_and_cut() {
    let people: Vec<Identity> = (0..44).map(|i| person(&format!("u{i:02}"), &["dba", "own"])).collect();
    let nodes: Vec<NodeFacts> =
        (0..212).map(|i| node(&format!("db-{i:03}"), &[("tier", "db"), ("env", if i < 2 { "dev" } else { "prod" })])).collect();
    let (before, after) = (policy("{}", "{}"), policy(DBA, "{}"));
    let world = |policy| World { policy, people: &people, nodes: &nodes, clusters: &[] };
    let told = diff(&world(&before), &world(&after), &MOMENT, 10);
    let lines: Vec<&str> = told.gains.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(
        lines,
        [
            "u00, u01, u02, u03, u04 and 39 more: ssh as postgres on db-000, db-001, db-002, db-003, db-004 and 207 more (tier=db)",
            "u00, u01, u02, u03, u04 and 39 more: ssh each as their own of u00, u01, u02, u03, u04 and 39 more on db-000 and db-001 (env=dev, tier=db)",
        ]
    );
    assert_eq!((told.gained, told.lost, told.loses.len()), (44 * 212 + 44 * 2, 0, 0));
    let back = diff(&world(&after), &world(&before), &MOMENT, 1);
    assert_eq!((back.lost, back.loses.len(), back.gains.len()), (told.gained, 1, 0));
}

#[test]
fn only_what_a_change_makes_worse_is_a_reason_to_refuse_it() {
    let rail = r#"{"no-postgres":{"never":{"who":{"users":["con-*"]},"reach":{"labels":{"tier":["db"]},"ssh":{"logins":["postgres"]}}}}}"#;
    let (nodes, plain, railed) = ([node("db-1", &[("tier", "db")])], policy(DBA, "{}"), policy(DBA, rail));
    let (one, two) = (vec![person("con-a", &["dba"])], vec![person("con-a", &["dba"]), person("con-b", &["dba"]), person("kim", &["dba"])]);
    let world = |policy, people| World { policy, people, nodes: &nodes, clusters: &[] };
    let new_rail = broken(&world(&plain, &one), &world(&railed, &one), 10);
    assert_eq!((new_rail.new.len(), new_rail.old.len()), (1, 0));
    let same = broken(&world(&railed, &one), &world(&railed, &one), 10);
    assert_eq!((same.new.len(), same.old.len()), (0, 1));
    let worse = broken(&world(&railed, &one), &world(&railed, &two), 10);
    assert_eq!(worse.new[0].lines[0].text, "con-b: ssh as postgres on db-1");
    assert_eq!((worse.new[0].count, worse.old[0].count), (1, 1));
}

#[test]
fn lists_are_paged_without_loss() {
    let people: Vec<Identity> = (0..5).map(|i| person(&format!("u{i}"), &["dba"])).collect();
    let nodes: Vec<NodeFacts> = (0..7).map(|i| node(&format!("db-{i}"), &[("tier", "db")])).collect();
    let policy = policy(DBA, "{}");
    let world = World { policy: &policy, people: &people, nodes: &nodes, clusters: &[] };
    let page = |after: Option<&str>| list_user(&world, &people[0].name, &MOMENT, after, 3);
    let (one, two) = (page(None), page(Some("node/db-2")));
    assert_eq!((one.items.len(), one.next.as_deref()), (3, Some("node/db-2")));
    assert_eq!((two.items.len(), two.next.as_deref()), (3, Some("node/db-5")));
    let three = page(two.next.as_deref());
    assert_eq!((three.items.len(), three.next), (1, None));
    let who = list_target(&world, Reach::Node, "db-3", &MOMENT, Some("u2"), 9);
    assert_eq!(who.items.iter().map(|row| row.user.as_str()).collect::<Vec<_>>(), ["u3", "u4"]);
}

/// Person, kind of target, its name, login or group.
type Triple = (String, Reach, String, String);

/// Everything that `decide` allows in a world, asked question by question.
fn brute(world: &worlds::World, policy: &PolicySet, from: Option<IpAddr>) -> BTreeSet<Triple> {
    let mut found = BTreeSet::new();
    for who in &world.people {
        let mut who = who.clone();
        who.context.from = from;
        let asked =
            world.nodes.iter().flat_map(|node| LOGINS.iter().flat_map(move |login| SessionKind::ALL.map(|kind| (node, login, kind))));
        for (node, login, kind) in asked {
            let question = OpenSession { identity: who.clone(), node: node.clone(), login: name(login), kind, command: None, begun: None };
            if decide(question, policy, NOW).is_ok() {
                found.insert((who.name.to_string(), Reach::Node, node.name.to_string(), (*login).to_owned()));
            }
        }
        for asked in world.clusters.iter().flat_map(|cluster| requests(&who, cluster)) {
            let cluster = asked.cluster.name.to_string();
            let groups = decide(asked, policy, NOW).map(|permit| permit.duties().groups.clone()).unwrap_or_default();
            found.extend(groups.into_iter().map(|group| (who.name.to_string(), Reach::Cluster, cluster.clone(), group)));
        }
    }
    found
}

/// One request of each sort that the rules of these worlds tell apart.
fn requests(who: &Identity, cluster: &ClusterFacts) -> Vec<KubeRequest> {
    let mut all = Vec::new();
    for verb in [KubeVerb::Get, KubeVerb::Exec, KubeVerb::Proxy, KubeVerb::List] {
        for (namespace, name) in [None, Some("shop"), Some("kube"), Some("shed"), Some("zz")]
            .into_iter()
            .flat_map(|n| [None, Some("a"), Some("ab"), Some("z")].map(|name| (n, name)))
        {
            for (api_group, resource) in
                ["", "apps", "ab", "z"].into_iter().flat_map(|group| ["pods", "secrets", "news", "z"].map(|resource| (group, resource)))
            {
                all.push(KubeRequest {
                    identity: who.clone(),
                    cluster: cluster.clone(),
                    verb,
                    api_group: api_group.to_owned(),
                    resource: resource.to_owned(),
                    namespace: namespace.map(str::to_owned),
                    name: name.map(str::to_owned),
                    begun: None,
                });
            }
        }
    }
    all
}

/// The same world with no network asked for.
fn from_anywhere(world: &worlds::World) -> worlds::World {
    let mut world = world.clone();
    world.roles.iter_mut().for_each(|role| role.options.networks.clear());
    world.others.settings.options.networks.clear();
    world
}

fn seen<'a>(world: &'a worlds::World, policy: &'a PolicySet) -> World<'a> {
    World { policy, people: &world.people, nodes: &world.nodes, clusters: &world.clusters }
}

/// What the lines say, with nothing cut.
fn told(lines: &[Line]) -> (BTreeSet<Triple>, u64) {
    let mut all = BTreeSet::new();
    for line in lines {
        assert_eq!((line.users_more, line.targets_more), (0, 0), "small worlds are told whole: {line:?}");
        for (at, user) in line.users.iter().enumerate() {
            let names = if line.own { &line.r#as[at..=at] } else { &line.r#as[..] };
            for (target, name) in line.targets.iter().flat_map(|target| names.iter().map(move |name| (target, name))) {
                assert!(all.insert((user.to_string(), line.kind, target.clone(), name.clone())), "told once");
            }
        }
    }
    (all, lines.iter().map(|line| line.count).sum())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_lists_are_what_decide_allows(world in worlds::world(2, 3, 1), from in of(select(ADDRESSES.to_vec()))) {
        let from: Option<IpAddr> = from.map(|from| from.parse().expect("an address"));
        let there = if from.is_some() { world.clone() } else { from_anywhere(&world) };
        let (policy, asked) = (there.policy(), world.policy());
        let expected = brute(&there, &policy, from);
        let mut by_user = BTreeSet::new();
        let mut by_target = BTreeSet::new();
        let moment = Moment { now: NOW, from };
        let add = |rows: Rows, to: &mut BTreeSet<Triple>| for row in rows.items {
            assert!(!row.roles.is_empty());
            to.extend(row.r#as.iter().map(|one| (row.user.to_string(), row.kind, row.target.clone(), one.clone())));
        };
        for one in &world.people {
            add(list_user(&seen(&world, &asked), &one.name, &moment, None, 1_000), &mut by_user);
        }
        for node in &world.nodes {
            add(list_target(&seen(&world, &asked), Reach::Node, node.name.as_str(), &moment, None, 1_000), &mut by_target);
        }
        for cluster in &world.clusters {
            add(list_target(&seen(&world, &asked), Reach::Cluster, cluster.name.as_str(), &moment, None, 1_000), &mut by_target);
        }
        prop_assert_eq!(&by_user, &expected);
        prop_assert_eq!(&by_target, &expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_difference_is_that_of_asking_decide_everything_twice(
        before in worlds::world(3, 4, 1),
        other in worlds::world(2, 3, 2),
        part in 0_u8..6,
        from in of(select(ADDRESSES.to_vec())),
    ) {
        let from: Option<IpAddr> = from.map(|from| from.parse().expect("an address"));
        let after = changed(&before, &other, part);
        let (was, is) = (before.policy(), after.policy());
        let difference = diff(&seen(&before, &was), &seen(&after, &is), &Moment { now: NOW, from }, 10_000);
        let [old, new] = [&before, &after].map(|world| {
            let there = if from.is_some() { world.clone() } else { from_anywhere(world) };
            brute(&there, &there.policy(), from)
        });
        let ((gains, gained), (loses, lost)) = (told(&difference.gains), told(&difference.loses));
        prop_assert_eq!(gained, difference.gained);
        prop_assert_eq!(lost, difference.lost);
        prop_assert_eq!(gains, &new - &old);
        prop_assert_eq!(loses, &old - &new);
        prop_assert_eq!(gained as usize, (&new - &old).len());
        prop_assert_eq!(lost as usize, (&old - &new).len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_breaks_a_guardrail_is_what_roles_would_give_without_it(
        before in worlds::world(2, 3, 1),
        other in worlds::world(2, 3, 1),
        part in 0_u8..6,
    ) {
        let after = changed(&before, &other, part);
        let breaks = broken(&seen(&before, &before.policy()), &seen(&after, &after.policy()), 10_000);
        let [was, is] = [&before, &after].map(|world| (broken_by_asking(world), &world.others.guardrails));
        let lines = |list: &[Broken], rail: &ResourceName| {
            let found = list.iter().find(|one| one.guardrail == *rail);
            found.map(|one| told(&one.lines).0).unwrap_or_default()
        };
        for (rail, spec) in is.1 {
            let now = &is.0[rail];
            let old = was.0.get(rail).filter(|_| was.1.get(rail) == Some(spec)).cloned().unwrap_or_default();
            prop_assert_eq!(lines(&breaks.new, rail), now - &old);
            prop_assert_eq!(lines(&breaks.old, rail), now & &old);
        }
    }
}

/// What each guardrail would forbid, were it not there: what `decide` allows to people without requests, when nothing that passes counts.
fn broken_by_asking(world: &worlds::World) -> BTreeMap<ResourceName, BTreeSet<Triple>> {
    let mut bare = from_anywhere(world);
    let passes = |condition: &Option<Condition>| {
        condition.as_ref().is_some_and(|when| ["time.", "network.", "request."].iter().any(|word| when.to_string().contains(word)))
    };
    for role in &mut bare.roles {
        role.options.hours.clear();
        role.allow.ssh.iter_mut().filter(|rule| passes(&rule.condition)).for_each(|rule| rule.condition = None);
        role.allow.kubernetes.iter_mut().filter(|rule| passes(&rule.condition)).for_each(|rule| rule.condition = None);
        role.deny.ssh.retain(|rule| !passes(&rule.condition));
        role.deny.kubernetes.retain(|rule| !passes(&rule.condition));
    }
    bare.others = Others::default();
    bare.people.iter_mut().for_each(|one| one.granted.clear());
    let all = brute(&bare, &bare.policy(), None);
    let forbidden = |spec: &GuardrailSpec, (user, kind, target, name): &Triple| {
        let who = bare.people.iter().find(|one| one.name.as_str() == user).expect("somebody");
        match kind {
            Reach::Node => {
                let node = bare.nodes.iter().find(|node| node.name.as_str() == target).expect("a node");
                guardrail_hits(spec, who, &node.labels, Reached::Ssh(&worlds::name(name)))
            }
            Reach::Cluster => {
                let cluster = bare.clusters.iter().find(|cluster| cluster.name.as_str() == target).expect("a cluster");
                guardrail_hits(spec, who, &cluster.labels, Reached::Kubernetes(std::slice::from_ref(name)))
            }
        }
    };
    let broken = |spec: &GuardrailSpec| all.iter().filter(|triple| forbidden(spec, triple)).cloned().collect();
    world.others.guardrails.iter().map(|(name, spec)| (name.clone(), broken(spec))).collect()
}

/// Everything, one role, the people, the targets, what is beside the roles, or nothing is another.
fn changed(before: &worlds::World, other: &worlds::World, part: u8) -> worlds::World {
    let mut after = before.clone();
    match part {
        0 => return other.clone(),
        1 => {
            if let (Some(role), Some(with)) = (after.roles.first_mut(), other.roles.first()) {
                *role = with.clone();
            }
        }
        2 => after.people.clone_from(&other.people),
        3 => (after.nodes, after.clusters) = (other.nodes.clone(), other.clusters.clone()),
        4 => after.others = other.others.clone(),
        _ => {}
    }
    after
}

#[test]
fn a_guardrail_is_not_kept_by_a_deny_that_passes() {
    let role = r#"{"dba":{"allow":{"ssh":[{"labels":{"tier":["db"]},"logins":["postgres"],"where":"time.hour > 12"}]},
        "deny":{"ssh":[{"labels":{"*":["*"]},"logins":["*"],"where":"time.hour < 12"}]}}}"#;
    let rail = r#"{"none":{"never":{"reach":{"labels":{"tier":["db"]}}}}}"#;
    let (nodes, people, railed) = ([node("db-1", &[("tier", "db")])], [person("kim", &["dba"])], policy(role, rail));
    let (empty, world) = (policy("{}", rail), |policy| World { policy, people: &people, nodes: &nodes, clusters: &[] });
    assert_eq!(broken(&world(&empty), &world(&railed), 10).new.len(), 1);
}
