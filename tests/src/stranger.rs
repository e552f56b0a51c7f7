//! Speaks to a proxy's sign-in as whoever likes may: plain requests by curl, from any address of loopback. No expectation lives here.

use crate::harness::Demo;
use crate::issuer::keys::{challenge, random};
use serde_json::{Value, json};
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where the browser is sent back to. Nobody listens there: the test takes the query from the provider's hand.
pub(crate) const CALLBACK: &str = "http://127.0.0.1:1/callback";

/// A proxy as seen from outside, with a key pair for each kind of certificate.
pub(crate) struct Door {
    url: String,
    ca: PathBuf,
    folder: PathBuf,
    ssh_public_key: String,
    csr_pem: String,
}

/// What the proxy said.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) text: String,
    pub(crate) body: Value,
}

/// A sign-in that has begun.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) id: String,
    pub(crate) browse: String,
    pub(crate) verifier: String,
    pub(crate) body: Value,
}

/// Somebody at an address.
#[derive(Clone, Copy)]
pub(crate) struct Stranger<'a> {
    pub(crate) door: &'a Door,
    pub(crate) address: Ipv4Addr,
}

impl Said {
    /// Whether certificates were given.
    pub(crate) fn signed_in(&self) -> bool {
        self.status == 200 && self.body["state"] == "signed_in"
    }

    /// Whether it is a refusal as the API promises one, with nothing in it that a person could use.
    pub(crate) fn refused(&self) -> bool {
        let told = ["code", "title"].iter().all(|name| self.body[*name].as_str().is_some_and(|text| !text.is_empty()));
        self.status >= 400 && told && !self.text.contains("CERTIFICATE") && !self.text.contains("-cert-v01")
    }
}

impl Door {
    /// Makes the keys in the demo's folder.
    pub(crate) fn of(demo: &Demo) -> Self {
        Self::named(demo, "stranger")
    }

    /// The same with keys of somebody else.
    pub(crate) fn named(demo: &Demo, name: &str) -> Self {
        Self::to(demo, name, demo.ready("url"), Path::new(demo.ready("ca")))
    }

    /// The same at another address that leads to the proxy, whose certificates `ca` signs.
    pub(crate) fn to(demo: &Demo, name: &str, url: &str, ca: &Path) -> Self {
        let folder = demo.folder().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let at = |name: &str| folder.join(name).to_string_lossy().into_owned();
        run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &at("ssh")]);
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
        run(
            "openssl",
            &[&["req", "-new", "-nodes"], &curve[..], &["-subj", "/CN=naru", "-keyout", &at("key.pem"), "-out", &at("csr.pem")]].concat(),
        );
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        Self { url: url.to_owned(), ca: ca.into(), ssh_public_key: read("ssh.pub").trim().to_owned(), csr_pem: read("csr.pem"), folder }
    }

    /// Somebody at an address of loopback.
    pub(crate) fn from(&self, address: Ipv4Addr) -> Stranger<'_> {
        Stranger { door: self, address }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The fields of the two public keys.
    pub(crate) fn keys(&self) -> Value {
        json!({"ssh_public_key": self.ssh_public_key, "csr_pem": self.csr_pem})
    }
}

