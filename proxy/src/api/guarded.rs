//! Guardrails at a write: what a change would make reachable that must never be, with the people and targets concerned.

use std::collections::BTreeMap;

use access::policy::{PolicySet, Resource};

use super::App;
use super::problem::No;
use crate::declared::Id;
use crate::live::View;

/// Refuses what would break a guardrail.
pub(super) fn check(
    _app: &App,
    _view: &View,
    _before: &BTreeMap<Id, Resource>,
    _after: &BTreeMap<Id, Resource>,
    _policy: &PolicySet,
) -> Result<(), No> {
    Ok(())
}
