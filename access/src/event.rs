//! Every event kind of the audit log, one enum: the envelope `naru.event/v1` without what the log adds
//! (`v`, `id`, `stream`, `seq`, `prev`, `hash`, `logged_time`). No I/O; the recorder writes.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

mod parts;

pub use parts::{Damage, Lost, Text};

use crate::identity::{Identity, Labels};
use crate::time::Timestamp;
use crate::words::{AgentId, Login, RoleName, SessionId};

/// Something that happened. Serialises as the envelope's fields `time`, `severity`, `outcome`, `actor`, `client`, `target`, `session`, `access`, `type`, `data`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When it happened.
    pub time: Timestamp,
    /// How much it matters; from the kind, see [`What::severity`].
    pub severity: Severity,
    /// How it ended.
    pub outcome: Outcome,
    /// Who did it.
    pub actor: Actor,
    /// From where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Client>,
    /// To what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// In which session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionRef>,
    /// Why it was allowed or denied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<AccessRef>,
    /// What it was.
    #[serde(flatten)]
    pub what: What,
}

impl Event {
    /// A successful event with nothing but the needed; the rest is set by the `with` calls or the fields.
    pub fn new(time: Timestamp, actor: Actor, what: What) -> Self {
        Self {
            time,
            severity: what.severity(),
            outcome: Outcome::success(),
            actor,
            client: None,
            target: None,
            session: None,
            access: None,
            what,
        }
    }
}

/// As in the envelope; ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words say it")]
pub enum OutcomeResult {
    Success,
    Denied,
    Failed,
    Unknown,
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// The address that connected.
    pub ip: IpAddr,
    /// Its port.
    pub port: u16,
    /// What the program calls itself, cut to 256 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
}

/// To what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words say it")]
pub enum TargetKind {
    Ssh,
    Kube,
    Tcp,
    Naru,
}

/// In which session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRef {
    /// `allow` or `deny`.
    pub decision: Decision,
    /// The rule that decided: `role/allow[0]`, or `default` where none matched.
    pub rule: String,
    /// Hash of the policy that decided, so that it can be found again.
    pub policy: String,
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words say it")]
pub enum Decision {
    Allow,
    Deny,
}

