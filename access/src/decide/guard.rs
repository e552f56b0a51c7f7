//! Guardrails at the moment of use: what must never be is not, whoever it is that a role would let in.

use super::denial::Denial;
use crate::identity::{Identity, Labels};
use crate::policy::{GuardrailSpec, LoginPattern, PolicySet, Selector, Who};
use crate::words::{Login, ResourceName};

/// What is about to be reached.
#[derive(Debug, Clone, Copy)]
pub enum Reached<'a> {
    /// A session on a node.
    Ssh(&'a Login),
    /// A request to a cluster, as these groups.
    Kubernetes(&'a [String]),
}

/// What guardrails say of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Guarded {
    /// Only what a request gave counts.
    pub(super) by_request_only: bool,
}

/// Looks at every guardrail.
///
/// # Errors
/// The denial of the first that nothing lifts.
pub(super) fn check(identity: &Identity, policy: &PolicySet, labels: &Labels, reached: Reached<'_>) -> Result<Guarded, Denial> {
    let mut guarded = Guarded { by_request_only: false };
    for (name, spec) in policy.others().guardrails.iter().filter(|(_, spec)| hits(spec, identity, labels, reached)) {
        if !spec.unless.requested {
            return Err(denied(name, spec));
        }
        guarded.by_request_only = true;
    }
    Ok(guarded)
}

/// Whether a guardrail speaks of this person there.
pub fn hits(spec: &GuardrailSpec, identity: &Identity, labels: &Labels, reached: Reached<'_>) -> bool {
    speaks_of(spec, identity, reached) && fits_any_origin(&spec.never.reach.labels, labels)
}

/// The same on a target whose labels fit.
pub(crate) fn speaks_of(spec: &GuardrailSpec, identity: &Identity, reached: Reached<'_>) -> bool {
    let reach = &spec.never.reach;
    let both = reach.ssh.is_none() && reach.kubernetes.is_none();
    let done = match reached {
        Reached::Ssh(login) => {
            let named = |pattern: &LoginPattern| pattern.matches(login, &identity.traits);
            both || reach.ssh.as_ref().is_some_and(|ssh| ssh.logins.is_empty() || ssh.logins.iter().any(named))
        }
        Reached::Kubernetes(groups) => {
            let named = |pattern: &crate::policy::Pattern| groups.iter().any(|group| pattern.matches(group));
            both || reach.kubernetes.as_ref().is_some_and(|kube| kube.groups.is_empty() || kube.groups.iter().any(named))
        }
    };
    done && is_one_of(&spec.never.who, identity)
}

/// Whether somebody is meant.
pub fn is_one_of(who: &Who, identity: &Identity) -> bool {
    let users = who.users.is_empty() || who.users.iter().any(|pattern| pattern.matches(identity.name.as_str()));
    let roles = who.roles.is_empty() || who.roles.iter().any(|role| identity.roles.contains(role));
    let has = |name: &String, patterns: &Vec<crate::policy::Pattern>| {
        let values = identity.traits.get(name).into_iter().flatten();
        values.into_iter().any(|value| patterns.iter().any(|pattern| pattern.matches(value)))
    };
    users && roles && who.traits.iter().all(|(name, patterns)| has(name, patterns))
}

/// As in a deny rule: a doubtful label is as good a reason as any.
fn fits_any_origin(selector: &Selector, labels: &Labels) -> bool {
    super::session::selects(selector, labels, true)
}

fn denied(name: &ResourceName, spec: &GuardrailSpec) -> Denial {
    let why = if spec.description.is_empty() { String::new() } else { format!(": {}", spec.description) };
    Denial {
        code: Denial::GUARDRAIL,
        rule: format!("guardrail/{name}"),
        sentence: format!("the guardrail {name} never lets this be{why}"),
        hint: "No role changes that: an administrator would have to change the guardrail.".to_owned(),
        ..Denial::bare()
    }
}
