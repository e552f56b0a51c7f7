//! A provider that is hostile, broken or confused, and strangers who try: each is a line of a table, is refused with a reason of its
//! own in an event, signs nobody in, and makes the proxy ask no more than once. One proxy stands through all of it.
//!
//! The tables are in the files beside this one; here is what happens to a line of them.

mod accepted;
mod answers;
mod discovery;
mod floods;
mod headless;
mod logouts;
mod people;
mod refreshes;
mod strangers;
mod tokens;

use crate::harness::{Demo, Person};
use crate::issuer::form::Form;
use crate::issuer::script::Script;
use crate::issuer::token::Token;
use crate::issuer::{CLIENT, Issuer, Provider, SECRET};
use crate::stranger::{Attempt, Door, Said, Stranger};
use serde_json::Value;
use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Cases that are under way at once: those that wait for a provider's silence wait together.
const AT_ONCE: usize = 8;

/// A line of a table.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    /// Also the name of the connector, of its issuer and of the person.
    pub(crate) name: &'static str,
    /// What the event must say: a word of its outcome or data, or a part of its sentence. Empty: what was asked is no sign-in at all,
    /// and no event is demanded.
    pub(crate) reason: &'static str,
    /// What is changed at the issuer.
    pub(crate) script: Script,
    /// More lines of the connector's spec.
    pub(crate) spec: &'static str,
    /// What is done instead of beginning, signing in and finishing.
    pub(crate) drive: fn(&Try<'_>) -> Said,
    /// How often the issuer may be asked for something, where it is not [`BUDGET`].
    pub(crate) budget: &'static [(&'static str, u64)],
    /// Whether the same person signs in by the same connector once the issuer does the right thing, so that nothing else was the cause.
    pub(crate) heals: bool,
    /// Whether the issuer is so already when the connector is declared, which nobody minds.
    pub(crate) early: bool,
    /// What the issuer must have against us, where it has something.
    pub(crate) wrongs: &'static [&'static str],
}

/// How often an issuer may be asked in one refused sign-in.
const BUDGET: [(&str, u64); 9] = [
    ("discovery", 1),
    ("keys", 1),
    ("authorize", 1),
    ("token", 1),
    ("userinfo", 1),
    ("refresh", 0),
    ("device", 0),
    ("poll", 0),
    ("other", 0),
];

/// A case under way.
pub(crate) struct Try<'a> {
    pub(crate) case: &'a Case,
    pub(crate) issuer: Issuer,
    /// Another issuer of the same server, with a connector `other`, that does the right thing.
    pub(crate) other: Issuer,
    pub(crate) stranger: Stranger<'a>,
}

impl Try<'_> {
    pub(crate) fn begin(&self) -> Attempt {
        self.stranger.begin(self.case.name).unwrap_or_else(|said| panic!("{}: begin: {} {}", self.case.name, said.status, said.text))
    }

    pub(crate) fn authorize(&self, attempt: &Attempt) -> Form {
        self.issuer.authorize(&attempt.browse)
    }

    pub(crate) fn finish(&self, attempt: &Attempt, query: &Form) -> Said {
        self.stranger.finish(attempt, &query.written())
    }
}

/// A sign-in as a person does it.
fn plainly(at: &Try<'_>) -> Said {
    let attempt = at.begin();
    at.finish(&attempt, &at.authorize(&attempt))
}

impl Case {
    const fn new(name: &'static str, reason: &'static str, script: Script) -> Self {
        Self { name, reason, script, spec: "", drive: plainly, budget: &[], heals: true, early: false, wrongs: &[] }
    }
}

/// The id token is another one.
fn token(name: &'static str, reason: &'static str, id_token: fn(Token) -> Token) -> Case {
    Case::new(name, reason, Script { id_token, ..Script::default() })
}

/// The browser brings something else back.
fn redirect(name: &'static str, reason: &'static str, redirect: fn(Form) -> Form) -> Case {
    let case = Case::new(name, reason, Script { redirect, ..Script::default() });
    // What did not come from the provider is not taken to it.
    Case { budget: &[("token", 0), ("userinfo", 0)], ..case }
}

/// The person is somebody else.
fn person(name: &'static str, reason: &'static str, person: fn(Value) -> Value) -> Case {
    Case::new(name, reason, Script { person, ..Script::default() })
}

/// Something else is done; the issuer does the right thing.
fn driven(name: &'static str, reason: &'static str, drive: fn(&Try<'_>) -> Said) -> Case {
    Case { drive, ..Case::new(name, reason, Script::default()) }
}

/// A connector to an issuer, as YAML.
pub(crate) fn connector(name: &str, issuer: &str, more: &str) -> String {
    let more: String = more.lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "---\nkind: oidc_connector\nname: {name}\nspec:\n  issuer: {issuer}\n  client_id: {CLIENT}\n  client_secret: {SECRET}\n  \
         scopes: [openid, profile]\n  claims: {{groups: {{/sre: [engineer]}}}}\n  traits: {{logins: logins}}\n{more}"
    )
}

/// Writes resources as the administrator; the error is what was said.
pub(crate) fn apply(admin: &Person, name: &str, text: &str) -> Result<(), String> {
    let file = admin.home().join(format!("{name}.yaml"));
    std::fs::write(&file, text).unwrap();
    let out = admin.naru(&["apply", "-f", &file.to_string_lossy()]);
    if out.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&out.stderr).into_owned()) }
}

