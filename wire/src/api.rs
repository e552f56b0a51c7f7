//! The HTTP API `/v1` as types: what client, agent, web and Terraform say to a proxy, and what it answers. No behaviour.
//!
//! HTTPS and JSON. A person or an agent is known by the X.509 client certificate of the TLS connection, a person also by an
//! [`AccessToken`]; `POST /v1/sign-in/link`, `POST /v1/join` and `GET /v1/ca` need none. Requests refuse unknown fields, answers may grow. Every answer that is not 2xx is a
//! [`Problem`] of type `application/problem+json`. Names in answers are parsed words of `access`, so a hostile answer is refused
//! while it is read. Lists come as pages, and what a `watch` sends as messages: see [`watch`]. Which route takes and gives what is in
//! `proxy`'s table of routes, and for everybody in `docs/openapi.json`.

use std::collections::BTreeMap;

use ::access::event::{Lost, SessionKind};
use ::access::identity::Origin;
use ::access::time::Timestamp;
use ::access::words::{AgentId, InstallId, Login, NodeName, ResourceName, SessionId, UserName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::frames::Size;

mod access;
mod ask;
mod sign_in;
mod tokens;
pub mod watch;

pub use self::access::{
    AccessQuery, AccessRow, Can, CanAnswer, CanForward, CanKubernetes, CanSsh, Decide, DecisionRow, Diff, DiffAsk, DiffChange, DiffLine,
    Extend, Extended, Forbidden, NewRequest, Page, RequestQuery, RequestRow, RequestState, RequestWait,
};
pub use ask::{IDEMPOTENCY_KEY, IDEMPOTENT_KEPT, IDEMPOTENT_REPLAYED, PageQuery, ResourceQuery};
pub use sign_in::{
    Begin, Begun, BotSignIn, Check, CheckState, ConnectorReport, ConnectorRow, Finish, Finished, Given, LoginFacts, SignIn, SignOut,
    SignedIn, SignedOut, Status,
};
pub use tokens::{ACCESS_TOKEN, AccessToken, AccessTokenType, BotSignedIn, BotWants, NewAccessToken};

/// The media type of a [`Problem`].
pub const PROBLEM: &str = "application/problem+json";
/// The WebSocket subprotocol of `GET /v1/ssh`.
pub const FRAMES: &str = "naru-frames/1";

/// An error as everybody sees it (RFC 9457, with our members): one sentence, its cause, what to do next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// Stable, `NARU-P201`.
    pub code: String,
    /// One sentence.
    pub title: String,
    /// The cause, where there is more to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The access request that would help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<Box<::access::decide::Offer>>,
    /// Fields that are wrong, each by its place (RFC 6901).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldFault>,
    /// The exit code of a command that fails for this; see [`exit`].
    #[serde(default = "exit::failed")]
    pub exit: u8,
}

/// A field that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the words say it")]
pub struct FieldFault {
    /// `role`, `user` …, where the fault is in a resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The resource's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A JSON pointer (RFC 6901) into the resource or the request.
    pub pointer: String,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// Exit codes that scripts lean on.
pub mod exit {
    /// It worked.
    pub const OK: u8 = 0;
    /// It failed.
    pub const FAILED: u8 = 1;
    /// The words of the command are wrong.
    pub const USAGE: u8 = 2;
    /// Not signed in, or not any more.
    pub const NOT_SIGNED_IN: u8 = 3;
    /// The policy says no.
    pub const DENIED: u8 = 4;
    /// There is no such thing, or none that may be seen.
    pub const NOT_FOUND: u8 = 5;
    /// An access request would lift it.
    pub const NEEDS_APPROVAL: u8 = 6;
    /// The server or the node cannot be reached.
    pub const CANNOT_REACH: u8 = 7;
    /// Somebody else changed it first, or the name is taken.
    pub const CONFLICT: u8 = 8;
    /// A lock says no.
    pub const LOCKED: u8 = 9;
    /// Something stored was changed or is missing.
    pub const VERIFY_FAILED: u8 = 10;
    /// Ctrl-C.
    pub const INTERRUPTED: u8 = 130;
    /// `ssh` and `exec`: our own transport.
    pub const TRANSPORT: u8 = 255;

