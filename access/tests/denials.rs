//! What a denial says: its code, rule, sentence and hint; and that it does not tell whether a node exists.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail by panicking, in its helpers too")]

use access::decide::{Administer, Audit, AuditAsk, Denial, KubeRequest, OpenSession, allowed_logins, decide, unknown_node};
use access::event::{Decision, SessionKind};
use access::identity::{ClusterFacts, Granted, Identity, LabelValue, NodeFacts, Origin, UserId};
use access::policy::{AuditAction, KubeVerb, Level, PolicySet, RecordingMode, ResourceKind};
use access::time::Timestamp;

const NOW: Timestamp = Timestamp::from_secs(1_000);

fn policy() -> PolicySet {
    let roles = [
        (
            "engineer",
            r#"{"allow":{"ssh":[{"labels":{"env":["prod"]},"logins":["ubuntu"],"kinds":["shell","exec"]}]},"options":{"recording":"best_effort","idle":"30m","max_session":"8h","notice":"Recorded.","max_output":"2GiB"}}"#,
        ),
        (
            "dba",
            r#"{"allow":{"ssh":[{"labels":{"env":["prod"]},"logins":["{{logins}}","ubuntu"]}]},"options":{"recording":"off","idle":"1h","record_input":true,"notice":"Mind the data.","max_output":"1GiB"}}"#,
        ),
        ("no-root", r#"{"deny":{"ssh":[{"labels":{"*":["*"]},"logins":["root"]}]}}"#),
        ("auditor", r#"{"allow":{"audit":[{"sessions":["list","play"],"events":true}]}}"#),
        ("admin", r#"{"allow":{"administer":{"role":"write","user":"write"}}}"#),
    ];
    let roles = roles.map(|(name, spec)| (name.parse().expect("a name"), serde_json::from_str(spec).expect("a role")));
    PolicySet::build(roles.into()).expect("no faults")
}

fn who(roles: &[&str]) -> Identity {
    Identity {
        user: UserId { issuer: "local".into(), subject: "alice".into() },
        name: "alice".parse().expect("a name"),
        roles: roles.iter().map(|role| role.parse().expect("a name")).collect(),
        traits: [("logins".to_owned(), vec!["alice".to_owned(), "postgres".to_owned()])].into(),
        expires: Timestamp::from_secs(2_000),
        auth: Default::default(),
        context: Default::default(),
        granted: Vec::new(),
    }
}

fn ask(roles: &[&str], env: &str, login: &str, kind: SessionKind) -> OpenSession {
    let label = LabelValue { value: env.to_owned(), origin: Origin::Token };
    let node = NodeFacts { name: "db-1".parse().expect("a name"), labels: [("env".to_owned(), label)].into(), agent: None };
    OpenSession { identity: who(roles), node, login: login.parse().expect("a login"), kind, begun: None, command: None }
}

fn denied(roles: &[&str], env: &str, login: &str, kind: SessionKind) -> Denial {
    decide(ask(roles, env, login, kind), &policy(), NOW).expect_err("a denial")
}

#[test]
fn each_denial_has_its_code_and_says_what_would_help() {
    let shell = SessionKind::Shell;
    let table = [
        (
            &["engineer"][..],
            "prod",
            "root",
            shell,
            "NARU-P201 default: root@db-1 is not allowed: role engineer allows login ubuntu on db-1, not root | Use ubuntu there, or ask an administrator for a role that allows root.",
        ),
        (
            &["engineer", "dba"],
            "prod",
            "root",
            shell,
            "NARU-P201 default: root@db-1 is not allowed: roles dba and engineer allow logins alice, postgres and ubuntu on db-1, not root | Use alice, postgres or ubuntu there, or ask an administrator for a role that allows root.",
        ),
        (
            &["engineer", "no-root"],
            "prod",
            "root",
            shell,
            "NARU-P202 no-root/deny.ssh[0]: root@db-1 is denied: role no-root denies it by its rule no-root/deny.ssh[0] | A deny wins over every allow: an administrator would have to change that rule or take the role away.",
        ),
        (
            &["engineer"],
            "prod",
            "ubuntu",
            SessionKind::Sftp,
            "NARU-P204 default: sftp on ubuntu@db-1 is not allowed: only exec and shell is | A role would have to allow sftp for ubuntu there.",
        ),
        (
            &["engineer", "no-root"],
            "dev",
            "root",
            shell,
            "NARU-P203 default: root@db-1 is not allowed: no role of alice reaches a node of that name | See `naru ls` for what you reach, or ask an administrator for a role that does.",
        ),
    ];
    for (roles, env, login, kind, says) in table {
        let Denial { code, rule, sentence, hint, step_up, .. } = denied(roles, env, login, kind);
        assert_eq!((format!("{code} {rule}: {sentence} | {hint}").as_str(), step_up), (says, None));
    }
}

#[test]
fn a_node_out_of_reach_and_no_node_look_alike() {
    let question = ask(&["engineer", "no-root", "unknown"], "dev", "root", SessionKind::Shell);
    let absent = unknown_node(&question.identity, &question.login, &question.node.name, &policy(), NOW);
    assert_eq!(decide(question.clone(), &policy(), NOW).expect_err("a denial"), absent);
    let late = Timestamp::from_secs(2_000);
    let absent = unknown_node(&question.identity, &question.login, &question.node.name, &policy(), late);
    assert_eq!(decide(question, &policy(), late).expect_err("a denial"), absent);
    assert_eq!(absent.code, Denial::ENDED);
}

#[test]
fn the_strictest_of_the_allowing_roles_counts() {
    let policy = policy();
    let permit = decide(ask(&["dba", "engineer", "auditor"], "prod", "ubuntu", SessionKind::Shell), &policy, NOW).expect("a permit");
    let duties = permit.obligations();
    assert_eq!((duties.recording, duties.record_input), (RecordingMode::BestEffort, true));
    assert_eq!(duties.idle.map(|d| d.as_secs()), Some(1_800));
    assert_eq!(duties.max_session.map(|d| d.as_secs()), Some(28_800));
    assert_eq!(duties.max_output, Some(1 << 30));
    assert_eq!(duties.notice.as_deref(), Some("Mind the data.\nRecorded."));
    assert_eq!((permit.rule(), permit.policy(), permit.decided_at()), ("dba/allow.ssh[0]", policy.digest(), NOW));
    assert_eq!(permit.access().decision, Decision::Allow);
    let alone = decide(ask(&["dba"], "prod", "ubuntu", SessionKind::Sftp), &policy, NOW).expect("a permit");
    assert_eq!(alone.obligations().recording, RecordingMode::Off);
}

#[test]
fn a_missing_trait_gives_no_login_and_is_named() {
    let mut question = ask(&["dba"], "prod", "alice", SessionKind::Shell);
    question.identity.traits.clear();
    let roles = vec![(
        "dba".parse().expect("a name"),
        serde_json::from_str(r#"{"allow":{"ssh":[{"labels":{"*":["*"]},"logins":["{{logins}}"]}]}}"#).expect("a role"),
    )];
    let denial = decide(question, &PolicySet::build(roles).expect("no faults"), NOW).expect_err("a denial");
    assert_eq!(denial.sentence, "alice@db-1 is not allowed: role dba allows no login there for alice");
    assert_eq!(denial.hint, "The logins come from the trait logins, in which you have no login: ask an administrator to set it.");
}

#[test]
fn labels_of_the_agent_count_only_where_the_rule_says_so() {
    for (flag, allowed) in [("false", false), ("true", true)] {
        let spec = format!(r#"{{"allow":{{"ssh":[{{"labels":{{"env":["prod"]}},"logins":["ubuntu"],"agent_labels":{flag}}}]}}}}"#);
        let policy =
            PolicySet::build(vec![("r".parse().expect("a name"), serde_json::from_str(&spec).expect("a role"))]).expect("no faults");
        let mut question = ask(&["r"], "prod", "ubuntu", SessionKind::Shell);
        question.node.labels.values_mut().for_each(|label| label.origin = Origin::Agent);
        assert_eq!(decide(question, &policy, NOW).is_ok(), allowed);
    }
}

#[test]
fn a_deny_hits_labels_of_any_origin() {
    let spec =
        r#"{"allow":{"ssh":[{"labels":{"*":["*"]},"logins":["ubuntu"]}]},"deny":{"ssh":[{"labels":{"env":["prod"]},"logins":["*"]}]}}"#;
    let policy = PolicySet::build(vec![("r".parse().expect("a name"), serde_json::from_str(spec).expect("a role"))]).expect("no faults");
    for origin in [Origin::Token, Origin::Agent] {
        let mut question = ask(&["r"], "prod", "ubuntu", SessionKind::Shell);
        question.node.labels.values_mut().for_each(|label| label.origin = origin);
        assert_eq!(allowed_logins(&question.identity, &question.node, &policy, NOW), []);
        assert_eq!(decide(question, &policy, NOW).expect_err("a denial").rule, "r/deny.ssh[0]");
    }
}

#[test]
fn audit_and_administration_need_their_right() {
    let audit = |roles: &[&str], action, own| {
        decide(Audit { identity: who(roles), action, own, of: None }, &policy(), NOW).map(|p| p.rule().to_owned())
    };
    let sessions = AuditAsk::Sessions;
    assert_eq!(audit(&["auditor"], sessions(AuditAction::Play), false).as_deref(), Ok("auditor/allow.audit[0]"));
    assert_eq!(audit(&["auditor"], AuditAsk::Events, false).as_deref(), Ok("auditor/allow.audit[0]"));
    assert_eq!(audit(&["engineer"], sessions(AuditAction::List), true).as_deref(), Ok("own"));
    for (roles, action, own) in [
        (&["auditor"], sessions(AuditAction::Kill), false),
        (&["engineer"], sessions(AuditAction::List), false),
        (&["engineer"], sessions(AuditAction::Play), true),
        (&["engineer"], AuditAsk::Events, true),
        (&["unknown"], AuditAsk::Events, false),
    ] {
        assert_eq!(audit(roles, action, own).expect_err("a denial").code, Denial::AUDIT);
    }
    let administer = |roles: &[&str], kind| {
        decide(Administer { identity: who(roles), kind, level: Level::Write }, &policy(), NOW).map(|p| p.rule().to_owned())
    };
    assert_eq!(administer(&["admin"], ResourceKind::Role).as_deref(), Ok("admin/allow.administer"));
    let denial = administer(&["admin"], ResourceKind::Node).expect_err("a denial");
    assert_eq!(
        format!("{} {}", denial.code, denial.sentence),
        "NARU-P206 alice may not write nodes: no role of theirs has node: write in administer"
    );
    assert_eq!(denial.access(&policy()).rule, "default");
}

#[test]
fn neither_the_word_of_an_agent_nor_its_silence_meets_a_condition_that_guards() {
    let rules = |rule: &str, deny: &str| {
        let role = format!(r#"{{"allow":{{"ssh":[{{"labels":{{"*":["*"]}},"logins":["ubuntu"]{rule}}}]}},"deny":{{"ssh":[{deny}]}}}}"#);
        PolicySet::build(vec![("r".parse().expect("a name"), serde_json::from_str(&role).expect("a role"))]).expect("no faults")
    };
    let allowed = |policy: &PolicySet, value: &str| {
        let mut question = ask(&["r"], value, "ubuntu", SessionKind::Shell);
        question.node.labels.values_mut().for_each(|label| label.origin = Origin::Agent);
        decide(question, policy, NOW).is_ok()
    };
    let deny = |when: &str| format!(r#"{{"labels":{{"*":["*"]}},"logins":["*"],"where":"{when}"}}"#);
    assert!(!allowed(&rules(r#","where":"target.labels.env == 'dev'""#, ""), "dev"), "an allow does not believe the agent");
    assert!(allowed(&rules(r#","agent_labels":true,"where":"target.labels.env == 'dev'""#, ""), "dev"), "unless it says so");
    assert!(!allowed(&rules("", &deny("target.labels.env != 'dev'")), "dev"), "an agent talks nobody out of a deny");
    assert!(!allowed(&rules("", &deny("has(target.labels.env) && target.labels.env == 'bad'")), "bad"), "and may talk somebody into it");
    assert!(allowed(&rules("", &deny("has(target.labels.env) && target.labels.env == 'bad'")), "dev"));
}

#[test]
fn writing_by_sftp_is_denied_alone_and_its_roles_demands_hold() {
    let policy = |roles: &[(&str, &str)]| {
        let roles = roles.iter().map(|(name, spec)| (name.parse().expect("a name"), serde_json::from_str(spec).expect("a role")));
        PolicySet::build(roles.collect()).expect("no faults")
    };
    let all = r#"{"allow":{"ssh":[{"labels":{"*":["*"]},"logins":["ubuntu"]}]},"options":{"recording":"off"}}"#;
    let read = r#"{"allow":{"ssh":[{"labels":{"*":["*"]},"logins":["ubuntu"],"kinds":["sftp_read"]}]},"options":{"recording":"off"}}"#;
    let no_write = r#"{"deny":{"ssh":[{"labels":{"*":["*"]},"logins":["*"],"kinds":["sftp_write"]}]}}"#;
    let writes = |policy: &PolicySet| {
        let permit = decide(ask(&["a", "b"], "prod", "ubuntu", SessionKind::Sftp), policy, NOW).expect("reading is allowed");
        permit.obligations().sftp_write
    };
    assert!(writes(&policy(&[("a", all)])));
    assert!(!writes(&policy(&[("a", read)])));
    assert!(!writes(&policy(&[("a", all), ("b", no_write)])), "a deny of one kind takes that one away");
}

#[test]
fn a_request_ends_when_it_was_given_for_and_the_clock_may_ask_again_before() {
    let spec = r#"{"allow":{"ssh":[{"labels":{"*":["*"]},"logins":["root"]}]},"options":{"hours":["mon-sun 00:00-00:20 UTC"]}}"#;
    let policy = PolicySet::build(vec![("r".parse().expect("a name"), serde_json::from_str(spec).expect("a role"))]).expect("no faults");
    let until = Timestamp::from_secs(1_900);
    let granted = Granted { request: "abcd2345".parse().expect("an id"), role: "r".parse().expect("a name"), only: None, until };
    let mut question = ask(&[], "prod", "root", SessionKind::Shell);
    question.identity.granted.push(granted);
    let permit = decide(question, &policy, NOW).expect("the request gives it");
    assert_eq!((permit.request_ends(), permit.until()), (Some(until), Some(Timestamp::from_secs(1_200))));
    let standing = decide(ask(&["r"], "prod", "root", SessionKind::Shell), &policy, NOW).expect("the role gives it");
    assert_eq!((standing.request_ends(), standing.until()), (None, Some(Timestamp::from_secs(1_200))));
}

#[test]
fn a_role_that_demands_a_reason_demands_it_of_requests_to_a_cluster_too() {
    let rule = r#"{"allow":{"kubernetes":[{"labels":{"*":["*"]},"groups":["dev"],"verbs":["get"],"namespaces":["shop"],"resources":["pods"]}]},"options":{"reason":true}}"#;
    let policy = PolicySet::build(vec![("r".parse().expect("a name"), serde_json::from_str(rule).expect("a role"))]).expect("no faults");
    let asked = |reason: Option<&str>| {
        let mut identity = who(&["r"]);
        identity.context.reason = reason.map(str::to_owned);
        let label = LabelValue { value: "prod".to_owned(), origin: Origin::Authority };
        let cluster = ClusterFacts { name: "seoul".parse().expect("a name"), labels: [("env".to_owned(), label)].into(), agent: None };
        let question = KubeRequest {
            identity,
            cluster,
            verb: KubeVerb::Get,
            api_group: String::new(),
            resource: "pods".into(),
            namespace: Some("shop".into()),
            name: None,
            begun: None,
        };
        decide(question, &policy, NOW).err().map(|denial| (denial.code, denial.rule))
    };
    assert_eq!(asked(None), Some((Denial::REASON, "r/options.reason".to_owned())));
    assert_eq!(asked(Some("  ")), asked(None));
    assert_eq!(asked(Some("OPS-1")), None);
}

#[test]
fn a_deny_of_a_part_denies_what_is_about_all_of_it() {
    let rule = r#"{"allow":{"kubernetes":[{"labels":{"*":["*"]},"groups":["dev"],"namespaces":["*"]}]},
        "deny":{"kubernetes":[{"labels":{"*":["*"]},"namespaces":["kube-system"]},{"labels":{"*":["*"]},"namespaces":["*"],"resources":["secrets"],"names":["master-key"]}]}}"#;
    let policy = PolicySet::build(vec![("r".parse().expect("a name"), serde_json::from_str(rule).expect("a role"))]).expect("no faults");
    let allowed = |verb: KubeVerb, resource: &str, namespace: Option<&str>, name: Option<&str>| {
        let cluster = ClusterFacts {
            name: "seoul".parse().expect("a name"),
            labels: [("env".to_owned(), LabelValue { value: "prod".to_owned(), origin: Origin::Authority })].into(),
            agent: None,
        };
        let text = |text: &str| text.to_owned();
        let question = KubeRequest {
            identity: who(&["r"]),
            cluster,
            verb,
            api_group: String::new(),
            resource: resource.into(),
            namespace: namespace.map(text),
            name: name.map(text),
            begun: None,
        };
        decide(question, &policy, NOW).is_ok()
    };
    assert!(!allowed(KubeVerb::Get, "pods", Some("kube-system"), Some("a")) && allowed(KubeVerb::List, "pods", Some("shop"), None));
    assert!(!allowed(KubeVerb::List, "pods", None, None), "a list of all namespaces shows the one that is denied");
    assert!(!allowed(KubeVerb::List, "secrets", Some("shop"), None) && !allowed(KubeVerb::Create, "secrets", Some("shop"), None));
    assert!(allowed(KubeVerb::Get, "secrets", Some("shop"), Some("mine")));
}
