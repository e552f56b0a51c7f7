//! The one decision: `decide(question, policy, now)`, with a [`Permit`] or a [`Denial`]. Pure.
//!
//! INVARIANT: a `Permit` is made in this file only, in [`decide`]; an [`Admit`] to a login only in [`log_in`]. It is neither `Clone` nor `Deserialize`,
//! so whoever holds one has asked, and has asked this very question.
//!
//! Deny by default. A deny of any role wins over every allow. Each role is looked at alone, and within it each rule.

use std::collections::BTreeSet;

use crate::event::{AccessRef, Decision, SessionKind};
use crate::identity::{Identity, NodeFacts};
use crate::policy::{AuditAction, PolicySet, ResourceKind, RoleSpec};
use crate::time::Timestamp;
use crate::words::{Login, RoleName};

mod denial;
mod login;
mod rights;
mod session;
mod step_up;

pub use denial::Denial;
pub use login::{Admit, LogIn, log_in};
pub use session::{Obligations, allowed_logins, unknown_node};

/// May this person open such a session there, as that login?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSession {
    /// The person.
    pub identity: Identity,
    /// The node; it exists. For one that does not, see [`unknown_node`].
    pub node: NodeFacts,
    /// The account there.
    pub login: Login,
    /// What kind of session.
    pub kind: SessionKind,
    /// When the session began that is decided again; none before it begins. Its age then counts, so that it does not grow stale by going on.
    pub begun: Option<Timestamp>,
}

/// May this person see or end what others do?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// The person.
    pub identity: Identity,
    /// What is asked for.
    pub action: AuditAsk,
    /// Whether it is about the person's own sessions only. These may be listed without a role; nothing more.
    pub own: bool,
}

/// What is asked for in an [`Audit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditAsk {
    /// Something with sessions.
    Sessions(AuditAction),
    /// To read the audit log.
    Events,
}

/// May this person make, change or delete this kind of thing?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Administer {
    /// The person.
    pub identity: Identity,
    /// The kind of thing.
    pub kind: ResourceKind,
}

/// A question that [`decide`] knows how to answer. Sealed: no other room can add one.
pub trait Question: sealed::Judge + Clone {}
impl Question for OpenSession {}
impl Question for Audit {}
impl Question for Administer {}

mod sealed {
    use super::{Denial, Identity, PolicySet, Timestamp, Yes};

    /// How a question is judged, once the person is known to be signed in.
    pub trait Judge {
        /// What a yes demands of its holder.
        type Duties;
        /// Who asks.
        fn identity(&self) -> &Identity;
        /// The answer.
        fn judge(&self, policy: &PolicySet, now: Timestamp) -> Result<Yes<Self::Duties>, Denial>;
    }
}

/// A yes before it is a permit: the rule that gave it and what it demands.
#[derive(Debug)]
pub struct Yes<D> {
    rule: String,
    duties: D,
}

/// The proof that this question was asked and allowed.
#[derive(Debug)]
#[must_use = "a permit is what the next step asks for"]
pub struct Permit<Q: Question> {
    question: Q,
    rule: String,
    policy: String,
    decided_at: Timestamp,
    duties: Q::Duties,
}

impl<Q: Question> Permit<Q> {
    /// What was asked.
    pub fn question(&self) -> &Q {
        &self.question
    }
    /// The rule that allowed it: `role/allow[0]`.
    pub fn rule(&self) -> &str {
        &self.rule
    }
    /// Digest of the policy that allowed it.
    pub fn policy(&self) -> &str {
        &self.policy
    }
    /// When it was decided.
    pub fn decided_at(&self) -> Timestamp {
        self.decided_at
    }
    /// As an event tells it.
    pub fn access(&self) -> AccessRef {
        AccessRef { decision: Decision::Allow, rule: self.rule.clone(), policy: self.policy.clone() }
    }
}

impl Permit<OpenSession> {
    /// What the session must keep to.
    pub fn obligations(&self) -> &Obligations {
        &self.duties
    }
}

/// Answers a question. The same question, policy and time give the same answer.
///
/// # Errors
/// The denial, with the rule that decided and what would have to change.
pub fn decide<Q: Question>(question: Q, policy: &PolicySet, now: Timestamp) -> Result<Permit<Q>, Denial> {
    signed_in(question.identity(), now)?;
    let Yes { rule, duties } = question.judge(policy, now)?;
    Ok(Permit { question, rule, policy: policy.digest().to_owned(), decided_at: now, duties })
}

/// Before all else: a sign-in that has ended gives nothing.
fn signed_in(identity: &Identity, now: Timestamp) -> Result<(), Denial> {
    if identity.expires > now { Ok(()) } else { Err(Denial::signed_out(identity)) }
}

/// The person's roles that the policy knows, by name, each once: the order in which they came has no say.
fn roles_of<'a>(identity: &Identity, policy: &'a PolicySet) -> Vec<(RoleName, &'a RoleSpec)> {
    let names: BTreeSet<&RoleName> = identity.roles.iter().collect();
    names.into_iter().filter_map(|name| policy.role(name).map(|spec| (name.clone(), spec))).collect()
}