/// What happened, with the facts that only this kind has. The names are the closed list of the published schema.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum What {
    /// A proxy began to serve: a boot.
    #[serde(rename = "server.started")]
    ServerStarted {
        /// The version of Naru.
        version: String,
        /// Which boot of this stream, from 1.
        boot: u64,
    },
    /// A proxy ended in order.
    #[serde(rename = "server.stopped")]
    ServerStopped {},
    /// A person signed in.
    #[serde(rename = "auth.login")]
    Login {
        /// How: `link`, `oidc`, `bot`, `break_glass`.
        method: String,
        /// The identity provider's connector.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        connector: Option<String>,
        /// By which way: `browser`, `device`, `headless`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        flow: Option<String>,
    },
    /// A sign-in was refused.
    #[serde(rename = "auth.login.failed")]
    LoginFailed {
        /// How it was tried.
        method: String,
    },
    /// A person signed out.
    #[serde(rename = "auth.logout")]
    Logout {},
    /// A login ended without its person's doing: by the provider, by an administrator of it, or for another login.
    #[serde(rename = "auth.ended")]
    LoginEnded {
        /// Why, in a word: `provider`, `backchannel`, `outage`, `crowded`, `connector`, `removed`.
        cause: String,
        /// The provider's session, where it has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sid: Option<String>,
    },
    /// What the provider says of a person has changed their roles.
    #[serde(rename = "auth.changed")]
    LoginChanged {
        /// Roles that came.
        gained: Vec<RoleName>,
        /// Roles that went.
        lost: Vec<RoleName>,
    },
    /// A provider's word that somebody signed out was not believed.
    #[serde(rename = "auth.logout.refused")]
    LogoutRefused {
        /// For which connector it came.
        connector: String,
    },
    /// A person showed anew who they are, for a session that demands it.
    #[serde(rename = "auth.step_up")]
    SteppedUp {
        /// The provider's class of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        acr: Option<String>,
    },
    /// A break-glass link was made on the server.
    #[serde(rename = "auth.break_glass")]
    BreakGlass {
        /// For whom.
        user: String,
        /// What was said.
        reason: String,
        /// The link's public id.
        id: String,
        /// When it ends.
        expires: Timestamp,
    },
    /// An identity provider cannot be asked.
    #[serde(rename = "provider.failed")]
    ProviderFailed {
        /// Its connector.
        connector: String,
        /// Why.
        cause: String,
    },
    /// An identity provider answers again.
    #[serde(rename = "provider.recovered")]
    ProviderRecovered {
        /// Its connector.
        connector: String,
    },
    /// A certificate was signed.
    #[serde(rename = "cert.issued")]
    CertIssued {
        /// `ssh_user`, `x509_user`, `x509_agent`, `x509_server`.
        kind: String,
        /// Its serial, hex.
        serial: String,
        /// When it ends.
        expires: Timestamp,
        /// SHA-256 of the public key, `SHA256:…`.
        key: String,
    },
    /// An agent renewed its certificate.
    #[serde(rename = "cert.renewed")]
    CertRenewed {
        /// Its serial, hex.
        serial: String,
        /// When it ends.
        expires: Timestamp,
    },
    /// `decide` said no.
    #[serde(rename = "access.denied")]
    AccessDenied {
        /// What was asked, in words.
        asked: String,
    },
    /// A channel or request that Naru does not carry was refused.
    #[serde(rename = "ssh.refused")]
    SshRefused {
        /// What was asked: `direct-tcpip`, `x11-req`, `subsystem netconf` …
        asked: String,
    },
    /// A session began.
    #[serde(rename = "session.start")]
    SessionStart {
        /// The command; absent for a shell. Cut, see [`Text`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        command: Option<Text>,
        /// Columns and rows of the terminal, where there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        terminal: Option<(u16, u16)>,
        /// `strict`, `best_effort`, `off`.
        recording: String,
    },
    /// A session ended.
    #[serde(rename = "session.end")]
    SessionEnd {
        /// Why, in a word: `exit`, `signal`, `killed`, `idle`, `limit`, `denied`, `recording_failed`, `target_lost`, `client_left`, `proxy_lost`.
        reason: String,
        /// Bytes of output that were recorded.
        output_bytes: u64,
        /// Bytes of input.
        input_bytes: u64,
        /// Length in milliseconds.
        duration_ms: u64,
        /// blake3 of the signed manifest as stored, hex: binds the recording to this log.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        manifest: Option<String>,
        /// Why the recording is still to be closed, where it could not be yet: `recording.closed` follows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        closing: Option<String>,
        /// Output that the recording does not have; absent where it is whole.
        #[serde(default, skip_serializing_if = "Lost::is_nothing")]
        lost: Lost,
    },
    /// The recording of a session that had ended before is stored and signed now.
    #[serde(rename = "recording.closed")]
    RecordingClosed {
        /// Bytes of output that were recorded.
        output_bytes: u64,
        /// As in `session.end`.
        manifest: String,
        /// As in `session.end`.
        #[serde(default, skip_serializing_if = "Lost::is_nothing")]
        lost: Lost,
    },
    /// A person made a session end.
    #[serde(rename = "session.terminated")]
    SessionTerminated {
        /// What was said.
        reason: String,
    },
    /// The proxy lost its target's agent and waits, or has it back.
    #[serde(rename = "session.resumed")]
    SessionResumed {
        /// How long the target was away, in milliseconds.
        away_ms: u64,
        /// The fencing number of the new attachment.
        fence: u64,
    },
    /// Somebody watches or read a recording.
    #[serde(rename = "recording.viewed")]
    RecordingViewed {
        /// `play`, `watch`, `text`.
        how: String,
    },
    /// Somebody took a recording away.
    #[serde(rename = "recording.exported")]
    RecordingExported {
        /// `cast`, `txt`.
        format: String,
    },
    /// Output begins to go by unrecorded, as the role allows.
    #[serde(rename = "recording.lost")]
    RecordingLost {
        /// Why: [`Lost::MAX_OUTPUT`], or what went wrong.
        cause: String,
    },
    /// A join token or a sign-in link was made.
    #[serde(rename = "token.created")]
    TokenCreated {
        /// `node`, `login_link`, `break_glass`.
        kind: String,
        /// Its public id.
        id: String,
        /// When it ends.
        expires: Timestamp,
    },
    /// A join token or a sign-in link was used.
    #[serde(rename = "token.used")]
    TokenUsed {
        /// `node`, `login_link`.
        kind: String,
        /// Its public id.
        id: String,
    },
    /// A join token or a sign-in link was removed: it cannot be used any more.
    #[serde(rename = "token.removed")]
    TokenRemoved {
        /// `node`, `login_link`.
        kind: String,
        /// Its public id.
        id: String,
    },
    /// An agent joined.
    #[serde(rename = "agent.joined")]
    AgentJoined {
        /// The node that it serves.
        node: String,
        /// What it runs.
        version: String,
    },
    /// Joining was refused.
    #[serde(rename = "agent.refused")]
    AgentRefused {
        /// Why.
        cause: String,
    },
    /// An agent's tunnel is there.
    #[serde(rename = "agent.connected")]
    AgentConnected {
        /// What it runs.
        version: String,
    },
    /// An agent has no tunnel any more.
    #[serde(rename = "agent.left")]
    AgentLeft {
        /// Why.
        cause: String,
    },
    /// A node was removed: its agent's certificate counts for nothing any more.
    #[serde(rename = "agent.removed")]
    AgentRemoved {
        /// The node that it served.
        node: String,
    },
    /// A resource was written or deleted.
    #[serde(rename = "policy.changed")]
    PolicyChanged {
        /// `role`, `user`.
        kind: String,
        /// Its name.
        name: String,
        /// `created`, `changed`, `deleted`.
        change: String,
        /// Hash of the policy after it.
        policy: String,
    },
    /// A sink cannot deliver.
    #[serde(rename = "sink.failed")]
    SinkFailed {
        /// Its name.
        sink: String,
        /// Why.
        cause: String,
    },
    /// A sink delivers again.
    #[serde(rename = "sink.recovered")]
    SinkRecovered {
        /// Its name.
        sink: String,
        /// How many events waited.
        behind: u64,
    },
    /// A store that is older than HEAD says is in use, by a restore or because an administrator accepted it. What was ended and used up
    /// since then stays so; where the log cannot say what that is, all sign-ins were ended and all one-time secrets used up.
    #[serde(rename = "store.restored")]
    StoreRestored {
        /// The revision that was found.
        found: u64,
        /// The revision that HEAD named.
        expected: u64,
        /// Sign-ins that were ended.
        sign_ins: u64,
        /// Join tokens and sign-in links that were used up.
        secrets: u64,
        /// When the backup was made that was restored; absent where an older store was accepted as it lay there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        backup: Option<Timestamp>,
        /// What was revoked and used since then was read from the log. Without this, everything was ended and used up.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        by_log: bool,
        /// Nodes that had been removed or taken over since, and were removed again.
        #[serde(default, skip_serializing_if = "is_zero")]
        nodes: u64,
        /// Changes of roles, people and the like since the backup that are not in force, as far as the log has them.
        #[serde(default, skip_serializing_if = "is_zero")]
        changes: u64,
    },
    /// A start found that lines of the log were lost or torn.
    #[serde(rename = "audit.gap")]
    AuditGap {
        /// What was found.
        cause: String,
        /// Bytes set aside.
        bytes: u64,
        /// Recordings of live sessions are not as HEAD covered them. Without this, only what no HEAD covered was torn by a crash.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        damage: Option<Damage>,
    },
    /// A backup was made, with the keys of the install.
    #[serde(rename = "backup.made")]
    BackupMade {
        /// The account on the server that asked for it.
        uid: u32,
        /// The store's revision in it.
        revision: u64,
        /// Entries of the store in it.
        entries: u64,
    },
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl What {
    /// The name of every kind.
    pub const TYPES: [&str; 38] = [
        "server.started",
        "server.stopped",
        "auth.login",
        "auth.login.failed",
        "auth.logout",
        "auth.ended",
        "auth.changed",
        "auth.logout.refused",
        "auth.step_up",
        "auth.break_glass",
        "provider.failed",
        "provider.recovered",
        "cert.issued",
        "cert.renewed",
        "access.denied",
        "ssh.refused",
        "session.start",
        "session.end",
        "recording.closed",
        "session.terminated",
        "session.resumed",
        "recording.viewed",
        "recording.exported",
        "recording.lost",
        "token.created",
        "token.used",
        "token.removed",
        "agent.joined",
        "agent.refused",
        "agent.connected",
        "agent.left",
        "agent.removed",
        "policy.changed",
        "sink.failed",
        "sink.recovered",
        "store.restored",
        "audit.gap",
        "backup.made",
    ];

    /// How much this kind matters.
    pub fn severity(&self) -> Severity {
        match self {
            Self::AccessDenied { .. }
            | Self::SshRefused { .. }
            | Self::LoginFailed { .. }
            | Self::LogoutRefused { .. }
            | Self::ProviderFailed { .. }
            | Self::AgentRefused { .. }
            | Self::PolicyChanged { .. }
            | Self::BackupMade { .. }
            | Self::SinkFailed { .. } => Severity::Warning,
            Self::Login { method, .. } if method == "break_glass" => Severity::Critical,
            Self::BreakGlass { .. } => Severity::Critical,
            // The role says so: it is to be seen, and nothing is broken.
            Self::RecordingLost { cause } if cause == Lost::MAX_OUTPUT => Severity::Warning,
            Self::RecordingLost { .. } | Self::AuditGap { .. } | Self::StoreRestored { .. } => Severity::Critical,
            Self::SessionTerminated { .. }
            | Self::LoginEnded { .. }
            | Self::LoginChanged { .. }
            | Self::SteppedUp { .. }
            | Self::ProviderRecovered { .. }
            | Self::RecordingViewed { .. }
            | Self::RecordingExported { .. }
            | Self::TokenCreated { .. }
            | Self::TokenUsed { .. }
            | Self::TokenRemoved { .. }
            | Self::AgentJoined { .. }
            | Self::AgentRemoved { .. }
            | Self::SinkRecovered { .. } => Severity::Notice,
            _ => Severity::Info,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_in_the_list_of_names() {
        let source = include_str!("event.rs");
        let (_, kinds) = source.split_once("pub enum What {").expect("the enum");
        let (kinds, _) = kinds.split_once("\n}\n").expect("its end");
        let named: Vec<&str> = kinds.split("#[serde(rename = \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(named, What::TYPES);
    }

    #[test]
    fn an_event_reads_back_as_it_was_written() {
        let mut event = Event::new(
            Timestamp::from_secs(1),
            Actor::system(),
            What::SessionStart { command: Some(Text::of(b"echo \xff")), terminal: Some((80, 24)), recording: "strict".into() },
        );
        event.outcome = Outcome::denied("NARU-P201", "no");
        let json = serde_json::to_value(&event).expect("serialises");
        assert_eq!(json["type"], "session.start");
        assert_eq!(json["data"]["command"]["bytes"], 6);
        assert_eq!(serde_json::from_value::<Event>(json).expect("reads back"), event);
    }

    #[test]
    fn a_long_text_is_cut_between_characters_and_says_so() {
        let whole = "한".repeat(4000);
        let text = Text::of(whole.as_bytes());
        assert!(text.text.len() <= Text::CAP && whole.starts_with(&text.text));
        assert_eq!(text.bytes, Some(12000));
        assert_eq!(text.blake3.as_deref(), Some(blake3::hash(whole.as_bytes()).to_hex().as_str()));
    }
}
