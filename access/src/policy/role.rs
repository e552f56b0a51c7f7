//! A role: what it allows and denies, over sessions, clusters, requests, other people's doing and what is declared. Shapes only.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::is_default;
use super::options::RoleOptions;
use super::pattern::{CommandPattern, ForwardPattern, LoginPattern, Pattern, Template};
use crate::condition::Condition;
use crate::policy::ResourceKind;
use crate::words::RoleName;

/// What a role gives and takes. Everything absent is empty, and empty gives nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RoleSpec {
    /// What it is for, in a sentence.
    #[serde(skip_serializing_if = "is_default")]
    pub description: String,
    /// What the role allows.
    #[serde(skip_serializing_if = "is_default")]
    pub allow: Rights,
    /// What it denies; a deny of any of a person's roles wins over every allow.
    #[serde(skip_serializing_if = "is_default")]
    pub deny: Rights,
    /// Roles that whoever has this one may ask for.
    #[serde(skip_serializing_if = "is_default")]
    pub may_request: Vec<RoleName>,
    /// What it demands of the sessions that it allows.
    #[serde(skip_serializing_if = "is_default")]
    pub options: RoleOptions,
    /// What this role would deny is an event and no refusal; what it allows, it allows.
    #[serde(skip_serializing_if = "is_default")]
    pub dry_run: bool,
}

/// One side of a role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rights {
    /// Sessions on nodes.
    #[serde(skip_serializing_if = "is_default")]
    pub ssh: Vec<SshRule>,
    /// Requests to clusters.
    #[serde(skip_serializing_if = "is_default")]
    pub kubernetes: Vec<KubeRule>,
    /// Access requests of others.
    #[serde(skip_serializing_if = "is_default")]
    pub review: ReviewRights,
    /// What of other people's doing may be seen.
    #[serde(skip_serializing_if = "is_default")]
    pub audit: Vec<AuditRule>,
    /// Kinds of resource, and how far; `*` stands for all.
    #[serde(skip_serializing_if = "is_default")]
    pub administer: BTreeMap<KindOrAll, Level>,
}

/// Labels of a target that a rule fits: each key must be a label and one of its patterns fit. The key `*` with the pattern `*` fits
/// every target; without keys nothing fits.
pub type Selector = BTreeMap<String, Vec<Pattern>>;

/// Sessions on nodes with certain labels, as certain logins. All parts must fit; empty `labels` or `logins` fit nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SshRule {
    /// Which nodes.
    #[serde(skip_serializing_if = "is_default")]
    pub labels: Selector,
    /// The logins.
    #[serde(skip_serializing_if = "is_default")]
    pub logins: Vec<LoginPattern>,
    /// What may be opened; empty means shell, exec and both of sftp in an allow, and everything in a deny.
    #[serde(skip_serializing_if = "is_default")]
    pub kinds: Vec<ChannelKind>,
    /// The commands of an `exec`; empty means every one. An allow only.
    #[serde(skip_serializing_if = "is_default")]
    pub commands: Vec<CommandPattern>,
    /// Where forwards may go from there, as `host:port`.
    #[serde(skip_serializing_if = "is_default")]
    pub forwards: Vec<ForwardPattern>,
    /// Whether labels that only the agent vouches for may fit too. To a deny rule they always do.
    #[serde(skip_serializing_if = "is_default")]
    pub agent_labels: bool,
    /// What must hold besides.
    #[serde(rename = "where", skip_serializing_if = "is_default")]
    pub condition: Option<Condition>,
}

/// What can be opened on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words say it")]
pub enum ChannelKind {
    Shell,
    Exec,
    SftpRead,
    SftpWrite,
    /// TCP from there; its targets are `forwards`.
    Forward,
    AgentForwarding,
    X11,
}

impl ChannelKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [Self::Shell, Self::Exec, Self::SftpRead, Self::SftpWrite, Self::Forward, Self::AgentForwarding, Self::X11];
    /// Those that an allow rule without kinds means.
    pub const USUAL: [Self; 4] = [Self::Shell, Self::Exec, Self::SftpRead, Self::SftpWrite];

    /// As written in policies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shell => "shell",
            Self::Exec => "exec",
            Self::SftpRead => "sftp_read",
            Self::SftpWrite => "sftp_write",
            Self::Forward => "forward",
            Self::AgentForwarding => "agent_forwarding",
            Self::X11 => "x11",
        }
    }
}

