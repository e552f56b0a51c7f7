//! `cargo xtask keycloak`: gets a real Keycloak through Maven, prepares it for quick starts, and keeps it in the user's cache folder.
//!
//! Starting one is `tests/keycloak/start.sh`, which the tests use too; nothing here knows of realms.

use crate::{needs, run};
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

const VERSION: &str = "26.4.5";
/// Of the zip on Maven Central. A program from elsewhere is run only if it is the one that was looked at.
const SHA256: &str = "72f73642a2c36de797d51b4b2b342d4a49f6e5832af10aa470cd123627bd80b3";
const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy";
/// How long a start may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);
/// The administrator of every Keycloak of ours; the password lies beside the distribution.
pub(crate) const ADMIN: &str = "admin";

/// The folder of the prepared Keycloak: `NARU_KEYCLOAK`, else a place in the user's cache. The tests look at the same place.
pub(crate) fn folder() -> Result<PathBuf, String> {
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(given) = var("NARU_KEYCLOAK") {
        return Ok(given);
    }
    let cache = var("XDG_CACHE_HOME").or_else(|| var("HOME").map(|home| home.join(".cache")));
    let cache = cache.ok_or("there is no cache folder for Keycloak: neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(cache.join("naru").join(format!("keycloak-{VERSION}")))
}

/// The verb: prepares it and says where it is.
pub(crate) fn keycloak(args: &[String]) -> Result<ExitCode, String> {
    if !args.is_empty() {
        return Err("keycloak takes no argument".into());
    }
    println!("{}", prepare(&mut |line| println!("{line}"))?.display());
    Ok(ExitCode::SUCCESS)
}

/// Makes sure that it is there, getting it the first time (some 30 s); the error says in one sentence why it cannot be had.
pub(crate) fn prepare(say: &mut dyn FnMut(&str)) -> Result<PathBuf, String> {
    needs::keycloak(say)?;
    let folder = folder()?;
    if folder.join("seed").is_dir() {
        return Ok(folder);
    }
    let parent = folder.parent().ok_or("NARU_KEYCLOAK names no folder that can be made")?;
    let fault = |error: std::io::Error| format!("{} cannot be used for Keycloak: {error}", parent.display());
    std::fs::create_dir_all(parent).map_err(fault)?;
    let lock = std::fs::File::create(parent.join("keycloak.lock")).map_err(fault)?;
    lock.lock().map_err(fault)?;
    if folder.join("seed").is_dir() {
        return Ok(folder);
    }
    say(&format!("getting Keycloak {VERSION} through Maven, once (160 MB)"));
    // Made whole beside its place and then renamed: whoever finds the folder finds all of it.
    let new = parent.join(format!("keycloak-{VERSION}.new"));
    // Left by a run that was cut off; the lock is ours.
    let _ = std::fs::remove_dir_all(&new);
    let made = make(&new).and_then(|()| std::fs::rename(&new, &folder).map_err(fault));
    if made.is_err() {
        let _ = std::fs::remove_dir_all(&new);
    }
    made.map(|()| folder)
}

fn make(new: &Path) -> Result<(), String> {
    std::fs::DirBuilder::new().mode(0o700).create(new).map_err(|e| format!("{} cannot be made: {e}", new.display()))?;
    let zip = new.join(format!("keycloak-quarkus-dist-{VERSION}.zip"));
    let artifact = format!("-Dartifact=org.keycloak:keycloak-quarkus-dist:{VERSION}:zip");
    must(Command::new("mvn").args(["-q", "-B", COPY, &artifact]).arg(format!("-DoutputDirectory={}", new.display())))?;
    let sum = must(Command::new("sha256sum").arg("--").arg(&zip))?;
    if !sum.starts_with(SHA256) {
        return Err(format!("what Maven brought as Keycloak {VERSION} is not the zip that is expected: its SHA-256 is {sum}"));
    }
    must(Command::new("unzip").arg("-q").arg(&zip).arg("-d").arg(new))?;
    let moved = std::fs::remove_file(&zip);
    let moved = moved.and_then(|()| std::fs::rename(new.join(format!("keycloak-{VERSION}")), new.join("keycloak")));
    moved.map_err(|e| format!("{} could not be tidied: {e}", new.display()))?;
    must(Command::new(new.join("keycloak/bin/kc.sh")).args(["build", "--db=dev-file"]))?;
    seed(new).map_err(|e| format!("Keycloak {VERSION} did not start the first time: {e}"))
}

/// Starts it once for its database with the master realm, whose administrator gets a password that only this user can read.
fn seed(dist: &Path) -> Result<(), String> {
    let io = |e: std::io::Error| e.to_string();
    let password = secret()?;
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(dist.join("admin-password"));
    std::io::Write::write_all(&mut file.map_err(io)?, password.as_bytes()).map_err(io)?;
    let run = dist.join("run");
    std::fs::create_dir(&run).map_err(io)?;
    let port = free_port()?;
    let running = Start { dist, folder: &run, port, ca: None, first: Some(&password), remove: None }.run()?;
    running.end();
    std::fs::rename(run.join("data/h2"), dist.join("seed")).map_err(io)?;
    std::fs::remove_dir_all(&run).map_err(io)
}

/// What a start needs.
pub(crate) struct Start<'a> {
    /// What [`prepare`] made.
    pub(crate) dist: &'a Path,
    /// Of this run alone, empty but for realms in `data/import`.
    pub(crate) folder: &'a Path,
    /// On loopback.
    pub(crate) port: u16,
    /// Whom it trusts beside the world's authorities.
    pub(crate) ca: Option<&'a Path>,
    /// The administrator's password where there is no database yet.
    pub(crate) first: Option<&'a str>,
    /// Goes when the run ends, however it does.
    pub(crate) remove: Option<&'a Path>,
}

