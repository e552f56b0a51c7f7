//! Any resource of every kind with any of its fields, as proptest makes them: what all that read and write resources must agree on.

use access::policy::{Resource, Stated};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};

/// Fields that stand together or not at all.
type Group = Vec<(&'static str, BoxedStrategy<Value>)>;

/// Words that YAML could take for something else, and some that it could not.
const WORDS: [&str; 16] =
    ["no", "1", "8h", "null", "~", "a: b", "# x", "*", "", "한", "'\"", "1e3", "{{", "true", "- a", "kubernetes.io/x"];

fn one(field: &'static str, value: impl Strategy<Value = Value> + 'static) -> Group {
    vec![(field, value.boxed())]
}

/// A map with each group of fields two times out of three.
fn some(groups: Vec<Group>) -> BoxedStrategy<Value> {
    let group = |group: Group| {
        let fields: Vec<_> = group.into_iter().map(|(name, value)| value.prop_map(move |value| (name.to_owned(), value))).collect();
        proptest::option::weighted(0.67, fields)
    };
    let all: Vec<_> = groups.into_iter().map(group).collect();
    all.prop_map(|groups| Value::Object(groups.into_iter().flatten().flatten().collect::<Map<_, _>>())).boxed()
}

/// A map with all of these fields, and some of the groups.
fn with(must: Group, groups: Vec<Group>) -> BoxedStrategy<Value> {
    let must: Vec<_> = must.into_iter().map(|(name, value)| value.prop_map(move |value| (name.to_owned(), value))).collect();
    (must, some(groups))
        .prop_map(|(must, rest)| {
            let mut all: Map<_, _> = must.into_iter().collect();
            all.extend(rest.as_object().cloned().unwrap_or_default());
            Value::Object(all)
        })
        .boxed()
}

fn word() -> BoxedStrategy<Value> {
    select(WORDS.to_vec()).prop_map(Value::from).boxed()
}
fn of(words: &[&'static str]) -> BoxedStrategy<Value> {
    select(words.to_vec()).prop_map(Value::from).boxed()
}
fn any_of(words: &[&'static str]) -> BoxedStrategy<Value> {
    subsequence(words.to_vec(), 1..=words.len()).prop_map(|words| json!(words)).boxed()
}
fn list(item: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    vec(item, 1..4).prop_map(Value::from).boxed()
}
fn flag() -> BoxedStrategy<Value> {
    any::<bool>().prop_map(Value::from).boxed()
}
fn count() -> BoxedStrategy<Value> {
    prop_oneof![Just(1_u32), 1..17_u32].prop_map(Value::from).boxed()
}
fn number() -> BoxedStrategy<Value> {
    prop_oneof![1..17_u32, Just(u32::MAX)].prop_map(Value::from).boxed()
}
fn names() -> BoxedStrategy<Value> {
    any_of(&["no", "1e3", "8h", "ops", "a.b_c-d"])
}
fn name() -> BoxedStrategy<Value> {
    of(&["no", "1e3", "8h", "ops", "1", "0x1"])
}
fn period() -> BoxedStrategy<Value> {
    of(&["90s", "1m", "90m", "8h", "2d"])
}
fn condition() -> BoxedStrategy<Value> {
    of(&["'oncall' in user.roles", "user.name == \"a: 'b' # c\"", "time.hour >= 9 && time.hour < 18", "request.reason\n  != ''"])
}
fn labels() -> BoxedStrategy<Value> {
    proptest::collection::btree_map(select(vec!["no", "1", "env", "kubernetes.io/x", "a: b", "a[0]"]), vec(word(), 1..3), 1..3)
        .prop_map(|labels| json!(labels))
        .boxed()
}
fn label_values() -> BoxedStrategy<Value> {
    proptest::collection::btree_map(select(vec!["no", "1", "env", "kubernetes.io/x", "a: b"]), select(WORDS.to_vec()), 0..3)
        .prop_map(|labels| json!(labels))
        .boxed()
}
fn traits() -> BoxedStrategy<Value> {
    proptest::collection::btree_map(select(vec!["logins", "a.b", "x:y", "no"]), vec(word(), 0..3), 0..3)
        .prop_map(|traits| json!(traits))
        .boxed()
}

fn ssh() -> BoxedStrategy<Value> {
    let logins = || one("logins", any_of(&["{{logins}}", "root", "no", "a-{{x:y}}"]));
    let usual = || vec![one("labels", labels()), logins(), one("agent_labels", flag()), one("where", condition())];
    let kinds = ["shell", "exec", "sftp_read", "agent_forwarding", "x11"];
    let plain = [usual(), vec![one("kinds", any_of(&kinds))]].concat();
    let exec =
        vec![("kinds", Just(json!(["exec"])).boxed()), ("commands", any_of(&["uptime", "sh -c 'a: b'", "no", "systemctl status *"]))];
    let away =
        vec![("kinds", Just(json!(["forward", "sftp_write", "sftp_read"])).boxed()), ("forwards", any_of(&["a:1", "[::1]:8-9", "*.b:*"]))];
    prop_oneof![some(plain), with(exec, usual()), with(away, usual())].boxed()
}

fn kubernetes() -> BoxedStrategy<Value> {
    let patterns = || list(word());
    let verbs = ["get", "deletecollection", "exec", "attach", "portforward", "proxy", "debug"];
    some(vec![
        one("labels", labels()),
        one("groups", any_of(&["no", "team:{{a.b}}", "1"])),
        one("user", of(&["no", "{{x:y}}"])),
        one("namespaces", patterns()),
        one("api_groups", patterns()),
        one("resources", patterns()),
        one("names", patterns()),
        one("verbs", any_of(&verbs)),
        one("agent_labels", flag()),
        one("where", condition()),
    ])
}

fn options(logins: bool) -> BoxedStrategy<Value> {
    let step_up = some(vec![one("acr", any_of(&["no", "1", "gold"])), one("amr", any_of(&["otp", "8h"])), one("max_age", period())]);
    let mut groups = vec![
        one("recording", of(&["strict", "best_effort", "off"])),
        one("record_input", flag()),
        vec![("max_session", period()), ("extend", period())],
        one("idle", period()),
        one("max_sessions", number()),
        one("notice", word()),
        one("max_output", of(&["1B", "512KiB", "3MiB", "1GiB", "2TiB"])),
        one("step_up", step_up),
        one("reason", flag()),
        one("networks", any_of(&["10.0.0.0/8", "::1", "192.0.2.7", "fd00::/8"])),
        one("hours", any_of(&["mon-fri 09:00-18:00 Asia/Seoul", "sat,sun 00:00-24:00 UTC"])),
    ];
    if logins {
        groups.push(vec![("max_logins", number()), ("when_full", of(&["oldest_out", "newest_refused"]))]);
    }
    some(groups)
}

fn role() -> BoxedStrategy<Value> {
    let audit = with(
        one("sessions", any_of(&["list", "play", "watch", "join", "export", "kill"])),
        vec![one("events", flag()), one("users", list(word())), one("roles", names()), one("labels", labels())],
    );
    let administer =
        proptest::collection::btree_map(select(vec!["*", "role", "join_token", "link"]), select(vec!["read", "plan", "write"]), 0..4);
    let allow = some(vec![
        one("ssh", list(ssh())),
        one("kubernetes", list(kubernetes())),
        one("review", with(one("roles", names()), vec![one("where", condition())])),
        one("audit", list(audit)),
        one("administer", administer.prop_map(|levels| json!(levels))),
    ]);
    let denied = with(vec![("labels", labels()), ("logins", any_of(&["*", "root"]))], vec![one("where", condition())]);
    some(vec![
        one("description", word()),
        one("allow", allow),
        one("deny", some(vec![one("ssh", list(denied))])),
        one("may_request", names()),
        one("options", options(true)),
        one("dry_run", flag()),
    ])
}

fn provider() -> Vec<Group> {
    vec![
        one("proxy", of(&["http://proxy.example.com:3128"])),
        one("endpoint_hosts", any_of(&["api.example.com"])),
        one("algorithms", any_of(&["RS256", "ES256"])),
        one("max_login", of(&["90s", "1h"])),
    ]
}

fn connector() -> BoxedStrategy<Value> {
    let must = vec![("issuer", of(&["https://sso.example.com/realms/a"])), ("client_id", of(&["naru"]))];
    let claims = select(WORDS.to_vec()).prop_map(|value| json!({"a.b": {value: ["ops", "no"]}, "no": {"*": ["1"]}}));
    let mut groups = provider();
    groups.extend([
        one("client_secret", of(&["no", "hunter2", "a: b", "1e3"])),
        one("scopes", any_of(&["groups", "no"])),
        one("claims", claims),
        one("traits", Just(json!({"no": "a.b", "x:y": "1"}))),
        one("username", of(&["preferred_username"])),
        one("audiences", any_of(&["account", "1"])),
        one("flows", any_of(&["browser", "device", "headless"])),
        one("refresh", of(&["30s"])),
        one("outage", of(&["0s", "15m"])),
    ]);
    with(must, groups)
}

fn bot() -> BoxedStrategy<Value> {
    let claims = vec(word(), 1..3).prop_map(|values| json!({"sub": ["a"], "1": values, "https://a/b": ["x"]}));
    let must = vec![("issuer", of(&["https://ci.example.com"])), ("audience", of(&["naru", "1e3"])), ("claims", claims.boxed())];
    with(must, [provider(), vec![one("roles", names()), one("traits", traits())]].concat())
}

fn guardrail() -> BoxedStrategy<Value> {
    let who = some(vec![one("users", list(word())), one("roles", names()), one("traits", Just(json!({"a.b": ["no", "*"]})))]);
    let reach = with(
        one("labels", labels()),
        vec![one("ssh", some(vec![one("logins", any_of(&["*", "root"]))])), one("kubernetes", some(vec![one("groups", list(word()))]))],
    );
    let never = with(one("reach", reach), vec![one("who", who)]);
    with(one("never", never), vec![one("description", word()), one("unless", some(vec![one("requested", flag())]))])
}

fn access_rule() -> BoxedStrategy<Value> {
    let reason = prop_oneof![
        some(vec![one("required", flag())]),
        with(vec![("required", Just(json!(true)).boxed()), ("pattern", of(&["[A-Z]+-[0-9]+", "no", "# x"]))], Vec::new())
    ];
    with(
        one("roles", names()),
        vec![
            one("description", word()),
            one("approvals", some(vec![one("required", count()), one("from", names())])),
            one("max_ttl", period()),
            one("pending", period()),
            one("max_uses", number()),
            one("reason", reason),
            one("auto_review", with(vec![("when", condition()), ("approve", flag())], Vec::new())),
            one("notify", names()),
        ],
    )
}

fn messenger() -> BoxedStrategy<Value> {
    let webhook = with(
        one("url", of(&["https://hooks.example.com/a?b#c", "http://127.0.0.1:9/x"])),
        vec![
            one("secret", of(&["whsec_0123456789abcdef", "whsec_no: # 0123456789"])),
            one("secret_version", prop_oneof![Just(0_u32), Just(u32::MAX)].prop_map(Value::from)),
            one("allow_private", flag()),
        ],
    );
    with(one("webhook", webhook), vec![one("events", list(word()))])
}

fn lock() -> BoxedStrategy<Value> {
    let words = ["user", "bot", "role", "node", "cluster", "agent", "login", "certificate"];
    let target = prop_oneof![
        select(words.to_vec()).prop_map(|kind| json!({kind: if kind == "login" { "no" } else { "0" }})),
        Just(json!({"all": true}))
    ];
    with(vec![("target", target.boxed()), ("reason", of(&["no", "# left", "a: b"]))], vec![one("for", period())])
}

fn join_token() -> BoxedStrategy<Value> {
    let must = vec![("kinds", any_of(&["ssh", "kubernetes"])), ("names", list(word()))];
    let ttl = vec![one("uses", count()), one("ttl", period()), one("gone_after", period()), one("labels", label_values())];
    with(must, ttl)
}

fn user() -> BoxedStrategy<Value> {
    some(vec![one("roles", names()), one("traits", traits()), one("notes", word())])
}

/// Any resource without a fault, with any of what stands beside its spec.
pub(crate) fn stated() -> BoxedStrategy<Stated> {
    let described = || some(vec![one("description", word())]);
    let kinds: Vec<(&str, BoxedStrategy<Value>)> = vec![
        ("role", role()),
        ("user", user()),
        ("oidc_connector", connector()),
        ("bot", bot()),
        ("join_token", join_token()),
        ("node", described()),
        ("cluster", described()),
        ("guardrail", guardrail()),
        ("access_rule", access_rule()),
        ("messenger", messenger()),
        ("audit_sink", messenger()),
        ("lock", lock()),
        ("settings", some(vec![one("options", options(false))])),
    ];
    let kinds = kinds.into_iter().map(|(kind, spec)| (Just(kind), spec));
    let beside = some(vec![
        one("id", of(&["1", "no", "0190b1a5-0000-7000-8000-000000000000"])),
        one("revision", any::<u64>().prop_map(Value::from)),
        one("labels", label_values()),
        one("managed_by", of(&["no", "https://git.example.com/a: b"])),
    ]);
    let whole = (proptest::strategy::Union::new(kinds), name(), beside).prop_map(|((kind, spec), name, beside)| {
        let mut all = beside.as_object().cloned().unwrap_or_default();
        all.insert("kind".into(), kind.into());
        all.insert("name".into(), if kind == "settings" { "settings".into() } else { name });
        all.insert("spec".into(), spec);
        let made = serde_json::from_value::<Stated>(Value::Object(all.clone()));
        made.map_err(|error| format!("{error}: {all:?}")).expect("a resource")
    });
    whole.prop_filter("it has a fault", |stated| faults(&stated.resource).is_empty() && stated.faults_beside().is_empty()).boxed()
}

fn faults(resource: &Resource) -> Vec<String> {
    resource.faults().into_iter().map(|fault| format!("{} {}", fault.path, fault.message)).collect()
}

/// Every field of every kind is among what is made: one that nobody thought of here would be read by luck.
#[test]
fn every_field_is_made() {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..2_000 {
        let stated = stated().new_tree(&mut runner).expect("a resource").current();
        paths(&serde_json::to_value(&stated).expect("writes")["spec"], stated.resource.kind().as_str(), &mut seen);
    }
    for path in FIELDS.lines().flat_map(|line| {
        let (at, fields) = line.split_once(": ").expect("a line");
        fields.split(' ').map(move |field| format!("{at}.{field}"))
    }) {
        assert!(seen.contains(&path), "nothing makes {path}");
    }
}

/// The fields of the shapes in `access`.
const FIELDS: &str = "\
role: description allow deny may_request options dry_run
role.allow: ssh kubernetes review audit administer
role.allow.ssh: labels logins kinds commands forwards agent_labels where
role.allow.kubernetes: labels groups user namespaces api_groups resources names verbs agent_labels where
role.allow.review: roles where
role.allow.audit: sessions events users roles labels
role.deny.ssh: labels logins where
role.options: recording record_input max_session extend idle max_sessions notice max_output step_up reason networks hours max_logins when_full
role.options.step_up: acr amr max_age
settings.options: recording record_input max_session extend idle max_sessions notice max_output step_up reason networks hours
user: roles traits notes
oidc_connector: issuer client_id client_secret proxy endpoint_hosts algorithms scopes claims traits username audiences flows max_login refresh outage
bot: issuer proxy endpoint_hosts algorithms audience claims roles traits max_login
join_token: kinds names labels uses ttl gone_after
node: description
cluster: description
guardrail: description never unless
guardrail.never: who reach
guardrail.never.who: users roles traits
guardrail.never.reach: labels ssh kubernetes
guardrail.never.reach.ssh: logins
guardrail.never.reach.kubernetes: groups
guardrail.unless: requested
access_rule: description roles approvals max_ttl pending max_uses reason auto_review notify
access_rule.approvals: required from
access_rule.reason: required pattern
access_rule.auto_review: when approve
messenger: webhook events
audit_sink.webhook: url secret secret_version allow_private
lock: target reason for
lock.target: user bot role node cluster agent login certificate all";

fn paths(value: &Value, at: &str, seen: &mut std::collections::BTreeSet<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            let free = ["labels", "traits", "claims", "administer"].iter().any(|map| at.ends_with(map));
            let path = if free { at.to_owned() } else { format!("{at}.{key}") };
            seen.insert(path.clone());
            paths(value, &path, seen);
        }),
        Value::Array(items) => items.iter().for_each(|item| paths(item, at, seen)),
        _ => {}
    }
}
