//! Who may open which session: labels, logins, kinds, and what the allowing roles demand.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::denial::{Denial, any_of, listed};
use super::{OpenSession, Yes, roles_of, sealed, signed_in, step_up};
use crate::event::SessionKind;
use crate::identity::{Identity, Method, NodeFacts, Origin, Traits};
use crate::policy::{LoginPattern, PolicySet, RecordingMode, RoleOptions, RoleSpec, SshRule};
use crate::time::Timestamp;
use crate::words::{Login, NodeName, RoleName};

/// What a session must keep to: the strictest of what the allowing roles demand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obligations {
    /// How it is recorded.
    pub recording: RecordingMode,
    /// Whether what is typed is kept.
    pub record_input: bool,
    /// How long it may last.
    pub max_session: Option<Duration>,
    /// How long it may be idle.
    pub idle: Option<Duration>,
    /// What the person is shown first: the notices of all allowing roles, one a line.
    pub notice: Option<String>,
    /// Bytes kept of one stream.
    pub max_output: Option<u64>,
}

impl Obligations {
    fn strictest(of: &[&RoleOptions]) -> Self {
        let mut all = Self {
            recording: of.iter().map(|role| role.recording).max().unwrap_or_default(),
            record_input: of.iter().any(|role| role.record_input),
            max_session: of.iter().filter_map(|role| role.max_session).min().map(|limit| limit.duration()),
            idle: of.iter().filter_map(|role| role.idle).min().map(|limit| limit.duration()),
            notice: None,
            max_output: of.iter().filter_map(|role| role.max_output).min().map(|size| size.bytes()),
        };
        let notices: BTreeSet<&str> = of.iter().filter_map(|role| role.notice.as_deref()).collect();
        if !notices.is_empty() {
            all.notice = Some(notices.into_iter().collect::<Vec<_>>().join("\n"));
        }
        all
    }

    /// Recorded strictly and whole, whatever the roles say.
    fn record_all(&mut self) {
        self.recording = RecordingMode::Strict;
        self.max_output = None;
    }
}

impl sealed::Judge for OpenSession {
    type Duties = Obligations;

    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn judge(&self, policy: &PolicySet, now: Timestamp) -> Result<Yes<Obligations>, Denial> {
        let roles = roles_of(&self.identity, policy);
        let here = Here { roles: &roles, node: &self.node, traits: &self.identity.traits };
        // Whoever reaches no such node learns nothing from its deny rules either, not even that it exists.
        if !here.reached() {
            return Err(unreachable(&self.identity, &self.login, &self.node.name));
        }
        if let Some(rule) = here.denied(&self.login, self.kind) {
            return Err(self.denied_by(rule));
        }
        let allowing: Vec<Allowing<'_>> = here.allowing(&self.login, self.kind).collect();
        let Some(first) = allowing.first() else { return Err(self.not_allowed(&here)) };
        // Last, so that nobody is asked to show who they are for what they may not do anyway.
        step_up::check(&self.identity.auth, self.begun.unwrap_or(now), &allowing)?;
        let options: Vec<&RoleOptions> = allowing.iter().map(|one| one.options).collect();
        let mut duties = Obligations::strictest(&options);
        if self.identity.auth.method == Method::BreakGlass {
            duties.record_all();
        }
        Ok(Yes { rule: format!("{}/allow[{}]", first.role, first.place), duties })
    }
}

impl OpenSession {
    fn denied_by(&self, rule: String) -> Denial {
        let role = rule.split('/').next().unwrap_or_default();
        Denial {
            code: Denial::DENIED,
            sentence: format!("{}@{} is denied: role {role} denies it by its rule {rule}", self.login, self.node.name),
            hint: "A deny wins over every allow: an administrator would have to change that rule or take the role away.".to_owned(),
            rule,
            step_up: None,
        }
    }

