//! `naru ls`: what I may reach, and as whom.

use wire::api::{Items, NodeRow};

use crate::failure::Failure;
use crate::http::Api;
use crate::out::{Answer, Table};

/// The nodes that the caller may reach.
pub async fn nodes(api: &Api) -> Result<Answer, Failure> {
    let nodes: Items<NodeRow> = api.get("/v1/nodes").await?;
    let rows = nodes.items.iter().map(|node| {
        let labels: Vec<String> = node.labels.iter().map(|label| format!("{}={}", label.key, label.value)).collect();
        let logins: Vec<&str> = node.logins.iter().map(|login| login.as_str()).collect();
        let connected = if node.connected { "connected" } else { "away" };
        [node.name.to_string(), logins.join(","), connected.to_owned(), labels.join(","), node.version.clone()]
    });
    Ok(Answer::new(&nodes, Table::of(["node", "logins", "state", "labels", "version"], rows)))
}
