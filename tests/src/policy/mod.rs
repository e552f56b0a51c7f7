//! Who may do what, played against the real program: the page `docs/policy.md`, locks, requests, and writes that must not go through.
//!
//! What is asked of `decide` alone is not here but in `access`.

mod audit;
mod locks;
mod page;
mod requests;
mod sessions;
mod watching;
mod writes;

use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Demo, Person};

/// How long something may take to happen; only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where alice may ask for the demo's login, and olga and admin decide. `{login}` is the account that runs the demo.
const ASKING: &str = "
kind: role
name: engineer
spec: {may_request: [prod]}
---
kind: role
name: prod
spec:
  allow:
    ssh: [{labels: {env: [demo]}, logins: ['{login}']}]
---
kind: role
name: lead
spec: {allow: {review: {roles: [prod]}}}
---
kind: access_rule
name: prod
spec: {roles: [prod], approvals: {from: [lead]}, max_ttl: 4h}
---
kind: user
name: olga
spec: {roles: [auditor, lead]}
";

/// The people of a demo, and what they type.
struct Town {
    demo: Demo,
    alice: Person,
    olga: Person,
    admin: Person,
}

impl Town {
    fn start() -> Self {
        let demo = Demo::start(&[]).unwrap();
        let [alice, olga, admin] = ["alice", "olga", "admin"].map(|name| demo.sign_in(name).unwrap());
        Self { demo, alice, olga, admin }
    }

    /// One in which alice has to ask.
    fn asking() -> Self {
        let town = Self::start();
        town.apply(ASKING);
        town
    }

    /// `LOGIN@demo`.
    fn place(&self) -> String {
        format!("{}@demo", self.demo.ready("login"))
    }

    /// What the administrator applies without an objection.
    fn apply(&self, yaml: &str) {
        well(&self.try_apply(yaml));
    }

    fn try_apply(&self, yaml: &str) -> Output {
        let file = self.demo.folder().join("resources.yaml");
        std::fs::write(&file, yaml.replace("{login}", self.demo.ready("login"))).unwrap();
        self.admin.naru(&["apply", "-f", &file.to_string_lossy()])
    }

    /// Makes a request as somebody; its id.
    fn request(&self, who: &Person, words: &[&str]) -> String {
        let place = self.place();
        let out = who.naru(&[&["request", "create", "prod", "--on", &place, "--json"], words].concat());
        json(well(&out))["id"].as_str().unwrap().to_owned()
    }
}

/// An output of a command that ended with 0.
fn well(out: &Output) -> &Output {
    assert!(out.status.success(), "{}: {}", out.status, both(out));
    out
}

/// An output that ended with this code and says this on stderr.
fn refused(out: &Output, code: i32, said: &str) {
    assert!(
        out.status.code() == Some(code) && both(out).contains(said),
        "wanted exit {code} and {said:?}, got {}: {}",
        out.status,
        both(out)
    );
}

fn json(out: &Output) -> Value {
    serde_json::from_slice(&out.stdout).unwrap_or_else(|error| panic!("{error}: {}", both(out)))
}

fn both(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

/// Waits until it is so.
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
