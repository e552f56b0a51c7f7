//! What is measured against what: two `sshd`, and Naru when there is a binary that starts. No measure lives here.

use crate::route::{Route, time};
use crate::sshd::{Sshd, keygen};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use tests::harness::{Demo, Person};

/// A demo, and the people in it.
pub(crate) struct Naru {
    pub(crate) demo: Demo,
    /// Whose sessions are measured.
    _alice: Person,
    olga: Person,
    admin: Person,
}

impl Naru {
    /// Waits until the last session is over: its recording is stored and signed. So nothing of it is left to do while the next route
    /// has its turn.
    pub(crate) fn settle(&self) -> Result<Duration, String> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let out = self.olga.naru(&["--json", "sessions", "ls", "--limit", "1"]);
            let list: Value = serde_json::from_slice(&out.stdout).map_err(|e| format!("sessions ls: {e}"))?;
            if list["items"][0]["live"] == false {
                return Ok(start.elapsed());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err("the last recording was not closed".into())
    }

    /// From now on input is kept, and not only its hash.
    pub(crate) fn keep_input(&self) -> Result<(), String> {
        let mut role = self.shown(&["get", "role", "engineer"])?;
        role["spec"]["options"]["record_input"] = true.into();
        self.apply(&role.to_string())
    }

    /// Declares resources, as the administrator.
    pub(crate) fn apply(&self, yaml: &str) -> Result<(), String> {
        let file = self.admin.home().join("applied.yaml");
        std::fs::write(&file, yaml).map_err(|e| e.to_string())?;
        self.administer(&["apply", "-f", &file.to_string_lossy()])
    }

    /// A command of the administrator.
    pub(crate) fn administer(&self, words: &[&str]) -> Result<(), String> {
        let out = self.admin.naru(words);
        if out.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&out.stderr).into_owned()) }
    }

    /// What a command of the administrator answers.
    pub(crate) fn shown(&self, words: &[&str]) -> Result<Value, String> {
        let out = self.admin.naru(&[&["--json"], words].concat());
        serde_json::from_slice(&out.stdout).map_err(|e| format!("{}: {e}", words.join(" ")))
    }

    /// The pin of the demo's authority, as its join line names it.
    pub(crate) fn pin(&self) -> Result<String, String> {
        let mut words = self.demo.ready("join").split(' ');
        words.find(|word| *word == "--ca-pin").and_then(|_| words.next()).map(str::to_owned).ok_or_else(|| "no pin".to_owned())
    }
}

/// How long a recording may take to be closed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Everything that runs during the measurements, and ends with it.
pub(crate) struct Setup {
    /// Small and short, to see that it works.
    pub(crate) quick: bool,
    /// In the order in which they take turns.
    pub(crate) routes: Vec<Route>,
    /// Naru, if it could be started.
    pub(crate) naru: Option<Naru>,
    /// Why Naru is missing, and the like.
    pub(crate) notes: Vec<String>,
    /// For whatever a measure needs.
    pub(crate) folder: tempfile::TempDir,
    /// The one that is reached directly.
    pub(crate) target: Sshd,
    _hop: Sshd,
}

impl Setup {
    /// Starts all, and checks that a command runs over each route.
    pub(crate) fn start(quick: bool) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("naru-bench-").tempdir().map_err(|e| e.to_string())?;
        keygen(&folder.path().join("user_key"))?;
        let (target, hop) = (Sshd::start(folder.path(), "target")?, Sshd::start(folder.path(), "hop")?);
        let config = ssh_config(folder.path().to_path_buf(), &target, &hop)?;
        let stock = |name, host: &str| Route { name, config: config.clone(), host: host.into(), env: Vec::new() };
        let mut routes = vec![stock("direct", "target"), stock("jump", "jump")];
        for route in &routes {
            time(&mut route.ssh(&[], "true")).map_err(|why| format!("{} does not work: {why}", route.name))?;
        }
        let mut notes = Vec::new();
        let naru = start_naru(&mut routes).map_err(|why| notes.push(format!("naru: {why}"))).ok();
        Ok(Self { quick, routes, naru, notes, folder, target, _hop: hop })
    }

    /// A number for a whole run, and one for a quick one.
    pub(crate) fn size<T>(&self, whole: T, quick: T) -> T {
        if self.quick { quick } else { whole }
    }
}

fn start_naru(routes: &mut Vec<Route>) -> Result<Naru, String> {
    if std::env::var_os("NARU_BIN").is_none() {
        return Err("there is no binary (NARU_BIN)".into());
    }
    let demo = Demo::start(&[])?;
    let [alice, olga, admin] = ["alice", "olga", "admin"].map(|name| demo.sign_in(name));
    let alice = alice?;
    let env = vec![("NARU_HOME".into(), alice.home().join("naru")), ("HOME".into(), alice.home().into())];
    let route = Route { name: "naru", config: alice.ssh_config(), host: format!("{}.naru", demo.ready("node")), env };
    time(&mut route.ssh(&[], "true"))?;
    routes.push(route);
    Ok(Naru { demo, _alice: alice, olga: olga?, admin: admin? })
}

fn ssh_config(folder: PathBuf, target: &Sshd, hop: &Sshd) -> Result<PathBuf, String> {
    let known = folder.join("known_hosts");
    let mut lines = String::new();
    for (name, sshd) in [("target", target), ("hop", hop)] {
        let key = std::fs::read_to_string(folder.join(format!("{name}_host_key.pub"))).map_err(|e| e.to_string())?;
        lines.push_str(&format!("[127.0.0.1]:{} {key}", sshd.port));
    }
    std::fs::write(&known, lines).map_err(|e| e.to_string())?;
    let id = Command::new("id").arg("-un").output().map_err(|e| e.to_string())?;
    let common = format!(
        "  HostName 127.0.0.1\n  User {user}\n  IdentityFile {key}\n  IdentitiesOnly yes\n  UserKnownHostsFile {known}\n\
         \x20 StrictHostKeyChecking yes\n",
        user = String::from_utf8_lossy(&id.stdout).trim(),
        key = folder.join("user_key").display(),
        known = known.display(),
    );
    let text = format!(
        "Host target\n  Port {t}\n{common}\nHost hop\n  Port {h}\n{common}\nHost jump\n  Port {t}\n  ProxyJump hop\n{common}",
        t = target.port,
        h = hop.port,
    );
    let file = folder.join("ssh_config");
    std::fs::write(&file, text).map_err(|e| e.to_string())?;
    Ok(file)
}
