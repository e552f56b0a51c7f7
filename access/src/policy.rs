//! What people declare: roles and users as typed resources. Here are the shapes; `pattern` compares, `set` checks and holds.
//! Nothing here decides.

use std::collections::{BTreeMap, BTreeSet};

use schemars::{JsonSchema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use crate::connector::{BotSpec, ConnectorSpec};
use crate::identity::Traits;
use crate::time::Timestamp;
use crate::words::{ConnectorName, NodeName, ResourceName, RoleName, UserName};

mod declared;
mod faults;
mod options;
pub mod pattern;
mod role;
mod schema;
pub mod set;
pub mod whole;

pub use declared::{
    AccessRuleSpec, Approvals, AuditSinkSpec, AutoReview, ClusterSpec, GuardrailSpec, JoinKind, JoinTokenSpec, LockSpec, LockTarget,
    MessengerSpec, Never, NodeSpec, ReachKubernetes, ReachSpec, ReachSsh, ReasonSpec, SETTINGS, SettingsSpec, Unless, WebhookSpec, Who,
};
pub use faults::SpecFault;
pub use options::{RecordingMode, RoleOptions, StepUp, WhenFull};
pub use pattern::{LoginPattern, Pattern, Template};
pub use role::{
    AuditAction, AuditRule, ChannelKind, KindOrAll, KubeRule, KubeVerb, Level, ReviewRights, Rights, RoleSpec, Selector, SshRule,
};
pub use set::{LockInForce, Others, PolicyFault, PolicySet};
pub use whole::WholeFault;

macro_rules! kinds {
    ($($kind:ident = $word:literal,)*) => {
        /// A kind of thing that is declared or made.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        #[allow(missing_docs, reason = "the words say it")]
        pub enum ResourceKind { $($kind,)* }

        impl ResourceKind {
            /// Every kind.
            pub const ALL: [Self; [$($word),*].len()] = [$(Self::$kind),*];

            /// As written in policies.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $word,)* }
            }
        }
    };
}

kinds! {
    Role = "role",
    User = "user",
    OidcConnector = "oidc_connector",
    Bot = "bot",
    JoinToken = "join_token",
    Node = "node",
    Cluster = "cluster",
    Guardrail = "guardrail",
    AccessRule = "access_rule",
    Messenger = "messenger",
    AuditSink = "audit_sink",
    Lock = "lock",
    Settings = "settings",
    Link = "link",
    Request = "request",
}

