//! Who somebody is: the person, the labels of a target with their origin, the traits that come from the identity provider.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;
use crate::words::{AgentId, Login, NodeName, RequestId, ResourceName, RoleName, UserName};

/// A person: (issuer, subject) of OpenID Connect. The local issuer is the install id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UserId {
    /// Who says so.
    pub issuer: String,
    /// The issuer's own id of the person; never an e-mail address.
    pub subject: String,
}

impl UserId {
    /// The only principal of this person's certificate: `naru:` and 32 hex digits. It is not a login, so that no stock sshd takes it for one.
    pub fn principal(&self) -> String {
        let mut hash = blake3::Hasher::new_derive_key("naru user principal v1");
        hash.update(&(self.issuer.len() as u64).to_be_bytes());
        hash.update(self.issuer.as_bytes());
        hash.update(self.subject.as_bytes());
        let hex = hash.finalize().to_hex();
        format!("naru:{}", hex.get(..32).unwrap_or_default())
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|{}", self.issuer, self.subject)
    }
}

/// Lists of strings about a person, from OIDC claims or the user resource.
pub type Traits = BTreeMap<String, Vec<String>>;

/// A person as known at this moment: what `decide` is asked about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The person.
    pub user: UserId,
    /// The unique handle.
    pub name: UserName,
    /// Roles that the person has now.
    pub roles: Vec<RoleName>,
    /// Traits that the person has now.
    pub traits: Traits,
    /// When the sign-in behind this ends.
    pub expires: Timestamp,
    /// How the person showed who they are.
    #[serde(default)]
    pub auth: Auth,
    /// From where and with what words they ask. What is absent fits no condition.
    #[serde(default)]
    pub context: Context,
    /// What access requests gave them, those that are over included: time decides.
    #[serde(default)]
    pub granted: Vec<Granted>,
}

/// The circumstances of what is asked, as far as they are known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// The address that the person comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
    /// Why they ask, in their own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The serial of the certificate that was shown, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
}

/// A role for a time, by an approved access request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// The request.
    pub request: RequestId,
    /// The role.
    pub role: RoleName,
    /// The only target for which it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<OnlyTarget>,
    /// Until when.
    pub until: Timestamp,
}

/// Exactly one target.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OnlyTarget {
    /// What it is.
    pub kind: Reach,
    /// Its name.
    pub name: String,
    /// The only login there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<Login>,
}

/// The two kinds of target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// An SSH target.
    Node,
    /// A Kubernetes target.
    Cluster,
}

/// How somebody showed who they are, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Auth {
    /// By which way.
    pub method: Method,
    /// When they last did it at the provider (`auth_time`); without the provider, when the sign-in began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// The provider's authentication context class (`acr`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// The methods that the provider names (`amr`, RFC 8176).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
}

/// By which way somebody signed in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// A one-time link.
    #[default]
    Link,
    /// An identity provider.
    Oidc,
    /// A machine with a token of a provider.
    Bot,
    /// A link that was made on the server itself, with a reason, while nothing else worked.
    BreakGlass,
}

impl Method {
    /// As events name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Oidc => "oidc",
            Self::Bot => "bot",
            Self::BreakGlass => "break_glass",
        }
    }
}

/// Who gave a label. Rules match only the first two unless a role says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Fixed by the join token.
    Token,
    /// Set by an administrator.
    Authority,
    /// The agent's own word.
    Agent,
}

/// A label's value and its origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LabelValue {
    /// The value.
    pub value: String,
    /// Who gave it.
    pub origin: Origin,
}

/// Labels of a target. A key of a stronger origin hides the same key of the agent's.
pub type Labels = BTreeMap<String, LabelValue>;

/// An SSH target as `decide` sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFacts {
    /// Its name.
    pub name: NodeName,
    /// Its labels.
    pub labels: Labels,
    /// The agent that serves it, where one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
}

/// A Kubernetes target as `decide` sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterFacts {
    /// Its name.
    pub name: ResourceName,
    /// Its labels.
    pub labels: Labels,
    /// The agent that serves it, where one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
}