impl Stranger<'_> {
    /// curl to a path of the proxy, with the words of the caller before it.
    pub(crate) fn curl(&self, path: &str, words: &[&str]) -> Command {
        let mut command = Command::new("curl");
        // Not HTTP/2: this curl takes an answer that comes before its question is whole for a fault there.
        command.args(["-sS", "--http1.1", "--max-time", "60", "--interface", &self.address.to_string(), "--cacert"]).arg(&self.door.ca);
        command.args(words).arg(format!("{}{path}", self.door.url));
        command
    }

    /// Asks with more words for curl, and a body.
    pub(crate) fn ask(&self, path: &str, words: &[&str], body: &[u8]) -> Said {
        let mut command = self.curl(path, &[&["-w", "\n%{http_code}"], words].concat());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // It may have been answered before all was sent.
        let _ = stdin.write_all(body);
        drop(stdin);
        let out = child.wait_with_output().unwrap();
        let all = String::from_utf8_lossy(&out.stdout).into_owned();
        let (text, status) = all.rsplit_once('\n').unwrap_or_default();
        assert!(status.parse::<u16>().is_ok_and(|status| status > 0), "{path}: {}", String::from_utf8_lossy(&out.stderr));
        Said { status: status.parse().unwrap(), text: text.into(), body: serde_json::from_str(text).unwrap_or(Value::Null) }
    }

    /// Posts JSON.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Said {
        self.ask(path, &["-H", "Content-Type: application/json", "--data-binary", "@-"], body.to_string().as_bytes())
    }

    /// What a begin sends.
    pub(crate) fn wish(&self, connector: &str, verifier: &str) -> Value {
        let mut wish = self.door.keys();
        let more = json!({"connector": connector, "flow": "browser", "redirect": format!("{CALLBACK}/{connector}"), "challenge": challenge(verifier), "host": "laptop"});
        wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        wish
    }

    /// Begins with a browser.
    pub(crate) fn begin(&self, connector: &str) -> Result<Attempt, Said> {
        self.begin_with(connector, |wish| wish)
    }

    /// Begins with something changed in what is sent.
    pub(crate) fn begin_with(&self, connector: &str, change: impl Fn(Value) -> Value) -> Result<Attempt, Said> {
        let verifier = random();
        let said = self.post("/v1/sign-in/begin", &change(self.wish(connector, &verifier)));
        let text = |name: &str| said.body[name].as_str().unwrap_or_default().to_owned();
        match said.status {
            200 => Ok(Attempt { id: text("id"), browse: text("browse"), verifier, body: said.body }),
            _ => Err(said),
        }
    }

    /// Shows what the browser brought back.
    pub(crate) fn finish(&self, attempt: &Attempt, query: &str) -> Said {
        self.post("/v1/sign-in/finish", &json!({"id": attempt.id, "verifier": attempt.verifier, "answer": query}))
    }

    /// Asks whether somebody has approved elsewhere.
    pub(crate) fn poll(&self, attempt: &Attempt) -> Said {
        self.post("/v1/sign-in/finish", &json!({"id": attempt.id, "verifier": attempt.verifier}))
    }

    /// Says a logout token, as a provider does.
    pub(crate) fn logout(&self, connector: &str, body: &[u8]) -> Said {
        self.ask(&format!("/v1/oidc/{connector}/backchannel-logout"), &["--data-binary", "@-"], body)
    }

    /// Gets a path without a body.
    pub(crate) fn get(&self, path: &str) -> Said {
        self.ask(path, &[], b"")
    }

    /// Who the proxy says that the holder of a sign-in's certificate is.
    pub(crate) fn status(&self, signed_in: &Said) -> Said {
        self.ask_as(signed_in, "/v1/status", &[], b"")
    }

    /// Posts JSON with the certificate of a sign-in.
    pub(crate) fn post_as(&self, signed_in: &Said, path: &str, body: &Value) -> Said {
        let words = ["-H", "Content-Type: application/json", "--data-binary", "@-"];
        self.ask_as(signed_in, path, &words, body.to_string().as_bytes())
    }

    fn ask_as(&self, signed_in: &Said, path: &str, words: &[&str], body: &[u8]) -> Said {
        let file = self.door.path(&random());
        std::fs::write(&file, signed_in.body["x509_chain_pem"].as_str().unwrap()).unwrap();
        let key = self.door.path("key.pem");
        let said = self.ask(path, &[&["--cert", &text(&file), "--key", &text(&key)], words].concat(), body);
        std::fs::remove_file(file).unwrap();
        said
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn run(program: &str, args: &[&str]) {
    let out = Command::new(program).args(args).stdin(Stdio::null()).output().unwrap();
    assert!(out.status.success(), "{program}: {}", String::from_utf8_lossy(&out.stderr));
}