    /// The node is reached, and nothing allows this login and kind there: says which of the two it is.
    fn not_allowed(&self, here: &Here<'_>) -> Denial {
        let Self { node, login, kind, .. } = self;
        let other: Vec<String> = SessionKind::ALL
            .into_iter()
            .filter(|other| here.allowing(login, *other).next().is_some() && here.denied(login, *other).is_none())
            .map(|other| other.as_str().to_owned())
            .collect();
        if !other.is_empty() {
            let sentence = format!("{} on {login}@{} is not allowed: only {} is", kind.as_str(), node.name, listed(&other));
            return Denial::by_default(Denial::KIND, sentence, format!("A role would have to allow {} for {login} there.", kind.as_str()));
        }
        let names = here.reaching();
        let (role, allow) = if names.len() == 1 { ("role", "allows") } else { ("roles", "allow") };
        let roles = listed(&names);
        let logins: Vec<String> = here.logins().into_keys().map(String::from).collect();
        if logins.is_empty() {
            let sentence =
                format!("{login}@{} is not allowed: {role} {roles} {allow} no login there for {}", node.name, self.identity.name);
            return Denial::by_default(Denial::LOGIN, sentence, here.missing_trait());
        }
        let word = if logins.len() == 1 { "login" } else { "logins" };
        let list = listed(&logins);
        let sentence = format!("{login}@{} is not allowed: {role} {roles} {allow} {word} {list} on {}, not {login}", node.name, node.name);
        Denial::by_default(
            Denial::LOGIN,
            sentence,
            format!("Use {} there, or ask an administrator for a role that allows {login}.", any_of(&logins)),
        )
    }
}

/// The no for a name that is no node: in every part the same as for a node that no role reaches.
pub fn unknown_node(identity: &Identity, login: &Login, name: &NodeName, now: Timestamp) -> Denial {
    signed_in(identity, now).err().unwrap_or_else(|| unreachable(identity, login, name))
}

fn unreachable(identity: &Identity, login: &Login, name: &NodeName) -> Denial {
    let sentence = format!("{login}@{name} is not allowed: no role of {} reaches a node of that name", identity.name);
    Denial::by_default(Denial::NODE, sentence, "See `naru ls` for what you reach, or ask an administrator for a role that does.")
}

/// The logins that this person may take on this node, sorted: exactly those for which [`super::decide`] allows some kind of session.
pub fn allowed_logins(identity: &Identity, node: &NodeFacts, policy: &PolicySet, now: Timestamp) -> Vec<Login> {
    if signed_in(identity, now).is_err() {
        return Vec::new();
    }
    let roles = roles_of(identity, policy);
    let here = Here { roles: &roles, node, traits: &identity.traits };
    here.logins().into_keys().collect()
}

/// A role that allows what is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowing<'a> {
    pub(super) role: &'a RoleName,
    /// Which of its allow rules does.
    pub(super) place: usize,
    pub(super) options: &'a RoleOptions,
}

/// One person's roles before one node.
struct Here<'a> {
    roles: &'a [(RoleName, &'a RoleSpec)],
    node: &'a NodeFacts,
    traits: &'a Traits,
}

