//! What no resource can know of itself: that the roles it names exist, and that no two of them are taken for one another.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::policy::{Resource, ResourceKind, SpecFault};
use crate::words::RoleName;

/// Something wrong between resources, told at one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeFault {
    /// At which kind of resource.
    pub kind: ResourceKind,
    /// At which.
    pub name: String,
    /// Where in it and what.
    pub fault: SpecFault,
    /// The resource that it names and that is not there, where that is the fault.
    pub missing: Option<(ResourceKind, String)>,
}

/// What is wrong at one place, and the resource that is missing there.
type Found = (SpecFault, Option<(ResourceKind, String)>);

fn missing(path: String, kind: ResourceKind, name: &str) -> Found {
    let word = kind.as_str().replace('_', " ");
    let message = format!("there is no {word} {name}");
    let remedy = format!("declare the {word} as well, or take it from here");
    (SpecFault { path, message, remedy }, Some((kind, name.to_owned())))
}

impl fmt::Display for WholeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SpecFault { path, message, remedy } = &self.fault;
        let dot = if path.is_empty() { "" } else { "." };
        write!(f, "{} {}{dot}{path}: {message}; {remedy}", self.kind.as_str(), self.name)
    }
}

/// Every fault of all resources that would hold together, those of each connector and bot alone included; those of roles are
/// [`super::PolicySet::build`]'s. In the order of the resources. Empty means good.
pub fn faults<'a, I: IntoIterator<Item = &'a Resource>>(all: I) -> Vec<WholeFault>
where
    I::IntoIter: Clone,
{
    let all = all.into_iter();
    let known: BTreeSet<&RoleName> =
        all.clone().filter_map(|one| if let Resource::Role { name, .. } = one { Some(name) } else { None }).collect();
    // People and bots share one list of names: an event's `alice` must be one of them.
    let mut handles: BTreeMap<&str, BTreeSet<ResourceKind>> = BTreeMap::new();
    for one in all.clone().filter(|one| matches!(one.kind(), ResourceKind::User | ResourceKind::Bot)) {
        handles.entry(one.name()).or_default().insert(one.kind());
    }
    let messengers: BTreeSet<&str> = all.clone().filter(|one| one.kind() == ResourceKind::Messenger).map(Resource::name).collect();
    // Which rule decides requests for a role.
    let mut ruled: BTreeMap<&RoleName, &str> = BTreeMap::new();
    let mut found = Vec::new();
    for one in all {
        let mut add = |(fault, missing): Found| found.push(WholeFault { kind: one.kind(), name: one.name().to_owned(), fault, missing });
        // Those of roles are told where the policy is built.
        if one.kind() != ResourceKind::Role {
            one.faults().into_iter().map(|fault| (fault, None)).for_each(&mut add);
        }
        let named = match one {
            Resource::Role { spec, .. } => {
                let audit = [("allow", &spec.allow), ("deny", &spec.deny)];
                let audit = audit.into_iter().flat_map(|(side, rights)| {
                    let rules =
                        rights.audit.iter().enumerate().flat_map(move |(i, rule)| at(&format!("{side}.audit[{i}].roles"), &rule.roles));
                    rules.chain(at(&format!("{side}.review.roles"), &rights.review.roles))
                });
                at("may_request", &spec.may_request).into_iter().chain(audit).collect()
            }
            Resource::User { spec, .. } => at("roles", &spec.roles),
            Resource::OidcConnector { spec, .. } => {
                let by_claim =
                    spec.claims.iter().flat_map(|(path, by_value)| by_value.iter().map(move |(value, roles)| (path, value, roles)));
                by_claim.flat_map(|(path, value, roles)| at(&format!("claims.{path}.{value}"), roles)).collect()
            }
            Resource::Bot { spec, .. } => at("roles", &spec.roles),
            Resource::Guardrail { spec, .. } => at("never.who.roles", &spec.never.who.roles),
            Resource::Lock { spec, .. } => spec.target.role.iter().map(|role| ("target.role".to_owned(), role)).collect(),
            Resource::AccessRule { name, spec } => {
                for (i, role) in spec.roles.iter().enumerate() {
                    if let Some(other) = ruled.insert(role, name.as_str()) {
                        let fault = SpecFault {
                            path: format!("roles[{i}]"),
                            message: format!("requests for {role} are decided by the access rule {other} already"),
                            remedy: "leave the role in one of the two".into(),
                        };
                        add((fault, None));
                    }
                }
                for (i, messenger) in spec.notify.iter().enumerate().filter(|(_, name)| !messengers.contains(name.as_str())) {
                    add(missing(format!("notify[{i}]"), ResourceKind::Messenger, messenger.as_str()));
                }
                at("roles", &spec.roles).into_iter().chain(at("approvals.from", &spec.approvals.from)).collect()
            }
            _ => Vec::new(),
        };
        for (path, role) in named.into_iter().filter(|(_, role)| !known.contains(role)) {
            add(missing(path, ResourceKind::Role, role.as_str()));
        }
        if one.kind() == ResourceKind::Bot && handles.get(one.name()).is_some_and(|kinds| kinds.len() > 1) {
            let message = format!("a user is called {} already, and events could not tell the two apart", one.name());
            add((SpecFault { path: String::new(), message, remedy: "choose another name for the bot".into() }, None));
        }
    }
    found
}

/// Roles with their places in a list.
fn at<'a>(list: &str, roles: &'a [RoleName]) -> Vec<(String, &'a RoleName)> {
    roles.iter().enumerate().map(|(i, role)| (format!("{list}[{i}]"), role)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_that_are_nowhere_and_names_that_are_taken_twice_are_told() {
        let all: Vec<Resource> = serde_json::from_str(
            r#"[{"kind":"bot","name":"ci","spec":{"issuer":"https://ci.example.com","audience":"naru","claims":{"sub":["a"]},"roles":["ops","none"]}},
            {"kind":"user","name":"ci","spec":{"roles":["gone"]}},
            {"kind":"role","name":"ops"},{"kind":"role","name":"ci"},
            {"kind":"oidc_connector","name":"ci","spec":{"issuer":"https://sso.example.com","claims":{"groups":{"/a":["ops","opps"]}}}}]"#,
        )
        .expect("resources");
        let told: Vec<String> = faults(&all).iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "bot ci.roles[1]: there is no role none; declare the role as well, or take it from here",
                "bot ci: a user is called ci already, and events could not tell the two apart; choose another name for the bot",
                "user ci.roles[0]: there is no role gone; declare the role as well, or take it from here",
                "oidc_connector ci.client_id: a connector needs a client; write the id of Naru's client at the provider",
                "oidc_connector ci.claims.groups./a[1]: there is no role opps; declare the role as well, or take it from here",
            ]
        );
        let missing: Vec<String> = faults(&all).into_iter().filter_map(|fault| fault.missing).map(|(_, name)| name).collect();
        assert_eq!(missing, ["none", "gone", "opps"]);
        assert_eq!(faults(all.iter().filter(|one| one.kind() == ResourceKind::Role)), []);
    }
}
