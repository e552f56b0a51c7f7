//! Whether somebody or something is locked. Looked at before everything else, and again at every change.

use super::denial::Denial;
use crate::identity::{Identity, Method, Reach};
use crate::policy::{LockInForce, LockTarget, PolicySet};
use crate::time::Timestamp;
use crate::words::{AgentId, Login};

/// The lock on a person: on them, a role of theirs, their certificate.
///
/// # Errors
/// The denial of the first such lock.
pub fn person(identity: &Identity, policy: &PolicySet, now: Timestamp) -> Result<(), Denial> {
    let roles = || identity.roles.iter().chain(identity.granted.iter().filter(|grant| grant.until > now).map(|grant| &grant.role));
    let is_bot = identity.auth.method == Method::Bot;
    let hits = |target: &LockTarget| {
        let is = |name: &Option<crate::words::UserName>| name.as_ref() == Some(&identity.name);
        is(if is_bot { &target.bot } else { &target.user })
            || target.role.as_ref().is_some_and(|role| roles().any(|has| has == role))
            || (target.certificate.is_some() && target.certificate == identity.context.certificate)
    };
    first(policy, now, hits)
}

/// The lock on all access to targets.
///
/// # Errors
/// The denial.
pub(crate) fn install(policy: &PolicySet, now: Timestamp) -> Result<(), Denial> {
    first(policy, now, |target| target.all)
}

/// The lock on a target, its agent, or the login there.
///
/// # Errors
/// The denial of the first such lock.
pub(crate) fn target(
    policy: &PolicySet,
    now: Timestamp,
    kind: Reach,
    name: &str,
    agent: Option<&AgentId>,
    login: Option<&Login>,
) -> Result<(), Denial> {
    first(policy, now, |lock| {
        let named = match kind {
            Reach::Node => lock.node.as_ref().is_some_and(|node| node.as_str() == name),
            Reach::Cluster => lock.cluster.as_ref().is_some_and(|cluster| cluster.as_str() == name),
        };
        named || (lock.agent.is_some() && lock.agent.as_ref() == agent) || (lock.login.is_some() && lock.login.as_ref() == login)
    })
}

/// The lock on an agent, whose tunnels are cut for it.
pub fn locked_agent<'a>(policy: &'a PolicySet, agent: &AgentId, now: Timestamp) -> Option<&'a LockInForce> {
    policy.others().locks.iter().find(|lock| lock.holds(now) && lock.spec.target.agent.as_ref() == Some(agent))
}

fn first(policy: &PolicySet, now: Timestamp, hits: impl Fn(&LockTarget) -> bool) -> Result<(), Denial> {
    let found = policy.others().locks.iter().find(|lock| lock.holds(now) && hits(&lock.spec.target));
    found.map_or(Ok(()), |lock| Err(denied(lock)))
}

fn denied(lock: &LockInForce) -> Denial {
    let what = lock.spec.target.word().unwrap_or_default();
    let what = if what == "all" { "this install".to_owned() } else { what.replacen('/', " ", 1) };
    let hint = match lock.until() {
        Some(until) => format!("It ends by itself at {}; before that, ask an administrator.", until.to_minute()),
        None => "Ask an administrator: it stays until somebody removes it.".to_owned(),
    };
    Denial {
        code: Denial::LOCKED,
        rule: format!("lock/{}", lock.name),
        sentence: format!("{what} is locked: {}", lock.spec.reason),
        hint,
        ..Denial::bare()
    }
}
