//! `decide` against a second opinion, on random policies, and the laws that no policy may break.
//! The reference here is written for shortness and not for speed; it shares no helper with `access`.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail by panicking, in its helpers too")]

use std::collections::{BTreeMap, BTreeSet};

use access::amount::{Period, Size};
use access::decide::{Denial, OpenSession, allowed_logins, decide};
use access::event::SessionKind;
use access::identity::{Auth, Identity, LabelValue, Method, NodeFacts, Origin, Traits, UserId};
use access::policy::{ChannelKind, PolicySet, RecordingMode, Rights, RoleSpec, SshRule, StepUp};
use access::time::Timestamp;
use access::words::Login;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

const NOW: Timestamp = Timestamp::from_secs(1_000);
const KINDS: [SessionKind; 3] = [SessionKind::Shell, SessionKind::Exec, SessionKind::Sftp];
const LOGINS: [&str; 5] = ["root", "ubuntu", "kim", "adm-kim", "x"];
/// What an identity provider might be made to say.
const HOSTILE: [&str; 10] = ["root", "*", "x\") or true", "kim\n", "", "-oProxyCommand=x", "{{logins}}", "ROOT", "kim", "ubuntu\0"];

/// What is random about one case: roles, the person, the node, the time left.
#[derive(Debug, Clone)]
struct Case {
    roles: Vec<RoleSpec>,
    who: Identity,
    node: NodeFacts,
    login: Login,
    kind: SessionKind,
    begun: Option<Timestamp>,
}

impl Case {
    fn policy(&self) -> PolicySet {
        PolicySet::build(named(&self.roles)).expect("the generator makes no faults")
    }
    fn asked(&self) -> OpenSession {
        OpenSession {
            identity: self.who.clone(),
            node: self.node.clone(),
            login: self.login.clone(),
            kind: self.kind,
            begun: self.begun,
            command: None,
        }
    }
    fn allowed(&self) -> bool {
        decide(self.asked(), &self.policy(), NOW).is_ok()
    }
}

fn named(roles: &[RoleSpec]) -> Vec<(access::words::RoleName, RoleSpec)> {
    roles.iter().enumerate().map(|(i, spec)| (format!("r{i}").parse().expect("a name"), spec.clone())).collect()
}

/// The second opinion: every rule of every role that the person has, as plain sets of words.
fn reference(case: &Case) -> bool {
    let have: BTreeSet<&str> = case.who.roles.iter().map(|role| role.as_str()).collect();
    let mut yes = false;
    for (i, role) in case.roles.iter().enumerate() {
        if !have.contains(format!("r{i}").as_str()) {
            continue;
        }
        if role.deny.ssh.iter().any(|rule| says(rule, case, true)) {
            return false;
        }
        yes |= role.allow.ssh.iter().any(|rule| says(rule, case, false));
    }
    yes && case.who.expires > NOW
}

/// The same with what is demanded of the sign-in: each role that allows has a say, and a session that goes on keeps the age it began with.
fn reference_shown(case: &Case) -> bool {
    let alone = |i: usize| {
        let mut roles = case.roles.clone();
        for (other, role) in roles.iter_mut().enumerate() {
            role.deny.ssh.clear();
            if other != i {
                role.allow.ssh.clear();
            }
        }
        reference(&Case { roles, ..case.clone() })
    };
    let auth = &case.who.auth;
    let free = auth.method == Method::BreakGlass;
    let shown = |demand: &StepUp| {
        let level = demand.acr.is_empty() || auth.acr.iter().any(|acr| demand.acr.contains(acr));
        let methods = demand.amr.iter().filter(|method| !auth.amr.contains(method)).count() == 0;
        let moment = case.begun.unwrap_or(NOW).as_secs();
        let young = demand.max_age.is_none_or(|most| {
            let most = i64::try_from(most.duration().as_secs()).expect("a short time");
            auth.time.is_some_and(|time| time.as_secs() + most >= moment)
        });
        (free || level && methods) && young
    };
    reference(case) && (0..case.roles.len()).all(|i| !alone(i) || case.roles[i].options.step_up.as_ref().is_none_or(shown))
}

