//! Resources as people write them: what is read, what is refused, and that hostile text costs little.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail by panicking, in its helpers too")]

use std::collections::BTreeSet;

use access::policy::{PolicySet, RecordingMode, Resource};
use config::faults::{Fault, count, text};
use config::policy::resources;

const GOOD: &str = r#"
# What engineers may do.
kind: role
name: engineer
id: 0190-x
revision: 7
labels: {team: shop}
managed_by: "https://git.example.com/policy"
spec:
  description: What engineers may do.
  allow:
    ssh:
      - labels: {env: [dev, "st*"], "*": ["*"]}
        logins: ["{{logins}}", ubuntu]
        kinds: [shell, exec]
        agent_labels: true
        where: "'oncall' in user.roles"
    kubernetes:
      - {labels: {env: [dev]}, groups: ["team:{{team}}"], namespaces: [shop], verbs: [get, exec]}
    review: {roles: [engineer]}
    audit: [{sessions: [list, kill], users: ["k*"]}]
    administer: {"*": read, join_token: write}
  deny:
    ssh:
      - labels: {pci: ["true"]}
        logins: ["*"]
  may_request: [root]
  options: {recording: off, record_input: true, max_session: 8h, idle: 30m, notice: "Recorded: be kind.", max_output: 1GiB, hours: ["mon-fri 09:00-18:00 Asia/Seoul"], networks: [10.0.0.0/8]}
---
---
kind: user
name: kim
spec:
  roles: [engineer]
  traits:
    logins: [kim, "1000"]
    team: [shop]
  notes: Has the spare key.
...
"#;

const WHOLE: &str = r#"[{"kind":"role","name":"engineer","id":"0190-x","revision":7,"labels":{"team":"shop"},"managed_by":"https://git.example.com/policy","spec":{"allow":{"administer":{"*":"read","join_token":"write"},"audit":[{"sessions":["list","kill"],"users":["k*"]}],"kubernetes":[{"groups":["team:{{team}}"],"labels":{"env":["dev"]},"namespaces":["shop"],"verbs":["get","exec"]}],"review":{"roles":["engineer"]},"ssh":[{"agent_labels":true,"kinds":["shell","exec"],"labels":{"*":["*"],"env":["dev","st*"]},"logins":["{{logins}}","ubuntu"],"where":"'oncall' in user.roles"}]},"deny":{"ssh":[{"labels":{"pci":["true"]},"logins":["*"]}]},"description":"What engineers may do.","may_request":["root"],"options":{"hours":["mon-fri 09:00-18:00 Asia/Seoul"],"idle":"30m","max_output":"1GiB","max_session":"8h","networks":["10.0.0.0/8"],"notice":"Recorded: be kind.","record_input":true,"recording":"off"}}},{"kind":"user","name":"kim","spec":{"notes":"Has the spare key.","roles":["engineer"],"traits":{"logins":["kim","1000"],"team":["shop"]}}}]"#;

fn faults(text: &str) -> Vec<Fault> {
    resources("roles.yaml", text, None).expect_err("faults")
}

/// `line:column message | remedy`, one for each fault.
fn told(text: &str) -> Vec<String> {
    faults(text).iter().map(|f| format!("{}:{} {} | {}", f.line, f.column, f.message, f.remedy)).collect()
}

#[test]
fn a_whole_file_is_read_as_it_is_meant() {
    let all = resources("roles.yaml", GOOD, Some(&BTreeSet::new())).expect("no faults");
    let json = serde_json::to_string(&all).expect("writes");
    assert_eq!(json, WHOLE);
    let Resource::Role { name, spec } = all[0].resource.clone() else { panic!("a role") };
    assert_eq!(spec.options.recording, Some(RecordingMode::Off));
    PolicySet::build(vec![(name, spec)]).expect("what is read without fault builds");
    assert_eq!(resources("empty.yaml", "# nothing\n", None), Ok(Vec::new()));
}

