//! What a request gives is the requester's alone, for its time, its target and its uses, and goes with it.

use std::process::{Child, Stdio};

use super::{PATIENCE, Town, both, json, refused, until, well};
use crate::harness::Person;

impl Town {
    /// One more engineer.
    fn engineer(&self, name: &str) -> Person {
        self.apply(&format!("kind: user\nname: {name}\nspec: {{roles: [engineer]}}\n"));
        self.newcomer(name, name)
    }

    /// Signs a user in by a new link, in a folder of this name.
    fn newcomer(&self, name: &str, folder: &str) -> Person {
        let out = self.admin.naru(&["login-link", "create", name, "--json"]);
        let link = json(well(&out))["link"].as_str().unwrap().to_owned();
        let person = self.demo.person(folder).unwrap();
        well(&person.naru(&["login", "--link", &link]));
        person
    }

    /// A session of this person that lasts; it has begun when this returns.
    fn lasting(&self, who: &Person) -> Child {
        let mut command = who.command("naru");
        command.args(["ssh", &self.place(), "--", "sleep 600"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        until("the session lives", || self.live() == 1);
        child
    }

    /// How many sessions live.
    fn live(&self) -> usize {
        json(&self.olga.naru(&["sessions", "ls", "--live", "--json"]))["items"].as_array().unwrap().len()
    }

    fn can(&self, who: &Person) -> Option<i32> {
        who.naru(&["can", "ssh", &self.place()]).status.code()
    }

    fn approve(&self, who: &Person, id: &str) -> std::process::Output {
        who.naru(&["request", "approve", id, "--yes"])
    }
}

/// The end of a session that was cut, and what it said.
fn end(child: Child) -> (Option<i32>, String) {
    let out = child.wait_with_output().unwrap();
    (out.status.code(), both(&out))
}

#[test]
fn what_a_request_gives_is_of_one_person_and_ends_with_it() {
    let town = Town::asking();
    let bob = town.engineer("bob");
    let id = town.request(&town.alice, &[]);
    assert_eq!((town.can(&town.alice), town.can(&bob)), (Some(6), Some(6)));
    // Bob neither sees it nor takes it back.
    refused(&bob.naru(&["request", "show", &id]), 5, "no request");
    refused(&bob.naru(&["request", "revoke", &id]), 5, "no request");
    refused(&town.approve(&bob, &id), 5, "no request");
    well(&town.approve(&town.olga, &id));
    assert_eq!((town.can(&town.alice), town.can(&bob)), (Some(0), Some(6)));
    refused(&town.approve(&town.olga, &id), 8, "already");
    let session = town.lasting(&town.alice);
    well(&town.olga.naru(&["request", "revoke", &id]));
    let (code, said) = end(session);
    assert!(code == Some(255) && !said.is_empty(), "{code:?} {said}");
    assert_eq!(town.can(&town.alice), Some(6));
}

#[test]
fn a_request_whose_time_is_over_ends_its_session() {
    let town = Town::asking();
    let id = town.request(&town.alice, &["--for", "20s"]);
    well(&town.approve(&town.olga, &id));
    let session = town.lasting(&town.alice);
    let (code, said) = end(session);
    assert!(code == Some(255) && !said.is_empty(), "{code:?} {said}");
    assert_eq!(json(&town.alice.naru(&["request", "show", &id, "--json"]))["state"], "expired");
}

#[test]
fn a_new_person_of_an_old_name_gets_nothing_of_it() {
    let town = Town::asking();
    let bob = town.engineer("bob");
    let id = town.request(&bob, &[]);
    well(&town.approve(&town.olga, &id));
    assert_eq!(town.can(&bob), Some(0));
    well(&town.admin.naru(&["delete", "user", "bob"]));
    let again = {
        town.apply("kind: user\nname: bob\nspec: {roles: [engineer]}\n");
        town.newcomer("bob", "bob-again")
    };
    assert_eq!(town.can(&again), Some(6));
    refused(&again.naru(&["request", "show", &id]), 5, "no request");
}

#[test]
fn nobody_says_yes_to_themselves_and_each_counts_once() {
    let town = Town::asking();
    town.apply(
        "kind: access_rule\nname: prod\nspec: {roles: [prod], approvals: {required: 2, from: [lead]}}\n---\n\
         kind: user\nname: alice\nspec: {roles: [engineer, lead]}\n---\nkind: user\nname: admin\nspec: {roles: [admin, lead]}\n",
    );
    let id = town.request(&town.alice, &[]);
    let state = || json(&town.alice.naru(&["request", "show", &id, "--json"]))["state"].as_str().unwrap().to_owned();
    refused(&town.approve(&town.alice, &id), 4, "their own request");
    well(&town.approve(&town.olga, &id));
    well(&town.approve(&town.olga, &id));
    assert_eq!((state().as_str(), town.can(&town.alice)), ("pending", Some(6)));
    well(&town.approve(&town.admin, &id));
    assert_eq!((state().as_str(), town.can(&town.alice)), ("approved", Some(0)));
}

#[test]
fn so_many_sessions_and_no_more() {
    let town = Town::asking();
    let id = town.request(&town.alice, &["--uses", "1"]);
    well(&town.approve(&town.olga, &id));
    let mut session = town.lasting(&town.alice);
    let second = town.alice.naru(&["ssh", &town.place(), "--", "true"]);
    assert!(second.status.code() == Some(255), "{}", both(&second));
    // What it opened goes on.
    assert!(session.try_wait().unwrap().is_none() && town.live() == 1);
    well(&town.alice.naru(&["request", "revoke", &id]));
    assert_eq!(end(session).0, Some(255));
}

#[test]
fn a_waiting_session_goes_on_by_itself_and_ends_with_a_no() {
    let town = Town::asking();
    for (word, code, said) in [("approve", 0, "approved by olga"), ("deny", 4, "denied by olga")] {
        let mut command = town.alice.command("naru");
        command.args(["ssh", "--wait", &town.place(), "--", "echo there"]).stdin(Stdio::null());
        let waiting = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut id = None;
        let pending =
            || json(&town.olga.naru(&["request", "ls", "--state", "pending", "--json"]))["items"][0]["id"].as_str().map(str::to_owned);
        until("the request is there", || {
            id = pending();
            id.is_some()
        });
        let id = id.unwrap();
        let yes: &[&str] = if word == "approve" { &["--yes"] } else { &[] };
        well(&town.olga.naru(&[&["request", word, &id], yes].concat()));
        let out = waiting.wait_with_output().unwrap();
        // Everything before the command is our own 255.
        let code = if code == 0 { 0 } else { 255 };
        refused(&out, code, said);
        assert_eq!(both(&out).contains("there\n"), code == 0, "{} {PATIENCE:?}", both(&out));
        let _ = town.alice.naru(&["request", "revoke", &id]);
    }
}
