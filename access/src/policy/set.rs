//! All roles that hold at one moment, checked: what `decide` is given. Cannot be built with a fault in it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::policy::{AccessRuleSpec, GuardrailSpec, Level, LockSpec, ResourceKind, RoleSpec, SettingsSpec, SpecFault};
use crate::time::Timestamp;
use crate::words::{ResourceName, RoleName};

/// Something wrong in a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFault {
    /// In which role.
    pub role: RoleName,
    /// Where in it and what.
    pub fault: SpecFault,
}

impl fmt::Display for PolicyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SpecFault { path, message, remedy } = &self.fault;
        let dot = if path.is_empty() { "" } else { "." };
        write!(f, "role {}{dot}{path}: {message}; {remedy}", self.role)
    }
}

/// A lock, and since when it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LockInForce {
    /// Its name.
    pub name: ResourceName,
    /// Whom or what it keeps out, and why.
    pub spec: LockSpec,
    /// When it was made.
    pub since: Timestamp,
}

impl LockInForce {
    /// When it ends by itself.
    pub fn until(&self) -> Option<Timestamp> {
        self.spec.length.map(|length| self.since.plus(length.duration()))
    }
    /// Whether it holds at this moment.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until().is_none_or(|until| now < until)
    }
}

/// What holds beside the roles. Each was checked alone and beside the others by [`super::whole::faults`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Others {
    /// What must never be.
    pub guardrails: BTreeMap<ResourceName, GuardrailSpec>,
    /// How requests are decided.
    pub access_rules: BTreeMap<ResourceName, AccessRuleSpec>,
    /// What holds for all.
    pub settings: SettingsSpec,
    /// Who is kept out. They are no part of the digest: what a lock decides names the lock.
    #[serde(skip)]
    pub locks: Vec<LockInForce>,
}

/// All that decides at one moment, checked. Cheap to share in an `Arc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySet {
    roles: BTreeMap<RoleName, RoleSpec>,
    others: Others,
    digest: String,
}

impl PolicySet {
    /// Whether one of these roles may write roles and users both: whoever has it can set anything right again.
    pub fn has_administrator(&self, roles: &[RoleName]) -> bool {
        let writes = |spec: &RoleSpec, kind| spec.allow.administer.iter().any(|(of, level)| of.is(kind) && *level == Level::Write);
        let denied = |kind| roles.iter().filter_map(|role| self.role(role)).any(|spec| spec.deny.administer.keys().any(|of| of.is(kind)));
        let both = |spec: &RoleSpec| [ResourceKind::Role, ResourceKind::User].iter().all(|kind| writes(spec, *kind) && !denied(*kind));
        roles.iter().filter_map(|role| self.role(role)).any(both)
    }

    /// Checks every role and holds them.
    ///
    /// # Errors
    /// Every fault of every role at once, a name used twice included.
    pub fn build(roles: Vec<(RoleName, RoleSpec)>) -> Result<Self, Vec<PolicyFault>> {
        let mut faults = Vec::new();
        let mut held = BTreeMap::new();
        for (role, spec) in roles {
            faults.extend(spec.faults().into_iter().map(|fault| PolicyFault { role: role.clone(), fault }));
            if held.insert(role.clone(), spec).is_some() {
                let fault = SpecFault {
                    path: String::new(),
                    message: "this role is declared twice".into(),
                    remedy: "join the two, or rename one".into(),
                };
                faults.push(PolicyFault { role, fault });
            }
        }
        if faults.is_empty() { Ok(Self::hold(held, Others::default())) } else { Err(faults) }
    }

    /// The same roles with this beside them.
    #[must_use]
    pub fn with(self, others: Others) -> Self {
        Self::hold(self.roles, others)
    }

    /// A policy without roles: it allows nothing.
    pub fn empty() -> Self {
        Self::hold(BTreeMap::new(), Others::default())
    }

    fn hold(roles: BTreeMap<RoleName, RoleSpec>, others: Others) -> Self {
        let mut hash = blake3::Hasher::new_derive_key("naru policy v2");
        // Writing a sorted map of plain values to memory cannot fail; were it to, the digest would differ and nothing open.
        hash.update(&serde_json::to_vec(&(&roles, &others)).unwrap_or_default());
        Self { roles, others, digest: hash.finalize().to_hex().to_string() }
    }

    /// The same policy with something left out of it, to ask what would be. It keeps its digest, since it is never in force.
    pub(crate) fn supposing(&self, role: impl Fn(&mut RoleSpec), others: impl FnOnce(&mut Others)) -> Self {
        let mut supposed = self.clone();
        supposed.roles.values_mut().for_each(role);
        others(&mut supposed.others);
        supposed
    }

    /// blake3 of the content, hex: the same for the same content in any order.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The role of this name.
    pub fn role(&self, name: &RoleName) -> Option<&RoleSpec> {
        self.roles.get(name)
    }

    /// All roles by name.
    pub fn roles(&self) -> impl Iterator<Item = (&RoleName, &RoleSpec)> {
        self.roles.iter()
    }

    /// What holds beside the roles.
    pub fn others(&self) -> &Others {
        &self.others
    }

    /// The rule by which requests for a role are decided.
    pub fn access_rule(&self, role: &RoleName) -> Option<(&ResourceName, &AccessRuleSpec)> {
        self.others.access_rules.iter().find(|(_, rule)| rule.roles.contains(role))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: &str) -> RoleSpec {
        serde_json::from_str(json).expect("a role")
    }
    fn name(text: &str) -> RoleName {
        text.parse().expect("a name")
    }

    #[test]
    fn all_faults_come_at_once_and_name_their_place() {
        let bad = spec(
            r#"{"allow":{"ssh":[{"labels":{"*":["x"]},"logins":["ubuntu","*"]}]},"deny":{"ssh":[{"kinds":["sftp_read"]}]},"options":{"idle":"0s"}}"#,
        );
        let faults = PolicySet::build(vec![(name("a"), bad), (name("b"), RoleSpec::default()), (name("b"), RoleSpec::default())]);
        let paths: Vec<String> = faults.expect_err("faults").iter().map(|f| format!("{} {}", f.role, f.fault.path)).collect();
        assert_eq!(
            paths,
            ["a allow.ssh[0].labels.*", "a allow.ssh[0].logins[1]", "a deny.ssh[0]", "a deny.ssh[0]", "a options.idle", "b "]
        );
    }

    #[test]
    fn the_digest_follows_the_content_only() {
        let a = || (name("a"), spec(r#"{"allow":{"administer":{"role":"write"}}}"#));
        let b = || (name("b"), RoleSpec::default());
        let one = PolicySet::build(vec![a(), b()]).expect("good");
        let same = PolicySet::build(vec![b(), a()]).expect("good");
        let other = PolicySet::build(vec![(name("a"), RoleSpec::default()), b()]).expect("good");
        assert_eq!(one.digest(), same.digest());
        assert_ne!(one.digest(), other.digest());
        assert_eq!(one.digest().len(), 64);
    }
}
