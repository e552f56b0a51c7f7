//! Backups of a running server, what a restore brings back and what it does not, and files that are no backup. No product code here.

use crate::harness::{Demo, Person};
use crate::recordings::verify;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;

/// The key pair of age's own tests.
const RECIPIENT: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
const IDENTITY: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
const PEOPLE: &str =
    "kind: user\nname: bob\nspec: {roles: []}\n---\nkind: user\nname: eve\nspec: {roles: []}\n---\nkind: user\nname: zed\n";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn good(out: Output) -> String {
    assert!(out.status.success(), "{}", text(&out.stderr));
    text(&out.stdout)
}

fn json(out: Output) -> Value {
    let out = good(out);
    serde_json::from_str(&out).unwrap_or_else(|_| panic!("no JSON: {out}"))
}

fn refused(out: &Output, code: &str) {
    assert!(!out.status.success() && text(&out.stderr).contains(code), "{code}: {} {}", text(&out.stdout), text(&out.stderr));
}

/// A file that only its owner may read.
fn secret(demo: &Demo, name: &str, content: &str) -> String {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let path = demo.folder().join(name);
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path).unwrap();
    file.write_all(content.as_bytes()).unwrap();
    path.to_string_lossy().into_owned()
}

fn with_state(demo: &Demo, words: &[&str]) -> Output {
    demo.naru(words).arg("--state").arg(demo.state()).output().unwrap()
}

/// The events of a type, as they stand in the log.
fn events(demo: &Demo, kind: &str) -> Vec<Value> {
    let log = std::fs::read_to_string(demo.state().join("log/proxy-1/00000001.jsonl")).unwrap();
    let all = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.filter(|event| event["type"] == kind).collect()
}

/// A server with people, links, tokens and a host, of which much is revoked and used after its backup.
struct Acme {
    demo: Demo,
    admin: Person,
    bob: Person,
    /// Links and join tokens that are used, removed, or left alone after the backup.
    links: BTreeMap<&'static str, String>,
    tokens: BTreeMap<&'static str, String>,
}

impl Acme {
    fn new() -> Self {
        let demo = Demo::up().unwrap();
        let admin = demo.sign_in("admin").unwrap();
        std::fs::write(admin.home().join("people.yaml"), PEOPLE).unwrap();
        good(admin.naru(&["apply", "-f", "people.yaml"]));
        let link = |user: &str| json(admin.naru(&["--json", "login-link", "create", user]))["link"].as_str().unwrap().to_owned();
        let token = |node: &str| json(admin.naru(&["--json", "token", "create", "--node", node]))["token"].as_str().unwrap().to_owned();
        let bob = demo.person("bob").unwrap();
        good(bob.naru(&["login", "--link", &link("bob")]));
        let old = token("old-1");
        let links = BTreeMap::from([("used", link("eve")), ("removed", link("eve")), ("left", link("eve"))]);
        let tokens = BTreeMap::from([("used", token("web-*")), ("removed", token("web-*")), ("left", token("web-*"))]);
        let acme = Self { demo, admin, bob, links, tokens };
        good(acme.join(&old, "old-1"));
        acme
    }

    fn join(&self, token: &str, node: &str) -> Output {
        let line = self.demo.ready("join");
        let (url, pin) = (self.demo.ready("url"), line.split("--ca-pin ").nth(1).unwrap().split(' ').next().unwrap());
        let state = self.demo.folder().join(format!("host-{node}"));
        let words = ["agent", "join", url, "--token", token, "--ca-pin", pin, "--node", node, "--no-run", "--state"];
        self.demo.naru(&words).arg(state).output().unwrap()
    }

    /// The id of the link or token `removed`, which was made as the last but one of its kind.
    fn removed(&self, kind: &str) -> String {
        let made = events(&self.demo, "token.created");
        let ids: Vec<&Value> = made.iter().filter(|event| event["data"]["kind"] == kind).map(|event| &event["data"]["id"]).collect();
        ids[ids.len() - 2].as_str().unwrap().to_owned()
    }

    /// What happens after the backup.
    fn moves_on(&self) {
        good(self.demo.person("eve").unwrap().naru(&["login", "--link", &self.links["used"]]));
        good(self.join(&self.tokens["used"], "web-1"));
        good(self.admin.naru(&["login-link", "rm", &self.removed("login_link")]));
        good(self.admin.naru(&["token", "rm", &self.removed("node")]));
        good(self.bob.naru(&["logout"]));
        good(self.admin.naru(&["delete", "node", "old-1"]));
        good(self.admin.naru(&["delete", "user", "zed"]));
    }

    fn login(&self, name: &str, link: &str) -> bool {
        self.demo.person(name).unwrap().naru(&["login", "--link", link]).status.success()
    }
}

