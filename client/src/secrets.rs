//! `naru token ls|rm` and `naru login-link ls|rm`: what was made and can be taken back. Secrets are shown only when they are made.

use wire::api::{Done, Items, SecretRow};

use crate::failure::Failure;
use crate::http::{Api, encode};
use crate::out::{Answer, Table};
use crate::when;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Join tokens.
    Tokens,
    /// Sign-in links.
    Links,
}

impl Which {
    fn path(self) -> &'static str {
        match self {
            Self::Tokens => "/v1/tokens",
            Self::Links => "/v1/links",
        }
    }
}

/// Those that have not expired.
pub async fn ls(api: &Api, which: Which) -> Result<Answer, Failure> {
    let all = Items { items: api.all::<SecretRow>(which.path(), None).await? };
    let what = if which == Which::Tokens { "node" } else { "user" };
    let rows = all.items.iter().map(row).collect::<Vec<_>>();
    Ok(Answer::new(&all, Table::of(["id", what, "made by", "expires", "used", "labels", "of"], rows)))
}

fn row(row: &SecretRow) -> [String; 7] {
    let subject = row.user.as_ref().map(ToString::to_string).or_else(|| row.node.clone()).unwrap_or_default();
    let used = match (&row.used_for, row.used) {
        _ if row.from.is_some() => format!("{} times, {} left", row.uses.unwrap_or(0), row.uses_left.unwrap_or(0)),
        (Some(node), _) => format!("by {node}"),
        (None, true) => "yes".to_owned(),
        (None, false) => "no".to_owned(),
    };
    let of = row.from.as_ref().map(|from| format!("join_token/{from}")).unwrap_or_default();
    let labels: Vec<String> = row.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let made_by = row.made_by.as_ref().map_or_else(|| "the server".to_owned(), ToString::to_string);
    [row.id.clone(), subject, made_by, when::shown(row.expires), used, labels.join(","), of]
}

/// Takes one back.
pub async fn rm(api: &Api, which: Which, id: &str) -> Result<Answer, Failure> {
    let Done {} = api.delete(&format!("{}/{}", which.path(), encode(id))).await?;
    Ok(Answer::new(&serde_json::json!({ "id": id, "removed": true }), Table::line(format!("removed {id}"))))
}
