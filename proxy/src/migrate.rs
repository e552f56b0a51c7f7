//! From the first format of the store to the second: roles, people, connectors and bots become records of one shape, and roles say by kind
//! what they allow. Each entry is written and removed in one batch, so that a start that was cut off goes on where it was.

use std::collections::BTreeMap;

use access::policy::{Resource, ResourceKind};
use access::time::Timestamp;
use serde_json::{Map, Value, json};
use store::kv::{Change, Entry, Expect, Kv};

use crate::declared::{CLIENT_SECRET, Stored, key_of};
use crate::live::{LiveError, scan};

/// Where the first format had what, and as what.
const BEFORE: [(&str, ResourceKind); 4] = [
    ("role/", ResourceKind::Role),
    ("user/", ResourceKind::User),
    ("connector/", ResourceKind::OidcConnector),
    ("bot/", ResourceKind::Bot),
];

/// Moves what is there; answers how many entries were moved.
///
/// # Errors
/// What cannot be read stays as it is, and so does everything after it.
pub(crate) fn to_second(store: &dyn Kv, now: Timestamp) -> Result<u64, LiveError> {
    let mut moved = 0;
    for (prefix, kind) in BEFORE {
        for entry in scan(store, prefix)? {
            let name = entry.key.strip_prefix(prefix).unwrap_or_default().to_owned();
            let bad = |why: &dyn std::fmt::Display| LiveError::Stored { key: entry.key.clone(), why: why.to_string() };
            let stored = second(kind, &entry, now).map_err(|why| bad(&why))?;
            let flat = json!({"kind": kind, "name": name, "spec": stored.spec});
            serde_json::from_value::<Resource>(flat).map_err(|error| bad(&error))?;
            store.batch(&[
                Change::put(key_of(kind, &name), stored.bytes(), Expect::Any),
                Change::delete(entry.key.clone(), Expect::Revision(entry.at.revision)),
            ])?;
            moved += 1;
        }
    }
    Ok(moved)
}

fn second(kind: ResourceKind, entry: &Entry, now: Timestamp) -> Result<Stored, String> {
    let value: Value = serde_json::from_slice(&entry.at.value).map_err(|error| error.to_string())?;
    let field = |name: &str| value.get(name).cloned().unwrap_or_default();
    let new = |id: String, spec: Value| Stored::new(id, now, spec);
    let some_id = || uuid::Uuid::new_v4().to_string();
    Ok(match kind {
        ResourceKind::Role => new(some_id(), role(&value)),
        ResourceKind::User => {
            let subject = field("subject").as_str().map(str::to_owned).ok_or("a user without a subject")?;
            new(subject, field("spec"))
        }
        ResourceKind::OidcConnector => {
            let mut stored = new(some_id(), field("spec"));
            if let Some(secret) = value.get("secret") {
                let sealed = serde_json::from_value(secret.clone()).map_err(|error| error.to_string())?;
                stored.secrets = BTreeMap::from([(CLIENT_SECRET.to_owned(), sealed)]);
            }
            let key = value.get("key").cloned().map(serde_json::from_value).transpose();
            stored.key = key.map_err(|error: serde_json::Error| error.to_string())?;
            stored
        }
        _ => new(some_id(), value),
    })
}

/// A role's spec in its second shape.
fn role(old: &Value) -> Value {
    let rules = |part: &str| -> Vec<Value> { old.get(part).and_then(Value::as_array).into_iter().flatten().map(rule).collect() };
    let (mut allow, mut deny, mut spec) = (Map::new(), Map::new(), Map::new());
    allow.insert("ssh".into(), rules("allow").into());
    deny.insert("ssh".into(), rules("deny").into());
    if let Some(audit) = old.get("audit") {
        allow.insert("audit".into(), json!([audit]));
    }
    let kinds = old.get("administer").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let kinds: Map<String, Value> =
        kinds.map(|kind| (if kind == "token" { "join_token" } else { kind }.to_owned(), Value::from("write"))).collect();
    if !kinds.is_empty() {
        allow.insert("administer".into(), kinds.into());
    }
    spec.insert("allow".into(), allow.into());
    spec.insert("deny".into(), deny.into());
    if let Some(options) = old.get("options") {
        spec.insert("options".into(), options.clone());
    }
    spec.into()
}

fn rule(old: &Value) -> Value {
    let mut new = Map::new();
    for (key, value) in old.as_object().into_iter().flatten() {
        match key.as_str() {
            "node_labels" => drop(new.insert("labels".into(), value.clone())),
            "kinds" => {
                let words = value.as_array().into_iter().flatten().filter_map(Value::as_str);
                let both = |word: &str| {
                    if word == "sftp" { vec!["sftp_read", "sftp_write"] } else { vec![word] }
                        .into_iter()
                        .map(Value::from)
                        .collect::<Vec<_>>()
                };
                new.insert("kinds".into(), words.flat_map(both).collect::<Vec<_>>().into());
            }
            _ => drop(new.insert(key.clone(), value.clone())),
        }
    }
    new.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_first_format_held_is_in_force_after_the_move_and_a_second_move_finds_nothing() {
        let store = store::kv::memory();
        let put = |key: &str, value: Value| store.put(key, value.to_string().as_bytes(), Expect::Absent).expect("stored");
        put(
            "role/engineer",
            json!({"allow": [{"node_labels": {"env": ["dev"]}, "logins": ["{{logins}}"], "kinds": ["shell", "sftp"]}],
                "deny": [{"node_labels": {"*": ["*"]}, "logins": ["root"]}], "options": {"idle": "30m"},
                "audit": {"sessions": ["list"], "events": true}, "administer": ["token", "role"]}),
        );
        put("user/kim", json!({"subject": "s-1", "spec": {"roles": ["engineer"], "traits": {"logins": ["kim"]}}}));
        put("bot/ci", json!({"issuer": "https://ci.example.com", "audience": "naru", "claims": {"sub": ["a"]}, "roles": ["engineer"]}));
        put("connector/kc", json!({"spec": {"issuer": "https://sso.example.com", "client_id": "naru"}, "secret": "c2VhbGVk"}));
        let now = Timestamp::from_secs(1_800_000_000);
        assert_eq!(to_second(&store, now).expect("moved"), 4);
        assert_eq!(to_second(&store, now).expect("moved"), 0);
        let all = crate::declared::read(&store).expect("read");
        assert_eq!(all.users.values().next().map(|user| user.subject.as_str()), Some("s-1"));
        assert!(all.connectors.values().next().is_some_and(|connector| connector.secret.is_some()));
        assert_eq!(all.bots.len(), 1);
        let (roles, _) = &all.parts;
        let role = serde_json::to_value(&roles.first().expect("a role").1).expect("json");
        assert_eq!(
            role,
            json!({
                "allow": {
                    "ssh": [{"labels": {"env": ["dev"]}, "logins": ["{{logins}}"], "kinds": ["shell", "sftp_read", "sftp_write"]}],
                    "audit": [{"sessions": ["list"], "events": true}],
                    "administer": {"join_token": "write", "role": "write"},
                },
                "deny": {"ssh": [{"labels": {"*": ["*"]}, "logins": ["root"]}]},
                "options": {"idle": "30m"},
            })
        );
    }
}