macro_rules! resources {
    ($(#[doc = $doc:literal] $kind:ident { $name:ty, $spec:ty },)*) => {
        /// Something declared, as `{kind, name, spec}`.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
        #[allow(clippy::large_enum_variant, reason = "read and checked one at a time; a box would be in every match")]
        pub enum Resource {
            $(
                #[doc = $doc]
                $kind {
                    /// Its name; unique among its kind.
                    name: $name,
                    /// What is declared of it.
                    #[serde(default)]
                    spec: $spec,
                },
            )*
        }

        impl ResourceKind {
            /// Those that are declared as resources.
            pub const DECLARED: [Self; [$(stringify!($kind)),*].len()] = [$(Self::$kind),*];

            /// What it is in a sentence, its names and its spec; none where it is not declared.
            fn schemas(self, generator: &mut SchemaGenerator) -> Option<schema::Parts> {
                match self {
                    $(Self::$kind => Some(schema::Parts::of::<$name, $spec>(generator, stringify!($kind), $doc)),)*
                    Self::Link | Self::Request => None,
                }
            }

            /// Where a spec is none of this kind, and why: a resource that is read whole only says that it is none.
            pub fn misread(self, spec: &serde_json::Value) -> Option<serde_path_to_error::Error<serde_json::Error>> {
                match self {
                    $(Self::$kind => serde_path_to_error::deserialize::<_, $spec>(spec).err(),)*
                    Self::Link | Self::Request => None,
                }
            }
        }

        impl Resource {
            /// Of which kind it is.
            pub const fn kind(&self) -> ResourceKind {
                match self { $(Self::$kind { .. } => ResourceKind::$kind,)* }
            }
            /// Its name as text; unique among its kind.
            pub fn name(&self) -> &str {
                match self { $(Self::$kind { name, .. } => name.as_str(),)* }
            }
            /// Its spec as it is stored and shown.
            pub fn spec(&self) -> serde_json::Value {
                // Plain values in maps with text keys cannot fail to become JSON.
                match self { $(Self::$kind { spec, .. } => serde_json::to_value(spec).unwrap_or_default(),)* }
            }
        }
    };
}

resources! {
    /// What people may do.
    Role { RoleName, RoleSpec },
    /// A person who is declared here.
    User { UserName, UserSpec },
    /// An identity provider.
    OidcConnector { ConnectorName, ConnectorSpec },
    /// A machine; people and bots share one list of names.
    Bot { UserName, BotSpec },
    /// What may join.
    JoinToken { ResourceName, JoinTokenSpec },
    /// An SSH target.
    Node { NodeName, NodeSpec },
    /// A Kubernetes target.
    Cluster { ResourceName, ClusterSpec },
    /// What must never be.
    Guardrail { ResourceName, GuardrailSpec },
    /// How requests are decided.
    AccessRule { ResourceName, AccessRuleSpec },
    /// Who is told.
    Messenger { ResourceName, MessengerSpec },
    /// Who keeps events.
    AuditSink { ResourceName, AuditSinkSpec },
    /// Keeps somebody or something out.
    Lock { ResourceName, LockSpec },
    /// What holds for all.
    Settings { ResourceName, SettingsSpec },
}

impl Resource {
    /// The roles that it gives to people or machines, each once: whoever declares it gives them away.
    pub fn gives(&self) -> BTreeSet<&RoleName> {
        match self {
            Self::User { spec, .. } => spec.roles.iter().collect(),
            Self::OidcConnector { spec, .. } => spec.claims.values().flat_map(BTreeMap::values).flatten().collect(),
            Self::Bot { spec, .. } => spec.roles.iter().collect(),
            // Whoever says who approves a role, or that nobody needs to, gives it to whoever may ask.
            Self::AccessRule { spec, .. } => spec.roles.iter().collect(),
            _ => BTreeSet::new(),
        }
    }
}

/// A resource with what stands beside its spec: what reading gives, writing takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stated {
    /// Kind, name and spec.
    pub resource: Resource,
    /// The server's own id: given once, so that a name that is deleted and made again is something else. Checked where it is written.
    pub id: Option<String>,
    /// Goes up with every change of anything; where it is written, the resource must still be at it.
    pub revision: Option<u64>,
    /// When it was made, of a lock: last written. The server's own; where it is written it says nothing.
    pub created: Option<Timestamp>,
    /// Labels: of a node or cluster those that rules match, of others for people to find them by.
    pub labels: BTreeMap<String, String>,
    /// Who keeps it, such as the address of a repository.
    pub managed_by: Option<String>,
}

impl From<Resource> for Stated {
    fn from(resource: Resource) -> Self {
        Self { resource, id: None, revision: None, created: None, labels: BTreeMap::new(), managed_by: None }
    }
}

/// [`Stated`] as JSON: one object of `kind`, `name`, `id`, `revision`, `created`, `labels`, `managed_by`, `spec`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Flat {
    kind: ResourceKind,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    managed_by: Option<String>,
    #[serde(default)]
    spec: serde_json::Value,
}

impl Serialize for Stated {
    fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let Self { resource, id, revision, created, labels, managed_by } = self.clone();
        let (kind, name, spec) = (resource.kind(), resource.name().to_owned(), resource.spec());
        Flat { kind, name, id, revision, created, labels, managed_by, spec }.serialize(out)
    }
}

