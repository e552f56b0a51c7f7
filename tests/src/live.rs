//! Live sessions: terminals as they are used, many on one connection, one that stalls, being watched, being ended.

use crate::harness::{Demo, Person};
use crate::pty::Terminal;
use crate::recordings::{PATIENCE, cast, ended, newest, sessions, wait};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

fn terminal(alice: &Person, args: &[&str]) -> Terminal {
    let mut command = alice.command("ssh");
    command.args(args);
    Terminal::start(&command, 91, 17).unwrap()
}

#[test]
fn a_terminal_has_its_size_and_its_keys() {
    let demo = Demo::start(&[]).unwrap();
    let (alice, olga) = (demo.sign_in("alice").unwrap(), demo.sign_in("olga").unwrap());
    for way in ["ssh", "naru"] {
        let mut command = alice.command(way);
        command.args(if way == "ssh" { &["-tt", "demo.naru", "exec /bin/sh"][..] } else { &["ssh", "-t", "demo", "exec /bin/sh"] });
        let mut terminal = Terminal::start(&command, 91, 17).unwrap();
        terminal.send(b"PS1=next' >'; stty size; echo is $((40+2))\n").unwrap();
        let text = terminal.wait_for("is 42", PATIENCE).unwrap();
        assert!(text.contains("17 91"), "{way}: {text}");
        terminal.resize(101, 27).unwrap();
        // The change travels; the shell is asked until it has come.
        terminal.send(b"until [ \"$(stty size)\" = '27 101' ]; do sleep 0.05; done; echo re$((0))sized\n").unwrap();
        terminal.wait_for("re0sized", PATIENCE).unwrap();
        terminal.send(b"sleep 1000; echo not $((1+1))\n").unwrap();
        // A key that interrupts throws away what was typed around it, so the prompt is waited for, and typed again what is lost.
        wait("the end of the sleep", || {
            terminal.send(b"\x03").unwrap();
            terminal.wait_for("next >", Duration::from_secs(2)).ok()
        });
        wait("what is typed after it", || {
            terminal.send(b"echo still $((60+6))\n").unwrap();
            terminal.wait_for("still 66", Duration::from_secs(2)).ok()
        });
        terminal.send(b"exit 5\n").unwrap();
        assert_eq!(terminal.wait().unwrap().code(), Some(5), "{way}");
        let id = newest(&olga);
        ended(&olga, &id);
        let text = String::from_utf8(cast(&olga, &id)).unwrap();
        assert!(text.contains("\"cols\":91,\"rows\":17") && text.contains("\"r\", \"101x27\""), "{way}: {text}");
        assert!(!text.contains("not 2"));
    }
}

/// A master connection that ends with this value.
struct Master<'a>(&'a Person);

impl<'a> Master<'a> {
    fn open(alice: &'a Person) -> Self {
        let opened = alice.ssh(&["-M", "-S", "cm", "-o", "ControlPersist=yes", "-N", "-f", "demo.naru"]).status;
        assert!(opened.success());
        Self(alice)
    }

