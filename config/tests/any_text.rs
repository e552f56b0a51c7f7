//! Any text is answered: no panic, every place inside the text, bounded answers; and what Naru prints it reads again.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail by panicking, in its helpers too")]

use config::{agent::agent, faults::Fault, policy::resources, proxy::proxy};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

mod every;

/// Pieces of which files are made, and what tears them.
const PIECES: [&str; 51] = [
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
    "  allow:\n    ssh:\n",
    "  deny:\n    kubernetes:\n",
    "    - ",
    "labels: ",
    "logins: ",
    "    where: ",
    "user.name == ",
    "kind: guardrail\n",
    "kind: lock\nname: a\nspec:\n  target: ",
    "  never: {reach: {",
    "kind: settings\n",
    "kind: access_rule\n",
    "  webhook: {url: x, secret: ",
    "  auto_review: ",
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
    fn what_is_printed_as_json_is_read_again(stated in every::stated()) {
        let json = serde_json::to_string_pretty(&stated).expect("writes");
        prop_assert_eq!(resources("f", &json, None).map_err(|faults| config::faults::text(&faults)), Ok(vec![stated]));
    }

    #[test]
    fn what_no_type_takes_has_no_good_text_either(stated in every::stated(), piece in select(PIECES.to_vec()), at in any::<proptest::sample::Index>()) {
        let mut json = serde_json::to_string(&stated).expect("writes");
        let mut place = at.index(json.len() + 1);
        while !json.is_char_boundary(place) {
            place -= 1;
        }
        json.insert_str(place, piece);
        read_by_all(&json)?;
        // What is read without a fault has none, and what the types take as JSON is read alike.
        if let Ok(all) = resources("f", &json, None) {
            for one in &all {
                prop_assert_eq!((one.resource.faults(), one.faults_beside()), (Vec::new(), Vec::new()));
            }
            if let Ok(typed) = serde_json::from_str::<access::policy::Stated>(&json) {
                prop_assert_eq!(all, vec![typed]);
            }
        }
    }
}
