//! Who may do what, as the API says it: dry runs, who reaches what, what a change would do, access requests, locks and longer sessions.

use std::net::IpAddr;

use access::amount::Period;
use access::decide::Offer;
use access::event::SessionKind;
use access::identity::{OnlyTarget, Reach};
use access::policy::KubeVerb;
use access::time::Timestamp;
use access::words::{Login, NodeName, RequestId, ResourceName, RoleName, UserName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Asks what would happen: `POST /v1/can`. Exactly one of `ssh`, `forward` and `kubernetes`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Can {
    /// A session on a node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh: Option<CanSsh>,
    /// A connection made from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward: Option<CanForward>,
    /// A request to a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<CanKubernetes>,
    /// Another person, for whoever may read users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_user: Option<UserName>,
    /// At another time than now, for whoever may read roles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// From another address than one's own; with `as_user` there is none where this is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
    /// With this reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A session, for [`Can`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the words say it")]
pub struct CanSsh {
    pub node: NodeName,
    pub login: Login,
    /// A shell where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<SessionKind>,
    /// Of an exec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// A forward, for [`Can`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the words say it")]
pub struct CanForward {
    pub node: NodeName,
    pub login: Login,
    pub host: String,
    pub port: u16,
}

/// A request to a cluster, for [`Can`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the words say it")]
pub struct CanKubernetes {
    pub cluster: ResourceName,
    pub verb: KubeVerb,
    /// Empty is the core group.
    #[serde(default)]
    pub api_group: String,
    /// With its subresource: `pods/log`.
    pub resource: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The answer of `decide`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CanAnswer {
    /// Yes or no.
    pub allowed: bool,
    /// The code of a denial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The rule that decided.
    pub rule: String,
    /// One sentence.
    pub sentence: String,
    /// What would have to change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The access request that would help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<Offer>,
    /// The request that it is allowed by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestId>,
    /// When time alone may make it another answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Of a cluster: as whom.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// What is told beside it: roles that are tried out, conditions that fail.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The exit code of `naru can`.
    #[serde(default)]
    pub exit: u8,
}

/// Who reaches what: `GET /v1/access`. One of `user` and `target`, for whoever may read users and roles; of oneself for everybody.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessQuery {
    /// What this person reaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserName>,
    /// Who reaches this: `node/db-1`, `cluster/seoul`; a name alone is a node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// At most this many rows; 1,000 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Where the page before ended: its `next`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// One person at one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the words say it")]
pub struct AccessRow {
    pub user: UserName,
    pub kind: Reach,
    pub target: String,
    /// Of a node: the logins. Of a cluster: the groups.
    pub r#as: Vec<String>,
    /// The roles that give it.
    pub roles: Vec<RoleName>,
    /// What a request gave, and until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// A page of a list: where there is more, `next` is what the next page begins after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the words say it")]
#[schemars(rename = "PageOf{T}")]
pub struct Page<T> {
    pub items: Vec<T>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Asks what changes would do: `POST /v1/access/diff`. For whoever may plan each kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiffAsk {
    /// What would be written or deleted, all together.
    pub changes: Vec<DiffChange>,
    /// At which time; now where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// From which address people come; where absent, from one that every role takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
    /// Most lines each way; 200 where absent. What is left out is counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<u32>,
}

/// One change, for [`DiffAsk`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiffChange {
    /// `role`, `user` …
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The whole resource as it would be; absent or null where it is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<access::policy::Stated>")]
    pub object: Option<serde_json::Value>,
}

/// Who gains and who loses what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Diff {
    /// What people would reach and do not.
    pub gains: Vec<DiffLine>,
    /// What people reach and would not.
    pub loses: Vec<DiffLine>,
    /// How many pairs of person, target and login or group, and of person and right, were gained altogether.
    pub gained: u64,
    /// The same of what was lost.
    pub lost: u64,
    /// Guardrails that it would break: the change would be refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forbidden: Vec<Forbidden>,
    /// What the change would take from whoever asks, in a sentence: it would be refused unless that is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub you: Option<String>,
    /// For which time and from where it holds, in a sentence.
    pub holds: String,
}

/// People, targets and what of them, as one line: `alice, bob and 41 more: ssh postgres on db-1 and 211 more (tier=db)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DiffLine {
    /// At most a few; `users_more` are left out.
    pub users: Vec<UserName>,
    /// How many more.
    #[serde(default)]
    pub users_more: u64,
    /// `ssh` or `kubernetes`; of rights that reach no target `administer`, `audit`, `review` or `request`.
    pub how: String,
    /// Logins or groups; of a right what it is about, as `role: write`.
    pub r#as: Vec<String>,
    /// At most a few; `targets_more` are left out.
    pub targets: Vec<String>,
    /// How many more.
    #[serde(default)]
    pub targets_more: u64,
    /// Labels that all these targets share, `key=value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// The same in words.
    pub text: String,
}

/// A guardrail that would be broken, and by whom and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Forbidden {
    /// Which.
    pub guardrail: ResourceName,
    /// By whom and where, each as one line.
    pub lines: Vec<DiffLine>,
}

/// Asks for access: `POST /v1/requests`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRequest {
    /// For which role.
    pub role: RoleName,
    /// For exactly this target; where absent, for all that the role reaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<OnlyTarget>,
    /// How long, from the approval; as long as may be where absent.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub length: Option<Period>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many sessions; as many as may be where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
}

/// Says yes or no to a request, or takes it back: `POST /v1/requests/{id}/approve`, `/deny`, `/revoke`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Decide {
    /// In the decider's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// For a shorter time than was asked for; with an approval only.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub length: Option<Period>,
}

