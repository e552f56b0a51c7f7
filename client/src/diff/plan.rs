//! A Terraform plan (`terraform show -json`) as the changes that it would make here. Only the provider's own resources count.
//!
//! The format is Terraform's "JSON Output Format", values representation: `resource_changes[].change.{actions, before, after, after_unknown}`.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use wire::api::{DiffChange, exit};

use crate::failure::Failure;

/// What the provider's resource types begin with.
const PREFIX: &str = "naru_";
/// Attributes that stand beside the spec.
const BESIDE: [&str; 3] = ["name", "labels", "managed_by"];
/// Attributes that are Terraform's or the server's own.
const LEFT_OUT: [&str; 4] = ["id", "revision", "timeouts", "allow_self_lockout"];

/// What a plan would change, and what it cannot say yet.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// In the plan's order.
    pub changes: Vec<DiffChange>,
    /// What is only known when it is applied.
    pub notes: Vec<String>,
}

#[derive(Deserialize)]
struct Shown {
    #[serde(default)]
    resource_changes: Vec<ResourceChange>,
}

#[derive(Deserialize)]
struct ResourceChange {
    address: String,
    #[serde(default)]
    mode: String,
    r#type: String,
    change: Changed,
}

#[derive(Deserialize)]
struct Changed {
    actions: Vec<String>,
    #[serde(default)]
    before: Value,
    #[serde(default)]
    after: Value,
    #[serde(default)]
    after_unknown: Value,
}

/// Reads the text of a plan.
///
/// # Errors
/// What is no plan as JSON.
pub fn read(text: &[u8]) -> Result<Plan, Failure> {
    let bad = |cause: &dyn std::fmt::Display| {
        Failure::new("NARU-C035", exit::USAGE, "this is no Terraform plan as JSON")
            .because(cause)
            .hint("terraform plan -out plan.tfplan && terraform show -json plan.tfplan > plan.json")
    };
    let value: Value = serde_json::from_slice(text).map_err(|e| bad(&e))?;
    if value.get("format_version").is_none() {
        return Err(bad(&"it has no format_version"));
    }
    let shown: Shown = serde_json::from_value(value).map_err(|e| bad(&e))?;
    let mut plan = Plan::default();
    for change in shown.resource_changes {
        if let Some(kind) = change.r#type.strip_prefix(PREFIX).filter(|_| change.mode != "data") {
            let kind = kind.to_owned();
            plan.add(&kind, change);
        }
    }
    Ok(plan)
}

impl Plan {
    fn add(&mut self, kind: &str, ResourceChange { address, change, .. }: ResourceChange) {
        let does = |action: &str| change.actions.iter().any(|word| word == action);
        let name = |object: &Value| object.get("name").and_then(Value::as_str).map(str::to_owned);
        let writes = does("create") || does("update");
        let after = name(&change.after);
        // A resource under another name is a new one, and the old one goes.
        if let Some(old) = name(&change.before).filter(|old| does("delete") && (!writes || after.as_ref() != Some(old))) {
            self.changes.push(DiffChange { kind: kind.to_owned(), name: old, object: None });
        }
        if !writes {
            return;
        }
        let unknown: Vec<String> = change.after_unknown.as_object().into_iter().flatten().filter_map(unknown).collect();
        if !unknown.is_empty() {
            self.notes.push(format!("unknown until apply: {} of {address}", unknown.join(", ")));
        }
        match after {
            Some(name) => {
                let object = object(kind, &name, &change.after);
                self.changes.push(DiffChange { kind: kind.to_owned(), name, object: Some(object) });
            }
            None => self.notes.push(format!("the name of {address} is not known yet, so what it changes is not counted")),
        }
    }
}

/// The attribute's name, where it or something in it is not known and somebody else than the server says it.
fn unknown((key, value): (&String, &Value)) -> Option<String> {
    fn any(value: &Value) -> bool {
        match value {
            Value::Bool(unknown) => *unknown,
            Value::Array(items) => items.iter().any(any),
            Value::Object(map) => map.values().any(any),
            _ => false,
        }
    }
    (any(value) && !LEFT_OUT.contains(&key.as_str())).then(|| key.clone())
}

