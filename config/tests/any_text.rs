//! Any text is answered: no panic, every place inside the text, bounded answers; and what Naru prints it reads again.
#![allow(clippy::expect_used, reason = "a test may fail by panicking, in its helpers too")]

use access::policy::Resource;
use config::{agent::agent, faults::Fault, policy::resources, proxy::proxy};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Pieces of which files are made, and what tears them.
const PIECES: [&str; 36] = [
    "kind: role\n",
    "kind: user\n",
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
    prop_oneof![user, role].prop_map(|json| serde_json::from_value(json).expect("a resource"))
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
