//! Signing in through a provider, and out by one: from its answer in the browser to certificates on disk, and from its word that somebody
//! signed out to the end of their shell. The provider is a stand-in on loopback, whose own time counts too.

use crate::report::{Goal, Report};
use crate::series::Series;
use crate::setup::{Naru, Setup};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tests::issuer::script::{Script, with};
use tests::issuer::token::Token;
use tests::issuer::{CLIENT, Issuer, Provider, SECRET};
use tests::keycloak::Opener;

/// The connector's and the issuer's name.
const NAME: &str = "bench";
/// Longest wait for one shell's end.
const PATIENCE: Duration = Duration::from_secs(20);

/// A person's computer.
struct Laptop<'a> {
    naru: &'a Naru,
    home: &'a Path,
    issuer: Issuer,
}

/// Both ways, in turns: each round signs in, opens a shell, and is signed out by the provider.
pub(crate) fn measure(setup: &Setup, report: &mut Report) -> Result<(), String> {
    let Some(naru) = &setup.naru else { return Ok(()) };
    let provider = Provider::start();
    let issuer = provider.issuer_with(NAME, Script { person: with_our_login, ..Script::default() });
    naru.apply(&format!(
        "kind: oidc_connector\nname: {NAME}\nspec:\n  issuer: {}\n  client_id: {CLIENT}\n  client_secret: {SECRET}\n  \
         claims: {{groups: {{/sre: [engineer]}}}}\n  traits: {{logins: logins}}\n",
        issuer.url
    ))?;
    let home = setup.folder.path().join("laptop");
    let laptop = Laptop { naru, home: &home, issuer };
    let (mut signing_in, mut cut) = (Series::default(), Series::default());
    for _ in 0..setup.size(50, 3) {
        signing_in.push("naru", ms(laptop.sign_in()?));
        cut.push("naru", ms(laptop.cut()?));
    }
    report.row("provider's answer to certificates on disk, p50", "ms", Goal::Figure(50.0), &signing_in, 50);
    report.row("provider's answer to certificates on disk, p99", "ms", Goal::None, &signing_in, 99);
    report.row("back-channel logout to the end of a shell, p50", "ms", Goal::None, &cut, 50);
    report.row("back-channel logout to the end of a shell, p99", "ms", Goal::Figure(1000.0), &cut, 99);
    Ok(())
}

/// Somebody who may come in as the account that runs the demo.
fn with_our_login(person: Value) -> Value {
    let id = Command::new("id").arg("-un").output().map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned());
    with(person, "logins", json!([id.unwrap_or_default()]))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

impl Laptop<'_> {
    fn program(&self, args: &[&str]) -> Command {
        let mut command = Command::new(std::env::var_os("NARU_BIN").unwrap_or_else(|| "naru".into()));
        command.args(args).env("NARU_HOME", self.home).env("NO_COLOR", "1").stdin(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// From the moment when the browser brings the provider's answer to the end of `naru login`.
    fn sign_in(&self) -> Result<Duration, String> {
        let opener = Opener::new()?;
        let pin = self.naru.pin()?;
        let words = ["login", self.naru.demo.ready("url"), "--ca-pin", &pin, "--connector", NAME];
        let mut login = self.program(&words).env("BROWSER", opener.program()).stdout(Stdio::null()).spawn().map_err(|e| e.to_string())?;
        let browse = opener.address()?;
        let answer = self.issuer.authorize(&browse);
        let back = tests::keycloak::query_value(&browse, "redirect_uri").ok_or("the address names no redirect")?;
        let begun = Instant::now();
        let brought = Command::new("curl").args(["-s", "-o", "/dev/null"]).arg(format!("{back}?{}", answer.written())).spawn();
        let status = login.wait().map_err(|e| e.to_string())?;
        let took = begun.elapsed();
        brought.and_then(|mut curl| curl.wait()).map_err(|e| e.to_string())?;
        if status.success() { Ok(took) } else { Err(format!("naru login: {status}")) }
    }

    /// From the provider's word to the end of a shell.
    fn cut(&self) -> Result<Duration, String> {
        let mut shell =
            Ended(self.program(&["ssh", "demo", "--", "echo ready; sleep 600"]).stdout(Stdio::piped()).spawn().map_err(|e| e.to_string())?);
        let mut line = String::new();
        let stdout = shell.0.stdout.take().ok_or("no output")?;
        BufReader::new(stdout).read_line(&mut line).map_err(|e| e.to_string())?;
        if line != "ready\n" {
            return Err(format!("the shell said {line:?}"));
        }
        let subject = self.issuer.person()["sub"].as_str().unwrap_or_default().to_owned();
        let token = Token::logout(&self.issuer.url, CLIENT, &subject, "").without("sid").written();
        let url = format!("{}/v1/oidc/{NAME}/backchannel-logout", self.naru.demo.ready("url"));
        let begun = Instant::now();
        let told = Command::new("curl")
            .args(["-s", "-f", "-o", "/dev/null", "--cacert", self.naru.demo.ready("ca"), "--data-urlencode"])
            .args([&format!("logout_token={token}"), &url])
            .status()
            .map_err(|e| e.to_string())?;
        if !told.success() {
            return Err("the logout token was refused".to_owned());
        }
        while begun.elapsed() < PATIENCE {
            if shell.0.try_wait().map_err(|e| e.to_string())?.is_some() {
                return Ok(begun.elapsed());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err("the shell did not end".to_owned())
    }
}

/// Ended when dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Mostly it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
