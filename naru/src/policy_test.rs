//! `naru policy test`: tables of who may do what, held against files of resources or against what is in force. Exit 1 when one does not hold.

use std::path::PathBuf;

use access::identity::LabelValue;
use access::policy::{Stated, WholeFault};
use client::failure::Failure;
use client::http::Api;
use client::out::{Answer, Table};
use client::{resources, when};
use config::policy_test::{self, Expect, Outcome, PolicyTest, World};
use serde_json::{Value, json};
use wire::api::{NodeRow, exit};

use crate::apply::{self, Text};
use crate::faults;

/// Runs every test of all files, in the world of the policy's files; without such files in that of the server.
pub(crate) async fn run(api: Result<Api, Failure>, files: &[PathBuf], policy: &[PathBuf]) -> Result<Answer, Failure> {
    let tests = tests(&apply::texts(files)?)?;
    let world = match policy {
        [] => in_force(&api?).await?,
        files => declared(&apply::texts(files)?)?,
    };
    Ok(answer(&outcomes(&tests, &world)))
}

/// The tests of one file.
type OfFile = (String, Vec<PolicyTest>);

fn tests(texts: &[Text]) -> Result<Vec<OfFile>, Failure> {
    let (mut all, mut wrong) = (Vec::new(), Vec::new());
    for Text { name, text } in texts {
        match policy_test::tests(name, text) {
            Ok(found) => all.push((name.clone(), found)),
            Err(found) => wrong.extend(found),
        }
    }
    if wrong.is_empty() { Ok(all) } else { Err(faults::failure(&wrong, "nothing was tested")) }
}

/// What the files alone say.
fn declared(texts: &[Text]) -> Result<World, Failure> {
    let (mut all, mut wrong) = (Vec::new(), Vec::new());
    for Text { name, text } in texts {
        match config::policy::resources(name, text, None) {
            Ok(found) => all.extend(found),
            Err(found) => wrong.extend(found),
        }
    }
    if !wrong.is_empty() {
        return Err(faults::failure(&wrong, "nothing was tested"));
    }
    World::of(&all, when::now()).map_err(|found| {
        let place = |WholeFault { kind, name, fault, .. }: &WholeFault| {
            let said = (fault.message.as_str(), fault.remedy.as_str());
            texts.iter().find_map(|text| config::policy::place_fault(&text.name, &text.text, (*kind, name), &fault.path, said))
        };
        let places: Vec<_> = found.iter().filter_map(place).collect();
        faults::failure(&places, "nothing was tested")
    })
}

/// What the server has: resources, and every node with its labels.
async fn in_force(api: &Api) -> Result<World, Failure> {
    let bad = |cause: &dyn std::fmt::Display| {
        Failure::new("NARU-N105", exit::FAILED, "the server has resources that this naru does not understand")
            .because(cause)
            .hint("compare `naru --version` on both sides")
    };
    let all = resources::all(api, resources::Form::Json).await?.json;
    let items = all.get("items").and_then(Value::as_array).into_iter().flatten();
    let all = items.map(|item| serde_json::from_value::<Stated>(item.clone())).collect::<Result<Vec<_>, _>>().map_err(|e| bad(&e))?;
    let told = |faults: Vec<WholeFault>| bad(&faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    let mut world = World::of(&all, when::now()).map_err(told)?;
    let nodes: Vec<NodeRow> = api.all("/v1/nodes?all=true", None).await?;
    world.targets.nodes.extend(nodes.into_iter().map(|node| {
        let label = |label: wire::api::LabelRow| (label.key, LabelValue { value: label.value, origin: label.origin });
        (node.name, node.labels.into_iter().map(label).collect())
    }));
    Ok(world)
}

fn outcomes(tests: &[OfFile], world: &World) -> Vec<(String, Outcome)> {
    let people = |name: &access::words::UserName| world.people.get(name).cloned();
    let run = |tests: &[PolicyTest]| policy_test::run(tests, &world.policy, &people, &world.targets, when::now());
    tests.iter().flat_map(|(file, tests)| run(tests).into_iter().map(|outcome| (file.clone(), outcome))).collect()
}

fn answer(outcomes: &[(String, Outcome)]) -> Answer {
    let failed = outcomes.iter().filter(|(_, outcome)| !outcome.passed()).count();
    let got = |outcome: &Outcome| outcome.got.map_or("cannot be asked", Expect::as_str);
    let items = outcomes.iter().map(|(file, outcome)| {
        json!({
            "file": file, "line": outcome.line, "name": outcome.name, "passed": outcome.passed(), "expected": outcome.expected.as_str(),
            "got": outcome.got.map(Expect::as_str), "expected_rule": outcome.expected_rule, "rule": outcome.rule,
            "sentence": outcome.sentence,
        })
    });
    let json = json!({ "items": items.collect::<Vec<_>>(), "passed": outcomes.len() - failed, "failed": failed });
    let rows = outcomes.iter().map(|(file, outcome)| {
        let word = if outcome.passed() { "ok" } else { "FAILED" };
        let wanted =
            [Some(outcome.expected.as_str()), outcome.expected_rule.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" by ");
        let rule = outcome.rule.clone().unwrap_or_default();
        let place = format!("{file}:{}", outcome.line);
        [word.to_owned(), outcome.name.clone(), place, wanted, got(outcome).to_owned(), rule, outcome.sentence.clone()]
    });
    let table = Table::of(["result", "test", "at", "expected", "got", "rule", "why"], rows);
    let below = vec![format!("{} passed, {failed} failed", outcomes.len() - failed)];
    Answer { json, table, below, exit: if failed == 0 { exit::OK } else { exit::FAILED } }
}

#[cfg(test)]
mod tests_of_tests {
    use super::*;

    const POLICY: &str = "kind: role\nname: dev\nspec:\n  allow:\n    ssh:\n      - logins: [lee]\n        labels: {env: [dev]}\n---\nkind: user\nname: kim\nspec: {roles: [dev]}\n";

    fn table(expect: &str) -> String {
        format!(
            "tests:\n  - name: kim reaches dev\n    as: {{user: kim}}\n    can: ssh lee@web-1\n    target: {{labels: {{env: dev}}}}\n    expect: {expect}\n"
        )
    }

    fn text(name: &str, text: &str) -> Vec<Text> {
        vec![Text { name: name.to_owned(), text: text.to_owned() }]
    }

    #[test]
    fn a_table_holds_or_says_where_it_does_not() {
        let world = declared(&text("p.yaml", POLICY)).expect("a policy");
        let of = |expect: &str| answer(&outcomes(&tests(&text("t.yaml", &table(expect))).expect("tests"), &world));
        assert_eq!((of("allow").exit, &of("allow").json["passed"]), (0, &1.into()));
        let failed = of("deny");
        assert_eq!((failed.exit, failed.below.clone()), (1, vec!["0 passed, 1 failed".to_owned()]));
        assert_eq!((&failed.table.rows[0][0], &failed.table.rows[0][2]), (&"FAILED".to_owned(), &"t.yaml:2".to_owned()));
    }

    #[test]
    fn faults_of_tests_and_of_the_policy_as_a_whole_stand_at_their_places() {
        let wrong = tests(&text("t.yaml", "tests:\n  - name: x\n    expect: maybe\n")).expect_err("faults");
        assert!(wrong.shown.is_some_and(|shown| shown.contains("t.yaml:3:13")));
        let wrong = declared(&text("p.yaml", "kind: user\nname: kim\nspec: {roles: [nobody]}\n")).expect_err("faults");
        assert!(wrong.shown.is_some_and(|shown| shown.contains("p.yaml:3:")), "a role that is not there");
    }
}
