//! `cargo xtask demo --keycloak`: Naru's demo and a Keycloak that know each other, with people whose passwords are printed.
//!
//! Everyone's password is made for this one run: on a machine with other people, a sign-in here opens a shell of whoever runs the demo.

use crate::keycloak::{self, ADMIN, Start};
use crate::run;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

/// Set in the second life of this program, in which Ctrl-C is only for the demo.
const SECOND: &str = "NARU_XTASK_SECOND";
const REALM: &str = "acme";

/// Runs until the demo ends.
pub(super) fn demo(naru: &Path, args: &[&String]) -> Result<ExitCode, String> {
    if std::env::var_os(SECOND).is_none() {
        return again();
    }
    let dist = keycloak::prepare(&mut |line| println!("{line}"))?;
    let place = Place::make()?;
    let mut demo = Demo::start(naru, args)?;
    println!("Naru is up; Keycloak takes some ten seconds more.");
    let port = keycloak::free_port()?;
    let realm = Realm::fill(&demo)?;
    let import = place.0.join("keycloak/data/import");
    std::fs::create_dir_all(&import).map_err(|e| place.fault(&e))?;
    std::fs::write(import.join("realm.json"), realm.json.to_string()).map_err(|e| place.fault(&e))?;
    // Keycloak reads once whom it trusts; the demo's CA is there by now.
    let (folder, ca) = (place.0.join("keycloak"), Path::new(demo.said("ca")?));
    let start = Start { dist: &dist, folder: &folder, port, ca: Some(ca), first: None, remove: Some(&place.0) };
    let running = start.run()?;
    let keycloak = format!("http://127.0.0.1:{port}");
    let link = apply(naru, &demo, &place, &resources(&keycloak, &realm, demo.said("login")?))?;
    println!("{}", words(naru, &demo, &keycloak, &realm, &dist, &link)?);
    // Waiting would close the input, and that is the end of it.
    let input = demo.leash.stdin.take();
    let ended = demo.leash.wait();
    drop(input);
    running.end();
    drop(place);
    match ended {
        Ok(status) if status.success() => Ok(ExitCode::SUCCESS),
        Ok(status) => Err(format!("the demo ended with {status}")),
        Err(e) => Err(format!("the demo is lost: {e}")),
    }
}

/// Starts this program once more with Ctrl-C ignored, which everything below inherits. `naru` hears it all the same, and when it has ended
/// in order, Keycloak is ended, so that the prompt comes back when nothing is left.
fn again() -> Result<ExitCode, String> {
    let this = std::env::current_exe().map_err(|e| format!("this program cannot be found: {e}"))?;
    let script = "trap '' INT; exec \"$0\" \"$@\"";
    let error = Command::new("sh").args(["-c", script]).arg(this).args(std::env::args_os().skip(1)).env(SECOND, "1").exec();
    Err(format!("sh could not be started: {error}"))
}

/// A folder of this run, which only this user can read; it goes when the run ends.
struct Place(PathBuf);

