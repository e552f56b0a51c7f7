//! What people may do beyond reaching targets: administer, see the doing of others, review requests, ask for roles; and what a change gives
//! and takes of it. By what roles say: networks, hours and requests have no say, and what is denied is told as such.

use std::collections::{BTreeMap, BTreeSet};

use super::World;
use crate::identity::Identity;
use crate::policy::{AuditRule, RoleSpec};
use crate::words::{RoleName, UserName};

/// Most people that a line names.
const FEW: usize = 5;

/// One right that some people gain or lose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RightLine {
    /// At most a few; `users_more` are left out.
    pub users: Vec<UserName>,
    /// How many more.
    pub users_more: u64,
    /// `administer`, `audit`, `review` or `request`.
    pub how: &'static str,
    /// Of what: `role: write`.
    pub what: String,
    /// All of it for people.
    pub text: String,
}

/// What a change gives and takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RightsDiff {
    /// What people would have and do not.
    pub gains: Vec<RightLine>,
    /// What people have and would not.
    pub loses: Vec<RightLine>,
    /// How many pairs of person and right were gained.
    pub gained: u64,
    /// The same of what was lost.
    pub lost: u64,
}

/// A right, or what denies one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Word {
    how: &'static str,
    what: String,
    denied: bool,
}

/// Compares the rights of everybody.
pub fn rights(before: &World<'_>, after: &World<'_>) -> RightsDiff {
    let (was, is) = (by_role(before), by_role(after));
    let same = |role: &RoleName| was.get(role) == is.get(role);
    let old: BTreeMap<&UserName, &Identity> = before.people.iter().map(|who| (&who.name, who)).collect();
    let new: BTreeMap<&UserName, &Identity> = after.people.iter().map(|who| (&who.name, who)).collect();
    let (mut gains, mut loses) = (Lines::default(), Lines::default());
    for name in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
        let roles = |people: &BTreeMap<&UserName, &'_ Identity>| people.get(*name).map(|who| who.roles.clone()).unwrap_or_default();
        let (before, after) = (roles(&old), roles(&new));
        if before == after && before.iter().all(same) {
            continue;
        }
        let had: BTreeSet<&Word> = before.iter().filter_map(|role| was.get(role)).flatten().collect();
        let has: BTreeSet<&Word> = after.iter().filter_map(|role| is.get(role)).flatten().collect();
        // What a deny takes is lost by who gets it.
        has.difference(&had).for_each(|word| if word.denied { &mut loses } else { &mut gains }.add(word, name, true));
        had.difference(&has).for_each(|word| if word.denied { &mut gains } else { &mut loses }.add(word, name, false));
    }
    let (gained, lost) = (gains.count(), loses.count());
    RightsDiff { gains: gains.told(), loses: loses.told(), gained, lost }
}

fn by_role<'a>(world: &World<'a>) -> BTreeMap<&'a RoleName, BTreeSet<Word>> {
    let mut all: BTreeMap<&RoleName, BTreeSet<Word>> = world.policy.roles().map(|(role, spec)| (role, words(spec))).collect();
    for rule in world.policy.others().access_rules.values() {
        for (from, role) in rule.approvals.from.iter().flat_map(|from| rule.roles.iter().map(move |role| (from, role))) {
            if let Some(words) = all.get_mut(from) {
                words.insert(Word { how: "review", what: role.to_string(), denied: false });
            }
        }
    }
    all
}

fn words(spec: &RoleSpec) -> BTreeSet<Word> {
    let mut all = BTreeSet::new();
    for (rights, denied) in [(&spec.allow, false), (&spec.deny, true)] {
        let mut add = |how, what| all.extend([Word { how, what, denied }]);
        rights.administer.iter().for_each(|(kind, level)| add("administer", format!("{}: {}", kind.as_str(), level.as_str())));
        rights.audit.iter().for_each(|rule| add("audit", audited(rule)));
        rights.review.roles.iter().for_each(|role| add("review", role.to_string()));
    }
    all.extend(spec.may_request.iter().map(|role| Word { how: "request", what: role.to_string(), denied: false }));
    all
}

/// `list, play, events of users a*, of who has role x, on env=prod`.
fn audited(rule: &AuditRule) -> String {
    let mut what: Vec<String> = rule.sessions.iter().map(|action| action.as_str().to_owned()).collect();
    what.extend(rule.events.then(|| "events".to_owned()));
    let mut text = what.join(", ");
    let list = |items: Vec<String>| items.join(", ");
    if !rule.users.is_empty() {
        text.push_str(&format!(" of {}", list(rule.users.iter().map(ToString::to_string).collect())));
    }
    if !rule.roles.is_empty() {
        text.push_str(&format!(" of who has {}", list(rule.roles.iter().map(ToString::to_string).collect())));
    }
    for (key, values) in &rule.labels {
        text.push_str(&format!(" on {key}={}", list(values.iter().map(ToString::to_string).collect())));
    }
    text
}

