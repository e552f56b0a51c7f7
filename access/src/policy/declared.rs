//! What is declared beside roles, people and providers: locks, guardrails, rules for requests, what joins, who is told. Shapes only.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::is_default;
use super::options::RoleOptions;
use super::pattern::{LoginPattern, Pattern, ReasonPattern};
use super::role::Selector;
use crate::amount::Period;
use crate::condition::Condition;
use crate::connector::WriteOnly;
use crate::words::{AgentId, Login, NodeName, ResourceName, RoleName, UserName};

/// An SSH target: its labels are those of the resource, and win over what its join token or agent says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NodeSpec {
    /// What it is, in a sentence.
    #[serde(skip_serializing_if = "is_default")]
    pub description: String,
}

/// A Kubernetes target: as [`NodeSpec`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterSpec {
    /// What it is, in a sentence.
    #[serde(skip_serializing_if = "is_default")]
    pub description: String,
}

/// What may join, as what. Its secrets are made one by one and shown once; none is in here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["kinds", "names"]))]
pub struct JoinTokenSpec {
    /// What may join.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(length(min = 1))]
    pub kinds: Vec<JoinKind>,
    /// Names that may be taken, with `*` for any run of characters; empty fits nothing.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(length(min = 1))]
    pub names: Vec<Pattern>,
    /// Labels that what joins gets.
    #[serde(skip_serializing_if = "is_default")]
    pub labels: BTreeMap<String, String>,
    /// How often a secret of it can be used by different machines; 1 where absent.
    #[serde(skip_serializing_if = "is_default")]
    pub uses: Option<u32>,
    /// How long a secret of it can be used; 1 hour where absent.
    #[serde(skip_serializing_if = "is_default")]
    pub ttl: Option<Period>,
    /// How long a node of it may be away before it leaves the list; for ever where absent.
    #[serde(skip_serializing_if = "is_default")]
    pub gone_after: Option<Period>,
}

/// What an agent serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words say it")]
pub enum JoinKind {
    Ssh,
    Kubernetes,
}

impl JoinKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ssh, Self::Kubernetes];

    /// As written in policies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ssh => "ssh",
            Self::Kubernetes => "kubernetes",
        }
    }
}

/// An invariant of who may reach what: held at every write, and at the moment of use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["never"]))]
pub struct GuardrailSpec {
    /// Why it is there, in a sentence; who runs into it reads this.
    #[serde(skip_serializing_if = "is_default")]
    pub description: String,
    /// What must never be.
    pub never: Never,
    /// What makes it all right.
    #[serde(skip_serializing_if = "is_default")]
    pub unless: Unless,
}

/// Who must never reach what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["reach"]))]
pub struct Never {
    /// Who; everybody where absent.
    #[serde(skip_serializing_if = "is_default")]
    pub who: Who,
    /// What.
    pub reach: ReachSpec,
}

/// People: all parts must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Who {
    /// One of these handles.
    #[serde(skip_serializing_if = "is_default")]
    pub users: Vec<Pattern>,
    /// One of these roles, had by themselves and not by a request.
    #[serde(skip_serializing_if = "is_default")]
    pub roles: Vec<RoleName>,
    /// Each of these traits has one of the values.
    #[serde(skip_serializing_if = "is_default")]
    pub traits: BTreeMap<String, Vec<Pattern>>,
}

/// Targets and what is done there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["labels"]))]
pub struct ReachSpec {
    /// Which targets, as in a rule. Labels of any origin count.
    pub labels: Selector,
    /// Sessions on nodes; where neither this nor `kubernetes` is there, both are meant.
    #[serde(skip_serializing_if = "is_default")]
    pub ssh: Option<ReachSsh>,
    /// Requests to clusters.
    #[serde(skip_serializing_if = "is_default")]
    pub kubernetes: Option<ReachKubernetes>,
}

/// Sessions, for a guardrail.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReachSsh {
    /// As one of these; empty means as anybody.
    #[serde(skip_serializing_if = "is_default")]
    pub logins: Vec<LoginPattern>,
}

/// Requests to clusters, for a guardrail.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReachKubernetes {
    /// As one of these groups; empty means as any.
    #[serde(skip_serializing_if = "is_default")]
    pub groups: Vec<Pattern>,
}

/// What lifts a guardrail.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Unless {
    /// That it is by an approved access request.
    #[serde(skip_serializing_if = "is_default")]
    pub requested: bool,
}

/// How requests for some roles are decided.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["roles"]))]
pub struct AccessRuleSpec {
    /// What it is for, in a sentence.
    #[serde(skip_serializing_if = "is_default")]
    pub description: String,
    /// The roles; each role has at most one rule.
    #[schemars(length(min = 1))]
    pub roles: Vec<RoleName>,
    /// Whose yes is needed.
    #[serde(skip_serializing_if = "is_default")]
    pub approvals: Approvals,
    /// Longest time that can be asked for; 8 hours where absent.
    #[serde(skip_serializing_if = "is_default")]
    pub max_ttl: Option<Period>,
    /// How long a request waits for its decision; 24 hours where absent.
    #[serde(skip_serializing_if = "is_default")]
    pub pending: Option<Period>,
    /// How many sessions one request may open; no limit where absent.
    #[serde(skip_serializing_if = "is_default")]
    pub max_uses: Option<u32>,
    /// What is demanded of the reason.
    #[serde(skip_serializing_if = "is_default")]
    pub reason: ReasonSpec,
    /// Decides without anybody, where its condition holds.
    #[serde(skip_serializing_if = "is_default")]
    pub auto_review: Option<AutoReview>,
    /// Messengers that are told, beside those that get every event.
    #[serde(skip_serializing_if = "is_default")]
    pub notify: Vec<ResourceName>,
}

