//! Guardrails at a write: what a change would make reachable that must never be, with the people and targets concerned.

use std::collections::BTreeMap;

use access::policy::{PolicySet, ResourceKind, Stated};
use access::reach::{Breaks, broken};
use axum::http::StatusCode;
use wire::api::exit;

use super::App;
use super::problem::No;
use crate::declared::Id;
use crate::live::View;
use crate::world::Everything;

/// Most lines of people and targets for each guardrail.
const LINES: usize = 20;

/// Whether a change of this resource may let anybody reach more. A lock that is new does not, and has to hold at once.
fn may_widen(view: &View, id: &Id) -> bool {
    match id.0 {
        ResourceKind::Messenger | ResourceKind::AuditSink | ResourceKind::JoinToken => false,
        ResourceKind::Lock => view.resources.contains_key(id),
        _ => true,
    }
}

/// Refuses what would break a guardrail anew.
pub(super) async fn check(app: &App, view: &View, after: &BTreeMap<Id, Stated>, policy: &PolicySet, changed: &[Id]) -> Result<(), No> {
    if policy.others().guardrails.is_empty() || !changed.iter().any(|id| may_widen(view, id)) {
        return Ok(());
    }
    let nodes = &app.sessions.nodes;
    let before = Everything::now(view, nodes)?;
    let after = Everything::with(view, nodes, after, policy.clone())?;
    // With many people and targets this takes its time, which nobody else waits for.
    let breaks = tokio::task::spawn_blocking(move || broken(&before.world(), &after.world(), LINES));
    let Breaks { new, .. } = breaks.await.map_err(No::ours)?;
    if new.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = new.iter().map(|one| one.guardrail.to_string()).collect();
    let lines = new.iter().flat_map(|one| one.lines.iter().map(|line| format!("guardrail {}: {}", one.guardrail, line.text)));
    let mut no = No::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "NARU-P227",
        exit::DENIED,
        format!("this change would break the guardrail {}", names.join(", ")),
    );
    no.problem.detail = Some(lines.collect::<Vec<_>>().join("\n"));
    Err(no.hint("Nothing was changed. Take what breaks it out of the change, or change the guardrail first."))
}
