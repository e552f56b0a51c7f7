//! What a role demands of sessions, with stock `ssh` and `sftp` and with `naru ssh`: reasons, commands, reading alone, limits, warnings.

use std::process::{Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{PATIENCE, Town, both, refused, until, well};
use crate::pty::Terminal;

/// Alice's role, with these rules and options.
fn engineer(rules: &str, options: &str) -> String {
    format!("kind: role\nname: engineer\nspec:\n  allow: {{ssh: [{rules}]}}\n  options: {options}\n")
}

const ALL: &str = "{labels: {env: [demo]}, logins: ['{login}']}";

impl Town {
    fn sftp(&self, batch: &str) -> Output {
        let file = self.alice.home().join("batch");
        std::fs::write(&file, batch).unwrap();
        self.alice.command("sftp").arg("-b").arg(&file).arg("demo.naru").stdin(Stdio::null()).output().unwrap()
    }

    fn terminal(&self) -> Terminal {
        let mut command = self.alice.command("naru");
        command.args(["ssh", &self.place()]).env("TERM", "xterm");
        Terminal::start(&command, 120, 40).unwrap()
    }
}

#[test]
fn a_reason_is_demanded_and_taken_from_either_client() {
    let town = Town::start();
    town.apply(&engineer(ALL, "{reason: true}"));
    refused(&town.alice.ssh(&["demo.naru", "true"]), 255, "NARU_REASON");
    refused(&town.alice.naru(&["ssh", &town.place(), "--", "true"]), 255, "--reason");
    well(&town.alice.ssh(&["-o", "SetEnv=NARU_REASON=OPS-1", "demo.naru", "true"]));
    well(&town.alice.naru(&["ssh", "--reason", "OPS-2", &town.place(), "--", "true"]));
    for reason in ["OPS-1", "OPS-2"] {
        let told = || both(&town.olga.naru(&["events", "search", "--json"]));
        until("the reason is in the log", || told().contains(reason));
    }
}

#[test]
fn some_commands_and_files_to_read_and_nothing_else() {
    let town = Town::start();
    town.apply(&engineer(
        "{labels: {env: [demo]}, logins: ['{login}'], kinds: [exec], commands: [uptime, 'echo *']}, \
         {labels: {env: [demo]}, logins: ['{login}'], kinds: [sftp_read]}",
        "{}",
    ));
    well(&town.alice.ssh(&["demo.naru", "echo there"]));
    for other in ["id", "echo $(id)", "echo a; id", "echo -e a", "uptime -p"] {
        refused(&town.alice.ssh(&["demo.naru", other]), 255, "not allowed");
    }
    refused(&town.alice.ssh(&["-tt", "demo.naru"]), 255, "not allowed");
    let (there, got, put) = (town.demo.folder().join("there"), town.alice.home().join("got"), town.demo.folder().join("put"));
    std::fs::write(&there, "as it was").unwrap();
    well(&town.sftp(&format!("get {} {}\n", there.display(), got.display())));
    assert_eq!(std::fs::read_to_string(&got).unwrap(), "as it was");
    for writing in [
        format!("put {} {}", got.display(), put.display()),
        format!("rm {}", there.display()),
        format!("rename {} {}", there.display(), put.display()),
        format!("mkdir {}", put.display()),
        format!("chmod 777 {}", there.display()),
        format!("symlink {} {}", there.display(), put.display()),
    ] {
        let out = town.sftp(&format!("{writing}\n"));
        assert!(!out.status.success(), "{writing}: {}", both(&out));
    }
    assert!(!put.exists() && std::fs::read_to_string(&there).unwrap() == "as it was");
}

#[test]
fn the_end_draws_near_with_words_and_is_put_off() {
    let town = Town::start();
    town.apply(&engineer(ALL, "{max_session: 70s, extend: 10m, max_sessions: 1, notice: Mind the ferry.}"));
    let mut shell = town.terminal();
    let seen = shell.wait_for("in less than five minutes", PATIENCE).unwrap();
    assert_eq!(seen.matches("Mind the ferry.").count(), 1, "{seen}");
    refused(&town.alice.naru(&["ssh", &town.place(), "--", "true"]), 255, "NARU-P216");
    shell.wait_for("in less than one minute", PATIENCE).unwrap();
    well(&town.alice.naru(&["extend", "--for", "8m"]));
    let more = town.alice.naru(&["extend", "--for", "8m"]);
    assert!(both(&more).contains("0s") || !more.status.success(), "{}", both(&more));
    shell.send(b"exit 5\n").unwrap();
    assert_eq!(shell.wait().unwrap().code(), Some(5));
}

/// Hours of this day, in UTC, that end with the next minute but for some seconds.
fn until_the_next_minute() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    // Too near to the minute a session would hardly have begun.
    if now % 60 > 45 {
        std::thread::sleep(Duration::from_secs(60 - now % 60));
        return until_the_next_minute();
    }
    let (day, end) = (["thu", "fri", "sat", "sun", "mon", "tue", "wed"][(now / 86_400 % 7) as usize], now % 86_400 / 60 + 1);
    format!("{day} 00:00-{:02}:{:02} UTC", end / 60, end % 60)
}

