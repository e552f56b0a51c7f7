//! Signing in through a real Keycloak, from `naru login` to what a session says when it is cut, and out again. What an issuer of our own
//! can show is in `refused_sign_ins`.
//!
//! Here is what the tests beside this file share: a Naru whose connector is applied, people who sign in, shells that live.

mod asked_again;
mod bots;
mod break_glass;
mod doctor;
mod figures;
mod flows;
mod people;
mod signed_out;
mod step_up;
mod wire;

use self::wire::Wire;
use crate::harness::{Demo, Person};
use crate::keycloak::company::{company, keycloak};
use crate::keycloak::{self, Browser, Opener, Realm, Seen};
use crate::pty::Terminal;
use crate::recordings::{PATIENCE, wait};
use crate::refused_sign_ins::{apply, events};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Command, Stdio};

/// Naru, its connector `keycloak` and a realm behind it.
struct Acme {
    demo: Demo,
    realm: Realm<'static>,
    admin: Person,
    olga: Person,
    issuer: String,
    /// Where people and Naru find Keycloak.
    keycloak: String,
}

/// The account that the demo's agent opens sessions as.
fn account() -> String {
    let out = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Acme {
    /// With more lines of the connector's spec.
    fn with(more: &str) -> Self {
        let (demo, realm) = company().unwrap();
        Self::of(demo, realm, keycloak().unwrap().url(), more)
    }

    /// The same with a Keycloak that can be reached by the wire alone.
    fn by_wire(more: &str) -> (Self, Wire) {
        let (demo, realm) = company().unwrap();
        let wire = Wire::to(&keycloak().unwrap().url());
        realm.set(&serde_json::json!({"attributes": {"frontendUrl": wire.url}})).unwrap();
        (Self::of(demo, realm, wire.url.clone(), more), wire)
    }

    fn of(demo: Demo, realm: Realm<'static>, keycloak: String, more: &str) -> Self {
        let issuer = format!("{keycloak}/realms/{}", realm.name());
        let acme = Self { admin: demo.sign_in("admin").unwrap(), olga: demo.sign_in("olga").unwrap(), demo, realm, issuer, keycloak };
        acme.role("sre", "");
        acme.role("developer", "");
        acme.apply(&acme.connector(more)).unwrap();
        acme
    }

    fn new() -> Self {
        Self::with("")
    }

    fn apply(&self, resources: &str) -> Result<(), String> {
        apply(&self.admin, "resources", resources)
    }

    /// A role that reaches every node as the demo's account, with options in one line.
    fn role(&self, name: &str, options: &str) {
        let options = if options.is_empty() { String::new() } else { format!("  options: {options}\n") };
        let role = format!(
            "---\nkind: role\nname: {name}\nspec:\n  allow:\n    ssh:\n      - {{labels: {{'*': ['*']}}, logins: [{}]}}\n{options}",
            account()
        );
        self.apply(&role).unwrap();
    }

    /// The connector of the README, with more lines.
    fn connector(&self, more: &str) -> String {
        let more: String = more.lines().map(|line| format!("  {line}\n")).collect();
        format!(
            "---\nkind: oidc_connector\nname: keycloak\nspec:\n  issuer: {}\n  client_id: naru\n  client_secret: naru-secret\n  \
             scopes: [openid, profile, email]\n  claims:\n    groups: {{/platform/sre: [sre], '/product/*': [developer]}}\n    \
             realm_access.roles: {{security-officer: [auditor]}}\n{more}",
            self.issuer
        )
    }

    fn pin(&self) -> &str {
        self.demo.ready("join").split(' ').find(|word| word.starts_with("sha256:")).unwrap()
    }

    /// Somebody at a computer of this name, and in their browser; not signed in.
    fn somebody(&self, computer: &str, name: &str) -> Somebody<'_> {
        Somebody {
            acme: self,
            here: self.demo.person(computer).unwrap(),
            at_keycloak: keycloak::Person::of(name),
            browser: Browser::at(&self.keycloak).unwrap().trusting(self.demo.ready("ca").as_ref()),
            opener: Opener::new().unwrap(),
        }
    }

    /// Somebody who has signed in.
    fn signed_in(&self, name: &str) -> Somebody<'_> {
        let somebody = self.somebody(name, name);
        somebody.must_sign_in();
        somebody
    }

    fn events(&self, kind: &str) -> Vec<Value> {
        events(&self.olga, kind)
    }

    /// Waits for an event of this type of which `wanted` holds.
    fn event(&self, kind: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        wait(kind, || self.events(kind).into_iter().find(&wanted))
    }
}

