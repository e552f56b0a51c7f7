//! Measurements with the real Keycloak: printed, with no expectation of time. Run by name, best with `NARU_BIN` of a release build:
//! `cargo test -p tests --lib -- --ignored --nocapture sign_in::figures`.

use super::*;
use crate::keycloak::Keycloak;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

#[expect(clippy::print_stdout, reason = "it is what this is run for")]
fn print(what: &str, mut all: Vec<Duration>) {
    all.sort();
    let at = |percent: usize| all[(all.len() * percent).div_ceil(100).clamp(1, all.len()) - 1].as_secs_f64() * 1e3;
    println!("{what}: {} tries, p50 {:.1} ms, p99 {:.1} ms, most {:.1} ms", all.len(), at(50), at(99), at(100));
}

#[test]
#[ignore = "a measurement of minutes"]
fn from_a_logout_at_keycloak_to_the_end_of_ssh() {
    if !Keycloak::wanted() {
        return;
    }
    let acme = Acme::new();
    let minji = acme.somebody("minji", "minji");
    let path = format!("/users/{}/logout", acme.realm.user("minji").unwrap());
    let (mut said, mut gone) = (Vec::new(), Vec::new());
    for _ in 0..50 {
        minji.must_sign_in();
        let mut shell = minji.shell();
        let reader = std::thread::spawn(move || {
            shell.wait_for("you were signed out at your identity provider", PATIENCE).unwrap();
            let said = Instant::now();
            shell.wait().unwrap();
            (said, Instant::now())
        });
        let begun = Instant::now();
        acme.realm.call("POST", &path, None).unwrap();
        let (at_sentence, at_end) = reader.join().unwrap();
        said.push(at_sentence - begun);
        gone.push(at_end - begun);
    }
    print("from the administrator's request to the sentence on the terminal", said);
    print("from the administrator's request to the end of ssh", gone);
}

#[test]
#[ignore = "a measurement"]
fn from_the_callback_to_certificates() {
    if !Keycloak::wanted() {
        return;
    }
    let (acme, wire) = Acme::by_wire("");
    let (mut whole, mut own) = (Vec::new(), Vec::new());
    for at in 0..20 {
        // Each at a computer where nobody is signed in: no login ends for it.
        let minji = acme.somebody(&format!("laptop-{at}"), "minji");
        let login = minji.begins(&[]);
        let Seen::Left(back) = minji.browser.open(&minji.opener.address().unwrap(), &minji.at_keycloak).unwrap() else { panic!() };
        let (host, path) = back.strip_prefix("http://").unwrap().split_once('/').unwrap();
        // The browser's last connection to Keycloak may still be counted.
        std::thread::sleep(Duration::from_millis(50));
        let (spent, begun) = (wire.spent(), Instant::now());
        let mut browser = TcpStream::connect(host).unwrap();
        write!(browser, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        browser.read_to_string(&mut page).unwrap();
        let took = begun.elapsed();
        assert!(page.contains("You are signed in"), "{page}");
        whole.push(took);
        own.push(took - (wire.spent() - spent));
        assert_eq!(login.end().code, Some(0));
    }
    print("from the callback to certificates on disk", whole);
    print("the same without what the provider took", own);
}