    pub(super) fn failed() -> u8 {
        FAILED
    }
}

/// A list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the word says it")]
#[schemars(rename = "ItemsOf{T}")]
pub struct Items<T> {
    pub items: Vec<T>,
}

/// It was done, and there is nothing to say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Done {}

/// What anybody may know of an install.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ca {
    /// The X.509 root.
    pub ca_pem: String,
    /// Its pin, see [`crate::link::Pin`].
    pub pin: String,
    /// The key that signs host certificates.
    pub ssh_host_ca: String,
    /// The key that signs user certificates.
    pub ssh_user_ca: String,
    /// The key that signs the audit log and the recordings, as `naru audit verify --key` takes it.
    #[serde(default)]
    pub audit_key: String,
    /// Names that the server's certificate carries.
    pub server_names: Vec<String>,
}

/// Which nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeQuery {
    /// Every node, for whoever may administer nodes; else those that the caller may reach.
    #[serde(default)]
    pub all: bool,
    /// At most this many; 1,000 where absent, 5,000 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Where the page before ended: its `next`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// A node that the caller may reach, or administers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeRow {
    /// Its name.
    pub name: NodeName,
    /// Sorted by key.
    pub labels: Vec<LabelRow>,
    /// The logins that `decide` allows the caller.
    pub logins: Vec<Login>,
    /// Whether its agent hangs on.
    pub connected: bool,
    /// The agent that serves it.
    pub agent_id: AgentId,
    /// What the agent runs.
    pub version: String,
    /// When it joined: for who administers nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joined: Option<Timestamp>,
    /// When its agent was last there, where that is known: for who administers nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
}

/// One label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the words say it")]
pub struct LabelRow {
    pub key: String,
    pub value: String,
    pub origin: Origin,
}

/// Which sessions, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionQuery {
    /// Only those that go on, or only those that ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<bool>,
    /// Only of this person's handle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserName>,
    /// Only on this node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
    /// Only those that began at or after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Most rows; 100 when absent, 1,000 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Only those older than this one: the last row of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<SessionId>,
    /// Those that go on as messages, then each that begins or ends: see [`watch`].
    #[serde(default)]
    pub watch: bool,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionRow {
    /// Its id.
    pub id: SessionId,
    /// Whose: the handle.
    pub user: UserName,
    /// Where.
    pub node: NodeName,
    /// As which login.
    pub login: Login,
    /// What kind.
    pub kind: SessionKind,
    /// The command; absent for a shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Channels of one SSH connection share it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// Why, as in `session.end`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The exit code of what ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<u8>,
    /// The signal that ended what ran, without `SIG`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// Bytes of output recorded so far.
    pub output_bytes: u64,
    /// Output that the recording does not have; absent where it is whole.
    #[serde(default, skip_serializing_if = "Lost::is_nothing")]
    pub lost: Lost,
    /// `strict`, `best_effort`, `off`.
    pub recording: String,
    /// Whether it goes on.
    pub live: bool,
}

/// Ends a live session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Kill {
    /// Said to the user and in the log; at most 500 characters.
    pub reason: String,
}

/// How a recording is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CastQuery {
    /// Go on until the session ends.
    #[serde(default)]
    pub follow: bool,
    /// What for, so that the log says it.
    #[serde(default)]
    pub purpose: Purpose,
}

/// Why a recording is read: it needs a right of its own, and the event says it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words say it")]
pub enum Purpose {
    #[default]
    Play,
    Text,
    Watch,
    ExportCast,
    ExportTxt,
}

