//! A server of its own and hosts that join it, and what stops a start: each says what is wrong and changes nothing.

use crate::harness::{Demo, Person, free_port, signal};
use crate::recordings::wait;
use rustix::process::Signal;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Output, Stdio};

/// An agent that ends with this value.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        signal(self.0.id(), Signal::TERM);
        // It may have gone already.
        let _ = self.0.wait();
    }
}

fn create_token(admin: &Person, more: &[&str]) -> String {
    let out = admin.naru(&[&["--json", "token", "create", "--kind", "node"], more].concat());
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let token: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    token["token"].as_str().unwrap().to_owned()
}

fn pin(up: &Demo) -> String {
    up.ready("join").split(' ').find(|word| word.starts_with("sha256:")).unwrap().to_owned()
}

fn join(up: &Demo, token: &str, pin: &str, state: &str, more: &[&str]) -> Output {
    let args = ["agent", "join", up.ready("url"), "--token", token, "--ca-pin", pin, "--state", state, "--no-run"];
    up.naru(&[&args[..], more].concat()).output().unwrap()
}

fn refused(out: &Output, exit: i32, word: &str) {
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.code() == Some(exit) && said.contains(word) && said.contains("NARU-"), "{}, not {exit} {word}: {said}", out.status);
}

#[test]
fn a_host_joins_once_and_serves() {
    let up = Demo::up().unwrap();
    let admin = up.sign_in("admin").unwrap();
    let login = String::from_utf8(std::process::Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
    let login = login.trim();
    let roles = format!(
        "kind: role\nname: ops\nspec:\n  allow:\n    ssh:\n      - {{labels: {{env: [test]}}, logins: [{login}]}}\n---\n\
         kind: user\nname: admin\nspec: {{roles: [admin, auditor, ops]}}\n"
    );
    std::fs::write(admin.home().join("roles.yaml"), roles).unwrap();
    assert!(admin.naru(&["apply", "-f", "roles.yaml"]).status.success());
    let pin = pin(&up);
    let token = create_token(&admin, &["--node", "web-1", "--label", "env=test"]);
    let joined = join(&up, &token, &pin, "a1", &[]);
    assert!(joined.status.success(), "{}", String::from_utf8_lossy(&joined.stderr));
    assert!(String::from_utf8_lossy(&joined.stdout).contains("web-1"));
    std::fs::write(up.folder().join("agent.yaml"), format!("allow_logins: [{login}]\n")).unwrap();
    let agent = Agent(up.naru(&["agent", "run", "--state", "a1", "--config", "agent.yaml"]).spawn().unwrap());
    wait("the node", || String::from_utf8_lossy(&admin.naru(&["ls"]).stdout).contains("web-1").then_some(()));
    wait("a session", || (admin.ssh(&["web-1.naru", "exit 7"]).status.code() == Some(7)).then_some(()));
    drop(agent);

    // The same key may redeem the token again; another host may not.
    refused(&join(&up, &token, &pin, "a2", &[]), 4, "used");
    // The name is taken, unless the token may replace.
    let again = create_token(&admin, &["--node", "web-1"]);
    refused(&join(&up, &again, &pin, "a3", &[]), 8, "web-1");
    let replacing = create_token(&admin, &["--node", "web-1", "--replace"]);
    assert!(join(&up, &replacing, &pin, "a4", &[]).status.success());
    // A pattern gives the names that fit it and no other.
    let pattern = create_token(&admin, &["--node", "db-*"]);
    refused(&join(&up, &pattern, &pin, "a5", &["--node", "web-9"]), 4, "web-9");
    assert!(join(&up, &pattern, &pin, "a5", &["--node", "db-9"]).status.success());
    // An expired one, one that never was, and a proxy that is not ours.
    let short = create_token(&admin, &["--node", "x", "--ttl", "1s"]);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    refused(&join(&up, &short, &pin, "a6", &[]), 4, "expired");
    refused(&join(&up, "never-made", &pin, "a7", &[]), 4, "token");
    let fresh = create_token(&admin, &["--node", "y"]);
    let other = format!("sha256:{}", "A".repeat(43));
    refused(&join(&up, &fresh, &other, "a8", &[]), 1, "pin");
    assert!(join(&up, &fresh, &pin, "a8", &[]).status.success(), "the refused join did not use the token up");
    let log = admin.naru(&["events", "search", "--type", "agent.refused", "--json"]);
    assert!(String::from_utf8_lossy(&log.stdout).lines().count() >= 4, "{}", String::from_utf8_lossy(&log.stdout));
}

#[test]
fn many_hosts_join_by_one_token_of_a_resource() {
    let up = Demo::up().unwrap();
    let admin = up.sign_in("admin").unwrap();
    let declared =
        "kind: join_token\nname: web\nspec: {kinds: [ssh], names: [web-*], labels: {env: test}, uses: 2, ttl: 2h, gone_after: 30m}\n";
    std::fs::write(admin.home().join("web.yaml"), declared).unwrap();
    let applied = admin.naru(&["apply", "-f", "web.yaml"]);
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    let out = admin.naru(&["--json", "token", "create", "--from", "web"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let made: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let (token, pin) = (made["token"].as_str().unwrap(), pin(&up));
    let joins = |state: &str, node: &str| join(&up, token, &pin, state, &["--node", node]);
    assert!(joins("m1", "web-1").status.success());
    refused(&joins("m2", "web-1"), 8, "web-1");
    assert!(joins("m2", "web-2").status.success());
    refused(&joins("m3", "web-3"), 4, "2 machines");
    let listed = admin.naru(&["token", "ls"]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains("2 times, 0 left") && listed.contains("join_token/web"), "{listed}");
    let more = admin.naru(&["token", "create", "--from", "web", "--uses", "3"]);
    assert!(!more.status.success() && String::from_utf8_lossy(&more.stderr).contains("NARU-J111"));
}

/// Starts the server on its state and gives what it said; it must not have begun.
fn start_fails(up: &Demo, config: &str) -> String {
    let mut command = up.naru(&["up", "--json", "--config", config, "--state", "state"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // One that begins goes on, and is ended with everything that is ours.
    wait("the end of a server that must not start", || child.try_wait().unwrap());
    let out = child.wait_with_output().unwrap();
    assert!(!out.status.success() && out.stdout.is_empty(), "it started: {}", String::from_utf8_lossy(&out.stdout));
    String::from_utf8(out.stderr).unwrap()
}

fn copy(from: &Path, to: &Path) {
    let done = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(done.success());
}

#[test]
fn what_is_wrong_with_the_state_stops_the_start_and_changes_nothing() {
    let mut up = Demo::up().unwrap();
    let admin = up.sign_in("admin").unwrap();
    std::fs::write(admin.home().join("r.yaml"), "kind: role\nname: kept\nspec: {}\n").unwrap();
    assert!(admin.naru(&["apply", "-f", "r.yaml"]).status.success());
    assert!(start_fails(&up, "up.yaml").contains("in use"), "a second process");
    // The port is taken: another state, the same address.
    let out = up.naru(&["up", "--json", "--config", "up.yaml", "--state", "other"]).output().unwrap();
    assert!(
        !out.status.success() && String::from_utf8_lossy(&out.stderr).contains("NARU-C108"),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    assert!(up.end().unwrap().success());
    let (state, good) = (up.state(), up.folder().join("good"));
    copy(&state, &good);
    let restore = || {
        std::fs::remove_dir_all(&state).unwrap();
        copy(&good, &state);
    };
    let key = state.join("keys/grant.key");
    let faults: [(&str, &dyn Fn(), &str); 6] = [
        ("a newer version", &|| edit(&state.join("VERSION"), |text| text.replace("\"format\":2", "\"format\":9")), "newer"),
        ("no version", &|| std::fs::remove_file(state.join("VERSION")).unwrap(), "VERSION"),
        ("a readable key", &|| std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap(), "grant.key"),
        ("half a key", &|| cut(&key, 2), "grant.key"),
        ("a lost key", &|| std::fs::remove_file(&key).unwrap(), "grant.key"),
        ("an empty key", &|| cut(&key, 0), "grant.key"),
    ];
    for (what, harm, word) in faults {
        harm();
        let said = start_fails(&up, "up.yaml");
        assert!(said.contains(word) && said.contains("NARU-C10"), "{what}: {said}");
        restore();
    }
    for file in ["store/db/db", "store/mark"] {
        let path = state.join(file);
        let mut bytes = std::fs::read(&path).unwrap();
        // The mark stands twice, so that one place may be torn; here both are.
        let from = if file.ends_with("mark") { 0 } else { bytes.iter().rposition(|b| *b != 0).unwrap() / 2 };
        bytes.iter_mut().skip(from).for_each(|b| *b ^= 0x55);
        std::fs::write(&path, &bytes).unwrap();
        let said = start_fails(&up, "up.yaml");
        assert!(said.contains("damaged") && said.contains("restore"), "{file}: {said}");
        // Looking at it mended nothing by throwing away: the next start refuses too.
        let said = start_fails(&up, "up.yaml");
        assert!(said.contains("damaged") && said.contains("restore"), "{file} again: {said}");
        restore();
    }
    up.start_again().unwrap();
    assert!(String::from_utf8_lossy(&admin.naru(&["get", "role", "kept"]).stdout).contains("kept"));
}

fn edit(path: &Path, change: impl Fn(&str) -> String) {
    let text = std::fs::read_to_string(path).unwrap();
    std::fs::write(path, change(&text)).unwrap();
}

/// Cuts a file to a part of its length.
fn cut(path: &Path, divisor: u64) {
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    let len = file.metadata().unwrap().len();
    file.set_len(len.checked_div(divisor).unwrap_or(0)).unwrap();
}

#[test]
fn settings_with_faults_stop_the_start_with_all_of_them() {
    let up = Demo::up().unwrap();
    let text = format!("listen: {}\nlink_life: 25h\nspeed: 9\n", free_port());
    std::fs::write(up.folder().join("bad.yaml"), text).unwrap();
    let out = up.naru(&["up", "--json", "--config", "bad.yaml", "--state", "new"]).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{said}");
    for place in ["bad.yaml:1:", "bad.yaml:2:", "bad.yaml:3:"] {
        assert!(said.contains(place), "{place}: {said}");
    }
    assert!(!up.folder().join("new").exists());
}
