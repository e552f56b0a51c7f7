//! Who may make which request to a cluster, and as whom it goes on there: labels, namespaces, resources, verbs, groups.

use std::collections::BTreeSet;

use super::denial::Denial;
use super::guard::{self, Reached};
use super::session::{Demanding, Obligations, reasoned, selects};
use super::who::{Candidate, Conditions, For, Note, candidates, closed, closed_to_all, time_changes};
use super::{KubeRequest, Yes, locks, offer, sealed, step_up};
use crate::condition::{Facts, TargetFacts};
use crate::identity::{Identity, Method, OnlyTarget, Reach};
use crate::policy::{KubeRule, KubeVerb, Pattern, PolicySet, RoleOptions};
use crate::time::Timestamp;

mod groups;

pub(super) use groups::gifts;
pub(crate) use groups::{Sample, samples};

/// As whom a request goes on, and what holds of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeDuties {
    /// The user that is impersonated.
    pub user: String,
    /// The groups that are impersonated: those of every allowing rule, and never none.
    pub groups: Vec<String>,
    /// What a stream that it opens must keep to.
    pub obligations: Obligations,
}

impl sealed::Judge for KubeRequest {
    type Duties = KubeDuties;

    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn judge(&self, policy: &PolicySet, now: Timestamp) -> Result<Yes<KubeDuties>, Denial> {
        let only = OnlyTarget { kind: Reach::Cluster, name: self.cluster.name.to_string(), login: None };
        Here::new(self, &self.identity, policy, now).judge().map_err(|denial| {
            offer::add(denial, &self.identity, policy, now, &only, |identity| {
                locks::person(&identity, policy, now)?;
                Here::new(self, &identity, policy, now).judge().map(|_| ())
            })
        })
    }
}

/// One person before one cluster.
struct Here<'a> {
    asked: &'a KubeRequest,
    identity: &'a Identity,
    policy: &'a PolicySet,
    now: Timestamp,
    roles: Vec<Candidate<'a>>,
    conditions: Conditions<'a>,
}

/// A rule that allows, and the groups that it gives.
struct Allowing<'a> {
    one: Candidate<'a>,
    place: usize,
    groups: Vec<String>,
    user: Option<String>,
}

impl<'a> Here<'a> {
    fn new(asked: &'a KubeRequest, identity: &'a Identity, policy: &'a PolicySet, now: Timestamp) -> Self {
        let name = asked.cluster.name.as_str();
        let target = TargetFacts { kind: "cluster", name, labels: &asked.cluster.labels, login: "" };
        let facts = Facts { identity, target: Some(target), kind: asked.verb.as_str(), command: None, now };
        let roles = candidates(identity, policy, now, Some(For { kind: Reach::Cluster, name, login: None }));
        Self { asked, identity, policy, now, roles, conditions: Conditions::new(facts) }
    }

    fn judge(mut self) -> Result<Yes<KubeDuties>, Denial> {
        self.permitted().map_err(|denial| denial.noting(self.conditions.told()))
    }

    fn permitted(&mut self) -> Result<Yes<KubeDuties>, Denial> {
        let (policy, allowing) = (self.policy, self.allowed()?);
        let first = allowing.first();
        let roles = allowing.iter().map(|one| Demanding { word: format!("role {}", one.one.role), options: &one.one.spec.options });
        let demanding: Vec<Demanding<'_>> =
            roles.chain([Demanding { word: "settings".to_owned(), options: &policy.others().settings.options }]).collect();
        step_up::check(&self.identity.auth, self.asked.begun.unwrap_or(self.now), &demanding)?;
        reasoned(self.identity, &demanding, "A request to a cluster cannot say one: ask an administrator for a role that demands none.")?;
        let options: Vec<&RoleOptions> = allowing.iter().map(|one| &one.one.spec.options).collect();
        let mut obligations = Obligations::strictest(&options, &policy.others().settings.options);
        if self.identity.auth.method == Method::BreakGlass {
            obligations.record_all();
        }
        let groups: BTreeSet<String> = allowing.iter().flat_map(|one| one.groups.iter().cloned()).collect();
        let user = allowing.iter().find_map(|one| one.user.clone()).unwrap_or_else(|| self.identity.name.to_string());
        let all = self.roles.iter().map(|one| &one.spec.options).chain([&policy.others().settings.options]);
        let until = time_changes(all, allowing.iter().map(|one| one.one), self.conditions.timely, self.now);
        Ok(Yes {
            rule: first.map(|first| format!("{}/allow.kubernetes[{}]", first.one.role, first.place)).unwrap_or_default(),
            by: first.and_then(|first| first.one.by).map(|grant| grant.request.clone()),
            duties: KubeDuties { user, groups: groups.into_iter().collect(), obligations },
            until,
            notes: self.conditions.told(),
        })
    }