/// The resource as the API takes it: what Terraform writes as null is absent, and attributes that do not stand beside the spec are the spec.
fn object(kind: &str, name: &str, after: &Value) -> Value {
    let (mut out, mut spec) = (Map::new(), Map::new());
    out.insert("kind".to_owned(), json!(kind));
    out.insert("name".to_owned(), json!(name));
    for (key, value) in after.as_object().into_iter().flatten() {
        let Some(value) = without_nulls(value) else { continue };
        match key.as_str() {
            "spec" => spec.extend(value.as_object().cloned().unwrap_or_default()),
            key if LEFT_OUT.contains(&key) => {}
            key if BESIDE.contains(&key) => {
                out.insert(key.to_owned(), value);
            }
            key => {
                spec.insert(key.to_owned(), value);
            }
        }
    }
    out.insert("spec".to_owned(), Value::Object(spec));
    Value::Object(out)
}

fn without_nulls(value: &Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Object(map) => {
            Some(Value::Object(map.iter().filter_map(|(key, value)| Some((key.clone(), without_nulls(value)?))).collect()))
        }
        Value::Array(items) => Some(Value::Array(items.iter().filter_map(without_nulls).collect())),
        other => Some(other.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(changes: Value) -> Plan {
        read(json!({"format_version": "1.2", "resource_changes": changes}).to_string().as_bytes()).expect("a plan")
    }

    #[test]
    fn creations_changes_and_deletions_of_our_own_resources_count() {
        let role =
            json!({"name": "dba", "id": null, "labels": null, "description": "x", "allow": {"ssh": [{"logins": ["root"], "where": null}]}});
        let plan = plan(json!([
            {"address": "naru_role.dba", "mode": "managed", "type": "naru_role",
             "change": {"actions": ["create"], "before": null, "after": role, "after_unknown": {"id": true, "allow": {"ssh": [{}]}}}},
            {"address": "naru_user.kim", "type": "naru_user", "change": {"actions": ["delete"], "before": {"name": "kim"}, "after": null}},
            {"address": "naru_role.same", "type": "naru_role", "change": {"actions": ["no-op"], "before": {"name": "s"}, "after": {"name": "s"}}},
            {"address": "aws_x.y", "type": "aws_x", "change": {"actions": ["create"], "after": {"name": "y"}}},
            {"address": "data.naru_role.d", "mode": "data", "type": "naru_role", "change": {"actions": ["create"], "after": {"name": "d"}}},
        ]));
        let object = json!({"kind": "role", "name": "dba", "spec": {"description": "x", "allow": {"ssh": [{"logins": ["root"]}]}}});
        let made = DiffChange { kind: "role".into(), name: "dba".into(), object: Some(object) };
        let gone = DiffChange { kind: "user".into(), name: "kim".into(), object: None };
        assert_eq!(plan, Plan { changes: vec![made, gone], notes: Vec::new() });
    }

    #[test]
    fn another_name_is_a_deletion_and_a_creation_and_what_is_not_known_is_said() {
        let plan = plan(json!([
            {"address": "naru_role.a", "type": "naru_role", "change": {"actions": ["delete", "create"], "before": {"name": "old"},
             "after": {"name": "new"}, "after_unknown": {"allow": true}}},
            {"address": "naru_role.b", "type": "naru_role", "change": {"actions": ["create"], "after": {}, "after_unknown": {"name": true}}},
        ]));
        let names: Vec<(&str, bool)> = plan.changes.iter().map(|change| (change.name.as_str(), change.object.is_some())).collect();
        assert_eq!(names, [("old", false), ("new", true)]);
        assert_eq!(plan.notes.len(), 3, "{:?}", plan.notes);
        assert_eq!(plan.notes[0], "unknown until apply: allow of naru_role.a");
    }

    #[test]
    fn what_is_no_plan_is_refused() {
        for bad in ["", "[]", "{}", "{\"format_version\":\"1.2\",\"resource_changes\":{}}", "Terraform will perform"] {
            assert_eq!(read(bad.as_bytes()).map_err(|e| (e.code, e.exit)), Err(("NARU-C035".into(), 2)), "{bad}");
        }
    }
}