#[test]
fn what_was_revoked_and_used_since_a_backup_stays_so_after_a_restore() {
    let mut acme = Acme::new();
    // The sign-out removes the profile: its copy is what a thief of the laptop has.
    let thief = acme.demo.folder().join("thief");
    assert!(std::process::Command::new("cp").arg("-a").arg(acme.bob.home()).arg(&thief).status().unwrap().success());
    let as_thief = |demo: &Demo| demo.naru(&["ls"]).env("NARU_HOME", thief.join("naru")).output().unwrap();
    good(as_thief(&acme.demo));

    let file = acme.demo.folder().join("naru.backup");
    let made = json(with_state(&acme.demo, &["--json", "backup", "-o", "naru.backup", "--recipient", RECIPIENT]));
    assert_eq!((&made["encrypted"], &made["kinds"]["user"], &made["keys"]), (&true.into(), &4.into(), &8.into()), "{made}");
    let told = events(&acme.demo, "backup.made");
    assert_eq!((&told[0]["data"]["entries"], &told[0]["data"]["revision"]), (&made["entries"], &made["revision"]), "{told:?}");
    assert_eq!(told[0]["data"]["uid"], rustix::process::geteuid().as_raw(), "{told:?}");
    acme.moves_on();
    assert!(!as_thief(&acme.demo).status.success(), "bob signed out");

    let identity = secret(&acme.demo, "id", IDENTITY);
    let restore = ["--json", "restore", file.to_str().unwrap(), "--identity", &identity];
    refused(&with_state(&acme.demo, &restore), "NARU-C101");
    assert!(acme.demo.end().unwrap().success());
    let done = json(with_state(&acme.demo, &restore));
    assert_eq!(done["has_log"], true, "{done}");
    acme.demo.start_again().unwrap();

    good(acme.admin.naru(&["ls"]));
    assert!(!as_thief(&acme.demo).status.success(), "signed out is signed out");
    assert!(!acme.login("eve-2", &acme.links["used"]), "a used link");
    assert!(!acme.login("eve-3", &acme.links["removed"]), "a removed link");
    assert!(acme.login("eve-4", &acme.links["left"]), "a link that nobody touched");
    assert!(!acme.join(&acme.tokens["used"], "web-2").status.success(), "a used token");
    assert!(!acme.join(&acme.tokens["removed"], "web-3").status.success(), "a removed token");
    good(acme.join(&acme.tokens["left"], "web-4"));
    let nodes = good(acme.admin.naru(&["get", "node", "--json"]));
    assert!(!nodes.contains("old-1") && nodes.contains("web-4"), "{nodes}");
    assert!(!good(acme.admin.naru(&["get", "user", "--json"])).contains("zed"), "a deleted user");

    let told = events(&acme.demo, "store.restored");
    let data = &told[0]["data"];
    assert_eq!((told.len(), &data["by_log"], &data["nodes"], &data["sign_ins"]), (1, &true.into(), &1.into(), &1.into()), "{told:?}");
    assert_eq!(data["secrets"], 4, "two links, two tokens: {told:?}");
    assert_eq!(verify(&acme.admin, &acme.demo.server(), &[]).1, 0);
    assert!(acme.demo.end().unwrap().success());
    acme.demo.start_again().unwrap();
    assert_eq!(events(&acme.demo, "store.restored").len(), 1, "dealt with once and for all");
    good(acme.admin.naru(&["ls"]));
}

