//! The logins that somebody reaches on nodes, as classes.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::Held;
use super::bits::Bits;
use super::side::{Asked, Has, Side};
use crate::decide::parts::{Act, allows, channel, closed, denies, guardrail_speaks_of};
use crate::decide::{Reached, locks};
use crate::event::SessionKind;
use crate::identity::{Identity, Reach};
use crate::policy::{ChannelKind, LoginPattern, SshRule};
use crate::words::Login;

/// For each kind of session the classes, and those of them that a request gives.
type Kinds = BTreeMap<ChannelKind, [Bits; 2]>;

impl Side<'_> {
    /// Adds the logins that are left to somebody.
    pub(super) fn nodes(&self, identity: &Identity, held: &mut Held) {
        let roles = self.roles(identity, Reach::Node, &self.tables.nodes);
        let mut left: BTreeMap<Login, Kinds> = BTreeMap::new();
        for one in &roles {
            let shut = closed(&one.spec.options, identity, self.moment.now).is_some() && !one.spec.dry_run;
            if !shut {
                self.allow(one, identity, &mut left);
            }
        }
        roles.iter().filter(|one| !one.spec.dry_run).for_each(|one| self.deny(one, identity, &mut left));
        for (login, kinds) in left {
            if locks::target(self.policy, self.moment.now, Reach::Node, "", None, Some(&login)).is_err() {
                continue;
            }
            let [mut all, mut by_request] = [Bits::none(self.tables.nodes.classes.len()), Bits::none(self.tables.nodes.classes.len())];
            for [any, by] in kinds.values() {
                all.add_all(any);
                by_request.add_all(by);
            }
            let [locked, _] = &self.locked;
            by_request.remove(locked);
            all.remove(locked);
            for (rail, [nodes, _]) in self.rails.iter().filter(|(rail, _)| guardrail_speaks_of(rail, identity, Reached::Ssh(&login))) {
                all.remove(nodes);
                if !rail.unless.requested {
                    by_request.remove(nodes);
                }
            }
            all.add_all(&by_request);
            if !all.is_empty() {
                held.insert((Reach::Node, login.to_string()), all);
            }
        }
    }

    fn allow(&self, one: &Has<'_>, identity: &Identity, left: &mut BTreeMap<Login, Kinds>) {
        for (rule, fits) in one.spec.allow.ssh.iter().zip(&one.fits.ssh_allow).filter(|(_, fits)| !fits.is_empty()) {
            let logins: BTreeSet<Login> = rule.logins.iter().flat_map(|pattern| pattern.expand(&identity.traits)).collect();
            for login in logins.into_iter().filter(|login| one.login.is_none_or(|only| only == login)) {
                let gives: Vec<_> =
                    kinds(rule, allows).map(|kind| (kind, self.counting(one, rule, fits, identity, &login, kind, false))).collect();
                let kinds = left.entry(login).or_default();
                for (kind, counting) in gives {
                    let none = || [Bits::none(self.tables.nodes.classes.len()), Bits::none(self.tables.nodes.classes.len())];
                    let [any, by] = kinds.entry(kind).or_insert_with(none);
                    let counting = counting.as_deref().unwrap_or(fits);
                    any.add_all(counting);
                    if one.by_request {
                        by.add_all(counting);
                    }
                }
            }
        }
    }

    fn deny(&self, one: &Has<'_>, identity: &Identity, left: &mut BTreeMap<Login, Kinds>) {
        for (rule, fits) in one.spec.deny.ssh.iter().zip(&one.fits.ssh_deny).filter(|(_, fits)| !fits.is_empty()) {
            let any = rule.logins.contains(&LoginPattern::Any);
            let named: BTreeSet<Login> = rule.logins.iter().flat_map(|pattern| pattern.expand(&identity.traits)).collect();
            let counts = |login: &Login| one.login.is_none_or(|only| only == login) && (any || named.contains(login));
            for (login, left) in left.iter_mut().filter(|(login, _)| counts(login)) {
                for kind in kinds(rule, denies) {
                    let Some(planes) = left.get_mut(&kind) else { continue };
                    let counting = self.counting(one, rule, fits, identity, login, kind, true);
                    planes.iter_mut().for_each(|plane| plane.remove(counting.as_deref().unwrap_or(fits)));
                }
            }
        }
    }

    /// The classes for which a rule counts; none where those are simply all that it fits.
    #[allow(clippy::too_many_arguments, reason = "all that a rule is asked with")]
    fn counting(
        &self,
        one: &Has<'_>,
        rule: &SshRule,
        fits: &Bits,
        identity: &Identity,
        login: &Login,
        kind: ChannelKind,
        deny: bool,
    ) -> Option<Rc<Bits>> {
        let holding = rule.condition.as_ref().map(|condition| {
            let asked = Asked { condition, deny, agent_labels: rule.agent_labels, identity, login: login.as_str(), word: kind.as_str() };
            self.holding(&self.tables.nodes, Reach::Node, fits, &asked)
        });
        match &one.scope {
            Some(scope) => Some(Rc::new(holding.as_deref().unwrap_or(fits).both(scope))),
            None => holding,
        }
    }
}

/// The kinds of session of which a rule may speak, by which `speaks`.
fn kinds(rule: &SshRule, speaks: fn(&SshRule, Act<'_>) -> bool) -> impl Iterator<Item = ChannelKind> + '_ {
    SessionKind::ALL.into_iter().map(channel).filter(move |kind| speaks(rule, Act::Open(*kind, None)))
}
