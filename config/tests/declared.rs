//! What is declared beside roles: what is refused with which place, and that hostile policies cost little.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail by panicking, in its helpers too")]

use access::policy::{Resource, ResourceKind};
use config::faults::Fault;
use config::policy::{place_fault, resources};

fn faults(text: &str) -> Vec<Fault> {
    resources("f.yaml", text, None).expect_err("faults")
}

/// `line:column message`, one for each fault.
fn told(text: &str) -> Vec<String> {
    faults(text).iter().map(|f| format!("{}:{} {}", f.line, f.column, f.message)).collect()
}

#[test]
fn what_each_kind_misses_is_told_where_it_stands() {
    let text = "\
kind: join_token
name: a
spec: {kinds: [shh], names: [], uses: 0, ttl: 400d, labels: {k: \"a\\u202eb\"}}
---
kind: node
name: Web_1
spec: {labels: {env: prod}}
---
kind: guardrail
name: a
spec:
  never: {who: {users: kim}, reach: {ssh: {logins: [\"{{logins}}\"]}}}
  unles: {requested: true}
---
kind: access_rule
name: a
spec:
  roles: []
  approvals: {required: 20}
  reason: {pattern: (}
  auto_review: {when: request.reason != ''}
---
kind: messenger
name: a
spec: {webhook: {url: ftp://x, secret: hunter2}}
---
kind: audit_sink
name: a
---
kind: lock
name: a
spec: {target: {user: kim, all: true}, for: 0s}
---
kind: settings
name: other
spec: {options: {max_logins: 3}}
labels: {\"\": x}
";
    let wanted = [
        "3:16 what joins cannot be \"shh\"",
        "3:29 this token gives no name",
        "3:39 uses is a whole number from 1",
        "3:47 \"400d\" is not a length of time: a whole number and one of s, m, h, d, such as 30m, at most 366d",
        "3:62 keys have 1 to 128 bytes and values at most 256, without control characters",
        "6:7 \"Web_1\" is not a node name: 1 to 63 of a-z 0-9 -, neither beginning nor ending with -",
        "7:8 the spec of a node has no field \"labels\"",
        "12:24 users is a list, and this is a single value",
        "12:37 this guardrail holds nowhere, because its labels are empty",
        "12:53 a guardrail names logins as they are, since it holds for everybody alike",
        "13:3 a guardrail has no field \"unles\"",
        "18:10 this rule is for no role",
        "19:25 1 to 16 different people can be asked for a yes",
        "20:21 \"(\" is not a regular expression: at most 256 bytes, such as [A-Z]+-[0-9]+",
        "21:16 auto_review needs approve",
        "25:23 this is no http or https address",
        "25:40 a secret of Standard Webhooks is whsec_ and base64",
        "27:1 this says not how to reach it",
        "32:7 a lock needs a reason: who is kept out reads it",
        "32:16 a lock has exactly one target",
        "32:45 this is more than nothing and at most 366d",
        "35:7 there is one settings, and it is called settings",
        "36:30 logins are limited by roles",
        "37:10 keys have 1 to 128 bytes and values at most 256, without control characters",
    ];
    assert_eq!(told(text), wanted);
}

#[test]
fn a_webhooks_secret_is_never_shown() {
    for secret in
        ["secret: hunter2 hunter2", "secret: \"hunter2\\n\"", "secret: [hunter2]", "Secret: hunter2", "secret : |\n      hunter2\n   "]
    {
        let text = format!("kind: audit_sink\nname: a\nspec:\n  webhook:\n    url: x\n    {secret}\n  evnts: []\n");
        let shown = config::faults::text(&faults(&text));
        assert!(shown.contains("evnts") && !shown.contains("hunter2"), "{shown}");
    }
    let version = "kind: messenger\nname: a\nspec:\n  webhook: {url: 'https://a', secret_version: x1}\n";
    assert!(config::faults::text(&faults(version)).contains("secret_version: x1"));
}

#[test]
fn a_condition_is_shown_at_the_place_where_it_stops_being_one() {
    let role = |condition: &str| format!("kind: role\nname: a\nspec:\n  allow:\n    review:\n      roles: [b]\n      where: {condition}\n");
    let long = format!("user.name == '{}'", "x".repeat(2_000));
    let deep = format!("{}true{} && user.name == 'a'", "(".repeat(40), ")".repeat(40));
    let table = [
        ("user.name = 'kim'", "7:24 this condition is not CEL"),
        ("\"user.name == 'kim' &&\"", "7:36 this condition is not CEL"),
        ("\"user.name == 'a' &&\\n  )\"", "7:14 this condition is not CEL"),
        ("|\n        user.name == 'a' &&\n        target.name ==", "this condition is not CEL"),
        ("user.nmae == 'kim'", "7:14 this condition cannot work: No such key: nmae"),
        ("time.hour > 30", "7:14 this condition cannot work: it is true at no hour of any day of the week"),
        ("user.roles.all(r, user.roles.all(s, r == s))", "no all, exists, map or filter stands inside another"),
        (deep.as_str(), "brackets at most 12 deep"),
        (long.as_str(), "1 to 1024 bytes of CEL"),
        ("\"user.name == 'a\\u202eb'\"", "without marks that turn the direction"),
        ("[a]", "7:14 where is a text, and this is a list"),
    ];
    for (condition, says) in table {
        let told = told(&role(condition));
        assert!(
            told.len() == 1 && told[0].contains(says) && told[0].starts_with("7:") | condition.contains('|'),
            "{condition:.60}: {told:#?}"
        );
    }
}

/// A policy that was made to cost much or to be read in two ways.
#[test]
fn hostile_policies_are_refused_with_their_place() {
    let list = |count: usize, item: &dyn Fn(usize) -> String| (0..count).map(item).collect::<Vec<_>>().join(", ");
    let labels = format!("kind: node\nname: a\nlabels: {{{}}}\n", list(40_000, &|i| format!("k{i}: v")));
    let selector =
        format!("kind: role\nname: a\nspec: {{allow: {{ssh: [{{labels: {{{}}}}}]}}}}\n", list(20_000, &|i| format!("k{i}: [v]")));
    let all = format!("kind: node\nname: a\nlabels: {{{}}}\n", list(100_000, &|i| format!("k{i}: v")));
    let rules = format!("kind: role\nname: a\nspec: {{allow: {{ssh: [{}]}}}}\n", list(10_000, &|_| "{logins: [a]}".into()));
    let huge = format!("kind: user\nname: a\nspec: {{notes: \"{}\"}}\n", "x".repeat(10 << 20));
    let notes = format!("kind: user\nname: a\nspec: {{notes: \"{}\"}}\n", "x".repeat(1 << 19));
    let table = [
        ("labels", labels.as_str(), "3:9 40000 items are more than 256"),
        ("labels of a rule", &selector, "20000 items are more than 256"),
        ("100,000 labels", &all, "this text has 1088918 bytes, more than 1 MiB"),
        ("rules", &rules, "10000 items are more than 256"),
        ("10 MiB", &huge, "1:1 this text has 104857"),
        ("notes", &notes, "3:15 this text is longer than 500 characters"),
        ("mark in a name", "kind: node\nname: \"we\\u202eb\"\n", "2:7 "),
        ("control in a name", "kind: guardrail\nname: \"a\\u0007\"\n", "2:7 "),
        ("mark in a label", "kind: cluster\nname: a\nlabels: {env: \"p\\u2066d\"}\n", "3:10 keys have 1 to 128 bytes"),
        ("mark in a key", "kind: cluster\nname: a\nlabels: {\"e\\u202ev\": p}\n", "3:10 keys have 1 to 128 bytes"),
        ("mark in a pattern", "kind: guardrail\nname: a\nspec: {never: {reach: {labels: {a: [\"\\u202e\"]}}}}\n", "3:37 "),
        ("mark in a description", "kind: node\nname: a\nspec: {description: \"a\\u202eb\"}\n", "3:21 this text has control characters"),
        ("mark in who keeps it", "kind: node\nname: a\nmanaged_by: \"a\\u202eb\"\n", "3:13 managed_by has 1 to 256 bytes"),
        ("expression", "kind: access_rule\nname: a\nspec: {roles: [a], reason: {required: true, pattern: '(a{999}){999}'}}\n", "3:54 "),
    ];
    for (what, text, says) in table {
        let told = told(text);
        assert!(told.len() <= 100 && told.iter().any(|line| line.contains(says)), "{what}: {:.300}", told.join("\n"));
    }
}

#[test]
fn a_trait_that_looks_like_a_template_is_a_value_and_no_template() {
    let text = "kind: user\nname: a\nspec: {traits: {logins: [\"{{admin}}\", \"root}}\"]}}\n";
    let all = resources("f", text, Some(&std::collections::BTreeSet::new())).expect("a value like any other");
    let Resource::User { spec, .. } = &all[0].resource else { panic!("a user") };
    assert_eq!(spec.traits["logins"], ["{{admin}}", "root}}"]);
    let login: access::policy::LoginPattern = "{{logins}}".parse().expect("a template");
    assert_eq!(login.expand(&spec.traits), []);
}

#[test]
fn a_fault_of_the_whole_is_shown_in_the_text() {
    let text = "\
kind: access_rule
name: root
labels: {env: prod}
spec:
  roles: [root, ops]
  approvals: {from: [lead]}
---
items:
  - kind: oidc_connector
    name: kc
    spec:
      claims: {realm.groups: {/a: [dev, opps], \"/a[0]\": ops}}
";
    let at = |kind, name: &str, path: &str| {
        place_fault("f.yaml", text, (kind, name), path, ("wrong", "mend it")).map(|fault| (fault.line, fault.column))
    };
    use ResourceKind::{AccessRule, OidcConnector};
    for (path, place) in [
        ("roles[1]", (5, 17)),
        ("approvals.from[0]", (6, 22)),
        ("approvals.required", (6, 3)),
        ("roles[7]", (5, 10)),
        ("notify[0]", (5, 3)),
        ("labels.env", (3, 15)),
        ("spec.roles[0]", (5, 11)),
        ("", (2, 7)),
        ("[", (5, 3)),
    ] {
        assert_eq!(at(AccessRule, "root", path), Some(place), "{path}");
    }
    assert_eq!(at(OidcConnector, "kc", "claims.realm.groups./a[1]"), Some((12, 41)));
    assert_eq!(at(OidcConnector, "kc", "claims.realm.groups./a[0][0]"), Some((12, 57)));
    assert_eq!(at(AccessRule, "other", "roles[0]"), None);
    assert_eq!(place_fault("f", "[", (AccessRule, "root"), "", ("wrong", "mend it")), None);
}

#[test]
fn what_has_another_name_now_is_told_its_name() {
    let remedies: Vec<String> = faults(
        "kind: role\nname: a\nspec:\n  allow: [{node_labels: {}}]\n  audit: {}\n  administer: [role]\n  deny: {ssh: [{node_labels: {a: [b]}, logins: [a], kinds: [sftp]}], administer: {token: read}}\n",
    )
    .into_iter()
    .map(|fault| fault.remedy)
    .collect();
    for says in [
        "write the rules for nodes below allow: ssh:, with labels for node_labels",
        "allow: {audit: [{sessions: [list, play]}]}",
        "allow: {administer: {role: write}}",
        "it is called labels now",
        "write sftp_read, and sftp_write where files may be changed",
        "it is called join_token now",
    ] {
        assert!(remedies.iter().any(|remedy| remedy.contains(says)), "{says}: {remedies:#?}");
    }
}
