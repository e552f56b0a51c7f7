//! What a role demands of the sign-in behind a session, and how many logins somebody may have: the sentences, and who is asked what.
#![allow(clippy::expect_used, reason = "a test may fail by panicking, in its helpers too")]

use access::decide::{Denial, LogIn, OpenSession, allowed_logins, decide, log_in};
use access::event::SessionKind;
use access::identity::{Auth, Identity, Method, NodeFacts, UserId};
use access::policy::{PolicySet, RecordingMode, StepUp};
use access::time::Timestamp;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp::from_secs(100_000);

fn policy(roles: &[(&str, &str)]) -> PolicySet {
    let role = |options: &str| format!(r#"{{"allow":{{"ssh":[{{"labels":{{"*":["*"]}},"logins":["ubuntu"]}}]}},"options":{options}}}"#);
    let read = |(name, options): &(&str, &str)| (name.parse().expect("a name"), serde_json::from_str(&role(options)).expect("a role"));
    PolicySet::build(roles.iter().map(read).collect()).expect("no faults")
}

fn who(policy: &PolicySet, auth: Auth) -> Identity {
    Identity {
        user: UserId { issuer: "https://sso.example.com".into(), subject: "1".into() },
        name: "alice".parse().expect("a name"),
        roles: policy.roles().map(|(name, _)| name.clone()).collect(),
        traits: Default::default(),
        expires: NOW.plus(std::time::Duration::from_secs(60)),
        auth,
        context: Default::default(),
        granted: Vec::new(),
    }
}

fn auth(method: Method, ago: i64, acr: &str, amr: &[&str]) -> Auth {
    let acr = (!acr.is_empty()).then(|| acr.to_owned());
    Auth { method, time: Some(Timestamp::from_secs(100_000 - ago)), acr, amr: amr.iter().map(|one| (*one).to_owned()).collect() }
}

fn ask(policy: &PolicySet, auth: Auth, login: &str, begun: Option<Timestamp>) -> Result<RecordingMode, Denial> {
    let node = NodeFacts { name: "db-1".parse().expect("a name"), labels: Default::default(), agent: None };
    let login = login.parse().expect("a login");
    let question = OpenSession { identity: who(policy, auth), node, login, kind: SessionKind::Shell, begun, command: None };
    decide(question, policy, NOW).map(|permit| permit.obligations().recording)
}

#[test]
fn each_lack_is_said_in_words_with_what_helps() {
    let (age, level, methods) =
        (r#"{"step_up":{"max_age":"15m"}}"#, r#"{"step_up":{"acr":["gold","2"]}}"#, r#"{"step_up":{"amr":["otp","hwk"]}}"#);
    let again = "Run `naru login --again` to show anew who you are; where it can, Naru asks by itself.";
    let provider = "A link shows no such thing: sign in through the identity provider with `naru login`.";
    let table = [
        (age, auth(Method::Oidc, 7_300, "", &[]), "that you signed in at most 15 minutes ago; you did 2 hours ago", again),
        (age, auth(Method::Oidc, 901, "", &[]), "that you signed in at most 15 minutes ago; you did a little longer ago", again),
        (
            age,
            Auth { method: Method::Oidc, ..Auth::default() },
            "that you signed in at most 15 minutes ago; when you did is not known",
            again,
        ),
        (
            age,
            auth(Method::Link, 3_601, "", &[]),
            "that you signed in at most 15 minutes ago; you did 60 minutes ago",
            "Sign in anew, with a new link or through the identity provider: `naru login`.",
        ),
        (
            age,
            auth(Method::BreakGlass, 3_600, "", &[]),
            "that you signed in at most 15 minutes ago; you did 1 hour ago",
            "Make a new link on the server with `naru break-glass`.",
        ),
        (level, auth(Method::Oidc, 0, "1\u{1b}[2J", &[]), r#"a sign-in of level gold or 2 (acr); yours has "1\u{1b}[2J""#, again),
        (level, auth(Method::Link, 0, "", &[]), "a sign-in of level gold or 2 (acr); yours has none", provider),
        (methods, auth(Method::Oidc, 0, "", &["otp", "pwd"]), r#"a sign-in with otp and hwk (amr); yours was with "otp" and "pwd""#, again),
        (
            methods,
            auth(Method::Bot, 0, "", &[]),
            "a sign-in with otp and hwk (amr); yours names none",
            "A bot has to sign in with a new token, and a person to do what a token cannot show.",
        ),
    ];
    for (options, auth, lacks, hint) in table {
        let denial = ask(&policy(&[("prod", options)]), auth, "ubuntu", None).expect_err(lacks);
        assert_eq!((denial.code, denial.rule.as_str()), ("NARU-P208", "prod/options.step_up"));
        assert_eq!((denial.sentence, denial.hint.as_str()), (format!("role prod demands {lacks}"), hint));
    }
}

#[test]
fn one_question_meets_the_demands_of_every_role() {
    let policy = policy(&[
        ("a", r#"{"step_up":{"acr":["silver","gold"],"max_age":"8h"}}"#),
        ("b", r#"{"step_up":{"acr":["gold","platinum"],"amr":["otp"],"max_age":"5m"}}"#),
        ("c", r#"{"step_up":{"amr":["hwk"]}}"#),
        ("d", r#"{"step_up":{}}"#),
    ]);
    let denial = ask(&policy, auth(Method::Oidc, 0, "silver", &["otp", "hwk"]), "ubuntu", None).expect_err("a denial");
    assert_eq!(denial.rule, "b/options.step_up", "the first that is unmet");
    let wanted = StepUp { acr: vec!["gold".into()], amr: vec!["hwk".into(), "otp".into()], max_age: "5m".parse().ok() };
    assert_eq!(denial.step_up, Some(Box::new(wanted)));
    assert!(ask(&policy, auth(Method::Oidc, 300, "gold", &["otp", "hwk"]), "ubuntu", None).is_ok());
    let other = ask(&policy, auth(Method::Oidc, 0, "gold", &["otp", "hwk"]), "root", None).expect_err("a denial");
    assert_eq!((other.code, other.step_up), (Denial::LOGIN, None), "whoever may not is not asked");
    let identity = who(&policy, Auth::default());
    let node = NodeFacts { name: "db-1".parse().expect("a name"), labels: Default::default(), agent: None };
    assert_eq!(allowed_logins(&identity, &node, &policy, NOW), ["ubuntu".parse().expect("a login")]);
}

#[test]
fn a_session_that_began_fresh_does_not_grow_stale_and_is_cut_by_a_weaker_sign_in() {
    let policy = policy(&[("prod", r#"{"step_up":{"acr":["gold"],"max_age":"15m"}}"#)]);
    let began = |ago: i64| Some(Timestamp::from_secs(100_000 - ago));
    let asked = |auth, begun| ask(&policy, auth, "ubuntu", begun).map_err(|denial| denial.code);
    assert_eq!(asked(auth(Method::Oidc, 7_200, "gold", &[]), began(7_000)), Ok(RecordingMode::Strict));
    assert_eq!(asked(auth(Method::Oidc, 7_200, "gold", &[]), None), Err(Denial::STEP_UP));
    assert_eq!(asked(auth(Method::Oidc, 7_200, "gold", &[]), began(6_000)), Err(Denial::STEP_UP), "it did not begin fresh");
    assert_eq!(asked(auth(Method::Oidc, 7_200, "silver", &[]), began(7_000)), Err(Denial::STEP_UP));
}

#[test]
fn break_glass_needs_no_word_of_a_provider_and_is_recorded() {
    let policy = policy(&[("prod", r#"{"recording":"off","step_up":{"acr":["gold"],"amr":["otp"]}}"#)]);
    assert_eq!(ask(&policy, auth(Method::BreakGlass, 0, "", &[]), "ubuntu", None), Ok(RecordingMode::Strict));
    assert_eq!(ask(&policy, auth(Method::Oidc, 0, "gold", &["otp"]), "ubuntu", None), Ok(RecordingMode::Off));
}

/// How many logins go on, that began in this order of ids: 2, 1, 3, …
fn logins(policy: &PolicySet, method: Method, count: u64) -> Result<Vec<u64>, Denial> {
    let started = |id: u64| Timestamp::from_secs(if id == 2 { 0 } else { i64::try_from(id).expect("small") });
    let question = LogIn { identity: who(policy, auth(method, 0, "", &[])), live: (1..=count).map(|id| (id, started(id))).collect() };
    log_in(&question, policy, NOW).map(|admit| admit.ends)
}

#[test]
fn the_smallest_limit_counts_and_refusing_wins() {
    let unlimited = policy(&[("a", "{}")]);
    assert_eq!(logins(&unlimited, Method::Oidc, 1_000), Ok(vec![]));
    let out = policy(&[("a", r#"{"max_logins":3}"#), ("b", r#"{"max_logins":5}"#)]);
    assert_eq!(logins(&out, Method::Oidc, 2), Ok(vec![]));
    assert_eq!(logins(&out, Method::Oidc, 3), Ok(vec![2]));
    assert_eq!(logins(&out, Method::Oidc, 5), Ok(vec![2, 1, 3]), "a limit that was lowered is kept with the next login");
    let refused = policy(&[("a", r#"{"max_logins":2}"#), ("b", r#"{"max_logins":5,"when_full":"newest_refused"}"#)]);
    assert_eq!(logins(&refused, Method::Oidc, 1), Ok(vec![]));
    let denial = logins(&refused, Method::Oidc, 2).expect_err("a denial");
    assert_eq!(
        format!("{} {}: {} | {}", denial.code, denial.rule, denial.sentence, denial.hint),
        "NARU-P209 a/options.max_logins: alice is signed in twice already: role a allows 2 logins at once | Sign out where you need it no more; `naru logout --all` there ends every login of yours."
    );
    assert_eq!(logins(&refused, Method::BreakGlass, 2), Ok(vec![2]), "the way in for when nothing else works");
    let mut late = LogIn { identity: who(&unlimited, Auth::default()), live: Vec::new() };
    late.identity.expires = NOW;
    assert_eq!(log_in(&late, &unlimited, NOW).expect_err("a denial").code, Denial::ENDED);
}

#[test]
fn what_can_never_be_met_cannot_be_declared() {
    for (options, path) in [
        (r#"{"max_logins":0}"#, "options.max_logins"),
        (r#"{"when_full":"newest_refused"}"#, "options.when_full"),
        (r#"{"step_up":{"max_age":"0s"}}"#, "options.step_up.max_age"),
        (r#"{"step_up":{"acr":["a b"]}}"#, "options.step_up.acr"),
        (r#"{"step_up":{"amr":[""]}}"#, "options.step_up.amr"),
    ] {
        let role = serde_json::from_str(&format!(r#"{{"options":{options}}}"#)).expect("a role");
        let faults = PolicySet::build(vec![("a".parse().expect("a name"), role)]).expect_err("a fault");
        assert_eq!(faults.iter().map(|one| one.fault.path.as_str()).collect::<Vec<_>>(), [path]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn after_a_login_there_are_at_most_as_many_as_may_be(count in 0_u64..12, limit in 1_u64..8, lowest in 1_u64..8) {
        let roles = [format!(r#"{{"max_logins":{limit}}}"#), format!(r#"{{"max_logins":{lowest}}}"#)];
        let ends = logins(&policy(&[("a", &roles[0]), ("b", &roles[1])]), Method::Oidc, count).expect("a yes");
        let left = (1..=count).filter(|id| !ends.contains(id)).count() as u64 + 1;
        prop_assert_eq!(left, (count + 1).min(limit).min(lowest));
    }
}