fn says(rule: &SshRule, case: &Case, deny: bool) -> bool {
    let json = serde_json::to_value(rule).expect("a rule is JSON");
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    let empty = serde_json::Map::new();
    let labels = json["labels"].as_object().unwrap_or(&empty);
    let here = labels.iter().all(|(key, patterns)| {
        let mut patterns = patterns.as_array().expect("a list").iter().map(text);
        match case.node.labels.get(key) {
            _ if key == "*" => patterns.any(|pattern| pattern == "*"),
            Some(label) if deny || label.origin != Origin::Agent || json["agent_labels"] == true => {
                patterns.any(|p| glob(p.as_bytes(), label.value.as_bytes()))
            }
            _ => false,
        }
    });
    let kind = serde_json::json!(match case.kind {
        SessionKind::Shell => "shell",
        SessionKind::Exec => "exec",
        SessionKind::Sftp => "sftp_read",
    });
    let kinds = json["kinds"].as_array().is_none_or(|kinds| kinds.contains(&kind));
    let logins = json["logins"].as_array().into_iter().flatten().map(text).any(|login| match login.split_once("{{") {
        None => (deny && login == "*") || login == case.login.as_str(),
        Some((before, rest)) => {
            let (name, after) = rest.split_once("}}").expect("a template");
            case.who.traits.get(name).into_iter().flatten().any(|value| format!("{before}{value}{after}") == case.login.as_str())
        }
    });
    !labels.is_empty() && here && kinds && logins
}

/// Whether two roles share no level that both would take.
fn contradict(case: &Case) -> bool {
    let levels = |i: usize| case.roles[i].options.step_up.iter().flat_map(|demand| demand.acr.clone()).collect::<BTreeSet<_>>();
    let named: Vec<_> = (0..case.roles.len()).map(levels).filter(|levels| !levels.is_empty()).collect();
    named.iter().any(|one| named.iter().any(|other| one.is_disjoint(other)))
}

fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=text.len()).any(|skip| glob(rest, &text[skip..])),
        ([a, rest @ ..], [b, more @ ..]) => a == b && glob(rest, more),
        _ => false,
    }
}

fn rule(deny: bool) -> impl Strategy<Value = SshRule> {
    let patterns = || vec(select(vec!["prod", "dev", "*", "p*", "*d", "p*d", "*o*"]), 1..3);
    let labels = prop_oneof![
        4 => btree_map(select(vec!["env", "team", "tier"]), patterns(), 1..3),
        1 => Just(BTreeMap::from([("*", vec!["*"])])),
    ];
    let logins = if deny {
        vec(select(vec!["root", "ubuntu", "kim", "{{logins}}", "adm-{{logins}}", "*"]), 1..3)
    } else {
        vec(select(vec!["root", "ubuntu", "kim", "{{logins}}", "adm-{{logins}}", "{{none}}"]), 0..3)
    };
    (labels, logins, subsequence(vec![ChannelKind::Shell, ChannelKind::Exec, ChannelKind::SftpRead], 0..=3), proptest::bool::weighted(0.3))
        .prop_map(|(labels, logins, kinds, agent)| {
            serde_json::from_value(serde_json::json!({"labels": labels, "logins": logins, "kinds": kinds, "agent_labels": agent}))
                .expect("a rule")
        })
}

fn role() -> impl Strategy<Value = RoleSpec> {
    let modes = vec![RecordingMode::Strict, RecordingMode::BestEffort, RecordingMode::Off];
    let step_up = proptest::option::weighted(0.3, step_up());
    (vec(rule(false), 0..4), vec(rule(true), 0..2), select(modes), any::<bool>(), step_up).prop_map(
        |(allow, deny, recording, record_input, step_up)| {
            let rights = |ssh| Rights { ssh, ..Rights::default() };
            let mut spec = RoleSpec { allow: rights(allow), deny: rights(deny), ..RoleSpec::default() };
            spec.options.recording = Some(recording);
            spec.options.record_input = record_input;
            spec.options.max_output = record_input.then(|| Size::from_bytes(100));
            spec.options.step_up = step_up;
            spec
        },
    )
}