/// Whose yes is needed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Approvals {
    /// How many different people; 1 where absent.
    #[serde(skip_serializing_if = "is_default")]
    pub required: Option<u32>,
    /// People with one of these roles; where empty, those whose role allows review of it.
    #[serde(skip_serializing_if = "is_default")]
    pub from: Vec<RoleName>,
}

/// What is demanded of a reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReasonSpec {
    /// Whether there must be one.
    #[serde(skip_serializing_if = "is_default")]
    pub required: bool,
    /// A regular expression that must be found in it.
    #[serde(skip_serializing_if = "is_default")]
    pub pattern: Option<ReasonPattern>,
}

/// A decision without a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AutoReview {
    /// Over who asks and what; where it cannot be answered, people decide.
    pub when: Condition,
    /// Yes, or no.
    pub approve: bool,
}

/// Who is told of events as they happen. Exactly one of its kinds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["webhook"]))]
pub struct MessengerSpec {
    /// An address that takes JSON.
    #[serde(skip_serializing_if = "is_default")]
    pub webhook: Option<WebhookSpec>,
    /// Types of events, with `*` for any run of characters; empty means every one.
    #[serde(skip_serializing_if = "is_default")]
    pub events: Vec<Pattern>,
}

/// Who keeps events: as [`MessengerSpec`].
pub type AuditSinkSpec = MessengerSpec;

/// An HTTP endpoint that takes events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["url"]))]
pub struct WebhookSpec {
    /// Where: http or https.
    #[schemars(regex(pattern = "^https?://"))]
    pub url: String,
    /// The secret that signs what is sent. Written and never read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<WriteOnly>,
    /// Raised to say that the secret is another.
    #[serde(skip_serializing_if = "is_default")]
    pub secret_version: u32,
    /// Whether it may be at an address that is not public.
    #[serde(skip_serializing_if = "is_default")]
    pub allow_private: bool,
}

/// Keeps somebody or something out, at once and until it ends or is removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["target", "reason"]))]
pub struct LockSpec {
    /// Who or what: exactly one.
    pub target: LockTarget,
    /// Why; who is kept out reads it.
    pub reason: String,
    /// How long, from when it was made; until it is removed where absent.
    #[serde(rename = "for", skip_serializing_if = "is_default")]
    pub length: Option<Period>,
}

/// Who or what a lock keeps out. Exactly one field.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct LockTarget {
    /// A person.
    #[serde(skip_serializing_if = "is_default")]
    pub user: Option<UserName>,
    /// A machine.
    #[serde(skip_serializing_if = "is_default")]
    pub bot: Option<UserName>,
    /// Everybody who has this role.
    #[serde(skip_serializing_if = "is_default")]
    pub role: Option<RoleName>,
    /// A node.
    #[serde(skip_serializing_if = "is_default")]
    pub node: Option<NodeName>,
    /// A cluster.
    #[serde(skip_serializing_if = "is_default")]
    pub cluster: Option<ResourceName>,
    /// An agent: its tunnels are cut too.
    #[serde(skip_serializing_if = "is_default")]
    pub agent: Option<AgentId>,
    /// An account, on every node.
    #[serde(skip_serializing_if = "is_default")]
    pub login: Option<Login>,
    /// A certificate, by its serial in hex.
    #[serde(skip_serializing_if = "is_default")]
    pub certificate: Option<String>,
    /// The whole install: no session and no request, for anybody.
    #[serde(skip_serializing_if = "is_default")]
    pub all: bool,
}

impl LockTarget {
    /// `user/kim`, `all`; none unless exactly one is named.
    pub fn word(&self) -> Option<String> {
        let one = |kind: &str, name: Option<&str>| name.map(|name| format!("{kind}/{name}"));
        let named = [
            one("user", self.user.as_ref().map(UserName::as_str)),
            one("bot", self.bot.as_ref().map(UserName::as_str)),
            one("role", self.role.as_ref().map(RoleName::as_str)),
            one("node", self.node.as_ref().map(NodeName::as_str)),
            one("cluster", self.cluster.as_ref().map(ResourceName::as_str)),
            one("agent", self.agent.as_ref().map(AgentId::as_str)),
            one("login", self.login.as_ref().map(Login::as_str)),
            one("certificate", self.certificate.as_deref()),
            self.all.then(|| "all".to_owned()),
        ];
        let mut named = named.into_iter().flatten();
        named.next().filter(|_| named.next().is_none())
    }
}

/// What holds for the whole install. There is one, called `settings`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SettingsSpec {
    /// Demanded of every session, on top of what the roles demand. `networks` and `hours` hold for everybody.
    #[serde(skip_serializing_if = "is_default")]
    pub options: RoleOptions,
}

/// The only name of [`SettingsSpec`].
pub const SETTINGS: &str = "settings";
