//! `audits_all` against `decide` asked of each: it says yes only where every single question would be a yes.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail by panicking, in its helpers too")]

use access::decide::{Audit, AuditAsk, Doing, audits_all, decide};
use access::identity::{Identity, LabelValue, Labels, Origin, UserId};
use access::policy::{AuditAction, AuditRule, PolicySet, RoleSpec};
use access::time::Timestamp;
use proptest::prelude::*;
use proptest::sample::select;

const NOW: Timestamp = Timestamp::from_secs(1_000);
const ASKS: [AuditAsk; 2] = [AuditAsk::Events, AuditAsk::Sessions(AuditAction::List)];
/// Rules of both sides: of all, and of some people, roles and labels.
const RULES: [&str; 6] = [
    r#"{"events":true}"#,
    r#"{"sessions":["list"]}"#,
    r#"{"events":true,"sessions":["list","play"]}"#,
    r#"{"events":true,"users":["ceo"]}"#,
    r#"{"sessions":["list"],"roles":["r0"]}"#,
    r#"{"events":true,"labels":{"env":["prod"]}}"#,
];

fn who(roles: usize, expires: i64) -> Identity {
    Identity {
        user: UserId { issuer: "local".into(), subject: "olga".into() },
        name: "olga".parse().expect("a name"),
        roles: (0..roles).map(|i| format!("r{i}").parse().expect("a name")).collect(),
        traits: Default::default(),
        expires: Timestamp::from_secs(expires),
        auth: Default::default(),
        context: Default::default(),
        granted: Vec::new(),
    }
}

fn policy(roles: &[RoleSpec]) -> PolicySet {
    let named = roles.iter().enumerate().map(|(i, spec)| (format!("r{i}").parse().expect("a name"), spec.clone()));
    PolicySet::build(named.collect()).expect("no faults")
}

fn labels(env: &str) -> Labels {
    [("env".to_owned(), LabelValue { value: env.to_owned(), origin: Origin::Authority })].into()
}

/// Somebody's and nobody's doing, with roles and without, there and nowhere.
fn doings() -> Vec<Doing> {
    let user = |name: &str| Some(name.parse().expect("a name"));
    let mut all = Vec::new();
    for user in [None, user("ceo"), user("kim")] {
        for roles in [vec![], vec!["r0".parse().expect("a name")]] {
            for labels in [None, Some(labels("prod")), Some(labels("dev"))] {
                all.push(Doing { user: user.clone(), roles: roles.clone(), labels });
            }
        }
    }
    all
}

fn rule() -> impl Strategy<Value = AuditRule> {
    select(&RULES[..]).prop_map(|rule| serde_json::from_str(rule).expect("a rule"))
}

fn role() -> impl Strategy<Value = RoleSpec> {
    (proptest::collection::vec(rule(), 0..3), proptest::collection::vec(rule(), 0..2), any::<bool>()).prop_map(|(allow, deny, dry_run)| {
        let mut role = RoleSpec::default();
        (role.allow.audit, role.deny.audit, role.dry_run) = (allow, deny, dry_run);
        role
    })
}

proptest! {
    #[test]
    fn yes_of_all_is_yes_of_each(roles in proptest::collection::vec(role(), 1..4), has in 0_usize..4, expires in 999_i64..1_002) {
        let (policy, identity) = (policy(&roles), who(has.min(roles.len()), expires));
        for action in ASKS {
            let each = |of| decide(Audit { identity: identity.clone(), action, own: false, of: Some(of) }, &policy, NOW).is_ok();
            if audits_all(&identity, action, &policy, NOW) {
                prop_assert!(doings().into_iter().all(each));
            }
        }
    }
}

#[test]
fn a_deny_of_somebody_is_no_yes_of_all_and_a_rule_of_all_is_one() {
    let role = |text: &str| serde_json::from_str::<RoleSpec>(text).expect("a role");
    let open = role(r#"{"allow":{"audit":[{"events":true}]}}"#);
    let but = role(r#"{"deny":{"audit":[{"events":true,"users":["ceo"]}]}}"#);
    let other = role(r#"{"deny":{"audit":[{"sessions":["list"],"users":["ceo"]}]}}"#);
    let all = |roles: &[RoleSpec]| audits_all(&who(roles.len(), 2_000), AuditAsk::Events, &policy(roles), NOW);
    assert!(all(std::slice::from_ref(&open)));
    assert!(!all(&[open.clone(), but]));
    assert!(all(&[open, other]));
    assert!(!all(&[role(r#"{"allow":{"audit":[{"events":true,"users":["kim"]}]}}"#)]));
}
