//! The groups that somebody reaches at clusters, as classes. Each allow rule is asked with the samples of what it speaks of, as in
//! `decide`'s own list of groups; which rule speaks of which sample is found once for all people.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::Held;
use super::bits::Bits;
use super::side::{Asked, Side};
use crate::decide::Reached;
use crate::decide::parts::{Sample, closed, guardrail_speaks_of, samples, speaks_of, verb_fits};
use crate::identity::{Identity, Reach};
use crate::policy::{KubeRule, KubeVerb};

/// A rule for one person.
struct Rule<'a> {
    rule: &'a KubeRule,
    deny: bool,
    /// The classes that it fits, for each verb in the order of [`KubeVerb::ALL`] where its condition may tell verbs apart, or once.
    fits: Vec<Rc<Bits>>,
    groups: BTreeSet<String>,
    by_request: bool,
    /// The classes on which a guardrail forbids one of its groups, and those on which it does but for requests.
    hit: [Bits; 2],
}

impl Rule<'_> {
    fn fits(&self, verb: KubeVerb, class: usize) -> bool {
        let at = KubeVerb::ALL.iter().position(|one| *one == verb).unwrap_or_default();
        self.fits.get(at).or(self.fits.first()).is_some_and(|fits| fits.has(class))
    }
}

impl Side<'_> {
    /// Adds the groups that are left to somebody.
    pub(super) fn clusters(&self, identity: &Identity, held: &mut Held) {
        let rules = self.rules(identity);
        let (allows, denies): (Vec<_>, Vec<_>) = rules.into_iter().partition(|rule| !rule.deny);
        let len = self.tables.clusters.classes.len();
        for rule in &allows {
            let mut fits = Bits::none(len);
            rule.fits.iter().for_each(|of_verb| fits.add_all(of_verb));
            let [_, locked] = &self.locked;
            fits.remove(locked);
            if fits.is_empty() {
                continue;
            }
            let samples = self.samples(rule.rule);
            let taking = |other: &Rule<'_>| (!other.fits.is_empty()).then(|| self.covers(other.rule, rule.rule, &samples, other.deny));
            let denying: Vec<_> = denies.iter().filter_map(|other| Some((other, taking(other)?))).collect();
            let hit = allows.iter().filter(|other| other.hit.iter().any(|hit| !hit.is_empty()));
            let hitting: Vec<_> = hit.filter_map(|other| Some((other, taking(other)?))).collect();
            let mut left = Bits::none(len);
            for class in fits.iter() {
                let reached = samples.iter().enumerate().any(|(at, sample)| {
                    let speaks = |(other, covers): &(&Rule<'_>, Rc<Bits>)| covers.has(at) && other.fits(sample.verb, class);
                    let forbids = |other: &Rule<'_>| {
                        let [always, but_for_requests] = &other.hit;
                        always.has(class) || (!rule.by_request && but_for_requests.has(class))
                    };
                    rule.fits(sample.verb, class) && !denying.iter().any(speaks) && !hitting.iter().any(|one| speaks(one) && forbids(one.0))
                });
                if reached {
                    left.add(class);
                }
            }
            if left.is_empty() {
                continue;
            }
            for group in &rule.groups {
                held.entry((Reach::Cluster, group.clone())).or_insert_with(|| Bits::none(len)).add_all(&left);
            }
        }
    }

    /// The rules that count for somebody: allows that give a group, from here and now, and denies.
    fn rules<'s>(&'s self, identity: &'s Identity) -> Vec<Rule<'s>> {
        let table = &self.tables.clusters;
        let mut rules = Vec::new();
        for one in self.roles(identity, Reach::Cluster, table) {
            let shut = closed(&one.spec.options, identity, self.moment.now).is_some() && !one.spec.dry_run;
            let allow =
                one.spec.allow.kubernetes.iter().zip(&one.fits.kube_allow).filter(|_| !shut).map(|(rule, fits)| (rule, fits, false));
            let deny = one.spec.deny.kubernetes.iter().zip(&one.fits.kube_deny).filter(|_| !one.spec.dry_run);
            for (rule, fits, deny) in allow.chain(deny.map(|(rule, fits)| (rule, fits, true))).filter(|(_, fits, _)| !fits.is_empty()) {
                let fits = self.fits_of(rule, fits, deny, identity);
                let fits =
                    fits.into_iter().map(|fits| one.scope.as_ref().map_or_else(|| Rc::clone(&fits), |scope| Rc::new(fits.both(scope))));
                let groups: BTreeSet<String> = rule.groups.iter().flat_map(|group| group.expand(&identity.traits)).collect();
                if deny || !groups.is_empty() {
                    let hit = self.hit(&groups, identity, deny);
                    rules.push(Rule { rule, deny, fits: fits.collect(), groups, by_request: one.by_request, hit });
                }
            }
        }
        rules
    }

    fn fits_of(&self, rule: &KubeRule, fits: &Bits, deny: bool, identity: &Identity) -> Vec<Rc<Bits>> {
        let Some(condition) = &rule.condition else { return vec![Rc::new(fits.clone())] };
        let verbs = if condition.speaks_of("request") { &KubeVerb::ALL[..] } else { &[KubeVerb::Get] };
        let asked = |verb: &KubeVerb| Asked { condition, deny, agent_labels: rule.agent_labels, identity, login: "", word: verb.as_str() };
        verbs.iter().map(|verb| self.holding(&self.tables.clusters, Reach::Cluster, fits, &asked(verb))).collect()
    }

    /// The classes on which a guardrail forbids one of these groups, always and but for requests.
    fn hit(&self, groups: &BTreeSet<String>, identity: &Identity, deny: bool) -> [Bits; 2] {
        let none = || Bits::none(self.tables.clusters.classes.len());
        let [mut always, mut but_for_requests] = [none(), none()];
        if !deny && !self.rails.is_empty() {
            let groups: Vec<String> = groups.iter().cloned().collect();
            let speaking = self.rails.iter().filter(|(rail, _)| guardrail_speaks_of(rail, identity, Reached::Kubernetes(&groups)));
            for (rail, [_, clusters]) in speaking {
                let plane = if rail.unless.requested { &mut but_for_requests } else { &mut always };
                plane.add_all(clusters);
            }
        }
        [always, but_for_requests]
    }

    fn samples(&self, rule: &KubeRule) -> Rc<Vec<Sample>> {
        let mut known = self.samples.borrow_mut();
        Rc::clone(known.entry(std::ptr::from_ref(rule).addr()).or_insert_with(|| Rc::new(samples(rule))))
    }

    /// Which samples of a rule another speaks of.
    fn covers(&self, other: &KubeRule, rule: &KubeRule, samples: &[Sample], deny: bool) -> Rc<Bits> {
        let key = (std::ptr::from_ref(other).addr(), std::ptr::from_ref(rule).addr());
        let found = || {
            let speaks = |sample: &Sample| verb_fits(other, sample.verb, deny) && speaks_of(other, &sample.what(), deny);
            Bits::of(samples.len(), |at| samples.get(at).is_some_and(speaks))
        };
        Rc::clone(self.covers.borrow_mut().entry(key).or_insert_with(|| Rc::new(found())))
    }
}
