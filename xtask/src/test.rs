//! `cargo xtask test`: every check in one order that can be read aloud, one line each, and a sum at the end.

use crate::count::Count;
use crate::{fuzz, keycloak, needs, pebble, run};
use std::process::{Command, ExitCode};
use std::time::Instant;

/// Lines of a failed step that are shown; the whole lies in a file.
const SHOWN: usize = 80;

/// What became of one step.
enum Outcome {
    Done(Count),
    Failed(Count, String),
    Skipped(String),
}

/// Runs all steps, also after one failed. `--fast` leaves out what looks at the world outside and the real fuzzer.
pub(crate) fn test(args: &[String]) -> Result<ExitCode, String> {
    let fast = match args {
        [] => false,
        [one] if one == "--fast" => true,
        _ => return Err("test takes no argument but --fast".into()),
    };
    needs::system(&mut |line| println!("{line}"))?;
    let mut sum = Count::default();
    step(&mut sum, "format", || check(run::cargo().args(["fmt", "--all", "--check"])));
    step(&mut sum, "lints", || check(run::cargo().args(["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])));
    let mut without = Vec::new();
    if !fast {
        let mut others = |name: &str, variable: &'static str, got: Result<std::path::PathBuf, String>| match got {
            Ok(_) => step(&mut sum, name, || Outcome::Done(Count::default())),
            Err(why) => {
                without.push(variable);
                step(&mut sum, name, || Outcome::Skipped(format!("its tests are left out: {why}")));
            }
        };
        others("Keycloak", "NARU_NO_KEYCLOAK", keycloak::prepare(&mut |line| println!("{line}")));
        others("Pebble", "NARU_NO_PEBBLE", pebble::prepare(&mut |line| println!("{line}")));
    }
    step(&mut sum, "tests", || tests(fast, &without));
    if !fast {
        step(&mut sum, "licences, bans, sources", || tool("deny", &["check", "bans", "licenses", "sources"]));
        step(&mut sum, "advisories", advisories);
        step(&mut sum, "fuzzing", || match fuzz::briefly(5) {
            Ok(()) => Outcome::Done(Count::one(true)),
            Err(fuzz::Fault::NotHere(why)) => Outcome::Skipped(why),
            Err(fuzz::Fault::Found(what)) => Outcome::Failed(Count::one(false), what),
        });
    }
    let left_out = if sum.ignored == 0 { String::new() } else { format!(", {} ignored", sum.ignored) };
    println!("{} passed, {} failed{left_out}", sum.passed, sum.failed);
    Ok(if sum.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn step(sum: &mut Count, name: &str, work: impl FnOnce() -> Outcome) {
    let start = Instant::now();
    let outcome = work();
    let seconds = start.elapsed().as_secs_f64();
    match outcome {
        Outcome::Done(count) => {
            println!("ok       {name:<24} {seconds:6.1} s");
            sum.add(count);
        }
        Outcome::Skipped(why) => println!("SKIPPED  {name:<24} {seconds:6.1} s  {why}"),
        Outcome::Failed(count, text) => {
            println!("FAILED   {name:<24} {seconds:6.1} s");
            show(name, &text);
            sum.add(count);
        }
    }
}

/// The end of a failed step's words, and where the rest is.
fn show(name: &str, text: &str) {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    for line in lines.iter().skip(lines.len().saturating_sub(SHOWN)) {
        println!("    {line}");
    }
    let word = name.split([' ', ',']).next().unwrap_or(name);
    let file = run::target_dir().join(format!("xtask-{word}.log"));
    if lines.len() > SHOWN && std::fs::write(&file, text).is_ok() {
        println!("    (the whole of it: {})", file.display());
    }
}

fn check(command: &mut Command) -> Outcome {
    match run::capture(command) {
        Ok(said) if said.status.success() => Outcome::Done(Count::one(true)),
        Ok(said) => Outcome::Failed(Count::one(false), said.text),
        Err(sentence) => Outcome::Failed(Count::one(false), sentence),
    }
}

/// Builds `naru` first, because the stories drive the real program.
fn tests(fast: bool, without: &[&str]) -> Outcome {
    let naru = match run::capture(run::cargo().args(["build", "--quiet", "--package", "naru", "--bin", "naru"])) {
        Ok(said) if said.status.success() => run::target_dir().join("debug").join("naru"),
        Ok(said) => return Outcome::Failed(Count::one(false), said.text),
        Err(sentence) => return Outcome::Failed(Count::one(false), sentence),
    };
    let mut command = run::cargo();
    command.args(["test", "--workspace", "--no-fail-fast"]).env("NARU_BIN", naru);
    if fast {
        command.env("NARU_FAST", "1");
    }
    command.envs(without.iter().map(|variable| (variable, "1")));
    match run::capture(&mut command) {
        Err(sentence) => Outcome::Failed(Count::one(false), sentence),
        Ok(said) => {
            let mut count = Count::of(&said.text);
            if said.status.success() {
                return Outcome::Done(count);
            }
            // A suite that does not compile, or dies, has no line of its own to be counted.
            if count.failed == 0 {
                count.failed = 1;
            }
            Outcome::Failed(count, failures(&said.text))
        }
    }
}

/// Without the lines of what went well.
fn failures(text: &str) -> String {
    let dull = |line: &&str| {
        let line = line.trim();
        !(line.is_empty() || line.starts_with("running ") || line.starts_with("Doc-tests ") || line.starts_with("Running "))
            && !(line.starts_with("test ") && (line.ends_with("... ok") || line.contains("... ignored")))
            && !["test result: ok", "Compiling ", "Finished "].iter().any(|word| line.starts_with(word))
    };
    text.lines().filter(dull).collect::<Vec<_>>().join("\n")
}

fn tool(name: &str, args: &[&str]) -> Outcome {
    match needs::cargo_tool(name) {
        Err(why) => Outcome::Skipped(why),
        Ok(()) => check(run::cargo().arg(name).args(args)),
    }
}

/// Against a copy of the RustSec database in a folder, so that the answer is the same without a network.
fn advisories() -> Outcome {
    match std::env::var("NARU_ADVISORY_DB") {
        Ok(folder) if std::path::Path::new(&folder).is_dir() => {
            tool("audit", &["--deny", "unsound", "--db", &folder, "--no-fetch", "--stale", "--quiet"])
        }
        Ok(folder) => Outcome::Skipped(format!("NARU_ADVISORY_DB names {folder}, which is no folder")),
        Err(_) => Outcome::Skipped("NARU_ADVISORY_DB names no clone of github.com/RustSec/advisory-db".into()),
    }
}
