//! What files of resources alone say: a policy, people and targets, so that tests run without any server.

use std::collections::BTreeMap;

use access::identity::{Identity, Method};
use access::policy::{LockInForce, Others, PolicySet, Resource, ResourceKind, Stated, WholeFault, whole};
use access::time::Timestamp;
use access::words::UserName;

use super::run::{Targets, labels, made};

/// All that files declare.
#[derive(Debug, Clone)]
pub struct World {
    /// What decides.
    pub policy: PolicySet,
    /// People and machines that are declared.
    pub people: BTreeMap<UserName, Identity>,
    /// Targets that are declared.
    pub targets: Targets,
}

impl World {
    /// Holds what is declared together. Locks count from `now`.
    ///
    /// # Errors
    /// Every fault of the resources beside one another; [`crate::policy::place_fault`] shows each at its place.
    pub fn of(all: &[Stated], now: Timestamp) -> Result<Self, Vec<WholeFault>> {
        let mut faults = whole::faults(all.iter().map(|one| &one.resource));
        let (mut roles, mut others) = (Vec::new(), Others::default());
        let (mut people, mut targets) = (BTreeMap::new(), Targets::default());
        for one in all {
            match one.resource.clone() {
                Resource::Role { name, spec } => roles.push((name, spec)),
                Resource::User { name, spec } => {
                    people.insert(name.clone(), made(name, spec.roles, spec.traits));
                }
                Resource::Bot { name, spec } => {
                    let mut bot = made(name.clone(), spec.roles, spec.traits);
                    bot.auth.method = Method::Bot;
                    people.insert(name, bot);
                }
                Resource::Node { name, .. } => {
                    targets.nodes.insert(name, labels(&one.labels));
                }
                Resource::Cluster { name, .. } => {
                    targets.clusters.insert(name, labels(&one.labels));
                }
                Resource::Guardrail { name, spec } => {
                    others.guardrails.insert(name, spec);
                }
                Resource::AccessRule { name, spec } => {
                    others.access_rules.insert(name, spec);
                }
                Resource::Lock { name, spec } => others.locks.push(LockInForce { name, spec, since: one.created.unwrap_or(now) }),
                Resource::Settings { spec, .. } => others.settings = spec,
                // These say nothing of who may do what.
                Resource::OidcConnector { .. } | Resource::JoinToken { .. } | Resource::Messenger { .. } | Resource::AuditSink { .. } => {}
            }
        }
        match PolicySet::build(roles) {
            Ok(policy) if faults.is_empty() => Ok(Self { policy: policy.with(others), people, targets }),
            Ok(_) => Err(faults),
            Err(found) => {
                let of_role = |fault: access::policy::PolicyFault| WholeFault {
                    kind: ResourceKind::Role,
                    name: fault.role.to_string(),
                    fault: fault.fault,
                    missing: None,
                };
                faults.extend(found.into_iter().map(of_role));
                Err(faults)
            }
        }
    }
}