/// What a check of stored data found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verified {
    /// Nothing is missing or changed.
    pub ok: bool,
    /// The key came from elsewhere than the data.
    pub trusted: bool,
    /// Events that HEAD covers, where a log was checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<u64>,
    /// Well-chained lines after HEAD.
    #[serde(default)]
    pub unsigned_tail: u64,
    /// The session still goes on.
    #[serde(default)]
    pub open: bool,
    /// Output that was never recorded, where one recording was checked: what is stored may be whole all the same.
    #[serde(default, skip_serializing_if = "Lost::is_nothing")]
    pub lost: Lost,
    /// Fingerprint of the key that was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Every fault with its place.
    pub faults: Vec<VerifyFault>,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VerifyFault {
    /// Below the state directory.
    pub file: String,
    /// Line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Byte, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// What is wrong, in a word or a sentence.
    pub kind: String,
}

/// Which events, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventQuery {
    /// Go on as they happen.
    #[serde(default)]
    pub follow: bool,
    /// Only those with a higher `seq`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// `session.start`, or `session.*`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Only of this actor's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Only to this target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Only of this session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// Only at or after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Only before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Only those whose line contains this, upper and lower case alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The last this many of what matches; all when absent. With `follow`, what comes later is not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Writes resources, all or none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Apply {
    /// `{kind, name, spec}` each.
    #[schemars(with = "Vec<::access::policy::Stated>")]
    pub resources: Vec<serde_json::Value>,
    /// Only say what would change.
    #[serde(default)]
    pub dry_run: bool,
    /// The change may take the caller's own right to undo it.
    #[serde(default)]
    pub allow_self_lockout: bool,
    /// Who keeps these, such as the address of a repository: shown, and asked about before they are edited elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_by: Option<String>,
}

/// What [`Apply`] or a deletion did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the word says it")]
pub struct Applied {
    pub items: Vec<AppliedItem>,
}

/// One resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the words say it")]
pub struct AppliedItem {
    pub kind: String,
    pub name: String,
    pub change: Change,
    /// What to do with it next: for a connector the address of a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What became of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words say it")]
pub enum Change {
    Created,
    Changed,
    Unchanged,
    Deleted,
}

/// Makes a join token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What may join with it.
    pub kind: TokenKind,
    /// The node's name, or a pattern with `*`.
    pub node: String,
    /// Labels that the token fixes.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Seconds that it lives.
    pub ttl_s: u64,
    /// It may take a name that is taken.
    #[serde(default)]
    pub replace: bool,
    /// The join token resource that says what may join: `node` and `labels` are empty then, and `ttl_s` is 0 for as long as it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<ResourceName>,
    /// With `from`, how often it can be used by different machines; as the resource says where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
}

/// What joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the word says it")]
pub enum TokenKind {
    Node,
}

/// A join token: shown once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Token {
    /// The secret.
    pub token: String,
    /// Its public id.
    pub id: String,
    /// When it ends.
    pub expires: Timestamp,
    /// The line to run on the host.
    pub join: String,
}

/// Makes a one-time sign-in link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLink {
    /// For whom.
    pub user: UserName,
    /// Seconds that it lives; as the server's settings say when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<u64>,
}

/// A sign-in link: shown once. See [`crate::link::SignInLink`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Link {
    /// The whole link.
    pub link: String,
    /// Its public id.
    #[serde(default)]
    pub id: String,
    /// For whom.
    pub user: UserName,
    /// When it ends.
    pub expires: Timestamp,
}

/// A join token or a sign-in link that can be used, or was, and has not expired. Never the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretRow {
    /// Its public id.
    pub id: String,
    /// Whom a link signs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserName>,
    /// The name, or pattern of names, that a token lets join.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Labels that a token fixes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Whether a token may take a name that is taken.
    #[serde(default)]
    pub replace: bool,
    /// Who made it; absent for what the server made itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<UserName>,
    /// When it ends.
    pub expires: Timestamp,
    /// Whether it was used: it works once. With `from`, whether no machine more may use it.
    pub used: bool,
    /// The node that joined with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_for: Option<NodeName>,
    /// The join token resource that says what may join with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<ResourceName>,
    /// With `from`, how many machines used it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
    /// With `from`, how many more may, as the resource is now; none where that is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses_left: Option<u32>,
}

