//! `naru lock add|ls|rm`: keeping somebody or something out, at once. A lock is a resource like any other; here is how people name it.

use std::collections::BTreeSet;

use access::amount::Period;
use access::policy::LockTarget;
use access::time::Timestamp;
use serde_json::{Value, json};
use wire::api::{Applied, Apply, exit};

use crate::failure::Failure;
use crate::http::{Api, encode};
use crate::out::{Answer, Table};

/// Where locks are.
const LOCKS: &str = "/v1/resources/lock";
/// Longest name of a lock.
const NAME: usize = 64;
/// How often a suffix is tried.
const SUFFIXES: usize = 100;

/// A lock to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct New {
    /// `user/kim`, `all`.
    pub target: String,
    /// Why.
    pub reason: String,
    /// How long; until it is removed where absent.
    pub length: Option<Period>,
    /// What it is called; after its target where absent.
    pub name: Option<String>,
    /// It may lock out whoever makes it.
    pub allow_self_lockout: bool,
}

/// `user/kim` and the like, or `all`.
///
/// # Errors
/// Another kind of thing, or no name of that kind.
pub fn target(text: &str) -> Result<LockTarget, Failure> {
    const KINDS: &str = "user/NAME, bot/NAME, role/NAME, node/NAME, cluster/NAME, agent/ID, login/NAME, certificate/SERIAL, or all";
    if text == "all" {
        return Ok(LockTarget { all: true, ..LockTarget::default() });
    }
    let bad = || Failure::usage(format!("{text:?} is nothing that can be locked")).hint(KINDS);
    let (kind, name) = text.split_once('/').filter(|(kind, name)| *kind != "all" && !name.is_empty()).ok_or_else(bad)?;
    serde_json::from_value(json!({ kind: name })).map_err(|cause| bad().because(cause))
}

/// Locks it. The name is one that is not taken.
pub async fn add(api: &Api, new: New) -> Result<Answer, Failure> {
    let there = target(&new.target)?;
    let taken: BTreeSet<String> = all(api).await?.iter().filter_map(|lock| Some(lock.get("name")?.as_str()?.to_owned())).collect();
    let name = name(&new, &taken)?;
    let mut spec = json!({ "target": there, "reason": new.reason });
    if let (Some(length), Some(spec)) = (new.length, spec.as_object_mut()) {
        spec.insert("for".to_owned(), json!(length));
    }
    let resource = json!({ "kind": "lock", "name": name, "spec": spec });
    let ask = Apply { resources: vec![resource.clone()], dry_run: false, allow_self_lockout: new.allow_self_lockout, managed_by: None };
    let Applied { .. } = api.make("/v1/apply", &ask).await?;
    let until = new.length.map_or("until naru lock rm".to_owned(), |length| format!("for {length}; to end it sooner: naru lock rm"));
    Ok(Answer::new(&resource, Table::line(format!("locked {} {until} {name}", new.target))))
}

/// The name that was asked for, or one after the target: `user-kim`, `user-kim-2`.
fn name(new: &New, taken: &BTreeSet<String>) -> Result<String, Failure> {
    let conflict = |name: &str| Failure::new("NARU-C033", exit::CONFLICT, format!("there is a lock {name} already")).hint("naru lock ls");
    if let Some(name) = &new.name {
        return if taken.contains(name) { Err(conflict(name)) } else { Ok(name.clone()) };
    }
    let fits = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    let base: String = new.target.chars().map(fits).collect();
    let numbered = |number: usize| {
        let suffix = if number == 1 { String::new() } else { format!("-{number}") };
        format!("{}{suffix}", base.chars().take(NAME - suffix.len()).collect::<String>())
    };
    (1..=SUFFIXES).map(numbered).find(|name| !taken.contains(name)).ok_or_else(|| conflict(&base))
}

async fn all(api: &Api) -> Result<Vec<Value>, Failure> {
    api.all(LOCKS, None).await
}

/// Those that there are.
pub async fn ls(api: &Api) -> Result<Answer, Failure> {
    let items = all(api).await?;
    let rows: Vec<[String; 5]> = items.iter().map(columns).collect();
    Ok(Answer::new(&json!({ "items": items }), Table::of(["name", "target", "for", "reason", "until"], rows)))
}

fn columns(lock: &Value) -> [String; 5] {
    let text = |place: &str| lock.pointer(place).and_then(Value::as_str).unwrap_or_default().to_owned();
    [text("/name"), word(lock).unwrap_or_default(), text("/spec/for"), text("/spec/reason"), until(lock).unwrap_or_default()]
}

/// When it ends by itself.
fn until(lock: &Value) -> Option<String> {
    let created: Timestamp = serde_json::from_value(lock.get("created")?.clone()).ok()?;
    let length: Period = serde_json::from_value(lock.pointer("/spec/for")?.clone()).ok()?;
    Some(crate::when::shown(created.plus(length.duration())))
}

