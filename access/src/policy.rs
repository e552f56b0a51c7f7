//! What people declare: roles and users as typed resources. Here are the shapes; `pattern` compares, `set` checks and holds.
//! Nothing here decides.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::amount::{Period, Size};
use crate::connector::{BotSpec, ConnectorSpec};
use crate::event::SessionKind;
use crate::identity::Traits;
use crate::words::{ConnectorName, RoleName, UserName};

pub mod pattern;
pub mod set;
pub mod whole;

pub use pattern::{LoginPattern, Pattern};
pub use set::{PolicyFault, PolicySet, SpecFault};
pub use whole::WholeFault;

/// What a role gives and takes. Everything absent is empty, and empty gives nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoleSpec {
    /// What the role allows.
    #[serde(skip_serializing_if = "is_default")]
    pub allow: Vec<SshRule>,
    /// What it denies; a deny of any of a person's roles wins over every allow.
    #[serde(skip_serializing_if = "is_default")]
    pub deny: Vec<SshRule>,
    /// What it demands of the sessions that it allows.
    #[serde(skip_serializing_if = "is_default")]
    pub options: RoleOptions,
    /// What of other people's doing it lets see.
    #[serde(skip_serializing_if = "is_default")]
    pub audit: AuditRights,
    /// Which kinds of resource it lets change.
    #[serde(skip_serializing_if = "is_default")]
    pub administer: Vec<ResourceKind>,
}

/// Sessions on nodes with certain labels, as certain logins. All parts must fit; an empty `node_labels` or `logins` fits nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SshRule {
    /// Each key must be a label of the node and one of its patterns fit. The key `*` with the pattern `*` fits every node.
    #[serde(skip_serializing_if = "is_default")]
    pub node_labels: BTreeMap<String, Vec<Pattern>>,
    /// The logins.
    #[serde(skip_serializing_if = "is_default")]
    pub logins: Vec<LoginPattern>,
    /// The kinds of session; empty means every kind.
    #[serde(skip_serializing_if = "is_default")]
    pub kinds: Vec<SessionKind>,
    /// Whether labels that only the agent vouches for may fit too. To a deny rule they always do.
    #[serde(skip_serializing_if = "is_default")]
    pub agent_labels: bool,
}

/// What a role demands of the sessions that it allows. Of several allowing roles the strictest counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoleOptions {
    /// How sessions are recorded.
    #[serde(skip_serializing_if = "is_default")]
    pub recording: RecordingMode,
    /// Whether what is typed is kept, not only its hash.
    #[serde(skip_serializing_if = "is_default")]
    pub record_input: bool,
    /// How long a session may last.
    #[serde(skip_serializing_if = "is_default")]
    pub max_session: Option<Period>,
    /// How long it may be idle.
    #[serde(skip_serializing_if = "is_default")]
    pub idle: Option<Period>,
    /// What the person is shown first; at most 500 characters.
    #[serde(skip_serializing_if = "is_default")]
    pub notice: Option<String>,
    /// How much of one stream is kept; what is cut is marked.
    #[serde(skip_serializing_if = "is_default")]
    pub max_output: Option<Size>,
    /// How freshly and strongly the person must have shown who they are, before a session begins.
    #[serde(skip_serializing_if = "is_default")]
    pub step_up: Option<StepUp>,
    /// How many logins a person may have at once; no limit where absent.
    #[serde(skip_serializing_if = "is_default")]
    pub max_logins: Option<u32>,
    /// What happens to one login too many.
    #[serde(skip_serializing_if = "is_default")]
    pub when_full: WhenFull,
}

/// What the provider must have said of a login. All that is there must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StepUp {
    /// One of these context classes (`acr`).
    #[serde(skip_serializing_if = "is_default")]
    pub acr: Vec<String>,
    /// All of these methods (`amr`).
    #[serde(skip_serializing_if = "is_default")]
    pub amr: Vec<String>,
    /// The person showed who they are at most so long ago.
    #[serde(skip_serializing_if = "is_default")]
    pub max_age: Option<Period>,
}

/// What happens to one login too many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// The oldest one ends.
    #[default]
    OldestOut,
    /// The new one is refused.
    NewestRefused,
}

impl WhenFull {
    /// Both.
    pub const ALL: [Self; 2] = [Self::OldestOut, Self::NewestRefused];

    /// As written in policies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OldestOut => "oldest_out",
            Self::NewestRefused => "newest_refused",
        }
    }
}

/// How sessions are recorded; ordered from loose to strict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordingMode {
    /// Not at all.
    Off,
    /// As far as it goes: a gap is marked and announced.
    BestEffort,
    /// A session that cannot be recorded stops.
    #[default]
    Strict,
}

