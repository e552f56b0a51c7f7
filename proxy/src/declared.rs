//! What is declared, as the store keeps it: one record for each resource, of whatever kind, and what is in force made of all of them.

use std::collections::BTreeMap;

use access::connector::{BotSpec, ConnectorSpec};
use access::policy::{LockInForce, Others, PolicySet, Resource, ResourceKind, RoleSpec, Stated, UserSpec};
use access::time::Timestamp;
use access::words::{ConnectorName, RoleName, UserName};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::kv::{Entry, Kv};

use crate::authority::sealed::Sealed;
use crate::live::{LiveError, scan};

/// Where resources are: `declared/KIND/NAME`.
pub(crate) const DECLARED: &str = "declared/";

/// Of a record's shape.
const VERSION: u8 = 1;

/// Kind and name.
pub(crate) type Id = (ResourceKind, String);

/// The key of a resource.
pub(crate) fn key_of(kind: ResourceKind, name: &str) -> String {
    format!("{DECLARED}{}/{name}", kind.as_str())
}

/// A resource as stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stored {
    /// Of this record's shape.
    pub(crate) v: u8,
    /// Given once: of a user, the subject.
    pub(crate) id: String,
    pub(crate) created: Timestamp,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) managed_by: Option<String>,
    /// Without secrets.
    pub(crate) spec: Value,
    /// Secrets of others by the field that they are written in.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) secrets: BTreeMap<String, Sealed>,
    /// Our key for `private_key_jwt` of a connector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<ClientKey>,
}

/// A key pair of ours that a provider knows the public half of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientKey {
    /// PKCS#8, P-256.
    pub(crate) private: Sealed,
    /// The public point, uncompressed (SEC 1), hex.
    pub(crate) public: String,
}

impl Stored {
    /// A new record.
    pub(crate) fn new(id: String, created: Timestamp, spec: Value) -> Self {
        Self { v: VERSION, id, created, labels: BTreeMap::new(), managed_by: None, spec, secrets: BTreeMap::new(), key: None }
    }

    /// As it is written.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        // Plain values with text keys cannot fail to become JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// A resource in force.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Declared {
    /// As it is shown: with its id and revision, without secrets.
    pub(crate) stated: Stated,
    pub(crate) stored: Stored,
}

/// A person who is declared. The subject is given once, so that a name that is deleted and made again is another person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredUser {
    pub(crate) subject: String,
    pub(crate) spec: UserSpec,
}

/// A connector: what is secret of it is sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredConnector {
    /// Without its secret.
    pub(crate) spec: ConnectorSpec,
    /// The client secret.
    pub(crate) secret: Option<Sealed>,
    /// Our key for `private_key_jwt`.
    pub(crate) key: Option<ClientKey>,
}

/// Where a secret of a resource is sealed, and a receiver's place is kept: `messenger/ops`. What is sealed opens nowhere else.
pub(crate) fn place_of(id: &Id) -> String {
    let kind = if id.0 == ResourceKind::OidcConnector { "connector" } else { id.0.as_str() };
    format!("{kind}/{}", id.1)
}

/// In [`Stored::secrets`] of a messenger or an audit sink.
pub(crate) const SECRET: &str = "secret";
/// In [`Stored::secrets`] of a connector.
pub(crate) const CLIENT_SECRET: &str = "client_secret";

/// All resources by kind and name, and what they come to.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct All {
    pub(crate) resources: BTreeMap<Id, Declared>,
    pub(crate) users: BTreeMap<UserName, StoredUser>,
    pub(crate) connectors: BTreeMap<ConnectorName, StoredConnector>,
    pub(crate) bots: BTreeMap<UserName, BotSpec>,
    /// Roles and what holds beside them.
    pub(crate) parts: (Vec<(RoleName, RoleSpec)>, Others),
}

/// Reads every resource.
pub(crate) fn read(store: &dyn Kv) -> Result<All, LiveError> {
    let mut all = All::default();
    for entry in scan(store, DECLARED)? {
        let (id, declared) = declared(&entry)?;
        all.take(&declared);
        all.resources.insert(id, declared);
    }
    Ok(all)
}

/// The policy that resources come to.
pub(crate) fn policy((roles, others): (Vec<(RoleName, RoleSpec)>, Others)) -> Result<PolicySet, LiveError> {
    let built = PolicySet::build(roles).map_err(|faults| {
        let why = faults.first().map(ToString::to_string).unwrap_or_default();
        LiveError::Stored { key: DECLARED.to_owned(), why }
    });
    Ok(built?.with(others))
}

fn declared(entry: &Entry) -> Result<(Id, Declared), LiveError> {
    let bad = |why: &dyn std::fmt::Display| LiveError::Stored { key: entry.key.clone(), why: why.to_string() };
    let rest = entry.key.strip_prefix(DECLARED).unwrap_or_default();
    let (kind, name) = rest.split_once('/').ok_or_else(|| bad(&"the key names no kind"))?;
    let stored: Stored = serde_json::from_slice(&entry.at.value).map_err(|error| bad(&error))?;
    if stored.v != VERSION {
        return Err(bad(&format!("it was written by a newer Naru, in version {} of its format", stored.v)));
    }
    let flat = serde_json::json!({"kind": kind, "name": name, "spec": stored.spec});
    let resource: Resource = serde_json::from_value(flat).map_err(|error| bad(&error))?;
    let stated = Stated {
        id: Some(stored.id.clone()),
        revision: Some(entry.at.revision),
        created: Some(stored.created),
        labels: stored.labels.clone(),
        managed_by: stored.managed_by.clone(),
        resource,
    };
    Ok(((stated.resource.kind(), name.to_owned()), Declared { stated, stored }))
}

impl All {
    /// Sorts one resource to where it is looked for.
    pub(crate) fn take(&mut self, declared: &Declared) {
        let stored = &declared.stored;
        let (roles, others) = &mut self.parts;
        match declared.stated.resource.clone() {
            Resource::Role { name, spec } => roles.push((name, spec)),
            Resource::User { name, spec } => {
                self.users.insert(name, StoredUser { subject: stored.id.clone(), spec });
            }
            Resource::OidcConnector { name, spec } => {
                let (secret, key) = (stored.secrets.get(CLIENT_SECRET).cloned(), stored.key.clone());
                self.connectors.insert(name, StoredConnector { spec, secret, key });
            }
            Resource::Bot { name, spec } => {
                self.bots.insert(name, spec);
            }
            Resource::Guardrail { name, spec } => {
                others.guardrails.insert(name, spec);
            }
            Resource::AccessRule { name, spec } => {
                others.access_rules.insert(name, spec);
            }
            Resource::Lock { name, spec } => others.locks.push(LockInForce { name, spec, since: stored.created }),
            Resource::Settings { spec, .. } => others.settings = spec,
            Resource::JoinToken { .. }
            | Resource::Node { .. }
            | Resource::Cluster { .. }
            | Resource::Messenger { .. }
            | Resource::AuditSink { .. } => {}
        }
    }

    /// The labels that administrators gave a target.
    pub(crate) fn labels(&self, kind: ResourceKind, name: &str) -> Option<&BTreeMap<String, String>> {
        self.resources.get(&(kind, name.to_owned())).map(|declared| &declared.stated.labels)
    }
}
