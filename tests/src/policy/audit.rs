//! Whose doing may be read: a deny of somebody holds also beside a rule of all, in lists and in what is followed already.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::Value;

use super::{Town, json, well};

#[test]
fn a_deny_of_somebody_is_kept_by_who_may_read_all_and_by_who_reads_already() {
    let town = Town::start();
    well(&town.alice.ssh(&["demo.naru", "true"]));
    let reads_of = |name: &str| {
        let out = town.olga.naru(&["events", "search", "--user", name, "--json"]);
        !well(&out).stdout.is_empty()
    };
    let lists = || json(&town.olga.naru(&["sessions", "ls", "--json"]))["items"].as_array().unwrap().len();
    assert!(reads_of("alice") && reads_of("admin") && lists() == 1);
    let mut follow = town.olga.command("naru");
    follow.args(["events", "tail", "-f", "--json"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut follow = follow.spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    town.apply(
        "kind: role\nname: discreet\nspec: {deny: {audit: [{sessions: [list], events: true, users: [alice]}]}}\n---\n\
         kind: user\nname: olga\nspec: {roles: [auditor, discreet]}\n",
    );
    assert!(!reads_of("alice") && reads_of("admin") && lists() == 0);
    // What is followed since before the deny has the administrator's last doing and not alice's one before it.
    well(&town.alice.ssh(&["demo.naru", "true"]));
    town.apply("kind: role\nname: last\nspec: {}\n");
    let of = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap();
        let name = event["actor"]["name"].as_str().unwrap_or_default().to_owned();
        (name, line.contains("\"last\""))
    };
    let mut after = Vec::new();
    loop {
        let line = lines.next().unwrap().unwrap();
        let (name, last) = of(&line);
        after.push((name, line));
        if last {
            break;
        }
    }
    follow.kill().unwrap();
    let _ended = follow.wait().unwrap();
    let denied = after.iter().position(|(_, line)| line.contains("discreet")).unwrap();
    assert!(after[denied..].iter().all(|(name, _)| name != "alice"), "{after:?}");
}