impl Place {
    fn make() -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("naru-keycloak-demo-{}", std::process::id()));
        let made = std::fs::DirBuilder::new().mode(0o700).create(&folder);
        made.map(|()| Self(folder.clone())).map_err(|e| format!("{}: {e}", folder.display()))
    }

    fn fault(&self, error: &std::io::Error) -> String {
        format!("{}: {error}", self.0.display())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What stays is read by nobody else.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// `naru demo`, which ends with us.
struct Demo {
    leash: Child,
    ready: Value,
}

impl Demo {
    fn start(naru: &Path, args: &[&String]) -> Result<Self, String> {
        let mut command = Command::new(run::root().join("tests/keycloak/leash.sh"));
        command.arg(naru).args(["demo", "--json"]).args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut leash = command.spawn().map_err(|e| format!("the demo could not be started: {e}"))?;
        let mut line = String::new();
        if let Some(out) = leash.stdout.take() {
            BufReader::new(out).read_line(&mut line).map_err(|e| format!("the demo says nothing: {e}"))?;
        }
        let ready = serde_json::from_str(&line).map_err(|_| "the demo did not start; its words are above".to_owned())?;
        Ok(Self { leash, ready })
    }

    /// A field of the line that it says when it is ready; `a.b` goes into objects.
    fn said(&self, field: &str) -> Result<&str, String> {
        let value = field.split('.').try_fold(&self.ready, |value, key| value.get(key));
        value.and_then(Value::as_str).ok_or_else(|| format!("the demo did not say its {field}"))
    }

    fn pin(&self) -> Result<&str, String> {
        let after = self.said("join")?.split_once("--ca-pin ").map(|(_, rest)| rest);
        after.and_then(|rest| rest.split(' ').next()).ok_or_else(|| "the demo did not say its pin".into())
    }
}

/// The realm of this run.
struct Realm {
    json: Value,
    secret: String,
    /// Name, password, what for.
    people: Vec<[String; 3]>,
}

impl Realm {
    fn fill(demo: &Demo) -> Result<Self, String> {
        let file = run::root().join("tests/keycloak/realm.json");
        let text = std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        let text = text.replace("@REALM@", REALM).replace("@NARU@", demo.said("url")?);
        let mut json: Value = serde_json::from_str(&text).map_err(|e| format!("{}: {e}", file.display()))?;
        let secret = keycloak::secret()?;
        for client in list(&mut json, "clients") {
            if client.get("secret").is_some() {
                let own = if text_of(client, "clientId") == "naru" { secret.clone() } else { keycloak::secret()? };
                set(client, "secret", own);
            }
        }
        let mut people = Vec::new();
        for user in list(&mut json, "users") {
            // Short enough to be typed.
            let password: String = keycloak::secret()?.chars().take(12).collect();
            for credential in list(user, "credentials").iter_mut().filter(|one| text_of(one, "type") == "password") {
                set(credential, "value", password.clone());
            }
            people.push([text_of(user, "username").to_owned(), password, what(user)]);
        }
        Ok(Self { json, secret, people })
    }
}

/// What a person is there for, from their own entry.
fn what(user: &Value) -> String {
    let all = |name: &str| {
        let texts = user.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        texts.filter(|text| !text.starts_with("default-roles-")).map(str::to_owned).collect::<Vec<_>>()
    };
    let mut said = all("groups");
    said.extend(all("realmRoles").into_iter().map(|role| format!("realm role {role}")));
    for one in user.get("credentials").and_then(Value::as_array).into_iter().flatten().filter(|one| text_of(one, "type") == "otp") {
        let data: Value = serde_json::from_str(text_of(one, "secretData")).unwrap_or_default();
        said.push(format!("one-time code, secret for an app: {}", base32(text_of(&data, "value"))));
    }
    if user.get("enabled") == Some(&Value::Bool(false)) {
        said.push("disabled".into());
    }
    said.join(", ")
}

/// RFC 4648 without padding, as apps for one-time codes want it.
fn base32(text: &str) -> String {
    let bits: String = text.bytes().map(|byte| format!("{byte:08b}")).collect();
    let letter = |five: &str| {
        let number = u8::from_str_radix(five, 2).unwrap_or_default() << (5 - five.len());
        char::from(if number < 26 { b'A' + number } else { b'2' + number - 26 })
    };
    (0..bits.len()).step_by(5).filter_map(|at| bits.get(at..bits.len().min(at + 5))).map(letter).collect()
}

#[test]
fn base32_as_in_the_rfc() {
    for (text, encoded) in [("", ""), ("f", "MY"), ("foob", "MZXW6YQ"), ("foobar", "MZXW6YTBOI")] {
        assert_eq!(base32(text), encoded);
    }
}

fn list<'v>(value: &'v mut Value, name: &str) -> &'v mut [Value] {
    value.get_mut(name).and_then(Value::as_array_mut).map_or(&mut [], Vec::as_mut_slice)
}

