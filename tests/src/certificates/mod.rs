//! The server's own certificate, from outside: browsers get the one that was set or ordered, Naru's own programs that of its CA, and a
//! change takes no restart.

mod browser;
mod pebble;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Demo, Person, free_port, signal};
use browser::{Authority, shown};
use pebble::Pebble;
use rustix::process::Signal;

const BROWSER: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// How long anything may take on a busy machine; no figure.
const PATIENCE: Duration = Duration::from_secs(120);

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{what} did not come");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn events(admin: &Person) -> Vec<(String, String)> {
    let out = admin.naru(&["--json", "events", "search", "--type", "certificate.*"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let event = |line: &str| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        (event["type"].as_str().unwrap().to_owned(), event["data"].to_string())
    };
    String::from_utf8(out.stdout).unwrap().lines().map(event).collect()
}

/// Signed in by a link whose address is a name, so that the name is said in TLS.
fn admin(up: &Demo) -> Person {
    assert!(up.ready("sign_in.admin").contains("localhost"), "{}", up.ready("sign_in.admin"));
    let admin = up.sign_in("admin").unwrap();
    let roles = format!(
        "kind: role\nname: ops\nspec:\n  allow:\n    ssh:\n      - {{labels: {{\"*\": [\"*\"]}}, logins: [{}]}}\n---\n\
         kind: user\nname: admin\nspec: {{roles: [admin, auditor, ops]}}\n",
        me()
    );
    std::fs::write(admin.home().join("me.yaml"), roles).unwrap();
    let out = admin.naru(&["apply", "-f", "me.yaml"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    admin
}

#[test]
fn files_are_read_again_and_broken_ones_change_nothing() {
    let (theirs, port) = (Authority::new(), free_port());
    let folder = tempfile::tempdir().unwrap();
    let put = |(chain, key): &(String, String)| {
        std::fs::write(folder.path().join("tls.key"), key).unwrap();
        std::fs::write(folder.path().join("tls.crt"), chain).unwrap();
    };
    let at = folder.path().display();
    let settings = format!("public: [localhost, naru.example]\ncertificate:\n  file: {{chain: {at}/tls.crt, key: {at}/tls.key}}\n");
    put(&theirs.sign(&["localhost"]));
    let refused = Demo::up_on(port, &settings).err().expect("it is not for naru.example");
    assert!(refused.contains("NARU-C118") && refused.contains("naru.example"), "{refused}");
    put(&theirs.sign(&["localhost", "naru.example"]));
    let up = Demo::up_on(port, &settings).unwrap();
    let seen = || shown(port, "naru.example", &theirs.pem(), &BROWSER);
    let first = seen().expect("a browser believes it");
    // Over a name that the public certificate has as well: a person, and an agent that joins and serves.
    let admin = admin(&up);
    let _agent = agent(&up);
    let on_host = || admin.naru(&["ssh", "web-1", "--", "echo", "across"]);
    until("the agent", || on_host().status.success().then_some(()));
    assert_eq!(on_host().stdout, b"across\n");
    put(&theirs.sign(&["localhost", "naru.example"]));
    let second = until("the new certificate", || seen().ok().filter(|pin| *pin != first));
    put(&theirs.sign(&["elsewhere.example"]));
    let told = until("the event", || events(&admin).into_iter().find(|(kind, _)| kind == "certificate.failed"));
    assert!(told.1.contains("it is not for localhost"), "{told:?}");
    assert_eq!(seen(), Ok(second), "the one before goes on");
    let kinds: Vec<String> = events(&admin).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["certificate.changed", "certificate.failed"]);
    assert_eq!(on_host().stdout, b"across\n", "no agent minds");
    assert!(!up.log().contains("PRIVATE KEY"));
}

#[test]
fn a_certificate_is_ordered_renewed_and_kept_and_our_own_programs_go_on_with_our_ca() {
    if !Pebble::wanted() {
        return;
    }
    let port = free_port();
    let pebble = Pebble::start(port, 45).unwrap();
    let mut up = Demo::up_on(port, &pebble.settings("localhost, naru.example, 127.0.0.1")).unwrap();
    let seen = |name: &str| shown(port, name, &pebble.root, &BROWSER);
    let first = until("a certificate", || {
        seen("naru.example").inspect_err(|_| assert!(!up.log().contains("no certificate was"), "{}{}", up.log(), pebble.log())).ok()
    });
    assert_eq!(seen("localhost"), Ok(first), "one for all names");
    let admin = admin(&up);
    let ours = std::fs::read_to_string(up.state().join("keys/x509-ca.crt")).unwrap();
    assert!(shown(port, "localhost", &ours, &[b"naru-ssh/1"]).is_ok(), "SSH in TLS believes our CA");
    assert!(shown(port, "localhost", &ours, &BROWSER).is_err(), "browsers are shown the other");
    let second = until("the renewal", || seen("naru.example").ok().filter(|pin| *pin != first));
    let kinds: Vec<String> = events(&admin).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["certificate.changed", "certificate.changed"]);
    assert!(up.end().is_some_and(|status| status.success()));
    up.start_again().unwrap();
    assert_eq!(seen("naru.example"), Ok(second), "what was ordered is kept");
    for (name, mode) in private(&up.state().join("keys/acme")) {
        assert_eq!(mode & 0o077, 0, "{name} can be read by others");
    }
    assert!(!up.log().contains("PRIVATE KEY"));
}

#[test]
fn where_nothing_can_be_ordered_our_own_certificate_stays_and_an_event_says_why() {
    if !Pebble::wanted() {
        return;
    }
    // The ACME server asks back on a port where nobody answers.
    let (nobody, port) = (free_port(), free_port());
    let pebble = Pebble::start(nobody, 45).unwrap();
    let up = Demo::up_on(port, &pebble.settings("localhost")).unwrap();
    let admin = admin(&up);
    let told = until("the event", || events(&admin).into_iter().next());
    assert!(told.0 == "certificate.failed" && (told.1.contains("localhost: ") || told.1.contains("Failed to connect")), "{told:?}");
    let ours = std::fs::read_to_string(up.state().join("keys/x509-ca.crt")).unwrap();
    assert!(shown(port, "localhost", &ours, &BROWSER).is_ok());
}

fn me() -> String {
    let out = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

/// An agent that ends with this value.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        signal(self.0.id(), Signal::TERM);
        // It may have gone already.
        let _ = self.0.wait();
    }
}

/// Joins this machine as `web-1` with the line that was printed, and serves it.
fn agent(up: &Demo) -> Agent {
    let mut words: Vec<&str> = up.ready("join").split(' ').skip(1).map(|word| if word == "NAME" { "web-1" } else { word }).collect();
    words.extend(["--state", "a1", "--no-run"]);
    let out = up.naru(&words).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    std::fs::write(up.folder().join("agent.yaml"), format!("allow_logins: [{}]\n", me())).unwrap();
    Agent(up.naru(&["agent", "run", "--state", "a1", "--config", "agent.yaml"]).stderr(Stdio::null()).spawn().unwrap())
}

/// Every file and folder below, with its mode.
fn private(folder: &std::path::Path) -> Vec<(String, u32)> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        out.push((path.display().to_string(), entry.metadata().unwrap().permissions().mode()));
        if path.is_dir() {
            out.extend(private(&path));
        }
    }
    assert!(!out.is_empty(), "nothing is kept in {}", folder.display());
    out
}