/// A Keycloak that ends with us.
pub(crate) struct Running {
    leash: Child,
}

impl Start<'_> {
    /// Starts it and waits until it answers.
    pub(crate) fn run(&self) -> Result<Running, String> {
        let scripts = run::root().join("tests/keycloak");
        let log = self.folder.join("keycloak.log");
        let out = std::fs::File::create(&log).map_err(|e| format!("{}: {e}", log.display()))?;
        let err = out.try_clone().map_err(|e| e.to_string())?;
        let mut command = Command::new(scripts.join("leash.sh"));
        if let Some(folder) = self.remove {
            command.arg("--remove").arg(folder);
        }
        command.arg(scripts.join("start.sh")).arg(self.dist).arg(self.folder).arg(self.port.to_string()).args(self.ca);
        command.stdin(Stdio::piped()).stdout(out).stderr(err);
        if let Some(password) = self.first {
            command.env("KC_BOOTSTRAP_ADMIN_USERNAME", ADMIN).env("KC_BOOTSTRAP_ADMIN_PASSWORD", password);
        }
        let mut leash = command.spawn().map_err(|e| format!("it could not be started: {e}"))?;
        let begun = Instant::now();
        while !answers(self.port) {
            if leash.try_wait().is_ok_and(|ended| ended.is_some()) || begun.elapsed() > PATIENCE {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                let last: Vec<&str> = said.lines().rev().take(5).collect();
                return Err(format!(
                    "Keycloak did not come up; its last lines: {}",
                    last.into_iter().rev().collect::<Vec<_>>().join(" | ")
                ));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(Running { leash })
    }
}

impl Running {
    /// Ends it in order, so that its database is whole.
    pub(crate) fn end(mut self) {
        drop(self.leash.stdin.take());
        // Whether it ended well shows in what it left.
        let _ = self.leash.wait();
    }
}

fn answers(port: u16) -> bool {
    let url = format!("http://127.0.0.1:{port}/realms/master");
    run::capture(Command::new("curl").args(["-sf", "--max-time", "10", "-o", "/dev/null", &url])).is_ok_and(|said| said.status.success())
}

/// A port of loopback that nobody listens on at this moment.
pub(crate) fn free_port() -> Result<u16, String> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    listener.map(|at| at.port()).map_err(|e| format!("there is no free port: {e}"))
}

/// 128 random bits as text.
pub(crate) fn secret() -> Result<String, String> {
    let mut bytes = [0; 16];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|e| format!("there is no randomness here: {e}"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn must(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let said = run::capture(command)?;
    if said.status.success() {
        return Ok(said.text);
    }
    let why = said.text.lines().find(|line| line.contains("ERROR")).or(said.text.lines().last()).unwrap_or("it said nothing");
    Err(format!("Keycloak {VERSION} could not be made ready: {name} failed: {why}"))
}
