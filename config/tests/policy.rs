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
spec:
  allow:
    - node_labels: {env: [dev, "st*"], "*": ["*"]}
      logins: ["{{logins}}", ubuntu]
      kinds: [shell, exec]
      agent_labels: true
  deny:
    - node_labels: {pci: ["true"]}
      logins: ["*"]
  options: {recording: off, record_input: true, max_session: 8h, idle: 30m, notice: "Recorded: be kind.", max_output: 1GiB}
  audit: {sessions: [list, kill], events: false}
  administer: [token]
---
---
kind: user
name: kim
spec:
  roles: [engineer]
  traits:
    logins: [kim, "1000"]
...
"#;

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
    assert_eq!(
        json,
        r#"[{"kind":"role","name":"engineer","spec":{"allow":[{"node_labels":{"*":["*"],"env":["dev","st*"]},"logins":["{{logins}}","ubuntu"],"kinds":["shell","exec"],"agent_labels":true}],"deny":[{"node_labels":{"pci":["true"]},"logins":["*"]}],"options":{"recording":"off","record_input":true,"max_session":"8h","idle":"30m","notice":"Recorded: be kind.","max_output":"1GiB"},"audit":{"sessions":["list","kill"]},"administer":["token"]}},{"kind":"user","name":"kim","spec":{"roles":["engineer"],"traits":{"logins":["kim","1000"]}}}]"#
    );
    let Resource::Role { name, spec } = all[0].clone() else { panic!("a role") };
    assert_eq!(spec.options.recording, RecordingMode::Off);
    PolicySet::build(vec![(name, spec)]).expect("what is read without fault builds");
    assert_eq!(resources("empty.yaml", "# nothing\n", None), Ok(Vec::new()));
}

