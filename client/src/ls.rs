//! `naru ls`: what I may reach, and as whom.

use std::io::IsTerminal as _;

use wire::api::{Items, NodeRow};

use crate::failure::Failure;
use crate::http::Api;
use crate::out::{Answer, Table};
use crate::requests;

/// The nodes that the caller may reach.
pub async fn nodes(api: &Api) -> Result<Answer, Failure> {
    let (nodes, requests) = tokio::join!(api.all::<NodeRow>("/v1/nodes", None), requests::given(api));
    let nodes = Items { items: nodes? };
    let rows = nodes.items.iter().map(|node| {
        let labels: Vec<String> = node.labels.iter().map(|label| format!("{}={}", label.key, label.value)).collect();
        let logins: Vec<&str> = node.logins.iter().map(|login| login.as_str()).collect();
        let connected = if node.connected { "connected" } else { "away" };
        [node.name.to_string(), logins.join(","), connected.to_owned(), labels.join(","), node.version.clone()]
    });
    let mut answer = Answer::new(&nodes, Table::of(["node", "logins", "state", "labels", "version"], rows));
    if let serde_json::Value::Object(map) = &mut answer.json {
        requests::beside(map, &requests);
    }
    // For whoever looks; a program that cuts columns counts on rows alone.
    let below = requests
        .iter()
        .filter(|_| std::io::stdout().is_terminal())
        .map(|request| format!("by request: {}", requests::gives_until(request)));
    Ok(answer.below(below.collect()))
}
