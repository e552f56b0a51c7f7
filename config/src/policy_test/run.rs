//! Asks `access` each question of a table. The only word on what is allowed is `access::decide`'s.

use std::collections::BTreeMap;
use std::time::Duration;

use access::decide::{KubeRequest, OpenForward, OpenSession, Question, decide};
use access::identity::{Auth, ClusterFacts, Identity, LabelValue, Labels, Method, NodeFacts, Origin, UserId};
use access::policy::PolicySet;
use access::time::Timestamp;
use access::words::{NodeName, ResourceName, UserName};

use super::{Asked, Expect, KubeAsked, PolicyTest, Who};

/// Targets that are known by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Targets {
    /// Nodes.
    pub nodes: BTreeMap<NodeName, Labels>,
    /// Clusters.
    pub clusters: BTreeMap<ResourceName, Labels>,
}

/// What came of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The test's name.
    pub name: String,
    /// Its line.
    pub line: usize,
    /// What had to come of it.
    pub expected: Expect,
    /// What came; none where the question could not be asked, since nobody or nothing has the name. That never passes.
    pub got: Option<Expect>,
    /// The rule that had to decide.
    pub expected_rule: Option<String>,
    /// The rule that decided.
    pub rule: Option<String>,
    /// Why, in one sentence.
    pub sentence: String,
}

impl Outcome {
    /// Whether it is as it must be.
    pub fn passed(&self) -> bool {
        self.got == Some(self.expected) && (self.expected_rule.is_none() || self.expected_rule == self.rule)
    }
}

/// Runs all tests, in their order. `people` gives who is known by a name; `now` is when a test is that does not say.
pub fn run(
    tests: &[PolicyTest],
    policy: &PolicySet,
    people: &dyn Fn(&UserName) -> Option<Identity>,
    targets: &Targets,
    now: Timestamp,
) -> Vec<Outcome> {
    tests.iter().map(|test| one(test, policy, people, targets, now)).collect()
}

fn one(
    test: &PolicyTest,
    policy: &PolicySet,
    people: &dyn Fn(&UserName) -> Option<Identity>,
    targets: &Targets,
    now: Timestamp,
) -> Outcome {
    let at = test.at.unwrap_or(now);
    let answer = identity(test, policy, people, at).and_then(|identity| answer(test, identity, policy, targets, at));
    let (got, rule, sentence) = match answer {
        Ok(Answer { got, rule, sentence }) => (Some(got), Some(rule), sentence),
        Err(sentence) => (None, None, sentence),
    };
    Outcome { name: test.name.clone(), line: test.line, expected: test.expect, got, expected_rule: test.rule.clone(), rule, sentence }
}

struct Answer {
    got: Expect,
    rule: String,
    sentence: String,
}

fn ask<Q: Question>(question: Q, policy: &PolicySet, at: Timestamp) -> Answer {
    match decide(question, policy, at) {
        Ok(permit) => {
            Answer { got: Expect::Allow, rule: permit.rule().to_owned(), sentence: format!("it is allowed by {}", permit.rule()) }
        }
        Err(denial) => {
            let got = if denial.offer.is_some() { Expect::Request } else { Expect::Deny };
            Answer { got, rule: denial.rule, sentence: denial.sentence }
        }
    }
}

/// Who asks, freshly signed in: a table is about what is declared and not about how long ago somebody signed in.
fn identity(
    test: &PolicyTest,
    policy: &PolicySet,
    people: &dyn Fn(&UserName) -> Option<Identity>,
    at: Timestamp,
) -> Result<Identity, String> {
    let mut identity = match &test.who {
        Who::User(name) => people(name).ok_or_else(|| format!("nobody is called {name}"))?,
        Who::Made { roles, traits } => {
            if let Some(unknown) = roles.iter().find(|role| policy.role(role).is_none()) {
                return Err(format!("there is no role {unknown}"));
            }
            let name: UserName = "somebody".parse().map_err(|e| format!("{e}"))?;
            made(name, roles.clone(), traits.clone())
        }
    };
    identity.expires = at.plus(Duration::from_secs(86_400));
    identity.auth.time = Some(at);
    identity.context.from = test.from;
    identity.context.reason.clone_from(&test.reason);
    Ok(identity)
}

/// Somebody of whom nothing else is known.
pub(super) fn made(name: UserName, roles: Vec<access::words::RoleName>, traits: access::identity::Traits) -> Identity {
    Identity {
        user: UserId { issuer: "local".to_owned(), subject: name.to_string() },
        name,
        roles,
        traits,
        expires: Timestamp::from_secs(0),
        auth: Auth { method: Method::Oidc, ..Auth::default() },
        context: Default::default(),
        granted: Vec::new(),
    }
}

fn answer(test: &PolicyTest, identity: Identity, policy: &PolicySet, targets: &Targets, at: Timestamp) -> Result<Answer, String> {
    let given = test.labels.as_ref().map(labels);
    let node = |name: &NodeName| {
        let labels = given.clone().or_else(|| targets.nodes.get(name).cloned());
        let labels = labels.ok_or_else(|| format!("no node is called {name}; target: {{labels: …}} makes one up"))?;
        Ok::<_, String>(NodeFacts { name: name.clone(), labels, agent: None })
    };
    match test.asked.clone() {
        Asked::Session { node: name, login, kind, command } => {
            let node = node(&name)?;
            Ok(ask(OpenSession { identity, node, login, kind, command, begun: None }, policy, at))
        }
        Asked::Forward { host, port, node: name, login } => {
            let node = node(&name)?;
            Ok(ask(OpenForward { identity, node, login, host, port }, policy, at))
        }
        Asked::Kubernetes(KubeAsked { cluster: name, verb, api_group, resource, name: object, namespace }) => {
            let labels = given.clone().or_else(|| targets.clusters.get(&name).cloned());
            let labels = labels.ok_or_else(|| format!("no cluster is called {name}; target: {{labels: …}} makes one up"))?;
            let cluster = ClusterFacts { name, labels, agent: None };
            let asked = KubeRequest { identity, cluster, verb, api_group, resource, namespace, name: object, begun: None };
            Ok(ask(asked, policy, at))
        }
    }
}

/// Labels as an administrator would set them.
pub(super) fn labels(labels: &BTreeMap<String, String>) -> Labels {
    let one = |value: &String| LabelValue { value: value.clone(), origin: Origin::Authority };
    labels.iter().map(|(key, value)| (key.clone(), one(value))).collect()
}