impl<'de> Deserialize<'de> for Stated {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Flat { kind, name, id, revision, created, labels, managed_by, spec } = Flat::deserialize(from)?;
        let mut flat = serde_json::json!({"kind": kind, "name": name});
        if let (false, Some(fields)) = (spec.is_null(), flat.as_object_mut()) {
            fields.insert("spec".into(), spec);
        }
        let resource = serde_json::from_value(flat).map_err(serde::de::Error::custom)?;
        Ok(Self { resource, id, revision, created, labels, managed_by })
    }
}

/// A person who is declared here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UserSpec {
    /// The person's roles.
    #[serde(skip_serializing_if = "is_default")]
    pub roles: Vec<RoleName>,
    /// The person's traits.
    #[serde(skip_serializing_if = "is_default")]
    pub traits: Traits,
    /// What administrators should know of them.
    #[serde(skip_serializing_if = "is_default")]
    pub notes: String,
}

/// So that a resource prints as short as it was written.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_reads_back_short() {
        let json = r#"{"kind":"role","name":"engineer","spec":{"allow":{"ssh":[{"labels":{"env":["dev","st*"]},"logins":["{{logins}}"],"kinds":["shell"],"where":"'a' in user.roles"}],"audit":[{"sessions":["list"]}],"administer":{"*":"read","join_token":"write"}},"options":{"recording":"best_effort","max_session":"8h","max_output":"1GiB","hours":["mon-fri 09:00-18:00 Asia/Seoul"]}}}"#;
        let role: Resource = serde_json::from_str(json).expect("reads");
        assert_eq!(serde_json::to_string(&role).expect("writes"), json);
        assert_eq!((role.kind(), role.name()), (ResourceKind::Role, "engineer"));
        let user: Resource = serde_json::from_str(r#"{"kind":"user","name":"kim"}"#).expect("reads");
        assert_eq!(serde_json::to_string(&user).expect("writes"), r#"{"kind":"user","name":"kim","spec":{}}"#);
    }

    #[test]
    fn what_a_resource_gives_away_is_known() {
        let given = |json: &str| {
            let resource: Resource = serde_json::from_str(json).expect(json);
            resource.gives().into_iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(given(r#"{"kind":"role","name":"a","spec":{"allow":{"administer":{"role":"write"}}}}"#), Vec::<String>::new());
        assert_eq!(given(r#"{"kind":"user","name":"kim","spec":{"roles":["b","a"]}}"#), ["a", "b"]);
        assert_eq!(given(r#"{"kind":"bot","name":"ci","spec":{"roles":["a"]}}"#), ["a"]);
        let connector =
            r#"{"kind":"oidc_connector","name":"k","spec":{"claims":{"groups":{"/x":["a","b"],"/y":["b"]},"roles":{"z":["c"]}}}}"#;
        assert_eq!(given(connector), ["a", "b", "c"]);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for bad in [
            r#"{"kind":"role","name":"a","specs":{}}"#,
            r#"{"kind":"role","name":"a","spec":{"alow":[]}}"#,
            r#"{"kind":"role","name":"a","spec":{"allow":{"ssh":[{"login":[]}]}}}"#,
            r#"{"kind":"rule","name":"a","spec":{}}"#,
            r#"{"kind":"role","name":"A b","spec":{}}"#,
        ] {
            assert!(serde_json::from_str::<Resource>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_words_are_those_that_serde_writes() {
        for kind in ChannelKind::ALL {
            assert_eq!(serde_json::to_value(kind).expect("writes"), kind.as_str());
        }
        for verb in KubeVerb::ALL {
            assert_eq!(serde_json::to_value(verb).expect("writes"), verb.as_str());
        }
        for level in Level::ALL {
            assert_eq!(serde_json::to_value(level).expect("writes"), level.as_str());
        }
        for kind in ResourceKind::ALL {
            assert_eq!(serde_json::to_value(kind).expect("writes"), kind.as_str());
        }
        for action in AuditAction::ALL {
            assert_eq!(serde_json::to_value(action).expect("writes"), action.as_str());
        }
        for mode in RecordingMode::ALL {
            assert_eq!(serde_json::to_value(mode).expect("writes"), mode.as_str());
        }
    }
}