/// A program under way, whose words on stderr are read while it runs. It is ended with the test.
struct Program {
    child: Child,
    err: BufReader<ChildStderr>,
    said: String,
}

/// What a program left.
#[derive(Debug)]
struct Left {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Program {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Self { err: BufReader::new(child.stderr.take().unwrap()), child, said: String::new() }
    }

    /// The next line, without its end.
    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.err.read_line(&mut line).unwrap() > 0, "{}", self.said);
        self.said += &line;
        line.trim_end_matches('\n').to_owned()
    }

    /// Waits for its end.
    fn end(mut self) -> Left {
        let mut out = String::new();
        self.err.read_to_string(&mut self.said).unwrap();
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        Left { code: self.child.wait().unwrap().code(), out, err: std::mem::take(&mut self.said) }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A person with a computer and a browser.
struct Somebody<'a> {
    acme: &'a Acme,
    here: Person,
    at_keycloak: keycloak::Person,
    browser: Browser,
    opener: Opener,
}

impl Somebody<'_> {
    /// `naru login` with more words, as it starts.
    fn begins(&self, words: &[&str]) -> Program {
        let mut command = self.here.command("naru");
        command.args(["login", self.acme.demo.ready("url"), "--ca-pin", self.acme.pin()]).args(words);
        command.env("BROWSER", self.opener.program());
        Program::start(command)
    }

    /// The browser that opens signs in; what `naru login` said, or Keycloak's own words where it lets nobody through.
    fn signs_in(&self, words: &[&str]) -> Result<Left, String> {
        let login = self.begins(words);
        match self.browser.open(&self.opener.address().unwrap(), &self.at_keycloak).unwrap() {
            Seen::Left(back) => {
                self.browser.visit(&back).unwrap();
                Ok(login.end())
            }
            Seen::Page(words) => Err(words),
        }
    }

    fn must_sign_in(&self) {
        let left = self.signs_in(&[]).unwrap();
        assert_eq!(left.code, Some(0), "{}", left.err);
        self.must_config();
    }

    /// Writes the configuration of stock `ssh`.
    fn must_config(&self) {
        let config = self.here.ssh_config();
        assert!(self.here.naru(&["config", "ssh", "--write", &config.to_string_lossy()]).status.success());
    }

    /// Opens a page of Naru that leads to Keycloak and back to a page of Naru, which is answered.
    fn confirm_page(&self, address: &str) -> String {
        match self.browser.open(address, &self.at_keycloak).unwrap() {
            Seen::Left(back) => self.browser.visit(&back).unwrap().body,
            Seen::Page(words) => panic!("{words}"),
        }
    }

    /// Presses a button of that page; what the next page says.
    fn press(&self, address: &str, word: &str, code: &str) -> String {
        self.browser.send(&format!("{address}/{word}"), &[("code", code)]).unwrap().body
    }

    fn status(&self) -> Value {
        let out = self.here.naru(&["status", "--json"]);
        serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{}", text(&out.stderr)))
    }

    /// The roles, each with its reasons.
    fn roles(&self) -> Vec<String> {
        let status = self.status();
        let given = status["given"].as_array().unwrap();
        given.iter().map(|one| format!("{} because {}", one["role"].as_str().unwrap(), one["why"][0].as_str().unwrap())).collect()
    }

    /// Runs a command over stock `ssh`.
    fn ssh(&self, command: &str) -> std::process::Output {
        self.here.ssh(&["demo.naru", command])
    }

    fn must_work(&self) {
        let out = self.ssh("echo works");
        assert_eq!(text(&out.stdout), "works\n", "{}", text(&out.stderr));
    }

    /// A shell in stock `ssh` on a terminal, which has said something.
    fn shell(&self) -> Terminal {
        let mut command = self.here.command("ssh");
        command.args(["-tt", "demo.naru", "exec /bin/sh"]);
        let mut terminal = Terminal::start(&command, 91, 17).unwrap();
        terminal.send(b"PS1=; echo lives $((40+2))\n").unwrap();
        terminal.wait_for("lives 42", PATIENCE).unwrap();
        terminal
    }
}