/// Which requests: those of the caller and those that the caller may decide, newest first. `GET /v1/requests`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestQuery {
    /// Only in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<RequestState>,
    /// Only of the caller.
    #[serde(default)]
    pub mine: bool,
    /// At most this many; 100 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Where the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// What there is as messages, then each change as it happens: see [`super::watch`].
    #[serde(default)]
    pub watch: bool,
}

/// Waits for one request: `GET /v1/requests/{id}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestWait {
    /// Answer when it is no longer in this state, or after `seconds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub while_state: Option<RequestState>,
    /// At most 60.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u32>,
}

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestState {
    /// It waits for somebody's yes.
    Pending,
    /// It gives its role.
    Approved,
    /// Somebody said no.
    Denied,
    /// It waited too long, or its time is over.
    Expired,
    /// It was taken back.
    Revoked,
    /// All its sessions were opened.
    UsedUp,
}

impl RequestState {
    /// Every state.
    pub const ALL: [Self; 6] = [Self::Pending, Self::Approved, Self::Denied, Self::Expired, Self::Revoked, Self::UsedUp];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::UsedUp => "used_up",
        }
    }
}

/// An access request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RequestRow {
    /// What to type.
    pub id: RequestId,
    /// Who asked.
    pub user: UserName,
    /// For which role.
    pub role: RoleName,
    /// For which target alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<OnlyTarget>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where it stands.
    pub state: RequestState,
    /// When it was made.
    pub created: Timestamp,
    /// For how long, from its approval.
    #[serde(rename = "for")]
    pub length: Period,
    /// Until when it waits, or gives its role.
    pub until: Timestamp,
    /// The rule that decides it.
    pub rule: ResourceName,
    /// How many different people have to say yes.
    pub required: u32,
    /// Who said what.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<DecisionRow>,
    /// How many sessions it may open; no limit where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
    /// How many it opened.
    #[serde(default)]
    pub used: u32,
    /// Whether the caller may decide it now.
    #[serde(default)]
    pub may_decide: bool,
    /// Roles whose people may decide it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<RoleName>,
}

/// What somebody said of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the words say it")]
pub struct DecisionRow {
    /// Who; `auto_review` for the rule itself.
    pub by: String,
    pub approve: bool,
    pub time: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// Makes a session of one's own longer, as far as the role allows: `POST /v1/sessions/{id}/extend`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Extend {
    /// By how much.
    pub by: Period,
}

/// A session was made longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Extended {
    /// When it ends now, where nothing else ends it.
    pub ends: Timestamp,
    /// By how much it may be extended further.
    pub left: Period,
}
