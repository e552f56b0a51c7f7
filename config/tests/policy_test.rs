//! Tables of who may do what: what is read, what is refused with its place, and what comes of them.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail by panicking, in its helpers too")]

use access::time::Timestamp;
use config::policy::resources;
use config::policy_test::{Asked, Expect, Outcome, World, run, tests};

const POLICY: &str = "\
kind: role
name: developer
spec:
  allow:
    ssh:
      - {labels: {env: [dev, staging]}, logins: [\"{{logins}}\"]}
      - {labels: {env: [staging]}, logins: [deploy], kinds: [exec], commands: [uptime]}
      - {labels: {tier: [db]}, logins: [\"{{logins}}\"], kinds: [forward], forwards: [\"localhost:5432\"]}
    kubernetes:
      - {labels: {env: [dev]}, groups: [developers], namespaces: [shop], verbs: [get, list, exec]}
  may_request: [root]
  options: {hours: [\"mon-fri 09:00-18:00 UTC\"]}
---
kind: role
name: root
spec:
  allow: {ssh: [{labels: {env: [prod]}, logins: [root]}]}
  options: {reason: true, networks: [10.0.0.0/8]}
---
kind: access_rule
name: root
spec: {roles: [root]}
---
kind: guardrail
name: prod
spec:
  never: {reach: {labels: {env: [prod]}, ssh: {logins: [root]}}}
  unless: {requested: true}
---
kind: lock
name: eve
spec: {target: {user: eve}, reason: She left.}
---
kind: user
name: alice
spec: {roles: [developer], traits: {logins: [alice]}}
---
kind: user
name: eve
spec: {roles: [developer], traits: {logins: [eve]}}
---
kind: node
name: web-1
labels: {env: staging}
---
kind: cluster
name: seoul
labels: {env: dev}
";

/// A Friday morning.
fn now() -> Timestamp {
    "2026-11-20T10:00:00Z".parse().expect("a time")
}

fn outcomes(table: &str) -> Vec<Outcome> {
    let world = World::of(&resources("p.yaml", POLICY, None).expect("no faults"), now()).expect("no faults");
    let tests = tests("t.yaml", table).map_err(|faults| config::faults::text(&faults)).expect("no faults");
    run(&tests, &world.policy, &|name| world.people.get(name).cloned(), &world.targets, now())
}

#[test]
fn a_table_is_as_the_policy_says() {
    let table = "\
tests:
  - {name: developers reach staging, as: {user: alice}, can: ssh alice@web-1, expect: allow, rule: 'developer/allow.ssh[0]'}
  - {name: not at night, as: {user: alice}, can: ssh alice@web-1, at: 2026-11-20T20:00:00Z, expect: deny}
  - {name: not as others, as: {user: alice}, can: ssh bob@web-1, expect: deny}
  - {name: one command, as: {user: alice}, can: ssh deploy@web-1 uptime, expect: allow}
  - {name: and no other, as: {user: alice}, can: ssh deploy@web-1 id, expect: deny}
  - {name: files, as: {user: alice}, can: sftp alice@web-1, expect: allow}
  - {name: somebody made up, as: {roles: [developer], traits: {logins: [kim]}}, can: ssh kim@new-1, target: {labels: {env: dev}}, expect: allow}
  - {name: root by asking, as: {user: alice}, can: ssh root@db-1, target: {labels: {env: prod}}, from: 10.1.2.3, reason: OPS-1, expect: request}
  - {name: the database, as: {user: alice}, can: 'forward localhost:5432 via alice@db-1', target: {labels: {tier: db}}, expect: allow}
  - {name: and nothing else, as: {user: alice}, can: 'forward localhost:22 via alice@db-1', target: {labels: {tier: db}}, expect: deny}
  - {name: pods, as: {user: alice}, can: kube get pods -n shop --cluster seoul, expect: allow}
  - {name: a shell in one, as: {user: alice}, can: exec -n shop pods/x --cluster seoul, expect: allow}
  - {name: no other namespace, as: {user: alice}, can: kube get pods -n bank --cluster seoul, expect: deny}
  - {name: who left, as: {user: eve}, can: ssh eve@web-1, expect: deny, rule: lock/eve}
";
    let all = outcomes(table);
    let failed: Vec<_> = all.iter().filter(|outcome| !outcome.passed()).collect();
    assert!(failed.is_empty() && all.len() == 14, "{failed:#?}");
    assert_eq!((all[0].line, all[13].line), (2, 15));
}

#[test]
fn what_is_otherwise_says_how() {
    let all = outcomes(
        "tests:\n  - {name: a, as: {user: alice}, can: ssh bob@web-1, expect: allow}\n  - {name: b, as: {user: bob}, can: ssh bob@web-1, expect: deny}\n\
         - {name: c, as: {user: alice}, can: ssh alice@web-2, expect: deny}\n  - {name: d, as: {roles: [none]}, can: ssh a@web-1, expect: deny}\n\
         - {name: e, as: {user: alice}, can: ssh alice@web-1, expect: allow, rule: 'other/allow.ssh[0]'}\n  - {name: f, as: {user: alice}, can: kube get pods --cluster x, expect: deny}\n"
            .replace("\n- ", "\n  - ")
            .as_str(),
    );
    assert!(all.iter().all(|outcome| !outcome.passed()), "{all:#?}");
    let got: Vec<_> = all.iter().map(|outcome| (outcome.got, outcome.line)).collect();
    assert_eq!(got, [(Some(Expect::Deny), 2), (None, 3), (None, 4), (None, 5), (Some(Expect::Allow), 6), (None, 7)]);
    assert!(all[0].sentence.contains("bob") && all[1].sentence == "nobody is called bob", "{all:#?}");
    assert!(all[2].sentence.starts_with("no node is called web-2") && all[3].sentence == "there is no role none", "{all:#?}");
}

#[test]
fn every_fault_of_a_table_has_its_place() {
    let table = "\
tests:
  - {name: a, as: {user: A}, can: fly home, expect: maybe}
  - {name: b, as: {}, can: ssh web-1, expect: allow, form: 1}
  - {name: c, as: {user: a, roles: [b]}, can: kube steal pods --cluster x, at: noon, from: home, expect: deny}
  - {as: {roles: []}, can: kube get pods, target: {}}
  - x
";
    let told: Vec<String> =
        tests("t.yaml", table).expect_err("faults").iter().map(|f| format!("{}:{} {:.60}", f.line, f.column, f.message)).collect();
    let wanted = [
        "2:26 \"A\" is not a user name: 1 to 64 of a-z 0-9 . _ @ + -, beginn",
        "2:35 \"fly home\" is not a question: ssh, sftp, forward, exec or ku",
        "2:53 expect cannot be \"maybe\"",
        "3:19 as names nobody",
        "3:28 \"ssh web-1\" is not a question: login@node, and of ssh a comm",
        "3:54 a test has no field \"form\"",
        "4:26 a user has roles and traits already",
        "4:47 \"kube steal pods --cluster x\" is not a question: a verb, a r",
        "4:80 at is no moment",
        "4:92 invalid IP address syntax",
        "5:5 this test has no name",
        "5:5 this test has no expect",
        "5:28 \"kube get pods\" is not a question: a question about a cluste",
        "5:51 target says nothing",
        "6:5 a test is a map, and this is a single value",
    ];
    assert_eq!(told, wanted);
}

#[test]
fn a_question_is_one_line() {
    for bad in [
        "",
        "ssh",
        "ssh a@B",
        "ssh @b",
        "sftp a@b x",
        "forward a via b@c",
        "forward a:0 via b@c",
        "forward a:1 b@c",
        "forward :1 via b@c",
        "kube",
        "kube get",
        "kube get pods",
        "kube get pods x --cluster c",
        "kube get pods --cluster",
        "kube get pods --cluster c --cluster d",
        "kube get pods --all --cluster c",
        "kube get pods/ --cluster c",
        "kube get .apps --cluster c",
        "kube get pods -n --cluster c",
    ] {
        assert!(bad.parse::<Asked>().is_err(), "{bad}");
    }
    let Ok(Asked::Kubernetes(asked)) = "kube --cluster c get deployments.apps/web -n shop --subresource scale".parse() else {
        panic!("a question")
    };
    assert_eq!(
        (asked.api_group.as_str(), asked.resource.as_str(), asked.name.as_deref(), asked.namespace.as_deref()),
        ("apps", "deployments/scale", Some("web"), Some("shop"))
    );
    let Ok(Asked::Forward { host, port, .. }) = "forward [::1]:8000 via a@b".parse() else { panic!("a question") };
    assert_eq!((host.as_str(), port), ("::1", 8000));
}

#[test]
fn what_does_not_hold_together_builds_no_world() {
    let all = resources("p", "kind: user\nname: a\nspec: {roles: [gone]}\n", None).expect("no faults");
    let faults = World::of(&all, now()).expect_err("a fault");
    assert_eq!(faults[0].to_string(), "user a.roles[0]: there is no role gone; declare the role as well, or take it from here");
}

#[test]
fn a_file_without_tests_is_no_passed_table() {
    for nothing in ["", "tests: []\n", "# x\n", "tests:\n"] {
        assert!(tests("t", nothing).expect_err("a fault")[0].message.contains("no tests"), "{nothing:?}");
    }
}