/// Requests to clusters with certain labels, as certain groups. All parts must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KubeRule {
    /// Which clusters.
    #[serde(skip_serializing_if = "is_default")]
    pub labels: Selector,
    /// Groups that are impersonated there; an allow only, and one that names none gives nothing.
    #[serde(skip_serializing_if = "is_default")]
    pub groups: Vec<Template>,
    /// The user that is impersonated there; the person's handle where absent.
    #[serde(skip_serializing_if = "is_default")]
    pub user: Option<Template>,
    /// Namespaces. What belongs to no namespace fits `*` alone; empty fits nothing.
    #[serde(skip_serializing_if = "is_default")]
    pub namespaces: Vec<Pattern>,
    /// API groups, the core group being the empty text; empty means every one.
    #[serde(skip_serializing_if = "is_default")]
    pub api_groups: Vec<Pattern>,
    /// Resources, as `pods` or `pods/log`; empty means every one.
    #[serde(skip_serializing_if = "is_default")]
    pub resources: Vec<Pattern>,
    /// Names of objects; empty means every one.
    #[serde(skip_serializing_if = "is_default")]
    pub names: Vec<Pattern>,
    /// Verbs; empty means every one but `proxy` in an allow, and everything in a deny.
    #[serde(skip_serializing_if = "is_default")]
    pub verbs: Vec<KubeVerb>,
    /// As in [`SshRule`].
    #[serde(skip_serializing_if = "is_default")]
    pub agent_labels: bool,
    /// As in [`SshRule`].
    #[serde(rename = "where", skip_serializing_if = "is_default")]
    pub condition: Option<Condition>,
}

/// What is done to an object: those of Kubernetes, and our own for what opens a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the words say it")]
pub enum KubeVerb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
    Exec,
    Attach,
    PortForward,
    Debug,
    /// Requests through the apiserver to a pod, service or node.
    Proxy,
}

impl KubeVerb {
    /// Every verb.
    pub const ALL: [Self; 13] = [
        Self::Get,
        Self::List,
        Self::Watch,
        Self::Create,
        Self::Update,
        Self::Patch,
        Self::Delete,
        Self::DeleteCollection,
        Self::Exec,
        Self::Attach,
        Self::PortForward,
        Self::Debug,
        Self::Proxy,
    ];

    /// As written in policies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Exec => "exec",
            Self::Attach => "attach",
            Self::PortForward => "portforward",
            Self::Debug => "debug",
            Self::Proxy => "proxy",
        }
    }
}

/// Access requests of others that may be decided.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReviewRights {
    /// Requests for these roles.
    #[serde(skip_serializing_if = "is_default")]
    pub roles: Vec<RoleName>,
    /// As in [`SshRule`]; `user` is who reviews.
    #[serde(rename = "where", skip_serializing_if = "is_default")]
    pub condition: Option<Condition>,
}

/// What of whose doing may be seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AuditRule {
    /// What may be done with sessions.
    #[serde(skip_serializing_if = "is_default")]
    pub sessions: Vec<AuditAction>,
    /// Whether events may be read.
    #[serde(skip_serializing_if = "is_default")]
    pub events: bool,
    /// Of these people alone; empty means of all.
    #[serde(skip_serializing_if = "is_default")]
    pub users: Vec<Pattern>,
    /// Of people who have one of these roles; empty means of all.
    #[serde(skip_serializing_if = "is_default")]
    pub roles: Vec<RoleName>,
    /// On targets with these labels; empty means on all, and what has no target.
    #[serde(skip_serializing_if = "is_default")]
    pub labels: Selector,
}

/// Something to do with sessions of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words say it")]
pub enum AuditAction {
    List,
    Play,
    Watch,
    Join,
    Export,
    Kill,
}

impl AuditAction {
    /// Every action.
    pub const ALL: [Self; 6] = [Self::List, Self::Play, Self::Watch, Self::Join, Self::Export, Self::Kill];

    /// As written in policies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Play => "play",
            Self::Watch => "watch",
            Self::Join => "join",
            Self::Export => "export",
            Self::Kill => "kill",
        }
    }
}

/// How far somebody may go with a kind of resource; each has what is before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words say it")]
pub enum Level {
    Read,
    /// To ask what a change would do.
    Plan,
    Write,
}

impl Level {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Read, Self::Plan, Self::Write];

    /// As written in policies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Plan => "plan",
            Self::Write => "write",
        }
    }
}

/// One kind of resource, or `*` for each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("enum" = every_kind()))]
pub enum KindOrAll {
    /// Every kind.
    All,
    /// One.
    One(ResourceKind),
}

/// Every spelling of a [`KindOrAll`].
fn every_kind() -> Vec<&'static str> {
    std::iter::once(EVERY_KIND).chain(ResourceKind::ALL.map(ResourceKind::as_str)).collect()
}

/// How [`KindOrAll::All`] is written.
const EVERY_KIND: &str = "*";

impl KindOrAll {
    /// As written in policies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => EVERY_KIND,
            Self::One(kind) => kind.as_str(),
        }
    }
    /// Whether it speaks of this kind.
    pub fn is(self, kind: ResourceKind) -> bool {
        self == Self::All || self == Self::One(kind)
    }
}

impl TryFrom<String> for KindOrAll {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        if text == EVERY_KIND {
            return Ok(Self::All);
        }
        let known = ResourceKind::ALL.into_iter().find(|kind| kind.as_str() == text);
        known.map(Self::One).ok_or_else(|| format!("there is no kind of resource {}", crate::words::shown(&text)))
    }
}

impl From<KindOrAll> for String {
    fn from(kind: KindOrAll) -> Self {
        kind.as_str().to_owned()
    }
}