/// An agent's first word.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// The join token.
    pub token: String,
    /// PKCS#10; only its key counts. The same key may redeem the token again.
    pub csr_pem: String,
    /// The name that the host wants, where the token has a pattern.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
    /// The agent's own labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What it runs.
    pub version: String,
}

/// The answer to [`Join`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the words say it")]
pub struct Joined {
    pub agent_id: AgentId,
    pub node: NodeName,
    /// The leaf first, without the root.
    pub x509_chain_pem: String,
    pub ca_pem: String,
    pub install: InstallId,
}

/// Asks for a new certificate of the calling agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Renew {
    /// PKCS#10; only its key counts.
    pub csr_pem: String,
}

/// The answer to [`Renew`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Renewed {
    /// The leaf first, without the root.
    pub x509_chain_pem: String,
}

/// First message on `GET /v1/ssh`, as text; [`Opened`] or [`Problem`] answers it as text.
///
/// Then only binary messages, each of whole [`crate::frames::Frame`]s. The proxy plays the holder's part: it sends `Output`,
/// `OutputEof`, `Acked` and at last `Exit`, then closes. The client sends `Input`, `InputEof`, `Resize` and `Signal` with one
/// sequence from 1, at most [`crate::frames::INPUT_WINDOW`] unacknowledged, and `End` to hang up. There is no `Attach`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenSession {
    /// Where to.
    pub node: NodeName,
    /// As which login; when absent the only one that is allowed, else `local_user` if that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<Login>,
    /// The name of the account on the laptop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_user: Option<String>,
    /// For the login's shell; absent for a shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// A terminal, where one is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pty: Option<Pty>,
    /// Only what the target's allow-list lets through counts.
    #[serde(default)]
    pub env: Vec<(String, String)>,
    /// Why, where a role demands to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the words say it")]
pub struct Pty {
    /// `$TERM`.
    pub term: String,
    pub size: Size,
}

/// The session waits until its person has shown anew who they are; [`Opened`] or a [`Problem`] follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepUpAsked {
    /// What is demanded, in a sentence.
    pub step_up: String,
    /// What a browser is to open.
    pub browse: String,
    /// What the page will show too.
    pub code: String,
}

/// Something that the person is to read while the session goes on, as text between the frames.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionNote {
    /// A sentence.
    pub note: String,
}

/// The session is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Opened {
    /// Its id.
    pub session: SessionId,
    /// The login that it runs as.
    pub login: Login,
    /// What the role wants people to read first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
}

macro_rules! hide {
    ($($name:ident { $($shown:ident),* }),*) => {$(
        impl std::fmt::Debug for $name {
            /// Without the secret.
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name))$(.field(stringify!($shown), &self.$shown))*.finish_non_exhaustive()
            }
        }
    )*};
}

hide!(SignIn { ssh_public_key }, Token { id, expires }, Link { user, expires }, Join { node, labels, version });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_refuse_what_they_do_not_know_and_answers_grow() {
        let more = r#"{"node":"demo","login":"root","sudo":true}"#;
        assert!(serde_json::from_str::<Can>(more).is_err());
        let problem: Problem = serde_json::from_str(r#"{"code":"NARU-X1","title":"No.","status":500}"#).expect("answers may grow");
        assert_eq!((problem.exit, problem.hint), (exit::FAILED, None));
    }

    #[test]
    fn a_hostile_name_in_an_answer_is_refused() {
        let row = |name: &str| serde_json::json!({"name": name, "labels": [], "logins": [], "connected": true, "agent_id": "a-1", "version": "0"});
        assert!(serde_json::from_value::<NodeRow>(row("demo")).is_ok());
        assert!(serde_json::from_value::<NodeRow>(row("demo\nProxyCommand sh")).is_err());
    }

    #[test]
    fn secrets_do_not_print() {
        let token =
            Token { token: "s3cret".into(), id: "t1".into(), expires: Timestamp::from_secs(0), join: "naru agent join s3cret".into() };
        assert!(!format!("{token:?}").contains("s3cret"));
    }
}
