//! Conditions over a person and a target: what holds, what is refused when it is written, and what fails when it is asked.

use super::*;
use crate::identity::{LabelValue, Origin};

fn holds(source: &str) -> Result<bool, String> {
    let (mut identity, _, _) = bounds::examples("").remove(0);
    identity.traits = [("groups".to_owned(), vec!["/sre".to_owned(), "oncall".to_owned()])].into();
    let labels: Labels = [("env".to_owned(), LabelValue { value: "prod".into(), origin: Origin::Token })].into();
    let target = TargetFacts { kind: "node", name: "db-1", labels: &labels, login: "root" };
    let now = "2026-11-20T14:30:00Z".parse().expect("a time");
    let facts = Facts { identity: &identity, target: Some(target), kind: "exec", command: Some("uptime -p"), now };
    source.parse::<Condition>().map_err(|error| error.to_string())?.holds(&facts)
}

#[test]
fn conditions_speak_of_who_what_when_and_whence() {
    for yes in [
        "'oncall' in user.traits.groups",
        "user.traits.groups.exists(g, g.startsWith('/s'))",
        "target.labels.env == 'prod' && target.login == 'root'",
        "request.command.startsWith('uptime')",
        "request.reason.matches('^[A-Z]+-[0-9]+$')",
        "time.weekday == 5 && time.hour >= 9 && time.hour < 18",
        "network.address.startsWith('192.0.2.')",
        "!request.approved",
        "has(user.traits.groups) && !has(user.traits.team)",
        "user.method == 'oidc' && 'pwd' in user.amr",
    ] {
        assert_eq!(holds(yes), Ok(true), "{yes}");
    }
    assert_eq!(holds("user.name == 'somebody else'"), Ok(false));
}

#[test]
fn what_cannot_be_answered_is_an_error_and_no_answer() {
    for bad in ["user.traits.team == ['x']", "user.name + 1 == 2", "user.name", "user.nme == 'a'", "target.labels.team == 'a'"] {
        assert!(holds(bad).is_err(), "{bad}");
    }
}

#[test]
fn what_is_no_condition_is_refused_when_it_is_read() {
    let deep = format!("{}user.name == 'a'{}", "(".repeat(40), ")".repeat(40));
    let long = format!("user.name == '{}'", "a".repeat(MAX_SOURCE));
    let chain = format!("user.name == 'a'{}", " || user.name == 'a'".repeat(45));
    let nots = format!("{}request.approved", "!".repeat(900));
    let nested = "user.traits.groups.all(a, user.traits.groups.all(b, a == b))";
    let marked = "user.name == 'a\u{202e}b'";
    for bad in ["", "user.name ==", "usr.name == 'a'", "true == open", &deep, &long, &chain, &nots, nested, marked, "user.name == 'a\u{7}'"]
    {
        assert!(bad.parse::<Condition>().is_err(), "{bad:.60}");
    }
    // Two beside one another are none inside another.
    let two = "user.traits.groups.exists(a, a == 'x(') || user.roles.exists(b, b == 'y')";
    assert!(two.parse::<Condition>().is_ok());
}

#[test]
fn examples_find_what_can_never_work() {
    for bad in ["1 == 1", "user.nme == 'a'", "user.name + 1 == 2", "user.name", "time.hour > 24", "time.weekday == 8 && time.hour > 3"] {
        let condition: Condition = bad.parse().expect(bad);
        assert!(condition.try_on_examples().is_err(), "{bad}");
    }
    for good in [
        "time.hour >= 9 && time.hour < 18",
        "user.traits.team[0] == 'x'",
        "user.traits['team'].exists(t, t == 'x')",
        "target.labels.env == 'prod'",
        "user.name == 'kim'",
    ] {
        let condition: Condition = good.parse().expect(good);
        assert_eq!(condition.try_on_examples(), Ok(()), "{good}");
    }
}

proptest::proptest! {
    /// Whatever the text: an answer, and none that takes long or overflows a stack.
    #[test]
    fn any_text_is_read_or_refused(text in r#"[a-z.'"()\[\]{}!&|=<>+*/%?:, 0-9\\]{0,200}"#) {
        if let Ok(condition) = text.parse::<Condition>() {
            let _ = condition.try_on_examples();
        }
    }
}
