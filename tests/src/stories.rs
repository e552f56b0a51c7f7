//! Runs `tests/stories/*.txt`: what people type and what they must see, against the real program and stock OpenSSH.
//!
//! A story is lines. `as NAME` says who types from here on. `$ COMMAND` is a line for `sh` that must end with 0, `! COMMAND` one
//! that must not; then about that command: `exit N`, `stdout TEXT`, `stderr TEXT` (contained, in the order written), `stdout=
//! TEXT` (the whole), `no stdout TEXT`, `no stderr TEXT`. `keep NAME` keeps the last output as `$NAME` for later commands, and
//! `{NAME}` stands for it in expectations. Kept from the start: URL, HOST, PORT, LOGIN, STATE, and LINK_ALICE and so on.
//! `until COMMAND` repeats a command until it ends with 0. `log TYPE KEY=VALUE…` waits until the audit log has such an event.
//! `slow` as the first line leaves the story out of the inner loop. Empty lines and `#` are for the reader.

use crate::harness::{Demo, Person, fast};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

/// How long an event may take to appear; only a failing story waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

struct Story<'a> {
    demo: &'a Demo,
    people: BTreeMap<String, Person>,
    who: String,
    last: Option<Output>,
    kept: BTreeMap<String, String>,
}

impl<'a> Story<'a> {
    fn new(demo: &'a Demo) -> Self {
        let (host, port) = demo.ready("ssh").rsplit_once(':').expect("host and port");
        let mut kept: BTreeMap<String, String> = [("HOST", host), ("PORT", port)].map(|(name, value)| (name.into(), value.into())).into();
        for (name, field) in [("URL", "url"), ("LOGIN", "login"), ("STATE", "state")] {
            kept.insert(name.into(), demo.ready(field).into());
        }
        for name in ["alice", "olga", "admin"] {
            kept.insert(format!("LINK_{}", name.to_uppercase()), demo.ready(&format!("sign_in.{name}")).into());
        }
        Self { demo, people: BTreeMap::new(), who: String::new(), last: None, kept }
    }

