//! The agent dies and comes back under live sessions of plain `ssh`: nothing is lost, nothing twice.

use crate::harness::{Demo, fast, signal};
use crate::pty::Terminal;
use crate::recordings::{PATIENCE, cast, newest, wait};
use rustix::process::Signal;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

/// Ends the agent and waits for the next one.
fn replace_agent(demo: &Demo, how: Signal) {
    let old = wait("an agent", || demo.agent());
    signal(old, how);
    wait("another agent", || demo.agent().filter(|pid| *pid != old));
}

#[test]
fn numbered_lines_come_once_each_while_agents_die() {
    let demo = Demo::start(&[]).unwrap();
    let (alice, olga) = (demo.sign_in("alice").unwrap(), demo.sign_in("olga").unwrap());
    let deaths = if fast() { 3 } else { 12 };
    // It goes on until it is told to stop, by a file.
    let stop = demo.folder().join("stop");
    let line = format!("i=0; while [ ! -e '{}' ]; do i=$((i+1)); echo $i; sleep 0.002; done; echo last", stop.display());
    let mut ssh = alice.command("ssh").args(["demo.naru", &line]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(ssh.stdout.take().unwrap());
    let (mut text, mut seen) = (String::new(), 0_u64);
    let mut next = |text: &mut String| {
        let mut line = String::new();
        assert!(out.read_line(&mut line).unwrap() > 0, "the connection ended after {seen}");
        text.push_str(&line);
        if line == "last\n" {
            return false;
        }
        seen += 1;
        assert_eq!(line, format!("{seen}\n"));
        true
    };
    for death in 0..deaths {
        for _ in 0..30 {
            next(&mut text);
        }
        replace_agent(&demo, if death % 2 == 0 { Signal::KILL } else { Signal::TERM });
    }
    // What came while it was away, then more that is new.
    for _ in 0..300 {
        next(&mut text);
    }
    std::fs::write(stop, "").unwrap();
    while next(&mut text) {}
    assert!(ssh.wait().unwrap().success());
    let id = newest(&olga);
    crate::recordings::ended(&olga, &id);
    assert_eq!(wire::asciicast::bytes(&cast(&olga, &id), 'O').unwrap(), text.as_bytes());
    let resumed = olga.naru(&["events", "search", "--type", "session.resumed", "--json"]);
    assert!(!resumed.stdout.is_empty(), "the log says nothing of it");
}

#[test]
fn what_is_typed_while_the_agent_is_away_arrives_once() {
    let demo = Demo::start(&[]).unwrap();
    let alice = demo.sign_in("alice").unwrap();
    let mut ssh = alice.command("ssh").args(["demo.naru", "cat"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = ssh.stdin.take().unwrap();
    let out = BufReader::new(ssh.stdout.take().unwrap());
    let mut number = 0;
    let mut type_some = |count: u32| {
        for _ in 0..count {
            number += 1;
            writeln!(input, "{number}").unwrap();
        }
    };
    type_some(10);
    let mut lines = out.lines();
    assert_eq!(lines.next().unwrap().unwrap(), "1");
    for how in [Signal::KILL, Signal::TERM, Signal::KILL] {
        let old = wait("an agent", || demo.agent());
        type_some(20);
        signal(old, how);
        type_some(500);
        wait("another agent", || demo.agent().filter(|pid| *pid != old));
        type_some(20);
    }
    drop(input);
    for expected in 2..=number {
        assert_eq!(lines.next().unwrap().unwrap(), expected.to_string());
    }
    assert!(lines.next().is_none());
    assert!(ssh.wait().unwrap().success());
}

#[test]
fn a_shell_on_a_terminal_outlives_its_agent() {
    let demo = Demo::start(&[]).unwrap();
    let alice = demo.sign_in("alice").unwrap();
    let mut command = alice.command("ssh");
    command.args(["-tt", "demo.naru", "exec /bin/sh"]);
    let mut terminal = Terminal::start(&command, 80, 24).unwrap();
    terminal.send(b"here=before; echo is $((40+2))\n").unwrap();
    terminal.wait_for("is 42", PATIENCE).unwrap();
    for how in [Signal::KILL, Signal::TERM] {
        replace_agent(&demo, how);
        terminal.send(b"echo and $here $((50+5))\n").unwrap();
        terminal.wait_for("and before 55", PATIENCE).unwrap();
    }
    terminal.send(b"exit 3\n").unwrap();
    assert_eq!(terminal.wait().unwrap().code(), Some(3));
}
