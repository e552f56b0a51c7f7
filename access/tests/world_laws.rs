//! `decide` against a second opinion over all that policies can say of sessions, and the laws that none of it may break.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail by panicking, in its helpers too")]

mod opinion;
mod worlds;

use std::net::IpAddr;

use access::decide::{Denial, Note, OpenSession, Permit, decide};
use access::event::SessionKind;
use access::identity::Granted;
use access::policy::{AccessRuleSpec, RoleSpec};
use access::time::Timestamp;
use opinion::Asked;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use worlds::{ADDRESSES, LOGINS, NOW, ROLES, World, lock, name, others, role, world};

/// A world of one person and one node, and what is asked.
#[derive(Debug, Clone)]
struct Case {
    world: World,
    login: &'static str,
    kind: SessionKind,
}

impl Case {
    fn decide(&self) -> Result<Permit<OpenSession>, Denial> {
        let (who, node) = (&self.world.people[0], &self.world.nodes[0]);
        let (identity, node, login) = (who.clone(), node.clone(), name(self.login));
        decide(OpenSession { identity, node, login, kind: self.kind, command: None, begun: None }, &self.world.policy(), NOW)
    }
    fn allowed(&self) -> bool {
        self.decide().is_ok()
    }
    fn opinion(&self) -> Asked<'_> {
        Asked { world: &self.world, who: &self.world.people[0], node: &self.world.nodes[0], login: self.login, kind: self.kind }
    }
    fn with(&self, change: impl FnOnce(&mut World)) -> Self {
        let mut changed = self.clone();
        change(&mut changed.world);
        changed
    }
}

fn case() -> impl Strategy<Value = Case> {
    let kind = select(SessionKind::ALL.to_vec());
    // Person u1 and node n1, of whom locks, guardrails, requests and conditions speak.
    (world(2, 2, 0), of(select(ADDRESSES.to_vec())), select(LOGINS.to_vec()), kind, prop_oneof![19 => Just(2_000), 1 => Just(1_000)])
        .prop_map(|(mut world, from, login, kind, expires)| {
            world.people.remove(0);
            world.nodes.remove(0);
            world.people[0].expires = Timestamp::from_secs(expires);
            world.people[0].context.from = from.map(|from| from.parse::<IpAddr>().expect("an address"));
            Case { world, login, kind }
        })
}

fn roles_of(notes: &[Note]) -> Vec<String> {
    let role = |note: &Note| match note {
        Note::WouldDeny { rule, .. } if rule.contains("/deny") => rule.split('/').next().map(str::to_owned),
        _ => None,
    };
    notes.iter().filter_map(role).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_answer_is_the_second_opinions(case in case()) {
        prop_assert_eq!(case.allowed(), case.opinion().allowed());
    }

    #[test]
    fn nothing_that_forbids_widens_and_nothing_taken_away_does(case in case(), more in role(), other in others(), lock in lock(), at in 0_usize..4) {
        let stricter = [
            case.with(|world| if let Some(role) = world.roles.get_mut(at) { role.deny.ssh.extend(more.deny.ssh) }),
            case.with(|world| world.others.locks.push(lock)),
            case.with(|world| {
                let names = other.guardrails.into_iter().map(|(name, rail)| (format!("more-{name}").parse().expect("a name"), rail));
                world.others.guardrails.extend(names);
            }),
            case.with(|world| if let Some(role) = world.roles.get_mut(at) { role.allow.ssh.pop(); }),
            case.with(|world| { world.people[0].granted.retain(|grant| grant.role.as_str() != ROLES[at]); world.roles.get_mut(at).map(|role| std::mem::take(&mut role.allow)); }),
        ];
        for stricter in stricter.iter().filter(|stricter| stricter.allowed()) {
            prop_assert!(case.allowed(), "{:?}", stricter);
        }
    }

    #[test]
    fn a_deny_wins(case in case()) {
        let deny: RoleSpec = serde_json::from_str(r#"{"deny":{"ssh":[{"labels":{"*":["*"]},"logins":["*"]}]}}"#).expect("a role");
        let denied = case.with(|world| {
            let at = world.roles.len();
            world.roles.push(deny);
            world.people[0].roles.push(format!("r{at}").parse().expect("a name"));
        });
        prop_assert!(!denied.allowed());
    }

    #[test]
    fn order_has_no_say(case in case()) {
        let turned = case.with(|world| {
            let who = &mut world.people[0];
            who.roles.reverse();
            who.granted.reverse();
            world.others.locks.reverse();
            for role in &mut world.roles {
                for rights in [&mut role.allow, &mut role.deny] {
                    rights.ssh.reverse();
                    rights.ssh.iter_mut().for_each(|rule| { rule.logins.reverse(); rule.kinds.reverse(); });
                }
            }
        });
        match (case.decide(), turned.decide()) {
            (Ok(one), Ok(other)) => {
                prop_assert_eq!(one.obligations(), other.obligations());
                prop_assert_eq!(one.until(), other.until());
            }
            (Err(one), Err(other)) => prop_assert_eq!((one.code, one.offer), (other.code, other.offer)),
            (one, other) => prop_assert!(false, "{:?} became {:?}", one.is_ok(), other.is_ok()),
        }
    }

    #[test]
    fn a_role_that_is_tried_out_refuses_nothing_and_what_it_would_deny_is_noted(case in case(), at in 0_usize..4) {
        if at >= case.world.roles.len() {
            return Ok(());
        }
        let tried = case.with(|world| world.roles[at].dry_run = true);
        let gone = case.with(|world| {
            let role = &mut world.roles[at];
            role.deny.ssh.clear();
            (role.options.networks, role.options.hours) = (Vec::new(), Vec::new());
        });
        prop_assert_eq!(tried.allowed(), gone.allowed());
        if let Ok(permit) = tried.decide() {
            let noted = roles_of(permit.notes());
            for role in tried.opinion().tried() {
                prop_assert!(noted.contains(&role), "{} is not in {:?}", role, noted);
            }
        }
    }

    #[test]
    fn what_is_offered_helps_and_what_would_help_is_offered(case in case()) {
        let rule: AccessRuleSpec = serde_json::from_value(serde_json::json!({"roles": ROLES})).expect("a rule");
        let asking = case.with(|world| {
            for role in &mut world.roles {
                role.may_request = ROLES.map(name).to_vec();
            }
            world.others.access_rules.insert(name("all"), rule);
        });
        let Err(denial) = asking.decide() else { return Ok(()) };
        let grant = |role: &str| asking.with(|world| {
            let only = access::identity::OnlyTarget { kind: access::identity::Reach::Node, name: "n1".into(), login: Some(name(case.login)) };
            let until = Timestamp::from_secs(2_000);
            world.people[0].granted.push(Granted { request: name("33333333"), role: name(role), only: Some(only), until });
        });
        let has = |role: &str| asking.world.people[0].roles.iter().any(|has| has.as_str() == role);
        let may = asking.world.people[0].roles.iter().any(|role| ROLES.iter().position(|known| *known == role.as_str()).is_some_and(|at| at < asking.world.roles.len()));
        let helps: Vec<&str> = ROLES.into_iter().filter(|role| may && !has(role) && grant(role).allowed()).collect();
        match &denial.offer {
            Some(offer) => prop_assert!(helps.contains(&offer.role.as_str()), "{} does not help", offer.role),
            None => prop_assert!(helps.is_empty() || matches!(denial.code, Denial::LOCKED | Denial::ENDED), "{:?} would help", helps),
        }
    }
}
