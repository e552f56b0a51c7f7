//! Every event kind of the audit log, one enum: the envelope `naru.event/v1` without what the log adds
//! (`v`, `id`, `stream`, `seq`, `prev`, `hash`, `logged_time`). No I/O; the recorder writes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod envelope;
mod parts;

pub use envelope::{
    AccessRef, Actor, ActorKind, Client, Decision, Outcome, OutcomeResult, SessionKind, SessionRef, Severity, Target, TargetKind,
};
pub use parts::{Damage, FieldChange, FieldChanges, Lost, RequestFacts, Text};

use crate::time::Timestamp;
use crate::words::{RequestId, RoleName};

/// Something that happened. Serialises as the envelope's fields `time`, `severity`, `outcome`, `actor`, `client`, `target`, `session`, `access`, `type`, `data`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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

/// What happened, with the facts that only this kind has. The names are the closed list of the published schema.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
        /// Why, in the person's own words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Text>,
        /// The access request without which it would have been refused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<RequestId>,
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
    /// A join token, a sign-in link or an access token was made.
    #[serde(rename = "token.created")]
    TokenCreated {
        /// `node`, `login_link`, `break_glass`, `access`.
        kind: String,
        /// Its public id.
        id: String,
        /// When it ends.
        expires: Timestamp,
        /// The thumbprint (RFC 7638) of the key that it is bound to, where it is to one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
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
        /// What became other of it; never a secret.
        #[serde(default, skip_serializing_if = "FieldChanges::is_empty")]
        diff: FieldChanges,
    },
    /// A lock was made: it holds from here on. The lock is in here whole, so that it outlives a store that is older than the log.
    #[serde(rename = "lock.created")]
    LockCreated {
        /// Its name.
        lock: String,
        /// Whom or what it keeps out: `user/kim`.
        target: String,
        /// The resource as stored.
        resource: serde_json::Value,
    },
    /// A lock was removed.
    #[serde(rename = "lock.removed")]
    LockRemoved {
        /// Its name.
        lock: String,
        /// Whom or what it kept out.
        target: String,
    },
    /// Somebody asked for access.
    #[serde(rename = "request.created")]
    RequestCreated(RequestFacts),
    /// Somebody, or the rule itself, said yes to a request.
    #[serde(rename = "request.approved")]
    RequestApproved(RequestFacts),
    /// Somebody, or the rule itself, said no to a request.
    #[serde(rename = "request.denied")]
    RequestDenied(RequestFacts),
    /// A request waited too long, or its time is over.
    #[serde(rename = "request.expired")]
    RequestExpired(RequestFacts),
    /// A request was taken back.
    #[serde(rename = "request.revoked")]
    RequestRevoked(RequestFacts),
    /// A session was opened by a request.
    #[serde(rename = "request.used")]
    RequestUsed(RequestFacts),
    /// A role that is tried out would have said no.
    #[serde(rename = "access.would_deny")]
    AccessWouldDeny {
        /// The rule.
        rule: String,
        /// What it would have said.
        sentence: String,
    },
    /// A condition could not be answered: an allow with it gave nothing, a deny with it denied.
    #[serde(rename = "access.condition_failed")]
    ConditionFailed {
        /// The rule.
        rule: String,
        /// Why.
        cause: String,
    },
    /// A person made their session longer.
    #[serde(rename = "session.extended")]
    SessionExtended {
        /// By how many seconds.
        by_s: u64,
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
    /// The rules in force could not be compared with the store for too long: nothing new is admitted.
    #[serde(rename = "view.stale")]
    ViewStale {
        /// Why.
        cause: String,
    },
    /// They could again.
    #[serde(rename = "view.fresh")]
    ViewFresh {
        /// How long nothing was admitted, in milliseconds.
        stale_ms: u64,
    },
    /// The server shows another certificate.
    #[serde(rename = "certificate.changed")]
    CertificateChanged {
        /// Where it is from: `file`, `acme`, `own`.
        source: String,
        /// For which names, the first hundred.
        names: Vec<String>,
        /// Its serial, hex.
        serial: String,
        /// When it ends.
        expires: Timestamp,
    },
    /// A new certificate of the server could not be had; the one before goes on.
    #[serde(rename = "certificate.failed")]
    CertificateFailed {
        /// As in `certificate.changed`.
        source: String,
        /// Why.
        cause: String,
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
    pub const TYPES: [&str; 53] = [
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
        "lock.created",
        "lock.removed",
        "request.created",
        "request.approved",
        "request.denied",
        "request.expired",
        "request.revoked",
        "request.used",
        "access.would_deny",
        "access.condition_failed",
        "session.extended",
        "sink.failed",
        "sink.recovered",
        "store.restored",
        "audit.gap",
        "view.stale",
        "view.fresh",
        "certificate.changed",
        "certificate.failed",
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
            | Self::SinkFailed { .. }
            | Self::BackupMade { .. }
            | Self::CertificateFailed { .. } => Severity::Warning,
            Self::Login { method, .. } if method == "break_glass" => Severity::Critical,
            Self::BreakGlass { .. } | Self::LockCreated { .. } => Severity::Critical,
            Self::ConditionFailed { .. } | Self::AccessWouldDeny { .. } => Severity::Warning,
            Self::RequestCreated(_)
            | Self::RequestApproved(_)
            | Self::RequestDenied(_)
            | Self::RequestExpired(_)
            | Self::RequestRevoked(_)
            | Self::RequestUsed(_)
            | Self::LockRemoved { .. }
            | Self::SessionExtended { .. } => Severity::Notice,
            // The role says so: it is to be seen, and nothing is broken.
            Self::RecordingLost { cause } if cause == Lost::MAX_OUTPUT => Severity::Warning,
            Self::RecordingLost { .. } | Self::AuditGap { .. } | Self::StoreRestored { .. } | Self::ViewStale { .. } => Severity::Critical,
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
            | Self::SinkRecovered { .. }
            | Self::ViewFresh { .. }
            | Self::CertificateChanged { .. } => Severity::Notice,
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
            What::SessionStart {
                command: Some(Text::of(b"echo \xff")),
                terminal: Some((80, 24)),
                recording: "strict".into(),
                reason: None,
                request: None,
            },
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