/// `user/kim`: whom a lock keeps out.
fn word(lock: &Value) -> Option<String> {
    serde_json::from_value::<LockTarget>(lock.pointer("/spec/target")?.clone()).ok()?.word()
}

/// Removes a lock of this name, or every one that keeps this target out.
pub async fn rm(api: &Api, which: &str) -> Result<Answer, Failure> {
    let names = named(which, &all(api).await?);
    if names.is_empty() {
        return Err(Failure::new("NARU-C034", exit::NOT_FOUND, format!("there is no lock {which}")).hint("naru lock ls"));
    }
    for name in &names {
        let Applied { .. } = api.delete(&format!("{LOCKS}/{}", encode(name))).await?;
    }
    let lines = names.iter().map(|name| vec![format!("removed the lock {name}")]).collect();
    Ok(Answer::new(&json!({ "removed": names }), Table { head: Vec::new(), rows: lines }))
}

fn named(which: &str, locks: &[Value]) -> Vec<String> {
    let fits = |lock: &&Value| lock.get("name").and_then(Value::as_str) == Some(which) || word(lock).as_deref() == Some(which);
    locks.iter().filter(fits).filter_map(|lock| Some(lock.get("name")?.as_str()?.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::fake::Fake;

    fn new(target: &str) -> New {
        New { target: target.into(), reason: "r".into(), length: None, name: None, allow_self_lockout: false }
    }

    #[test]
    fn everything_that_a_lock_keeps_out_can_be_said() {
        for text in
            ["user/kim@corp", "bot/ci", "role/sre", "node/db-1", "cluster/seoul", "agent/a-1", "login/root", "certificate/0a1b", "all"]
        {
            assert_eq!(target(text).map(|target| target.word()), Ok(Some(text.to_owned())));
        }
        for bad in ["", "kim", "user/", "all/true", "team/x", "node/DB", "login/-x", "user/a\nb"] {
            assert_eq!(target(bad).map_err(|e| e.exit), Err(exit::USAGE), "{bad:?}");
        }
    }

    #[test]
    fn a_lock_is_called_after_what_it_locks_and_takes_no_other_name() {
        let taken: BTreeSet<String> = ["all", "user-kim-corp", "user-kim-corp-2", "mine"].map(str::to_owned).into();
        assert_eq!(name(&new("user/kim@corp"), &taken), Ok("user-kim-corp-3".into()));
        assert_eq!(name(&new("node/db-1"), &taken), Ok("node-db-1".into()));
        let long = name(&new(&format!("user/{}", "a".repeat(64))), &taken).expect("a name");
        assert!(long.parse::<access::words::ResourceName>().is_ok(), "{long}");
        let asked = New { name: Some("mine".into()), ..new("all") };
        assert_eq!(name(&asked, &taken).map_err(|e| e.exit), Err(exit::CONFLICT));
    }

    #[test]
    fn a_lock_is_found_by_its_name_and_by_whom_it_keeps_out() {
        let lock = |name: &str, target: Value| json!({"kind": "lock", "name": name, "spec": {"target": target, "reason": "r"}});
        let locks = [lock("a", json!({"user": "kim"})), lock("b", json!({"user": "kim"})), lock("all", json!({"all": true}))];
        assert_eq!(named("user/kim", &locks), ["a", "b"]);
        assert_eq!(named("all", &locks), ["all"]);
        assert_eq!(named("user/lee", &locks), Vec::<String>::new());
        assert_eq!(columns(&locks[2])[1], "all");
        let ends = json!({"name": "x", "created": "2026-11-20T10:00:00Z", "spec": {"target": {"user": "kim"}, "for": "90m"}});
        assert_eq!(columns(&ends)[4], crate::when::shown("2026-11-20T11:30:00Z".parse().expect("a time")));
        assert_eq!(columns(&locks[0])[4], "");
    }

    #[tokio::test]
    async fn a_lock_is_written_as_a_resource_and_removed_by_whom_it_keeps_out() {
        let there = json!({"kind": "lock", "name": "user-kim", "spec": {"target": {"user": "kim"}, "reason": "r"}});
        let fake = Fake::start(Box::new(move |path, _| match path {
            LOCKS => Some((200, json!({"items": [there]}))),
            _ => Some((200, json!({"items": []}))),
        }))
        .await;
        let made = add(&fake.api(), New { length: "1h".parse().ok(), ..new("user/kim") }).await.expect("made");
        assert_eq!(made.json["name"], "user-kim-2");
        let spec = json!({"target": {"user": "kim"}, "reason": "r", "for": "1h"});
        assert_eq!(fake.asked("/v1/apply")[0]["resources"], json!([{"kind": "lock", "name": "user-kim-2", "spec": spec}]));
        assert_eq!(rm(&fake.api(), "user/kim").await.expect("removed").json, json!({"removed": ["user-kim"]}));
        assert_eq!(fake.asked("/v1/resources/lock/user-kim").len(), 1);
        assert_eq!(rm(&fake.api(), "user/lee").await.map_err(|e| e.exit), Err(exit::NOT_FOUND));
    }
}
