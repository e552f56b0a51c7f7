//! As which groups somebody may make any request to a cluster at all. Requests are without number, so each allow rule is asked with the
//! most ordinary request that it speaks of: whatever takes that one away takes all of them.

use super::super::who::Candidate;
use super::{Here, KubeRequest};
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
        for asked in requests(rule, identity, cluster) {
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

/// One request for each combination of what a rule names.
pub(crate) fn requests<'r>(
    rule: &'r KubeRule,
    identity: &'r Identity,
    cluster: &'r ClusterFacts,
) -> impl Iterator<Item = KubeRequest> + 'r {
    let ordinary = |patterns: &[Pattern]| match patterns {
        [] => vec![ANY.to_owned()],
        some => some.iter().map(|pattern| pattern.to_string().replace('*', ANY)).collect(),
    };
    // What belongs to no namespace, and what has no name, are told apart from what has.
    let or_none = |patterns: &[Pattern], texts: Vec<String>| {
        let none = patterns.iter().any(Pattern::is_any);
        texts.into_iter().map(Some).chain(none.then_some(None)).collect::<Vec<_>>()
    };
    let namespaces = or_none(&rule.namespaces, if rule.namespaces.is_empty() { Vec::new() } else { ordinary(&rule.namespaces) });
    let mut names = or_none(&rule.names, ordinary(&rule.names));
    if rule.names.is_empty() {
        names.push(None);
    }
    let verbs = if rule.verbs.is_empty() { &KubeVerb::ALL[..] } else { &rule.verbs[..] };
    let (api_groups, resources) = (ordinary(&rule.api_groups), ordinary(&rule.resources));
    let mut all = Vec::new();
    for (verb, namespace) in verbs.iter().flat_map(|verb| namespaces.iter().map(move |namespace| (*verb, namespace))) {
        for (api_group, resource) in api_groups.iter().flat_map(|group| resources.iter().map(move |resource| (group, resource))) {
            all.extend(names.iter().map(|name| KubeRequest {
                identity: identity.clone(),
                cluster: cluster.clone(),
                verb,
                api_group: api_group.clone(),
                resource: resource.clone(),
                namespace: namespace.clone(),
                name: name.clone(),
                begun: None,
            }));
        }
    }
    all.into_iter()
}
