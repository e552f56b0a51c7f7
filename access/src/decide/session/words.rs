//! What a no on a node says: what is denied, why, and what would help. Decided elsewhere.

use super::super::denial::{Denial, any_of, listed};
use super::super::{locks, signed_in, who::Closed};
use super::{Act, Held, Here, logs_in};
use crate::identity::Identity;
use crate::policy::{ChannelKind, PolicySet};
use crate::time::Timestamp;
use crate::words::{Login, NodeName};

/// The no for a name that is no node: in every part the same as for a node that no role reaches.
pub fn unknown_node(identity: &Identity, login: &Login, name: &NodeName, policy: &PolicySet, now: Timestamp) -> Denial {
    let before = signed_in(identity, now).and_then(|()| locks::person(identity, policy, now)).and_then(|()| locks::install(policy, now));
    before.err().unwrap_or_else(|| unreachable(identity, login, name))
}

pub(super) fn unreachable(identity: &Identity, login: &Login, name: &NodeName) -> Denial {
    let sentence = format!("{login}@{name} is not allowed: no role of {} reaches a node of that name", identity.name);
    Denial::by_default(Denial::NODE, sentence, "See `naru ls` for what you reach, or ask an administrator for a role that does.")
}

impl Here<'_> {
    /// What is asked for.
    pub(super) fn words(&self) -> String {
        format!("{}@{}", self.login, self.node.name)
    }

    pub(super) fn closed_by(&self, word: &str, rule: &str, shut: Closed) -> Denial {
        let from = self.identity.context.from.map_or("an address that is not known".to_owned(), |from| from.to_canonical().to_string());
        let (sentence, hint) = match shut {
            Closed::Network => (
                format!("{}@{} is not allowed from {from}: {word} gives access from other networks only", self.login, self.node.name),
                "Come from a network that is named there; `naru get role` shows them to administrators.",
            ),
            Closed::Hours => (
                format!("{}@{} is not allowed at this time: {word} gives access in other hours only", self.login, self.node.name),
                "Come back in the hours that are named there, or ask an administrator.",
            ),
        };
        Denial { code: Denial::CLOSED, rule: rule.to_owned(), sentence, hint: hint.to_owned(), ..Denial::bare() }
    }

    /// The node is reached, and nothing allows this login and kind there: says which of the two it is, or what holds it back.
    pub(super) fn not_allowed(&mut self, act: Act<'_>) -> Denial {
        let (login, name) = (self.login, &self.node.name);
        if let Some((role, held)) = self.held.first() {
            return match held {
                Held::Closed(shut) => self.closed_by(&format!("role {role}"), &format!("{role}/options"), *shut),
                Held::Condition => Denial {
                    code: Denial::CONDITION,
                    rule: format!("{role}/where"),
                    sentence: format!("{login}@{name} is not allowed now: the condition of role {role} does not hold"),
                    hint: "What it looks at has to change; an administrator can say what that is.".to_owned(),
                    ..Denial::bare()
                },
            };
        }
        if let Act::Forward(host, port) = act {
            let host = crate::words::shown(host);
            let sentence = format!("a forward to {host} port {port} as {login}@{name} is not allowed: no role allows it");
            return Denial::by_default(Denial::FORWARD, sentence, "A role would have to name it under forwards.");
        }
        let left = self.kinds_left();
        let kinds: std::collections::BTreeSet<&str> = left.iter().copied().filter(|kind| *kind != act.kind()).map(word).collect();
        let kinds: Vec<String> = kinds.into_iter().map(str::to_owned).collect();
        if matches!(act, Act::Open(ChannelKind::Exec, Some(_))) && left.contains(&ChannelKind::Exec) {
            let sentence = format!("this command on {login}@{name} is not allowed: only others are");
            return Denial::by_default(Denial::KIND, sentence, "A role would have to name it under commands.");
        }
        if !kinds.is_empty() {
            let sentence = format!("{} on {login}@{name} is not allowed: only {} is", word(act.kind()), listed(&kinds));
            return Denial::by_default(
                Denial::KIND,
                sentence,
                format!("A role would have to allow {} for {login} there.", word(act.kind())),
            );
        }
        self.no_login()
    }

    /// The kinds that are left to this login there. What is noted on the way is about other questions, and told to nobody.
    fn kinds_left(&mut self) -> Vec<ChannelKind> {
        let (kind, notes) = (self.conditions.facts.kind, std::mem::take(&mut self.conditions.notes));
        let kinds = ChannelKind::ALL.into_iter().filter(|kind| *kind != ChannelKind::Forward);
        let left = kinds.filter(|kind| {
            let act = Act::Open(*kind, None);
            self.conditions.facts.kind = kind.as_str();
            !self.allowing(act).is_empty() && self.denied(act).is_none()
        });
        let left = left.collect();
        (self.conditions.facts.kind, self.conditions.notes) = (kind, notes);
        left
    }

    fn no_login(&self) -> Denial {
        let (login, name) = (self.login, &self.node.name);
        let names = self.reaching();
        let (role, allow) = if names.len() == 1 { ("role", "allows") } else { ("roles", "allow") };
        let roles = listed(&names);
        let logins: Vec<String> =
            super::allowed_logins(self.identity, self.node, self.policy, self.now).into_iter().map(String::from).collect();
        if logins.is_empty() {
            let sentence = format!("{login}@{name} is not allowed: {role} {roles} {allow} no login there for {}", self.identity.name);
            return Denial::by_default(Denial::LOGIN, sentence, self.missing_trait());
        }
        let word = if logins.len() == 1 { "login" } else { "logins" };
        let list = listed(&logins);
        let sentence = format!("{login}@{name} is not allowed: {role} {roles} {allow} {word} {list} on {name}, not {login}");
        let hint = format!("Use {} there, or ask an administrator for a role that allows {login}.", any_of(&logins));
        Denial::by_default(Denial::LOGIN, sentence, hint)
    }

    /// What to do where nothing is left: name a trait that would give a login, if one is missing.
    fn missing_trait(&self) -> String {
        let rules = self.roles.iter().flat_map(|one| &one.spec.allow.ssh).filter(|rule| super::allow_fits(rule, self.node));
        let wanted = rules.flat_map(|rule| &rule.logins).find_map(|pattern| {
            let name = pattern.trait_name()?;
            (!logs_in(pattern, self.login, &self.identity.traits) && pattern.expand(&self.identity.traits).is_empty())
                .then(|| name.to_owned())
        });
        wanted.map_or_else(
            || "Ask an administrator for a role that allows a login there.".to_owned(),
            |name| format!("The logins come from the trait {name}, in which you have no login: ask an administrator to set it."),
        )
    }
}

/// A kind as people speak of it: in a sentence reading and writing by sftp are one.
fn word(kind: ChannelKind) -> &'static str {
    match kind {
        ChannelKind::SftpRead | ChannelKind::SftpWrite => "sftp",
        other => other.as_str(),
    }
}
