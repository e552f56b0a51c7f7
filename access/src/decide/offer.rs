//! Which access request would lift a no. Only roles that the person may ask for are tried, so that a no tells nobody more than they may know.

use std::time::Duration;

use super::denial::{Denial, Offer};
use super::who::standing;
use crate::identity::{Granted, Identity, OnlyTarget};
use crate::policy::PolicySet;
use crate::time::Timestamp;
use crate::words::{REQUEST_ALPHABET, RequestId, RoleName};

/// Most roles that are tried for one no.
const TRIES: usize = 64;

/// Adds the request that would make a yes of it, where there is one.
pub(super) fn add(
    denial: Denial,
    identity: &Identity,
    policy: &PolicySet,
    now: Timestamp,
    only: &OnlyTarget,
    judge: impl Fn(Identity) -> Result<(), Denial>,
) -> Denial {
    if denial.is_nearly_yes() || matches!(denial.code, Denial::LOCKED) {
        return denial;
    }
    let found = helping(identity, policy, now, only, judge);
    match found {
        Some(offer) => {
            let hint = hint(&offer, only);
            Denial { hint, offer: Some(Box::new(offer)), ..denial }
        }
        None => denial,
    }
}

/// The first role, by name, that the person may ask for and that would be enough for this target.
pub fn helping(
    identity: &Identity,
    policy: &PolicySet,
    now: Timestamp,
    only: &OnlyTarget,
    judge: impl Fn(Identity) -> Result<(), Denial>,
) -> Option<Offer> {
    let mut roles: Vec<&RoleName> = standing(identity, policy).into_iter().flat_map(|one| &one.spec.may_request).collect();
    roles.sort_unstable();
    roles.dedup();
    let request = sample()?;
    roles.into_iter().filter(|role| !identity.roles.contains(role)).take(TRIES).find_map(|role| {
        let (name, rule) = policy.access_rule(role)?;
        let mut with = identity.clone();
        let until = now.plus(Duration::from_secs(60));
        with.granted.push(Granted { request: request.clone(), role: role.clone(), only: Some(only.clone()), until });
        let helps = judge(with).map_or_else(|denial| denial.is_nearly_yes(), |()| true);
        helps.then(|| Offer {
            role: role.clone(),
            only: only.clone(),
            rule: name.clone(),
            reason: rule.reason.required,
            approvals: rule.approvals.required.unwrap_or(1),
        })
    })
}

/// A request id that no request has: it is tried with, and kept nowhere.
fn sample() -> Option<RequestId> {
    let text: String = REQUEST_ALPHABET.first().map(|first| char::from(*first)).into_iter().cycle().take(8).collect();
    text.parse().ok()
}

fn hint(offer: &Offer, only: &OnlyTarget) -> String {
    let login = only.login.as_ref().map(|login| format!("{login}@")).unwrap_or_default();
    let reason = if offer.reason { " --reason 'why'" } else { "" };
    format!("Ask for it: `naru request create {} --on {login}{}{reason}`.", offer.role, only.name)
}