    /// The rules that allow it, for now but for what has to be shown first; none where a guardrail leaves none.
    fn allowed(&mut self) -> Result<Vec<Allowing<'a>>, Denial> {
        let (policy, cluster) = (self.policy, &self.asked.cluster);
        locks::install(policy, self.now)?;
        if !self.roles.iter().any(|one| one.spec.allow.kubernetes.iter().any(|rule| self.reaches(rule))) {
            return Err(self.unreachable());
        }
        locks::target(policy, self.now, Reach::Cluster, cluster.name.as_str(), cluster.agent.as_ref(), None)?;
        if let Some(rule) = self.denied() {
            return Err(Denial::by_deny(&self.words(), rule));
        }
        if closed_to_all(policy, self.identity, self.now).is_some() {
            return Err(self.closed("the settings"));
        }
        let mut allowing = self.allowing();
        let groups: Vec<String> = allowing.iter().flat_map(|one| one.groups.iter().cloned()).collect();
        if !allowing.is_empty() && guard::check(self.identity, policy, &cluster.labels, Reached::Kubernetes(&groups))?.by_request_only {
            allowing.retain(|one| one.one.by.is_some());
            if allowing.is_empty() {
                return Err(Denial::by_request_only(&self.words()));
            }
        }
        if allowing.is_empty() { Err(self.not_allowed()) } else { Ok(allowing) }
    }

    fn reaches(&self, rule: &KubeRule) -> bool {
        selects(&rule.labels, &self.asked.cluster.labels, rule.agent_labels)
    }

    fn denied(&mut self) -> Option<String> {
        let mut found = None;
        for one in self.roles.clone() {
            for (i, rule) in one.spec.deny.kubernetes.iter().enumerate() {
                let name = || format!("{}/deny.kubernetes[{i}]", one.role);
                let spoken_of = verb_fits(rule, self.asked.verb, true) && speaks_of(rule, &self.asked.what(), true);
                let fits = selects(&rule.labels, &self.asked.cluster.labels, true) && spoken_of;
                if !fits || !self.conditions.deny(rule.condition.as_ref(), name) {
                    continue;
                }
                if one.spec.dry_run {
                    let sentence = format!("role {} would deny {}", one.role, self.words());
                    self.conditions.notes.push(Note::WouldDeny { rule: name(), sentence });
                } else if found.is_none() {
                    found = Some(name());
                }
            }
        }
        found
    }

    /// Every rule that allows it: what they give is given together.
    fn allowing(&mut self) -> Vec<Allowing<'a>> {
        let mut all = Vec::new();
        for one in self.roles.clone() {
            let shut = closed(&one.spec.options, self.identity, self.now);
            if shut.is_some() && !one.spec.dry_run {
                continue;
            }
            for (place, rule) in one.spec.allow.kubernetes.iter().enumerate() {
                if !(self.reaches(rule) && verb_fits(rule, self.asked.verb, false) && speaks_of(rule, &self.asked.what(), false)) {
                    continue;
                }
                let groups: Vec<String> = rule.groups.iter().flat_map(|group| group.expand(&self.identity.traits)).collect();
                let name = || format!("{}/allow.kubernetes[{place}]", one.role);
                if !groups.is_empty() && self.conditions.allow(rule.condition.as_ref(), rule.agent_labels, name) {
                    if let Some(shut) = shut {
                        self.conditions.notes.push(Note::closed(one.role, shut));
                    }
                    let user = rule.user.as_ref().and_then(|user| user.expand(&self.identity.traits).into_iter().next());
                    all.push(Allowing { one, place, groups, user });
                }
            }
        }
        all
    }

    /// `get pods/x in shop on seoul`.
    fn words(&self) -> String {
        let KubeRequest { cluster, verb, resource, namespace, name, .. } = self.asked;
        let shown = |text: &str| text.chars().filter(|c| !c.is_control() && !crate::condition::is_bidi(*c)).take(80).collect::<String>();
        let name = name.as_ref().map(|name| format!(" {}", shown(name))).unwrap_or_default();
        let namespace = namespace.as_ref().map(|namespace| format!(" in {}", shown(namespace))).unwrap_or_default();
        format!("{} {}{name}{namespace} on {}", verb.as_str(), shown(resource), cluster.name)
    }

    fn unreachable(&self) -> Denial {
        let sentence = format!("{} is not allowed: no role of {} reaches a cluster of that name", self.words(), self.identity.name);
        Denial::by_default(Denial::NODE, sentence, "Ask an administrator for a role that reaches it.")
    }

    fn closed(&self, word: &str) -> Denial {
        let sentence = format!("{} is not allowed from here or at this time: {word} says so", self.words());
        Denial {
            code: Denial::CLOSED,
            rule: "settings/options".to_owned(),
            sentence,
            hint: "Come from another network, or in other hours.".into(),
            ..Denial::bare()
        }
    }

    fn not_allowed(&self) -> Denial {
        let words = self.words();
        let shut = self.roles.iter().find(|one| {
            let fits = one.spec.allow.kubernetes.iter().any(|rule| self.reaches(rule) && speaks_of(rule, &self.asked.what(), false));
            fits && closed(&one.spec.options, self.identity, self.now).is_some()
        });
        if let Some(one) = shut {
            return self.closed(&format!("role {}", one.role));
        }
        let sentence = format!("{words} is not allowed: no role of {} allows it there", self.identity.name);
        let hint = "A role would have to allow that verb on that resource in that namespace.";
        Denial::by_default(Denial::KUBERNETES, sentence, hint)
    }
}

