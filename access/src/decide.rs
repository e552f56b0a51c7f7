//! The one decision: `decide(question, policy, now)`, with a [`Permit`] or a [`Denial`]. Pure.
//!
//! INVARIANT: a `Permit` is made in this file only, in [`decide`]; an [`Admit`] to a login only in [`log_in`]. It is neither `Clone` nor `Deserialize`,
//! so whoever holds one has asked, and has asked this very question.
//!
//! Deny by default. A deny of any role wins over every allow. Each role is looked at alone, and within it each rule.

use crate::event::{AccessRef, Decision, SessionKind};
use crate::identity::{ClusterFacts, Identity, Labels, NodeFacts};
use crate::policy::{AuditAction, KubeVerb, Level, PolicySet, ResourceKind};
use crate::time::Timestamp;
use crate::words::{Login, RequestId, RoleName, UserName};

mod denial;
mod guard;
mod kube;
pub(crate) mod locks;
mod login;
mod offer;
mod rights;
mod session;
mod step_up;
mod who;

pub use denial::{Denial, Offer};
pub use guard::{Reached, hits as guardrail_hits, is_one_of};
pub use kube::KubeDuties;
pub use locks::{locked_agent, person as locked};
pub use login::{Admit, LogIn, log_in};
pub use offer::helping;
pub use rights::audits_all;
pub use session::{Obligations, Reacher, Reaching, allowed_logins, unknown_node};
pub use who::Note;

/// What [`crate::reach`] asks of many people and targets at once, part by part.
pub(crate) mod parts {
    pub(crate) use super::guard::speaks_of as guardrail_speaks_of;
    pub(crate) use super::kube::{Sample, samples, speaks_of, verb_fits};
    pub(crate) use super::session::{Act, allows, channel, denies};
    pub(crate) use super::who::{Conditions, closed, closed_to_all};
}

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
    /// The command of an exec.
    pub command: Option<String>,
    /// When the session began that is decided again; none before it begins. Its age then counts, so that it does not grow stale by going on.
    pub begun: Option<Timestamp>,
}

/// May this person have a connection made from there to somewhere else?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenForward {
    /// The person.
    pub identity: Identity,
    /// The node that it goes out of.
    pub node: NodeFacts,
    /// The account there.
    pub login: Login,
    /// Where it goes, as it was asked for.
    pub host: String,
    /// The port there.
    pub port: u16,
}

/// May this person make such a request to a cluster?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeRequest {
    /// The person.
    pub identity: Identity,
    /// The cluster; it exists.
    pub cluster: ClusterFacts,
    /// What is done.
    pub verb: KubeVerb,
    /// The API group; empty is the core group.
    pub api_group: String,
    /// The resource, with its subresource: `pods`, `pods/log`.
    pub resource: String,
    /// The namespace; none for what belongs to none.
    pub namespace: Option<String>,
    /// The object's name; none for lists.
    pub name: Option<String>,
    /// As in [`OpenSession`].
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
    /// Whose doing and on what; where absent, whether there is anybody at all of whom it may be seen.
    pub of: Option<Doing>,
}

/// Somebody's doing, for an [`Audit`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Doing {
    /// Whose; none where it is nobody's.
    pub user: Option<UserName>,
    /// The roles that they have now.
    pub roles: Vec<RoleName>,
    /// The labels of the target; none where there is no target.
    pub labels: Option<Labels>,
}

/// What is asked for in an [`Audit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditAsk {
    /// Something with sessions.
    Sessions(AuditAction),
    /// To read the audit log.
    Events,
}

/// May this person read, plan or write this kind of thing?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Administer {
    /// The person.
    pub identity: Identity,
    /// The kind of thing.
    pub kind: ResourceKind,
    /// How far.
    pub level: Level,
}

/// May this person say yes or no to a request for a role?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// The person.
    pub identity: Identity,
    /// Who asked for it.
    pub requester: UserName,
    /// The role that was asked for.
    pub role: RoleName,
}

/// A question that [`decide`] knows how to answer. Sealed: no other room can add one.
pub trait Question: sealed::Judge + Clone {}
impl Question for OpenSession {}
impl Question for OpenForward {}
impl Question for KubeRequest {}
impl Question for Review {}
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
    by: Option<RequestId>,
    until: Option<Timestamp>,
    notes: Vec<Note>,
}

impl<D> Yes<D> {
    /// By a rule that neither a request nor the time has a say in.
    fn plain(rule: String, duties: D) -> Self {
        Self { rule, duties, by: None, until: None, notes: Vec::new() }
    }
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
    by: Option<RequestId>,
    until: Option<Timestamp>,
    notes: Vec<Note>,
}

impl<Q: Question> Permit<Q> {
    /// The access request without which it would be a no.
    pub fn request(&self) -> Option<&RequestId> {
        self.by.as_ref()
    }
    /// When that access request is over; hours and conditions may end it before.
    pub fn request_ends(&self) -> Option<Timestamp> {
        let by = self.by.as_ref()?;
        self.question.identity().granted.iter().find(|granted| granted.request == *by).map(|granted| granted.until)
    }
    /// When time alone may make it a no: whoever goes on then asks again.
    pub fn until(&self) -> Option<Timestamp> {
        self.until
    }
    /// What is told beside it.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }
    /// What was asked.
    pub fn question(&self) -> &Q {
        &self.question
    }
    /// The rule that allowed it: `role/allow.ssh[0]`.
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

impl Permit<KubeRequest> {
    /// As whom the request goes on, and what holds of it.
    pub fn duties(&self) -> &KubeDuties {
        &self.duties
    }
}

/// Answers a question. The same question, policy and time give the same answer.
///
/// # Errors
/// The denial, with the rule that decided and what would have to change.
pub fn decide<Q: Question>(question: Q, policy: &PolicySet, now: Timestamp) -> Result<Permit<Q>, Denial> {
    signed_in(question.identity(), now)?;
    locks::person(question.identity(), policy, now)?;
    let Yes { rule, duties, by, until, notes } = question.judge(policy, now)?;
    Ok(Permit { question, rule, policy: policy.digest().to_owned(), decided_at: now, duties, by, until, notes })
}

/// Before all else: a sign-in that has ended gives nothing.
fn signed_in(identity: &Identity, now: Timestamp) -> Result<(), Denial> {
    if identity.expires > now { Ok(()) } else { Err(Denial::signed_out(identity)) }
}