#[test]
#[allow(clippy::too_many_lines, reason = "one text and its list of faults")]
fn every_fault_of_every_document_is_told_at_once() {
    let text = "\
kind: role
name: engineer
spec:
  alow: []
  allow:
    ssh:
      - labels: {env: prod, \"*\": [x]}
        logins: [ubuntu, \"*\", -oProxyCommand, \"{{a b}}\"]
        kinds: [shel]
        agent_labels: yes
      - ubuntu
      - {labels: {a: [b]}, logins: [a], where: user.name = 'kim'}
      - {labels: {a: [b]}, logins: [a], where: user.nam == 'kim'}
      - {labels: {a: [b]}, logins: [a], where: nobody == 'kim', forwards: [here], commands: [ls]}
    kubernetes: [{verbs: [gett], groups: [a b]}]
    audit: [{sessions: [read], events: 1}]
    administer: {roles: write, user: writ}
  deny:
    ssh:
      - logins: [root]
    review: {where: 'true'}
  options: {idle: 0s, max_session: 8 hours, max_output: 1GB, recording: stric, notice: 7, networks: [10.0.0.1/8], hours: [always], max_sessions: 0}
---
kind: rule
name: x
---
name: [kim]
spec: {}
---
kind: user
name: kim
name: kim
revision: -1
labels: {a: 7}
spec: {roles: [A], traits: {\"b c\": [x], logins: kim, uid: [1000, no, 1.5, 0x10, null]}}
---
kind: user
name: kim
---
- kind: user
";
    let wanted: &[&str] = &[
        r#"4:3 a role has no field "alow" | did you mean allow?"#,
        r#"7:23 the set of values of a label is a list, and this is a single value | write [a, b], or one line with - for each item"#,
        r#"7:29 the key * goes only with the pattern * | name the label's key"#,
        r#"8:26 an allow rule cannot allow every login | name the logins, or take them from a trait as {{logins}}"#,
        r#"8:31 "-oProxyCommand" is not a login: 1 to 32 of a-z 0-9 _ . -, beginning with a letter or _ | write a login such as ubuntu, or a template such as {{logins}}, in quotes"#,
        r#"8:47 "{{a b}}" is not a login template: one {{trait}}, with letters of a login before or after it, the trait 1 to 64 of A-Z a-z 0-9 . _ - : / | write a login such as ubuntu, or a template such as {{logins}}, in quotes"#,
        r#"9:17 a kind of session cannot be "shel" | did you mean shell?"#,
        r#"10:23 agent_labels is true or false | write true or false, without quotes"#,
        r#"11:9 a rule is a map, and this is a single value | write it as key: value lines"#,
        r#"12:58 this condition is not CEL: token recognition error at: '= ' | write for example 'oncall' in user.traits.groups"#,
        r#"13:48 this condition cannot work: No such key: nam | use fields of user, target, request, time and network; has(user.traits.x) asks whether a trait is there"#,
        r#"14:48 "nobody == 'kim'" is not a condition: an expression that speaks of user, target, request, time and network alone | say what must hold of user, target, request, time or network"#,
        r#"14:76 "here" is not a target of a forward: host:port in lower case, such as localhost:5432, *.internal:443, [::1]:8000-8999 or 10.0.0.7:* | write for example "localhost:5432""#,
        r#"14:93 commands are those of exec, and this rule allows more than that | write kinds: [exec] beside them"#,
        r#"15:27 a verb cannot be "gett" | did you mean get?"#,
        r#"15:43 "a b" is not a name at a cluster: 1 to 253 bytes without spaces, with at most one {{trait}} | write a name such as developers, or a template such as team:{{team}}, in quotes"#,
        r#"16:25 an audit action cannot be "read" | it is one of list, play, watch, join, export, kill"#,
        r#"16:40 events is true or false | write true or false, without quotes"#,
        r#"17:18 there is no kind of resource "roles" | did you mean role?"#,
        r#"17:38 a level cannot be "writ" | did you mean write?"#,
        r#"20:9 this deny rule fits no node, because its labels are empty | write labels: {"*": ["*"]} for every target"#,
        r#"21:13 a condition without roles says nothing | write roles: [name]"#,
        r#"21:21 this condition cannot work: it speaks of none of user, target, request, time and network, so it is always the same | use fields of user, target, request, time and network; has(user.traits.x) asks whether a trait is there"#,
        r#"22:19 a limit of zero ends every session at once | leave it out for no limit"#,
        r#"22:36 "8 hours" is not a length of time: a whole number and one of s, m, h, d, such as 30m, at most 366d | write for example 8h"#,
        r#"22:57 "1GB" is not a size: a whole number and one of B, KiB, MiB, GiB, TiB, such as 1GiB | write for example 1GiB"#,
        r#"22:73 recording cannot be "stric" | did you mean strict?"#,
        r#"22:88 notice is a text, and 7 without quotes is a number | write "7" if the text is meant"#,
        r#"22:102 "10.0.0.1/8" is not a network: an address and how many of its first bits count, with all others 0, such as 10.0.0.0/8 or 2001:db8::/32 | write for example 10.0.0.0/8"#,
        r#"22:123 "always" is not a stretch of hours: days, from-to and a zone, such as mon-fri 09:00-18:00 Asia/Seoul or sat,sun 00:00-24:00 UTC | write for example mon-fri 09:00-18:00 Asia/Seoul"#,
        r#"22:146 max_sessions is a whole number from 1 | write it in digits, without quotes"#,
        r#"24:7 the kind cannot be "rule" | did you mean role?"#,
        r#"27:1 this resource has no kind | write kind: and one of role, user, oidc_connector, bot, join_token, node, cluster, guardrail, access_rule, messenger, audit_sink, lock, settings"#,
        r#"32:1 the key "name" stands here twice | keep one of the two"#,
        r#"33:11 revision is a whole number | leave it out, or write it as `naru get` shows it"#,
        r#"34:13 a label's value is a text, and 7 without quotes is a number | write "7" if the text is meant"#,
        r#"35:16 "A" is not a role name: 1 to 64 of a-z 0-9 . _ -, beginning with a letter or digit | write the role's name, as in its own name field"#,
        r#"35:29 "b c" cannot name a trait | use 1 to 64 of A-Z a-z 0-9 . _ - : /"#,
        r#"35:49 a trait is a list, and this is a single value | write [a, b], or one line with - for each item"#,
        r#"35:60 a trait's value is a text, and 1000 without quotes is a number | write "1000" if the text is meant"#,
        r#"35:66 a trait's value is a text, and no without quotes is a truth value | write "no" if the text is meant"#,
        r#"35:70 a trait's value is a text, and 1.5 without quotes is a number | write "1.5" if the text is meant"#,
        r#"35:75 a trait's value is a text, and 0x10 without quotes is a number | write "0x10" if the text is meant"#,
        r#"35:81 a trait's value is a text, and this is nothing | write one text"#,
        r#"38:7 user kim is declared twice | join the two, or rename one"#,
        r#"40:1 a resource is a map, and this is a list | write it as key: value lines"#,
        r#"40:1 this resource has no kind | write kind: and one of role, user, oidc_connector, bot, join_token, node, cluster, guardrail, access_rule, messenger, audit_sink, lock, settings"#,
        r#"40:1 this resource has no name | write name: and what it is called"#,
    ];
    let told = told(text);
    let odd: Vec<_> = told.iter().zip(wanted).filter(|(told, wanted)| told != *wanted).collect();
    assert!(odd.is_empty() && told.len() == wanted.len(), "{odd:#?}");
}

#[test]
fn a_fault_is_shown_with_its_line_a_caret_and_the_remedy() {
    let all = faults("kind: role\nname: a\nspec:\n  alow: []\n");
    assert_eq!(
        text(&all),
        "error: a role has no field \"alow\"\n --> roles.yaml:4:3\n  |\n4 |   alow: []\n  |   ^^^^\n  |\n  = help: did you mean allow?"
    );
    assert_eq!(count(&all), "1 fault in roles.yaml");
}

#[test]
fn a_template_needs_a_trait_that_somebody_has() {
    let role = "kind: role\nname: a\nspec: {allow: {ssh: [{labels: {\"*\": [\"*\"]}, logins: [\"{{login}}\"]}]}}\n";
    assert!(resources("f", role, None).is_ok());
    let known = BTreeSet::from(["logins".to_owned()]);
    let faults = resources("f", role, Some(&known)).expect_err("faults");
    assert_eq!(
        (faults[0].message.as_str(), faults[0].remedy.as_str()),
        ("nobody has the trait login, so this template gives no login", "did you mean logins?")
    );
    let with_user = format!("{role}---\nkind: user\nname: kim\nspec: {{traits: {{login: [kim]}}}}\n");
    assert!(resources("f", &with_user, Some(&known)).is_ok());
}

/// YAML that was made to hurt or to be read in two ways: each is refused with a place.
#[test]
fn hostile_yaml_is_refused_with_its_place() {
    let bomb =
        (1..9).fold("a0: &a0 [x]\n".to_owned(), |text, i| format!("{text}a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 9].join(",")));
    let deep = format!("kind: role\nname: a\nspec: {}", "[".repeat(100_000));
    let dashes = "- ".repeat(100_000);
    let nested: String = (0..1_000).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
    let large = "x".repeat((1 << 20) + 1);
    let many = format!("[{}]", "a,".repeat(250_000));
    let table: [(&str, &str, &str); 16] = [
        ("alias bomb", &bomb, "1:9 anchors are not read here"),
        ("alias", "kind: *k\nname: a\n", "1:7 aliases are not read here"),
        ("merge key", "kind: user\nname: a\n<<: {name: b}\n", "3:1 a resource has no field \"<<\""),
        ("tag", "kind: !!str role\nname: a\n", "tags are not read here"),
        ("own tag", "kind: user\nname: a\nspec: !x {}\n", "tags are not read here"),
        (
            "no",
            "kind: user\nname: a\nspec: {traits: {country: [no]}}\n",
            "3:27 a trait's value is a text, and no without quotes is a truth value",
        ),
        ("duplicate key", "kind: user\nname: a\n\"name\": b\n", "3:1 the key \"name\" stands here twice"),
        ("unknown field", "kind: user\nname: a\nmetadata: {}\n", "3:1 a resource has no field \"metadata\""),
        ("tab", "kind: user\nname: a\nspec:\n\troles: [a]\n", "| indent with spaces, YAML takes no tabs"),
        ("key of a map", "kind: user\nname: a\n? {a: b}\n: c\n", "a key must be a text"),
        ("open bracket", "kind: user\nname: a\nspec: {roles: [a}\n", "this is not YAML as Naru reads it"),
        ("deep flow", &deep, "this is not YAML as Naru reads it"),
        ("deep list", &dashes, "this is not YAML as Naru reads it"),
        ("deep map", &nested, "this is not YAML as Naru reads it"),
        ("large", &large, "1:1 this text has 1048577 bytes, more than 1 MiB"),
        ("many values", &many, "this text has more than 100000 values"),
    ];
    for (what, text, says) in table {
        let told = told(text);
        assert!(told.iter().any(|line| line.contains(says)), "{what}: {told:#?}");
    }
}

#[test]
fn escapes_in_hostile_text_never_reach_the_terminal() {
    for text in [
        "\"\\e[31mkind\": role\n",
        "kind: \"\\e]52;c;x\\a\"\nname: \"\\u202ea\"\n",
        "\u{202e}kind: role\n",
        "kind: \u{9b}31m\n",
        "kind: role\nname: \u{7f}\u{0}\n",
    ] {
        let shown = config::faults::text(&faults(text));
        assert!(!shown.chars().any(|c| c.is_control() && c != '\n') && !shown.contains('\u{202e}'), "{shown:?}");
    }
}

#[test]
fn a_rule_that_is_empty_by_a_fault_is_told_of_once() {
    let lines = told("kind: role\nname: a\nspec:\n  deny:\n    ssh:\n    - {labels: {env: prod}, logins: [Root]}\n    - logins: [root]\n");
    let places: Vec<&str> = lines.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(places, ["6:22", "6:38", "7:7"], "{lines:#?}");
}

#[test]
fn a_number_where_a_length_or_a_size_is_wanted_is_told_with_an_example() {
    let lines = told("kind: role\nname: a\nspec:\n  options: {idle: 30, max_output: 100}\n");
    assert!(lines[0].contains("is not a length of time") && lines[0].ends_with("| write for example 30m"), "{lines:#?}");
    assert!(lines[1].contains("is not a size") && lines[1].ends_with("| write for example 1GiB"), "{lines:#?}");
}

#[test]
fn a_list_as_the_server_gives_it_is_read() {
    let json = r#"{"items":[{"kind":"role","name":"a","spec":{"allow":{"administer":{"role":"read"}}}},{"kind":"user","name":"kim","spec":{"roles":["a"]}}]}"#;
    let names: Vec<String> = resources("f.json", json, None).expect("no faults").iter().map(|one| one.resource.name().to_owned()).collect();
    assert_eq!(names, ["a", "kim"]);
    assert_eq!(resources("f", "items: []\n---\nitems:\n", None), Ok(Vec::new()));
    assert_eq!(
        told("items:\n  - kind: user\n    name: A\n"),
        [
            r#"3:11 "A" is not a user name: 1 to 64 of a-z 0-9 . _ @ + -, beginning with a letter or digit | choose a name of these characters"#
        ]
    );
    assert!(told("items: [{kind: user, name: a}]\nkind: user\n")[0].contains("a resource has no field \"items\""));
}

#[test]
fn a_hundred_faults_are_enough() {
    let text: String = (0..20_000).map(|i| format!("x{i}: 1\n")).collect();
    let all = faults(&text);
    assert_eq!(all.len(), 100);
    assert_eq!(count(&all), "the first 100 faults in roles.yaml");
}