    fn command(&self, line: &str) -> Command {
        let mut command = self.0.command("ssh");
        command.args(["-S", "cm", "demo.naru", line]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

impl Drop for Master<'_> {
    fn drop(&mut self) {
        self.0.ssh(&["-S", "cm", "-O", "exit", "demo.naru"]);
    }
}

#[test]
fn fifty_sessions_live_at_once_on_one_connection_each_with_its_recording() {
    let demo = Demo::start(&[]).unwrap();
    let (alice, olga) = (demo.sign_in("alice").unwrap(), demo.sign_in("olga").unwrap());
    let master = Master::open(&alice);
    let mut all: Vec<Child> = (0..50)
        .map(|at| master.command(&format!("echo {at} begins; cat; echo {at} ends")).stdin(Stdio::piped()).spawn().unwrap())
        .collect();
    // Each has said its first word while all others are still there.
    let mut outs: Vec<_> = all.iter_mut().map(|child| BufReader::new(child.stdout.take().unwrap())).collect();
    for (at, out) in outs.iter_mut().enumerate() {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(line, format!("{at} begins\n"));
    }
    let live = sessions(&olga, &["--live"]);
    assert_eq!(live.len(), 50);
    assert!(live.iter().all(|row| row["connection"] == live[0]["connection"]), "one connection");
    for (at, (mut child, mut out)) in all.into_iter().zip(outs).enumerate() {
        writeln!(child.stdin.take().unwrap(), "input {at}").unwrap();
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, format!("input {at}\n{at} ends\n"));
        assert!(child.wait().unwrap().success());
    }
    wait("the ends", || sessions(&olga, &["--live"]).is_empty().then_some(()));
    for row in live.iter().step_by(7) {
        let recorded = wire::asciicast::bytes(&cast(&olga, row["id"].as_str().unwrap()), 'O').unwrap();
        let text = String::from_utf8(recorded).unwrap();
        let at = text.split(' ').next().unwrap();
        assert_eq!(text, format!("{at} begins\ninput {at}\n{at} ends\n"));
    }
}

#[test]
fn a_stalled_channel_does_not_delay_its_neighbour() {
    let demo = Demo::start(&[]).unwrap();
    let alice = demo.sign_in("alice").unwrap();
    let master = Master::open(&alice);
    // One whose client does not read what it is sent, one whose program does not read what it is given.
    let mut unread = master.command("seq 1 1000000; echo last").spawn().unwrap();
    let mut unheard = master.command("sleep 1000").stdin(Stdio::piped()).spawn().unwrap();
    let mut pipe = unheard.stdin.take().unwrap();
    let pusher = std::thread::spawn(move || pipe.write_all(&vec![7; 3 * 1024 * 1024]));
    for at in 0..20 {
        let out = master.command(&format!("echo {at}")).output().unwrap();
        assert_eq!(out.stdout, format!("{at}\n").as_bytes());
    }
    // The first one was only held back: nothing of it is lost.
    let mut text = String::new();
    unread.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(text.starts_with("1\n2\n") && text.ends_with("1000000\nlast\n") && text.lines().count() == 1_000_001);
    assert!(unread.wait().unwrap().success());
    unheard.kill().unwrap();
    unheard.wait().unwrap();
    // It fails once the client has gone.
    let _ = pusher.join().unwrap();
}

#[test]
fn olga_watches_a_live_session_and_ends_it() {
    let demo = Demo::start(&[]).unwrap();
    let (alice, olga) = (demo.sign_in("alice").unwrap(), demo.sign_in("olga").unwrap());
    let mut terminal = terminal(&alice, &["-tt", "demo.naru", "exec /bin/sh"]);
    terminal.send(b"echo is $((40+2))\n").unwrap();
    terminal.wait_for("is 42", PATIENCE).unwrap();
    let id = newest(&olga);
    let open = crate::recordings::verify(&olga, &demo.server(), &[]);
    assert!(open.1 == 0 && open.0["open"].to_string().contains(&id), "{}", open.0);
    let mut watch = olga.command("naru").args(["sessions", "watch", &id]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut seen = BufReader::new(watch.stdout.take().unwrap());
    let mut until = |needle: &str| {
        let mut text = String::new();
        while !text.contains(needle) {
            assert!(seen.read_line(&mut text).unwrap() > 0, "the watch ended with {text:?}");
        }
    };
    until("is 42");
    terminal.send(b"echo more $((50+5))\n").unwrap();
    terminal.wait_for("more 55", PATIENCE).unwrap();
    until("more 55");
    assert!(olga.naru(&["sessions", "kill", &id, "--reason", "enough for today"]).status.success());
    terminal.wait_for("enough for today", PATIENCE).unwrap();
    assert_eq!(terminal.wait().unwrap().code(), Some(255));
    watch.wait().unwrap();
    ended(&olga, &id);
    let out = olga.naru(&["events", "search", "--type", "session.terminated", "--json"]);
    assert!(String::from_utf8_lossy(&out.stdout).contains("enough for today"));
}

#[test]
fn a_role_that_goes_takes_its_live_sessions_along() {
    let demo = Demo::start(&[]).unwrap();
    let (alice, admin) = (demo.sign_in("alice").unwrap(), demo.sign_in("admin").unwrap());
    let mut shell = terminal(&alice, &["-tt", "demo.naru", "exec /bin/sh"]);
    shell.send(b"echo is $((40+2))\n").unwrap();
    shell.wait_for("is 42", PATIENCE).unwrap();
    let file = admin.home().join("none.yaml");
    std::fs::write(&file, "kind: role\nname: engineer\nspec: {}\n").unwrap();
    assert!(admin.naru(&["apply", "-f", "none.yaml"]).status.success());
    let text = shell.wait_for("not allowed", PATIENCE).unwrap();
    assert!(text.contains("NARU-P"), "{text}");
    assert_eq!(shell.wait().unwrap().code(), Some(255));
}
