//! A second opinion of who may open which session, over all that a role can say: written for shortness, and sharing no helper with `access`.
//! Conditions and hours are answered here by hand, for the few that the random worlds hold.
#![allow(dead_code, unreachable_pub, reason = "each test file takes what it needs")]

use access::event::SessionKind;
use access::identity::{Identity, Method, NodeFacts, Origin};
use serde_json::Value;

use crate::worlds::{NOW, World};

/// One question in a world.
pub struct Asked<'a> {
    pub world: &'a World,
    pub who: &'a Identity,
    pub node: &'a NodeFacts,
    pub login: &'a str,
    pub kind: SessionKind,
}

/// A role that counts, and whether a request gave it.
struct Counts {
    at: usize,
    role: Value,
    by_request: bool,
}

impl Asked<'_> {
    /// Yes or no.
    pub fn allowed(&self) -> bool {
        let others = &self.world.others;
        let rails: Vec<Value> = others.guardrails.values().map(json).filter(|rail| self.hit(rail)).collect();
        let requested = |rail: &Value| rail["unless"]["requested"] == true;
        let settings = json(&others.settings);
        let everywhere = self.who.auth.method == Method::BreakGlass || self.open(&settings["options"]);
        let gives = |one: &Counts| {
            let open = one.role["dry_run"] == true || self.open(&one.role["options"]);
            open && (rails.is_empty() || one.by_request) && list(&one.role["allow"]["ssh"]).any(|rule| self.says(rule, false))
        };
        let counting = self.counting();
        self.who.expires > NOW
            && !self.locked()
            && rails.iter().all(requested)
            && !counting.iter().any(|one| one.role["dry_run"] != true && self.denied_by(one))
            && everywhere
            && counting.iter().any(gives)
    }

    /// The roles that are tried out and would deny it.
    pub fn tried(&self) -> Vec<String> {
        let tried = self.counting().into_iter().filter(|one| one.role["dry_run"] == true && self.denied_by(one));
        tried.map(|one| format!("r{}", one.at)).collect()
    }

    fn denied_by(&self, one: &Counts) -> bool {
        list(&one.role["deny"]["ssh"]).any(|rule| self.says(rule, true))
    }

    fn counting(&self) -> Vec<Counts> {
        let roles = self.world.roles.iter().enumerate();
        let counts = roles.filter_map(|(at, role)| {
            let own = self.who.roles.iter().any(|has| has.as_str() == format!("r{at}"));
            let granted = self.who.granted.iter().any(|grant| {
                let here = grant.only.as_ref().is_none_or(|only| {
                    json(only.kind) == "node"
                        && only.name == self.node.name.as_str()
                        && only.login.as_ref().is_none_or(|login| login.as_str() == self.login)
                });
                grant.role.as_str() == format!("r{at}") && grant.until > NOW && here
            });
            (own || granted).then(|| Counts { at, role: json(role), by_request: !own })
        });
        counts.collect()
    }

    fn locked(&self) -> bool {
        self.world.others.locks.iter().any(|lock| {
            let ended = json(&lock.spec)["for"] == "1s";
            let target = json(&lock.spec.target);
            let bot = self.who.auth.method == Method::Bot;
            let role = |name: &str| {
                let given = self.who.granted.iter().filter(|grant| grant.until > NOW).map(|grant| &grant.role);
                self.who.roles.iter().chain(given).any(|role| role.as_str() == name)
            };
            let is = |key: &str, value: Option<&str>| target[key].is_string() && target[key].as_str() == value;
            !ended
                && (target["all"] == true
                    || is("user", (!bot).then_some(self.who.name.as_str()))
                    || is("bot", bot.then_some(self.who.name.as_str()))
                    || target["role"].as_str().is_some_and(role)
                    || is("node", Some(self.node.name.as_str()))
                    || is("agent", self.node.agent.as_ref().map(|agent| agent.as_str()))
                    || is("login", Some(self.login))
                    || is("certificate", self.who.context.certificate.as_deref()))
        })
    }

    fn hit(&self, rail: &Value) -> bool {
        let (who, reach) = (&rail["never"]["who"], &rail["never"]["reach"]);
        let user = who["users"].is_null() || list(&who["users"]).any(|name| name == self.who.name.as_str());
        let role = who["roles"].is_null() || list(&who["roles"]).any(|name| self.who.roles.iter().any(|has| name == has.as_str()));
        let oncall = self.who.traits.get("groups").into_iter().flatten().any(|value| value.starts_with("on"));
        let ssh = match (reach["ssh"].is_null(), reach["kubernetes"].is_null()) {
            (true, kube) => kube,
            (false, _) => reach["ssh"]["logins"].is_null() || list(&reach["ssh"]["logins"]).any(|login| self.named(login)),
        };
        user && role && (who["traits"].is_null() || oncall) && ssh && self.labels(&reach["labels"], true)
    }

    fn open(&self, options: &Value) -> bool {
        let from = self.who.context.from.map(|from| from.to_string()).unwrap_or_default();
        let inside = |network: &Value| match network.as_str().expect("text") {
            "10.0.0.0/8" => from.starts_with("10."),
            "192.0.2.0/24" | "192.0.2.9" | "192.0.2.9/32" => from == "192.0.2.9",
            other => panic!("no opinion of {other}"),
        };
        // It is Thursday, a quarter past midnight.
        let now = |hours: &Value| hours.as_str().expect("text").starts_with("mon-sun 00:00");
        (options["networks"].is_null() || list(&options["networks"]).any(inside))
            && (options["hours"].is_null() || list(&options["hours"]).any(now))
    }

    fn says(&self, rule: &Value, deny: bool) -> bool {
        let kind = match self.kind {
            SessionKind::Shell => "shell",
            SessionKind::Exec => "exec",
            SessionKind::Sftp => "sftp_read",
        };
        let kinds = rule["kinds"].is_null() || list(&rule["kinds"]).any(|one| one == kind);
        let agents = rule["agent_labels"] == true;
        let spoken = kinds
            && self.labels(&rule["labels"], deny || agents)
            && list(&rule["logins"]).any(|login| self.named(login) && (deny || login != "*"));
        let holds = match (rule["where"].as_str(), deny) {
            (None, _) => true,
            (Some(when), false) => self.holds(when, agents) == Some(true),
            // Neither what an agent says nor what it leaves out takes a deny away.
            (Some(when), true) => self.holds(when, true) != Some(false) || self.holds(when, false) != Some(false),
        };
        spoken && holds
    }

    fn named(&self, login: &Value) -> bool {
        let values = || self.who.traits.get("logins").into_iter().flatten();
        match login.as_str().expect("text") {
            "*" => true,
            "{{none}}" => false,
            "{{logins}}" => values().any(|value| value == self.login),
            "adm-{{logins}}" => values().any(|value| format!("adm-{value}") == self.login),
            other => other == self.login,
        }
    }

    fn labels(&self, selector: &Value, agents: bool) -> bool {
        selector.as_object().expect("labels").iter().all(|(key, patterns)| {
            let mut patterns = list(patterns).map(|pattern| pattern.as_str().expect("text"));
            key == "*" || self.label(key, agents).is_some_and(|value| patterns.any(|pattern| fits(pattern, value)))
        })
    }

    fn label(&self, key: &str, agents: bool) -> Option<&str> {
        self.node.labels.get(key).filter(|label| agents || label.origin != Origin::Agent).map(|label| label.value.as_str())
    }

    /// What a condition answers; none where it cannot.
    fn holds(&self, when: &str, agents: bool) -> Option<bool> {
        let groups = self.who.traits.get("groups");
        let has = |value: &str| groups.map(|groups| groups.iter().any(|group| group == value));
        Some(match when {
            "'oncall' in user.traits.groups" => has("oncall")?,
            "user.name == 'u1'" => self.who.name.as_str() == "u1",
            "target.labels.env == 'prod'" => self.label("env", agents)? == "prod",
            "target.labels.env != 'prod'" => self.label("env", agents)? != "prod",
            "target.name == 'n1' || target.name == 'c1'" => self.node.name.as_str() == "n1",
            "target.login == 'root'" => self.login == "root",
            "request.kind == 'shell' || request.kind == 'get'" => self.kind == SessionKind::Shell,
            "time.hour < 12" => true,
            "time.hour > 12" => false,
            "network.address == '10.0.0.1'" => self.who.context.from.is_some_and(|from| from.to_string() == "10.0.0.1"),
            "request.approved" => self.who.granted.iter().any(|grant| grant.until > NOW),
            "has(target.labels.team) && target.labels.team in user.traits.groups" => match self.label("team", agents) {
                None => false,
                Some(team) => has(team)?,
            },
            other => panic!("no opinion of {other}"),
        })
    }
}

/// Patterns of these worlds have one star at most at each end.
fn fits(pattern: &str, value: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(""), _) => true,
        (Some(tail), _) => value.ends_with(tail),
        (_, Some(head)) => value.starts_with(head),
        _ => pattern == value,
    }
}

fn json<T: serde::Serialize>(value: T) -> Value {
    serde_json::to_value(value).expect("JSON")
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