#[test]
#[allow(clippy::too_many_lines, reason = "one text and its list of faults")]
fn every_fault_of_every_document_is_told_at_once() {
    let text = "\
kind: role
name: Engineer
spec:
  alow: []
  allow:
    - node_labels: {env: prod, \"*\": [x]}
      logins: [ubuntu, \"*\", -oProxyCommand, \"{{a b}}\"]
      kinds: [shel]
      agent_labels: yes
    - ubuntu
  deny:
    - logins: [root]
  options: {idle: 0s, max_session: 8 hours, max_output: 1GB, recording: stric, notice: 7}
  audit: {sessions: [read], events: 1}
  administer: role
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
spec: {roles: [A], traits: {\"b c\": [x], logins: kim, uid: [1000, no, 1.5, 0x10, null]}}
---
kind: user
name: kim
---
- kind: user
";
    let wanted = [
        r#"2:7 "Engineer" is not a role name: 1 to 64 of a-z 0-9 . _ -, beginning with a letter or digit | choose a name of these characters"#,
        r#"4:3 a role has no field "alow" | did you mean allow?"#,
        r#"6:26 the set of values of a label is a list, and this is a single value | write [a, b], or one line with - for each item"#,
        r#"6:32 the key * goes only with the pattern * | name the label's key"#,
        r#"7:24 an allow rule cannot allow every login | name the logins, or take them from a trait as {{logins}}"#,
        r#"7:29 "-oProxyCommand" is not a login: 1 to 32 of a-z 0-9 _ . -, beginning with a letter or _ | write a login such as ubuntu, or a template such as {{logins}}, in quotes"#,
        r#"7:45 "{{a b}}" is not a login template: one {{trait}}, with letters of a login before or after it, the trait 1 to 64 of A-Z a-z 0-9 . _ - : / | write a login such as ubuntu, or a template such as {{logins}}, in quotes"#,
        r#"8:15 a kind of session cannot be "shel" | did you mean shell?"#,
        r#"9:21 agent_labels is true or false | write true or false, without quotes"#,
        r#"10:7 a rule is a map, and this is a single value | write it as key: value lines"#,
        r#"12:7 this deny rule fits no node, because its labels are empty | write node_labels: {"*": ["*"]} for every node"#,
        r#"13:19 a limit of zero ends every session at once | leave it out for no limit"#,
        r#"13:36 "8 hours" is not a length of time: a whole number and one of s, m, h, d, such as 30m, at most 366d | write for example 8h"#,
        r#"13:57 "1GB" is not a size: a whole number and one of B, KiB, MiB, GiB, TiB, such as 1GiB | write for example 1GiB"#,
        r#"13:73 recording cannot be "stric" | did you mean strict?"#,
        r#"13:88 notice is a text, and 7 without quotes is a number | write "7" if the text is meant"#,
        r#"14:22 an audit action cannot be "read" | it is one of list, play, watch, export, kill"#,
        r#"14:37 events is true or false | write true or false, without quotes"#,
        r#"15:15 administer is a list, and this is a single value | write [a, b], or one line with - for each item"#,
        r#"17:7 the kind cannot be "rule" | did you mean role?"#,
        r#"20:1 this resource has no kind | write kind: role, user, oidc_connector or bot"#,
        r#"25:1 the key "name" stands here twice | keep one of the two"#,
        r#"26:16 "A" is not a role name: 1 to 64 of a-z 0-9 . _ -, beginning with a letter or digit | choose a name of these characters"#,
        r#"26:29 "b c" cannot name a trait | use 1 to 64 of A-Z a-z 0-9 . _ - : /"#,
        r#"26:49 a trait is a list, and this is a single value | write [a, b], or one line with - for each item"#,
        r#"26:60 a trait's value is a text, and 1000 without quotes is a number | write "1000" if the text is meant"#,
        r#"26:66 a trait's value is a text, and no without quotes is a truth value | write "no" if the text is meant"#,
        r#"26:70 a trait's value is a text, and 1.5 without quotes is a number | write "1.5" if the text is meant"#,
        r#"26:75 a trait's value is a text, and 0x10 without quotes is a number | write "0x10" if the text is meant"#,
        r#"26:81 a trait's value is a text, and this is nothing | write one text"#,
        r#"29:7 user kim is declared twice | join the two, or rename one"#,
        r#"31:1 a resource is a map, and this is a list | write it as key: value lines"#,
        r#"31:1 this resource has no kind | write kind: role, user, oidc_connector or bot"#,
        r#"31:1 this resource has no name | write name: and what it is called"#,
    ];
    let told = told(text);
    let odd: Vec<_> = told.iter().zip(wanted).filter(|(told, wanted)| told != wanted).collect();
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
    let role = "kind: role\nname: a\nspec: {allow: [{node_labels: {\"*\": [\"*\"]}, logins: [\"{{login}}\"]}]}\n";
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
    let lines = told("kind: role\nname: a\nspec:\n  deny:\n    - {node_labels: {env: prod}, logins: [Root]}\n    - logins: [root]\n");
    let places: Vec<&str> = lines.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(places, ["5:27", "5:43", "6:7"], "{lines:#?}");
}

#[test]
fn a_number_where_a_length_or_a_size_is_wanted_is_told_with_an_example() {
    let lines = told("kind: role\nname: a\nspec:\n  options: {idle: 30, max_output: 100}\n");
    assert!(lines[0].contains("is not a length of time") && lines[0].ends_with("| write for example 30m"), "{lines:#?}");
    assert!(lines[1].contains("is not a size") && lines[1].ends_with("| write for example 1GiB"), "{lines:#?}");
}

#[test]
fn a_role_that_is_nowhere_is_shown_where_a_user_asks_for_it() {
    let text = "kind: role\nname: ops\n---\nkind: user\nname: bob\nspec:\n  roles: [ops, opps]\n";
    let fault = config::policy::unknown_role("f.yaml", text, "bob", "opps", &["ops"]).expect("a place");
    assert_eq!((fault.line, fault.column, fault.remedy.as_str()), (7, 16, "did you mean ops?"));
    assert_eq!(config::policy::unknown_role("f.yaml", text, "kim", "opps", &[]), None);
    assert_eq!(config::policy::unknown_role("f.yaml", text, "bob", "other", &[]), None);
    assert_eq!(config::policy::unknown_role("f.yaml", "[", "bob", "opps", &[]), None);
}

#[test]
fn a_list_as_the_server_gives_it_is_read() {
    let json =
        r#"{"items":[{"kind":"role","name":"a","spec":{"administer":["token"]}},{"kind":"user","name":"kim","spec":{"roles":["a"]}}]}"#;
    let names: Vec<String> = resources("f.json", json, None).expect("no faults").iter().map(|one| one.name().to_owned()).collect();
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