impl<'a> Here<'a> {
    /// Rules whose labels fit, each with its role and its place in it.
    fn fitting(
        &self,
        part: fn(&RoleSpec) -> &Vec<SshRule>,
        fits: fn(&SshRule, &NodeFacts) -> bool,
    ) -> impl Iterator<Item = (&'a RoleName, &'a RoleSpec, usize, &'a SshRule)> + use<'a> {
        let (roles, node) = (self.roles, self.node);
        roles.iter().flat_map(move |(name, spec)| {
            let rules = part(spec).iter().enumerate();
            rules.filter(move |(_, rule)| fits(rule, node)).map(move |(i, rule)| (name, *spec, i, rule))
        })
    }

    fn allows(&self) -> impl Iterator<Item = (&'a RoleName, &'a RoleSpec, usize, &'a SshRule)> + use<'a> {
        self.fitting(|spec| &spec.allow, allow_fits)
    }

    /// Whether any role reaches the node at all.
    fn reached(&self) -> bool {
        self.allows().next().is_some()
    }

    /// Names of the roles that reach it.
    fn reaching(&self) -> Vec<String> {
        let names: BTreeSet<&RoleName> = self.allows().map(|(name, ..)| name).collect();
        names.into_iter().map(ToString::to_string).collect()
    }

    /// The first deny that hits.
    fn denied(&self, login: &Login, kind: SessionKind) -> Option<String> {
        self.fitting(|spec| &spec.deny, deny_fits)
            .find(|(.., rule)| speaks_of(rule, kind) && rule.logins.iter().any(|pattern| pattern.matches(login, self.traits)))
            .map(|(name, _, i, _)| format!("{name}/deny[{i}]"))
    }

    /// The roles that allow it: the first rule of each, and its options.
    fn allowing(&self, login: &Login, kind: SessionKind) -> impl Iterator<Item = Allowing<'a>> {
        self.roles.iter().filter_map(move |(role, spec)| {
            let hit = |rule: &SshRule| {
                speaks_of(rule, kind)
                    && allow_fits(rule, self.node)
                    && rule.logins.iter().any(|pattern| allows(pattern, login, self.traits))
            };
            spec.allow.iter().position(hit).map(|place| Allowing { role, place, options: &spec.options })
        })
    }

    /// Allowed logins with the kinds left to each; denials taken off. Each rule is expanded once, so that long traits stay cheap.
    fn logins(&self) -> BTreeMap<Login, BTreeSet<SessionKind>> {
        let mut left: BTreeMap<Login, BTreeSet<SessionKind>> = BTreeMap::new();
        for (.., rule) in self.allows() {
            for login in rule.logins.iter().flat_map(|pattern| pattern.expand(self.traits)) {
                left.entry(login).or_default().extend(kinds(rule));
            }
        }
        for (.., rule) in self.fitting(|spec| &spec.deny, deny_fits) {
            let any = rule.logins.contains(&LoginPattern::Any);
            let named: BTreeSet<Login> = rule.logins.iter().flat_map(|pattern| pattern.expand(self.traits)).collect();
            for (_, kinds_left) in left.iter_mut().filter(|(login, _)| any || named.contains(*login)) {
                kinds_left.retain(|kind| !speaks_of(rule, *kind));
            }
        }
        left.retain(|_, kinds_left| !kinds_left.is_empty());
        left
    }

    /// What to do where nothing is left: name a trait that would give a login, if one is missing.
    fn missing_trait(&self) -> String {
        let wanted = self.allows().flat_map(|(.., rule)| &rule.logins).find_map(|pattern| {
            let name = pattern.trait_name()?;
            pattern.expand(self.traits).is_empty().then(|| name.to_owned())
        });
        wanted.map_or_else(
            || "Ask an administrator for a role that allows a login there.".to_owned(),
            |name| format!("The logins come from the trait {name}, in which you have no login: ask an administrator to set it."),
        )
    }
}

/// Whether an allow rule fits this node: what only the agent says of itself counts where the rule says so.
fn allow_fits(rule: &SshRule, node: &NodeFacts) -> bool {
    fits(rule, node, rule.agent_labels)
}

/// Whether a deny rule fits this node: labels of any origin count, since a doubtful label is a reason to deny as good as any.
fn deny_fits(rule: &SshRule, node: &NodeFacts) -> bool {
    fits(rule, node, true)
}

/// Whether a rule's labels fit this node. Empty fits nothing.
fn fits(rule: &SshRule, node: &NodeFacts, agent_labels: bool) -> bool {
    let one = |key: &String, patterns: &Vec<crate::policy::Pattern>| {
        if key == "*" {
            return patterns.iter().any(crate::policy::Pattern::is_any);
        }
        let believed = node.labels.get(key).filter(|label| label.origin != Origin::Agent || agent_labels);
        believed.is_some_and(|label| patterns.iter().any(|pattern| pattern.matches(&label.value)))
    };
    !rule.node_labels.is_empty() && rule.node_labels.iter().all(|(key, patterns)| one(key, patterns))
}

/// `*` never allows, also where a policy came to hold it.
fn allows(pattern: &LoginPattern, login: &Login, traits: &Traits) -> bool {
    *pattern != LoginPattern::Any && pattern.matches(login, traits)
}

fn speaks_of(rule: &SshRule, kind: SessionKind) -> bool {
    rule.kinds.is_empty() || rule.kinds.contains(&kind)
}

fn kinds(rule: &SshRule) -> impl Iterator<Item = SessionKind> + '_ {
    SessionKind::ALL.into_iter().filter(|kind| speaks_of(rule, *kind))
}
