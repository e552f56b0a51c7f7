//! One Keycloak process on a port of loopback, from the folder that `cargo xtask keycloak` prepares, with nothing of one run left to the
//! next. It ends when this process does, however that ends: `tests/keycloak/leash.sh` sees to that.

use super::Realm;
use super::admin::Admin;
use super::http::Curl;
use crate::harness::{fast, free_port};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// As in `xtask/src/keycloak.rs`.
const VERSION: &str = "26.4.5";
/// How long a start may take on a busy machine; six seconds are usual.
const PATIENCE: Duration = Duration::from_secs(180);

/// A running Keycloak.
pub struct Keycloak {
    leash: Child,
    folder: PathBuf,
    port: u16,
    admin: Admin,
    realms: AtomicUsize,
}

impl Keycloak {
    /// Whether tests with a Keycloak shall run: not in the inner loop, and not where it cannot be had, as `cargo xtask test` says.
    pub fn wanted() -> bool {
        !fast() && std::env::var_os("NARU_NO_KEYCLOAK").is_none()
    }

    /// Starts one that also trusts the certificates in `ca`, a PEM file, when it calls others; waits until it answers.
    pub fn start(ca: &Path) -> Result<Self, String> {
        Self::start_trusting(&std::fs::read_to_string(ca).map_err(|e| format!("{}: {e}", ca.display()))?)
    }

    /// The same with the certificates themselves.
    pub fn start_trusting(pem: &str) -> Result<Self, String> {
        let dist = dist().ok_or("there is no cache folder: neither XDG_CACHE_HOME nor HOME is set")?;
        let password = std::fs::read_to_string(dist.join("admin-password"))
            .map_err(|_| format!("there is no Keycloak in {}; `cargo xtask keycloak` gets it", dist.display()))?;
        let folder = tempfile::Builder::new().prefix("naru-keycloak-").tempdir().map_err(|e| e.to_string())?.keep();
        let ca = folder.join("ca.pem");
        std::fs::write(&ca, pem).map_err(|e| e.to_string())?;
        let port = free_port();
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("keycloak");
        let log = std::fs::File::create(folder.join("keycloak.log")).map_err(|e| e.to_string())?;
        let errors = log.try_clone().map_err(|e| e.to_string())?;
        let mut command = Command::new(scripts.join("leash.sh"));
        command.arg("--remove").arg(&folder).arg(scripts.join("start.sh")).arg(&dist).arg(&folder).arg(port.to_string()).arg(&ca);
        command.stdin(Stdio::piped()).stdout(log).stderr(errors);
        let leash = command.spawn().map_err(|e| format!("Keycloak could not be started: {e}"))?;
        let admin = Admin::new(format!("http://127.0.0.1:{port}"), password);
        let mut keycloak = Self { leash, folder, port, admin, realms: AtomicUsize::new(1) };
        keycloak.wait()?;
        Ok(keycloak)
    }

    /// The one of this process, started by the first who asks. `ca` gives the certificates that it trusts, once, as PEM.
    pub fn shared(ca: impl FnOnce() -> Result<String, String>) -> Result<&'static Self, String> {
        static SHARED: OnceLock<Result<Keycloak, String>> = OnceLock::new();
        let started = SHARED.get_or_init(|| Self::start_trusting(&ca()?));
        started.as_ref().map_err(Clone::clone)
    }

    fn wait(&mut self) -> Result<(), String> {
        let begun = Instant::now();
        let url = format!("{}/realms/master", self.url());
        while Curl::new(&url).send().is_err() {
            if self.leash.try_wait().is_ok_and(|ended| ended.is_some()) || begun.elapsed() > PATIENCE {
                return Err(format!("Keycloak did not come up; it said: {}", self.log()));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Where it is, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it said so far, refused calls to others among it.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("keycloak.log")).unwrap_or_default()
    }

    /// A new realm whose clients know the Naru at this address (`https://127.0.0.1:PORT`).
    pub fn realm(&self, naru: &str) -> Result<Realm<'_>, String> {
        let number = self.realms.fetch_add(1, Ordering::Relaxed);
        Realm::create(&self.admin, &format!("acme-{number}"), naru)
    }
}

impl Drop for Keycloak {
    fn drop(&mut self) {
        drop(self.leash.stdin.take());
        // However it ended, it is gone.
        let _ = self.leash.wait();
    }
}

/// The prepared folder.
fn dist() -> Option<PathBuf> {
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = || var("XDG_CACHE_HOME").or_else(|| Some(var("HOME")?.join(".cache")));
    var("NARU_KEYCLOAK").or_else(|| Some(cache()?.join("naru").join(format!("keycloak-{VERSION}"))))
}
