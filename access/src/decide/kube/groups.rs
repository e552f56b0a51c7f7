//! As which groups somebody may make any request to a cluster at all. Requests are without number, so each allow rule is asked with the
//! most ordinary request that it speaks of: whatever takes that one away takes all of them.

use super::super::who::Candidate;
use super::{Here, KubeRequest, What};
use crate::identity::{ClusterFacts, Identity};
use crate::policy::{KubeRule, KubeVerb, Pattern, PolicySet};
use crate::time::Timestamp;

/// Stands where a pattern has its star: a character for private use, which no policy has reason to name.
const ANY: &str = "\u{F8FF}";

/// Each group that some request is given, with each role that gives it. Sign-in and locks on the person are looked at before.
pub(crate) fn gifts<'a>(
    identity: &'a Identity,
    cluster: &ClusterFacts,
    policy: &'a PolicySet,
    now: Timestamp,
) -> Vec<(String, Candidate<'a>)> {
    let mut found = Vec::new();
    let roles = super::candidates(
        identity,
        policy,
        now,
        Some(super::For { kind: super::Reach::Cluster, name: cluster.name.as_str(), login: None }),
    );
    for rule in roles.iter().flat_map(|one| &one.spec.allow.kubernetes) {
        for asked in samples(rule).into_iter().map(|sample| sample.asked(identity, cluster)) {
            let Ok(allowing) = Here::new(&asked, identity, policy, now).allowed().map(gifts_of) else { continue };
            found.extend(
                allowing.into_iter().filter_map(|(role, group)| Some((group, *roles.iter().find(|one| one.role.as_str() == role)?))),
            );
        }
    }
    found
}

/// Roles and groups without what they borrow from the question.
fn gifts_of(allowing: Vec<super::Allowing<'_>>) -> Vec<(String, String)> {
    allowing.into_iter().flat_map(|one| one.groups.into_iter().map(move |group| (one.one.role.to_string(), group))).collect()
}

/// A request without who and where.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) verb: KubeVerb,
    api_group: String,
    resource: String,
    namespace: Option<String>,
    name: Option<String>,
}

impl Sample {
    pub(crate) fn what(&self) -> What<'_> {
        let (namespace, name) = (self.namespace.as_deref(), self.name.as_deref());
        What { namespace, api_group: &self.api_group, resource: &self.resource, name }
    }

    fn asked(self, identity: &Identity, cluster: &ClusterFacts) -> KubeRequest {
        let Self { verb, api_group, resource, namespace, name } = self;
        KubeRequest { identity: identity.clone(), cluster: cluster.clone(), verb, api_group, resource, namespace, name, begun: None }
    }
}

/// One request for each combination of what an allow rule names.
pub(crate) fn samples(rule: &KubeRule) -> Vec<Sample> {
    let ordinary = |patterns: &[Pattern]| match patterns {
        [] => vec![ANY.to_owned()],
        some => some.iter().map(|pattern| pattern.to_string().replace('*', ANY)).collect(),
    };
    // What belongs to no namespace, and what has no name, are told apart from what has.
    let or_none = |patterns: &[Pattern], texts: Vec<String>, none: bool| {
        let none = none || patterns.iter().any(Pattern::is_any);
        texts.into_iter().map(Some).chain(none.then_some(None)).collect::<Vec<_>>()
    };
    let namespaces = if rule.namespaces.is_empty() { Vec::new() } else { ordinary(&rule.namespaces) };
    let namespaces = or_none(&rule.namespaces, namespaces, false);
    let names = or_none(&rule.names, ordinary(&rule.names), rule.names.is_empty());
    let (api_groups, resources) = (ordinary(&rule.api_groups), ordinary(&rule.resources));
    let mut all = Vec::new();
    for verb in KubeVerb::ALL.into_iter().filter(|verb| super::verb_fits(rule, *verb, false)) {
        for (namespace, api_group) in namespaces.iter().flat_map(|namespace| api_groups.iter().map(move |group| (namespace, group))) {
            for (resource, name) in resources.iter().flat_map(|resource| names.iter().map(move |name| (resource, name))) {
                let (api_group, resource) = (api_group.clone(), resource.clone());
                all.push(Sample { verb, api_group, resource, namespace: namespace.clone(), name: name.clone() });
            }
        }
    }
    all
}
