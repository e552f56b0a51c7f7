//! Any text is answered: no panic, every place inside the text, bounded answers; and what Naru prints it reads again.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail by panicking, in its helpers too")]

use access::policy::Resource;
use config::{agent::agent, faults::Fault, policy::resources, proxy::proxy};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Pieces of which files are made, and what tears them.
const PIECES: [&str; 42] = [
    "kind: role\n",
    "kind: user\n",
    "kind: oidc_connector\n",
    "kind: bot\n",
    "  client_secret: ",
    "  claims:\n    groups: ",
    "  issuer: ",
    "  options: {step_up: ",
    "name: kim\n",
    "spec:\n",
    "  allow:\n",
    "  deny:\n",
    "    - ",
    "node_labels: ",
    "logins: ",
    "{",
    "}",
    "[",
    "]",
    ", ",
    ": ",
    "\"",
    "'",
    "*",
    "&a ",
    "*a",
    "!!str ",
    "---\n",
    "...\n",
    "|\n",
    ">-\n",
    "\t",
    "\n",
    "  ",
    "# x\n",
    "{{a}}",
    "no",
    "8h",
    "한",
    "\u{0}",
    "\r\n",
    "%YAML 1.2\n",
];

fn places_are_inside(text: &str, faults: &[Fault]) -> Result<(), TestCaseError> {
    prop_assert!(!faults.is_empty() && faults.len() <= 100);
    for fault in faults {
        prop_assert!(fault.line >= 1 && fault.line <= text.matches('\n').count() + 1 && fault.column >= 1, "{:?}", fault);
        prop_assert!(!fault.message.is_empty() && !fault.remedy.is_empty() && fault.rendered.len() < 5_000);
    }
    Ok(())
}

fn read_by_all(text: &str) -> Result<(), TestCaseError> {
    if let Err(faults) = resources("f", text, Some(&std::collections::BTreeSet::new())) {
        places_are_inside(text, &faults)?;
    }
    if let Err(faults) = agent("f", text) {
        places_are_inside(text, &faults)?;
    }
    if let Err(faults) = proxy("f", text) {
        places_are_inside(text, &faults)?;
    }
    Ok(())
}

fn resource() -> impl Strategy<Value = Resource> {
    let word = || select(vec!["no", "1", "8h", "null", "~", "a: b", "# x", "*", "", "한\u{202e}", "'\"", "1e3", "{{", "true"]);
    let user = vec((select(vec!["logins", "a.b", "x:y"]), vec(word(), 0..4)), 0..3).prop_map(|traits| {
        let traits: serde_json::Map<_, _> = traits.into_iter().map(|(name, values)| (name.to_owned(), serde_json::json!(values))).collect();
        serde_json::json!({"kind": "user", "name": "kim", "spec": {"roles": ["a", "b"], "traits": traits}})
    });
    let role = (vec(word(), 1..4), word(), vec(select(vec!["{{logins}}", "root", "no", "a-{{x:y}}"]), 0..3)).prop_map(
        |(values, notice, logins)| {
            let allow = serde_json::json!([{"node_labels": {"env": values}, "logins": logins, "kinds": ["sftp"]}]);
            let options = serde_json::json!({"notice": notice, "idle": "90m", "max_output": "3MiB", "recording": "off"});
            serde_json::json!({"kind": "role", "name": "a", "spec": {"allow": allow, "options": options, "audit": {"events": true}}})
        },
    );
    let spec = |of: &str| serde_json::json!({"issuer": "https://sso.example.com/realms/a", of: "naru", "max_login": "90s", "algorithms": ["ES256"]});
    let texts = (word(), word(), vec(word(), 1..4)).prop_filter("a secret is no blank", |(secret, ..)| !secret.trim().is_empty());
    let connector = texts.clone().prop_map(move |(secret, value, scopes)| {
        let mut spec = spec("client_id");
        let scopes: Vec<String> =
            scopes.iter().map(|scope| format!("s{}", scope.replace(|c: char| !c.is_ascii_alphanumeric(), ""))).collect();
        spec["client_secret"] = secret.into();
        spec["scopes"] = serde_json::json!(scopes);
        spec["claims"] = serde_json::json!({"a.b": {value: ["ops", "no"]}, "no": {"*": ["1"]}});
        spec["flows"] = serde_json::json!(["headless"]);
        serde_json::json!({"kind": "oidc_connector", "name": "no", "spec": spec})
    });
    let bot = texts.prop_map(move |(secret, value, values)| {
        let mut spec = spec("audience");
        spec["claims"] = serde_json::json!({"sub": ["a", value, secret], "1": values, "https://a/b": ["x"]});
        spec["roles"] = serde_json::json!(["1e3", "8h"]);
        serde_json::json!({"kind": "bot", "name": "ci", "spec": spec})
    });
    let demands = (vec(select(vec!["no", "1", "8h", "gold"]), 0..3), 1_u32..9).prop_map(|(acr, most)| {
        let step_up = serde_json::json!({"acr": acr, "amr": acr, "max_age": "90m"});
        let options = serde_json::json!({"step_up": step_up, "max_logins": most, "when_full": "newest_refused"});
        serde_json::json!({"kind": "role", "name": "a", "spec": {"options": options}})
    });
    prop_oneof![user, role, connector, bot, demands].prop_map(|json| serde_json::from_value(json).expect("a resource"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_pieces_are_answered(pieces in vec(select(PIECES.to_vec()), 0..40)) {
        read_by_all(&pieces.concat())?;
    }

    #[test]
    fn any_characters_are_answered(text in any::<String>()) {
        read_by_all(&text)?;
    }

    #[test]
    fn what_is_printed_as_json_is_read_again(resource in resource()) {
        let json = serde_json::to_string_pretty(&resource).expect("writes");
        prop_assert_eq!(resources("f", &json, None).map_err(|faults| config::faults::text(&faults)), Ok(vec![resource]));
    }
}
