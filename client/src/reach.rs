//! `naru access list`: who reaches what, of one person or of one target, all pages.

use serde_json::json;
use wire::api::{AccessQuery, AccessRow, Page};

use crate::failure::Failure;
use crate::http::{Api, with_query};
use crate::out::{Answer, Table};
use crate::when;

/// Every row that fits.
pub async fn list(api: &Api, query: AccessQuery) -> Result<Answer, Failure> {
    let (mut query, mut items) = (query, Vec::<AccessRow>::new());
    loop {
        let page: Page<AccessRow> = api.get(&with_query("/v1/access", &query)).await?;
        items.extend(page.items);
        // A page that begins where it ended would never end.
        match page.next.filter(|next| query.after.as_ref() != Some(next)) {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    Ok(Answer::new(&json!({ "items": items }), Table::of(["user", "target", "as", "roles", "until"], items.iter().map(columns))))
}

fn columns(row: &AccessRow) -> [String; 5] {
    let kind = match row.kind {
        access::identity::Reach::Node => "node",
        access::identity::Reach::Cluster => "cluster",
    };
    let roles: Vec<&str> = row.roles.iter().map(|role| role.as_str()).collect();
    let until = row.until.map(when::shown).unwrap_or_default();
    [row.user.to_string(), format!("{kind}/{}", row.target), row.r#as.join(","), roles.join(","), until]
}
