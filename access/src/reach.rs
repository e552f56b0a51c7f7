//! Who reaches what: lists for people, what a change would give and take, and which guardrails it would break. Pure.
//!
//! What counts as reached: of a node each login for which [`crate::decide::decide`] allows a session of any kind, of a cluster each group
//! that it gives for any request at all; in both, but for what has to be shown or said first (step-up, reason), and whether or not the
//! person is signed in. That is [`crate::decide::Reacher`]'s answer, which the laws in `tests/reach_laws.rs` hold this room to.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::identity::{ClusterFacts, Identity, NodeFacts, Reach};
use crate::policy::PolicySet;
use crate::time::Timestamp;
use crate::words::{ResourceName, UserName};

mod bits;
mod clusters;
mod compare;
mod guardrails;
mod lines;
mod list;
mod nodes;
mod reads;
mod rights;
mod side;
mod table;

pub use guardrails::broken;
pub use list::{Row, Rows, list_target, list_user};
pub use rights::{RightLine, RightsDiff, rights};

/// A policy, and those whom and what it is about. Names are unique among people, among nodes and among clusters.
#[derive(Debug, Clone, Copy)]
pub struct World<'a> {
    /// What decides.
    pub policy: &'a PolicySet,
    /// Everybody, with what access requests gave them where that is to count. `expires` and `context.from` have no say.
    pub people: &'a [Identity],
    /// Every node.
    pub nodes: &'a [NodeFacts],
    /// Every cluster.
    pub clusters: &'a [ClusterFacts],
}

/// For when and from where an answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// When.
    pub now: Timestamp,
    /// From where people come; none for an address that every role and the settings take, and that no condition knows.
    pub from: Option<IpAddr>,
}

/// Who gains and who loses what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// What people would reach and do not: the longest lines first, and no more than were asked for.
    pub gains: Vec<Line>,
    /// What people reach and would not.
    pub loses: Vec<Line>,
    /// How many of person, target and login or group are gained altogether, in lines or not.
    pub gained: u64,
    /// The same of what is lost.
    pub lost: u64,
}

/// People, targets and what of them: each of the people reaches each of the targets as each of the logins or groups, but see `own`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The first few, by name.
    pub users: Vec<UserName>,
    /// How many more.
    pub users_more: u64,
    /// Nodes, by ssh, or clusters.
    pub kind: Reach,
    /// Logins or groups.
    pub r#as: Vec<String>,
    /// Whether each of the people has one login or group of their own: `as` then has those of `users`, in the same order.
    pub own: bool,
    /// The first few, by name.
    pub targets: Vec<String>,
    /// How many more.
    pub targets_more: u64,
    /// Labels that all these targets share, as `key=value`; none for a single target.
    pub labels: Vec<String>,
    /// How many of person, target and login or group it stands for.
    pub count: u64,
    /// The same in words: `alice, bob and 41 more: ssh as postgres on db-1, db-2 and 210 more (tier=db)`.
    pub text: String,
}

impl Line {
    /// `ssh` or `kubernetes`.
    pub const fn how(&self) -> &'static str {
        match self.kind {
            Reach::Node => "ssh",
            Reach::Cluster => "kubernetes",
        }
    }
}

/// A guardrail that is broken, and by whom and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Which.
    pub guardrail: ResourceName,
    /// By whom and where; no more lines than were asked for.
    pub lines: Vec<Line>,
    /// How many of person, target and login or group break it.
    pub count: u64,
}

/// What a change would do to guardrails.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Breaks {
    /// What nobody broke before: the change is to be refused.
    pub new: Vec<Broken>,
    /// What was broken before by the same people at the same targets, and stays so: no reason to refuse.
    pub old: Vec<Broken>,
}

/// What somebody reaches: the classes of targets, for each kind and login or group.
type Held = BTreeMap<(Reach, String), bits::Bits>;

/// Who gains and who loses what, at one moment: at most `lines` lines each way. People are told apart by name, and so are targets.
/// People with nothing changed that concerns them are not looked at.
pub fn diff(before: &World<'_>, after: &World<'_>, moment: &Moment, lines: usize) -> Difference {
    compare::diff(before, after, moment, lines)
}
