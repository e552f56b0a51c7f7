//! What is left when a demo ends: nothing. And what of a session was not kept is told wherever somebody looks.

use crate::harness::Demo;
use crate::pty::Terminal;
use crate::recordings::{PATIENCE, ended, newest, wait};

/// Live processes with this command line.
fn running(words: &str) -> usize {
    let line = |pid: &u32| std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let all = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    all.filter(|pid| String::from_utf8_lossy(&line(pid)).replace('\0', " ").trim() == words).count()
}

#[test]
fn the_end_of_a_demo_ends_what_runs_in_its_sessions() {
    let mut demo = Demo::start(&[]).unwrap();
    let alice = demo.sign_in("alice").unwrap();
    let mut command = alice.command("naru");
    command.args(["ssh", "demo"]);
    let mut terminal = Terminal::start(&command, 80, 24).unwrap();
    let sleep = format!("sleep 77{}", std::process::id());
    terminal.send(format!("echo be$((0))gun; {sleep}\n").as_bytes()).unwrap();
    terminal.wait_for("be0gun", PATIENCE).unwrap();
    wait("the program", || (running(&sleep) == 1).then_some(()));
    assert!(demo.end().unwrap().success());
    // Nobody waits here: it has ended when the demo has.
    assert_eq!((running(&sleep), demo.naru_processes()), (0, vec![]));
}

#[test]
fn a_second_agent_on_the_same_state_is_refused() {
    let demo = Demo::start(&[]).unwrap();
    let state = demo.state().join("demo/agent");
    let out = demo.naru(&["agent", "run", "--state", &state.to_string_lossy()]).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success() && said.contains("in use by another agent"), "{said}");
}

#[test]
fn what_is_not_kept_of_a_transfer_is_told_everywhere_and_a_terminal_is_kept() {
    let demo = Demo::start(&[]).unwrap();
    let (alice, olga, admin) = (demo.sign_in("alice").unwrap(), demo.sign_in("olga").unwrap(), demo.sign_in("admin").unwrap());
    let role = "kind: role\nname: engineer\nspec:\n  allow:\n    ssh:\n      - {labels: {env: [demo]}, logins: ['{{logins}}']}\n  options: {recording: strict, max_output: 1KiB}\n";
    std::fs::write(admin.home().join("role.yaml"), role).unwrap();
    assert!(admin.naru(&["apply", "-f", "role.yaml"]).status.success());
    let out = alice.naru(&["ssh", "demo", "--", "head -c 3000 /dev/zero | tr '\\0' x"]);
    assert_eq!(out.stdout.len(), 3000, "{}", String::from_utf8_lossy(&out.stderr));
    let id = newest(&olga);
    let row = ended(&olga, &id);
    assert_eq!((&row["lost"]["bytes"], &row["lost"]["gaps"], &row["output_bytes"]), (&1976.into(), &1.into(), &1024.into()));
    let said = |args: &[&str]| {
        let out = olga.naru(args);
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    assert!(said(&["sessions", "show", &id]).contains("1976 bytes were not kept (max_output)"));
    assert!(said(&["recording", "verify", &id]).contains("whole as recorded, but 1976 bytes were not kept (max_output)"));
    assert!(said(&["recording", "verify", &id, "--json"]).contains("\"bytes\":1976"));
    for words in [&["play", &id, "--text"][..], &["recording", "export", &id, "--format", "txt"]] {
        let text = said(words);
        assert!(text.contains("[naru: from here on output was not kept (max_output)]") && text.contains("1976 bytes"), "{text}");
    }
    let events = said(&["events", "search", "--json"]);
    let of = |kind: &str| events.lines().filter(|line| line.contains(kind) && line.contains(&id)).collect::<Vec<_>>();
    assert!(of("\"recording.lost\"").iter().any(|line| line.contains("max_output")), "{events}");
    assert!(of("\"session.end\"")[0].contains("\"bytes\":1976"), "{events}");
    // Whoever works at a terminal is seen however long it gets.
    let out = alice.naru(&["ssh", "-t", "demo", "--", "head -c 3000 /dev/zero | tr '\\0' x"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let id = newest(&olga);
    let row = ended(&olga, &id);
    assert!(row.get("lost").is_none() && row["output_bytes"].as_u64() >= Some(3000), "{row}");
}