fn step_up() -> impl Strategy<Value = StepUp> {
    let words = |from: [&'static str; 2]| subsequence(own(&from), 0..=2);
    let age = proptest::option::of(select(vec![100, 300]).prop_map(Period::from_secs));
    (words(["silver", "gold"]), words(["otp", "hwk"]), age).prop_map(|(acr, amr, max_age)| StepUp { acr, amr, max_age })
}

fn auth() -> impl Strategy<Value = Auth> {
    let method = select(vec![Method::Link, Method::Oidc, Method::Bot, Method::BreakGlass]);
    let time = proptest::option::weighted(0.8, select(vec![0, 699, 700, 900, 1_000, 1_200]).prop_map(Timestamp::from_secs));
    let acr = proptest::option::of(select(own(&["silver", "gold", "other"])));
    (method, time, acr, subsequence(own(&["pwd", "otp", "hwk"]), 0..=3)).prop_map(|(method, time, acr, amr)| Auth {
        method,
        time,
        acr,
        amr,
    })
}

fn case() -> impl Strategy<Value = Case> {
    let label = (select(vec!["prod", "dev", "d"]), select(vec![Origin::Token, Origin::Authority, Origin::Agent]))
        .prop_map(|(value, origin)| LabelValue { value: value.to_owned(), origin });
    let labels = btree_map(select(vec!["env", "team", "tier"]).prop_map(str::to_owned), label, 0..4);
    let traits: BoxedStrategy<Traits> =
        prop_oneof![vec(select(HOSTILE.to_vec()), 0..4)].prop_map(|values| [("logins".to_owned(), own(&values))].into()).boxed();
    let roles = subsequence(vec!["r0", "r1", "r2", "unknown"], 0..=4);
    let person =
        (roles, traits, prop_oneof![9 => Just(2_000), 1 => Just(1_000)], auth()).prop_map(|(roles, traits, expires, auth)| Identity {
            user: UserId { issuer: "local".into(), subject: "kim".into() },
            name: "kim".parse().expect("a name"),
            roles: roles.iter().map(|role| role.parse().expect("a name")).collect(),
            traits,
            expires: Timestamp::from_secs(expires),
            auth,
            context: Default::default(),
            granted: Vec::new(),
        });
    let begun = proptest::option::of(select(vec![750, 950]).prop_map(Timestamp::from_secs));
    (vec(role(), 0..4), person, labels, select(LOGINS.to_vec()), select(KINDS.to_vec()), begun).prop_map(
        |(roles, who, labels, login, kind, begun)| {
            let (node, login) = (NodeFacts { name: "db-1".parse().expect("a name"), labels, agent: None }, login.parse().expect("a login"));
            Case { roles, who, node, login, kind, begun }
        },
    )
}

fn own(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_answer_is_the_second_opinions(case in case()) {
        prop_assert_eq!(case.allowed(), reference_shown(&case));
    }

    #[test]
    fn the_listed_logins_are_those_that_are_allowed(case in case()) {
        let policy = case.policy();
        let listed = allowed_logins(&case.who, &case.node, &policy, NOW);
        for login in LOGINS {
            let login: Login = login.parse().expect("a login");
            let some = KINDS.into_iter().any(|kind| reference(&Case { login: login.clone(), kind, ..case.clone() }));
            prop_assert_eq!(listed.contains(&login), some, "{}", login);
        }
    }

    #[test]
    fn order_has_no_say_and_asking_twice_neither(case in case()) {
        let mut turned = case.clone();
        turned.who.roles.reverse();
        for role in &mut turned.roles {
            role.allow.ssh.reverse();
            role.deny.ssh.reverse();
        }
        let ask = |case: &Case, policy: &PolicySet| match decide(case.asked(), policy, NOW) {
            Ok(permit) => Ok((permit.access(), permit.obligations().clone())),
            Err(denial) => Err(denial),
        };
        let (policy, first) = (case.policy(), ask(&case, &case.policy()));
        prop_assert_eq!(&first, &ask(&case, &policy));
        let mut backwards = named(&turned.roles);
        backwards.reverse();
        match (first, ask(&turned, &PolicySet::build(backwards).expect("no faults"))) {
            (Ok((_, one)), Ok((_, other))) => prop_assert_eq!(one, other),
            (Err(one), Err(other)) => prop_assert_eq!(one.code, other.code),
            (one, other) => prop_assert!(false, "{:?} became {:?}", one, other),
        }
    }

    #[test]
    fn a_deny_never_widens(case in case(), rule in rule(true), at in 0_usize..3) {
        let mut stricter = case.clone();
        if let Some(role) = stricter.roles.get_mut(at) {
            role.deny.ssh.push(rule);
        }
        prop_assert!(case.allowed() || !stricter.allowed());
    }

    #[test]
    fn a_role_narrows_by_its_deny_and_its_demands_only(case in case(), mut more in role()) {
        more.deny.ssh.clear();
        more.options.step_up = None;
        let mut wider = case.clone();
        let name = format!("r{}", wider.roles.len()).parse().expect("a name");
        wider.who.roles.push(name);
        wider.roles.push(more);
        prop_assert!(wider.allowed() || !case.allowed());
    }

    #[test]
    fn obligations_only_get_stricter_with_more_roles(case in case(), more in role()) {
        let mut wider = case.clone();
        wider.who.roles.push(format!("r{}", wider.roles.len()).parse().expect("a name"));
        wider.roles.push(more);
        let (before, after) = (decide(case.asked(), &case.policy(), NOW), decide(wider.asked(), &wider.policy(), NOW));
        if let (Ok(before), Ok(after)) = (before, after) {
            prop_assert!(after.obligations().recording >= before.obligations().recording);
            prop_assert!(after.obligations().record_input >= before.obligations().record_input);
        }
    }

    #[test]
    fn only_who_may_is_asked_to_show_more_and_showing_it_is_enough(case in case()) {
        if let Err(denial) = decide(case.asked(), &case.policy(), NOW) {
            let stepping = denial.code == Denial::STEP_UP;
            prop_assert_eq!(stepping, reference(&case), "{:?}", &denial);
            prop_assert_eq!(stepping, denial.step_up.is_some());
            let mut better = case.clone();
            if let Some(wanted) = denial.step_up {
                better.who.auth = Auth { method: Method::Oidc, time: Some(NOW), acr: wanted.acr.first().cloned(), amr: wanted.amr };
                // Two roles may demand levels that no sign-in has both of.
                prop_assert!(better.allowed() || contradict(&case));
            }
        }
    }

    #[test]
    fn what_break_glass_opens_is_recorded_whole(mut case in case()) {
        case.who.auth.method = Method::BreakGlass;
        if let Ok(permit) = decide(case.asked(), &case.policy(), NOW) {
            prop_assert_eq!((permit.obligations().recording, permit.obligations().max_output), (RecordingMode::Strict, None));
        }
    }

    #[test]
    fn no_trait_gives_more_than_a_login(values in vec(any::<String>(), 0..20)) {
        let case = with_trait(values.clone());
        for login in allowed_logins(&case.who, &case.node, &case.policy(), NOW) {
            prop_assert!(values.iter().any(|value| value == login.as_str()));
            let question = OpenSession { login, ..case.asked() };
            prop_assert!(decide(question, &case.policy(), NOW).is_ok());
        }
    }
}

/// One role that takes its logins from a trait, for every node.
fn with_trait(values: Vec<String>) -> Case {
    let role = serde_json::from_str(
        r#"{"allow":{"ssh":[{"labels":{"*":["*"]},"logins":["{{logins}}"]}]},"deny":{"ssh":[{"labels":{"*":["*"]},"logins":["{{banned}}"]}]}}"#,
    );
    Case {
        roles: vec![role.expect("a role")],
        who: Identity {
            user: UserId { issuer: "local".into(), subject: "kim".into() },
            name: "kim".parse().expect("a name"),
            roles: vec!["r0".parse().expect("a name")],
            traits: [("logins".to_owned(), values)].into(),
            expires: Timestamp::from_secs(2_000),
            auth: Default::default(),
            context: Default::default(),
            granted: Vec::new(),
        },
        node: NodeFacts { name: "db-1".parse().expect("a name"), labels: BTreeMap::new(), agent: None },
        login: "root".parse().expect("a login"),
        kind: SessionKind::Shell,
        begun: None,
    }
}

#[test]
fn ten_thousand_trait_values_are_ten_thousand_logins() {
    let many: Vec<String> = (0..10_000).map(|i| format!("u{i}")).collect();
    let mut case = with_trait(many.clone());
    assert_eq!(allowed_logins(&case.who, &case.node, &case.policy(), NOW).len(), 10_000);
    case.who.traits.insert("banned".to_owned(), many[1..].to_vec());
    assert_eq!(allowed_logins(&case.who, &case.node, &case.policy(), NOW), ["u0".parse().expect("a login")]);
    assert!(!case.allowed(), "root is not among them");
}