/// Whether a rule speaks of a verb: one that names none allows all but `proxy`, and denies all.
pub(crate) fn verb_fits(rule: &KubeRule, verb: KubeVerb, deny: bool) -> bool {
    rule.verbs.contains(&verb) || (rule.verbs.is_empty() && (deny || verb != KubeVerb::Proxy))
}

/// What a request is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct What<'a> {
    namespace: Option<&'a str>,
    api_group: &'a str,
    resource: &'a str,
    name: Option<&'a str>,
}

impl KubeRequest {
    fn what(&self) -> What<'_> {
        let (namespace, name) = (self.namespace.as_deref(), self.name.as_deref());
        What { namespace, api_group: &self.api_group, resource: &self.resource, name }
    }
}

/// Whether namespace, group, resource and name fit. What names no namespace or no name is about all of them: an allow has to allow all, and
/// a deny of any part of it denies the whole.
pub(crate) fn speaks_of(rule: &KubeRule, what: &What<'_>, deny: bool) -> bool {
    let any = |patterns: &[Pattern], text: &str| patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(text));
    let namespace = match what.namespace {
        Some(namespace) => rule.namespaces.iter().any(|pattern| pattern.matches(namespace)),
        None => rule.namespaces.iter().any(|pattern| deny || pattern.is_any()),
    };
    let name = match what.name {
        Some(name) => any(&rule.names, name),
        // A list shows every name.
        None => rule.names.is_empty() || rule.names.iter().any(|pattern| deny || pattern.is_any()),
    };
    namespace && name && any(&rule.api_groups, what.api_group) && any(&rule.resources, what.resource)
}
