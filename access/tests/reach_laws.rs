//! Who reaches what, held to `decide` asked about everybody, everything and every login, on random small worlds.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail by panicking, in its helpers too")]

use access::identity::{Identity, LabelValue, NodeFacts, Origin, UserId};
use access::policy::PolicySet;
use access::reach::{Moment, World, broken, diff, list_target, list_user};
use access::time::Timestamp;

const NOW: Timestamp = Timestamp::from_secs(1_000);
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
    let who = list_target(&world, access::identity::Reach::Node, "db-3", &MOMENT, Some("u2"), 9);
    assert_eq!(who.items.iter().map(|row| row.user.as_str()).collect::<Vec<_>>(), ["u3", "u4"]);
}