fn text_of<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn set(value: &mut Value, name: &str, text: String) {
    if let Some(slot) = value.get_mut(name) {
        *slot = text.into();
    }
}

/// The connector and the roles that it gives; `auditor` is there from the start.
fn resources(keycloak: &str, realm: &Realm, login: &str) -> String {
    format!(
        "kind: role
name: sre
spec:
  allow:
    ssh:
      - {{labels: {{'*': ['*']}}, logins: [{login}]}}
---
kind: role
name: developer
spec:
  allow:
    ssh:
      - {{labels: {{env: [demo]}}, logins: [{login}], kinds: [exec]}}
---
kind: oidc_connector
name: keycloak
spec:
  issuer: {keycloak}/realms/{REALM}
  client_id: naru
  client_secret: {}
  scopes: [openid, profile, email]
  claims:
    groups:
      /platform/sre: [sre]
      /product/*: [developer]
    realm_access.roles:
      security-officer: [auditor]
  traits:
    logins: preferred_username
",
        realm.secret
    )
}

/// Signs in as the demo's administrator, for a moment, and applies; answers a link for whoever wants to be the administrator.
fn apply(naru: &Path, demo: &Demo, place: &Place, resources: &str) -> Result<String, String> {
    let file = place.0.join("keycloak.yaml");
    std::fs::write(&file, resources).map_err(|e| place.fault(&e))?;
    let home = place.0.join("admin");
    let run = |args: &[&str]| {
        let said = run::capture(Command::new(naru).env("NARU_HOME", &home).env_remove("NARU_PROFILE").args(args))?;
        if said.status.success() {
            Ok(said.text)
        } else {
            Err(format!("naru {} failed: {}", args.first().unwrap_or(&""), said.text.trim()))
        }
    };
    run(&["login", "--link", demo.said("sign_in.admin")?])?;
    run(&["apply", "-f", &file.to_string_lossy()])?;
    let link = run(&["login-link", "create", "admin"])?;
    // The administrator's keys go at once, not with the demo.
    std::fs::remove_dir_all(&home).map_err(|e| place.fault(&e))?;
    let link = link.lines().flat_map(|line| line.split_whitespace()).find(|word| word.starts_with("https://"));
    link.map(str::to_owned).ok_or_else(|| "naru login-link gave no link".to_owned())
}

fn words(naru: &Path, demo: &Demo, keycloak: &str, realm: &Realm, dist: &Path, link: &str) -> Result<String, String> {
    let console = std::fs::read_to_string(dist.join("admin-password")).map_err(|e| format!("{}: {e}", dist.display()))?;
    let people: String = realm.people.iter().map(|[name, password, what]| format!("  {name:<8} {password:<14} {what}\n")).collect();
    let (url, pin) = (demo.said("url")?, demo.pin()?);
    Ok(format!(
        "
Naru is at {url}, Keycloak at {keycloak}.

People, their passwords at Keycloak, and what they are:
{people}
Sign in, in another terminal; a browser opens:
  naru login {url} --ca-pin {pin}
Without a browser:
  naru login --device {url} --ca-pin {pin}
Then:
  naru status              roles, and why each was given
  naru ssh demo

As Naru's own administrator (the link is good for 15 minutes):
  naru --profile admin login --link '{link}'
  naru --profile admin doctor oidc

Keycloak's console, as {ADMIN} with password {console}:
  {keycloak}/admin/master/console/#/{REALM}/users

Try, with minji's shell open:
  Users, minji, Sessions, Log out: the shell ends within a second
  Users, jun, Enabled off: the login ends at the next refresh
  Users, minji, Groups, leave /platform/sre: likewise

Ctrl-C ends both. naru is {}.",
        naru.display(),
    ))
}
