//! Who may open which session, and have connections made from where: labels, logins, kinds, circumstances, and what the allowing roles
//! demand. The words of a no are in `session/words.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::denial::Denial;
use super::guard::{self, Reached};
use super::who::{Candidate, Closed, Conditions, For, Note, candidates, closed, closed_to_all, time_changes};
use super::{OpenForward, OpenSession, Yes, locks, offer, sealed, step_up};
use crate::condition::{Condition, Facts, TargetFacts};
use crate::event::SessionKind;
use crate::identity::{Identity, Labels, Method, NodeFacts, Origin, Reach};
use crate::policy::{ChannelKind, LoginPattern, PolicySet, RecordingMode, RoleOptions, Selector, SshRule};
use crate::time::Timestamp;
use crate::words::{Login, RoleName};

mod logins;
mod words;

pub use logins::{Reacher, Reaching, allowed_logins};
pub use words::unknown_node;

/// What a session must keep to: the strictest of what the allowing roles demand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obligations {
    /// How it is recorded.
    pub recording: RecordingMode,
    /// Whether what is typed is kept.
    pub record_input: bool,
    /// How long it may last.
    pub max_session: Option<Duration>,
    /// By how much altogether that may be extended.
    pub extend: Duration,
    /// How long it may be idle.
    pub idle: Option<Duration>,
    /// How many sessions the person may have with it.
    pub max_sessions: Option<u32>,
    /// What the person is shown first: the notices of all allowing roles, one a line.
    pub notice: Option<String>,
    /// Bytes kept of one stream.
    pub max_output: Option<u64>,
    /// Whether sftp may write.
    pub sftp_write: bool,
}

impl Obligations {
    pub(super) fn strictest(roles: &[&RoleOptions], settings: &RoleOptions) -> Self {
        let of: Vec<&RoleOptions> = roles.iter().copied().chain([settings]).collect();
        let recording = roles.iter().map(|role| role.recording.unwrap_or_default()).chain(settings.recording).max();
        let mut all = Self {
            recording: recording.unwrap_or_default(),
            record_input: of.iter().any(|role| role.record_input),
            max_session: of.iter().filter_map(|role| role.max_session).min().map(|limit| limit.duration()),
            // Only what sets a limit has a say in how far it may be moved.
            extend: of
                .iter()
                .filter(|role| role.max_session.is_some())
                .map(|role| role.extend.map_or(Duration::ZERO, |by| by.duration()))
                .min()
                .unwrap_or_default(),
            idle: of.iter().filter_map(|role| role.idle).min().map(|limit| limit.duration()),
            max_sessions: of.iter().filter_map(|role| role.max_sessions).min(),
            notice: None,
            max_output: of.iter().filter_map(|role| role.max_output).min().map(|size| size.bytes()),
            sftp_write: false,
        };
        let notices: BTreeSet<&str> = of.iter().filter_map(|role| role.notice.as_deref()).collect();
        if !notices.is_empty() {
            all.notice = Some(notices.into_iter().collect::<Vec<_>>().join("\n"));
        }
        all
    }

    /// Recorded strictly and whole, whatever the roles say.
    pub(super) fn record_all(&mut self) {
        self.recording = RecordingMode::Strict;
        self.max_output = None;
    }
}

/// What is asked for on a node.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Act<'a> {
    Open(ChannelKind, Option<&'a str>),
    Forward(&'a str, u16),
}

impl Act<'_> {
    pub(crate) const fn kind(self) -> ChannelKind {
        match self {
            Self::Open(kind, _) => kind,
            Self::Forward(..) => ChannelKind::Forward,
        }
    }
}

pub(crate) const fn channel(kind: SessionKind) -> ChannelKind {
    match kind {
        SessionKind::Shell => ChannelKind::Shell,
        SessionKind::Exec => ChannelKind::Exec,
        SessionKind::Sftp => ChannelKind::SftpRead,
    }
}

impl sealed::Judge for OpenSession {
    type Duties = Obligations;

    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn judge(&self, policy: &PolicySet, now: Timestamp) -> Result<Yes<Obligations>, Denial> {
        let act = Act::Open(channel(self.kind), self.command.as_deref());
        let answer = Here::new(&self.identity, &self.node, &self.login, policy, now).judge(act, self.begun.unwrap_or(now));
        answer.map_err(|denial| {
            offer::add(denial, &self.identity, policy, now, &self.target(), |identity| {
                OpenSession { identity, ..self.clone() }.judge_plain(policy, now)
            })
        })
    }
}

