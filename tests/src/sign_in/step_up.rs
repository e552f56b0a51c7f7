//! Sessions that ask their person anew.

use super::*;
use crate::keycloak::Keycloak;

/// An `ssh` that has said where its person shows anew who they are.
struct Asking {
    ssh: Program,
    address: String,
    code: String,
}

impl Asking {
    fn of(somebody: &Somebody<'_>, program: &str, words: &[&str]) -> Self {
        let mut command = somebody.here.command(program);
        // No browser opens; the address is read.
        command.args(words).env_remove("BROWSER");
        let mut ssh = Program::start(command);
        loop {
            let line = ssh.line();
            if let Some((_, rest)) = line.split_once("open https://") {
                let (address, rest) = rest.split_once(' ').unwrap();
                let code = rest.split_once("the code ").unwrap().1.split(';').next().unwrap();
                return Self { ssh, address: format!("https://{address}"), code: code.to_owned() };
            }
        }
    }

    /// What was written to stdout and stderr, and the exit code.
    fn end(self) -> (String, String, Option<i32>) {
        let left = self.ssh.end();
        (left.out, left.err, left.code)
    }
}

impl Somebody<'_> {
    fn approves(&self, asking: &Asking) {
        let page = self.confirm_page(&asking.address);
        assert!(page.contains(&asking.code), "{page}");
        let said = self.press(&asking.address, "approve", &asking.code);
        assert!(said.contains("It is done"), "{said}");
    }
}

/// Waits until the person's sign-in is older than the role allows.
fn stale(somebody: &Somebody<'_>) {
    wait("the age of the sign-in", || {
        let can = somebody.here.naru(&["can", "ssh", &format!("{}@demo", account())]);
        (!can.status.success()).then_some(())
    });
}

#[test]
fn a_sign_in_that_is_too_old_is_asked_for_again() {
    if !Keycloak::wanted() {
        return;
    }
    let acme = Acme::new();
    acme.role("sre", "{step_up: {max_age: 15s}}");
    let minji = acme.signed_in("minji");
    minji.must_work();
    let mut shell = minji.shell();
    stale(&minji);
    let asking = Asking::of(&minji, "ssh", &["demo.naru", "echo went on"]);
    minji.approves(&asking);
    let (out, err, code) = asking.end();
    assert_eq!((out.as_str(), code), ("went on\n", Some(0)), "{err}");
    acme.event("auth.step_up", |event| event["actor"]["name"] == "minji");
    shell.send(b"echo on $((70+7))\n").unwrap();
    shell.wait_for("on 77", PATIENCE).unwrap();
    minji.must_work();

    stale(&minji);
    let asking = Asking::of(&minji, "naru", &["ssh", "demo", "--", "echo went on"]);
    minji.approves(&asking);
    let (out, err, code) = asking.end();
    assert_eq!((out.as_str(), code), ("went on\n", Some(0)), "{err}");

    // Somebody else's word is none, nor is a no.
    stale(&minji);
    let asking = Asking::of(&minji, "ssh", &["demo.naru", "echo went on"]);
    let jun = acme.somebody("jun", "jun");
    jun.confirm_page(&asking.address);
    let said = jun.press(&asking.address, "approve", &asking.code);
    assert!(said.contains("jun signed in, and the session is of minji"), "{said}");
    let (out, err, code) = asking.end();
    assert!(out.is_empty() && code == Some(255) && err.contains("jun signed in"), "{code:?} {err}");
    let asking = Asking::of(&minji, "ssh", &["demo.naru", "echo went on"]);
    minji.confirm_page(&asking.address);
    minji.press(&asking.address, "deny", &asking.code);
    let (out, err, code) = asking.end();
    assert!(out.is_empty() && code == Some(255) && err.contains("refused it in the browser"), "{code:?} {err}");

    // Whoever leaves while waiting has started nothing, not even when it is approved afterwards.
    let before = acme.events("session.start").len();
    for program in ["ssh", "naru"] {
        let words = if program == "ssh" { &["demo.naru", "echo never"][..] } else { &["ssh", "demo", "--", "echo never"] };
        let mut asking = Asking::of(&minji, program, words);
        crate::harness::signal(asking.ssh.child.id(), rustix::process::Signal::INT);
        let left = asking.ssh.child.wait().unwrap();
        assert!(program == "ssh" || left.code() == Some(130), "{left:?}");
        minji.approves(&asking);
        stale(&minji);
    }
    assert_eq!(acme.events("session.start").len(), before);
}

#[test]
fn a_batch_asks_once() {
    if !Keycloak::wanted() {
        return;
    }
    let acme = Acme::new();
    acme.role("sre", "{step_up: {max_age: 20s}}");
    let minji = acme.signed_in("minji");
    stale(&minji);
    let asked = || acme.realm.events().unwrap().iter().filter(|event| event["type"] == "LOGIN").count();
    let before = asked();
    let all: Vec<Asking> = std::thread::scope(|scope| {
        let minji = &minji;
        let each: Vec<_> = (0..20)
            .map(|at| {
                scope.spawn(move || {
                    let line = format!("echo {at}");
                    let words: Vec<&str> = if at % 2 == 0 { vec!["demo.naru", &line] } else { vec!["ssh", "demo", "--", &line] };
                    Asking::of(minji, if at % 2 == 0 { "ssh" } else { "naru" }, &words)
                })
            })
            .collect();
        each.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let first = &all[0];
    assert!(all.iter().all(|one| one.address == first.address && one.code == first.code));
    minji.approves(first);
    for (at, asking) in all.into_iter().enumerate() {
        let (out, err, code) = asking.end();
        assert_eq!((out, code), (format!("{at}\n"), Some(0)), "{err}");
    }
    assert_eq!(asked(), before + 1);
    assert_eq!(acme.events("auth.step_up").len(), 1);
}

#[test]
fn a_level_that_was_not_reached() {
    if !Keycloak::wanted() {
        return;
    }
    let acme = Acme::new();
    acme.role("sre", "{step_up: {acr: ['2']}}");
    let taeho = acme.signed_in("taeho");
    let asking = Asking::of(&taeho, "ssh", &["demo.naru", "echo with a code"]);
    taeho.approves(&asking);
    let (out, err, code) = asking.end();
    assert_eq!((out.as_str(), code), ("with a code\n", Some(0)), "{err}");
    let event = acme.event("auth.step_up", |event| event["actor"]["name"] == "taeho");
    assert_eq!(event["data"]["acr"], "2", "{event}");
    taeho.must_work();
    // A refresh does not take the level away.
    acme.apply(&acme.connector("refresh: 5s")).unwrap();
    let before = taeho.status()["login"]["refreshed"].clone();
    wait("a refresh", || (taeho.status()["login"]["refreshed"] != before).then_some(()));
    taeho.must_work();
    // Somebody without a one-time code cannot get there.
    let minji = acme.signed_in("minji");
    let asking = Asking::of(&minji, "ssh", &["demo.naru", "echo never"]);
    let seen = minji.browser.open(&asking.address, &minji.at_keycloak).unwrap();
    assert!(matches!(&seen, Seen::Page(words) if words.contains("Mobile Authenticator Setup")), "{seen:?}");
}
