//! Writes that must not go through: too big, too old, two at once, half wrong, of what is named elsewhere, of one's own rights.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{Town, refused, well};
use crate::harness::Person;

/// What the API answered: status, `ETag` and body.
pub(super) struct Said {
    pub(super) status: u16,
    tag: String,
    pub(super) head: String,
    pub(super) body: Value,
}

impl Town {
    /// The folder with somebody's certificate.
    fn profile(who: &Person) -> PathBuf {
        let under = |dir: PathBuf| std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect::<Vec<_>>();
        let mut open = vec![who.home().join("naru")];
        while let Some(dir) = open.pop() {
            if dir.join("tls.pem").is_file() {
                return dir;
            }
            open.extend(under(dir));
        }
        panic!("they have no certificate");
    }

    /// `curl` at this path of the API, as somebody.
    pub(super) fn curl(&self, who: &Person, path: &str) -> Command {
        let tls = Self::profile(who).join("tls.pem").to_string_lossy().into_owned();
        let mut command = Command::new("curl");
        command.args(["-sS", "--http1.1", "--cacert", self.demo.ready("ca"), "--cert", &tls, "--key", &tls]);
        command.arg(format!("{}{path}", self.demo.ready("url")));
        command
    }

    /// Asks the API as the administrator, with a body from a file.
    pub(super) fn api(&self, method: &str, path: &str, words: &[&str], body: &[u8]) -> Said {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), body).unwrap();
        let mut command = self.curl(&self.admin, path);
        command.args(["--max-time", "60", "-i", "-X", method, "-H", "Content-Type: application/json", "--data-binary"]);
        command.arg(format!("@{}", file.path().display())).args(words);
        let out = command.stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        // A body that is long is announced first.
        let text = text.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n").unwrap_or(&text);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let tag = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("etag: ").map(str::to_owned));
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or_default();
        Said { status, tag: tag.unwrap_or_default(), head: head.to_ascii_lowercase(), body: serde_json::from_str(body).unwrap_or_default() }
    }

    fn put_role(&self, name: &str, description: &str, words: &[&str]) -> Said {
        let role = json!({"kind": "role", "name": name, "spec": {"description": description}});
        self.api("PUT", &format!("/v1/resources/role/{name}"), words, role.to_string().as_bytes())
    }

    fn role(&self, name: &str) -> Said {
        self.api("GET", &format!("/v1/resources/role/{name}"), &[], b"")
    }
}

#[test]
fn what_is_too_big_is_refused_and_nothing_of_it_is_there() {
    let town = Town::start();
    let many: serde_json::Map<String, Value> = (0..100_000).map(|n| (format!("l{n}"), json!("x"))).collect();
    let long = "x".repeat(10 << 20);
    for (what, resource) in [
        ("10 MiB", json!({"kind": "role", "name": "big", "spec": {"description": long}})),
        ("100,000 labels", json!({"kind": "role", "name": "big", "labels": many})),
    ] {
        let before = json!({"kind": "role", "name": "good", "spec": {}});
        let said = town.api("POST", "/v1/apply", &[], json!({"resources": [before, resource]}).to_string().as_bytes());
        assert!((400..500).contains(&said.status), "{what}: {} {}", said.status, said.body);
        assert!(said.body["code"].as_str().is_some_and(|code| code.starts_with("NARU-")), "{what}: {}", said.body);
    }
    assert_eq!((town.role("big").status, town.role("good").status), (404, 404));
    // It is still there for everybody.
    assert_eq!(town.put_role("good", "", &[]).status, 200);
}

#[test]
fn of_two_writers_one_wins_and_the_other_reads_again() {
    let town = Town::start();
    assert_eq!(town.put_role("r", "first", &["-H", "If-None-Match: *"]).status, 200);
    assert_eq!(town.put_role("r", "again", &["-H", "If-None-Match: *"]).status, 412);
    let tag = format!("If-Match: {}", town.role("r").tag);
    assert_eq!(town.put_role("r", "second", &["-H", &tag]).status, 200);
    let stale = town.put_role("r", "third", &["-H", &tag]);
    assert_eq!((stale.status, &stale.body["code"]), (412, &json!("NARU-W412")));
    let tag = format!("If-Match: {}", town.role("r").tag);
    let said: Vec<u16> = std::thread::scope(|scope| {
        let write = |n: usize| {
            let (town, tag) = (&town, &tag);
            scope.spawn(move || town.put_role("r", &format!("writer {n}"), &["-H", tag]).status)
        };
        let writers: Vec<_> = (0..8).map(write).collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    assert_eq!((said.iter().filter(|s| **s == 200).count(), said.iter().filter(|s| **s == 412).count()), (1, 7), "{said:?}");
    let winner = said.iter().position(|status| *status == 200).unwrap();
    assert_eq!(town.role("r").body["spec"]["description"], json!(format!("writer {winner}")));
}

#[test]
fn all_of_an_apply_or_nothing() {
    let town = Town::start();
    assert_eq!(town.put_role("old", "kept", &[]).status, 200);
    let stale = town.role("old").body["revision"].clone();
    assert_eq!(town.put_role("old", "newer", &[]).status, 200);
    let half = json!({"resources": [
        {"kind": "role", "name": "fresh", "spec": {}},
        {"kind": "role", "name": "old", "revision": stale, "spec": {"description": "older"}},
    ]});
    assert_eq!(town.api("POST", "/v1/apply", &[], half.to_string().as_bytes()).status, 412);
    assert_eq!((town.role("fresh").status, &town.role("old").body["spec"]["description"]), (404, &json!("newer")));
}

#[test]
fn what_is_named_elsewhere_stays_and_one_does_not_lock_oneself_out_by_mistake() {
    let town = Town::start();
    let out = town.admin.naru(&["delete", "role", "engineer"]);
    assert!(!out.status.success());
    refused(&out, out.status.code().unwrap(), "engineer");
    let own = "kind: user\nname: admin\nspec: {}\n";
    let out = town.try_apply(own);
    refused(&out, out.status.code().unwrap(), "--allow-self-lockout");
    assert!(!out.status.success());
    let lock = ["lock", "add", "user/admin", "--reason", "away"];
    let out = town.admin.naru(&lock);
    assert!(!out.status.success());
    well(&town.admin.naru(&["get", "role"]));
    let file = town.demo.folder().join("resources.yaml");
    well(&town.admin.naru(&["apply", "-f", &file.to_string_lossy(), "--allow-self-lockout"]));
    assert_eq!(town.admin.naru(&["get", "role"]).status.code(), Some(4));
}

#[test]
fn everything_applies_unchanged_to_an_empty_install() {
    let (old, new) = (Town::start(), Town::start());
    old.apply(super::ASKING);
    let all = well(&old.admin.naru(&["get", "all", "-o", "yaml"])).stdout.clone();
    let file = new.demo.folder().join("all.yaml");
    std::fs::write(&file, &all).unwrap();
    well(&new.admin.naru(&["apply", "-f", &file.to_string_lossy()]));
    let specs = |town: &Town, kind: &str| {
        let items = super::json(well(&town.admin.naru(&["get", kind, "--json"])))["items"].as_array().unwrap().clone();
        items.into_iter().map(|item| (item["name"].clone(), item["spec"].clone())).collect::<Vec<_>>()
    };
    for kind in ["role", "user", "access_rule", "node"] {
        assert_eq!(specs(&old, kind), specs(&new, kind), "{kind}");
    }
    let again = super::both(well(&new.admin.naru(&["apply", "-f", &file.to_string_lossy()])));
    assert!(!again.contains("created") && !again.contains("changed\t"), "{again}");
}