impl sealed::Judge for OpenForward {
    type Duties = Obligations;

    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn judge(&self, policy: &PolicySet, now: Timestamp) -> Result<Yes<Obligations>, Denial> {
        Here::new(&self.identity, &self.node, &self.login, policy, now).judge(Act::Forward(&self.host, self.port), now)
    }
}

impl OpenSession {
    /// The answer without offers: what an offer is tried with.
    fn judge_plain(&self, policy: &PolicySet, now: Timestamp) -> Result<(), Denial> {
        locks::person(&self.identity, policy, now)?;
        let act = Act::Open(channel(self.kind), self.command.as_deref());
        let mut here = Here::new(&self.identity, &self.node, &self.login, policy, now);
        here.plain = true;
        here.permitted(act, self.begun.unwrap_or(now)).map(|_| ())
    }

    fn target(&self) -> crate::identity::OnlyTarget {
        crate::identity::OnlyTarget { kind: Reach::Node, name: self.node.name.to_string(), login: Some(self.login.clone()) }
    }
}

/// A role, or the settings, that demands something of what is allowed.
#[derive(Debug, Clone)]
pub(super) struct Demanding<'a> {
    /// `role x`, for a sentence.
    pub(super) word: String,
    pub(super) options: &'a RoleOptions,
}

/// Whether a reason was said where one of these demands it; `hint` is how it is said here.
pub(super) fn reasoned(identity: &Identity, demanding: &[Demanding<'_>], hint: &str) -> Result<(), Denial> {
    let given = identity.context.reason.as_ref().is_some_and(|reason| !reason.trim().is_empty());
    let Some(Demanding { word, .. }) = demanding.iter().find(|one| one.options.reason && !given) else { return Ok(()) };
    Err(Denial {
        code: Denial::REASON,
        rule: format!("{}/options.reason", word.trim_start_matches("role ")),
        sentence: format!("{word} demands a reason for each session"),
        hint: hint.to_owned(),
        ..Denial::bare()
    })
}

/// A role that allows what is asked.
#[derive(Debug, Clone, Copy)]
struct Allowing<'a> {
    one: Candidate<'a>,
    /// Which of its allow rules does.
    place: usize,
}

/// Why a rule that fits gives nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Held {
    Closed(Closed),
    Condition,
}

/// One person before one node and login.
struct Here<'a> {
    identity: &'a Identity,
    policy: &'a PolicySet,
    now: Timestamp,
    roles: Vec<Candidate<'a>>,
    node: &'a NodeFacts,
    login: &'a Login,
    /// Labels of the node that conditions of allow rules see.
    conditions: Conditions<'a>,
    /// Rules that fit and give nothing for now.
    held: Vec<(&'a RoleName, Held)>,
    /// Whether nobody reads the words of a no.
    plain: bool,
}

impl<'a> Here<'a> {
    fn new(identity: &'a Identity, node: &'a NodeFacts, login: &'a Login, policy: &'a PolicySet, now: Timestamp) -> Self {
        let target = For { kind: Reach::Node, name: node.name.as_str(), login: Some(login) };
        let facts = TargetFacts { kind: "node", name: node.name.as_str(), labels: &node.labels, login: login.as_str() };
        let facts = Facts { identity, target: Some(facts), kind: "", command: None, now };
        let roles = candidates(identity, policy, now, Some(target));
        Self { identity, policy, now, roles, node, login, conditions: Conditions::new(facts), held: Vec::new(), plain: false }
    }

    fn judge(&mut self, act: Act<'a>, moment: Timestamp) -> Result<Yes<Obligations>, Denial> {
        let allowing = self.permitted(act, moment)?;
        // Writing by sftp is a question of its own, and what its roles demand holds of the whole session.
        let write = match act {
            Act::Open(ChannelKind::SftpRead, _) => self.permitted(Act::Open(ChannelKind::SftpWrite, None), moment),
            _ => Ok(Vec::new()),
        };
        let write = write.unwrap_or_else(|denial| {
            self.conditions.notes.extend(denial.notes);
            Vec::new()
        });
        let all: Vec<Allowing<'a>> = allowing.iter().chain(&write).copied().collect();
        let options: Vec<&RoleOptions> = all.iter().map(|one| &one.one.spec.options).collect();
        let mut duties = Obligations::strictest(&options, &self.policy.others().settings.options);
        duties.sftp_write = !write.is_empty();
        if self.identity.auth.method == Method::BreakGlass {
            duties.record_all();
        }
        let first = allowing.first();
        Ok(Yes {
            rule: first.map(|first| format!("{}/allow.ssh[{}]", first.one.role, first.place)).unwrap_or_default(),
            duties,
            by: first.and_then(|first| first.one.by).map(|grant| grant.request.clone()),
            until: self.until(&all),
            notes: self.conditions.told(),
        })
    }

