//! A lock ends what lives, one session or many, with its reason in front of each person. How long that took is printed and not judged here.

use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use super::{Town, both, json, refused, until, well};
use crate::harness::fast;

/// A session that lasts, by `naru ssh` or by stock `ssh`.
fn lasting(mut command: Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn live(town: &Town) -> usize {
    json(&town.olga.naru(&["sessions", "ls", "--live", "--json"]))["items"].as_array().unwrap().len()
}

/// Opens so many sessions of alice, locks her, and gives what each said at its end.
#[expect(clippy::print_stdout, reason = "a figure, and no judgement")]
fn cut(town: &Town, count: usize) -> Vec<Output> {
    let sessions: Vec<Child> = (0..count)
        .map(|n| {
            let native = n % 2 == 0;
            let mut command = town.alice.command(if native { "naru" } else { "ssh" });
            let place = town.place();
            let native_words = ["ssh", &place, "--", "sleep 600"];
            if native {
                command.args(native_words)
            } else {
                command.args(["demo.naru", "sleep 600"])
            };
            lasting(command)
        })
        .collect();
    until("all sessions live", || live(town) == count);
    let start = Instant::now();
    well(&town.admin.naru(&["lock", "add", "user/alice", "--reason", "laptop lost"]));
    let made = start.elapsed();
    let outs = sessions.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    println!("{count} sessions: the lock stood after {made:?}, and the last one had ended after {:?}", start.elapsed());
    outs
}

#[test]
fn a_lock_cuts_one_session_and_many_and_says_why() {
    let town = Town::start();
    for count in [1, if fast() { 4 } else { 50 }] {
        for out in cut(&town, count) {
            refused(&out, 255, "laptop lost");
        }
        until("none lives", || live(&town) == 0);
        refused(&town.alice.naru(&["ssh", &town.place(), "--", "true"]), 255, "laptop lost");
        refused(&town.alice.naru(&["can", "ssh", &town.place()]), 9, "laptop lost");
        let out = town.admin.naru(&["lock", "rm", "user/alice"]);
        well(&out);
        assert_eq!(town.alice.naru(&["can", "ssh", &town.place()]).status.code(), Some(0), "{}", both(&out));
    }
}
