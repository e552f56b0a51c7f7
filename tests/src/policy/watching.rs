//! What goes on, as a real HTTP client gets it; and requests that come once more with their key, also after the server was killed.

use std::collections::VecDeque;
use std::io::Read as _;
use std::process::{Child, ChildStdout, Stdio};

use serde_json::{Value, json};
use wire::sse::{Message, Reader};

use super::{Town, both, json, until, well};
use crate::harness::Person;

/// Messages as `curl` prints them.
struct Watch {
    curl: Child,
    out: ChildStdout,
    reader: Reader,
    ready: VecDeque<Message>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.curl.kill();
        let _ = self.curl.wait();
    }
}

impl Watch {
    fn start(town: &Town, who: &Person, path: &str, words: &[&str]) -> Self {
        let mut curl = town.curl(who, path);
        curl.args(["-N", "--max-time", "60"]).args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut curl = curl.spawn().unwrap();
        let out = curl.stdout.take().unwrap();
        Self { curl, out, reader: Reader::default(), ready: VecDeque::new() }
    }

    /// The next message; none at the end.
    fn next(&mut self) -> Option<Message> {
        let mut piece = [0; 4096];
        while self.ready.is_empty() {
            let read = self.out.read(&mut piece).unwrap();
            if read == 0 {
                return None;
            }
            self.ready.extend(self.reader.feed(&piece[..read]).unwrap());
        }
        self.ready.pop_front()
    }

    fn until(&mut self, event: &str) -> Message {
        loop {
            let message = self.next().unwrap_or_else(|| panic!("no {event} came"));
            if message.event == event {
                return message;
            }
        }
    }
}

#[test]
fn a_client_of_another_make_follows_and_goes_on_where_it_was() {
    let town = Town::start();
    let mut roles = Watch::start(&town, &town.admin, "/v1/resources/role?watch=true", &[]);
    let ready = roles.until("ready");
    assert!(!ready.id.is_empty() && ready.data.contains("\"whole\":true"), "{ready:?}");
    town.apply("kind: role\nname: new\n");
    let changed = roles.until("changed");
    let role: Value = serde_json::from_str(&changed.data).unwrap();
    assert_eq!((&role["kind"], &role["name"]), (&json!("role"), &json!("new")));
    drop(roles);
    well(&town.admin.naru(&["delete", "role", "new"]));
    let last = format!("Last-Event-ID: {}", changed.id);
    let mut roles = Watch::start(&town, &town.admin, "/v1/resources/role?watch=true", &["-H", &last]);
    assert_eq!(roles.next().map(|message| message.event).as_deref(), Some("deleted"));

    let accept = ["-H", "Accept: text/event-stream"];
    let mut events = Watch::start(&town, &town.olga, "/v1/events?follow=true&type=policy.changed", &accept);
    let first = events.next().unwrap();
    let line: Value = serde_json::from_str(&first.data).unwrap();
    assert_eq!((first.event.as_str(), line["seq"].to_string()), ("policy.changed", first.id.clone()));
    let last = format!("Last-Event-ID: {}", first.id);
    let mut rest = Watch::start(&town, &town.olga, "/v1/events?follow=true&type=policy.changed", &["-H", accept[1], "-H", &last]);
    assert_eq!(rest.next(), events.next(), "the one after it");

    // The server that stops ends what it was saying, and nobody waits.
    let mut town = town;
    assert!(town.demo.end().is_some(), "it ends although somebody watches");
    while roles.next().is_some() || events.next().is_some() {}
}

#[test]
fn the_command_line_watches_requests_until_the_login_ends() {
    let town = Town::asking();
    let first = town.request(&town.alice, &["--reason", "x"]);
    let mut watching = town.alice.command("naru");
    watching.args(["request", "ls", "--watch", "--json"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut watching = watching.spawn().unwrap();
    let mut out = std::io::BufReader::new(watching.stdout.take().unwrap());
    let mut row = || {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut out, &mut line).unwrap();
        serde_json::from_str::<Value>(&line).unwrap()
    };
    assert_eq!((row()["id"].as_str(), true), (Some(first.as_str()), true));
    well(&town.olga.naru(&["request", "deny", &first]));
    assert_eq!(row()["state"], "denied");
    // From elsewhere the same person ends all their logins.
    well(&town.alice.naru(&["logout", "--all"]));
    let out = watching.wait_with_output().unwrap();
    assert!(out.status.code() == Some(3) && both(&out).contains("NARU-A104"), "{} {}", out.status, both(&out));
}

#[test]
fn a_key_makes_one_thing_also_where_the_server_was_killed_in_between() {
    let mut town = Town::start();
    let body = json!({"kind": "node", "node": "web-1", "ttl_s": 3600}).to_string();
    let key = ["-H", "Idempotency-Key: 8e03978e-40d5-43dd-bc93-6894a57f9324"];
    let first = town.api("POST", "/v1/tokens", &key, body.as_bytes());
    assert!(first.status == 200 && !first.head.contains("idempotent-replayed"), "{} {}", first.status, first.body);
    town.demo.kill_all();
    town.demo.start_again().unwrap();
    until("it answers", || town.admin.naru(&["status"]).status.success());
    let again = town.api("POST", "/v1/tokens", &key, body.as_bytes());
    assert!(again.head.contains("idempotent-replayed: true"), "{}", again.head);
    assert_eq!(again.body, first.body);
    let all = json(well(&town.admin.naru(&["token", "ls", "--json"])));
    let made = |item: &&Value| item["id"] == first.body["id"];
    assert_eq!(all["items"].as_array().unwrap().iter().filter(made).count(), 1);
    assert!(!town.demo.log().contains(first.body["token"].as_str().unwrap()), "what is kept is in no log");
}
