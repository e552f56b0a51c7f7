//! What every event has around its facts: who, from where, to what, in which session, and how it ended. No kind of event lives here.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::identity::{Identity, Labels};
use crate::words::{AgentId, Login, RoleName, SessionId};

/// As in the envelope; ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words say it")]
pub enum Severity {
    Debug,
    Info,
    Notice,
    Warning,
    Critical,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    /// In one word.
    pub result: OutcomeResult,
    /// A stable code such as `NARU-P201`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The exit code of what ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<i32>,
    /// One sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Outcome {
    /// It worked.
    pub fn success() -> Self {
        Self { result: OutcomeResult::Success, code: None, exit: None, message: None }
    }
    /// We said no.
    pub fn denied(code: &str, message: impl Into<String>) -> Self {
        Self { result: OutcomeResult::Denied, code: Some(code.to_owned()), exit: None, message: Some(message.into()) }
    }
    /// The world said no.
    pub fn failed(code: &str, message: impl Into<String>) -> Self {
        Self { result: OutcomeResult::Failed, code: Some(code.to_owned()), exit: None, message: Some(message.into()) }
    }
}

/// `denied` is our decision, `failed` is the world's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words say it")]
pub enum OutcomeResult {
    Success,
    Denied,
    Failed,
    Unknown,
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Actor {
    /// What kind of being.
    pub kind: ActorKind,
    /// `issuer|subject` of a user, the id of an agent, empty for nobody.
    pub id: String,
    /// The handle, as people know it.
    pub name: String,
    /// Roles at that moment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<RoleName>,
}

impl Actor {
    /// A person.
    pub fn user(identity: &Identity) -> Self {
        Self { kind: ActorKind::User, id: identity.user.to_string(), name: identity.name.to_string(), roles: identity.roles.clone() }
    }
    /// An agent.
    pub fn agent(id: &AgentId) -> Self {
        Self { kind: ActorKind::Agent, id: id.to_string(), name: id.to_string(), roles: Vec::new() }
    }
    /// Naru itself.
    pub fn system() -> Self {
        Self { kind: ActorKind::System, id: "naru".to_owned(), name: "naru".to_owned(), roles: Vec::new() }
    }
    /// Nobody that we know.
    pub fn anonymous() -> Self {
        Self { kind: ActorKind::Anonymous, id: String::new(), name: String::new(), roles: Vec::new() }
    }
}

/// What kind of being acted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words say it")]
pub enum ActorKind {
    User,
    Bot,
    Agent,
    Service,
    System,
    Anonymous,
}

/// From where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Client {
    /// The address that connected.
    pub ip: IpAddr,
    /// Its port.
    pub port: u16,
    /// What the program calls itself, cut to 256 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// What the program calls this run of itself, such as a pipeline's id; cut to 128 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
}

/// To what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Target {
    /// What kind.
    pub kind: TargetKind,
    /// Its name, or what was asked for where no such thing exists.
    pub name: String,
    /// Its labels with their origin.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// The agent that serves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<AgentId>,
    /// The account there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<Login>,
}

/// What kind of target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words say it")]
pub enum TargetKind {
    Ssh,
    Kube,
    Tcp,
    Naru,
}

/// In which session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionRef {
    /// The session.
    pub id: SessionId,
    /// What kind.
    pub kind: SessionKind,
    /// Which client connection carried it: channels of one SSH connection share it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// Milliseconds since the session began: a link into the replay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset_ms: Option<u64>,
}

/// What kind of session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words say it")]
pub enum SessionKind {
    Shell,
    Exec,
    Sftp,
}

impl SessionKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Shell, Self::Exec, Self::Sftp];

    /// As written in policies and events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shell => "shell",
            Self::Exec => "exec",
            Self::Sftp => "sftp",
        }
    }
}

/// Why it was allowed or denied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccessRef {
    /// `allow` or `deny`.
    pub decision: Decision,
    /// The rule that decided: `role/allow.ssh[0]`, or `default` where none matched.
    pub rule: String,
    /// Hash of the policy that decided, so that it can be found again.
    pub policy: String,
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words say it")]
pub enum Decision {
    Allow,
    Deny,
}