/// People by right, and whether it is the right itself or a deny that comes or goes.
#[derive(Default)]
struct Lines<'w>(BTreeMap<(&'w Word, bool), Vec<UserName>>);

impl<'w> Lines<'w> {
    fn add(&mut self, word: &'w Word, name: &UserName, comes: bool) {
        self.0.entry((word, comes)).or_default().push(name.clone());
    }

    fn count(&self) -> u64 {
        self.0.values().map(|users| users.len() as u64).sum()
    }

    fn told(self) -> Vec<RightLine> {
        let told = |((word, comes), mut users): ((&Word, bool), Vec<UserName>)| {
            let users_more = users.len().saturating_sub(FEW) as u64;
            users.truncate(FEW);
            let names: Vec<&str> = users.iter().map(|name| name.as_str()).collect();
            let more = if users_more > 0 { format!(" and {users_more} more") } else { String::new() };
            let how = match (word.denied, comes) {
                (false, _) => "",
                (true, true) => ", which is denied then",
                (true, false) => ", which is not denied any more",
            };
            let verb = if word.how == "request" { "may request" } else { word.how };
            let text = format!("{}{more}: {verb} {}{how}", names.join(", "), word.what);
            RightLine { users, users_more, how: word.how, what: word.what.clone(), text }
        };
        self.0.into_iter().map(told).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Others, PolicySet};

    fn policy(roles: &[(&str, &str)]) -> PolicySet {
        let one = |(name, spec): &(&str, &str)| (name.parse().expect("a name"), serde_json::from_str(spec).expect("a role"));
        PolicySet::build(roles.iter().map(one).collect()).expect("no faults").with(Others::default())
    }

    fn person(name: &str, roles: &[&str]) -> Identity {
        let user = crate::identity::UserId { issuer: "local".into(), subject: name.into() };
        Identity {
            user,
            name: name.parse().expect("a name"),
            roles: roles.iter().map(|role| role.parse().expect("a name")).collect(),
            traits: Default::default(),
            expires: crate::time::Timestamp::from_secs(1),
            auth: Default::default(),
            context: Default::default(),
            granted: Vec::new(),
        }
    }

    fn compared(before: (&PolicySet, &[Identity]), after: (&PolicySet, &[Identity])) -> (Vec<String>, Vec<String>, (u64, u64)) {
        let (nodes, clusters) = (&[], &[]);
        let world = |(policy, people)| World { policy, people, nodes, clusters };
        let RightsDiff { gains, loses, gained, lost } = rights(&world(before), &world(after));
        let texts = |lines: Vec<RightLine>| lines.into_iter().map(|line| line.text).collect();
        (texts(gains), texts(loses), (gained, lost))
    }

    #[test]
    fn a_role_that_is_given_and_one_that_changes_are_told() {
        let admin = r#"{"allow":{"administer":{"*":"write"},"audit":[{"sessions":["list","play"],"events":true}]}}"#;
        let lead = r#"{"allow":{"review":{"roles":["admin"]}},"may_request":["admin"]}"#;
        let one = policy(&[("admin", admin), ("lead", lead), ("plain", "{}")]);
        let people = [person("alice", &["plain"]), person("olga", &["lead"])];
        assert_eq!(compared((&one, &people), (&one, &people)), (vec![], vec![], (0, 0)));
        let then = [person("alice", &["admin", "plain"]), person("olga", &[])];
        let (gains, loses, counts) = compared((&one, &people), (&one, &then));
        assert_eq!(gains, ["alice: administer *: write", "alice: audit list, play, events"]);
        assert_eq!(loses, ["olga: may request admin", "olga: review admin"]);
        assert_eq!(counts, (2, 2));
        let more = policy(&[
            ("admin", admin),
            ("lead", lead),
            ("plain", r#"{"allow":{"administer":{"role":"write"}},"deny":{"administer":{"user":"read"}}}"#),
        ]);
        let (gains, loses, _) = compared((&one, &people), (&more, &people));
        assert_eq!(
            (gains.as_slice(), loses.as_slice()),
            (&["alice: administer role: write".to_owned()][..], &["alice: administer user: read, which is denied then".to_owned()][..])
        );
        let (gains, loses, _) = compared((&more, &people), (&one, &people));
        assert_eq!((loses.len(), gains[0].ends_with("not denied any more")), (1, true));
        let many: Vec<Identity> = (0..8).map(|n| person(&format!("u{n}"), &["admin"])).collect();
        let (gains, _, counts) = compared((&one, &[]), (&one, &many));
        assert!(gains[0].starts_with("u0, u1, u2, u3, u4 and 3 more: administer") && counts == (16, 0), "{gains:?}");
    }
}