/// Every event of these types, oldest first.
pub(crate) fn events(olga: &Person, kind: &str) -> Vec<Value> {
    let out = olga.naru(&["events", "search", "--type", kind, "--limit", "10000", "--json"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Whether an event says a word as its own or before its sentence, or a part of its sentence.
pub(crate) fn says(event: &Value, reason: &str) -> bool {
    let texts = |of: &Value| -> Vec<String> {
        of.as_object().into_iter().flatten().filter_map(|(_, text)| text.as_str().map(str::to_owned)).collect()
    };
    let all: Vec<String> = texts(&event["outcome"]).into_iter().chain(texts(&event["data"])).collect();
    all.iter().any(|text| text == reason || text.starts_with(&format!("{reason}: ")) || (reason.contains(' ') && text.contains(reason)))
}

/// Resident memory of a process, in bytes.
pub(crate) fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// The address of the case at this place of the table: by it its events are found.
fn address(at: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 1, u8::try_from(at / 200).unwrap(), u8::try_from(at % 200 + 1).unwrap())
}

/// What happened that ought not to have, in one sentence each.
fn tried(at: &Try<'_>) -> Vec<String> {
    let said = (at.case.drive)(at);
    let mut wrong = Vec::new();
    let mut must = |good: bool, sentence: String| {
        if !good {
            wrong.push(format!("{}: {sentence}", at.case.name));
        }
    };
    must(said.refused(), format!("answered {} {}", said.status, said.text));
    let counts = at.issuer.counts();
    for (what, most) in BUDGET {
        let most = at.case.budget.iter().find(|(named, _)| *named == what).map_or(most, |(_, most)| *most);
        let asked = counts.get(what).copied().unwrap_or(0);
        must(asked <= most, format!("asked {asked} times for {what}, at most {most} is needed"));
    }
    must(at.issuer.wrongs() == at.case.wrongs, format!("the issuer complains: {:?}", at.issuer.wrongs()));
    must(at.issuer.sent() < 16 << 20, format!("took {} bytes of an answer without an end", at.issuer.sent()));
    if at.case.heals {
        at.issuer.set(Script::default());
        let said = plainly(at);
        must(said.signed_in(), format!("afterwards nobody can sign in: {} {}", said.status, said.text));
    }
    wrong
}

/// Runs a table against one proxy and fails with everything that went wrong in it.
pub(crate) fn run(cases: &[Case]) {
    let demo = Demo::start(&[]).unwrap();
    let (admin, olga, door, provider) = (demo.sign_in("admin").unwrap(), demo.sign_in("olga").unwrap(), Door::of(&demo), Provider::start());
    let other = provider.issuer("other");
    // Whoever declares a connector is told of a provider that is wrong already; these turn wrong afterwards.
    apply(&admin, "other", &connector("other", &other.url, "")).unwrap();
    for some in cases.chunks(100) {
        let script = |case: &Case| if case.early { case.script } else { Script::default() };
        let resources = some.iter().map(|case| connector(case.name, &provider.issuer_with(case.name, script(case)).url, case.spec));
        apply(&admin, "some", &resources.collect::<String>()).unwrap_or_else(|said| panic!("{said}"));
    }
    for case in cases {
        provider.known(case.name).forget_counts();
        provider.known(case.name).set(case.script);
    }
    let before = resident(demo.pid());
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((place, case)) = Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, cases.get(at)?))) {
                    let issuer = provider.known(case.name);
                    let at = Try { case, issuer, other: other.clone(), stranger: door.from(address(place)) };
                    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| tried(&at)));
                    let found = found.unwrap_or_else(|_| vec![format!("{}: failed half-way, see above", case.name)]);
                    wrong.lock().unwrap().extend(found);
                }
            });
        }
    });
    let mut wrong = wrong.into_inner().unwrap();
    let failed = events(&olga, "auth.login.failed");
    for (place, case) in cases.iter().enumerate() {
        let from = address(place).to_string();
        let of: Vec<&Value> = failed.iter().filter(|event| event["client"]["ip"] == from.as_str()).collect();
        match of.as_slice() {
            _ if case.reason.is_empty() => {}
            [one] if says(one, case.reason) => {}
            [one] => wrong.push(format!("{}: not {:?} but {} {}", case.name, case.reason, one["outcome"], one["data"])),
            many => wrong.push(format!("{}: {} events of a refused sign-in, not one", case.name, many.len())),
        }
    }
    let grown = resident(demo.pid()).saturating_sub(before);
    if grown > 32 << 20 {
        wrong.push(format!("the proxy grew by {grown} bytes"));
    }
    wrong.extend(kept_in_clear(&demo, &provider));
    if demo.log().contains("panicked") {
        wrong.push(format!("something panicked: {}", demo.log()));
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// What of the provider's lies readable among what the proxy keeps or says: it needs none of it there.
fn kept_in_clear(demo: &Demo, provider: &Provider) -> Vec<String> {
    let out = std::process::Command::new("grep")
        .args(["-rlaF", "-e", SECRET])
        .args([demo.state(), demo.folder().join("demo.log")])
        .output()
        .unwrap();
    let mut found: Vec<String> =
        String::from_utf8_lossy(&out.stdout).lines().map(|file| format!("{file} holds the client's secret")).collect();
    let file = demo.folder().join("tokens-given");
    std::fs::write(&file, provider.given().join("\n")).unwrap();
    let out = std::process::Command::new("grep")
        .args(["-rlaF", "-f"])
        .arg(&file)
        .args([demo.state(), demo.folder().join("demo.log")])
        .output()
        .unwrap();
    found.extend(String::from_utf8_lossy(&out.stdout).lines().map(|file| format!("{file} holds a token or a code of the provider")));
    found
}

#[test]
fn each_is_refused_with_its_reason() {
    run(&[tokens::cases(), answers::cases(), people::cases(), strangers::cases()].concat());
}
