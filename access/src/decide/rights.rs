//! Who may look at what others do, who may change what is declared, and who may decide what others ask for.

use super::denial::Denial;
use super::session::selects;
use super::who::{Candidate, Conditions, Note, candidates, closed, closed_to_all, standing};
use super::{Administer, Audit, AuditAsk, Doing, Review, Yes, locks, sealed, signed_in};
use crate::condition::Facts;
use crate::identity::Identity;
use crate::policy::{AuditAction, AuditRule, PolicySet, Rights};
use crate::time::Timestamp;

impl sealed::Judge for Audit {
    type Duties = ();

    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn judge(&self, policy: &PolicySet, now: Timestamp) -> Result<Yes<()>, Denial> {
        let speaks = |rule: &AuditRule| self.action.is_of(rule);
        let allows = |rule: &AuditRule| speaks(rule) && self.of.as_ref().is_none_or(|of| is_about(rule, of, false));
        // Without anybody in particular only a deny of all of it counts.
        let denies = |rule: &AuditRule| speaks(rule) && self.of.as_ref().map_or(is_about_all(rule), |of| is_about(rule, of, true));
        let place = |rules: &[AuditRule], fits: &dyn Fn(&AuditRule) -> bool| rules.iter().position(fits);
        let Roles { all, open, tried } = Roles::of(&self.identity, policy, now);
        let denied = all.iter().find_map(|one| Some(format!("{}/deny.audit[{}]", one.role, place(&one.spec.deny.audit, &denies)?)));
        let noted = tried.iter().filter(|one| place(&one.spec.deny.audit, &denies).is_some());
        let notes: Vec<Note> = noted.map(|one| would_deny(one, "audit", &format!("{} this", self.identity.name))).collect();
        let allowed = open.iter().find_map(|one| Some(format!("{}/allow.audit[{}]", one.role, place(&one.spec.allow.audit, &allows)?)));
        if let (None, Some(rule)) = (&denied, allowed) {
            return Ok(Yes { notes, ..Yes::plain(rule, ()) });
        }
        if self.own && self.action == AuditAsk::Sessions(AuditAction::List) {
            return Ok(Yes { notes, ..Yes::plain("own".to_owned(), ()) });
        }
        Err(self.denial(denied).noting(notes))
    }
}

impl AuditAsk {
    fn is_of(self, rule: &AuditRule) -> bool {
        match self {
            Self::Sessions(action) => rule.sessions.contains(&action),
            Self::Events => rule.events,
        }
    }
}

/// Whether the answer is yes of everybody's doing everywhere, so that whoever looks at much need not ask of each: a role allows it of
/// all, and none denies any of it.
pub fn audits_all(identity: &Identity, action: AuditAsk, policy: &PolicySet, now: Timestamp) -> bool {
    if signed_in(identity, now).is_err() || locks::person(identity, policy, now).is_err() {
        return false;
    }
    let Roles { all, open, .. } = Roles::of(identity, policy, now);
    let denied = all.iter().any(|one| one.spec.deny.audit.iter().any(|rule| action.is_of(rule)));
    !denied && open.iter().any(|one| one.spec.allow.audit.iter().any(|rule| action.is_of(rule) && is_about_all(rule)))
}

impl Audit {
    fn denial(&self, denied: Option<String>) -> Denial {
        let name = &self.identity.name;
        let (sentence, hint) = match self.action {
            AuditAsk::Sessions(action) => {
                let action = action.as_str();
                let whose = if self.own { "their own" } else { "recorded" };
                let whose = if self.of.is_some() && !self.own { "these" } else { whose };
                let sentence =
                    format!("{name} may not {action} {whose} sessions: no role of theirs has {action} in audit.sessions for them");
                (sentence, format!("Ask an administrator for a role with {action} in audit.sessions."))
            }
            AuditAsk::Events => {
                let sentence = format!("{name} may not read the audit log: no role of theirs has audit.events");
                (sentence, "Ask an administrator for a role with audit.events.".to_owned())
            }
        };
        let denial = Denial::by_default(Denial::AUDIT, sentence, hint);
        match denied {
            Some(rule) => Denial { sentence: format!("{name} is denied this by the rule {rule}"), rule, ..denial },
            None => denial,
        }
    }
}

fn is_about_all(rule: &AuditRule) -> bool {
    rule.users.is_empty() && rule.roles.is_empty() && rule.labels.is_empty()
}

/// Whether a rule is about this doing. What is nobody's and has no target is only for rules that speak of everything.
fn is_about(rule: &AuditRule, of: &Doing, any_origin: bool) -> bool {
    let users =
        rule.users.is_empty() || of.user.as_ref().is_some_and(|user| rule.users.iter().any(|pattern| pattern.matches(user.as_str())));
    let roles = rule.roles.is_empty() || rule.roles.iter().any(|role| of.roles.contains(role));
    let labels = rule.labels.is_empty() || of.labels.as_ref().is_some_and(|labels| selects(&rule.labels, labels, any_origin));
    users && roles && labels
}