#[test]
fn on_a_new_machine_the_install_is_the_same_and_nobody_is_signed_in() {
    let mut acme = Acme::new();
    let passphrase = secret(&acme.demo, "pass", "correct horse\n");
    good(with_state(&acme.demo, &["backup", "-o", "naru.backup", "--passphrase-file", &passphrase]));
    acme.moves_on();
    let pin = |demo: &Demo| demo.ready("join").split("--ca-pin ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    let before = pin(&acme.demo);
    acme.demo.kill_all();
    std::fs::remove_dir_all(acme.demo.state()).unwrap();
    let restore = ["--json", "restore", "naru.backup", "--passphrase-file", &passphrase];
    let done = json(with_state(&acme.demo, &restore));
    assert_eq!((&done["has_log"], &done["before"]), (&false.into(), &Value::Null), "{done}");
    acme.demo.start_again().unwrap();
    assert_eq!(pin(&acme.demo), before, "the same authority");
    assert!(!acme.admin.naru(&["ls"]).status.success(), "every sign-in ended");
    for (which, link) in &acme.links {
        assert!(!acme.login(&format!("eve-{which}"), link), "{which} link");
    }
    for (which, token) in &acme.tokens {
        assert!(!acme.join(token, &format!("web-{which}")).status.success(), "{which} token");
    }
    let told = events(&acme.demo, "store.restored");
    assert!(told.len() == 1 && told[0]["data"].get("by_log").is_none() && told[0]["data"]["sign_ins"] == 2, "{told:?}");
    assert!(acme.login("admin-2", acme.demo.ready("sign_in.admin")), "the way back in");
}

/// Every file below a folder with its bytes.
fn all(dir: &Path, into: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all(&path, into);
        } else if path.is_file() {
            into.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
}

#[test]
fn what_is_no_whole_backup_of_this_install_is_refused_and_nothing_changes() {
    let mut acme = Acme::new();
    let other = Demo::up().unwrap();
    good(with_state(&other, &["backup", "-o", acme.demo.folder().join("other").to_str().unwrap(), "--plain"]));
    refused(&with_state(&acme.demo, &["backup", "-o", "x"]), "--recipient");
    refused(&with_state(&acme.demo, &["backup", "-o", "x", "--recipient", "age1nobody"]), "NARU-C132");
    refused(&with_state(&acme.demo, &["backup", "-o", "no/such/place", "--plain"]), "NARU-C130");
    good(with_state(&acme.demo, &["backup", "-o", "plain", "--plain"]));
    good(with_state(&acme.demo, &["backup", "-o", "locked", "--recipient", RECIPIENT]));
    assert!(acme.demo.end().unwrap().success());
    // A stopped server gives the same, and to stdout.
    let stopped = with_state(&acme.demo, &["backup", "-o", "-", "--plain"]).stdout;
    assert!(stopped.starts_with(b"naru-backup/1\n"));

    let mut before = BTreeMap::new();
    all(&acme.demo.state(), &mut before);
    let unchanged = |what: &str| {
        let mut now = BTreeMap::new();
        all(&acme.demo.state(), &mut now);
        assert!(now == before, "{what} changed something");
    };
    let restore = |file: &str, more: &[&str]| with_state(&acme.demo, &[&["restore", file], more].concat());
    refused(&restore("other", &[]), "NARU-C133");
    refused(&restore("plain", &["--key", &"A".repeat(43)]), "NARU-C133");
    refused(&restore("locked", &[]), "NARU-C132");
    refused(&restore("locked", &["--passphrase-file", &secret(&acme.demo, "pass", "wrong")]), "NARU-C132");
    refused(&restore("/dev/zero", &[]), "NARU-C131");
    refused(&restore("nothing-here", &[]), "NARU-C131");
    let identity = secret(&acme.demo, "id", IDENTITY);
    let path = acme.demo.folder().join("bad");
    for (file, places) in [("plain", 20), ("locked", 20)] {
        let whole = std::fs::read(acme.demo.folder().join(file)).unwrap();
        for at in (0..places).map(|place| place * whole.len() / places) {
            std::fs::write(&path, &whole[..at]).unwrap();
            refused(&restore("bad", &["--identity", &identity]), "NARU-C13");
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            std::fs::write(&path, flipped).unwrap();
            refused(&restore("bad", &["--identity", &identity]), "NARU-C13");
        }
    }
    unchanged("a refusal");
    let holds = good(restore("locked", &["--identity", &identity, "--dry-run"]));
    assert!(holds.contains("declared users") && holds.contains("bob") && !holds.contains("PRIVATE"), "{holds}");
    unchanged("a dry run");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(acme.demo.folder().join("plain")).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

/// Killed at growing delays, the directory is that of the install each time: with the keys and store that it had or those of the backup.
#[test]
fn a_restore_that_is_killed_leaves_the_old_or_the_new() {
    let mut acme = Acme::new();
    good(with_state(&acme.demo, &["backup", "-o", "first", "--plain"]));
    good(acme.admin.naru(&["delete", "user", "zed"]));
    assert!(acme.demo.end().unwrap().success());
    good(with_state(&acme.demo, &["backup", "-o", "second", "--plain"]));
    let users = |file: &str| {
        let holds = json(with_state(&acme.demo, &["--json", "restore", file, "--dry-run"]));
        holds["users"].to_string().contains("zed")
    };
    assert!(users("first") && !users("second"));
    let mut ended = 0;
    for round in 0..60_u64 {
        let file = if round % 2 == 0 { "first" } else { "second" };
        let mut restore = acme.demo.naru(&["restore", file, "--state"]);
        let mut child = restore.arg(acme.demo.state()).stdout(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(2 * (round / 2)));
        let _ = child.kill();
        ended += u32::from(child.wait().unwrap().success());
        // Opens keys and store, after what was begun is finished or thrown away.
        good(with_state(&acme.demo, &["backup", "-o", "now", "--plain"]));
        users("now");
        if ended > 3 {
            break;
        }
    }
    acme.demo.start_again().unwrap();
    good(acme.admin.naru(&["ls"]));
}