impl RecordingMode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Strict, Self::BestEffort, Self::Off];

    /// As written in policies and events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::BestEffort => "best_effort",
            Self::Off => "off",
        }
    }
}

/// What of other people's doing may be seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditRights {
    /// What may be done with sessions.
    #[serde(skip_serializing_if = "is_default")]
    pub sessions: Vec<AuditAction>,
    /// Whether the audit log may be read.
    #[serde(skip_serializing_if = "is_default")]
    pub events: bool,
}

/// Something to do with sessions of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words say it")]
pub enum AuditAction {
    List,
    Play,
    Watch,
    Export,
    Kill,
}

impl AuditAction {
    /// Every action.
    pub const ALL: [Self; 5] = [Self::List, Self::Play, Self::Watch, Self::Export, Self::Kill];

    /// As written in policies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Play => "play",
            Self::Watch => "watch",
            Self::Export => "export",
            Self::Kill => "kill",
        }
    }
}

/// A kind of thing that is declared or made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words say it")]
pub enum ResourceKind {
    Role,
    User,
    Token,
    Link,
    Node,
    OidcConnector,
    Bot,
}

impl ResourceKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [Self::Role, Self::User, Self::Token, Self::Link, Self::Node, Self::OidcConnector, Self::Bot];
    /// Those that are declared as resources.
    pub const DECLARED: [Self; 4] = [Self::Role, Self::User, Self::OidcConnector, Self::Bot];

    /// As written in policies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Role => "role",
            Self::User => "user",
            Self::Token => "token",
            Self::Link => "link",
            Self::Node => "node",
            Self::OidcConnector => "oidc_connector",
            Self::Bot => "bot",
        }
    }
}

/// A person who is declared here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserSpec {
    /// The person's roles.
    #[serde(skip_serializing_if = "is_default")]
    pub roles: Vec<RoleName>,
    /// The person's traits.
    #[serde(skip_serializing_if = "is_default")]
    pub traits: Traits,
}

/// Something declared, as `{kind, name, spec}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Resource {
    /// A role.
    Role {
        /// Its name.
        name: RoleName,
        /// What it gives and takes.
        #[serde(default)]
        spec: RoleSpec,
    },
    /// A person.
    User {
        /// The handle.
        name: UserName,
        /// Roles and traits.
        #[serde(default)]
        spec: UserSpec,
    },
    /// An identity provider.
    OidcConnector {
        /// Its name.
        name: ConnectorName,
        /// How to reach it and what it gives.
        #[serde(default)]
        spec: ConnectorSpec,
    },
    /// A machine.
    Bot {
        /// The handle; people and bots share one list of names.
        name: UserName,
        /// Whose tokens it shows and what it gets.
        #[serde(default)]
        spec: BotSpec,
    },
}

impl Resource {
    /// Of which kind it is.
    pub const fn kind(&self) -> ResourceKind {
        match self {
            Self::Role { .. } => ResourceKind::Role,
            Self::User { .. } => ResourceKind::User,
            Self::OidcConnector { .. } => ResourceKind::OidcConnector,
            Self::Bot { .. } => ResourceKind::Bot,
        }
    }
    /// The roles that it gives to people or machines, each once: whoever declares it gives them away.
    pub fn gives(&self) -> BTreeSet<&RoleName> {
        match self {
            Self::Role { .. } => BTreeSet::new(),
            Self::User { spec, .. } => spec.roles.iter().collect(),
            Self::OidcConnector { spec, .. } => spec.claims.values().flat_map(BTreeMap::values).flatten().collect(),
            Self::Bot { spec, .. } => spec.roles.iter().collect(),
        }
    }
    /// Its name as text; unique among its kind.
    pub fn name(&self) -> &str {
        match self {
            Self::Role { name, .. } => name.as_str(),
            Self::User { name, .. } | Self::Bot { name, .. } => name.as_str(),
            Self::OidcConnector { name, .. } => name.as_str(),
        }
    }
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
        let json = r#"{"kind":"role","name":"engineer","spec":{"allow":[{"node_labels":{"env":["dev","st*"]},"logins":["{{logins}}"],"kinds":["shell"]}],"options":{"recording":"best_effort","max_session":"8h","max_output":"1GiB"},"audit":{"sessions":["list"]},"administer":["token"]}}"#;
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
        assert_eq!(given(r#"{"kind":"role","name":"a","spec":{"administer":["role"]}}"#), Vec::<String>::new());
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
            r#"{"kind":"role","name":"a","spec":{"allow":[{"login":[]}]}}"#,
            r#"{"kind":"rule","name":"a","spec":{}}"#,
            r#"{"kind":"role","name":"A b","spec":{}}"#,
        ] {
            assert!(serde_json::from_str::<Resource>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_words_are_those_that_serde_writes() {
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