    /// The rules that allow it, never none, when all that they demand is shown and said.
    fn permitted(&mut self, act: Act<'a>, moment: Timestamp) -> Result<Vec<Allowing<'a>>, Denial> {
        self.conditions.facts.kind = act.kind().as_str();
        self.conditions.facts.command = if let Act::Open(_, command) = act { command } else { None };
        self.allowed(act, moment).map_err(|denial| denial.noting(self.conditions.told()))
    }

    fn allowed(&mut self, act: Act<'a>, moment: Timestamp) -> Result<Vec<Allowing<'a>>, Denial> {
        locks::install(self.policy, self.now)?;
        // Whoever reaches no such node learns nothing from its deny rules either, not even that it exists.
        if !self.reached() {
            return Err(words::unreachable(self.identity, self.login, &self.node.name));
        }
        let node = &self.node.name;
        locks::target(self.policy, self.now, Reach::Node, node.as_str(), self.node.agent.as_ref(), Some(self.login))?;
        let guarded = guard::check(self.identity, self.policy, &self.node.labels, Reached::Ssh(self.login))?;
        if let Some(rule) = self.denied(act) {
            return Err(Denial::by_deny(&self.words(), rule));
        }
        if let Some(shut) = closed_to_all(self.policy, self.identity, self.now) {
            return Err(self.closed_by("the settings", "settings/options", shut));
        }
        let mut allowing: Vec<Allowing<'a>> = self.allowing(act);
        if guarded.by_request_only {
            allowing.retain(|one| one.one.by.is_some());
        }
        if allowing.is_empty() {
            return Err(if self.plain {
                Denial::bare()
            } else if guarded.by_request_only {
                Denial::by_request_only(&self.words())
            } else {
                self.not_allowed(act)
            });
        }
        let demanding = self.demanding(&allowing);
        // Last, so that nobody is asked to show who they are for what they may not do anyway.
        step_up::check(&self.identity.auth, moment, &demanding)?;
        let hint = "Say it with `naru ssh --reason 'why'`, or `ssh -o SetEnv=NARU_REASON='why'`.";
        reasoned(self.identity, &demanding, hint)?;
        Ok(allowing)
    }

    /// What is demanded, role by role, and by the settings.
    fn demanding(&self, allowing: &[Allowing<'a>]) -> Vec<Demanding<'a>> {
        let roles = allowing.iter().map(|one| Demanding { word: format!("role {}", one.one.role), options: &one.one.spec.options });
        roles.chain([Demanding { word: "settings".to_owned(), options: &self.policy.others().settings.options }]).collect()
    }

    /// When time alone may change the answer: hours, requests that end, conditions that look at the clock.
    fn until(&self, allowing: &[Allowing<'a>]) -> Option<Timestamp> {
        let options = self.roles.iter().map(|one| &one.spec.options).chain([&self.policy.others().settings.options]);
        time_changes(options, allowing.iter().map(|one| one.one), self.conditions.timely, self.now)
    }

    /// Whether any role reaches the node at all, at whatever time and from wherever.
    fn reached(&self) -> bool {
        self.roles.iter().any(|one| one.spec.allow.ssh.iter().any(|rule| allow_fits(rule, self.node)))
    }

    /// Names of the roles that reach it.
    fn reaching(&self) -> Vec<String> {
        let reach = |one: &&Candidate<'_>| one.spec.allow.ssh.iter().any(|rule| allow_fits(rule, self.node));
        self.roles.iter().filter(reach).map(|one| one.role.to_string()).collect()
    }

    /// The first deny that hits. What a role that is tried out would deny is noted.
    fn denied(&mut self, act: Act<'_>) -> Option<String> {
        let mut found = None;
        for one in self.roles.clone() {
            for (i, rule) in one.spec.deny.ssh.iter().enumerate() {
                let name = || format!("{}/deny.ssh[{i}]", one.role);
                let named = |pattern: &LoginPattern| pattern.matches(self.login, &self.identity.traits);
                let spoken_of = deny_fits(rule, self.node) && denies(rule, act) && rule.logins.iter().any(named);
                if !spoken_of || !self.conditions.deny(rule.condition.as_ref(), name) {
                    continue;
                }
                if one.spec.dry_run {
                    let sentence = format!("role {} would deny {}@{}", one.role, self.login, self.node.name);
                    self.conditions.notes.push(Note::WouldDeny { rule: name(), sentence });
                } else if found.is_none() {
                    found = Some(name());
                }
            }
        }
        found
    }

    /// The roles that allow it: the first rule of each. What holds others back is kept for the words of a no.
    fn allowing(&mut self, act: Act<'_>) -> Vec<Allowing<'a>> {
        let mut all = Vec::new();
        for one in self.roles.clone() {
            let shut = closed(&one.spec.options, self.identity, self.now);
            let mut is_allowed = false;
            for (place, rule) in one.spec.allow.ssh.iter().enumerate() {
                let named = |pattern: &LoginPattern| logs_in(pattern, self.login, &self.identity.traits);
                if !(allow_fits(rule, self.node) && allows(rule, act) && rule.logins.iter().any(named)) {
                    continue;
                }
                // One rule is enough; the others say only whether time has a say, in whatever order they stand.
                if is_allowed {
                    self.conditions.timely |= rule.condition.as_ref().is_some_and(Condition::depends_on_time);
                    continue;
                }
                match shut {
                    Some(shut) if one.spec.dry_run => self.conditions.notes.push(Note::closed(one.role, shut)),
                    Some(shut) => {
                        self.held.push((one.role, Held::Closed(shut)));
                        break;
                    }
                    None => {}
                }
                if self.conditions.allow(rule.condition.as_ref(), rule.agent_labels, || format!("{}/allow.ssh[{place}]", one.role)) {
                    all.push(Allowing { one, place });
                    is_allowed = true;
                    continue;
                }
                self.held.push((one.role, Held::Condition));
            }
        }
        all
    }
}

/// Whether an allow rule fits this node: what only the agent says of itself counts where the rule says so.
fn allow_fits(rule: &SshRule, node: &NodeFacts) -> bool {
    selects(&rule.labels, &node.labels, rule.agent_labels)
}

/// Whether a deny rule fits this node: labels of any origin count, since a doubtful label is a reason to deny as good as any.
fn deny_fits(rule: &SshRule, node: &NodeFacts) -> bool {
    selects(&rule.labels, &node.labels, true)
}

/// Whether a selector fits these labels. Empty fits nothing.
pub(crate) fn selects(selector: &Selector, labels: &Labels, agent_labels: bool) -> bool {
    let one = |key: &String, patterns: &Vec<crate::policy::Pattern>| {
        if key == "*" {
            return patterns.iter().any(crate::policy::Pattern::is_any);
        }
        let believed = labels.get(key).filter(|label| label.origin != Origin::Agent || agent_labels);
        believed.is_some_and(|label| patterns.iter().any(|pattern| pattern.matches(&label.value)))
    };
    !selector.is_empty() && selector.iter().all(|(key, patterns)| one(key, patterns))
}

/// `*` never allows, also where a policy came to hold it.
fn logs_in(pattern: &LoginPattern, login: &Login, traits: &BTreeMap<String, Vec<String>>) -> bool {
    *pattern != LoginPattern::Any && pattern.matches(login, traits)
}

/// Whether an allow rule speaks of this. An exec of a rule with commands without one that fits is none; asked without a command, any may.
pub(crate) fn allows(rule: &SshRule, act: Act<'_>) -> bool {
    let kind = act.kind();
    let forwards = kind == ChannelKind::Forward && rule.kinds.is_empty() && !rule.forwards.is_empty();
    let spoken_of = rule.kinds.contains(&kind) || forwards || (rule.kinds.is_empty() && ChannelKind::USUAL.contains(&kind));
    spoken_of
        && match act {
            Act::Open(ChannelKind::Exec, Some(command)) => {
                rule.commands.is_empty() || rule.commands.iter().any(|pattern| pattern.matches(command))
            }
            Act::Open(..) => true,
            Act::Forward(host, port) => rule.forwards.iter().any(|pattern| pattern.matches(host, port)),
        }
}

/// Whether a deny rule speaks of this: without kinds, of everything; without forwards, of every forward.
pub(crate) fn denies(rule: &SshRule, act: Act<'_>) -> bool {
    let kind = act.kind();
    let spoken_of = rule.kinds.is_empty() || rule.kinds.contains(&kind);
    spoken_of
        && match act {
            Act::Open(..) => rule.forwards.is_empty() || !rule.kinds.is_empty(),
            Act::Forward(host, port) => rule.forwards.is_empty() || rule.forwards.iter().any(|pattern| pattern.matches(host, port)),
        }
}