#[test]
fn the_end_of_the_hours_draws_near_with_words_and_cuts() {
    let town = Town::start();
    town.apply(&engineer(ALL, &format!("{{hours: ['{}']}}", until_the_next_minute())));
    let mut shell = town.terminal();
    shell.wait_for("in less than one minute by the end of the hours of your role", PATIENCE).unwrap();
    let end = shell.wait_for("in other hours only", Duration::from_secs(90)).unwrap();
    assert!(end.contains("NARU-P213"), "{end}");
    assert!(!shell.wait().unwrap().success());
}

#[test]
fn a_role_that_is_tried_out_refuses_nobody_and_tells() {
    let town = Town::start();
    town.apply(
        "kind: role\nname: trial\nspec: {dry_run: true, deny: {ssh: [{labels: {env: [demo]}, logins: ['*']}]}}\n---\n\
         kind: user\nname: alice\nspec: {roles: [engineer, trial], traits: {logins: ['{login}']}}\n",
    );
    well(&town.alice.ssh(&["demo.naru", "true"]));
    let told = || both(&town.olga.naru(&["events", "search", "--type", "access.would_deny", "--json"]));
    until("the log says what it would deny", || told().contains("trial/deny.ssh[0]"));
    town.apply("kind: role\nname: trial\nspec: {deny: {ssh: [{labels: {env: [demo]}, logins: ['*']}]}}\n");
    refused(&town.alice.ssh(&["demo.naru", "true"]), 255, "trial/deny.ssh[0]");
}

#[test]
fn hours_networks_and_a_condition_that_cannot_be_answered() {
    let town = Town::start();
    let can = |words: &[&str]| town.admin.naru(&[&["can", "ssh", &town.place(), "--as", "alice"], words].concat()).status.code();
    town.apply(&engineer(ALL, "{hours: ['mon-fri 09:00-18:00 Asia/Seoul']}"));
    assert_eq!((can(&["--at", "2026-11-20T03:00:00Z"]), can(&["--at", "2026-11-21T03:00:00Z"])), (Some(0), Some(4)));
    town.apply(&engineer(ALL, "{networks: [10.0.0.0/8]}"));
    assert_eq!((can(&["--from", "10.9.8.7"]), can(&["--from", "192.0.2.1"])), (Some(0), Some(4)));
    refused(&town.alice.ssh(&["demo.naru", "true"]), 255, "NARU-P213");
    let rule = "{labels: {env: [demo]}, logins: ['{login}'], where: \"'oncall' in user.traits.groups\"}";
    town.apply(&engineer(rule, "{}"));
    assert_eq!(can(&[]), Some(4));
    refused(&town.alice.ssh(&["demo.naru", "true"]), 255, "error[NARU-P");
    let told = || both(&town.olga.naru(&["events", "search", "--type", "access.condition_failed", "--json"]));
    until("the log says that it could not be answered", || told().contains("engineer/allow.ssh[0]"));
    town.apply("kind: user\nname: alice\nspec: {roles: [engineer], traits: {groups: [oncall]}}\n");
    well(&town.alice.ssh(&["demo.naru", "true"]));
}
