//! Who may look at what others do, and who may change what is declared.

use super::denial::Denial;
use super::{Administer, Audit, AuditAsk, Yes, roles_of, sealed};
use crate::identity::Identity;
use crate::policy::{AuditAction, PolicySet, RoleSpec};
use crate::time::Timestamp;

impl sealed::Judge for Audit {
    type Duties = ();

    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn judge(&self, policy: &PolicySet, _now: Timestamp) -> Result<Yes<()>, Denial> {
        let holds = |spec: &RoleSpec| match self.action {
            AuditAsk::Sessions(action) => spec.audit.sessions.contains(&action),
            AuditAsk::Events => spec.audit.events,
        };
        let part = match self.action {
            AuditAsk::Sessions(_) => "audit.sessions",
            AuditAsk::Events => "audit.events",
        };
        if let Some(rule) = by_role(&self.identity, policy, part, holds) {
            return Ok(Yes { rule, duties: () });
        }
        if self.own && self.action == AuditAsk::Sessions(AuditAction::List) {
            return Ok(Yes { rule: "own".to_owned(), duties: () });
        }
        let name = &self.identity.name;
        let (sentence, hint) = match self.action {
            AuditAsk::Sessions(action) => {
                let action = action.as_str();
                let whose = if self.own { "their own" } else { "recorded" };
                let sentence = format!("{name} may not {action} {whose} sessions: no role of theirs has {action} in audit.sessions");
                (sentence, format!("Ask an administrator for a role with {action} in audit.sessions."))
            }
            AuditAsk::Events => {
                let sentence = format!("{name} may not read the audit log: no role of theirs has audit.events");
                (sentence, "Ask an administrator for a role with audit.events.".to_owned())
            }
        };
        Err(Denial::by_default(Denial::AUDIT, sentence, hint))
    }
}

impl sealed::Judge for Administer {
    type Duties = ();

    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn judge(&self, policy: &PolicySet, _now: Timestamp) -> Result<Yes<()>, Denial> {
        let kind = self.kind.as_str();
        match by_role(&self.identity, policy, "administer", |spec| spec.administer.contains(&self.kind)) {
            Some(rule) => Ok(Yes { rule, duties: () }),
            None => Err(Denial::by_default(
                Denial::ADMINISTER,
                format!("{} may not administer {kind}s: no role of theirs has {kind} in administer", self.identity.name),
                format!("Ask an administrator to do it, or for a role with {kind} in administer."),
            )),
        }
    }
}

/// The first role, by name, that holds the right: as `role/part`.
fn by_role(identity: &Identity, policy: &PolicySet, part: &str, holds: impl Fn(&RoleSpec) -> bool) -> Option<String> {
    roles_of(identity, policy).into_iter().find(|(_, spec)| holds(spec)).map(|(name, _)| format!("{name}/{part}"))
}