    /// Takes one line; the error is what a reader of the story must know.
    fn line(&mut self, line: &str) -> Result<(), String> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb {
            "" | "#" | "slow" => Ok(()),
            "as" => self.become_(rest),
            "$" => self.run(rest, true),
            "!" => self.run(rest, false),
            "until" => self.until(rest),
            "exit" => self.exit(rest),
            "keep" => {
                let value = String::from_utf8_lossy(&self.last()?.stdout).trim().to_owned();
                self.kept.insert(rest.into(), value);
                Ok(())
            }
            "stdout" | "stderr" | "stdout=" => self.said(verb, rest, true),
            "no" => {
                let (stream, text) = rest.split_once(' ').ok_or("`no stdout TEXT` or `no stderr TEXT`")?;
                self.said(stream, text, false)
            }
            "log" => self.log(rest),
            _ => Err(format!("no such line: {verb}")),
        }
    }

    fn become_(&mut self, name: &str) -> Result<(), String> {
        if !self.people.contains_key(name) {
            self.people.insert(name.into(), self.demo.sign_in(name)?);
        }
        self.who = name.into();
        Ok(())
    }

    fn run(&mut self, command: &str, well: bool) -> Result<(), String> {
        let person = self.people.get(&self.who).ok_or("nobody types yet; begin with `as NAME`")?;
        let mut shell = person.command("sh");
        shell.args(["-c", command]).envs(&self.kept).stdin(Stdio::null());
        let out = shell.output().map_err(|e| e.to_string())?;
        let fine = out.status.success() == well;
        let words = format!("ended with {}\n{}", out.status, both(&out));
        self.last = Some(out);
        if fine { Ok(()) } else { Err(words) }
    }

    fn until(&mut self, command: &str) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let done = self.run(command, true);
            if done.is_ok() || start.elapsed() > PATIENCE {
                return done;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The text with what was kept in place of `{NAME}`.
    fn meant(&self, text: &str) -> String {
        self.kept.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }

    fn last(&self) -> Result<&Output, String> {
        self.last.as_ref().ok_or_else(|| "there was no command yet".into())
    }

    fn exit(&self, code: &str) -> Result<(), String> {
        let got = self.last()?.status.code().map(|code| code.to_string()).unwrap_or_default();
        if got == code { Ok(()) } else { Err(format!("exit code {got}\n{}", both(self.last()?))) }
    }

    fn said(&self, stream: &str, text: &str, wanted: bool) -> Result<(), String> {
        let out = self.last()?;
        let got = String::from_utf8_lossy(if stream == "stderr" { &out.stderr } else { &out.stdout });
        let text = self.meant(text).replace("\\n", "\n").replace("\\t", "\t");
        let there = if stream == "stdout=" { *got == text } else { got.contains(&text) };
        if there == wanted { Ok(()) } else { Err(both(out)) }
    }

    /// As the auditor, whose rights cover it.
    fn log(&mut self, what: &str) -> Result<(), String> {
        let what = self.meant(what);
        let mut words = what.split_whitespace();
        let kind = words.next().ok_or("`log TYPE KEY=VALUE…`")?;
        let pairs: Vec<(&str, &str)> = words.filter_map(|word| word.split_once('=')).map(|(key, value)| (path(key), value)).collect();
        if !self.people.contains_key("olga") {
            self.people.insert("olga".into(), self.demo.sign_in("olga")?);
        }
        let start = Instant::now();
        loop {
            let out = self.people["olga"].naru(&["events", "search", "--type", kind, "--json"]);
            let text = String::from_utf8_lossy(&out.stdout).into_owned();
            let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            if events.into_iter().any(|event| pairs.iter().all(|(key, value)| has(&event, key, value))) {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                return Err(format!("the log has none such but\n{text}{}", String::from_utf8_lossy(&out.stderr)));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The words of stories for fields of the envelope.
fn path(key: &str) -> &str {
    match key {
        "user" => "actor",
        "node" => "target",
        other => other,
    }
}

/// Whether a key of this name, however deep, has this value, or is an object that has it as its name. A value that ends in `*` is
/// the beginning of the text.
fn has(event: &Value, key: &str, value: &str) -> bool {
    let is = |found: &Value| match found {
        Value::String(text) => value.strip_suffix('*').map_or(text == value, |start| text.starts_with(start)),
        Value::Object(fields) => fields.get("name").and_then(Value::as_str) == Some(value),
        other => serde_json::to_string(other).is_ok_and(|text| text == value),
    };
    match event {
        Value::Object(fields) => fields.iter().any(|(name, inner)| (name == key && is(inner)) || has(inner, key, value)),
        Value::Array(items) => items.iter().any(|item| has(item, key, value)),
        _ => false,
    }
}

fn both(out: &Output) -> String {
    format!("stdout: {}\nstderr: {}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

fn tell(file: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(file).map_err(|e| e.to_string())?;
    if fast() && text.lines().next() == Some("slow") {
        return Ok(());
    }
    let demo = Demo::start(&[])?;
    let mut story = Story::new(&demo);
    for (at, line) in text.lines().enumerate() {
        story.line(line.trim()).map_err(|why| format!("line {}: {line}\n{why}\n--- the demo said\n{}", at + 1, demo.log()))?;
    }
    Ok(())
}

#[test]
fn stories_come_true() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("stories");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "txt"));
    files.sort();
    // Two at once: a story mostly waits.
    let (left, right) = files.split_at(files.len() / 2);
    let all = |files: &[PathBuf]| -> Vec<String> {
        files.iter().filter_map(|file| tell(file).err().map(|why| format!("{}: {why}", file.display()))).collect()
    };
    let wrong = std::thread::scope(|scope| {
        let other = scope.spawn(|| all(left));
        let mut wrong = all(right);
        wrong.extend(other.join().unwrap());
        wrong
    });
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n\n"));
}

#[test]
fn a_field_of_an_event_is_found_however_deep() {
    let event = serde_json::json!({"type": "session.start", "actor": {"id": "x", "name": "alice"}, "data": {"exit": 7}});
    assert!(has(&event, path("user"), "alice") && has(&event, "exit", "7"));
    assert!(has(&event, "type", "session.*") && !has(&event, "type", "sess"));
    assert!(!has(&event, "actor", "olga") && !has(&event, "node", "alice"));
}
