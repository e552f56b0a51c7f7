//! `naru get node` and `naru delete node`: every node, for who administers them. What one reaches oneself is in [`crate::ls`].

use wire::api::{Done, Items, NodeRow};

use crate::failure::Failure;
use crate::http::{Api, encode};
use crate::out::{Answer, Table};
use crate::when;

/// Whether this kind of thing is a node: people write `nodes` too.
pub fn is_kind(kind: &str) -> bool {
    matches!(kind, "node" | "nodes")
}

/// All, or one.
pub async fn get(api: &Api, name: Option<&str>) -> Result<Answer, Failure> {
    let (json, rows) = match name {
        Some(name) => {
            let one: NodeRow = api.get(&format!("/v1/nodes/{}", encode(name))).await?;
            (serde_json::to_value(&one), vec![one])
        }
        None => {
            let all = Items { items: api.all::<NodeRow>("/v1/nodes?all=true", None).await? };
            (serde_json::to_value(&all), all.items)
        }
    };
    let json = json.unwrap_or_default();
    Ok(Answer::new(&json, Table::of(["node", "state", "last seen", "agent", "version", "labels"], rows.iter().map(row))))
}

fn row(node: &NodeRow) -> [String; 6] {
    let label = |label: &wire::api::LabelRow| {
        let own = if label.origin == access::identity::Origin::Agent { " (agent's word)" } else { "" };
        format!("{}={}{own}", label.key, label.value)
    };
    let labels: Vec<String> = node.labels.iter().map(label).collect();
    let state = if node.connected { "connected" } else { "away" };
    let seen = match (node.connected, node.last_seen) {
        (true, _) => "now".to_owned(),
        (false, Some(at)) => when::shown(at),
        (false, None) => "not since it joined".to_owned(),
    };
    [node.name.to_string(), state.to_owned(), seen, node.agent_id.to_string(), node.version.clone(), labels.join(", ")]
}

/// Removes one: its agent is cut off, and its certificate counts for nothing.
pub async fn delete(api: &Api, name: &str) -> Result<Answer, Failure> {
    let Done {} = api.delete(&format!("/v1/nodes/{}", encode(name))).await?;
    let words = format!("removed the node {name}: to come back its host needs a new join token");
    Ok(Answer::new(&serde_json::json!({ "kind": "node", "name": name, "change": "deleted" }), Table::line(words)))
}
