//! One side of a change: the policy laid over the classes of targets once, so that a person's reach is a matter of bits.
//! The answers are those of `decide`, to which the laws in `tests/reach_laws.rs` hold them; sessions are in `nodes`, groups in `clusters`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use super::bits::Bits;
use super::table::{Apart, Table, Target};
use super::{Held, Moment, World, reads};
use crate::condition::{Condition, Facts, TargetFacts};
use crate::decide::locks;
use crate::decide::parts::{Conditions, Sample, closed_to_all};
use crate::identity::{ClusterFacts, Identity, NodeFacts, OnlyTarget, Reach};
use crate::policy::{GuardrailSpec, PolicySet, RoleSpec, Selector};
use crate::words::{Login, RoleName};

/// The tables of both sides.
pub(super) struct Tables<'a> {
    pub(super) nodes: Table<'a, NodeFacts>,
    pub(super) clusters: Table<'a, ClusterFacts>,
}

impl<'a> Tables<'a> {
    /// Gathers the targets of both worlds, as far as these people's roles tell them apart.
    pub(super) fn of(before: &World<'a>, after: &World<'a>, people: &[&Identity]) -> Self {
        let [nodes, clusters] = [Reach::Node, Reach::Cluster].map(|kind| {
            let mut apart = Apart::default();
            let roles = roles_of(people);
            for policy in [before.policy, after.policy] {
                roles.iter().filter_map(|role| policy.role(role)).for_each(|spec| tell_apart(&mut apart, kind, spec));
                let rails = policy.others().guardrails.values();
                apart.keys.extend(rails.flat_map(|rail| rail.never.reach.labels.keys()).filter(|key| *key != "*").cloned());
                let locks = || policy.others().locks.iter().map(|lock| &lock.spec.target);
                apart.agents.extend(locks().filter_map(|lock| lock.agent.as_ref()));
                match kind {
                    Reach::Node => apart.names.extend(locks().filter_map(|lock| Some(lock.node.as_ref()?.as_str()))),
                    Reach::Cluster => apart.names.extend(locks().filter_map(|lock| Some(lock.cluster.as_ref()?.as_str()))),
                }
            }
            let only = people.iter().flat_map(|one| &one.granted).filter_map(|grant| grant.only.as_ref());
            apart.names.extend(only.filter(|only| only.kind == kind).map(|only| only.name.as_str()));
            apart
        });
        Self { nodes: Table::of(before.nodes, after.nodes, &nodes), clusters: Table::of(before.clusters, after.clusters, &clusters) }
    }
}

/// Every role that one of these people has or has been given.
pub(super) fn roles_of<'p>(people: &[&'p Identity]) -> BTreeSet<&'p RoleName> {
    people.iter().flat_map(|one| one.roles.iter().chain(one.granted.iter().map(|grant| &grant.role))).collect()
}

fn tell_apart(apart: &mut Apart<'_>, kind: Reach, spec: &RoleSpec) {
    let mut add = |labels: &Selector, condition: Option<&Condition>, sources: &mut Vec<String>| {
        apart.keys.extend(labels.keys().filter(|key| *key != "*").cloned());
        sources.extend(condition.filter(|condition| condition.speaks_of("target")).map(ToString::to_string));
    };
    let mut sources = Vec::new();
    for rights in [&spec.allow, &spec.deny] {
        match kind {
            Reach::Node => rights.ssh.iter().for_each(|rule| add(&rule.labels, rule.condition.as_ref(), &mut sources)),
            Reach::Cluster => rights.kubernetes.iter().for_each(|rule| add(&rule.labels, rule.condition.as_ref(), &mut sources)),
        }
    }
    for source in sources {
        match reads::labels(&source) {
            Some(keys) => apart.keys.extend(keys.into_iter().map(str::to_owned)),
            None => apart.each = true,
        }
    }
}

/// The classes that each rule of a role fits.
pub(super) struct Fits {
    pub(super) ssh_allow: Vec<Bits>,
    pub(super) ssh_deny: Vec<Bits>,
    pub(super) kube_allow: Vec<Bits>,
    pub(super) kube_deny: Vec<Bits>,
}

/// What conditions answered that ask about nobody in particular: by the place of the condition and the login.
type Answered = HashMap<(usize, bool, String), Rc<Bits>>;

/// One side.
pub(super) struct Side<'a> {
    /// 0 before, 1 after.
    pub(super) at: usize,
    pub(super) policy: &'a PolicySet,
    pub(super) tables: &'a Tables<'a>,
    pub(super) moment: Moment,
    fits: BTreeMap<&'a RoleName, Fits>,
    pub(super) rails: Vec<(&'a GuardrailSpec, [Bits; 2])>,
    /// Nodes, and clusters, that are locked.
    pub(super) locked: [Bits; 2],
    answered: RefCell<Answered>,
    pub(super) samples: RefCell<HashMap<usize, Rc<Vec<Sample>>>>,
    pub(super) covers: RefCell<HashMap<(usize, usize), Rc<Bits>>>,
}

/// A role that somebody has, or has for now.
pub(super) struct Has<'a> {
    pub(super) spec: &'a RoleSpec,
    pub(super) fits: &'a Fits,
    /// Whether a request gave it.
    pub(super) by_request: bool,
    /// The only classes for which it counts.
    pub(super) scope: Option<Bits>,
    /// The only login for which it counts.
    pub(super) login: Option<&'a Login>,
}

/// A condition and what it is asked about.
pub(super) struct Asked<'a> {
    pub(super) condition: &'a Condition,
    pub(super) deny: bool,
    pub(super) agent_labels: bool,
    pub(super) identity: &'a Identity,
    pub(super) login: &'a str,
    /// The kind of session, or the verb.
    pub(super) word: &'a str,
}

