//! The server's own machine: its state directory and what its port for operating says. Reads only, a bounded part.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::checks::Checks;
use super::here::open_to_others;
use crate::profile::read_if_there;

/// The format that this version reads.
const FORMAT: u64 = 2;
/// Less than this is little for recordings.
const LITTLE: u64 = 1 << 30;
/// Most keys that are looked at.
const MOST: usize = 1_000;
/// For an answer on this machine or beside it.
const ANSWER: Duration = Duration::from_secs(5);
/// Most bytes of it.
const BYTES: usize = 256 * 1024;

#[derive(Deserialize)]
struct Version {
    format: u64,
    install: String,
}

/// The state directory.
pub(super) fn state(checks: &mut Checks, dir: &Path) {
    let shown = dir.display();
    let version = match read_if_there(&dir.join("VERSION")) {
        Err(failure) => return checks.failed("state", &failure),
        Ok(None) => {
            return checks.fail("state", format!("{shown} has no VERSION file"), "name the directory that the server was given by --state");
        }
        Ok(Some(text)) => text,
    };
    match serde_json::from_str::<Version>(&version) {
        Ok(version) if version.format == FORMAT => {
            checks.ok("state", format!("{shown} is of install {}, format {FORMAT}", version.install))
        }
        Ok(version) => checks.fail(
            "state",
            format!("{shown} has format {}, and this naru knows {FORMAT}", version.format),
            "use the naru that the server runs",
        ),
        Err(error) => checks.fail("state", format!("VERSION in {shown} is damaged: {error}"), "restore the directory from a backup"),
    }
    let mut faults: Vec<String> = open_to_others(dir).into_iter().collect();
    // Who may not enter a folder reaches nothing in it; keys are looked at one by one all the same.
    faults.extend(["keys", "store", "log", "journal"].iter().filter_map(|folder| open_to_others(&dir.join(folder))));
    let keys = std::fs::read_dir(dir.join("keys")).into_iter().flatten().flatten().take(MOST);
    faults.extend(keys.filter_map(|key| open_to_others(&key.path())));
    checks.of(
        "modes",
        "nobody else can read the keys",
        &faults,
        "chmod -R go= on the directory; keys that others could read are to be replaced",
    );
    space(checks, dir);
}

fn space(checks: &mut Checks, dir: &Path) {
    match rustix::fs::statvfs(dir) {
        Ok(found) => {
            let free = found.f_bavail.saturating_mul(found.f_frsize);
            let mib = format!("{} MiB are free", free >> 20);
            if free >= LITTLE {
                checks.ok("space", mib);
            } else {
                checks.fail("space", mib, "make room: without it strict sessions end and none begins");
            }
        }
        Err(error) => checks.fail("space", format!("the disk does not say: {error}"), "look at the disk"),
    }
}

#[derive(Deserialize)]
struct Ready {
    ready: bool,
    parts: BTreeMap<String, Part>,
}

#[derive(Deserialize)]
struct Part {
    ok: bool,
    #[serde(default)]
    needed: bool,
    #[serde(default)]
    reason: Option<String>,
}

/// What the proxy says of itself.
pub(super) async fn ready(checks: &mut Checks, address: SocketAddr) {
    let remedy = "is the proxy running, and is this `operations` in its settings?";
    match timeout(ANSWER, ask(address)).await {
        Err(_) => checks.fail("ready", format!("{address} does not answer within {} s", ANSWER.as_secs()), remedy),
        Ok(Err(error)) => checks.fail("ready", format!("{address} does not answer: {error}"), remedy),
        Ok(Ok(body)) => match serde_json::from_slice::<Ready>(&body) {
            Err(_) => checks.fail("ready", format!("{address} answers with something else"), remedy),
            Ok(said) => told(checks, &said),
        },
    }
}

fn told(checks: &mut Checks, said: &Ready) {
    for (name, part) in said.parts.iter().filter(|(_, part)| !part.ok) {
        let reason = part.reason.as_deref().unwrap_or("it does not say why");
        let weight = if part.needed { "the proxy is not ready without it" } else { "the proxy is ready without it" };
        checks.fail(&format!("ready: {name}"), reason, format!("{weight}; docs/operating.md says what each part is"));
    }
    if said.ready {
        checks.ok("ready", "the proxy is ready");
    } else {
        checks.fail("ready", "the proxy is not ready", "see the parts");
    }
}

async fn ask(address: SocketAddr) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let request = Request::get("/readyz").header(header::HOST, address.to_string()).body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    let body = Limited::new(answer.into_body(), BYTES).collect().await?.to_bytes();
    driver.abort();
    Ok(body)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::checks::State;
    use super::*;

    #[test]
    fn a_state_directory_is_looked_at_without_a_change() {
        let dir = tempfile::tempdir().expect("dir");
        let states = || {
            let mut checks = Checks::default();
            state(&mut checks, dir.path());
            checks
                .states()
                .into_iter()
                .map(|(name, state)| (name.to_owned(), state))
                .filter(|(name, _)| name != "space")
                .collect::<Vec<_>>()
        };
        let (state, modes) = ("state".to_owned(), "modes".to_owned());
        assert_eq!(states(), [(state.clone(), State::Fail)]);
        let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("mode");
        let write = |name: &str, text: &str| {
            std::fs::write(dir.path().join(name), text).expect("written");
            mode(&dir.path().join(name), 0o600);
        };
        mode(dir.path(), 0o700);
        write("VERSION", r#"{"format":2,"install":"n1"}"#);
        std::fs::create_dir(dir.path().join("keys")).expect("made");
        mode(&dir.path().join("keys"), 0o700);
        write("keys/ca", "x");
        assert_eq!(states(), [(state.clone(), State::Ok), (modes.clone(), State::Ok)]);
        mode(&dir.path().join("keys/ca"), 0o604);
        assert_eq!(states(), [(state.clone(), State::Ok), (modes.clone(), State::Fail)]);
        for bad in ["{", r#"{"format":9,"install":"n1"}"#] {
            write("VERSION", bad);
            assert_eq!(states().first(), Some(&(state.clone(), State::Fail)), "{bad}");
        }
    }

    #[test]
    fn each_part_that_does_not_work_has_a_line() {
        let text = r#"{"ready":true,"parts":{"store":{"ok":true,"needed":true},"providers":{"ok":false,"reason":"corp: gone"}}}"#;
        let mut checks = Checks::default();
        told(&mut checks, &serde_json::from_str(text).expect("json"));
        assert_eq!(checks.states(), [("ready: providers", State::Fail), ("ready", State::Ok)]);
    }
}