impl sealed::Judge for Administer {
    type Duties = ();

    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn judge(&self, policy: &PolicySet, now: Timestamp) -> Result<Yes<()>, Denial> {
        let (kind, level) = (self.kind.as_str(), self.level.as_str());
        let Roles { all, open, tried } = Roles::of(&self.identity, policy, now);
        let speaks = |rights: &Rights, deny: bool| {
            // What is denied takes what is above it along.
            let reaches = |of| if deny { of <= self.level } else { of >= self.level };
            rights.administer.iter().any(|(of, to)| of.is(self.kind) && reaches(*to))
        };
        let denied = all.iter().find(|one| speaks(&one.spec.deny, true));
        let allowed = open.iter().find(|one| speaks(&one.spec.allow, false));
        let name = &self.identity.name;
        let noted = tried.iter().filter(|one| speaks(&one.spec.deny, true));
        let notes: Vec<Note> = noted.map(|one| would_deny(one, "administer", &format!("{name} to {level} {kind}s"))).collect();
        match (denied, allowed) {
            (None, Some(one)) => Ok(Yes { notes, ..Yes::plain(format!("{}/allow.administer", one.role), ()) }),
            (Some(one), _) => Err(Denial {
                rule: format!("{}/deny.administer", one.role),
                ..Denial::by_default(
                    Denial::ADMINISTER,
                    format!("{name} may not {level} {kind}s: role {} denies it", one.role),
                    "Ask an administrator to do it.",
                )
            }),
            (None, None) => Err(Denial::by_default(
                Denial::ADMINISTER,
                format!("{name} may not {level} {kind}s: no role of theirs has {kind}: {level} in administer"),
                format!("Ask an administrator to do it, or for a role with {kind}: {level} in administer."),
            )),
        }
    }
}

impl sealed::Judge for Review {
    type Duties = ();

    fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Only roles that somebody has by themselves count here: nobody approves with what was approved for them.
    fn judge(&self, policy: &PolicySet, now: Timestamp) -> Result<Yes<()>, Denial> {
        let (name, role) = (&self.identity.name, &self.role);
        let no = |sentence: String, hint: &str| Denial { code: Denial::REVIEW, ..Denial::by_default(Denial::REVIEW, sentence, hint) };
        if *name == self.requester {
            return Err(no("nobody decides their own request".to_owned(), "Ask somebody else who may decide it."));
        }
        let everywhere = closed_to_all(policy, &self.identity, now).is_none();
        let open = |one: &Candidate<'_>| everywhere && closed(&one.spec.options, &self.identity, now).is_none();
        let roles: Vec<Candidate<'_>> = standing(&self.identity, policy).into_iter().filter(open).collect();
        let facts = Facts { identity: &self.identity, target: None, kind: "review", command: None, now };
        let mut conditions = Conditions::new(facts);
        let denying = standing(&self.identity, policy).into_iter().filter(|one| {
            let rights = &one.spec.deny.review;
            rights.roles.contains(role) && conditions.deny(rights.condition.as_ref(), || format!("{}/deny.review", one.role))
        });
        let (tried, denying): (Vec<_>, Vec<_>) = denying.partition(|one| one.spec.dry_run);
        conditions.notes.extend(tried.iter().map(|one| would_deny(one, "review", &format!("{name} to decide requests for {role}"))));
        let denying = denying.first();
        if let Some(one) = denying {
            let sentence = format!("{name} may not decide requests for {role}: role {} denies it", one.role);
            let rule = format!("{}/deny.review", one.role);
            return Err(Denial { rule, ..no(sentence, "Ask somebody else who may decide it.") }.noting(conditions.notes));
        }
        let from = policy.access_rule(role).map(|(rule, spec)| (rule, &spec.approvals.from));
        let named = from.filter(|(_, from)| !from.is_empty());
        let found = match named {
            Some((rule, from)) => {
                let has = roles.iter().find(|one| from.contains(one.role));
                has.map(|one| format!("access_rule/{rule} by {}", one.role))
            }
            None => roles
                .iter()
                .find(|one| {
                    let rights = &one.spec.allow.review;
                    rights.roles.contains(role)
                        && conditions.allow(rights.condition.as_ref(), true, || format!("{}/allow.review", one.role))
                })
                .map(|one| format!("{}/allow.review", one.role)),
        };
        let notes = conditions.notes;
        match found {
            Some(rule) => Ok(Yes { notes, ..Yes::plain(rule, ()) }),
            None => {
                let sentence = format!("{name} may not decide requests for {role}: no role of theirs may");
                Err(no(sentence, "The access rule of that role names who may.").noting(notes))
            }
        }
    }
}

/// What a role that is tried out would deny.
fn would_deny(one: &Candidate<'_>, part: &str, what: &str) -> Note {
    Note::WouldDeny { rule: format!("{}/deny.{part}", one.role), sentence: format!("role {} would deny {what}", one.role) }
}

/// The person's roles: those that deny, from wherever and whenever; those that give something from here and now; those that are tried out.
struct Roles<'a> {
    all: Vec<Candidate<'a>>,
    open: Vec<Candidate<'a>>,
    tried: Vec<Candidate<'a>>,
}

impl<'a> Roles<'a> {
    fn of(identity: &'a Identity, policy: &'a PolicySet, now: Timestamp) -> Self {
        let all = candidates(identity, policy, now, None);
        let everywhere = closed_to_all(policy, identity, now).is_none();
        let open = |one: &&Candidate<'_>| everywhere && closed(&one.spec.options, identity, now).is_none();
        let open = all.iter().filter(open).copied().collect();
        let (tried, all) = all.into_iter().partition(|one| one.spec.dry_run);
        Self { all, open, tried }
    }
}
