//! What people gain, lose or break, gathered into lines that can be read. The counts are exact; only what is shown is cut.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::bits::Bits;
use super::side::Tables;
use super::table::{Table, Target};
use super::{Held, Line};
use crate::identity::Reach;
use crate::words::UserName;

/// Most people, targets and logins that a line names.
const FEW: usize = 5;
/// Most shared labels that a line names.
const LABELS: usize = 3;

/// People with the same of the same, gathered.
pub(super) struct Groups<'a> {
    tables: &'a Tables<'a>,
    side: usize,
    /// Logins or groups and classes, and the people, by name.
    all: BTreeMap<(Reach, Bits, Vec<String>), Vec<&'a str>>,
}

/// A line before its words.
struct Group<'g> {
    kind: Reach,
    classes: &'g Bits,
    names: Vec<&'g str>,
    users: Vec<&'g str>,
    /// Whether each of the people has one login or group of their own, in the same order.
    own: bool,
    count: u64,
}

impl<'a> Groups<'a> {
    /// Of targets as they are on this side.
    pub(super) fn new(tables: &'a Tables<'a>, side: usize) -> Self {
        Self { tables, side, all: BTreeMap::new() }
    }

    /// Adds a person with all of theirs. Each person once, in the order of their names.
    pub(super) fn add(&mut self, user: &'a str, held: Held) {
        let mut alike: BTreeMap<(Reach, Bits), Vec<String>> = BTreeMap::new();
        for ((kind, name), classes) in held {
            alike.entry((kind, classes)).or_default().push(name);
        }
        for ((kind, classes), names) in alike {
            self.all.entry((kind, classes, names)).or_default().push(user);
        }
    }

    /// How many of person, target and login or group there are.
    pub(super) fn count(&self) -> u64 {
        self.all.iter().map(|((kind, classes, names), users)| self.targets(*kind, classes) * many(names.len()) * many(users.len())).sum()
    }

    fn targets(&self, kind: Reach, classes: &Bits) -> u64 {
        many(match kind {
            Reach::Node => self.tables.nodes.count(classes),
            Reach::Cluster => self.tables.clusters.count(classes),
        })
    }

    /// The longest lines first.
    pub(super) fn lines(&self, most: usize) -> Vec<Line> {
        let mut groups = self.merged();
        groups.sort_by(|one, other| {
            let key = |group: &Group<'_>| (group.kind, Reverse(group.count));
            key(one)
                .cmp(&key(other))
                .then_with(|| one.users.cmp(&other.users))
                .then_with(|| one.names.cmp(&other.names))
                .then_with(|| one.classes.cmp(other.classes))
        });
        groups.iter().take(most).map(|group| self.line(group)).collect()
    }

    /// People who each have one login of their own on the same targets become one line.
    fn merged(&self) -> Vec<Group<'_>> {
        let mut groups: Vec<Group<'_>> = Vec::new();
        let mut own: BTreeMap<(Reach, &Bits), usize> = BTreeMap::new();
        for ((kind, classes, names), users) in &self.all {
            let count = self.targets(*kind, classes) * many(names.len()) * many(users.len());
            let alone = matches!((names.as_slice(), users.as_slice()), ([_], [_]));
            if let Some(group) = own.get(&(*kind, classes)).filter(|_| alone).and_then(|at| groups.get_mut(*at)) {
                group.users.extend(users);
                group.names.extend(names.iter().map(String::as_str));
                group.own = true;
                group.count += count;
                continue;
            }
            if alone {
                own.insert((*kind, classes), groups.len());
            }
            let names = names.iter().map(String::as_str).collect();
            groups.push(Group { kind: *kind, classes, names, users: users.clone(), own: false, count });
        }
        for group in groups.iter_mut().filter(|group| group.own) {
            let mut pairs: Vec<(&str, &str)> = group.users.iter().copied().zip(group.names.iter().copied()).collect();
            pairs.sort_unstable();
            (group.users, group.names) = pairs.into_iter().unzip();
        }
        groups
    }

    fn line(&self, group: &Group<'_>) -> Line {
        let (targets, labels) = match group.kind {
            Reach::Node => (first(&self.tables.nodes, group.classes), shared(&self.tables.nodes, group.classes, self.side)),
            Reach::Cluster => (first(&self.tables.clusters, group.classes), shared(&self.tables.clusters, group.classes, self.side)),
        };
        let all_targets = self.targets(group.kind, group.classes);
        let users: Vec<UserName> = group.users.iter().take(FEW).filter_map(|name| name.parse().ok()).collect();
        let names: Vec<String> = group.names.iter().map(|name| (*name).to_owned()).collect();
        let mut line = Line {
            users_more: many(group.users.len().saturating_sub(users.len())),
            users,
            kind: group.kind,
            r#as: if group.own { names.iter().take(FEW).cloned().collect() } else { names.clone() },
            targets_more: all_targets.saturating_sub(many(targets.len())),
            labels: if all_targets > 1 { labels } else { Vec::new() },
            targets,
            own: group.own,
            count: group.count,
            text: String::new(),
        };
        let users: Vec<String> = line.users.iter().map(ToString::to_string).collect();
        let (word, each) = (line.how(), if group.own { "each as their own of " } else { "as " });
        let names = listed(names.get(..FEW).unwrap_or(&names), many(names.len().saturating_sub(FEW)));
        let labels = if line.labels.is_empty() { String::new() } else { format!(" ({})", line.labels.join(", ")) };
        line.text =
            format!("{}: {word} {each}{names} on {}{labels}", listed(&users, line.users_more), listed(&line.targets, line.targets_more));
        line
    }
}

/// The first few by name.
fn first<T: Target>(table: &Table<'_, T>, classes: &Bits) -> Vec<String> {
    let few = classes.iter().filter_map(|class| table.classes.get(class)).flat_map(|members| members.iter().take(FEW));
    let mut places: Vec<usize> = few.copied().collect();
    places.sort_unstable();
    places.iter().take(FEW).filter_map(|at| table.targets.get(*at)).map(|(name, _)| (*name).to_owned()).collect()
}

/// The labels that all share.
fn shared<T: Target>(table: &Table<'_, T>, classes: &Bits, side: usize) -> Vec<String> {
    let members = classes.iter().filter_map(|class| table.classes.get(class)).flatten();
    let mut targets = members.filter_map(|at| table.targets.get(*at)?.1.get(side).copied().flatten());
    let Some(one) = targets.next() else { return Vec::new() };
    let mut left: Vec<(&String, &String)> = one.labels().iter().map(|(key, label)| (key, &label.value)).collect();
    for target in targets {
        left.retain(|(key, value)| target.labels().get(*key).is_some_and(|label| label.value == **value));
        if left.is_empty() {
            break;
        }
    }
    left.into_iter().take(LABELS).map(|(key, value)| format!("{key}={value}")).collect()
}

/// `a`, `a and b`, `a, b and 3 more`.
fn listed(some: &[String], more: u64) -> String {
    match (some.split_last(), more) {
        (None, _) => String::new(),
        (Some((only, [])), 0) => only.clone(),
        (Some((last, rest)), 0) => format!("{} and {last}", rest.join(", ")),
        (Some(_), more) => format!("{} and {more} more", some.join(", ")),
    }
}

fn many(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