impl<'a> Side<'a> {
    /// Lays the policy over the targets, as far as these roles go.
    pub(super) fn new(at: usize, policy: &'a PolicySet, tables: &'a Tables<'a>, moment: Moment, roles: &BTreeSet<&RoleName>) -> Self {
        let (nodes, clusters) = (&tables.nodes, &tables.clusters);
        let fits = |spec: &RoleSpec| Fits {
            ssh_allow: spec.allow.ssh.iter().map(|rule| nodes.select(at, &rule.labels, rule.agent_labels)).collect(),
            ssh_deny: spec.deny.ssh.iter().map(|rule| nodes.select(at, &rule.labels, true)).collect(),
            kube_allow: spec.allow.kubernetes.iter().map(|rule| clusters.select(at, &rule.labels, rule.agent_labels)).collect(),
            kube_deny: spec.deny.kubernetes.iter().map(|rule| clusters.select(at, &rule.labels, true)).collect(),
        };
        let rails = policy.others().guardrails.values();
        let rails = rails.map(|rail| {
            let labels = &rail.never.reach.labels;
            (rail, [nodes.select(at, labels, true), clusters.select(at, labels, true)])
        });
        let locked =
            |kind, name: &str, agent: Option<&crate::words::AgentId>| locks::target(policy, moment.now, kind, name, agent, None).is_err();
        Self {
            fits: policy.roles().filter(|(role, _)| roles.contains(role)).map(|(role, spec)| (role, fits(spec))).collect(),
            rails: rails.collect(),
            locked: [
                nodes.where_is(at, |node| locked(Reach::Node, node.name.as_str(), node.agent.as_ref())),
                clusters.where_is(at, |cluster| locked(Reach::Cluster, cluster.name.as_str(), cluster.agent.as_ref())),
            ],
            at,
            policy,
            tables,
            moment,
            answered: RefCell::default(),
            samples: RefCell::default(),
            covers: RefCell::default(),
        }
    }

    /// What one person reaches; `identity` is as if signed in and there.
    pub(super) fn held(&self, identity: &Identity) -> Held {
        let (policy, now) = (self.policy, self.moment.now);
        let out = locks::person(identity, policy, now).is_err()
            || locks::install(policy, now).is_err()
            || closed_to_all(policy, identity, now).is_some();
        let mut held = Held::new();
        if !out {
            self.nodes(identity, &mut held);
            self.clusters(identity, &mut held);
        }
        held
    }

    /// The roles that count for somebody on nodes, or on clusters, as in `decide`.
    pub(super) fn roles<'s, T: Target>(&'s self, identity: &'s Identity, kind: Reach, table: &Table<'_, T>) -> Vec<Has<'s>> {
        let names: BTreeSet<&RoleName> = identity.roles.iter().collect();
        let has = |role: &RoleName| self.policy.role(role).zip(self.fits.get(role));
        let own = names.iter().filter_map(|role| has(role));
        let own = own.map(|(spec, fits)| Has { spec, fits, by_request: false, scope: None, login: None });
        let granted = identity.granted.iter().filter(|grant| grant.until > self.moment.now && !names.contains(&grant.role));
        let granted = granted.filter_map(|grant| {
            let (spec, fits) = has(&grant.role)?;
            let scope = match &grant.only {
                None => None,
                Some(OnlyTarget { kind: of, name, .. }) if *of == kind => Some(table.where_is(self.at, |target| target.name() == name)),
                Some(_) => return None,
            };
            let login = grant.only.as_ref().and_then(|only| only.login.as_ref());
            Some(Has { spec, fits, by_request: true, scope, login })
        });
        own.chain(granted).collect()
    }

    /// The classes among those of a rule for which its condition lets it count.
    pub(super) fn holding<T: Target>(&self, table: &Table<'_, T>, kind: Reach, of_rule: &Bits, asked: &Asked<'_>) -> Rc<Bits> {
        let condition = asked.condition;
        let answer = |class: usize| {
            let target = table.stands_for(class, self.at)?;
            let word = if kind == Reach::Node { "node" } else { "cluster" };
            let facts = TargetFacts { kind: word, name: target.name(), labels: target.labels(), login: asked.login };
            let (identity, now) = (asked.identity, self.moment.now);
            let mut conditions = Conditions::new(Facts { identity, target: Some(facts), kind: asked.word, command: None, now });
            Some(match asked.deny {
                true => conditions.deny(Some(condition), String::new),
                false => conditions.allow(Some(condition), asked.agent_labels, String::new),
            })
        };
        if !condition.speaks_of("target") {
            let holds = of_rule.iter().next().and_then(answer).unwrap_or_default();
            return Rc::new(if holds { of_rule.clone() } else { Bits::none(table.classes.len()) });
        }
        let compute = || {
            let mut left = Bits::none(table.classes.len());
            of_rule.iter().filter(|class| answer(*class) == Some(true)).for_each(|class| left.add(class));
            Rc::new(left)
        };
        if condition.speaks_of("user") || condition.speaks_of("request") {
            return compute();
        }
        // What asks about nobody is answered once for all.
        let login = if reads::login(&condition.to_string()) { asked.login } else { "" };
        let key = (std::ptr::from_ref(condition).addr(), asked.deny, login.to_owned());
        let known = self.answered.borrow().get(&key).cloned();
        known.unwrap_or_else(|| {
            let found = compute();
            self.answered.borrow_mut().insert(key, Rc::clone(&found));
            found
        })
    }
}
