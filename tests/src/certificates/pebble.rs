//! One Pebble, the ACME server that Let's Encrypt tests clients with: on loopback, with names that lead to this machine, asking back on one
//! port. `cargo xtask pebble` gets it; it ends when this process does (`tests/keycloak/leash.sh`).

use super::browser::{Authority, get};
use crate::harness::{fast, free_port};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// As in `xtask/src/pebble.rs`.
const VERSION: &str = "2.10.1";
const PATIENCE: Duration = Duration::from_secs(60);

/// A running Pebble.
pub(super) struct Pebble {
    leash: Child,
    folder: PathBuf,
    port: u16,
    /// Signs what its directory is shown with, PEM.
    pub(super) ca: String,
    /// Signs what it signs, PEM.
    pub(super) root: String,
}

impl Pebble {
    /// Whether tests with it shall run: not in the inner loop, and not where it cannot be had, as `cargo xtask test` says.
    pub(super) fn wanted() -> bool {
        !fast() && std::env::var_os("NARU_NO_PEBBLE").is_none()
    }

    /// Starts one that asks back on `port` of this machine and signs for `life` seconds.
    pub(super) fn start(port: u16, life: u64) -> Result<Self, String> {
        let program = program().filter(|path| path.is_file()).ok_or("there is no Pebble; `cargo xtask pebble` gets it")?;
        let folder = tempfile::Builder::new().prefix("naru-pebble-").tempdir().map_err(|e| e.to_string())?.keep();
        let put = |name: &str, text: &str| std::fs::write(folder.join(name), text).map_err(|e| e.to_string());
        let authority = Authority::new();
        let (chain, key) = authority.sign(&["localhost", "127.0.0.1"]);
        put("own.crt", &chain)?;
        put("own.key", &key)?;
        put("ca.pem", &authority.pem())?;
        let (own, manage) = (free_port(), free_port());
        let config = serde_json::json!({"pebble": {
            "listenAddress": format!("127.0.0.1:{own}"), "managementListenAddress": format!("127.0.0.1:{manage}"),
            "certificate": folder.join("own.crt"), "privateKey": folder.join("own.key"),
            "httpPort": free_port(), "tlsPort": port, "ocspResponderURL": "", "externalAccountBindingRequired": false,
            "retryAfter": {"authz": 1, "order": 1}, "keyAlgorithm": "ecdsa",
            "profiles": {"default": {"description": "short", "validityPeriod": life}},
        }});
        put("pebble.json", &config.to_string())?;
        let log = std::fs::File::create(folder.join("pebble.log")).map_err(|e| e.to_string())?;
        let errors = log.try_clone().map_err(|e| e.to_string())?;
        let leash = Path::new(env!("CARGO_MANIFEST_DIR")).join("keycloak/leash.sh");
        let mut command = Command::new(leash);
        command.arg("--remove").arg(&folder).arg(program).arg("-config").arg(folder.join("pebble.json"));
        command.arg("-dnsserver").arg(format!("127.0.0.1:{}", names_lead_here()?));
        // It refuses a nonce now and then, as servers may; it does not wait before it asks back.
        command.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_WFE_NONCEREJECT", "20");
        command.stdin(Stdio::piped()).stdout(log).stderr(errors);
        let leash = command.spawn().map_err(|e| format!("Pebble could not be started: {e}"))?;
        let mut pebble = Self { leash, folder, port: own, ca: authority.pem(), root: String::new() };
        let begun = Instant::now();
        loop {
            match get(manage, "/roots/0", &pebble.ca) {
                Ok(root) => break pebble.root = root,
                Err(why) if begun.elapsed() > PATIENCE => return Err(format!("Pebble did not come up: {why}; it said: {}", pebble.log())),
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
        Ok(pebble)
    }

    /// The settings that order from it, with these names.
    pub(super) fn settings(&self, names: &str) -> String {
        format!(
            "public: [{names}]\ncertificate:\n  acme:\n    directory: https://127.0.0.1:{}/dir\n    contact: [\"mailto:ops@naru.example\"]\n    \
             terms_agreed: true\n    ca: {}\n",
            self.port,
            self.folder.join("ca.pem").display()
        )
    }

    /// What it said so far.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("pebble.log")).unwrap_or_default()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        drop(self.leash.stdin.take());
        // However it ended, it is gone.
        let _ = self.leash.wait();
    }
}

fn program() -> Option<PathBuf> {
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = || var("XDG_CACHE_HOME").or_else(|| Some(var("HOME")?.join(".cache")));
    let folder = var("NARU_PEBBLE").or_else(|| Some(cache()?.join("naru").join(format!("pebble-{VERSION}"))))?;
    Some(folder.join("pebble"))
}

/// A name server (RFC 1035) over TCP, as Pebble asks it, for which every name has the address 127.0.0.1 and nothing else; answers its port.
fn names_lead_here() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    let port = listener.local_addr().map_err(|e| e.to_string())?.port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                // It ends when the other side does.
                let _ = name_server(stream);
            });
        }
    });
    Ok(port)
}

fn name_server(mut stream: TcpStream) -> std::io::Result<()> {
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut asked = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut asked)?;
        let answer = answer(&asked).unwrap_or_default();
        stream.write_all(&[&u16::try_from(answer.len()).unwrap_or(0).to_be_bytes()[..], &answer].concat())?;
    }
}

fn answer(asked: &[u8]) -> Option<Vec<u8>> {
    let mut end = 12;
    while *asked.get(end)? != 0 {
        end += 1 + usize::from(asked[end]);
    }
    // The name's last byte, type and class.
    let question = asked.get(12..end + 5)?;
    let is_address = question.ends_with(&[0, 1, 0, 1]);
    let mut out = asked[..2].to_vec();
    out.extend([0x81, 0x80, 0, 1, 0, u8::from(is_address), 0, 0, 0, 0]);
    out.extend(question);
    if is_address {
        // The name again, A, IN, 60 seconds, four bytes.
        out.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    Some(out)
}
