//! `naru apply`, `naru get`, `naru delete`: declared resources.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;

use serde_json::Value;
use wire::api::{Applied, AppliedItem, Apply, Change, Items};

use crate::failure::Failure;
use crate::http::{Api, encode};
use crate::out::{Answer, Table};

/// How resources are written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct How {
    /// Only say what would change.
    pub dry_run: bool,
    /// It may take the caller's own right to undo it.
    pub allow_self_lockout: bool,
    /// Who keeps them.
    pub managed_by: Option<String>,
}

/// Writes all resources or none.
pub async fn apply(api: &Api, resources: Vec<Value>, how: How) -> Result<Answer, Failure> {
    let How { dry_run, allow_self_lockout, managed_by } = how;
    let applied: Applied = api.make("/v1/apply", &Apply { resources, dry_run, allow_self_lockout, managed_by }).await?;
    Ok(said(&applied))
}

/// Every kind in an order in which what is named stands before what names it.
const ALL: [&str; 13] = [
    "settings",
    "role",
    "oidc_connector",
    "user",
    "bot",
    "join_token",
    "node",
    "cluster",
    "messenger",
    "audit_sink",
    "access_rule",
    "guardrail",
    "lock",
];

/// All resources of every kind, as another install takes them: without the ids and revisions of this one.
pub async fn all(api: &Api, form: Form) -> Result<Answer, Failure> {
    let mut items = Vec::new();
    for kind in ALL {
        items.extend(api.all(&path(kind, None), None).await?.into_iter().map(portable));
    }
    let json = serde_json::json!({ "items": items });
    let table = match form {
        Form::Yaml => Form::Yaml.lines(&items.iter().collect::<Vec<_>>()),
        Form::Json => Form::Json.lines(&[&json]),
    };
    Ok(Answer { json, table, below: Vec::new(), exit: 0 })
}

fn portable(mut resource: Value) -> Value {
    if let Some(fields) = resource.as_object_mut() {
        fields.retain(|key, _| !matches!(key.as_str(), "id" | "revision" | "created"));
    }
    resource
}

/// The names of the traits that people and bots have and that providers give.
pub async fn known_traits(api: &Api) -> Result<BTreeSet<String>, Failure> {
    let mut known = BTreeSet::new();
    for kind in ["user", "bot", "oidc_connector"] {
        let all: Vec<Value> = api.all(&path(kind, None), None).await?;
        let traits = all.iter().filter_map(|item| item.pointer("/spec/traits")?.as_object());
        known.extend(traits.flat_map(|traits| traits.keys().cloned()));
    }
    Ok(known)
}

/// How a resource is shown where no table is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As `naru apply` takes it.
    Yaml,
    /// The same as JSON, indented.
    Json,
}

impl Form {
    fn lines(self, values: &[&Value]) -> Table {
        let text = match self {
            Self::Yaml => values.iter().map(|value| crate::yaml::text(value)).collect::<Vec<_>>().join("---\n"),
            Self::Json => values.iter().map(|value| serde_json::to_string_pretty(value).unwrap_or_default() + "\n").collect(),
        };
        Table::text(&text)
    }
}

/// All resources of a kind as a table, or one as YAML; `form` asks for another look.
pub async fn get(api: &Api, kind: &str, name: Option<&str>, form: Option<Form>) -> Result<Answer, Failure> {
    match name {
        Some(name) => {
            let one: Value = api.get(&path(kind, Some(name))).await?;
            let table = form.unwrap_or(Form::Yaml).lines(&[&one]);
            Ok(Answer { json: one, table, below: Vec::new(), exit: 0 })
        }
        None => {
            let all = Items { items: api.all::<Value>(&path(kind, None), None).await? };
            match form {
                Some(Form::Yaml) => return Ok(Answer::new(&all, Form::Yaml.lines(&all.items.iter().collect::<Vec<_>>()))),
                // One document, as `naru apply` takes it.
                Some(Form::Json) => return Ok(Answer::new(&all, Form::Json.lines(&[&serde_json::json!({ "items": all.items })]))),
                None => {}
            }
            let word = |item: &Value, key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            let rows: Vec<_> = all
                .items
                .iter()
                .map(|item| [word(item, "kind"), word(item, "name"), item.get("spec").map(Value::to_string).unwrap_or_default()])
                .collect();
            Ok(Answer::new(&all, Table::of(["kind", "name", "spec"], rows)))
        }
    }
}

/// Deletes one; with a revision only what is still at it.
pub async fn delete(api: &Api, kind: &str, name: &str, revision: Option<u64>) -> Result<Answer, Failure> {
    let path = path(kind, Some(name));
    let applied: Applied = match revision {
        Some(revision) => api.delete_at(&path, revision).await?,
        None => api.delete(&path).await?,
    };
    Ok(said(&applied))
}

/// `roles` is taken for `role`, `join-token` for `join_token`: people write both.
fn path(kind: &str, name: Option<&str>) -> String {
    let kind = kind.replace('-', "_");
    let kind = kind.strip_suffix('s').filter(|one| *one != "setting").unwrap_or(&kind);
    match name {
        Some(name) => format!("/v1/resources/{}/{}", encode(kind), encode(name)),
        None => format!("/v1/resources/{}", encode(kind)),
    }
}

fn said(applied: &Applied) -> Answer {
    let rows = applied.items.iter().map(|item| {
        let change = match item.change {
            Change::Created => "created",
            Change::Changed => "changed",
            Change::Unchanged => "unchanged",
            Change::Deleted => "deleted",
        };
        [item.kind.clone(), item.name.clone(), change.to_owned()]
    });
    let try_it = |item: &AppliedItem| Some(format!("try {} in a browser, signing nobody in: {}", item.name, item.next.as_ref()?));
    // For whoever looks; programs have it in the JSON.
    let next = applied.items.iter().filter(|_| std::io::stdout().is_terminal()).filter_map(try_it).collect();
    Answer::new(applied, Table::of(["kind", "name", "change"], rows)).below(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_place_in_the_path() {
        assert_eq!(path("roles", Some("../../links")), "/v1/resources/role/..%2F..%2Flinks");
        assert_eq!(path("user", None), "/v1/resources/user");
        assert_eq!(
            (path("settings", None), path("access-rules", None)),
            ("/v1/resources/settings".into(), "/v1/resources/access_rule".into())
        );
    }

    #[test]
    fn an_export_has_every_kind_and_nothing_of_this_install() {
        let mut kinds: Vec<&str> = access::policy::ResourceKind::DECLARED.iter().map(|kind| kind.as_str()).collect();
        let mut all = ALL.to_vec();
        kinds.sort_unstable();
        all.sort_unstable();
        assert_eq!(all, kinds);
        let role = serde_json::json!({"kind": "role", "name": "a", "id": "r-1", "revision": 7, "labels": {"a": "b"}, "spec": {}});
        assert_eq!(portable(role), serde_json::json!({"kind": "role", "name": "a", "labels": {"a": "b"}, "spec": {}}));
    }
}
