//! All roles that hold at one moment, checked: what `decide` is given. Cannot be built with a fault in it.

use std::collections::BTreeMap;
use std::fmt;

use crate::policy::{LoginPattern, ResourceKind, RoleOptions, RoleSpec, SshRule, WhenFull};
use crate::words::RoleName;

/// Longest notice, in characters.
const NOTICE: usize = 500;

/// Something wrong in a role, by its place in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecFault {
    /// Where: `allow[0].logins[1]`; the empty path is the role itself.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub remedy: String,
}

/// Something wrong in a policy.
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

impl RoleSpec {
    /// Everything that parses and still must not stand in a policy. Empty means good.
    pub fn faults(&self) -> Vec<SpecFault> {
        let mut faults = Vec::new();
        let mut add = |path: String, message: &str, remedy: &str| {
            faults.push(SpecFault { path, message: message.to_owned(), remedy: remedy.to_owned() });
        };
        for (i, rule) in self.allow.iter().enumerate() {
            labels(&format!("allow[{i}]"), rule, &mut add);
            for (j, login) in rule.logins.iter().enumerate() {
                if *login == LoginPattern::Any {
                    add(
                        format!("allow[{i}].logins[{j}]"),
                        "an allow rule cannot allow every login",
                        "name the logins, or take them from a trait as {{logins}}",
                    );
                }
            }
        }
        for (i, rule) in self.deny.iter().enumerate() {
            let place = format!("deny[{i}]");
            labels(&place, rule, &mut add);
            // A deny that fits nothing is a hole that looks like a wall; an allow that fits nothing is only useless.
            if rule.node_labels.is_empty() || rule.node_labels.values().any(Vec::is_empty) {
                add(
                    place.clone(),
                    "this deny rule fits no node, because its labels are empty",
                    "write node_labels: {\"*\": [\"*\"]} for every node",
                );
            }
            if rule.logins.is_empty() {
                add(place, "this deny rule denies no login", "write logins: [\"*\"] for every login");
            }
        }
        if self.options.notice.as_ref().is_some_and(|notice| notice.chars().count() > NOTICE) {
            add("options.notice".into(), "the notice is longer than 500 characters", "shorten it, and link to the rest");
        }
        for (name, limit) in [("max_session", self.options.max_session), ("idle", self.options.idle)] {
            if limit.is_some_and(|limit| limit.duration().is_zero()) {
                add(format!("options.{name}"), "a limit of zero ends every session at once", "leave it out for no limit");
            }
        }
        signing_in(&self.options, &mut add);
        faults
    }
}

/// The faults of what a role demands of signing in.
fn signing_in(options: &RoleOptions, add: &mut impl FnMut(String, &str, &str)) {
    let step_up = options.step_up.clone().unwrap_or_default();
    // A provider is asked for levels as one text with spaces between them (OpenID Connect Core section 3.1.2.1).
    let good = |word: &String| !word.is_empty() && word.len() <= 256 && !word.contains(|c: char| c.is_control() || c.is_whitespace());
    for (name, words) in [("acr", &step_up.acr), ("amr", &step_up.amr)] {
        if words.len() > 16 || !words.iter().all(good) {
            let message = "at most 16 words without spaces can be asked of a provider here";
            add(format!("options.step_up.{name}"), message, "write each as the provider's tokens have it");
        }
    }
    if step_up.max_age.is_some_and(|most| most.duration().is_zero()) {
        add("options.step_up.max_age".into(), "nobody can have signed in at most 0s ago", "write for example 15m");
    }
    if options.max_logins == Some(0) {
        add("options.max_logins".into(), "with a limit of zero nobody could sign in", "leave it out for no limit");
    }
    if options.max_logins.is_none() && options.when_full != WhenFull::default() {
        add("options.when_full".into(), "when_full says nothing without max_logins", "write max_logins beside it");
    }
}

/// The faults of a rule's label keys.
fn labels(place: &str, rule: &SshRule, add: &mut impl FnMut(String, &str, &str)) {
    for (key, patterns) in &rule.node_labels {
        let path = format!("{place}.node_labels.{key}");
        if key == "*" && !patterns.iter().all(super::Pattern::is_any) {
            add(path, "the key * goes only with the pattern *", "name the label's key");
        } else if key.is_empty() || key.len() > 128 || key.chars().any(char::is_control) {
            add(path, "a label's key has 1 to 128 bytes without control characters", "write the key as the node shows it");
        }
    }
}

/// All roles of one moment, checked. Cheap to share in an `Arc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySet {
    roles: BTreeMap<RoleName, RoleSpec>,
    digest: String,
}

impl PolicySet {
    /// Whether one of these roles administers roles and users both: whoever has it can set anything right again.
    pub fn has_administrator(&self, roles: &[RoleName]) -> bool {
        let both = |spec: &RoleSpec| [ResourceKind::Role, ResourceKind::User].iter().all(|kind| spec.administer.contains(kind));
        roles.iter().filter_map(|role| self.role(role)).any(both)
    }

    /// Checks everything and holds it.
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
        if faults.is_empty() { Ok(Self::hold(held)) } else { Err(faults) }
    }

    /// A policy without roles: it allows nothing.
    pub fn empty() -> Self {
        Self::hold(BTreeMap::new())
    }

    fn hold(roles: BTreeMap<RoleName, RoleSpec>) -> Self {
        let mut hash = blake3::Hasher::new_derive_key("naru policy v1");
        // Writing a sorted map of plain values to memory cannot fail; were it to, the digest would differ and nothing open.
        hash.update(&serde_json::to_vec(&roles).unwrap_or_default());
        Self { roles, digest: hash.finalize().to_hex().to_string() }
    }

    /// blake3 of the content, hex: the same for the same roles in any order.
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
        let bad =
            spec(r#"{"allow":[{"node_labels":{"*":["x"]},"logins":["ubuntu","*"]}],"deny":[{"kinds":["sftp"]}],"options":{"idle":"0s"}}"#);
        let faults = PolicySet::build(vec![(name("a"), bad), (name("b"), RoleSpec::default()), (name("b"), RoleSpec::default())]);
        let paths: Vec<String> = faults.expect_err("faults").iter().map(|f| format!("{} {}", f.role, f.fault.path)).collect();
        assert_eq!(paths, ["a allow[0].node_labels.*", "a allow[0].logins[1]", "a deny[0]", "a deny[0]", "a options.idle", "b "]);
    }

    #[test]
    fn the_digest_follows_the_content_only() {
        let a = || (name("a"), spec(r#"{"administer":["role"]}"#));
        let b = || (name("b"), RoleSpec::default());
        let one = PolicySet::build(vec![a(), b()]).expect("good");
        let same = PolicySet::build(vec![b(), a()]).expect("good");
        let other = PolicySet::build(vec![(name("a"), RoleSpec::default()), b()]).expect("good");
        assert_eq!(one.digest(), same.digest());
        assert_ne!(one.digest(), other.digest());
        assert_eq!(one.digest().len(), 64);
    }
}
